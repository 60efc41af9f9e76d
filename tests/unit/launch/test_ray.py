"""Work by Ray's workers: the results of one process, whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from emotone.cli import options
from emotone.errors import DataError, Unsupported, UsageError
from emotone.evaluation.generate import generate_file
from emotone.evaluation.remember import remember_emotion
from emotone.judges import open_judge
from emotone.launch.ray import Ray, _OfMainThread, ray_workers, sized
from emotone.types import Decoding

pytest.importorskip("ray")
POSTS = [f"Post number {n} about tea." for n in range(60)]


@pytest.fixture(scope="module")
def workers():
    with ray_workers("local", 2) as opened:
        yield opened


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ray") / "examples.jsonl"
    labels = ("joy", "anger", "fear")
    rows = [
        {"id": f"p{n}", "dialogue": [{"speaker": "user", "text": post}],
         "emotion": f"{labels[n % 3]}:100", "taxonomy": "ekman"}
        for n, post in enumerate(POSTS)
    ]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return path


def test_results_come_in_the_order_of_the_blocks(workers: Ray):
    def slow(block: int) -> int:  # in the test, so that its code is sent and not its name
        time.sleep(0.2 if block % 3 == 0 else 0.01)
        return block * block

    assert list(workers(slow, range(20))) == [n * n for n in range(20)]
    assert list(workers(slow, [])) == []


def test_an_error_is_the_one_of_the_work(workers: Ray):
    def fails(block: int) -> int:
        if block == 3:
            raise DataError("block 3 is bad")
        return block

    with pytest.raises(DataError, match="block 3 is bad"):
        list(workers(fails, range(6)))


def test_a_worker_that_is_killed_20_times_loses_nothing(workers: Ray, tmp_path: Path):
    def dies(block: int) -> tuple[int, int]:
        # Each of the first 20 blocks kills its worker once.
        mark = tmp_path / str(block)
        if block < 20 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return block, os.getpid()

    rows = list(workers(dies, range(24)))
    assert [block for block, _ in rows] == list(range(24))
    assert len(list(tmp_path.iterdir())) == 20


def test_a_block_that_always_kills_its_worker_ends_the_run(workers: Ray):
    def dies(block: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return block

    with pytest.raises(Unsupported, match="a worker could not start or go on"):
        list(workers(dies, [1]))


def test_each_worker_finds_room_on_one_machine():
    assert sized([{"CPU": 2.0}], 2) == Ray(2, 1, 0)
    assert sized([{"CPU": 16.0}], None) == Ray(4, 4, 0)
    assert sized([{"CPU": 16.0}, {"CPU": 16.0}], 3) == Ray(3, 8, 0)
    assert sized([{"CPU": 16.0}, {"CPU": 16.0}], 1) == Ray(1, 16, 0)
    two = [{"CPU": 64.0}, {"CPU": 32.0, "GPU": 4.0}, {"CPU": 32.0, "GPU": 4.0}]
    assert sized(two, None) == Ray(8, 8, 1)
    assert sized(two, 12) == Ray(12, 10, 0)  # more than accelerators: they go without
    assert sized([{"CPU": 1.0}], None) == Ray(1, 1, 0)
    assert sized([{"CPU": 4.0, "GPU": 8.0}], None) == Ray(4, 1, 1)
    with pytest.raises(Unsupported, match="5 workers find no room on machines with 2, 2 cores"):
        sized([{"CPU": 2.0}, {"CPU": 2.0}], 5)


def test_what_other_threads_print_is_no_result(tmp_path: Path):
    read = tmp_path / "read"
    with read.open("w") as stream:
        speaker = _OfMainThread(stream)
        speaker.write("a result\n")
        thread = threading.Thread(target=speaker.write, args=("(raylet) dead\n",))
        thread.start()
        thread.join()
    assert read.read_text() == "a result\n"


def test_replies_are_those_of_one_process(workers: Ray, examples: Path, tmp_path: Path):
    one, many = tmp_path / "one.jsonl", tmp_path / "many.jsonl"
    settings: Any = {"system": "echo", "batch": 4, "decoding": Decoding(seed=7)}
    for path, spread in ((one, None), (many, workers)):
        assert generate_file(examples, path, spread=spread, **settings) == len(POSTS)
    assert many.read_bytes() == one.read_bytes()
    # What a run was stopped in goes on, with the same replies.
    lines = many.read_bytes().splitlines(keepends=True)
    many.write_bytes(b"".join(lines[:13]) + lines[13][:9])
    assert generate_file(examples, many, spread=workers, **settings) == 47
    assert many.read_bytes() == one.read_bytes()


def test_labels_are_those_of_one_process(workers: Ray, monkeypatch: pytest.MonkeyPatch):
    judge = open_judge("en-label", "everyday")
    monkeypatch.setattr("emotone.evaluation.remember.BATCH", 8)
    alone = remember_emotion(judge).classify(POSTS, POSTS)
    assert remember_emotion(judge, spread=workers).classify(POSTS, POSTS) == alone


@pytest.mark.slow
def test_the_commands_take_workers(examples: Path, tmp_path: Path):
    """Slow, as each command starts a cluster."""
    outputs: dict[bool, list[bytes]] = {}
    for by_ray in (False, True):
        extra = ["--ray", "local", "--workers", "2"] if by_ray else []
        replies, labels = tmp_path / f"r{by_ray}.jsonl", tmp_path / f"l{by_ray}.jsonl"
        for command in (
            ["generate", "-i", str(examples), "-o", str(replies), "-s", "echo"],
            ["judge", "emotion", "-i", str(replies), "-o", str(labels), "--judge", "en-label"],
        ):
            ran = subprocess.run(
                [sys.executable, "-m", "emotone", *command, *extra],
                capture_output=True,
                check=False,
                text=True,
            )
            assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
        outputs[by_ray] = [replies.read_bytes(), labels.read_bytes()]
    assert outputs[True] == outputs[False]


def test_what_cannot_be_is_said():
    with (
        pytest.raises(UsageError, match="0 workers cannot work; use 1 or more"),
        ray_workers("local", 0),
    ):
        pass
    expected = "--workers goes with --ray; add --ray local"
    with pytest.raises(UsageError, match=expected), options.spread(None, 2):
        pass


def test_without_ray_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(Unsupported, match=r"pip install 'emotone\[ray\]'"), ray_workers("local"):
        pass
