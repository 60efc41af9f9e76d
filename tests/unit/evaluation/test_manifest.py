"""Where numbers come from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import emotone
from emotone.errors import DataError
from emotone.evaluation.manifest import beside, commit, manifest, read_manifest


def test_a_manifest_names_code_machine_inputs_judges_and_seeds_but_no_folder(tmp_path: Path):
    source = tmp_path / "secret-folder"
    source.mkdir()
    path = source / "replies.jsonl"
    path.write_bytes(b"one\n")
    made = manifest(
        [path], judges={"en-score-1": {"mine": "abc"}}, settings={"rounds": 5}, seeds=[3, 1, 3], x=1
    )
    assert made["emotone"] == emotone.__version__
    assert made["inputs"] == [
        {"name": "replies.jsonl", "bytes": 4, "sha256": hashlib.sha256(b"one\n").hexdigest()}
    ]
    assert made["seeds"] == {"count": 2, "first": 1, "last": 3}
    assert made["judges"] == {"en-score-1": {"mine": "abc"}}
    assert (made["settings"], made["x"]) == ({"rounds": 5}, 1)
    assert made["packages"]["numpy"]
    assert made["machine"]["cpus"] >= 1
    said = json.dumps(made)
    assert "secret-folder" not in said
    assert str(Path.home()) not in said or str(Path.home()) == "/"


def test_a_checkout_names_its_commit():
    root = Path(emotone.__file__).resolve().parents[2]
    if not (root / ".git").exists():
        pytest.skip("this is no checkout")
    said = commit()
    assert said is not None
    assert len(said.removesuffix("+changes")) == 40


def test_a_missing_input_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"cannot read .*none\.jsonl"):
        manifest([tmp_path / "none.jsonl"])


def test_a_manifest_stands_beside_its_file(tmp_path: Path):
    path = beside(tmp_path / "replies.jsonl")
    assert path.name == "replies.manifest.json"
    assert read_manifest(path) == {}
    path.write_text('{"a": 1}')
    assert read_manifest(path) == {"a": 1}
    for wrong in ("[]", "{", ""):
        path.write_text(wrong)
        with pytest.raises(DataError, match=r"replies\.manifest\.json"):
            read_manifest(path)
