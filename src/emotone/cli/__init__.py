"""The command line: one file a command.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 failure, 2 wrong use,
130 interrupted; 143 for a training that was sent SIGTERM and has saved.
"""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False  # little is imported before `main` runs, which takes care of interrupts
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn


class _Interrupts:
    """Interrupts that came and were not yet answered."""

    pending = False

    @classmethod
    def handle(cls, _number: int, _frame: FrameType | None) -> NoReturn:
        """Note an interrupt, and raise as Python does."""
        cls.pending = True
        raise KeyboardInterrupt


def main() -> None:
    """Run the command line; an error becomes one sentence on stderr."""
    try:
        import signal
        import threading

        interrupt_answered()
        own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if own and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, _Interrupts.handle)
        try:
            _run()
        finally:
            if signal.getsignal(signal.SIGINT) == _Interrupts.handle:
                signal.signal(signal.SIGINT, signal.default_int_handler)
    except KeyboardInterrupt:
        print("emotone: interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def interrupt_answered() -> None:
    """Note that an interrupt did what it was meant to; what fails now has another cause."""
    _Interrupts.pending = False


def by_interrupt(error: BaseException | None) -> bool:
    """Tell whether an error is what a library made of an interrupt.

    transformers turns one that comes while it imports into an import that failed, and numpy fails
    when it is imported again after one.
    """
    if _Interrupts.pending:
        return True
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _run() -> NoReturn:
    from emotone.errors import EmotoneError

    _open_closed()
    code: Any = 0
    try:
        from emotone.cli.app import app

        # Otherwise typer ends the process itself and prints wrong use as a box of several lines.
        code = app(prog_name="emotone", standalone_mode=False)
        sys.stdout.flush()
    except EmotoneError as error:
        if by_interrupt(error):
            raise KeyboardInterrupt from None
        print(f"emotone: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except SystemExit as end:
        if by_interrupt(end):
            raise KeyboardInterrupt from None
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
        if by_interrupt(error) or type(error).__name__ == "Abort":  # typer's, for an interrupt
            raise KeyboardInterrupt from None
        # typer carries a click of its own in some versions, so its errors go by what they offer.
        if not hasattr(error, "format_message"):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            help_of: Any = error
            print(help_of.format_message())
            raise SystemExit(getattr(error, "exit_code", 2)) from None
        message = _wrong_use(error)
        if message:
            print(f"emotone: {message}", file=sys.stderr)
        raise SystemExit(getattr(error, "exit_code", 2)) from None
    if code == 130:  # typer's too
        raise KeyboardInterrupt
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


def _wrong_use(error: Any) -> str:
    """Write typer's message as one sentence that says where help is; empty after help itself."""
    import re

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
    extra = re.search(r"unexpected extra arguments? ?(?:\(s\))? ?\((.*)\)", sentence)
    post = getattr(context, "params", {}).get("text")
    if extra and post:
        return f'the post is one text; put it in quotes, as in {path} "{post} {extra[1]}"'
    return f"{sentence[0].lower()}{sentence[1:]}; `{path} --help` lists what is allowed"
