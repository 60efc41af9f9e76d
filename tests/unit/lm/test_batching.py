"""Replies of a running batch are those that each prompt gets alone, whoever joins and leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, GPT2Config, GPT2LMHeadModel

from emotone.errors import DataError, Unsupported
from emotone.lm.batching import Batch, Row, unfit
from emotone.lm.decode import Written, write
from emotone.models import CausalLM
from emotone.models.tiny import byte_tokenizer, tiny_causal_lm, tiny_seq2seq
from emotone.types import Decoding

GREEDY = Decoding("greedy", max_tokens=16)
SAMPLED = Decoding(max_tokens=16)
LM = tiny_causal_lm()
POSTS = (
    "hi",
    "the same beginning of a post, one",
    "the same beginning of a post, and two",
    "x y z",
)
PROMPTS = [LM.tokenizer(text).input_ids for text in POSTS]


def other(kind: str) -> CausalLM:
    """A tiny model of another family."""
    tokenizer = byte_tokenizer()
    size = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 2, "bos_token_id": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any
        if kind == "gpt2":
            model = GPT2LMHeadModel(GPT2Config(**size, n_embd=32, n_layer=2, n_head=4)).eval()
        else:  # two kinds of attention, and a window shorter than the prompts
            config = Gemma3TextConfig(
                **size, hidden_size=32, intermediate_size=48, num_hidden_layers=3,
                num_attention_heads=4, num_key_value_heads=2, head_dim=8, sliding_window=6,
                layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                initializer_range=0.4,
            )  # fmt: skip
            model = Gemma3ForCausalLM(config).eval()
    return CausalLM(model, tokenizer, "tiny", "tiny", None, "cpu")


def alone(lm: CausalLM, ids: list[int], decoding: Decoding, seed: int) -> Written:
    return write(lm.model, lm.tokenizer, [ids], decoding, [seed])[0]


def together(
    lm: CausalLM, prompts: list[list[int]], decoding: Decoding, arrivals: list[int]
) -> tuple[list[Written], Batch]:
    """Let prompt i join at step `arrivals[i]`, and replies leave when they are done."""
    batch = Batch(lm)
    rows: dict[int, Row] = {}
    step = 0
    while len(rows) < len(prompts) or batch.rows:
        for i, at in enumerate(arrivals):
            if at == step:
                draft = batch.draft(decoding, i)
                rows[i] = batch.join(prompts[i], [draft], None, decoding)[0]
        for row in [row for row in batch.rows if row.draft.done]:
            batch.leave(row)
        batch.step()
        step += 1
    return [rows[i].draft.written() for i in range(len(prompts))], batch


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3"])
@pytest.mark.parametrize("decoding", [GREEDY, SAMPLED], ids=["greedy", "sample"])
def test_a_reply_is_the_one_it_gets_alone(kind: str, decoding: Decoding):
    lm = LM if kind == "llama" else other(kind)
    replies, _ = together(lm, PROMPTS, decoding, [0, 3, 3, 5])
    for i, (ids, reply) in enumerate(zip(PROMPTS, replies, strict=True)):
        expected = alone(lm, ids, decoding, i)
        assert (reply.text, reply.tokens) == (expected.text, expected.tokens)
        assert reply.logprob == pytest.approx(expected.logprob, abs=2e-3)


@settings(max_examples=15)
@given(st.lists(st.integers(0, 9), min_size=4, max_size=4))
def test_it_does_not_matter_when_a_row_joins(arrivals: list[int]):
    replies, _ = together(LM, PROMPTS, GREEDY, arrivals)
    assert [r.text for r in replies] == [alone(LM, ids, GREEDY, 0).text for ids in PROMPTS]


def test_a_prompt_that_began_like_another_is_read_from_where_they_part():
    batch = Batch(LM)
    widths: list[int] = []
    real = LM.model.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        widths.append(kwargs["input_ids"].shape[1])
        return real(*args, **kwargs)

    LM.model.forward = forward
    try:
        for ids in PROMPTS[1:3]:
            batch.join(ids, [batch.draft(GREEDY, 0)], None, GREEDY)
    finally:
        LM.model.forward = real
    shared = len("the same beginning of a post, ")
    assert widths == [len(PROMPTS[1]), len(PROMPTS[2]) - shared]


def test_without_room_no_beginning_is_kept():
    batch = Batch(LM, prefix_bytes=0)
    batch.join(PROMPTS[1], [batch.draft(GREEDY, 0)], None, GREEDY)
    assert not batch._prefixes


def test_candidates_share_one_reading_of_their_prompt():
    decoding = replace(SAMPLED, temperature=1.5)
    batch = Batch(LM)
    drafts = [batch.draft(decoding, seed) for seed in range(4)]
    batch.join(PROMPTS[1], drafts, None, decoding)
    while batch.rows:
        for row in [row for row in batch.rows if row.draft.done]:
            batch.leave(row)
        batch.step()
    texts = [draft.written().text for draft in drafts]
    assert texts == [alone(LM, PROMPTS[1], decoding, seed).text for seed in range(4)]
    assert len(set(texts)) > 1


def test_pieces_are_the_reply():
    batch = Batch(LM)
    row = batch.join(PROMPTS[0], [batch.draft(GREEDY, 0)], None, GREEDY)[0]
    pieces = [row.draft.piece()]
    while not row.draft.done:
        batch.step()
        pieces.append(row.draft.piece())
    assert "".join(pieces) == row.draft.written().text == alone(LM, PROMPTS[0], GREEDY, 0).text


def test_what_does_not_fit_the_context_is_refused_and_leaves_the_others():
    batch = Batch(LM)
    batch.join(PROMPTS[0], [batch.draft(GREEDY, 0)], None, GREEDY)
    with pytest.raises(DataError, match="shorten the text"):
        batch.join([5] * 3000, [batch.draft(GREEDY, 0)], None, GREEDY)
    assert len(batch.rows) == 1


def test_a_model_with_other_states_is_refused():
    from transformers import MambaConfig, MambaForCausalLM

    seq2seq = tiny_seq2seq()
    assert unfit(LM.model) is None
    assert "encoder" in str(unfit(seq2seq.model))
    mamba = MambaForCausalLM(MambaConfig(vocab_size=259, hidden_size=16, num_hidden_layers=2))
    lm = CausalLM(mamba, byte_tokenizer(), "tiny", "tiny", None, "cpu")
    with pytest.raises(Unsupported, match="other states than keys and values"):
        Batch(lm)
