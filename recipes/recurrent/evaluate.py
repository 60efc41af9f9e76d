"""Score all runs of a comparison, and write their numbers.

`python -m recipes.recurrent.evaluate RUNS [--judged 300] [--lang zh] [--label-only]`

Writes docs/results/recurrent.json. What the judge heard is kept in RUNS/.labels, by text, so that
runs that come later, and runs that say the same, cost nothing anew. `--label-only` does that part
ahead, while other runs are still being trained.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotone.emotions import Emotion
from emotone.evaluation.manifest import manifest
from emotone.evaluation.score import asked_emotions, with_unsaid
from emotone.evaluation.tools import Wanted, check_judges, open_tools
from emotone.files import replacing
from emotone.metrics import Tools, build
from emotone.metrics.asked import asked_emotion
from emotone.metrics.base import Pair
from emotone.types import Reply
from recipes.recurrent.compare import by_seed, compared, facts, perplexities
from recipes.recurrent.folders import DECODINGS, Run, deal, find, neutral_of, one_each, replies
from recipes.recurrent.pooling import ROUNDS, Estimate, Sampled, estimate, sample

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "docs/results/recurrent.json"
#: Posts whose replies are judged; judging costs most of the time.
JUDGED = 300
PEOPLE = "people-references"


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
    "topic_reference": Measured("topic_reference"),
    "topic_post": Measured("topic_post", people=True),
    "similarity_reference": Measured("similarity_reference"),
    "similarity_post": Measured("similarity_post", people=True),
    "bleu": Measured("bleu"),
    "repeated_4": Measured("repeated_4", people=True),
    "commonest_share": Measured("commonest_share", people=True),
    "length_words": Measured("length_words", people=True),
}


#: How names of measures begin that are from 0 to 1.
SHARES = ("distinct", "emotion", "repeated", "commonest")


@dataclass(frozen=True, slots=True)
class Language:
    """What the runs of one language are scored with, and on.

    Args:
        runs: The runs.
        tools: Judge and encoder.
        judges: Name of the judge -> hashes of its data.
        judged: Posts whose replies are judged.
        rounds: Resamples of posts.
    """

    runs: tuple[Run, ...]
    tools: Tools
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
    arguments.add_argument("--result", type=Path, default=RESULT)
    given = arguments.parse_args()
    made: dict[str, Any] = {}
    judges: dict[str, Any] = {}
    for lang in given.lang or ("zh", "en"):
        runs = tuple(r for r in find(given.runs) if r.lang == lang)
        if not runs:
            print(f"{lang}: no run")
            continue
        language = opened(runs, lang, given.runs / ".labels", given.judged, given.rounds)
        judges |= language.judges
        decodings = {d: told(language, file) for d, file in DECODINGS.items()}
        if given.label_only:
            for pairs in decodings.values():
                label(language, pairs)
            continue
        made[lang] = {
            "runs": {r.folder.name: facts(r) for r in runs},
            "perplexity": perplexities(runs, given.rounds),
            "decodings": {d: scored(language, pairs) for d, pairs in decodings.items() if pairs},
        }
    if given.label_only:
        return
    settings = {"judged": given.judged, "rounds": given.rounds}
    whole = {"manifest": manifest(judges=judges, settings=settings), "langs": made}
    given.result.parent.mkdir(parents=True, exist_ok=True)
    with replacing(given.result) as path:
        text = json.dumps(whole, ensure_ascii=False, indent=1, allow_nan=False)
        # An object of plain values on one line: a third of the lines, and easier to compare.
        text = re.sub(r"\{\s+([^{}\[\]]*?)\s+\}", lambda m: f"{{{' '.join(m[1].split())}}}", text)
        path.write_text(text + "\n", encoding="utf-8")
    print(f"wrote {given.result}")


def opened(runs: tuple[Run, ...], lang: str, cache: Path, judged: int, rounds: int) -> Language:
    """Open judge and encoder, and refuse a judge that labelled what a run was trained on."""
    names = tuple(dict.fromkeys(m.metric for m in MEASURES.values()))
    cache.mkdir(parents=True, exist_ok=True)
    found = open_tools(Wanted(names, lang, strict=True, cache=cache))
    for run in runs:
        check_judges(found.judges, [], trained=run.judges)
    return Language(runs, found.tools, found.judges, judged, rounds)


Told = dict[str, dict[int, list[Pair]]]
"""Row -> seed -> replies."""


def told(language: Language, file: str) -> Told:
    """Read the replies of all runs; keep the posts that every run of a size answered."""
    found: Told = {}
    sizes: dict[str, str] = {}
    for run in language.runs:
        if pairs := replies(run, file):
            check_judges(language.judges, pairs, trained=())
            found.setdefault(run.row, {})[run.seed] = pairs
            sizes[run.row] = run.size
    kept: Told = {}
    for size in sorted(set(sizes.values())):
        rows = {row: seeds for row, seeds in found.items() if sizes[row] == size}
        sets = [{e.id for e, _ in pairs} for seeds in rows.values() for pairs in seeds.values()]
        common = set.intersection(*sets)
        if any(len(s) > len(common) for s in sets):
            most = max(map(len, sets))
            print(f"{file} {size}: {len(common)} posts are answered by all, of up to {most}")
        for row, seeds in rows.items():
            kept[row] = {s: [p for p in ps if p[0].id in common] for s, ps in seeds.items()}
        if PEOPLE not in kept:  # beside the rows of all pairs, whose size is sorted first
            first = next(iter(kept[next(iter(rows))].values()))
            posts = {e.id: e for e, _ in first if e.reply}
            kept[PEOPLE] = {
                0: [(e, Reply(e.reply or "", None, "people", "", 0, 0)) for e in posts.values()]
            }
    return kept


def label(language: Language, found: Told) -> None:
    """Let the judge hear what it is to score, and say how fast it was."""
    judge: Any = language.tools.emotion
    for row, seeds in found.items():
        chosen = set(deal(_posts(seeds), language.judged))
        texts = [r.text for pairs in seeds.values() for e, r in pairs if e.id in chosen]
        if row == PEOPLE or not texts:
            continue
        known = len(judge.labels.known)
        start = time.perf_counter()
        judge.classify(texts)
        new, seconds = len(judge.labels.known) - known, time.perf_counter() - start
        print(f"{row}: {len(texts)} texts, {new} new, {new / seconds:.1f} texts/s", flush=True)


def scored(language: Language, found: Told) -> dict[str, Any]:
    """Measure every row, and the differences and ratios between rows."""
    everyone = [p for seeds in found.values() for pairs in seeds.values() for p in pairs]
    neutral = neutral_of(everyone)
    asked = asked_emotions(everyone)
    felt = tuple(e for e in asked if e.label != neutral)
    all_tools = {
        "judged": dataclasses.replace(language.tools, asked="all", asked_emotions=asked),
        "felt": dataclasses.replace(language.tools, asked="all", asked_emotions=felt),
    }
    samples: dict[str, dict[str, Sampled]] = {}
    emotions: dict[str, dict[str, Any]] = {}
    for row, seeds in found.items():
        start = time.perf_counter()
        samples[row] = {}
        posts = _posts(seeds)
        judged = deal(posts, language.judged)
        for key, what in MEASURES.items():
            if row == PEOPLE and not what.people:
                continue
            tools = all_tools.get(what.view, language.tools)
            rows = [view(what.view, pairs, set(judged), felt) for pairs in seeds.values()]
            over = judged if what.view in all_tools else posts
            samples[row][key] = _sampled(what.metric, tools, rows, over, language.rounds)
        if row != PEOPLE:
            emotions[row] = _by_emotion(language, list(seeds.values()), judged, all_tools["judged"])
        print(f"{row}: {time.perf_counter() - start:.0f} s", flush=True)
    return {
        "asked": [e.label for e in asked],
        "neutral": neutral,
        "signatures": {k: s.signature for row in samples.values() for k, s in row.items()},
        "rows": {
            row: {
                "seeds": sorted(found[row]),
                "posts": len(_posts(found[row])),
                "judged_posts": min(language.judged, len(_posts(found[row]))),
                "replies": sum(map(len, found[row].values())),
                "numbers": {k: _number(k, s).row() for k, s in mine.items()},
                "by_seed": {k: by_seed(found[row], s) for k, s in mine.items()},
                "by_emotion": emotions.get(row, {}),
            }
            for row, mine in samples.items()
        },
        **compared(language.runs, samples),
    }


def _posts(seeds: Mapping[int, Sequence[Pair]]) -> list[str]:
    return sorted({e.id for pairs in seeds.values() for e, _ in pairs})


def view(name: str, pairs: list[Pair], judged: set[str], felt: Sequence[Emotion]) -> list[Pair]:
    """Choose the replies that a measure is taken of; see `Measured`."""
    if name == "one":
        return one_each(pairs)
    if name == "all":
        return pairs
    heard = [p for p in pairs if p[0].id in judged]
    if name == "judged":
        return heard
    return [p for p in heard if asked_emotion(p[1]) in (None, *felt)]


def _sampled(
    name: str, tools: Tools, rows: Sequence[list[Pair]], posts: Sequence[str], rounds: int
) -> Sampled:
    tools = with_unsaid(tools, [p for pairs in rows for p in pairs])
    metric = build(name, tools)
    return sample(
        [metric.stats(pairs) for pairs in rows],
        [[e.id for e, _ in pairs] for pairs in rows],
        posts,
        rounds=rounds,
        signature=metric.signature,
    )


def _by_emotion(
    language: Language, seeds: Sequence[list[Pair]], judged: Sequence[str], tools: Tools
) -> dict[str, Any]:
    """Accuracy of the replies asked for each emotion."""
    chosen = set(judged)
    labels = {e for pairs in seeds for _, r in pairs if (e := asked_emotion(r)) is not None}
    made: dict[str, Any] = {}
    for emotion in (e for e in tools.asked_emotions if e in labels):
        rows = [
            [p for p in pairs if p[0].id in chosen and asked_emotion(p[1]) == emotion]
            for pairs in seeds
        ]
        if all(rows):
            found = _sampled("emotion_accuracy", tools, rows, judged, language.rounds)
            made[emotion.label] = _number("emotion_accuracy", found).row()
    return made


def _number(key: str, found: Sampled) -> Estimate:
    made = estimate(found)
    return made.within(0.0, 1.0) if key.startswith(SHARES) else made


if __name__ == "__main__":
    main()
