"""From published files to a folder that transformers loads fast."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

from emotone import files
from emotone.errors import CheckpointError
from emotone.models import progress
from emotone.models.catalog import Entry
from emotone.models.progress import mute

# Traces of where and how a folder was made, which say nothing about the model.
_TRACES = frozenset(
    {
        "_model_name_or_path",
        "_name_or_path",
        "is_local",
        "local_files_only",
        "name_or_path",
        "quantization_config",
    }
)


def convert(entry: Entry, raw: Path, target: Path) -> None:
    """Make the folder of a model.

    Args:
        entry: The model.
        raw: Folder of its published files.
        target: An empty folder.

    Raises:
        CheckpointError: If the weights cannot be converted.
    """
    for file in entry.files:
        if entry.is_gguf and file.name == entry.weights:
            continue
        copy = target / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(raw / file.name, copy)
    if entry.is_gguf:
        with progress.working(f"converting {entry.name}; this is done once and takes a minute"):
            gguf_to_folder(raw / entry.weights, target, digits_apart=entry.digits_apart)


def gguf_to_folder(weights: Path, target: Path, *, digits_apart: bool = False) -> None:
    """Unpack quantized weights into a dense folder of bfloat16 safetensors.

    A model loaded from GGUF may keep its weights packed, is slow and cannot be saved, so a dense
    twin is built and given the weights. bfloat16 halves the file, and rounds far finer than the
    4 bits that the weights went through.

    Args:
        weights: The GGUF file.
        target: Folder to write to.
        digits_apart: Whether the tokenizer must split every digit from its neighbours.

    Raises:
        CheckpointError: If the file cannot be read.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source: dict[str, Any] = {"gguf_file": weights.name, "local_files_only": True}
    try:
        with mute():
            tokenizer = AutoTokenizer.from_pretrained(weights.parent, **source)
            packed = AutoModelForCausalLM.from_pretrained(
                weights.parent, **source, dtype=torch.float32, **_unpacked()
            )
    except (OSError, ValueError, LookupError, RuntimeError, struct.error) as error:
        raise CheckpointError(f"cannot read {weights.name} as GGUF ({error})") from error
    config: Any = packed.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    if digits_apart:
        _split_digits(tokenizer)
    tokenizer.model_max_length = config.max_position_embeddings
    with mute():
        dense = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        dense.load_state_dict(packed.state_dict())
        try:
            dense.to(torch.bfloat16).save_pretrained(target)
        except SafetensorError as error:  # its word for a full disk
            raise OSError(str(error)) from error
        tokenizer.save_pretrained(target)
    _clean(target)


def _unpacked() -> dict[str, Any]:
    import transformers

    # Releases that can keep weights packed have this switch; the others always unpack.
    switch = getattr(transformers, "GgufConfig", None)
    return {} if switch is None else {"quantization_config": switch(dequantize=True)}


def _split_digits(tokenizer: Any) -> None:
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)]
    )


def _clean(folder: Path) -> None:
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        values = json.loads(path.read_text(encoding="utf-8"))
        plain = {key: value for key, value in values.items() if key not in _TRACES}
        path.write_text(json.dumps(plain, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    # safetensors makes its files for the owner only; a shared cache is for all who may read it.
    mode = (folder / "config.json").stat().st_mode
    for path in files.under(folder):
        path.chmod(mode)
