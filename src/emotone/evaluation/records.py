"""The lines of `replies.jsonl`; those of `examples.jsonl` belong to `emotone.data.examples`."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from emotone.data.examples import read_example, read_examples, turns
from emotone.data.reading import whole_text
from emotone.emotions import EKMAN, Taxonomy
from emotone.errors import DataError, EmotoneError, kind_of_value
from emotone.types import Example, Reply, is_unicode

__all__ = ["read_examples", "read_replies", "read_replies_files", "reply_line", "turns"]


def reply_line(example: Example, reply: Reply) -> str:
    """Write one line of `replies.jsonl`: all that scoring needs, nothing else to join.

    The key "taxonomy" stands only where the emotion is none of Ekman's.
    """
    row: dict[str, Any] = {
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
        "finish_reason": reply.finish_reason,
        "applied": dict(reply.applied),
    }
    if reply.emotion is not None and reply.emotion.taxonomy != EKMAN.name:
        row["taxonomy"] = reply.emotion.taxonomy
    return json.dumps(row, ensure_ascii=False)


def read_replies(
    lines: Iterable[str], where: str, taxonomy: Taxonomy | None = None
) -> Iterator[tuple[Example, Reply]]:
    """Read replies, one JSON object a line; empty lines are skipped.

    Args:
        lines: The file's lines.
        where: Name of the file, for messages.
        taxonomy: Labels of the lines that name no taxonomy; Ekman's without one.

    Returns:
        Each reply with its example, whose `reply` is the reference and whose `emotion` is None.

    Raises:
        DataError: If a line has another shape; the message names file and line.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            example = read_example(line, number, taxonomy)
            row = json.loads(line)
            reference = row.get("reference")
            yield (
                dataclasses.replace(
                    example,
                    emotion=None,
                    reply=None if reference is None else _text(row, "reference"),
                ),
                _reply(row, example),
            )
        except EmotoneError as error:
            raise DataError(f"{where}, line {number}: {error}") from error


def read_replies_files(
    paths: Sequence[Path], taxonomy: Taxonomy | None = None
) -> list[tuple[Example, Reply]]:
    """Read several replies files into one list, in order.

    Raises:
        DataError: If a file cannot be read, holds no reply, or two lines answer the same example
            with the same system, model, emotion and seed, as when one file was given twice.
    """
    pairs: list[tuple[Example, Reply]] = []
    seen: dict[tuple[str, str, str, str | None, int], Path] = {}
    for path in paths:
        before = len(pairs)
        # Not splitlines: JSON text may hold U+2028 and its like, which end no line of a file.
        lines = whole_text(path).split("\n")
        for example, reply in read_replies(lines, str(path), taxonomy):
            mood = None if reply.emotion is None else str(reply.emotion)
            key = (example.id, reply.system, reply.model, mood, reply.seed)
            if key in seen:
                raise DataError(
                    f"{path}: example {example.id!r} is answered twice by {reply.system} with the"
                    f" same emotion and seed (first in {seen[key]}); give each reply once"
                )
            seen[key] = path
            pairs.append((example, reply))
        if len(pairs) == before:
            raise DataError(f"{path} holds no reply; make some with `emotone generate`")
    return pairs


def _reply(row: Mapping[str, Any], example: Example) -> Reply:
    lacks = [key for key in ("text", "system", "model") if key not in row]
    if lacks:
        raise DataError(f'no "{lacks[0]}"; a reply is a line written by `emotone generate`')
    applied = row.get("applied") or {}
    if not isinstance(applied, dict):
        raise DataError(f'"applied" is {kind_of_value(applied)}; it must be an object')
    logprob = row.get("logprob")
    if logprob is not None and (
        isinstance(logprob, bool)
        or not isinstance(logprob, int | float)
        or not math.isfinite(logprob)
    ):
        raise DataError(f'"logprob" is {logprob!r}; it must be a number of nats or null')
    return Reply(
        _text(row, "text"),
        example.emotion,
        _text(row, "system"),
        _text(row, "model"),
        _whole(row, "seed"),
        _whole(row, "tokens"),
        None if logprob is None else float(logprob),
        applied,
        row.get("finish_reason") if row.get("finish_reason") in ("stop", "length") else None,
    )


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row[key]
    if not isinstance(value, str):
        raise DataError(f'"{key}" is {kind_of_value(value)}; it must be text')
    if not is_unicode(value):
        raise DataError(f'"{key}" holds half a surrogate pair; write the text in UTF-8')
    return value


def _whole(row: Mapping[str, Any], key: str) -> int:
    value = row.get(key, 0)
    if type(value) is not int or value < 0:
        raise DataError(f'"{key}" is {value!r}; it must be a whole number of 0 or more')
    return value
