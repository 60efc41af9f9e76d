"""A judge of emotion that reads: a pretrained trunk, a low-rank change of it, one head a label set.

Only the low-rank change and the heads are files of ours; the trunk is a catalogue model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotone.data.scripts import simplified
from emotone.emotions import Taxonomy
from emotone.errors import CheckpointError
from emotone.judges.calibration import scores, softmax
from emotone.judges.card import WEIGHTS, Head, JudgeCard
from emotone.types import EmotionScores

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from emotone.judges.ngram import NgramJudge
    from emotone.judges.trunk import Trunk

#: Most tokens of a batch, padding included: enough to fill two cores, small enough for any memory.
_BATCH_TOKENS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class EncoderJudge:
    """A loaded judge; build it with `load_encoder_judge`.

    Args:
        card: What it says about itself.
        head: The label set it answers in.
        taxonomy: The same as a value.
        trunk: Texts to vectors [B, D].
        heads: One linear layer a label set.
        ngrams: What counts words beside the trunk, where the card has it.
        share: Weight of its log-probabilities against the trunk's, from 0 to 1.
    """

    card: JudgeCard
    head: Head
    taxonomy: Taxonomy
    trunk: Trunk
    heads: nn.ModuleDict
    ngrams: NgramJudge | None = None
    share: float = 0.0

    @property
    def name(self) -> str:
        """Name, version, checksum and label set."""
        return str(self.card.judge_name(self.head.taxonomy))

    def logits(self, texts: Sequence[str], posts: Sequence[str | None] | None = None) -> np.ndarray:
        """Uncalibrated scores, [N, k], in the order of the head's labels.

        With n-grams beside the trunk: the weighted mean of both log-probabilities.

        Args:
            texts: The texts, [N].
            posts: What each answers, [N]; only the trunk reads them.
        """
        out = pooled_outputs(self.trunk, self.heads[self.head.taxonomy], texts, posts)
        if self.ngrams is None or not len(texts):
            return out
        counted = self.ngrams.logits(texts)
        return blend(out, counted, self.share)

    def classify(
        self, texts: Sequence[str], posts: Sequence[str | None] | None = None
    ) -> list[EmotionScores]:
        """Score each text with calibrated probabilities, in order."""
        if self.card.lang == "zh":
            texts = [simplified(text) for text in texts]
            posts = posts and [post and simplified(post) for post in posts]
        chances = softmax(self.logits(texts, posts), self.head.temperature)
        return [scores(row, self.head.labels, self.taxonomy) for row in chances]


def pooled_outputs(
    trunk: Trunk,
    layer: nn.Module,
    texts: Sequence[str],
    posts: Sequence[str | None] | None = None,
) -> np.ndarray:
    """Outputs of a layer [D to k] over what a trunk makes of texts and their posts, [N, k]."""
    import numpy as np
    import torch

    rows = trunk.tokens(texts, posts) if len(texts) else []
    outputs = [np.zeros(0, np.float32)] * len(rows)
    with torch.inference_mode():
        for at in _batches([len(row.ids) for row in rows]):
            padded = trunk.pad([rows[i].ids for i in at])
            values = layer(trunk(*padded, [rows[i].start for i in at])).numpy()
            for i, value in zip(at, values, strict=True):
                outputs[i] = value
    size = int(layer.out_features)  # pyright: ignore[reportArgumentType]
    return np.stack(outputs) if outputs else np.zeros((0, size), np.float32)


def blend(read: np.ndarray, counted: np.ndarray, share: float) -> np.ndarray:
    """Weighted mean of two judges' log-probabilities, [N, k], from logits [N, k] each."""
    import numpy as np

    def logs(x: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(softmax(x), 1e-30))

    return (1 - share) * logs(read) + share * logs(counted)


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices of texts in batches of like length and at most `_BATCH_TOKENS` tokens."""
    batches: list[list[int]] = []
    current: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if current and lengths[i] * (len(current) + 1) > _BATCH_TOKENS:
            batches.append(current)
            current = []
        current.append(i)
    return [*batches, current] if current else batches


def load_encoder_judge(folder: Path, card: JudgeCard, taxonomy: str | None = None) -> EncoderJudge:
    """Load a judge from its folder, whose card `read_card` has checked.

    The trunk comes from the catalogue.

    Raises:
        CheckpointError: If the files are damaged or do not fit the trunk.
        UnknownName: If the judge has no such label set.
        ModelMissing: If the trunk is not here and cannot be fetched.
    """
    from safetensors.torch import load_file
    from torch import nn

    from emotone import config
    from emotone.judges.trunk import TrunkSpec, merge, open_trunk

    head, labels = card.head(taxonomy)
    spec = config.build(TrunkSpec, card.settings["trunk"], f"{folder.name}/trunk")
    tensors = load_file(folder / WEIGHTS)
    trunk = open_trunk(spec, trained=False)
    heads = nn.ModuleDict({h.taxonomy: nn.Linear(trunk.width, len(h.labels)) for h in card.heads})
    try:
        merge(trunk, {k: v for k, v in tensors.items() if k.startswith("lora.")})
        heads.load_state_dict(_part(tensors, "heads."))
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"the weights of judge {folder.name!r} do not fit {spec.backbone} ({error}); install"
            " emotone-zoo anew"
        ) from error
    beside, share = _ngrams(card, head, labels, tensors)
    return EncoderJudge(
        card, head, labels, trunk, heads.eval().requires_grad_(False), beside, share
    )


def _ngrams(
    card: JudgeCard, head: Head, labels: Taxonomy, tensors: dict[str, Any]
) -> tuple[NgramJudge | None, float]:
    settings = card.settings.get("ngrams", {}).get(head.taxonomy)
    if settings is None:
        return None, 0.0
    from emotone.judges.ngram import restore

    prefix = f"ngrams.{head.taxonomy}."
    mine = {k[len(prefix) :]: v.numpy() for k, v in tensors.items() if k.startswith(prefix)}
    judge = restore(mine, settings, Head(head.taxonomy, head.labels), labels, card.name)
    return judge, float(settings["share"])


def _part(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {k[len(prefix) :]: v.float() for k, v in tensors.items() if k.startswith(prefix)}
