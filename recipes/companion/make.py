"""Teach the default model to talk, and its emotions with it; every step leaves a folder.

1. one    all plain posts that nothing is judged by, at a constant rate        out/companion/one
2. two    the same with the posts written since, at a falling rate             out/companion/two
3. three  once more and a half, since the loss was still falling               out/companion/three
4. answer four replies to each of posts.txt in each emotion, for readers       out/companion/answers
5. prefer what they prefer; it did not help, so it does not ship             out/companion/prefer
6. pack   three: fewer ranks, listeners of emotion and sense                  the shipped folder
7. sweep  doses, classified by the labelling judge                           the shipped folder

`python -m recipes.companion.make one` and so on (30, 40, 65, 15, 10, 5, 10 minutes on two cores);
a killed step goes on. Between answer and prefer come `recipes.everyday.sheets` and readers. All
texts are of `everyday`, so that everybody may use the result. In the environment,
`MALLOC_MMAP_THRESHOLD_=8000000000 MALLOC_TRIM_THRESHOLD_=16000000000` saves a fifth of the time:
the memory of the logits is then not asked of the system anew each step.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping
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
from emotone.steering.mood import Mood
from emotone.steering.prefer import Rated, prefer
from emotone.steering.record import block_means, response_means
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
from emotone.types import Decoding, Dialogue
from recipes.everyday.candidates import write_rows

OUT = Path("out/companion")
SHIPPED = Path("src/emotone/steering/shipped/smollm2-companion")
PUSHES = "displacements.safetensors"
LABELS = tuple(label for label in EVERYDAY.labels if label != EVERYDAY.neutral)
ADAPTERS = LowRank()
#: Files that were not written yet when the first step ran.
LATER = ("en-p14", *(f"en-p{n}" for n in range(18, 99)), *(f"en-hp{n}" for n in range(3, 99)))
ONE = CompanionSettings(steps=230, threads=2)
TWO = CompanionSettings(steps=310, linear=340, warmup=3, seed=1, threads=2)
THREE = CompanionSettings(steps=640, linear=660, warmup=5, seed=2, threads=2)
#: Step -> its settings, and the step that it goes on from.
LIKELIHOOD = {"one": (ONE, ""), "two": (TWO, "one"), "three": (THREE, "two")}
PREFER = CompanionSettings(steps=60, batch=4, lr=1e-4, push_lr=2e-3, linear=66, seed=3, threads=2)
POSTS = tuple(Path(__file__).with_name("posts.txt").read_text(encoding="utf-8").splitlines())
#: Candidates of each emotion that readers rate, and what their ratings are named.
CANDIDATES = {"love": 2, EVERYDAY.neutral: 2}
RATED = "companion-3"
SHIPPED_RANK = 16
#: Where both listeners read; the best of seven blocks for content, on rated replies left out.
LISTEN_AT = 21
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


def companion(name: str, *, trainable: bool = False) -> tuple[CausalLM, dict[str, torch.Tensor]]:
    """Load what a step left: the model with its adapters, and the displacements."""
    lm = base()
    load_adapters(lm.model, OUT / name, trainable=trainable)
    return lm, load_file(OUT / name / PUSHES)


def norms() -> torch.Tensor:
    return torch.tensor(open_vectors("smollm2").card.norms)


def keep(lm: CausalLM, pushes: Mapping[str, torch.Tensor], name: str) -> None:
    save_adapters(lm.model, OUT / name, base="smollm2")
    save_file({k: v.contiguous() for k, v in pushes.items()}, OUT / name / PUSHES)


def taught(name: str, settings: CompanionSettings, before: str = "") -> None:
    lm, start = companion(before, trainable=True) if before else (base(), None)
    pushes = learn(
        lm.model,
        lm.tokenizer,
        [Exchange(line.dialogue, line.replies) for line in lines(later=bool(before))],
        LABELS,
        norms(),
        system=FRIEND,
        settings=settings,
        adapters=ADAPTERS,
        start=start,
        checkpoint=OUT / name,
    )
    keep(lm, pushes, name)


def answer(name: str, folder: Path) -> None:
    """Write candidates, shuffled, as `recipes.everyday.sheets` takes them."""
    lm, pushes = companion(name)
    merge_adapters(lm.model)
    card = VectorsCard("smollm2", fingerprint(base().model), positions="last")
    mood = Mood(lm, EmotionVectors(pushes, card), batch=64)
    emotions = everyday.EMOTIONS
    asked = [(n, post, e) for n, post in enumerate(POSTS, 1) for e in emotions]
    written = mood.write_candidates(
        [prompt_ids(lm.tokenizer, Dialogue.of(post), FRIEND) for _, post, _ in asked],
        [{e: 1.0} if e in LABELS else {} for *_, e in asked],
        [CANDIDATES.get(e, 4) for *_, e in asked],
        Decoding(seed=40_000),
    )
    rows = [
        {"id": f"{RATED}:{n}/{e}-{i}", "split": "train-c", "post": post, "reply": reply.text,
         "system": RATED, "emotion": e}
        for (n, post, e), candidates in zip(asked, written, strict=True)
        for i, reply in enumerate(candidates.replies)
    ]  # fmt: skip
    random.Random(0).shuffle(rows)
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "candidates-en.jsonl", rows)


def prefer_rated(name: str, before: str) -> None:
    """A reply is better the more of it is right: the emotion counts 1, the content 0 to 2."""
    by_post: dict[str, list[Rated]] = {}
    for r in everyday.ratings("en", splits=["train-c"]):
        if r.system == RATED:
            score = r.heard + r.content - 2 * r.blame
            by_post.setdefault(r.post, []).append(Rated(r.emotion, 1.0, r.reply, score))
    lm, start = companion(before, trainable=True)
    pushes = prefer(
        lm.model,
        lm.tokenizer,
        [(Dialogue.of(post), rated) for post, rated in by_post.items()],
        LABELS,
        norms(),
        system=FRIEND,
        settings=PREFER,
        start=start,
        checkpoint=OUT / name,
    )
    keep(lm, pushes, name)


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
    lm, pushes = companion(name)
    if rank < ADAPTERS.rank:
        print(f"rank {rank} keeps {truncate(lm, rank):.3f} of the energy", flush=True)
    for _, layer in adapted_layers(lm.model):
        for part in (layer.lora_A, layer.lora_B):
            part.to(torch.bfloat16)
    save_adapters(lm.model, folder, base="smollm2")
    lm = base()
    print_ = fingerprint(lm.model)
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
    rated = [r for r in everyday.ratings("en", splits=["train-c"]) if r.system == RATED]
    prompts = {post: prompt_ids(lm.tokenizer, Dialogue.of(post), FRIEND) for post in POSTS}
    pairs = [(prompts[r.post], r.reply) for r in rated]
    sense = train_listener(
        block_means(lm.model, lm.tokenizer, pairs, LISTEN_AT),
        [str(r.content) for r in rated],
        block=LISTEN_AT,
        strength=0.003,
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
            "ratings": f"everyday, {len(rated)} replies of the companion itself, by readers",
            "recipe": "recipes/companion/make.py",
        },
    )
    EmotionVectors(pushes, card, listener, sense).save(folder / WITH_ADAPTERS)


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
    args.add_argument("step", choices=[*LIKELIHOOD, "answer", "prefer", "pack", "sweep"])
    args.add_argument("--of", help="what is answered by, preferred from, or packed")
    args.add_argument("--rank", type=int, default=SHIPPED_RANK)
    args.add_argument("--to", type=Path)
    given = args.parse_args()
    if given.step in LIKELIHOOD:
        taught(given.step, *LIKELIHOOD[given.step])
    elif given.step == "answer":
        answer(given.of or "three", given.to or OUT / "answers")
    elif given.step == "prefer":
        prefer_rated("prefer", given.of or "three")
    elif given.step == "pack":
        pack(given.of or "three", given.rank, given.to or SHIPPED)
    else:
        calibrate(given.to or SHIPPED)


if __name__ == "__main__":
    main()
