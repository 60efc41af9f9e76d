"""Weights in blocks: the same products, other bits, and never a weight of yesterday."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from emotone.models import packed


class _Doubled(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def model(bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(48, 96, bias=bias), nn.Tanh(), nn.Linear(96, 40, bias=bias))


def frozen(one: nn.Module) -> nn.Module:
    packed.pack_linear_maps(one.requires_grad_(False))
    return one


def packs(one: nn.Module) -> list[Any]:
    """The weights of a model that are in blocks now."""
    return [m._packed for m in one.modules() if isinstance(m, packed.PackedLinear) and m._packed]


@pytest.fixture
def available() -> None:
    if not packed._available():
        pytest.skip("this build of torch has no oneDNN")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 48), (8, 48), (3, 5, 48), (300, 48), (2, 0, 48)])
def test_packed_maps_compute_what_plain_ones_do(shape: tuple[int, ...], bias: bool):
    ours, plain = frozen(model(bias)), model(bias)
    rows = torch.randn(shape)
    with torch.inference_mode():
        torch.testing.assert_close(ours(rows), plain(rows), rtol=1e-5, atol=1e-5)


def test_a_row_has_the_same_bits_whatever_stands_beside_it(available: None):
    ours = frozen(model())
    rows = torch.randn(33, 48)
    with torch.inference_mode():
        together = ours(rows)
        for many in (1, 2, 7, 8, 32):
            assert torch.equal(ours(rows[:many]), together[:many])


def test_weights_changed_in_place_are_read_as_they_are_now(available: None):
    ours, rows = frozen(model()), torch.randn(4, 48)
    with torch.inference_mode():
        before = ours(rows)
    twice = {k: v * 2 for k, v in ours.state_dict().items()}
    ours.load_state_dict(twice)
    plain = model()
    plain.load_state_dict(twice)
    with torch.inference_mode():
        torch.testing.assert_close(ours(rows), plain(rows), rtol=1e-5, atol=1e-5)
        assert not torch.allclose(ours(rows), before)


def test_what_is_changed_through_data_is_seen(available: None):
    """As peft adds adapters to the weights; rows alone are seen by whoever is told."""
    ours, rows = frozen(model(bias=False)), torch.randn(4, 48)
    with torch.inference_mode():
        before = ours(rows)
        for parameter in ours.parameters():
            parameter.data += 0.01 * torch.randn_like(parameter)
        assert not torch.allclose(ours(rows), before)
        first: Any = ours[0]  # pyright: ignore[reportIndexIssue]
        ours(rows)
        first.weight.data[5, :3] = 9.0
        last: Any = ours[2]  # pyright: ignore[reportIndexIssue]
        true = (rows @ first.weight.T).tanh() @ last.weight.T
        assert not torch.allclose(ours(rows), true, rtol=1e-4, atol=1e-4)  # nobody was told
        packed.forget_packed(ours)
        torch.testing.assert_close(ours(rows), true, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("part", ["columns", "rows"])
def test_most_of_a_weight_changed_through_data_is_seen(part: str, available: None):
    ours, rows = frozen(nn.Sequential(nn.Linear(576, 192, bias=False))), torch.randn(4, 576)
    first: Any = ours[0]  # pyright: ignore[reportIndexIssue]
    with torch.inference_mode():
        ours(rows)
        changed = first.weight.data[:, 1:] if part == "columns" else first.weight.data[1:]
        changed += 1
        torch.testing.assert_close(ours(rows), rows @ first.weight.T, rtol=1e-4, atol=1e-3)


def test_a_weight_with_what_is_no_number_is_packed_once(available: None):
    ours, rows = frozen(nn.Sequential(nn.Linear(48, 96))), torch.randn(4, 48)
    first: Any = ours[0]  # pyright: ignore[reportIndexIssue]
    first.weight.data.fill_(float("nan"))
    with torch.inference_mode():
        ours(rows)
        (before,) = packs(ours)
        ours(rows)
        assert packs(ours)[0] is before


def test_a_weight_in_the_place_of_another_is_not_taken_for_it(available: None):
    from torch.func import functional_call

    ours, rows = frozen(nn.Sequential(nn.Linear(48, 96, bias=False))), torch.randn(2, 48)
    for step in range(5):
        weight = torch.full((96, 48), float(step))
        weight[0, 1] = -step  # the probe does not see this one
        with torch.no_grad():
            theirs = functional_call(ours, {"0.weight": weight}, (rows,))
        torch.testing.assert_close(theirs, rows @ weight.T, rtol=1e-5, atol=1e-4)
        del weight


def test_weights_that_have_been_rounded_are_read_so(available: None):
    ours, rows = frozen(model()), torch.randn(4, 48)
    with torch.inference_mode():
        ours(rows)
        ours.bfloat16()
        ours.float()
        plain = model().bfloat16().float()
        torch.testing.assert_close(ours(rows), plain(rows), rtol=1e-6, atol=1e-6)


def test_one_that_learnt_between_two_passes_is_packed_anew(available: None):
    ours, rows = frozen(model()), torch.randn(4, 48)
    with torch.no_grad():
        before = ours(rows)
    ours.requires_grad_(True)
    optimizer = torch.optim.Adam(ours.parameters(), lr=1e-9, fused=True)
    first: Any = ours[0]  # pyright: ignore[reportIndexIssue]
    ours(rows).square().sum().backward()
    assert packs(ours) == []
    optimizer.step()
    with torch.no_grad():
        first.weight.data[5, :3] = 9.0  # what the probe does not see
    ours.requires_grad_(False)
    with torch.no_grad():
        assert not torch.allclose(ours(rows), before)


def test_weights_of_inference_mode_are_read_plainly():
    with torch.inference_mode():
        ours = frozen(model())
        assert ours(torch.randn(1, 48)).shape == (1, 40)
    assert packs(ours) == []


def test_a_model_comes_back_from_a_pickle():
    import pickle

    ours, rows = frozen(model()), torch.randn(2, 48)
    with torch.no_grad():
        again = pickle.loads(pickle.dumps(ours))
        assert torch.equal(again(rows), ours(rows))


def test_what_is_loaded_is_frozen_and_packed(tmp_path: Path, available: None):
    from emotone.models import load_causal_lm
    from emotone.models.tiny import tiny_causal_lm
    from emotone.training.adapters import (
        Adapters,
        adapter_weights,
        add_adapters,
        load_adapters,
        merge_adapters,
        save_adapters,
    )

    tiny = tiny_causal_lm()
    tiny.model.save_pretrained(tmp_path / "tiny")
    tiny.tokenizer.save_pretrained(tmp_path / "tiny")
    lm = load_causal_lm(tmp_path / "tiny", device="cpu")
    ids = torch.tensor([[5, 6, 7, 8]])
    assert not any(p.requires_grad for p in lm.model.parameters())
    with torch.inference_mode():
        before = lm.model(input_ids=ids).logits
        torch.testing.assert_close(before, tiny.model(input_ids=ids).logits, rtol=1e-4, atol=1e-5)
        assert packs(lm.model)
    add_adapters(tiny.model, Adapters(rank=3, alpha=6.0, targets=("down_proj",)))
    with torch.no_grad():
        for weight in adapter_weights(tiny.model).values():
            weight.copy_(torch.randn_like(weight) * 0.1)
    save_adapters(tiny.model, tmp_path / "adapters", base="tiny")
    load_adapters(lm.model, tmp_path / "adapters")
    with torch.inference_mode():
        adapted = lm.model(input_ids=ids).logits
        assert (adapted - before).abs().max() > 0.01
        for name, weight in adapter_weights(lm.model).items():
            if "lora_A" in name:
                weight[:, ::2] = 0  # seen by no probe
        adapted = lm.model(input_ids=ids).logits
        merge_adapters(lm.model)
        torch.testing.assert_close(lm.model(input_ids=ids).logits, adapted, rtol=1e-4, atol=1e-4)


def test_what_learns_is_never_packed():
    """A fused optimiser leaves no trace that a weight has changed."""
    ours, plain = model(), model()
    packed.pack_linear_maps(ours)
    rows = torch.randn(4, 48)
    for one in (ours, plain):
        optimizer = torch.optim.Adam(one.parameters(), lr=0.1, fused=True)
        for _ in range(2):
            with torch.no_grad():
                one(rows)
            one(rows).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    with torch.no_grad():
        assert torch.equal(ours(rows), plain(rows))


def test_only_the_push_has_a_gradient_where_all_weights_are_frozen():
    ours = frozen(model())
    push = torch.zeros(48, requires_grad=True)
    ours(torch.randn(4, 48) + push).sum().backward()
    assert push.grad is not None
    assert push.grad.any()


def test_a_copy_reads_its_own_weights(available: None):
    ours = frozen(model())
    rows = torch.randn(4, 48)
    with torch.inference_mode():
        before = ours(rows)
    copied = copy.deepcopy(ours)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.mul_(0)
        assert not copied(rows).any()
        assert torch.equal(ours(rows), before)


def test_quantised_maps_and_large_models_are_left_alone():
    mixed = nn.Sequential(nn.Linear(4, 4), _Doubled(4, 4), nn.Linear(4, 4).half())
    assert packed.pack_linear_maps(mixed) == int(packed._available())
    assert type(mixed[1]) is _Doubled
    assert packed.pack_linear_maps(model(), most_bytes=1000) == 0


def test_saved_weights_do_not_know_of_it():
    ours, plain = frozen(model()), model()
    with torch.inference_mode():
        ours(torch.randn(1, 48))
    assert list(ours.state_dict()) == list(plain.state_dict())
    packed.unpack_linear_maps(ours)
    assert all(type(m) is type(p) for m, p in zip(ours.modules(), plain.modules(), strict=True))
