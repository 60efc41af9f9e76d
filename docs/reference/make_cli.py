"""Write docs/reference/cli.md from the commands' own help: `python docs/reference/make_cli.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("cli.md")
_WIDTH = 80  # columns, so that a terminal's own width does not change the page
_HEAD = """\
# Commands

Written by `python docs/reference/make_cli.py` from `emotone ... --help`; do not edit by hand.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 failure, 2 wrong use (one
sentence says what came, what is allowed and what to do), 130 interrupted; 143 for a training that
was sent SIGTERM and has saved.
"""


def render() -> str:
    """Return the page."""
    import typer

    from emotone.cli.app import app

    root = typer.main.get_command(app)
    return "".join([_HEAD, *_sections(root, None, "emotone")])


def _sections(command: Any, parent: Any, path: str) -> Iterator[str]:
    context = command.context_class(
        command,
        parent=parent,
        info_name=path.split()[-1],
        terminal_width=_WIDTH,
        **command.context_settings,
    )
    said = "\n".join(line.rstrip() for line in command.get_help(context).splitlines()).strip()
    yield f"\n## {path}\n\n```text\n{said}\n```\n"
    for name, child in getattr(command, "commands", {}).items():
        yield from _sections(child, context, f"{path} {name}")


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    print(PAGE)
