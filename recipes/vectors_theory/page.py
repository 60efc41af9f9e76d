"""The page on the paper's theory, from docs/results/vectors-theory.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

#: A claim is said to hold from these values on.
LINEAR_R2 = 0.95
ADDITIVE_GAP = 0.15
POSITIVE_SHARE = 0.9
SEMANTIC_SHARE = 0.25

HEAD = """# The theory of emotion vectors, measured

Dong et al. 2025 argue by a first-order expansion: adding `alpha EV` raises the emotion's score in a
line while alpha is small, emotions add up, the vector lies along Fisher's direction, and it leaves
what is said alone, since its projection on the gradient of the content is about 0. The
[page of the system](steered.md) has the equations. This page holds the claims against
{model}, with the sets of vectors below.

It is made by `python -m recipes.vectors_theory.make`. The texts are plain development posts of
[everyday](../everyday.md) with a reply in each emotion, as many as the table of the sets says: the
first number is for likelihoods and gradients, the second for covariances. These are very few,
without intervals, on one model of 135M parameters; nothing here says that a larger model does the
same. The fitted sets learned from other posts of such texts, and by this very likelihood, so that
their numbers are no surprise; the paper's vectors never saw any.

The score needs no judge and no sampling. Over posts x with replies y:

```text
s_e(alpha) = mean over x of  log p(y_e | x; h + alpha EV) / |y_e|
                           - log p(y_neutral | x; h + alpha EV) / |y_neutral|
```

| set | what | site | columns | posts |
|---|---|---|---|---|
"""


def page(result: Mapping[str, Any]) -> str:
    """Write the page of a result."""
    sets: Mapping[str, Any] = result["sets"]
    lines = [HEAD.format(model=result["model"]).rstrip()]
    lines += [
        f"| {name} | {s['what']} | {s['site']} | {s['positions']} |"
        f" {s['posts']} and {s['posts_fisher']} |"
        for name, s in sets.items()
    ]
    lines += ["", "## Which claims hold", ""]
    lines += _table(
        ("claim", "holds where", *sets),
        [(claim, rule, *(f(s) for s in sets.values())) for claim, rule, f in CLAIMS],
    )
    lines += [
        "A cell names the emotions, of five, for which the claim holds by the rule beside it. The"
        " rules are ours; the paper gives none.",
        "",
        "## Linear in small alpha",
        "",
        "R2 of a line through the score at -0.5, -0.25, 0, 0.25 and 0.5, and of one line through"
        " all from -1 to 4; the slope in nats a token; the score at some multiples less that at 0.",
        "",
    ]
    lines += _table(
        ("set", "emotion", "slope", "R2, small", "R2, all", "at -1", "at 1", "at 2", "at 4"),
        [
            (name, e, f"{r['slope']:.3f}", f"{r['r2_small']:.3f}", f"{r['r2_all']:.3f}", *_gains(r))
            for name, s in sets.items()
            for e, r in s["linear"].items()
        ],
    )
    lines += [
        "## Mixes add up",
        "",
        "Three pairs of emotions, each added at the same multiple, and both scores of each: the"
        " slope of the mix's effect on the sum of what each does alone (1 where they add up), and"
        " the mean gap between them as a share of the mean sum.",
        "",
    ]
    lines += _table(
        ("set", "at", "slope", "gap"),
        [
            (name, alpha, f"{row['slope']:.2f}", f"{row['gap']:.2f}")
            for name, s in sets.items()
            for alpha, row in s["additive"].items()
        ],
    )
    lines += [
        "## Fisher's direction",
        "",
        "Block by block, the states of the replies are whitened by their covariance within emotions"
        " (Ledoit and Wolf's shrinkage); there Fisher's direction is the mean difference. Means"
        " over blocks and emotions: the cosine of the vector with the plain mean difference, with"
        " Fisher's direction, of that direction with itself on two halves of the posts, and the"
        " share of blocks where vector and direction point to one side. By chance a cosine in 576"
        " dimensions is 0 with a deviation of .04.",
        "",
    ]
    lines += _table(
        ("set", "mean difference", "Fisher", "Fisher, halves", "one side"),
        [
            (name, *(_mean(s["fisher"], k) for k in ("raw", "whitened", "halves", "positive")))
            for name, s in sets.items()
        ],
    )
    lines += [
        "## What is said",
        "",
        "The gradient of a reply's log-likelihood by a displacement at the vector's own site and"
        " columns. First-order change at one times the vector, in nats a token, for the neutral"
        " replies and for those in the emotion, and the vector's cosine with both gradients. A"
        " cosine within chance of the neutral gradient says something only where that with the"
        " emotion's own is beyond chance.",
        "",
    ]
    lines += _table(
        ("set", "emotion", "neutral", "own", "cosine, neutral", "cosine, own", "chance"),
        [
            (
                name,
                e,
                f"{r['neutral']:+.3f}",
                f"{r['own']:+.3f}",
                f"{r['cosine_neutral']:+.3f}",
                f"{r['cosine_own']:+.3f}",
                f"{r['chance']:.3f}",
            )
            for name, s in sets.items()
            for e, r in s["semantic"].items()
        ],
    )
    lines += ["All figures: `docs/results/vectors-theory.json`."]
    return "\n".join(lines).rstrip() + "\n"


def _holding(rows: Mapping[str, bool]) -> str:
    held = [name for name, holds in rows.items() if holds]
    if len(held) in (0, len(rows)):
        return f"{'all' if held else 'none'} of {len(rows)}"
    return f"{len(held)}: {', '.join(held)}"


def _linear(one: Mapping[str, Any]) -> str:
    return _holding({e: r["r2_small"] >= LINEAR_R2 for e, r in one["linear"].items()})


def _monotone(one: Mapping[str, Any]) -> str:
    return _holding({e: r["rises_to"] >= 0.5 for e, r in one["linear"].items()})


def _monotone_far(one: Mapping[str, Any]) -> str:
    return _holding({e: r["rises_to"] >= 4 for e, r in one["linear"].items()})


def _negative(one: Mapping[str, Any]) -> str:
    return _holding({e: r["lower_at_-1"] for e, r in one["linear"].items()})


def _additive(one: Mapping[str, Any]) -> str:
    held = [alpha for alpha, row in one["additive"].items() if row["gap"] <= ADDITIVE_GAP]
    return f"at {' and '.join(held)}" if held else "nowhere"


def _fisher(one: Mapping[str, Any]) -> str:
    return _holding({e: r["positive"] >= POSITIVE_SHARE for e, r in one["fisher"].items()})


def _semantic(one: Mapping[str, Any]) -> str:
    return _holding(
        {
            e: r["own"] > 0 and abs(r["neutral"]) <= SEMANTIC_SHARE * r["own"]
            for e, r in one["semantic"].items()
        }
    )


def _orthogonal(one: Mapping[str, Any]) -> str:
    return _holding(
        {e: abs(r["cosine_neutral"]) <= 3 * r["chance"] for e, r in one["semantic"].items()}
    )


CLAIMS = (
    ("linear while small", f"R2 from -0.5 to 0.5 is {LINEAR_R2} or more", _linear),
    ("rises while small", "the score rises at each step from 0 to 0.5", _monotone),
    ("rises as far as 4", "the score rises at each step from 0 to 4", _monotone_far),
    ("-1 takes away", "the score at -1 is below that at 0", _negative),
    ("mixes add up", f"the gap is {ADDITIVE_GAP} or less", _additive),
    (
        "along Fisher's direction",
        f"to its side in {100 * POSITIVE_SHARE:.0f} % of blocks",
        _fisher,
    ),
    (
        "leaves the neutral reply alone",
        f"its change is at most {SEMANTIC_SHARE} of the emotion's",
        _semantic,
    ),
    ("square to its gradient", "the cosine is within 3 deviations of chance", _orthogonal),
)


def _gains(row: Mapping[str, Any]) -> list[str]:
    scores: Mapping[str, float] = row["scores"]
    return [f"{scores[a] - scores['0']:+.2f}" for a in ("-1", "1", "2", "4")]


def _mean(rows: Mapping[str, Mapping[str, float]], key: str) -> str:
    return f"{float(np.mean([row[key] for row in rows.values()])):.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    written = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return [*written, *(f"| {' | '.join(row)} |" for row in rows), ""]
