"""`emotone reply`: one reply on stdout."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotone.cli import options

if TYPE_CHECKING:
    from emotone.types import Reply


@options.with_decoding
def reply(
    text: Annotated[str, typer.Argument(help="The post to answer; - reads stdin.")],
    emotion: options.Emotion = None,
    empathy: options.Empathy = None,
    count: Annotated[
        int,
        typer.Option("-n", "--number", min=1, help="Replies; of --beams the best so many."),
    ] = 1,
    system: options.System = "steered",
    model: options.Model = None,
    lang: options.Lang = None,
    device: options.Device = "auto",
    settings: options.Set = None,
    as_json: options.Json = False,
    *,
    decoding: options.Decoding,
) -> None:
    """Answer one post in a chosen emotion, or with chosen empathy.

    `--emotion all` answers in every emotion of the system, a line each. With `-n` there are several
    replies: of the seeds that follow each other, or the best of a beam search.
    """
    from emotone.data.reading import whole_text
    from emotone.door import ALL
    from emotone.types import Dialogue

    dialogue = Dialogue.of(whole_text("-") if text == "-" else text)
    asked = ALL if emotion == ALL else options.read_emotion(emotion)
    levels = options.read_empathy(empathy)
    door = options.open_door(system, model, device, settings, lang)
    door.responder_for(dialogue.posts[-1].text)  # loaded before the clock starts
    start = time.perf_counter()
    replies = door.replies(
        dialogue,
        asked,
        n=count,
        empathy=levels,
        seed=decoding.seed,
        decoding=decoding,
        note=options.note,
    )
    seconds = (time.perf_counter() - start) / max(1, len(replies))
    for answer in replies:
        if as_json:
            typer.echo(json.dumps(_row(answer, seconds), ensure_ascii=False))
        else:
            named = answer.emotion.only if asked == ALL and answer.emotion else None
            typer.echo(f"{named.label}: {answer}" if named else answer.text)


def _row(answer: Reply, seconds: float) -> dict[str, Any]:
    return {
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
