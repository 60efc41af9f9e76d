"""Which words a text is of, for a recurrent system: one rule in training and in what is asked."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from typing import Literal

from emotone.data.clean import clean
from emotone.data.text import Lang, tokens
from emotone.data.vocab import UNK, Vocabulary

Boundaries = Literal["found", "corpus"]

_DIGIT = re.compile(r"[0-9]")
#: _ASCII signs that are words of their own, though no blank stands beside them, as in ECM's code.
_SIGN = re.compile(r"([.,!?\"':;()])")
_BLANK = re.compile(r"\s")
_RUN = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9]+")
_ASCII = frozenset(string.ascii_letters + string.digits)
#: Characters of the longest unknown part of a post that is taken for one word.
LONGEST = 4


@dataclass(frozen=True, slots=True)
class Words:
    """How texts become words.

    Args:
        lang: Language of the texts.
        boundaries: "found": a text is cleaned (`data.clean`) and words are found in it. "corpus":
            it is left as it is, and its words stand between blanks.
        zeros: Every digit becomes 0, as in ECM's code.
    """

    lang: Lang
    boundaries: Boundaries = "found"
    zeros: bool = False

    def of(self, text: str) -> list[str]:
        """Return the words of a text of a corpus."""
        if self.boundaries == "corpus":
            words = [word for part in text.split() for word in _SIGN.split(part) if word]
        else:
            words = tokens(clean(text, self.lang) or text, self.lang)
        return [_DIGIT.sub("0", word) for word in words] if self.zeros else words

    def of_typed(self, text: str, vocabulary: Vocabulary) -> list[str]:
        """Return the words of a text that comes from elsewhere, such as a post that is asked.

        Where words stand between blanks, nobody but the corpus's segmenter knows all of them: a
        Chinese text without blanks, or a part of more than `LONGEST` characters that is unknown, is
        cut by the vocabulary; see `cut`.
        """
        words = self.of(text)
        if self.boundaries == "found" or self.lang != "zh":
            return words
        whole = not _BLANK.search(text.strip())
        return [
            word
            for part in words
            for word in (cut(part, vocabulary) if whole or len(part) > LONGEST else [part])
        ]


def cut(text: str, vocabulary: Vocabulary) -> list[str]:
    """Cut a text without blanks so that the fewest characters are unknown, in the fewest words.

    Of several such cuts it is the one whose last words are the longest. A known text stays whole;
    what is unknown is cut into characters, Latin words and numbers.
    """
    if vocabulary.id(text) != UNK:
        return [text]
    widest = max(map(len, vocabulary.words))
    return [word for run in _RUN.findall(text) for word in _cut(run, vocabulary, widest)]


def _cut(text: str, vocabulary: Vocabulary, widest: int) -> list[str]:
    if text[0] in _ASCII:
        return [text]
    # Unknown characters, words and the last word's start of the best cut of text[:end].
    best: list[tuple[int, int, int]] = [(0, 0, 0)]
    for end in range(1, len(text) + 1):
        cuts: list[tuple[int, int, int]] = []
        for start in range(max(0, end - widest), end):
            known = vocabulary.id(text[start:end]) != UNK
            if known or start == end - 1:
                unknown, count, _ = best[start]
                cuts.append((unknown + (not known), count + 1, start))
        best.append(min(cuts))
    words: list[str] = []
    end = len(text)
    while end:
        words.append(text[best[end][2] : end])
        end = best[end][2]
    return words[::-1]
