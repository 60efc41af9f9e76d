"""`emotone data`: corpora in their official formats, read, counted, checked and labelled."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotone.cli import data_ememory, data_pools
from emotone.cli.options import Json, note
from emotone.errors import number_of

if TYPE_CHECKING:
    from emotone.data.reading import OnError, Problems
    from emotone.data.source import Source
    from emotone.types import Example

data_app = typer.Typer(
    help="Corpora: list, prepare, count, check, label.", no_args_is_help=True, rich_markup_mode=None
)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME|FILE", help="A corpus (see `emotone data list`), or a file of examples."
    ),
]
From = Annotated[Path | None, typer.Option("--from", "-f", help="Folder or file of the corpus.")]
Split = Annotated[
    str | None,
    typer.Option("--split", help="One split, or the start of several; a default without it."),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Stop after this many examples.")]


@data_app.command("list")
def list_corpora(as_json: Json = False) -> None:
    """List the corpora that can be read, with licence and splits."""
    from emotone.data import corpora

    described = [corpora.module(name).CORPUS for name in corpora.names()]
    if as_json:
        rows = [
            {
                "name": c.name,
                "title": c.title,
                "languages": list(c.langs),
                "taxonomies": [t.name for t in c.taxonomies],
                "licence": c.licence,
                "splits": {split: list(names) for split, names in c.files.items()},
                "default": list(c.default or c.files),
                "note": c.note,
            }
            for c in described
        ]
        typer.echo(json.dumps({"corpora": rows}, ensure_ascii=False))
        return
    for corpus in described:
        typer.echo(f"{corpus.name} ({', '.join(corpus.langs)}): {corpus.title}")
        typer.echo(f"  licence: {corpus.licence}")
        typer.echo(f"  splits: {', '.join(corpus.files)}")
        if corpus.note:
            typer.echo(f"  examples: {corpus.note}")


@data_app.command()
def prepare(
    name: Name,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="A file that ends in .jsonl or .parquet; of pairs a folder."
        ),
    ],
    where: From = None,
    split: Split = None,
    taxonomy: Annotated[
        str | None, typer.Option("--taxonomy", help="Map the emotions to this label set.")
    ] = None,
    on_error: Annotated[
        str, typer.Option("--on-error", help="raise: stop at a bad line; skip: leave it out.")
    ] = "raise",
    limit: Limit = None,
    lang: Annotated[
        str | None, typer.Option("--lang", help="Keep the examples in en or in zh only.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="Of pairs: who labels the replies.")
    ] = None,
    keep_words: Annotated[
        bool,
        typer.Option(
            "--keep-words",
            help="Leave blanks between Chinese words, for training with data.words=corpus.",
        ),
    ] = False,
) -> None:
    """Turn a corpus into a file of examples, whole or not at all.

    zh-pairs, en-pairs and synthetic are pools: posts and replies of several corpora, labelled and
    split, in a folder of files that the recurrent systems train on.
    """
    from emotone.data.examples import write_jsonl, write_parquet
    from emotone.data.relabel import relabel
    from emotone.data.source import SUFFIXES
    from emotone.errors import UsageError

    if name in data_pools.POOLS:
        given = {"--split": split, "--limit": limit, "--lang": lang}
        given |= {"--keep-words": keep_words or None}
        data_pools.prepare_pool(name, output, where, judge, taxonomy, given)
        return
    if judge is not None:
        raise UsageError(f"{name} keeps its own labels; leave --judge out")
    if output.suffix not in SUFFIXES:
        raise UsageError(f"cannot tell how to write {output}; end it in {' or '.join(SUFFIXES)}")
    target = None if taxonomy is None else _taxonomy(taxonomy)
    problems, source = _open(name, where, split, on_error, keep_words=keep_words)
    langs: Counter[str] = Counter()
    read = _in_language(source.examples, lang, langs)
    examples = _some(read, name, limit, problems)
    if target is not None:
        examples = (relabel(example, target) for example in examples)
    write = write_parquet if output.suffix == ".parquet" else write_jsonl
    count = write(_counted(examples), output)
    note(f"{number_of(count, 'example')} in {output}")
    if source.corpus:
        note(f"licence of {source.corpus.name}: {source.corpus.licence}")
    _note_skipped(problems)
    if lang is not None and (others := langs.total() - langs[lang]):
        note(f"{number_of(others, 'example')} in another language than {lang} left out")
    elif lang is None and len(langs) > 1:
        counts = " and ".join(f"{n} in {one}" for one, n in langs.most_common())
        note(f"{counts}; --lang keeps one language")


@data_app.command()
def stats(
    name: Name,
    where: From = None,
    split: Split = None,
    limit: Limit = None,
    on_error: Annotated[
        str, typer.Option("--on-error", help="raise: stop at a bad line; skip: leave it out.")
    ] = "raise",
    as_json: Json = False,
) -> None:
    """Count dialogues, words and emotions, of posts and of replies."""
    from emotone.data.stats import collect, table

    problems, source = _open(name, where, split, on_error)
    counts = collect(_counted(_some(source.examples, name, limit, problems)))
    if as_json:
        row: dict[str, Any] = counts.as_dict()
        row["skipped"] = problems.count
        row["left_out"], row["mended"] = dict(problems.left_out), dict(problems.mended)
        row["licence"] = source.corpus.licence if source.corpus else None
        typer.echo(json.dumps(row, ensure_ascii=False))
        return
    typer.echo(table(counts))
    if source.corpus:
        typer.echo(f"\nlicence: {source.corpus.licence}")
    _note_skipped(problems)


@data_app.command()
def validate(name: Name, where: From = None, split: Split = None, as_json: Json = False) -> None:
    """Read everything and say what is wrong and where; exit code 1 if anything is."""
    from emotone.data.stats import collect

    problems, source = _open(name, where, split, "skip")
    counts = collect(_counted(source.examples))
    wrong = list(problems.places)
    if problems.count > len(wrong):
        wrong.append(f"and {problems.count - len(problems.places)} more")
    if counts.same_ids:
        wrong.append(
            f"{number_of(counts.same_ids, 'example')} with the id of an earlier one, the first of "
            f"them {counts.same_id!r}; make the ids unique"
        )
    if not counts.examples:
        wrong.append("there is no example in it")
    if as_json:
        row = {"examples": counts.examples, "bad": problems.count, "problems": wrong}
        row |= {"left_out": dict(problems.left_out), "mended": dict(problems.mended)}
        typer.echo(json.dumps(row, ensure_ascii=False))
    else:
        bad = number_of(problems.count, "bad line")
        typer.echo(f"{number_of(counts.examples, 'example')}, {bad}")
        for place in wrong:
            typer.echo(f"  {place}")
        for sentence in problems.losses():
            note(sentence)
    if wrong:
        raise typer.Exit(1)


@data_app.command()
def label(
    source: Annotated[Path, typer.Option("--input", "-i", help="A file of examples.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A file that ends in .jsonl or .parquet.")
    ],
    judge: Annotated[
        str | None,
        typer.Option("--judge", help="A judge that may label; that of each language without it."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Label what has an emotion anew.")
    ] = False,
) -> None:
    """Add the emotion that a judge finds in each post that is answered and in its reply.

    Emotions that are there stay. The judge's name stands in each line that it labelled, so that it
    may not score what learns from it.
    """
    from emotone.data.examples import write_jsonl, write_parquet
    from emotone.data.label import Counts, labelled
    from emotone.data.reading import Problems
    from emotone.data.source import SUFFIXES, read_file
    from emotone.errors import UsageError
    from emotone.files import check_writable
    from emotone.judges import LABEL, card_of
    from emotone.judges.by_language import JudgesByLanguage

    if output.suffix not in SUFFIXES:
        raise UsageError(f"cannot tell how to write {output}; end it in {' or '.join(SUFFIXES)}")
    check_writable(output)
    named = dict(LABEL) if judge is None else {card_of(judge).lang: judge}
    judges = JudgesByLanguage(named, data_pools.may_label)
    problems, counts = Problems(), Counts()
    rows = _some(read_file(source, problems), str(source), None, problems)
    labels = labelled(rows, judges.of, overwrite=overwrite, counts=counts)
    write = write_parquet if output.suffix == ".parquet" else write_jsonl
    count = write(_counted(labels), output)
    names = ", ".join(each.name for each in judges.opened.values()) or "nobody"
    note(f"{number_of(count, 'example')} in {output}, {counts.labelled} labelled by {names}")
    if counts.left:
        note(f"{counts.left} had an emotion and keep it; --overwrite labels them anew")
    if counts.replaced:
        note(f"{number_of(counts.replaced, 'emotion')} gave way to the judge's")
    _note_skipped(problems)


data_app.command("ememory")(data_ememory.ememory)


def _open(
    name: str, where: Path | None, split: str | None, on_error: str, *, keep_words: bool = False
) -> tuple[Problems, Source]:
    from emotone.data.reading import Problems
    from emotone.data.source import open_source

    problems = Problems(_on_error(on_error))
    return problems, open_source(name, where, problems, split=split, keep_words=keep_words)


def _in_language(
    examples: Iterator[Example], lang: str | None, langs: Counter[str]
) -> Iterator[Example]:
    """Yield the examples of one language, all for None, and count those of each."""
    from emotone.errors import UsageError

    if lang not in (None, "en", "zh"):
        raise UsageError(f"--lang is {lang!r}; use en or zh")
    for example in examples:
        langs[example.lang] += 1
        if lang in (None, example.lang):
            yield example


def _on_error(text: str) -> OnError:
    from emotone.errors import UsageError

    if text == "raise" or text == "skip":
        return text
    raise UsageError(f"--on-error is {text!r}; use raise or skip")


def _taxonomy(name: str) -> Any:
    from emotone.emotions import TAXONOMIES
    from emotone.errors import unknown_name

    if name not in TAXONOMIES:
        raise unknown_name("taxonomy", name, TAXONOMIES)
    return TAXONOMIES[name]


def _some(
    examples: Iterator[Example], name: str, limit: int | None, problems: Problems
) -> Iterator[Example]:
    """Give the examples up to a limit; none at all is an error, for an empty file helps nobody."""
    from emotone.errors import DataError

    some = False
    for example in islice(examples, limit):
        some = True
        yield example
    if not some:
        why = problems.losses()
        if problems.places:
            bad = number_of(problems.count, "bad line")
            why = [f"{bad}, the first in {problems.places[0]}", *why]
        sentence = "; ".join(why) or "look at it with `emotone data validate`"
        raise DataError(f"no example in {name}; {sentence}")


def _counted(examples: Iterator[Example]) -> Iterator[Example]:
    from emotone.cli.counting import counted

    return counted(examples, "examples")


def _note_skipped(problems: Problems) -> None:
    for sentence in problems.losses():
        note(sentence)
    if not problems.count:
        return
    note(f"left out: {number_of(problems.count, 'bad line')}")
    for place in problems.places:
        note(f"  {place}")
    if problems.count > len(problems.places):
        note(f"  and {problems.count - len(problems.places)} more")
