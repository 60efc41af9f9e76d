"""Vectors of others: GGUF control vectors, persona vectors in .pt, safetensors of blocks."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from emotone.errors import DataError
from emotone.models.tiny import tiny_causal_lm
from emotone.steering.published import made_for, of_paper, read_published

ROWS = torch.randn(3, 32, generator=torch.Generator().manual_seed(4))


def write_gguf(path: Path, rows: dict[str, Tensor], architecture: str = "controlvector") -> Path:
    """As repeng's export_gguf writes it."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_string(f"{architecture}.model_hint", "llama")
    writer.add_uint32(f"{architecture}.layer_count", len(rows))
    for name, row in rows.items():
        writer.add_tensor(name, row.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_control_vector_of_some_blocks_leaves_the_others_alone(tmp_path: Path):
    path = write_gguf(tmp_path / "llama_happy.gguf", {"direction.1": ROWS[1]})
    lm = tiny_causal_lm()
    directions = read_published([path], depth=3)
    assert torch.equal(directions["joy"][1], ROWS[1])
    assert not directions["joy"][[0, 2]].any()
    assert made_for([path]) == ("resid", "all")
    vectors = of_paper(lm, directions, site="resid", positions="all")
    states: list[Tensor] = []
    block = lm.model.get_submodule("model.layers.1")
    for dose in (0.0, 2.0):
        with vectors.steer(lm.model, raw_scale={"joy": dose}):
            handle = block.register_forward_hook(lambda _m, _a, out: states.append(out))
            lm.model(torch.tensor([[5, 6, 7]]))
            handle.remove()
    plain, moved = (s[0] if isinstance(s, tuple) else s for s in states)
    assert torch.allclose(moved - plain, 2 * ROWS[1].expand_as(plain), atol=1e-5)


def test_without_a_depth_the_last_block_in_the_file_is_the_last(tmp_path: Path):
    path = write_gguf(tmp_path / "fear.gguf", {"direction.1": ROWS[1]})
    assert read_published([path])["fear"].shape == (2, 32)
    with pytest.raises(DataError, match="moves block 1, and the model's last is 0"):
        read_published([path], depth=1)


@pytest.mark.parametrize(
    "rows",
    [
        {},
        {"blk.0.attn_q.weight": ROWS},
        {"direction.1": ROWS[1], "token_embd.weight": ROWS},
        {"direction.x": ROWS[1]},
        {"direction.1": ROWS[1], "direction.2": ROWS[2, :9]},
        {"direction.1": torch.ones(32, dtype=torch.int32)},
    ],
)
def test_other_gguf_files_are_no_control_vectors(tmp_path: Path, rows: dict[str, Tensor]):
    with pytest.raises(DataError, match=r"a\.gguf holds no control vector"):
        read_published([write_gguf(tmp_path / "a.gguf", rows)])


@pytest.mark.parametrize("blob", [b"", b"GGUF", b"no such thing at all, but long enough to read"])
def test_damaged_gguf_files_are_named(tmp_path: Path, blob: bytes):
    (tmp_path / "a.gguf").write_bytes(blob)
    with pytest.raises(DataError, match=r"cannot read .*a\.gguf as GGUF"):
        read_published([tmp_path / "a.gguf"])


# -- persona vectors -----------------------------------------------------------------------------


def test_a_persona_vector_is_moved_by_one_block(tmp_path: Path):
    """Row l is a difference of hidden state l, which block l - 1 put out."""
    states = torch.randn(4, 32, generator=torch.Generator().manual_seed(5)).bfloat16()
    path = tmp_path / "evil_response_avg_diff.pt"
    torch.save(states, path)
    directions = read_published([path], depth=3)
    assert torch.equal(directions["evil"][:2], states[1:3].float())
    assert not directions["evil"][2].any()  # the last state is normed, which no block's is
    assert made_for([path]) == ("resid", "all")
    one = of_paper(tiny_causal_lm(), directions, site="resid", positions="all", block=1)
    assert one.blocks == (1,)
    assert torch.equal(one["evil"][1], states[2].float())
    with pytest.raises(DataError, match="no block 3; tiny has 0 to 2"):
        of_paper(tiny_causal_lm(), directions, block=3)


def test_a_pt_file_of_several_is_read_by_name(tmp_path: Path):
    torch.save({"joy": ROWS, "fear": -ROWS}, tmp_path / "all.pt")
    directions = read_published([tmp_path / "all.pt"], depth=3)
    assert torch.equal(directions["joy"], ROWS)
    assert torch.equal(directions["fear"], -ROWS)


class _Harmful:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path(self.place),))

    place = ""


def _unpickle(path: Path, **_: Any) -> Any:
    return pickle.loads(path.read_bytes())


@pytest.mark.parametrize("saved", ["torch", "pickle"])
def test_no_code_of_a_pickle_runs(tmp_path: Path, saved: str):
    _Harmful.place = str(tmp_path / "ran")
    path = tmp_path / "joy.pt"
    if saved == "torch":
        torch.save(_Harmful(), path)
    else:
        path.write_bytes(pickle.dumps(_Harmful()))
    with pytest.raises(DataError, match=r"joy\.pt holds more than tensors.*as safetensors"):
        read_published([path])
    assert not (tmp_path / "ran").exists()
    load: Any = torch.load if saved == "torch" else _unpickle  # as others do
    load(path, weights_only=False)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("value", [ROWS[0], {"joy": 3}, [ROWS], torch.ones(3, 32, dtype=torch.int)])
def test_other_contents_of_a_pt_file_are_refused(tmp_path: Path, value: object):
    torch.save(value, tmp_path / "joy.pt")
    with pytest.raises(DataError, match=r"joy\.pt holds more than tensors"):
        read_published([tmp_path / "joy.pt"])


# -- safetensors ---------------------------------------------------------------------------------


def test_safetensors_of_blocks_are_one_emotion(tmp_path: Path):
    save_file({"direction.0": ROWS[0], "2": ROWS[2]}, tmp_path / "m_sad.safetensors")
    directions = read_published([tmp_path / "m_sad.safetensors"], depth=3)
    assert torch.equal(directions["sadness"], ROWS * torch.tensor([[1.0], [0.0], [1.0]]))


def test_safetensors_of_other_forms_are_refused(tmp_path: Path):
    save_file({"joy": ROWS, "1": ROWS[1].clone()}, tmp_path / "a.safetensors")
    with pytest.raises(DataError, match=r"a\.safetensors holds more than tensors"):
        read_published([tmp_path / "a.safetensors"])


def test_files_that_act_in_different_places_are_imported_alone(tmp_path: Path):
    assert made_for([tmp_path / "M_joy.json", tmp_path / "v.safetensors"]) == ("attn_out", "last")
    with pytest.raises(DataError, match="different places"):
        made_for([tmp_path / "M_joy.json", tmp_path / "joy.gguf"])
