"""Searches over the step protocol: seeds, batches, what is never said, and memory that moves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor, nn

from emotone.errors import CheckpointError
from emotone.nn import draw, search
from emotone.nn.search import Hypothesis, beam, sample
from emotone.nn.state import select
from unit.nn.tables import EOS, GO, State, Tabled, repeats

IDS: Any = {"go": GO, "eos": EOS, "banned": (GO,)}
#: Sums of a few float32 log-probabilities against float64.
ROUNDING = 1e-5

tables = st.builds(
    Tabled, st.integers(1, 3), st.integers(3, 6), st.integers(1, 4), st.integers(0, 10**6)
)


def check(model: Tabled, post: int, reply: Hypothesis, least: int = 1) -> None:
    """A reply's words are words, and its log-probability is the model's own."""
    assert not {EOS, GO} & set(reply.tokens)
    assert len(reply.tokens) + reply.finished <= model.longest
    assert not reply.finished or len(reply.tokens) >= least
    wanted = model.logprob(post, reply.tokens, reply.finished)
    assert reply.logprob == pytest.approx(wanted, abs=ROUNDING)


# -- sampling ---------------------------------------------------------------------------------


def drawn(model: Tabled, post: int, seed: int, count: int, **how: Any) -> list[list[int]]:
    """Draw a row's replies as the docstring says, one number at a time; EOS is kept."""
    temperature, top_p = how.get("temperature", 1.0), how.get("top_p", 1.0)
    top_k = how.get("top_k", 0)
    size = (model.longest, count)
    u = torch.rand(size, generator=torch.Generator().manual_seed(seed)).double().numpy()
    made = []
    for k in range(count):
        said: list[int] = []
        for t in range(model.longest):
            logits = model.logits[post, model.number(said)].double().numpy() / temperature
            p = np.exp(logits - logits.max())
            p[GO] = 0
            if t < how.get("min_tokens", 1):
                p[EOS] = 0
            if top_k:
                p[np.argsort(-p, kind="stable")[top_k:]] = 0
            p /= p.sum()
            order = np.arange(len(p)) if top_p >= 1 else np.argsort(-p, kind="stable")
            falling = p[order]
            if top_p < 1:
                falling = falling * (falling.cumsum() - falling < top_p)
            place = int((falling.cumsum() <= u[t, k] * falling.sum()).sum())
            said.append(int(order[place]))
            if said[-1] == EOS:
                break
        made.append(said)
    return made


@given(
    tables,
    st.integers(1, 4),
    st.sampled_from([0.5, 1.0, 1.7]),
    st.sampled_from([0.3, 0.8, 1]),
    st.sampled_from([0, 1, 2, 100]),
)
@settings(derandomize=True)  # the reference is in float64, which may see a limit elsewhere
def test_a_row_draws_from_its_own_generator_whatever_has_finished(
    model, count, temperature, top_p, top_k
):
    how = {"temperature": temperature, "top_p": top_p, "top_k": top_k}
    seeds = [7 * i + 3 for i in range(model.posts)]
    made = sample(
        model.step, model.start(), model.posts,
        seeds=seeds, candidates=count, max_tokens=model.longest, **how, **IDS,
    )  # fmt: skip
    for post, (seed, row) in enumerate(zip(seeds, made, strict=True)):
        wanted = drawn(model, post, seed, count, **how)
        assert [[*r.tokens, *[EOS] * r.finished] for r in row] == wanted
        for reply in row:
            check(model, post, reply)


@given(tables, st.integers(1, 3), st.integers(0, 3))
def test_a_batch_of_n_is_n_batches_of_one_and_a_longer_limit_only_adds(model, count, least):
    def run(posts: list[int], longest: int) -> list[list[Hypothesis]]:
        return sample(
            model.step, model.start(posts), len(posts), seeds=[100 + p for p in posts],
            candidates=count, max_tokens=longest, min_tokens=least, top_p=0.9, **IDS,
        )  # fmt: skip

    together = run(list(range(model.posts)), model.longest)
    assert together == [run([p], model.longest)[0] for p in range(model.posts)]
    assert together[::-1] == run(list(range(model.posts))[::-1], model.longest)
    for long, short in zip(together, run(list(range(model.posts)), 1), strict=True):
        assert [r.tokens[:1] for r in long] == [r.tokens for r in short]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 1.0), (1.5, 0.7)])
@pytest.mark.parametrize("nucleus", [512, 2])
def test_words_are_as_frequent_as_they_are_likely(monkeypatch, temperature, top_p, nucleus):
    monkeypatch.setattr(draw, "_NUCLEUS", nucleus)  # 2: the nucleus is sought among all words
    model, count = Tabled(1, 9, 1, seed=4, spread=1.0), 4000
    made = sample(
        model.step, model.start([0] * 8), 8, seeds=range(8), candidates=count // 8,
        max_tokens=1, temperature=temperature, top_p=top_p, **IDS,
    )  # fmt: skip
    seen = np.bincount([r.tokens[0] for row in made for r in row], minlength=9)
    p = (model.logits[0, 0] / temperature).double().softmax(-1).numpy()
    p[[EOS, GO]] = 0
    p /= p.sum()
    order = np.argsort(-p)
    p[order[p[order].cumsum() - p[order] >= top_p]] = 0
    assert seen[p == 0].sum() == 0
    assert chisquare(seen[p > 0], count * p[p > 0] / p.sum()).pvalue > 0.01


def test_replies_are_as_frequent_as_they_are_likely():
    model, count = Tabled(1, 4, 3, seed=2, spread=1.0), 6000
    made = sample(
        model.step, model.start(), 1, seeds=[5], candidates=count, max_tokens=3, go=GO, eos=EOS,
        banned=(), min_tokens=0,
    )[0]  # fmt: skip
    kinds = sorted({(r.tokens, r.finished) for r in made})
    wanted = np.array([math.exp(model.logprob(0, said, end)) for said, end in kinds])
    seen = np.array([sum((r.tokens, r.finished) == kind for r in made) for kind in kinds])
    often = wanted * count >= 5
    rest = [count - seen[often].sum()], [count * (1 - wanted[often].sum())]
    seen, wanted = np.append(seen[often], rest[0]), np.append(wanted[often] * count, rest[1])
    assert len(seen) > 20
    assert chisquare(seen, wanted).pvalue > 0.01


def test_the_narrow_and_the_wide_nucleus_are_one():
    made = torch.Generator().manual_seed(1)
    p = (3 * torch.randn(200, 700, generator=made)).softmax(-1)
    for top_p in (0.1, 0.5, 0.9, 0.999):
        values, order = p.sort(descending=True)
        inside = values.cumsum(-1) - values < top_p
        wanted = torch.zeros_like(p).scatter(1, order, values * inside)
        assert torch.equal(draw.nucleus(p, top_p), wanted)


def test_a_flat_distribution_wider_than_the_first_look_is_drawn_from_all_of_its_nucleus():
    p = torch.linspace(2.0, 1.0, 3000).softmax(-1).expand(4000, -1)
    u = torch.arange(4000) / 4000
    token = draw.draw(p, u, 0.9)
    limit = int((p[0].cumsum(0) - p[0] < 0.9).sum())
    assert 2000 < limit < 3000
    assert token.max() == limit - 1
    assert len(set(token.tolist())) > 0.7 * limit


@given(st.floats(2**-10, 2, width=32), st.sampled_from([0.0, 0.5, 1 - 2**-24]))
def test_a_draw_never_falls_on_a_word_without_probability(total, u):
    weight = total * torch.tensor([[0.0, 0.3, 0.0, 0.7, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]])
    first, second = draw.invert(weight, torch.tensor([u, u])).tolist()
    assert first == (1 if u == 0 else 3)
    assert second == 2


# -- greedy -----------------------------------------------------------------------------------


@given(tables, st.integers(0, 3))
def test_greedy_takes_the_likeliest_word_each_time(model, least):
    made = sample(
        model.step, model.start(), model.posts,
        candidates=2, max_tokens=model.longest, min_tokens=least, greedy=True, **IDS,
    )  # fmt: skip
    for post, row in enumerate(made):
        assert row[0] == row[1]
        said = []
        while len(said) < model.longest:
            logits = model.logits[post, model.number(said)].clone()
            logits[[GO, EOS] if len(said) < least else [GO]] = -torch.inf
            said.append(int(logits.argmax()))
            if said[-1] == EOS:
                break
        assert [*row[0].tokens, *[EOS] * row[0].finished] == said
        check(model, post, row[0], least)


def test_a_penalty_divides_positive_logits_and_multiplies_negative_ones_of_words_said():
    logits = torch.tensor([-9.0, -9.0, 2.0, 1.5, -1.0, -1.5])
    made = sample(
        lambda token, state: (logits.expand(len(token), -1), state), None, 1,
        max_tokens=5, repetition_penalty=2.0, greedy=True, **IDS,
    )[0][0]  # fmt: skip
    # 2 falls to 1, 3 to 0.75; then 2 stays at 1: each is penalised once, not once a time.
    assert made.tokens == (2, 3, 2, 2, 2)
    chosen = logits.double().log_softmax(-1)[list(made.tokens)].sum()
    assert made.logprob == pytest.approx(float(chosen), abs=ROUNDING)
    logits[[2, 3]] = -torch.tensor([1.2, 1.3])
    made = sample(
        lambda token, state: (logits.expand(len(token), -1), state), None, 1,
        max_tokens=3, repetition_penalty=2.0, greedy=True, **IDS,
    )[0][0]  # fmt: skip
    assert made.tokens == (4, 2, 3)


# -- beams ------------------------------------------------------------------------------------


@given(tables, st.integers(1, 4), st.integers(1, 3))
def test_n_posts_together_are_searched_as_each_alone(model, beams, n_best):
    def run(posts: list[int]) -> list[list[Hypothesis]]:
        return beam(
            model.step, model.start(posts), len(posts),
            beams=beams, n_best=n_best, max_tokens=model.longest, **IDS,
        )  # fmt: skip

    posts = list(range(model.posts))
    together = run(posts)
    assert together == [run([p])[0] for p in posts]
    assert together[::-1] == run(posts[::-1])
    for post, row in enumerate(together):
        assert 1 <= len(row) <= n_best
        assert [r.logprob for r in row] == sorted((r.logprob for r in row), reverse=True)
        assert len({r.tokens for r in row}) == len(row)
        for reply in row:
            check(model, post, reply)


@pytest.mark.parametrize(
    "how",
    [
        {"beams": 3, "n_best": 3, "diverse_first": True},
        {"beams": 2, "n_best": 2, "no_repeat": 1, "length_penalty": 1.0},
        {"beams": 5, "min_tokens": 3, "banned": (GO, 3)},
    ],
)
def test_posts_that_do_not_fit_into_one_pass_are_searched_in_several(monkeypatch, how):
    model, rules = Tabled(7, 5, 4), {**IDS, "max_tokens": 4, **how}
    whole = beam(model.step, model.start(), 7, **rules)
    most = max(model.batches)
    model.batches.clear()
    monkeypatch.setattr(search, "_ROWS", 2 * how["beams"])
    assert beam(model.step, model.start(), 7, **rules) == whole
    assert max(model.batches) <= 2 * how["beams"] < most
    monkeypatch.setattr(search, "_ROWS", 1)  # fewer than the beams of one post
    assert beam(model.step, model.start(), 7, **rules) == whole


@pytest.mark.parametrize("block", [1, 3, 7])
@pytest.mark.parametrize("words", [21, 40])
def test_the_best_of_many_words_are_found_in_blocks(monkeypatch, block, words):
    monkeypatch.setattr(search, "_MANY", 7)
    monkeypatch.setattr(search, "_BLOCK", block)
    scores = torch.randn(50, words, generator=torch.Generator().manual_seed(block))
    scores[:10, ::2] = -torch.inf
    scores[10:20] = scores[10:20].round()  # equals
    values, ids = search._top(scores, 3)
    assert torch.equal(values, scores.topk(3).values)
    assert torch.equal(scores.gather(1, ids), values)
    assert all(len(set(row)) == 3 for row in ids.tolist())


def test_no_part_of_the_memory_stays_behind(monkeypatch):
    """The tabled decoder refuses to go on when its two memories differ."""
    model = Tabled(2, 6, 4, seed=1)
    beam(model.step, model.start(), 2, beams=3, max_tokens=4, **IDS)

    def lazy(state: State, rows: Tensor) -> State:
        # As the released code of ECM: the states move, the internal memory does not.
        moved = select(state, rows)
        same = len(rows) == len(state.code)
        return moved._replace(memory=state.memory) if same else moved

    monkeypatch.setattr(search, "select", lazy)
    with pytest.raises(AssertionError, match="a part stayed behind"):
        beam(model.step, model.start(), 2, beams=3, max_tokens=4, **IDS)


def test_a_row_stops_when_nothing_that_runs_can_become_better():
    logits = torch.full((2, 30, 6), -4.0)
    logits[..., 2:4] = torch.tensor([1.0, 0.5])
    logits[0, 1:, EOS] = 9.0  # the first post is answered in a word, the second never ends
    sizes: list[int] = []

    def step(token: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Any]:
        post, t = state
        sizes.append(len(token))
        return logits[post, t], (post, t + 1)

    start = (torch.tensor([0, 1]), torch.zeros(2, dtype=torch.long))
    first, second = beam(step, start, 2, beams=2, max_tokens=30, **IDS)
    assert sizes == [2, 4] + [2] * 28
    assert first[0].tokens == (2,)
    assert first[0].finished
    assert len(second[0].tokens) >= 1
    sizes.clear()
    assert beam(step, (start[0][:1], start[1][:1]), 1, beams=2, max_tokens=30, **IDS) == [first]
    assert sizes == [1, 2]


def test_replies_that_did_not_finish_are_returned_only_where_none_did():
    model = Tabled(1, 5, 3, seed=3)
    model.logits[..., EOS] = -torch.inf
    (row,) = beam(model.step, model.start(), 1, beams=9, n_best=4, max_tokens=3, **IDS)
    assert [r.finished for r in row] == [False] * 4
    every = [(a, b, c) for a in (2, 3, 4) for b in (2, 3, 4) for c in (2, 3, 4)]
    best = sorted(every, key=lambda said: -model.logprob(0, said, False))
    assert {r.tokens for r in row} <= set(every)
    assert row[0].tokens == best[0]
    model.logits[:, model.number([3]), EOS] = 0.0  # now just one reply can end
    (row,) = beam(model.step, model.start(), 1, beams=9, n_best=4, max_tokens=3, **IDS)
    assert [(r.tokens, r.finished) for r in row] == [((3,), True)]


def test_with_first_words_apart_those_that_did_not_finish_are_left_out_too():
    model = Tabled(1, 5, 3, seed=3)
    model.logits[:, 0, 3] = 9.0  # the likeliest first word, with which nothing ends
    for said in ([3], [3, 2], [3, 3], [3, 4]):
        model.logits[:, model.number(said), EOS] = -torch.inf
    how: Any = {"beams": 9, "n_best": 3, "max_tokens": 3, "diverse_first": True}
    (row,) = beam(model.step, model.start(), 1, **how, **IDS)
    assert sorted(r.tokens[0] for r in row) == [2, 4]
    assert all(r.finished for r in row)


# -- both -------------------------------------------------------------------------------------


@given(tables, st.integers(1, 3), st.booleans())
@settings(max_examples=100)
def test_no_n_gram_is_said_twice(model, size, whole):
    model.logits[:, :, 2] += 3.0  # one word that wants to be said again and again
    least = model.longest if whole else 1
    rules: Any = {"max_tokens": model.longest, "no_repeat": size, "min_tokens": least, **IDS}
    made = [
        *sample(model.step, model.start(), model.posts, greedy=True, **rules),
        *sample(
            model.step, model.start(), model.posts,
            seeds=range(model.posts), candidates=3, temperature=2.0, **rules,
        ),
        *beam(model.step, model.start(), model.posts, beams=3, n_best=2, **rules),
    ]  # fmt: skip
    for i, row in enumerate(made):
        assert row
        for reply in row:
            assert not repeats(reply.tokens, size)
            check(model, i % model.posts, reply, least)


@given(st.integers(0, 10**6), st.integers(1, 4))
def test_the_likeliest_word_that_repeats_nothing_is_taken(seed, size):
    made = torch.Generator().manual_seed(seed)
    after = 3 * torch.randn(6, 6, generator=made)  # of a word, given the one before: it goes round
    (row,) = sample(
        lambda token, state: (after[token], state), None, 1,
        max_tokens=30, min_tokens=30, no_repeat=size, greedy=True, **IDS,
    )  # fmt: skip
    said: list[int] = []
    while len(said) < 30:
        ranked = after[said[-1] if said else GO].argsort(descending=True).tolist()
        free = [w for w in ranked if w > GO and not repeats([*said, w], size)]
        if not free:
            break
        said.append(free[0])
    assert list(row[0].tokens) == said
    (found,) = beam(
        lambda token, state: (after[token], state), None, 1,
        beams=5, max_tokens=30, no_repeat=size, **IDS,
    )  # fmt: skip
    assert not repeats(found[0].tokens, size)


def test_what_has_no_way_on_is_left_unfinished():
    model = Tabled(1, 4, 4, seed=0)
    rules: Any = {"max_tokens": 4, "min_tokens": 4, "no_repeat": 1, **IDS}  # two words, once each
    for row in (
        *sample(model.step, model.start(), 1, greedy=True, **rules),
        *sample(model.step, model.start(), 1, seeds=[1], candidates=5, top_p=0.9, **rules),
        *beam(model.step, model.start(), 1, beams=5, n_best=2, **rules),
    ):
        for reply in row:
            assert sorted(reply.tokens) == [2, 3]
            assert not reply.finished
            check(model, 0, reply)
    nothing: Any = {"max_tokens": 4, "go": GO, "eos": EOS, "banned": range(4)}
    empty = Hypothesis((), 0.0, False)
    assert beam(model.step, model.start(), 1, beams=2, **nothing) == [[empty]]
    assert sample(model.step, model.start(), 1, greedy=True, **nothing) == [[empty]]


def test_what_is_banned_is_not_said_however_likely_and_its_probability_is_lost():
    logits = torch.tensor([0.0, 50.0, 49.0, 1.0, 0.5, 0.0])  # GO is 1; 2 is banned as well
    rules: Any = {"max_tokens": 2, "go": GO, "eos": EOS, "banned": (1, 2)}

    def step(token: Tensor, state: None) -> tuple[Tensor, None]:
        return logits.expand(len(token), -1), state

    made = [
        *sample(step, None, 1, greedy=True, **rules),
        *sample(step, None, 1, seeds=[0], candidates=50, **rules),
        *beam(step, None, 1, beams=4, n_best=4, **rules),
    ]
    for row in made:
        for reply in row:
            assert set(reply.tokens) <= {3, 4, 5}
            said = [*reply.tokens, *[EOS] * reply.finished]
            wanted = float(logits.double().log_softmax(-1)[said].sum())
            assert wanted < -49
            assert reply.logprob == pytest.approx(wanted, abs=ROUNDING)
    assert logits.tolist() == [
        0.0,
        50.0,
        49.0,
        1.0,
        0.5,
        0.0,
    ]  # the model's own tensor is as it was


def test_eos_may_come_first_where_no_word_is_asked_for():
    model = Tabled(1, 4, 3, seed=0)
    model.logits[:, 0, EOS] = 20.0
    rules: Any = {"max_tokens": 3, "min_tokens": 0, **IDS}
    for (reply,) in (
        *sample(model.step, model.start(), 1, seeds=[0], **rules),
        *beam(model.step, model.start(), 1, beams=3, **rules),
    ):
        assert reply[::2] == ((), True)


class Tiny(nn.Module):
    """A two-layer GRU with its state batch first, [B, 2, h]."""

    def __init__(self, words: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.embed = nn.Embedding(words, 5)
            self.cell = nn.GRU(5, 8, 2, batch_first=True)
            self.out = nn.Linear(8, words)
        for p in self.parameters():
            p.data *= 3

    def step(self, token: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        read, state = self.cell(self.embed(token)[:, None], state.transpose(0, 1).contiguous())
        return self.out(read[:, 0]), state.transpose(0, 1)


def test_a_real_decoder_is_scored_as_its_reply_is_read_in_one_pass():
    model, start = Tiny(30, 1), torch.randn(6, 2, 8, generator=torch.Generator().manual_seed(2))
    found = beam(model.step, start, 6, beams=4, n_best=3, max_tokens=9, **IDS)
    drawn = sample(model.step, start, 6, seeds=range(6), candidates=3, max_tokens=9, **IDS)
    for state, *rows in zip(start, found, drawn, strict=True):
        for reply in rows[0] + rows[1]:
            said = [*reply.tokens, *[EOS] * reply.finished]
            read = model.embed(torch.tensor([[GO, *said[:-1]]]))
            with torch.inference_mode():
                logits = model.out(model.cell(read, state[:, None].contiguous())[0])[0]
            wanted = logits.log_softmax(-1).gather(1, torch.tensor(said)[:, None]).sum()
            assert reply.logprob == pytest.approx(float(wanted), abs=1e-4)


@pytest.mark.parametrize("rows", [1, 4, 9])
def test_parts_of_any_size_give_the_same_replies(monkeypatch, rows):
    model, posts = Tabled(7, 6, 4, seed=5), range(7)
    how: Any = {"max_tokens": 4, **IDS}

    def run() -> list[list[list[Hypothesis]]]:
        model.batches.clear()
        return [
            sample(model.step, model.start(), 7, seeds=posts, candidates=3, top_p=0.9, **how),
            sample(model.step, model.start(), 7, candidates=3, greedy=True, **how),
            beam(model.step, model.start(), 7, beams=3, n_best=2, **how),
        ]

    whole = run()
    assert max(model.batches) == 21
    monkeypatch.setattr(search, "_ROWS", rows)
    assert run() == whole
    assert max(model.batches) <= max(rows, 3)


def test_no_posts_no_replies():
    model = Tabled(1, 4, 2)
    assert sample(model.step, model.start([]), 0, seeds=[], max_tokens=2, **IDS) == []
    assert beam(model.step, model.start([]), 0, max_tokens=2, **IDS) == []


def test_the_global_random_state_is_left_alone():
    model, before = Tabled(2, 5, 3), torch.get_rng_state()
    sample(model.step, model.start(), 2, seeds=[1, 2], max_tokens=3, **IDS)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_seed_a_row_is_asked_for():
    model = Tabled(2, 5, 3)
    with pytest.raises(ValueError, match="1 seeds for 2 rows"):
        sample(model.step, model.start(), 2, seeds=[1], max_tokens=3, **IDS)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("penalty", [1.0, 1.5])
def test_a_model_that_returns_no_numbers_is_found_out(bad, penalty):
    model = Tabled(2, 5, 3)
    model.logits[1, :, 3] = bad
    with pytest.raises(CheckpointError, match="not a number; its weights are damaged"):
        beam(model.step, model.start(), 2, max_tokens=3, **IDS)
    with pytest.raises(CheckpointError, match="not a number; its weights are damaged"):
        sample(
            model.step, model.start(), 2,
            seeds=[1, 2], max_tokens=3, repetition_penalty=penalty, **IDS,
        )  # fmt: skip
