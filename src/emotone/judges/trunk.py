"""A pretrained encoder or language model with small trained parts on top: the body of a judge.

The pretrained weights are those of a catalogue model and stay as they are; what is trained, and
shipped, is a low-rank change of their linear layers (LoRA) and the heads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from emotone.lm.batch import pad
from emotone.models.token_ids import marked_ids, marks

Pooling = Literal["mean", "last", "mean+last"]

_GATED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
#: Linear layers that get a low-rank change, by model type: all of every block.
LORA_TARGETS: dict[str, tuple[str, ...]] = {
    "bert": ("query", "key", "value", "dense"),
    "llama": _GATED,
    "gemma3_text": _GATED,
}


@dataclass(frozen=True, slots=True)
class TrunkSpec:
    """How a trunk is built from a catalogue model.

    Args:
        backbone: Name of the model in the catalogue.
        layers: How many blocks to keep, from the first; None keeps all.
        suffix: Text put after each text, such as a question that the last state then answers.
        max_tokens: Longer texts are cut, the suffix is not.
        max_post: Tokens of the post that are read before a text, its end; 0 reads texts alone.
        opening: Text put before each post, such as what opens a turn of the model's own template.
        between: Text put between post and text; None parts them by the tokenizer's own mark, or by
            a line's end where it has none.
        pooling: Mean over real tokens, state of the last real token, or both side by side.
        frozen: So many first blocks get no low-rank change; their states can be kept in training.
        rank: Rank of the low-rank change; 0 for none.
        alpha: Scale of the change is alpha / rank.
    """

    backbone: str
    layers: int | None = None
    suffix: str = ""
    max_tokens: int = 64
    max_post: int = 0
    opening: str = ""
    between: str | None = None
    pooling: Pooling = "mean"
    frozen: int = 0
    rank: int = 16
    alpha: float = 32.0


class Row(NamedTuple):
    """Token ids of a text behind its post, and the place at which the text begins."""

    ids: list[int]
    start: int


class Trunk(nn.Module):
    """Texts to one vector each, [B, D]; D is d, or 2 d for pooling "mean+last".

    Build it with `open_trunk`.
    """

    def __init__(self, model: nn.Module, tokenizer: Any, spec: TrunkSpec) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.spec = spec
        width = int(model.config.hidden_size)  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
        self.width = 2 * width if spec.pooling == "mean+last" else width

    def tokens(self, texts: Sequence[str], posts: Sequence[str | None] | None = None) -> list[Row]:
        """Token ids of each text, cut to `max_tokens`, behind its post and before the suffix.

        Args:
            texts: The texts, [N].
            posts: What each text answers, [N], None where it answers nothing; they are read where
                `max_post` is more than 0.
        """
        spec = self.spec
        ids = marked_ids(self.tokenizer, texts, spec.max_tokens, keep="beginning")
        tail = self.written(spec.suffix)
        rows = [Row(row + tail, 0) for row in ids]
        if not spec.max_post or posts is None:
            return rows
        at = [i for i, post in enumerate(posts) if post]
        first, _ = marks(self.tokenizer)
        for i, head in zip(at, self.prompts([str(posts[i]) for i in at]), strict=True):
            rows[i] = Row(head + rows[i].ids[len(first) :], len(head))
        return rows

    def prompts(self, posts: Sequence[str]) -> list[list[int]]:
        """Token ids of each post, its end, as it stands before a text; "" is an empty one.

        The opening comes after the mark with which a tokenizer begins a text.
        """
        spec = self.spec
        opening, between = self.written(spec.opening), self.written(spec.between or "")
        first, last = marks(self.tokenizer)
        if spec.between is None and not last:
            # A tokenizer that ends texts with a mark parts them by it, any other by a line's end.
            between = self.written("\n")
        ids = marked_ids(self.tokenizer, posts, spec.max_post, keep="end")
        n = len(first)
        return [row[:n] + opening + row[n:] + between for row in ids]

    def written(self, text: str) -> list[int]:
        """Token ids of what the spec writes, whose control tokens are such."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []

    def pad(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Ids and mask, [B, T]; padding on the right, mask True at real tokens."""
        return pad(rows, self.tokenizer.pad_token_id or 0, left=False)

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Last states, [B, T, d]."""
        return self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state

    def forward(self, ids: Tensor, mask: Tensor, starts: Sequence[int] | None = None) -> Tensor:
        """Pooled states, [B, D], in float32; mask is True at real tokens, see `pool` for starts."""
        return pool(self.states(ids, mask).float(), mask, self.spec.pooling, starts)


def pool(
    states: Tensor, mask: Tensor, pooling: Pooling, starts: Sequence[int] | None = None
) -> Tensor:
    """Pool states over the real tokens of the texts, not over their posts.

    Args:
        states: [B, T, d].
        mask: [B, T], True at real tokens.
        pooling: How.
        starts: Where the text of each row begins, [B]; None begins all at 0.
    """
    parts: list[Tensor] = []
    if pooling != "last":
        spoken = mask
        if starts is not None:
            places = torch.arange(mask.shape[1], device=mask.device)
            spoken = mask & (places[None] >= torch.tensor(starts, device=mask.device)[:, None])
        weight = spoken[..., None].to(states.dtype)
        parts.append((states * weight).sum(1) / weight.sum(1).clamp_min(1))
    if pooling != "mean":
        last = mask.long().sum(1).clamp_min(1) - 1
        parts.append(states[torch.arange(len(states)), last])
    return torch.cat(parts, -1)


def merge(trunk: Trunk, change: Mapping[str, Tensor]) -> None:
    """Add a trained low-rank change to the weights of a trunk, in place.

    Args:
        trunk: Opened with `trained=False`.
        change: `lora.<module>.A` [r, in] and `lora.<module>.B` [out, r] for each changed layer.

    Raises:
        KeyError: If the trunk has no such layer.
    """
    layers = dict(trunk.model.named_modules())
    scale = trunk.spec.alpha / max(trunk.spec.rank, 1)
    for key, a in change.items():
        if key.endswith(".A"):
            b = change[f"{key[:-2]}.B"]
            weight: Any = layers[key[len("lora.") : -2]].weight
            weight.data += (scale * (b.float() @ a.float())).to(weight.dtype)


def low_rank_change(trunk: Trunk, *, first: int = 0) -> dict[str, Tensor]:
    """Collect what `merge` takes, in float16, from a trunk in training.

    Args:
        trunk: Opened with `trained=True`.
        first: What to add to block numbers, where the first blocks were cut off for training.
    """
    change: dict[str, Tensor] = {}
    for name, value in trunk.model.named_parameters():
        if ".lora_" not in name:
            continue
        module, _, rest = name.partition(".lora_")
        module = re.sub(r"\blayers\.(\d+)", lambda m: f"layers.{int(m[1]) + first}", module)
        change[f"lora.{module}.{rest[0]}"] = value.detach().half().contiguous()
    return change


def open_trunk(
    spec: TrunkSpec, *, dtype: torch.dtype = torch.float32, trained: bool = True
) -> Trunk:
    """Load a catalogue model as a frozen trunk.

    Args:
        spec: How to build it.
        dtype: Of the frozen weights.
        trained: Whether to put in an untrained low-rank change, as training needs it.

    Raises:
        ModelMissing: If the weights are not here and cannot be fetched.
        Unsupported: If the model's type has no entry in `LORA_TARGETS`.
    """
    from transformers import AutoModel, AutoTokenizer

    from emotone.errors import Unsupported
    from emotone.models.progress import quiet
    from emotone.models.store import locate

    location = locate(spec.backbone)
    source = location.name if location.path is None else str(location.path)
    local = location.path is not None
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
        model = AutoModel.from_pretrained(
            source, local_files_only=local, use_safetensors=True, dtype=dtype
        )
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    if spec.layers is not None:
        blocks = model.layers if hasattr(model, "layers") else model.encoder.layer
        del blocks[spec.layers :]
        model.config.num_hidden_layers = spec.layers
    model.requires_grad_(False)
    if spec.rank and trained:
        from peft import LoraConfig, inject_adapter_in_model

        kind = model.config.model_type
        if kind not in LORA_TARGETS:
            raise Unsupported(
                f"a {kind} model has no low-rank targets; use one of {', '.join(LORA_TARGETS)}"
            )
        blocks = model.layers if hasattr(model, "layers") else model.encoder.layer
        changed = {id(m) for block in blocks[spec.frozen :] for m in block.modules()}
        targets = [
            name
            for name, m in model.named_modules()
            if id(m) in changed and name.rsplit(".", 1)[-1] in LORA_TARGETS[kind]
        ]
        lora = LoraConfig(
            r=spec.rank,
            lora_alpha=spec.alpha,  # pyright: ignore[reportArgumentType]
            target_modules=targets,
            lora_dropout=0.05,
        )
        inject_adapter_in_model(lora, model)
    model.config.use_cache = False
    return Trunk(model.eval(), tokenizer, spec)
