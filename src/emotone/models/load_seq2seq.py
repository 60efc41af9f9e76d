"""From a name to an encoder-decoder model, such as T5, that is ready to answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emotone.errors import Unsupported
from emotone.models import catalog, devices
from emotone.models.reading import read_folder, read_hub
from emotone.models.ready import forget_path, move, set_padding
from emotone.models.store import locate

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


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
    devices.check_name(device)
    location = locate(name, fetch=fetch)
    import torch

    place = devices.place(device)
    if location.path is None:
        read = read_hub(location.name, torch.float32, "seq2seq", fetch=fetch)
        model, tokenizer, commit = read
        location = replace(location, revision=commit)
    else:
        model, tokenizer = read_folder(location.path, location.name, torch.float32, "seq2seq")
    forget_path(model, tokenizer, location.name)
    set_padding(model, tokenizer, location.name)
    return Seq2SeqLM(
        model=move(model.eval(), place, location.name),
        tokenizer=tokenizer,
        name=location.name,
        revision=location.revision,
        path=None if location.path is None else str(location.path),
        device=str(place),
    )
