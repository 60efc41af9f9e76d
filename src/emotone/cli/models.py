"""`emotone models`: list, fetch, look at and remove weights."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from emotone.models import Entry, Info

app = typer.Typer(
    help="Weights: list, fetch, look at, remove.", no_args_is_help=True, rich_markup_mode=None
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the catalogue.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]

_STATES = {"absent": "not here"}


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the known models and which of them are here."""
    from emotone import models
    from emotone.models import progress

    infos = [models.info(name, check=False) for name in models.known()]
    if as_json:
        _object(
            {
                "default": models.DEFAULT,
                "cache": str(models.cache_root()),
                "models": [_facts(info) for info in infos],
            }
        )
        return
    rows = [
        (
            info.entry.name,
            _STATES.get(info.state, info.state),
            progress.size(info.bytes or _download_bytes(info.entry)),
            info.entry.description,
        )
        for info in infos
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        typer.echo("  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]))


@app.command()
def pull(
    name: Name,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="Accept the model's terms of use, if any.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch a model, unless it is here; a model with terms of use shows them first."""
    from emotone import models
    from emotone.models import progress

    if models.info(name, check=False).state in ("absent", "outdated"):
        accept_terms = _accept(models.entry(name), accept_terms)
    location = models.pull(name, accept_terms=accept_terms)
    size = models.info(name, check=False).bytes
    if as_json:
        _object(
            {
                "name": name,
                "path": str(location.path),
                "revision": location.revision,
                "bytes": size,
            }
        )
    else:
        typer.echo(f"{name} is ready in {location.path} ({progress.size(size)})")


@app.command()
def info(name: Name, as_json: AsJson = False) -> None:
    """Say what a model is, where it comes from, and whether the copy here is sound."""
    from emotone import models

    facts = _facts(models.info(name))
    if as_json:
        _object(facts)
        return
    for key, value in facts.items():
        if value is not None:
            typer.echo(f"{key}: {_plain(value)}")


@app.command()
def remove(name: Name, as_json: AsJson = False) -> None:
    """Remove a model from the cache."""
    from emotone import models
    from emotone.models import progress

    freed = models.remove(name)
    if as_json:
        _object({"name": name, "freed_bytes": freed})
    else:
        typer.echo(f"{name} is removed ({progress.size(freed)} freed)")


def _accept(entry: Entry, accepted: bool) -> bool:
    from emotone import models
    from emotone.errors import ModelMissing, UsageError

    if entry.terms is None:
        return accepted
    if not accepted and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            f"model {entry.name!r} comes under the {entry.terms.name} ({entry.terms.url}) and"
            " nobody is here to accept them; read them, then add --accept-terms"
        )
    typer.echo(models.read_terms(entry.name), err=True)
    if accepted:
        return True
    question = f"\nDo you accept the {entry.terms.name} ({entry.terms.url})? [y/N]: "
    typer.echo(question, nl=False, err=True)
    # typer's own prompt would leave a blank on stdout, which belongs to the result.
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    raise ModelMissing(
        f"the {entry.terms.name} were not accepted, so model {entry.name!r} was not fetched;"
        " choose another model with `emotone models list`"
    )


def _facts(info: Info) -> dict[str, Any]:
    from emotone import models

    entry = info.entry
    return {
        "name": entry.name,
        "default": entry.name == models.DEFAULT,
        "kind": entry.kind,
        "description": entry.description,
        "languages": list(entry.languages),
        "licence": entry.licence,
        "terms": None if entry.terms is None else f"{entry.terms.name} ({entry.terms.url})",
        "vectors": entry.vectors,
        "revision": entry.revision,
        "wheels": [wheel.requirement for wheel in entry.wheels],
        "download_bytes": _download_bytes(entry),
        "state": info.state,
        "path": None if info.path is None else str(info.path),
        "bytes": info.bytes,
        "problem": info.problem,
    }


def _download_bytes(entry: Entry) -> int:
    return sum(wheel.bytes for wheel in entry.wheels)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)


def _object(values: dict[str, Any]) -> None:
    typer.echo(json.dumps(values, ensure_ascii=False))
