"""Closed pipes, full disks, devices and links: every command as a process of its own."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")

SOURCE = str(Path(__file__).parents[2] / "src")


def emotone(*words, out=subprocess.PIPE, **kwargs):
    paths = [SOURCE, os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-m", "emotone", *map(str, words)],
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        check=False,
        **kwargs,
    )


@pytest.mark.parametrize("words", [("--help",), ("data", "list", "--json"), ("--version",)])
def test_a_full_disk_and_a_closed_pipe(words):
    with open("/dev/full", "w") as full:
        done = emotone(*words, out=full)
    said = "emotone: cannot write the output (No space left on device)\n"
    assert (done.returncode, done.stderr) == (1, said)
    reader, writer = os.pipe()
    os.close(reader)
    done = emotone(*words, out=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_stdout_is_one_sentence():
    done = emotone("data", "list", preexec_fn=lambda: os.close(1))
    said = "emotone: cannot write the output (Bad file descriptor)\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_replies_and_scores_go_to_devices_and_links(tmp_path):
    posts, replies = tmp_path / "posts.jsonl", tmp_path / "replies.jsonl"
    posts.write_text('{"post": "The lake is calm."}\n', encoding="utf-8")
    link = tmp_path / "link.jsonl"
    link.symlink_to(replies)
    assert emotone("generate", "-s", "echo", "-i", posts, "-o", link).returncode == 0
    assert link.is_symlink()
    assert "calm" in replies.read_text(encoding="utf-8")
    asked = ("generate", "-s", "echo", "-i", posts, "-o")
    done = emotone(*asked, "/dev/stdout")
    assert done.returncode == 0
    assert done.stdout == replies.read_text(encoding="utf-8")
    done = emotone(*asked, "/dev/full")
    assert done.returncode == 1
    assert "cannot write /dev/full (No space left" in done.stderr
    assert "Traceback" not in done.stderr
    scored = ("score", "-i", replies, "--metrics", "distinct_1", "-o")
    done = emotone(*scored, "/dev/stdout")
    assert done.returncode == 0
    assert '"distinct_1"' in done.stdout
    assert emotone(*scored, "/dev/null").returncode == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert not [p for p in Path("/dev").iterdir() if p.name.startswith((".labels", "stdout."))]


def test_a_pipe_as_input_is_read_once(tmp_path):
    pipe, out = tmp_path / "posts", tmp_path / "replies.jsonl"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=('{"post": "a"}\n',))
    writer.start()
    done = emotone("generate", "-s", "echo", "-i", pipe, "-o", out, timeout=60)
    writer.join()
    assert (done.returncode, len(out.read_text().splitlines())) == (0, 1)


def test_a_mark_on_stdin_is_no_text():
    done = emotone("reply", "-s", "echo", "-", input="\ufeffhello")
    assert (done.returncode, done.stdout) == (0, "hello\n")


def test_an_array_of_texts_is_not_judged_as_one(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"text": "a"}]')
    done = emotone("judge", "emotion", "-i", path)
    assert done.returncode == 2
    assert "a.json, line 1: a list; write" in done.stderr
