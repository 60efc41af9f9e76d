"""The network of an identifier of empathy: two texts in, levels 0, 1 or 2 of each mechanism out.

The response attends to the context, with one head, and a small network reads the mean of the
result. One trunk can serve both texts and all mechanisms, so that one pass scores all.

Source: the identifiers of EmpRL (arXiv 2408.02976) as in its released code; the rationale head is
that of EPITOME (Sharma et al. 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from emotone.errors import ConfigError, Unsupported, unknown_name
from emotone.judges.trunk import Trunk, TrunkSpec, open_trunk
from emotone.models.token_ids import marked_ids
from emotone.types import MECHANISMS

#: The communication mechanisms of EPITOME, in the order of `EmpathyLevels`.
LEVELS = 3

Reading = Literal["mean", "mean+max", "mean+rationale"]


@dataclass(frozen=True, slots=True)
class IdentifierSpec:
    """How one network is built.

    Args:
        backbone: Encoder, by its name in the catalogue, folder or hub id.
        mechanisms: What it scores; one head each.
        shared: One trunk for both texts; otherwise one for the context and one for the response.
        layers: How many blocks of the encoder to keep, from the first; None keeps all.
        frozen: Number of first blocks without a low-rank change.
        rank: Rank of the low-rank change; 0 leaves the encoder as it is, None trains all of it.
        alpha: Scale of the change is alpha / rank.
        attention: Width of queries, keys and values; None is the encoder's own width.
        pooling: Mean over the response, as in the paper; with its maximum beside it; or with a mean
            weighted by the rationale head beside it.
        rationale: Whether each mechanism also says which tokens of the response carry it.
        dropout: Share of attention weights and states dropped in training.
        max_context: Longest context in tokens; the end is kept, which the response answers.
        max_response: Longest response in tokens; the beginning is kept.
    """

    backbone: str = "minilm"
    mechanisms: tuple[str, ...] = MECHANISMS
    shared: bool = True
    layers: int | None = None
    frozen: int = 0
    rank: int | None = 16
    alpha: float = 32.0
    attention: int | None = None
    pooling: Reading = "mean"
    rationale: bool = False
    dropout: float = 0.1
    max_context: int = 256
    max_response: int = 256

    def __post_init__(self) -> None:
        """Check what would otherwise fail late or train nothing."""
        for name in self.mechanisms:
            if name not in MECHANISMS:
                raise unknown_name("mechanism of empathy", name, MECHANISMS)
        if not self.mechanisms or len(set(self.mechanisms)) != len(self.mechanisms):
            raise ConfigError(
                f"mechanisms are {', '.join(self.mechanisms) or 'none'}; name each at most once, "
                "and at least one"
            )
        if self.pooling not in ("mean", "mean+max", "mean+rationale"):
            raise unknown_name("pooling", self.pooling, ("mean", "mean+max", "mean+rationale"))
        if self.pooling == "mean+rationale" and not self.rationale:
            raise ConfigError("pooling 'mean+rationale' needs the rationale head; set rationale")
        if self.rank is None and self.frozen:
            raise ConfigError("rank None trains every block; set frozen to 0 or give a rank")
        least = {"layers": 1, "frozen": 0, "rank": 0, "attention": 1}
        # A text has two marks around it, and one token at least is to be read.
        least |= {"max_context": 3, "max_response": 3}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise ConfigError(f"{name} is {value}; use {low} or more")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}; use a number from 0 to below 1")


def paper_specs(backbone: str) -> tuple[IdentifierSpec, ...]:
    """Return EmpRL's own set: a network for each mechanism, each with two encoders, all trained."""
    return tuple(
        IdentifierSpec(
            backbone, (name,), shared=False, rank=None, max_context=250, max_response=250
        )
        for name in MECHANISMS
    )


class Evidence(NamedTuple):
    """Scores of a batch by one head: level logits [B, 3], rationale logits [B, R] or None."""

    levels: Tensor
    rationale: Tensor | None


class CrossAttention(nn.Module):
    """Attention with one head, from response to context.

    ::

        A = softmax( (R Wq)(C Wk)^T / sqrt(a), over real context tokens ) (C Wv) Wo
    """

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.query = nn.Linear(width, inner)
        self.key = nn.Linear(width, inner)
        self.value = nn.Linear(width, inner)
        self.out = nn.Linear(inner, width)
        self.drop = nn.Dropout(dropout)

    def forward(
        self, response: Tensor, context: Tensor, response_mask: Tensor, context_mask: Tensor
    ) -> Tensor:
        """Return the context as each token of the response attends to it, [B, R, d].

        Args:
            response: States of the response, [B, R, d].
            context: States of the context, [B, C, d].
            response_mask: True at real tokens, [B, R].
            context_mask: True at real tokens, [B, C]; at least one a row.
        """
        query, key, value = self.query(response), self.key(context), self.value(context)
        scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5
        pairs = response_mask[:, :, None] & context_mask[:, None, :]
        # Rows of padded response tokens become uniform; the mean over the response skips them.
        weights = scores.masked_fill(~pairs, -1e9).softmax(-1)
        return self.out(self.drop(weights) @ value)


class LevelHead(nn.Module):
    """Levels of one mechanism from the states of both texts."""

    def __init__(self, width: int, spec: IdentifierSpec) -> None:
        super().__init__()
        self.pooling: Reading = spec.pooling
        self.attend = CrossAttention(width, spec.attention or width, spec.dropout)
        self.drop = nn.Dropout(spec.dropout)
        pooled = width if spec.pooling == "mean" else 2 * width
        self.inner = nn.Linear(pooled, width // 2)
        self.level = nn.Linear(width // 2, LEVELS)
        self.rationale = nn.Linear(width, 1) if spec.rationale else None

    def forward(
        self, response: Tensor, context: Tensor, response_mask: Tensor, context_mask: Tensor
    ) -> Evidence:
        """Score a batch; shapes and masks as in `CrossAttention.forward`."""
        attended = self.attend(response, context, response_mask, context_mask)
        states = response + self.drop(attended)
        weight = response_mask[..., None].to(states.dtype)
        parts = [(states * weight).sum(1) / weight.sum(1).clamp_min(1)]
        rationale = None if self.rationale is None else self.rationale(states).squeeze(-1)
        if self.pooling == "mean+max":
            parts.append(states.masked_fill(~response_mask[..., None], -1e4).amax(1))
        elif rationale is not None and self.pooling == "mean+rationale":
            chosen = rationale.masked_fill(~response_mask, -1e4).softmax(-1)
            parts.append((states * chosen[..., None]).sum(1))
        hidden = self.drop(torch.tanh(self.inner(torch.cat(parts, -1))))
        return Evidence(self.level(hidden), rationale)


class IdentifierNet(nn.Module):
    """Trunk or trunks, and one `LevelHead` a mechanism. Build it with `open_net`."""

    def __init__(self, spec: IdentifierSpec, response: Trunk, context: Trunk | None = None) -> None:
        super().__init__()
        if (context is None) != spec.shared:
            raise ConfigError(
                "a shared identifier takes one trunk, any other takes two; "
                f"shared is {spec.shared} and {1 if context is None else 2} came"
            )
        self.spec = spec
        self.response = response
        self.context = context
        self.heads = nn.ModuleDict({m: LevelHead(response.width, spec) for m in spec.mechanisms})

    def tokens(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
        """Token ids of the context and of the response of each pair, cut to their limits."""
        spec = self.spec
        tokenizer = self.response.tokenizer
        contexts = marked_ids(tokenizer, [c for c, _ in pairs], spec.max_context, keep="end")
        responses = marked_ids(
            tokenizer, [r for _, r in pairs], spec.max_response, keep="beginning"
        )
        return list(zip(contexts, responses, strict=True))

    def trunks(self) -> dict[str, Trunk]:
        """Return the trunk or trunks by the text they read; a shared one is "response"."""
        both = {"response": self.response}
        return both if self.context is None else {**both, "context": self.context}

    def evidence(
        self, context: Tensor, context_mask: Tensor, response: Tensor, response_mask: Tensor
    ) -> dict[str, Evidence]:
        """Score states [B, C, d] and [B, R, d]; masks are True at real tokens."""
        context, response = context.float(), response.float()
        return {
            name: head(response, context, response_mask, context_mask)
            for name, head in self.heads.items()
        }

    def forward(
        self,
        context_ids: Tensor,
        context_mask: Tensor,
        response_ids: Tensor,
        response_mask: Tensor,
    ) -> dict[str, Evidence]:
        """Score token ids [B, C] and [B, R]; masks are True at real tokens."""
        trunk = self.response if self.context is None else self.context
        context = trunk.states(context_ids, context_mask)
        response = self.response.states(response_ids, response_mask)
        return self.evidence(context, context_mask, response, response_mask)


def open_net(
    spec: IdentifierSpec, *, dtype: torch.dtype = torch.float32, trained: bool = True
) -> IdentifierNet:
    """Load the pretrained encoder or encoders and put untrained heads on them.

    Heads start from torch's global generator; seed it where that matters.

    Args:
        spec: How to build it.
        dtype: Of the encoder's weights; heads are float32.
        trained: Whether to put in an untrained low-rank change, as training needs it.

    Raises:
        ConfigError: If the texts may be longer than the encoder can read.
        ModelMissing: If the weights are not here and cannot be fetched.
        Unsupported: If a low-rank change is asked of a type of encoder that has none.
    """
    trunks = [_trunk(spec, dtype, trained) for _ in range(1 if spec.shared else 2)]
    return IdentifierNet(spec, trunks[0], None if spec.shared else trunks[1])


def _trunk(spec: IdentifierSpec, dtype: torch.dtype, trained: bool) -> Trunk:
    limit = max(spec.max_context, spec.max_response)
    body = TrunkSpec(
        spec.backbone,
        layers=spec.layers,
        max_tokens=limit,
        frozen=spec.frozen,
        rank=spec.rank or 0,
        alpha=spec.alpha,
    )
    if _is_t5(spec.backbone):
        trunk = _t5_encoder(spec, body, dtype)
    else:
        trunk = open_trunk(body, dtype=dtype, trained=trained)
    room = getattr(trunk.model.config, "max_position_embeddings", None)
    if isinstance(room, int) and limit > room:
        raise ConfigError(
            f"{spec.backbone} reads {room} tokens at most; set max_context and max_response to "
            f"{room} or less"
        )
    return trunk.requires_grad_(True) if spec.rank is None else trunk


def _source(backbone: str) -> tuple[str, bool]:
    from emotone.models.store import locate

    location = locate(backbone)
    return (location.name, False) if location.path is None else (str(location.path), True)


def _is_t5(backbone: str) -> bool:
    from transformers import AutoConfig

    from emotone.models.progress import quiet

    source, local = _source(backbone)
    with quiet():
        return AutoConfig.from_pretrained(source, local_files_only=local).model_type == "t5"


def _t5_encoder(spec: IdentifierSpec, body: TrunkSpec, dtype: torch.dtype) -> Trunk:
    """Open the encoder half of a T5, which `AutoModel` would load whole."""
    from transformers import AutoTokenizer, T5EncoderModel

    from emotone.models.progress import quiet

    if spec.rank or spec.layers is not None:
        raise Unsupported(
            "a T5 encoder is taken whole, without a low-rank change; set rank to 0 or None and "
            "layers to None"
        )
    source, local = _source(spec.backbone)
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
        model = T5EncoderModel.from_pretrained(
            source, local_files_only=local, use_safetensors=True, dtype=dtype
        )
    model.requires_grad_(False)
    return Trunk(model.eval(), tokenizer, body)
