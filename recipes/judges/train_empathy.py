"""Train the empathy identifiers of the zoo, and measure their kind by cross-validation.

`python -m recipes.judges.train_empathy empathy-score --out out/judges/empathy-score`
`python -m recipes.judges.train_empathy empathy-score --cv --out out/judges/empathy-cv`

The first trains one set and tests it on the pairs of the other set, which it never saw. The second
trains the same kind of network on four fifths of all pairs and scores the fifth, five times, and
`--fold 2/5` makes one fold only. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from emotone.files import replacing
from emotone.judges.calibration import calibration_error, fit_temperature, softmax
from emotone.judges.identifier import IdentifierCard, decide, load_identifier, save_identifier
from emotone.judges.identifier_net import LEVELS, IdentifierNet, IdentifierSpec
from emotone.types import MECHANISMS
from recipes.judges import epitome
from recipes.judges.epitome import FOLDS, Pair
from recipes.judges.fit_empathy import Settings, fit, logits_of, rows_of

SETTINGS: dict[str, Settings] = {
    "empathy-score": Settings(
        IdentifierSpec(
            frozen=3, rank=16, attention=96, rationale=True, pooling="mean+rationale",
            max_context=96, max_response=160,
        ),
        epochs=6, seed=11,
    ),
    "empathy-reward": Settings(
        IdentifierSpec(
            layers=5, frozen=2, rank=16, attention=64, rationale=True, pooling="mean",
            max_context=96, max_response=160,
        ),
        epochs=8, seed=29, dev_every=5,
    ),
}  # fmt: skip
ROLES: dict[str, Literal["score", "reward"]] = {
    "empathy-score": "score",
    "empathy-reward": "reward",
}
#: How far a decision leans from the likeliest level to the rarest: log-prior is taken off t times.
LEANS = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75)
FOLD_KEYS = ("train", "dev", "pairs", "seconds", "decision", "settings")


@dataclass(frozen=True, slots=True)
class Decision:
    """What is fitted on development pairs.

    Args:
        temperatures: One a mechanism.
        lean: One for all mechanisms, of `LEANS`: three would be fitted to a dozen rare pairs each.
        offsets: -lean * log(share of the level in training), by mechanism.
    """

    temperatures: dict[str, float]
    lean: float
    offsets: dict[str, tuple[float, float, float]]


def is_dev(pair: Pair, every: int) -> bool:
    """Tell whether a pair is for development: the posts of every n-th bucket."""
    return pair.bucket % every == 0


def gold_of(pairs: Sequence[Pair]) -> dict[str, np.ndarray]:
    return {m: np.array([p.levels[i] for p in pairs]) for i, m in enumerate(MECHANISMS)}


def confusion(
    gold: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Counts [..., gold, predicted] of weights [..., N]; every pair counts once without weights."""
    cells = np.eye(LEVELS * LEVELS)[gold * LEVELS + predicted]
    counts = cells.sum(0) if weights is None else weights @ cells
    return counts.reshape(*counts.shape[:-1], LEVELS, LEVELS)


def accuracy_and_f1(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and macro-F1 [...] of confusion tables [..., gold, predicted]."""
    right = np.diagonal(table, axis1=-2, axis2=-1)
    both = table.sum(-1) + table.sum(-2)
    f1 = np.where(both > 0, 2 * right / np.maximum(both, 1e-9), 0.0)
    return right.sum(-1) / table.sum((-2, -1)), f1.mean(-1)


def decide_on(logits: dict[str, Any], dev: Sequence[Pair], train: Sequence[Pair]) -> Decision:
    """Fit temperatures and the lean on development pairs; shares come from training pairs."""
    gold, prior = gold_of(dev), gold_of(train)
    # A hundred pairs can be fitted by certainty; a network of this kind is never so far off.
    temperatures = {m: min(3.0, max(0.5, fit_temperature(logits[m], gold[m]))) for m in MECHANISMS}
    log_share = {
        m: np.log((np.bincount(prior[m], minlength=LEVELS) + 1) / (len(train) + LEVELS))
        for m in MECHANISMS
    }
    totals = np.zeros(len(LEANS))
    for m in MECHANISMS:
        chances = softmax(logits[m], temperatures[m])
        for i, lean in enumerate(LEANS):
            predicted = decide(chances, -lean * log_share[m])
            totals[i] += sum(accuracy_and_f1(confusion(gold[m], predicted)))
    # Neighbours count half: a peak one step wide is luck.
    padded = np.pad(totals, 1, mode="edge")
    lean = LEANS[int((0.5 * padded[:-2] + padded[1:-1] + 0.5 * padded[2:]).argmax())]
    offsets = {m: tuple(float(x) for x in -lean * log_share[m]) for m in MECHANISMS}
    return Decision(temperatures, lean, offsets)  # pyright: ignore[reportArgumentType]


def figures(
    chances: dict[str, np.ndarray],
    predicted: dict[str, np.ndarray],
    pairs: Sequence[Pair],
    *,
    rounds: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Accuracy and macro-F1 with 95 % intervals; the bootstrap draws seekers' posts, not pairs."""
    gold = gold_of(pairs)
    keys = sorted({p.key for p in pairs})
    place = {k: i for i, k in enumerate(keys)}
    owner = np.array([place[p.key] for p in pairs])
    draws = np.random.default_rng(seed).multinomial(
        len(keys), [1 / len(keys)] * len(keys), size=rounds
    )
    weights = draws[:, owner].astype(float)
    out: dict[str, Any] = {"pairs": len(pairs), "posts": len(keys)}
    for m in MECHANISMS:
        table = confusion(gold[m], predicted[m])
        point = accuracy_and_f1(table)
        spread = accuracy_and_f1(confusion(gold[m], predicted[m], weights))
        likeliest = accuracy_and_f1(confusion(gold[m], chances[m].argmax(-1)))
        floor = accuracy_and_f1(confusion(gold[m], np.full_like(gold[m], gold[m].min())))
        out[m] = {
            name: {
                "value": round(float(point[i]), 4),
                "low": round(float(np.quantile(spread[i], 0.025)), 4),
                "high": round(float(np.quantile(spread[i], 0.975)), 4),
                "without_lean": round(float(likeliest[i]), 4),
                "always_0": round(float(floor[i]), 4),
            }
            for i, name in enumerate(("accuracy", "macro_f1"))
        }
        out[m]["confusion"] = table.astype(int).tolist()
        out[m]["calibration_error"] = round(calibration_error(chances[m], gold[m]), 4)
    return out


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def say(text: str) -> None:
    print(text, flush=True)


def one_fold(pairs: Sequence[Pair], fold: int, settings: Settings, path: Path) -> None:
    """Train on the other folds, decide on their development part, score this fold."""
    began = time.time()
    rest = [p for p in pairs if p.fold != fold]
    train = [p for p in rest if not is_dev(p, settings.dev_every)]
    dev = [p for p in rest if is_dev(p, settings.dev_every)]
    net = fit(train, settings, out=path.with_suffix(""))
    decision = decide_on(logits_of(net, rows_of(net, dev)), dev, train)
    test = [p for p in pairs if p.fold == fold]
    logits = logits_of(net, rows_of(net, test))
    write_json(path, {
        "settings": asdict(settings), "decision": asdict(decision), "train": len(train),
        "dev": len(dev), "pairs": len(pairs), "seconds": round(time.time() - began),
        "logits": {m: v.round(4).tolist() for m, v in logits.items()},
    })  # fmt: skip
    say(f"fold {fold}: {time.time() - began:.0f}s, lean {decision.lean}")


def pooled(pairs: Sequence[Pair], folder: Path) -> dict[str, Any]:
    """Put the folds together: each pair is scored by the network that did not see its post."""
    chances: dict[str, list[np.ndarray]] = {m: [] for m in MECHANISMS}
    predicted: dict[str, list[np.ndarray]] = {m: [] for m in MECHANISMS}
    order: list[Pair] = []
    folds: list[dict[str, Any]] = []
    for fold in range(FOLDS):
        stored = json.loads((folder / f"fold-{fold}.json").read_text(encoding="utf-8"))
        order += [p for p in pairs if p.fold == fold]
        for m in MECHANISMS:
            chance = softmax(np.array(stored["logits"][m]), stored["decision"]["temperatures"][m])
            chances[m].append(chance)
            predicted[m].append(decide(chance, stored["decision"]["offsets"][m]))
        folds.append({k: stored[k] for k in FOLD_KEYS})
    if any(f["settings"] != folds[0]["settings"] or f["pairs"] != len(pairs) for f in folds):
        raise SystemExit(f"the folds in {folder} have other settings or pairs; use an empty folder")
    settings = folds[0]["settings"]
    for fold in folds:
        del fold["settings"], fold["pairs"]
    joined = [{m: np.concatenate(v) for m, v in part.items()} for part in (chances, predicted)]
    return {**figures(joined[0], joined[1], order), "folds": folds, "settings": settings}


def cross_validate(pairs: Sequence[Pair], settings: Settings, out: Path, fold: int | None) -> None:
    """Make the folds that are missing, or one of them, and pool them when all are there."""
    wanted = json.loads(json.dumps(asdict(settings)))
    for k in range(FOLDS) if fold is None else (fold,):
        path = out / f"fold-{k}.json"
        if path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
            if (stored["settings"], stored["pairs"]) == (wanted, len(pairs)):
                say(f"fold {k} is there")
                continue
        one_fold(pairs, k, settings, path)
    if all((out / f"fold-{k}.json").exists() for k in range(FOLDS)):
        result = pooled(pairs, out)
        write_json(out / "cv.json", result)
        show(result)


def show(result: dict[str, Any]) -> None:
    for m in MECHANISMS:
        row = result[m]
        say(" ".join([f"{m:15}", *(
            f"{name} {row[name]['value']:.3f} [{row[name]['low']:.3f}, {row[name]['high']:.3f}]"
            for name in ("accuracy", "macro_f1")
        )]))  # fmt: skip


def train_set(name: str, pairs: Sequence[Pair], settings: Settings, out: Path) -> None:
    """Train one set, write it, and test what was written on the pairs of the other set."""
    own = [p for p in pairs if p.bucket in epitome.SETS[name]]
    train = [p for p in own if not is_dev(p, settings.dev_every)]
    dev = [p for p in own if is_dev(p, settings.dev_every)]
    other = [p for p in pairs if p.bucket not in epitome.SETS[name]]
    net: IdentifierNet = fit(train, settings, out=out)
    decision = decide_on(logits_of(net, rows_of(net, dev)), dev, train)
    card = IdentifierCard(
        name=name,
        version=1,
        role=ROLES[name],
        parts=(),
        temperatures=decision.temperatures,
        offsets=decision.offsets,
        data={"corpus": "EPITOME, Reddit part", "pairs": len(own), "posts": keys_of(own)},
    )
    save_identifier(out, card, [net])
    judge = load_identifier(out)
    texts = [(p.context, p.response) for p in other]
    every = judge.probabilities(texts)
    chances = {m: every[:, i] for i, m in enumerate(MECHANISMS)}
    predicted = {m: decide(chances[m], decision.offsets[m]) for m in MECHANISMS}
    result = figures(chances, predicted, other)
    write_json(out / "train.json", {
        "judge": judge.name, "tested_on": "the other set's pairs", "train": len(train),
        "dev": len(dev), **result, "lean": decision.lean, "settings": asdict(settings),
    })  # fmt: skip
    say(f"{judge.name} on {len(other)} pairs of the other set:")
    show(result)


def keys_of(pairs: Sequence[Pair]) -> str:
    """Fingerprint the seekers' posts of a set."""
    return hashlib.sha256("\n".join(sorted({p.key for p in pairs})).encode()).hexdigest()


def main() -> None:
    args = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    args.add_argument("name", choices=sorted(SETTINGS))
    args.add_argument("--out", type=Path, required=True)
    args.add_argument("--cv", action="store_true", help="five folds over all pairs")
    args.add_argument("--fold", help="only fold k/5, k from 0")
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--limit", type=int, help="so many pairs only, to try the recipe")
    args.add_argument("--epochs", type=int)
    given = args.parse_args()
    torch.set_num_threads(given.threads)
    from dataclasses import replace

    settings = SETTINGS[given.name]
    if given.epochs:
        settings = replace(settings, epochs=given.epochs)
    pairs = epitome.read()[: given.limit]
    if given.cv or given.fold:
        fold = None if given.fold is None else int(given.fold.split("/")[0])
        if fold is not None and (given.fold != f"{fold}/{FOLDS}" or fold not in range(FOLDS)):
            raise SystemExit(f"--fold is {given.fold}; write 0/{FOLDS} to {FOLDS - 1}/{FOLDS}")
        cross_validate(pairs, settings, given.out, fold)
    else:
        train_set(given.name, pairs, settings, given.out)


if __name__ == "__main__":
    main()
