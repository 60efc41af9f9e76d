"""The command line: one file a command.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 failure, 2 wrong use,
130 interrupted; 143 for a training that was sent SIGTERM and has saved.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from typing import Any, NoReturn


def main() -> None:
    """Run the command line; an error becomes one sentence on stderr."""
    from emotone.errors import EmotoneError

    _open_closed()
    code: Any = 0
    try:
        from emotone.cli.app import app

        # Otherwise typer ends the process itself and prints wrong use as a box of several lines.
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except EmotoneError as error:
        print(f"emotone: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as end:
        # typer and rich end the process with 1 where the reader of stdout is gone (`| head`).
        if end.code != 1:
            raise
        _nothing_to_write()
        raise SystemExit(0) from None
    except OSError as error:
        _nothing_to_write()
        if error.errno == errno.EPIPE:
            raise SystemExit(0) from None
        what = f"use {error.filename}" if error.filename else "write the output"
        print(f"emotone: cannot {what} ({error.strerror})", file=sys.stderr)
        raise SystemExit(1) from None
    except Exception as error:
        if type(error).__name__ == "Abort":  # an interrupt, as typer hands it on
            _interrupted()
        # typer carries a click of its own in some versions, so its errors go by what they offer.
        if not hasattr(error, "format_message"):
            raise
        message = _wrong_use(error)
        if message:
            print(f"emotone: {message}", file=sys.stderr)
        raise SystemExit(getattr(error, "exit_code", 2)) from None
    raise SystemExit(code if isinstance(code, int) else 0)


def _open_closed() -> None:
    """Put something in the place of closed streams, so that no other file gets their number.

    Results that go to a closed stdout fail; words for a closed stderr are lost.
    """
    for stream, name, flags in ((0, "stdin", 0), (1, "stdout", 0), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, flags)  # the lowest number that is free
            if handle != stream:
                os.dup2(handle, stream)
                os.close(handle)
            setattr(sys, name, os.fdopen(stream, "r" if stream == 0 else "w", closefd=False))


def _nothing_to_write() -> None:
    """Drop what waits to be written, which would fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _interrupted() -> NoReturn:
    print("emotone: interrupted", file=sys.stderr)
    raise SystemExit(130) from None


def _wrong_use(error: Any) -> str:
    """Write typer's message as one sentence that says where help is; empty after help itself."""
    from emotone.errors import unknown_name

    sentence = " ".join(error.format_message().split()).rstrip(".")
    if not sentence:
        return ""
    context = getattr(error, "ctx", None)
    commands = getattr(getattr(context, "command", None), "commands", {})
    command = re.match(r"No such command '(.*?)'", sentence)
    if command:
        return str(unknown_name("command", command[1], commands))
    path = getattr(context, "command_path", "emotone")
    return f"{sentence[0].lower()}{sentence[1:]}; `{path} --help` lists what is allowed"
