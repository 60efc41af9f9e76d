"""The README of each judge of the zoo, written from its `judge.json` and the figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DATA = {
    "en-label": (
        "GoEmotions (15 % of its train and dev texts), MELD (train), DailyDialog as in RECCON"
        " (train)",
        "GoEmotions CC BY 4.0; MELD's repository GPL-3.0, text of a television series; DailyDialog"
        " CC BY-NC-SA 4.0",
    ),
    "en-score": ("GoEmotions (70 % of its train and dev texts)", "GoEmotions CC BY 4.0"),
    "zh-label": (
        "sentences of NLPCC 2013 and 2014 in ECM's six classes (15 %)",
        "NLPCC shared-task data, research use",
    ),
    "zh-score": (
        "sentences of NLPCC 2013 and 2014 in ECM's six classes (70 %), weibos of SMP2020-EWECT"
        ' "usual" (70 %)',
        "NLPCC and SMP2020-EWECT shared-task data, research use; the trunk comes under the Gemma"
        " Terms of Use",
    ),
}
BESIDE = (
    ", and n-grams of the same training texts beside it; the share of each was chosen on"
    " development texts"
)
ROLE = {
    "label": "to label training data and to calibrate intensities. Never for results.",
    "score": "to score replies in result tables. Never to label, train or tune what it scores.",
}
KIND = {
    "ngram": "logistic regression on n-grams (tf-idf); which n-grams and how many texts they need"
    " is in judge.json",
    "encoder": "a catalogue model with a low-rank change of its linear layers and one linear head"
    " a label set",
}
RECIPE = {
    "ngram": "`python -m recipes.judges.make {name}`",
    "encoder": "`python -m recipes.judges.train_emotion {name} --out out/judges/{name}`, then"
    " `python -m recipes.judges.make {name}`",
}


def write(zoo: Path, figures: Path) -> None:
    """Write README.md into each judge's folder."""
    tables = json.loads(figures.read_text(encoding="utf-8"))["judges"]
    for folder in sorted(p.parent for p in zoo.glob("*/judge.json")):
        card = json.loads((folder / "judge.json").read_text(encoding="utf-8"))
        (folder / "README.md").write_text(_readme(card, tables), encoding="utf-8")


def page(figures: Path, out: Path) -> None:
    """Write the page of figures."""
    tables = json.loads(figures.read_text(encoding="utf-8"))["judges"]
    lines = [
        "# Judges of emotion, measured",
        "",
        "Written by `python -m recipes.judges.make cards`, from docs/results/judges.json; do not"
        " edit. Texts that no judge has seen ([who sees which](emotion.md)); values with 95 %"
        " intervals.",
        "",
        "| labels | judge | texts | accuracy | macro-F1 | calibration error before, after |",
        "|---|---|---|---|---|---|",
    ]
    for table in tables.values():
        taxonomy = table["score"]["name"].rpartition(":")[2]
        for role in ("score", "label"):
            if row := table.get(role):
                lines.append(
                    f"| {taxonomy} | {row['name'].partition(':')[0]} | {table['n']} |"
                    f" {_range(row['accuracy'])} | {_range(row['macro_f1'])} |"
                    f" {row['ece_before']:.3f}, {row['ece_after']:.3f} |"
                )
        floor = table["floor"]
        lines.append(
            f"| {taxonomy} | {floor['name']} | {table['n']} | {_range(floor['accuracy'])} |"
            f" {_range(floor['macro_f1'])} | |"
        )
        lines.append(
            f"| {taxonomy} | the commonest label | {table['n']} | {table['majority']:.3f} | | |"
        )
    lines += ["", "## The scoring judge against n-grams on the same texts", ""]
    lines += ["| labels | difference of accuracy | p |", "|---|---|---|"]
    for key, table in tables.items():
        d = table["score_less_floor"]
        lines.append(
            f"| {key.partition(':')[2]} | {d['difference']:.3f} [{d['low']:.3f}, {d['high']:.3f}] |"
            f" {d['p']:.4f} |"
        )
    lines += ["", "## Agreement of the judge that labels and the one that scores", ""]
    lines += ["| labels | share of texts | kappa |", "|---|---|---|"]
    for key, table in tables.items():
        if "agreement" in table:
            a = table["agreement"]
            share = _range(a["share"])
            lines.append(f"| {key.partition(':')[2]} | {share} | {a['kappa']:.3f} |")
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _readme(card: dict[str, Any], tables: dict[str, Any]) -> str:
    name, role, kind = card["name"], card["role"], card["kind"]
    data, licence = DATA[name]
    lines = [
        f"# {name}, version {card['version']}",
        "",
        f"A judge of emotion for {'English' if card['lang'] == 'en' else 'Chinese'} texts: "
        f"{KIND[kind]}{BESIDE if 'ngrams' in card['settings'] else ''}.",
        "",
        f"- Intended use: {ROLE[role]}",
        f"- Labels: {'; '.join(map(_labels, card['heads']))}",
        f"- Trained on: {data}. No text is shared with any other judge of this zoo.",
        f"- Licence of the data: {licence}. These weights are for research, not for commerce.",
        f"- Recipe: {RECIPE[kind].format(name=name)}",
        "- Limits: short informal posts of one platform; it recognises words of feeling better"
        " than feelings without such words, and irony and context not at all. Labels of people"
        " disagree in about a third of"
        " such texts. Not a measure of anybody's state of mind.",
        "",
        "## Scores on held-out texts (95 % intervals)",
        "",
        "| labels | texts | accuracy | macro-F1 | calibration error before, after |",
        "|---|---|---|---|---|",
    ]
    for head in card["heads"]:
        table = tables.get(f"{card['lang']}:{head['taxonomy']}", {})
        row = table.get(role)
        if row:
            lines.append(
                f"| {head['taxonomy']} | {table['n']} | {_range(row['accuracy'])} |"
                f" {_range(row['macro_f1'])} | {row['ece_before']:.3f}, {row['ece_after']:.3f} |"
            )
    return "\n".join(lines) + "\n"


def _labels(head: dict[str, Any]) -> str:
    return f"{head['taxonomy']} ({', '.join(head['labels'])})"


def _range(row: dict[str, float]) -> str:
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
