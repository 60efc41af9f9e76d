"""Score all runs of a comparison, and write their numbers.

`python -m recipes.recurrent.evaluate RUNS [--judged 300] [--lang zh] [--label-only]`

Writes docs/results/recurrent.json. Labels of the judge are kept in RUNS/.labels, by text, so that
runs that come later, and runs that say the same, cost nothing anew. `--label-only` does that part
ahead, while other runs are still being trained.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotone.emotions import Emotion
from emotone.evaluation.facts import asked_emotions
from emotone.evaluation.instruments import Wanted, open_instruments
from emotone.evaluation.likelihoods import NATS, PERPLEXITY, read_likelihoods
from emotone.evaluation.manifest import manifest
from emotone.evaluation.scores import read_scores
from emotone.evaluation.touched import check_judges
from emotone.metrics import Instruments
from emotone.metrics.asked import asked_emotion
from emotone.metrics.base import Pair, replies_and_posts
from emotone.metrics.pooling import ROUNDS, Sampled
from recipes.compare.files import RESULTS, read_results, write_results
from recipes.compare.rows import Row, number, of_likelihoods, of_replies, row_of_texts
from recipes.recurrent.contrasts import compared
from recipes.recurrent.folders import DECODINGS, Run, deal, find, neutral_of, one_each, replies

#: Posts whose replies are judged; judging costs most of the time.
JUDGED = 300
PEOPLE = "people-references"
PERPLEXITIES = ("perplexity", "ecm_perplexity")


@dataclass(frozen=True, slots=True)
class Measured:
    """One number of the tables.

    Args:
        metric: Name for `emotone.metrics.build`.
        view: Which replies: "all"; "one" a post; "judged", those of posts that are judged; "felt",
            those of them that were asked for an emotion other than none.
        people: Whether it is also measured of people's own replies.
    """

    metric: str
    view: str = "all"
    people: bool = False


MEASURES: Mapping[str, Measured] = {
    "distinct_1": Measured("distinct_1", "one", people=True),
    "distinct_2": Measured("distinct_2", "one", people=True),
    "emotion_accuracy": Measured("emotion_accuracy", "judged"),
    "emotion_macro_f1": Measured("emotion_macro_f1", "judged"),
    "emotion_accuracy_felt": Measured("emotion_accuracy", "felt"),
    "emotion_macro_f1_felt": Measured("emotion_macro_f1", "felt"),
    "sense": Measured("sense", "one", people=True),
    "topic_reference": Measured("topic_reference"),
    "topic_post": Measured("topic_post", people=True),
    "similarity_reference": Measured("similarity_reference"),
    "similarity_post": Measured("similarity_post", people=True),
    "bleu": Measured("bleu"),
    "repeated_4": Measured("repeated_4", people=True),
    "commonest_share": Measured("commonest_share", people=True),
    "length_words": Measured("length_words", people=True),
}


@dataclass(frozen=True, slots=True)
class Language:
    """What the runs of one language are scored with, and on.

    Args:
        runs: The runs.
        instruments: Judge and encoder.
        judges: Name of the judge -> hashes of its data.
        judged: Posts whose replies are judged.
        rounds: Resamples of posts.
    """

    runs: tuple[Run, ...]
    instruments: Instruments
    judges: Mapping[str, Any]
    judged: int
    rounds: int


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("runs", type=Path)
    arguments.add_argument("--lang", choices=("en", "zh"), action="append")
    arguments.add_argument("--judged", type=int, default=JUDGED, help="posts that are judged")
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    arguments.add_argument("--label-only", action="store_true")
    arguments.add_argument("--result", type=Path, default=RESULTS / "recurrent.json")
    given = arguments.parse_args()
    langs: dict[str, Any] = {}
    judges: dict[str, Any] = {}
    if given.lang and given.result.is_file():  # the other language stays as it was measured
        before = read_results(given.result)
        langs, judges = before["langs"], before["manifest"]["judges"]
    for lang in given.lang or ("zh", "en"):
        runs = tuple(r for r in find(given.runs) if r.lang == lang)
        if not runs:
            print(f"{lang}: no run")
            continue
        language = opened(runs, lang, given.runs / ".labels", given.judged, given.rounds)
        judges |= language.judges
        decodings = {d: read_rows(language, file) for d, file in DECODINGS.items()}
        if given.label_only:
            for rows in decodings.values():
                label(language, rows)
            continue
        langs[lang] = {
            "runs": {r.folder.name: r.facts for r in runs},
            "perplexity": perplexities(runs, given.rounds),
            "decodings": {d: scored(language, rows) for d, rows in decodings.items() if rows},
        }
    if given.label_only:
        return
    settings = {"judged": given.judged, "rounds": given.rounds}
    about = manifest(judges=judges, settings=settings)
    write_results(given.result, {"manifest": about, "langs": langs})
    print(f"wrote {given.result}")


def opened(runs: tuple[Run, ...], lang: str, cache: Path, judged: int, rounds: int) -> Language:
    """Open judge and encoder, and refuse a judge that labelled what a run was trained on."""
    names = tuple(dict.fromkeys(m.metric for m in MEASURES.values()))
    cache.mkdir(parents=True, exist_ok=True)
    opened = open_instruments(Wanted(names, lang, strict=True, cache=cache))
    for run in runs:
        check_judges(opened.judges, [], trained=run.judges)
    return Language(runs, opened.instruments, opened.judges, judged, rounds)


def read_rows(language: Language, file: str) -> dict[str, Row]:
    """Read the replies of all runs; keep the posts that every run of a size answered."""
    sizes: dict[str, dict[str, dict[int, list[Pair]]]] = {}
    for run in language.runs:
        if pairs := replies(run, file):
            check_judges(language.judges, pairs, trained=())
            sizes.setdefault(run.size, {}).setdefault(run.row, {})[run.seed] = pairs
    rows: dict[str, Row] = {}
    for size, of_size in sorted(sizes.items()):
        sets = [{e.id for e, _ in ps} for seeds in of_size.values() for ps in seeds.values()]
        common, most = set.intersection(*sets), max(map(len, sets))
        if most > len(common):
            print(f"{file} {size}: {len(common)} posts are answered by all, of up to {most}")
        for name, seeds in of_size.items():
            rows[name] = Row({s: [[p for p in ps if p[0].id in common]] for s, ps in seeds.items()})
        if PEOPLE not in rows:  # beside the rows of all pairs, whose size is sorted first
            references = {e.id: e for e, _ in next(iter(rows.values())).pairs if e.reply}.values()
            rows[PEOPLE] = row_of_texts(references, (e.reply or "" for e in references), "people")
    return rows


def label(language: Language, rows: Mapping[str, Row]) -> None:
    """Let the judge label the replies that it is to score, and print how fast it was."""
    judge: Any = language.instruments.emotion
    for name, row in rows.items():
        judged = set(deal(row.posts, language.judged))
        texts, posts = replies_and_posts([p for p in row.pairs if p[0].id in judged])
        if name == PEOPLE or not texts:
            continue
        known = len(judge.labels.known)
        start = time.perf_counter()
        judge.classify(texts, posts)
        new, seconds = len(judge.labels.known) - known, time.perf_counter() - start
        print(f"{name}: {len(texts)} texts, {new} new, {new / seconds:.1f} texts/s", flush=True)


def scored(language: Language, rows: Mapping[str, Row]) -> dict[str, Any]:
    """Measure every row, and the differences and ratios between rows."""
    pairs = [p for row in rows.values() for p in row.pairs]
    neutral = neutral_of(pairs)
    asked = asked_emotions(pairs)
    felt = tuple(e for e in asked if e.label != neutral)
    compared_with = {"judged": asked, "felt": felt}
    samples: dict[str, dict[str, Sampled]] = {}
    of_rows: dict[str, Any] = {}
    for name, row in rows.items():
        start = time.perf_counter()
        posts, judged = row.posts, deal(row.posts, language.judged)
        samples[name] = {}
        for key, what in MEASURES.items():
            if name == PEOPLE and not what.people:
                continue
            part = viewed(row, what.view, set(judged), felt)
            emotions = compared_with.get(what.view)
            statistics = of_replies(part, what.metric, language.instruments, emotions)
            over = posts if emotions is None else judged
            samples[name][key] = statistics.sampled(over, language.rounds)
        of_rows[name] = {
            "seeds": sorted(row.replies),
            "posts": len(posts),
            "judged_posts": len(judged),
            "replies": len(row.pairs),
            **numbers_of(row.replies, samples[name]),
            "by_emotion": by_emotion(row, judged, language, asked),
        }
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    return {
        "asked": [e.label for e in asked],
        "neutral": neutral,
        "signatures": {k: s.signature for by_key in samples.values() for k, s in by_key.items()},
        "rows": of_rows,
        **compared(language.runs, samples),
    }


def viewed(row: Row, view: str, judged: Container[str], felt: Sequence[Emotion]) -> Row:
    """Choose the replies that a measure is taken of; see `Measured`."""
    if view == "all":
        return row
    if view == "one":
        return row.part(one_each)
    of_judged = row.part(lambda pairs: [p for p in pairs if p[0].id in judged])
    if view == "judged":
        return of_judged
    return of_judged.part(lambda ps: [p for p in ps if asked_emotion(p[1]) in (None, *felt)])


def by_emotion(
    row: Row, judged: Sequence[str], language: Language, asked: Sequence[Emotion]
) -> dict[str, Any]:
    """Accuracy of the replies asked for each emotion."""
    of_judged = viewed(row, "judged", set(judged), ())
    accuracies: dict[str, Any] = {}
    for emotion in asked:
        part = of_judged.part(lambda ps, e=emotion: [p for p in ps if asked_emotion(p[1]) == e])
        if all(pairs for many in part.replies.values() for pairs in many):
            accuracy = of_replies(part, "emotion_accuracy", language.instruments, asked)
            sampled = accuracy.sampled(judged, language.rounds)
            accuracies[emotion.label] = number(sampled, "emotion_accuracy")
    return accuracies


def numbers_of(seeds: Mapping[int, Any], samples: Mapping[str, Sampled]) -> dict[str, Any]:
    """Values with intervals, and those of each seed."""
    return {
        "numbers": {key: number(sampled, key) for key, sampled in samples.items()},
        "by_seed": {
            key: {
                str(seed): None if value != value else round(float(value), 6)
                for seed, value in zip(seeds, sampled.values, strict=True)
            }
            for key, sampled in samples.items()
        },
    }


def perplexities(runs: Sequence[Run], rounds: int) -> dict[str, Any]:
    """Perplexity of the references of every row, with differences and ratios."""
    likelihoods: dict[str, dict[int, Any]] = {}
    first: dict[str, Path] = {}
    for run in runs:
        if all((run.folder / file).is_file() for file in (NATS, PERPLEXITY)):
            likelihoods.setdefault(run.row, {})[run.seed] = read_likelihoods(run.folder / NATS)
            first.setdefault(run.row, run.folder)
    rows = {name: Row(likelihoods=seeds) for name, seeds in likelihoods.items()}
    sets = [set(known) for row in rows.values() for known in row.likelihoods.values()]
    posts = sorted(set.intersection(*sets)) if sets else []
    samples: dict[str, dict[str, Sampled]] = {}
    of_rows: dict[str, Any] = {}
    for name, row in rows.items():
        metrics = read_scores(first[name] / PERPLEXITY).metrics
        signatures = {key: metrics[key].signature for key in PERPLEXITIES}
        samples[name] = {
            key: of_likelihoods(row, key, posts, signature).sampled(posts, rounds)
            for key, signature in signatures.items()
        }
        of_rows[name] = {
            "seeds": sorted(row.likelihoods),
            **numbers_of(row.likelihoods, samples[name]),
            "signatures": signatures,
        }
    return {"references": len(posts), "rows": of_rows, **compared(runs, samples)}


if __name__ == "__main__":
    main()
