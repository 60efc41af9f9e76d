"""From a name to a policy that learns (`open_policy`), or to a system that answers (`load`).

A policy is a T5 whole, or a chat model with a low-rank change.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotone.errors import ModelMissing
from emotone.models import catalog, zoo
from emotone.models.load import load_causal_lm, load_seq2seq_lm
from emotone.models.reading import read_kind
from emotone.models.store import locate
from emotone.rl.causal import CausalPolicy
from emotone.rl.seq2seq import Seq2SeqPolicy
from emotone.steering.find import vectors_fitting, vectors_named
from emotone.systems.emprl.config import Config, PolicySettings
from emotone.systems.emprl.corpus import texts
from emotone.systems.emprl.folder import FILE, Card, read_card
from emotone.systems.emprl.new_t5 import new_t5, new_tokenizer
from emotone.systems.emprl.responder import NAME, EmpRL
from emotone.training.adapters import load_adapters, merge_adapters
from emotone.types import Example

if TYPE_CHECKING:
    import torch

DEFAULT = "emprl-smollm2"
#: Short names of the paper's models, and where the hub keeps them.
T5 = {name: f"google-t5/{name}" for name in ("t5-small", "t5-base", "t5-large")}


def load(model: str | None = None, *, device: str = "auto", config: Config | None = None) -> EmpRL:
    """Load a trained policy; adapters are merged into the model they belong to.

    Args:
        model: Name in the zoo, or a folder that `emotone train emprl` wrote. A model that was not
            trained here answers as it is: folder, hub id or catalogue name of a T5 or chat model.
        device: "auto", "cpu", "cuda" or "mps".
        config: Its `reply` says how replies are given; all else is the model's own.

    Raises:
        UnknownName: If there is no such model.
        ModelMissing: If the weights are not here.
        CheckpointError: If the files are damaged or not of this system.
    """
    settings = (config or Config()).reply
    name = model or DEFAULT
    folder = _stage_folder(name)
    if folder is not None:
        card = read_card(folder)
    else:
        card = Card("seq2seq") if is_encoder_decoder(name) else Card("causal", base=name)
    trained = "" if folder is None else _trained_name(folder, card)
    if card.kind == "seq2seq":
        t5 = load_seq2seq_lm(folder or hub_name(name), device)
        return EmpRL(replace(t5, name=trained or t5.name), card, settings)
    vectors = vectors_named(card.base, settings.vectors)
    lm = load_causal_lm(card.base, device)
    if folder is not None:
        load_adapters(lm.model, folder)
        merge_adapters(lm.model)
    lm = replace(lm, name=trained or lm.name)
    return EmpRL(lm, card, settings, vectors=vectors or vectors_fitting(lm.model))


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
    if is_encoder_decoder(model):
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
    tokenizer = _vocabulary(settings, examples, folder / "tokenizer")
    model: Any = new_t5(tokenizer, settings.new, seed)
    return _seq2seq(settings, model.to(place), tokenizer, values=values)


def hub_name(model: str) -> str:
    """Return where the hub keeps a T5 that is called by its short name; else the name itself."""
    return model if Path(model).exists() else T5.get(model, model)


def is_encoder_decoder(name: str) -> bool:
    """Tell whether a model is an encoder-decoder such as T5, by its config.

    Raises:
        EmotoneError: As the finding of models.
    """
    if name in catalog.known():
        return False
    location = locate(hub_name(name))
    return read_kind(location.path, location.name) == "seq2seq"


def _stage_folder(name: str) -> Path | None:
    """Find the folder of a trained policy; None for a model as it is."""
    path = Path(name)
    if (path / FILE).is_file():
        return path
    if name in zoo.listed("systems") or (name.startswith(f"{NAME}-") and not path.exists()):
        return zoo.folder("systems", name)
    if path.is_dir():
        stages = sorted(p.parent.name for p in path.glob(f"*/{FILE}"))
        if stages:
            raise ModelMissing(
                f"{name} is the folder of a whole run; name a stage in it, such as "
                f"{path / stages[0]}"
            )
    return None


def _trained_name(folder: Path, card: Card) -> str:
    """Name a trained policy; that of a stage's folder says which run it is of."""
    path = folder.resolve()
    return f"{path.parent.name}/{path.name}" if path.name == card.stage else path.name


def _vocabulary(settings: PolicySettings, examples: Sequence[Example], folder: Path) -> Any:
    from transformers import AutoTokenizer

    if not folder.is_dir():
        # Beside it first: a folder that is there is whole.
        part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
        new_tokenizer(texts(examples), settings.new.pieces).save_pretrained(part)
        with suppress(OSError):  # another process of this run was first
            part.rename(folder)
        if part.is_dir():
            shutil.rmtree(part)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


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
        reference=False,  # `freeze_reference` makes it, after the supervised stage
    )
