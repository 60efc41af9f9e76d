"""The command line: results on stdout, all else on stderr, exit codes, files.

Most tests call `main` in this process; what only a process shows (exit codes as the shell sees
them, signals, start-up cost) is shown by a real one.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import emotone
from emotone import systems
from emotone.cli import main, progress
from emotone.door import open_door
from emotone.errors import CheckpointError
from emotone.systems import prompted
from emotone.systems.echo import Echo


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def notes(self) -> list[str]:
        """What was said on stderr, without the progress bar."""
        lines = self.err.splitlines()
        return [line.removeprefix("emotone: ") for line in lines if line.startswith("emotone: ")]


Run = Callable[..., Done]


class Terminal(io.TextIOWrapper):
    """A stdin that somebody sits at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, with text or bytes on its stdin."""

    def start(*argv: str, stdin: str | bytes = "") -> Done:
        blob = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "argv", ["emotone", *argv])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(blob), encoding="utf-8"))
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return start


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `--system prompted` answer with its tiny random model."""
    monkeypatch.setattr(prompted, "load", lambda model=None, *, device, config: prompted.tiny())


def refused(done: Done) -> str:
    """Check that wrong use ended with code 2 and one sentence, and return the sentence."""
    assert done.code == 2, done
    assert done.out == ""
    assert len(done.err.splitlines()) == 1, done.err
    assert done.err.startswith("emotone: ")
    return done.err.removeprefix("emotone: ").rstrip("\n")


def process(*argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "emotone", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def interruptible() -> None:
    """Undo what a shell does that runs the tests in the background: it has interrupts ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


# -- real processes ---------------------------------------------------------------------------


def test_a_process_prints_the_reply_and_nothing_else():
    done = process("reply", "--system", "echo", "hello")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


def test_a_process_that_is_used_wrongly_ends_with_2_and_one_sentence():
    done = process("reply", "hello", "--system", "ecko")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "emotone: unknown system 'ecko'; did you mean 'echo'? "
        f"Allowed: {', '.join(systems.names())}. A dotted name loads a module of your own.\n"
    )


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupted_process_ends_with_130_and_no_traceback():
    chat = subprocess.Popen(
        [sys.executable, "-m", "emotone", "chat", "--system", "echo"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,
    )
    assert chat.stdin is not None
    assert chat.stdout is not None
    assert chat.stderr is not None
    chat.stdin.write("hello\n")
    chat.stdin.flush()
    assert chat.stdout.readline() == "hello\n"
    chat.send_signal(signal.SIGINT)
    _, said = chat.communicate(timeout=300)
    assert chat.returncode == 130
    assert said.endswith("emotone: interrupted\n")
    assert "Traceback" not in said


SWALLOWS = """
import os, signal, time
try:
    signal.raise_signal(signal.SIGINT)
    time.sleep(9)
except KeyboardInterrupt as error:
    {then}
raise ImportError("cannot load module more than once per process")
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    "then", ["pass", "raise ModuleNotFoundError('Could not import module') from error"]
)
def test_an_interrupt_that_a_library_takes_for_a_failed_import_is_one(tmp_path: Path, then: str):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "own.py").write_text(SWALLOWS.format(then=then))
    done = process(
        "reply", "hello", "--system", "taken.own", cwd=tmp_path, preexec_fn=interruptible
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "emotone: interrupted\n")


def test_an_interrupt_inside_an_error_is_said_and_a_later_error_is_itself(run: Run, monkeypatch):
    def load(*_: Any, **__: Any) -> Any:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise CheckpointError("the model cannot be loaded") from None

    monkeypatch.setattr(systems, "load", load)
    assert run("reply", "hi", "-s", "echo") == Done(130, "", "emotone: interrupted\n")
    monkeypatch.undo()
    assert run("reply", "hi", "-s", "ecko").code == 2


def test_little_is_imported_before_interrupts_are_taken_care_of():
    script = (
        "import sys; before = {*sys.modules}; import emotone.cli; print({*sys.modules} - before)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(emotone.__file__).parents[1])},
    )
    heavy = {"collections", "dataclasses", "enum", "importlib", "re", "signal", "typing"}
    assert not heavy & ast.literal_eval(done.stdout)


def test_a_reader_that_goes_away_is_no_reason_for_a_traceback(tmp_path: Path):
    source = tmp_path / "in.jsonl"
    lines = (json.dumps({"id": i, "post": "hello " * 50}) for i in range(2000))
    source.write_text("\n".join(lines), encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "emotone", "generate", "-s", "echo", "-i", str(source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as work:
        assert work.stdout is not None
        assert work.stderr is not None
        assert work.stdout.readline().startswith('{"id": "0"')
        work.stdout.close()
        said = work.stderr.read()
    assert "Traceback" not in said
    assert "Exception ignored" not in said


@pytest.mark.parametrize("line", ["import emotone", "import emotone.cli.app"])
def test_importing_loads_no_heavy_library(line: str):
    heavy = {"torch", "transformers", "numpy", "sklearn", "safetensors", "tokenizers", "gguf"}
    script = f"{line}; import sys; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def seconds(*argv: str) -> float:
    """Processor time of a process; unlike the clock, it does not see who else is at work."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *argv], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_costs_little_more_than_the_help_of_an_empty_program():
    empty = "import typer; a = typer.Typer(); a.command()(lambda: None); a()"
    rounds = [(seconds("-m", "emotone", "--help"), seconds("-c", empty, "--help")) for _ in "123"]
    ours, least = (min(column) for column in zip(*rounds, strict=True))
    # It is 1.2 times as much; heavy libraries would make it ten times as much.
    assert ours < 4 * least, f"{ours:.2f} s, an empty typer program takes {least:.2f} s"


# -- reply ------------------------------------------------------------------------------------


def test_help_and_version(run: Run):
    done = run("--help")
    assert done.code == 0
    for command in ("reply", "chat", "generate", "models", "vectors", "doctor"):
        assert command in done.out
    assert run("--version") == Done(0, f"{emotone.__version__}\n", "")


COMMANDS = ["", "reply", "chat", "train", "data prepare", "judge emotion", "vectors card"]


@pytest.mark.parametrize("command", COMMANDS)
def test_h_and_the_command_help_show_what_help_shows(run: Run, command: str):
    shown = run(*command.split(), "--help")
    assert shown.out.startswith("Usage: ")
    assert run(*command.split(), "-h") == shown
    assert run("help", *command.split()) == shown
    assert "<bool>" not in shown.out


def test_help_of_what_is_no_command_names_the_nearest(run: Run):
    assert "unknown command 'prepar'; did you mean 'prepare'?" in refused(
        run("help", "data", "prepar")
    )
    assert "unknown command 'x'" in refused(run("help", "reply", "x"))


@pytest.mark.parametrize("command", COMMANDS)
def test_no_name_of_an_option_is_cut_in_a_narrow_terminal(run: Run, monkeypatch, command: str):
    wide = run("help", *command.split()).out
    monkeypatch.setenv("COLUMNS", "40")
    narrow = run("help", *command.split()).out
    for option in re.findall(r"--[a-z-]+", wide):
        assert option in narrow


def test_a_shell_completes_systems_emotions_and_models(run: Run, monkeypatch):
    def completed(line: str) -> list[str]:
        monkeypatch.setenv("_EMOTONE_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        return run().out.split()

    assert completed("emotone reply --system ec") == ["echo", "ecm"]
    assert completed("emotone chat --emotion sa") == ["sadness"]
    assert completed("emotone reply --model smol") == ["smollm2"]
    assert completed("emotone train emp") == ["emprl"]


@pytest.mark.parametrize("text", ["hello", "two words", "悲伤 😀", "-5 degrees", '"quoted" \\n'])
def test_reply_prints_the_reply(run: Run, text: str):
    assert run("reply", "--system", "echo", "--", text) == Done(0, f"{text}\n", "")


def test_reply_reads_stdin(run: Run):
    assert run("reply", "-", "-s", "echo", stdin="from a pipe\n") == Done(0, "from a pipe\n", "")
    assert run("reply", "-s", "echo", stdin="no dash\n") == Done(0, "no dash\n", "")
    assert "UTF-8" in refused(run("reply", "-", "-s", "echo", stdin=b"\xff\xfe"))
    assert "empty" in refused(run("reply", "-", "-s", "echo", stdin=""))


def test_json_is_one_object_and_nothing_else(run: Run, tiny: None):
    done = run("reply", "hi", "-s", "prompted", "-e", "happy:60", "--seed", "7", "--json")
    assert done.code == 0
    assert done.out.endswith("}\n")
    assert done.out.count("\n") == 1
    row = json.loads(done.out)
    assert list(row) == [
        "text",
        "emotion",
        "applied",
        "system",
        "model",
        "seed",
        "tokens",
        "finish_reason",
        "logprob",
        "seconds",
    ]
    named = [row[key] for key in ("emotion", "system", "model", "seed")]
    assert named == ["joy:60", "prompted", "tiny", 7]
    assert "very happy" in row["applied"]["told"]
    assert row["tokens"] >= 1
    assert row["seconds"] >= 0
    assert done.notes == ["'happy' read as joy"]


def test_the_text_is_that_of_the_python_door_for_each_way_of_decoding(run: Run, tiny: None):
    def text(*options: str) -> str:
        done = run("reply", "hi", "-s", "prompted", "--json", *options)
        return json.loads(done.out)["text"]

    door = open_door("prompted", device="cpu")
    assert text() == door.reply("hi").text
    assert text("--seed", "3") == door.reply("hi", seed=3).text
    greedy = emotone.Decoding(strategy="greedy", max_tokens=9)
    assert text("--greedy", "--max-tokens", "9") == door.reply("hi", decoding=greedy).text
    wild = emotone.Decoding(temperature=2.0)
    assert text("--temperature", "2") == door.reply("hi", decoding=wild).text


@pytest.mark.parametrize(
    ("options", "pieces"),
    [
        (["-s", "ecko"], ["unknown system 'ecko'", "did you mean 'echo'?", "Allowed: ", " echo,"]),
        (["-s", "no.such"], ["unknown system 'no.such'", "Importing it failed"]),
        (["-s", "echo", "-e", "joy"], ["echo takes no emotion", "'joy:100'", "leave it out"]),
        (["-s", "echo", "-e", "hapiness"], ["'hapiness'", "did you mean 'happiness'?"]),
        (["-s", "echo", "-e", "joy:101"], ["101", "joy", "-100 to 100"]),
        (["-s", "echo", "-e", "joy:nan"], ["'nan'", "joy", "not a number"]),
        (["-s", "echo", "-e", ""], ["emotion is empty", "'joy:60'"]),
        (["-s", "echo", "-e", "joy + happy"], ["joy is named twice"]),
        (["-s", "echo", "-m", "smollm2"], ["echo has no weights", "'smollm2'"]),
        (["-s", "echo", "--set", "x=1"], ["the settings: unknown key 'x'"]),
        (["-s", "echo", "--set", "x"], ["override 'x'", "key=value"]),
        (["-s", "echo", "--seed", "-1"], ["seed is -1", "from 0 to"]),
        (["-s", "echo", "--temperature", "nan"], ["temperature is nan", "from 0.01 to 5.0"]),
        (["-s", "echo", "--max-tokens", "0"], ["max_tokens is 0", "from 1 to 4096"]),
        (["-s", "echo", "--beams", "0"], ["beams is 0", "from 1 to 1000"]),
        (
            ["-s", "echo", "--beams", "4", "--length-penalty", "9"],
            ["length_penalty is 9", "to 5.0"],
        ),
        (["-s", "echo", "--length-penalty", "1"], ["--length-penalty", "add --beams"]),
        (["-s", "echo", "--beams", "4", "--greedy"], ["--greedy and --beams", "one of them"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value[0][0] == "-" else "",
)
def test_wrong_use_of_reply_is_one_sentence(run: Run, options: list[str], pieces: list[str]):
    said = refused(run("reply", "hello", *options))
    for piece in pieces:
        assert piece in said


@pytest.mark.parametrize("command", ["reply", "generate", "chat"])
def test_beams_and_their_length_penalty_reach_the_system(run: Run, monkeypatch, tmp_path, command):
    asked: list[emotone.Decoding] = []
    real = Echo.reply

    def reply(self, dialogues, emotions, *, decoding, **options):
        asked.append(decoding)
        return real(self, dialogues, emotions, decoding=decoding, **options)

    monkeypatch.setattr(Echo, "reply", reply)
    given = {"reply": ["hi"], "chat": [], "generate": ["-i", "-"]}[command]
    row = {"id": "a", "post": "hi"}
    stdin = {"chat": "hi\n", "generate": json.dumps(row)}.get(command, "")
    done = run(
        command, *given, "-s", "echo", "--beams", "7", "--length-penalty", "0.5", stdin=stdin
    )
    assert done.code == 0, done.err
    assert asked == [emotone.Decoding(strategy="beam", beams=7, length_penalty=0.5)]


def test_a_chat_model_refuses_a_beam_search_in_one_sentence(run: Run, tiny: None):
    assert "no beam search" in refused(run("reply", "hi", "-s", "prompted", "--beams", "5"))


@pytest.mark.parametrize("system", ["prompted", "steered"])
def test_an_unknown_setting_is_refused_with_the_nearest_before_weights_are_sought(run, system):
    said = refused(run("reply", "hello", "-s", system, "--set", "batsh=1"))
    assert "unknown key 'batsh'; did you mean 'batch'?" in said


@pytest.mark.parametrize(
    ("options", "piece"),
    [
        (["", "-e", "joy"], "empty"),
        (["  "], "empty"),
        (["hello", "-e", "joy:101"], "outside -100 to 100"),
        (["hello", "-e", "sadness:nan"], "not a number"),
        (["hello", "-e", "fear:nan"], "not a number"),
        (["hello", "-e", ""], "emotion is empty"),
        (["hello", "--temperature", "0"], "temperature"),
    ],
)
def test_what_no_system_could_read_is_refused_before_weights_are_sought(run, options, piece):
    # The default system has no weights here: had it been loaded, the code would be 1.
    assert piece in refused(run("reply", *options))


def test_emotions_that_are_one_for_ekman_may_be_two_for_a_system(run: Run):
    said = refused(run("reply", "hello", "-s", "echo", "-e", "ashamed + guilty"))
    assert "'ashamed'" in said  # echo has no labels of its own, so Ekman's are listed
    from emotone.cli.options import read_emotion

    read_emotion("angry:50 + furious:50")  # both are anger for Ekman


@pytest.mark.parametrize("mix", ["boredom", "neutral", "calm"])
def test_an_emotion_that_the_system_lacks_is_refused_with_its_list(run: Run, tiny: None, mix: str):
    said = refused(run("reply", "hi", "-s", "prompted", "-e", mix))
    assert "llowed: anger, disgust, fear, joy, sadness, surprise." in said


def test_a_text_beyond_the_context_is_said_and_not_cut(run: Run, tiny: None):
    said = refused(run("reply", "word " * 500, "-s", "prompted"))
    assert "exceeds the model's 2048; shorten the text" in said


def test_bytes_that_are_no_utf_8_are_refused(run: Run):
    assert "UTF-8" in refused(run("reply", os.fsdecode(b"a\xffb"), "-s", "echo"))


def test_a_post_without_quotes_is_told_to_have_some(run: Run):
    said = refused(run("reply", "-s", "echo", "hello", "my", "world"))
    assert said.endswith('put it in quotes, as in emotone reply "hello my world"')


def test_a_terminal_without_a_post_is_asked_for_one(run: Run, monkeypatch):
    monkeypatch.setattr(io, "TextIOWrapper", Terminal)
    assert "there is no post; write it" in refused(run("reply", "-s", "echo"))


def test_reply_streams_the_text_that_its_seed_gives(run: Run, tiny: None):
    plain = run("reply", "hi", "-s", "prompted", "-e", "joy", "--seed", "5")
    assert run("reply", "hi", "-s", "prompted", "-e", "joy", "--seed", "5", "--stream") == plain
    for other in (["--json"], ["-n", "2"], ["-e", "all"]):
        assert "leave out" in refused(run("reply", "hi", "-s", "prompted", "--stream", *other))


def test_a_terminal_is_told_what_takes_its_time(monkeypatch, capsys):
    for terminal, said in ((True, "emotone: loading the model ...\n"), (False, "")):
        monkeypatch.setattr(progress, "PATIENCE", 0.02)
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        with progress.waiting("loading the model"):
            time.sleep(0.2)
        with progress.waiting("nothing"):
            pass
        assert capsys.readouterr().err == said


@pytest.mark.parametrize("argv", [["reply", "a", "b"], ["sing"], ["reply", "--loud"]])
def test_what_is_no_command_ends_with_2_and_an_empty_stdout(run: Run, argv: list[str]):
    done = run(*argv)
    assert (done.code, done.out) == (2, "")
    assert done.err


def test_a_model_that_a_system_trained_says_whose_it_is(run: Run, tmp_path: Path):
    trained, policy, other = (tmp_path / name for name in ("ecm", "policy", "other"))
    for folder in (trained, policy, other):
        folder.mkdir()
    (trained / "manifest.json").write_text('{"system": "mylab.mine"}')
    (policy / "config.toml").write_text('kind = "causal"\nstage = "ppo"\n')
    (other / "manifest.json").write_text("[]")
    said = refused(run("reply", "hi", "--model", str(trained)))
    assert said.endswith("is one of the system mylab.mine; add --system mylab.mine")
    assert "--system emprl" in refused(run("reply", "hi", "-s", "prompted", "-m", str(policy)))
    assert "holds no config.json" in run("reply", "hi", "-s", "prompted", "-m", str(other)).err


@pytest.mark.parametrize("system", ["prompted", "ecm", "emprl"])
@pytest.mark.parametrize("name", ["./nofolder", "no/such/folder"])
def test_a_model_folder_that_is_not_there_is_said_to_be_none(run: Run, system: str, name: str):
    done = run("reply", "hi", "-s", system, "-m", name)
    assert done.code in (1, 2)
    assert re.search("no (such )?folder", done.err), done.err


def test_judges_and_vectors_of_another_kind_are_named(run: Run, monkeypatch):
    from emotone.models import zoo

    shelves = {"judges": ["en-score", "zh-score"], "identifiers": ["empathy-score"]}
    monkeypatch.setattr(zoo, "listed", lambda shelf: shelves.get(shelf, []))
    said = refused(run("judge", "emotion", "--judge", "empathy-score", stdin="hi\n"))
    assert said == "empathy-score judges empathy, not emotion; use one of en-score, zh-score"
    line = '{"context": "a", "response": "b"}'
    said = refused(run("judge", "empathy", "--judge", "en-score", stdin=line))
    assert said == "en-score judges emotion, not empathy; use one of empathy-score"
    assert "Allowed: smollm2" in refused(run("vectors", "card", "smolm2"))
    assert "allowed: smollm2" in refused(run("vectors", "card", "foo"))


# -- generate ---------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Seven examples, some with an emotion."""
    moods = [None, "joy:60", "sadness"]
    rows = [
        {"id": f"x{i}", "post": "word " * (i + 1), "emotion": moods[i % 3], "reply": f"r{i}"}
        for i in range(7)
    ]
    path = tmp_path / "examples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def answered(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_generate_answers_each_example_of_a_file(run: Run, source: Path, tmp_path: Path):
    target = tmp_path / "replies.jsonl"
    done = run("generate", "-s", "echo", "-i", str(source), "-o", str(target), "--seed", "5")
    assert (done.code, done.out) == (0, "")
    rows = answered(target)
    assert [r["id"] for r in rows] == [f"x{i}" for i in range(7)]
    assert [r["text"] for r in rows] == [" ".join(["word"] * (i + 1)) for i in range(7)]
    assert [r["reference"] for r in rows] == [f"r{i}" for i in range(7)]
    assert [r["seed"] for r in rows] == [5 + i for i in range(7)]
    assert done.notes == ["echo takes no emotion; those of the examples are left out"]


def test_generate_reads_stdin_and_writes_stdout_and_nothing_else_there(run: Run, source: Path):
    text = source.read_text(encoding="utf-8")
    for options in (["-i", "-"], ["-i", "-", "-o", "-"]):
        done = run("generate", "-s", "echo", *options, stdin=text)
        assert done.code == 0
        assert [json.loads(line)["id"] for line in done.out.splitlines()] == [
            f"x{i}" for i in range(7)
        ]


def test_generate_goes_on_where_a_killed_run_was(run: Run, tiny: None, source, tmp_path):
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    options = ["generate", "-s", "prompted", "-i", str(source), "--max-tokens", "4"]
    assert run(*options, "-o", str(whole)).code == 0
    lines = whole.read_bytes().splitlines(keepends=True)
    cut.write_bytes(b"".join(lines[:3]) + lines[3][:40])
    done = run(*options, "-o", str(cut), "--batch", "2")
    assert done.notes == [f"{cut} holds 3 replies; going on from there"]
    bare = [[{**r, "logprob": 0} for r in answered(path)] for path in (whole, cut)]
    assert bare[0] == bare[1]
    assert cut.read_bytes().startswith(b"".join(lines[:3]))
    before = cut.read_bytes()
    assert run(*options, "-o", str(cut)).code == 0
    assert cut.read_bytes() == before


def test_generate_in_shards_is_the_whole(run: Run, tiny: None, source: Path):
    options = ["generate", "-s", "prompted", "-i", str(source), "--max-tokens", "4"]
    whole = run(*options).out.splitlines()
    parts = [run(*options, "--shard", f"{k}/3").out.splitlines() for k in (1, 2, 3)]
    joined = [json.loads(line) for part in parts for line in part]
    assert [len(part) for part in parts] == [2, 2, 3]
    assert [{**r, "logprob": 0} for r in joined] == [
        {**json.loads(line), "logprob": 0} for line in whole
    ]


def test_generate_takes_the_examples_emotions_or_the_one_given(run: Run, tiny: None, source):
    options = ["generate", "-s", "prompted", "-i", str(source), "--max-tokens", "2"]
    own = [json.loads(line)["emotion"] for line in run(*options).out.splitlines()]
    assert own == [None, "joy:60", "sadness:100"] * 2 + [None]
    given = [json.loads(line)["emotion"] for line in run(*options, "-e", "fear").out.splitlines()]
    assert given == ["fear:100"] * 7


def test_a_line_separator_of_unicode_inside_a_text_ends_no_line(run: Run, tmp_path: Path):
    path = tmp_path / "posts.jsonl"
    path.write_text('{"post": "one\u2028two\u0085three"}\r\n{"post": "b"}', encoding="utf-8")
    texts = [
        [json.loads(line)["text"] for line in done.out.split("\n") if line]
        for done in (
            run("generate", "-s", "echo", "-i", str(path)),
            run("generate", "-s", "echo", "-i", "-", stdin=path.read_bytes()),
        )
    ]
    assert texts == [["one\u2028two\u0085three", "b"]] * 2


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        ('{"post": "a", "id": "x0"}', ["id 'x0' occurs twice"]),
        ("oops", ["line 8", "no JSON (Expecting value); write one object a line"]),
        ('{"post": ""}', ["line 8", "empty"]),
        ('{"post": "a", "emotion": "hapiness"}', ["line 8", "did you mean 'happiness'?"]),
    ],
)
def test_a_wrong_line_is_refused_before_any_reply_is_written(run, source, tmp_path, line, pieces):
    with source.open("a") as out:
        out.write(line + "\n")
    target = tmp_path / "replies.jsonl"
    said = refused(run("generate", "-s", "echo", "-i", str(source), "-o", str(target)))
    for piece in [str(source), *pieces]:
        assert piece in said
    assert not target.exists() or target.read_bytes() == b""


def test_a_file_that_cannot_be_read_or_written_is_named(run: Run, source: Path, tmp_path: Path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for wrong in (tmp_path / "none.jsonl", binary, tmp_path):
        said = refused(run("generate", "-s", "echo", "-i", str(wrong)))
        assert said.startswith(f"cannot read {wrong}: ")
    for wrong in (tmp_path / "none" / "out.jsonl", tmp_path):
        said = refused(run("generate", "-s", "echo", "-i", str(source), "-o", str(wrong)))
        assert said.startswith(f"cannot write {wrong} ")


def test_an_output_that_holds_something_else_is_left_as_it_is(run: Run, source: Path):
    before = source.read_bytes()
    notes = source.with_name("notes.txt")
    notes.write_text("my only copy")
    done = run("generate", "-s", "echo", "-i", str(source), "-o", str(notes))
    assert (done.code, done.out) == (2, "")
    assert "line 1 is not a reply; name another output file" in done.notes[-1]
    assert notes.read_text() == "my only copy"
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "piece"),
    [
        (["--shard", "3/2"], "shard '3/2' is not i/n"),
        (["--shard", "x"], "write for instance 2/4"),
        (["-e", "joy"], "echo takes no emotion"),
        (["-e", "joy:101"], "outside -100 to 100"),
        (["--set", "x=1"], "unknown key 'x'"),
        (["--system", "ecko"], "did you mean 'echo'?"),
    ],
)
def test_wrong_use_of_generate_is_one_sentence(run: Run, source: Path, options, piece: str):
    done = run("generate", "-s", "echo", "-i", str(source), *options)
    assert (done.code, done.out) == (2, "")
    assert len(done.notes) == 1
    assert piece in done.notes[0]


# -- chat -------------------------------------------------------------------------------------


def test_chat_answers_line_by_line_until_quit(run: Run):
    done = run("chat", "-s", "echo", stdin="hello\n\n  two words \n/quit\nnever read\n")
    assert (done.code, done.out) == (0, "hello\ntwo words\n")
    assert len(done.notes) == 1  # how to use it, once


@pytest.mark.parametrize("stdin", ["", "hello", "hello\n", "/exit\n"])
def test_chat_ends_with_its_input(run: Run, stdin: str):
    done = run("chat", "-s", "echo", stdin=stdin)
    assert (done.code, done.out) == (0, "hello\n" if "hello" in stdin else "")


def test_a_wrong_line_does_not_end_a_conversation(run: Run):
    lines = [
        "one",
        "/emotion hapiness",
        "/emotion joy:101",
        "/agein",
        "two",
        "/again now",
        "/again",
    ]
    done = run("chat", "-s", "echo", stdin="\n".join(lines))
    assert (done.code, done.out) == (0, "one\ntwo\ntwo\n")
    assert "did you mean 'happiness'?" in done.notes[1]
    assert "101" in done.notes[2]
    assert "unknown command '/agein'; did you mean '/again'?" in done.notes[3]
    assert "/again takes nothing behind it, but 'now' came" in done.notes[4]
    assert len(done.notes) == 5


def test_what_a_system_lacks_is_refused_when_it_is_asked_for(run: Run):
    done = run("chat", "-s", "echo", stdin=f"/emotion joy\n/empathy {LEVELS}\none\n")
    assert (done.code, done.out) == (0, "one\n")
    assert "echo takes no emotion" in done.notes[1]
    assert "echo takes no empathy levels" in done.notes[2]
    assert "echo takes no emotion" in refused(run("chat", "-s", "echo", "-e", "joy", stdin="one\n"))


LEVELS = "reaction:2 interpretation:1 exploration:0"


def test_what_changes_is_confirmed_and_help_lists_every_command(run: Run, tiny: None):
    lines = ["/Emotion happy:60", "/EMOTION", "/help", "/Clear", "/QUIT", "never read"]
    done = run("chat", "-s", "prompted", "--max-tokens", "6", stdin="\n".join(lines))
    assert (done.code, done.out) == (0, "")
    assert done.notes[1:4] == [
        "'happy' read as joy",
        "the mood is joy:60 from here on",
        "no mood is asked now",
    ]
    listed = [note.split()[0].rstrip(":") for note in done.notes[4:-1]]
    assert listed == [
        *("/emotion", "/empathy", "/again", "/undo", "/clear", "/save"),
        *("/help", "/quit"),
    ]
    assert all(len(note) < 100 for note in done.notes)
    assert done.notes[-1] == "the conversation is forgotten"


@pytest.mark.parametrize("end", ["/exit", "/EXIT", "/Quit"])
def test_chat_ends_in_any_case_of_letters(run: Run, end: str):
    assert run("chat", "-s", "echo", stdin=f"{end}\nnever read\n").out == ""


def test_the_last_turn_is_taken_back(run: Run, tiny: None, heard):
    lines = ["one", "two", "/undo", "three", "/undo", "/undo", "/undo", "four"]
    done = run("chat", "-s", "prompted", "--max-tokens", "6", stdin="\n".join(lines))
    assert [dialogue[::2] for dialogue, *_ in heard] == [
        ["one"],
        ["one", "two"],
        ["one", "three"],
        ["four"],
    ]
    assert done.notes[1:] == [
        "taken back: 'two'",
        "taken back: 'three'",
        "taken back: 'one'",
        "there is no message yet; write one first",
    ]


def test_a_conversation_is_saved_as_messages_and_no_file_of_another_is_lost(
    run: Run, tmp_path: Path
):
    from emotone.data.corpora import messages
    from emotone.data.reading import Problems

    own, other = tmp_path / "talk.jsonl", tmp_path / "other.jsonl"
    other.write_text("mine")
    lines = [
        "/save",
        f"/save {own}",
        "one",
        f"/save {own}",
        "two",
        f"/save {own}",
        f"/save {other}",
    ]
    done = run("chat", "-s", "echo", stdin="\n".join(lines))
    assert "needs the name of a file" in done.notes[1]
    assert "nothing to save yet" in done.notes[2]
    assert done.notes[3:5] == [f"2 messages are in {own}", f"4 messages are in {own}"]
    assert "is there already; name another file" in done.notes[5]
    assert other.read_text() == "mine"
    assert [e.reply for e in messages.read(own, Problems())] == ["one", "two"]


def test_nothing_can_be_answered_again_before_a_message_or_after_clear(run: Run):
    done = run("chat", "-s", "echo", stdin="/again\none\n/clear\n/again\n")
    assert done.out == "one\n"
    assert sum("there is no message yet" in note for note in done.notes) == 2


def test_an_interrupt_stops_a_reply_and_keeps_the_chat(run: Run, monkeypatch):
    asked: list[list[str]] = []

    def stream(self, dialogue, emotion, *, decoding):
        asked.append([post.text for post in dialogue.posts])
        last = asked[-1][-1]
        if last == "mute":
            raise KeyboardInterrupt
        yield f"{last} is"
        if last.startswith("stop") and decoding.seed < 5:
            signal.raise_signal(signal.SIGINT)
        yield " said"

    monkeypatch.setattr(Echo, "stream", stream)
    lines = ["stop", "mute", "go", "stop2", "/again", "mute", "/again", "/undo", "last"]
    done = run("chat", "-s", "echo", "--seed", "1", stdin="\n".join(lines))
    assert done.code == 0
    assert asked == [
        ["stop"],
        ["stop", "stop is", "mute"],
        ["stop", "stop is", "go"],
        ["stop", "stop is", "go", "go is said", "stop2"],
        ["stop", "stop is", "go", "go is said", "stop2"],
        ["stop", "stop is", "go", "go is said", "stop2", "stop2 is said", "mute"],
        ["stop", "stop is", "go", "go is said", "stop2"],
        ["stop", "stop is", "go", "go is said", "last"],
    ]
    assert done.out == "stop is\ngo is said\nstop2 is\nstop2 is said\nstop2 is said\nlast is said\n"
    assert sum("as far as it goes" in note for note in done.notes) == 2
    assert sum("not part of the conversation" in note for note in done.notes) == 2


def test_an_interrupt_that_keeps_the_chat_does_not_excuse_a_later_error(run: Run, monkeypatch):
    def stream(self, dialogue, emotion, *, decoding):
        if dialogue.posts[-1].text == "fail":
            raise CheckpointError("the model is damaged")
        signal.raise_signal(signal.SIGINT)
        yield "never"

    monkeypatch.setattr(Echo, "stream", stream)
    done = run("chat", "-s", "echo", stdin="one\nfail\n")
    assert (done.code, done.notes[-1]) == (1, "the model is damaged")


def test_bytes_that_are_no_utf_8_end_a_chat_in_one_sentence(run: Run):
    done = run("chat", "-s", "echo", stdin=b"\xff\xfe\n")
    assert (done.code, done.notes[1:]) == (2, [done.notes[-1]])
    assert "UTF-8" in done.notes[-1]


@pytest.mark.skipif(os.name != "posix", reason="terminals of POSIX")
def test_a_terminal_has_line_editing_history_and_an_end():
    import pty

    lead, follow = pty.openpty()
    chat = subprocess.Popen(
        [sys.executable, "-m", "emotone", "chat", "--system", "echo"],
        stdin=follow,
        stdout=subprocess.PIPE,
        stderr=follow,
        text=True,
        env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
    )
    os.close(follow)
    assert chat.stdout is not None
    screen = bytearray()

    def typed(keys: bytes) -> None:
        # Once the next prompt is there, that is when pasting is announced to the terminal.
        limit = time.monotonic() + 60
        while b"\x1b[?2004h" not in screen and time.monotonic() < limit:
            if select.select([lead], [], [], 1)[0]:
                screen.extend(os.read(lead, 4096))
        screen.clear()
        os.write(lead, keys)

    typed(b"worl\x1b[Dx\x01hello \x05d\r")  # left, home, end
    assert chat.stdout.readline() == "hello worxld\n"
    typed(b"dropped\x03")  # Ctrl-C
    typed(b"\x1b[A\r")  # up
    assert chat.stdout.readline() == "hello worxld\n"
    typed(b"\x04")  # Ctrl-D
    with chat:
        assert chat.wait(60) == 0
    os.close(lead)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], str | None, int]]:
    """What the tiny system was asked: texts of the dialogue, emotion, seed."""
    asked: list[tuple[list[str], str | None, int]] = []
    real = prompted.Prompted.stream

    def stream(self, dialogue, emotion, *, decoding):
        mood = None if emotion is None else str(emotion)
        asked.append(([p.text for p in dialogue.posts], mood, decoding.seed))
        return real(self, dialogue, emotion, decoding=decoding)

    monkeypatch.setattr(prompted.Prompted, "stream", stream)
    return asked


def test_a_mood_changes_between_turns_and_the_conversation_is_kept(run: Run, tiny: None, heard):
    lines = ["one", "/emotion happy:60 + fear:20", "two", "/again", "/emotion", "/clear", "three"]
    options = ["-s", "prompted", "-e", "sadness", "--seed", "10", "--max-tokens", "6"]
    done = run("chat", *options, stdin="\n".join(lines))
    assert done.code == 0
    first, second = heard[0][0], heard[1][0]
    assert first == ["one"]
    assert second[0] == "one"
    assert second[2] == "two"
    assert [mood for _, mood, _ in heard] == [
        "sadness:100",
        "fear:20 + joy:60",
        "fear:20 + joy:60",
        None,
    ]
    assert heard[2][0] == second  # answered again: the same conversation, another seed
    assert heard[3][0] == ["three"]
    assert [seed for *_, seed in heard] == [10, 11, 12, 13]
    assert "'happy' read as joy" in done.notes


def test_a_conversation_goes_on_after_a_text_beyond_the_context(run: Run, tiny: None, heard):
    done = run("chat", "-s", "prompted", "--max-tokens", "6", stdin="word " * 600 + "\nhi\n")
    assert done.code == 0
    assert "exceeds the model's 2048" in done.notes[1]
    assert heard[1][0] == ["hi"]


def test_chat_checks_its_options_before_the_conversation(run: Run):
    assert "101" in refused(run("chat", "-s", "echo", "-e", "joy:101", stdin="hi\n"))
    assert "did you mean 'echo'" in refused(run("chat", "-s", "ecko", stdin="hi\n"))
