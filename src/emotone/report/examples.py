"""Example replies side by side, in the layout of the Emo-Seq paper's table 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emotone.evaluation.groups import emotion_key, in_order
from emotone.report.gather import Run

#: Longest reply that is shown whole, in characters.
LONGEST = 600


@dataclass(frozen=True, slots=True)
class Talk:
    """One post and what was answered.

    Args:
        id: Of the example.
        post: The last post of the dialogue.
        replies: (title of the run, emotion asked, reply), a row each.
    """

    id: str
    post: str
    replies: tuple[tuple[str, str, str], ...]


def side_by_side(runs: Sequence[Run], count: int) -> list[Talk]:
    """Choose posts that as many runs as possible answered, evenly over the file.

    The choice depends on the ids only, so nobody picks replies that please.
    """
    answered: dict[str, dict[int, dict[str, str]]] = {}
    posts: dict[str, str] = {}
    for k, run in enumerate(runs):
        for example, reply in run.replies:
            posts.setdefault(example.id, example.dialogue.posts[-1].text)
            moods = answered.setdefault(example.id, {}).setdefault(k, {})
            moods.setdefault(emotion_key(reply), reply.text)
    most = max(map(len, answered.values()), default=0)
    shared = [name for name, by_run in answered.items() if len(by_run) == most]
    count = min(count, len(shared))
    chosen = [shared[i * len(shared) // count] for i in range(count)]
    return [
        Talk(
            name,
            posts[name],
            tuple(
                (runs[k].title, mood, _short(moods[mood]))
                for k, moods in sorted(answered[name].items())
                for mood in _full(in_order(list(moods)))
            ),
        )
        for name in chosen
    ]


def _full(moods: list[str]) -> list[str]:
    """Leave out lower intensities where full ones are there."""
    full = [mood for mood in moods if ":" not in mood]
    return full if set(full) - {"none"} else moods


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
