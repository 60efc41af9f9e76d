"""Chats as lists of messages, one JSON object a line: `{"messages": [{"role", "content"}]}`.

The form of chat APIs and of most files for fine-tuning. Messages of the system are left out, since
a dialogue has none; content in parts is joined where all parts are text. A line may name its
language and its id.

Source: OpenAI's chat fine-tuning format.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from emotone.data.checks import array, member, text
from emotone.data.corpus import Corpus, find, stem
from emotone.data.formats.dialogues import Turn, answers
from emotone.data.formats.json_stream import json_line
from emotone.data.reading import Problems, read_lines
from emotone.data.text import Lang, join, language
from emotone.errors import DataError
from emotone.types import Example

CORPUS = Corpus(
    name="messages",
    title="chats in the form of chat APIs, JSON lines",
    langs=("en", "zh"),
    taxonomies=(),
    licence="that of the text you bring; a format of files, not a data set",
    files={"all": ("*.jsonl",)},
    note="each turn of the assistant that follows the user's",
)

SAMPLE = {
    "messages.jsonl": '{"messages": [{"role": "system", "content": "Be kind."}, '
    '{"role": "user", "content": "I failed."}, '
    '{"role": "assistant", "content": "You tried, and that counts."}, '
    '{"role": "user", "content": [{"type": "text", "text": "Not for my boss."}]}, '
    '{"role": "assistant", "content": "Then your boss is wrong."}]}\n'
    '{"messages": [{"role": "user", "content": "我赢了"}, '
    '{"role": "assistant", "content": "太好了"}]}\n',
}


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example for each turn of the assistant."""
    for part, path in find(CORPUS, where, split):
        for line, content in read_lines(path, problems):
            if not content.strip():
                continue
            with problems.at(path, line):
                row = json_line(content)
                sent = array(member(row, "messages"), "messages", least=1)
                turns = [turn for turn in map(_turn, sent) if turn is not None]
                lang: Lang = language(*(turn.text for turn in turns))
                if lang == "zh":
                    turns = [replace(turn, text=join(turn.text)) for turn in turns]
                name = f"{part}-{stem(path)}-{line}"
                yield from answers(turns, name, lang, only=["assistant"], problems=problems)


def _turn(message: Any) -> Turn | None:
    role = member(message, "role", "a message")
    if role in ("system", "developer"):
        return None
    if role not in ("user", "assistant"):
        raise DataError(f"role is {role!r}; use 'user', 'assistant' or 'system'")
    content = member(message, "content", "a message")
    if isinstance(content, list):
        content = "\n".join(text(member(part, "text", "a part"), "a part") for part in content)
    return Turn(role, text(content, "the content"))
