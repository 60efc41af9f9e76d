"""The labelled corpora that the two judges of this recipe are trained on, read from EMOTONE_DATA.

Each judge has corpora of its own. Short phrases stand in both all the same: they share 7 texts.

- label: GoEmotions, the half of the training texts whose hash is even. Chooses self-play replies,
  so it belongs to the making of the vectors.
- calibrate: EmpatheticDialogues for the six emotions, DailyDialog for neutral. Judges the sweep.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
from pathlib import Path
from typing import TextIO

Rows = list[tuple[str, str]]

_ED = {
    "angry": "anger",
    "annoyed": "anger",
    "furious": "anger",
    "disgusted": "disgust",
    "afraid": "fear",
    "terrified": "fear",
    "anxious": "fear",
    "apprehensive": "fear",
    "joyful": "joy",
    "excited": "joy",
    "content": "joy",
    "sad": "sadness",
    "devastated": "sadness",
    "lonely": "sadness",
    "disappointed": "sadness",
    "surprised": "surprise",
}
DAILYDIALOG = {
    "happiness": "joy",
    "happines": "joy",
    "happy": "joy",
    "excited": "joy",
    "anger": "anger",
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "sadness": "sadness",
    "sad": "sadness",
    "surprise": "surprise",
    "surprised": "surprise",
    "neutral": "neutral",
}


def _open(name: str) -> TextIO:
    root = os.environ.get("EMOTONE_DATA")
    if not root:
        raise SystemExit("set EMOTONE_DATA to the folder of corpora")
    return gzip.open(Path(root) / name, "rt", encoding="utf-8")


def goemotions(split: str, half: int | None = None) -> Rows:
    """Single-label texts of GoEmotions in Ekman's labels; half 0 or 1 by the text's hash."""
    with _open("goemotions/ekman_labels.txt.gz") as lines:
        labels = [line.strip() for line in lines if line.strip()]
    rows: Rows = []
    with _open(f"goemotions/ekman_{split}.tsv.gz") as lines:
        for line in lines:
            text, ids, *_ = line.rstrip("\n").split("\t")
            if "," in ids:
                continue
            if half is not None and hashlib.sha1(text.encode()).digest()[0] & 1 != half:
                continue
            # The corpus masks names; a mask is not a word of a reply.
            rows.append(
                (text.replace("[NAME]", "Sam").replace("[RELIGION]", "faith"), labels[int(ids)])
            )
    return rows


def empathetic(split: str) -> Rows:
    """Prompts and speakers' turns of EmpatheticDialogues in Ekman's labels."""
    rows: dict[str, str] = {}
    with _open(f"empatheticdialogues/{split}.csv.gz") as lines:
        for line in lines:
            cells = line.rstrip("\n").split(",")
            if len(cells) < 6 or cells[2] not in _ED:
                continue
            texts = [cells[3]] if cells[1] == "1" else []
            texts += [cells[5]] if cells[1] in ("1", "3") else []
            for text in texts:
                plain = text.replace("_comma_", ",").strip()
                if plain:
                    rows.setdefault(plain, _ED[cells[2]])
    return list(rows.items())


def dailydialog(split: str) -> Rows:
    """Turns of DailyDialog (the part of RECCON) in Ekman's labels."""
    with _open(f"dailydialog_reccon/dailydialog_{split}.json.gz") as source:
        dialogues = json.load(source)
    return [
        (turn["utterance"], DAILYDIALOG[turn["emotion"]])
        for dialogue in dialogues.values()
        for turn in dialogue[0]
        if turn["emotion"] in DAILYDIALOG
    ]


def meld(split: str) -> Rows:
    """Turns of MELD."""
    with _open(f"meld/{split}_sent_emo.csv.gz") as source:
        return [
            (row["Utterance"].replace("\x92", "'"), row["Emotion"])
            for row in csv.DictReader(source)
        ]


def balanced(rows: Rows, cap: int) -> Rows:
    """Keep at most `cap` texts a label, chosen by the texts' hashes."""
    counts: dict[str, int] = {}
    chosen: Rows = []
    for text, label in sorted(set(rows), key=lambda r: hashlib.sha256(r[0].encode()).digest()):
        counts[label] = counts.get(label, 0) + 1
        if counts[label] <= cap:
            chosen.append((text, label))
    return chosen
