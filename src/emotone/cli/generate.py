"""`emotone generate`: replies for a file, resumable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from emotone.cli import options


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
    seed: options.Seed = 0,
    device: options.Device = "auto",
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    greedy: options.Greedy = False,
    beams: options.Beams = None,
    length_penalty: options.LengthPenalty = None,
    settings: options.Set = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Answer all anew; what the output holds is lost.")
    ] = False,
) -> None:
    """Answer every example of a file; run it again after a kill and it goes on.

    `--emotion` overrides the examples' own emotions, and `--empathy` asks the same levels of every
    reply. What a reply depends on is kept beside the
    output, and a run with other settings does not go on with it.
    """
    from emotone.cli.inputs import read_input, read_lines
    from emotone.cli.progress import bar
    from emotone.evaluation import generate as work
    from emotone.evaluation import resume
    from emotone.files import check_writable

    options.check_emotion(emotion)
    levels = options.parse_empathy(empathy)
    chosen = options.decoding(seed, max_tokens, temperature, greedy, beams, length_penalty)
    lines = read_lines(source)
    if output != "-":
        check_writable(Path(output))
    from emotone import systems

    systems.module(system)  # an unknown system fails before the file is read
    responder = options.load(system, model, device, settings, lang, "".join(lines[:50]))
    taxonomy = responder.capabilities.taxonomy
    examples = read_input(lines, source, taxonomy)
    mix = options.parse_emotion(emotion, taxonomy)
    options.check_empathy(levels, responder.capabilities, system)
    part = work.shard(examples, shard)
    if taxonomy is None and mix is None and any(e.emotion for _, e in part):
        options.note(f"{system} takes no emotion; those of the examples are left out")
    done: set[str] = set()
    if output != "-":
        now = resume.settings(
            lines,
            system=system,
            model=model,
            emotion=mix,
            empathy=levels,
            decoding=chosen,
            overrides=settings or (),
            shard=shard,
        )
        path = Path(output)
        done = work.finished(path)  # what holds no replies is refused, with --restart too
        if restart:
            done = set()
            path.write_bytes(b"")
        if done:
            resume.check_resume(path, now)
        else:
            resume.begin(path, now, source)
    if done:
        options.note(f"{output} holds {len(done)} replies; going on after them")
    out = sys.stdout if output == "-" else Path(output).open("a", encoding="utf-8")  # noqa: SIM115
    try:
        with bar("replies", len(part) - sum(e.id in done for _, e in part)) as advance:
            work.generate(
                responder,
                part,
                out,
                emotion=mix,
                empathy=levels,
                decoding=chosen,
                batch=batch,
                done=done,
                progress=advance,
            )
    finally:
        if out is not sys.stdout:
            out.close()
