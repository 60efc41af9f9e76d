"""The one decoding loop: seeds, batches, penalties, ends and scores, on tiny real models."""

from __future__ import annotations

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel

from emotone.errors import DataError, Unsupported
from emotone.lm.decode import drafts_of, steps, stream, write
from emotone.models.tiny import byte_tokenizer, tiny_causal_lm
from emotone.types import Decoding

#: Sums of float32 log-probabilities whose matrix products ran in another order.
ROUNDING = 2e-3

PLAIN = Decoding(repetition_penalty=1.0, no_repeat=0, max_tokens=24)
GREEDY = replace(PLAIN, strategy="greedy")
LM = tiny_causal_lm()
PROMPTS = [LM.tokenizer(text).input_ids for text in ("hi", "a longer post with more words", "x y")]


def collect(prompts: list[list[int]], decoding: Decoding, model: Any = None) -> list[list[int]]:
    """Token ids of each reply."""
    model = model or LM.model
    drafts = drafts_of(model, LM.tokenizer, decoding, [decoding.seed] * len(prompts))
    for _ in steps(model, LM.tokenizer, prompts, decoding, drafts):
        pass
    return [draft.ids for draft in drafts]


@torch.inference_mode()
def logits_after(ids: list[int]) -> torch.Tensor:
    """Logits [V] after a text, the whole of it in one pass without cache or padding."""
    return LM.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].float()


class Script(torch.nn.Module):
    """A language model that writes one text, whatever it reads, and counts its passes."""

    def __init__(self, text: str, limit: int = 0) -> None:
        super().__init__()
        self.tokenizer = byte_tokenizer()
        self.ids = [*self.tokenizer(text).input_ids, self.tokenizer.eos_token_id]
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.config = SimpleNamespace(max_position_embeddings=limit)
        self.passes = 0

    def forward(self, input_ids: torch.Tensor, past_key_values: int | None, **_: Any) -> Any:
        self.passes += 1
        at = 0 if past_key_values is None else past_key_values + 1
        logits = torch.zeros(len(input_ids), 1, len(self.tokenizer))
        logits[:, 0, self.ids[min(at, len(self.ids) - 1)]] = 50.0
        return SimpleNamespace(logits=logits, past_key_values=at)

    def write(self, decoding: Decoding = PLAIN, stop: tuple[str, ...] = ()) -> Any:
        return write(self, self.tokenizer, [[5]], decoding, [0], stop=stop)[0]

    def stream(self, decoding: Decoding = PLAIN, stop: tuple[str, ...] = ()) -> list[str]:
        return list(stream(self, self.tokenizer, [5], decoding, 0, stop=stop))


# -- seeds and batches ------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_reply_and_another_seed_another():
    first = write(LM.model, LM.tokenizer, PROMPTS, PLAIN, [1, 2, 3])
    assert write(LM.model, LM.tokenizer, PROMPTS, PLAIN, [1, 2, 3]) == first
    other = write(LM.model, LM.tokenizer, PROMPTS, PLAIN, [4, 5, 6])
    assert all(a.text != b.text for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("strategy", ["sample", "greedy"])
def test_a_batch_equals_its_rows_alone_whatever_stands_beside_them(strategy):
    decoding = Decoding(strategy=strategy, max_tokens=16)
    prompts, seeds = [*PROMPTS, PROMPTS[0], PROMPTS[1] * 9], [7, 8, 9, 10, 11]
    together = write(LM.model, LM.tokenizer, prompts, decoding, seeds)
    for prompt, seed, row in zip(prompts, seeds, together, strict=True):
        (alone,) = write(LM.model, LM.tokenizer, [prompt], decoding, [seed])
        assert (row.text, row.tokens) == (alone.text, alone.tokens)
        assert row.logprob == pytest.approx(alone.logprob, abs=ROUNDING)


def test_a_batch_equals_its_rows_alone_for_a_model_of_absolute_positions():
    config = GPT2Config(
        vocab_size=len(LM.tokenizer), n_positions=256, n_embd=32, n_layer=2, n_head=4
    )
    config.initializer_range = 0.5
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config).eval()
    decoding = Decoding(max_tokens=16)
    together = write(model, LM.tokenizer, PROMPTS, decoding, [1, 2, 3])
    for prompt, seed, row in zip(PROMPTS, (1, 2, 3), together, strict=True):
        (alone,) = write(model, LM.tokenizer, [prompt], decoding, [seed])
        assert row.text == alone.text
        assert row.logprob == pytest.approx(alone.logprob, abs=ROUNDING)


def test_a_row_that_ends_early_leaves_its_neighbours_alone():
    decoding = Decoding(temperature=2.0, top_p=1.0, max_tokens=40)
    prompts, seeds = [PROMPTS[0]] * 6, list(range(6))
    together = write(LM.model, LM.tokenizer, prompts, decoding, seeds)
    assert len({row.tokens for row in together}) > 1, "no row ended before another"
    for prompt, seed, row in zip(prompts, seeds, together, strict=True):
        assert write(LM.model, LM.tokenizer, [prompt], decoding, [seed])[0].text == row.text


def test_no_prompts_give_no_replies():
    assert write(LM.model, LM.tokenizer, [], PLAIN, []) == []


def test_the_global_random_state_is_neither_changed_nor_used():
    torch.manual_seed(1)
    random.seed(1)
    before = torch.get_rng_state(), random.getstate()
    first = write(LM.model, LM.tokenizer, PROMPTS, PLAIN, [1, 2, 3])
    pieces = list(stream(LM.model, LM.tokenizer, PROMPTS[0], PLAIN, 1))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    torch.manual_seed(2)
    assert write(LM.model, LM.tokenizer, PROMPTS, PLAIN, [1, 2, 3]) == first
    assert list(stream(LM.model, LM.tokenizer, PROMPTS[0], PLAIN, 1)) == pieces


# -- choosing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", PROMPTS, ids=["short", "long", "other"])
def test_greedy_is_what_transformers_generates(prompt: list[int]):
    decoding = replace(GREEDY, max_tokens=40)
    (ours,) = collect([prompt], decoding)
    theirs = LM.model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        do_sample=False,
        max_new_tokens=40,
        pad_token_id=LM.tokenizer.pad_token_id,
    )[0, len(prompt) :].tolist()
    # Ours may end with its sentence after 60 percent of the longest reply; before, they agree.
    assert ours[:24] == theirs[:24]
    assert len(ours) >= 24


def test_greedy_does_not_look_at_the_seed():
    made = [write(LM.model, LM.tokenizer, PROMPTS, GREEDY, [s] * 3) for s in (0, 1)]
    assert made[0] == made[1]


def test_sampling_from_the_narrowest_nucleus_is_greedy():
    assert collect(PROMPTS, replace(PLAIN, top_p=0.01)) == collect(PROMPTS, GREEDY)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.9), (2.0, 0.5)])
def test_draws_follow_the_nucleus_of_the_tempered_distribution(temperature, top_p):
    count = 2000
    decoding = replace(PLAIN, temperature=temperature, top_p=top_p, max_tokens=1)
    drafts = drafts_of(LM.model, LM.tokenizer, decoding, range(count))
    next(iter(steps(LM.model, LM.tokenizer, [PROMPTS[0]] * count, decoding, drafts)))
    drawn = torch.tensor([draft.ids[0] for draft in drafts])
    wanted, order = (logits_after(PROMPTS[0]) / temperature).softmax(-1).sort(descending=True)
    inside = wanted.cumsum(-1) - wanted < top_p  # the smallest set that reaches top_p
    nucleus = set(order[inside].tolist())
    assert set(drawn.tolist()) <= nucleus
    expected = torch.zeros(len(wanted)).scatter(0, order, wanted * inside)
    expected /= expected.sum()
    found = torch.bincount(drawn, minlength=len(wanted)) / count
    # Half the absolute difference of two distributions; chance alone gives sqrt(K / 2 pi n).
    chance = (len(nucleus) / (2 * torch.pi * count)) ** 0.5
    assert float((found - expected).abs().sum()) / 2 < 1.5 * chance + 0.01


def ngrams(ids: list[int], size: int) -> list[tuple[int, ...]]:
    return [tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_no_n_gram_occurs_twice_where_it_is_forbidden(size: int):
    decoding = replace(GREEDY, max_tokens=60)
    loops = collect(PROMPTS, decoding)
    assert any(len(set(ngrams(r, size))) < len(ngrams(r, size)) for r in loops), "nothing to forbid"
    for reply in collect(PROMPTS, replace(decoding, no_repeat=size)):
        assert len(set(ngrams(reply, size))) == len(ngrams(reply, size))


def test_no_n_gram_means_of_the_reply_not_of_the_post():
    (plain,) = collect([PROMPTS[0]], replace(GREEDY, max_tokens=1))
    prompt = [*PROMPTS[0], *plain, *PROMPTS[0]]  # the post holds what greedy wants to say
    decoding = replace(GREEDY, max_tokens=8)
    first = collect([prompt], decoding)[0][:1]
    assert collect([prompt], replace(decoding, no_repeat=1))[0][:1] == first


def penalised(prompt: list[int], penalty: float, length: int) -> list[int]:
    """Greedy with a penalty on the reply's tokens, written out."""
    reply: list[int] = []
    for _ in range(length):
        logits = logits_after([*prompt, *reply]).clone()
        for token in set(reply):
            logits[token] = (
                logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
            )
        reply.append(int(logits.argmax()))
        if reply[-1] == LM.tokenizer.eos_token_id:
            break
    return reply


@pytest.mark.parametrize("penalty", [0.8, 1.1, 2.0])
def test_the_repetition_penalty_is_on_the_reply_s_tokens(penalty: float):
    decoding = replace(GREEDY, repetition_penalty=penalty, max_tokens=24)
    soft = 14
    made = collect(PROMPTS, decoding)
    assert [r[:soft] for r in made] == [penalised(p, penalty, soft) for p in PROMPTS]


def test_the_repetition_penalty_lowers_negative_logits_too():
    class Negative(Script):
        def forward(self, input_ids: torch.Tensor, past_key_values: Any, **_: Any) -> Any:
            logits = torch.full((1, 1, len(self.tokenizer)), -50.0)
            a, b = self.ids[:2]
            logits[..., a], logits[..., b] = -10.0, -11.0
            return SimpleNamespace(logits=logits, past_key_values=0)

    made = Negative("ab").write(replace(GREEDY, repetition_penalty=2.0, max_tokens=4))
    assert made.text == "abaa"  # a, then b as a fell to -20, then a as b fell to -22


def test_the_repetition_penalty_leaves_the_words_of_the_post_alone():
    draw = random.Random(0)
    looked_at = 0
    for _ in range(200):
        prompt = [draw.randrange(3, 259) for _ in range(40)]
        wanted = int(logits_after(prompt).argmax())
        if wanted not in prompt:
            continue
        looked_at += 1
        decoding = replace(GREEDY, repetition_penalty=5.0, max_tokens=1)
        assert collect([prompt], decoding) == [[wanted]]
    assert looked_at >= 5


# -- ends -------------------------------------------------------------------------------------


def test_a_reply_ends_with_the_end_token_which_counts_and_is_no_text():
    made = Script("Hello you").write()
    assert (made.text, made.tokens) == ("Hello you", len("Hello you") + 1)


def test_a_reply_is_no_longer_than_asked():
    made = Script("x" * 50).write(replace(PLAIN, max_tokens=7))
    assert (made.text, made.tokens) == ("x" * 7, 7)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("A. bb cc dd. ee ff gg", "A. bb cc dd."),
        ("aaaa bbbb ccc! dddd", "aaaa bbbb ccc!"),
        ("aaaa bbbb cc? dddd ee", "aaaa bbbb cc?"),
        ("aaaa. bbbb cccc dddd eeee", "aaaa. bbbb cccc dddd"),
        ("aaaa bbbb cccc dddd eeee", "aaaa bbbb cccc dddd"),
    ],
)
def test_past_60_percent_of_the_longest_reply_it_ends_with_its_sentence(text: str, reply: str):
    made = Script(text).write(replace(PLAIN, max_tokens=20))
    assert made.text == reply.strip()


@pytest.mark.parametrize(
    ("share", "reply"),
    [
        (0.0, "A."),
        (0.1, "A."),
        (0.2, "A. bb cc dd."),
        (0.6, "A. bb cc dd."),
        (0.7, "A. bb cc dd. ee ff gg"),
        (1.0, "A. bb cc dd. ee ff gg"),
    ],
)
def test_the_share_after_which_a_reply_ends_with_its_sentence_can_be_set(share, reply):
    decoding = replace(PLAIN, max_tokens=20, sentence_end_after=share)
    assert Script("A. bb cc dd. ee ff gg").write(decoding).text == reply[:20].strip()


@pytest.mark.parametrize(
    ("text", "stop", "reply"),
    [
        ("one\ntwo", ("\n",), "one"),
        ("\n one\ntwo", ("\n",), "one"),
        ("one two User: three", ("User:",), "one two"),
        ("one Us two User:", ("User:",), "one Us two"),
        ("one two", ("\n", "w"), "one t"),
        ("one two", ("o", "t"), ""),
        ("one two", ("x",), "one two"),
        ("one xab", ("b", "ab"), "one x"),
        ("中文好\n的", ("\n",), "中文好"),
        ("one U", ("User:",), "one U"),
    ],
)
def test_a_stop_text_ends_the_reply_and_does_not_belong_to_it(text, stop, reply):
    model = Script(text)
    assert model.write(stop=stop).text == reply
    assert model.passes <= len(model.ids)


def test_nothing_is_generated_far_behind_a_stop_text():
    model = Script("one\n" + "x" * 40)
    made = model.write(replace(PLAIN, max_tokens=44), stop=("\n",))
    assert model.passes == made.tokens == len("one\n") + 1


def test_a_text_that_does_not_fit_the_context_is_refused_before_the_model_runs():
    model = Script("one", limit=20)
    with pytest.raises(DataError) as caught:
        write(model, model.tokenizer, [[5] * 4, [5] * 11], replace(PLAIN, max_tokens=10), [0, 0])
    for piece in ("11 tokens long", "up to 10", "the model's 20", "shorten"):
        assert piece in str(caught.value)
    assert model.passes == 0
    write(model, model.tokenizer, [[5] * 4, [5] * 10], replace(PLAIN, max_tokens=10), [0, 0])
    assert model.passes > 0


def test_a_model_without_end_token_is_refused():
    model = Script("one")
    model.tokenizer.eos_token = None
    with pytest.raises(DataError, match="no end token"):
        model.write()


# -- streaming --------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.integers(0, 2**40), st.integers(1, 40), st.sampled_from(PROMPTS))
def test_streamed_pieces_join_to_what_is_written(seed: int, length: int, prompt: list[int]):
    decoding = Decoding(temperature=1.0, max_tokens=length)
    pieces = list(stream(LM.model, LM.tokenizer, prompt, decoding, seed))
    assert "".join(pieces) == write(LM.model, LM.tokenizer, [prompt], decoding, [seed])[0].text
    assert all(pieces)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("hello", list("hello")),
        ("中文", ["中", "文"]),
        ("a😀b", ["a", "😀", "b"]),
        ("  a  b  ", ["a", "  b"]),
        ("\n", []),
        ("", []),
    ],
)
def test_pieces_are_whole_characters_without_the_blanks_around_the_reply(text, pieces):
    assert Script(text).stream() == pieces


@pytest.mark.parametrize("stop", [("\n",), ("User:",), ("User:", "\n\n"), ("ll",), ("aab",)])
@pytest.mark.parametrize(
    "text",
    ["one\ntwo", "one Us two User: x", "one two", "hello all", "one\n\ntwo", "aaaab", "one U"],
)
def test_streamed_pieces_hold_nothing_of_a_stop_text(text: str, stop: tuple[str, ...]):
    assert "".join(Script(text).stream(stop=stop)) == Script(text).write(stop=stop).text


def test_a_beam_search_is_refused_with_what_is_offered():
    beams = replace(PLAIN, strategy="beam")
    with pytest.raises(Unsupported, match="no beam search; leave out --beams to sample, or"):
        write(LM.model, LM.tokenizer, PROMPTS, beams, [0] * len(PROMPTS))
    with pytest.raises(Unsupported, match="no beam search"):
        next(stream(LM.model, LM.tokenizer, PROMPTS[0], beams, 0))


# -- scores -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "decoding",
    [PLAIN, GREEDY, Decoding(temperature=1.5, repetition_penalty=1.5, no_repeat=2, max_tokens=30)],
    ids=["sample", "greedy", "penalised"],
)
def test_the_logprob_is_that_of_the_tokens_read_in_one_pass_at_temperature_1(decoding: Decoding):
    drafts = drafts_of(LM.model, LM.tokenizer, decoding, [1, 2, 3])
    for _ in steps(LM.model, LM.tokenizer, PROMPTS, decoding, drafts):
        pass
    for prompt, draft in zip(PROMPTS, drafts, strict=True):
        row, made = draft.ids, draft.written()
        with torch.inference_mode():
            logits = LM.model(input_ids=torch.tensor([prompt + row])).logits[0].float()
        scores = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        wanted = scores.gather(1, torch.tensor(row)[:, None]).sum()
        assert made.tokens == len(row)
        assert made.logprob == pytest.approx(float(wanted), abs=ROUNDING)
