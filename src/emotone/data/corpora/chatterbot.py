"""chatterbot-corpus: small hand-written conversations in many languages, as YAML.

Under `conversations` stand lists of lines, each of which answers the one before, as ChatterBot's
trainer takes them. Read from the folder of the Python package or from its `data`.

Source: PyPI chatterbot-corpus; gunthercox/chatterbot-corpus.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emotone.data.checks import text
from emotone.data.corpus import Corpus, find, stem
from emotone.data.formats.dialogues import Turn, answers
from emotone.data.reading import DAMAGED, Problems, open_binary
from emotone.data.text import Lang, join, language
from emotone.encoding import advice, without_marks
from emotone.errors import DataError
from emotone.types import Example

_FOLDERS = ("", "data/", "chatterbot_corpus/data/")


def _patterns(*languages: str) -> tuple[str, ...]:
    return tuple(f"{folder}{name}/*.yml" for name in languages for folder in _FOLDERS)


CORPUS = Corpus(
    name="chatterbot",
    title="small hand-written conversations",
    langs=("en", "zh"),
    taxonomies=(),
    licence="BSD-3-Clause; from PyPI chatterbot-corpus",
    files={"english": _patterns("english"), "chinese": _patterns("chinese")},
    note="each line after the first of a conversation",
)

SAMPLE = {
    "english/weather.yml": """categories:
- weather
conversations:
- - Is it cold?
  - Yes, take a coat.
- - Will it rain?
  - I think so.
  - Then I stay in.
""",
    "chinese/weather.yml": "categories:\n- 天气\nconversations:\n- - 外面冷吗\n  - 很冷\n",
}

# A file of the corpus has a few kilobytes.
_LONGEST = 10 * 1024 * 1024
_DEEPEST = 20


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example for each line that answers another."""
    for part, path in find(CORPUS, where, split):
        name = stem(path)
        for line, lines in _conversations(path, problems):
            with problems.at(path, line):
                yield from _answers(lines, f"{part}-{name}-{line}")


def _answers(said: list[str], name: str) -> Iterator[Example]:
    if len(said) < 2:
        raise DataError("one line where a list of two or more is needed")
    lang: Lang = language(*said)
    turns = [
        Turn("AB"[k % 2], join(plain) if lang == "zh" else plain)
        for k, plain in enumerate(text(line, f"line {k + 1}") for k, line in enumerate(said))
    ]
    return answers(turns, name, lang)


def _conversations(path: Path, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, conversation), from the parser's events, which build no objects of any kind."""
    import yaml

    try:
        with open_binary(path) as source:
            raw = source.read(_LONGEST + 1)
        if len(raw) > _LONGEST:
            raise DataError(f"the file is longer than {_LONGEST} bytes; no file of chatterbot is")
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        yield from _lists(yaml.parse(without_marks(raw.decode("utf-8")), Loader=loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "a character that YAML does not allow"
        problems.bad(path, mark.line + 1 if mark else None, f"no YAML ({what}); check the indents")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        words = advice(bytes(error.object), error.start)
        problems.bad(path, line, f"bytes that are not UTF-8; {words}")
    except DAMAGED as error:
        problems.bad(path, None, f"the packed file is damaged ({error}); fetch it again")
    except _Misplaced as error:
        problems.bad(path, error.line, str(error))
    except DataError as error:
        problems.bad(path, None, str(error))


class _Misplaced(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def _lists(events: Iterator[Any]) -> Iterator[tuple[int, list[str]]]:
    """Follow `{..., conversations: [[line, line, ...], ...]}`; depths are 1, 2 and 3."""
    import yaml

    depth, key, seen = 0, None, False
    start, lines = 0, list[str]()
    for event in events:
        line = event.start_mark.line + 1
        inside = key == "conversations"
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:  # libyaml takes minutes for a hundred thousand levels
                raise _Misplaced(line, "the YAML is nested too deeply; no file of chatterbot is")
            wanted = yaml.MappingStartEvent if depth == 1 else yaml.SequenceStartEvent
            if (depth == 1 or inside) and (depth > 3 or not isinstance(event, wanted)):
                raise _Misplaced(line, "write 'conversations:' with lists of lines under it")
            seen = seen or inside
            start, lines = line, []
        elif isinstance(event, yaml.CollectionEndEvent):
            if inside and depth == 3:
                yield start, lines
            depth -= 1
            key = None if depth == 1 else key
        elif isinstance(event, yaml.AliasEvent):
            raise _Misplaced(line, "an alias; write the lines out")
        elif isinstance(event, yaml.ScalarEvent):
            if depth == 1:
                key = event.value if key is None else None
            elif depth == 3 and inside:
                lines.append(event.value)
            elif depth == 2 and inside:
                yield line, [event.value]
            elif depth == 0:
                raise _Misplaced(line, "a line where a list of lines is needed")
    if not seen:
        raise _Misplaced(1, "no 'conversations' in the file")
