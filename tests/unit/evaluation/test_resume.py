"""What a file of replies was begun with, and whether a run may go on with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emotone.errors import ConfigError
from emotone.evaluation.manifest import beside
from emotone.evaluation.resume import begin, check_resume, settings
from emotone.types import Decoding


def asked(decoding: Decoding) -> dict:
    return settings(
        ["{}"],
        system="echo",
        model=None,
        emotion=None,
        decoding=decoding,
        overrides=(),
        shard="1/1",
    )


def test_a_file_begun_before_there_were_beams_goes_on_but_not_with_beams(tmp_path: Path):
    out = tmp_path / "replies.jsonl"
    begin(out, asked(Decoding()), "-")
    made = json.loads(beside(out).read_text())
    for key in ("beams", "length_penalty", "sentence_end_after"):
        del made["settings"]["decoding"][key]
    beside(out).write_text(json.dumps(made))
    check_resume(out, asked(Decoding()))
    for other in (
        Decoding(strategy="beam"),
        Decoding(beams=5),
        Decoding(seed=1),
        Decoding(sentence_end_after=0.5),
    ):
        with pytest.raises(ConfigError, match=r"was begun with other decoding\."):
            check_resume(out, asked(other))


def test_a_model_folder_or_a_file_of_settings_that_was_written_anew_is_another(tmp_path: Path):
    model, vectors, out = tmp_path / "model", tmp_path / "v.safetensors", tmp_path / "r.jsonl"
    model.mkdir()
    (model / "weights").write_bytes(b"1")
    vectors.write_bytes(b"1")

    def now() -> dict:
        return settings(
            ["{}"],
            system="steered",
            model=str(model),
            emotion=None,
            decoding=Decoding(),
            overrides=(f"vectors={vectors}", "candidates=1"),
            shard="1/1",
        )

    begin(out, now(), "-")
    check_resume(out, now())
    for path, name in ((model / "weights", "model"), (vectors, "vectors")):
        path.write_bytes(b"2")
        with pytest.raises(ConfigError, match=rf"was begun with other files\.{name}; "):
            check_resume(out, now())
        path.write_bytes(b"1")
    vectors.unlink()
    with pytest.raises(ConfigError, match=r"was begun with other files\.vectors; "):
        check_resume(out, now())
