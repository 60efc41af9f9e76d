"""The lines of `examples.jsonl` and `replies.jsonl`, read and written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from emotone.emotions import EKMAN, EmotionMix, Taxonomy
from emotone.errors import DataError, EmotoneError
from emotone.types import Dialogue, Example, Post, Reply, Speaker, is_unicode

_MAX_LINE = 50 * 1024 * 1024


def read_examples(
    lines: Iterable[str], where: str, taxonomy: Taxonomy | None = None
) -> Iterator[Example]:
    """Read examples, one JSON object a line; empty lines are skipped.

    A line is `{"id", "dialogue": [{"speaker", "text"}], "emotion", "reply", "lang"}` or the short
    `{"post", "emotion"?, "reply"?}`; a line without id gets its line number.

    Args:
        lines: The file's lines.
        where: Name of the file, for messages.
        taxonomy: Labels of the emotions; Ekman's without one.

    Raises:
        DataError: If a line has another shape; the message names file and line.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _example(line, number, taxonomy or EKMAN)
        except EmotoneError as error:
            raise DataError(f"{where}, line {number}: {error}") from error


def _example(line: str, number: int, taxonomy: Taxonomy) -> Example:
    if len(line) > _MAX_LINE:
        raise DataError(f"the line is {len(line)} characters long; keep lines under {_MAX_LINE}")
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not a JSON object ({error}); write one object a line") from error
    if not isinstance(row, dict):
        raise DataError(f"a {type(row).__name__} where a JSON object is needed")
    if "dialogue" in row:
        turns = row["dialogue"]
        if not isinstance(turns, list):
            raise DataError('"dialogue" must be a list of {"speaker", "text"}')
        dialogue = Dialogue(tuple(_post(turn) for turn in turns))
    elif "post" in row:
        dialogue = Dialogue.of(_text(row["post"], "post"))
    else:
        raise DataError('neither "dialogue" nor "post" is there; give one of them')
    emotion = row.get("emotion")
    if emotion is not None:
        emotion = EmotionMix.parse(_text(emotion, "emotion"), taxonomy)
    reply = row.get("reply")
    lang = row.get("lang", "en")
    if lang not in ("en", "zh"):
        raise DataError(f'"lang" is {lang!r}; use "en" or "zh"')
    return Example(
        _id(row.get("id"), number),
        dialogue,
        emotion,
        None if reply is None else _text(reply, "reply"),
        lang,
    )


def _post(turn: Any) -> Post:
    if not isinstance(turn, dict) or "text" not in turn:
        raise DataError('a turn of "dialogue" must be {"speaker", "text"}')
    speaker = turn.get("speaker", "user")
    if speaker not in ("user", "assistant"):
        raise DataError(f'"speaker" is {speaker!r}; use "user" or "assistant"')
    return Post(_text(turn["text"], "text"), Speaker(speaker))


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise DataError(f'"{key}" is a {type(value).__name__}; it must be text')
    if not is_unicode(value):
        raise DataError(f'"{key}" holds half a surrogate pair; write the text in UTF-8')
    return value


def _id(value: Any, number: int) -> str:
    if value is None:
        return str(number)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if whole else _text(value, "id")


def turns(dialogue: Dialogue) -> list[dict[str, str]]:
    """Return a dialogue as `[{"speaker", "text"}]`."""
    return [{"speaker": p.speaker.value, "text": p.text} for p in dialogue.posts]


def reply_line(example: Example, reply: Reply) -> str:
    """Write one line of `replies.jsonl`: all that scoring needs, nothing else to join."""
    row = {
        "id": example.id,
        "dialogue": turns(example.dialogue),
        "reference": example.reply,
        "text": reply.text,
        "emotion": None if reply.emotion is None else str(reply.emotion),
        "system": reply.system,
        "model": reply.model,
        "lang": example.lang,
        "seed": reply.seed,
        "logprob": reply.logprob,
        "tokens": reply.tokens,
        "applied": dict(reply.applied),
    }
    return json.dumps(row, ensure_ascii=False)
