"""What a model that was just read still needs before it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emotone.errors import CheckpointError, RunError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def move(model: Any, place: torch.device, name: str) -> PreTrainedModel:
    """Move a model to a device.

    Raises:
        RunError: If it does not fit there.
    """
    import torch

    try:
        return model.to(place)
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"model {name!r} does not fit on {place}; free memory there or use device cpu"
        ) from error


def forget_path(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Name a model, so that what is saved from it later names no folder of this machine."""
    model.config._name_or_path = name
    model.name_or_path = name
    tokenizer.name_or_path = name


def set_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Give a tokenizer that has no pad token its end token for one, and tell the model.

    Raises:
        CheckpointError: If it has no end token either.
    """
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
