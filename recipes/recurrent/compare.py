"""What is put beside what: rows, differences and ratios between them, and perplexities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emotone.evaluation.manifest import file_facts
from emotone.evaluation.scores import read_scores
from emotone.metrics import Tools, build
from recipes.recurrent import likelihoods
from recipes.recurrent.folders import Run
from recipes.recurrent.pooling import Sampled, difference, estimate, ratio, sample

#: Variant that a system is compared by.
MAIN = {"a_seq2seq": "plain", "ecm": "full", "emo_seq": "full"}
PERPLEXITIES = ("perplexity", "ecm_perplexity")
#: What ratios are made of; a ratio of shares near 0 or of differences says little.
RATIOS = (*PERPLEXITIES, "distinct_1", "distinct_2")


def by_seed(seeds: Mapping[int, Any], found: Sampled) -> dict[str, float | None]:
    values = (None if np.isnan(v) else round(float(v), 6) for v in found.values)
    return dict(zip(map(str, seeds), values, strict=True))


def contrasts(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Rows to compare: the main systems with each other, every variant with its main system.

    Only rows of one size, trained on as many pairs, are compared.
    """
    first: dict[str, Run] = {}
    for run in runs:
        first.setdefault(run.row, run)
    main: dict[tuple[str, str], str] = {}
    for run in first.values():
        if run.plain == MAIN.get(run.system):
            main.setdefault((run.system, run.size), run.row)
    wanted: list[tuple[str, str]] = []
    for size in sorted({r.size for r in first.values()}):
        base, ecm, emo = (main.get((s, size)) for s in ("a_seq2seq", "ecm", "emo_seq"))
        both = ((ecm, base), (emo, base), (emo, ecm))
        wanted += [(a, b) for a, b in both if a is not None and b is not None]
        tag = next((r for r in first.values() if r.plain == "tag" and r.size == size), None)
        if tag is not None and base is not None:
            wanted.append((tag.row, base))
    for run in first.values():
        base = main.get((run.system, run.size))
        if base is not None and base != run.row:
            wanted.append((run.row, base))
    return wanted


def compared(
    runs: Sequence[Run], samples: Mapping[str, Mapping[str, Sampled]]
) -> dict[str, dict[str, Any]]:
    """Differences and ratios of the rows that are there, as JSON."""
    made: dict[str, dict[str, Any]] = {"differences": {}, "ratios": {}}
    for first, second in contrasts(runs):
        if first in samples and second in samples:
            a, b = samples[first], samples[second]
            both = [k for k in a if k in b]
            name = f"{first} - {second}"
            made["differences"][name] = {k: difference(a[k], b[k]).row() for k in both}
            made["ratios"][name.replace(" - ", " / ")] = {
                k: ratio(a[k], b[k]).row() for k in both if k in RATIOS
            }
    return made


def perplexities(runs: Sequence[Run], rounds: int) -> dict[str, Any]:
    """Perplexity of the references of every row, with differences and ratios."""
    known: dict[str, dict[int, dict[str, likelihoods.Nats] | None]] = {}
    plain: dict[str, dict[int, Any]] = {}
    for run in runs:
        if (run.folder / "perplexity.json").is_file():
            plain.setdefault(run.row, {})[run.seed] = read_scores(run.folder / "perplexity.json")
            path = run.folder / likelihoods.FILE
            found = likelihoods.read(path) if path.is_file() else None
            known.setdefault(run.row, {})[run.seed] = found
    whole = [set(k) for seeds in known.values() for k in seeds.values() if k is not None]
    posts = sorted(set.intersection(*whole)) if whole else []
    samples: dict[str, dict[str, Sampled]] = {}
    for row, seeds in known.items():
        samples[row] = {}
        for name in PERPLEXITIES:
            numbers = [s.metrics[name] for s in plain[row].values()]
            if posts and all(k is not None for k in seeds.values()):
                rows = [np.array([k[i] for i in posts], np.float64) for k in seeds.values() if k]
                stats = [
                    build(name, Tools(perplexity=lambda _, r=r: r)).stats([_NOBODY] * len(posts))
                    for r in rows
                ]
                samples[row][name] = sample(
                    stats,
                    [posts] * len(stats),
                    posts,
                    rounds=rounds,
                    signature=numbers[0].signature,
                )
            else:
                values = np.array([n.value for n in numbers], np.float64)
                samples[row][name] = Sampled(
                    values, np.zeros((len(values), 0)), 1.0, numbers[0].signature
                )
    return {
        "references": len(posts),
        "rows": {
            row: {
                "seeds": sorted(plain[row]),
                "numbers": {k: estimate(s).row() for k, s in mine.items()},
                "by_seed": {k: by_seed(plain[row], s) for k, s in mine.items()},
                "signatures": {k: s.signature for k, s in mine.items()},
            }
            for row, mine in samples.items()
        },
        **compared(runs, samples),
    }


#: Stands for a reference whose likelihood is already known.
_NOBODY: Any = (None, None)


def facts(run: Run) -> dict[str, Any]:
    """What the manifest of a run says that a reader of the tables has to know."""
    return {
        "row": run.row,
        "system": run.system,
        "variant": run.variant,
        "plain": run.plain,
        "seed": run.seed,
        "size": run.size,
        "pairs": run.pairs,
        "judges": run.judges,
        "files": {
            f["name"]: f["sha256"][:16]
            for path in sorted(run.folder.glob("*.jsonl"))
            for f in [file_facts(path)]
        },
        **{k: run.manifest[k] for k in ("parameters", "training") if k in run.manifest},
    }
