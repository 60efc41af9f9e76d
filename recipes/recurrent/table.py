"""Write the pages of the comparison from its numbers and from replies to everyday posts.

`python -m recipes.recurrent.table [RUNS]` reads docs/results/recurrent.json and writes
docs/systems/recurrent-results.md; with RUNS, docs/systems/recurrent-replies.md as well.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emotone.report.published import ECM, EMO_SEQ
from recipes.compare.files import PAGES, RESULTS, filled, read_results, write_page
from recipes.compare.table import Column, number_table, shown, table, values
from recipes.recurrent.findings import findings
from recipes.recurrent.names import (
    COLUMNS,
    DECODINGS,
    ECM_ROWS,
    LANGS,
    PEOPLE,
    columns,
    default,
    rows_of,
    title,
)

VARIETY = ("distinct_1", "distinct_2", "repeated_4", "commonest_share", "length_words")
FEELING = (
    "emotion_accuracy",
    "emotion_macro_f1",
    "emotion_accuracy_felt",
    "emotion_macro_f1_felt",
)
CONTENT = (
    "sense",
    "topic_reference",
    "topic_post",
    "similarity_reference",
    "similarity_post",
    "bleu",
)
#: What stands on the card of a model.
CARD = ("perplexity", "ecm_perplexity", *VARIETY[:2], *FEELING, *CONTENT, *VARIETY[2:])
COMPARED = ("distinct_2", "emotion_accuracy", "topic_reference", "similarity_reference", "bleu")

HERE = Path(__file__).parent
#: What is said of the models of the zoo, and of the trained weights.
SHIPPED = (
    "These are the models of the zoo (`recipes/recurrent/shipped.py`): the first seed of each"
    " system, stored as int8 and without rare words, on fewer posts; candidates are chosen as"
    " the package does it today. All three learnt last from the examples with a clear label and"
    " from lines of everyday (decision 0029); their pairs and steps are those of that stage."
    " Readers rated [the Chinese ones](chinese-study.md) and"
    " [the English ones](../results.md#read-blind)."
)
TRAINED = (
    "Candidates of the default decoding were chosen by an earlier rule, log P(e | x, y) with a"
    " weight of 2; [the models of the zoo](recurrent-shipped-results.md) use today's."
)


Results = Mapping[str, Any]
Facts = Mapping[str, Mapping[str, Any]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("runs", type=Path, nargs="?")
    arguments.add_argument("--result", type=Path, default=RESULTS / "recurrent.json")
    arguments.add_argument("--docs", type=Path, default=PAGES)
    given = arguments.parse_args()
    text = page(read_results(given.result), given.result.name)
    pages = {f"{given.result.stem}-results.md": text}
    if given.runs is not None:
        from recipes.recurrent.everyday import everyday_page

        pages["recurrent-replies.md"] = everyday_page(given.runs)
    for name, text in pages.items():
        write_page(given.docs / name, text)
        print(f"wrote {given.docs / name}")


def page(results: Results, source: str = "recurrent.json") -> str:
    """The page of results as Markdown.

    Args:
        results: What `evaluate` wrote.
        source: Name of its file; "recurrent-shipped.json" is of the models of the zoo.
    """
    shipped = source == "recurrent-shipped.json"
    about = {"recurrent-shipped.json": SHIPPED, "recurrent-scales.json": scales()}
    languages: list[str] = []
    for lang, of_lang in results["langs"].items():
        languages += language(lang, of_lang)
    return filled(
        HERE / "pages/results.md",
        of=" of the zoo" if shipped else "",
        source=source,
        about=about.get(source, TRAINED),
        judges=", ".join(f"`{name}`" for name in results["manifest"]["judges"]),
        languages=languages[1:],
    )


def scales() -> str:
    """Say what the runs of the two scales are, beside the older rows at the mean scale."""
    rows = read_results(RESULTS / "recurrent.json")["langs"]["zh"]["perplexity"]["rows"]
    older = {
        name: rows[f"emo_seq-{name}-10k"]["numbers"]["perplexity"]["value"]
        for name in ("tag", "full", "lambda1")
    }
    return (
        "Emo-Seq with its loss as printed (`guide.scale=printed`, weight 1: one classifier term"
        " beside the sum over a reply's words) and with the package's own (0.1 beside their mean,"
        " which is 0.87 as printed), trained on a CPU; no beam search. The older rows of [the"
        " results page](recurrent-results.md), all beside the mean, have a perplexity of"
        f" {older['tag']:.2f} (no classifier), {older['full']:.2f} (0.1) and"
        f" {older['lambda1']:.2f} (1, which is 8.7 as printed and was taken for the printed loss)."
    )


def language(lang: str, results: Results) -> list[str]:
    """Everything about one language."""
    facts = rows_of(results["runs"])
    titles = {row: title(fact) for row, fact in facts.items()}
    lines = ["", f"## {LANGS[lang]}", "", *findings(results, titles)]
    ppl = results["perplexity"]
    if ppl["rows"]:
        lines += [
            "",
            f"Perplexity of {ppl['references'] or 'the'} references, each in its own emotion:",
            "",
            *_rows(facts, ppl["rows"], ("perplexity", "ecm_perplexity"), COLUMNS),
        ]
    lines += _training(results["runs"], facts)
    lines += _ratios(results, facts)
    lines += _against_ecm(results, facts)
    for decoding, scored in results["decodings"].items():
        rows = scored["rows"]
        named = columns(scored["neutral"] or "neutral")
        lines += [
            "",
            f"### {LANGS[lang]}, {DECODINGS[decoding]}",
            "",
            "Variety and collapse:",
            "",
            *_rows(facts, rows, VARIETY, named),
            "",
            f"Emotion; each post is answered in {', '.join(scored['asked'])}:",
            "",
            *_rows(facts, rows, FEELING, named, posts="judged_posts"),
            "",
            *_by_emotion(facts, rows, scored["asked"]),
            "",
            "Content:",
            "",
            *_rows(facts, rows, CONTENT, named),
            "",
            "Differences on the same posts:",
            "",
            *_differences(scored["differences"], ppl["differences"], facts, named),
        ]
    return lines


def row_values(results: Results, lang: str, row: str) -> list[list[str]]:
    """Return headings and values of one row in the default decoding, for a model's card."""
    of_lang = results["langs"][lang]
    scored = of_lang["decodings"]["default"]
    rows = (of_lang["perplexity"]["rows"].get(row, {}), scored["rows"].get(row, {}))
    numbers = {k: v for part in rows for k, v in part.get("numbers", {}).items()}
    return values(numbers, columns(scored["neutral"] or "neutral"), CARD)


def _name(fact: Mapping[str, Any], seeds: Sequence[int]) -> list[str]:
    pairs = "" if fact["pairs"] is None else f"{fact['pairs']:,}"
    return [title(fact) + ("" if len(seeds) > 1 else "¹"), pairs, str(len(seeds))]


def _rows(
    facts: Facts,
    rows: Results,
    keys: Sequence[str],
    named: Mapping[str, Column],
    *,
    posts: str = "posts",
) -> list[str]:
    lines = [
        (
            [
                *(_name(facts[row], rows[row]["seeds"]) if row in facts else [PEOPLE, "", ""]),
                str(rows[row].get(posts, "")),
            ],
            rows[row]["numbers"],
        )
        for row in [*facts, *(r for r in rows if r not in facts)]
        if row in rows
    ]
    return number_table(["", "pairs", "seeds", "posts"], lines, named, keys)


def _training(runs: Mapping[str, Mapping[str, Any]], facts: Facts) -> list[str]:
    """What training took, as means over seeds."""
    lines: list[list[str]] = []
    for row, fact in facts.items():
        mine = [r for r in runs.values() if r["row"] == row and r.get("training")]
        if mine:
            steps, seconds = (
                sum(r["training"].get(k) or 0.0 for r in mine) / len(mine)
                for k in ("best_step", "seconds")
            )
            size = f"{mine[0]['parameters']:,}" if mine[0].get("parameters") else ""
            name = _name(fact, [r["seed"] for r in mine])
            lines.append([*name, size, f"{steps:,.0f}", f"{seconds / 60:.1f}"])
    if not lines:
        return []
    head = ["", "pairs", "seeds", "parameters", "steps to the best", "minutes of training"]
    return ["", "Training:", "", *table(head, lines)]


def _by_emotion(facts: Facts, rows: Results, asked: Sequence[str]) -> list[str]:
    lines = [
        (_name(fact, rows[row]["seeds"])[:1], rows[row]["by_emotion"])
        for row, fact in facts.items()
        if row in rows
    ]
    accuracies = {emotion: (emotion, 3, 1) for emotion in asked}
    return number_table(["accuracy by requested emotion"], lines, accuracies, asked)


def _differences(
    differences: Results, perplexity: Results, facts: Facts, named: Mapping[str, Column]
) -> list[str]:
    lines: list[tuple[list[str], Mapping[str, Any]]] = []
    for name, numbers in differences.items():
        first, second = (title(facts[row]) for row in name.split(" - "))
        lines.append(([f"{first} minus {second}"], {**numbers, **perplexity.get(name, {})}))
    return number_table([""], lines, named, ("perplexity", *COMPARED), "+") or [
        "None: there are no two rows of one size."
    ]


def _ratios(results: Results, facts: Facts) -> list[str]:
    """Ratios to A-Seq2Seq beside those of the Emo-Seq paper."""
    ratios: dict[str, dict[str, Any]] = {}
    for part in (results["perplexity"], default(results)):
        for name, numbers in part["ratios"].items():
            ratios.setdefault(name, {}).update(numbers)
    base = EMO_SEQ.rows["A-Seq2Seq"]
    lines: list[list[str]] = []
    for name, numbers in ratios.items():
        first, second = (title(facts[row]) for row in name.split(" / "))
        if second.split(" (")[0] != "A-Seq2Seq":
            continue
        paper = EMO_SEQ.rows.get(first.split(" (")[0])
        cells: list[str] = []
        for i, key in enumerate(("perplexity", "distinct_1", "distinct_2")):
            theirs = None if paper is None else (paper[i] or 0.0) / (base[i] or 1.0)
            cells += [shown(numbers.get(key), 3), "" if theirs is None else f"{theirs:.3f}"]
        lines.append([f"{first} / {second}", *cells])
    if not lines:
        return []
    head = [f"{k}{side}" for k in ("PPL", "Distinct-1", "Distinct-2") for side in ("", ", paper")]
    source = f"Ratios to A-Seq2Seq beside those of the paper ({EMO_SEQ.source}):"
    return ["", source, "", *table(["", *head], lines)]


def _against_ecm(results: Results, facts: Facts) -> list[str]:
    """The six rows of ECM's table 4 beside ours."""
    lines: list[list[str]] = []
    for row, fact in facts.items():
        theirs = ECM.rows.get(ECM_ROWS.get(title(fact).split(" (")[0], ""))
        if theirs is None or fact["system"] == "emo_seq":
            continue
        ppl, ours = (p["rows"].get(row, {}) for p in (results["perplexity"], default(results)))
        lines.append(
            [
                *_name(fact, ours.get("seeds") or ppl.get("seeds", [])),
                shown(ppl.get("numbers", {}).get("ecm_perplexity"), 2),
                f"{theirs[0]:.1f}",
                shown(ours.get("numbers", {}).get("emotion_accuracy"), 3),
                f"{theirs[1]:.3f}",
            ]
        )
    if len(lines) < 2:
        return []
    head = ["", "pairs", "seeds", "PPL, mean over sentences", "paper", "accuracy", "paper"]
    source = f"Beside the paper ({ECM.source}; {ECM.caution[0].lower()}{ECM.caution[1:-1]}):"
    return ["", source, "", *table(head, lines)]


if __name__ == "__main__":
    main()
