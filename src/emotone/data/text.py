"""Chinese text comes raw, by word or by character; here it becomes one thing.

Corpora of the field write Chinese with blanks between words (ECM, NLPCC) or between characters
(LCCC), or without any. `join` takes the blanks out, `segment` puts word boundaries in with one
segmenter, so that numbers over words can be compared between corpora and systems.
"""

from __future__ import annotations

import functools
import hashlib
import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, Self

from emotone.errors import DataError, unknown_name

Lang = Literal["en", "zh"]
Unit = Literal["word", "character"]

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LATIN = re.compile("[A-Za-z][^\\s\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]*")
#: So many Latin words are English wherever they stand.
_FEW = 4

# Blanks stay only between two characters of ASCII words; elsewhere they were put in by a segmenter.
_BLANK = re.compile(r"(?<![A-Za-z0-9])\s+|\s+(?![A-Za-z0-9])")
_SPACE = re.compile(r"\s+")
_BLANK_OR_ASCII = re.compile(r"[\sA-Za-z0-9]")
_ALNUM = frozenset(string.ascii_letters + string.digits)
# Latin words and numbers whole, everything else (Han, kana, signs) one by one.
_CHARACTER = re.compile(r"[A-Za-z0-9]+(?:['.][A-Za-z0-9]+)*|\S")
_ENGLISH = re.compile(r"\d+(?:[.,]\d+)+|\w+(?:'\w+)*|[^\w\s]")

_CLOSING = frozenset(".,!?;:)]}%")
_OPENING = frozenset("([{$£€#")
_SMILES = frozenset("()")
#: What a hyphen stands close to; after other words it is a dash.
_PREFIXES = frozenset(
    {
        *("anti", "brand", "co", "ex", "full", "half", "high", "long", "low", "mid", "non", "old"),
        *("part", "pre", "re", "self", "semi", "t", "top", "well"),
    }
)
_CAPITAL = re.compile(
    r"i(?:'\w+)*$|(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|april|june|july"
    r"|august|september|october|november|december|christmas|easter|halloween|thanksgiving|english"
    r"|french|german|spanish|italian|chinese|japanese|american|british|america|canada|mexico|europe"
    r"|england|france|germany|italy|spain|china|japan|india|florida|california|texas|london|paris"
    r"|god)(?:'s)?$"
)


def language(*texts: str) -> Lang:
    """Tell Chinese from English by the script, of all texts together.

    Chinese has at least as many Han characters as words in Latin letters: "我在学 Python" is
    Chinese, "What does 你好 mean?" is not.
    """
    han = sum(len(_HAN.findall(text)) for text in texts)
    return "zh" if han and han >= sum(len(_LATIN.findall(text)) for text in texts) else "en"


def language_after(before: Lang | None, *texts: str) -> Lang:
    """Tell a text's language as `language` does; a few Latin words alone go with what came before.

    Chats in Chinese hold "ok" and "good night", and chats in English hold nothing else.

    Args:
        before: Language of the text before; None for the first.
        texts: The texts, taken together.
    """
    few = sum(len(_LATIN.findall(text)) for text in texts) < _FEW
    if before is not None and few and not any(map(has_han, texts)):
        return before
    return language(*texts)


def has_han(text: str) -> bool:
    """Tell whether a text holds a Chinese character."""
    return _HAN.search(text) is not None


def join(text: str) -> str:
    """Take a segmenter's blanks out of Chinese text; blanks between ASCII words stay.

    "god   bless   你 ！" becomes "god bless你！".
    """
    if _SPACE.search(text) is None:  # most texts; half of the time of `segment` without this
        return text
    return _BLANK.sub("", _SPACE.sub(" ", text.strip()))


def spaced(text: str) -> str:
    """Return a text with one blank wherever it has some, so that a corpus keeps its words."""
    return _SPACE.sub(" ", text.strip())


def text_key(text: str) -> str:
    """Name a text by what it says: equal for texts that differ in blanks, width or case only.

    Splits and duplicates go by this key, so no text is on two sides of a split in two spellings.
    """
    plain = _SPACE.sub("", unicodedata.normalize("NFKC", text)).lower()
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


@functools.cache
def _cutter() -> Callable[[str], list[str]]:
    """Load the segmenter once; a dictionary of our own, so nobody's `add_word` changes it."""
    import rjieba

    return rjieba.Jieba().cut


def segment(text: str) -> list[str]:
    """Split Chinese text into words: those of jieba with its model of unknown words on.

    Blanks that came with the text do not count: they are taken out by `join` first. Unlike jieba,
    Latin words and numbers stay whole ("3.5G", "t.cn", "600-900"), so that
    `join(" ".join(segment(x))) == join(x)` holds for every text.

    Raises:
        DataError: If the text is no Unicode (half a surrogate pair).
    """
    try:
        if _BLANK_OR_ASCII.search(text) is None:  # most texts; nothing to take out or mend
            return _cutter()(text)
        return _whole(_cutter()(join(text)))
    except UnicodeEncodeError as error:
        raise DataError(
            f"character {error.start + 1} of the text is half a surrogate pair; write it in UTF-8"
        ) from error


def _whole(words: Iterable[str]) -> list[str]:
    """Drop the blanks between ASCII words, and mend ASCII words cut without a blank."""
    whole: list[str] = []
    last = ""
    for word in words:
        if word == " ":
            last = ""
        elif last in _ALNUM and word[0] in _ALNUM:
            whole[-1] += word
            last = word[-1]
        else:
            whole.append(word)
            last = word[-1]
    return whole


def segment_all(texts: Iterable[str]) -> list[list[str]]:
    """Split many Chinese texts into words, in order; see `segment`."""
    cut, search = _cutter(), _BLANK_OR_ASCII.search
    texts = list(texts)
    try:
        # `segment` without its calls, which would be a quarter of the time.
        return [segment(text) if search(text) else cut(text) for text in texts]
    except UnicodeEncodeError:
        return [segment(text) for text in texts]  # raises with the place


def show(words: Sequence[str]) -> str:
    """Print words as a reader expects Chinese: no blanks but between two ASCII words."""
    return join(" ".join(words))


def characters(text: str) -> list[str]:
    """Split Chinese text into characters; Latin words and numbers stay whole, blanks go."""
    return _CHARACTER.findall(text)


def words_en(text: str) -> list[str]:
    """Split English text into lower-case words, numbers and single signs; "don't" is one word."""
    return _ENGLISH.findall(text.replace("’", "'").lower())


def show_en(words: Sequence[str]) -> str:
    """Print lower-case English words as a reader expects them; `words_en` gives them back.

    Signs stand at their word, quotes and brackets around theirs, sentences begin with a capital,
    and so do "i" and a few names that everybody writes so.
    """
    signs = [_Sign.of(words, i) for i in range(len(words))]
    text, start = "", True
    for i, word in enumerate(words):
        if i and not (signs[i].left or signs[i - 1].right):
            text += " "
        text += _capital(word) if start or _CAPITAL.match(word) else word
        if any(c.isalnum() for c in word):
            start = False
        elif word in "!?.":
            start = word != "." or words[i - 1 : i] != ["."]  # three dots end no sentence
    return text


def _capital(word: str) -> str:
    first = word[:1].upper()
    return first + word[1:] if first.lower() == word[:1] else word


class _Sign(NamedTuple):
    """Whether a word stands close to the one on its left and on its right."""

    left: bool
    right: bool

    @classmethod
    def of(cls, words: Sequence[str], i: int) -> Self:
        word = words[i]
        before, after = (words[i - 1] if i else ""), (words[i + 1] if i + 1 < len(words) else "")
        if word in _SMILES and before == ":":
            return cls(True, False)
        if word == ":" and after in _SMILES:
            return cls(False, True)
        if word == ":" and before.isdecimal() and after.isdecimal():
            return cls(True, True)
        if word in ('"', "'"):
            # Of an odd number of signs the last opens nothing; one alone is "the boys' room".
            nth, alike = words[:i].count(word), words.count(word)
            opens = nth % 2 == 0 and nth + 1 < alike
            return cls(not opens, opens)
        if word == "/" or (word == "-" and (before in _PREFIXES or before.isdecimal())):
            return cls(True, True)
        return cls(word in _CLOSING, word in _OPENING)


def tokens(text: str, lang: str, unit: Unit = "word") -> list[str]:
    """Split a text into the tokens that metrics count.

    Args:
        text: Any text.
        lang: "zh" or "en".
        unit: "word" (`segment` or `words_en`), or "character" (`characters` for Chinese, every
            character but blanks for English).

    Raises:
        UnknownName: If the language or the unit is another.
    """
    if lang not in ("zh", "en"):
        raise unknown_name("language", lang, ("zh", "en"))
    if unit == "word":
        return segment(text) if lang == "zh" else words_en(text)
    if unit == "character":
        return characters(text) if lang == "zh" else list(_SPACE.sub("", text))
    raise unknown_name("unit of tokens", unit, ("word", "character"))
