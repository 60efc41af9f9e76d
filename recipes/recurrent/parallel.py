"""One post, every emotion: what is clear in the pool, and the lines of `everyday`.

`python -m recipes.recurrent.parallel zh` writes the pool out/pairs/zh-parallel; `clear.py` has to
come before.

In the pool of `emotone data prepare` a post has one reply, mostly a calm one (of 37,600 Chinese
pairs 121 are disgusted), so that no system sees what an emotion changes. Here it is: the same post
in each emotion of the taxonomy, written to be heard and to make sense. All three systems
learn from the same rows.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from emotone.data import everyday
from emotone.data.corpora.everyday import CORPUS
from emotone.data.examples import write_jsonl
from emotone.data.reading import Problems
from emotone.data.source import read_file
from emotone.data.text import Lang
from emotone.emotions import EVERYDAY, TAXONOMIES, EmotionMix, Taxonomy
from emotone.files import write_json
from emotone.types import Dialogue, Example
from recipes.compare.files import ROOT
from recipes.recurrent.clear import TAXONOMY

#: Emotions of everyday that stand for one of the taxonomy; fear is "other" in NLPCC, and left out.
ASKED = {
    "zh": ("anger", "disgust", "joy", "sadness", "love", "neutral"),
    "en": ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral"),
}
TRAIN: tuple[everyday.Split, ...] = ("train-a", "train-b", "train-c")


def pool(lang: Lang) -> Path:
    """Folder of the pool."""
    return ROOT / f"out/pairs/{lang}-parallel"


def by_hand(lang: Lang, splits: Sequence[everyday.Split]) -> Iterator[Example]:
    """Yield the lines of everyday, a reply each, in the systems' taxonomy."""
    taxonomy = TAXONOMIES[TAXONOMY[lang]]
    for line in everyday.lines(lang, kinds=["rich", "plain"], splits=splits):
        for label in ASKED[lang]:
            if label in line.replies:
                yield Example(
                    f"everyday-{line.id}-{label}", Dialogue.of(line.post),
                    _of(label, taxonomy), line.replies[label], lang,
                )  # fmt: skip


def _of(label: str, taxonomy: Taxonomy) -> EmotionMix:
    emotion = EVERYDAY.map_to(EVERYDAY.parse(label), taxonomy)
    return EmotionMix.of({emotion.label: 100.0}, taxonomy)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("lang", choices=list(ASKED))
    given = arguments.parse_args()
    lang: Lang = given.lang
    pool(lang).mkdir(parents=True, exist_ok=True)
    out, clear = pool(lang), ROOT / f"out/pairs/{lang}-clear"
    out.mkdir(parents=True, exist_ok=True)
    facts = json.loads((clear / "pool.json").read_text(encoding="utf-8"))
    hand = list(by_hand(lang, TRAIN))
    for part in ("train", "dev", "texts"):
        rows = list(read_file(clear / f"{part}.jsonl", Problems()))
        if part == "train":
            rows += hand
        elif part == "dev":
            rows = list(by_hand(lang, ["dev"]))
        write_jsonl(rows, out / f"{part}.jsonl")
    facts["everyday"] = len(hand)
    facts["licences"]["everyday"] = CORPUS.licence
    write_json(out / "pool.json", facts)
    print(lang, facts["everyday"])


if __name__ == "__main__":
    main()
