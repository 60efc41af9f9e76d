"""From a name to a language model that is ready to answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emotone.errors import Unsupported
from emotone.models import catalog, devices
from emotone.models.reading import read_folder, read_hub
from emotone.models.ready import forget_path, move, set_padding
from emotone.models.store import locate
from emotone.models.template import give_template

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True, eq=False)
class CausalLM:
    """A language model with its tokenizer.

    Args:
        model: In evaluation mode; float32 on a CPU, bfloat16 on CUDA.
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
    devices.check_name(device)
    location = locate(name, fetch=fetch)
    import torch

    place = devices.place(device)
    dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
    if location.path is None:
        model, tokenizer, commit = read_hub(location.name, dtype, fetch=fetch)
        location = replace(location, revision=commit)
    else:
        model, tokenizer = read_folder(location.path, location.name, dtype)
    forget_path(model, tokenizer, location.name)
    stop = give_template(tokenizer)
    set_padding(model, tokenizer, location.name)
    return CausalLM(
        model=move(model.eval(), place, location.name),
        tokenizer=tokenizer,
        name=location.name,
        revision=location.revision,
        path=None if location.path is None else str(location.path),
        device=str(place),
        stop=stop,
    )
