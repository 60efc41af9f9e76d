"""Beam search against a search through all replies, and against ECM's search written as a loop."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from emotone.nn.search import Hypothesis, beam
from unit.nn.tables import EOS, GO, Reply, Tabled, repeats

#: Sums of a few float32 log-probabilities against float64.
ROUNDING = 1e-5
IDS: Any = {"go": GO, "eos": EOS, "banned": (GO,)}
#: More than there are prefixes: nothing is ever pruned.
WIDE = 256
#: The same examples each time: of two replies that differ by less than float32 tells apart, one
#: in some hundred runs, either may come first.
fixed = settings(derandomize=True)

tables = st.builds(
    Tabled, st.integers(1, 2), st.integers(4, 6), st.integers(2, 4), st.integers(0, 10**6)
)


def same(found: list[Hypothesis], wanted: list[Reply], rounding: float = ROUNDING) -> None:
    assert len({h.tokens for h in found}) == len(found)
    for i, (h, r) in enumerate(zip(found, wanted, strict=True)):
        assert h.finished
        assert h.logprob == pytest.approx(r.logprob, abs=rounding)
        # Of two replies that float32 cannot tell apart, either may come first.
        near = [w.logprob for j, w in enumerate(wanted) if j != i] + [-math.inf]
        tie = i == len(wanted) - 1 or min(abs(n - r.logprob) for n in near) <= rounding
        assert h.tokens == r.tokens or tie


def words(model: Tabled) -> range:
    return range(2, model.words)


@given(tables, st.integers(1, 6), st.sampled_from([0.0, 0.6, 1.0, 2.5]), st.integers(0, 3))
@settings(fixed, max_examples=100)
def test_wide_enough_it_finds_the_n_best_of_all_replies(model, n_best, penalty, least):
    found = beam(
        model.step, model.start(), model.posts, beams=WIDE, n_best=n_best,
        max_tokens=model.longest, length_penalty=penalty, min_tokens=least, **IDS,
    )  # fmt: skip
    for post, row in enumerate(found):

        def rank(r: Reply) -> float:
            return r.logprob / ((5 + len(r.tokens) + 1) / 6) ** penalty

        every = sorted(model.replies(post, words(model), least), key=rank, reverse=True)
        if every:
            same(row, every[:n_best])
        else:
            assert not any(h.finished for h in row)


@given(tables, st.integers(1, 3))
@fixed
def test_without_repeats_it_finds_the_best_that_repeats_nothing(model, size):
    found = beam(
        model.step, model.start(), model.posts, beams=WIDE, n_best=3,
        max_tokens=model.longest, no_repeat=size, **IDS,
    )  # fmt: skip
    for post, row in enumerate(found):
        every = [r for r in model.replies(post, words(model)) if not repeats(r.tokens, size)]
        same(row, sorted(every, key=lambda r: -r.logprob)[:3])


@given(tables, st.integers(2, 5), st.sampled_from([0.0, 1.0]))
@fixed
def test_with_first_words_apart_it_finds_the_best_reply_of_each_of_the_likeliest(
    model, n_best, penalty
):
    found = beam(
        model.step, model.start(), model.posts, beams=WIDE * n_best, n_best=n_best,
        diverse_first=True, max_tokens=model.longest, length_penalty=penalty, **IDS,
    )  # fmt: skip
    for post, row in enumerate(found):

        def rank(r: Reply) -> float:
            return r.logprob / ((5 + len(r.tokens) + 1) / 6) ** penalty

        first = model.logits[post, 0].tolist()
        likeliest = sorted(words(model), key=lambda w: -first[w])[:n_best]
        replies = list(model.replies(post, words(model)))
        best = [max((r for r in replies if r.tokens[0] == w), key=rank) for w in likeliest]
        same(row, sorted(best, key=rank, reverse=True))
        assert len({h.tokens[0] for h in row}) == len(row) == min(n_best, len(words(model)))


def loop(model: Tabled, post: int, beams: int, least: int) -> tuple[list[Reply], list[Reply]]:
    """ECM's beam search as the released code does it, one hypothesis at a time and to the end.

    Returns the finished replies and those that still run, best first.
    """
    running, finished = [Reply((), 0.0)], []
    for t in range(model.longest):
        grown: list[Reply] = []
        for said, total in running:
            logprobs = model.logits[post, model.number(said)].double().log_softmax(-1).tolist()
            for word, logprob in enumerate(logprobs):
                if word != GO and (word != EOS or t >= least):
                    grown.append(Reply((*said, word), total + logprob))
        top = sorted(grown, key=lambda r: -r.logprob)[: 2 * beams]
        finished += [Reply(r.tokens[:-1], r.logprob) for r in top if r.tokens[-1] == EOS]
        running = [r for r in top if r.tokens[-1] != EOS][:beams]
    return sorted(finished, key=lambda r: -r.logprob), running


@given(tables, st.integers(1, 5), st.integers(1, 5), st.integers(0, 2))
@settings(fixed, max_examples=200)
def test_narrow_it_is_ecm_s_search_although_it_stops_early(model, beams, n_best, least):
    found = beam(
        model.step, model.start(), model.posts, beams=beams, n_best=n_best,
        max_tokens=model.longest, min_tokens=least, **IDS,
    )  # fmt: skip
    for post, row in enumerate(found):
        finished, running = loop(model, post, beams, least)
        if finished:
            same(row, finished[:n_best])
        else:
            assert [h.tokens for h in row] == [r.tokens for r in running[:n_best]]
            assert not any(h.finished for h in row)


@given(st.integers(0, 1000), st.sampled_from([0.0, 1.0]))
@settings(fixed, max_examples=20)
def test_a_gru_s_best_replies_are_those_of_a_search_through_all(seed, penalty):
    longest, posts = 4, 3
    draw = torch.Generator().manual_seed(seed)
    embed = torch.randn(6, 4, generator=draw)
    out = 2 * torch.randn(5, 6, generator=draw)
    cell = nn.GRUCell(4, 5)
    for p in cell.parameters():
        p.data = torch.randn(p.shape, generator=draw)
    start = torch.randn(posts, 5, generator=draw)

    def step(token: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = cell(embed[token], state)
        return state @ out, state

    def score(state: Tensor, said: tuple[int, ...]) -> Reply:
        state, total = state[None], 0.0
        for before, word in itertools.pairwise([GO, *said, EOS]):
            logits, state = step(torch.tensor([before]), state)
            total += float(logits.double().log_softmax(-1)[0, word])
        return Reply(said, total)

    found = beam(
        step, start, posts, beams=WIDE, n_best=5, max_tokens=longest, length_penalty=penalty, **IDS
    )
    with torch.inference_mode():
        for state, row in zip(start, found, strict=True):
            every = [
                score(state, said)
                for n in range(1, longest)
                for said in itertools.product(range(2, 6), repeat=n)
            ]
            divisor = [((6 + len(r.tokens)) / 6) ** penalty for r in every]
            ranked = sorted(zip(every, divisor, strict=True), key=lambda x: -x[0].logprob / x[1])
            same(row, [r for r, _ in ranked[:5]], rounding=1e-4)  # of a batch and of one row


def test_the_length_penalty_is_that_of_wu_et_al():
    """lp(Y) = (5 + |Y|)^a / (5 + 1)^a, worked by hand for replies of one and of two words."""
    half = math.log(0.5)
    table = torch.full((3, 4), -math.inf)
    table[0, 2] = 0.0  # one word, surely
    table[1, [2, EOS]] = half  # then half the time another
    table[2, EOS] = math.log(0.9)  # after which it nearly always ends
    table[2, 3] = math.log(0.1)

    def step(token: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        return table[t.clamp_max(2)], t + 1

    def best(penalty: float) -> tuple[int, ...]:
        start = torch.zeros(1, dtype=torch.long)
        found = beam(step, start, 1, beams=4, max_tokens=3, length_penalty=penalty, **IDS)
        return found[0][0].tokens

    # ln .5 = -.693 with 2 tokens, ln .45 = -.799 with 3: equal where (8/7)^a = .799/.693.
    even = math.log(math.log(0.45) / half) / math.log(8 / 7)
    assert best(even - 0.01) == (2,)
    assert best(even + 0.01) == (2, 2)
