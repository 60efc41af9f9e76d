"""Judges that remember: what was judged once is not judged again when replies are re-scored.

Labels are kept in one file a judge, by the judge's name (version and weights included) and the
hash of the text. The file holds no text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from emotone.emotions import Taxonomy
from emotone.errors import DataError
from emotone.protocols import EmotionClassifier, EmpathyIdentifier
from emotone.types import MECHANISMS, EmotionScores, EmpathyLevels

#: Texts a judge reads before its labels are written.
BATCH = 256

Progress = Callable[[int], None]


@dataclass(slots=True)
class Labels:
    """A file of labels by key, which grows while a judge works.

    Args:
        path: The file; None keeps them in memory only.
        judge: Name of the judge whose labels they are.
        known: Labels by key.
    """

    path: Path | None
    judge: str
    known: dict[str, Any] = field(default_factory=dict[str, Any])

    def add(self, rows: dict[str, Any]) -> None:
        """Keep labels and append them to the file."""
        self.known.update(rows)
        if self.path is None:
            return
        lines = "".join(
            json.dumps({"key": key, "judge": self.judge, "label": label}) + "\n"
            for key, label in rows.items()
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


def open_labels(folder: Path | None, judge: str) -> Labels:
    """Read what is known of a judge's labels; lines that are not its own or not whole are left out.

    Args:
        folder: Where label files are kept; None remembers nothing beyond this run.
        judge: Name of the judge, with all that its labels depend on.
    """
    if folder is None:
        return Labels(None, judge)
    path = folder / f"{re.sub(r'[^A-Za-z0-9.-]+', '_', judge)[:100]}.jsonl"
    made = Labels(path, judge)
    if path.exists():
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError as error:
            raise DataError(f"cannot read {path} ({error.strerror}); remove it") from error
        for line in lines:
            try:
                row = json.loads(line)
                if row["judge"] == judge:
                    made.known[row["key"]] = row["label"]
            except (ValueError, KeyError, TypeError):
                continue  # half a line of a killed run; its texts are judged again
        if lines[-1]:
            with path.open("a", encoding="utf-8") as out:
                out.write("\n")  # so that what is added starts a line of its own
    return made


@dataclass(frozen=True, slots=True)
class RememberedEmotion:
    """A judge of emotion that judges each text once; build it with `remember_emotion`.

    Args:
        judge: Who judges.
        labels: What is known.
        progress: Called with the number of texts just judged.
    """

    judge: EmotionClassifier
    labels: Labels
    progress: Progress | None = None

    @property
    def name(self) -> str:
        """Name of the judge."""
        return self.judge.name

    @property
    def taxonomy(self) -> Taxonomy:
        """The labels of its scores."""
        return self.judge.taxonomy

    def classify(self, texts: Sequence[str]) -> list[EmotionScores]:
        """Score each text, in order."""
        keys = [_key(t) for t in texts]
        for part in _new(keys, texts, self.labels):
            made = self.judge.classify(list(part.values()))
            self.labels.add({k: dict(s.probabilities) for k, s in zip(part, made, strict=True)})
            if self.progress:
                self.progress(len(part))
        return [self._scores(self.labels.known[k]) for k in keys]

    def _scores(self, probabilities: dict[str, float]) -> EmotionScores:
        return EmotionScores(max(probabilities, key=probabilities.__getitem__), probabilities)


@dataclass(frozen=True, slots=True)
class RememberedEmpathy:
    """An empathy identifier that judges each pair once; build it with `remember_empathy`.

    Args:
        judge: Who judges.
        labels: What is known.
        progress: Called with the number of pairs just judged.
    """

    judge: EmpathyIdentifier
    labels: Labels
    progress: Progress | None = None

    @property
    def name(self) -> str:
        """Name of the judge."""
        return self.labels.judge

    def identify(self, pairs: Sequence[tuple[str, str]]) -> list[EmpathyLevels]:
        """Score each (context, response), in order."""
        keys = [_key(*pair) for pair in pairs]
        for part in _new(keys, pairs, self.labels):
            made = self.judge.identify(list(part.values()))
            self.labels.add({k: asdict(s) for k, s in zip(part, made, strict=True)})
            if self.progress:
                self.progress(len(part))
        return [EmpathyLevels(**self.labels.known[k]) for k in keys]


def remember_emotion(
    judge: EmotionClassifier, folder: Path | None = None, progress: Progress | None = None
) -> RememberedEmotion:
    """Let a judge of emotion remember, in a folder or for this run only."""
    labels = open_labels(folder, judge.name)
    size = len(judge.taxonomy.labels)
    labels.known = {
        k: v
        for k, v in labels.known.items()
        if isinstance(v, dict) and len(v) == size and set(v) == set(judge.taxonomy.labels)
    }
    return RememberedEmotion(judge, labels, progress)


def remember_empathy(
    judge: EmpathyIdentifier, folder: Path | None = None, progress: Progress | None = None
) -> RememberedEmpathy:
    """Let an empathy identifier remember, in a folder or for this run only."""
    labels = open_labels(folder, str(getattr(judge, "name", type(judge).__name__)))
    levels = set(MECHANISMS)
    labels.known = {
        k: v
        for k, v in labels.known.items()
        if isinstance(v, dict) and set(v) == levels and set(v.values()) <= {0, 1, 2}
    }
    return RememberedEmpathy(judge, labels, progress)


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


def _key(*texts: str) -> str:
    # Lengths keep ("ab", "c") and ("a", "bc") apart.
    said = json.dumps(texts, ensure_ascii=True)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def _new(keys: Sequence[str], items: Sequence[Any], labels: Labels) -> Iterator[dict[str, Any]]:
    """Yield what is not known yet, each once, in batches of key -> item."""
    waiting = {k: i for k, i in zip(keys, items, strict=True) if k not in labels.known}
    names = list(waiting)
    for start in range(0, len(names), BATCH):
        yield {k: waiting[k] for k in names[start : start + BATCH]}
