"""Teach a companion its emotions as mood adapters in place of vectors, and compare the two.

1. learn    low-rank maps of seven emotions on the companion that ships, which stays as it is
2. sweep    doses, classified by the labelling judge
3. measure  adapters against the companion's vectors, on posts that nothing learned from

`python -m recipes.companion.adapters learn` and so on, in this order; a killed step goes on. The
folder, out/companion/moods, holds the shared adapters and the moods, and is what `--set vectors=`
and `emotone export adapter --vectors` take.

    L = - sum_i log p(y_i | x; y + dose_i B_{e_i} A_{e_i} x at each adapted map) / sum_i |y_i|

A mood adapter acts on the prompt too, as engines that load it make it act. So replies to a post
share no pass over it here, and each is a row of its own.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emotone.cli.progress import bar
from emotone.data import everyday
from emotone.emotions import EmotionMix
from emotone.files import sha256, write_json
from emotone.identity import digest
from emotone.judges import SCORE, SENSE_SCORE, open_judge, open_sense
from emotone.lm.batch import pad_pairs
from emotone.lm.chat import prompt_ids
from emotone.lm.head import logits
from emotone.models import CausalLM, chat_template_hash
from emotone.steering.card import VectorsCard
from emotone.steering.companion import (
    CompanionSettings,
    Exchange,
    Pupil,
    draw,
    encoded,
)
from emotone.steering.find import give_adapters, open_moods, open_vectors
from emotone.steering.fingerprint import fingerprint
from emotone.steering.fit import frozen
from emotone.steering.fluency import distinct, repeated_share, words
from emotone.steering.gates import Factors, beside, gated, maps_of
from emotone.steering.make import JUDGED, SWEEPS, data_hash
from emotone.steering.mood import Mood
from emotone.steering.mood_adapters import MoodAdapters, open_mood_adapters
from emotone.steering.moods import Moods
from emotone.steering.vector_file import MOODS, WITH_ADAPTERS
from emotone.systems.steered import Config, Steered
from emotone.training.adapters import CONFIG, WEIGHTS, Adapters, fold_adapters
from emotone.types import Decoding, Dialogue
from recipes.companion.make import PLANS, STRAIGHT, Plan, base, lines, swept

ADAPTERS = Adapters(rank=4, alpha=8.0, targets=("o_proj", "down_proj"))
SETTINGS = CompanionSettings(
    steps=120, lr=2e-3, warmup=5, linear=130, dose=(0.2, 1.2), fade=0.75, save_every=10, threads=2
)
INTENSITIES = (50.0, 100.0)


@dataclass(frozen=True, slots=True, eq=False)
class Learner:
    """A model that learns a low-rank map an emotion beside some of its maps.

    Args:
        model: The model, which stays as it is.
        labels: The emotions.
        paths: Paths of the adapted maps, by the alphabet.
        parameters: A and B of each emotion and map, by name: (label, path) -> A [r, in] under
            "label/path/down", B [out, r] under "label/path/up". One each, so that an emotion that
            is not in a batch does not move.
        scale: What B is multiplied by.
    """

    model: Any
    labels: tuple[str, ...]
    paths: tuple[str, ...]
    parameters: Mapping[str, nn.Parameter]
    scale: float

    @classmethod
    def of(cls, model: Any, labels: Sequence[str], adapters: Adapters, seed: int) -> Learner:
        """Begin: A drawn as peft draws it, B zero."""
        depth = int(model.config.num_hidden_layers)
        first = depth - (adapters.top or depth)
        paths = sorted(
            path
            for path, module in model.named_modules()
            if isinstance(module, nn.Linear)
            and path.rpartition(".")[2] in adapters.targets
            and any(part.isdigit() and int(part) >= first for part in path.split("."))
        )
        draw = torch.Generator().manual_seed(seed)
        device = next(model.parameters()).device
        parameters: dict[str, nn.Parameter] = {}
        for label in labels:
            for path in paths:
                out, width = model.get_submodule(path).weight.shape
                drawn = torch.rand(adapters.rank, width, generator=draw) * 2 - 1
                down, up = drawn * width**-0.5, torch.zeros(out, adapters.rank)
                parameters[f"{label}/{path}/down"] = nn.Parameter(down.to(device))
                parameters[f"{label}/{path}/up"] = nn.Parameter(up.to(device))
        scale = adapters.alpha / adapters.rank
        return cls(model, tuple(labels), tuple(paths), parameters, scale)

    def factors(self, labels: Sequence[str]) -> dict[str, Factors]:
        """Return the adapters of some emotions by path."""
        return {
            path: Factors(
                torch.stack([self.parameters[f"{label}/{path}/down"] for label in labels]),
                torch.stack([self.parameters[f"{label}/{path}/up"] for label in labels])
                * self.scale,
            )
            for path in self.paths
        }

    def nats(self, rows: Sequence[tuple[list[int], int, float, list[int]]], filler: int) -> Tensor:
        """Negative log-likelihood of each token of replies, in nats, in their order.

        Args:
            rows: Prompt, place of the emotion among the labels, dose, and reply of each row.
            filler: Token of the padding.
        """
        pairs = [(prompt, reply[:-1]) for prompt, _, _, reply in rows]
        ids, mask, _ = pad_pairs(pairs, filler, left=False)
        present = sorted({emotion for _, emotion, _, _ in rows})
        maps = self.factors([self.labels[emotion] for emotion in present])
        gate = torch.zeros(len(rows), len(present))
        for row, (_, emotion, dose, _) in enumerate(rows):
            gate[row, present.index(emotion)] = dose
        device = next(self.model.parameters()).device
        rank = next(iter(maps.values())).down.shape[1]
        gates = gate.repeat_interleave(rank, 1)[:, None].to(device)
        stacked = [both.stacked(range(len(present))) for both in maps.values()]

        def added(index: int, x: Tensor) -> Tensor:
            return gated(x, *stacked[index], gates)

        with beside(maps_of(self.model, maps), added):
            states = self.model.base_model(
                input_ids=ids.to(device), attention_mask=mask.long().to(device), use_cache=False
            ).last_hidden_state
        learned = torch.cat(
            [states[i, len(p) - 1 : len(p) - 1 + len(r)] for i, (p, _, _, r) in enumerate(rows)]
        )
        gold = torch.tensor([token for *_, reply in rows for token in reply], device=device)
        return nn.functional.cross_entropy(logits(self.model, learned), gold, reduction="none")


def learn(
    lm: CausalLM,
    exchanges: Sequence[Exchange],
    labels: Sequence[str],
    *,
    system: str,
    settings: CompanionSettings,
    adapters: Adapters,
    shared: str = "",
    checkpoint: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Factors]:
    """Learn the adapters of some emotions, on a model that stays as it is.

    Args:
        lm: The model, its shared adapters merged.
        exchanges: Replies to learn; neutral ones stand in at low doses (`CompanionSettings.fade`).
        labels: The emotions.
        system: System prompt.
        settings: As for a companion; `lr` is that of the adapters.
        adapters: Rank, scale and place.
        shared: Digest of what was merged, for the identity of the run.
        checkpoint: Folder that keeps the state; None keeps none.
        progress: Called with the steps done since the last call.

    Returns:
        Path -> the adapters at dose 1, float32.
    """
    tokens = [
        (prompt, replies)
        for prompt, replies in encoded(lm.tokenizer, exchanges, labels, system)
        if any(row for row, _ in replies)
    ]
    learner = Learner.of(lm.model, labels, adapters, settings.seed)
    device = next(lm.model.parameters()).device
    nothing = torch.zeros(1, device=device)
    pupil = Pupil(lm.model, (), learner.parameters, (), nothing, (), {"labels": list(labels)})
    filler: Any = lm.tokenizer.pad_token_id or 0
    done = 0

    def loss(step: int) -> tuple[Tensor, dict[str, float]]:
        nonlocal done
        rows = [
            (prompt, of - 1, dose, ids)
            for prompt, replies in draw(tokens, settings, step)
            for of, dose, ids in replies
            if of
        ]
        nll = learner.nats(rows, filler).mean()
        if progress is not None:
            progress(step + 1 - done)
            done = step + 1
        return nll, {"loss": nll.item()}

    depends_on = {"replies": digest(tokens), "adapters": asdict(adapters), "shared": shared}
    with frozen(lm.model):
        pupil.train(loss, settings, depends_on, checkpoint)
    with torch.no_grad():
        return {
            path: Factors(*(part.detach().float().cpu() for part in both))
            for path, both in learner.factors(labels).items()
        }


def taught(plan: Plan, shared: Path, folder: Path, settings: Any, adapters: Adapters) -> None:
    """Learn the moods and keep them beside a copy of the shared adapters."""
    lm = base(plan)
    print_ = fingerprint(lm.model)
    fold_adapters(lm.model, shared)
    every = lines(plan.lang)
    with bar("learning", settings.steps) as advance:
        maps = learn(
            lm,
            [Exchange(line.dialogue, line.replies) for line in every],
            JUDGED,
            system=plan.system,
            settings=settings,
            adapters=adapters,
            shared=sha256(shared / WEIGHTS),
            checkpoint=folder.with_name(f"{folder.name}-run"),
            progress=advance,
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name in (CONFIG, WEIGHTS):
        shutil.copyfile(shared / name, folder / name)
    weights: list[Any] = [lm.model.get_submodule(path).weight for path in sorted(maps)]
    card = VectorsCard(
        model=plan.model,
        fingerprint=print_,
        chat_template=chat_template_hash(lm.tokenizer),
        system_prompt=plan.system,
        positions="all",
        adapters=sha256(folder / WEIGHTS),
        method="mood adapters",
        data=data_hash(every),
        norms=tuple(round(weight.norm().item(), 4) for weight in weights),
        curves=dict.fromkeys(JUDGED, STRAIGHT),
        notes={
            "licence": "Apache-2.0",
            "texts": "everyday, plain and moods, of its splits train-a, train-b and train-c",
            "adapters": f"rank {adapters.rank}, {', '.join(adapters.targets)}, top {adapters.top}",
            "recipe": "recipes/companion/adapters.py",
        },
    )
    beside_ = shared / WITH_ADAPTERS  # its listeners read the same model
    vectors = open_vectors(str(shared)) if beside_.is_file() else None
    moods = MoodAdapters(tuple(JUDGED), maps, card)
    if vectors is not None:
        readouts = ("listener", "sense", "hearing")
        moods = replace(moods, **{name: getattr(vectors, name) for name in readouts})
    moods.save(folder / MOODS)


def calibrate(plan: Plan, folder: Path) -> None:
    """Measure doses by the labelling judge, as for the companion's vectors."""
    moods = open_mood_adapters(folder)
    doses = SWEEPS[plan.lang]
    with bar("sweeping", len(moods.labels) * (len(doses.doses) + len(doses.negative) + 1)) as step:
        swept(
            plan,
            moods,
            folder,
            folder.with_name(f"{folder.name}-sweep.json"),
            progress=lambda *_: step(1),
        ).save(folder / MOODS)


def measure(plan: Plan, shared: Path, folder: Path, posts: int) -> None:
    """Print vectors and adapters side by side; every number is of development posts.

    Nats are of the written replies, a token, at dose 1. Replies are the first candidate.
    """
    dev = [line for line in everyday.lines(plan.lang, splits=["dev"]) if line.kind == "plain"]
    judge = open_judge(SCORE[plan.lang], "everyday")
    sense = open_sense(SENSE_SCORE[plan.lang]) if plan.lang in SENSE_SCORE else None
    table: dict[str, dict[str, float]] = {}
    for name, place in (("vectors", shared), ("adapters", folder)):
        moods = open_moods(str(place))
        lm = base(plan)
        give_adapters(lm.model, moods, str(place))
        table[name] = _row(lm, moods, dev, posts, judge, sense)
        file = place / (WITH_ADAPTERS if name == "vectors" else MOODS)
        table[name]["megabytes"] = file.stat().st_size / 1e6
    write_json(folder / "measured.json", table)
    print("| | " + " | ".join(table) + " |\n|---" + "|---" * len(table) + "|")
    for key in next(iter(table.values())):
        print(f"| {key} | " + " | ".join(f"{row[key]:.3f}" for row in table.values()) + " |")


def _row(
    lm: CausalLM,
    moods: Moods,
    dev: Sequence[everyday.Line],
    posts: int,
    judge: Any,
    sense: Any,
) -> dict[str, float]:
    mood = Mood(lm, moods, batch=32)
    told = [(line, e) for line in dev for e in JUDGED if e in line.replies][: 20 * posts]
    nats = mood.nats(
        [prompt_ids(lm.tokenizer, line.dialogue, moods.card.system_prompt) for line, _ in told],
        [{e: 1.0} for _, e in told],
        [line.replies[e] for line, e in told],
    )
    row = {"nats a token": sum(n for n, _ in nats) / sum(count for _, count in nats)}
    system = Steered(lm, moods, Config(candidates=1, sense="", batch=64))
    dialogues = [Dialogue.of(line.post) for line in dev[:posts]]
    for intensity in (0.0, *INTENSITIES):
        emotions = JUDGED if intensity else JUDGED[:1]
        asked = [(d, e) for e in emotions for d in dialogues]
        mixes = [
            EmotionMix.of({e: intensity}, moods.taxonomy) if intensity else None for _, e in asked
        ]
        start = time.perf_counter()
        replies = system.reply([d for d, _ in asked], mixes, decoding=Decoding(seed=3))
        took = time.perf_counter() - start
        texts = [reply.text for reply in replies]
        said = [dialogue.posts[-1].text for dialogue, _ in asked]
        at = f"at {intensity:.0f}"
        if intensity:
            scores = judge.classify(texts, said)
            heard = [s.label == e for s, (_, e) in zip(scores, asked, strict=True)]
            row[f"heard {at}"] = float(np.mean(heard))
        if sense is not None:
            content = sense.content(list(zip(said, texts, strict=True))) @ np.arange(3)
            row[f"sense {at}"] = float(np.mean(content))
        row[f"repeats {at}"] = repeated_share(texts)
        row[f"distinct {at}"] = distinct(texts)
        row[f"words {at}"] = float(np.mean([len(words(text)) for text in texts]))
        row[f"tokens a second {at}"] = sum(reply.tokens or 0 for reply in replies) / took
    return row


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("step", choices=["learn", "sweep", "measure"])
    args.add_argument("--lang", choices=list(PLANS), default="en")
    args.add_argument("--shared", type=Path, help="folder of the companion; the one that ships")
    args.add_argument("--to", type=Path)
    args.add_argument("--rank", type=int, default=ADAPTERS.rank)
    args.add_argument("--targets", nargs="+", default=ADAPTERS.targets)
    args.add_argument("--top", type=int, default=0, help="only in so many of the last blocks")
    args.add_argument("--steps", type=int, default=SETTINGS.steps)
    args.add_argument("--batch", type=int, default=SETTINGS.batch, help="posts a step")
    args.add_argument("--lr", type=float, default=SETTINGS.lr)
    args.add_argument("--posts", type=int, default=20)
    given = args.parse_args()
    plan = PLANS[given.lang]
    shared, folder = given.shared or plan.shipped, given.to or plan.out / "moods"
    if given.step == "learn":
        adapters = Adapters(given.rank, 2.0 * given.rank, tuple(given.targets), given.top)
        settings = replace(
            SETTINGS,
            steps=given.steps,
            linear=given.steps + given.steps // 12,
            batch=given.batch,
            lr=given.lr,
        )
        taught(plan, shared, folder, settings, adapters)
    elif given.step == "sweep":
        calibrate(plan, folder)
    else:
        measure(plan, shared, folder, given.posts)


if __name__ == "__main__":
    main()
