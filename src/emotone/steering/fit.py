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

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emotone.errors import CheckpointError, DataError
from emotone.identity import digest
from emotone.lm.batch import pad_pairs
from emotone.lm.chat import prompt_ids
from emotone.models.token_ids import text_ids
from emotone.steering.layers import Site, blocks, hooked, site_module, width
from emotone.steering.record import hidden
from emotone.training.optim import set_lr
from emotone.training.run import Run, Task, prepared
from emotone.training.settings import RunSettings, check_setting
from emotone.training.state import State, identity
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
        warmup: Steps in which the step size rises in a line.
        final_rate: Fraction of the step size that is left at the end; it falls in a line.
        betas: Decay of Adam's running means of the gradient and of its square.
    """

    steps: int = 75
    batch: int = 36
    rate: float = 0.02
    decay: float = 0.0
    systems: tuple[str, ...] = ("",)
    seed: int = 0
    save_every: int = 10
    warmup: int = 5
    final_rate: float = 0.1
    betas: tuple[float, ...] = (0.9, 0.98)

    def __post_init__(self) -> None:
        """Check ranges."""
        for name, right, allowed in (
            ("steps", self.steps >= 0, "0 or more"),
            ("batch", self.batch >= 1, "1 or more"),
            ("save_every", self.save_every >= 0, "0 or more"),
            ("warmup", self.warmup >= 0, "0 or more"),
            ("final_rate", 0 <= self.final_rate <= 1, "a fraction from 0 to 1"),
            ("betas", len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas), "two below 1"),
        ):
            check_setting(self, "fit", name, right, allowed)

    def rate_of(self, step: int) -> float:
        """Step size of a step, from 0."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return self.rate * rise * (1 - (1 - self.final_rate) * step / self.steps)


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
        checkpoint: Folder that keeps the state, so that a killed run goes on; None keeps none.
        progress: Called with (steps done, steps in all).

    Returns:
        Label -> displacement at dose 1, [L, d] float32.

    Raises:
        DataError: If an emotion has no reply to fit to.
        ConfigError: If the run in `checkpoint` depends on other replies, settings or another model.
        CheckpointError: If the checkpoint is damaged, or a file of an earlier version.
        RunError: If the folder cannot be written.
        Stopped: If SIGTERM or SIGINT came; the run is saved.
    """
    with_reply = [e for e in examples if e.reply]
    by_label = {label: [e for e in with_reply if label_of(e) == label] for label in labels}
    empty = [label for label, rows in by_label.items() if not rows]
    if empty:
        raise DataError(
            f"no replies for {', '.join(empty)}; give examples with these emotions and a reply"
        )
    if checkpoint is not None and checkpoint.is_file():
        raise CheckpointError(
            f"{checkpoint} is the checkpoint of an earlier version of emotone; remove it to fit"
            " anew"
        )
    device = next(model.parameters()).device
    modules = [site_module(model, block, site) for block in blocks(model)]
    size = width(model)
    unit = (norms.to(device) / size**0.5)[None, :, None]
    # In units of an activation's root mean square, so that one step size suits every block.
    free = nn.Parameter(torch.zeros(len(labels), len(modules), size, device=device))
    if start is not None:
        with torch.no_grad():
            free.copy_(torch.stack([start[k] for k in labels]).to(device) / unit)
    first, second = settings.betas
    optimizer = torch.optim.Adam([free], lr=settings.rate, betas=(first, second))
    rhythm = RunSettings(
        save_every=settings.save_every,
        log_every=1,
        patience=0,
        device=device.type,  # pyright: ignore
    )
    last_loss = free.new_zeros(())

    def step(state: State) -> None:
        nonlocal last_loss
        rows = _draw(by_label, settings, state.step)
        set_lr(optimizer, settings.rate_of(state.step))
        of_row = torch.tensor([label for label, _, _ in rows], device=device)
        moves = (free * unit)[of_row]
        with displaced(modules, lambda block: moves[:, block, None]):
            loss = _nll(model, tokenizer, [(e, s) for _, e, s in rows], device)
            (loss + settings.decay * (free**2).sum(-1).mean()).backward()
        last_loss = loss.detach()
        optimizer.step()
        optimizer.zero_grad()
        if progress:
            progress(state.step + 1, settings.steps)

    depends_on: dict[str, Any] = {}
    if checkpoint is not None:
        given = {k: v.tolist() for k, v in (start or {}).items()}
        depends_on = {
            "labels": list(labels),
            "site": site,
            "replies": _digest_replies(tokenizer, by_label, settings.systems),
            "norms": digest(norms.tolist()),
            "start": digest(given),
            "model": _digest_model(model),
        }
    with prepared(rhythm, checkpoint) as (team, request), frozen(model):
        Run(
            Task(
                state=State(),
                steps=settings.steps,
                parameters={"displacements": free},
                optimizer=optimizer,
                step=step,
                over=lambda state: "steps" if state.step >= settings.steps else None,
                report=lambda state, _: {
                    "loss": last_loss.item(),
                    "lr": settings.rate_of(state.step - 1),
                },
            ),
            settings=rhythm,
            team=team,
            request=request,
            out=checkpoint,
            identity=identity(
                asdict(settings), {"save_every"}, {"displacements": free}, depends_on, {}
            ),
        ).train()
    fitted = (free.detach() * unit).float().cpu()
    return {label: fitted[i] for i, label in enumerate(labels)}


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Give a model's parameters no gradients inside."""
    before = {p: p.requires_grad for p in model.parameters()}
    try:
        for parameter in before:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, needed in before.items():
            parameter.requires_grad_(needed)


@contextmanager
def displaced(modules: Sequence[nn.Module], push: Callable[[int], Tensor]) -> Iterator[None]:
    """Add push(l) to what block l gives inside, with gradients; it broadcasts to [B, T, d]."""

    def hook(index: int):
        def add(_module: nn.Module, _args: Any, output: Any) -> Any:
            state = hidden(output)
            moved = state + push(index).to(state.dtype)
            return (moved, *output[1:]) if isinstance(output, tuple) else moved

        return add

    with hooked(modules, hook):
        yield


def label_of(example: Example) -> str | None:
    """Return the label of an example's emotion; None where it has none.

    Raises:
        DataError: If it has a mix, or an emotion at 0 or below.
    """
    if example.emotion is None:
        return None
    if example.emotion.only is None:
        raise DataError(
            f"example {example.id!r} has the emotion {str(example.emotion)!r}; vectors are made "
            "from examples of one emotion each, such as 'joy'"
        )
    return example.emotion.only.label


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
    pairs = [_ids(tokenizer, example, system) for example, system in rows]
    ids, mask, of_reply = pad_pairs(pairs, tokenizer.pad_token_id or 0, left=True)
    return ids, mask.long(), ids.masked_fill(~of_reply, -100)


def _ids(tokenizer: Any, example: Example, system: str) -> tuple[list[int], list[int]]:
    """Token ids of the prompt, and of the reply with its end token."""
    head = prompt_ids(tokenizer, Dialogue(example.dialogue.posts), system)
    tail = text_ids(tokenizer, str(example.reply))
    return head, [*tail, tokenizer.eos_token_id]


def _digest_replies(
    tokenizer: Any, by_label: Mapping[str, Sequence[Example]], systems: Sequence[str]
) -> str:
    """Hash of the tokens of every exchange under every system prompt, in order."""
    return digest(
        [[[_ids(tokenizer, e, s) for s in systems] for e in rows] for rows in by_label.values()]
    )


def _digest_model(model: nn.Module) -> str:
    """Hash of a model's weights, in the type they compute in."""
    whole = hashlib.sha256()
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        whole.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        whole.update(flat.view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()[:12]
