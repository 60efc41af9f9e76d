"""`emotone sweep`: trainings over a grid of settings."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from emotone.cli import options


def sweep(
    system: Annotated[
        str, typer.Argument(help="Which system, as for train.", autocompletion=options.systems)
    ],
    grid: Annotated[
        list[str],
        typer.Option("--grid", help="A setting and its values, such as training.lr=1e-3,3e-3."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the trainings' folders.")],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="TOML with what differs from defaults.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="One setting of all, such as hidden=128.")
    ] = None,
    rungs: Annotated[
        str, typer.Option("--rungs", help="Steps after which the worse half ends, as 200,400.")
    ] = "",
    ray: options.Ray = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Trainings at once, here or with --ray.")
    ] = 1,
) -> None:
    """Train a system with each choice of a grid; the best comes first, one JSON object a line.

    Run it again after a kill and each training goes on. Less loss on the development data is
    better. A folder is one of `emotone train`, and train.log in it is what that said.
    """
    from emotone.cli.progress import bar
    from emotone.errors import UsageError
    from emotone.launch.sweep import Trial, in_threads, row, trials_of
    from emotone.launch.sweep import sweep as sweep_all

    out = out.resolve()
    trials = trials_of(grid, out)
    fixed = ["--config", str(config.resolve())] if config is not None else []
    fixed += [word for setting in settings or () for word in ("--set", setting)]
    steps = [part.strip() for part in rungs.split(",") if part.strip()]
    ends = [int(part) for part in steps if part.isdecimal() and int(part)]
    if len(ends) < len(steps) or sorted({*ends}) != ends:
        raise UsageError(f"the rungs are {rungs!r}; write rising numbers of steps, as 200,400")
    out.mkdir(parents=True, exist_ok=True)
    with (
        options.spread(ray, workers if ray else None, ahead=1) as spread,
        bar("trainings", _count(len(trials), len(ends))) as advance,
    ):

        def tell(trial: Trial) -> None:
            advance(1)
            if trial.failure:
                options.note(f"{trial.folder.name} failed: {trial.failure}")

        ranked = sweep_all(
            system,
            trials,
            fixed=fixed,
            rungs=ends,
            spread=spread or partial(in_threads, workers),
            out=out,
            done=tell,
        )
    for trial in ranked:
        typer.echo(json.dumps(row(trial), ensure_ascii=False))


def _count(trials: int, rungs: int) -> int:
    """Trainings to all rungs, if none fails."""
    total = trials
    for _ in range(rungs):
        trials = -(-trials // 2)
        total += trials
    return total
