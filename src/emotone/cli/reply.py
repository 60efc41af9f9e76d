"""`emotone reply`: one reply on stdout."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotone.cli import options
from emotone.errors import Unsupported, UsageError
from emotone.protocols import RawResponder

if TYPE_CHECKING:
    from emotone.types import Reply


@options.with_decoding
def reply(
    text: Annotated[
        str | None, typer.Argument(help="The post to answer; - or nothing reads stdin.")
    ] = None,
    emotion: options.Emotion = None,
    empathy: options.Empathy = None,
    count: Annotated[
        int,
        typer.Option("-n", "--number", min=1, help="Replies; of --beams the best so many."),
    ] = 1,
    system: options.OptionalSystem = None,
    model: options.Model = None,
    lang: options.Lang = None,
    device: options.Device = "auto",
    settings: options.Set = None,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="Print while it is written, without candidates."),
    ] = False,
    raw: options.Raw = None,
    as_json: options.Json = False,
    *,
    decoding: options.Decoding,
) -> None:
    """Answer one post in a chosen emotion, or with chosen empathy.

    `--emotion all` answers in every emotion of the system, a line each. With `-n` there are several
    replies: of the seeds that follow each other, or the best of a beam search.
    """
    from emotone.cli.progress import waiting
    from emotone.door import ALL
    from emotone.types import Dialogue

    dialogue = Dialogue.of(_read() if text is None or text == "-" else text)
    asked = ALL if emotion == ALL else options.read_emotion(emotion)
    levels = options.read_empathy(empathy)
    if stream and (as_json or count > 1 or asked == ALL or levels):
        raise UsageError("--stream prints one reply as it comes; leave out --json, -n, --empathy")
    doses = options.read_doses(raw)
    if doses is not None and (emotion or empathy or stream or count > 1):
        raise UsageError("--raw bypasses calibration; leave out --emotion, --empathy, --stream, -n")
    door = options.open_door(system, model, device, settings, lang)
    with waiting("loading the model"):
        responder = door.responder_for(dialogue.posts[-1].text)  # before the clock starts
    if stream:
        for piece in door.stream(
            dialogue, asked, seed=decoding.seed, decoding=decoding, note=options.note
        ):
            typer.echo(piece, nl=False)
        typer.echo("")
        return
    start = time.perf_counter()
    with waiting("writing the reply"):
        if doses is not None:
            if not isinstance(responder, RawResponder):
                raise Unsupported("this system has no vectors; leave out --raw")
            replies = responder.reply_raw([dialogue], [doses], decoding=decoding)
        else:
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


def _read() -> str:
    from emotone.data.reading import whole_text

    if sys.stdin.isatty():
        raise UsageError(
            'there is no post; write it behind the command, as in emotone reply "hello", or send '
            "it by a pipe"
        )
    return whole_text("-")


def _row(answer: Reply, seconds: float) -> dict[str, Any]:
    return {
        "text": answer.text,
        "emotion": None if answer.emotion is None else str(answer.emotion),
        "applied": dict(answer.applied),
        "system": answer.system,
        "model": answer.model,
        "seed": answer.seed,
        "tokens": answer.tokens,
        "finish_reason": answer.finish_reason,
        "logprob": answer.logprob,
        "seconds": round(seconds, 3),
    }
