"""`emotone blind`: replies read by people who do not know which system wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emotone.cli import options

app = typer.Typer(
    help="Blind reading: a sheet without names, and what readers gave.", no_args_is_help=True
)


@app.command("sheet")
def sheet(
    source: Annotated[
        list[Path], typer.Option("--input", "-i", help="replies.jsonl; give it again for more.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The sheet, .csv or .jsonl.")
    ] = Path("sheet.csv"),
    key: Annotated[
        Path | None, typer.Option("--key", help="What readers must not see; SHEET.key.json.")
    ] = None,
    posts: Annotated[
        int, typer.Option("--posts", min=0, help="Posts of each system, the same; 0 for all.")
    ] = 0,
    lines: Annotated[
        int, typer.Option("--lines", min=0, help="Most lines of each system; 0 for all.")
    ] = 0,
    by_hand: Annotated[
        int, typer.Option("--by-hand", min=0, help="Lines written by hand that are mixed in.")
    ] = 20,
    by_hand_from: Annotated[
        Path | None,
        typer.Option("--by-hand-from", help="examples.jsonl with replies; default: everyday."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the draw and the order.")] = 0,
) -> None:
    """Write a shuffled sheet of replies, and the key that says who wrote which.

    A file of several systems or models is parted by them.
    """
    from emotone.evaluation import blind
    from emotone.files import check_writable

    beside = key or output.with_suffix(".key.json")
    for path in (output, beside):
        check_writable(path)
    systems = blind.systems_of(source)
    hand = blind.by_hand(systems, by_hand, by_hand_from, seed=seed)
    drawn = blind.items(systems, hand, posts=posts, lines=lines, seed=seed)
    blind.write_sheet(drawn, output, beside)
    typer.echo(output)
    for criterion, words in blind.WORDS.items():
        options.note(f"{criterion}: {words}")
    options.note(f"{len(drawn)} lines; keep {beside} from the readers")


@app.command("report")
def report(
    ratings: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Sheets filled in, one a reader; or id and values."),
    ],
    key: Annotated[Path, typer.Option("--key", "-k", help="The key of the sheet.")],
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Draws for each interval.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draws.")] = 0,
) -> None:
    """Print emotion, content, both right and blame of each system, and how far readers agree."""
    import json

    from emotone.evaluation import blind

    drawn = blind.read_key(key)
    readings = [reading for path in ratings for reading in blind.read_ratings(path, drawn)]
    rows = blind.figures(drawn, readings, rounds=rounds, seed=seed)
    pairs = blind.agreement(readings)
    if json_:
        systems = [
            {"system": row.system, "lines": row.lines}
            | {name: getattr(row, name).row() for name in ("emotion", "content", "both", "blame")}
            for row in rows
        ]
        typer.echo(json.dumps({"systems": systems, "agreement": pairs}, ensure_ascii=False))
    else:
        typer.echo(blind.markdown(rows, pairs), nl=False)
    rated = {reading.id for reading in readings}
    if left := len(drawn) - len(rated):
        options.note(f"{left} of {len(drawn)} lines are not rated")
