"""Directions by gradient: the displacement that makes emotional replies most likely.

Averages of activations say where emotions are read; what makes a small model *write* them is
found faster by asking for it. One displacement a block and emotion is fitted by maximum
likelihood on (post, reply) pairs while the model itself stays frozen.

Source: Subramani et al. 2022, "Extracting Latent Steering Vectors from Pretrained Language
Models" (one vector a sentence there; one an emotion here), with the per-block bias of Ben Zaken
et al. 2022 (BitFit). Deviation from Dong et al. 2025, who average and do not fit: see
docs/decisions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emotone.errors import DataError
from emotone.lm.chat import prompt_ids
from emotone.steering.layers import Site, blocks, site_module
from emotone.steering.record import hidden
from emotone.types import Dialogue, Example

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How directions are fitted.

    Args:
        steps: Optimiser steps.
        batch: Replies a step, spread evenly over the emotions.
        rate: Step size, in units of an activation's root mean square.
        decay: Weight of the squared length of the displacement in the loss.
        systems: System prompts, drawn at random a reply, so that the directions do not lean on
            one of them; "" leaves it to the chat template.
        seed: Seed of the order of replies.
        save_every: Steps between checkpoints.
    """

    steps: int = 75
    batch: int = 36
    rate: float = 0.02
    decay: float = 0.0
    systems: tuple[str, ...] = ("",)
    seed: int = 0
    save_every: int = 10


def fit(
    model: nn.Module,
    tokenizer: Any,
    examples: Sequence[Example],
    labels: Sequence[str],
    norms: Tensor,
    *,
    site: Site = "resid",
    settings: FitSettings,
    start: Mapping[str, Tensor] | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Fit one displacement a block for each emotion; the model is not changed.

    Args:
        model: A frozen causal language model.
        tokenizer: Its tokenizer, with a chat template.
        examples: Dialogues with a single emotion and a reply.
        labels: Emotions to fit.
        norms: Length of the model's activations, [L]; sets the scale of each block.
        site: Where in the block the displacement is added.
        settings: See `FitSettings`.
        start: Displacements to go on from; None starts from nothing.
        checkpoint: File that keeps the state, so that a killed run goes on; None keeps none.
        progress: Called with (steps done, steps in all).

    Returns:
        Label -> displacement at dose 1, [L, d] float32.

    Raises:
        DataError: If an emotion has no reply to fit to.
    """
    by_label = {label: [e for e in examples if _is(e, label) and e.reply] for label in labels}
    empty = [label for label, rows in by_label.items() if not rows]
    if empty:
        raise DataError(
            f"no replies for {', '.join(empty)}; give examples with these emotions and a reply"
        )
    device = next(model.parameters()).device
    modules = [site_module(model, block, site) for block in blocks(model)]
    width = int(model.config.hidden_size)  # pyright: ignore
    unit = (norms.to(device) / width**0.5)[None, :, None]
    # In units of an activation's root mean square, so that one step size suits every block.
    free = torch.zeros(len(labels), len(modules), width, device=device, requires_grad=True)
    if start is not None:
        with torch.no_grad():
            free.copy_(torch.stack([start[k] for k in labels]).to(device) / unit)
    optimiser = torch.optim.Adam([free], lr=settings.rate, betas=(0.9, 0.98))
    first = _restore(checkpoint, free, optimiser)
    push: list[Tensor | None] = [None]

    def hook(index: int):
        def add(_module: nn.Module, _args: Any, output: Any) -> Any:
            if push[0] is None:
                return None
            state = hidden(output)
            moved = state + push[0][:, index, None].to(state.dtype)
            return (moved, *output[1:]) if isinstance(output, tuple) else moved

        return add

    frozen = {p: p.requires_grad for p in model.parameters()}
    handles = [m.register_forward_hook(hook(i)) for i, m in enumerate(modules)]
    try:
        for parameter in frozen:
            parameter.requires_grad_(False)
        for step in range(first, settings.steps):
            rows = _draw(by_label, settings, step)
            warm, cool = min(1.0, (step + 1) / 5), 1 - 0.9 * step / settings.steps
            optimiser.param_groups[0]["lr"] = settings.rate * warm * cool
            push[0] = (free * unit)[torch.tensor([r for r, _, _ in rows], device=device)]
            loss = _nll(model, tokenizer, [(e, s) for _, e, s in rows], device)
            (loss + settings.decay * (free**2).sum(-1).mean()).backward()
            optimiser.step()
            optimiser.zero_grad()
            if progress:
                progress(step + 1, settings.steps)
            if checkpoint and (step + 1) % settings.save_every == 0:
                _keep(checkpoint, free, optimiser, step + 1)
    finally:
        for handle in handles:
            handle.remove()
        for parameter, needed in frozen.items():
            parameter.requires_grad_(needed)
    fitted = (free.detach() * unit).float().cpu()
    return {label: fitted[i] for i, label in enumerate(labels)}


def _is(example: Example, label: str) -> bool:
    return example.emotion is not None and example.emotion.parts[0][0].label == label


def _draw(
    by_label: Mapping[str, list[Example]], settings: FitSettings, step: int
) -> list[tuple[int, Example, str]]:
    """Return (row of the emotion, example, system prompt) of one step, from (seed, step) alone.

    Each emotion goes through all its replies in a shuffled order before one comes again.
    """
    labels = list(by_label)
    rows: list[tuple[int, Example, str]] = []
    for slot in range(settings.batch):
        at = step * settings.batch + slot
        emotion, turn = at % len(labels), at // len(labels)
        pool = by_label[labels[emotion]]
        round_, place = divmod(turn, len(pool))
        order = random.Random(f"{settings.seed}/{emotion}/{round_}").sample(
            range(len(pool)), len(pool)
        )
        system = random.Random(f"{settings.seed}/{at}").choice(settings.systems)
        rows.append((emotion, pool[order[place]], system))
    return rows


def _nll(
    model: nn.Module, tokenizer: Any, rows: Sequence[tuple[Example, str]], device: torch.device
) -> Tensor:
    """Mean negative log-likelihood of the replies' tokens, in nats, their end token included."""
    ids, mask, wanted = encode(tokenizer, rows)
    ids, mask, wanted = ids.to(device), mask.to(device), wanted.to(device)
    inner = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)  # pyright: ignore
    counted = wanted[:, 1:] != -100
    # Only reply positions reach the output layer, which is most of the work of a small model.
    logits = model.get_output_embeddings()(inner.last_hidden_state[:, :-1][counted])  # pyright: ignore
    return nn.functional.cross_entropy(logits.float(), wanted[:, 1:][counted])


def encode(tokenizer: Any, rows: Sequence[tuple[Example, str]]) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids, attention mask and targets (-100 outside the reply), [B, T], padded left."""
    pairs: list[tuple[list[int], list[int]]] = []
    for example, system in rows:
        head = prompt_ids(tokenizer, Dialogue(example.dialogue.posts), system)
        tail = tokenizer(str(example.reply), add_special_tokens=False)["input_ids"]
        pairs.append((head, [*tail, tokenizer.eos_token_id]))
    longest = max(len(head) + len(tail) for head, tail in pairs)
    ids = torch.full((len(pairs), longest), tokenizer.pad_token_id or 0)
    mask = torch.zeros(len(pairs), longest, dtype=torch.long)
    wanted = torch.full((len(pairs), longest), -100)
    for i, (head, tail) in enumerate(pairs):
        ids[i, longest - len(head) - len(tail) :] = torch.tensor([*head, *tail])
        mask[i, longest - len(head) - len(tail) :] = 1
        wanted[i, longest - len(tail) :] = torch.tensor(tail)
    return ids, mask, wanted


def _restore(path: Path | None, free: Tensor, optimiser: torch.optim.Adam) -> int:
    if path is None or not path.exists():
        return 0
    from safetensors.torch import load_file

    state = load_file(path)
    if state["free"].shape != free.shape:
        raise DataError(f"checkpoint {path} is of another fit; remove it or name another file")
    with torch.no_grad():
        free.copy_(state["free"])
    optimiser.state[free] = {
        "step": state["step"].clone(),
        "exp_avg": state["exp_avg"].to(free.device),
        "exp_avg_sq": state["exp_avg_sq"].to(free.device),
    }
    return int(state["step"].item())


def _keep(path: Path, free: Tensor, optimiser: torch.optim.Adam, step: int) -> None:
    from safetensors.torch import save_file

    moments = optimiser.state[free]
    temporary = path.with_suffix(".tmp")
    state = {
        "free": free.detach().contiguous(),
        "exp_avg": moments["exp_avg"],
        "exp_avg_sq": moments["exp_avg_sq"],
        "step": torch.tensor(float(step)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.cpu() for k, v in state.items()}, temporary)
    temporary.replace(path)
