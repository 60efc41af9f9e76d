"""Train a trunk with emotion heads; one run makes one judge.

`python -m recipes.judges.train_emotion en-score --out out/judges/en-score --threads 1`
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from emotone.data import everyday
from emotone.data.text import Lang, text_key
from emotone.emotions import EVERYDAY, MAPS
from emotone.identity import digest
from emotone.judges.card import read_texts, text_digest, write_texts
from emotone.judges.trunk import Trunk, TrunkSpec, open_trunk, pool
from recipes.judges import corpora
from recipes.judges.training import frozen_states, pad_states, train

ZOO = Path("zoo/src/emotone_zoo/judges")
Target = dict[str, Any]  # head -> vector over its labels


class Text(NamedTuple):
    """A labelled text and what it answers."""

    text: str
    post: str | None
    target: Target


class Encoded(NamedTuple):
    """Token ids of a text behind its post, or their states [T, d]; where it begins; its labels."""

    ids: Any
    start: int
    target: Target


EKMAN = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
SMP = ("happy", "angry", "sad", "fear", "surprise", "neutral")
SETTINGS: dict[str, dict[str, Any]] = {
    "en-score": {
        "spec": TrunkSpec("minilm", max_tokens=48, max_post=32, rank=32, alpha=64),
        "rate": 5e-4, "epochs": 2, "batch": 32, "seed": 1,
        "start": "out/judges/before/en-score", "again": {"ekman": 0.4},
    },
    "zh-score": {
        "spec": TrunkSpec(
            "gemma3-270m", layers=16, suffix="\n情感：", max_tokens=60, max_post=32,
            pooling="mean+last", frozen=8, rank=16, alpha=32,
        ),
        "rate": 3e-4, "epochs": 1, "batch": 32, "seed": 1,
        "start": "out/judges/before/zh-score", "again": {"nlpcc": 0.5, "smp": 0.2},
    },
}  # fmt: skip
# `start` is a judge of version 1, as `git show b2366f2:zoo/src/emotone_zoo/judges/NAME/...` has it.
#: Share of texts that are read without their signs, so that a sign is no shortcut; lines of
#: everyday are read both ways.
BARE = 0.25
#: Neutral turns of labelled dialogues for each turn with a feeling.
CALM = 0.7


def _one_hot(label: str, labels: Sequence[str]) -> list[float]:
    return [float(label == one) for one in labels]


def _everyday(lang: Lang, split: everyday.Split) -> Iterator[tuple[str, str, str]]:
    """Reply, post and emotion of the lines of one split; the moods have no head."""
    for line in everyday.lines(lang, kinds=["rich", "plain", "history"], splits=[split]):
        for label, reply in line.replies.items():
            yield reply, line.post, label


def readings(lang: Lang, split: everyday.Split) -> Iterator[Text]:
    """Rated replies: 1 at the asked emotion where a reader heard it, -1 where not.

    Which other one was heard nobody wrote down, so the loss of such a text is -log(1 - p(asked)).
    What a judge that labels has learnt elsewhere ("That's great!") is left out, where there is one.
    """
    folder = ZOO / f"{lang}-label"
    learnt = read_texts(folder) if folder.is_dir() else frozenset[bytes]()
    for rating in everyday.ratings(lang, splits=[split]):
        if text_digest(rating.reply) in learnt:
            continue
        asked = _one_hot(EVERYDAY.parse(rating.emotion).label, everyday.EMOTIONS)
        target = asked if rating.heard else [-value for value in asked]
        yield Text(rating.reply, rating.post, {"everyday": target})


#: The split of everyday that the texts of a part go with.
SPLIT: dict[str, everyday.Split] = {
    "label": "train-a", "score": "train-b", "dev": "dev", "held_out": "test",
}  # fmt: skip


def english(part: corpora.Part) -> tuple[list[Text], dict[str, tuple[str, ...]]]:
    """Texts of GoEmotions and lines of everyday; for the judge that labels, dialogues too.

    GoEmotions' labels are shared between them where there are several.
    """
    fine = tuple(corpora._read("goemotions/labels.txt.gz").split())
    heads = {"ekman": EKMAN, "everyday": everyday.EMOTIONS, "fine": fine}
    rows: list[Text] = []
    seen: set[str] = set()
    for text, labels, fines in corpora.goemotions():
        key = corpora.text_key(text)
        if int(key[:8], 16) % 100 not in corpora.PARTS[part] or key in seen:
            continue
        seen.add(key)
        soft = [labels.count(e) / len(labels) for e in EKMAN]
        target = {"ekman": soft, "fine": [float(f in fines) for f in fine]}
        rows.append(Text(text, None, target))
    for reply, post, label in _everyday("en", SPLIT[part]):
        ekman = _one_hot(MAPS["everyday", "ekman"][label], EKMAN)
        target = {"ekman": ekman, "everyday": _one_hot(label, everyday.EMOTIONS)}
        rows.append(Text(reply, post, target))
    if part == "label":
        rows += dialogues()
    if part == "score":
        rows += readings("en", SPLIT[part])
    return rows, heads


def dialogues() -> list[Text]:
    """Labelled turns of MELD and DailyDialog with the turn before; of the calm ones a part."""
    known = {corpora.text_key(t) for t, _, _ in corpora.goemotions()}
    turns: dict[str, tuple[str, str | None, str]] = {}
    for text, post, label in [*corpora.meld(), *corpora.dailydialog()]:
        key = corpora.text_key(text)
        if key not in known and int(key[:8], 16) % 100 >= 15:
            turns.setdefault(key, (text, post, label))
    felt = [turn for _, turn in sorted(turns.items()) if turn[2] != "neutral"]
    calm = [turn for _, turn in sorted(turns.items()) if turn[2] == "neutral"]
    chosen = [*felt, *calm[: round(CALM * len(felt))]]
    return [Text(text, post, {"ekman": _one_hot(label, EKMAN)}) for text, post, label in chosen]


def chinese(part: corpora.Part) -> tuple[list[Text], dict[str, tuple[str, ...]]]:
    """Sentences of NLPCC, weibos of SMP2020 and lines of everyday."""
    heads = {"nlpcc": corpora.NLPCC_IDS, "smp": SMP, "everyday": everyday.EMOTIONS}
    rows: list[Text] = []
    for head, source in (("nlpcc", corpora.nlpcc()), ("smp", corpora.smp())):
        for text, label in corpora.part(source, part):
            rows.append(Text(text, None, {head: _one_hot(label, heads[head])}))
    for reply, post, label in _everyday("zh", SPLIT[part]):
        nlpcc = _one_hot(MAPS["everyday", "nlpcc"][label], corpora.NLPCC_IDS)
        target = {"nlpcc": nlpcc, "everyday": _one_hot(label, everyday.EMOTIONS)}
        rows.append(Text(reply, post, target))
    return rows, heads


def texts_of(judge: str, part: corpora.Part) -> tuple[list[Text], dict[str, tuple[str, ...]]]:
    """Texts of one judge; what the judge of another role learns from too is left out."""
    load = english if judge.startswith("en") else chinese
    rows, heads = load(part)
    if part == "label":
        other = {corpora.text_key(row.text) for row in load("score")[0]}
        rows = [row for row in rows if corpora.text_key(row.text) not in other]
    return rows, heads


def data_hashes(rows: Iterable[Text]) -> dict[str, str]:
    """Hash of which texts were seen with which label, by head, not of the texts themselves."""
    keys: dict[str, list[str]] = {}
    for row in rows:
        for head, target in row.target.items():
            label = target.index(max(target, key=abs))
            sign = "not " if min(target) < 0 else ""
            keys.setdefault(head, []).append(f"{text_key(row.text)} {sign}{label}")
    return {h: hashlib.sha256("\n".join(sorted(k)).encode()).hexdigest() for h, k in keys.items()}


def bare(text: str) -> str:
    """A text without signs and capitals."""
    words = "".join(c if c.isalnum() or c in "'’" else " " for c in text).lower()
    return " ".join(words.split()) or text


def with_bare(rows: Iterable[Text], draw: random.Random) -> list[Text]:
    """Read lines of everyday with and without their signs, and a share of the others without.

    A rated reply, which has no label but that of everyday, is read once, by chance with or without.
    """
    read: list[Text] = []
    for row in rows:
        plain = row._replace(text=bare(row.text), post=row.post and bare(row.post))
        if "everyday" in row.target and len(row.target) > 1:
            read += [row, plain]
        else:
            share = 0.5 if "everyday" in row.target else BARE
            read.append(plain if draw.random() < share else row)
    return read


def split(trunk: Trunk) -> nn.Module:
    """Cut the frozen blocks off a language model's trunk, in place, and return them as a model."""
    model: Any = trunk.model
    lower = copy.copy(model)
    lower._modules = dict(model._modules)
    lower.config = copy.deepcopy(model.config)
    n = trunk.spec.frozen
    lower.layers = model.layers[:n]
    lower.norm = nn.Identity()
    lower.config.num_hidden_layers = n
    model.layers = model.layers[n:]
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = model.config.layer_types[n:]
    model.config.num_hidden_layers -= n
    return lower


def batches(
    rows: list[Encoded], size: int, epochs: int, draw: random.Random
) -> Iterator[list[Encoded]]:
    """Yield all rows in each epoch, in batches of like length and random order."""
    rows = list(rows)
    for _ in range(epochs):
        draw.shuffle(rows)
        chunks = [
            sorted(rows[i : i + size * 30], key=lambda r: len(r.ids))
            for i in range(0, len(rows), size * 30)
        ]
        groups = [c[i : i + size] for c in chunks for i in range(0, len(c), size)]
        draw.shuffle(groups)
        yield from groups


def label_loss(logits: torch.Tensor, goal: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Loss of each text, [B]: cross-entropy, smoothed by .05, or -log(1 - p) of what is not heard.

    Args:
        logits: [B, L].
        goal: Share of each label, or -1 at the one that is not heard and 0 elsewhere, [B, L].
        weights: Of the labels, [L].
    """
    logprobs = logits.log_softmax(-1)
    smooth = goal.clamp_min(0) * 0.95 + 0.05 / goal.shape[-1]
    given = -(smooth * weights * logprobs).sum(-1)
    others = logprobs.masked_fill(goal < 0, -torch.inf).logsumexp(-1)
    return torch.where(goal.amin(-1) < 0, -others, given)


def begin_with(folder: Path, trunk: Trunk, heads: nn.ModuleDict) -> None:
    """Take the low-rank change and the heads of a trained judge to begin with.

    Its change has numbers of whole blocks, as has `trunk`, which is not cut yet.
    """
    tensors = load_file(folder / "weights.safetensors")
    parameters = dict(trunk.model.named_parameters())
    for name, value in parameters.items():
        if ".lora_" in name:
            module, _, rest = name.partition(".lora_")
            value.data = tensors[f"lora.{module}.{rest[0]}"].to(value.dtype)
    for head, layer in heads.items():
        source = {"smp": "smp2020"}.get(head, head)
        if f"heads.{source}.weight" in tensors:
            layer.weight.data = tensors[f"heads.{source}.weight"].float()
            layer.bias.data = tensors[f"heads.{source}.bias"].float()


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
    rows, labels = texts_of(given.judge, "score")
    dev, _ = texts_of(given.judge, "dev")
    given.out.mkdir(parents=True, exist_ok=True)
    write_texts(given.out, [row.text for row in rows])
    data = data_hashes(rows)
    if "again" in settings:  # what the start has learnt is only refreshed
        again: dict[str, float] = settings["again"]
        rows = [r for r in rows if "everyday" in r.target or draw.random() < again[min(r.target)]]
    rows = with_bare(rows, draw)
    draw.shuffle(rows)
    rows = rows[: given.limit]
    trunk = open_trunk(spec)
    heads = nn.ModuleDict({k: nn.Linear(trunk.width, len(v)) for k, v in labels.items()})
    if "start" in settings:
        begin_with(Path(settings["start"]), trunk, heads)
    # Rare classes count a little more: the fourth root keeps probabilities near the true ones.
    weights: dict[str, torch.Tensor] = {}
    for head, names in labels.items():
        total = torch.tensor([r.target[head] for r in rows if head in r.target]).clamp_min(0)
        total = total.sum(0).clamp_min(1)
        weights[head] = (total.mean() / total).pow(0.25) if len(names) < 10 else total * 0 + 1
    lower = split(trunk) if spec.frozen else None

    def encode(texts: list[Text]) -> list[Encoded]:
        read = trunk.tokens([t.text for t in texts], [t.post for t in texts])
        return [Encoded(r.ids, r.start, t.target) for r, t in zip(read, texts, strict=True)]

    encoded, dev_encoded = encode(rows), encode(dev)
    lora = [p for n, p in trunk.named_parameters() if "lora_" in n]
    for p in lora:
        p.requires_grad_(True)
        p.data = p.data.float()
    print(len(rows), "rows", sum(len(r.ids) for r in encoded), "tokens", flush=True)
    identity = {"settings": {**settings, "spec": asdict(spec)}, "rows": digest(encoded)}
    if lower is not None:

        def frozen(ids: list[list[int]]) -> torch.Tensor:
            padded, mask = trunk.pad(ids)
            return lower(input_ids=padded, attention_mask=mask.long()).last_hidden_state

        def lowered(part: list[Encoded]) -> list[Encoded]:
            states = frozen_states([row.ids for row in part], frozen)
            return [row._replace(ids=s) for row, s in zip(part, states, strict=True)]

        encoded, dev_encoded = lowered(encoded), lowered(dev_encoded)
        print("frozen blocks are done", flush=True)
    optimizer = torch.optim.AdamW(
        [{"params": lora}, {"params": heads.parameters()}],
        lr=settings["rate"], weight_decay=0.01, betas=(0.9, 0.98), fused=True,
    )  # fmt: skip
    batch, epochs = settings["batch"], settings["epochs"]
    total = epochs * (len(encoded) // batch)
    drop = nn.Dropout(0.1)

    def scores(part: list[Encoded]) -> dict[str, torch.Tensor]:
        starts = [row.start for row in part]
        if lower is None:
            pooled = trunk(*trunk.pad([row.ids for row in part]), starts)
        else:
            states, mask = pad_states([row.ids for row in part])
            out = trunk.model(inputs_embeds=states.float(), attention_mask=mask.long())
            pooled = pool(out.last_hidden_state.float(), mask, spec.pooling, starts)
        pooled = drop(pooled) if trunk.training else pooled
        return {k: head(pooled) for k, head in heads.items()}

    def loss_of(part: list[Encoded]) -> torch.Tensor:
        logits = scores(part)
        losses = []
        for head, out in logits.items():
            at = [i for i, row in enumerate(part) if head in row.target]
            if not at:
                continue
            goal = torch.tensor([part[i].target[head] for i in at])
            if head == "fine":
                each = nn.functional.binary_cross_entropy_with_logits(
                    out[at], goal, reduction="none"
                )
                losses.append(each.sum(-1).mean() * 0.3 * len(at) / len(part))
            else:
                losses.append(label_loss(out[at], goal, weights[head]).sum() / len(part))
        return torch.stack(losses).sum()

    @torch.inference_mode()
    def evaluate() -> dict[str, Any]:
        from sklearn.metrics import accuracy_score, f1_score

        trunk.eval()
        order = sorted(range(len(dev_encoded)), key=lambda i: len(dev_encoded[i].ids))
        predicted: dict[str, list[int]] = {k: [] for k in labels}
        gold: dict[str, list[int]] = {k: [] for k in labels}
        for start in range(0, len(order), 64):
            part = [dev_encoded[i] for i in order[start : start + 64]]
            for head, out in scores(part).items():
                for i, (_, _, t) in enumerate(part):
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
    card = {"spec": asdict(spec), "labels": labels, "log": log, "data": data}
    (given.out / "train.json").write_text(json.dumps(card, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
