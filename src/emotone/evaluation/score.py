"""From replies to scores: metrics with intervals, groups, curves and paired tests.

`score_files` is the whole way from files; `score_run` scores replies that are in memory with
instruments that are open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from emotone.data.text import language
from emotone.emotions import TAXONOMIES, Taxonomy
from emotone.errors import DataError, Unsupported, UsageError, unknown_name
from emotone.evaluation import manifest as manifests
from emotone.evaluation.compare import compare
from emotone.evaluation.facts import asked_emotions, by_system, plain_replies, run_facts
from emotone.evaluation.instruments import Wanted, measurable, open_instruments
from emotone.evaluation.manifest import beside, file_facts, read_manifest
from emotone.evaluation.measure import ROUNDS, Advance, measure_all
from emotone.evaluation.records import read_replies_files
from emotone.evaluation.scores import Scores
from emotone.evaluation.summaries import confusion, distributions, dose, judge_replies
from emotone.evaluation.touched import check_judges, judges_beside
from emotone.metrics import Instruments, RunFacts, names, spec
from emotone.metrics.base import Pair
from emotone.metrics.common import unsaid
from emotone.metrics.spec import undeclared
from emotone.protocols import Spread

Bar = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


def score_run(
    pairs: Sequence[Pair],
    metrics: Sequence[str],
    instruments: Instruments | None = None,
    facts: RunFacts | None = None,
    *,
    parts: Sequence[str] = (),
    rounds: int = ROUNDS,
    seed: int = 0,
    manifest: Mapping[str, Any] | None = None,
    advance: Advance | None = None,
) -> Scores:
    """Score the replies of one system with one model.

    Intervals resample example ids, as replies to one post are not independent.

    Args:
        pairs: Examples and replies of one (system, model).
        metrics: Names for `emotone.metrics.build`.
        instruments: Judges, encoders and segmenters; None for those that need no model.
        facts: Of the run; None finds them in the replies.
        parts: Names of parts of the examples that are also scored apart; see `groups.in_part`.
        rounds: Samples of the bootstrap.
        seed: Seed of the samples.
        manifest: Goes into the result.
        advance: Called with the name of each metric that is done.

    Raises:
        DataError: If there is no reply or more than one (system, model).
        Unsupported: If a metric needs an instrument that is None.
    """
    systems = list(by_system(pairs))
    if len(systems) != 1:
        raise DataError(
            f"{len(systems)} systems came where one is scored; separate them with `by_system`"
        )
    instruments = instruments or Instruments()
    judge = instruments.emotion
    facts = facts or run_facts(pairs, judge)
    measured = measure_all(
        pairs, metrics, instruments, facts, parts=parts, rounds=rounds, seed=seed, advance=advance
    )
    judged = judge_replies(pairs, judge, facts)
    return Scores(
        *systems[0],
        len(pairs),
        measured.total,
        measured.per_emotion,
        measured.per_part,
        confusion=judged and confusion(judged),
        dose=dose(judged, rounds=rounds, seed=seed) if judged else {},
        distributions=distributions(pairs, instruments.tokens),
        manifest=dict(manifest or {}),
        at_full=measured.at_full,
    )


def score_files(
    inputs: str | Path | Sequence[str | Path],
    metrics: Sequence[str] | None = None,
    *,
    against: Sequence[str | Path] = (),
    asked: str = "none",
    parts: Sequence[str] = (),
    taxonomy: str | None = None,
    judge: str | None = None,
    empathy_judge: str | None = None,
    sense_judge: str | None = None,
    same_judge: bool = False,
    fluency_model: str | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
    device: str = "auto",
    labels: Path | None = None,
    note: Callable[[str], None] | None = None,
    bar: Bar | None = None,
    spread: Spread = map,
) -> list[Scores]:
    """Score the replies of files: what `emotone score` does, and `emotone.score` in Python.

    Args:
        inputs: One replies.jsonl or several.
        metrics: Names of metrics; None for every metric whose tools are installed.
        against: Replies of other systems, one system a file, for paired tests.
        asked: "all" compares each reply of a run without any emotion with every requested one.
        parts: Names of parts of the examples that are also scored apart; see `groups.in_part`.
        taxonomy: Labels of lines that name none; None for Ekman's.
        judge: Judge of emotion; None for the scoring judge of the language.
        empathy_judge: Judge of empathy; None for "empathy-score".
        sense_judge: Judge of sense; None for the scoring one of the language.
        same_judge: Whether a judge that touched the training may score.
        fluency_model: Language model for the perplexity of replies; None measures none.
        rounds: Samples of the bootstrap; paired tests take ten times as many.
        seed: Seed of the samples.
        device: Where the language model runs.
        labels: Folder in which judges' labels are kept for the next time; None keeps none.
        note: Called with a sentence for each metric, or kind of reply, that is left out.
        bar: Called with a title and the number of metrics; gives a function that takes how many
            are done.
        spread: How batches of texts are judged, such as `emotone.launch.ray`.

    Returns:
        Scores of each (system, model) of the input, in order.

    Raises:
        EmotoneError: If a file cannot be read, a judge touched the training, or a metric that is
            named cannot be measured.
    """
    if asked not in ("none", "all"):
        raise UsageError(f"--asked is {asked!r}; use none or all")
    files = [Path(p) for p in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    if not files:
        raise UsageError("no file of replies is named; give one made by `emotone generate`")
    wanted = _names(metrics)
    label_set = _taxonomy(taxonomy)
    pairs = read_replies_files(files, label_set)
    others = {Path(p): read_replies_files([Path(p)], label_set) for p in against}
    if note is not None and (strange := _in_another_script(pairs)):
        note(
            f'{len(strange)} of {len(pairs)} replies are not in the script of their "lang" (the'
            f' first answers {strange[0]!r}); metrics and judges go by "lang"'
        )
    runs = by_system(pairs)
    _check_one_each(others)
    opened = open_instruments(
        Wanted(
            tuple(wanted),
            _lang(pairs, judge),
            strict=metrics is not None,
            judge=judge,
            empathy_judge=empathy_judge,
            sense_judge=sense_judge,
            fluency_model=fluency_model,
            device=device,
            cache=labels,
            spread=spread,
        )
    )
    everyone = [*pairs, *(pair for rows in others.values() for pair in rows)]
    if not same_judge:
        check_judges(opened.judges, everyone, trained=judges_beside([*files, *others]))
    instruments, classifier = opened.instruments, opened.instruments.emotion
    requested = asked_emotions(everyone)
    emotions = requested if asked == "all" else ()
    facts = {
        run: run_facts(rows, classifier, asked=asked, emotions=emotions)
        for run, rows in runs.items()
    }
    chosen: dict[tuple[str, str], list[str]] = {}
    left_out: dict[str, list[str]] = {}
    for run in runs:
        chosen[run], without = measurable(wanted, opened, facts[run])
        left_out |= without
        if without and metrics is not None:
            reason, lacking = next(iter(without.items()))
            raise Unsupported(
                f"{', '.join(lacking)} cannot be measured: {reason}; leave it out of --metrics"
            )
    if note is not None:
        if classifier is not None and (lost := unsaid(requested, classifier.taxonomy)):
            note(
                f"left out replies asked for {', '.join(lost)} from what compares with the asked"
                f" emotion: the judge {classifier.name} has no label for it"
            )
        for reason, lacking in left_out.items():
            note(f"left out {', '.join(lacking)}: {reason}")
    settings = {"asked": asked, "rounds": rounds, "seed": seed, "same_judge": same_judge}
    settings |= {"taxonomy": taxonomy, "parts": ",".join(parts) or None}
    of_files = {
        "judges": opened.judges,
        "settings": settings,
        "against": [file_facts(path) for path in others],
        "generated": {p.name: record for p in files if (record := read_manifest(beside(p)))},
        **_shown_outside(wanted),
    }
    total = sum(map(len, chosen.values())) * (1 + len(others))
    scores: list[Scores] = []
    with (bar or _no_bar)("metrics", total) as advance:
        for run, rows in runs.items():
            of_run = score_run(
                rows,
                chosen[run],
                instruments,
                facts[run],
                parts=parts,
                rounds=rounds,
                seed=seed,
                manifest=manifests.manifest(
                    files, seeds=(reply.seed for _, reply in rows), **of_files
                ),
                advance=lambda _: advance(1),
            )
            compared = [
                compare(
                    rows,
                    theirs,
                    measurable(chosen[run], opened, RunFacts(asked, plain=plain_replies(theirs)))[
                        0
                    ],
                    instruments,
                    asked=asked,
                    emotions=emotions,
                    rounds=10 * rounds,
                    seed=seed,
                    advance=lambda _: advance(1),
                )
                for theirs in others.values()
            ]
            scores.append(replace(of_run, against=tuple(compared)))
    return scores


@contextmanager
def _no_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    del title, total
    yield lambda _: None


def _names(metrics: Sequence[str] | None) -> list[str]:
    if metrics is None:
        return names()
    if not metrics:
        raise UsageError("no metric is named; name some, such as distinct_2,bleu")
    return list(dict.fromkeys(metrics))


def _taxonomy(name: str | None) -> Taxonomy | None:
    if name is None:
        return None
    if name not in TAXONOMIES:
        raise unknown_name("taxonomy", name, TAXONOMIES)
    return TAXONOMIES[name]


def _in_another_script(pairs: Sequence[Pair]) -> list[str]:
    """Ids of the examples with a reply in the other language's script."""
    return [
        example.id
        for example, reply in pairs
        if reply.text.strip() and (language(reply.text) == "zh") != (example.lang == "zh")
    ]


def _lang(pairs: Sequence[Pair], judge: str | None) -> str:
    langs = sorted({example.lang for example, _ in pairs})
    if len(langs) > 1 and judge is None:
        raise UsageError(
            f"the replies are in {' and '.join(langs)}; score each language apart, or name one"
            " --judge for both"
        )
    return langs[0]


def _check_one_each(others: Mapping[Path, Sequence[Pair]]) -> None:
    for path, rows in others.items():
        if len(by_system(rows)) != 1:
            raise DataError(f"{path} holds replies of several systems; give a file of one system")


def _shown_outside(metrics: Sequence[str]) -> dict[str, Any]:
    """Return how metrics from outside are shown, for reports where they are not installed."""
    outside = [spec(name).display() for name in metrics if "." in name]
    shown = {one.name: asdict(one) for one in outside if one != undeclared(one.name)}
    return {"metrics": shown} if shown else {}
