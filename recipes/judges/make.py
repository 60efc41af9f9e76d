"""From trained parts to the judges of the zoo, and their figures.

`python -m recipes.judges.make en-label zh-label` trains and packs the judges that count n-grams,
`en-score zh-score` packs what `train_emotion` has trained, `en-sense` and the other judges
of sense what `train_sense` has. `python -m recipes.judges.make figures cards` writes
docs/results/judges.json, each judge's README.md and docs/judges/emotion-results.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from safetensors.torch import save_file as save_torch

from emotone.data import everyday
from emotone.emotions import TAXONOMIES
from emotone.judges import open_judge, open_sense
from emotone.judges.calibration import calibration_error, fit_temperature, softmax
from emotone.judges.card import (
    CARD,
    TEXTS,
    WEIGHTS,
    Head,
    JudgeCard,
    read_texts,
    text_digest,
    write_card,
    write_texts,
)
from emotone.judges.encoder import blend
from emotone.judges.grams import Grams
from emotone.judges.ngram import NgramJudge, ngram_settings, ngram_tensors, train_ngram_judge
from emotone.judges.sense import LIKELIHOODS, likelihoods
from emotone.metrics import f1
from emotone.metrics.base import SumStats
from emotone.metrics.significance import interval, paired_test
from recipes.judges import cards, corpora, readers, sense_pairs, train_sense
from recipes.judges.train_emotion import ZOO, Text, bare, data_hashes, texts_of

SENSE = Path("zoo/src/emotone_zoo/sense")
TRAINED = Path("out/judges")
FIGURES = Path("docs/results/judges.json")
PAGE = Path("docs/judges/emotion-results.md")
READERS = Path("docs/judges/readers.md")
#: Raised whenever the weights change.
VERSION = {"en-label": 2, "zh-label": 2, "en-score": 3, "zh-score": 2}
HEADS = {"en": ("ekman", "everyday"), "zh": ("nlpcc", "smp2020", "everyday")}
LETTERS = {
    "en": (Grams("word", 1, 2, 5), Grams("char_wb", 3, 4, 5, 40_000)),
    "zh": (Grams("char", 1, 3, 3),),
}
#: Judges that count n-grams, and their label sets.
COUNTED = {"en-label": ("ekman", "everyday"), "zh-label": ("nlpcc", "everyday")}
#: Judges whose trunk has n-grams of the same training texts beside it, and the shares tried.
BLENDED = ("zh-score",)
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
#: True pairs of each source that judges of sense are tested on.
HELD_OUT = 300
#: What the training calls a head, where it is not the taxonomy's name.
TRAINED_AS = {"smp2020": "smp"}


def part_of(name: str) -> corpora.Part:
    """Tell which part of the texts a judge learns from."""
    return "score" if name.endswith("-score") else "label"


def texts(name: str, taxonomy: str, part: corpora.Part) -> list[tuple[Text, str]]:
    """Texts of one part with one label of a taxonomy, as a judge of that name reads them.

    Outside the training parts everyday stands for itself: its lines are no texts of "ekman".
    """
    head = TRAINED_AS.get(taxonomy, taxonomy)
    rows, heads = texts_of(f"{name[:2]}-{part}", part)
    if part == "label":
        rows = learnable(rows, name[:2])
    trained = part in ("label", "score")
    return [
        (row, heads[head][int(np.argmax(row.target[head]))])
        for row in rows
        if head in row.target
        and max(row.target[head]) == 1
        and (trained or ("everyday" in row.target) == (head == "everyday"))
    ]


def ngrams(name: str, taxonomy: str, part: corpora.Part) -> NgramJudge:
    """An n-gram judge of one part: a judge itself, or the floor of one that reads.

    Lines of everyday are counted with and without their signs, so that a sign is no shortcut.
    """
    rows = texts(name, taxonomy, part)
    read = [(row.text, label) for row, label in rows]
    read += [(bare(row.text), label) for row, label in rows if "everyday" in row.target]
    return train_ngram_judge(
        read,
        TAXONOMIES[taxonomy],
        cap=None,
        grams=LETTERS[name[:2]],
        strength=2.0 if name[:2] == "en" else 4.0,
        balance=0.5,
    )


def tempered(judge: Any, head: Head) -> float:
    """Temperature by the development texts."""
    rows = texts(judge.card.name, head.taxonomy, "dev")
    gold = np.array([head.labels.index(label) for _, label in rows])
    return round(fit_temperature(kept_logits(judge, [row for row, _ in rows]), gold), 4)


def learnable(rows: Sequence[Text], lang: str) -> list[Text]:
    """Texts for a judge that labels, without those that the shipped judge that scores has learnt.

    The corpus grows and is mended, and a judge knows the lines as they were when it was trained.
    """
    learnt = read_texts(ZOO / f"{lang}-score")
    return [row for row in rows if text_digest(row.text) not in learnt]


def pack_counted(name: str) -> None:
    """Train a judge that counts n-grams and write its folder."""
    folder = ZOO / name
    folder.mkdir(parents=True, exist_ok=True)
    weights: dict[str, Any] = {}
    heads: list[Head] = []
    settings: dict[str, Any] = {"heads": {}}
    for taxonomy in COUNTED[name]:
        judge = ngrams(name, taxonomy, part_of(name))
        rows = texts(name, taxonomy, "dev")
        gold = np.array([judge.labels.index(label) for _, label in rows])
        found = fit_temperature(judge.logits([row.text for row, _ in rows]), gold)
        heads.append(Head(taxonomy, judge.labels, round(found, 4)))
        settings["heads"][taxonomy] = ngram_settings(judge)
        for key, array in ngram_tensors(judge).items():
            weights[f"{taxonomy}.{key}"] = torch.from_numpy(array)
    rows = learnable(texts_of(name, part_of(name))[0], name[:2])
    data = {h: value for h, value in data_hashes(rows).items() if h in COUNTED[name]}
    save_torch(weights, folder / WEIGHTS)
    write_texts(folder, [row.text for row in rows])
    _finish(folder, "ngram", tuple(heads), settings, data)


def low_rank(tensors: dict[str, torch.Tensor], first: int) -> dict[str, torch.Tensor]:
    """The low-rank change of a training, under the names that `merge` reads, in float16."""
    return {
        _normal(key, first): value.half().contiguous()
        for key, value in tensors.items()
        if ".lora_" in key
    }


def pack_trained(name: str) -> None:
    """Turn trained parts into a judge of emotion."""
    trained = json.loads((TRAINED / name / "train.json").read_text(encoding="utf-8"))
    tensors = load_file(TRAINED / name / "weights.safetensors")
    spec = trained["spec"]
    weights: dict[str, Any] = low_rank(tensors, int(spec["frozen"]))
    heads: list[Head] = []
    for taxonomy in HEADS[name[:2]]:
        source = TRAINED_AS.get(taxonomy, taxonomy)
        for what in ("weight", "bias"):
            weights[f"heads.{taxonomy}.{what}"] = tensors[f"heads.{source}.{what}"].half()
        heads.append(Head(taxonomy, tuple(trained["labels"][source])))
    folder = ZOO / name
    folder.mkdir(parents=True, exist_ok=True)
    data = {h.taxonomy: trained["data"][TRAINED_AS.get(h.taxonomy, h.taxonomy)] for h in heads}
    settings: dict[str, Any] = {"trunk": spec}
    shutil.copy(TRAINED / name / TEXTS, folder / TEXTS)
    save_torch(weights, folder / WEIGHTS)
    _finish(folder, "encoder", tuple(heads), settings, data)
    if name in BLENDED:
        settings["ngrams"] = {}
        for head in heads:
            beside, share = _beside(open_judge(folder, head.taxonomy), head)
            settings["ngrams"][head.taxonomy] = {**ngram_settings(beside), "share": share}
            for key, array in ngram_tensors(beside).items():
                weights[f"ngrams.{head.taxonomy}.{key}"] = torch.from_numpy(array)
        save_torch(weights, folder / WEIGHTS)
        _finish(folder, "encoder", tuple(heads), settings, data)
    fitted = [
        replace(head, temperature=tempered(open_judge(folder, head.taxonomy), head))
        for head in heads
    ]
    _finish(folder, "encoder", tuple(fitted), settings, data)


def pack_sense(name: str) -> None:
    """Turn trained parts into a judge of sense."""
    trained = json.loads((TRAINED / name / "train.json").read_text(encoding="utf-8"))
    tensors = load_file(TRAINED / name / "weights.safetensors")
    weights: dict[str, Any] = low_rank(tensors, int(trained["spec"]["frozen"]))
    for what in ("weight", "bias"):
        weights[f"heads.sense.{what}"] = tensors[f"heads.sense.{what}"].half()
    # The zoo gets it when it is whole; until then its regression passes the trunk on.
    folder = TRAINED / "packed" / name
    folder.mkdir(parents=True, exist_ok=True)
    weights["both.weight"] = torch.eye(3, 3 + len(LIKELIHOODS))
    weights["both.bias"] = torch.zeros(3)
    save_torch(weights, folder / WEIGHTS)
    lang: Any = name[:2]
    data = trained["data"]
    shutil.copy(TRAINED / name / TEXTS, folder / TEXTS)
    settings: dict[str, Any] = {"trunk": trained["spec"], "human_median": 0.5}
    head = Head("sense", ("0", "1", "2"))
    _finish(folder, "sense", (head,), settings, data)
    judge = open_sense(folder)
    dev = sense_pairs.pairs(lang, "dev", most=300, weight=1.0)
    texts_ = [(p.post, p.reply) for p in dev]
    gold = np.array([p.content for p in dev])
    read = judge.read(texts_)
    features = np.concatenate([read, likelihoods(judge.lm, judge.trunk, texts_)], 1)
    weights |= _logistic(features, gold, np.array([p.kind == "rated" for p in dev]))
    save_torch(weights, folder / WEIGHTS)
    logits = features @ weights["both.weight"].numpy().T + weights["both.bias"].numpy()
    people = np.array([p.kind.startswith("true") for p in dev])
    settings["human_median"] = round(float(np.median(softmax(logits)[people, 2])), 4)
    _finish(folder, "sense", (head,), settings, data)
    print(train_sense.figures(dev, softmax(read)), "trunk alone, dev")
    print(train_sense.figures(dev, softmax(logits)), "both, dev (fitted here)", flush=True)
    shutil.rmtree(SENSE / name, ignore_errors=True)
    shutil.copytree(folder, SENSE / name)


def _logistic(
    features: np.ndarray, content: np.ndarray, rated: np.ndarray
) -> dict[str, torch.Tensor]:
    """Weights of the regression over trunk and likelihoods, [3, F] and [3].

    Rated replies and made-up pairs have the same weight together, however many they are.
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = features.mean(0), features.std(0) + 1e-9
    weight = np.where(rated, (~rated).sum() / max(rated.sum(), 1), 1.0)
    fitted = LogisticRegression(C=0.1, max_iter=2000)
    fitted.fit((features - mean) / scale, content, sample_weight=weight)
    rows = fitted.coef_ / scale
    bias = fitted.intercept_ - rows @ mean
    return {
        "both.weight": torch.from_numpy(rows).float().contiguous(),
        "both.bias": torch.from_numpy(bias).float().contiguous(),
    }


def _beside(judge: Any, head: Head) -> tuple[NgramJudge, float]:
    """n-grams of the trunk's own training texts, and the share that development texts like best."""
    beside = ngrams(judge.card.name, head.taxonomy, "score")
    order = [beside.labels.index(label) for label in head.labels]
    beside = replace(
        beside, labels=head.labels, weights=beside.weights[order], bias=beside.bias[order]
    )
    rows = texts(judge.card.name, head.taxonomy, "dev")
    gold = np.array([head.labels.index(label) for _, label in rows])
    read = kept_logits(judge, [row for row, _ in rows])
    counted = beside.logits([row.text for row, _ in rows])
    hits = [(blend(read, counted, s).argmax(-1) == gold).mean() for s in SHARES]
    return beside, SHARES[int(np.argmax(hits))]


def _normal(key: str, first: int) -> str:
    """`trunk.model.layers.0.x.lora_A.default.weight` to `lora.layers.8.x.A`."""
    module, _, rest = key.removeprefix("trunk.model.").partition(".lora_")
    if module.startswith("layers."):
        _, number, tail = module.split(".", 2)
        module = f"layers.{int(number) + first}.{tail}"
    return f"lora.{module}.{rest[0]}"


def _finish(
    folder: Path,
    kind: Any,
    heads: tuple[Head, ...],
    settings: dict[str, Any],
    data: dict[str, str],
) -> None:
    name = folder.name
    weights = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    role: Any = "label" if name.endswith("-label") else "score"
    lang: Any = name[:2]
    version = 1 if kind == "sense" else VERSION[name]
    card = JudgeCard(name, kind, role, lang, version, heads, weights, settings, data)
    write_card(folder, card)
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name}: {size / 1e6:.2f} MB in {folder / CARD}", flush=True)


def right(gold: np.ndarray, predicted: np.ndarray) -> SumStats:
    """Accuracy as statistics that can be weighted anew."""
    rows = np.stack([(gold == predicted).astype(float), np.ones(len(gold))], 1)
    return SumStats(rows, lambda s: s[..., 0] / s[..., 1], ("right", "n"), share=True)


def macro(gold: np.ndarray, predicted: np.ndarray, k: int) -> SumStats:
    """Macro-F1 over the labels that occur, as statistics that can be weighted anew."""
    one = np.eye(k)
    return SumStats(f1.columns(one[gold], one[predicted]), lambda s: f1.macro(s, present="true"))


def _value(stats: SumStats) -> dict[str, float]:
    low, high = interval(stats, rounds=1000, seed=0)
    return {k: round(v, 4) for k, v in (("value", stats.value()), ("low", low), ("high", high))}


def kept_logits(judge: Any, rows: Sequence[Text]) -> np.ndarray:
    """Logits of a judge of emotion; those of a trunk are kept in out/, as they take minutes."""
    plain, posts = [row.text for row in rows], [row.post for row in rows]
    if isinstance(judge, NgramJudge):
        return judge.logits(plain)
    trained = hashlib.sha256(
        (TRAINED / judge.card.name / "weights.safetensors").read_bytes()
    ).hexdigest()
    shown = [f"{post}\n{text}" for text, post in zip(plain, posts, strict=True)]
    key = hashlib.sha256("\n\n".join([trained, judge.head.taxonomy, *shown]).encode())
    path = TRAINED / "logits" / f"{key.hexdigest()[:16]}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, replace(judge, ngrams=None).logits(plain, posts))
    read = np.load(path)
    return read if judge.ngrams is None else blend(read, judge.ngrams.logits(plain), judge.share)


def judges_of(lang: str, taxonomy: str) -> list[str]:
    """Names of the judges of a language that have a label set, the one that scores first."""
    here = [p.parent.name for p in ZOO.glob(f"{lang}-*/{CARD}")]
    cards_ = {name: json.loads((ZOO / name / CARD).read_text()) for name in here}
    able = [n for n in here if taxonomy in {h["taxonomy"] for h in cards_[n]["heads"]}]
    return sorted(able, key=lambda n: (part_of(n) != "score", n))


def figures(only: Collection[str]) -> None:
    """Scores of judges on held-out texts, agreement, calibration; one JSON file.

    Args:
        only: Judges that changed; none for all. What is told of the others stays as it was.
    """
    from sklearn.metrics import cohen_kappa_score, confusion_matrix

    before: dict[str, Any] = json.loads(FIGURES.read_text("utf-8")) if only else {}

    def again(name: str) -> bool:
        return not only or name in only

    results: dict[str, Any] = {"split": corpora.__doc__, "judges": {}, "readers": {}}
    results |= {"sense": {}, "speed": {}}
    for lang, taxonomies in HEADS.items():
        for taxonomy in taxonomies:
            if before and not any(map(again, judges_of(lang, taxonomy))):
                results["judges"][f"{lang}:{taxonomy}"] = before["judges"][f"{lang}:{taxonomy}"]
                continue
            rows = texts(f"{lang}-score", taxonomy, "held_out")
            labels = [h for h in TAXONOMIES[taxonomy].labels if h in {label for _, label in rows}]
            gold = np.array([labels.index(label) for _, label in rows])
            table: dict[str, Any] = {
                "n": len(rows),
                "majority": round(float(np.bincount(gold).max() / len(gold)), 4),
                "judges": {},
            }
            predicted: dict[str, np.ndarray] = {}
            for name in judges_of(lang, taxonomy):
                judge: Any = open_judge(ZOO / name, taxonomy)
                raw = _in_order(judge, kept_logits(judge, [r for r, _ in rows]), labels)
                predicted[name] = raw.argmax(-1)
                head = getattr(judge, "head", judge)
                row = _judged(judge.name, raw, predicted[name], gold, head.temperature)
                if taxonomy == "everyday":
                    stripped = [Text(bare(r.text), r.post and bare(r.post), {}) for r, _ in rows]
                    alone = [Text(r.text, None, {}) for r, _ in rows]
                    for what, read in (("without_signs", stripped), ("without_post", alone)):
                        logits = _in_order(judge, kept_logits(judge, read), labels)
                        row[what] = _value(right(gold, logits.argmax(-1)))
                table["judges"][name] = row
                print(taxonomy, name, json.dumps(row), flush=True)
            scored = predicted[f"{lang}-score"]
            table["confusion"] = {
                "labels": labels,
                "rows_gold": confusion_matrix(gold, scored, labels=range(len(labels))).tolist(),
            }
            floor = ngrams(f"{lang}-score", taxonomy, "score")
            known = [*floor.labels]
            counted = floor.logits([r.text for r, _ in rows])[:, [known.index(e) for e in labels]]
            low = counted.argmax(-1)
            table["floor"] = {
                "accuracy": _value(right(gold, low)),
                "macro_f1": _value(macro(gold, low, len(labels))),
            }
            better = paired_test(right(gold, scored), right(gold, low), rounds=2000)
            table["score_less_floor"] = {
                k: round(float(getattr(better, k)), 4) for k in ("difference", "low", "high", "p")
            }
            for name, other in predicted.items():
                if part_of(name) == "label":
                    kappa = round(float(cohen_kappa_score(scored, other)), 4)
                    share = _value(right(scored, other))
                    table["judges"][name]["agreement"] = {"share": share, "kappa": kappa}
            results["judges"][f"{lang}:{taxonomy}"] = table
        names = [p.parent.name for p in sorted(SENSE.glob(f"{lang}-*/{CARD}"))]
        for name in names:
            results["sense"][name] = sense_of(name) if again(name) else before["sense"][name]
        read = before["readers"][lang] if before else None
        results["readers"][lang] = readers.agreement(lang, again, read)
        for name in [*judges_of(lang, "everyday"), *names]:
            results["speed"][name] = speed(name) if again(name) else before["speed"][name]
    FIGURES.write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def sense_of(name: str) -> dict[str, Any]:
    """How well a judge of sense tells true answers from those made wrong, on held-out pairs."""
    lang: Any = name[:2]
    pairs = [p for p in sense_pairs.pairs(lang, "held_out", most=HELD_OUT) if p.kind != "rated"]
    chances = np.asarray(open_sense(SENSE / name).content([(p.post, p.reply) for p in pairs]))
    table = {"n": len(pairs), **train_sense.figures(pairs, chances)}
    print(name, json.dumps(table), flush=True)
    return table


def speed(name: str) -> float:
    """Texts a second of a judge on two threads, of replies of everyday with their posts."""
    torch.set_num_threads(2)
    lang: Any = name[:2]
    lines = everyday.lines(lang, kinds=["plain", "rich"], splits=["test"])
    pairs = [(line.post, text) for line in lines for text in line.replies.values()][:512]
    if "-sense" in name:
        judge: Any = open_sense(SENSE / name)
        read = judge.content
    else:
        judge = open_judge(ZOO / name, "everyday")

        def read(some: list[tuple[str, str]]) -> Any:
            return judge.classify([reply for _, reply in some], [post for post, _ in some])

    read(pairs[:16])
    began = time.perf_counter()
    read(pairs)
    return round(len(pairs) / (time.perf_counter() - began), 1)


def _in_order(judge: Any, logits: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Logits in the order of some labels; what the judge never saw is never likely."""
    own = list(getattr(judge, "head", judge).labels)
    columns = [logits[:, own.index(e)] if e in own else np.full(len(logits), -1e9) for e in labels]
    return np.stack(columns, -1)


def _judged(
    name: str, logits: np.ndarray, predicted: np.ndarray, gold: np.ndarray, temperature: float
) -> dict[str, Any]:
    k = logits.shape[-1]
    return {
        "name": name,
        "accuracy": _value(right(gold, predicted)),
        "macro_f1": _value(macro(gold, predicted, k)),
        "ece_before": round(calibration_error(softmax(logits), gold), 4),
        "ece_after": round(calibration_error(softmax(logits, temperature), gold), 4),
        "temperature": temperature,
    }


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("what", nargs="+")
    args.add_argument("--only", nargs="*", default=[], help="judges that `figures` measures anew")
    given = args.parse_args()
    for what in given.what:
        if what == "figures":
            figures(given.only)
        elif what == "cards":
            folders = [p.parent for zoo in (ZOO, SENSE) for p in zoo.glob(f"*/{CARD}")]
            cards.write(folders, FIGURES)
            cards.page(FIGURES, PAGE)
            readers.page(FIGURES, READERS)
        elif "-sense" in what:
            pack_sense(what)
        elif what in COUNTED:
            pack_counted(what)
        else:
            pack_trained(what)


if __name__ == "__main__":
    main()
