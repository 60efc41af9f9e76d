"""Sense: whether replies answer their posts, to a judge that learnt from readers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotone.metrics.base import Measure, Pair, mean_stats, replies_and_posts
from emotone.metrics.instruments import Instruments, RunFacts, need
from emotone.metrics.spec import SENSE, Spec
from emotone.protocols import Metric


def _content(pairs: Sequence[Pair], instruments: Instruments) -> np.ndarray:
    replies, posts = replies_and_posts(pairs)
    chances = need(instruments.sense).content(list(zip(posts, replies, strict=True)))
    return np.asarray(chances, np.float64).reshape(len(replies), 3)


def _sense(instruments: Instruments, facts: RunFacts) -> Metric:
    return Measure(
        "sense",
        f"name:sense|judge:{need(instruments.sense).name}|v:1",
        lambda pairs: mean_stats(_content(pairs, instruments)[:, 2]),
    )


def _sensible(instruments: Instruments, facts: RunFacts) -> Metric:
    judge = need(instruments.sense)

    def above(pairs: Sequence[Pair]) -> np.ndarray:
        return (_content(pairs, instruments)[:, 2] >= judge.human_median).astype(np.float64)

    return Measure(
        "sensible_share",
        f"name:sensible_share|judge:{judge.name}|median:{judge.human_median:g}|v:1",
        lambda pairs: mean_stats(above(pairs), share=True),
    )


METRICS = (
    Spec(
        name="sense",
        make=_sense,
        needs=("sense",),
        title="Sense",
        group=SENSE,
        share=True,
        measures="mean probability that a reply is a sensible answer to its post (content 2)",
        range="0 to 1",
        source="Wei et al. 2019, Table 2, for the scale",
        misleads="agrees with readers only so far; the page of judges says how far",
    ),
    Spec(
        name="sensible_share",
        make=_sensible,
        needs=("sense",),
        title="As sensible as people",
        group=SENSE,
        share=True,
        measures="replies with more of it than the median answer of people; people have a half",
        range="0 to 1",
        misleads="a share over a threshold: small gains below it are not seen",
    ),
)
