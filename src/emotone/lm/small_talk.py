"""Posts without content, such as "hello" and "ok", to which a small model makes things up.

Told to be a close friend, SmolLM2 takes a post that says nothing for bad news and condoles. A
greeting exchanged before shows it what kind of talk this is. Posts that say something are left as
they are: there the exchange would only distract.
"""

from __future__ import annotations

import re

from emotone.emotions import EmotionMix
from emotone.types import Dialogue, Post, Speaker

#: What went before, for a model that answers small talk.
OPENING = (
    Post("Good evening!"),
    Post("Good evening! It's nice to hear from you.", Speaker.ASSISTANT),
    Post("You too!"),
    Post("Thank you! How are you doing?", Speaker.ASSISTANT),
)

#: A post of these words alone says nothing that a reply could be about.
_WORDS = frozenset(
    {
        *("a", "about", "afternoon", "again", "ah", "aha", "all", "alright", "am", "and", "are"),
        *("at", "been", "bro", "buddy", "bye", "care", "cheers", "cool", "cya", "day", "dear"),
        *("doin", "doing", "dude", "evening", "everybody", "everyone", "everything", "fine", "for"),
        *("friend", "fun", "gday", "going", "good", "goodbye", "goodnight", "great", "greetings"),
        *("guys", "ha", "haha", "hahaha", "happening", "have", "hehe", "hello", "hey", "heya"),
        *("hi", "hiya", "hm", "hmm", "hola", "how", "howdy", "hows", "huh", "i", "im", "is", "it"),
        *("its", "ive", "k", "kk", "later", "lmao", "lol", "lot", "man", "mate", "meet", "mhm"),
        *("mm", "morning", "much", "my", "nah", "nice", "night", "no", "nope", "nothin", "nothing"),
        *("now", "of", "oh", "ok", "okay", "okey", "okie", "pleasure", "really", "right", "rofl"),
        *("see", "so", "soon", "sup", "sure", "sweet", "take", "talk", "tata", "test", "testing"),
        *("thank", "thanks", "that", "thats", "the", "then", "there", "things", "thx", "time"),
        *("to", "today", "tomorrow", "tonight", "too", "ty", "u", "uh", "up", "ur", "very"),
        *("wassup", "wazzup", "weekend", "welcome", "well", "what", "whats", "wow", "xd", "ya"),
        *("yay", "yeah", "yep", "yes", "yo", "you", "your", "youre", "yup"),
    }
)
_WORD = re.compile(r"[^\W_]+")
_DRAWN_OUT = re.compile(r"(.)\1{2,}")
_PUNCTUATION = re.compile(r"[\s.,!?…~-]*")


def is_small_talk(text: str) -> bool:
    """Tell whether a text says nothing but greetings, thanks, yes or no and the like.

    A word may be drawn out ("heyyy"), and there may be none ("..."). A sign that is no punctuation,
    such as a face, says something.
    """
    plain = text.lower().replace("'", "").replace("’", "")
    words = _WORD.findall(plain)
    return _PUNCTUATION.fullmatch(_WORD.sub("", plain)) is not None and all(
        word in _WORDS or _DRAWN_OUT.sub(r"\1", word) in _WORDS for word in words
    )


def opened(dialogue: Dialogue, emotion: EmotionMix | None) -> Dialogue:
    """Return a dialogue with `OPENING` before it if its user only made small talk so far.

    Only where no emotion is asked: an emotion gives the reply something to be about.
    """
    posts = dialogue.posts
    asked = emotion is not None and any(emotion.intensities().values())
    if not asked and all(is_small_talk(p.text) for p in posts if p.speaker is Speaker.USER):
        return Dialogue((*OPENING, *posts))
    return dialogue
