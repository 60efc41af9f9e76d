"""`emotone study`: replies rated by people who do not know which system wrote them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotone.cli import options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emotone.human.design import Design
    from emotone.human.draw import Unit

app = typer.Typer(
    help="Human evaluation: a study, its page for raters, and its report.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

PORT = 8130
Study = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's file.")]
Url = Annotated[
    str, typer.Option("--url", help="Where raters will reach the page; stands before the links.")
]
Without = Annotated[
    list[str] | None,
    typer.Option("--without", help="A rater who wants to be left out; again for more."),
]
Names = Annotated[list[str] | None, typer.Option("--name", help="A rater's name; again for more.")]


@app.command("design")
def design(
    name: Annotated[str, typer.Argument(help="emo-seq, empathy or ab.")] = "emo-seq",
) -> None:
    """Print a design as TOML, to change it and give it by `create --design FILE`."""
    from emotone.human.design import design_text

    typer.echo(design_text(name), nl=False)


@app.command("create")
def create(
    source: Annotated[
        list[Path] | None,
        typer.Option("--input", "-i", help="replies.jsonl; give it again for more."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The study's file.")] = Path(
        "study.db"
    ),
    design: Annotated[
        str, typer.Option("--design", help="emo-seq, empathy, ab, or a TOML of yours.")
    ] = "emo-seq",
    key: Annotated[
        Path | None, typer.Option("--key", help="Take the lines of a blind sheet by its key.")
    ] = None,
    raters: Annotated[int, typer.Option("--raters", min=1, help="How many raters.")] = 12,
    names: Names = None,
    each: Annotated[
        int, typer.Option("--ratings-per-item", min=1, help="Raters of each item.")
    ] = 3,
    posts: Annotated[
        int | None, typer.Option("--posts", min=0, help="Posts, 0 for all; else the design's.")
    ] = None,
    emotions: Annotated[
        list[str] | None, typer.Option("--emotion", "-e", help="Only this one; again for more.")
    ] = None,
    asked: Annotated[
        str,
        typer.Option("--asked", help="all shows replies asked for no emotion under each emotion."),
    ] = "own",
    by_hand: Annotated[
        int, typer.Option("--by-hand", min=0, help="Lines written by hand that are mixed in.")
    ] = 20,
    by_hand_from: Annotated[
        str | None,
        typer.Option(
            "--by-hand-from", help="examples.jsonl, or 'references'; else lines of everyday."
        ),
    ] = None,
    lang: Annotated[
        str | None, typer.Option("--lang", help="en or zh, of the items; else by their script.")
    ] = None,
    contact: Annotated[
        str, typer.Option("--contact", help="Whom raters ask; stands in the consent.")
    ] = "",
    url: Url = f"http://127.0.0.1:{PORT}",
    seconds: Annotated[
        float | None, typer.Option("--seconds-per-item", min=0.1, help="For the cost.")
    ] = None,
    width: Annotated[
        float | None,
        typer.Option("--width", min=1e-6, help="Half an interval's width that you want."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of every draw and order.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the cost.")] = False,
    as_json: options.Json = False,
) -> None:
    """Make a study of replies; prints the raters' links, which are kept nowhere, and the cost."""
    from emotone.data.text import language
    from emotone.errors import UsageError
    from emotone.evaluation import blind
    from emotone.human import draw, plan, store
    from emotone.human.design import design_text, read_design

    if lang not in (None, "en", "zh"):
        raise UsageError(f"--lang is {lang!r}; use en or zh")
    if asked not in ("own", "all"):
        raise UsageError(f"--asked is {asked!r}; use own or all")
    if bool(source) == bool(key):
        raise UsageError("give replies by -i, or the key of a blind sheet by --key")
    text = _read(design) if design.endswith(".toml") else design_text(design)
    chosen = read_design(text)
    if key is not None:
        items, systems = blind.read_key(key), {}
        mixes = draw.mixes_of(items)
    else:
        systems = draw.comparable(
            blind.systems_of(source or ()),
            chosen,
            emotions=emotions or (),
            asked_all=asked == "all",
        )
        hand = _by_hand(systems, by_hand, by_hand_from, seed)
        count = chosen.posts if posts is None else posts
        items = blind.items(systems, hand, posts=count, seed=seed)
        mixes = [r.emotion for pairs in systems.values() for _, r in pairs if r.emotion is not None]
        mixes += [e.emotion for e in hand if e.emotion is not None]
    shown = draw.units(items, chosen, mixes)
    spoken = lang or language(*(u.reply for u in shown))
    named = names or [f"r{n:02d}" for n in range(1, raters + 1)]
    made = plan.plan(chosen, shown, named, each, lang=spoken, seed=seed)
    spent = chosen.seconds if seconds is None else seconds
    cost = plan.cost(chosen, made, seconds=spent, width=width)
    _warn(shown, chosen)
    links: dict[str, str] = {}
    if not dry_run:
        who = contact or (
            "发给您链接的人" if spoken == "zh" else "the person who sent you the link"
        )
        tokens = store.create(
            output, text, made, lang=spoken, seed=seed, contact=who, seconds=spent
        )
        links = _links(url, tokens)
    if as_json:
        typer.echo(json.dumps({"study": str(output), "cost": cost, "links": links}))
        return
    say = typer.echo if dry_run else options.note
    for line in _cost(cost, width):
        say(line)
    _print(links)


@app.command("invite")
def invite(
    study: Study,
    names: Names = None,
    items: Annotated[
        int, typer.Option("--items", min=0, help="Of each; 0 for as many as the others have.")
    ] = 0,
    replace: Annotated[
        str | None, typer.Option("--replace", help="Whose items the new rater takes over.")
    ] = None,
    url: Url = f"http://127.0.0.1:{PORT}",
) -> None:
    """Add raters while a study runs, and print their links."""
    from emotone.errors import UsageError
    from emotone.human import invite as inviting
    from emotone.human.store import open_store

    if not names or (replace is not None and len(names) > 1):
        raise UsageError("give the new rater's name by --name, one alone with --replace")
    with open_store(study) as store:
        if replace is None:
            tokens = inviting.add_raters(store, names, items)
        else:
            tokens = inviting.replace_rater(store, replace, names[0])
    _print(_links(url, tokens))


@app.command("status")
def status(study: Study, as_json: options.Json = False) -> None:
    """Print how far each rater is."""
    from emotone.human.ratings import progress
    from emotone.human.store import open_store

    with open_store(study, write=False) as store:
        rows = progress(store)
    if as_json:
        typer.echo(json.dumps({"raters": rows}, ensure_ascii=False))
        return
    for row in rows:
        gone = ", replaced" if row["replaced"] else ""
        typer.echo(f"{row['rater']}\t{row['done']} of {row['total']}{gone}\t{row['last'] or '-'}")


@app.command("serve")
def serve(
    study: Study,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 is all.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0 takes any that is free.")] = PORT,
    names: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="A name by which raters call; again for more."),
    ] = None,
) -> None:
    """Serve the raters' page until interrupted."""
    from emotone.errors import RunError
    from emotone.human.store import open_store

    try:
        import uvicorn  # noqa: F401 - asked for here, where its absence becomes a sentence

        from emotone.human.app import app as page
        from emotone.web.guard import is_loopback
        from emotone.web.listen import bind, listen
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise RunError(
            f"the page needs {error.name}, which is not installed; run"
            " `pip install 'emotone[serve]'`"
        ) from error
    with open_store(study) as store:
        own = bind(host, port)
        if not is_loopback(host) and not names:
            options.note(
                "others reach this machine by its name or address, which is answered only if"
                " --allow-host gives it"
            )

        def ready(address: str) -> None:
            typer.echo(address)
            sys.stdout.flush()
            options.note("raters open their links; stop by Ctrl-C, every rating is on the disk")

        listen(page(store, hosts=names or ()), own, ready=ready)


@app.command("export")
def export(
    study: Study,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .csv or .jsonl.")],
    texts: Annotated[bool, typer.Option("--texts", help="Write posts and replies, too.")] = False,
    without: Without = None,
) -> None:
    """Write every rating ever given, one a line; what was taken back does not count."""
    from emotone.human.exchange import export as write
    from emotone.human.store import open_store

    with open_store(study, write=False) as store:
        count = write(store, output, texts=texts, without=without or ())
    typer.echo(output)
    options.note(f"{count} ratings; keep the file from raters, for it names the systems")


@app.command("import")
def import_(
    study: Study,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Of `export`, or sheets.")],
    key: Annotated[
        Path | None, typer.Option("--key", "-k", help="The files are blind sheets of this key.")
    ] = None,
) -> None:
    """Take ratings into a study of the same items; those that are there stay as they are."""
    from emotone.human import exchange
    from emotone.human.store import open_store

    with open_store(study) as store:
        if key is not None:
            counts = [exchange.take_sheets(store, key, files)]
        else:
            counts = [exchange.take(store, path) for path in files]
    taken, there = (sum(column) for column in zip(*counts, strict=True))
    options.note(f"{taken} ratings taken, {there} were there already")


@app.command("report")
def report(
    study: Study,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder; the study's name without it.")
    ] = None,
    judged: Annotated[
        list[str] | None,
        typer.Option(
            "--judged", help="Labels of `emotone judge`: FILE, or FILE=replies.jsonl for sense."
        ),
    ] = None,
    exclude_failed: Annotated[
        bool, typer.Option("--exclude-failed", help="Leave out who failed half of the checks.")
    ] = False,
    without: Without = None,
    rounds: Annotated[int, typer.Option("--rounds", min=2, help="Draws for each interval.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the draws.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Write study.json, index.html, tables.md and tables.tex; prints the page's place."""
    from dataclasses import asdict

    from emotone.human.figures import findings
    from emotone.human.judged import read_labels
    from emotone.human.store import open_store
    from emotone.report.study import write_study

    labels = [read_labels(text) for text in judged or ()]
    with open_store(study, write=False) as store:
        found = findings(
            store,
            labels,
            exclude_failed=exclude_failed,
            without=without or (),
            rounds=rounds,
            seed=seed,
        )
    for each in found.notes:
        options.note(each)
    place = output or study.with_name(f"{study.stem}-report")
    files = write_study(found, place)
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False))
    else:
        typer.echo(files[0])


def _by_hand(systems: Any, count: int, source: str | None, seed: int) -> list[Any]:
    import random

    from emotone.evaluation import blind
    from emotone.human.draw import references

    if not count:
        return []
    if source != "references":
        return blind.by_hand(systems, count, None if source is None else Path(source), seed=seed)
    own = references(systems)
    return random.Random(seed).sample(own, min(count, len(own)))


def _read(path: str) -> str:
    from emotone.encoding import read_text

    return read_text(Path(path), "design")


def _links(url: str, tokens: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{url.rstrip('/')}/r/{token}" for name, token in tokens.items()}


def _print(links: Mapping[str, str]) -> None:
    for name, link in links.items():
        typer.echo(f"{name}\t{link}")
    if links:
        options.note("keep these links: they are not stored, and each is one rater's alone")


def _warn(shown: Sequence[Unit], design: Design) -> None:
    """Say what blinding cannot hide."""
    from emotone.errors import number_of
    from emotone.human.draw import names_itself

    systems = {name for u in shown if u.role == "reply" for name in (u.system, u.other_system)}
    names = systems | {part for name in systems for part in name.split(", ")}
    if said := names_itself(shown, names):
        options.note(
            f"{number_of(len(said), 'reply says', 'replies say')} the name of a system or model,"
            f" such as {said[0].source}; raters will read it"
        )
    words = json.dumps(design.page("en", {}), ensure_ascii=False).lower()
    for name in sorted({n for n in names if len(n) >= 4 and n.lower() in words}):
        options.note(f"the design says {name!r}, which is a system or model; raters will read it")


def _cost(cost: Mapping[str, Any], width: float | None) -> list[str]:
    lines = [
        f"{cost['items']} items, {cost['ratings']} ratings by {cost['raters']} raters:"
        f" {cost['items_a_rater']} items and about {cost['minutes_a_rater']} minutes each,"
        f" {cost['hours']} hours in all"
    ]
    for name, row in cost["criteria"].items():
        line = f"{name}: expect a system's mean within ±{row['half_width']:.2f}"
        if width is not None:
            raters = row["raters_needed"] or "more than 1000"
            items = row["items_needed"] or "no number of"
            line += f"; ±{width:g} takes {raters} raters, or {items} items of each system"
        lines.append(line)
    return lines
