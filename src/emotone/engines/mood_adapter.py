"""A mix of mood adapters as one folder of peft, which vLLM and SGLang load too.

    [A_shared; A_1; ..; A_k],  [s B_shared, c_1 B_1, .., c_k B_k]         at each map

s is alpha / rank of the shared adapters, and c_e the dose of emotion e. All maps have one rank and
alpha equals it, so that an engine scales by 1; a map with fewer ranks is filled with zeros.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from emotone import __version__
from emotone.engines.folder import new_folder
from emotone.engines.mood import licences
from emotone.errors import CheckpointError, Unsupported
from emotone.files import sha256
from emotone.steering.mood_adapters import MoodAdapters
from emotone.training.adapters import CONFIG, WEIGHTS, map_tensors, plain_maps, read_adapters

_Maps = Mapping[str, tuple[Tensor, Tensor]]


def write_mood_adapter(
    adapters: MoodAdapters,
    doses: Mapping[str, float],
    place: Path,
    *,
    shared: Path | None = None,
) -> None:
    """Write a mix at its doses, with the shared adapters in it, for the base model.

    Args:
        adapters: Mood adapters.
        doses: Label -> dose, as `adapters.doses` gives them; those of 0 are left out.
        place: A new folder.
        shared: Folder of the shared adapters; None where the engine's model has them merged, or
            the mood adapters were learned without.

    Raises:
        UnknownName: If there is no adapter of a label.
        Unsupported: If there is neither a mood nor a shared adapter, or that is none of LoRA.
        CheckpointError: If the shared adapters cannot be read, or are others than those that the
            mood adapters were learned on.
        DataError: If the place cannot be written.
    """
    maps, rank = joined_maps(adapters, doses, shared)
    from peft import LoraConfig
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    for path, (down, up) in maps.items():
        tensors |= map_tensors(path, down, up)
    paths = [*maps]
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=paths, task_type="CAUSAL_LM")
    record = mood_record(adapters, doses) | {"rank": rank}
    settings = config.to_dict() | {
        "base_model_name_or_path": record["model"],
        "inference_mode": True,
        "target_modules": paths,
    }
    with new_folder(place, record) as folder:
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
        (folder / CONFIG).write_text(text, encoding="utf-8")


def joined_maps(
    adapters: MoodAdapters, doses: Mapping[str, float], shared: Path | None
) -> tuple[dict[str, tuple[Tensor, Tensor]], int]:
    """Concatenate a mix at its doses and the shared adapters.

    Returns:
        Path -> A [rank, in] and B [out, rank] float32, by the alphabet, and their one rank.

    Raises:
        EmotoneError: As `write_mood_adapter`.
    """
    parts: list[_Maps] = [] if shared is None else [_shared_maps(shared, adapters.card.adapters)]
    if any(doses.values()):
        parts.append(adapters.folded(doses))
    if not parts:
        raise Unsupported("an adapter without a mood changes nothing; add --emotion 'joy:60'")
    paths = sorted({path for part in parts for path in part})
    joined = {path: _joined([part[path] for part in parts if path in part]) for path in paths}
    rank = max(len(down) for down, _ in joined.values())
    pad = torch.nn.functional.pad
    maps = {
        path: (pad(down, (0, 0, 0, rank - len(down))), pad(up, (0, rank - len(down))))
        for path, (down, up) in joined.items()
    }
    return maps, rank


def mood_record(adapters: MoodAdapters, doses: Mapping[str, float]) -> dict[str, Any]:
    """Say what an exported folder holds, ready for JSON."""
    card = adapters.card
    return {
        "dose": dict(doses),
        "model": card.model,
        "fingerprint": card.fingerprint,
        "adapters": card.adapters,
        "site": adapters.site,
        "positions": card.positions,
        "moods": adapters.digest(),
        **licences(card.model, str(card.notes.get("licence", ""))),
        "engines": ["transformers with peft", "vllm", "sglang"],
        "made_by": f"emotone {__version__}",
    }


def _joined(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    downs, ups = zip(*parts, strict=True)
    return torch.cat([down.float() for down in downs]), torch.cat([up.float() for up in ups], 1)


@lru_cache(maxsize=1)
def _shared_maps(folder: Path, digest: str) -> _Maps:
    """Read the shared adapters: path -> A, and B with their scale in it.

    Once, for an engine that asks for mood after mood: reading is most of the time of a mix, and
    each `load_file` of safetensors leaves two numbers a tensor behind.
    """
    config, saved = read_adapters(folder)
    if digest != sha256(folder / WEIGHTS):
        raise CheckpointError(
            f"these mood adapters were learned {'on others' if digest else 'without adapters'}, not"
            f" on those in {str(folder)!r}; give the folder that they came in"
        )
    return plain_maps(config, saved, folder)
