"""Texts of chats and weibos as a model should learn to write them."""

from __future__ import annotations

import re
import unicodedata

from emotone.data.text import Lang, join

_SPACE = re.compile(r"\s+")
#: Links and names of accounts: whoever learns from them invents some.
_ADDRESS = re.compile(r"https?:|www\.|\.(?:com|cn|net|org)\b|@\s*\w|//", re.I)
_RUN = re.compile(r"([^\d\s])\1{3,}")
_STAGE = re.compile(r"\[[^\]]*\]|<3+")
#: Brackets that hold no word, as emoticons leave them behind.
_HOLLOW = re.compile(r"[（(「【][^\w（(「【]*[）)」】]")

_ODD_EN = re.compile(r"[^A-Za-zÀ-ɏ0-9\s.,!?;:'\"()$%&*/+£€-]")
_CLITIC = re.compile(r"(?<=\w)\s*'\s*(?=(?:s|t|m|re|ve|ll|d)\b)", re.I)
_SIGNS_EN = str.maketrans(
    {"’": "'", "‘": "'", "`": "'", "´": "'", "“": '"', "”": '"', "—": " - ", "–": " - ", "…": "..."}
)
#: Written without the sign in haste; none is a word of its own.
_HASTE = {
    **{word.replace("'", ""): word for word in (
        "i'm", "i've", "don't", "doesn't", "didn't", "can't", "couldn't", "wouldn't", "shouldn't",
        "isn't", "wasn't", "aren't", "weren't", "haven't", "hasn't", "hadn't", "that's", "what's",
        "there's", "you're", "you've", "they're", "they've", "we've",
    )},
}  # fmt: skip
_HASTY = re.compile(rf"\b(?:{'|'.join(_HASTE)})\b", re.I)

_ODD_ZH = re.compile("[^\u4e00-\u9fffA-Za-z0-9\\s，。！？、：；…—～·“”‘’《》（）「」【】%+.$℃-]")
_TAG = re.compile(r"#[^#]{1,40}#")
_SIGNS_ZH = str.maketrans(
    {
        ",": "，",
        "!": "！",
        "?": "？",
        ":": "：",
        ";": "；",
        "(": "（",
        ")": "）",
        "~": "～",
        "〜": "～",
    }
)
_DOTS = re.compile(r"(?:\.{2,}|。{2,}|·{2,}|…+|⋯+)")
_STOP = re.compile(r"(?<![A-Za-z0-9])\.|\.(?![A-Za-z0-9])")


def addressed(text: str) -> bool:
    """Tell whether a text holds a link, an account's name, or a retweet's "//"."""
    return _ADDRESS.search(text) is not None


def clean(text: str, lang: Lang) -> str:
    """Take out what a reply should not hold, and write the rest in one way.

    Both: all but letters, digits and plain signs (emoji, parts of emoticons, invisible
    characters) goes; a sign or letter that comes more than three times in a row comes three times.
    English: typographic quotes and dashes become plain, "let ' s" becomes "let's", "dont" becomes
    "don't", stage directions in square brackets go. Chinese: ASCII signs become Chinese ones, dots
    become "……", #tags# go, and so do blanks between characters.

    Returns:
        The text, perhaps empty.
    """
    return _english(text) if lang == "en" else _chinese(text)


def _english(text: str) -> str:
    text = unicodedata.normalize("NFKC", text.translate(_SIGNS_EN)).translate(_SIGNS_EN)
    text = _ODD_EN.sub(" ", _STAGE.sub(" ", text))
    text = _CLITIC.sub("'", _RUN.sub(r"\1\1\1", text))
    text = _HASTY.sub(lambda found: _fitted(found[0]), text)
    return _SPACE.sub(" ", _HOLLOW.sub(" ", text)).strip()


def _fitted(word: str) -> str:
    """Put the sign into a word, in its own case."""
    full = _HASTE[word.lower()]
    place = full.index("'")
    return f"{word[:place]}'{word[place:]}"


def _chinese(text: str) -> str:
    text = _TAG.sub(" ", text)
    # Fullwidth letters and digits become plain, and signs Chinese again.
    text = unicodedata.normalize("NFKC", text).translate(_SIGNS_ZH)
    text = _DOTS.sub("……", text)
    text = _ODD_ZH.sub(" ", _STOP.sub("。", text))
    text = _RUN.sub(r"\1\1\1", _HOLLOW.sub(" ", text))
    return join(text)
