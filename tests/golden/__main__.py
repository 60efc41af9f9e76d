"""`python -m tests.golden`: see the package."""

from __future__ import annotations

import os
import sys

# Read when the libraries are first imported.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["PYTHONUTF8"] = "1"
os.environ["COLUMNS"] = "200"
os.environ["TERM"] = "dumb"

import argparse
import fnmatch
import json
import tempfile
import time
import tomllib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.golden import judging, learning, replies, vectors
from tests.golden.command import inside
from tests.golden.values import differences

HERE = Path(__file__).parent
#: Name -> what runs it in an empty folder and returns its values.
CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "options": judging.options,
    "data": judging.data,
    "replies_echo": replies.echo,
    "replies_prompted": replies.prompted,
    "replies_steered": replies.steered,
    "replies_a_seq2seq": replies.a_seq2seq,
    "replies_ecm": replies.ecm,
    "replies_emo_seq": replies.emo_seq,
    "replies_emprl": replies.emprl,
    "judge_emotion": judging.judge_emotion,
    "judge_empathy": judging.judge_empathy,
    "score": judging.score,
    "perplexity": judging.perplexity,
    "train_a_seq2seq": learning.a_seq2seq,
    "train_ecm": learning.ecm,
    "train_emo_seq": learning.emo_seq,
    "train_emprl": learning.emprl,
    "resumed_recurrent": learning.recurrent_resumed,
    "resumed_emprl": learning.emprl_resumed,
    "vectors": vectors.vectors,
}
#: Values of a case that are printed where they differ.
SHOWN = 8


def main() -> int:
    arguments = _arguments()
    if arguments.action == "list":
        print("\n".join(CASES))
        return 0
    import torch

    import emotone

    torch.set_num_threads(1)
    print(f"emotone of {Path(emotone.__file__).parent}", flush=True)
    stored = _read(arguments.file)
    if arguments.action == "compare" and not stored:
        print(f"there is no {arguments.file}; write it with `python -m tests.golden store`")
        return 2
    purposes = _purposes(arguments.on_purpose)
    failed: list[str] = []
    for name in arguments.only:
        began = time.monotonic()
        try:
            values = _run(CASES[name])
        except Exception:
            traceback.print_exc(limit=-4, file=sys.stdout)
            print(f"{name}: FAILED")
            failed.append(name)
            continue
        took = f"{time.monotonic() - began:.0f} s"
        if arguments.action == "store":
            stored[name] = values
            print(f"{name}: {len(values)} values, {took}", flush=True)
        elif not _compare(name, stored.get(name, {}), values, purposes, arguments.tolerance, took):
            failed.append(name)
    if arguments.action == "store":
        _write(arguments.file, {name: stored[name] for name in CASES if name in stored})
    print(f"FAILED: {', '.join(failed)}" if failed else "all is well")
    return 1 if failed else 0


def _run(case: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run a case in a folder of its own; its values are as the file will give them back."""
    with tempfile.TemporaryDirectory() as folder, inside(Path(folder)):
        values = case()
    place = os.path.realpath(folder)
    text = json.dumps(values, ensure_ascii=False).replace(place, "FOLDER").replace(folder, "FOLDER")
    return json.loads(text)


def _compare(
    name: str,
    old: dict[str, Any],
    new: dict[str, Any],
    purposes: list[tuple[str, str]],
    tolerance: float,
    took: str,
) -> bool:
    """Print the differences of one case; tell whether all of them are meant."""
    unmeant: list[str] = []
    meant: list[str] = []
    total = {"unmeant": 0, "meant": 0}
    for key in [*old, *(key for key in new if key not in old)]:
        if key not in old or key not in new:
            changes = [(key, "is new" if key not in old else "is gone")]
        else:
            changes = [
                (f"{key}.{at}" if at else key, what)
                for at, what in differences(old[key], new[key], tolerance)
            ]
        first: set[bool] = set()
        for at, what in changes:
            reason = next((why for like, why in purposes if _matches(f"{name}.{at}", like)), None)
            is_meant = reason is not None
            total["meant" if is_meant else "unmeant"] += 1
            if is_meant not in first:  # the first one of a key says where to look
                first.add(is_meant)
                line = (
                    f"on purpose ({reason}): {at} {what}" if is_meant else f"DIFFERS: {at} {what}"
                )
                (meant if is_meant else unmeant).append(f"  {line}")
    state = f"{total['unmeant']} differ, {total['meant']} on purpose"
    print(f"{name}: {state if any(total.values()) else 'equal'} ({len(new)} values, {took})")
    for lines in (unmeant, meant):
        for line in lines[:SHOWN]:
            print(line)
        if len(lines) > SHOWN:
            print(f"    and {len(lines) - SHOWN} more values")
    sys.stdout.flush()
    return not unmeant


def _matches(place: str, like: str) -> bool:
    return place.startswith(like) or fnmatch.fnmatchcase(place, like)


def _purposes(path: Path) -> list[tuple[str, str]]:
    if not path.is_file():
        return []
    rows = tomllib.loads(path.read_text(encoding="utf-8")).get("differs", [])
    return [(row["place"], row["reason"]) for row in rows]


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _write(path: Path, cases: dict[str, Any]) -> None:
    """Write one value a line, so that a change of the file can be read."""
    blocks = []
    for name, values in cases.items():
        lines = [
            f"  {json.dumps(key, ensure_ascii=False)}: "
            + json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            for key, value in values.items()
        ]
        blocks.append(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }")
    text = "{\n" + ",\n".join(blocks) + "\n}\n"
    path.write_text(text, encoding="utf-8")
    print(f"wrote {path}, {len(text.encode()) / 1000:.0f} kB")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.golden")
    parser.add_argument("action", choices=("store", "compare", "list"))
    parser.add_argument("--file", type=Path, default=HERE / "golden.json")
    parser.add_argument("--on-purpose", type=Path, default=HERE / "on_purpose.toml")
    parser.add_argument("--only", default=",".join(CASES), help="names, with commas between")
    parser.add_argument("--tolerance", type=float, default=0.0)
    arguments = parser.parse_args()
    arguments.only = [name for name in arguments.only.split(",") if name]
    unknown = [name for name in arguments.only if name not in CASES]
    if unknown:
        parser.error(f"unknown case {', '.join(unknown)}; allowed: {', '.join(CASES)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
