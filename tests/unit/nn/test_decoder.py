"""The decoder in all its variants: whole targets equal single steps, and nothing leaks in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from emotone.nn.decoder import Decoder, DecoderShape, State
from emotone.nn.encoder import Encoded
from emotone.nn.state import select

D, H, E, M = 4, 6, 3, 5
B, S, T = 4, 5, 3
LENGTHS = (5, 2, 4, 1)

CELLS = (("gru", False), ("gru", True), ("lstm", False))
MAIN = list(itertools.product(CELLS, ("additive", "general"), (1, 2)))


def shapes(cell: tuple, attention: str, layers: int) -> Iterator[DecoderShape]:
    """Every combination of what the three names leave open."""
    for bridge, context, reads, emotion, internal in itertools.product(
        ("map", "copy"), ("attention", "last"), ("state+context", "state"), (0, E), (0, M)
    ):
        yield DecoderShape(
            D,
            H,
            layers,
            cell[0],
            attention,  # pyright: ignore[reportArgumentType]
            emotion,
            internal,
            bridge,
            context,
            reads,
            7 if emotion else 0,
            reset_first=cell[1],
        )


def decoder(shape: DecoderShape, seed: int = 0) -> Decoder:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = Decoder(shape, H, shape.layers)
    return made.double().eval()


def start(module: Decoder, rows: slice = slice(None), size: int = S, seed: int = 1) -> State:
    """State before the first word, of random encoder states that are loud behind each end."""
    g = torch.Generator().manual_seed(seed)
    mask = torch.arange(S) < torch.tensor(LENGTHS)[:, None]
    states = torch.randn(B, S, H, generator=g, dtype=torch.float64).tanh()
    states[~mask] = 1e3
    last = torch.randn(B, module.shape.layers, H, generator=g, dtype=torch.float64).tanh()
    feeling = torch.randn(B, E, generator=g, dtype=torch.float64)
    memory = torch.randn(B, M, generator=g, dtype=torch.float64)
    return module.start(
        Encoded(states[rows, :size], last[rows], mask[rows, :size]),
        feeling[rows] if module.shape.emotion else None,
        memory[rows] if module.shape.internal else None,
    )


def words(seed: int = 2) -> Tensor:
    return torch.randn(B, T, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def near(one: Tensor | None, other: Tensor | None) -> None:
    if one is None or other is None:
        assert one is other
    else:
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("cell", "attention", "layers"), MAIN)
def test_a_whole_target_equals_its_steps(cell, attention, layers):
    for shape in shapes(cell, attention, layers):
        module = decoder(shape)
        state, embedded = start(module), words()
        whole = module.unroll(embedded, state)
        features = module.features(whole.hidden, whole.context)
        assert features.shape == (B, T, module.width)
        for t in range(T):
            made, state = module.advance(embedded[:, t], state)
            near(made, features[:, t])
            near(state.hidden[-1], whole.hidden[:, t])
            near(state.context, whole.context[:, t])
            near(state.internal, None if whole.internal is None else whole.internal[:, t])


@pytest.mark.parametrize(("cell", "attention", "layers"), MAIN)
def test_a_batch_of_n_equals_n_of_one_without_padding(cell, attention, layers):
    for shape in shapes(cell, attention, layers):
        module, embedded = decoder(shape), words()
        together = module.unroll(embedded, start(module))
        for i, n in enumerate(LENGTHS):
            part = slice(i, i + 1)
            alone = module.unroll(embedded[part], start(module, part, n))
            for one, other in zip(alone, together, strict=True):
                near(one, None if other is None else other[part])


@pytest.mark.parametrize(("cell", "attention", "layers"), MAIN)
def test_a_state_goes_on_in_another_order_as_it_would_have(cell, attention, layers):
    order = torch.tensor([2, 0, 2])
    for shape in shapes(cell, attention, layers):
        module, embedded = decoder(shape), words()
        _, state = module.advance(embedded[:, 0], start(module))
        straight, after = module.advance(embedded[:, 1], state)
        moved, then = module.advance(embedded[order, 1], select(state, order))
        near(moved, straight[order])
        near(then.internal, None if after.internal is None else after.internal[order])


@pytest.mark.parametrize(("cell", "attention", "layers"), MAIN)
def test_every_parameter_and_input_has_a_part_in_the_features(cell, attention, layers):
    for shape in shapes(cell, attention, layers):
        module, embedded = decoder(shape), words().requires_grad_()
        whole = module.unroll(embedded, start(module))
        loss = module.features(whole.hidden, whole.context).square().sum()
        if whole.internal is not None:
            loss = loss + whole.internal.square().sum()
        loss.backward()
        for name, value in [*module.named_parameters(), ("words", embedded)]:
            assert value.grad is not None, name
            assert value.grad.abs().max() > 0, (name, shape)


def test_a_later_word_changes_no_earlier_step():
    for shape in shapes(("gru", False), "additive", 2):
        module, embedded = decoder(shape), words()
        before = module.unroll(embedded, start(module))
        embedded[:, -1] += 9.0
        after = module.unroll(embedded, start(module))
        near(after.hidden[:, :-1], before.hidden[:, :-1])
        assert not torch.equal(after.hidden[:, -1], before.hidden[:, -1])


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_copied_states_are_the_encoder_s_and_mapped_ones_a_tanh(cell):
    copied = decoder(DecoderShape(D, H, 2, cell, bridge="copy"))
    state = start(copied)
    last = torch.stack(state.hidden, 1)
    assert copied.bridge is None
    mapped = decoder(DecoderShape(D, H, 2, cell))
    assert mapped.bridge is not None
    made = start(mapped)
    want = torch.tanh(mapped.bridge(last.flatten(1))).split(H, -1)
    for one, other in zip((*made.hidden, *made.cells), want, strict=True):
        near(one, other)
    assert len(made.cells) == len(state.cells) == (2 if cell == "lstm" else 0)
    assert not any(c.any() for c in state.cells)  # an LSTM's cell states begin empty


def test_the_first_context_is_that_of_the_first_state_or_the_last_real_token():
    asked, last = (decoder(DecoderShape(D, H, first_context=c)) for c in ("attention", "last"))
    state = start(last)
    for i, n in enumerate(LENGTHS):
        assert torch.equal(state.context[i], state.memory.values[i, n - 1])
    state = start(asked)
    query = asked.from_state[0](state.hidden[0])[:, 3 * H : 4 * H]
    near(state.context, asked.attention.attend(query, state.memory)[0])


@pytest.mark.parametrize(("layers", "width"), [(1, H), (2, H + 1)])
def test_states_of_another_shape_cannot_be_copied(layers: int, width: int):
    with pytest.raises(ValueError, match="set bridge to 'map'"):
        Decoder(DecoderShape(D, H, 2, bridge="copy"), width, layers)


def test_an_internal_memory_only_decays_and_its_gates_begin_open():
    module = decoder(DecoderShape(D, H, 2, internal=M))
    state = start(module)
    assert state.internal is not None
    left = [state.internal, *module.unroll(words(), state).internal.unbind(1)]  # pyright: ignore
    for before, after in itertools.pairwise(left):
        assert (after.abs() < before.abs()).all()
        assert (after.sign() == before.sign()).all()
    zero = torch.zeros(1, H, dtype=torch.float64)
    *_, read, write = module._project((zero, zero))
    assert read is not None
    assert write is not None
    assert torch.equal(write, torch.ones_like(write))
    assert torch.equal(read, torch.ones_like(read))


def test_dropout_drops_in_training_alone():
    module = decoder(DecoderShape(D, H, 2, out=7, dropout=0.5))
    whole = [module.unroll(words(), start(module)).hidden for _ in range(2)]
    assert torch.equal(*whole)
    module.train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert not torch.equal(module.unroll(words(), start(module)).hidden, whole[0])
