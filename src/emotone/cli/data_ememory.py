"""`emotone data ememory`: the emotion words of ECM's external memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emotone.types import Example


def ememory(
    output: Annotated[Path, typer.Option("--output", "-o", help="Such as vocab40000.ememory.")],
    from_lexicon: Annotated[
        Path | None,
        typer.Option("--from-lexicon", help="A .yaml, .json or .tsv, or ECM's folder."),
    ] = None,
    from_examples: Annotated[
        Path | None,
        typer.Option("--from-examples", help="examples.jsonl or .parquet with emotions."),
    ] = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option("--vocabulary", help="Words of the model, frequent ones first."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", min=1, help="Most words of a class; 200 from examples."),
    ] = None,
    min_count: Annotated[
        int, typer.Option("--min-count", min=1, help="From examples: a word occurs so often.")
    ] = 10,
    neutral: Annotated[
        bool, typer.Option("--neutral", help='From examples: list words of "other" too.')
    ] = False,
) -> None:
    """Write the emotion words of ECM's external memory, from a word list or labelled examples."""
    from emotone.data import ememory as build
    from emotone.errors import UsageError
    from emotone.files import check_writable

    check_writable(output)
    words = None if vocabulary is None else _words(vocabulary)
    if from_lexicon is not None and from_examples is None:
        from emotone.data.lexicons import read_lexicon

        lists = build.from_lexicon(read_lexicon(from_lexicon), words, size=size)
    elif from_examples is not None and from_lexicon is None:
        lists = build.from_log_odds(
            build.labelled_words(_examples(from_examples)),
            words,
            size=200 if size is None else size,
            min_count=min_count,
            neutral=neutral,
        )
    else:
        raise UsageError("give one of --from-lexicon and --from-examples")
    build.write_ememory(output, lists)
    from emotone.emotions import NLPCC

    counts = (f"{label} {len(words)}" for label, words in zip(NLPCC.labels, lists, strict=True))
    typer.echo(f"{output}: {', '.join(counts)}")


def _words(path: Path) -> list[str]:
    from emotone.data.reading import Problems, read_lines

    return [line.strip() for _, line in read_lines(path, Problems()) if line.strip()]


def _examples(path: Path) -> Iterator[Example]:
    from emotone.data.reading import Problems
    from emotone.data.source import read_file

    return read_file(path, Problems())
