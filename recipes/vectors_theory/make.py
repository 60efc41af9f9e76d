"""Measure the paper's theory on the default model and write the page.

`python -m recipes.vectors_theory.make --paper out/vectors-paper/vectors.safetensors` measures three
sets of vectors: the paper's, which `emotone evaluate vectors smollm2 -o out/vectors-paper` makes,
those that were fitted to the bare model, and those of the companion. It writes
docs/results/vectors-theory.json and docs/systems/vectors-theory.md, of the sets that --sets names.
A killed run goes on with what the folder of --work holds. A set takes some ten minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from emotone.data import everyday
from emotone.evaluation.manifest import manifest
from emotone.files import write_json
from emotone.models import load_causal_lm
from emotone.steering.find import give_adapters, open_vectors
from recipes.vectors_theory.measure import EMOTIONS, NEUTRAL, Bench, measure
from recipes.vectors_theory.page import page

MODEL = "smollm2"
RESULT = Path("docs/results/vectors-theory.json")
PAGE = Path("docs/systems/vectors-theory.md")
#: Name -> what it is; the paper's is a file.
SETS = {
    "paper": "the paper's: mean differences of the model's own answers to EmotionQuery",
    "smollm2": "fitted to written replies while the model is frozen",
    "smollm2-companion": "learned together with adapters",
}


def lines() -> list[everyday.Line]:
    """Return the plain development posts with a reply in each emotion, in the order of the set."""
    return [
        line
        for line in everyday.lines("en", splits=["dev"])
        if line.kind == "plain" and {*EMOTIONS, NEUTRAL} <= set(line.replies)
    ]


def measured(name: str, file: str, posts: int, more: int, work: Path) -> dict[str, Any]:
    """Measure one set of vectors, or read what was measured on as many posts or more."""
    kept = work / f"{name}.json"
    vectors = open_vectors(file)
    if kept.exists():
        row = json.loads(kept.read_text(encoding="utf-8"))
        enough = row["posts"] >= posts and row["posts_fisher"] >= more
        if enough and row["vectors"] == vectors.digest():
            return row
    lm = load_causal_lm(MODEL)
    give_adapters(lm.model, vectors, file)
    every = lines()
    work.mkdir(parents=True, exist_ok=True)
    bench = Bench(lm, vectors, every[:posts], work / f"{name}.known.json")
    row = measure(bench, Bench(lm, vectors, every[:more]))
    write_json(kept, row)
    return row


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paper", required=True)
    parser.add_argument("--posts", type=int, default=10)
    parser.add_argument("--posts-fisher", type=int, default=60)
    parser.add_argument("--work", type=Path, default=Path("out/vectors-theory"))
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    asked = parser.parse_args()
    sets: dict[str, Any] = {}
    for name in asked.sets:
        file = asked.paper if name == "paper" else name
        row = measured(name, file, asked.posts, asked.posts_fisher, asked.work)
        sets[name] = {"what": SETS[name], **row}
    settings = {"sets": asked.sets, "texts": "everyday, dev"}
    result = {"model": MODEL, "sets": sets, "manifest": manifest(settings=settings)}
    write_json(RESULT, result)
    PAGE.write_text(page(result), encoding="utf-8")


if __name__ == "__main__":
    main()
