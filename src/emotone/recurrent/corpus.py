"""The pairs that a system learns from, as ids, with vocabulary, labels, vectors and word lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from emotone.data.checks import mix
from emotone.data.pairs import Pairs, encode
from emotone.data.text import Lang
from emotone.data.vocab import EOS, Vocabulary
from emotone.data.words import Words
from emotone.emotions import TAXONOMIES, Taxonomy
from emotone.errors import ConfigError, DataError
from emotone.files import sha256
from emotone.recurrent.config import Data
from emotone.types import Example

if TYPE_CHECKING:
    import numpy as np

    from emotone.data.word_vectors import WordVectors

#: Replies that the lists of emotion words are made from hold a listed word so often.
LEAST_COUNT = 10


class Vocabularies(NamedTuple):
    """Words by id.

    Args:
        replies: Of replies, and of posts where these have no ids of their own.
        posts: Of posts; None where they have those of replies.
    """

    replies: Vocabulary
    posts: Vocabulary | None


@dataclass(frozen=True, eq=False)
class Corpus:
    """What a network is built for and trained on.

    Args:
        lang: Language of the texts.
        vocabulary: Words by id; those of replies if there are `posts`.
        taxonomy: Labels of the emotions; None where the system takes none.
        train: Pairs to learn from.
        dev: Pairs that decide when to stop.
        vectors: Word vectors of the vocabulary, [V, d]; None where none were given.
        covered: Share of the vocabulary that a vector was found for.
        emotion_words: Words of each emotion, for an external memory; empty without one.
        hashes: "train", "dev", "texts", "vectors" or "words" -> sha256 of the file that was read.
        longest: Words of a post that are read.
        words: How texts become words; None is how it is done where no setting says otherwise.
        posts: Words of posts by id, where they have ids of their own.
        post_vectors: Word vectors of `posts`, [V', d].
        dropped: Training pairs that were left out as too long.
        judges: Names of the judges that labelled some of it.
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
    words: Words | None = None
    posts: Vocabulary | None = None
    post_vectors: np.ndarray | None = None
    dropped: int = 0
    judges: tuple[str, ...] = ()

    @property
    def spelling(self) -> Words:
        """How texts become words."""
        return self.words or Words(self.lang)

    @property
    def post_words(self) -> int:
        """Size of the vocabulary of posts; 0 where posts have no own."""
        return 0 if self.posts is None else len(self.posts)

    @property
    def of_posts(self) -> Vocabulary:
        """Words of posts by id."""
        return self.posts or self.vocabulary


def read_corpus(
    data: Data,
    *,
    emotional: bool,
    words: Path | None = None,
    word_lists: bool = False,
    seed: int = 0,
    vocabularies: Vocabularies | None = None,
    as_released: bool = False,
    apart: bool = False,
) -> Corpus:
    """Read training and development pairs and all that goes with them.

    The vocabulary is that of the training pairs, posts and replies together, unless it is given.

    Args:
        data: Files and limits.
        emotional: Whether the system takes emotions. Pairs need one where it does, or where
            `data.balance` is above 0.
        words: File of emotion words, a JSON list of one list an emotion.
        word_lists: Whether lists of emotion words are wanted; made by log-odds without a file.
        seed: Of the vectors of words that have none.
        vocabularies: Words by id; None takes those of `data.vocabulary`.
        as_released: Read as ECM's released code does: digits become 0, word vectors stay as they
            are and pairs that are too long are left out.
        apart: Whether a vocabulary that is taken from the pairs is one for posts and one for
            replies.

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
    spelling = Words(data.lang, data.words, zeros=as_released)
    if data.words == "corpus":
        _check_blanks(data.train, [e.reply for e in train])
        _check_blanks(data.dev, [e.reply for e in dev])
        if data.texts is not None:
            _check_blanks(data.texts, [e.dialogue.posts[-1].text for e in texts])
    if vocabularies is None:
        vocabularies = _vocabularies(data.vocabulary, train, texts, spelling, apart)
    vocabulary, posts = vocabularies
    lists: tuple[tuple[str, ...], ...] = ()
    if word_lists and taxonomy is not None:
        lists = _lists(words, [*train, *texts], taxonomy, spelling)
    vectors, post_vectors, covered = None, None, 0.0
    if data.vectors is not None:
        from emotone.training.log import note

        problems = Problems()
        wanted = {*vocabulary.words, *(posts.words if posts else ())}
        read = read_word_vectors(data.vectors, wanted, problems=problems)
        for sentence in problems.losses():
            note(f"{data.vectors.name}: {sentence}")
        draws = np.random.default_rng(seed)
        vectors, covered = _rows(read, vocabulary, draws, scaled=not as_released)
        if posts is not None:
            post_vectors, _ = _rows(read, posts, draws, scaled=not as_released)
    files = {"train": data.train, "dev": data.dev, "texts": data.texts, "vectors": data.vectors}
    files["words"] = words if word_lists else None
    if isinstance(data.vocabulary, Path):
        files |= {f"vocabulary{path.suffix}": path for path in _word_files(data.vocabulary)}

    def encoded(examples: Iterable[Example]) -> Pairs:
        return encode(
            examples,
            vocabulary,
            taxonomy,
            posts=posts,
            words_of=spelling.of,
            post_words=data.longest,
            reply_words=data.longest - 1,
            drop=as_released,
        )

    pairs = encoded(train)
    return Corpus(
        data.lang,
        vocabulary,
        taxonomy if emotional else None,
        _with_texts(pairs, encoded(_answers(texts))),
        encoded(dev),
        vectors,
        covered,
        lists,
        {part: sha256(path) for part, path in files.items() if path is not None},
        data.longest,
        spelling,
        posts,
        post_vectors,
        len(train) - len(pairs),
        tuple(sorted({judge for example in (*train, *dev, *texts) for judge in example.judges})),
    )


def _check_blanks(path: Path, texts: Sequence[str | None]) -> None:
    if texts and not any(" " in (text or "").strip() for text in texts):
        raise DataError(
            f"no text of {path.name} holds a blank, and data.words = 'corpus' takes words"
            " from between blanks; prepare it again with `emotone data prepare NAME --keep-words`,"
            " or leave data.words out"
        )


def _word_files(given: Path) -> list[Path]:
    """The file of words, or ECM's two: of replies, then of posts.

    Raises:
        DataError: If neither is there.
    """
    if given.is_file():
        return [given]
    pair = [given.with_name(f"{given.name}.{side}") for side in ("response", "post")]
    for path in pair:
        if not path.is_file():
            raise DataError(
                f"there is no file {given}, nor {path}; set data.vocabulary to a number, to a file"
                " of words, or to the start of the name of ECM's .post and .response"
            )
    return pair


def _vocabularies(
    given: int | Path,
    train: Sequence[Example],
    texts: Sequence[Example],
    words: Words,
    apart: bool,
) -> Vocabularies:
    if isinstance(given, Path):
        replies, *posts = map(Vocabulary.read_words, _word_files(given))
        return Vocabularies(replies, posts[0] if posts else None)
    asked = [e.dialogue.posts[-1].text for e in train]
    said = [e.dialogue.posts[-1].text for e in texts] + [e.reply for e in train if e.reply]
    if apart:
        replies, posts = (Vocabulary.build(map(words.of, t), given) for t in (said, asked))
        return Vocabularies(replies, posts)
    return Vocabularies(Vocabulary.build(map(words.of, (*asked, *said)), given), None)


def _rows(
    read: WordVectors, vocabulary: Vocabulary, draws: np.random.Generator, *, scaled: bool
) -> tuple[np.ndarray, float]:
    """Word vectors of a vocabulary, [V, d], and the share that the file has."""
    import numpy as np

    matrix, known = read.rows(vocabulary.words, draws)
    if scaled and known.any():
        # Known words get norm 1 on average, so that a word without a vector does not outweigh them.
        matrix[known] /= np.linalg.norm(matrix[known], axis=1).mean()
    return matrix, float(known.mean())


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
    if not examples:
        raise DataError(
            f"{path.name} holds no pair; training needs pairs to learn from and others"
            " to tell when to stop, so put some of the pairs there"
        )
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
    path: Path | None, train: Sequence[Example], taxonomy: Taxonomy, words: Words
) -> tuple[tuple[str, ...], ...]:
    from emotone.data.ememory import from_log_odds, labelled_words, read_ememory

    if path is not None:
        return read_ememory(path, taxonomy)
    rows = labelled_words(train, taxonomy, words_of=words.of)
    try:
        return from_log_odds(rows, min_count=LEAST_COUNT, taxonomy=taxonomy)
    except DataError as error:
        why = str(error).split(";")[0]
        raise DataError(
            f"too few labelled replies to make the lists of emotion words from ({why}); name a file"
            " of your own in parts.words, or set parts.external = false"
        ) from error
