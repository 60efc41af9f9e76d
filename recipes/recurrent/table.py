"""Write the pages of the comparison from its numbers and from replies to everyday posts.

`python -m recipes.recurrent.table [RUNS]` reads docs/results/recurrent.json and writes
docs/systems/recurrent-results.md; with RUNS, docs/systems/recurrent-replies.md as well.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emotone.files import replacing
from emotone.report.published import ECM, EMO_SEQ
from recipes.recurrent.findings import findings
from recipes.recurrent.names import (
    COLUMNS,
    DECODINGS,
    ECM_ROWS,
    LANGS,
    PEOPLE,
    rows_of,
    shown,
    table,
    title,
)

ROOT = Path(__file__).parents[2]
VARIETY = ("distinct_1", "distinct_2", "repeated_4", "commonest_share", "length_words")
FEELING = (
    "emotion_accuracy",
    "emotion_macro_f1",
    "emotion_accuracy_felt",
    "emotion_macro_f1_felt",
)
CONTENT = ("topic_reference", "topic_post", "similarity_reference", "similarity_post", "bleu")
COMPARED = ("distinct_2", "emotion_accuracy", "topic_reference", "similarity_reference", "bleu")

Facts = Mapping[str, Mapping[str, Any]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("runs", type=Path, nargs="?")
    arguments.add_argument("--result", type=Path, default=ROOT / "docs/results/recurrent.json")
    arguments.add_argument("--docs", type=Path, default=ROOT / "docs/systems")
    given = arguments.parse_args()
    results = json.loads(given.result.read_text(encoding="utf-8"))
    write(given.docs / f"{given.result.stem}-results.md", page(results, given.result.name))
    if given.runs is not None:
        from recipes.recurrent.everyday import everyday_page

        write(given.docs / "recurrent-replies.md", everyday_page(given.runs))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"wrote {path}")


def page(results: Mapping[str, Any], source: str = "recurrent.json") -> str:
    """The page of results as Markdown.

    Args:
        results: What `evaluate` wrote.
        source: Name of its file; "recurrent-shipped.json" is of the models of the zoo.
    """
    shipped = source == "recurrent-shipped.json"
    about = (
        "These are the models of the zoo (`recipes/recurrent/shipped.py`): the first seed of each"
        " system, stored as int8 and without rare words, on fewer posts; candidates are chosen as"
        " the package does it today. ECM and Emo-Seq learnt a second time, from what is clear"
        " (decision 0017), and their rows, pairs and steps are of that stage, so that here the"
        " systems do not differ in their equations alone."
        if shipped
        else "Candidates of the default decoding were chosen by an earlier rule, log P(e | x, y)"
        " with a weight of 2; [the models of the zoo](recurrent-shipped-results.md) use today's."
    )
    judges = ", ".join(f"`{name}`" for name in results["manifest"]["judges"])
    lines = [
        f"# Recurrent systems{' of the zoo' if shipped else ''}, measured",
        "",
        f"Written by `python -m recipes.recurrent.table` from docs/results/{source}; do not"
        " edit. How the systems are trained and compared: `recipes/recurrent/README.md`.",
        "",
        about,
        "",
        "Brackets hold 95 % intervals over the choice of posts and the seeds of training; ¹ marks"
        " rows of one seed, whose intervals cover the posts alone. Rows marked (10k) were trained"
        " on fewer pairs and compare only with each other.",
        "",
        f"Emotion is judged by {judges}, which labelled none of the training data. Distinct is"
        " over one reply a post, in an emotion dealt by a hash of the post, so that systems with"
        " and without emotions give equally many replies. A-Seq2Seq takes no emotion; each of its"
        " replies is compared with every asked one, which is chance. Topic is the cosine with the"
        " own text less the mean cosine with those of all other posts answered in the same"
        " emotion; an interval above 0 is on topic.",
    ]
    for lang, found in results["langs"].items():
        lines += language(lang, found)
    return "\n".join(lines) + "\n"


def language(lang: str, found: Mapping[str, Any]) -> list[str]:
    """Everything about one language."""
    facts = rows_of(found["runs"])
    titles = {row: title(fact) for row, fact in facts.items()}
    lines = ["", f"## {LANGS[lang]}", "", *findings(found, titles)]
    ppl = found["perplexity"]
    if ppl["rows"]:
        lines += [
            "",
            f"Perplexity of {ppl['references'] or 'the'} references, each in its own emotion:",
            "",
            *_rows(facts, ppl["rows"], ("perplexity", "ecm_perplexity"), neutral=""),
        ]
    lines += _training(found["runs"], facts)
    lines += _ratios(found, facts)
    lines += _against_ecm(found, facts)
    for decoding, scored in found["decodings"].items():
        said, neutral = DECODINGS[decoding], scored["neutral"] or "neutral"
        rows = scored["rows"]
        lines += [
            "",
            f"### {LANGS[lang]}, {said}",
            "",
            "Variety and collapse:",
            "",
            *_rows(facts, rows, VARIETY, neutral, people=True),
            "",
            f"Emotion; each post is answered in {', '.join(scored['asked'])}:",
            "",
            *_rows(facts, rows, FEELING, neutral, posts="judged_posts"),
            "",
            *_by_emotion(facts, rows, scored["asked"]),
            "",
            "Content:",
            "",
            *_rows(facts, rows, CONTENT, neutral, people=True),
            "",
            "Differences on the same posts:",
            "",
            *_differences(scored["differences"], ppl["differences"], facts, neutral),
        ]
    return lines


def row_values(results: Mapping[str, Any], lang: str, row: str) -> list[tuple[str, str]]:
    """Headings and values of one row, default decoding, those that were measured."""
    found = results["langs"][lang]
    scored = found["decodings"]["default"]
    numbers = {
        **found["perplexity"]["rows"].get(row, {}).get("numbers", {}),
        **scored["rows"].get(row, {}).get("numbers", {}),
    }
    neutral = scored["neutral"] or "neutral"
    values = [
        (heading.format(neutral=neutral), shown(numbers.get(key), digits, times))
        for key, (heading, digits, times) in COLUMNS.items()
    ]
    return [(heading, value) for heading, value in values if value]


def _name(fact: Mapping[str, Any], seeds: Sequence[int]) -> list[str]:
    pairs = "" if fact["pairs"] is None else f"{fact['pairs']:,}"
    return [title(fact) + ("" if len(seeds) > 1 else "¹"), pairs, str(len(seeds))]


def _rows(
    facts: Facts,
    rows: Mapping[str, Any],
    keys: Sequence[str],
    neutral: str,
    *,
    people: bool = False,
    posts: str = "posts",
) -> list[str]:
    head = ["", "pairs", "seeds", "posts", *(COLUMNS[k][0].format(neutral=neutral) for k in keys)]
    made: list[list[str]] = []
    for row in [*facts, *(r for r in rows if r not in facts and people)]:
        if row not in rows:
            continue
        numbers = rows[row]["numbers"]
        name = _name(facts[row], rows[row]["seeds"]) if row in facts else [PEOPLE, "", ""]
        cells = (shown(numbers.get(k), *COLUMNS[k][1:]) for k in keys)
        made.append([*name, str(rows[row].get(posts, "")), *cells])
    return table(head, made)


def _training(runs: Mapping[str, Mapping[str, Any]], facts: Facts) -> list[str]:
    """What training took, as means over seeds."""
    made: list[list[str]] = []
    for row, fact in facts.items():
        mine = [r for r in runs.values() if r["row"] == row and r.get("training")]
        if mine:
            steps, seconds = (
                sum(r["training"].get(k) or 0.0 for r in mine) / len(mine)
                for k in ("best_step", "seconds")
            )
            size = f"{mine[0]['parameters']:,}" if mine[0].get("parameters") else ""
            name = _name(fact, [r["seed"] for r in mine])
            made.append([*name, size, f"{steps:,.0f}", f"{seconds / 60:.1f}"])
    if not made:
        return []
    head = ["", "pairs", "seeds", "parameters", "steps to the best", "minutes of training"]
    return ["", "Training:", "", *table(head, made)]


def _by_emotion(facts: Facts, rows: Mapping[str, Any], asked: Sequence[str]) -> list[str]:
    made = [
        [
            *_name(fact, rows[row]["seeds"])[:1],
            *(shown(rows[row]["by_emotion"].get(e), 3) for e in asked),
        ]
        for row, fact in facts.items()
        if row in rows and rows[row]["by_emotion"]
    ]
    if not made:
        return []
    return table(["accuracy by asked emotion", *asked], made)


def _differences(
    differences: Mapping[str, Any], perplexity: Mapping[str, Any], facts: Facts, neutral: str
) -> list[str]:
    keys = ("perplexity", *COMPARED)
    made: list[list[str]] = []
    for name, numbers in differences.items():
        first, second = name.split(" - ")
        every = {**numbers, **perplexity.get(name, {})}
        cells = (shown(every.get(k), *COLUMNS[k][1:], sign="+") for k in keys)
        made.append([f"{title(facts[first])} less {title(facts[second])}", *cells])
    if not made:
        return ["None: there are no two rows of one size."]
    return table(["", *(COLUMNS[k][0].format(neutral=neutral) for k in keys)], made)


def _ratios(found: Mapping[str, Any], facts: Facts) -> list[str]:
    """Ratios to A-Seq2Seq beside those of the Emo-Seq paper."""
    scored = found["decodings"].get("default") or next(iter(found["decodings"].values()), None)
    ratios: dict[str, dict[str, Any]] = {}
    for part in (found["perplexity"], scored):
        for name, numbers in (part or {"ratios": {}})["ratios"].items():
            ratios.setdefault(name, {}).update(numbers)
    base = EMO_SEQ.rows["A-Seq2Seq"]
    made: list[list[str]] = []
    for name, numbers in ratios.items():
        first, second = name.split(" / ")
        if title(facts[second]).split(" (")[0] != "A-Seq2Seq":
            continue
        paper = EMO_SEQ.rows.get(title(facts[first]).split(" (")[0])
        cells: list[str] = []
        for i, key in enumerate(("perplexity", "distinct_1", "distinct_2")):
            theirs = None if paper is None else (paper[i] or 0.0) / (base[i] or 1.0)
            cells += [shown(numbers.get(key), 3), "" if theirs is None else f"{theirs:.3f}"]
        made.append([f"{title(facts[first])} / {title(facts[second])}", *cells])
    if not made:
        return []
    head = [f"{k}{side}" for k in ("PPL", "Distinct-1", "Distinct-2") for side in ("", ", paper")]
    source = f"Ratios to A-Seq2Seq beside those of the paper ({EMO_SEQ.source}):"
    return ["", source, "", *table(["", *head], made)]


def _against_ecm(found: Mapping[str, Any], facts: Facts) -> list[str]:
    """The six rows of ECM's table 4 beside ours."""
    scored = found["decodings"].get("default") or next(iter(found["decodings"].values()), None)
    made: list[list[str]] = []
    for row, fact in facts.items():
        theirs = ECM.rows.get(ECM_ROWS.get(title(fact).split(" (")[0], ""))
        if theirs is None or fact["system"] == "emo_seq":
            continue
        ppl = found["perplexity"]["rows"].get(row, {}).get("numbers", {})
        mine = (scored or {"rows": {}})["rows"].get(row)
        seeds = mine["seeds"] if mine else found["perplexity"]["rows"].get(row, {}).get("seeds", [])
        made.append(
            [
                *_name(fact, seeds),
                shown(ppl.get("ecm_perplexity"), 2),
                f"{theirs[0]:.1f}",
                shown(mine["numbers"].get("emotion_accuracy") if mine else None, 3),
                f"{theirs[1]:.3f}",
            ]
        )
    if len(made) < 2:
        return []
    head = ["", "pairs", "seeds", "PPL, mean over sentences", "paper", "accuracy", "paper"]
    source = f"Beside the paper ({ECM.source}; {ECM.caution[0].lower()}{ECM.caution[1:-1]}):"
    return ["", source, "", *table(head, made)]


if __name__ == "__main__":
    main()
