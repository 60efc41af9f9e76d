"""`emotone generate`: replies for a file, resumable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotone.cli import options

if TYPE_CHECKING:
    from emotone.types import Example


def generate(
    source: Annotated[str, typer.Option("--input", "-i", help="examples.jsonl; - reads stdin.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="replies.jsonl; - writes stdout.")
    ] = "-",
    emotion: options.Emotion = None,
    system: options.System = "steered",
    model: options.Model = None,
    shard: Annotated[
        str, typer.Option("--shard", help="One share of the file, such as 2/4.")
    ] = "1/1",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Most rows at once.")] = 8,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    greedy: options.Greedy = False,
    settings: options.Set = None,
) -> None:
    """Answer every example of a file; run it again after a kill and it goes on.

    `--emotion` overrides the examples' own emotions.
    """
    from emotone.evaluation import generate as work

    options.check_emotion(emotion)
    chosen = options.decoding(seed, max_tokens, temperature, greedy)
    lines = _lines(source)
    if output != "-":
        _check_writable(Path(output))
    from emotone import systems

    systems.module(system)  # an unknown system fails before the file is read
    responder = options.load(system, model, device, settings)
    taxonomy = responder.capabilities.taxonomy
    examples = _examples(lines, source, taxonomy)
    mix = options.parse_emotion(emotion, taxonomy)
    part = work.shard(examples, shard)
    if taxonomy is None and mix is None and any(e.emotion for _, e in part):
        options.note(f"{system} takes no emotion; those of the examples are left out")
    done = set() if output == "-" else work.finished(Path(output))
    if done:
        options.note(f"{output} holds {len(done)} replies; going on after them")
    out = sys.stdout if output == "-" else Path(output).open("a", encoding="utf-8")  # noqa: SIM115
    try:
        with _bar(len(part) - sum(e.id in done for _, e in part)) as advance:
            work.generate(
                responder,
                part,
                out,
                emotion=mix,
                decoding=chosen,
                batch=batch,
                done=done,
                progress=advance,
            )
    finally:
        if out is not sys.stdout:
            out.close()


def _check_writable(path: Path) -> None:
    """Refuse a place where no file can be, before a model is loaded."""
    from emotone.errors import DataError

    try:
        path.open("ab").close()
    except OSError as error:
        raise DataError(
            f"cannot write {path} ({error.strerror}); name a file in a folder that exists"
        ) from error


def _lines(source: str) -> list[str]:
    from emotone.errors import DataError

    try:
        if source == "-":
            return sys.stdin.read().split("\n")
        # Not splitlines: JSON text may hold U+2028 and its like, which end no line of a file.
        return Path(source).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {source} ({error}); give a UTF-8 file of examples") from error


def _examples(lines: list[str], source: str, taxonomy: object) -> list[Example]:
    from emotone.emotions import Taxonomy
    from emotone.errors import DataError
    from emotone.evaluation.records import read_examples

    examples = list(
        read_examples(lines, source, taxonomy if isinstance(taxonomy, Taxonomy) else None)
    )
    seen: set[str] = set()
    for example in examples:
        if example.id in seen:
            raise DataError(f"{source}: id {example.id!r} occurs twice; make the ids unique")
        seen.add(example.id)
    return examples


class _bar:
    """A progress bar on stderr that hands out its `advance`."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        self._progress = Progress(
            "replies",
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("replies", total=total)

    def __enter__(self):
        self._progress.start()
        return lambda count: self._progress.advance(self._task, count)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
