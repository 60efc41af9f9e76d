"""One training of an empathy network: its rows, its losses, its steps."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from emotone.identity import digest
from emotone.judges.identifier_net import LEVELS, Evidence, IdentifierNet, IdentifierSpec, open_net
from recipes.judges import epitome
from recipes.judges.epitome import Pair
from recipes.judges.training import frozen_states, pad_states, train


@dataclass(frozen=True, slots=True)
class Settings:
    """How a network is trained.

    Args:
        spec: How it is built.
        rate: Largest learning rate of the low-rank change.
        head_rate: The same of the heads.
        epochs: Passes over the pairs.
        batch: Pairs a step.
        seed: Of heads, order and dropout.
        rationale: Weight of the rationale loss; 0.5 in EPITOME.
        balance: Classes weigh (1 / share)^balance in the loss; the heads' biases take it back
            afterwards, so that probabilities are those of the corpus.
        smooth: Share of the label given to all levels alike.
        decay: Weight decay.
        context_gradient: Whether the trunk also learns from how it reads contexts.
        dev_every: Posts of every n-th bucket train nothing and are for development.
    """

    spec: IdentifierSpec
    rate: float = 1e-3
    head_rate: float = 1e-3
    epochs: int = 6
    batch: int = 24
    seed: int = 1
    rationale: float = 0.5
    balance: float = 0.5
    smooth: float = 0.02
    decay: float = 0.01
    context_gradient: bool = False
    dev_every: int = 10


class Row(NamedTuple):
    """One pair, ready to train on: states after the frozen blocks [T, d], levels and marks."""

    context: Tensor
    response: Tensor
    levels: tuple[int, ...]
    marks: list[list[float] | None]


def blocks(net: IdentifierNet) -> Any:
    model: Any = net.response.model
    return model.encoder.layer


def through(layers: Any, states: Tensor, mask: Tensor) -> Tensor:
    """Run BERT blocks on states [B, T, d]; mask [B, T] is True at real tokens."""
    # The fused kernel is slow backwards on short texts, and it is all that differs.
    with sdpa_kernel(SDPBackend.MATH):
        for layer in layers:
            states = layer(states, mask[:, None, None, :])
    return states


def frozen(net: IdentifierNet, rows: list[list[int]]) -> Tensor:
    """States [B, T, d] of token ids after embeddings and frozen blocks."""
    model: Any = net.response.model
    ids, mask = net.response.pad(rows)
    with torch.autocast("cpu", torch.bfloat16):
        states = model.embeddings(input_ids=ids).bfloat16()
        return through(blocks(net)[: net.spec.frozen], states, mask)


def rows_of(net: IdentifierNet, pairs: Sequence[Pair]) -> list[Row]:
    """Encode pairs and run the frozen blocks on them."""
    tokens = net.tokens([(p.context, p.response) for p in pairs])
    tokenizer, limit = net.response.tokenizer, net.spec.max_response
    contexts = frozen_states([c for c, _ in tokens], partial(frozen, net))
    responses = frozen_states([r for _, r in tokens], partial(frozen, net))
    return [
        Row(c, r, p.levels, epitome.token_marks(tokenizer, p, ids, limit))
        for p, (_, ids), c, r in zip(pairs, tokens, contexts, responses, strict=True)
    ]


def batches(rows: Sequence[Row], size: int, draw: random.Random) -> Iterator[list[Row]]:
    """Yield all rows once, in batches of like length and random order."""
    shuffled = draw.sample(list(rows), len(rows))
    pool = size * 12
    groups: list[list[Row]] = []
    for start in range(0, len(shuffled), pool):
        near = sorted(shuffled[start : start + pool], key=lambda r: len(r.response))
        groups += [near[i : i + size] for i in range(0, len(near), size)]
    draw.shuffle(groups)
    yield from groups


def evidence(
    net: IdentifierNet, rows: Sequence[Row], context_gradient: bool = True
) -> dict[str, Evidence]:
    """Run the trained blocks and the heads on a batch of rows."""
    upper = blocks(net)[net.spec.frozen :]
    context, context_mask = pad_states([r.context for r in rows])
    response, response_mask = pad_states([r.response for r in rows])
    with torch.autocast("cpu", torch.bfloat16):
        with torch.set_grad_enabled(torch.is_grad_enabled() and context_gradient):
            context = through(upper, context, context_mask)
        response = through(upper, response, response_mask)
        outputs = net.evidence(context, context_mask, response, response_mask)
    return {
        m: Evidence(e.levels.float(), None if e.rationale is None else e.rationale.float())
        for m, e in outputs.items()
    }


def class_weights(pairs: Sequence[Pair], index: int, power: float) -> Tensor:
    """Weight of each level in the loss, 1 on average over the pairs."""
    counts = torch.bincount(torch.tensor([p.levels[index] for p in pairs]), minlength=LEVELS)
    weights = (len(pairs) / counts.clamp_min(1).float()) ** power
    return weights / (weights * counts / len(pairs)).sum()


def fit(
    pairs: Sequence[Pair], settings: Settings, *, out: Path | None = None, progress: bool = True
) -> IdentifierNet:
    """Train a network with one trunk; the same settings give the same network on one thread.

    Args:
        pairs: What it learns from.
        settings: How.
        out: Folder of the run, so that a killed one goes on; None keeps nothing.
        progress: Whether to show progress.
    """
    if not settings.spec.shared:
        raise SystemExit("this recipe trains one trunk for both texts; set shared")
    torch.manual_seed(settings.seed)
    draw = random.Random(settings.seed)
    net = open_net(settings.spec, dtype=torch.bfloat16)
    changed = [p for p in net.response.parameters() if p.requires_grad]
    for parameter in changed:
        parameter.data = parameter.data.float()
    spare_dropout(net)
    rows = rows_of(net, pairs)
    weights = {
        m: class_weights(pairs, i, settings.balance) for i, m in enumerate(settings.spec.mechanisms)
    }
    with torch.no_grad():
        for m, head in net.heads.items():
            share = class_weights(pairs, list(net.heads).index(m), 1.0).reciprocal()
            head.level.bias.copy_((share * weights[m]).log())  # pyright: ignore
    optimizer = torch.optim.AdamW(
        [{"params": changed}, {"params": list(net.heads.parameters())}],
        weight_decay=settings.decay,
        betas=(0.9, 0.98),
        fused=True,
    )
    steps = settings.epochs * -(-len(rows) // settings.batch)

    def rates(step: int) -> tuple[float, float]:
        share = min(1.0, (step + 1) / (0.1 * steps)) * max(0.02, 1 - step / steps)
        return settings.rate * share, settings.head_rate * share

    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    net.train()
    train(
        (part for _ in range(settings.epochs) for part in batches(rows, settings.batch, draw)),
        lambda part: loss_of(net, part, settings, weights),
        steps=steps,
        rates=rates,
        parameters={name: p for name, p in net.named_parameters() if id(p) in trained},
        optimizer=optimizer,
        out=out,
        identity={"settings": asdict(settings), "pairs": digest([asdict(p) for p in pairs])},
        progress=progress,
    )
    with torch.no_grad():  # a weight w in the loss adds log w to the logits: take it back
        for m, head in net.heads.items():
            head.level.bias -= weights[m].log()  # pyright: ignore
    return net.eval()


def spare_dropout(net: IdentifierNet) -> None:
    """Drop hidden states only: drawing masks for attention and LoRA takes half of the time."""
    for name, module in net.response.named_modules():
        if isinstance(module, nn.Dropout) and ("attention.self" in name or "lora_" in name):
            module.p = 0.0


def loss_of(
    net: IdentifierNet, part: Sequence[Row], settings: Settings, weights: dict[str, Tensor]
) -> Tensor:
    """Cross-entropy of levels, weighted by class, and of rationale tokens, summed over heads."""
    outputs = evidence(net, part, settings.context_gradient)
    response_mask = pad_states([r.response for r in part])[1]
    losses: list[Tensor] = []
    for i, (mechanism, output) in enumerate(outputs.items()):
        gold = torch.tensor([r.levels[i] for r in part])
        losses.append(
            nn.functional.cross_entropy(
                output.levels, gold, weights[mechanism], label_smoothing=settings.smooth,
                reduction="sum",
            ) / len(part)
        )  # fmt: skip
        if output.rationale is None or not settings.rationale:
            continue
        known = torch.tensor([r.marks[i] is not None for r in part])
        marks = torch.zeros_like(output.rationale)
        for j, row in enumerate(part):
            marks[j, : len(row.response)] = torch.tensor(row.marks[i] or [0.0] * len(row.response))
        each = nn.functional.binary_cross_entropy_with_logits(
            output.rationale, marks, reduction="none"
        )
        counted = response_mask * known[:, None]
        losses.append(settings.rationale * (each * counted).sum() / counted.sum().clamp_min(1))
    return torch.stack(losses).sum()


@torch.inference_mode()
def logits_of(net: IdentifierNet, rows: Sequence[Row], *, batch: int = 48) -> dict[str, Any]:
    """Level logits of each mechanism, [N, 3] in numpy, in the rows' order."""
    import numpy as np

    out = {m: np.zeros((len(rows), LEVELS)) for m in net.spec.mechanisms}
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].response))
    net.eval()
    for start in range(0, len(order), batch):
        at = order[start : start + batch]
        for mechanism, output in evidence(net, [rows[i] for i in at]).items():
            out[mechanism][at] = output.levels.double().numpy()
    return out
