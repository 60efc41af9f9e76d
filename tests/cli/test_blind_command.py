"""`emotone blind`: a sheet for readers, and a table of what they gave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from emotone.emotions import EmotionMix
from emotone.evaluation.records import reply_line
from emotone.types import Dialogue, Example, Reply


def replies(system: str) -> list[tuple[Example, Reply]]:
    mix = EmotionMix.parse("joy:60")
    return [
        (Example(f"e{n}", Dialogue.of(f"Post {n}.")), Reply(f"Yes, {n}!", mix, system, "m", 0, 1))
        for n in range(8)
    ]


def test_it_goes_from_replies_to_a_table(tmp_path: Path, run: Callable[..., tuple[int, str, str]]):
    for system in ("A", "B"):
        lines = [reply_line(e, r) + "\n" for e, r in replies(system)]
        (tmp_path / f"{system}.jsonl").write_text("".join(lines), encoding="utf-8")
    inputs = ["-i", str(tmp_path / "A.jsonl"), "-i", str(tmp_path / "B.jsonl")]
    sheet = tmp_path / "s.jsonl"
    code, out, err = run("blind", "sheet", *inputs, "-o", str(sheet), "--by-hand", "4")
    assert (code, out.strip()) == (0, str(sheet))
    assert "keep" in err
    rows = [json.loads(line) for line in sheet.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 20
    ratings = tmp_path / "me.jsonl"
    rated = [{"id": row["id"], "emotion": 1, "content": 1, "blame": 0} for row in rows[:10]]
    ratings.write_text("\n".join(map(json.dumps, rated)), encoding="utf-8")
    key = str(tmp_path / "s.key.json")
    code, out, err = run("blind", "report", str(ratings), "--key", key)
    assert code == 0
    assert "| A, m |" in out
    assert "10 of 20 lines are not rated" in err
    code, out, _ = run("blind", "report", str(ratings), "--key", key, "--json")
    assert json.loads(out)["systems"][0]["content"]["value"] == 1
