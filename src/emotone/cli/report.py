"""`emotone report`: one page and tables from scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emotone.cli import options


def report(
    places: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Run folders with scores.json.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the report; DIR/report for one DIR."),
    ] = None,
    title: Annotated[
        str, typer.Option("--title", help="Heading of the page.")
    ] = "Replies with a chosen emotion",
    posts: Annotated[
        str,
        typer.Option("--posts", help="show puts the posts in, which may be lines of a corpus."),
    ] = "hide",
    examples: Annotated[
        int, typer.Option("--examples", min=0, help="Posts whose replies are shown.")
    ] = 6,
    study: Annotated[
        Path | None, typer.Option("--study", help="study.json of `emotone study report`.")
    ] = None,
) -> None:
    """Write scores as index.html, tables.md and tables.tex; prints the page's place."""
    from emotone.errors import UsageError
    from emotone.report.write import write_report

    if posts not in ("hide", "show"):
        raise UsageError(f"--posts is {posts!r}; use hide or show")
    if output is None:
        one = places[0] if places[0].is_dir() else places[0].parent
        output = one / "report" if len(places) == 1 else Path("report")
    files = write_report(
        places, output, title=title, posts=posts == "show", examples=examples, study=study
    )
    typer.echo(files[0])
    options.note(f"tables are in {files[1].name} and {files[2].name} beside it")
