"""Let the models of the zoo answer: what a user gets, rare words taken out and weights in int8.

`python -m recipes.recurrent.shipped RUNS [--posts 60] [--only REGEX]`

Writes a run for each model, `RUNS/<lang>-<system>-<variant>-s1`, for `evaluate` and `table` with a
result file of its own. Beam search is left out: it is compared on the trained weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import time
from pathlib import Path

from emotone import systems
from emotone.data.reading import Problems
from emotone.data.source import read_file
from emotone.models import zoo
from emotone.types import Decoding, Dialogue, Example
from recipes.recurrent.everyday import posts as everyday
from recipes.recurrent.folders import deal
from recipes.recurrent.likelihoods import measure
from recipes.recurrent.runs import LANGS, ROOT, write

VARIANTS = {"a_seq2seq": "plain", "ecm": "full", "emo_seq": "full"}


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """One model of the zoo.

    Args:
        lang: Its language.
        system: Its system.
    """

    lang: str
    system: str

    @property
    def name(self) -> str:
        """Name in the zoo."""
        return f"{self.system}-{self.lang}"


def answer(model: Model, out: Path, posts: int) -> None:
    """Write the run of one model; the everyday posts come first."""
    out.mkdir(parents=True, exist_ok=True)
    responder = systems.load(model.system, model.name)
    plain = [
        Example(f"everyday-{i}", Dialogue.of(text), lang=model.lang)  # pyright: ignore
        for i, text in enumerate(everyday(model.lang), 1)
    ]
    test = list(read_file(ROOT / f"out/pairs/{model.lang}/test.jsonl", Problems()))
    kept = set(deal([e.id for e in test], posts))
    decoding = Decoding(max_tokens=30)
    for file, examples in (
        ("everyday.jsonl", plain),
        ("replies_default.jsonl", [e for e in test if e.id in kept]),
    ):
        if not (out / file).is_file():
            write(responder, examples, out / file, decoding)
    if not (out / "perplexity.json").is_file():
        measure(responder, test, out)
    source = zoo.folder("systems", model.name) / "manifest.json"
    (out / "manifest.json").write_bytes(source.read_bytes())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--posts", type=int, default=60)
    arguments.add_argument("--only", default=".")
    chosen = arguments.parse_args()
    for system, variant in VARIANTS.items():
        for lang in LANGS:
            model = Model(lang, system)
            if re.search(chosen.only, model.name):
                start = time.perf_counter()
                answer(model, chosen.folder / f"{lang}-{system}-{variant}-s1", chosen.posts)
                print(f"{model.name}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
