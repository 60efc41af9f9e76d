"""The command line: one file a command.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 failure, 2 wrong use,
130 interrupted; 143 for a training that was sent SIGTERM and has saved.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any, NoReturn


def main() -> None:
    """Run the command line; an error becomes one sentence on stderr."""
    from emotone.errors import EmotoneError

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
    except BrokenPipeError:
        # The reader of stdout is gone (`| head`); nothing is left to write to at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(0) from None
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
