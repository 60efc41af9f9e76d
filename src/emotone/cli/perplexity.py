"""`emotone perplexity`: how likely references are under a system."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emotone.cli import options


def perplexity(
    source: Annotated[
        Path, typer.Option("--input", "-i", help="examples.jsonl whose lines have a reply.")
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", help="perplexity.json; - writes stdout.")
    ] = "-",
    emotion: options.Emotion = None,
    system: options.System = "steered",
    model: options.Model = None,
    lang: options.Lang = None,
    device: options.Device = "auto",
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Draws for each interval.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draws.")] = 0,
    settings: options.Set = None,
) -> None:
    """Measure the perplexity of the examples' own replies, by teacher forcing.

    A file beside `scores.json` becomes part of its report. `--emotion` overrides the emotions of
    the examples.
    """
    from emotone.cli.progress import bar
    from emotone.emotions import Auto
    from emotone.errors import UsageError, number_of
    from emotone.evaluation import perplexity as work
    from emotone.evaluation.inputs import examples_for, source_lines
    from emotone.evaluation.manifest import manifest
    from emotone.evaluation.scores import scores_json, write_scores
    from emotone.files import check_writable

    asked = options.read_emotion(emotion)
    if output != "-":
        check_writable(Path(output))
    door = options.open_door(system, model, device, settings, lang)
    lines = source_lines(source)
    examples = examples_for(door, lines, source, lang, model, options.note)
    languages = sorted({example.lang for example in examples}) or [door.languages[0]]
    if len(languages) > 1 and len(door.languages) > 1:
        raise UsageError(
            f"{source} holds {' and '.join(languages)}, and {system} has a model of each; measure "
            "each language apart, or all by one model with --lang"
        )
    responder = door.speaking(languages[0])
    mix = options.emotion_of(asked, responder.capabilities)
    if isinstance(mix, Auto):
        raise UsageError(
            f"{mix} chooses an emotion for each post; perplexity is measured in one, so name it"
        )
    work.check_likelihoods(responder)
    referenced = [e for e in examples if e.reply and e.reply.strip()]
    if len(referenced) < len(examples):
        unanswered = number_of(len(examples) - len(referenced), "example")
        options.note(f"left out: {unanswered} without a reply")
    with bar("references", len(referenced)) as advance:
        scores = work.perplexity(
            responder,
            referenced,
            emotion=mix,
            rounds=rounds,
            seed=seed,
            manifest=manifest(
                [source],
                settings={
                    "emotion": None if mix is None else str(mix),
                    "set": list(settings or ()),
                    "rounds": rounds,
                    "seed": seed,
                },
            ),
            progress=advance,
        )
    if output == "-":
        typer.echo(scores_json(scores).rstrip())
    else:
        write_scores(scores, Path(output))
        options.note(f"{output}: {scores.title}, {number_of(scores.n, 'reference')}")
