"""Let the models of the zoo answer: what a user gets, rare words taken out and weights in int8.

`python -m recipes.recurrent.shipped RUNS [--posts 60] [--only REGEX]`

Writes a run for each model, `RUNS/<lang>-<system>-<variant>-s1`, for `evaluate` and `table` with a
result file of its own. Beam search is left out: it is compared on the trained weights.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

from emotone import systems
from emotone.models import zoo
from recipes.recurrent.folders import MAIN
from recipes.recurrent.runs import LANGS, answer


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--posts", type=int, default=60)
    arguments.add_argument("--only", default=".")
    given = arguments.parse_args()
    for system, variant in MAIN.items():
        for lang in LANGS:
            name = f"{system}-{lang}"
            if re.search(given.only, name):
                start = time.perf_counter()
                out = given.folder / f"{lang}-{system}-{variant}-s1"
                out.mkdir(parents=True, exist_ok=True)
                answer(systems.load(system, name), lang, out, posts=given.posts, beam=False)
                source = zoo.folder("systems", name) / "manifest.json"
                (out / "manifest.json").write_bytes(source.read_bytes())
                print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
