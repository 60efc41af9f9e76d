"""Judges that touched the training of replies may not score them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from emotone.errors import DataError, UsageError
from emotone.evaluation.touched import check_judges, judges_beside
from emotone.types import JudgeName
from unit.evaluation.hearing import pair


@pytest.mark.parametrize("listed", ["en-score", "en-score-2-0a1b2c3d", "en-score-1-0a1b2c3d:nlpcc"])
def test_a_judge_that_touched_the_training_is_refused(listed: str):
    example, reply = pair(0, "hi")
    rows = [(example, dataclasses.replace(reply, applied={"judges": [listed]}))]
    judge = "en-score-1-ffffffff:ekman"
    check_judges(["zh-score"], rows, trained=[])
    with pytest.raises(UsageError, match=r"judge 'en-score' touched the training.*--same-judge"):
        check_judges([judge], rows, trained=[])
    with pytest.raises(UsageError, match="'en-score'"):
        check_judges([judge], [], trained=[JudgeName.parse(listed)])


@pytest.mark.parametrize(
    "listed",
    [
        "en-score",
        {"en-score-1-0a1b2c3d": {"goemotions": "ab"}},
        ["other", "judges/En_Score-1-0a1b2c3d:ekman"],
        ("en_score (GoEmotions, CC BY/4.0)",),
    ],
)
def test_judges_are_found_in_every_shape_they_are_written_in(listed):
    example, reply = pair(0, "hi")
    rows = [(example, dataclasses.replace(reply, applied={"judges": listed}))]
    for name in ("en-score-1-ffffffff:ekman", "/my/judges/EN-score"):
        with pytest.raises(UsageError, match="judge 'en-score' touched"):
            check_judges([name], rows, trained=[])
    check_judges(["zh-score"], rows, trained=[])


@pytest.mark.parametrize("listed", [3, True, [1], [["en-score"]], {4: {}}, "", [None]])
def test_judges_in_a_shape_that_is_not_understood_are_refused(listed):
    example, reply = pair(0, "hi")
    rows = [(example, dataclasses.replace(reply, applied={"judges": listed}))]
    with pytest.raises(DataError, match=r'"judges" of the reply to .x0. is'):
        check_judges(["en-score"], rows, trained=[])


def test_manifests_beside_replies_and_of_the_model_are_read(tmp_path: Path):
    (tmp_path / "replies.manifest.json").write_text(json.dumps({"judges": ["a-1-00000000"]}))
    (tmp_path / "manifest.json").write_text(json.dumps({"judges": {"b": {}}}))
    assert judges_beside([tmp_path / "replies.jsonl"]) == [JudgeName("a"), JudgeName("b")]
    (tmp_path / "manifest.json").write_text(json.dumps({"judges": 3}))
    with pytest.raises(DataError, match=r'"judges" of .*manifest.json is 3; give a name'):
        judges_beside([tmp_path / "replies.jsonl"])
