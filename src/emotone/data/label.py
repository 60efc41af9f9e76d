"""Emotions by a judge, put on examples, as ECM labelled its own training pairs.

A file that a judge labelled has a record beside it, so that whatever learns from it can say so and
the judge is not asked to score that: `labels_beside`, `write_labels`, `labelled_by`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from emotone.data.checks import mix
from emotone.emotions import Emotion
from emotone.files import sha256, write_json
from emotone.protocols import EmotionClassifier
from emotone.types import Dialogue, Example

#: Examples that are judged at once.
BATCH = 256


@dataclass(slots=True)
class Counts:
    """What a labelling did.

    Args:
        labelled: Examples that the judge labelled.
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

    An example that says an emotion of either is left as it is. Labels of earlier posts stay where
    they are of the judge's own label set, since an example has one; others are taken off.

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
        open_rows = [row for row in rows if overwrite or not _has_emotion(row)]
        texts: dict[str, list[str]] = {}
        for row in open_rows:
            judges[row.lang] = judge_of(row.lang, f"example {row.id!r}")
            texts.setdefault(row.lang, []).extend(_texts(row))
        labels = {
            lang: iter([scores.label for scores in judges[lang].classify(of_lang)])
            for lang, of_lang in texts.items()
        }
        for row in rows:
            if not overwrite and _has_emotion(row):
                counts.left += 1
                yield row
                continue
            counts.labelled += 1
            counts.replaced += _has_emotion(row)
            post, *reply = (next(labels[row.lang]) for _ in _texts(row))
            yield _with(row, judges[row.lang], post, reply[0] if reply else None)


def labels_beside(path: Path) -> Path:
    """Return the place of the record of a labelled file: "train.jsonl" -> "train.labels.json"."""
    return path.with_name(f"{path.stem}.labels.json")


def write_labels(path: Path, judges: Iterable[EmotionClassifier], counts: Counts) -> None:
    """Write beside a file who labelled it, with its checksum."""
    record = {
        "judges": [judge.name for judge in judges],
        "labelled": counts.labelled,
        "left": counts.left,
        "replaced": counts.replaced,
        "sha256": sha256(path),
    }
    write_json(labels_beside(path), record)


def labelled_by(path: Path) -> list[str]:
    """Return the judges that labelled a file; none where it has no record of its own."""
    try:
        record = json.loads(labels_beside(path).read_text(encoding="utf-8"))
        judges, checksum = list(map(str, record["judges"])), record["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return judges if checksum == sha256(path) else []


def _has_emotion(example: Example) -> bool:
    return example.emotion is not None or example.dialogue.posts[-1].emotion is not None


def _texts(example: Example) -> list[str]:
    """The post that is answered, and the reply where there is one."""
    post = example.dialogue.posts[-1].text
    return [post] if example.reply is None else [post, example.reply]


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
