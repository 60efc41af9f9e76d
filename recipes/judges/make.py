"""From trained parts to the judges of the zoo, and their figures.

`python -m recipes.judges.make en-label zh-label` trains and packs the labelling judges (seconds),
`python -m recipes.judges.make en-score zh-score` packs what `train_emotion` has trained, and
`python -m recipes.judges.make figures cards` writes docs/results/judges.json, each judge's
README.md and docs/judges/emotion-results.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from safetensors.torch import save_file as save_torch

from emotone.emotions import TAXONOMIES
from emotone.judges import open_judge
from emotone.judges.calibration import calibration_error, fit_temperature, softmax
from emotone.judges.card import CARD, WEIGHTS, Head, JudgeCard, write_card
from emotone.judges.encoder import blend
from emotone.judges.grams import Grams
from emotone.judges.ngram import NgramJudge, ngram_settings, ngram_tensors, train_ngram_judge
from emotone.metrics import f1
from emotone.metrics.base import SumStats
from emotone.metrics.significance import interval, paired_test
from recipes.judges import cards, corpora
from recipes.smollm2_vectors import corpora as spoken

ZOO = Path("zoo/src/emotone_zoo/judges")
TRAINED = Path("out/judges")
FIGURES = Path("docs/results/judges.json")
PAGE = Path("docs/judges/emotion-results.md")
VERSION = 1
HEADS = {"en": ("ekman",), "zh": ("nlpcc", "smp2020")}
LETTERS = {
    "en": (Grams("word", 1, 2, 5), Grams("char_wb", 3, 4, 5, 40_000)),
    "zh": (Grams("char", 1, 3, 5),),
}
#: Judges whose trunk has n-grams of the same training texts beside it, and the shares tried.
BLENDED = ("zh-score",)
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
#: What the trained parts call a head, where it is not the taxonomy's name.
TRAINED_AS = {"smp2020": "smp"}


def texts(taxonomy: str, part: corpora.Part) -> corpora.Rows:
    """Labelled texts of one part, one label each."""
    if taxonomy == "ekman":
        rows = [(t, e[0]) for t, e, _ in corpora.goemotions() if len(e) == 1]
        return corpora.part(rows, part)
    return corpora.part(corpora.nlpcc() if taxonomy == "nlpcc" else corpora.smp(), part)


def data_hash(rows: corpora.Rows) -> str:
    """Hash of which texts were seen with which label, not of the texts themselves."""
    keys = sorted(f"{corpora.text_key(t)} {label}" for t, label in rows)
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()


def label_texts(taxonomy: str) -> corpora.Rows:
    """What a labelling judge learns from; the English one also reads labelled dialogues.

    Of the neutral turns of those only so many are kept as there are of all feelings together.
    """
    rows = texts(taxonomy, "label")
    if taxonomy != "ekman":
        return rows
    known = {corpora.text_key(t) for t, _, _ in corpora.goemotions()}
    turns = spoken.meld("train") + spoken.dailydialog("train")
    once = {corpora.text_key(t): (t, label) for t, label in turns}
    felt = [row for key, row in sorted(once.items()) if key not in known and row[1] != "neutral"]
    calm = [row for key, row in sorted(once.items()) if key not in known and row[1] == "neutral"]
    return [*rows, *felt, *calm[: len(felt)]]


def ngrams(taxonomy: str, rows: corpora.Rows) -> NgramJudge:
    """An n-gram judge: the labelling one, or the floor of the scoring one."""
    lang = "en" if taxonomy == "ekman" else "zh"
    return train_ngram_judge(
        rows,
        TAXONOMIES[taxonomy],
        cap=None,
        grams=LETTERS[lang],
        strength=2.0 if lang == "en" else 4.0,
        balance=0.5,
    )


def tempered(judge: Any, labels: tuple[str, ...], taxonomy: str) -> float:
    """Temperature by the development texts."""
    rows = texts(taxonomy, "dev")
    gold = np.array([labels.index(label) for _, label in rows])
    plain = [t for t, _ in rows]
    logits = judge.logits(plain) if isinstance(judge, NgramJudge) else kept_logits(judge, plain)
    return round(fit_temperature(logits, gold), 4)


def pack_label(lang: str) -> None:
    """Train the labelling judge of a language and write its folder."""
    taxonomy = HEADS[lang][0]
    rows = label_texts(taxonomy)
    judge = ngrams(taxonomy, rows)
    folder = ZOO / f"{lang}-label"
    folder.mkdir(parents=True, exist_ok=True)
    from safetensors.numpy import save_file

    save_file(ngram_tensors(judge), folder / WEIGHTS)
    head = Head(taxonomy, judge.labels, tempered(judge, judge.labels, taxonomy))
    data = {taxonomy: data_hash(rows)}
    _finish(folder, "ngram", "label", lang, (head,), ngram_settings(judge), data)


def pack_score(lang: str) -> None:
    """Turn trained parts into the scoring judge of a language."""
    name = f"{lang}-score"
    trained = json.loads((TRAINED / name / "train.json").read_text(encoding="utf-8"))
    tensors = load_file(TRAINED / name / "weights.safetensors")
    spec = trained["spec"]
    first = int(spec["frozen"])
    weights: dict[str, Any] = {}
    for key, value in tensors.items():
        if ".lora_" in key:
            weights[_normal(key, first)] = value.half().contiguous()
    heads: list[Head] = []
    for taxonomy in HEADS[lang]:
        source = TRAINED_AS.get(taxonomy, taxonomy)
        for what in ("weight", "bias"):
            weights[f"heads.{taxonomy}.{what}"] = tensors[f"heads.{source}.{what}"].half()
        heads.append(Head(taxonomy, tuple(trained["labels"][source])))
    folder = ZOO / name
    folder.mkdir(parents=True, exist_ok=True)
    data = {t: data_hash(texts(t, "score")) for t in HEADS[lang]}
    settings: dict[str, Any] = {"trunk": spec}
    save_torch(weights, folder / WEIGHTS)
    _finish(folder, "encoder", "score", lang, tuple(heads), settings, data)
    if name in BLENDED:
        settings["ngrams"] = {}
        for head in heads:
            beside, share = _beside(open_judge(folder, head.taxonomy), head)
            settings["ngrams"][head.taxonomy] = {**ngram_settings(beside), "share": share}
            for key, array in ngram_tensors(beside).items():
                weights[f"ngrams.{head.taxonomy}.{key}"] = torch.from_numpy(array)
        save_torch(weights, folder / WEIGHTS)
        _finish(folder, "encoder", "score", lang, tuple(heads), settings, data)
    fitted = []
    for head in heads:
        judge: Any = open_judge(folder, head.taxonomy)
        fitted.append(replace(head, temperature=tempered(judge, head.labels, head.taxonomy)))
    _finish(folder, "encoder", "score", lang, tuple(fitted), settings, data)


def _beside(judge: Any, head: Head) -> tuple[NgramJudge, float]:
    """n-grams of the trunk's own training texts, and the share that development texts like best."""
    beside = ngrams(head.taxonomy, texts(head.taxonomy, "score"))
    order = [beside.labels.index(label) for label in head.labels]
    beside = replace(
        beside, labels=head.labels, weights=beside.weights[order], bias=beside.bias[order]
    )
    rows = texts(head.taxonomy, "dev")
    plain = [t for t, _ in rows]
    gold = np.array([head.labels.index(label) for _, label in rows])
    read, counted = kept_logits(judge, plain), beside.logits(plain)
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
    role: Any,
    lang: Any,
    heads: tuple[Head, ...],
    settings: dict[str, Any],
    data: dict[str, str],
) -> None:
    weights = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    card = JudgeCard(folder.name, kind, role, lang, VERSION, heads, weights, settings, data)
    write_card(folder, card)
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{folder.name}: {size / 1e6:.2f} MB in {folder / CARD}", flush=True)


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


def kept_logits(judge: Any, plain: list[str]) -> np.ndarray:
    """Logits of a scoring judge; those of its trunk are kept in out/, as they take minutes."""
    trained = hashlib.sha256(
        (TRAINED / judge.card.name / "weights.safetensors").read_bytes()
    ).hexdigest()
    key = hashlib.sha256("\n".join([trained, judge.head.taxonomy, *plain]).encode())
    path = TRAINED / "logits" / f"{key.hexdigest()[:16]}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, replace(judge, ngrams=None).logits(plain))
    read = np.load(path)
    return read if judge.ngrams is None else blend(read, judge.ngrams.logits(plain), judge.share)


def figures() -> None:
    """Scores of all judges on held-out texts, agreement, calibration; one JSON file."""
    from sklearn.metrics import cohen_kappa_score, confusion_matrix

    results: dict[str, Any] = {"split": corpora.__doc__, "judges": {}}
    for lang, taxonomies in HEADS.items():
        for taxonomy in taxonomies:
            rows = texts(taxonomy, "held_out")
            score: Any = open_judge(ZOO / f"{lang}-score", taxonomy)
            labels = list(score.head.labels)
            gold = np.array([labels.index(label) for _, label in rows])
            plain = [t for t, _ in rows]
            logits = kept_logits(score, plain)
            scored = logits.argmax(-1)
            floor = ngrams(taxonomy, texts(taxonomy, "score"))
            low = np.array([labels.index(s.label) for s in floor.classify(plain)])
            table: dict[str, Any] = {
                "n": len(rows),
                "majority": round(float(np.bincount(gold).max() / len(gold)), 4),
                "score": _judged(score.name, logits, scored, gold, score.head.temperature),
                "floor": {
                    "name": "n-grams on the same training texts",
                    "accuracy": _value(right(gold, low)),
                    "macro_f1": _value(macro(gold, low, len(labels))),
                },
                "confusion": {
                    "labels": labels,
                    "rows_gold": confusion_matrix(gold, scored, labels=range(len(labels))).tolist(),
                },
            }
            better = paired_test(right(gold, scored), right(gold, low), rounds=2000)
            table["score_less_floor"] = {
                k: round(float(getattr(better, k)), 4) for k in ("difference", "low", "high", "p")
            }
            if taxonomy == taxonomies[0]:
                label: Any = open_judge(ZOO / f"{lang}-label")
                raw = np.zeros_like(logits) - 1e9
                raw[:, [labels.index(e) for e in label.labels]] = label.logits(plain)
                labelled = raw.argmax(-1)
                table["label"] = _judged(label.name, raw, labelled, gold, label.temperature)
                table["agreement"] = {
                    "share": _value(right(scored, labelled)),
                    "kappa": round(float(cohen_kappa_score(scored, labelled)), 4),
                }
            results["judges"][f"{lang}:{taxonomy}"] = table
            print(taxonomy, json.dumps({k: table[k] for k in table if k != "confusion"}))
    FIGURES.write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


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
    for what in args.parse_args().what:
        if what == "figures":
            figures()
        elif what == "cards":
            cards.write(ZOO, FIGURES)
            cards.page(FIGURES, PAGE)
        elif what.endswith("-label"):
            pack_label(what[:2])
        else:
            pack_score(what[:2])


if __name__ == "__main__":
    main()
