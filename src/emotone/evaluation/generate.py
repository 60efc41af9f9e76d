"""Replies for a file of examples: resumable, in shards, one line at a time."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from emotone import config as configs
from emotone import systems
from emotone.door import AnyEmotion, Door, Note, asked_of, open_door
from emotone.emotions import Auto, EmotionMix, MixText
from emotone.errors import DataError, UsageError, number_of
from emotone.evaluation import resume
from emotone.evaluation.inputs import examples_for, source_lines
from emotone.evaluation.records import reply_line
from emotone.files import check_writable, is_stream, open_stream, room_for
from emotone.judges.hearing import Hearing
from emotone.protocols import Responder, Spread
from emotone.requests import check_request
from emotone.types import Decoding, EmpathyLevels, Example

if TYPE_CHECKING:
    from emotone.evaluation.score import Bar

#: Batches that a worker answers at once.
_BLOCK = 4
#: How each line of `records.reply_line` starts.
_START = b'{"id": '


def generate_file(
    source: str | Path,
    output: str | Path = "-",
    *,
    emotion: AnyEmotion = None,
    empathy: str | EmpathyLevels | None = None,
    system: str = systems.DEFAULT,
    model: str | None = None,
    lang: str | None = None,
    decoding: Decoding | None = None,
    settings: Mapping[str, Any] | Sequence[str] = (),
    shard: str = "1/1",
    batch: int = 8,
    restart: bool = False,
    device: str = "auto",
    note: Note | None = None,
    bar: Bar | None = None,
    spread: Spread | None = None,
) -> int:
    """Answer a file: what `emotone generate` does, and `emotone.generate` in Python.

    Called again after a kill, it goes on. What a reply depends on is kept beside the output, and a
    run with other settings does not go on with it.

    Args:
        source: examples.jsonl; "-" reads stdin.
        output: replies.jsonl; "-" writes stdout.
        emotion: Overrides the emotions of the examples; None keeps them.
        empathy: Levels that are asked of every reply.
        system: Name of the system.
        model: Catalogue name, folder or hub id; None for the system's own.
        lang: "en" or "zh", of all lines; None takes each line's own, or that of its script.
        decoding: How replies are searched for; its seed is that of the first line.
        settings: Settings of the system's `Config`, as a mapping or as texts like "candidates=1".
        shard: One share of the file, such as "2/4".
        batch: Most rows at once.
        restart: Whether all is answered anew; what the output holds is lost.
        device: "auto", "cpu", "cuda" or "mps".
        note: Called with each sentence for the user that is not a result.
        bar: Called with a title and the number of replies; gives a function that takes how many
            are done.
        spread: Lets others answer, such as `emotone.launch.ray`; the replies are the same. None
            answers here.

    Returns:
        The number of replies written.

    Raises:
        EmotoneError: If a file cannot be read or written, the system lacks what is asked, or the
            output was begun with other settings.
    """
    written = MixText.read(emotion) if isinstance(emotion, str) else emotion
    levels = EmpathyLevels.parse(empathy) if isinstance(empathy, str) else empathy
    decoding = decoding or Decoding()
    lines = source_lines(source)
    path = None if output == "-" else Path(output)
    if path is not None:
        check_writable(path)
    door = open_door(system, model, device=device, settings=settings, lang=lang)
    examples = examples_for(door, lines, source, lang, model, note)
    share = share_of(examples, shard)
    languages = dict.fromkeys(example.lang for _, example in share)
    responders = {one: door.speaking(one) for one in languages or door.languages[:1]}
    asked: dict[str, EmotionMix | Auto | None] = {}
    dropped = any(example.emotion for _, example in share) and written is None
    for language, responder in responders.items():
        taxonomy = responder.capabilities.taxonomy
        asked[language] = asked_of(written, taxonomy, note)
        check_request(system, responder.capabilities, [], [], [levels], decoding)
    if note and dropped and not any(r.capabilities.taxonomy for r in responders.values()):
        note(f"{system} takes no emotion; those of the examples are left out")
    done: set[str] = set()
    if path is not None and not is_stream(path):  # that holds nothing to go on from
        now = resume.settings(
            lines,
            system=system,
            model=model,
            emotion=" or ".join(dict.fromkeys(str(one) for one in asked.values() if one)) or None,
            lang=lang,
            empathy=levels,
            decoding=decoding,
            overrides=configs.as_overrides(settings),
            shard=shard,
        )
        done = _begin(path, now, source, restart=restart)
    if note and done:
        note(f"{output} holds {number_of(len(done), 'reply')}; going on from there")
    waiting = [row for row in share if row[1].id not in done]
    request = Request(levels, decoding, batch)
    blocks = [
        Block(language, asked[language], tuple(rows))
        for language, some in groupby(waiting, key=lambda row: row[1].lang)
        for rows in _runs(list(some), batch if spread is None else _BLOCK * batch)
    ]
    if spread is None:
        answers: Iterator[str] = (
            answered(responders[block.lang], block, request) for block in blocks
        )
    else:
        loader = Loader(system, model, device, tuple(configs.as_overrides(settings)), lang)
        answers = spread(partial(answered_by, loader, request), blocks)
    with (
        room_for(output),
        _opened(path) as out,
        bar("replies", len(waiting)) if bar else nullcontext(None) as progress,
    ):
        for block, lines in zip(blocks, answers, strict=True):
            out.write(lines)
            out.flush()
            if progress:
                progress(len(block.rows))
    return len(waiting)


class Request(NamedTuple):
    """What is asked of all blocks: levels of empathy, how to decode, and rows at once."""

    empathy: EmpathyLevels | None
    decoding: Decoding
    batch: int


class Block(NamedTuple):
    """Rows in one language that are answered together: places in the file and examples."""

    lang: str
    emotion: EmotionMix | Auto | None
    rows: tuple[tuple[int, Example], ...]


class Loader(NamedTuple):
    """How a worker opens the system for itself."""

    system: str
    model: str | None
    device: str
    settings: tuple[str, ...]
    lang: str | None


def answered(responder: Responder, block: Block, request: Request) -> str:
    """Return the lines of the replies to a block."""
    out = io.StringIO()
    generate(
        responder,
        block.rows,
        out,
        emotion=block.emotion,
        empathy=request.empathy,
        decoding=request.decoding,
        batch=request.batch,
    )
    return out.getvalue()


def answered_by(loader: Loader, request: Request, block: Block) -> str:
    """Do as `answered`, by a system that is opened once in each process."""
    return answered(_door(loader).speaking(block.lang), block, request)


@cache
def _door(loader: Loader) -> Door:
    return open_door(
        loader.system,
        loader.model,
        device=loader.device,
        settings=loader.settings,
        lang=loader.lang,
    )


def _opened(path: Path | None) -> AbstractContextManager[TextIO]:
    """Open a file of replies to go on with, a device or a pipe, or stdout."""
    if path is None:
        return nullcontext(sys.stdout)
    if is_stream(path):
        return io.TextIOWrapper(open_stream(path), encoding="utf-8")
    return path.open("a", encoding="utf-8")


def _begin(path: Path, now: Mapping[str, Any], source: str | Path, *, restart: bool) -> set[str]:
    """Begin a file of replies or go on with it, and return the ids that it holds."""
    done = finished(path)  # what holds no replies is refused, with `restart` too
    if restart:
        done = set()
        path.write_bytes(b"")
    if done:
        resume.check_resume(path, now)
    else:
        resume.begin(path, now, str(source))
    return done


def share_of(examples: Sequence[Example], part: str) -> list[tuple[int, Example]]:
    """Return one share of the examples with their places, such as "2/4" for the second of four.

    A share is a run of lines, so that its rows can still be answered in batches.

    Raises:
        UsageError: If the share is not i/n with 1 <= i <= n.
    """
    first, slash, last = part.partition("/")
    if not (slash and first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise UsageError(f"shard {part!r} is not i/n with 1 <= i <= n; write for instance 2/4")
    low, high = ((len(examples) * k) // int(last) for k in (int(first) - 1, int(first)))
    return list(enumerate(examples))[low:high]


def finished(path: Path) -> set[str]:
    """Return the ids that a replies file holds, and cut off a half-written last line.

    Raises:
        DataError: If a line is not a reply; the file is then left as it is.
    """
    if not path.exists():
        return set()
    blob = path.read_bytes()
    end = blob.rfind(b"\n") + 1  # of the last line that is complete
    ids: set[str] = set()
    for number, line in enumerate(blob[:end].splitlines(), 1):
        try:
            ids.add(str(json.loads(line)["id"]))
        except (ValueError, KeyError, TypeError) as error:
            raise _not_a_reply(path, number) from error
    half = blob[end:]
    if half[: len(_START)] != _START[: len(half)]:
        raise _not_a_reply(path, blob.count(b"\n") + 1)
    if half:  # a kill in the middle of a line
        with path.open("r+b") as out:
            out.truncate(end)
    return ids


def _not_a_reply(path: Path, number: int) -> DataError:
    return DataError(f"{path}, line {number} is not a reply; name another output file")


def generate(
    responder: Responder,
    examples: Sequence[tuple[int, Example]],
    out: TextIO,
    *,
    emotion: EmotionMix | Auto | None = None,
    empathy: EmpathyLevels | None = None,
    decoding: Decoding,
    batch: int = 16,
    done: frozenset[str] | set[str] = frozenset(),
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write one reply a line for each example that is not done yet.

    Row i of the file uses seed `decoding.seed + i`, so that shards, batches and restarts do not
    change any reply.

    Args:
        responder: The system.
        examples: Places in the file and examples.
        out: Where lines go; flushed after each batch.
        emotion: Overrides the examples' own emotions, `auto` by what is heard in each post; None
            keeps them.
        empathy: Empathy levels of every reply; None asks for none, whatever the examples' own are.
        decoding: How to decode; its seed is the first row's.
        batch: Most rows at once; only rows that follow each other share a batch.
        done: Ids to skip.
        progress: Called with the number of replies just written.

    Returns:
        The number of replies written.
    """
    waiting = [(i, e) for i, e in examples if e.id not in done]
    written = 0
    for rows in _runs(waiting, batch):
        start = rows[0][0]
        hearings = [Hearing(responder, e.dialogue) for _, e in rows]
        mixes = [
            e.emotion if emotion is None else hearing.mix(emotion)
            for (_, e), hearing in zip(rows, hearings, strict=True)
        ]
        if responder.capabilities.taxonomy is None and emotion is None:
            mixes = [None for _ in rows]
        replies = responder.reply(
            [e.dialogue for _, e in rows],
            mixes,
            empathy=[empathy] * len(rows),
            decoding=dataclasses.replace(decoding, seed=decoding.seed + start),
        )
        for (_, example), hearing, reply in zip(rows, hearings, replies, strict=True):
            out.write(reply_line(example, hearing.tell(reply)) + "\n")
        out.flush()
        written += len(rows)
        if progress:
            progress(len(rows))
    return written


def _runs(rows: Sequence[tuple[int, Example]], batch: int) -> list[list[tuple[int, Example]]]:
    """Group rows whose places follow each other, at most `batch` together."""
    runs: list[list[tuple[int, Example]]] = []
    for place, example in rows:
        if runs and len(runs[-1]) < batch and runs[-1][-1][0] == place - 1:
            runs[-1].append((place, example))
        else:
            runs.append([(place, example)])
    return runs
