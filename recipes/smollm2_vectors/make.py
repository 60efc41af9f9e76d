"""Make the shipped vectors, step by step; every step leaves a file and is skipped when it is there.

1. fit      directions on the exchanges written for this project            out/vectors/fit1
2. play     the model, so steered, answers many posts                       out/vectors/play.jsonl
3. choose   the clearest and likeliest of these, by the label judge, the
            listener and the unsteered model's likelihood
4. refit    from step 1 on, on the chosen ones and the clearest exchanges   out/vectors/fit2
5. sweep    doses, classified by the calibration judge -> the shipped file

`python -m recipes.smollm2_vectors.make` runs what is missing (about 40 minutes on two cores).
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
from pathlib import Path
from typing import Any

import torch

from emotone.emotions import EKMAN, EmotionMix
from emotone.lm.chat import FRIEND, prompt_ids
from emotone.lm.likelihood import token_nats
from emotone.models import chat_template_hash, load_causal_lm
from emotone.steering.calibrate import Limits, SweepSettings, shipped_posts
from emotone.steering.card import VectorsCard
from emotone.steering.extract import data_hash
from emotone.steering.fingerprint import fingerprint
from emotone.steering.fit import FitSettings, fit, label_of
from emotone.steering.fluency import words
from emotone.steering.listen import Listener, listener_logprobs, train_listener
from emotone.steering.record import response_means
from emotone.steering.vectors import EmotionVectors
from emotone.systems.steered import Config, Steered, calibrate_vectors
from emotone.types import Decoding, Dialogue, Example
from recipes.smollm2_vectors.corpora import dailydialog, empathetic, goemotions, meld
from recipes.smollm2_vectors.judges import calibration_judge, label_judge

HERE = Path(__file__).parent
OUT = Path("out/vectors")
SHIPPED = Path("src/emotone/steering/shipped/smollm2.safetensors")
LABELS = EKMAN.labels[:6]
LISTEN_AT = 15
SYSTEMS = (FRIEND, FRIEND, FRIEND, "You are a helpful AI assistant named SmolLM, trained by Hugging Face", "")  # fmt: skip  # noqa: E501
FIRST = FitSettings(steps=110, batch=36, rate=0.02, systems=SYSTEMS)
SECOND = FitSettings(steps=60, batch=36, rate=0.012, systems=SYSTEMS, seed=1)
SWEEP = SweepSettings(
    doses=(0.2, 0.4, 0.6, 0.75, 0.9, 1.05),
    negative=(-0.05, -0.1, -0.2),
    limits=Limits(),
)


def exchanges(*labels: str) -> list[Example]:
    """The written exchanges as examples, one a post and emotion."""
    rows = [json.loads(x) for x in (HERE / "exchanges.jsonl").open(encoding="utf-8")]
    return [
        Example(f"{i}/{label}", Dialogue.of(row["post"]), EmotionMix.parse(label), row[label])
        for i, row in enumerate(rows)
        for label in labels
    ]


def lines_of(name: str) -> list[str]:
    return (HERE / name).read_text(encoding="utf-8").split("\n")[:-1]


def posts_to_play() -> list[str]:
    """Posts of self-play: those of the exchanges and more; none that tunes or reports."""
    reserved = set(shipped_posts()) | set(lines_of("posts_eval.txt"))
    own = [e.dialogue.posts[0].text for e in exchanges("neutral")]
    return [p for p in dict.fromkeys([*lines_of("posts_play.txt"), *own]) if p not in reserved]


class Work:
    """The model in bfloat16, which fits and samples faster here, and what is made on the way."""

    def __init__(self) -> None:
        torch.set_num_threads(2)
        OUT.mkdir(parents=True, exist_ok=True)
        self.lm = load_causal_lm("smollm2", device="cpu")
        self.print = fingerprint(self.lm.model)
        self.lm.model.to(torch.bfloat16)  # pyright: ignore

    def reading(self) -> tuple[torch.Tensor, Listener]:
        """Activation lengths [L], and a listener trained on the written exchanges."""
        rows = exchanges(*EKMAN.labels)
        pairs = [(prompt_ids(self.lm.tokenizer, e.dialogue, FRIEND), str(e.reply)) for e in rows]
        read = response_means(self.lm.model, self.lm.tokenizer, pairs)
        labels = [label for e in rows if (label := label_of(e))]
        return read.norms, train_listener(read.means[:, LISTEN_AT], labels, block=LISTEN_AT)

    def vectors(self, directions: Any, norms: torch.Tensor, listener: Listener) -> EmotionVectors:
        """Wrap directions, uncalibrated."""
        card = VectorsCard(
            model="smollm2",
            fingerprint=self.print,
            chat_template=chat_template_hash(self.lm.tokenizer),
            system_prompt=FRIEND,
            method="fitted",
            data=data_hash(exchanges(*LABELS)),
            norms=tuple(round(float(n), 4) for n in norms),
            notes={
                "licence": "Apache-2.0",
                "texts": "recipes/smollm2_vectors/exchanges.jsonl, written for this project, and "
                "the model's own replies",
                "label judge": "pair-goemotions-a-1 (GoEmotions, CC BY 4.0)",
                "recipe": "recipes/smollm2_vectors/make.py",
            },
        )
        return EmotionVectors(directions, card, listener)


def play(work: Work, vectors: EmotionVectors) -> list[dict[str, Any]]:
    """Answer every post in every emotion at doses around 1."""
    path = OUT / "play.jsonl"
    done = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    system = Steered(work.lm, vectors, Config(candidates=1, batch=96))
    rows = [(p, e) for p in posts_to_play() for e in LABELS]
    rng = random.Random(3)
    rng.shuffle(rows)
    with path.open("a", encoding="utf-8") as out:
        for start in range(len(done), len(rows), 96):
            part = rows[start : start + 96]
            doses = random.Random(f"3/{start}")
            replies = system.reply_raw(
                [Dialogue.of(p) for p, _ in part],
                [{e: doses.choice([0.9, 1.05, 1.2])} for _, e in part],
                decoding=Decoding(temperature=0.6, max_tokens=36, seed=1000 * (start + 1)),
            )
            for (post, label), reply in zip(part, replies, strict=True):
                row = {"post": post, "emotion": label, "reply": reply.text}
                out.write(json.dumps(row) + "\n")
            out.flush()
            print(f"play {start + len(part)} of {len(rows)}", flush=True)
    return [json.loads(x) for x in path.open(encoding="utf-8")]


def choose(work: Work, listener: Listener, rows: list[dict[str, Any]]) -> list[Example]:
    """Keep the clearest and likeliest two fifths of each emotion, and the clearest exchanges."""
    judge = label_judge()
    rows = [r for r in rows if 7 <= len(r["reply"].split()) <= 30 and r["reply"][-1] in ".!?"]
    scores = judge.classify([r["reply"] for r in rows])
    pairs = [
        (prompt_ids(work.lm.tokenizer, Dialogue.of(r["post"]), FRIEND), r["reply"]) for r in rows
    ]
    own = listener_logprobs(work.lm.model, work.lm.tokenizer, listener, pairs)
    likely: list[float] = []
    for start in range(0, len(pairs), 64):
        part = token_nats(work.lm.model, work.lm.tokenizer, pairs[start : start + 64])
        likely += [float(x.mean()) for x in part]
    chosen: list[Example] = []
    for label in LABELS:
        scored = [
            (
                0.7 * math.log(scores[i].probabilities[label] + 1e-4)
                + float(own[i, listener.labels.index(label)])
                - 1.2 * likely[i],
                i,
            )
            for i, r in enumerate(rows)
            if r["emotion"] == label
        ]
        scored.sort(reverse=True)
        chosen += [
            Example(
                f"play/{i}", Dialogue.of(rows[i]["post"]), EmotionMix.parse(label), rows[i]["reply"]
            )
            for _, i in scored[: int(0.4 * len(scored))]
        ]
        written = exchanges(label)
        clear = judge.classify([str(e.reply) for e in written])
        order = sorted(range(len(written)), key=lambda i: -clear[i].probabilities[label])
        chosen += [written[i] for i in order[: int(0.55 * len(order))]]
    return chosen


def calibrate(work: Work, vectors: EmotionVectors) -> EmotionVectors:
    """Sweep doses and store the curves."""
    corpora = [*goemotions("train"), *empathetic("train"), *dailydialog("train"), *meld("train")]
    posts = shipped_posts()
    human: list[Example] = []
    for label in LABELS:
        texts = [t for t, e in empathetic("valid") if e == label]
        # The post of a text is that of its place among all texts, those of other lengths too.
        rows = [(i, t) for i, t in enumerate(texts) if 6 <= len(words(t)) <= 30][:150]
        human += [
            Example(
                f"{label}/{i}", Dialogue.of(posts[i % len(posts)]), EmotionMix.parse(label), text
            )
            for i, text in rows
        ]
    calibrated = calibrate_vectors(
        work.lm,
        vectors,
        posts,
        calibration_judge(),
        known_texts=[text for text, _ in corpora],
        human=human,
        config=Config(batch=80),
        settings=SWEEP,
        checkpoint=OUT / "sweep.json",
        progress=lambda done, total: print(f"sweep {done} of {total}", flush=True),
    )
    for label in LABELS:
        for row in calibrated.card.measured[label]:
            print(label, row, flush=True)
    return calibrated


def main() -> None:
    work = Work()
    norms, listener = work.reading()
    first, second = OUT / "fit1.safetensors", OUT / "fit2.safetensors"
    chat = (work.lm.model, work.lm.tokenizer)

    def progress(done: int, total: int) -> None:
        print(f"fit {done} of {total}", flush=True)

    if not second.exists():
        if not first.exists():
            directions = fit(
                *chat,
                exchanges(*LABELS),
                LABELS,
                norms,
                settings=FIRST,
                checkpoint=OUT / "fit1.state",
                progress=progress,
            )
            work.vectors(directions, norms, listener).save(first)
        start = EmotionVectors.load(first)
        rows = play(work, dataclasses.replace(start, listener=None))
        directions = fit(
            *chat,
            choose(work, listener, rows),
            LABELS,
            norms,
            settings=SECOND,
            start=start.directions,
            checkpoint=OUT / "fit2.state",
            progress=progress,
        )
        work.vectors(directions, norms, listener).save(second)
    calibrate(work, EmotionVectors.load(second)).save(SHIPPED)
    print(f"wrote {SHIPPED}")


if __name__ == "__main__":
    main()
