"""Moods as the body of a request to vLLM with the plug-in vllm-lens, which steers per request.

    {"vllm_xargs": {"apply_steering_vectors": "[{activations, layer_indices, scale, norm_match}]"}}

`activations` are [n, d] float32 in base64, added to the output of the n blocks of `layer_indices`
at all positions of the request.

Source: vllm-lens, vllm_lens/_helpers/types.py and _serialize.py, as of version 1.3.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import torch

from emotone.engines.carriers import check_everywhere, check_residual
from emotone.engines.mood import OneMood
from emotone.files import write_json


def lens_fields(mood: OneMood) -> dict[str, Any]:
    """Return the fields that a request needs besides its own.

    Raises:
        Unsupported: If the mood does not act on the residual stream at all positions.
    """
    check_everywhere(mood, "a vector of vllm-lens")
    check_residual(mood, "a vector of vllm-lens")
    displacement = mood.displacement
    moved = [i for i, row in enumerate(displacement) if row.any()]
    rows = displacement[moved].to(torch.float32).contiguous()
    vector = {
        "activations": {
            "data": base64.b64encode(rows.numpy().astype("<f4").tobytes()).decode("ascii"),
            "dtype": "float32",
            "original_dtype": "torch.float32",
            "shape": list(rows.shape),
        },
        "layer_indices": moved,
        "scale": 1.0,
        "norm_match": False,
        "position_indices": None,
    }
    # Its door takes numbers and texts only, so that the list travels as a text.
    return {"vllm_xargs": {"apply_steering_vectors": json.dumps([vector])}}


def write_lens(path: Path, mood: OneMood) -> None:
    """Write the fields as JSON, and beside them what they hold.

    Raises:
        Unsupported: As `lens_fields`.
        DataError: If the place cannot be written.
    """
    write_json(path, lens_fields(mood) | {"emotone": mood.record()})
