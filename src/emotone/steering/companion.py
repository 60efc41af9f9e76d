"""A companion: a chat model learns to talk, and the directions of its emotions with it.

    L = - sum_i log p(y_i | x; W + B A, h_l + c_i D_{e_i,l}, every l) / sum_i |y_i|

Low-rank adapters B A hold what all replies share; one displacement D an emotion and block makes the
difference between them, at a dose c_i drawn anew each time, so that it is good at every dose. A
neutral reply is learned without a push. The push begins at the last token of the prompt, where the
first word of the reply is decided; so all replies to a post, whatever their emotions, share one
pass over the prompt, in training as in a server's cache.

Source: Hu et al. 2022 (LoRA); Subramani et al. 2022 and `emotone.steering.fit` for the
displacements. Deviation from Dong et al. 2025, who steer a model that nobody trained: see
docs/decisions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recomputed

from emotone.emotions import EVERYDAY
from emotone.errors import DataError
from emotone.identity import digest
from emotone.lm.chat import prompt_ids
from emotone.lm.head import logits
from emotone.models.token_ids import text_ids
from emotone.steering.fit import displaced, frozen
from emotone.steering.layers import Site, blocks, site_module, width
from emotone.training.adapters import Adapters, adapter_weights, add_adapters, has_adapters
from emotone.training.optim import scheduled
from emotone.training.run import Run, Task, prepared
from emotone.training.settings import RunSettings, check_setting
from emotone.training.state import State, identity
from emotone.types import Dialogue

#: Target of a token after which nothing is learned.
NO_TARGET = -100
#: Logits that are held at once, over all tokens; 256 MiB.
_MOST_LOGITS = 2**26
#: Step sizes that are tried: the greatest, and halves of it.
_HALVINGS = 7


@dataclass(frozen=True, slots=True)
class CompanionSettings:
    """How a companion learns.

    Args:
        steps: Optimiser steps.
        batch: Posts a step, each with all of its replies.
        lr: Learning rate of the adapters.
        push_lr: Step size of the displacements, in units of an activation's root mean square.
        warmup: Steps in which both rise in a line.
        linear: Step at which both are 0; 0 for no fall.
        clip: Largest norm of the adapters' gradient.
        dose: Least and greatest dose of a push.
        fade: Below this dose a push is not sure of its emotion: at dose c the neutral reply stands
            in place of the emotion's with probability 1 - c / fade, so that a half dose is an
            emotion that is there half of the time, or half of one. 0 keeps every reply.
        seed: Seed of the order of posts and of doses.
        save_every: Steps between checkpoints.
        threads: Threads of the CPU; 0 leaves what is set.
    """

    steps: int = 300
    batch: int = 8
    lr: float = 5e-4
    push_lr: float = 0.01
    warmup: int = 10
    linear: int = 0
    clip: float = 1.0
    dose: tuple[float, float] = (0.6, 1.2)
    fade: float = 0.0
    seed: int = 0
    save_every: int = 25
    threads: int = 0

    def __post_init__(self) -> None:
        """Check ranges."""
        for name, right, allowed in (
            ("steps", self.steps >= 1, "1 or more"),
            ("batch", self.batch >= 1, "1 or more"),
            ("dose", 0 < self.dose[0] <= self.dose[1], "two rising numbers above 0"),
            ("fade", self.fade >= 0, "0 or more"),
        ):
            check_setting(self, "companion", name, right, allowed)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A dialogue and a reply to it in each of some emotions.

    Args:
        dialogue: What is answered.
        replies: Emotion -> reply; that of `neutral` is learned without a push.
    """

    dialogue: Dialogue
    replies: Mapping[str, str]


class Packed(NamedTuple):
    """Posts with all of their replies, a row each, padded at the right.

    Args:
        ids: Token ids, [B, T]: the prompt but its last token, then for each reply that last token
            and the reply.
        positions: Place of each token in its own conversation, [B, T].
        emotion: Row of the displacement of each token, [B, T]; 0 for none.
        dose: Its dose, [B, T].
        targets: The token that comes next, [B, T]; -100 where none is learned.
        mask: [B, 1, T, T], True where a token sees another: the prompt, and its own reply so far.
    """

    ids: Tensor
    positions: Tensor
    emotion: Tensor
    dose: Tensor
    targets: Tensor
    mask: Tensor


def pack(
    tokens: Sequence[tuple[list[int], Sequence[tuple[int, float, list[int]]]]], pad_id: int
) -> Packed:
    """Pack posts with their replies, so that a prompt is read once.

    Args:
        tokens: For each post its prompt, and for each reply the row of its displacement, its dose
            and its tokens, the end token included.
        pad_id: Token of the padding.
    """
    lengths = [len(p) - 1 + sum(len(ids) for _, _, ids in replies) for p, replies in tokens]
    shape = (len(tokens), max(lengths))
    ids = torch.full(shape, pad_id)
    positions = torch.zeros(shape, dtype=torch.long)
    emotion = torch.zeros(shape, dtype=torch.long)
    dose = torch.zeros(shape)
    targets = torch.full(shape, NO_TARGET)
    segment = torch.full(shape, -1)
    for row, (prompt, replies) in enumerate(tokens):
        at = len(prompt) - 1
        ids[row, :at] = torch.tensor(prompt[:-1])
        positions[row, :at] = torch.arange(at)
        segment[row, :at] = 0
        for number, (of, strength, reply) in enumerate(replies, 1):
            part = slice(at, at + len(reply))
            ids[row, part] = torch.tensor([prompt[-1], *reply[:-1]])
            positions[row, part] = torch.arange(len(prompt) - 1, len(prompt) - 1 + len(reply))
            emotion[row, part] = of
            dose[row, part] = strength
            targets[row, part] = torch.tensor(reply)
            segment[row, part] = number
            at += len(reply)
    width = shape[1]
    before = torch.ones(width, width, dtype=torch.bool).tril()
    own = segment[:, None, :] == segment[:, :, None]
    mask = before & (own | (segment[:, None, :] == 0))
    mask |= torch.eye(width, dtype=torch.bool)  # padding sees itself: no row of a softmax is empty
    return Packed(ids, positions, emotion, dose, targets, mask[:, None])


def learn(
    model: nn.Module,
    tokenizer: Any,
    exchanges: Sequence[Exchange],
    labels: Sequence[str],
    norms: Tensor,
    *,
    system: str,
    settings: CompanionSettings,
    adapters: Adapters | None = None,
    start: Mapping[str, Tensor] | None = None,
    site: Site = "resid",
    low_rank: bool = True,
    search: bool = False,
    checkpoint: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Tensor]:
    """Teach a model adapters, in place, and one displacement a block for each emotion.

    Args:
        model: A causal language model; adapters that it has go on learning.
        tokenizer: Its tokenizer, with a chat template.
        exchanges: What is learned.
        labels: Emotions to fit; replies in others are left out.
        norms: Length of the model's activations, [L]; sets the scale of each block.
        system: System prompt.
        settings: See `CompanionSettings`.
        adapters: Which, where it has none.
        start: Displacements to go on from, [L, d] each; None starts from nothing.
        site: Where in the block the displacement is added.
        low_rank: Whether adapters learn; without, the model stays as it is.
        search: Whether the step size of the displacements is searched; `push_lr` is the greatest.
        checkpoint: Folder that keeps the state, so that a killed run goes on; None keeps none.
        progress: Called with (steps done, steps in all).

    Returns:
        Label -> displacement at dose 1, [L, d] float32.

    Raises:
        DataError: If an emotion has no reply to fit to.
        EmotoneError: As `emotone.training.run.Run`.
    """
    tokens = encoded(tokenizer, exchanges, labels, system)
    empty = set(range(1, len(labels) + 1)) - {of for _, replies in tokens for of, _ in replies}
    if empty:
        missing = ", ".join(labels[row - 1] for row in sorted(empty))
        raise DataError(f"no replies for {missing}; give exchanges that have some")
    pupil = Pupil.of(
        model,
        labels,
        norms,
        adapters=adapters,
        start=start,
        site=site,
        seed=settings.seed,
        low_rank=low_rank,
    )
    filler = tokenizer.pad_token_id or 0
    if search:
        with frozen(model):
            rate = pupil.best_rate(pack(draw(tokens, settings, 0), filler), settings.push_lr)
        settings = replace(settings, push_lr=rate)

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        nll = pupil.nats(pack(draw(tokens, settings, step), filler)).mean()
        if progress is not None:
            progress(step + 1, settings.steps)
        return nll, {"loss": nll.item()}

    depends_on: dict[str, Any] = {"replies": digest(tokens)}
    if low_rank:
        return pupil.train(loss, settings, depends_on, checkpoint)
    with frozen(model):
        return pupil.train(loss, settings, depends_on, checkpoint)


def encoded(
    tokenizer: Any, exchanges: Sequence[Exchange], labels: Sequence[str], system: str
) -> list[tuple[list[int], list[tuple[int, list[int]]]]]:
    """Return for each exchange its prompt, and the row and tokens of each reply that is learned.

    Exchanges without such a reply are left out.
    """
    return [
        (prompt, replies)
        for exchange in exchanges
        if (
            replies := [
                (row, reply_ids(tokenizer, reply))
                for label, reply in exchange.replies.items()
                if (row := row_of(label, labels)) is not None
            ]
        )
        and (prompt := prompt_ids(tokenizer, exchange.dialogue, system))
    ]


def row_of(label: str, labels: Sequence[str]) -> int | None:
    """Return the row of an emotion's displacement: 0 for neutral, None for one that has none."""
    return 0 if label == EVERYDAY.neutral else labels.index(label) + 1 if label in labels else None


def reply_ids(tokenizer: Any, reply: str) -> list[int]:
    """Return the tokens of a reply, its end token included."""
    return [*text_ids(tokenizer, reply), tokenizer.eos_token_id]


@dataclass(frozen=True, slots=True, eq=False)
class Pupil:
    """A model that learns adapters, and a displacement an emotion and block.

    Args:
        model: The model, with adapters, all else of it frozen.
        labels: Emotions, in the order of their displacements.
        low_rank: Weights of the adapters by name.
        free: Displacement of each emotion in units of `unit`, [L, d]. A parameter each, since
            Adam goes on moving one whose gradient is zero, and not one that has none: the push of
            a mood whose lines seldom come would drift away between them.
        unit: Root mean square of an activation of each block, [L, 1].
        modules: Where they are added, a module a block.
        depends_on: What else decides the outcome, for the identity of a run.
    """

    model: Any
    labels: tuple[str, ...]
    low_rank: Mapping[str, nn.Parameter]
    free: tuple[nn.Parameter, ...]
    unit: Tensor
    modules: Sequence[nn.Module]
    depends_on: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        model: nn.Module,
        labels: Sequence[str],
        norms: Tensor,
        *,
        adapters: Adapters | None,
        start: Mapping[str, Tensor] | None,
        site: Site,
        seed: int,
        low_rank: bool = True,
    ) -> Pupil:
        """Make a model one; the arguments are those of `learn`."""
        if low_rank and not has_adapters(model):
            add_adapters(model, adapters or Adapters(), seed=seed)
        device = next(model.parameters()).device
        modules = [site_module(model, block, site) for block in blocks(model)]
        size = width(model)
        unit = (norms.to(device) / size**0.5)[:, None]
        nothing = torch.zeros(len(modules), size, device=device)
        free = tuple(
            nn.Parameter(nothing.clone() if start is None else start[k].to(device) / unit)
            for k in labels
        )
        learned = adapter_weights(model) if low_rank else {}
        for weight in learned.values():
            weight.requires_grad_(True)
        depends_on = {
            "labels": list(labels),
            "site": site,
            "norms": digest(norms.tolist()),
            "start": digest({k: v.tolist() for k, v in (start or {}).items()}),
        }
        return cls(model, tuple(labels), learned, free, unit, modules, depends_on)

    def nats(self, batch: Packed) -> Tensor:
        """Negative log-likelihood of each learned token, in nats, in the order of the batch."""
        batch = Packed(*(t.to(self.unit.device) for t in batch))
        table = torch.stack([torch.zeros_like(self.free[0]), *self.free]) * self.unit

        def push(block: int) -> Tensor:
            return nn.functional.embedding(batch.emotion, table[:, block]) * batch.dose[..., None]

        with displaced(self.modules, push):
            states = self.model.base_model(
                input_ids=batch.ids,
                position_ids=batch.positions,
                attention_mask=batch.mask,
                use_cache=False,
            ).last_hidden_state
        learned = batch.targets != NO_TARGET
        states, targets = states[learned], batch.targets[learned]
        at_once = max(1, _MOST_LOGITS // self.model.config.get_text_config().vocab_size)
        if len(targets) <= at_once:
            return self._nats_of(states, targets)
        # Logits of a large vocabulary take gigabytes: some rows at a time, made anew going back.
        parts = zip(states.split(at_once), targets.split(at_once), strict=True)
        return torch.cat([recomputed(self._nats_of, *part, use_reentrant=False) for part in parts])

    def _nats_of(self, states: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits(self.model, states), targets, reduction="none")

    def best_rate(self, batch: Packed, greatest: float) -> float:
        """Choose, of a step size and halves of it, the best for a first step of Adam.

        Where a few numbers of an activation are hundreds of times the others, as in Gemma, a step
        that suits the root mean square is far too long for most of them.

        Args:
            batch: What the step is taken on.
            greatest: The greatest step size.

        Returns:
            That with the least loss on the batch.
        """
        start = [push.detach().clone() for push in self.free]
        self.nats(batch).mean().backward()
        # The first step of Adam is the sign of the gradient.
        ways = [push.grad.sign() if push.grad is not None else 0.0 for push in self.free]
        losses: dict[float, float] = {}
        with torch.no_grad():
            for rate in (greatest / 2**i for i in range(_HALVINGS)):
                for push, origin, way in zip(self.free, start, ways, strict=True):
                    push.copy_(origin - rate * way)
                losses[rate] = self.nats(batch).mean().nan_to_num(torch.inf).item()
            for push, origin in zip(self.free, start, strict=True):
                push.copy_(origin)
                push.grad = None
        return min(losses, key=losses.__getitem__)

    def train(
        self,
        loss: Callable[[int], tuple[Tensor, dict[str, float]]],
        settings: CompanionSettings,
        depends_on: Mapping[str, Any],
        checkpoint: Path | None,
    ) -> dict[str, Tensor]:
        """Lower a loss step by step.

        Args:
            loss: Step -> what is lowered, and the row of the log.
            settings: See `CompanionSettings`.
            depends_on: What the loss depends on, for the identity of the run.
            checkpoint: Folder that keeps the state; None keeps none.

        Returns:
            Label -> displacement at dose 1, [L, d] float32.
        """
        optimizer = torch.optim.Adam(
            [{"params": list(self.low_rank.values())}, {"params": list(self.free)}],
            betas=(0.9, 0.98),
        )
        rates = (settings.lr, settings.push_lr)
        rhythm = RunSettings(
            save_every=settings.save_every,
            log_every=1,
            patience=0,
            clip=settings.clip,
            threads=settings.threads,
            device=self.unit.device.type,  # pyright: ignore
        )
        row: dict[str, float] = {}

        def step(state: State) -> None:
            nonlocal row
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = scheduled(rate, state.step, settings.warmup, settings.linear)
            value, row = loss(state.step)
            value.backward()
            for push in self.free:
                if push.grad is not None and not push.grad.any():
                    push.grad = None
            if settings.clip:
                nn.utils.clip_grad_norm_(self.low_rank.values(), settings.clip)
            optimizer.step()
            optimizer.zero_grad()

        pushes = {f"displacement.{k}": p for k, p in zip(self.labels, self.free, strict=True)}
        parameters = {**self.low_rank, **pushes}
        with prepared(rhythm, checkpoint) as (team, request):
            Run(
                Task(
                    state=State(),
                    steps=settings.steps,
                    parameters=parameters,
                    optimizer=optimizer,
                    step=step,
                    over=lambda state: "steps" if state.step >= settings.steps else None,
                    report=lambda _state, seconds: {**row, "seconds": seconds},
                ),
                settings=rhythm,
                team=team,
                request=request,
                out=checkpoint,
                identity=identity(
                    asdict(settings),
                    {"save_every", "threads"},
                    parameters,
                    {**self.depends_on, **depends_on},
                    {},
                ),
            ).train()
        return {
            label: (push.detach() * self.unit).float().cpu()
            for label, push in zip(self.labels, self.free, strict=True)
        }


def draw(
    tokens: Sequence[tuple[list[int], list[tuple[int, list[int]]]]],
    settings: CompanionSettings,
    step: int,
) -> list[tuple[list[int], list[tuple[int, float, list[int]]]]]:
    """Draw the posts of a step and the doses of their replies, from (seed, step) alone.

    All posts come once before one comes again; those of a step are of like length.
    """
    per_pass = max(1, len(tokens) // settings.batch)
    round_, place = divmod(step, per_pass)
    rng = random.Random(f"{settings.seed}/{round_}")
    order = rng.sample(range(len(tokens)), len(tokens))
    size = [len(p) + sum(len(ids) for _, ids in replies) for p, replies in tokens]
    window = 16 * settings.batch
    order = [
        i
        for start in range(0, len(order), window)
        for i in sorted(order[start : start + window], key=size.__getitem__)
    ]
    starts = rng.sample(range(per_pass), per_pass)
    at = starts[place] * settings.batch
    doses = random.Random(f"{settings.seed}/{step}/doses")
    return [
        (prompt, [_dosed(of, ids, dict(replies).get(0), settings, doses) for of, ids in replies])
        for prompt, replies in (tokens[i] for i in order[at : at + settings.batch])
    ]


def _dosed(
    of: int,
    ids: list[int],
    neutral: list[int] | None,
    settings: CompanionSettings,
    doses: random.Random,
) -> tuple[int, float, list[int]]:
    """Draw a reply's dose, and whether the neutral reply stands in its place at it."""
    if not of:
        return of, 0.0, ids
    dose = doses.uniform(*settings.dose)
    if neutral is not None and settings.fade and doses.random() >= dose / settings.fade:
        return of, dose, neutral
    return of, dose, ids
