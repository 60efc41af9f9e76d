"""The judge of the result table: MiniLM fine-tuned on texts that no other step has seen.

`python -m recipes.smollm2_vectors.score_judge` trains it into out/score-judge (minutes on a CPU).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from emotone.emotions import EKMAN
from emotone.models import locate
from emotone.types import EmotionScores
from recipes.smollm2_vectors.corpora import Rows, balanced, goemotions, meld

OUT = Path("out/score-judge")
EPOCHS, BATCH, RATE = 3, 32, 1e-4


class ScoreJudge:
    """Serves the fine-tuned encoder as an `EmotionClassifier`."""

    name = "minilm-goemotions-b-meld-1"
    taxonomy = EKMAN

    def __init__(self, folder: Path = OUT) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModelForSequenceClassification.from_pretrained(
            folder, local_files_only=True
        ).eval()

    @torch.inference_mode()
    def classify(
        self, texts: Sequence[str], posts: Sequence[str | None] | None = None
    ) -> list[EmotionScores]:
        """Score each text, its post left aside."""
        del posts
        scores: list[EmotionScores] = []
        for start in range(0, len(texts), 64):
            part = self._tokenizer(
                list(texts[start : start + 64]),
                padding=True,
                truncation=True,
                max_length=64,
                return_tensors="pt",
            )
            for row in self._model(**part).logits.softmax(-1).tolist():
                by_label = dict(zip(EKMAN.labels, row, strict=True))
                scores.append(EmotionScores(max(by_label, key=by_label.__getitem__), by_label))
        return scores


def rows() -> Rows:
    """The training texts."""
    return balanced(goemotions("train", half=1), 2600) + balanced(meld("train"), 900, neutral=1500)


def train(out: Path = OUT) -> None:
    """Fine-tune all of MiniLM with a classification head."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.set_num_threads(2)
    torch.manual_seed(1)
    rng = random.Random(1)
    source = str(locate("minilm").path)
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(
        source, num_labels=len(EKMAN.labels), local_files_only=True
    )
    data = rows()
    counts = torch.tensor([sum(e == label for _, e in data) for label in EKMAN.labels])
    weight = (len(data) / len(EKMAN.labels) / counts).pow(0.7)
    encoded = [
        (tokenizer(t, truncation=True, max_length=48)["input_ids"], EKMAN.labels.index(e))
        for t, e in data
    ]
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    total = EPOCHS * len(encoded) // BATCH
    step = 0
    model.train()
    for _ in range(EPOCHS):
        rng.shuffle(encoded)
        chunks = [
            sorted(encoded[i : i + BATCH * 20], key=lambda row: len(row[0]))
            for i in range(0, len(encoded), BATCH * 20)
        ]
        batches = [c[i : i + BATCH] for c in chunks for i in range(0, len(c), BATCH)]
        rng.shuffle(batches)
        for batch in batches:
            rate = RATE * min(1.0, (step + 1) / 100) * max(0.02, 1 - step / total)
            optimiser.param_groups[0]["lr"] = rate
            inputs = tokenizer.pad({"input_ids": [x for x, _ in batch]}, return_tensors="pt")
            loss = torch.nn.functional.cross_entropy(
                model(**inputs).logits,
                torch.tensor([y for _, y in batch]),
                weight=weight,
                label_smoothing=0.05,
            )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            step += 1
            if step % 100 == 0:
                print(f"step {step} of {total}, loss {loss.item():.3f}", flush=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def held_out() -> dict[str, Any]:
    """Accuracy and macro-F1 on texts that the judge has not seen."""
    from sklearn.metrics import accuracy_score, f1_score

    judge = ScoreJudge()
    scores: dict[str, Any] = {}
    for name, data in (("goemotions dev", goemotions("dev")), ("meld dev", meld("dev"))):
        predicted = [s.label for s in judge.classify([t for t, _ in data])]
        gold = [e for _, e in data]
        scores[name] = {
            "n": len(data),
            "accuracy": round(float(accuracy_score(gold, predicted)), 3),
            "macro_f1": round(float(f1_score(gold, predicted, average="macro")), 3),
        }
    return scores


if __name__ == "__main__":
    train()
    print(held_out())
