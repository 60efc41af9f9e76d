"""Emotions by a judge, put on examples, as ECM labelled its own training pairs.

The judge's name stands in each example that it labelled, so that whatever learns from it can say
so, and the judge is not asked to score that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from emotone.data.checks import mix
from emotone.emotions import Emotion
from emotone.protocols import EmotionClassifier
from emotone.types import Dialogue, Example

#: Examples that are judged at once.
BATCH = 256


@dataclass(slots=True)
class Counts:
    """What a labelling did.

    Args:
        labelled: Examples that got an emotion of the judge.
        left: Examples that had an emotion and keep it.
        replaced: Examples whose emotion gave way to the judge's.
    """

    labelled: int = 0
    left: int = 0
    replaced: int = 0


def labelled(
    examples: Iterable[Example],
    judge_of: Callable[[str, str], EmotionClassifier],
    *,
    overwrite: bool = False,
    batch: int = BATCH,
    counts: Counts | None = None,
) -> Iterator[Example]:
    """Give each post that is answered and its reply the likeliest emotion to a judge.

    Emotions that are there stay; an example that has one of another label set than the judge's is
    left as it is, since an example has one set. Labels of earlier posts in another set are taken
    off.

    Args:
        examples: What to label.
        judge_of: Language and name of an example -> the classifier of such.
        overwrite: Whether the judge's emotions take the place of those that are there.
        batch: Examples judged at once.
        counts: Filled with what was done.
    """
    counts = counts or Counts()
    waiting = iter(examples)
    judges: dict[str, EmotionClassifier] = {}
    while rows := list(islice(waiting, batch)):
        texts: dict[str, list[str]] = {}
        posts: dict[str, list[str | None]] = {}
        for row in rows:
            judges[row.lang] = judge_of(row.lang, f"example {row.id!r}")
            texts.setdefault(row.lang, []).extend(_texts(row))
            posts.setdefault(row.lang, []).extend([None, *_texts(row)[:-1]])
        labels = {
            lang: iter([scores.label for scores in judges[lang].classify(of_lang, posts[lang])])
            for lang, of_lang in texts.items()
        }
        for row in rows:
            post, *reply = (next(labels[row.lang]) for _ in _texts(row))
            yield _with(row, judges[row.lang], post, reply[0] if reply else None, overwrite, counts)


def _texts(example: Example) -> list[str]:
    """The post that is answered, and the reply where there is one."""
    post = example.dialogue.posts[-1].text
    return [post] if example.reply is None else [post, example.reply]


def _with(
    example: Example,
    judge: EmotionClassifier,
    post: str,
    reply: str | None,
    overwrite: bool,
    counts: Counts,
) -> Example:
    name = judge.taxonomy.name
    *history, last = example.dialogue.posts
    emotions = [] if last.emotion is None else [last.emotion]
    emotions += [] if example.emotion is None else [part for part, _ in example.emotion.parts]
    if emotions and not overwrite:
        counts.left += 1
        if any(emotion.taxonomy != name for emotion in emotions):
            return example
    counts.replaced += bool(emotions) and overwrite
    emotion = None if overwrite else example.emotion
    if reply is not None and emotion is None:
        emotion = mix(Emotion(reply, name))
    if last.emotion is None or overwrite:
        last = replace(last, emotion=Emotion(post, name))
    elif emotion == example.emotion:
        return example  # nothing was missing
    counts.labelled += 1
    history = [
        earlier
        if earlier.emotion is None or earlier.emotion.taxonomy == name
        else replace(earlier, emotion=None)
        for earlier in history
    ]
    return replace(
        example,
        dialogue=Dialogue((*history, last)),
        emotion=emotion,
        judges=tuple(dict.fromkeys((*example.judges, judge.name))),
    )
