"""Moods as GGUF control vectors: of llama.cpp, and of repeng, which keeps its own in that form.

Tensors `direction.N` [d] float32 are added to the output of block N, at all positions. llama.cpp
begins with block 1; repeng takes block 0 too.

Source: llama.cpp, common_control_vector_load; repeng 0.4, ControlVector.import_gguf.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from emotone.engines.carriers import check_everywhere, check_residual
from emotone.engines.mood import OneMood
from emotone.errors import Unsupported
from emotone.files import replacing

_ARCHITECTURE = "controlvector"
Reader = Literal["llama.cpp", "repeng"]


def write_control_vector(
    path: Path, mood: OneMood, *, reader: Reader, family: str, without_first: bool = False
) -> float:
    """Write a mood for use at scale 1.

    Args:
        path: The file.
        mood: Its displacement acts on the residual stream at all positions.
        reader: Who will load it.
        family: `model_type` of the model, a hint for people and for repeng.
        without_first: Whether block 0, which llama.cpp cannot move, is left out.

    Returns:
        The share of the displacement that is left out, in lengths of the activation where the
        vectors know them; 0 for repeng.

    Raises:
        Unsupported: If the file could not hold the mood.
        DataError: If the place cannot be written.
    """
    from gguf import GGUFWriter

    check_everywhere(mood, "a control vector")
    check_residual(mood, "a control vector")
    displacement = mood.displacement
    moved = [i for i, row in enumerate(displacement) if row.any()]
    left_out = 0.0
    if reader == "llama.cpp" and moved[0] == 0:
        norms = displacement.new_tensor(mood.moods.card.norms or [1.0] * len(displacement))
        lengths = displacement.norm(dim=-1) / norms
        left_out = float(lengths[0] / lengths.sum())
        if not without_first:
            raise Unsupported(
                "llama.cpp adds control vectors from block 1 on, and this mood moves block 0 too,"
                f" by {left_out:.0%} of its whole; leave that out with --without-first, or bake it"
            )
        moved = moved[1:]
        if not moved:
            raise Unsupported("this mood moves block 0 alone, so that nothing is left; bake it")
    with replacing(path) as temporary:
        writer = GGUFWriter(temporary, _ARCHITECTURE)
        record = mood.record() | {"without_first": bool(left_out)}
        writer.add_string(f"{_ARCHITECTURE}.model_hint", family)
        writer.add_uint32(f"{_ARCHITECTURE}.layer_count", len(moved))
        writer.add_name(mood.emotion or "raw doses")
        writer.add_license(str(record["licence"]))
        writer.add_string("emotone.record", json.dumps(record, ensure_ascii=False))
        for block in moved:
            writer.add_tensor(f"direction.{block}", displacement[block].float().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return left_out
