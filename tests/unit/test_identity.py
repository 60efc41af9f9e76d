"""What work depends on: the digests, and the sentence that refuses another."""

from __future__ import annotations

from pathlib import Path

import pytest

from emotone import identity
from emotone.errors import ConfigError
from emotone.identity import check_same, digest_path


def test_a_folder_s_digest_follows_its_content_and_not_its_place(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "a.bin").write_bytes(b"abc")
    first = digest_path(tmp_path / "one")
    assert first == digest_path(tmp_path / "two")
    (tmp_path / "two/inner/a.bin").write_bytes(b"abd")
    assert digest_path(tmp_path / "two") != first
    (tmp_path / "two/inner/a.bin").write_bytes(b"abc")
    (tmp_path / "two/inner/b.bin").write_bytes(b"")
    assert digest_path(tmp_path / "two") != first


def test_of_a_large_file_both_ends_and_the_size_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(identity, "WHOLE", 4)
    monkeypatch.setattr(identity, "_PIECE", 2)
    path = tmp_path / "weights"
    digests = set()
    for content in (b"x" * 999, b"y" + b"x" * 998, b"x" * 998 + b"y", b"x" * 1000):
        path.write_bytes(content)
        digests.add(digest_path(path))
    assert len(digests) == 4


def test_only_what_differs_is_named():
    before = {"seed": 1, "data": {"train": "0" * 64, "dev": "1" * 64}, "decoding": {"beams": 1}}
    check_same(before, dict(before), Path("run"), "name another folder")
    now = {"seed": 2, "data": {"train": "2" * 64, "dev": "1" * 64}, "decoding": {"beams": 5}}
    with pytest.raises(ConfigError) as refused:
        check_same(before, now, Path("run"), "name another folder")
    assert str(refused.value) == (
        "run was begun with other seed (1 then, 2 now), data.train, decoding.beams (1 then, 5 now);"
        " set it as it was, or name another folder"
    )
    with pytest.raises(ConfigError, match=r"start \(null then, "):
        check_same({}, {"start": "joy"}, Path("run"), "x")
