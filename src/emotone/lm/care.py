"""Posts that speak of self-harm: no anger, disgust or fear, and a pointer to people who help.

A list of phrases, which hears what is said plainly and misses what is not: no substitute for a
person who reads. It errs on the side of pointing to help.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from emotone.data.text import language

#: Emotions that such a post is not answered in.
WITHHELD = frozenset({"anger", "disgust", "fear"})
#: What the client is told of it.
NOTE = "the post may speak of self-harm: no anger, disgust or fear"
POINTER: Mapping[str, str] = {
    "en": (
        "If you are thinking of hurting yourself, please talk to somebody now: a person you trust,"
        " your local emergency number, or a crisis line (findahelpline.com lists them by country)."
    ),
    "zh": (
        "如果你有伤害自己的想法，请现在就和一个人说说：你信任的人、当地的急救电话，"
        "或心理援助热线（中国大陆：12356）。"
    ),
}
_PHRASES = re.compile(
    r"\b(kill(ing)? (myself|my self)|end(ing)? (my (own )?life|it all)|take my (own )?life|"
    r"suicid(e|al)|unalive|hurt(ing)? myself|harm(ing)? myself|self[- ]?harm|cut(ting)? myself|"
    r"(want|wanna|wish|rather) (to )?(die|be dead)|wish i (was|were) (dead|never born)|"
    r"better off (dead|without me)|no reason to (live|go on)|don'?t want to (live|be alive|wake up)"
    r"|can'?t go on (living|anymore|any more)|over ?dos(e|ing) on)\b"
    r"|自杀|自殺|自残|自殘|轻生|輕生|不想活|想死|活不下去|结束(自己的|我的)?生命|結束(自己的|我的)?生命|"
    r"伤害(我)?自己|傷害(我)?自己|割腕|跳楼|跳樓|死了算了|活着没意思|活著沒意思|了结(自己|此生)",
    re.IGNORECASE,
)
_FIGURES = re.compile(
    r"\b(suicide squad|social suicide|suicide (door|bomb|mission))|(笑|饿|累|困|热|冷|烦)得?想死",
    re.IGNORECASE,
)


def needs_care(text: str) -> bool:
    """Tell whether a post speaks of self-harm."""
    return _PHRASES.search(_FIGURES.sub(" ", text.replace("’", "'"))) is not None


def pointer(text: str) -> str:
    """Return the pointer to help in a post's language."""
    return POINTER[language(text)]
