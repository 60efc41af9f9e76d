"""Which language a text is in, as far as its script and commonest words tell.

For notes to the user, not for choices: `emotone.data.text.language` parts Chinese from English.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable

from emotone.data.text import language

#: Scripts by the first word of a letter's Unicode name; others go by that word itself.
_SCRIPTS = {
    "HANGUL": "Korean",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "CYRILLIC": "Russian or another language in Cyrillic letters",
    "ARABIC": "Arabic or another language in its letters",
    "DEVANAGARI": "Hindi or another language in its letters",
}
_KNOWN = frozenset({"LATIN", "CJK"})
#: Words that few sentences of a language do without and that are none of English.
_WORDS = {
    name: frozenset(words.split())
    for name, words in {
        "German": "ich und nicht das ist mir mich mein meine meinen habe bin ein eine einen du wir "
        "wie heute sehr auch mit für auf dass kein keine warum immer es",
        "French": "je tu nous vous est suis pas les une mon ma mes très avec pour dans c'est j'ai "
        "que qui aujourd'hui mais bien il elle",
        "Spanish": "yo el los las una muy estoy soy mi por para con pero hoy que qué tengo es está "
        "porque cómo más",
        "Italian": "io che non sono il una molto oggi ho per perché mio mia è di questo questa",
        "Portuguese": "eu não que estou sou um uma meu minha muito hoje você por com é para",
        "Dutch": "ik niet het een mijn heb ben zijn vandaag heel ook met voor maar van",
    }.items()
}
_LISTED = (
    "i i'm you the a and to is it it's that my of in we do don't not have was are am me for on "
    "what how so but be this with he she they at can"
)
_ENGLISH = frozenset(_LISTED.split())
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def foreign(text: str) -> str | None:
    """Name the language of a text that is neither English nor Chinese; None where nothing tells.

    By the script of most letters (Japanese by a quarter of kana); by two of a language's commonest
    words, and more of them than of English ones, in the Latin script.
    """
    scripts = Counter(_script(c) for c in text if c.isalpha())
    letters = scripts.total()
    if (scripts["HIRAGANA"] + scripts["KATAKANA"]) * 4 >= letters > 0:
        return "Japanese"
    if letters and (most := scripts.most_common(1)[0])[1] * 2 >= letters and most[0] not in _KNOWN:
        return _SCRIPTS.get(most[0], f"a language in {most[0].capitalize()} letters")
    words = [word.lower().replace("’", "'") for word in _WORD.findall(text)]
    counts = {name: sum(word in listed for word in words) for name, listed in _WORDS.items()}
    name = max(counts, key=lambda one: counts[one])
    english = sum(word in _ENGLISH for word in words)
    return name if counts[name] >= 2 and counts[name] > english else None


def named(text: str) -> str:
    """Name the language of any text: "English", "Chinese", or as `foreign` has it."""
    return foreign(text) or {"en": "English", "zh": "Chinese"}[language(text)]


def wordless(text: str) -> bool:
    """Tell whether a text has neither letter nor digit, as emoji and invisible signs have none."""
    return not any(c.isalnum() for c in text)


def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").split()[0]


#: Not in GB 2312, and yet written in simplified texts.
_BOTH = frozenset("囧喆堃叡珮槑瞭乾喫")


def is_traditional(text: str) -> bool:
    """Tell whether a text holds a character of traditional Chinese that simplified has not."""
    return any(_is_traditional(c) for c in text)


@functools.lru_cache(maxsize=8192)
def _is_traditional(character: str) -> bool:
    if character in _BOTH or not "\u4e00" <= character <= "\u9fff":
        return False
    return _fits(character, "big5") and not _fits(character, "gb2312")


def _fits(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


@functools.cache
def converter() -> Callable[[str], str] | None:
    """Return what makes simplified Chinese of traditional; None where OpenCC is not installed."""
    try:
        import opencc
    except ImportError:
        return None
    return opencc.OpenCC("t2s").convert


def simplified(text: str) -> str:
    """Write traditional Chinese as simplified; a text without it, or without OpenCC, as it is."""
    if not is_traditional(text) or (convert := converter()) is None:
        return text
    return convert(text)
