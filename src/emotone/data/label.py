"""Emotions by a judge, put on examples, as ECM labelled its own training pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from emotone.data.checks import mix
from emotone.emotions import Emotion
from emotone.protocols import EmotionClassifier
from emotone.types import Dialogue, Example

#: Examples that are judged at once.
BATCH = 256


def labelled(
    examples: Iterable[Example], judge: EmotionClassifier, *, batch: int = BATCH
) -> Iterator[Example]:
    """Give each post that is answered and its reply the judge's likeliest emotion.

    Labels of earlier posts stay where they are of the judge's own label set, since an example has
    one; others are taken off.

    Args:
        examples: What to label.
        judge: The classifier.
        batch: Examples judged at once.
    """
    waiting = iter(examples)
    while rows := list(islice(waiting, batch)):
        posts = [row.dialogue.posts[-1].text for row in rows]
        replies = [row.reply for row in rows if row.reply is not None]
        scores = iter(judge.classify([*posts, *replies]))
        labels = [next(scores).label for _ in rows]
        for row, label in zip(rows, labels, strict=True):
            reply = None if row.reply is None else next(scores).label
            yield _with(row, judge, label, reply)


def _with(example: Example, judge: EmotionClassifier, post: str, reply: str | None) -> Example:
    name = judge.taxonomy.name
    history = [
        earlier
        if earlier.emotion is None or earlier.emotion.taxonomy == name
        else replace(earlier, emotion=None)
        for earlier in example.dialogue.posts[:-1]
    ]
    last = replace(example.dialogue.posts[-1], emotion=Emotion(post, name))
    emotion = None if reply is None else mix(Emotion(reply, name))
    return replace(example, dialogue=Dialogue((*history, last)), emotion=emotion)
