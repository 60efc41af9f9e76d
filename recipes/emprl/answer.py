"""Replies of every stage to the compared dialogues, and how likely people's replies are to it.

Each stage has a folder: `replies-1.jsonl` and so on, one a sampling; `nats.jsonl` and
`perplexity.json` of the references. What is there is not made again, and half a file goes on.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from emotone.errors import DataError
from emotone.evaluation.generate import finished, generate
from emotone.evaluation.likelihoods import NATS, write_likelihoods
from emotone.evaluation.resume import every_field
from emotone.files import replacing
from emotone.protocols import Responder
from emotone.types import Example
from recipes.emprl.runs import DECODING, STRIDE, Stage, identity

MADE = "made.json"


def answer(
    stage: Stage, examples: Sequence[Example], out: Path, *, samplings: int, batch: int = 16
) -> None:
    """Write what is missing of a stage's replies and likelihoods.

    Raises:
        DataError: If what is there came from other weights, dialogues or decoding.
    """
    folder = out / stage.title
    check(folder, identity(stage, examples))
    start = time.perf_counter()
    responder = cache(lambda: opened(stage))  # loaded if anything is missing
    for k in range(1, samplings + 1):
        write(responder, examples, folder / replies_file(k), sampling=k, batch=batch)
    if not (folder / NATS).is_file():
        write_likelihoods(responder(), examples, folder)
    if responder.cache_info().currsize:
        print(f"{stage.title}: {time.perf_counter() - start:.0f} s", flush=True)


def write(
    responder: Callable[[], Responder],
    examples: Sequence[Example],
    path: Path,
    *,
    sampling: int,
    batch: int,
) -> None:
    """Write the replies that a file lacks."""
    done = finished(path)
    if {e.id for e in examples} <= done:
        return
    decoding = dataclasses.replace(DECODING, seed=STRIDE * sampling)
    with path.open("a", encoding="utf-8") as out:
        rows = list(enumerate(examples))
        generate(responder(), rows, out, decoding=decoding, batch=batch, done=done)


def opened(stage: Stage) -> Responder:
    """Load a stage on the CPU."""
    from emotone.systems import emprl

    return emprl.load(stage.model, device="cpu")


def replies_file(sampling: int) -> str:
    """Name the file of one sampling."""
    return f"replies-{sampling}.jsonl"


def check(folder: Path, identity: dict[str, Any]) -> None:
    """Keep what a folder's files depend on, and refuse to mix them with others.

    Raises:
        DataError: If the folder's files came from something else.
    """
    path = folder / MADE
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))
        known["decoding"] = every_field(known.get("decoding", {}))
        other = sorted(key for key in identity if known.get(key) != identity[key])
        if other:
            raise DataError(
                f"the files in {folder.name} came from other {' and '.join(other)}; remove the"
                " folder to make them anew"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(identity, indent=1) + "\n", encoding="utf-8")
