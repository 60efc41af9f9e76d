"""A judge of sense: how well a reply answers its post, by Emo-Seq's scale of content.

A trunk reads post and reply together; three outputs are the probabilities of content 0 (off the
post, or no language), 1 (in part, or fit for any post) and 2 (a sensible answer to this post). It
learnt true answers, answers made wrong, and machine replies that readers rated.

Source: Wei et al. 2019 (Emo-Seq), Table 2, for the scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotone.data.scripts import simplified
from emotone.errors import CheckpointError
from emotone.judges.calibration import softmax
from emotone.judges.card import WEIGHTS, JudgeCard, read_card

if TYPE_CHECKING:
    from torch import nn

    from emotone.judges.trunk import Trunk

#: Values of content, in the order of the outputs.
CONTENT = (0, 1, 2)
#: Name of the one head of such a judge.
HEAD = "sense"


@dataclass(frozen=True, slots=True, eq=False)
class SenseJudge:
    """A loaded judge; build it with `emotone.judges.open_sense`.

    Args:
        card: What it says about itself.
        trunk: Posts and replies to vectors [B, D].
        layer: Vectors to logits of content, [B, 3].
    """

    card: JudgeCard
    trunk: Trunk
    layer: nn.Linear

    @property
    def name(self) -> str:
        """Name, version and checksum."""
        return str(self.card.judge_name())

    @property
    def human_median(self) -> float:
        """Median probability of content 2 over answers of people that it never learnt from."""
        return float(self.card.settings["human_median"])

    def logits(self, pairs: Sequence[tuple[str, str]]) -> Any:
        """Uncalibrated scores of (post, reply), [N, 3]."""
        from emotone.judges.encoder import pooled_outputs

        if self.card.lang == "zh":
            pairs = [(simplified(post), simplified(reply)) for post, reply in pairs]
        return pooled_outputs(
            self.trunk, self.layer, [reply for _, reply in pairs], [post for post, _ in pairs]
        )

    def content(self, pairs: Sequence[tuple[str, str]]) -> Any:
        """Calibrated probabilities of content 0, 1 and 2 for each (post, reply), [N, 3]."""
        return softmax(self.logits(pairs), self.card.heads[0].temperature)


def load_sense_judge(folder: Path) -> SenseJudge:
    """Load a judge from its folder.

    Raises:
        CheckpointError: If the files are damaged, or are those of another kind of judge.
        ModelMissing: If the trunk is not here and cannot be fetched.
    """
    from safetensors.torch import load_file
    from torch import nn

    from emotone import config
    from emotone.judges.trunk import TrunkSpec, merge, open_trunk

    card = read_card(folder)
    if card.kind != HEAD:
        raise CheckpointError(f"{folder.name} is no judge of sense but of kind {card.kind!r}")
    spec = config.build(TrunkSpec, card.settings["trunk"], f"{folder.name}/trunk")
    tensors = load_file(folder / WEIGHTS)
    trunk = open_trunk(spec, trained=False)
    layer = nn.Linear(trunk.width, len(CONTENT))
    try:
        merge(trunk, {k: v for k, v in tensors.items() if k.startswith("lora.")})
        parts = {k: tensors[f"heads.{HEAD}.{k}"].float() for k in ("weight", "bias")}
        layer.load_state_dict(parts)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"the weights of judge {folder.name!r} do not fit {spec.backbone} ({error}); install"
            " emotone-zoo anew"
        ) from error
    return SenseJudge(card, trunk, layer.eval().requires_grad_(False))
