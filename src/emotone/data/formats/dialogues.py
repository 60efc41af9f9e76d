"""From the turns of a conversation to examples: each answer with what was said before it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from emotone.data.checks import mix
from emotone.data.checks import text as checked
from emotone.data.reading import Problems
from emotone.data.text import Lang
from emotone.emotions import Emotion
from emotone.types import Dialogue, Example, Post, Speaker


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker said at once.

    Args:
        speaker: Any name; equal names are one person.
        text: The words.
        emotion: The corpus's label of this turn.
    """

    speaker: str
    text: str
    emotion: Emotion | None = None


def answers(
    turns: Sequence[Turn],
    name: str,
    lang: Lang,
    *,
    only: Iterable[str] | None = None,
    last: bool = False,
    skip: Container[int] = (),
    problems: Problems | None = None,
) -> Iterator[Example]:
    """Make one example of each turn that answers another speaker's.

    Who answers is the assistant of that example, everybody else the user; so the same turn can be
    a user's post in one example and an assistant's in the next. A turn after one's own answers no
    post and makes no example, but stays in the history.

    Args:
        turns: The conversation in order.
        name: Start of the examples' ids; the turn's place, from 1, is added.
        lang: Language of the texts.
        only: Speakers whose turns make examples; None for all.
        last: Make an example of the last turn only.
        skip: Places, from 0, of turns that make no example, but stay in the history.
        problems: Where turns after one's own are counted; for speakers that a file names.

    Raises:
        DataError: If a turn is empty.
    """
    speakers = {turn.speaker for turn in turns}
    answering = speakers if only is None else speakers & set(only)
    seen = {
        who: tuple(
            Post(t.text, Speaker.ASSISTANT if t.speaker == who else Speaker.USER, t.emotion)
            for t in turns
        )
        for who in sorted(answering)
    }
    for place, turn in enumerate(turns):
        if place == 0 or turn.speaker not in answering:
            continue
        if last and place < len(turns) - 1:
            continue
        if place in skip:
            continue
        if turns[place - 1].speaker == turn.speaker:
            if problems is not None:
                problems.own_turns += 1
            continue
        dialogue = Dialogue(seen[turn.speaker][:place])
        yield Example(f"{name}-{place + 1}", dialogue, mix(turn.emotion), turn.text, lang)


def spoken(value: Any, what: str, problems: Problems) -> str | None:
    """Return the text of a turn; None of one that is empty, which is counted.

    Raises:
        DataError: If it is not text.
    """
    if isinstance(value, str) and not value.strip():
        problems.left_out["empty turn"] += 1
        return None
    return checked(value, what)


def merged(turns: Iterable[Turn]) -> list[Turn]:
    """Make one turn of what a speaker says in several, in texts that need blanks between.

    It has their emotion where they agree.
    """
    whole: list[Turn] = []
    for turn in turns:
        if whole and whole[-1].speaker == turn.speaker:
            before = whole[-1]
            emotion = turn.emotion if turn.emotion == before.emotion else None
            whole[-1] = Turn(turn.speaker, f"{before.text} {turn.text}", emotion)
        else:
            whole.append(turn)
    return whole


def single(name: str, text: str, emotion: Emotion | None, lang: Lang) -> Example:
    """Make the example of one labelled text: a post with its emotion, and no reply.

    Raises:
        DataError: If the text is empty.
    """
    return Example(name, Dialogue((Post(text, Speaker.USER, emotion),)), lang=lang)
