"""The labelled texts that judges learn from and are tested on, and who may see which.

Every text has a bucket from 0 to 99 by its `text_key`. Buckets decide once and for all:

| buckets | use |
|---|---|
| 0-9 | held out: only the final scores see them |
| 10-14 | development: early stopping, temperature |
| 15-29 | the judge that labels (`en-label`, `zh-label`) |
| 30-99 | the judge that scores (`en-score`, `zh-score`) |

So no two judges share a text, also where a corpus says one twice. Texts with two labels in
different places are dropped.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from emotone.data.text import join, text_key
from recipes.smollm2_vectors.corpora import DAILYDIALOG

Rows = list[tuple[str, str]]
Part = Literal["held_out", "dev", "label", "score"]
PARTS: dict[Part, range] = {
    "held_out": range(10),
    "dev": range(10, 15),
    "label": range(15, 30),
    "score": range(30, 100),
}
NLPCC_IDS = ("other", "like", "sadness", "disgust", "anger", "happiness")


def _read(name: str) -> str:
    root = os.environ.get("EMOTONE_DATA")
    if not root:
        raise SystemExit("set EMOTONE_DATA to the folder of corpora")
    with gzip.open(Path(root) / name, "rt", encoding="utf-8-sig", newline="") as source:
        return source.read()


def part(rows: Iterable[tuple[str, str]], name: Part) -> Rows:
    """Keep one part of labelled texts: each text once, none whose label is in doubt."""
    buckets = PARTS[name]
    labels: dict[str, set[str]] = {}
    first: dict[str, str] = {}
    for text, label in rows:
        key = text_key(text)
        labels.setdefault(key, set()).add(label)
        first.setdefault(key, text)
    return [
        (first[key], next(iter(classes)))
        for key, classes in sorted(labels.items())
        if len(classes) == 1 and int(key[:8], 16) % 100 in buckets
    ]


def nlpcc() -> Rows:
    """Sentences of NLPCC 2013 and 2014 in ECM's six classes, train and dev together."""
    rows: Rows = []
    for split in ("train", "dev"):
        for line in _read(f"nlpcc_emotion/hsem_{split}_1.tsv.gz").splitlines():
            text, _, label = line.rpartition("\t")
            if text.strip():
                rows.append((join(text), NLPCC_IDS[int(label)]))
    return rows


def smp() -> Rows:
    """Weibos of SMP2020-EWECT "usual", train and eval together."""
    rows: Rows = []
    for line in _read("smp2020_ewect/usual_train.csv.gz").splitlines():
        _, _, rest = line.partition(",")
        text, _, label = rest.rpartition(",")
        if text.strip():
            rows.append((join(text), label.strip()))
    for item in json.loads(_read("smp2020_ewect/usual_eval_labeled.txt.gz")):
        if item["content"].strip():
            rows.append((join(item["content"]), item["label"]))
    return rows


def goemotions() -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Texts of GoEmotions, train and dev together: text, Ekman labels, the 28 labels."""
    ekman = _read("goemotions/ekman_labels.txt.gz").split()
    fine = _read("goemotions/labels.txt.gz").split()
    rows = []
    for split in ("train", "dev"):
        by_id = {}
        for line in _read(f"goemotions/{split}.tsv.gz").splitlines():
            _, ids, name = line.split("\t")
            by_id[name] = tuple(fine[int(i)] for i in ids.split(","))
        for line in _read(f"goemotions/ekman_{split}.tsv.gz").splitlines():
            text, ids, name = line.split("\t")
            rows.append((text, tuple(ekman[int(i)] for i in ids.split(",")), by_id[name]))
    return rows


def csv_rows(name: str) -> list[dict[str, str]]:
    """Rows of a gzipped CSV."""
    return list(csv.DictReader(io.StringIO(_read(name))))


def dailydialog() -> list[tuple[str, str | None, str]]:
    """Turns of DailyDialog's train part (that of RECCON) with the turn before, Ekman's labels."""
    dialogues = json.loads(_read("dailydialog_reccon/dailydialog_train.json.gz"))
    rows: list[tuple[str, str | None, str]] = []
    for dialogue in dialogues.values():
        before: str | None = None
        for turn in dialogue[0]:
            if turn["emotion"] in DAILYDIALOG:
                rows.append((turn["utterance"], before, DAILYDIALOG[turn["emotion"]]))
            before = turn["utterance"]
    return rows


def meld() -> list[tuple[str, str | None, str]]:
    """Turns of MELD's train part with the turn before."""
    rows: list[tuple[str, str | None, str]] = []
    before: str | None = None
    scene = ""
    for row in csv_rows("meld/train_sent_emo.csv.gz"):
        text = row["Utterance"].replace("\x92", "'")
        rows.append((text, before if row["Dialogue_ID"] == scene else None, row["Emotion"]))
        before, scene = text, row["Dialogue_ID"]
    return rows
