"""Judges beside readers: the rated machine replies of everyday, whose posts no judge has seen.

Judges of an earlier version are compared where their folders are in out/judges/before, such as
those of an older commit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from emotone.data import everyday
from emotone.data.everyday import Rating
from emotone.emotions import EVERYDAY, TAXONOMIES
from emotone.evaluation.blind import cohen_kappa
from emotone.judges import open_judge, open_sense
from emotone.metrics.base import mean_stats
from emotone.metrics.significance import interval
from emotone.metrics.template import blames

ZOO = Path("zoo/src/emotone_zoo")
BEFORE = Path("out/judges/before")
#: What a judge that lacks the everyday labels is asked in, and how it is named on the page.
OLD = {"en": ("en-score", "en-label"), "zh": ("zh-score", "zh-label")}


def _places(lang: str) -> dict[str, Path]:
    """Judges of emotion by the name on the page: those of the zoo, then those before them."""
    places = {p.parent.name: p.parent for p in sorted(ZOO.glob(f"judges/{lang}-*/judge.json"))}
    for name in OLD[lang]:
        if (BEFORE / name / "judge.json").is_file():
            places[f"{name}, before"] = BEFORE / name
    return places


def _hears(folder: Path, rated: list[Rating]) -> np.ndarray:
    """Whether the judge's label is the asked emotion, in the judge's own labels, [N]."""
    heads = [h["taxonomy"] for h in json.loads((folder / "judge.json").read_text())["heads"]]
    taxonomy = TAXONOMIES["everyday" if "everyday" in heads else heads[0]]
    judge = open_judge(folder, taxonomy.name)
    scores = judge.classify([r.reply for r in rated], [r.post for r in rated])
    asked = [EVERYDAY.map_to(EVERYDAY.parse(r.emotion), taxonomy).label for r in rated]
    return np.array([s.label == a for s, a in zip(scores, asked, strict=True)], int)


def _mean(values: Any, rated: list[Rating], *, share: bool = True) -> dict[str, float]:
    stats = mean_stats(np.asarray(values, float), share=share)
    low, high = interval(stats, groups=[r.post for r in rated], rounds=1000, seed=0)
    return {k: round(v, 4) for k, v in (("value", stats.value()), ("low", low), ("high", high))}


def chosen(rated: list[Rating], expected: np.ndarray) -> dict[str, float]:
    """Content by readers of the reply that a judge puts first among those to one post.

    Beside it stand the mean reply and the best one, and an interval (95 %, over posts) of what the
    choice gains over the mean.
    """
    by_post: dict[str, list[int]] = {}
    for i, rating in enumerate(rated):
        by_post.setdefault(rating.post, []).append(i)
    content = np.array([r.content for r in rated], float)
    first = np.array([content[max(at, key=lambda i: expected[i])] for at in by_post.values()])
    mean = np.array([content[at].mean() for at in by_post.values()])
    best = np.array([content[at].max() for at in by_post.values()])
    stats = mean_stats(first - mean)
    low, high = interval(stats, rounds=1000, seed=0)
    figures = {"mean": mean.mean(), "chosen": first.mean(), "best": best.mean()}
    figures |= {"low": low, "high": high}
    return {"posts": len(by_post), **{k: round(float(v), 4) for k, v in figures.items()}}


def agreement(
    lang: Any,
    again: Callable[[str], bool] = lambda _: True,
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure judges of emotion and of sense, and the rules for blame, beside readers.

    Args:
        lang: Language.
        again: Whether a judge of sense, which reads five pairs a second, is measured anew.
        before: What was measured before, whose figures the other ones keep.
    """
    from scipy.stats import spearmanr

    rated = everyday.ratings(lang, splits=["test"])
    heard = np.array([r.heard for r in rated])
    content = np.array([r.content for r in rated])
    systems = sorted({r.system for r in rated})
    learnt = {r.system for r in everyday.ratings(lang, splits=["train-a", "train-b"])}
    new = np.array([r.system not in learnt for r in rated])
    table: dict[str, Any] = {"replies": len(rated), "judges": {}, "sense": {}, "systems": {}}
    table["new"] = int(new.sum())
    for system in systems:
        own = [r for r in rated if r.system == system]
        table["systems"][system] = {
            "n": len(own),
            "readers": {
                "emotion": _mean([r.heard for r in own], own),
                "content": _mean([r.content for r in own], own, share=False),
                "both": _mean([r.heard == 1 and r.content == 2 for r in own], own),
                "blame": _mean([r.blame for r in own], own),
            },
        }
    for name, folder in _places(lang).items():
        hears = _hears(folder, rated)
        table["judges"][name] = {
            "kappa": round(cohen_kappa(heard.tolist(), hears.tolist(), (0, 1)), 4),
            "equal": round(float((heard == hears).mean()), 4),
            "kappa_new": round(cohen_kappa(heard[new].tolist(), hears[new].tolist(), (0, 1)), 4),
            "equal_new": round(float((heard == hears)[new].mean()), 4),
        }
        for system in systems:
            at = [i for i, r in enumerate(rated) if r.system == system]
            own = [rated[i] for i in at]
            table["systems"][system][name] = _mean(hears[at], own)
        print(lang, name, table["judges"][name], flush=True)
    for folder in sorted(p.parent for p in ZOO.glob(f"sense/{lang}-*/judge.json")):
        if before is not None and not again(folder.name):
            table["sense"][folder.name] = before["sense"][folder.name]
            for system, row in before["systems"].items():
                if folder.name in row:  # not of a system that was rated since
                    table["systems"][system][folder.name] = row[folder.name]
            continue
        judge = open_sense(folder)
        chances = np.asarray(judge.content([(r.post, r.reply) for r in rated]))
        expected = chances @ np.arange(3)
        rho: Any = spearmanr(expected, content)
        rho_new: Any = spearmanr(expected[new], content[new])
        table["sense"][folder.name] = {
            "replies": len(rated),
            "spearman": round(float(rho.statistic), 4),
            "spearman_new": round(float(rho_new.statistic), 4),
            "human_median": judge.human_median,
            "chosen": chosen(rated, expected),
        }
        for system in systems:
            at = [i for i, r in enumerate(rated) if r.system == system]
            own = [rated[i] for i in at]
            table["systems"][system][folder.name] = _mean(chances[at, 2], own, share=False)
        print(lang, folder.name, table["sense"][folder.name], flush=True)
    twice = [(r, r.again) for r in everyday.ratings(lang) if r.again is not None]
    pairs = {
        "emotion": ([r.heard for r, _ in twice], [a[0] for _, a in twice], (0, 1)),
        "content": ([r.content for r, _ in twice], [a[1] for _, a in twice], (0, 1, 2)),
        "blame": ([r.blame for r, _ in twice], [a[2] for _, a in twice], (0, 1)),
    }
    table["twice"] = {"replies": len(twice)} | {
        name: round(cohen_kappa(first, second, values), 4)
        for name, (first, second, values) in pairs.items()
    }
    if twice:
        rho = spearmanr(pairs["content"][0], pairs["content"][1])
        table["twice"]["content_spearman"] = round(float(rho.statistic), 4)
    everyone = everyday.ratings(lang)
    by_rule = np.array([blames(r.reply, lang) for r in everyone])
    by_reader = np.array([r.blame == 1 for r in everyone])
    table["blame_rules"] = {
        "replies": len(everyone),
        "precision": round(float(by_reader[by_rule].mean()), 4) if by_rule.any() else None,
        "recall": round(float(by_rule[by_reader].mean()), 4) if by_reader.any() else None,
    }
    return table


def _range(row: dict[str, float], digits: int = 2) -> str:
    return f"{row['value']:.{digits}f} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"


def page(figures: Path, out: Path) -> None:
    """Write the page that puts judges beside readers."""
    results = json.loads(figures.read_text(encoding="utf-8"))["readers"]
    lines = [
        "# Judges beside readers",
        "",
        "Written by `python -m recipes.judges.make cards`, from docs/results/judges.json; do not"
        " edit. Readers rated replies of our own systems without knowing them"
        " ([the corpus](../everyday.md), [the sheets](../how-to/read-blind.md)); here stand those"
        " to posts that no judge has seen. `before` are the judges of version 1.",
    ]
    for lang, table in results.items():
        twice, rules = table["twice"], table["blame_rules"]
        lines += [
            "",
            f"## {'English' if lang == 'en' else 'Chinese'}",
            "",
            f"{table['replies']} replies. Two readers of {twice['replies']} replies agree with"
            f" kappa {twice['emotion']:.2f} on emotion, {twice['content']:.2f} on content"
            f" (quadratic weights; Spearman {twice['content_spearman']:.2f}) and"
            f" {twice['blame']:.2f} on blame.",
            "",
            f"The {table['new']} replies of systems of which judges have learnt no reply"
            " stand apart (*new*).",
            "",
            "| judge | kappa with readers | equal | kappa, new | equal, new |",
            "|---|---|---|---|---|",
        ]
        for name, row in table["judges"].items():
            values = [f"{row[k]:.2f}" for k in ("kappa", "equal", "kappa_new", "equal_new")]
            lines.append(f"| {name} | {' | '.join(values)} |")
        lines += ["", "| judge | replies | Spearman with content | new |", "|---|---|---|---|"]
        for name, row in table["sense"].items():
            new = f"{row['spearman_new']:.2f}" if "spearman_new" in row else ""
            lines.append(f"| {name} | {row['replies']} | {row['spearman']:.2f} | {new} |")
        for name, row in table["sense"].items():
            one = row["chosen"]
            lines += [
                "",
                f"Of the replies to one post, {name} puts first one of content {one['chosen']:.2f};"
                f" the mean reply has {one['mean']:.2f}, the best {one['best']:.2f} (gain over the"
                f" mean [{one['low']:.2f}, {one['high']:.2f}], {one['posts']} posts).",
            ]
        precision, recall = rules["precision"], rules["recall"]
        lines += [
            "",
            f"The rules of `blames_user`: {'-' if precision is None else f'{precision:.2f}'} of"
            " the replies that they find do blame to readers, and they find"
            f" {'-' if recall is None else f'{recall:.2f}'} of those that do.",
            "",
            "Share of replies in which the asked emotion is heard:",
            "",
            f"| system | readers | {' | '.join(table['judges'])} |",
            f"|---|---|{'---|' * len(table['judges'])}",
        ]
        for system, row in table["systems"].items():
            cells = [_range(row[name]) for name in table["judges"]]
            lines.append(
                f"| {system} | {_range(row['readers']['emotion'])} | {' | '.join(cells)} |"
            )
        lines += [
            "",
            "Sense, by readers and by judges (mean probability of content 2):",
            "",
            f"| system | content | both right | blame | {' | '.join(table['sense'])} |",
            f"|---|---|---|---|{'---|' * len(table['sense'])}",
        ]
        for system, row in table["systems"].items():
            read = row["readers"]
            cells = [_range(read[k]) for k in ("content", "both", "blame")]
            cells += [_range(row[name]) if name in row else "" for name in table["sense"]]
            lines.append(f"| {system} | {' | '.join(cells)} |")
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
