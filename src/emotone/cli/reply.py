"""`emotone reply`: one reply on stdout."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

from emotone.cli import options


def reply(
    text: Annotated[str, typer.Argument(help="The post to answer; - reads stdin.")],
    emotion: options.Emotion = None,
    empathy: options.Empathy = None,
    system: options.System = "steered",
    model: options.Model = None,
    lang: options.Lang = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    greedy: options.Greedy = False,
    beams: options.Beams = None,
    length_penalty: options.LengthPenalty = None,
    settings: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Answer one post in a chosen emotion, or with chosen empathy."""
    import sys

    from emotone.errors import DataError
    from emotone.types import Dialogue

    try:
        dialogue = Dialogue.of(sys.stdin.read() if text == "-" else text)
    except UnicodeDecodeError as error:
        raise DataError(f"cannot read stdin ({error}); write the text in UTF-8") from error
    asked = options.read_emotion(emotion)
    levels = options.read_empathy(empathy)
    decoding = options.decoding(seed, max_tokens, temperature, greedy, beams, length_penalty)
    door = options.open_door(system, model, device, settings, lang)
    door.responder_for(dialogue.posts[-1].text)  # loaded before the clock starts
    start = time.perf_counter()
    answer = door.reply(
        dialogue, asked, empathy=levels, seed=seed, decoding=decoding, note=options.note
    )
    seconds = time.perf_counter() - start
    if not as_json:
        typer.echo(answer.text)
        return
    row = {
        "text": answer.text,
        "emotion": None if answer.emotion is None else str(answer.emotion),
        "applied": dict(answer.applied),
        "system": answer.system,
        "model": answer.model,
        "seed": answer.seed,
        "tokens": answer.tokens,
        "logprob": answer.logprob,
        "seconds": round(seconds, 3),
    }
    typer.echo(json.dumps(row, ensure_ascii=False))
