from __future__ import annotations

import pytest
import torch

from emotone.errors import Unsupported
from emotone.steering.apply import steering
from emotone.steering.positions import POSITIONS
from unit.steering.families import family, ids, push

#: a displacement that changes what greedy decoding says, so that equality is a real test
SIZE = 0.8


def say(model, tokens, mask=None, **kwargs):
    with torch.inference_mode():
        return model.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens) if mask is None else mask,
            max_new_tokens=8,
            min_new_tokens=8,
            do_sample=False,
            pad_token_id=0,
            **kwargs,
        )


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "gpt2", "opt"])
def test_cache_and_no_cache_say_the_same(kind, positions):
    model, v = family(kind), push(size=SIZE)
    with steering(model, v, positions=positions):
        cached = say(model, ids())
        plain = say(model, ids(), use_cache=False)
    assert torch.equal(cached, plain)


@pytest.mark.parametrize("positions", POSITIONS)
def test_positions_differ_and_all_of_them_act(positions):
    model, v = family("llama"), push(size=SIZE)
    unsteered = say(model, ids())
    with steering(model, v, positions=positions):
        steered = say(model, ids())
    assert not torch.equal(unsteered, steered)


@pytest.mark.parametrize("positions", POSITIONS)
def test_left_padding_changes_nothing(positions):
    model, v = family("llama"), push(size=SIZE)
    short, long = ids(1, 4), ids(1, 9, seed=5)
    tokens = torch.cat([torch.cat([torch.zeros(1, 5, dtype=torch.long), short], 1), long])
    mask = torch.ones_like(tokens)
    mask[0, :5] = 0
    with steering(model, v, positions=positions):
        together = say(model, tokens, mask)
        alone = say(model, short)
    assert torch.equal(together[0, -8:], alone[0, -8:])


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("how", [{"num_beams": 3}, {"num_beams": 2, "use_cache": False}])
def test_beams_get_the_mix_of_their_prompt(positions, how):
    model, v, tokens = family("llama"), push(2, size=SIZE), ids(2)
    with steering(model, v, positions=positions):
        together = say(model, tokens, **how)
    for i in range(2):
        with steering(model, v[i], positions=positions):
            assert torch.equal(say(model, tokens[i : i + 1], **how)[0], together[i])


def test_returned_sequences_get_the_mix_of_their_prompt():
    model, v, tokens = family("llama"), push(2, size=SIZE), ids(2)
    with steering(model, v):
        together = say(model, tokens, num_beams=3, num_return_sequences=3)
    with steering(model, v[1]):
        alone = say(model, tokens[1:], num_beams=3, num_return_sequences=3)
    assert torch.equal(together[3:], alone)


def test_a_second_prompt_in_the_same_block_starts_anew():
    model, v = family("llama"), push(size=SIZE)
    with steering(model, v, positions="generated"):
        first = say(model, ids(seed=7))
        second = say(model, ids(width=9, seed=8))
        again = say(model, ids(seed=7))
    with steering(model, v, positions="generated"):
        assert torch.equal(say(model, ids(width=9, seed=8)), second)
    assert torch.equal(first, again)


def test_prompt_and_generated_move_exactly_their_own_columns():
    model, tokens = family("llama"), ids(1, 6)
    v = push()
    v[1:] = 0
    from emotone.steering.record import recording

    def states(**kwargs):
        with steering(model, v, **kwargs), recording(model) as seen, torch.inference_mode():
            model(input_ids=tokens)
            return seen[0]

    with recording(model) as seen, torch.inference_mode():
        model(input_ids=tokens)
    plain = seen[0]
    moved = {
        p: (states(positions=p, prompt_length=4) - plain).abs().amax(-1)[0] > 1e-6
        for p in POSITIONS
    }
    assert moved["all"].tolist() == [True] * 6
    assert moved["prompt"].tolist() == [True] * 4 + [False] * 2
    assert moved["generated"].tolist() == [False] * 4 + [True] * 2
    assert moved["last"].tolist() == [False] * 3 + [True] * 3


@pytest.mark.parametrize("kind", ["mamba", "mamba2"])
def test_a_cache_that_counts_no_columns_is_refused_where_columns_matter(kind):
    sizes = {"num_heads": 4, "head_dim": 16, "n_groups": 1} if kind == "mamba2" else {}
    model, v = family(kind, state_size=4, **sizes), push(size=SIZE)
    with (
        pytest.raises(Unsupported, match="use 'all', or run it with use_cache=False"),
        steering(model, v, positions="generated"),
    ):
        say(model, ids())
    with steering(model, v):
        assert torch.equal(say(model, ids()), say(model, ids(), use_cache=False))


@pytest.mark.parametrize("kind", ["llama", "gpt2", "opt"])
def test_one_pass_over_a_prompt_has_the_columns_of_the_prompt(kind):
    model, v = family(kind), push(size=SIZE)

    def logits(positions=None):
        with torch.inference_mode():
            if positions is None:
                return model(input_ids=ids()).logits
            with steering(model, v, positions=positions):
                return model(input_ids=ids()).logits

    assert torch.equal(logits("generated"), logits())
    torch.testing.assert_close(logits("prompt"), logits("all"), rtol=1e-4, atol=1e-4)
    last, plain = logits("last"), logits()
    assert torch.equal(last[:, :-1], plain[:, :-1])
    assert not torch.allclose(last[:, -1], plain[:, -1])
