"""Vectors that others published: read from their files, applied by their arithmetic.

The authors of the paper store one JSON file an emotion, `<Model>_<emotion>.json`, block number ->
[[d numbers]], and add alpha times them to the output of each attention, at the last position. Plain
safetensors with one tensor [L, d] an emotion are read too.

Source: Dong et al. 2025 (arXiv 2502.04075); xuanfengzu/EmotionVector, vectors/.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from emotone.emotions import EVERYDAY
from emotone.errors import DataError
from emotone.identity import digest
from emotone.lm.chat import NO_SYSTEM
from emotone.models import chat_template_hash
from emotone.steering.card import VectorsCard
from emotone.steering.fingerprint import fingerprint
from emotone.steering.layers import Site, blocks
from emotone.steering.positions import Positions
from emotone.steering.vectors import EmotionVectors

if TYPE_CHECKING:
    from emotone.models import CausalLM


def read_published(paths: Sequence[Path]) -> dict[str, Tensor]:
    """Read directions from files of others.

    Args:
        paths: JSON files of one emotion each, or safetensors.

    Returns:
        Label -> direction as it is, [L, d] float32.

    Raises:
        DataError: If a file is of another form, or an emotion comes twice.
    """
    directions: dict[str, Tensor] = {}
    for path in paths:
        own = _safetensors(path) if path.suffix == ".safetensors" else {_label(path): _json(path)}
        twice = set(own) & set(directions)
        if twice:
            raise DataError(f"{path} holds {', '.join(sorted(twice))} again; give each once")
        directions |= own
    shapes = {tuple(v.shape) for v in directions.values()}
    if len(shapes) > 1:
        raise DataError(
            f"the files hold vectors of shapes {sorted(shapes)}; give those of one model"
        )
    return directions


def of_paper(
    lm: CausalLM,
    directions: Mapping[str, Tensor],
    *,
    site: Site = "attn_out",
    positions: Positions = "last",
) -> EmotionVectors:
    """Make published directions vectors of a model, to be used at raw doses.

    Args:
        lm: The model that they were made for.
        directions: Label -> [L, d].
        site: Where they act; the paper's is the output of each attention.
        positions: Which columns; the paper's are the last of the prompt and all that follow.

    Raises:
        DataError: If the model has another depth or width.
    """
    shape = (len(blocks(lm.model)), int(lm.model.config.get_text_config().hidden_size))
    given = tuple(next(iter(directions.values())).shape)
    if given != shape:
        raise DataError(
            f"the vectors are of {given[0]} blocks of width {given[1]}, and {lm.name} has"
            f" {shape[0]} of {shape[1]}; name the model that they were made for"
        )
    card = VectorsCard(
        model=lm.name,
        fingerprint=fingerprint(lm.model),
        chat_template=chat_template_hash(lm.tokenizer),
        system_prompt=NO_SYSTEM,
        site=site,
        positions=positions,
        method="published",
        data=digest({k: v.tolist() for k, v in directions.items()}),
        notes={"from": "files of others, unscaled: use --raw"},
    )
    return EmotionVectors(dict(directions), card)


def _label(path: Path) -> str:
    """Read the emotion off a name like Qwen2.5-7B-Instruct_joy.json."""
    word = path.name.removesuffix(".gz").removesuffix(".json").rpartition("_")[2].lower()
    return EVERYDAY.aliases.get(word, word)


def _json(path: Path) -> Tensor:
    from emotone.data.reading import whole_text

    try:
        rows = json.loads(whole_text(path))
        return torch.stack([torch.tensor(rows[str(i)]).float().flatten() for i in range(len(rows))])
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DataError(
            f'{path} is no file of vectors; it maps "0", "1", ... to a list of d numbers each'
        ) from error


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = {k.removeprefix("direction."): v.float() for k, v in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise DataError(f"cannot read {path} as safetensors ({error})") from error
    if any(v.dim() != 2 for v in tensors.values()):
        raise DataError(f"{path} holds tensors that are not [blocks, width]; give one an emotion")
    return tensors
