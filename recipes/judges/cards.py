"""The README of each judge of the zoo, and the page of figures, from `judge.json` and figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

OURS = "everyday, {split} (written for this project)"
ENGLISH = "EmpatheticDialogues and DailyDialog"
CHINESE = "CPED (valid), LCCC (toy) and XDailyDialog"
NEAR = "of machines, by hand to other posts, and written to go wrong"
TERMS = {
    "en": "EmpatheticDialogues CC BY-NC 4.0; DailyDialog CC BY-NC-SA 4.0",
    "zh": "CPED Apache-2.0; LCCC MIT; XDailyDialog Apache-2.0, a translation of DailyDialog"
    " (CC BY-NC-SA 4.0); the trunk comes under the Gemma Terms of Use",
}
DATA = {
    "en-label": (
        "GoEmotions (15 % of its train and dev texts), MELD (train), DailyDialog as in RECCON"
        " (train), " + OURS.format(split="train-a"),
        "GoEmotions CC BY 4.0; MELD's repository GPL-3.0, text of a television series; DailyDialog"
        " CC BY-NC-SA 4.0",
    ),
    "en-score": (
        "GoEmotions (70 % of its train and dev texts), "
        + OURS.format(split="train-b")
        + ", and replies to its posts in which readers heard the asked emotion or did not",
        "GoEmotions CC BY 4.0",
    ),
    "zh-label": (
        "sentences of NLPCC 2013 and 2014 in ECM's six classes (15 %), "
        + OURS.format(split="train-a"),
        "NLPCC shared-task data, research use",
    ),
    "zh-score": (
        "sentences of NLPCC 2013 and 2014 in ECM's six classes (70 %), weibos of SMP2020-EWECT"
        ' "usual" (70 %), ' + OURS.format(split="train-b"),
        "NLPCC and SMP2020-EWECT shared-task data, research use; the trunk comes under the Gemma"
        " Terms of Use",
    ),
    **{
        name: (
            f"answers of {corpora} ({share} % of the posts), "
            + OURS.format(split=split)
            + f", answers made wrong from both, and replies as readers rated them: {rated}",
            TERMS[name[:2]],
        )
        for name, corpora, share, split, rated in (
            ("en-sense", ENGLISH, 45, "train-b", "of machines"),
            ("en-sense-label", ENGLISH, 40, "train-a", "of machines"),
            ("zh-sense", CHINESE, 45, "train-b", NEAR),
            ("zh-sense-label", CHINESE, 40, "train-a", "of machines"),
        )
    },
}
BESIDE = (
    ", and n-grams of the same training texts beside it; the share of each was chosen on"
    " development texts"
)
ROLE = {
    "label": "to label training data, to calibrate intensities, to choose and to reward. Never for"
    " results.",
    "score": "to score replies in result tables. Never to label, train or tune what it scores.",
}
KIND = {
    "ngram": "logistic regression on n-grams (tf-idf); which n-grams and how many texts they need"
    " is in judge.json",
    "encoder": "a catalogue model with a low-rank change of its linear layers and one linear head"
    " a label set",
    "sense": "a catalogue model with a low-rank change of its linear layers that reads post and"
    " reply, the likelihood of the reply under the same model as it was, and a logistic regression"
    " for content 0, 1 and 2",
}
RECIPE = {
    "ngram": "`python -m recipes.judges.make {name}`",
    "encoder": "`python -m recipes.judges.train_emotion {name} --out out/judges/{name}`, then"
    " `python -m recipes.judges.make {name}`",
    "sense": "`python -m recipes.judges.train_sense {name} --out out/judges/{name}`, then"
    " `python -m recipes.judges.make {name}`",
}
LIMITS = {
    "emotion": "short informal posts and replies; irony not at all. Labels of people disagree in"
    " about a third of such texts. Not a measure of anybody's state of mind.",
    "sense": "short replies to short posts; facts are not checked. It agrees with readers only as"
    " far as the table says.",
}


def write(folders: list[Path], figures: Path) -> None:
    """Write README.md into each judge's folder."""
    results = json.loads(figures.read_text(encoding="utf-8"))
    for folder in folders:
        card = json.loads((folder / "judge.json").read_text(encoding="utf-8"))
        (folder / "README.md").write_text(_readme(card, results), encoding="utf-8")


def page(figures: Path, out: Path) -> None:
    """Write the page of figures."""
    results = json.loads(figures.read_text(encoding="utf-8"))
    tables = results["judges"]
    lines = [
        "# Judges of emotion and of sense, measured",
        "",
        "Written by `python -m recipes.judges.make cards`, from docs/results/judges.json; do not"
        " edit. Texts that no judge has seen ([who sees which](emotion.md)); values with 95 %"
        " intervals. How far judges agree with readers: [beside readers](readers.md).",
        "",
        "| labels | judge | texts | accuracy | macro-F1 | calibration error before, after |",
        "|---|---|---|---|---|---|",
    ]
    for key, table in tables.items():
        taxonomy = key.partition(":")[2]
        for row in table["judges"].values():
            lines.append(
                f"| {key} | {row['name'].partition(':')[0]} | {table['n']} |"
                f" {_range(row['accuracy'])} | {_range(row['macro_f1'])} |"
                f" {row['ece_before']:.3f}, {row['ece_after']:.3f} |"
            )
            for what in ("without_signs", "without_post"):
                if what in row and taxonomy == "everyday":
                    words = what.replace("_", " ")
                    lines.append(f"| {key} | the same, {words} | | {_range(row[what])} | | |")
        floor = table["floor"]
        lines.append(
            f"| {key} | n-grams on the scorer's texts | {table['n']} |"
            f" {_range(floor['accuracy'])} | {_range(floor['macro_f1'])} | |"
        )
        lines.append(
            f"| {key} | the commonest label | {table['n']} | {table['majority']:.3f} | | |"
        )
    lines += ["", "## The scoring judge against n-grams on the same texts", ""]
    lines += ["| labels | difference of accuracy | p |", "|---|---|---|"]
    for key, table in tables.items():
        d = table["score_less_floor"]
        lines.append(
            f"| {key} | {d['difference']:.3f} [{d['low']:.3f}, {d['high']:.3f}] | {d['p']:.4f} |"
        )
    lines += ["", "## Agreement of the judge that labels and the one that scores", ""]
    lines += ["| labels | share of texts | kappa |", "|---|---|---|"]
    for key, table in tables.items():
        for row in table["judges"].values():
            if "agreement" in row:
                both = row["agreement"]
                lines.append(f"| {key} | {_range(both['share'])} | {both['kappa']:.3f} |")
    lines += ["", "## Sense", ""]
    lines += ["AUC of true answers against those made wrong, by the way they were made wrong.", ""]
    lines += ["| judge | pairs | all | worst kind | by kind |", "|---|---|---|---|---|"]
    for name, row in results["sense"].items():
        kinds = row["auc_by_kind"]
        worst = min(kinds, key=kinds.__getitem__)
        each = ", ".join(f"{kind} {value:.2f}" for kind, value in kinds.items())
        lines.append(
            f"| {name} | {row['n']} | {row['auc']:.3f} | {worst} {kinds[worst]:.3f} | {each} |"
        )
    lines += ["", "## Speed", "", "Texts a second on two cores, of replies with their posts.", ""]
    lines += ["| judge | texts/s |", "|---|---|"]
    lines += [f"| {name} | {value:,.0f} |" for name, value in results["speed"].items()]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _readme(card: dict[str, Any], results: dict[str, Any]) -> str:
    name, role, kind = card["name"], card["role"], card["kind"]
    data, licence = DATA[name]
    what = "sense" if kind == "sense" else "emotion"
    lines = [
        f"# {name}, version {card['version']}",
        "",
        f"A judge of {what} for {'English' if card['lang'] == 'en' else 'Chinese'} texts: "
        f"{KIND[kind]}{BESIDE if 'ngrams' in card['settings'] else ''}.",
        "",
        f"- Intended use: {ROLE[role]}",
        f"- Labels: {'; '.join(map(_labels, card['heads']))}",
        f"- Trained on: {data}. No text is shared with a judge of another role (texts.bin).",
        f"- Licence of the data: {licence}. These weights are for research, not for commerce.",
        f"- Recipe: {RECIPE[kind].format(name=name)}",
        f"- Limits: {LIMITS[what]}",
        "",
        "## Scores on held-out texts (95 % intervals)",
        "",
    ]
    if what == "sense":
        row = results["sense"][name]
        spearman = results["readers"][card["lang"]]["sense"][name]["spearman"]
        lines += [
            f"AUC of true answers against answers made wrong: {row['auc']:.3f} of {row['n']} pairs."
            f" Spearman correlation with content by readers: {spearman:.2f} of"
            f" {results['readers'][card['lang']]['replies']} machine replies.",
        ]
        return "\n".join(lines) + "\n"
    lines += [
        "| labels | texts | accuracy | macro-F1 | calibration error before, after |",
        "|---|---|---|---|---|",
    ]
    for head in card["heads"]:
        table = results["judges"][f"{card['lang']}:{head['taxonomy']}"]
        row = table["judges"][name]
        lines.append(
            f"| {head['taxonomy']} | {table['n']} | {_range(row['accuracy'])} |"
            f" {_range(row['macro_f1'])} | {row['ece_before']:.3f}, {row['ece_after']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def _labels(head: dict[str, Any]) -> str:
    return f"{head['taxonomy']} ({', '.join(head['labels'])})"


def _range(row: dict[str, float]) -> str:
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
