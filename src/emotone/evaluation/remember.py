"""Judges that remember: each text is judged once, also when replies are scored again later.

Labels are kept in one file a judge, by the judge's name (version and weights included) and the
hash of the text. The file holds no text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from emotone.emotions import Taxonomy
from emotone.errors import DataError
from emotone.protocols import EmotionClassifier, EmpathyIdentifier, SenseReader, Spread
from emotone.types import MECHANISMS, EmotionScores, EmpathyLevels

#: Texts a judge reads before its labels are written.
BATCH = 256


@dataclass(slots=True)
class Labels:
    """A file of labels by key, which grows while a judge works.

    Args:
        path: The file; None keeps them in memory only.
        judge: Name of the judge whose labels they are.
        known: Labels by key.
        spread: How batches are judged.
    """

    path: Path | None
    judge: str
    known: dict[str, Any] = field(default_factory=dict[str, Any])
    spread: Spread = map

    def of(
        self,
        items: Sequence[tuple[str, ...]],
        judge: Callable[[list[tuple[str, ...]]], Sequence[Any]],
    ) -> list[Any]:
        """Return the label of each item, in order.

        Args:
            items: One text each, or several that are judged together.
            judge: Gives a JSON-ready label to each item; asked in batches, about new items only.
                It is sent to workers where there are some.
        """
        keys = [_key(item) for item in items]
        new = {k: item for k, item in zip(keys, items, strict=True) if k not in self.known}
        names = list(new)
        parts = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
        labels = self.spread(judge, [[new[k] for k in part] for part in parts])
        for part, some in zip(parts, labels, strict=True):
            self._add(dict(zip(part, some, strict=True)))
        return [self.known[k] for k in keys]

    def _add(self, labels: dict[str, Any]) -> None:
        """Append labels to the file."""
        self.known.update(labels)
        if self.path is None:
            return
        lines = "".join(
            json.dumps({"key": key, "judge": self.judge, "label": label}) + "\n"
            for key, label in labels.items()
        )
        try:
            self.path.parent.mkdir(exist_ok=True)
            with self.path.open("a", encoding="utf-8") as out:
                out.write(lines)
        except OSError as error:
            raise DataError(
                f"cannot keep labels in {self.path} ({error.strerror}); write the scores to a"
                " folder that can be written"
            ) from error


def open_labels(
    folder: Path | None, judge: str, valid: Callable[[Any], bool], spread: Spread = map
) -> Labels:
    """Read what is known of a judge's labels; lines that are not valid or not its own are left out.

    Args:
        folder: Where label files are kept; None remembers nothing beyond this run.
        judge: Name of the judge, with all that its labels depend on.
        valid: Whether a label has the shape of this judge's.
        spread: How batches are judged.
    """
    if folder is None:
        return Labels(None, judge, spread=spread)
    path = folder / f"{re.sub(r'[^A-Za-z0-9.-]+', '_', judge)[:100]}.jsonl"
    labels = Labels(path, judge, spread=spread)
    if not path.exists():
        return labels
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}); remove it") from error
    for line in lines:
        try:
            row = json.loads(line)
            if row["judge"] == judge and valid(row["label"]):
                labels.known[row["key"]] = row["label"]
        except (ValueError, KeyError, TypeError):
            continue  # half a line of a killed run; its texts are judged again
    if lines[-1]:
        with path.open("a", encoding="utf-8") as out:
            out.write("\n")  # so that what is added starts a line of its own
    return labels


@dataclass(frozen=True, slots=True)
class RememberedEmotion:
    """A judge of emotion that judges each text once; build it with `remember_emotion`.

    Args:
        judge: Who judges.
        labels: What is known.
    """

    judge: EmotionClassifier
    labels: Labels

    @property
    def name(self) -> str:
        """Name of the judge."""
        return self.judge.name

    @property
    def taxonomy(self) -> Taxonomy:
        """The labels of its scores."""
        return self.judge.taxonomy

    def classify(
        self, texts: Sequence[str], posts: Sequence[str | None] | None = None
    ) -> list[EmotionScores]:
        """Score each text, in order, as an answer to its post where it has one."""
        answered = posts or [None] * len(texts)
        items = [
            (text,) if post is None else (text, post)
            for text, post in zip(texts, answered, strict=True)
        ]
        rows = self.labels.of(items, partial(_emotions, self.judge))
        return [EmotionScores(max(row, key=row.__getitem__), row) for row in rows]


@dataclass(frozen=True, slots=True)
class RememberedEmpathy:
    """An empathy identifier that judges each pair once; build it with `remember_empathy`.

    Args:
        judge: Who judges.
        labels: What is known.
    """

    judge: EmpathyIdentifier
    labels: Labels

    @property
    def name(self) -> str:
        """Name of the judge."""
        return self.labels.judge

    def identify(self, pairs: Sequence[tuple[str, str]]) -> list[EmpathyLevels]:
        """Score each (context, response), in order."""
        return [EmpathyLevels(**row) for row in self.labels.of(pairs, partial(_levels, self.judge))]


@dataclass(frozen=True, slots=True)
class RememberedSense:
    """A judge of sense that judges each pair once; build it with `remember_sense`.

    Args:
        judge: Who judges.
        labels: What is known.
    """

    judge: SenseReader
    labels: Labels

    @property
    def name(self) -> str:
        """Name of the judge."""
        return self.judge.name

    @property
    def human_median(self) -> float:
        """As the judge has it."""
        return self.judge.human_median

    def content(self, pairs: Sequence[tuple[str, str]]) -> list[list[float]]:
        """Probabilities of content 0, 1 and 2 for each (post, reply), in order."""
        return self.labels.of(pairs, partial(_content, self.judge))


def _emotions(judge: EmotionClassifier, items: list[tuple[str, ...]]) -> list[dict[str, float]]:
    answered = [item[1] if len(item) > 1 else None for item in items]
    scores = judge.classify([item[0] for item in items], answered)
    return [dict(s.probabilities) for s in scores]


def _levels(judge: EmpathyIdentifier, items: list[tuple[str, ...]]) -> list[dict[str, int]]:
    return [asdict(levels) for levels in judge.identify([(c, r) for c, r in items])]


def _content(judge: SenseReader, items: list[tuple[str, ...]]) -> list[list[float]]:
    rows = judge.content([(post, reply) for post, reply in items])
    return [[float(chance) for chance in row] for row in rows]


def remember_emotion(
    judge: EmotionClassifier, folder: Path | None = None, spread: Spread = map
) -> RememberedEmotion:
    """Let a judge of emotion remember, in a folder or for this run only."""
    names = set(judge.taxonomy.labels)

    def valid(label: Any) -> bool:
        return isinstance(label, dict) and set(label) == names

    return RememberedEmotion(judge, open_labels(folder, judge.name, valid, spread))


def remember_empathy(
    judge: EmpathyIdentifier, folder: Path | None = None, spread: Spread = map
) -> RememberedEmpathy:
    """Let an empathy identifier remember, in a folder or for this run only."""

    def valid(label: Any) -> bool:
        return (
            isinstance(label, dict)
            and set(label) == {*MECHANISMS}
            and {*label.values()} <= {0, 1, 2}
        )

    name = str(getattr(judge, "name", type(judge).__name__))
    return RememberedEmpathy(judge, open_labels(folder, name, valid, spread))


def remember_sense(
    judge: SenseReader, folder: Path | None = None, spread: Spread = map
) -> RememberedSense:
    """Let a judge of sense remember, in a folder or for this run only."""

    def valid(label: Any) -> bool:
        return isinstance(label, list) and len(label) == 3

    return RememberedSense(judge, open_labels(folder, judge.name, valid, spread))


def remember_embed(embed: Callable[[Sequence[str]], Any]) -> Callable[[Sequence[str]], Any]:
    """Let a sentence encoder embed each text once in this run."""
    known: dict[str, Any] = {}

    def remembered(texts: Sequence[str]) -> Any:
        import numpy as np

        new = list(dict.fromkeys(t for t in texts if t not in known))
        if new:
            known.update(zip(new, embed(new), strict=True))
        return np.stack([known[t] for t in texts]) if texts else embed([])

    return remembered


def _key(texts: tuple[str, ...]) -> str:
    # As a JSON list, ("ab", "c") and ("a", "bc") stay apart.
    listed = json.dumps(texts, ensure_ascii=True)
    return hashlib.sha256(listed.encode()).hexdigest()[:32]
