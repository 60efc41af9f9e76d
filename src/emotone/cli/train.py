"""`emotone train`: a system's model folder from a config."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from emotone.cli import options


def train(
    system: Annotated[
        str,
        typer.Argument(
            help="Which system; a dotted name trains your own.", autocompletion=options.systems
        ),
    ],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="TOML with what differs from defaults.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, such as training.lr=3e-4.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The model folder to write; else runs/SYSTEM-CONFIG."),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option("--resume", help="auto, never or a checkpoint; as --set training.resume."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", help="auto, cpu, cuda or mps; as --set training.device."),
    ] = None,
) -> None:
    """Train a system; run it again after a kill and it goes on.

    Exit code 143 (SIGTERM) or 130 (interrupt) means that it has saved and left.
    With torchrun, as in `torchrun --nproc_per_node 2 -m emotone train ...`, processes share each
    batch.
    """
    from emotone import config as configs
    from emotone import systems
    from emotone.errors import Unsupported

    module = systems.module(system)
    if not hasattr(module, "train"):
        raise Unsupported(f"{system} offers no train; use it as it is")
    overrides = list(settings or ())
    for name, value in (("resume", resume), ("device", device)):
        if value is not None:
            overrides.append(f"training.{name}={configs.literal(value)}")
    chosen = configs.load(module.Config, config, overrides)
    plain = system.replace("-", "_").rpartition(".")[2]
    name = f"{plain}-{config.stem}" if config is not None else plain
    folder = module.train(chosen, out if out is not None else Path("runs") / name)
    if os.environ.get("RANK", "0") == "0":  # of several processes one tells
        typer.echo(str(folder))
