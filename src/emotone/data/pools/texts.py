"""Single labelled texts beside the pairs of a pool: how an emotion is said, without a post.

Few of the pairs are angry, disgusted or sad; single texts are more often. A system learns
from them as from a pair whose post is held back (`sizes.blank`), so they teach how an emotion
sounds, and the pairs what is answered to what.

A text stays if its corpus gives it an emotion that is not the neutral one, and the labelling judge
gives that emotion the pool's least probability (`Pool.agree`). Left out are texts that a scoring
judge may have learnt from, and whatever is a post of the pool's dev or test part or a reply there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from emotone.data import corpora
from emotone.data.clean import addressed, clean
from emotone.data.corpus import find
from emotone.data.reading import Problems
from emotone.data.text import Lang, text_key, tokens
from emotone.emotions import TAXONOMIES, Emotion, Taxonomy
from emotone.errors import DataError, EmotoneError
from emotone.protocols import EmotionClassifier
from emotone.types import Dialogue, Example, Post, Speaker

WORDS = (2, 25)
#: Texts that are judged at once.
CHUNK = 4096

#: Pool -> corpus, its folder and splits, from which the first post of each conversation is taken.
SOURCES: Mapping[str, tuple[str, str, tuple[str, ...]]] = MappingProxyType(
    {
        "zh-pairs": ("ecm_sentences", "ecm", ("all",)),
        "en-pairs": ("empathetic_dialogues", "empatheticdialogues", ("train",)),
    }
)
#: Language -> corpora that judges are trained on, with folders: none of their texts stays.
JUDGED: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "zh": (("nlpcc_emotion", "nlpcc_emotion"), ("smp2020_ewect", "smp2020_ewect")),
        "en": (("goemotions", "goemotions"),),
    }
)


def texts(
    name: str,
    lang: Lang,
    taxonomy: Taxonomy,
    root: Path,
    judge: EmotionClassifier,
    held_out: Iterable[Example],
    problems: Problems,
    agree: float,
) -> Iterator[Example]:
    """Yield single texts with their emotion, as posts without a reply.

    Args:
        name: One of `SOURCES`; another pool has none.
        lang: Language of the pool.
        taxonomy: Label set of the pool.
        root: Folder of corpora.
        judge: The judge that labels the pool.
        held_out: The pool's dev and test pairs.
        problems: Where bad lines go.
        agree: Probability that the judge must give the corpus's label.
    """
    if name not in SOURCES:
        return
    corpus, folder, splits = SOURCES[name]
    taken = {key for e in held_out for key in (text_key(e.reply or ""), _key(e))}
    taken |= _judged(lang, root, problems)
    waiting = _labelled(corpus, root / folder, splits, lang, taxonomy, taken, problems)
    number = 0
    while rows := list(islice(waiting, CHUNK)):
        judged = judge.classify([text for text, _ in rows])
        for (text, label), scores in zip(rows, judged, strict=True):
            if scores.probabilities[label] >= agree:
                number += 1
                post = Post(text, Speaker.USER, Emotion(label, taxonomy.name))
                yield Example(f"text-{number}", Dialogue((post,)), lang=lang)


def count(examples: Iterable[Example]) -> dict[str, int]:
    """Count single texts by label."""
    return dict(Counter(str(e.dialogue.posts[-1].emotion) for e in examples).most_common())


def _key(example: Example) -> str:
    return text_key(example.dialogue.posts[-1].text)


def _labelled(
    corpus: str,
    folder: Path,
    splits: tuple[str, ...],
    lang: Lang,
    taxonomy: Taxonomy,
    taken: set[str],
    problems: Problems,
) -> Iterator[tuple[str, str]]:
    module = corpora.module(corpus)
    seen = set(taken)
    for split in splits:
        try:
            find(module.CORPUS, folder, split)
        except DataError:
            continue
        for example in module.read(folder, problems, split=split):
            post = example.dialogue.posts[0]
            if post.emotion is None or addressed(post.text):
                continue
            try:
                label = TAXONOMIES[post.emotion.taxonomy].map_to(post.emotion, taxonomy).label
            except EmotoneError:
                continue
            text = clean(post.text, lang)
            key = text_key(text)
            inside = WORDS[0] <= len(tokens(text, lang)) <= WORDS[1]
            if label == taxonomy.neutral or not inside or key in seen:
                continue
            seen.add(key)
            yield text, label


def _judged(lang: Lang, root: Path, problems: Problems) -> set[str]:
    keys: set[str] = set()
    for name, folder in JUDGED[lang]:
        module = corpora.module(name)
        for split in module.CORPUS.files:
            try:
                find(module.CORPUS, root / folder, split)
            except DataError:
                continue
            keys.update(_key(e) for e in module.read(root / folder, problems, split=split))
    return keys
