"""ESConv as its code reads it: one line a response, with the turns before it.

Turns stand between ` EOS `; each is `weight role number text`, role 0 the seeker and 1 the
supporter, whose text starts with the strategy in brackets. The last turn is the response. The turns
before it are a window of a few, and a supporter who says several things in a row has a line for
each.

Source: thu-coai/Emotional-Support-Conversation, codes/dataset/*WithStrategy_short.tsv.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from emotone.data.checks import text
from emotone.data.corpus import Corpus, find
from emotone.data.formats.dialogues import Turn, answers, merged
from emotone.data.reading import Problems, filled_lines
from emotone.errors import DataError
from emotone.types import Example

CORPUS = Corpus(
    name="esconv_tsv",
    title="ESConv's responses with their context and strategy, line by line",
    langs=("en",),
    taxonomies=(),
    licence="CC BY-NC 4.0; from thu-coai/Emotional-Support-Conversation",
    files={
        "train": ("trainWithStrategy_short.tsv",),
        "dev": ("devWithStrategy_short.tsv",),
        "test": ("testWithStrategy_short.tsv",),
    },
    note="each answer of the supporter; turns of one person in a row are one post; strategies are "
    "left out",
)

SAMPLE = {
    "trainWithStrategy_short.tsv": """\
1.0 0 0 I feel lost. EOS 1.0 1 1 [Questions] What happened?
1.0 0 0 I feel lost. EOS 1.0 1 1 [Questions] What happened? EOS 0.0 0 2 We broke up. EOS \
1.0 1 3 [Other] I am sorry.
"""
}

_TURN = re.compile(r"(?P<weight>[0-9.]+) (?P<role>[01]) (?P<number>[0-9]+)(?: (?P<text>.*))?", re.S)
_STRATEGY = re.compile(r"\[[A-Za-z -]+\]\s*")


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example for each answer of a supporter, turns in a row made one."""
    for part, path in find(CORPUS, where, split):
        for line, turns in _answered(path, problems):
            with problems.at(path, line):
                whole = merged(turns)
                problems.own_turns += len(whole) < 2  # a supporter who opens with several
                yield from answers(whole, f"{part}-{line}", "en", last=True)


def _answered(path: Path, problems: Problems) -> Iterator[tuple[int, list[Turn]]]:
    """Yield (line, turns) of lines that the next line does not go on with."""
    held: tuple[int, list[Turn]] | None = None
    for line, content in filled_lines(path, problems):
        turns: list[Turn] = []
        with problems.at(path, line):
            turns = _turns(content)
        if held is not None:
            before = held[1]
            goes_on = len(turns) > 1 and turns[-2].speaker == turns[-1].speaker
            if goes_on and before[1 - len(turns) :] == turns[:-1]:
                turns = [*before, turns[-1]]
            else:
                yield held
        held = (line, turns) if turns else None
    if held is not None:
        yield held


def _turns(said: str) -> list[Turn]:
    turns = [_turn(piece) for piece in said.split(" EOS ")]
    if len(turns) < 2:
        raise DataError("one turn where a context and a response are needed")
    if turns[-1].speaker != "supporter":
        raise DataError("the last turn is the seeker's; it must be the response")
    return turns


def _turn(piece: str) -> Turn:
    match = _TURN.fullmatch(piece.strip())
    if match is None:
        raise DataError(f"{piece[:40]!r} is not a turn; write 'weight role number text'")
    words = match["text"] or ""
    if match["role"] == "0":
        return Turn("seeker", text(words, "a turn"))
    return Turn("supporter", text(_STRATEGY.sub("", words.strip(), count=1), "a turn"))
