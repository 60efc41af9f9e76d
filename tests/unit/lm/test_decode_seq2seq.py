"""The same decoding loop, for models with an encoder of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration

from emotone.errors import DataError
from emotone.lm.decode import stream, write
from emotone.lm.likelihood import reply_nats, token_nats
from emotone.models.tiny import tiny_causal_lm, tiny_seq2seq
from emotone.types import Decoding

ROUNDING = 1e-3
LM = tiny_seq2seq()
PROMPTS = [LM.tokenizer(t).input_ids for t in ("hi", "a longer post with more words", "x y")]
PLAIN = Decoding(temperature=1.0, repetition_penalty=1.0, no_repeat=0, max_tokens=16)
#: As EmpRL's test decoding.
EMPRL = replace(PLAIN, temperature=0.9, top_p=1.0, top_k=20, max_tokens=30)


def test_greedy_is_what_transformers_generates():
    decoding = replace(PLAIN, strategy="greedy", max_tokens=12)
    # Replies end with their sentence after a while, which generate does not know of.
    for prompt, made in zip(
        PROMPTS, write(LM.model, LM.tokenizer, PROMPTS, decoding, [0] * 3), strict=True
    ):
        ids = LM.model.generate(
            input_ids=torch.tensor([prompt]), do_sample=False, num_beams=1, max_new_tokens=12
        )
        text = LM.tokenizer.decode(ids[0], skip_special_tokens=True).strip()
        assert made.text == text
        assert made.text


@pytest.mark.parametrize("decoding", [PLAIN, EMPRL, replace(PLAIN, strategy="greedy")])
def test_a_batch_equals_its_rows_alone(decoding: Decoding):
    seeds = [7, 8, 9]
    together = write(LM.model, LM.tokenizer, PROMPTS, decoding, seeds)
    for prompt, seed, row in zip(PROMPTS, seeds, together, strict=True):
        (alone,) = write(LM.model, LM.tokenizer, [prompt], decoding, [seed])
        assert (row.text, row.tokens) == (alone.text, alone.tokens)
        assert row.logprob == pytest.approx(alone.logprob, abs=ROUNDING)
    pieces = stream(LM.model, LM.tokenizer, PROMPTS[0], decoding, seeds[0])
    assert "".join(pieces) == together[0].text


def test_another_prompt_gives_another_reply():
    replies = write(LM.model, LM.tokenizer, PROMPTS, replace(PLAIN, strategy="greedy"), [0] * 3)
    assert len({r.text for r in replies}) == 3


def end_first(model: Any, end: int) -> None:
    """Let the end be far the likeliest token, whatever was said."""
    plain = model.lm_head.forward

    def forward(states: torch.Tensor) -> torch.Tensor:
        made = plain(states)
        made[..., end] += 1e4
        return made

    model.lm_head.forward = forward


@pytest.mark.parametrize("make", [tiny_seq2seq, tiny_causal_lm])
@pytest.mark.parametrize("least", [0, 1, 5])
@pytest.mark.parametrize("strategy", ["sample", "greedy"])
def test_no_reply_ends_before_min_tokens(make: Any, least: int, strategy: Any):
    lm = make()
    end_first(lm.model, lm.tokenizer.eos_token_id)
    decoding = replace(PLAIN, strategy=strategy, min_tokens=least, max_tokens=9)
    made = write(lm.model, lm.tokenizer, PROMPTS, decoding, [1, 2, 3])
    assert [r.tokens for r in made] == [least + 1] * 3


def test_a_sentence_end_does_not_end_a_reply_before_min_tokens():
    lm = tiny_causal_lm()
    stop = lm.tokenizer(".").input_ids[0]
    end_first(lm.model, stop)
    plain = replace(PLAIN, max_tokens=10)
    (ends,) = write(lm.model, lm.tokenizer, PROMPTS[:1], plain, [1])
    assert ends.text == "." * 6
    (goes_on,) = write(lm.model, lm.tokenizer, PROMPTS[:1], replace(plain, min_tokens=8), [1])
    assert goes_on.text == "." * 8


@pytest.mark.parametrize("make", [tiny_seq2seq, tiny_causal_lm])
def test_top_k_1_is_greedy_and_top_k_limits_what_is_drawn(make: Any):
    lm = make()
    wild = replace(PLAIN, temperature=5.0, top_p=1.0, max_tokens=8)
    first = [r.text for r in write(lm.model, lm.tokenizer, PROMPTS, wild, [1, 2, 3])]
    one = [
        r.text for r in write(lm.model, lm.tokenizer, PROMPTS, replace(wild, top_k=1), [1, 2, 3])
    ]
    greedy = replace(wild, strategy="greedy")
    assert one == [r.text for r in write(lm.model, lm.tokenizer, PROMPTS, greedy, [0] * 3)]
    assert one != first
    starts = set()
    for seed in range(60):
        short = replace(wild, top_k=3, max_tokens=1)
        starts.add(write(lm.model, lm.tokenizer, PROMPTS[:1], short, [seed])[0].logprob)
    assert len(starts) == 3


# -- likelihood -------------------------------------------------------------------------------

ROWS = list(zip(PROMPTS, ["Oh no!", "a much longer reply than the first", ""], strict=True))


def test_the_likelihood_is_the_loss_of_transformers_with_the_end_token():
    for prompt, text in ROWS:
        labels = torch.tensor([LM.tokenizer(text).input_ids])
        loss = LM.model(input_ids=torch.tensor([prompt]), labels=labels).loss.item()
        (ours,) = token_nats(LM.model, LM.tokenizer, [(prompt, text)], end=True)
        assert len(ours) == labels.shape[1]
        assert float(ours.mean()) == pytest.approx(loss, abs=1e-4)
        (without,) = token_nats(LM.model, LM.tokenizer, [(prompt, text)])
        assert torch.allclose(without, ours[:-1], atol=1e-4)


def test_likelihoods_in_a_batch_are_those_alone():
    made = reply_nats(LM.model, LM.tokenizer, ROWS, batch=3)
    alone = [reply_nats(LM.model, LM.tokenizer, [row])[0] for row in ROWS]
    assert [n for _, n in made] == [n for _, n in alone] == [7, 35, 1]
    for (nats, _), (one, _) in zip(made, alone, strict=True):
        assert nats == pytest.approx(one, rel=1e-4)


def test_the_likelihood_of_what_was_written_is_its_logprob():
    decoding = replace(PLAIN, temperature=0.5, max_tokens=10)
    for seed in range(20):
        (made,) = write(LM.model, LM.tokenizer, PROMPTS[:1], decoding, [seed])
        ids = LM.tokenizer(made.text, add_special_tokens=False).input_ids
        if len(ids) == made.tokens - 1:  # it ended, and its bytes are whole characters
            ((nats, _),) = reply_nats(LM.model, LM.tokenizer, [(PROMPTS[0], made.text)])
            assert nats == pytest.approx(-made.logprob, abs=ROUNDING)


def test_encoder_and_decoder_have_positions_of_their_own():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BartForConditionalGeneration(
            BartConfig(
                vocab_size=len(LM.tokenizer),
                d_model=16,
                encoder_layers=1,
                decoder_layers=1,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=16,
                decoder_ffn_dim=16,
                max_position_embeddings=20,
                pad_token_id=0,
                eos_token_id=1,
                decoder_start_token_id=1,
            )
        ).eval()
    decoding = replace(PLAIN, max_tokens=20)
    assert write(model, LM.tokenizer, [[5] * 20], decoding, [0])[0].tokens <= 20
    for prompt, longest in (([5] * 21, 20), ([5] * 20, 21)):
        with pytest.raises(DataError, match="exceeds the model's 20"):
            write(model, LM.tokenizer, [prompt], replace(decoding, max_tokens=longest), [0])
    with pytest.raises(DataError, match="exceeds the model's 20"):
        token_nats(model, LM.tokenizer, [([5] * 21, "a")])
