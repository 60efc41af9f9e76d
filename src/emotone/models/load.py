"""From a name to a language model that is ready to answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotone.errors import CheckpointError, RunError, Unsupported
from emotone.models import catalog, devices
from emotone.models.reading import LMKind, read_folder, read_hub
from emotone.models.store import Location, locate
from emotone.models.template import give_template

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True, eq=False)
class CausalLM:
    """A language model with its tokenizer.

    Args:
        model: In evaluation mode; float32 on a CPU, bfloat16 on CUDA. `load_causal_lm` freezes it
            and packs its maps (`emotone.models.packed`): whoever trains weights of it asks for
            their gradients first.
        tokenizer: Pads on the left and has a pad token and a chat template.
        name: What to call it in replies and files.
        revision: What exactly the weights are.
        path: Folder of the weights; None for a model of the hub.
        device: Where it runs, such as "cpu" or "cuda:0".
        stop: Texts that end a reply besides the end token; not empty only for a model that had no
            chat template and was given the plain one.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    revision: str
    path: str | None
    device: str
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Seq2SeqLM:
    """An encoder-decoder language model with its tokenizer.

    Args:
        model: In evaluation mode, float32.
        tokenizer: Pads on the right and has a pad token.
        name: What to call it in replies and files.
        revision: What exactly the weights are.
        path: Folder of the weights; None for a model of the hub.
        device: Where it runs, such as "cpu" or "cuda:0".
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    revision: str
    path: str | None
    device: str


def load_causal_lm(name: str | Path, device: str = "auto", *, fetch: bool = True) -> CausalLM:
    """Load a language model.

    Only safetensors are read and no code of a model is run.

    Args:
        name: Name of the catalogue, folder saved by transformers, or hub id like "org/name".
        device: "auto" takes CUDA, else Apple's MPS, else the CPU.
        fetch: Whether the weights may be fetched when they are not here.

    Raises:
        UnknownName: If the model or the device is unknown.
        Unsupported: If the model does not write text, or the device is not here.
        ModelMissing: If the weights are not here and cannot be fetched.
        CheckpointError: If the weights are here and damaged.
    """
    entries = catalog.known()
    if str(name) in entries and entries[str(name)].kind != "causal-lm":
        writers = ", ".join(e.name for e in entries.values() if e.kind == "causal-lm")
        raise Unsupported(f"model {str(name)!r} writes no text; use one of {writers}")
    model, tokenizer, location, place = _load(name, device, "causal", fetch=fetch)
    stop = give_template(tokenizer)
    from emotone.models.packed import pack_linear_maps

    pack_linear_maps(model.requires_grad_(False))
    return CausalLM(model, tokenizer, *_facts(location, place), stop=stop)


def load_seq2seq_lm(name: str | Path, device: str = "auto", *, fetch: bool = True) -> Seq2SeqLM:
    """Load an encoder-decoder model; T5 is the tested one.

    Only safetensors are read and no code of a model is run. Weights are float32 on every device:
    T5 was trained in bfloat16 and overflows in float16, and these models are small.

    Args:
        name: Folder saved by transformers, or hub id like "org/name".
        device: "auto" takes CUDA, else Apple's MPS, else the CPU.
        fetch: Whether the weights may be fetched when they are not here.

    Raises:
        UnknownName: If the model or the device is unknown.
        Unsupported: If the model has no encoder and decoder, or the device is not here.
        ModelMissing: If the weights are not here and cannot be fetched.
        CheckpointError: If the weights are here and damaged.
    """
    if str(name) in catalog.known():
        raise Unsupported(
            f"model {str(name)!r} has no encoder and decoder that write text; use a model such as"
            " google-t5/t5-base, or a folder"
        )
    model, tokenizer, location, place = _load(name, device, "seq2seq", fetch=fetch)
    return Seq2SeqLM(model, tokenizer, *_facts(location, place))


def _load(
    name: str | Path, device: str, kind: LMKind, *, fetch: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, Location, torch.device]:
    """Find, read and place a model; float32, but a chat model on CUDA has bfloat16."""
    devices.check_name(device)
    location = locate(name, fetch=fetch)
    import torch

    place = devices.place(device)
    half = kind == "causal" and place.type == "cuda"
    dtype = torch.bfloat16 if half else torch.float32
    if location.path is None:
        model, tokenizer, commit = read_hub(location.name, dtype, kind, fetch=fetch)
        location = replace(location, revision=commit)
    else:
        model, tokenizer = read_folder(location.path, location.name, dtype, kind)
    _forget_path(model, tokenizer, location.name)
    _set_padding(model, tokenizer, location.name)
    return _move(model.eval(), place, location.name), tokenizer, location, place


def _facts(location: Location, place: torch.device) -> tuple[str, str, str | None, str]:
    """Return what both kinds of model say of themselves: name, revision, path and device."""
    path = None if location.path is None else str(location.path)
    return location.name, location.revision, path, str(place)


def _move(model: Any, place: torch.device, name: str) -> PreTrainedModel:
    import torch

    try:
        return model.to(place)
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"model {name!r} does not fit on {place}; free memory there or use device cpu"
        ) from error


def _forget_path(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Name a model, so that what is saved from it later names no folder of this machine."""
    model.config._name_or_path = name
    model.name_or_path = name
    tokenizer.name_or_path = name


def _set_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Give a tokenizer that has no pad token its end token for one, and tell the model."""
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise CheckpointError(
                f"the tokenizer of model {name!r} has neither a pad nor an end token; set eos_token"
                " in its tokenizer_config.json"
            )
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    if model.generation_config is not None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id
