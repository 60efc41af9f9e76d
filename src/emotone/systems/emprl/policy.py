"""From a name to a policy: a T5 whole, or a chat model with a low-rank change."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotone.models import catalog
from emotone.models.load import load_causal_lm
from emotone.models.load_seq2seq import load_seq2seq_lm
from emotone.models.reading import read_kind
from emotone.models.store import locate
from emotone.rl.causal import CausalPolicy
from emotone.rl.scratch import new_t5, new_tokenizer
from emotone.rl.seq2seq import Seq2SeqPolicy
from emotone.systems.emprl.config import PolicySettings
from emotone.systems.emprl.corpus import texts
from emotone.types import Example

if TYPE_CHECKING:
    import torch

#: Short names of the paper's models, and where the hub keeps them.
T5 = {name: f"google-t5/{name}" for name in ("t5-small", "t5-base", "t5-large")}


def open_policy(
    settings: PolicySettings, model: str, place: torch.device, *, seed: int, values: bool
) -> Seq2SeqPolicy | CausalPolicy:
    """Open a policy of any kind.

    Args:
        settings: How it reads and what of it learns.
        model: Catalogue name, folder or hub id.
        place: Where it runs.
        seed: Of the weights that are new.
        values: Whether it has a value head.

    Raises:
        EmotoneError: As the loading of models.
    """
    if is_seq2seq(model):
        lm = load_seq2seq_lm(hub_name(model), str(place.type))
        return _seq2seq(settings, lm.model.float(), lm.tokenizer, values=values)
    causal = load_causal_lm(model, str(place.type))
    return CausalPolicy(
        causal.model.float(),
        causal.tokenizer,
        adapters=settings.adapters,
        system=settings.system,
        max_prompt=settings.max_prompt,
        max_reply=settings.max_reply,
        values=values,
        detach_values=settings.detach_values,
        seed=seed,
    )


def new_policy(
    settings: PolicySettings,
    examples: Sequence[Example],
    folder: Path,
    place: torch.device,
    *,
    seed: int,
    values: bool,
) -> Seq2SeqPolicy:
    """Make a small T5 whose vocabulary is that of examples.

    Args:
        settings: Its size, and how it reads.
        examples: What its vocabulary is learned from.
        folder: Keeps the vocabulary, so that a run that goes on has the one it began with.
        place: Where it runs.
        seed: Of its weights.
        values: Whether it has a value head.
    """
    tokenizer = _vocabulary(settings, examples, folder)
    model: Any = new_t5(tokenizer, settings.new, seed)
    return _seq2seq(settings, model.to(place), tokenizer, values=values)


def _vocabulary(settings: PolicySettings, examples: Sequence[Example], folder: Path) -> Any:
    from transformers import AutoTokenizer

    kept = folder / "tokenizer"
    if not kept.is_dir():
        # Beside it first: a folder that is there is whole.
        part = folder / f".tokenizer.{os.getpid()}.part"
        new_tokenizer(texts(examples), settings.new.pieces).save_pretrained(part)
        with suppress(OSError):  # another process of this run was first
            part.rename(kept)
        if part.is_dir():
            shutil.rmtree(part)
    return AutoTokenizer.from_pretrained(kept, local_files_only=True)


def hub_name(model: str) -> str:
    """Return where the hub keeps a T5 that is called by its short name; else the name itself."""
    return model if Path(model).exists() else T5.get(model, model)


def is_seq2seq(model: str) -> bool:
    """Tell whether a model is an encoder-decoder, by its config.

    Raises:
        EmotoneError: As the finding of models.
    """
    if model in catalog.known():
        return False
    location = locate(hub_name(model))
    return read_kind(location.path, location.name) == "seq2seq"


def _seq2seq(
    settings: PolicySettings, model: Any, tokenizer: Any, *, values: bool
) -> Seq2SeqPolicy:
    return Seq2SeqPolicy(
        model,
        tokenizer,
        separator=settings.separator,
        max_prompt=settings.max_prompt,
        max_reply=settings.max_reply,
        values=values,
        detach_values=settings.detach_values,
        reference=False,  # `settle` makes it, after the supervised stage
    )
