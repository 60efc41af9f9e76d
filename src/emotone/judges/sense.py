"""A judge of sense: how well a reply answers its post, by Emo-Seq's scale of content.

A trunk reads post and reply together; three outputs are the probabilities of content 0 (off the
post, or no language), 1 (in part, or fit for any post) and 2 (a sensible answer to this post). It
learnt true answers, answers made wrong, and replies that readers rated.

Beside it stands how likely the same model, untrained, finds the reply, with the post and without
(`likelihoods`); the gain by the post tells the answer to another post better than any training on
our few texts does. A logistic regression puts both together:

    logits = W [log softmax(trunk), likelihoods] + b

Source: Wei et al. 2019 (Emo-Seq), Table 2, for the scale; Li et al. 2016 (MMI), equation 1, for the
gain, log p(reply | post) - log p(reply).
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
    from emotone.models import CausalLM

#: Values of content, in the order of the outputs.
CONTENT = (0, 1, 2)
#: Pairs of a forward pass that measures likelihoods.
_BATCH = 32
#: Name of the one head of such a judge.
HEAD = "sense"


@dataclass(frozen=True, slots=True, eq=False)
class SenseJudge:
    """A loaded judge; build it with `emotone.judges.open_sense`.

    Args:
        card: What it says about itself.
        trunk: Posts and replies to vectors [B, D].
        layer: Vectors to logits of content, [B, 3].
        lm: The trunk's model as it was, whole, for the likelihoods.
        both: Log-probabilities of the trunk and likelihoods to logits, [B, 3 + 7] to [B, 3].
    """

    card: JudgeCard
    trunk: Trunk
    layer: nn.Linear
    lm: CausalLM
    both: nn.Linear

    @property
    def name(self) -> str:
        """Name, version and checksum."""
        return str(self.card.judge_name())

    @property
    def human_median(self) -> float:
        """Median probability of content 2 over answers of people in the development texts."""
        return float(self.card.settings["human_median"])

    def logits(self, pairs: Sequence[tuple[str, str]]) -> Any:
        """Uncalibrated scores of (post, reply), [N, 3]."""
        import numpy as np

        if self.card.lang == "zh":
            pairs = [(simplified(post), simplified(reply)) for post, reply in pairs]
        features = np.concatenate(
            [self.read(pairs), likelihoods(self.lm, self.trunk, pairs)], axis=1
        )
        return features @ self.both.weight.numpy().T + self.both.bias.numpy()

    def read(self, pairs: Sequence[tuple[str, str]]) -> Any:
        """Log-probabilities of content by the trunk alone, [N, 3]."""
        import numpy as np

        from emotone.judges.encoder import pooled_outputs

        posts, replies = [post for post, _ in pairs], [reply for _, reply in pairs]
        chances = softmax(pooled_outputs(self.trunk, self.layer, replies, posts))
        return np.log(np.maximum(chances, 1e-30))

    def content(self, pairs: Sequence[tuple[str, str]]) -> Any:
        """Probabilities of content 0, 1 and 2 for each (post, reply), [N, 3].

        They are those of a regression in which rated machine replies weigh as much as pairs that
        were made up. A blank reply is no language: its content is 0.
        """
        import numpy as np

        chances = softmax(self.logits(pairs), self.card.heads[0].temperature)
        blank = np.array([not reply.strip() for _, reply in pairs], bool)
        chances[blank] = (1.0, 0.0, 0.0)
        return chances


#: What `likelihoods` gives of a pair.
LIKELIHOODS = ("nats", "worst", "sum", "alone", "gain", "gain_sum", "log_tokens")


def likelihoods(lm: CausalLM, trunk: Trunk, pairs: Sequence[tuple[str, str]]) -> Any:
    """How likely a model finds replies, with their posts and alone, [N, 7] as `LIKELIHOODS`.

    Nats a token after the post, of the worst token, and summed; nats a token after an empty post;
    the gain by the post, a token and summed; and the logarithm of the number of tokens. The end
    counts as a token; a reply is read as far as the trunk reads it.
    """
    import numpy as np

    from emotone.lm.likelihood import token_nats

    # A reply ends as the trunk has learnt it, which is as the model's own texts end.
    end = trunk.written(trunk.spec.suffix) or True
    *prompts, alone = trunk.prompts([*(post for post, _ in pairs), ""])
    order = sorted(range(len(pairs)), key=lambda i: len(prompts[i]) + len(pairs[i][1]) // 4)
    features = np.zeros((len(pairs), len(LIKELIHOODS)))
    for start in range(0, len(order), _BATCH):
        at = order[start : start + _BATCH]
        replies = [_cut(lm.tokenizer, pairs[i][1], trunk.spec.max_tokens) for i in at]
        after, bare = (
            token_nats(lm.model, lm.tokenizer, list(zip(heads, replies, strict=True)), end=end)
            for heads in ([prompts[i] for i in at], [alone] * len(at))
        )
        for i, nats, free in zip(at, after, bare, strict=True):
            mean, mean_free, count = float(nats.mean()), float(free.mean()), len(nats)
            gain = mean_free - mean
            features[i] = (
                *(mean, float(nats.max()), mean * count, mean_free),
                *(gain, gain * count, np.log(count)),
            )
    return features


def _cut(tokenizer: Any, text: str, limit: int) -> str:
    """The beginning of a text that has more tokens than the limit."""
    from emotone.models.token_ids import text_ids

    ids = text_ids(tokenizer, text)
    return text if len(ids) <= limit else str(tokenizer.decode(ids[:limit]))


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
    from emotone.models import load_causal_lm

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
        both = nn.Linear(len(CONTENT) + len(LIKELIHOODS), len(CONTENT)).requires_grad_(False)
        both.load_state_dict({k: tensors[f"both.{k}"].float() for k in ("weight", "bias")})
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"the weights of judge {folder.name!r} do not fit {spec.backbone} ({error}); install"
            " emotone-zoo anew"
        ) from error
    layer.eval().requires_grad_(False)
    return SenseJudge(card, trunk, layer, load_causal_lm(spec.backbone, "cpu"), both)
