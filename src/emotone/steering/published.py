"""Vectors that others published: read from their files, applied by their arithmetic.

The authors of the paper store one JSON file an emotion, `<Model>_<emotion>.json`, block number ->
[[d numbers]], and add alpha times them to the output of each attention, at the last position. Also
read are:

- control vectors of repeng and llama.cpp, `NAME.gguf` with tensors `direction.N` [d]: added to the
  output of block N, at all positions;
- persona vectors, `NAME_response_avg_diff.pt` [L + 1, d]: differences of hidden states, of which
  the first is the embedding's and the last one is normed, so that rows 1 to L - 1 are kept, as
  those of blocks 0 to L - 2;
- safetensors with a tensor [L, d] an emotion, or with one [d] a block, named by its number.

A .pt file is a pickle. It is read by torch's loader of weights alone, which builds tensors and
containers and refuses all else, so that no code of the file runs.

Source: Dong et al. 2025 (arXiv 2502.04075); xuanfengzu/EmotionVector, vectors/. Chen et al. 2025
(arXiv 2507.21509) for persona vectors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def read_published(paths: Sequence[Path], *, depth: int | None = None) -> dict[str, Tensor]:
    """Read directions from files of others.

    Args:
        paths: JSON, GGUF and .pt files of one emotion each, or safetensors.
        depth: Number of the model's blocks, which files of some blocks do not tell; None for that
            of the last block in them.

    Returns:
        Label -> direction as it is, [L, d] float32; zero for blocks that a file does not hold.

    Raises:
        DataError: If a file is of another form, or an emotion comes twice.
    """
    directions: dict[str, Tensor] = {}
    for path in paths:
        own = _READERS.get(_kind(path), _json)(path, depth)
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


def made_for(paths: Sequence[Path]) -> tuple[Site, Positions]:
    """Tell where vectors of these files act in the code of those who publish such files.

    Raises:
        DataError: If the files are of kinds that act in different places.
    """
    places = {_PLACES.get(_kind(path), ("attn_out", "last")) for path in paths}
    if len(places) > 1:
        raise DataError("the files are of kinds that act in different places; import each alone")
    return places.pop()


def of_paper(
    lm: CausalLM,
    directions: Mapping[str, Tensor],
    *,
    site: Site = "attn_out",
    positions: Positions = "last",
    block: int | None = None,
) -> EmotionVectors:
    """Make published directions vectors of a model, to be used at raw doses.

    Args:
        lm: The model that they were made for.
        directions: Label -> [L, d].
        site: Where they act; the paper's is the output of each attention.
        positions: Which columns; the paper's are the last of the prompt and all that follow.
        block: The only block that is moved, as for persona vectors; None for all.

    Raises:
        DataError: If the model has another depth or width, or the vectors no such block.
    """
    shape = (len(blocks(lm.model)), int(lm.model.config.get_text_config().hidden_size))
    given = tuple(next(iter(directions.values())).shape)
    if given != shape:
        raise DataError(
            f"the vectors are of {given[0]} blocks of width {given[1]}, and {lm.name} has"
            f" {shape[0]} of {shape[1]}; name the model that they were made for"
        )
    if block is not None:
        if not 0 <= block < shape[0]:
            raise DataError(f"there is no block {block}; {lm.name} has 0 to {shape[0] - 1}")
        only = torch.zeros(shape[0], 1)
        only[block] = 1.0
        directions = {label: value * only for label, value in directions.items()}
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


def _kind(path: Path) -> str:
    return path.suffix.lower()


def _label(path: Path) -> str:
    """Read the emotion off a name: Qwen2.5-7B-Instruct_joy.json, joy_response_avg_diff.pt."""
    stem = path.name.removesuffix(".gz")
    stem = stem.removesuffix(Path(stem).suffix)
    for tail in ("_response_avg_diff", "_prompt_avg_diff", "_prompt_last_diff"):
        stem = stem.removesuffix(tail)
    word = stem.rpartition("_")[2].lower()
    return EVERYDAY.aliases.get(word, word)


def _json(path: Path, _depth: int | None) -> dict[str, Tensor]:
    from emotone.data.reading import whole_text

    try:
        rows = json.loads(whole_text(path))
        blocks = [torch.tensor(rows[str(i)]).float().flatten() for i in range(len(rows))]
        return {_label(path): torch.stack(blocks)}
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DataError(
            f'{path} is no file of vectors; it maps "0", "1", ... to a list of d numbers each'
        ) from error


def _gguf(path: Path, depth: int | None) -> dict[str, Tensor]:
    from gguf import GGUFReader

    try:
        tensors = GGUFReader(path).tensors
        if not all(t.name.startswith("direction.") for t in tensors):  # a model's, and maybe large
            tensors = []
        # A copy, since what the reader gives is the mapped file.
        rows = {t.name: torch.tensor(t.data.copy()) for t in tensors}
    except (OSError, ValueError, IndexError, KeyError, TypeError) as error:
        raise DataError(f"cannot read {path} as GGUF ({error}); fetch it again") from error
    rows = {name.removeprefix("direction."): row for name, row in rows.items()}
    return {_label(path): _of_blocks(path, rows, depth)}


def _pickle(path: Path, depth: int | None) -> dict[str, Tensor]:
    import warnings
    from pickle import UnpicklingError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of protocols that it may not know, then it raises
            value = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, UnpicklingError, EOFError, ValueError) as error:
        raise DataError(
            f"{path} holds more than tensors, or is damaged; where you trust it, load it with torch"
            " and save its tensors as safetensors, one [blocks, width] an emotion"
        ) from error
    tensors = value if isinstance(value, dict) else {_label(path): value}
    return {str(k): _whole(path, v, depth) for k, v in tensors.items()}


def _safetensors(path: Path, depth: int | None) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = {k.removeprefix("direction."): v for k, v in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise DataError(f"cannot read {path} as safetensors ({error})") from error
    if tensors and all(v.dim() == 1 for v in tensors.values()):
        return {_label(path): _of_blocks(path, tensors, depth)}
    return {label: _whole(path, value, depth) for label, value in tensors.items()}


def _whole(path: Path, value: Any, depth: int | None) -> Tensor:
    """Return a tensor of all blocks; of one with hidden states, those that blocks put out."""
    if not isinstance(value, Tensor) or value.dim() != 2 or not value.is_floating_point():
        raise DataError(f"{path} holds more than tensors [blocks, width]; give one an emotion")
    value = value.float()
    if depth is not None and len(value) == depth + 1:
        # transformers norms the last of its hidden states, which no block has put out.
        return torch.cat([value[1:-1], torch.zeros_like(value[:1])])
    return value


def _of_blocks(path: Path, rows: Mapping[str, Tensor], depth: int | None) -> Tensor:
    """Join vectors of single blocks, [d] each by the number of its block."""
    numbers = {name: int(name) for name in rows if name.isdecimal()}
    lengths = {tuple(row.shape) for row in rows.values()}
    plain = all(row.is_floating_point() for row in rows.values())
    if not rows or len(numbers) != len(rows) or len(lengths) != 1 or not plain:
        raise DataError(
            f"{path} holds no control vector; its tensors are direction.N for block N, each of the"
            " model's width"
        )
    last = max(numbers.values())
    if depth is not None and last >= depth:
        raise DataError(f"{path} moves block {last}, and the model's last is {depth - 1}")
    (length,) = lengths.pop()
    joined = torch.zeros(depth or last + 1, length)
    for name, number in numbers.items():
        joined[number] = rows[name].float()
    return joined


_READERS = {".gguf": _gguf, ".pt": _pickle, ".safetensors": _safetensors}
#: Where vectors act that are not the paper's, by the kind of their file.
_PLACES: Mapping[str, tuple[Site, Positions]] = {".gguf": ("resid", "all"), ".pt": ("resid", "all")}
