"""Chinese text comes raw, by word or by character; here it becomes one thing.

Corpora of the field write Chinese with blanks between words (ECM, NLPCC) or between characters
(LCCC), or without any. `join` takes the blanks out, `segment` puts word boundaries in with one
segmenter, so that numbers over words can be compared between corpora and systems.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

# Blanks stay only between two characters of ASCII words; elsewhere they were put in by a segmenter.
_BLANK = re.compile(r"(?<![A-Za-z0-9])\s+|\s+(?![A-Za-z0-9])")
_SPACE = re.compile(r"\s+")


def join(text: str) -> str:
    """Take a segmenter's blanks out of Chinese text; blanks between ASCII words stay.

    "god   bless   你 ！" becomes "god bless你！".
    """
    return _BLANK.sub("", _SPACE.sub(" ", text.strip()))


def text_key(text: str) -> str:
    """Name a text by what it says: equal for texts that differ in blanks, width or case only.

    Splits and duplicates go by this key, so no text is on two sides of a split in two spellings.
    """
    plain = _SPACE.sub("", unicodedata.normalize("NFKC", text)).lower()
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()
