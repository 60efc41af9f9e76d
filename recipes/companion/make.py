"""Teach the default model to talk, and its emotions with it; every step leaves a folder.

1. one    all plain posts that nothing is judged by, at a constant rate        out/companion/one
2. two    the same with the posts written since, at a falling rate             out/companion/two
3. three  once more and a half, since the loss was still falling               out/companion/three
4. answer replies to posts that nobody answered, in each emotion, for readers  out/companion/answers
5. prefer what they prefer; it did not help, so it does not ship               out/companion/prefer
6. pack   three at rank 16: listeners of emotion and sense                     the shipped folder
7. sweep  doses, classified by the labelling judge; then `match fit` and `hear` the shipped folder
8. four   all newer posts once, at a low rate, from what shipped: see 0030     out/companion/four

`--lang zh` is that of Gemma 3 270M, on Chinese lines: out/companion-zh, two steps, no preferences.

`python -m recipes.companion.make one` and so on (30, 40, 65, 15, 10, 5, 3, 65 minutes on two
cores); a killed step goes on.
Between answer and pack come `recipes.everyday.sheets` and readers. All texts are of `everyday`, so
that everybody may use the result. In the environment,
`MALLOC_MMAP_THRESHOLD_=8000000000 MALLOC_TRIM_THRESHOLD_=16000000000` saves a fifth of the time:
the memory of the logits is then not asked of the system anew each step.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from emotone.data import everyday
from emotone.data.text import Lang
from emotone.emotions import EVERYDAY
from emotone.files import sha256
from emotone.judges import LABEL, open_judge
from emotone.lm.chat import FRIENDS, prompt_ids
from emotone.models import CausalLM, chat_template_hash, load_causal_lm
from emotone.steering.calibrate import shipped_posts
from emotone.steering.card import VectorsCard
from emotone.steering.companion import CompanionSettings, Exchange, learn
from emotone.steering.dose import Curve
from emotone.steering.find import give_adapters, open_vectors, vectors_named
from emotone.steering.fingerprint import fingerprint
from emotone.steering.listen import train_listener
from emotone.steering.make import JUDGED, SWEEPS, data_hash, listener_of
from emotone.steering.mood import Mood
from emotone.steering.moods import AnyMoods
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

PUSHES = "displacements.safetensors"
LABELS = tuple(label for label in EVERYDAY.labels if label != EVERYDAY.neutral)
ADAPTERS = LowRank()
#: Files by the first step that they were there for; in no step before it.
SECOND = ("en-p14", *(f"en-p{n}" for n in range(18, 31)))
NEWER = (
    *(f"en-p{n}" for n in range(31, 99)),
    *(f"en-{kind}{n}" for kind in ("hp", "mp") for n in range(1, 99) if (kind, n) > ("hp", 2)),
)
SHIPPED = Path("src/emotone/steering/shipped")
PREFER = CompanionSettings(steps=60, batch=4, lr=1e-4, push_lr=2e-3, linear=66, seed=3, threads=2)
#: Candidates of each emotion that readers rate: several to few posts tell which of a post's replies
#: is best, one each to many posts what makes sense anywhere.
FOUR = {**dict.fromkeys(everyday.EMOTIONS, 4), "love": 2, EVERYDAY.neutral: 2}
ONE = dict.fromkeys(everyday.EMOTIONS, 1)
SHIPPED_RANK = 16
STRAIGHT = Curve(((-100.0, -0.5), (0.0, 0.0), (100.0, 1.0)))


@dataclass(frozen=True)
class Step:
    """A training.

    Args:
        settings: See `CompanionSettings`.
        before: Step that it goes on from, "shipped" for what ships, "" for the base model.
        without: Files that it does not learn from: they were not written yet.
        only: Files that it learns from; none for all.
    """

    settings: CompanionSettings
    before: str = ""
    without: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def learns(self, writer: str) -> bool:
        """Tell whether it learns from a file."""
        return writer not in self.without and (not self.only or writer in self.only)


@dataclass(frozen=True)
class Plan:
    """What a companion is made of.

    Args:
        lang: Language of its lines.
        model: Name of the base model.
        system: System prompt that it is taught with.
        out: Folder of the steps.
        steps: Step of likelihood -> how it goes.
        rated: Name of ratings of its replies -> file of the posts, a line each, and candidates of
            each emotion.
        moods: Step whose pushes of moods ship, "" for the last, and their dose at 100. Few Chinese
            lines are in a mood, and Adam goes on moving a push whose lines do not come: after the
            second step moods were no language any more.
    """

    lang: Lang
    model: str
    system: str
    out: Path
    steps: Mapping[str, Step]
    rated: Mapping[str, tuple[str, Mapping[str, int]]]
    moods: tuple[str, float] = ("", 1.0)

    def posts(self, rated: str) -> list[str]:
        """Posts of the replies that readers rate; nothing learns from a reply to them."""
        path = Path(__file__).with_name(self.rated[rated][0])
        return path.read_text(encoding="utf-8").splitlines()

    @property
    def shipped(self) -> Path:
        """Folder that ships."""
        return SHIPPED / f"{self.model}-companion"


PLANS: Mapping[str, Plan] = {
    "en": Plan(
        "en",
        "smollm2",
        FRIENDS["en"],
        Path("out/companion"),
        {
            "one": Step(CompanionSettings(steps=230, threads=2), without=SECOND + NEWER),
            "two": Step(
                CompanionSettings(steps=310, linear=340, warmup=3, seed=1, threads=2),
                "one",
                without=NEWER,
            ),
            "three": Step(
                CompanionSettings(steps=640, linear=660, warmup=5, seed=2, threads=2),
                "two",
                without=NEWER,
            ),
            "four": Step(
                CompanionSettings(
                    steps=740, lr=1e-4, push_lr=2e-3, warmup=5, linear=760, seed=4, threads=2
                ),
                "shipped",
                only=NEWER,
            ),
        },
        {"companion-3": ("posts.txt", FOUR), "companion-4": ("posts_more.txt", ONE)},
    ),
    "zh": Plan(
        "zh",
        "gemma3-270m",
        FRIENDS["zh"],
        Path("out/companion-zh"),
        {
            "one": Step(CompanionSettings(steps=380, linear=400, threads=2)),
            "two": Step(
                CompanionSettings(steps=130, linear=140, warmup=5, seed=1, threads=1), "one"
            ),
        },
        {"companion-zh-2": ("posts_zh.txt", FOUR)},
        ("one", 0.6),
    ),
}


def lines(lang: Lang = "en") -> list[everyday.Line]:
    """Plain lines, with turns before them or none, and those of moods."""
    return [
        line
        for line in everyday.lines(lang, splits=["train-a", "train-b", "train-c"])
        if line.register == "plain" or line.kind in ("moods", "history")
    ]


def base(plan: Plan) -> CausalLM:
    torch.set_num_threads(2)
    lm = load_causal_lm(plan.model, device="cpu")
    lm.model.float()
    return lm


def companion(
    plan: Plan, step: str, *, trainable: bool = False
) -> tuple[CausalLM, dict[str, torch.Tensor]]:
    """Load what a step left, or what ships: the model with its adapters, and the displacements."""
    lm = base(plan)
    folder = plan.shipped if step == "shipped" else plan.out / step
    load_adapters(lm.model, folder, trainable=trainable)
    if step == "shipped":
        vectors = open_vectors(str(folder))
        return lm, {label: rows.float() for label, rows in vectors.directions.items()}
    return lm, load_file(folder / PUSHES)


def norms(plan: Plan) -> torch.Tensor:
    """Length of the base model's activations: that of its vectors' card, or measured."""
    if (vectors := vectors_named(plan.model)) is not None:
        return torch.tensor(vectors.card.norms)
    lm = base(plan)
    pairs = [
        (prompt_ids(lm.tokenizer, line.dialogue, plan.system), reply)
        for line in lines(plan.lang)[::40]
        for reply in list(line.replies.values())[:2]
    ]
    return response_means(lm.model, lm.tokenizer, pairs).norms


def keep(plan: Plan, lm: CausalLM, pushes: Mapping[str, torch.Tensor], step: str) -> None:
    save_adapters(lm.model, plan.out / step, base=plan.model)
    save_file({k: v.contiguous() for k, v in pushes.items()}, plan.out / step / PUSHES)


def taught(plan: Plan, step: str) -> None:
    how = plan.steps[step]
    lm, start = companion(plan, how.before, trainable=True) if how.before else (base(plan), None)
    chosen = [line for line in lines(plan.lang) if how.learns(line.writer)]
    emotions = {label for line in chosen for label in line.replies}
    pushes = learn(
        lm.model,
        lm.tokenizer,
        [Exchange(line.dialogue, line.replies) for line in chosen],
        [label for label in LABELS if label in emotions],
        norms(plan),
        system=plan.system,
        settings=how.settings,
        adapters=ADAPTERS,
        start=start,
        checkpoint=plan.out / step,
    )
    keep(plan, lm, {**(start or {}), **pushes}, step)


def answer(plan: Plan, step: str, name: str, folder: Path) -> None:
    """Write candidates, shuffled, as `recipes.everyday.sheets` takes them."""
    lm, pushes = companion(plan, step)
    merge_adapters(lm.model)
    card = VectorsCard(plan.model, fingerprint(base(plan).model), positions="last")
    mood = Mood(lm, EmotionVectors(pushes, card), batch=64)
    emotions = everyday.EMOTIONS
    asked = [(n, post, e) for n, post in enumerate(plan.posts(name), 1) for e in emotions]
    written = mood.write_candidates(
        [prompt_ids(lm.tokenizer, Dialogue.of(post), plan.system) for _, post, _ in asked],
        [{e: 1.0} if e in LABELS else {} for *_, e in asked],
        [plan.rated[name][1][e] for *_, e in asked],
        Decoding(seed=40_000),
    )
    rows = [
        {"id": f"{name}:{n}/{e}-{i}", "split": "train-c", "post": post, "reply": reply.text,
         "system": name, "emotion": e}
        for (n, post, e), candidates in zip(asked, written, strict=True)
        for i, reply in enumerate(candidates.replies)
    ]  # fmt: skip
    random.Random(0).shuffle(rows)
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / f"candidates-{plan.lang}.jsonl", rows)


def ratings(plan: Plan) -> list[everyday.Rating]:
    """Replies of the companion to our posts, as readers rated them; none before they did."""
    return [r for r in everyday.ratings(plan.lang, splits=["train-c"]) if r.system in plan.rated]


def prefer_rated(plan: Plan, step: str, before: str) -> None:
    """A reply is better the more of it is right: the emotion counts 1, the content 0 to 2."""
    by_post: dict[str, list[Rated]] = {}
    for r in ratings(plan):
        score = r.heard + r.content - 2 * r.blame
        by_post.setdefault(r.post, []).append(Rated(r.emotion, 1.0, r.reply, score))
    lm, start = companion(plan, before, trainable=True)
    pushes = prefer(
        lm.model,
        lm.tokenizer,
        [(Dialogue.of(post), rated) for post, rated in by_post.items()],
        LABELS,
        norms(plan),
        system=plan.system,
        settings=PREFER,
        start=start,
        checkpoint=plan.out / step,
    )
    keep(plan, lm, pushes, step)


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


def pack(plan: Plan, step: str, rank: int, folder: Path) -> None:
    lm, pushes = companion(plan, step)
    curves = dict.fromkeys(LABELS, STRAIGHT)
    first, dose = plan.moods
    if first:
        earlier = load_file(plan.out / first / PUSHES)
        for mood in set(pushes) - set(everyday.EMOTIONS):
            pushes[mood] = earlier[mood]
            curves[mood] = Curve(((-100.0, -0.5 * dose), (0.0, 0.0), (100.0, dose)))
    if rank < ADAPTERS.rank:
        print(f"rank {rank} keeps {truncate(lm, rank):.3f} of the energy", flush=True)
    for _, layer in adapted_layers(lm.model):
        for part in (layer.lora_A, layer.lora_B):
            part.to(torch.bfloat16)
    save_adapters(lm.model, folder, base=plan.model)
    lm = base(plan)
    print_ = fingerprint(lm.model)
    load_adapters(lm.model, folder)
    merge_adapters(lm.model)
    every = [line for line in lines(plan.lang) if line.split != "train-b"]
    listener, activations = listener_of(lm, every, plan.system)
    block = listener.block
    sense = None
    if rated := ratings(plan):
        prompts = {
            post: prompt_ids(lm.tokenizer, Dialogue.of(post), plan.system)
            for post in {r.post for r in rated}
        }
        pairs = [(prompts[r.post], r.reply) for r in rated]
        sense = train_listener(
            block_means(lm.model, lm.tokenizer, pairs, block),
            [str(r.content) for r in rated],
            block=block,
            strength=0.003,
        )
    card = VectorsCard(
        model=plan.model,
        fingerprint=print_,
        chat_template=chat_template_hash(lm.tokenizer),
        system_prompt=plan.system,
        positions="last",
        adapters=sha256(folder / WEIGHTS),
        method="companion",
        data=data_hash(lines(plan.lang)),
        norms=tuple(round(float(n), 4) for n in activations),
        curves=curves,
        notes={
            "licence": "Apache-2.0",
            "texts": "everyday, plain and moods, of its splits train-a, train-b and train-c",
            "ratings": f"everyday, {len(rated)} of its own replies, by readers",
            "recipe": "recipes/companion/make.py",
        },
    )
    EmotionVectors(pushes, card, listener, sense).save(folder / WITH_ADAPTERS)


def at_full(curve: Curve) -> Curve:
    """Let 100 be the dose that the replies were learned at.

    The judge is sure at half of it where readers are not: they heard sadness in .76 of 40 replies
    at dose .5, the judge in all.
    """
    return Curve((*(knot for knot in curve.knots if knot[0] < 100), (100.0, 1.0)))


def swept(
    plan: Plan,
    moods: AnyMoods,
    folder: Path,
    checkpoint: Path,
    progress: Callable[[int, int], None] | None = None,
) -> AnyMoods:
    """Measure doses by the labelling judge, one candidate a post.

    Args:
        plan: Whose companion it is.
        moods: Vectors or mood adapters; those of moods keep a straight curve.
        folder: Folder of the shared adapters.
        checkpoint: Where replies are kept, so that a killed sweep goes on.
        progress: As for `calibrate_vectors`.
    """
    lm = base(plan)
    give_adapters(lm.model, moods, str(folder))
    card = calibrate_vectors(
        lm,
        moods.only(*JUDGED),
        shipped_posts(plan.lang),
        open_judge(LABEL[plan.lang], "everyday"),
        known_texts=[text for line in lines(plan.lang) for text in line.replies.values()],
        config=Config(candidates=1, sense="", batch=64),
        settings=SWEEPS[plan.lang],
        checkpoint=checkpoint,
        progress=progress,
    ).card
    curves = {k: at_full(curve) for k, curve in card.curves.items()}
    print({label: curve.knots for label, curve in curves.items()})
    curves = {**moods.card.curves, **curves}
    return replace(moods, card=replace(moods.card, curves=curves, measured=card.measured))


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("step", help="a step of likelihood, or answer, prefer, pack or sweep")
    args.add_argument("--lang", choices=list(PLANS), default="en")
    args.add_argument("--of", help="the step that answers, is preferred from, or is packed")
    args.add_argument("--rated", help="what the replies of answer are named")
    args.add_argument("--rank", type=int, default=SHIPPED_RANK)
    args.add_argument("--to", type=Path)
    given = args.parse_args()
    plan = PLANS[given.lang]
    of = given.of or list(plan.steps)[-1]
    if given.step in plan.steps:
        taught(plan, given.step)
    elif given.step == "answer":
        name = given.rated or list(plan.rated)[-1]
        answer(plan, of, name, given.to or plan.out / "answers")
    elif given.step == "prefer":
        prefer_rated(plan, "prefer", of)
    elif given.step == "pack":
        pack(plan, of, given.rank, given.to or plan.shipped)
    elif given.step == "sweep":
        folder = given.to or plan.shipped
        vectors = open_vectors(str(folder))
        swept(plan, vectors, folder, plan.out / "sweep.json").save(folder / WITH_ADAPTERS)
    else:
        args.error(
            f"no step {given.step!r}; use {', '.join(plan.steps)}, answer, prefer, pack, sweep"
        )


if __name__ == "__main__":
    main()
