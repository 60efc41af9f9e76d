"""`emotone generate`: replies for a file, resumable."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Annotated

import typer

from emotone.cli import options


@options.with_decoding
def generate(
    source: Annotated[str, typer.Option("--input", "-i", help="examples.jsonl; - reads stdin.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="replies.jsonl; - writes stdout.")
    ] = "-",
    emotion: options.Emotion = None,
    empathy: options.Empathy = None,
    system: options.System = "steered",
    model: options.Model = None,
    lang: options.Lang = None,
    shard: Annotated[
        str, typer.Option("--shard", help="One share of the file, such as 2/4.")
    ] = "1/1",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Most rows at once.")] = 8,
    device: options.Device = "auto",
    settings: options.Set = None,
    ray: options.Ray = None,
    workers: options.Workers = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Answer all anew; what the output holds is lost.")
    ] = False,
    *,
    decoding: options.Decoding,
) -> None:
    """Answer every example of a file; run it again after a kill and it goes on.

    `--emotion` overrides the examples' own emotions, and `--empathy` asks the same levels of every
    reply. What a reply depends on is kept beside the output, and a run with other settings does not
    go on with it. With `--ray` others answer, and the replies are the same.
    """
    from emotone.cli.progress import bar, waiting

    with ExitStack() as outer, ExitStack() as until_the_bar:
        spread = outer.enter_context(options.spread(ray, workers))
        until_the_bar.enter_context(waiting("loading the model"))
        from emotone.evaluation.generate import generate_file

        def loaded_bar(title: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
            until_the_bar.close()
            return bar(title, total)

        generate_file(
            source,
            output,
            emotion=options.read_emotion(emotion),
            empathy=options.read_empathy(empathy),
            system=system,
            model=model,
            lang=lang,
            decoding=decoding,
            settings=settings or (),
            shard=shard,
            batch=batch,
            restart=restart,
            device=device,
            note=options.note,
            bar=loaded_bar,
            spread=spread,
        )
