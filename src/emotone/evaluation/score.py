"""From replies to scores: metrics with intervals, parts, curves and paired tests.

Nothing is generated here and no model is loaded: judges and encoders come in as `Tools`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotone.emotions import TAXONOMIES, Emotion, Taxonomy
from emotone.errors import DataError, Unsupported, UsageError, unknown_name
from emotone.evaluation.measure import ROUNDS, Advance, numbers
from emotone.evaluation.neutral import with_neutral
from emotone.evaluation.scores import Against, Difference, Scores
from emotone.evaluation.summaries import Pair, confusion, distributions, dose, in_order

if TYPE_CHECKING:
    from emotone.metrics import Tools

#: Random swaps of the paired test.
PAIRED_ROUNDS = 10_000

#: Perplexity without more words is that of references under the system itself
#: (`emotone perplexity`); that of replies under another model has names of its own.
_OF_REPLIES: Mapping[str, str] = {
    name: f"reply_{name}" for name in ("perplexity", "ecm_perplexity", "bits_per_character")
}

Bar = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


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
    same_judge: bool = False,
    fluency_model: str | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
    device: str = "auto",
    labels: Path | None = None,
    note: Callable[[str], None] | None = None,
    bar: Bar | None = None,
) -> list[Scores]:
    """Score the replies of files: what `emotone score` does, and `emotone.score` in Python.

    Args:
        inputs: One replies.jsonl or several.
        metrics: Names of metrics; None for every metric whose tools are installed.
        against: Replies of other systems, one system a file, for paired tests.
        asked: "all" compares each reply of a run without any emotion with every requested one.
        parts: Names of parts of the examples that are also scored apart; see `measure.in_part`.
        taxonomy: Labels of lines that name none; None for Ekman's.
        judge: Judge of emotion; None for the scoring judge of the language.
        empathy_judge: Judge of empathy; None for "empathy-score".
        same_judge: Whether a judge that touched the training may score.
        fluency_model: Language model for the perplexity of replies; None measures none.
        rounds: Samples of the bootstrap; paired tests take ten times as many.
        seed: Seed of the samples.
        device: Where the language model runs.
        labels: Folder in which judges' labels are kept for the next time; None keeps none.
        note: Called with a sentence for each metric, or kind of reply, that is left out.
        bar: Called with a title and the number of metrics; gives a function that takes how many
            are done.

    Returns:
        Scores of each (system, model) of the input, in order.

    Raises:
        EmotoneError: If a file cannot be read, a judge touched the training, or a metric that is
            named cannot be measured.
    """
    from emotone.evaluation.records import read_replies_files
    from emotone.evaluation.tools import Wanted, open_tools, usable
    from emotone.evaluation.touched import check_judges, judges_beside

    if asked not in ("none", "all"):
        raise UsageError(f"--asked is {asked!r}; use none or all")
    files = [Path(p) for p in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    names = _names(metrics)
    label_set = _taxonomy(taxonomy)
    pairs = read_replies_files(files, label_set)
    others = [(Path(p), read_replies_files([Path(p)], label_set)) for p in against]
    by_system = runs(pairs)
    _check_one_each(others)
    opened = open_tools(
        Wanted(
            tuple(names),
            _lang(pairs, judge),
            strict=metrics is not None,
            judge=judge,
            empathy_judge=empathy_judge,
            fluency_model=fluency_model,
            device=device,
            cache=labels,
        )
    )
    everyone = [*pairs, *(p for _, rows in others for p in rows)]
    if not same_judge:
        listed = judges_beside([*files, *(path for path, _ in others)])
        check_judges(opened.judges, everyone, trained=listed)
    tools = dataclasses.replace(
        opened.tools,
        asked=asked,
        asked_emotions=asked_emotions(everyone) if asked == "all" else (),
    )
    chosen: dict[tuple[str, str], list[str]] = {}
    left_out: dict[str, list[str]] = {}
    for run, rows in by_system.items():
        chosen[run], without = usable(names, opened, rows)
        left_out.update(without)
        if without and metrics is not None:
            raise Unsupported(
                f"{', '.join(next(iter(without.values())))} cannot be had: {next(iter(without))};"
                " leave it out of --metrics"
            )
    lost = with_unsaid(tools, everyone).unsaid
    if note and lost:
        note(
            f"left out replies asked for {', '.join(lost)} from what compares with the asked"
            f" emotion: the judge {getattr(tools.emotion, 'name', '')} has no label for it"
        )
    for reason, missing in left_out.items() if note else ():
        note(f"left out {', '.join(missing)}: {reason}")  # pyright: ignore[reportOptionalCall]
    settings = {"asked": asked, "rounds": rounds, "seed": seed, "same_judge": same_judge}
    settings |= {"taxonomy": taxonomy, "parts": ",".join(parts) or None}
    made: list[Scores] = []
    total = sum(map(len, chosen.values())) * (1 + len(others))
    with (bar or _no_bar)("metrics", total) as advance:
        for run, rows in by_system.items():
            done = score_run(
                rows,
                chosen[run],
                tools,
                parts=parts,
                rounds=rounds,
                seed=seed,
                manifest=_manifest(
                    rows, files, [path for path, _ in others], opened.judges, settings
                ),
                advance=lambda _: advance(1),
            )
            compared = [
                compare(
                    rows,
                    theirs,
                    [n for n in chosen[run] if n in usable([n], opened, theirs)[0]],
                    tools,
                    rounds=10 * rounds,
                    seed=seed,
                    advance=lambda _: advance(1),
                )
                for _, theirs in others
            ]
            made.append(dataclasses.replace(done, against=tuple(compared)))
    return made


@contextmanager
def _no_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    del title, total
    yield lambda _: None


def _names(metrics: Sequence[str] | None) -> list[str]:
    from emotone import metrics as room

    if metrics is None:
        return room.names()
    if not metrics:
        raise UsageError("no metric is named; name some, such as distinct_2,bleu")
    return list(dict.fromkeys(metrics))


def _taxonomy(name: str | None) -> Taxonomy | None:
    if name is None:
        return None
    if name not in TAXONOMIES:
        raise unknown_name("taxonomy", name, TAXONOMIES)
    return TAXONOMIES[name]


def _lang(pairs: Sequence[Pair], judge: str | None) -> str:
    langs = sorted({example.lang for example, _ in pairs})
    if len(langs) > 1 and judge is None:
        raise UsageError(
            f"the replies are in {' and '.join(langs)}; score each language apart, or name one"
            " --judge for both"
        )
    return langs[0]


def _check_one_each(others: Sequence[tuple[Path, list[Pair]]]) -> None:
    for path, rows in others:
        if len(runs(rows)) != 1:
            raise DataError(f"{path} holds replies of several systems; give a file of one system")


def _manifest(
    rows: Sequence[Pair],
    source: Sequence[Path],
    against: Sequence[Path],
    judges: Mapping[str, dict[str, str]],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    from emotone.evaluation.manifest import beside, file_facts, manifest, read_manifest

    generated = {path.name: read_manifest(beside(path)) for path in source}
    return manifest(
        source,
        judges=judges,
        settings=settings,
        seeds=(reply.seed for _, reply in rows),
        against=[file_facts(path) for path in against],
        generated={name: facts for name, facts in generated.items() if facts},
    )


def runs(pairs: Iterable[Pair]) -> dict[tuple[str, str], list[Pair]]:
    """Part replies by (system, model), each in the order of the file.

    Raises:
        DataError: If one id stands for two dialogues.
    """
    found: dict[tuple[str, str], list[Pair]] = {}
    dialogues: dict[str, Any] = {}
    for example, reply in pairs:
        said = tuple((p.speaker, p.text) for p in example.dialogue.posts)
        if dialogues.setdefault(example.id, said) != said:
            raise DataError(
                f"example {example.id!r} has two different dialogues; score files of one corpus"
            )
        found.setdefault((reply.system, reply.model), []).append((example, reply))
    return found


def asked_emotions(pairs: Iterable[Pair]) -> tuple[Emotion, ...]:
    """List the emotions that replies were asked for alone and above 0, in taxonomy order."""
    found = {
        emotion
        for _, reply in pairs
        if reply.emotion is not None and (emotion := reply.emotion.only) is not None
    }
    names = in_order([e.label for e in found])
    return tuple(sorted(found, key=lambda e: (e.taxonomy, names.index(e.label))))


def with_unsaid(tools: Tools, pairs: Sequence[Pair]) -> Tools:
    """Fill in the asked emotions that the judge of emotion cannot say.

    Raises:
        UnknownName: If there is no table between the asked taxonomy and the judge's.
    """
    from emotone.metrics.asked import unsaid

    if tools.emotion is None:
        return tools
    asked = asked_emotions(pairs)
    if not asked and tools.asked == "all":
        asked = tools.asked_emotions
    return dataclasses.replace(tools, unsaid=unsaid(asked, tools.emotion.taxonomy))


def score_run(
    pairs: Sequence[Pair],
    metrics: Sequence[str],
    tools: Tools,
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
        tools: Judges, encoders and segmenters; "neutral" is filled from the replies themselves.
        parts: Names of parts of the examples that are also scored apart; see `measure.in_part`.
        rounds: Draws of the bootstrap.
        seed: Seed of the draws.
        manifest: Goes into the result.
        advance: Called with the name of each metric that is done.

    Raises:
        DataError: If there is no reply or more than one (system, model).
        Unsupported: If a metric needs a tool that is None.
    """
    found = list(runs(pairs))
    if len(found) != 1:
        raise DataError(f"{len(found)} systems came where one is scored; part them with `runs`")
    tools = with_unsaid(with_neutral(tools, pairs), pairs)
    total, per_emotion, per_part, at_full = numbers(
        pairs,
        metrics,
        tools,
        parts=parts,
        rounds=rounds,
        seed=seed,
        names=_OF_REPLIES,
        advance=advance,
    )
    return Scores(
        *found[0],
        len(pairs),
        total,
        per_emotion,
        per_part,
        None if tools.emotion is None else confusion(pairs, tools.emotion),
        {} if tools.emotion is None else dose(pairs, tools.emotion, rounds=rounds, seed=seed),
        distributions(pairs, tools.tokens),
        manifest=dict(manifest or {}),
        at_full=at_full,
    )


def compare(
    pairs: Sequence[Pair],
    others: Sequence[Pair],
    metrics: Sequence[str],
    tools: Tools,
    *,
    rounds: int = PAIRED_ROUNDS,
    seed: int = 0,
    advance: Advance | None = None,
) -> Against:
    """Test whether two systems differ on the replies that both gave to the same posts and moods.

    A reply goes with the other system's reply to the same example in the same emotion. With
    `tools.asked` "all", a reply of a system that was asked for no emotion at all goes with each
    of the other's, and is compared with that emotion. Where a reply is so used more than once,
    only statistics that add up are compared, in which a copy is a weight; the variety of copies
    (Distinct, the commonest share) would be that of no run.

    Args:
        pairs: Replies of one system.
        others: Replies of another.
        metrics: Names of metrics.
        tools: As for `score_run`.
        rounds: Random swaps.
        seed: Seed of the swaps.
        advance: Called with the name of each metric that is done.

    Raises:
        DataError: If the two share no reply, or one is no single (system, model).
    """
    from emotone.metrics import build
    from emotone.metrics.base import SumStats
    from emotone.metrics.significance import paired_test

    ours, theirs = list(runs(pairs)), list(runs(others))
    if len(ours) != 1 or len(theirs) != 1:
        raise DataError(
            f"{len(ours)} and {len(theirs)} systems came where one is compared with one; give"
            " replies of one system and one model to each side"
        )
    runs([*pairs, *others])  # the same ids must mean the same dialogues
    left, right, copied = _aligned(pairs, others, both=tools.asked == "all")
    ids = [example.id for example, _ in left]
    tools = with_unsaid(tools, [*left, *right])
    made: dict[str, Difference] = {}
    for name in metrics:
        mine = build(name, with_neutral(tools, pairs))
        other = build(name, with_neutral(tools, others))
        a, b = mine.stats(left), other.stats(right)
        if copied and not (isinstance(a, SumStats) and isinstance(b, SumStats)):
            continue
        try:
            test = paired_test(a, b, rounds=rounds, seed=seed, groups=ids)
        except Unsupported:
            continue  # statistics that cannot be joined have no paired test
        made[_OF_REPLIES.get(mine.name, mine.name)] = Difference(
            a.value(), b.value(), test.difference, test.low, test.high, test.p, len(left)
        )
        if advance:
            advance(name)
    return Against(*theirs[0], made)


def _aligned(
    pairs: Sequence[Pair], others: Sequence[Pair], *, both: bool
) -> tuple[list[Pair], list[Pair], bool]:
    """Put replies side by side, and tell whether one of them is used more than once."""

    def by_key(rows: Sequence[Pair]) -> dict[tuple[str, str | None, int], Pair]:
        made: dict[tuple[str, str | None, int], Pair] = {}
        times: dict[tuple[str, str | None], int] = {}
        for example, reply in sorted(rows, key=lambda p: p[1].seed):
            key = (example.id, None if reply.emotion is None else str(reply.emotion))
            made[*key, times.get(key, 0)] = (example, reply)
            times[key] = times.get(key, 0) + 1
        return made

    ours, theirs = by_key(pairs), by_key(others)
    # Beside replies in a mood, plain ones are no answer to an emotion.
    mine_all, theirs_all = (
        both and all(reply.emotion is None for _, reply in rows) for rows in (pairs, others)
    )
    left: list[Pair] = []
    right: list[Pair] = []
    used: Counter[tuple[str, str | None, int]] = Counter()
    for key in sorted({*ours, *theirs}, key=lambda k: (k[0], k[1] or "", k[2])):
        plain = (key[0], None, key[2])
        mine = ours.get(key) or (ours.get(plain) if mine_all else None)
        other = theirs.get(key) or (theirs.get(plain) if theirs_all else None)
        if mine is None or other is None:
            continue
        used.update({key, plain} if key not in ours or key not in theirs else {key})
        mood = mine[1].emotion or other[1].emotion
        left.append((mine[0], dataclasses.replace(mine[1], emotion=mood)))
        right.append((other[0], dataclasses.replace(other[1], emotion=mood)))
    if not left:
        raise DataError(
            "the two files share no example asked for the same emotion; answer the same examples"
            " in the same emotions, or add --asked all where one system takes no emotion"
        )
    return left, right, max(used.values()) > 1
