"""A running batch: replies join it and leave it at any step, each with rules of its own.

Keys and values of row i stand in slot i of one buffer a block, from column 0 on, without padding
between prompt and reply; so a row comes and goes without a copy of the others, and attends to its
own columns only. A prompt is read apart and at once, but for its beginning where an earlier prompt
of the same kind began alike.

Source: Yu et al. 2022 (Orca) for scheduling by iteration; Kwon et al. 2023 (vLLM) for sharing
prefixes. Ours keeps whole rows instead of pages: replies are short, and a CPU has memory.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from emotone.errors import Unsupported
from emotone.lm.decode import Draft, Written, check_length, end_tokens, take
from emotone.types import Decoding, Reply

if TYPE_CHECKING:
    from emotone.models import CausalLM

#: Columns by which buffers grow.
_ROOM = 128
#: A shorter common beginning is not worth a copy.
_SHORTEST_PREFIX = 8


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One reply to be written, by a system that leaves the passes to others.

    Args:
        lm: The chat model.
        prompt: Token ids of what it reads.
        decoding: How to choose tokens.
        seeds: One for each candidate; none where the reply is there already.
        finish: Makes the reply of the candidates, in order of the seeds.
        vectors: Emotion vectors (`emotone.steering.vectors.EmotionVectors`); None for none.
        doses: Label -> multiple of its vector.
    """

    lm: CausalLM
    prompt: list[int]
    decoding: Decoding
    seeds: Sequence[int]
    finish: Callable[[Sequence[Written]], Reply]
    vectors: Any = None
    doses: Mapping[str, float] = field(default_factory=dict[str, float])


class Pusher(Protocol):
    """What pushes each row of a pass its own way."""

    def before(self, pushes: Sequence[Any], offsets: Tensor) -> None:
        """Prepare a pass.

        Args:
            pushes: What moves each row; None for a row that is left alone.
            offsets: Place of each column after the end of its row's prompt, [B, T]: -1 for the
                last token of the prompt, 0 for the first of the reply.
        """
        ...

    def prefix_key(self, push: Any) -> Hashable:
        """Return what the activations of a prompt but its last token depend on, beside it."""
        ...


class Row:
    """A reply in the batch.

    Args:
        draft: The reply.
        push: What moves it, for the `Pusher`; may be changed between steps.
        prompt: Number of tokens of its prompt.
    """

    def __init__(self, draft: Draft, push: Any, prompt: int) -> None:
        self.draft = draft
        self.push = push
        self.prompt = prompt
        self.entropy = 0.0
        """Entropy of the last token's distribution, in nats."""

    @property
    def columns(self) -> int:
        """Columns of its slot that are filled: the last token is chosen, but not yet read."""
        return self.prompt + len(self.draft.ids) - 1


@dataclass(slots=True)
class _Pass:
    """Where the coming pass writes and reads: rows `first` on, at the columns `at` [B, T].

    Args:
        first: Slot of the first row.
        at: Columns, [B, T].
        width: Columns that are read, from 0 on.
        cells: Slot and column of each row of a pass over one token, on the model's device; None
            for a prompt, whose columns follow each other.
    """

    first: int
    at: Tensor
    width: int
    cells: tuple[Tensor, Tensor] | None = None


class _Slots:
    """Keys and values of one block, [S, heads, T, d]: a layer of a transformers cache."""

    is_initialized = True
    is_sliding = False
    is_compileable = False

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.now = _Pass(0, torch.zeros(1, 1, dtype=torch.long), 1)

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        now = self.now
        rows = slice(now.first, now.first + len(keys))
        self.keys = _written(self.keys, keys, rows, now)
        self.values = _written(self.values, values, rows, now)
        return self.keys[rows, :, : now.width], self.values[rows, :, : now.width]

    def part(self, slot: int, columns: int) -> tuple[Tensor, Tensor]:
        """Keys and values of one row's first columns, [1, heads, T, d] each."""
        if self.keys is None or self.values is None:
            raise ValueError("nothing was read yet")
        return self.keys[slot, None, :, :columns], self.values[slot, None, :, :columns]

    def put(self, slot: int, states: tuple[Tensor, Tensor]) -> None:
        """Make these the first columns of a row."""
        width = states[0].shape[2]
        now = _Pass(slot, torch.zeros(1, 1, dtype=torch.long), width)
        rows = slice(slot, slot + 1)
        self.keys = _written(self.keys, states[0], rows, now)
        self.values = _written(self.values, states[1], rows, now)

    def get_seq_length(self) -> int:
        return int(self.now.at[0, 0])

    def get_mask_sizes(self, _query: Any) -> tuple[int, int]:
        return self.now.width, 0

    def get_max_length(self) -> int:
        return -1


def _written(buffer: Tensor | None, new: Tensor, rows: slice, now: _Pass) -> Tensor:
    """Put the states of a pass into a buffer, which grows where it is too small."""
    _, heads, _, width = new.shape
    have = (0, 0) if buffer is None else (buffer.shape[0], buffer.shape[2])
    if rows.stop > have[0] or now.width > have[1]:
        slots = max(have[0], 1 << (rows.stop - 1).bit_length())
        columns = max(have[1], -(-now.width // _ROOM) * _ROOM)
        grown = new.new_zeros(slots, heads, columns, width)
        if buffer is not None:
            grown[: have[0], :, : have[1]] = buffer
        buffer = grown
    if buffer is None:
        raise ValueError("the buffer has no room")
    if now.cells is not None:
        buffer[now.cells[0], :, now.cells[1]] = new[:, :, 0]
    else:
        start = int(now.at[0, 0])
        buffer[rows, :, start : start + new.shape[2]] = new
    return buffer


@dataclass(slots=True, eq=False)
class _Prefix:
    ids: list[int]
    key: Hashable
    states: list[tuple[Tensor, Tensor]]
    bytes: int


class Batch:
    """The replies that one model is writing.

    Args:
        lm: The model.
        pusher: What steers its rows; None where nothing does.
        prefix_bytes: Memory for the beginnings of prompts.

    Raises:
        Unsupported: If the model keeps other states of what it read than keys and values.
    """

    def __init__(
        self, lm: CausalLM, pusher: Pusher | None = None, *, prefix_bytes: int = 1 << 28
    ) -> None:
        from transformers.cache_utils import Cache

        if (reason := unfit(lm.model)) is not None:
            raise Unsupported(f"{lm.name} writes no running batch: {reason}")
        config: Any = lm.model.config.get_text_config()
        self.lm = lm
        self.rows: list[Row] = []
        self._pusher = pusher
        self._slots = [_Slots() for _ in range(int(config.num_hidden_layers))]
        self._cache = Cache(layers=self._slots)  # pyright: ignore[reportArgumentType]
        self._kinds: tuple[str, ...] = tuple(
            dict.fromkeys(getattr(config, "layer_types", None) or ())
        )
        self._window = int(getattr(config, "sliding_window", 0) or 0)
        self._ends = end_tokens(lm.model, lm.tokenizer)
        self._room = prefix_bytes
        self._prefixes: list[_Prefix] = []

    def draft(self, decoding: Decoding, seed: int, stop: Sequence[str] = ()) -> Draft:
        """Begin a reply of this model."""
        return Draft(self.lm.tokenizer, self._ends, decoding, seed, [*self.lm.stop, *stop])

    @torch.inference_mode()
    def join(
        self, prompt: Sequence[int], drafts: Sequence[Draft], push: Any, decoding: Decoding
    ) -> list[Row]:
        """Read a prompt, and let replies to it choose their first token and join.

        Args:
            prompt: Token ids.
            drafts: The replies.
            push: What moves them.
            decoding: Theirs.

        Raises:
            DataError: If prompt and reply do not fit the model's context.
        """
        check_length(self.lm.model, len(prompt), decoding)
        ids = list(prompt)
        key = None if self._pusher is None else self._pusher.prefix_key(push)
        first, start = len(self.rows), self._recall(ids, key)
        at = torch.arange(start, len(ids))[None]
        logits = self._pass(torch.tensor([ids[start:]]), at, first, [push], at - len(ids))
        self._remember(ids, key, first)
        for slots in self._slots:
            for copy in range(1, len(drafts)):
                slots.put(first + copy, slots.part(first, len(ids)))
        rows = [Row(draft, push, len(ids)) for draft in drafts]
        self.rows += rows
        self._choose(rows, logits.expand(len(rows), -1))
        return rows

    @torch.inference_mode()
    def step(self) -> None:
        """Give each reply that is not done its next token; those that are done stay until `leave`.

        Call `leave` for them first, so that no pass is spent on them.
        """
        rows = self.rows
        if not rows:
            return
        at = torch.tensor([[row.columns] for row in rows])
        fed = torch.tensor([[row.draft.ids[-1]] for row in rows])
        offsets = torch.tensor([[row.columns - row.prompt] for row in rows])
        self._choose(rows, self._pass(fed, at, 0, [row.push for row in rows], offsets))

    @torch.inference_mode()
    def leave(self, row: Row) -> None:
        """Take a reply out; the last row moves into its slot."""
        place, last = self.rows.index(row), len(self.rows) - 1
        if place != last:
            for slots in self._slots:
                slots.put(place, slots.part(last, self.rows[last].columns))
            self.rows[place] = self.rows[last]
        self.rows.pop()

    def _choose(self, rows: Sequence[Row], logits: Tensor) -> None:
        totals = logits.logsumexp(-1)
        # H = -sum p log p = log Z - sum p x
        entropies = totals - ((logits - totals[:, None]).exp() * logits).sum(-1)
        for row, entropy in zip(rows, entropies.tolist(), strict=True):
            row.entropy = entropy
        take([row.draft for row in rows], logits, self._ends[0], totals)

    def _pass(
        self, ids: Tensor, at: Tensor, first: int, pushes: Sequence[Any], offsets: Tensor
    ) -> Tensor:
        """Run the model on columns `at` of rows `first` on; return the last logits, [B, V]."""
        device = next(self.lm.model.parameters()).device
        width = int(at.max()) + 1
        cells = None
        if at.shape[1] == 1:
            cells = (torch.arange(first, first + len(at), device=device), at[:, 0].to(device))
        now = _Pass(first, at, width, cells)
        for slots in self._slots:
            slots.now = now
        if self._pusher is not None:
            self._pusher.before(pushes, offsets)
        out: Any = self.lm.model(
            input_ids=ids.to(device),
            attention_mask=self._mask(at, width),
            position_ids=at.to(device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1].float().cpu()

    def _mask(self, at: Tensor, width: int) -> Any:
        """What each column may see, [B, 1, T, width]: 0 for its row's past, else far below 0."""
        reference = next(self.lm.model.parameters())
        columns = torch.arange(width)
        past = columns <= at[..., None]

        def additive(seen: Tensor) -> Tensor:
            mask = torch.zeros(seen.shape, dtype=reference.dtype)
            mask.masked_fill_(~seen, torch.finfo(reference.dtype).min)
            return mask[:, None].to(reference.device)

        near = past & (columns > at[..., None] - self._window) if self._window else past
        if len(self._kinds) > 1:
            return {k: additive(near if k == "sliding_attention" else past) for k in self._kinds}
        slides = "sliding_attention" in self._kinds or not self._kinds
        return additive(near if slides else past)

    # -- beginnings of prompts ---------------------------------------------------------------

    def _recall(self, ids: list[int], key: Hashable) -> int:
        """Copy the longest beginning of a prompt that was read before; return its length."""
        best: _Prefix | None = None
        length = _SHORTEST_PREFIX - 1
        for prefix in self._prefixes:
            same = _common(prefix.ids, ids) if prefix.key == key else 0
            if same > length:
                best, length = prefix, same
        if best is None:
            return 0
        length = min(length, len(ids) - 1)  # the last token is read for its logits
        first = len(self.rows)
        for slots, (keys, values) in zip(self._slots, best.states, strict=True):
            slots.put(first, (keys[:, :, :length], values[:, :, :length]))
        self._prefixes.remove(best)
        self._prefixes.append(best)  # used last
        return length

    def _remember(self, ids: list[int], key: Hashable, slot: int) -> None:
        """Keep the states of a prompt but its last token, and forget what was not used for long."""
        ids = ids[:-1]
        if len(ids) < _SHORTEST_PREFIX:
            return
        self._prefixes = [
            p for p in self._prefixes if p.key != key or _common(p.ids, ids) < len(p.ids)
        ]
        states = [
            (keys.clone(), values.clone())
            for keys, values in (slots.part(slot, len(ids)) for slots in self._slots)
        ]
        size = sum(k.nbytes + v.nbytes for k, v in states)
        self._prefixes.append(_Prefix(ids, key, states, size))
        while sum(p.bytes for p in self._prefixes) > self._room:
            self._prefixes.pop(0)


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    shorter = min(len(one), len(other))
    return next((i for i in range(shorter) if one[i] != other[i]), shorter)


def unfit(model: nn.Module) -> str | None:
    """Say why a model cannot write a running batch; None where it can."""
    whole: Any = model.config
    config: Any = whole.get_text_config()
    if getattr(whole, "is_encoder_decoder", False):
        return "it has an encoder of its own"
    kinds = set(getattr(config, "layer_types", None) or ()) - {
        "full_attention",
        "sliding_attention",
    }
    if kinds or not hasattr(config, "num_attention_heads"):
        return (
            f"it keeps other states than keys and values ({', '.join(sorted(kinds)) or 'no heads'})"
        )
    if getattr(config, "position_embedding_type", "") == "alibi" or getattr(config, "alibi", False):
        return "its positions are a bias of its own mask"
    return None
