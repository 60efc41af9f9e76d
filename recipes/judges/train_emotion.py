"""Train a trunk with emotion heads; one run makes one judge.

`python -m recipes.judges.train_emotion en-score --out out/judges/en-score --threads 1`
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from emotone.identity import digest
from emotone.judges.trunk import Trunk, TrunkSpec, open_trunk, pool
from recipes.judges import corpora
from recipes.judges.training import frozen_states, pad_states, train

Target = dict[str, Any]  # head -> vector over its labels

EKMAN = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
SMP = ("happy", "angry", "sad", "fear", "surprise", "neutral")
SETTINGS: dict[str, dict[str, Any]] = {
    "en-score": {
        "spec": TrunkSpec("minilm", max_tokens=48, rank=32, alpha=64),
        "rate": 1e-3, "epochs": 5, "stop": 3, "batch": 32, "bf16": True, "seed": 1,
    },
    "zh-score": {
        "spec": TrunkSpec(
            "gemma3-270m", layers=16, suffix="\n情感：", max_tokens=60, pooling="mean+last",
            frozen=8, rank=16, alpha=32,
        ),
        "rate": 5e-4, "epochs": 2, "batch": 32, "bf16": True, "seed": 1,
    },
}  # fmt: skip


def english(part: corpora.Part) -> tuple[list[tuple[str, Target]], dict[str, tuple[str, ...]]]:
    """Texts of GoEmotions with Ekman's labels, shared between them where there are several."""
    fine = tuple(corpora._read("goemotions/labels.txt.gz").split())
    heads = {"ekman": EKMAN, "fine": fine}
    rows: list[tuple[str, Target]] = []
    seen: set[str] = set()
    for text, labels, fines in corpora.goemotions():
        key = corpora.text_key(text)
        if int(key[:8], 16) % 100 not in corpora.PARTS[part] or key in seen:
            continue
        seen.add(key)
        soft = [labels.count(e) / len(labels) for e in EKMAN]
        rows.append((text, {"ekman": soft, "fine": [float(f in fines) for f in fine]}))
    return rows, heads


def chinese(part: corpora.Part) -> tuple[list[tuple[str, Target]], dict[str, tuple[str, ...]]]:
    """Sentences of NLPCC and weibos of SMP2020; each row has one of the two heads."""
    heads = {"nlpcc": corpora.NLPCC_IDS, "smp": SMP}
    rows: list[tuple[str, Target]] = []
    for head, source in (("nlpcc", corpora.nlpcc()), ("smp", corpora.smp())):
        for text, label in corpora.part(source, part):
            rows.append((text, {head: [float(label == e) for e in heads[head]]}))
    return rows, heads


def split(trunk: Trunk) -> nn.Module:
    """Cut the frozen blocks off a Gemma trunk, in place, and return them as a model."""
    model: Any = trunk.model
    lower = copy.copy(model)
    lower._modules = dict(model._modules)
    lower.config = copy.deepcopy(model.config)
    n = trunk.spec.frozen
    lower.layers = model.layers[:n]
    lower.norm = nn.Identity()
    lower.config.num_hidden_layers = n
    model.layers = model.layers[n:]
    model.config.layer_types = model.config.layer_types[n:]
    model.config.num_hidden_layers -= n
    return lower


def batches(
    rows: list[Any], size: int, epochs: int, draw: random.Random
) -> Iterator[list[tuple[Any, Target]]]:
    """Yield all rows in each epoch, in batches of like length and random order."""
    rows = list(rows)
    for _ in range(epochs):
        draw.shuffle(rows)
        chunks = [
            sorted(rows[i : i + size * 30], key=lambda r: len(r[0]))
            for i in range(0, len(rows), size * 30)
        ]
        groups = [c[i : i + size] for c in chunks for i in range(0, len(c), size)]
        draw.shuffle(groups)
        yield from groups


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("judge", choices=sorted(SETTINGS))
    args.add_argument("--out", type=Path, required=True)
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--limit", type=int, default=None)
    given = args.parse_args()
    settings = SETTINGS[given.judge]
    spec: TrunkSpec = settings["spec"]
    torch.set_num_threads(given.threads)
    torch.manual_seed(settings["seed"])
    draw = random.Random(settings["seed"])
    load = english if given.judge.startswith("en") else chinese
    rows, labels = load("score")
    dev, _ = load("dev")
    draw.shuffle(rows)
    rows = rows[: given.limit]
    trunk = open_trunk(spec, dtype=torch.bfloat16)
    heads = nn.ModuleDict({k: nn.Linear(trunk.width, len(v)) for k, v in labels.items()})
    # Rare classes count a little more: the fourth root keeps probabilities near the true ones.
    weights: dict[str, torch.Tensor] = {}
    for head, names in labels.items():
        total = torch.tensor([t[head] for _, t in rows if head in t]).sum(0).clamp_min(1)
        weights[head] = (total.mean() / total).pow(0.25) if len(names) < 10 else total * 0 + 1
    lower = split(trunk) if spec.frozen else None
    encoded = list(zip(trunk.tokens([t for t, _ in rows]), [t for _, t in rows], strict=True))
    dev_encoded = list(zip(trunk.tokens([t for t, _ in dev]), [t for _, t in dev], strict=True))
    lora = [p for n, p in trunk.named_parameters() if "lora_" in n]
    for p in lora:
        p.requires_grad_(True)
        p.data = p.data.float()
    print(len(rows), "rows", sum(map(lambda r: len(r[0]), encoded)), "tokens", flush=True)
    identity = {"settings": {**settings, "spec": asdict(spec)}, "rows": digest(encoded)}
    if lower is not None:

        def frozen(ids: list[list[int]]) -> torch.Tensor:
            padded, mask = trunk.pad(ids)
            return lower(input_ids=padded, attention_mask=mask.long()).last_hidden_state

        def lowered(pairs: list[Any]) -> list[Any]:
            states = frozen_states([ids for ids, _ in pairs], frozen)
            return list(zip(states, [t for _, t in pairs], strict=True))

        encoded, dev_encoded = lowered(encoded), lowered(dev_encoded)
    optimizer = torch.optim.AdamW(
        [{"params": lora}, {"params": heads.parameters()}],
        lr=settings["rate"], weight_decay=0.01, betas=(0.9, 0.98), fused=True,
    )  # fmt: skip
    batch, epochs = settings["batch"], settings["epochs"]
    total = epochs * (len(encoded) // batch)
    drop = nn.Dropout(0.1)

    def scores(part: list[Any]) -> dict[str, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=settings["bf16"]):
            if lower is None:
                pooled = trunk(*trunk.pad([r for r, _ in part]))
            else:
                states, mask = pad_states([r for r, _ in part])
                out = trunk.model(inputs_embeds=states, attention_mask=mask.long())
                pooled = pool(out.last_hidden_state.float(), mask, spec.pooling)
        pooled = drop(pooled) if trunk.training else pooled
        return {k: head(pooled) for k, head in heads.items()}

    def loss_of(part: list[Any]) -> torch.Tensor:
        logits = scores(part)
        losses = []
        for head, out in logits.items():
            at = [i for i, (_, t) in enumerate(part) if head in t]
            if not at:
                continue
            goal = torch.tensor([part[i][1][head] for i in at])
            if head == "fine":
                each = nn.functional.binary_cross_entropy_with_logits(out, goal, reduction="none")
                losses.append(each.sum(-1).mean() * 0.3 * len(at) / len(part))
            else:
                goal = goal * 0.95 + 0.05 / goal.shape[-1]
                each = -(goal * weights[head] * out[at].log_softmax(-1)).sum(-1)
                losses.append(each.sum() / len(part))
        return torch.stack(losses).sum()

    @torch.inference_mode()
    def evaluate() -> dict[str, Any]:
        from sklearn.metrics import accuracy_score, f1_score

        trunk.eval()
        order = sorted(range(len(dev_encoded)), key=lambda i: len(dev_encoded[i][0]))
        predicted: dict[str, list[int]] = {k: [] for k in labels}
        gold: dict[str, list[int]] = {k: [] for k in labels}
        for start in range(0, len(order), 64):
            part = [dev_encoded[i] for i in order[start : start + 64]]
            for head, out in scores(part).items():
                for i, (_, t) in enumerate(part):
                    if head in t and head != "fine" and max(t[head]) == 1:
                        predicted[head].append(int(out[i].argmax()))
                        gold[head].append(t[head].index(1))
        trunk.train()
        return {
            k: (
                round(float(accuracy_score(gold[k], predicted[k])), 4),
                round(float(f1_score(gold[k], predicted[k], average="macro")), 4),
            )
            for k in labels
            if gold[k]
        }

    began, steps_an_epoch = time.time(), -(-len(encoded) // batch)

    def rates(step: int) -> list[float]:
        rate = settings["rate"] * min(1.0, (step + 1) / (0.05 * total))
        return [rate * max(0.02, 1 - step / total)] * 2

    def measure(step: int) -> dict[str, Any]:
        seconds = round(time.time() - began)
        row = {"epoch": step // steps_an_epoch, "dev": evaluate(), "seconds": seconds}
        print(row, flush=True)
        return row

    # The rate falls as if all epochs came; where development scores were flat, we stop before.
    epochs = settings.get("stop", epochs)
    tensors = {f"trunk.{n}": p for n, p in trunk.named_parameters() if "lora_" in n}
    tensors |= {f"heads.{n}": p for n, p in heads.named_parameters()}
    trunk.train()
    log = train(
        batches(encoded, batch, epochs, draw),
        loss_of,
        steps=epochs * steps_an_epoch,
        rates=rates,
        parameters=tensors,
        optimizer=optimizer,
        out=given.out,
        identity=identity,
        epoch=steps_an_epoch,
        measure=measure,
    )
    save_file({k: p.detach() for k, p in tensors.items()}, given.out / "weights.safetensors")
    card = {"spec": asdict(spec), "labels": labels, "log": log, "rows": len(rows)}
    (given.out / "train.json").write_text(json.dumps(card, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
