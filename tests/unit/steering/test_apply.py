from __future__ import annotations

import contextlib

import pytest
import torch

from emotone.errors import SteeringError, Unsupported
from emotone.steering import layers
from emotone.steering.apply import steering
from emotone.steering.record import hidden, recording
from unit.steering.families import (
    FAMILIES,
    FOLDED,
    UNFOLDED,
    family,
    ids,
    push,
    snapshot,
    untouched,
)

#: float32 sums of a few dozen terms in another order
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def logits(model, tokens=None, **kwargs):
    with torch.inference_mode():
        return model(input_ids=ids() if tokens is None else tokens, **kwargs).logits


def by_hand(model, displacement, site):
    """Logits with the displacement added by plain hooks of the test's own."""
    handles = []
    for i, block in enumerate(layers.blocks(model)):

        def add(_m, _a, out, i=i):
            moved = hidden(out) + displacement[..., i, None, :]
            return (moved, *out[1:]) if isinstance(out, tuple) else moved

        handles.append(layers.site_module(model, block, site).register_forward_hook(add))
    try:
        return logits(model)
    finally:
        for h in handles:
            h.remove()


@pytest.mark.parametrize("site", layers.SITES)
@pytest.mark.parametrize("kind", FAMILIES)
def test_every_tier_equals_addition_by_hand(kind, site):
    model, v = family(kind), push()
    wanted = by_hand(model, v, site)
    assert not torch.allclose(wanted, logits(model), atol=1e-2)
    for tier in (None, "rows", "hooks"):
        before = snapshot(model)
        with steering(model, v, site=site, tier=tier):
            assert torch.allclose(logits(model), wanted, **CLOSE), tier
        assert untouched(model, before)


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_cheapest_exact_tier_is_chosen_by_itself(kind):
    model = family(kind)
    with steering(model, push()) as applied:
        assert applied.tier == ("rows" if kind in UNFOLDED else "bias")
    with steering(model, push(), site="attn_out") as applied:
        assert applied.tier == "bias"
    with steering(model, push(2)) as applied:
        assert applied.tier == "rows"
    with steering(model, push(), positions="last") as applied:
        assert applied.tier == "hooks"


@pytest.mark.parametrize("kind", UNFOLDED)
def test_folding_is_refused_where_a_norm_follows(kind):
    with (
        pytest.raises(Unsupported, match="not exact at site 'resid'"),
        steering(family(kind), push(), tier="bias"),
    ):
        pass


def test_a_wrong_entry_of_the_table_is_caught_on_the_model(monkeypatch):
    monkeypatch.setitem(layers.ARCHITECTURES, "gemma3_text", layers.Architecture())
    model = family("gemma3_text")
    before = snapshot(model)
    with pytest.raises(SteeringError, match="block 0 moved"), steering(model, push()):
        pass
    assert untouched(model, before)


def test_granite_multiplier_is_caught_when_forgotten(monkeypatch):
    monkeypatch.setitem(layers.ARCHITECTURES, "granite", layers.Architecture())
    with pytest.raises(SteeringError, match="moved"), steering(family("granite"), push()):
        pass


def test_blocks_called_around_their_hooks_raise():
    model = family("llama")
    for block in layers.blocks(model):
        object.__setattr__(block, "_call_impl", block.forward)  # as models that call .forward do
    with pytest.raises(SteeringError, match="did not act"), steering(model, push(2)):
        pass


def test_a_block_that_falls_silent_later_raises_at_the_end():
    model = family("llama")
    with steering(model, push(2)):
        logits(model)
    block = layers.blocks(model)[1]
    with (
        pytest.raises(SteeringError, match=r"blocks \[1\] were never steered"),
        steering(model, push(2)),
    ):
        object.__setattr__(block, "_call_impl", block.forward)
        logits(model)
    object.__delattr__(block, "_call_impl")


def test_a_bias_that_is_swapped_out_raises_at_the_end():
    model = family("llama")
    with pytest.raises(SteeringError, match="lost its bias"), steering(model, push()):
        layers.blocks(model)[0].mlp.down_proj.bias = None


@pytest.mark.parametrize("kind", FAMILIES)
def test_what_is_saved_while_steering_lasts_is_the_model_itself(kind, tmp_path):
    model = family(kind)
    own = {name: weight.clone() for name, weight in model.state_dict().items()}
    with steering(model, push()) as applied:
        for kept in (model.state_dict(), model.state_dict(keep_vars=True)):
            assert kept.keys() == own.keys()
            assert all(torch.equal(kept[name], own[name]) for name in own)
        model.save_pretrained(tmp_path / "inside")
    assert applied.tier == ("rows" if kind in UNFOLDED else "bias")
    model.save_pretrained(tmp_path / "after")
    files = [tmp_path / name / "model.safetensors" for name in ("inside", "after")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_weights_are_not_loaded_into_a_steered_model(kind):
    model = family(kind)
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    before = snapshot(model)
    with steering(model, push()), pytest.raises(SteeringError, match="leave the `with` block"):
        model.load_state_dict({name: weight + 1 for name, weight in weights.items()})
    assert untouched(model, before)
    model.load_state_dict(weights)


def test_dropout_is_named_where_it_is_what_hinders():
    model = family("gpt2").train()
    with pytest.raises(SteeringError, match=r"training mode.*eval\(\)"), steering(model, push()):
        pass
    with steering(model.eval(), push()):
        pass


@pytest.mark.parametrize("kind", ["llama", "gpt2", "phi"])
@pytest.mark.parametrize("rows", [None, 2])
def test_an_exception_inside_leaves_the_model_bit_for_bit(kind, rows):
    model = family(kind)
    before, plain = snapshot(model), logits(model)
    with contextlib.suppress(ZeroDivisionError), steering(model, push(rows)):
        logits(model)
        raise ZeroDivisionError
    assert untouched(model, before)
    assert torch.equal(logits(model), plain)


def test_attaching_is_all_or_none(monkeypatch):
    model = family("llama")
    before = snapshot(model)
    broken = layers.blocks(model)[2]

    def refuse(*_args, **_kwargs):
        raise RuntimeError("no more hooks")

    monkeypatch.setattr(broken, "register_forward_hook", refuse, raising=False)
    with pytest.raises(RuntimeError, match="no more hooks"), steering(model, push(2)):
        pass
    monkeypatch.undo()
    assert untouched(model, before)
    with steering(model, push(2)):  # and the model can be steered again
        pass


def test_zero_displacement_attaches_nothing_and_changes_no_bit():
    model = family("llama")
    plain = logits(model)
    with steering(model, torch.zeros(3, 32)) as applied:
        assert applied.tier == "none"
        assert torch.equal(logits(model), plain)


def test_blocks_without_displacement_are_left_alone():
    v = push()
    v[1] = 0
    with steering(family("llama"), v) as applied:
        assert applied.blocks == (0, 2)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (torch.zeros(4, 32), r"shape \(4, 32\), the model needs \[3, 32\]"),
        (torch.zeros(3, 31), "vectors that were made for this model"),
        (torch.full((3, 32), float("nan")), "NaN or infinity"),
        (torch.full((3, 32), float("inf")), "NaN or infinity"),
    ],
)
def test_a_displacement_that_cannot_fit_is_refused(wrong, said):
    with pytest.raises(SteeringError, match=said), steering(family("llama"), wrong):
        pass


def test_steering_twice_at_once_is_refused():
    model = family("llama")
    with (
        steering(model, push()),
        pytest.raises(SteeringError, match="already steered"),
        steering(model, push()),
    ):
        pass


def test_unknown_positions_and_operation_are_refused():
    model = family("llama")
    with (
        pytest.raises(Unsupported, match="'first' is unknown"),
        steering(model, push(), positions="first"),
    ):
        pass
    with (
        pytest.raises(Unsupported, match="'rotate' is unknown"),
        steering(model, push(), operation="rotate"),
    ):
        pass


def test_a_mix_a_row_equals_each_row_alone():
    model, v, tokens = family("llama"), push(4), ids(4)
    with steering(model, v):
        together = logits(model, tokens)
    for i in range(4):
        with steering(model, v[i]):
            assert torch.allclose(logits(model, tokens[i : i + 1]), together[i : i + 1], **CLOSE)


def test_rows_that_do_not_match_the_mixes_raise():
    model = family("llama")
    with (
        pytest.raises(SteeringError, match="runs 3 rows, the mixes are for 2"),
        steering(model, push(2)),
    ):
        logits(model, ids(3))


def test_keep_norm_keeps_every_length():
    model = family("llama")
    with recording(model) as seen:
        logits(model)
        plain = seen[0].norm(dim=-1)
        v = push()
        v[1:] = 0
        with steering(model, v, operation="keep_norm"), recording(model) as steered:
            logits(model)
    assert torch.allclose(steered[0].norm(dim=-1), plain, atol=1e-4)
    assert not torch.allclose(steered[0], seen[0], atol=1e-2)


def test_the_last_block_is_read_by_its_hook_not_from_hidden_states():
    model = family("llama")
    with recording(model) as seen:
        out = model(input_ids=ids(), output_hidden_states=True)
    assert torch.equal(seen[0], out.hidden_states[1])
    assert not torch.allclose(seen[2], out.hidden_states[-1])  # that one is after the final norm
    assert torch.allclose(model.model.norm(seen[2]), out.hidden_states[-1], **CLOSE)


def test_folded_families_are_all_in_the_table():
    assert set(FOLDED) | set(UNFOLDED) <= set(layers.ARCHITECTURES)


def test_an_unknown_family_is_steered_by_its_one_list_of_blocks(monkeypatch):
    model, v = family("llama"), push()
    wanted = by_hand(model, v, "resid")
    monkeypatch.delitem(layers.ARCHITECTURES, "llama")
    with steering(model, v) as applied:
        assert applied.tier == "rows"
        assert torch.allclose(logits(model), wanted, **CLOSE)
    with (
        pytest.raises(Unsupported, match="needs a known family"),
        steering(model, v, site="attn_out"),
    ):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("in_place", [True, False])
def test_a_model_that_was_compiled_before_is_steered_too(in_place):
    model, v = family("gemma2"), push(2)
    compiled = model
    if in_place:
        model.compile(backend="eager")
    else:
        compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        plain = compiled(input_ids=ids(), use_cache=False).logits.clone()
        with steering(model, v):
            steered = compiled(input_ids=ids(), use_cache=False).logits.clone()
        after = compiled(input_ids=ids(), use_cache=False).logits
        other = family("gemma2")
        with steering(other, v):
            wanted = other(input_ids=ids(), use_cache=False).logits
    torch.testing.assert_close(steered, wanted, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(steered, plain)
    assert torch.equal(after, plain)


@pytest.mark.parametrize("kind", ["mamba", "llama"])
def test_a_model_in_half_precision_is_steered(kind):
    extra = {"state_size": 4} if kind == "mamba" else {}
    model = family(kind, **extra).to(torch.bfloat16)
    with steering(model, push()):
        assert model(input_ids=ids(), use_cache=False).logits.isfinite().all()
