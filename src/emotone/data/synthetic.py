"""Emotion echo: a made-up corpus whose right answers are known, to learn and to teach with.

A post names one thing of twenty; a right reply names the same thing and speaks in words of the
asked emotion. The post says nothing of the emotion, so a system that answers right in every emotion
reads the post and heeds what is asked, and one that takes no emotion is right by chance only.
About sixty words; a small recurrent system learns it in a minute on a CPU.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from emotone.data.checks import mix
from emotone.data.ememory import Ememory
from emotone.data.pools.build import SPLITS, save
from emotone.data.text import text_key, words_en
from emotone.emotions import EKMAN, Emotion, Taxonomy
from emotone.errors import unknown_name
from emotone.types import Dialogue, Example

#: Name of the corpus for `emotone data prepare`.
NAME = "synthetic"
#: Number of posts in 100 for dev, and for test.
DEV, TEST = 10, 10
THINGS = (
    *("apple", "bell", "boat", "book", "bread", "cat", "chair", "clock", "cup", "dog"),
    *("door", "hat", "horse", "kite", "lamp", "letter", "moon", "river", "stone", "tree"),
)
OPENERS = ("i saw a", "look at the", "tell me of the", "i found a", "there is a", "we have a")
ENDS = ("today .", "now .", "here !", "again .", ".")
#: Label -> a cry and an adjective that only it says.
WORDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "anger": ("damn", "stupid"),
        "disgust": ("ugh", "filthy"),
        "fear": ("help", "scary"),
        "joy": ("hooray", "wonderful"),
        "happiness": ("hooray", "wonderful"),
        "like": ("aww", "dear"),
        "sadness": ("alas", "lonely"),
        "surprise": ("wow", "sudden"),
        "neutral": ("well", "plain"),
        "other": ("well", "plain"),
    }
)
REPLIES = ("{cry} , the {thing} is {like} .", "{cry} , what a {like} {thing} !")


def generate(n: int, taxonomy: Taxonomy = EKMAN, seed: int = 0) -> list[Example]:
    """Make pairs; the same seed makes the same ones.

    Posts are sampled independently of emotions, and all emotions equally often but for one.

    Args:
        n: How many.
        taxonomy: Ekman's or NLPCC's labels, or another set of labels in `WORDS`.
        seed: Decides all.

    Raises:
        UnknownName: If a label has no words.
    """
    draw = random.Random(seed)
    labels = [taxonomy.labels[i % len(taxonomy.labels)] for i in range(n)]
    draw.shuffle(labels)
    examples: list[Example] = []
    for number, label in enumerate(labels, 1):
        thing = draw.choice(THINGS)
        post = f"{draw.choice(OPENERS)} {thing} {draw.choice(ENDS)}"
        cry, like = _said(label)
        reply = draw.choice(REPLIES).format(cry=cry, thing=thing, like=like)
        emotion = mix(Emotion(label, taxonomy.name))
        examples.append(Example(f"{NAME}-{number}", Dialogue.of(post), emotion, reply))
    return examples


def right(post: str, emotion: str, reply: str) -> bool:
    """Tell whether a reply is right: the post's thing and no other, words of the emotion only.

    Args:
        post: A post of this corpus.
        emotion: The label that was asked.
        reply: Any text.

    Raises:
        UnknownName: If the label has no words.
    """
    words, own = set(words_en(reply)), set(_said(emotion))
    every = {word for pair in WORDS.values() for word in pair}
    return (
        words & set(THINGS) == set(words_en(post)) & set(THINGS)
        and bool(words & own)
        and not words & (every - own)
    )


def emotion_words(taxonomy: Taxonomy = EKMAN) -> Ememory:
    """Return the emotion words of each label, none for the neutral one.

    Raises:
        UnknownName: If a label has no words.
    """
    return tuple(_said(e) if e != taxonomy.neutral else () for e in taxonomy.labels)


def write(folder: Path, n: int = 4000, taxonomy: Taxonomy = EKMAN, seed: int = 0) -> dict[str, Any]:
    """Write train.jsonl, dev.jsonl, test.jsonl, ememory.json and pool.json into a folder.

    A post is on one side only.

    Returns:
        What pool.json holds.

    Raises:
        DataError: If a file cannot be written.
        UnknownName: If a label has no words.
    """
    rows: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for example in generate(n, taxonomy, seed):
        at = int(text_key(example.dialogue.posts[-1].text)[:8], 16) % 100
        rows["dev" if at < DEV else "test" if at < DEV + TEST else "train"].append(example)
    facts = {"pool": NAME, "lang": "en", "taxonomy": taxonomy.name, "judge": None, "seed": seed}
    return save(folder, rows, emotion_words(taxonomy), taxonomy, facts)


def _said(label: str) -> tuple[str, str]:
    if label not in WORDS:
        raise unknown_name("emotion of the synthetic corpus", label, WORDS)
    return WORDS[label]
