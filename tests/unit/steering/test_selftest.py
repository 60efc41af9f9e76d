"""What the test at attaching refuses, in a sentence."""

from __future__ import annotations

import pytest
import torch

from emotone.errors import SteeringError, Unsupported
from emotone.steering.apply import steering
from parity.tiny_architectures import tiny_model
from unit.steering.families import family, ids, push


@pytest.mark.parametrize("positions", ["all", "last"])
@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_a_displacement_that_rounding_takes_is_refused(kind, positions):
    model = family(kind).to(torch.bfloat16)
    with (
        pytest.raises(SteeringError, match=r"only \d+% is left when it is rounded to bfloat16"),
        steering(model, push(size=1e-5), positions=positions),
    ):
        pass
    with steering(model, push(), positions=positions):  # the same blocks, proved by now
        pass
    with (
        pytest.raises(SteeringError, match="larger intensity"),
        steering(model, push(size=1e-5), positions=positions),
    ):
        pass
    with steering(family(kind), push(size=1e-5), positions=positions):  # float32 keeps it
        pass


def test_each_row_has_to_survive_rounding_and_a_row_of_nothing_does():
    model, rows = family("gemma2").to(torch.bfloat16), push(3)
    rows[1] = 0
    plain = model(input_ids=ids(3)).logits
    with steering(model, rows):
        moved = model(input_ids=ids(3)).logits
    assert [torch.equal(a, b) for a, b in zip(plain, moved, strict=True)] == [False, True, False]
    rows[2] *= 1e-5
    with pytest.raises(SteeringError, match="is left"), steering(model, rows):
        pass


def test_a_model_that_needs_more_than_token_ids_is_refused_in_a_sentence(monkeypatch):
    model = family("llama")

    def forward(input_ids, attention_mask, use_cache, pictures):
        raise AssertionError(input_ids, attention_mask, use_cache, pictures)

    monkeypatch.setattr(model, "forward", forward)
    with (
        pytest.raises(Unsupported, match=r"does not run on a few token ids alone .*pictures"),
        steering(model, push()),
    ):
        pass


def test_blocks_whose_columns_come_first_are_refused():
    model = tiny_model("xlnet")
    with (
        pytest.raises(Unsupported, match=r"block 0 hands on \[5, 1, 32\] for 1 rows of 5 tokens"),
        steering(model, push()[:2]),
    ):
        pass


def test_a_decoder_that_is_not_called_as_a_module_is_refused():
    model = family("llama")
    inner = model.model
    object.__setattr__(inner, "_call_impl", inner.forward)
    with pytest.raises(SteeringError, match="ran 0 times in a pass"), steering(model, push(2)):
        pass
    object.__delattr__(inner, "_call_impl")
    with steering(model, push(2)):
        pass
