"""A vLLM server that is started for the door before it, and ends with it."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from emotone.errors import ModelMissing

#: Different moods in one batch, and in the memory of the engine.
_IN_BATCH, _IN_MEMORY = 8, 64
#: What vLLM takes for --max-lora-rank.
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
#: Seconds in which it may end by itself.
_ENDS = 30.0


@dataclass(frozen=True, slots=True)
class Child:
    """A server that was started.

    Args:
        process: It.
        url: Where it listens; only on this machine.
        key: What it asks for, so that nobody else on this machine changes its adapters.
    """

    process: subprocess.Popen[bytes]
    url: str
    key: str

    @property
    def death(self) -> BaseException | None:
        """What says that it has ended; None while it runs."""
        code = self.process.poll()
        return None if code is None else ChildProcessError(f"vLLM ended with code {code}")


def command_of(command: str, model: Path | str, name: str, port: int, rank: int) -> list[str]:
    """Write the command line.

    Args:
        command: "vllm", or the place of that program, alone or with "serve" and flags of vLLM's.
        model: Folder or hub id of the bare model.
        name: What it is served as.
        port: Where.
        rank: Largest rank of an adapter.
    """
    words = shlex.split(command) or ["vllm"]
    place = words.index("serve") if "serve" in words else len(words)
    enough = next((size for size in _RANKS if size >= rank), rank)
    flags = {
        "--served-model-name": name, "--host": "127.0.0.1", "--port": port,
        "--max-loras": _IN_BATCH, "--max-cpu-loras": _IN_MEMORY, "--max-lora-rank": enough,
    }  # fmt: skip
    own = [text for flag, value in flags.items() for text in (flag, str(value))]
    # Of a flag that is given twice the last one counts, so that the user's own go last.
    return [*words[:place], "serve", str(model), "--enable-lora", *own, *words[place + 1 :]]


def environment_of(moods: Path, key: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Write the environment: adapters by name, the plug-ins of emotone-vllm, and a key."""
    plugins = [name for name in environment.get("VLLM_PLUGINS", "").split(",") if name]
    return {
        **environment,
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        "VLLM_PLUGINS": ",".join(dict.fromkeys([*plugins, "emotone"])),
        "VLLM_API_KEY": key,
        "EMOTONE_VLLM_MOODS": str(moods.absolute()),
    }


@contextmanager
def started(command: str, model: Path | str, name: str, moods: Path, rank: int) -> Iterator[Child]:
    """Start a server; it ends when the `with` block does.

    Raises:
        ModelMissing: If there is no such program.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = command_of(command, model, name, port, rank)
    if shutil.which(line[0]) is None:
        raise ModelMissing(
            f"there is no program {line[0]!r}; install vllm and emotone-vllm, name the program with"
            " --vllm, or join a server that runs with --url"
        )
    key = secrets.token_hex(16)
    process = _run(line, environment_of(moods, key, os.environ))
    try:
        yield Child(process, f"http://127.0.0.1:{port}", key)
    finally:
        _end(process)


def _run(line: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # A session of its own: an interrupt in the terminal is for the door, which lets requests end.
    return subprocess.Popen(
        line, env=dict(environment), stdin=subprocess.DEVNULL, stdout=2, start_new_session=True
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_ENDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with suppress(ProcessLookupError, PermissionError):  # its workers, if some are left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
