"""PEC: conversations of two forums, "happy" and "offmychest", between people with personas.

The official text has one turn a line, `speaker---+---text`, lines without that go on with the turn
before, and a line of stars ends a conversation, whose last turn is the response. JSON lines with
`context`, `context_speakers`, `response` and `response_speaker` are read as well.

Source: Zhong et al. 2020; zhongpeixiang/PEC, hf_pec, and the reader of its data card.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emotone.data.checks import array, member, text
from emotone.data.corpus import Corpus, find
from emotone.data.formats.dialogues import Turn, answers
from emotone.data.formats.json_stream import holds_json, json_line
from emotone.data.reading import Problems, filled_lines, read_lines
from emotone.errors import DataError
from emotone.types import Example

_DOMAINS = ("happy", "offmychest")
_SPLITS = {"train": ("train",), "valid": ("valid", "validation"), "test": ("test",)}

CORPUS = Corpus(
    name="pec",
    title="350 thousand conversations of two forums, with personas",
    langs=("en",),
    taxonomies=(),
    licence="GPL-3.0, text of Reddit under its own terms; from zhongpeixiang/PEC",
    files={
        f"{domain}-{split}": tuple(
            f"{domain}{between}{name}.{end}"
            for name in spellings
            for between, end in (("/", "txt"), ("/", "jsonl"), ("_", "jsonl"))
        )
        for domain in _DOMAINS
        for split, spellings in _SPLITS.items()
    },
    note="the response of each conversation, where it answers another speaker; personas are left "
    "out",
)

_STARS = "*" * 20
_BETWEEN = "---+---"

SAMPLE = {
    "happy/train.txt": f"""ann---+---I passed the exam!
bob---+---Well done!
How did you
celebrate?
{_STARS}
cem---+---My dog came back.
dee---+---What a relief.
{_STARS}
""",
    "offmychest_valid.jsonl": '{"personas": ["I like tea."], "context": ["I miss her.", "Who?", '
    '"My sister."], "context_speakers": ["ann", "bob", "ann"], "response": "Call her!", '
    '"response_speaker": "bob"}\n',
}


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example a conversation."""
    for part, path in find(CORPUS, where, split):
        blocks = _rows(path, problems) if holds_json(path) else _blocks(path, problems)
        for line, turns in blocks:
            with problems.at(path, line):
                if len(turns) < 2:
                    raise DataError("one turn where a context and a response are needed")
                yield from answers(turns, f"{part}-{line}", "en", last=True, problems=problems)


def _blocks(path: Path, problems: Problems) -> Iterator[tuple[int, list[Turn]]]:
    first, turns, before = 1, list[tuple[str, str]](), problems.count
    line = 0
    for line, content in read_lines(path, problems):
        if not turns:
            first = line
        if _STARS in content:
            if problems.count == before:  # else a line of it was bad, and is counted
                yield first, [Turn(who, words) for who, words in turns]
            turns, before = [], problems.count
        elif _BETWEEN in content:
            who, _, words = content.partition(_BETWEEN)
            turns.append((who.strip(), words.strip()))
        elif content.strip():
            if turns:
                turns[-1] = (turns[-1][0], f"{turns[-1][1]} {content.strip()}")
            else:
                problems.bad(path, line, f"no {_BETWEEN!r}; write speaker{_BETWEEN}text")
    if turns:
        problems.bad(path, line, "the file ends within a conversation; fetch it again")


def _rows(path: Path, problems: Problems) -> Iterator[tuple[int, list[Turn]]]:
    for line, content in filled_lines(path, problems):
        turns: list[Turn] = []
        with problems.at(path, line):
            turns = _turns(json_line(content))
        if turns:
            yield line, turns


def _turns(row: Any) -> list[Turn]:
    context = array(member(row, "context"), "context", least=1)
    speakers = array(member(row, "context_speakers"), "context_speakers", count=len(context))
    texts = [*context, member(row, "response")]
    who = [*speakers, member(row, "response_speaker")]
    return [
        Turn(text(speaker, "a speaker"), text(words, "a turn"))
        for speaker, words in zip(who, texts, strict=True)
    ]
