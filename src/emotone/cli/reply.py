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
    options.check_emotion(emotion)
    levels = options.parse_empathy(empathy)
    chosen = options.decoding(seed, max_tokens, temperature, greedy, beams, length_penalty)
    responder = options.load(system, model, device, settings, lang, dialogue.posts[-1].text)
    mix = options.parse_emotion(emotion, responder.capabilities.taxonomy)
    options.check_empathy(levels, responder.capabilities, system)
    start = time.perf_counter()
    made = responder.reply([dialogue], [mix], decoding=chosen, empathy=[levels])[0]
    seconds = time.perf_counter() - start
    if not as_json:
        typer.echo(made.text)
        return
    row = {
        "text": made.text,
        "emotion": None if made.emotion is None else str(made.emotion),
        "applied": dict(made.applied),
        "system": made.system,
        "model": made.model,
        "seed": made.seed,
        "tokens": made.tokens,
        "logprob": made.logprob,
        "seconds": round(seconds, 3),
    }
    typer.echo(json.dumps(row, ensure_ascii=False))
