"""The words that a recurrent system knows, and their ids."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from emotone.data.reading import Problems, read_lines
from emotone.errors import DataError, kind_of_value
from emotone.files import write_json
from emotone.types import is_unicode

#: Signs that are not words, at the ids of ECM's code.
SPECIALS = ("<pad>", "<unk>", "</s>", "<s>")
#: How ECM's files of words spell them.
ECM_SPECIALS = ("_PAD", "_UNK", "_EOS", "_GO")
PAD, UNK, EOS, GO = range(4)


@dataclass(frozen=True)
class Vocabulary:
    """Words by id, the signs of `SPECIALS` first.

    A text that spells one of the signs, such as "<pad>", is not taken for it: it is an unknown
    word, so that no user can end a reply or hide a word.

    Args:
        words: All words; the place of a word is its id.

    Raises:
        DataError: If the first words are not `SPECIALS`, or a word is empty or stands twice.
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the words."""
        if self.words[: len(SPECIALS)] != SPECIALS:
            raise DataError(
                f"the vocabulary begins with {', '.join(map(repr, self.words[:4]))}; it must begin "
                f"with {', '.join(map(repr, SPECIALS))}"
            )
        for word in self.words:
            if not isinstance(word, str) or not word or not is_unicode(word):
                raise DataError(f"the vocabulary holds {word!r}, which is not a word; remove it")
        if len(set(self.words)) != len(self.words):
            twice = next(word for word, count in Counter(self.words).items() if count > 1)
            raise DataError(f"the vocabulary holds {twice!r} twice; keep it once")

    def __len__(self) -> int:
        """Return the number of ids, V, the signs counted."""
        return len(self.words)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words) if i >= len(SPECIALS)}

    def id(self, word: str) -> int:
        """Return the id of a word, `UNK` for one that is not known."""
        return self._places.get(word, UNK)

    def ids(self, words: Iterable[str]) -> list[int]:
        """Return the ids of words, in order."""
        places = self._places
        return [places.get(word, UNK) for word in words]

    def words_of(self, ids: Iterable[int]) -> list[str]:
        """Return the words of ids, in order; signs come as they are written in `SPECIALS`.

        Raises:
            DataError: If there is no such id.
        """
        words: list[str] = []
        for i in ids:
            if not 0 <= i < len(self.words):
                raise DataError(
                    f"id {i} is not the id of a word; the ids are 0 to {len(self.words) - 1}"
                )
            words.append(self.words[i])
        return words

    @classmethod
    def build(
        cls, token_lists: Iterable[Sequence[str]], size: int | None = None, min_count: int = 1
    ) -> Self:
        """Take the most frequent words, those of one count by code point.

        Args:
            token_lists: Words of each text.
            size: Most ids, the signs counted; None for no limit.
            min_count: A rarer word is left out.

        Raises:
            DataError: If there is no room for a word, or no word.
        """
        if size is not None and size <= len(SPECIALS):
            raise DataError(
                f"size {size} leaves no room for a word; use {len(SPECIALS) + 1} or more"
            )
        counts: Counter[str] = Counter()
        for words in token_lists:
            counts.update(words)
        for sign in SPECIALS:
            del counts[sign]
        frequent = [
            word for word, count in counts.items() if count >= min_count and is_unicode(word)
        ]
        if not frequent:
            raise DataError("no text holds a word that is frequent enough; give more texts")
        frequent.sort(key=lambda word: (-counts[word], word))
        return cls(SPECIALS + tuple(frequent if size is None else frequent[: size - len(SPECIALS)]))

    def save(self, path: Path) -> None:
        """Write the words as one JSON list, whole or not at all.

        Raises:
            DataError: If the file cannot be written.
        """
        write_json(path, self.words, indent=0)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: If the file cannot be read or is not a vocabulary.
        """
        text = "\n".join(line for _, line in read_lines(path, Problems()))
        try:
            words = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path.name}: no JSON ({error}); give a list of words") from error
        if not isinstance(words, list):
            raise DataError(f"{path.name} holds {kind_of_value(words)}; give a list of words")
        try:
            return cls(tuple(words))
        except (DataError, TypeError) as error:
            raise DataError(f"{path.name}: {error}") from error

    @classmethod
    def read_words(cls, path: Path) -> Self:
        """Read a file of one word a line, the frequent ones first, such as ECM's vocab40000.post.

        Its first lines may be ECM's four signs, which stand for ours.

        Raises:
            DataError: If the file cannot be read, or a word is empty or stands twice.
        """
        words = tuple(line.strip() for _, line in read_lines(path, Problems()))
        if words[: len(SPECIALS)] in (ECM_SPECIALS, SPECIALS):
            words = words[len(SPECIALS) :]
        if not words:
            raise DataError(f"{path.name} holds no word; give one a line")
        try:
            return cls(SPECIALS + words)
        except DataError as error:
            raise DataError(f"{path.name}: {error}") from error
