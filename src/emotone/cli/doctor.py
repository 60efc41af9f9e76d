"""`emotone doctor`: what is wrong with my installation."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Annotated

import typer

from emotone.cli import by_interrupt, options

Finding = tuple[str, bool, str]


def doctor(
    as_json: options.Json = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also load the default model and steer it.")
    ] = False,
) -> None:
    """Check the installation; exit code 1 when something is wrong."""
    findings: list[Finding] = []
    for name, check in _checks(deep):
        try:
            good, finding = check()
        except Exception as error:
            if by_interrupt(error):
                raise KeyboardInterrupt from error
            good, finding = False, f"{type(error).__name__}: {error}"
        findings.append((name, good, finding))
        if not as_json:
            typer.echo(f"{'ok ' if good else 'BAD'}  {name}: {finding}")
    if as_json:
        rows = [{"check": n, "ok": g, "said": s} for n, g, s in findings]
        typer.echo(json.dumps({"ok": all(g for _, g, _ in findings), "checks": rows}))
    if not all(good for _, good, _ in findings):
        raise typer.Exit(1)


def _checks(deep: bool) -> Iterator[tuple[str, Callable[[], tuple[bool, str]]]]:
    yield "python", _python
    yield "emotone", lambda: (True, version("emotone"))
    yield "libraries", _libraries
    yield "device", _device
    yield "pip", _pip
    yield "cache", _cache
    yield "default model", _default_model
    yield "vectors", _vectors
    yield "systems", _systems
    if deep:
        yield "steered reply", _reply


def _python() -> tuple[bool, str]:
    return sys.version_info >= (3, 11), sys.version.split()[0]


def _libraries() -> tuple[bool, str]:
    from packaging.requirements import Requirement

    wrong: list[str] = []
    seen: list[str] = []
    for line in requires("emotone") or []:
        need = Requirement(line)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            have = version(need.name)
        except PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
            continue
        if have.split("+")[0] not in need.specifier:
            wrong.append(f"{need.name} {have} is outside {need.specifier}")
        seen.append(f"{need.name} {have}")
    return not wrong, "; ".join(wrong) + " (run pip install emotone)" if wrong else ", ".join(seen)


def _device() -> tuple[bool, str]:
    import torch

    name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
    return True, f"{name}, {torch.get_num_threads()} threads"


def _pip() -> tuple[bool, str]:
    try:
        return True, version("pip")
    except PackageNotFoundError:
        return False, "missing, so models cannot be fetched; run python -m ensurepip"


def _cache() -> tuple[bool, str]:
    import os
    import shutil

    from emotone import models

    root = models.cache_root()
    near = root
    while not near.exists():
        near = near.parent
    free = shutil.disk_usage(near).free / 1e9
    if not os.access(near, os.W_OK):
        return False, f"{root} cannot be written; set EMOTONE_HOME to a folder that can"
    return free > 1, f"{root}, {free:.0f} GB free" + ("" if free > 1 else "; free at least 1 GB")


def _default_model() -> tuple[bool, str]:
    from emotone import models

    if models.DEFAULT not in models.installed():
        return True, f"{models.DEFAULT} is not here yet; the first reply fetches it"
    location = models.locate(models.DEFAULT, fetch=False)
    return True, f"{location.name} {location.revision[:12]}, complete and unaltered"


def _vectors() -> tuple[bool, str]:
    from emotone.steering.vector_file import shipped_names
    from emotone.steering.vectors import EmotionVectors

    sets = [(name, EmotionVectors.shipped(name)) for name in shipped_names()]
    uncalibrated = [n for n, v in sets if set(v.card.curves) != set(v.labels)]
    if uncalibrated or not sets:
        return False, f"not calibrated: {', '.join(uncalibrated) or 'none shipped'}; reinstall"
    return True, "; ".join(f"{name}: {', '.join(v.labels)}" for name, v in sets)


def _systems() -> tuple[bool, str]:
    from emotone import systems

    for name in systems.names():
        systems.module(name)
    return True, ", ".join(systems.names())


def _reply() -> tuple[bool, str]:
    import emotone

    reply = emotone.load().reply("I found a coin in the street.", "joy:60")
    return bool(reply.text), f"{reply.text!r} ({reply.applied.get('tier')} tier)"
