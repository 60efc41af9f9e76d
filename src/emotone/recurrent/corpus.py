"""The pairs that a system learns from, as ids, with vocabulary, labels, vectors and word lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emotone.data.checks import mix
from emotone.data.pairs import Pairs, encode
from emotone.data.text import Lang, tokens
from emotone.data.vocab import EOS, Vocabulary
from emotone.emotions import TAXONOMIES, Taxonomy
from emotone.errors import ConfigError, DataError
from emotone.files import sha256
from emotone.recurrent.config import Data
from emotone.types import Example

if TYPE_CHECKING:
    import numpy as np

#: Replies that the lists of emotion words are made from hold a listed word so often.
LEAST_COUNT = 10


@dataclass(frozen=True, eq=False)
class Corpus:
    """What a network is built for and trained on.

    Args:
        lang: Language of the texts.
        vocabulary: Words by id.
        taxonomy: Labels of the emotions; None where the system takes none.
        train: Pairs to learn from.
        dev: Pairs that decide when to stop.
        vectors: Word vectors of the vocabulary, [V, d]; None where none were given.
        covered: Share of the vocabulary that a vector was found for.
        emotion_words: Words of each emotion, for an external memory; empty without one.
        hashes: "train", "dev", "texts", "vectors" or "words" -> sha256 of the file that was read.
        longest: Words of a post that are read.
    """

    lang: Lang
    vocabulary: Vocabulary
    taxonomy: Taxonomy | None
    train: Pairs
    dev: Pairs
    vectors: np.ndarray | None = None
    covered: float = 0.0
    emotion_words: tuple[tuple[str, ...], ...] = ()
    hashes: dict[str, str] = field(default_factory=dict[str, str])
    longest: int = 30


def read_corpus(
    data: Data,
    *,
    emotional: bool,
    words: Path | None = None,
    word_lists: bool = False,
    seed: int = 0,
    vocabulary: Vocabulary | None = None,
) -> Corpus:
    """Read training and development pairs and all that goes with them.

    The vocabulary is that of the training pairs, posts and replies together.

    Args:
        data: Files and limits.
        emotional: Whether the system takes emotions. Pairs need one where it does, or where
            `data.balance` is above 0.
        words: File of emotion words, a JSON list of one list an emotion.
        word_lists: Whether lists of emotion words are wanted; made by log-odds without a file.
        seed: Of the vectors of words that have none.
        vocabulary: Words by id; None takes those of the training pairs.

    Raises:
        ConfigError: If no files are named.
        DataError: If a file is missing or malformed, or a pair has no emotion where it needs one.
    """
    import numpy as np

    from emotone.data.reading import Problems
    from emotone.data.word_vectors import read_word_vectors

    if data.train == Path() or data.dev == Path():
        raise ConfigError(
            "no pairs are named; set data.train and data.dev to files of examples, such as those"
            f" of `emotone data prepare {data.lang}-pairs --output out/pairs/{data.lang}`"
        )
    taxonomy = TAXONOMIES[data.taxonomy] if emotional or data.balance else None
    train = _examples(data.train, data, taxonomy, data.limit)
    dev = _examples(data.dev, data, taxonomy, 0)
    texts = [] if data.texts is None else _texts(data.texts, data, taxonomy)
    all_texts = [e.dialogue.posts[-1].text for e in (*train, *texts)]
    all_texts += [e.reply for e in train if e.reply]
    if vocabulary is None:
        words_of = (tokens(text, data.lang) for text in all_texts)
        vocabulary = Vocabulary.build(words_of, data.vocabulary)
    lists: tuple[tuple[str, ...], ...] = ()
    if word_lists and taxonomy is not None:
        lists = _lists(words, [*train, *texts], taxonomy)
    vectors, covered = None, 0.0
    if data.vectors is not None:
        from emotone.training.log import note

        problems = Problems()
        read = read_word_vectors(data.vectors, set(vocabulary.words), problems=problems)
        for sentence in problems.losses():
            note(f"{data.vectors.name}: {sentence}")
        # Known words get norm 1 on average, so that a word without a vector does not outweigh them.
        matrix, known = read.rows(vocabulary.words, np.random.default_rng(seed))
        norm = np.linalg.norm(matrix[known], axis=1).mean() if known.any() else 1.0
        matrix[known] /= norm
        vectors, covered = matrix, float(known.mean())
    files = {"train": data.train, "dev": data.dev, "texts": data.texts, "vectors": data.vectors}
    files["words"] = words if word_lists else None
    longest = {"post_words": data.longest, "reply_words": data.longest - 1}
    pairs = encode(train, vocabulary, taxonomy, **longest)
    return Corpus(
        data.lang,
        vocabulary,
        taxonomy if emotional else None,
        _with_texts(pairs, encode(_answers(texts), vocabulary, taxonomy, **longest)),
        encode(dev, vocabulary, taxonomy, **longest),
        vectors,
        covered,
        lists,
        {part: sha256(path) for part, path in files.items() if path is not None},
        data.longest,
    )


def _examples(path: Path, data: Data, taxonomy: Taxonomy | None, limit: int) -> list[Example]:
    from itertools import islice

    from emotone.data.reading import Problems
    from emotone.data.source import SUFFIXES, read_file

    if not path.is_file():
        raise DataError(
            f"there is no file {path}; prepare it, for instance with `emotone data prepare"
            f" {data.lang}-pairs --output {path.parent}`"
        )
    if not path.name.removesuffix(".gz").endswith(SUFFIXES):
        example_file = path.name.split(".")[0] + ".jsonl"
        raise DataError(
            f"{path.name} is not a file of examples (.jsonl or .parquet); make one of it, such as"
            f" with `emotone data prepare ecm --from {path} --output {example_file}` if it is ECM's"
        )
    examples = list(islice(read_file(path, Problems()), limit or None))
    for example in examples:
        if example.reply is None:
            raise DataError(f"{path.name}: example {example.id!r} has no reply; leave it out")
        if taxonomy is not None and example.emotion is None:
            raise DataError(
                f"{path.name}: example {example.id!r} has no emotion; label the file with `emotone"
                " data label`"
            )
        if example.lang != data.lang:
            raise DataError(
                f"{path.name}: example {example.id!r} is {example.lang} and data.lang is"
                f" {data.lang}; give pairs of one language"
            )
    return examples


def _texts(path: Path, data: Data, taxonomy: Taxonomy | None) -> list[Example]:
    from emotone.data.reading import Problems
    from emotone.data.source import read_file

    if not path.is_file():
        raise DataError(f"there is no file {path}; leave data.texts out, or prepare the pool again")
    texts = list(read_file(path, Problems()))
    for example in texts:
        if taxonomy is not None and example.dialogue.posts[-1].emotion is None:
            raise DataError(f"{path.name}: text {example.id!r} has no emotion; leave it out")
        if example.lang != data.lang:
            raise DataError(f"{path.name}: text {example.id!r} is {example.lang}, not {data.lang}")
    return texts


def _answers(texts: Sequence[Example]) -> Iterator[Example]:
    """Turn each labelled text into a reply in its emotion; its post is set aside later."""
    for example in texts:
        post = example.dialogue.posts[-1]
        yield replace(example, reply=post.text, emotion=mix(post.emotion))


def _with_texts(pairs: Pairs, texts: Pairs) -> Pairs:
    """Add rows whose post is the end token alone, as of a post that is held back."""
    import numpy as np

    if not len(texts):
        return pairs
    last_post = pairs.post_ends[-1] if len(pairs) else 0
    last_reply = pairs.reply_ends[-1] if len(pairs) else 0
    return Pairs(
        np.concatenate([pairs.posts, np.full(len(texts), EOS, np.int32)]),
        np.concatenate([pairs.post_ends, last_post + 1 + np.arange(len(texts))]),
        np.concatenate([pairs.replies, texts.replies]),
        np.concatenate([pairs.reply_ends, last_reply + texts.reply_ends]),
        np.concatenate([pairs.emotions, texts.emotions]),
    )


def _lists(
    path: Path | None, train: Sequence[Example], taxonomy: Taxonomy
) -> tuple[tuple[str, ...], ...]:
    from emotone.data.ememory import from_log_odds, labelled_words, read_ememory

    if path is not None:
        return read_ememory(path, taxonomy)
    rows = labelled_words(train, taxonomy)
    try:
        return from_log_odds(rows, min_count=LEAST_COUNT, taxonomy=taxonomy)
    except DataError as error:
        why = str(error).split(";")[0]
        raise DataError(
            f"too few labelled replies to make the lists of emotion words from ({why}); name a file"
            " of your own in parts.words, or set parts.external = false"
        ) from error
