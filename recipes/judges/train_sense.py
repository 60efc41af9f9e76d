"""Train a judge of sense: a trunk that reads post and reply, with three outputs for content 0 to 2.

`python -m recipes.judges.train_sense en-sense --out out/judges/en-sense --threads 2`
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from emotone.data.text import text_key
from emotone.identity import digest
from emotone.judges.card import write_texts
from emotone.judges.trunk import TrunkSpec, open_trunk, pool
from recipes.judges.sense_pairs import Pair, Part, pairs
from recipes.judges.train_emotion import Encoded, batches, split
from recipes.judges.training import frozen_states, pad_states, train

#: SmolLM2 reads pairs as it reads a chat.
CHAT = {
    "opening": "<|im_start|>user\n",
    "between": "<|im_end|>\n<|im_start|>assistant\n",
    "suffix": "<|im_end|>",
}
#: Gemma, which has learnt no chat, reads them as question and answer.
LINES = {"opening": "问：", "between": "\n答：", "suffix": "\n"}
#: `most` true pairs of everyday and of the dialogues each, and as many wrong ones; rated replies
#: are read `repeat` times.
SETTINGS: dict[str, dict[str, Any]] = {
    "en-sense": {
        "spec": TrunkSpec(
            "smollm2", layers=20, max_tokens=48, max_post=48, pooling="mean+last",
            frozen=10, rank=16, alpha=32, **CHAT,
        ),
        "rate": 4e-4, "repeat": 3, "batch": 32, "most": 2000, "seed": 1,
    },
    "en-sense-label": {
        "spec": TrunkSpec(
            "smollm2", layers=18, max_tokens=48, max_post=48, pooling="mean+last",
            frozen=10, rank=16, alpha=32, **CHAT,
        ),
        "rate": 4e-4, "repeat": 3, "batch": 32, "most": 1000, "seed": 2,
    },
    "zh-sense": {
        "spec": TrunkSpec(
            "gemma3-270m", layers=14, max_tokens=48, max_post=48, pooling="mean+last",
            frozen=7, rank=16, alpha=32, **LINES,
        ),
        "rate": 4e-4, "repeat": 2, "batch": 32, "most": 2500, "seed": 3,
    },
    "zh-sense-label": {
        "spec": TrunkSpec(
            "gemma3-270m", layers=12, max_tokens=48, max_post=48, pooling="mean+last",
            frozen=7, rank=16, alpha=32, **LINES,
        ),
        "rate": 4e-4, "repeat": 2, "batch": 32, "most": 1500, "seed": 4,
    },
}  # fmt: skip


def roc_auc(scores: np.ndarray, true: np.ndarray) -> float:
    """Probability that a true pair scores above a wrong one."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(true, scores)) if 0 < true.sum() < len(true) else float("nan")


def figures(rows: list[Pair], chances: np.ndarray) -> dict[str, Any]:
    """AUC of true against wrong pairs, by kind, and Spearman's rho with readers.

    Args:
        rows: The pairs.
        chances: Probability of content 0, 1 and 2, [N, 3].
    """
    from scipy.stats import spearmanr

    expected = chances @ np.arange(3)
    kinds = np.array([row.kind.partition(",")[0] for row in rows])
    true = kinds == "true"
    made = ~true & (kinds != "rated")
    table: dict[str, Any] = {
        "auc": roc_auc(expected[true | made], true[true | made].astype(int)),
        "auc_by_kind": {
            kind: roc_auc(expected[true | (kinds == kind)], true[true | (kinds == kind)])
            for kind in sorted(set(kinds[made]))
        },
    }
    rated = kinds == "rated"
    if rated.any():
        content = np.array([row.content for row in rows])[rated]
        rho: Any = spearmanr(expected[rated], content)
        table["spearman"] = float(rho.statistic)
        table["rated"] = int(rated.sum())
    return table


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
    lang = given.judge[:2]
    part: Part = "label" if given.judge.endswith("-label") else "score"
    rows = pairs(lang, part, most=settings["most"], seed=settings["seed"], weight=1.5)  # pyright: ignore[reportArgumentType]
    dev = pairs(lang, "dev", most=150, seed=settings["seed"])  # pyright: ignore[reportArgumentType]
    given.out.mkdir(parents=True, exist_ok=True)
    write_texts(given.out, [f"{p.post}\n{p.reply}" for p in rows])
    keys = sorted(f"{text_key(p.post)} {text_key(p.reply)} {p.content}" for p in rows)
    data = {"pairs": hashlib.sha256("\n".join(keys).encode()).hexdigest()}
    draw.shuffle(rows)
    rows = rows[: given.limit]
    trunk = open_trunk(spec)
    head = nn.Linear(trunk.width, 3)
    lower = split(trunk) if spec.frozen else None

    def encode(some: list[Pair]) -> list[Encoded]:
        read = trunk.tokens([p.reply for p in some], [p.post for p in some])
        return [
            Encoded(r.ids, r.start, {"content": p.content, "weight": p.weight})
            for r, p in zip(read, some, strict=True)
        ]

    encoded, dev_encoded = encode(rows), encode(dev)
    print(len(rows), "pairs", sum(len(r.ids) for r in encoded), "tokens", flush=True)
    identity = {"settings": {**settings, "spec": asdict(spec)}, "rows": digest(encoded)}
    if lower is not None:

        def frozen(ids: list[list[int]]) -> torch.Tensor:
            padded, mask = trunk.pad(ids)
            return lower(input_ids=padded, attention_mask=mask.long()).last_hidden_state

        def lowered(some: list[Encoded]) -> list[Encoded]:
            states = frozen_states([row.ids for row in some], frozen)
            return [row._replace(ids=s) for row, s in zip(some, states, strict=True)]

        encoded, dev_encoded = lowered(encoded), lowered(dev_encoded)
        print("frozen blocks are done", flush=True)
    is_rated = [row.kind == "rated" for row in rows]
    encoded += (settings["repeat"] - 1) * [e for e, r in zip(encoded, is_rated, strict=True) if r]
    lora = [p for n, p in trunk.named_parameters() if "lora_" in n]
    for p in lora:
        p.requires_grad_(True)
    optimizer = torch.optim.AdamW(
        [{"params": lora}, {"params": head.parameters()}],
        lr=settings["rate"], weight_decay=0.01, betas=(0.9, 0.98), fused=True,
    )  # fmt: skip
    batch = settings["batch"]
    total = -(-len(encoded) // batch)
    drop = nn.Dropout(0.1)

    def logits(some: list[Encoded]) -> torch.Tensor:
        starts = [row.start for row in some]
        if lower is None:
            pooled = trunk(*trunk.pad([row.ids for row in some]), starts)
        else:
            states, mask = pad_states([row.ids for row in some])
            out = trunk.model(inputs_embeds=states.float(), attention_mask=mask.long())
            pooled = pool(out.last_hidden_state.float(), mask, spec.pooling, starts)
        return head(drop(pooled) if trunk.training else pooled)

    def loss_of(some: list[Encoded]) -> torch.Tensor:
        goal = torch.tensor([row.target["content"] for row in some])
        weight = torch.tensor([row.target["weight"] for row in some])
        each = nn.functional.cross_entropy(
            logits(some), goal, reduction="none", label_smoothing=0.05
        )
        return (each * weight).sum() / weight.sum()

    @torch.inference_mode()
    def evaluate() -> dict[str, Any]:
        trunk.eval()
        chances = np.zeros((len(dev), 3))
        order = sorted(range(len(dev)), key=lambda i: len(dev_encoded[i].ids))
        for start in range(0, len(order), 64):
            at = order[start : start + 64]
            chances[at] = logits([dev_encoded[i] for i in at]).softmax(-1).numpy()
        trunk.train()
        return figures(dev, chances)

    began = time.time()

    def rates(step: int) -> list[float]:
        rate = settings["rate"] * min(1.0, (step + 1) / (0.05 * total))
        return [rate * max(0.02, 1 - step / total)] * 2

    def measure(step: int) -> dict[str, Any]:
        seconds = round(time.time() - began)
        row = {"step": step, "dev": evaluate(), "seconds": seconds}
        print(row, flush=True)
        return row

    tensors = {f"trunk.{n}": p for n, p in trunk.named_parameters() if "lora_" in n}
    tensors |= {f"heads.sense.{n}": p for n, p in head.named_parameters()}
    trunk.train()
    log = train(
        batches(encoded, batch, 1, draw),
        loss_of,
        steps=total,
        rates=rates,
        parameters=tensors,
        optimizer=optimizer,
        out=given.out,
        identity=identity,
        epoch=-(-total // 4),
        measure=measure,
    )
    save_file({k: p.detach() for k, p in tensors.items()}, given.out / "weights.safetensors")
    card = {"spec": asdict(spec), "labels": {"sense": ["0", "1", "2"]}, "log": log}
    card["data"] = data
    (given.out / "train.json").write_text(json.dumps(card, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
