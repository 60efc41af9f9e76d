"""Teach the default model to talk, and its emotions with it; every step leaves a folder.

1. one    all plain posts that nothing is judged by, at a constant rate        out/companion/one
2. two    the same with the posts written since, at a falling rate             out/companion/two
3. pack   fewer ranks, a listener, the folder that ships                       out/companion/packed
4. sweep  doses, classified by the labelling judge -> the shipped folder

`python -m recipes.companion.make one` and so on (half an hour, 40 minutes, 5 and 10 on two cores);
a killed step goes on. All texts are of `everyday`, so that everybody may use the result.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from emotone.data import everyday
from emotone.emotions import EVERYDAY
from emotone.files import sha256
from emotone.identity import digest
from emotone.judges import LABEL, open_judge
from emotone.lm.chat import FRIEND, prompt_ids
from emotone.models import CausalLM, chat_template_hash, load_causal_lm
from emotone.steering.calibrate import Limits, SweepSettings, shipped_posts
from emotone.steering.card import VectorsCard
from emotone.steering.companion import CompanionSettings, Exchange, learn
from emotone.steering.dose import Curve
from emotone.steering.find import give_adapters, open_vectors
from emotone.steering.fingerprint import fingerprint
from emotone.steering.listen import train_listener
from emotone.steering.record import response_means
from emotone.steering.vector_file import WITH_ADAPTERS
from emotone.steering.vectors import EmotionVectors
from emotone.systems.steered import Config, calibrate_vectors
from emotone.systems.tuned import LowRank
from emotone.training.adapters import (
    WEIGHTS,
    adapted_layers,
    load_adapters,
    merge_adapters,
    save_adapters,
)

OUT = Path("out/companion")
SHIPPED = Path("src/emotone/steering/shipped/smollm2-companion")
PUSHES = "displacements.safetensors"
LABELS = tuple(label for label in EVERYDAY.labels if label != EVERYDAY.neutral)
ADAPTERS = LowRank()
#: Files that were not written yet when the first step ran.
LATER = ("en-p14", *(f"en-p{n}" for n in range(18, 99)), *(f"en-hp{n}" for n in range(3, 99)))
ONE = CompanionSettings(steps=230, threads=2)
TWO = CompanionSettings(steps=310, linear=340, warmup=3, seed=1, threads=2)
SHIPPED_RANK = 16
LISTEN_AT = 15
EVERYDAY_SEVEN = everyday.EMOTIONS[:7]
#: Affection speaks of the user, not of the post's subject, so replies may be less like the post.
SWEEP = SweepSettings(
    doses=(0.25, 0.5, 0.75, 1.0), negative=(-0.25,), limits=Limits(similarity=0.6)
)
STRAIGHT = Curve(((-100.0, -0.5), (0.0, 0.0), (100.0, 1.0)))


def lines(*, later: bool) -> list[everyday.Line]:
    """Plain lines, with turns before them or none, and those of moods."""
    return [
        line
        for line in everyday.lines("en", splits=["train-a", "train-b", "train-c"])
        if (line.register == "plain" or line.kind in ("moods", "history"))
        and (later or line.writer not in LATER)
    ]


def base() -> CausalLM:
    torch.set_num_threads(2)
    lm = load_causal_lm("smollm2", device="cpu")
    lm.model.float()
    return lm


def taught(name: str, settings: CompanionSettings, before: str = "") -> None:
    lm = base()
    start = None
    if before:
        load_adapters(lm.model, OUT / before, trainable=True)
        start = load_file(OUT / before / PUSHES)
    pushes = learn(
        lm.model,
        lm.tokenizer,
        [Exchange(line.dialogue, line.replies) for line in lines(later=bool(before))],
        LABELS,
        torch.tensor(open_vectors("smollm2").card.norms),
        system=FRIEND,
        settings=settings,
        adapters=ADAPTERS,
        start=start,
        checkpoint=OUT / name,
    )
    save_adapters(lm.model, OUT / name, base="smollm2")
    save_file({k: v.contiguous() for k, v in pushes.items()}, OUT / name / PUSHES)


@torch.no_grad()
def truncate(lm: CausalLM, rank: int) -> float:
    """Keep the strongest directions of each adapter; return the share of their energy."""
    energy = total = 0.0
    for _, layer in adapted_layers(lm.model):
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        left, lower = torch.linalg.qr(up)
        right, upper = torch.linalg.qr(down.T)
        u, s, v = torch.linalg.svd(lower @ upper.T)
        energy, total = energy + float((s[:rank] ** 2).sum()), total + float((s**2).sum())
        root = s[:rank].sqrt()
        up_new, down_new = left @ u[:, :rank] * root, (right @ v[:rank].T * root).T
        layer.lora_A["default"].weight = torch.nn.Parameter(down_new.contiguous())
        layer.lora_B["default"].weight = torch.nn.Parameter(up_new.contiguous())
    config: Any = lm.model.peft_config["default"]  # pyright: ignore
    config.r, config.lora_alpha = rank, rank * ADAPTERS.alpha / ADAPTERS.rank
    return energy / total


def pack(name: str, rank: int, folder: Path) -> None:
    lm = base()
    print_ = fingerprint(lm.model)
    load_adapters(lm.model, OUT / name)
    if rank < ADAPTERS.rank:
        print(f"rank {rank} keeps {truncate(lm, rank):.3f} of the energy", flush=True)
    for _, layer in adapted_layers(lm.model):
        for part in (layer.lora_A, layer.lora_B):
            part.to(torch.bfloat16)
    save_adapters(lm.model, folder, base="smollm2")
    lm = base()
    load_adapters(lm.model, folder)
    merge_adapters(lm.model)
    every = [line for line in lines(later=True) if line.split != "train-b"]
    texts = [
        (prompt_ids(lm.tokenizer, line.dialogue, FRIEND), reply, label)
        for line in every[:: max(1, len(every) // 260)]
        for label, reply in line.replies.items()
    ]
    read = response_means(lm.model, lm.tokenizer, [(p, r) for p, r, _ in texts])
    listener = train_listener(
        read.means[:, LISTEN_AT], [label for *_, label in texts], block=LISTEN_AT
    )
    card = VectorsCard(
        model="smollm2",
        fingerprint=print_,
        chat_template=chat_template_hash(lm.tokenizer),
        system_prompt=FRIEND,
        positions="last",
        adapters=sha256(folder / WEIGHTS),
        method="companion",
        data=digest([[line.post, dict(line.replies)] for line in lines(later=True)]),
        norms=tuple(round(float(n), 4) for n in read.norms),
        curves=dict.fromkeys(LABELS, STRAIGHT),
        notes={
            "licence": "Apache-2.0",
            "texts": "everyday, plain and moods, of its splits train-a, train-b and train-c",
            "recipe": "recipes/companion/make.py",
        },
    )
    EmotionVectors(load_file(OUT / name / PUSHES), card, listener).save(folder / WITH_ADAPTERS)


def calibrate(folder: Path) -> None:
    """Measure doses by the labelling judge, one candidate a post; moods keep a straight curve."""
    vectors = open_vectors(str(folder))
    lm = base()
    give_adapters(lm.model, vectors, str(folder))
    measured = calibrate_vectors(
        lm,
        vectors.only(*EVERYDAY_SEVEN),
        shipped_posts(),
        open_judge(LABEL["en"], "everyday"),
        known_texts=[text for line in lines(later=True) for text in line.replies.values()],
        config=Config(candidates=1, sense="", batch=64),
        settings=SWEEP,
        checkpoint=OUT / "sweep.json",
    )
    card = replace(
        vectors.card,
        curves=dict.fromkeys(LABELS, STRAIGHT) | dict(measured.card.curves),
        measured=measured.card.measured,
    )
    print({label: curve.knots for label, curve in measured.card.curves.items()})
    replace(vectors, card=card).save(folder / WITH_ADAPTERS)


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("step", choices=["one", "two", "pack", "sweep"])
    args.add_argument("--of", default="two", help="what is packed")
    args.add_argument("--rank", type=int, default=SHIPPED_RANK)
    args.add_argument("--to", type=Path, default=OUT / "packed")
    given = args.parse_args()
    if given.step == "one":
        taught("one", ONE)
    elif given.step == "two":
        taught("two", TWO, "one")
    elif given.step == "pack":
        pack(given.of, given.rank, given.to)
    else:
        calibrate(given.to)


if __name__ == "__main__":
    main()
