"""A judge of emotion without training of its own: zero-shot, by a model of entailment.

    p(e | text) = softmax over e of the entailment logit of (text, "This text expresses e.")

The paper judges by such a model; which one, its labels and its template are not published.

Source: Yin et al. 2019, "Benchmarking Zero-shot Text Classification"; as transformers' pipeline
"zero-shot-classification" with one label a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emotone.data.corpora.emotionquery import BLOCKS
from emotone.emotions import EKMAN, Taxonomy
from emotone.errors import CheckpointError, ModelMissing, Unsupported
from emotone.identity import digest_path
from emotone.types import EmotionScores

TEMPLATE = "This text expresses {}."
#: Candidate labels: the paper's emotions, and neutral.
LABELS = (*BLOCKS, str(EKMAN.neutral))
#: Most tokens of a text and a hypothesis together.
_LONGEST = 512
#: Texts a forward pass; each goes with every label.
_BATCH = 4


class NliJudge:
    """A model of entailment as a judge of emotion.

    Args:
        model: A sequence classifier.
        tokenizer: Its tokenizer.
        entailment: Index of its entailment class.
        name: Name for signatures.
    """

    def __init__(self, model: Any, tokenizer: Any, entailment: int, name: str) -> None:
        self.name = name
        self.taxonomy = Taxonomy(EKMAN.name, LABELS, {}, neutral=EKMAN.neutral)
        self._model, self._tokenizer, self._entailment = model, tokenizer, entailment

    def classify(
        self,
        texts: Sequence[str],
        posts: Sequence[str | None] | None = None,  # noqa: ARG002 - it reads replies alone
    ) -> list[EmotionScores]:
        """Score each text, in order."""
        import torch

        scores: list[EmotionScores] = []
        for start in range(0, len(texts), _BATCH):
            part = texts[start : start + _BATCH]
            read = self._tokenizer(
                [text for text in part for _ in LABELS],
                [TEMPLATE.format(label) for _ in part for label in LABELS],
                truncation="only_first",
                max_length=min(_LONGEST, self._tokenizer.model_max_length),
                padding=True,
                return_tensors="pt",
            )
            with torch.inference_mode():
                logits = self._model(**read.to(self._model.device)).logits
            entailed = logits[:, self._entailment].float().reshape(len(part), len(LABELS))
            for row in entailed.softmax(-1).tolist():
                chances = dict(zip(LABELS, row, strict=True))
                scores.append(EmotionScores(max(chances, key=chances.__getitem__), chances))
        return scores


def open_nli(folder: Path) -> NliJudge:
    """Load a model of entailment from a folder that transformers saved.

    Only safetensors are read and no code of a model is run.

    Raises:
        ModelMissing: If there is no model in the folder.
        CheckpointError: If it cannot be read.
        Unsupported: If it has no class for entailment.
    """
    if not (folder / "config.json").is_file():
        raise ModelMissing(
            f"{folder} holds no model; name a folder with config.json, model.safetensors and the"
            " tokenizer of a model of entailment"
        )
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model: Any = AutoModelForSequenceClassification.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read the model in {folder} ({error}); fetch it again") from (
            error
        )
    places = {str(k).lower(): int(v) for k, v in model.config.label2id.items()}
    entailment = next((place for k, place in places.items() if k.startswith("entail")), None)
    if entailment is None:
        raise Unsupported(
            f"the model in {folder} knows {', '.join(places)} and no entailment; name one that was"
            " trained on MNLI or the like"
        )
    name = f"nli-{folder.resolve().name}-1-{digest_path(folder)[:8]}:{EKMAN.name}"
    return NliJudge(model.eval(), tokenizer, entailment, name)
