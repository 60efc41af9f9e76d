"""The dialogues that EmpRL learns from: read, and cut in two by conversation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from emotone.data.reading import Problems
from emotone.data.source import read_file
from emotone.data.split import train_and_dev
from emotone.errors import DataError
from emotone.systems.emprl.config import Data
from emotone.training.seeding import seed_for
from emotone.types import Dialogue, Example, Post, Speaker


@dataclass(frozen=True, slots=True)
class Corpus:
    """Examples with replies, to learn from and to choose by.

    Args:
        train: Learned from.
        dev: Other conversations; they choose the best weights.
        hashes: "train" and "dev" -> sha256 of the file that was read.
    """

    train: list[Example]
    dev: list[Example]
    hashes: dict[str, str]


def read_corpus(data: Data, seed: int) -> Corpus:
    """Read the examples of a config.

    Args:
        data: Which.
        seed: Decides what is sampled where `data.rows` is fewer than there are.

    Raises:
        DataError: If a file is missing or malformed, or no example has a reply.
    """
    train, dev, hashes = train_and_dev(
        data.train,
        data.dev,
        _with_replies,
        share=data.dev_share,
        text_of=lambda example: example.dialogue.posts[0].text,  # a conversation is on one side
    )
    if not train or not dev:
        raise DataError(
            f"{data.train} leaves {len(train)} examples to learn from and {len(dev)} to choose by;"
            " name a file with more conversations, or one of its own with data.dev"
        )
    if data.rows:
        train = sampled(train, data.rows, seed_for(seed, "rows"))
    return Corpus(train, sampled(dev, data.dev_rows, 0), hashes)


def read_base(paths: Sequence[Path]) -> list[Example]:
    """Read dialogues that a new model learns from first, with the turns of both sides.

    Raises:
        DataError: If a file is missing or malformed.
    """
    return [side for path in paths for example in _with_replies(path) for side in sides(example)]


def sides(example: Example) -> Iterator[Example]:
    """Yield an example, and the one whose reply is its last post, where posts stand before it."""
    yield example
    *before, last = example.dialogue.posts
    if before and before[-1].speaker is Speaker.ASSISTANT:
        turned = tuple(Post(p.text, _other(p.speaker), p.emotion) for p in before)
        yield replace(example, id=f"{example.id}-other", dialogue=Dialogue(turned), reply=last.text)


def sampled(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """Sample so many examples without replacement, in their order; all where there are fewer."""
    if count >= len(examples):
        return list(examples)
    order = np.random.default_rng(seed).permutation(len(examples))[:count]
    return [examples[i] for i in sorted(order)]


def texts(examples: Iterable[Example]) -> Iterator[str]:
    """Yield the last post and the reply of each example, to learn a vocabulary from."""
    for example in examples:
        yield example.dialogue.posts[-1].text
        yield example.reply or ""


def _with_replies(path: Path) -> list[Example]:
    if not path.is_file():
        raise DataError(
            f"there is no file {path}; make it with `emotone data prepare empathetic_dialogues"
            " --from FOLDER --split train --output FILE`, or name another with data.train"
        )
    examples = read_file(path, Problems("raise"))
    return [example for example in examples if example.reply and example.reply.strip()]


def _other(speaker: Speaker) -> Speaker:
    return Speaker.ASSISTANT if speaker is Speaker.USER else Speaker.USER
