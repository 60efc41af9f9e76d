"""ESConv as its code reads it: one line a response, with the turns before it.

Turns stand between ` EOS `; each is `weight role number text`, role 0 the seeker and 1 the
supporter, whose text starts with the strategy in brackets. The last turn is the response.

Source: thu-coai/Emotional-Support-Conversation, codes/dataset/*WithStrategy_short.tsv.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from emotone.data.corpus import Corpus, find
from emotone.data.dialogues import Turn, answers
from emotone.data.reading import Problems, read_lines
from emotone.data.shape import text
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
    note="each line whose response follows the seeker's turn; strategies are left out",
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
    """Yield one example for each line whose response answers the seeker."""
    for part, path in find(CORPUS, where, split):
        for line, said in read_lines(path, problems):
            with problems.at(path, line):
                turns = [_turn(piece) for piece in said.split(" EOS ")]
                if len(turns) < 2:
                    raise DataError("one turn where a context and a response are needed")
                if turns[-1].speaker != "supporter":
                    raise DataError("the last turn is the seeker's; it must be the response")
                yield from answers(turns, f"{part}-{line}", "en", last=True)


def _turn(piece: str) -> Turn:
    match = _TURN.fullmatch(piece.strip())
    if match is None:
        raise DataError(f"{piece[:40]!r} is no turn; write 'weight role number text'")
    said = match["text"] or ""
    if match["role"] == "0":
        return Turn("seeker", text(said, "a turn"))
    return Turn("supporter", text(_STRATEGY.sub("", said.strip(), count=1), "a turn"))
