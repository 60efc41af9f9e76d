"""`emotone study`: from replies to links, ratings and a report."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emotone.cli import app as commands
from emotone.cli import study as command
from emotone.evaluation import blind
from emotone.human.ratings import Act, save, state_of, tell
from emotone.human.store import open_store, rater_of_token, study_of, units_of
from unit.human import simulated

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is there, whether the list of commands has it yet or not."""
    groups = commands.app.registered_groups
    if not any(group.name == "study" for group in groups):
        monkeypatch.setattr(commands.app, "registered_groups", [*groups])
        commands.app.add_typer(command.app, name="study")


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    return [part for path in simulated.replies(tmp_path, 3) for part in ("-i", str(path))]


@pytest.fixture
def made(tmp_path: Path, inputs: list[str], run: Run) -> tuple[Path, dict[str, str]]:
    path = tmp_path / "s.db"
    few = ("--raters", "3", "--ratings-per-item", "2", "--by-hand", "2")
    code, out, _ = run("study", "create", *inputs, "-o", str(path), *few)
    assert code == 0
    return path, dict(line.split("\t") for line in out.splitlines())


def rate(path: Path, links: dict[str, str], content: int = 2) -> None:
    with open_store(path) as store:
        units = units_of(store)
        for link in links.values():
            rater = rater_of_token(store, link.rpartition("/")[2])
            assert rater is not None
            tell(store, rater, "consent")
            while (state := state_of(store, rater, units)).unit is not None:
                check = state.unit.expected
                values = {"emotion": 1, "content": content, "blame": 0}
                values = values if check is None else dict.fromkeys(values, check)
                save(store, rater, Act("rate", f"k{state.place}", state.place, values, seconds=5))


def test_it_goes_from_replies_to_a_report(made: tuple[Path, dict[str, str]], run: Run):
    path, links = made
    assert list(links) == ["r01", "r02", "r03"]
    assert all(link.startswith("http://127.0.0.1:8130/r/") for link in links.values())
    code, out, _ = run("study", "status", str(path))
    assert (code, len(out.splitlines())) == (0, 3)
    assert "0 of" in out
    rate(path, links)
    code, out, _ = run("study", "report", str(path), "--rounds", "20")
    assert (code, out.strip()) == (0, str(path.with_name("s-report") / "index.html"))
    folder = path.with_name("s-report")
    assert {p.name for p in folder.iterdir()} == {
        "index.html", "tables.md", "tables.tex", "study.json"}  # fmt: skip
    table = (folder / "tables.md").read_text("utf-8")
    assert "A-Seq2Seq (published)" in table
    assert "| Content | 2.00" in table
    assert r"\toprule" in (folder / "tables.tex").read_text("utf-8")
    code, out, _ = run("study", "report", str(path), "--rounds", "20", "--json",
                       "-o", str(folder))  # fmt: skip
    found = json.loads(out)
    assert {c["number"]["value"] for c in found["cells"] if c["question"] == "content"} == {2.0}
    code, out, _ = run("study", "report", str(path), "--rounds", "20", "--json", "--without", "r02",
                       "-o", str(folder))  # fmt: skip
    assert [r["name"] for r in json.loads(out)["raters"]] == ["r01", "r03"]
    assert run("study", "report", str(path), "--without", "r7")[0] == 2
    status = json.loads(run("study", "status", str(path), "--json")[1])
    assert all(row["done"] == row["total"] for row in status["raters"])


def test_the_cost_is_said_before_anything_is_made(inputs: list[str], tmp_path: Path, run: Run):
    path = tmp_path / "s.db"
    code, out, _ = run("study", "create", *inputs, "-o", str(path), "--dry-run", "--width", "0.1",
                       "--by-hand", "0")  # fmt: skip
    assert code == 0
    assert not path.exists()
    assert "minutes each" in out
    assert "±0.1 takes" in out
    code, out, _ = run("study", "create", *inputs, "-o", str(path), "--dry-run", "--json",
                       "--by-hand", "0", "--seconds-per-item", "30")  # fmt: skip
    said = json.loads(out)
    assert said["links"] == {}
    assert said["cost"]["raters"] == 12
    assert said["cost"]["minutes_a_rater"] >= said["cost"]["items_a_rater"] / 2


def test_ratings_go_out_and_in(made: tuple[Path, dict[str, str]], tmp_path: Path, run: Run):
    path, links = made
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    rate(path, links)
    out = tmp_path / "ratings.csv"
    code, said, err = run("study", "export", str(path), "-o", str(out))
    assert (code, said.strip()) == (0, str(out))
    assert "keep the file from raters" in err
    assert "r02" in out.read_text("utf-8-sig")
    run("study", "export", str(path), "-o", str(tmp_path / "few.csv"), "--without", "r02")
    assert "r02" not in (tmp_path / "few.csv").read_text("utf-8-sig")
    code, _, err = run("study", "import", str(copy), str(out))
    assert code == 0
    assert " taken, 0 were there" in err
    assert "0 ratings taken" in run("study", "import", str(copy), str(out))[2]


def test_a_blind_sheet_becomes_a_study(inputs: list[str], tmp_path: Path, run: Run):
    sheet, key, path = tmp_path / "s.jsonl", tmp_path / "key.json", tmp_path / "s.db"
    run("blind", "sheet", *inputs, "-o", str(sheet), "--key", str(key), "--by-hand", "2")
    drawn = blind.read_key(key)
    code, _, _ = run("study", "create", "--key", str(key), "-o", str(path), "--raters", "3")
    assert code == 0
    filled = [{"id": i.id, "emotion": 1, "content": 1, "blame": 0} for i in drawn]
    (tmp_path / "anna.jsonl").write_text("\n".join(map(json.dumps, filled)), encoding="utf-8")
    anna = str(tmp_path / "anna.jsonl")
    code, _, err = run("study", "import", str(path), anna, "--key", str(key))
    assert code == 0
    assert f"{len(drawn)} ratings taken" in err


def test_raters_are_added_and_replaced(made: tuple[Path, dict[str, str]], run: Run):
    path, _ = made
    code, out, _ = run("study", "invite", str(path), "--name", "anna", "--items", "4",
                       "--url", "https://x.example/")  # fmt: skip
    assert code == 0
    assert out.startswith("anna\thttps://x.example/r/")
    assert run("study", "invite", str(path), "--name", "ben", "--replace", "r01")[0] == 0
    code, out, _ = run("study", "status", str(path))
    assert "r01" in out
    assert "replaced" in out
    code, _, err = run("study", "invite", str(path))
    assert (code, "give the new rater's name by --name" in err) == (2, True)
    code, _, err = run("study", "invite", str(path), "--name", "x", "--replace", "r99")
    assert (code, "unknown rater 'r99'" in err) == (2, True)


def test_a_design_of_ones_own(inputs: list[str], tmp_path: Path, run: Run):
    code, text, _ = run("study", "design", "empathy")
    assert code == 0
    own = tmp_path / "own.toml"
    own.write_text(text.replace("empathy", "warmth"), encoding="utf-8")
    path = tmp_path / "s.db"
    common = ("study", "create", *inputs, "-o", str(path), "--by-hand", "2")
    code, _, _ = run(*common, "--design", str(own), "--lang", "zh", "--contact", "Dr. Li")
    assert code == 0
    with open_store(path) as store:
        study = study_of(store)
        assert [c.name for c in study.design.criteria] == ["warmth", "relevance", "fluency"]
        assert (study.lang, study.contact) == ("zh", "Dr. Li")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--design", "emosq"), "unknown design 'emosq'; did you mean 'emo-seq'"),
        (("--design", "no.toml"), "no.toml"),
        (("--lang", "fr"), "--lang is 'fr'; use en or zh"),
        (("--asked", "some"), "--asked is 'some'; use own or all"),
        (("--raters", "2"), "3 ratings an item came for 2 raters"),
        (("--name", "a", "--name", "a", "--ratings-per-item", "1"), "rater 'a' is named twice"),
        (("--emotion", "envy"), "unknown emotion 'envy'"),
        (("--by-hand", "9999"), "9999 are asked"),
        (("--key", "key.json"), "give replies by -i, or the key"),
    ],
)
def test_wrong_use_is_one_sentence(
    more: tuple[str, ...], told: str, inputs: list[str], tmp_path: Path, run: Run
):
    path = tmp_path / "s.db"
    code, out, err = run("study", "create", *inputs, "-o", str(path), "--by-hand", "0", *more)
    assert (code, out) == (2, "")
    assert told in err
    assert len(err.strip().splitlines()) == 1
    assert not path.exists()


def test_what_blinding_cannot_hide_is_said(inputs: list[str], tmp_path: Path, run: Run):
    path = Path(inputs[1])
    text = path.read_text("utf-8").replace("Answer 0 joy", "I, the Plodder, joy")
    path.write_text(text, encoding="utf-8")
    code, _, err = run("study", "create", *inputs, "-o", str(tmp_path / "s.db"), "--by-hand", "0")
    assert code == 0
    assert "1 reply says the name of a system or model" in err


def test_a_missing_extra_is_one_sentence(
    made: tuple[Path, dict[str, str]], run: Run, monkeypatch: pytest.MonkeyPatch
):
    real = builtins.__import__

    def absent(name: str, *args: Any, **more: Any) -> Any:
        if name == "emotone.human.app":
            raise ModuleNotFoundError("No module named 'starlette'", name="starlette")
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    code, _, err = run("study", "serve", str(made[0]))
    assert code == 1
    assert "pip install 'emotone[serve]'" in err


def test_serving_refuses_what_cannot_be_served(made: tuple[Path, dict[str, str]], run: Run):
    code, _, err = run("study", "serve", str(made[0]), "--port", "70000")
    assert (code, "the port is 70000" in err) == (2, True)
    code, _, err = run("study", "serve", str(made[0].with_name("none.db")))
    assert (code, "is no file" in err) == (2, True)
