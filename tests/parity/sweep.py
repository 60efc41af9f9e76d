"""Whether steering acts on an architecture, against additions by plain hooks without a cache.

Each way of running a model is compared with one pass over the finished sequence, row by row,
without padding and without a cache, in which hooks of this module's own add the displacement at
columns that are counted here. What transformers itself cannot do with a model, padding or a cache,
is found on the plain model and is then left out.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from emotone.errors import EmotoneError
from emotone.steering.apply import steering
from emotone.steering.layers import blocks, stream, width
from emotone.steering.positions import POSITIONS
from parity.tiny_architectures import tiny_model

NEW = 3
#: Rows of two lengths, so that the first one is padded.
PROMPTS = (list(range(7, 12)), list(range(21, 29)))
#: Part of the largest logit by which two equal passes may differ: sums run in another order.
_CLOSE = 2e-3

#: A way of running a model and what came of it: "acts", a sentence that was raised, or "WRONG".
Outcome = str


@dataclass(frozen=True, slots=True)
class Row:
    """What was found of one architecture.

    Args:
        kind: Its `model_type`.
        built: Why no tiny model of it runs in transformers, or "".
        tier: How a displacement of all rows is added, or "".
        outcomes: By way of running it.
        limits: What transformers itself cannot do with it.
    """

    kind: str
    built: str = ""
    tier: str = ""
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    limits: tuple[str, ...] = ()

    @property
    def acts(self) -> bool:
        """Whether it is steered as asked where it is steered at all."""
        return self.outcomes.get("resid") == "acts" and not self.wrong

    @property
    def wrong(self) -> list[str]:
        """Ways in which it is steered otherwise than asked, without a word."""
        return [way for way, outcome in self.outcomes.items() if outcome.startswith("WRONG")]


def examine(kind: str) -> Row:
    """Build a tiny model and try each way of running it."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        try:
            model = tiny_model(kind)
            plain = _pass(model, PROMPTS[1])
        except Exception as error:  # transformers, a missing kernel, a config of more parts
            return Row(kind, built=_first_line(error))
        try:
            return _steered(kind, model, plain)
        except EmotoneError as error:
            return Row(kind, outcomes={"resid": str(error)})


def _steered(kind: str, model: nn.Module, plain: Tensor) -> Row:
    listed = blocks(model)
    draw = torch.Generator().manual_seed(1)
    push = torch.randn(2, len(listed), width(model), generator=draw)
    push *= _size(model, listed)
    outcomes: dict[str, Outcome] = {}
    with steering(model, push[0]) as applied:
        moved = _pass(model, PROMPTS[1])
    wanted = _by_hand(model, PROMPTS[1], push[0], lambda _: True)
    outcomes["resid"] = _judged(moved, wanted, plain)
    outcomes["one block"] = _outcome(lambda: _one_block(model, listed, push[0]))
    padded, cache, limits = _abilities(model)
    for positions in POSITIONS if "generate" not in limits else ():
        way = f"generate, {positions}"
        outcomes[way] = _outcome(
            lambda p=positions: _generated(model, push, p, padded=padded, cache=cache)
        )
        if outcomes[way].startswith("transformers"):
            outcomes.pop(way)
            limits.append("generate")
            break
    if cache and "generate" not in limits:
        outcomes["beams"] = _outcome(lambda: _beams(model, push, padded=padded))
        if outcomes["beams"].startswith("transformers"):
            outcomes.pop("beams")
            limits.append("beams")
    outcomes["bfloat16"] = _outcome(lambda: _half(model, push))
    if outcomes["bfloat16"].startswith("transformers"):
        outcomes.pop("bfloat16")
        limits.append("bfloat16")
    return Row(kind, tier=applied.tier, outcomes=outcomes, limits=tuple(limits))


def _outcome(way: Callable[[], Outcome]) -> Outcome:
    try:
        return way()
    except EmotoneError as error:
        return str(error)
    except Exception as error:
        return f"transformers: {_first_line(error)}"


def _judged(moved: Tensor, wanted: Tensor, plain: Tensor) -> Outcome:
    if _same(wanted, plain):
        return "WRONG: the displacement changes nothing even when it is added by hand"
    if _same(moved, wanted):
        return "acts"
    return "WRONG: plain" if _same(moved, plain) else "WRONG: moved otherwise"


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= _CLOSE * b.abs().max().clamp_min(0.1))


def _size(model: nn.Module, listed: list[nn.Module]) -> float:
    """Return a size a number of the displacement: a good part of a typical activation."""
    with _states(model, listed) as states:
        _pass(model, PROMPTS[1])
    return 0.5 * float(states[0].float().abs().mean())


# -- by hand -------------------------------------------------------------------------------------


def _activation(model: nn.Module, output: Any) -> Tensor:
    state = output[0] if isinstance(output, tuple | list) else output
    own = stream(model)
    return state if own is None else state[own]


@contextmanager
def _states(model: nn.Module, listed: list[nn.Module]) -> Iterator[dict[int, Tensor]]:
    states: dict[int, Tensor] = {}

    def keep(index: int) -> Any:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            states[index] = _activation(model, output).clone()

        return hook

    handles = [block.register_forward_hook(keep(i)) for i, block in enumerate(listed)]
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()


def _pass(model: nn.Module, ids: list[int]) -> Tensor:
    counted: dict[str, Any] = {}
    if getattr(model, "from_nought", False):  # see _abilities
        counted["position_ids"] = torch.arange(len(ids))[None]
    return model(input_ids=torch.tensor([ids]), use_cache=False, **counted).logits[0].float()


def _by_hand(
    model: nn.Module, ids: list[int], push: Tensor, chosen: Callable[[int], bool]
) -> Tensor:
    """Logits [T, V] of a row alone, with the push [L, d] added at the chosen columns."""
    columns = torch.tensor([chosen(i) for i in range(len(ids))])[:, None]

    def hook(index: int) -> Any:
        def add(_module: nn.Module, _args: Any, output: Any) -> Any:
            state = output[0] if isinstance(output, tuple) else output
            state = state.clone()
            part = state if (own := stream(model)) is None else state[own]
            part += columns * push[index]
            return (state, *output[1:]) if isinstance(output, tuple) else state

        return add

    handles = [b.register_forward_hook(hook(i)) for i, b in enumerate(blocks(model))]
    try:
        return _pass(model, ids)
    finally:
        for handle in handles:
            handle.remove()


# -- ways ----------------------------------------------------------------------------------------


def _one_block(model: nn.Module, listed: list[nn.Module], push: Tensor) -> Outcome:
    """The last block's activation moves by the displacement, those before it by nothing."""
    last = len(listed) - 1
    only = torch.zeros_like(push)
    only[last] = push[last]
    with _states(model, listed) as plain:
        _pass(model, PROMPTS[1])
    # Registered after ours, these hooks see what the block hands on.
    with steering(model, only), _states(model, listed) as moved:
        _pass(model, PROMPTS[1])
    still = all(torch.equal(moved[i], plain[i]) for i in range(last))
    return "acts" if still and _same(moved[last], plain[last] + push[last]) else "WRONG: block"


def _batch(padded: bool) -> tuple[Tensor, Tensor, list[list[int]]]:
    """Return ids and mask of two rows, padded on the left, and the rows without padding."""
    rows = [list(row) for row in PROMPTS] if padded else [PROMPTS[1], PROMPTS[1][::-1]]
    wide = max(map(len, rows))
    ids = torch.tensor([[0] * (wide - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (wide - len(row)) + [1] * len(row) for row in rows])
    return ids, mask, rows


def _generate(model: nn.Module, *, padded: bool, cache: bool, **how: Any) -> Any:
    ids, mask, _ = _batch(padded)
    return model.generate(  # pyright: ignore[reportCallIssue]
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=NEW,
        min_new_tokens=NEW,
        do_sample=False,
        pad_token_id=0,
        use_cache=cache,
        return_dict_in_generate=True,
        **how,
    )


def _against(
    model: nn.Module, out: Any, push: Tensor | None, positions: str, *, padded: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits [B, N, V] as generated, as added by hand, and of the plain model."""
    ids, _, rows = _batch(padded)
    made = torch.stack(out.logits, 1).float()
    wanted, plain = [], []
    for i, row in enumerate(rows):
        text = [*row, *out.sequences[i, ids.shape[1] :].tolist()][:-1]
        own = torch.zeros(1) if push is None else push[i]
        wanted.append(_chosen(model, text, own, positions, len(row))[len(row) - 1 :])
        plain.append(_pass(model, text)[len(row) - 1 :])
    return made, torch.stack(wanted), torch.stack(plain)


def _chosen(model: nn.Module, text: list[int], push: Tensor, positions: str, size: int) -> Tensor:
    if push.dim() == 1:
        return _pass(model, text)
    first = {"all": 0, "prompt": 0, "generated": size, "last": size - 1}[positions]
    end = size if positions == "prompt" else len(text)
    return _by_hand(model, text, push, lambda at: first <= at < end)


def _abilities(model: nn.Module) -> tuple[bool, bool, list[str]]:
    """Return whether the plain model pads and caches rightly, and what of that it does not.

    Alone, RoBERTa and its kin count positions from beyond the padding token, and generate counts
    them from nought; then all passes are made so.
    """
    ways = ((True, True), (False, True), (True, False), (False, False))
    for nought, (padded, cache) in ((nought, way) for nought in (False, True) for way in ways):
        model.from_nought = nought  # pyright: ignore[reportArgumentType]
        try:
            out = _generate(model, padded=padded, cache=cache, output_logits=True)
            made, wanted, _ = _against(model, out, None, "all", padded=padded)
        except Exception:  # transformers' own
            continue
        if _same(made, wanted):
            missing = {"left padding": padded, "a cache": cache}
            return padded, cache, [name for name, able in missing.items() if not able]
    model.from_nought = False  # pyright: ignore[reportArgumentType]
    return False, False, ["generate"]


def _generated(
    model: nn.Module, push: Tensor, positions: Any, *, padded: bool, cache: bool
) -> Outcome:
    with steering(model, push, positions=positions):
        out = _generate(model, padded=padded, cache=cache, output_logits=True)
    return _judged(*_against(model, out, push, positions, padded=padded))


def _beams(model: nn.Module, push: Tensor, *, padded: bool) -> Outcome:
    """The scores of the best beams are those of their texts, steered by hand."""

    def scores(steered: bool) -> tuple[Tensor, Tensor]:
        how = {"num_beams": 2, "output_scores": True}
        if steered:
            with steering(model, push):
                out = _generate(model, padded=padded, cache=True, **how)
        else:
            out = _generate(model, padded=padded, cache=True, **how)
        ids, _, rows = _batch(padded)
        wanted = []
        for i, row in enumerate(rows):
            tail = out.sequences[i, ids.shape[1] :].tolist()
            text = [*row, *tail][:-1]
            logits = _by_hand(model, text, push[i], lambda _: True) if steered else None
            logits = _pass(model, text) if logits is None else logits
            at = logits[len(row) - 1 :].log_softmax(-1)
            wanted.append(at[torch.arange(NEW), torch.tensor(tail)].sum() / NEW)
        return out.sequences_scores, torch.stack(wanted)

    if not _same(*scores(False)):
        return "transformers: beams"
    return "acts" if _same(*scores(True)) else "WRONG: beams"


def _half(model: nn.Module, push: Tensor) -> Outcome:
    """Attaching tests each block; the logits have to move too."""
    half = copy.deepcopy(model).to(torch.bfloat16)
    plain = _pass(half, PROMPTS[1])
    with steering(half, push[0]):
        moved = _pass(half, PROMPTS[1])
    if not moved.isfinite().all():
        return "transformers: not finite"
    return "WRONG: plain" if torch.equal(moved, plain) else "acts"


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].strip()[:160]}" if lines else type(error).__name__
