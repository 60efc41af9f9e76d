"""README and docs say what is true: examples run, links lead somewhere, names exist."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.M | re.S)


def blocks(page: Path, info: str) -> list[tuple[int, str]]:
    """Return (line number, text) of the fenced blocks of one kind."""
    text = page.read_text(encoding="utf-8")
    found = [m for m in _FENCE.finditer(text) if m["info"].strip() == info]
    return [(text.count("\n", 0, m.start("body")) + 1, m["body"]) for m in found]


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def test_pages_were_found():
    assert len(PAGES) > 15
    assert len(WITH_EXAMPLES) > 5


# -- examples run --------------------------------------------------------------------------------


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put the tiny model and its vectors where the examples load real ones, and their files."""
    import numpy as np

    from emotone import models
    from emotone.models import embed
    from emotone.models.tiny import tiny_causal_lm
    from emotone.steering import calibrate, find
    from emotone.steering import vectors as files
    from emotone.steering.fluency import Fluency
    from emotone.systems import steered

    vectors = steered.tiny().vectors
    real_sweep = calibrate.sweep

    def load_causal_lm(name: str | Path, device: str = "auto", *, fetch: bool = True) -> Any:
        assert name in ("smollm2", "my-org/my-chat-model")
        return tiny_causal_lm()

    def sweep(*args: Any, **kwargs: Any) -> dict[str, list[calibrate.DosePoint]]:
        """What a model with sense would give; babble has no fluent dose."""
        asked = inspect.signature(real_sweep).bind(*args, **kwargs).arguments
        replies = asked["answer"]([models_dialogue("hello")], [{asked["labels"][0]: 0.2}])
        assert len(replies) == 1
        assert asked["embed"](replies).shape[0] == 1
        assert asked["judge"].classify(replies)
        fluency = Fluency(1.0, 1.0, 0.0, 1.0, 1.0, 9.0)
        rising = [calibrate.DosePoint(d, 0.5 + d / 2, 0.5, fluency) for d in (-0.5, 0.0, 0.5, 1.0)]
        return dict.fromkeys(asked["labels"], rising)

    def models_dialogue(text: str) -> Any:
        from emotone.types import Dialogue

        return Dialogue.of(text)

    monkeypatch.setattr(models, "load_causal_lm", load_causal_lm)
    monkeypatch.setattr(embed, "sentence_embedder", lambda: lambda ts: np.ones((len(ts), 1)))
    monkeypatch.setattr(calibrate, "sweep", sweep)
    monkeypatch.setattr(steered, "sweep", sweep)
    monkeypatch.setattr(find, "shipped_names", lambda: ["smollm2"])
    monkeypatch.setattr(files.EmotionVectors, "shipped", lambda name: vectors)
    monkeypatch.chdir(tmp_path)
    own = ROOT / "docs" / "how-to" / "steer-your-own-model.md"
    (tmp_path / "exchanges.jsonl").write_text(blocks(own, "jsonl")[0][1], encoding="utf-8")
    labelled = [{"text": f"{t} {i % 3}", "label": e} for i in range(12) for t, e in _LABELLED]
    (tmp_path / "labelled.jsonl").write_text("\n".join(map(json.dumps, labelled)), encoding="utf-8")
    (tmp_path / "posts.txt").write_text("I lost my keys.\nWe won!\n", encoding="utf-8")


_LABELLED = (("I can't believe we won!", "joy"), ("Leave me alone!", "anger"))


WITH_EXAMPLES = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
@pytest.mark.usefixtures("stand_in")
def test_python_examples_run_as_written(page: Path):
    """All blocks of a page run in order and share their names, as a reader would type them."""
    import emotone

    # Pages but the README speak of `emotone` without importing it each time.
    names: dict[str, Any] = {"__name__": "__main__", "emotone": emotone}
    if page == README:
        del names["emotone"]
    for line, text in blocks(page, "python"):
        code = compile("\n" * (line - 1) + text, str(page), "exec")
        exec(code, names)


def test_the_door_of_the_readme_is_the_one_promised():
    first = blocks(README, "python")[0][1]
    assert [line for line in first.splitlines() if line] == [
        "import emotone",
        'emotone.load().reply("My best friend forgot my birthday.", "sadness:80")',
    ]


def test_every_python_block_runs():
    kinds = {m["info"].strip() for p in PAGES for m in _FENCE.finditer(p.read_text("utf-8"))}
    assert kinds <= {"python", "python notest", "bash", "text", "json", "jsonl"}


def test_the_system_of_the_how_to_keeps_the_contract_it_describes():
    from emotone.emotions import EmotionMix
    from emotone.errors import Unsupported
    from emotone.types import Decoding, Dialogue

    page = ROOT / "docs" / "how-to" / "add-a-system.md"
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(blocks(page, "python")[0][1], names)
    mine = names["tiny"]()
    asked = [EmotionMix.parse("joy"), None]
    made = mine.reply([Dialogue.of("a")] * 2, asked, decoding=Decoding(seed=5))
    assert [(r.text, r.seed) for r in made] == [("Hooray!", 5), ("I see.", 6)]
    with pytest.raises(Unsupported, match="joy:50"):
        mine.reply([Dialogue.of("a")], [EmotionMix.parse("joy:50")], decoding=Decoding())


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_example_lines_are_read_as_examples(page: Path):
    from emotone.evaluation.records import read_examples

    for _, text in blocks(page, "jsonl"):
        lines = text.splitlines()
        assert len(list(read_examples(lines, str(page)))) == len(lines)


def test_the_keys_of_replies_are_those_written():
    from emotone.evaluation.records import reply_line
    from emotone.types import Dialogue, Example, Reply

    written = json.loads(
        reply_line(Example("1", Dialogue.of("a")), Reply("b", None, "echo", "none", 0, 1))
    )
    page = (ROOT / "docs" / "how-to" / "generate-for-a-file.md").read_text(encoding="utf-8")
    table = page.split("## replies.jsonl")[1].split("## ")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(cells))) == sorted(written)


# -- commands ------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, str]]:
    for page, name in zip(PAGES, NAMES, strict=True):
        for line, text in blocks(page, "bash"):
            for offset, command in enumerate(text.splitlines()):
                if command.strip():
                    yield f"{name}:{line + offset}", command.strip()


@pytest.mark.parametrize(("where", "command"), list(commands()))
def test_commands_of_the_docs_exist(where: str, command: str):
    words = shlex.split(re.split(r" [<>|] ", command)[0], comments=True)
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.M), where
        for word in words[2:]:
            assert f"{word.split('=')[0]} ?=" in (ROOT / "Makefile").read_text("utf-8"), where
        return
    if Path(words[0]).name != "emotone":
        assert Path(words[0]).name in ("python", "pip", "cat"), where
        return
    import typer

    from emotone.cli.app import app

    found: Any = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(found, "commands"):
        assert rest, f"{where}: {command!r} names no command"
        assert rest[0] in found.commands, f"{where}: there is no command {rest[0]!r}"
        found, rest = found.commands[rest[0]], rest[1:]
    made = found.make_context(found.name, rest)  # raises on unknown options
    given = made.params.get("emotion")
    if given not in (None, "all"):
        from emotone.emotions import EKMAN, NLPCC, EmotionMix, MixText

        if MixText.read(given).auto is not None:
            return

        # Chinese models of the recurrent systems have NLPCC's labels.
        recurrent = made.params.get("system") in ("ecm", "emo-seq")
        EmotionMix.parse(given, EKMAN if command.isascii() or not recurrent else NLPCC)


def make_cli() -> ModuleType:
    path = ROOT / "docs" / "reference" / "make_cli.py"
    spec = importlib.util.spec_from_file_location("make_cli", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_reference_is_up_to_date(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "61")  # a terminal's width changes nothing
    module = make_cli()
    assert module.PAGE.read_text(encoding="utf-8") == module.render(), (
        "run python docs/reference/make_cli.py"
    )


# -- names and links -----------------------------------------------------------------------------

_LINK = re.compile(r"\[[^\]]*\]\((?P<to>[^)\s]+)\)")


def slug(heading: str) -> str:
    """Return the anchor of a heading, as Zensical and GitHub make it."""
    plain = re.sub(r"[`*]", "", heading).strip().lower()
    return re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", plain))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_relative_links_resolve(page: Path):
    for match in _LINK.finditer(prose(page)):
        to = match["to"]
        if re.match(r"[a-z]+:", to):
            continue
        path, _, anchor = to.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {to}"
        if page != README:
            assert ROOT / "docs" in target.parents, f"{page.name} links out of the docs: {to}"
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M)
            assert anchor in map(slug, heads), f"{page.name} links to {to}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_paths_that_the_prose_names_exist(page: Path):
    for path in re.findall(r"`((?:src|tests|recipes|bench|docs)/[\w./-]*)`", prose(page)):
        # Results are there once the recipe has run; the file of the how-to is the reader's.
        if not path.startswith("docs/results/") and not path.endswith("/mine.py"):
            assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_modules_of_the_prose_exist():
    for page in PAGES:
        for path in re.findall(r"\(`((?:steering|models|systems)/\w+\.py)`", prose(page)):
            assert (ROOT / "src" / "emotone" / path).exists(), f"{page.name} names {path}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_python_names_of_the_prose_exist(page: Path):
    for name in set(re.findall(r"`(emotone(?:\.\w+)+)(?:\([^`]*\))?`", prose(page))):
        parts = name.split(".")
        found: Any = importlib.import_module(parts[0])
        for i, part in enumerate(parts[1:], 2):
            if not hasattr(found, part):
                try:
                    importlib.import_module(".".join(parts[:i]))
                except ModuleNotFoundError:
                    pytest.fail(f"{page.name} names {name}, which does not exist")
            found = getattr(found, part)


def test_every_name_in_the_python_column_of_the_readme_can_be_called_or_imported():
    rows = [row.split("|") for row in README.read_text("utf-8").splitlines() if row[:2] == "| "]
    column = next(i for i, cell in enumerate(rows[0]) if cell.strip() == "Python")
    named = [
        match
        for row in rows
        if len(row) == len(rows[0])
        for match in re.findall(r"emotone((?:\.\w+)+)(\(?)", row[column])
    ]
    assert len(named) > 8
    for path, called in named:
        parts = path.split(".")[1:]
        value: Any = importlib.import_module("emotone")
        for i, part in enumerate(parts):
            if not hasattr(value, part):
                importlib.import_module(".".join(["emotone", *parts[: i + 1]]))
            value = getattr(value, part)
        assert callable(value) if called else inspect.ismodule(value), f"emotone{path}"


def test_the_names_of_the_package_are_there_after_its_import_alone():
    code = (
        "import emotone, sys; assert 'torch' not in sys.modules;"
        "assert {*emotone.__all__} <= {*dir(emotone)};"
        "assert all(map(callable, (emotone.generate, emotone.score, emotone.extract)));"
        "assert callable(emotone.calibrate) and callable(emotone.judges.open_judge);"
        "assert not hasattr(emotone, 'no_such_name')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_python_reference_lists_all_public_names():
    import emotone

    text = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    missing = [name for name in emotone.__all__ if f"`emotone.{name}" not in text]
    assert not missing


def test_the_pages_on_systems_are_complete():
    from emotone import systems

    for name in systems.names():
        assert (ROOT / "docs" / "systems" / f"{name}.md").exists(), f"write docs/systems/{name}.md"


def test_the_tree_of_the_readme_names_files_that_exist():
    after = README.read_text(encoding="utf-8").split("## What is where")[1]
    match = _FENCE.search(after)
    assert match is not None
    assert match["info"] == "text"
    folders: list[str] = []
    for line in match["body"].splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name, _, caption = line.strip().partition("  ")
        assert caption.strip(), f"{name} has no caption"
        folders = [*folders[:depth], name]
        path = ROOT / "".join(folders)
        assert path.exists(), f"the tree names {path.relative_to(ROOT)}"
        assert path.is_dir() == name.endswith("/"), name


def test_the_tree_of_the_readme_leaves_no_room_out():
    rooms = {p.name.removesuffix(".py") for p in (ROOT / "src" / "emotone").iterdir()}
    rooms -= {"__init__", "__main__", "__pycache__", "py.typed"}
    tree = README.read_text(encoding="utf-8").split("## What is where")[1].split("## ")[0]
    assert sorted(r for r in rooms if not re.search(rf"^  {r}(/|\.py) ", tree, re.M)) == []


def test_pages_are_in_the_navigation():
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("nav:")[1]
    for page in PAGES[1:]:
        name = page.relative_to(ROOT / "docs").as_posix()
        assert f" {name}\n" in listed, f"{name} is not in mkdocs.yml"


def test_pages_stay_short():
    generated = ("cli.md", "results.md")
    for page in PAGES:
        if page.name not in generated and not re.match(
            r"(recurrent|emprl)-(.*results|replies)", page.name
        ):
            lines = page.read_text(encoding="utf-8").count("\n")
            limit = 175 if page == README else 150  # its tree names every room
            assert lines <= limit, f"{page.name} has {lines} lines"


# -- numbers are those of the results -------------------------------------------------------------


def test_the_results_page_is_that_of_its_json():
    from recipes.companion.table import BLIND, MOODS, PAGE, RESULT, page
    from recipes.compare.files import read_results

    written = page(read_results(RESULT), read_results(BLIND), read_results(MOODS))
    assert PAGE.read_text(encoding="utf-8") == written


def test_what_the_readme_says_of_readers_is_what_they_rated():
    from recipes.companion.table import BLIND, with_table
    from recipes.compare.files import read_results

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == with_table(readme, read_results(BLIND))


def test_the_judge_of_the_empathy_figures_is_the_one_that_ships():
    from emotone.judges.card import card_hash
    from emotone.models import zoo

    folder = zoo.folder("identifiers", "empathy-score")
    card = json.loads((folder / "judge.json").read_text(encoding="utf-8"))
    name = f"{card['name']}-{card['version']}-{card_hash(card)}"
    figures = json.loads((ROOT / "docs/results/empathy.json").read_text(encoding="utf-8"))
    assert figures["empathy-score"]["judge"] == name


def test_the_changelog_counts_the_corpora():
    import pkgutil

    from emotone.data import corpora

    count = len(list(pkgutil.iter_modules(corpora.__path__)))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"Readers for {count} corpora" in changelog
