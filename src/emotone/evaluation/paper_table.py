"""The table of the emotion-vector paper: what vectors do at -1, 0, 1, 2 and 4 times.

    EPS   share of answers whose likeliest emotion is the asked one (`asked_share`); beside it the
          share that is heard as emotional at all (`emotional_share`)
    EAS   mean probability of the asked emotion (`asked_probability`)

and perplexity, repeats, length, topic and likeness to the plain answer. The paper publishes neither
its judge nor its labels, template and threshold, so these are measures of our own after its.

Source: Dong et al. 2025 (arXiv 2502.04075).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotone.emotions import EmotionMix
from emotone.errors import Unsupported
from emotone.evaluation.groups import in_part
from emotone.evaluation.instruments import Wanted, measurable, open_instruments
from emotone.evaluation.measure import Measured, measure_all
from emotone.evaluation.paper_answers import (
    ALPHAS,
    BASE,
    CONTROL,
    EMOTIONS,
    Bar,
    Condition,
    Queries,
)
from emotone.evaluation.remember import remember_emotion
from emotone.evaluation.scores import Number
from emotone.evaluation.touched import check_judges
from emotone.metrics import RunFacts

if TYPE_CHECKING:
    from emotone.metrics.base import Pair
    from emotone.protocols import EmotionClassifier

#: What a judge of emotion says, and what needs none.
JUDGED = ("asked_share", "emotional_share", "asked_probability")
TEXTUAL = ("perplexity", "repeated_4", "length_words", "topic_post", "similarity_neutral")
#: The parts of the posts: `unseen` are those that EmotionQuery does not hold.
PARTS = ("emotional", "neutral", "unseen")
#: What is asked of each row: name -> who acts. Other rows are controls.
VECTOR, ANOTHER = "vector", "another emotion's vector"

#: What the paper says of EAS, relative to no vector, as quoted in a review.
EAS_CLAIMS = {-1.0: "falls by nearly 90 %", 1.0: "rises by at least 400 % in most models"}
#: Share of repeated word 4-grams in the authors' released answers with EV_base, at -1, 0, 1, 2, 4.
RELEASED_REPEATS: Mapping[str, tuple[float, ...]] = {
    "llama3.1": (0.020, 0.011, 0.023, 0.418, 0.522),
    "qwen2.5": (0.002, 0.001, 0.001, 0.096, 0.546),
    "qwen2": (0.002, 0.002, 0.001, 0.015, 0.219),
    "qwen1.5": (0.001, 0.001, 0.000, 0.000, 0.189),
    "qwen1": (0.005, 0.003, 0.001, 0.040, 0.310),
    "minicpm": (0.010, 0.009, 0.007, 0.044, 0.457),
    "gemma": (0.005, 0.002, 0.107, 0.270, 0.788),
    "llama2-7b": (0.029, 0.023, 0.022, 0.082, 0.527),
    "baichuan": (0.003, 0.003, 0.002, 0.209, 0.085),
    "vicuna": (0.015, 0.016, 0.013, 0.015, 0.167),
    "yi": (0.012, 0.006, 0.004, 0.113, 0.740),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Args:
        name: Who acts, such as "vector" or "random".
        alpha: Multiple of the vector; 0 where none acts.
        answers: Number of different answers that it rests on.
        judged: Name of a judge -> its numbers.
        textual: The numbers without a judge.
    """

    name: str
    alpha: float
    answers: int
    judged: Mapping[str, Measured]
    textual: Measured


@dataclass(frozen=True, slots=True)
class PaperTable:
    """The whole table.

    Args:
        model: Name of the model.
        rows: Its lines.
        posts: Number of posts, in all and by part.
        leaked: Emotional posts of EmotionQuery+ that stand in EmotionQuery, and how many there are.
        left_out: Why a measure was not made -> its names.
        manifest: From what and how the numbers were made.
    """

    model: str
    rows: tuple[Row, ...]
    posts: Mapping[str, int]
    leaked: tuple[int, int]
    left_out: Mapping[str, Sequence[str]]
    manifest: Mapping[str, Any]


def rows_of(answers: Mapping[Condition, Sequence[Pair]]) -> dict[tuple[str, float], list[Pair]]:
    """Gather the answers of each line, each marked with the emotion that it is held against.

    Plain answers and those of the shared base are held against every emotion. Another emotion's
    vector is that of the next in the paper's order.
    """
    labels = [e for e in EMOTIONS if Condition("vector", e, CONTROL) in answers]
    after = dict(zip(labels, [*labels[1:], *labels[:1]], strict=True))
    plain = Condition("plain")
    rows: dict[tuple[str, float], dict[str, Condition]] = {}
    for alpha in ALPHAS:
        rows[VECTOR, alpha] = {e: Condition("vector", e, alpha) if alpha else plain for e in labels}
    for alpha in filter(None, ALPHAS):
        rows[BASE, alpha] = dict.fromkeys(labels, Condition("vector", BASE, alpha))
    if any(c.kind == "random" for c in answers):
        rows[ANOTHER, CONTROL] = {e: Condition("vector", after[e], CONTROL) for e in labels}
        rows["random", CONTROL] = {e: Condition("random", e, CONTROL) for e in labels}
        rows["prompted", 0.0] = {e: Condition("prompted", e) for e in labels}
        rows["prompt + vector", CONTROL] = {
            e: Condition("prompt + vector", e, CONTROL) for e in labels
        }
    return {
        key: [
            (example, replace(reply, emotion=EmotionMix.of({emotion: 100.0})))
            for emotion, condition in of_emotion.items()
            for example, reply in answers[condition]
        ]
        for key, of_emotion in rows.items()
    }


def score_table(
    answers: Mapping[Condition, Sequence[Pair]],
    queries: Queries,
    *,
    judge: str | None = None,
    others: Sequence[EmotionClassifier] = (),
    fluency_model: str | None = None,
    same_judge: bool = False,
    labels: Path | None = None,
    rounds: int = 1000,
    seed: int = 0,
    device: str = "auto",
    manifest: Mapping[str, Any] | None = None,
    bar: Bar,
) -> PaperTable:
    """Score the answers of all conditions.

    Intervals resample posts.

    Args:
        answers: Of `paper_answers.answer_all`.
        queries: What was answered.
        judge: Judge of emotion; None for "en-score".
        others: Further judges, such as a model of entailment.
        fluency_model: Language model for the perplexity of answers; None measures none.
        same_judge: Whether a judge that touched the vectors may score.
        labels: Folder in which judges' labels are kept for the next time.
        rounds: Samples of the bootstrap.
        seed: Seed of the samples.
        device: Where the language model runs.
        manifest: Goes into the table, beside the judges.
        bar: Called with a title and the number of rows; gives a function that takes how many are
            done.

    Raises:
        EmotoneError: If the judge is not here or touched the vectors.
    """
    opened = open_instruments(
        Wanted(
            (*JUDGED, *TEXTUAL),
            judge=judge or "en-score",
            fluency_model=fluency_model,
            device=device,
            cache=labels,
        )
    )
    first = opened.instruments.emotion
    if first is None:
        raise Unsupported("no judge of emotion was opened; name one with --judge")
    if not same_judge:
        everyone = [pair for pairs in answers.values() for pair in pairs]
        check_judges(opened.judges, everyone, trained=())
    plain = {e.id: {r.seed: r.text} for e, r in answers[Condition("plain")]}
    facts = RunFacts(plain=plain)
    judges = [first, *(remember_emotion(other, labels) for other in others)]
    textual, left_out = measurable(TEXTUAL, opened, facts)
    parts = [p for p in PARTS if any(in_part(e.id, p) for e in queries.posts)]
    gathered = rows_of(answers)
    rows: list[Row] = []

    def measured(
        pairs: Sequence[Pair], names: Sequence[str], by: EmotionClassifier | None = None
    ) -> Measured:
        instruments = replace(opened.instruments, emotion=by)
        return measure_all(pairs, names, instruments, facts, parts=parts, rounds=rounds, seed=seed)

    with bar("scoring", len(gathered)) as advance:
        for (name, alpha), pairs in gathered.items():
            different = {(e.id, r.text, str(r.applied)) for e, r in pairs}
            judged = {by.name: measured(pairs, JUDGED, by) for by in judges}
            rows.append(Row(name, alpha, len(different), judged, measured(pairs, textual)))
            advance(1)
    counted = {p: sum(in_part(e.id, p) for e in queries.posts) for p in parts}
    record = {**(manifest or {}), "judges": opened.judges | {by.name: {} for by in others}}
    return PaperTable(
        next(iter(answers.values()))[0][1].model,
        tuple(rows),
        {"all": len(queries.posts), **counted},
        (queries.leaked, queries.emotional),
        left_out,
        record,
    )


def leak_sentence(table: PaperTable) -> str:
    """Say how many posts the vectors may have been made from."""
    leaked, emotional = table.leaked
    return (
        f"{leaked} of the {emotional} emotional posts of EmotionQuery+ also stand in EmotionQuery,"
        " which the paper makes its vectors from; `unseen` are the posts that do not."
    )


def table_json(table: PaperTable) -> dict[str, Any]:
    """Return the table ready for JSON; what is not defined is null."""
    return {
        "table": "paper",
        "model": table.model,
        "posts": dict(table.posts),
        "leak": leak_sentence(table),
        "left_out": {reason: list(names) for reason, names in table.left_out.items()},
        "rows": [
            {
                "name": row.name,
                "alpha": row.alpha,
                "answers": row.answers,
                "judged": {name: _measured(one) for name, one in row.judged.items()},
                "textual": _measured(row.textual),
            }
            for row in table.rows
        ],
        "published": {
            "eas": {str(alpha): text for alpha, text in EAS_CLAIMS.items()},
            "repeated_4 of released answers with EV_base": {
                name: dict(zip(map(str, ALPHAS), values, strict=True))
                for name, values in RELEASED_REPEATS.items()
            },
        },
        "manifest": dict(table.manifest),
    }


def _measured(one: Measured) -> dict[str, Any]:
    def numbers(of: Mapping[str, Number]) -> dict[str, Any]:
        return {
            key: {
                k: None if isinstance(v, float) and not math.isfinite(v) else v
                for k, v in asdict(number).items()
            }
            for key, number in of.items()
        }

    return {
        "all": numbers(one.total),
        "per_emotion": {k: numbers(v) for k, v in one.per_emotion.items()},
        "per_part": {k: numbers(v) for k, v in one.per_part.items()},
    }


def table_markdown(
    table: PaperTable, eps: Mapping[str, float | None] | None = None, caution: str = ""
) -> str:
    """Write the table for people.

    Args:
        table: The table.
        eps: Published EPS by model and multiple, which stand beside.
        caution: Why they do not compare.
    """
    parts = [part for part in table.posts if part != "all"]
    posts = ", ".join(f"{table.posts[part]} {part}" for part in parts)
    lines = [f"# The emotion-vector paper's table: {table.model}", ""]
    lines += [f"{table.posts['all']} posts ({posts}). {leak_sentence(table)}", ""]
    lines += [f"`{json.dumps(table.manifest.get('settings', {}), ensure_ascii=False)}`", ""]
    base = next(r for r in table.rows if (r.name, r.alpha) == (VECTOR, 0.0))
    for judge in base.judged:
        plain = base.judged[judge].total["asked_probability"].value
        lines += [f"## Judge {judge}", ""]
        lines += _table(
            ("who acts", "times", "EPS, asked", "EPS, any", "EAS", "change of EAS"),
            (
                (
                    row.name,
                    f"{row.alpha:g}",
                    *(_shown(row.judged[judge].total[key]) for key in JUDGED),
                    _change(row.judged[judge].total["asked_probability"].value, plain),
                )
                for row in table.rows
            ),
        )
        emotions = list(base.judged[judge].per_emotion)
        lines += ["EAS by part of the posts, and by emotion:", ""]
        lines += _table(
            ("who acts", "times", *parts, *emotions),
            (
                (
                    row.name,
                    f"{row.alpha:g}",
                    *(
                        _shown(group[key]["asked_probability"])
                        for group, keys in (
                            (row.judged[judge].per_part, parts),
                            (row.judged[judge].per_emotion, emotions),
                        )
                        for key in keys
                    ),
                )
                for row in table.rows
            ),
        )
    keys = list(base.textual.total)
    lines += ["## Fluency and topic", ""]
    lines += _table(
        ("who acts", "times", *keys),
        (
            (row.name, f"{row.alpha:g}", *(_shown(row.textual.total[key]) for key in keys))
            for row in table.rows
        ),
    )
    lines += ["## Published", ""]
    if eps:
        lines += [*_table(("model", "EPS"), ((k, _plain(v)) for k, v in eps.items())), caution, ""]
    claims = "; ".join(f"at {alpha:g} times it {text}" for alpha, text in EAS_CLAIMS.items())
    lines += [f"EAS, as a review quotes the paper: {claims}.", ""]
    lines += ["Repeated 4-grams of the authors' released answers with their base vector:", ""]
    lines += _table(
        ("model", *(f"{alpha:g}" for alpha in ALPHAS)),
        ((name, *(f"{v:.3f}" for v in values)) for name, values in RELEASED_REPEATS.items()),
    )
    return "\n".join(lines).rstrip() + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    written = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return [*written, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _plain(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def _shown(number: Number) -> str:
    if number.value is None or math.isnan(number.value):
        return "-"
    text = _plain(number.value)
    if number.low is None or number.high is None or math.isnan(number.low):
        return text
    return f"{text} [{number.low:.2f}, {number.high:.2f}]"


def _change(value: float | None, plain: float | None) -> str:
    if value is None or not plain or math.isnan(value) or math.isnan(plain):
        return "-"
    return f"{100 * (value / plain - 1):+.0f} %"
