"""One post, every emotion: what is clear in the pool, and the lines of `everyday`.

`python -m recipes.recurrent.parallel LANG` writes out/pairs/LANG-parallel, which is what is clear
in the pool and the lines; `clear.py` has to come before. All three systems go on with it from an
A-Seq2Seq: in English the one that learnt the pool, in Chinese one that learnt the pool and the
lines (out/pairs/zh-start). Lines whose post is like one of `posts_{en,zh}.txt` are left out, for
the page of replies shows those.

In the pool of `emotone data prepare` a post has one reply, mostly a calm one (of 37,600 Chinese
pairs 121 are disgusted, of 60,000 English ones 629), so that no system sees what an emotion
changes. Here it is: the same post in each emotion of the taxonomy, written to be heard and to make
sense. All three systems learn from the same rows.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence

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
from recipes.everyday.check import LIKE, like_posts
from recipes.recurrent.clear import TAXONOMY
from recipes.recurrent.everyday import posts

#: Emotions of everyday that stand for one of the taxonomy; fear is "other" in NLPCC, and left out.
ASKED = {
    "zh": ("anger", "disgust", "joy", "sadness", "love", "neutral"),
    "en": ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral"),
}
#: Those of `train-b` are the scoring judge's, which would hear its own lines again. The Chinese
#: models of the zoo were taught before this was so: a fifth of their posts are of `train-b`.
TRAIN: tuple[everyday.Split, ...] = ("train-a", "train-c")
#: Files that choose the step: plain ones, as the systems are to answer; Chinese has none in dev.
DEV = {"zh": ("zh-p26",), "en": ("en-p5",)}


def by_hand(lang: Lang, *, dev: bool) -> Iterator[Example]:
    """Yield the lines of everyday, a reply each, in the systems' taxonomy."""
    taxonomy = TAXONOMIES[TAXONOMY[lang]]
    splits: tuple[everyday.Split, ...] = (*TRAIN, "dev") if dev else TRAIN
    lines = everyday.lines(lang, kinds=["rich", "plain"], splits=splits)
    shown = _like_shown(lines, lang)
    for line in lines:
        if (line.writer in DEV[lang]) is not dev or line.id in shown:
            continue
        for label in ASKED[lang]:
            if label in line.replies:
                yield Example(
                    f"everyday-{line.id}-{label}", Dialogue.of(line.post),
                    _of(label, taxonomy), line.replies[label], lang,
                )  # fmt: skip


def _like_shown(lines: Sequence[everyday.Line], lang: Lang) -> set[str]:
    """Ids of lines whose post is like one that the page of replies shows."""
    page = [
        everyday.Line(f"page:{i}", lang, "plain", "plain", None, post, {})
        for i, post in enumerate(posts(lang))
    ]
    return {line.id for line, _ in like_posts(lines, page, LIKE)}


def _of(label: str, taxonomy: Taxonomy) -> EmotionMix:
    emotion = EVERYDAY.map_to(EVERYDAY.parse(label), taxonomy)
    return EmotionMix.of({emotion.label: 100.0}, taxonomy)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("lang", choices=list(ASKED))
    lang: Lang = arguments.parse_args().lang
    hand = list(by_hand(lang, dev=False))
    parts = {"parallel": f"{lang}-clear"} | ({"start": lang} if lang == "zh" else {})
    for name, source in parts.items():
        out, pairs = ROOT / f"out/pairs/{lang}-{name}", ROOT / f"out/pairs/{source}"
        out.mkdir(parents=True, exist_ok=True)
        pool = list(read_file(pairs / "train.jsonl", Problems()))
        write_jsonl([*pool, *hand], out / "train.jsonl")
        write_jsonl(read_file(pairs / "texts.jsonl", Problems()), out / "texts.jsonl")
        write_jsonl(by_hand(lang, dev=True), out / "dev.jsonl")
        facts = json.loads((pairs / "pool.json").read_text(encoding="utf-8"))
        facts["everyday"] = len(hand)
        facts["licences"]["everyday"] = CORPUS.licence
        write_json(out / "pool.json", facts)
        print(out.name, len(pool), len(hand))


if __name__ == "__main__":
    main()
