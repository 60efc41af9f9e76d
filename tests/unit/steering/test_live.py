"""Steering whose rows change from pass to pass: exact, told apart, and gone at its end."""

from __future__ import annotations

import pytest
import torch

from emotone.errors import SteeringError
from emotone.models.tiny import tiny_causal_lm
from emotone.steering.live import LiveSteering
from emotone.steering.positions import POSITIONS, Positions
from emotone.steering.tiny import tiny_vectors
from emotone.systems import steered
from emotone.types import Decoding
from unit.steering.running import alone, together

GREEDY = Decoding("greedy", max_tokens=12)
POSTS = ("the bus", "a longer post than that", "the bus again")


def set_of(positions: Positions):
    from dataclasses import replace

    lm = tiny_causal_lm()
    vectors = tiny_vectors(lm.model)
    return lm, replace(vectors, card=replace(vectors.card, positions=positions))


@pytest.mark.parametrize("positions", POSITIONS)
def test_each_row_is_pushed_as_alone_at_each_kind_of_position(positions: Positions):
    lm, vectors = set_of(positions)
    system = steered.Steered(lm, vectors, steered.Config(candidates=1))
    asks = [{"joy": 1.5}, {}, {"anger": -1.0, "fear": 0.8}]
    expected = alone(system, POSTS, asks, GREEDY)
    with LiveSteering(lm.model, vectors).on() as live:
        assert together(system, live, POSTS, asks, GREEDY) == expected
    assert len(set(expected)) > 1


def test_the_model_is_afterwards_bit_for_bit_as_it_was_also_after_a_failure():
    lm, vectors = set_of("all")
    ids = torch.arange(3, 20)[None]
    with torch.inference_mode():
        before = lm.model(input_ids=ids).logits
    with pytest.raises(RuntimeError, match="boom"), LiveSteering(lm.model, vectors).on() as live:
        live.before([vectors.displacement(raw_scale={"joy": 2.0})], torch.zeros(1, 17))
        raise RuntimeError("boom")
    with torch.inference_mode():
        assert torch.equal(lm.model(input_ids=ids).logits, before)


def test_at_rest_it_moves_nothing():
    lm, vectors = set_of("all")
    ids = torch.arange(3, 20)[None]
    with torch.inference_mode(), LiveSteering(lm.model, vectors).on() as live:
        plain = lm.model(input_ids=ids).logits
        live.before([vectors.displacement(raw_scale={"joy": 2.0})], torch.zeros(1, 17))
        assert not torch.equal(lm.model(input_ids=ids).logits, plain)
        live.rest()
        assert torch.equal(lm.model(input_ids=ids).logits, plain)


def test_no_second_steering_begins_meanwhile():
    lm, vectors = set_of("all")
    with LiveSteering(lm.model, vectors).on():
        for other in (vectors.steer(lm.model, "joy"), LiveSteering(lm.model, vectors).on()):
            with pytest.raises(SteeringError, match="already steered"), other:
                pass


def test_the_listener_hears_each_row_before_and_after_its_push():
    lm, vectors = set_of("all")
    ids = torch.arange(3, 20)[None].repeat(2, 1)
    with torch.inference_mode(), LiveSteering(lm.model, vectors).on() as live:
        live.before([None, vectors.displacement(raw_scale={"joy": 0.3})], torch.zeros(2, 17))
        lm.model(input_ids=ids)
        heard = live.heard()
    assert heard is not None
    before, after = heard
    assert before.shape == after.shape == (2, len(vectors.listener.labels))
    assert torch.allclose(before[0], after[0])
    assert not torch.allclose(before[1], after[1], atol=1e-3)
