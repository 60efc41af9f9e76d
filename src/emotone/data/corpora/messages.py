"""Chats as lists of messages, in the forms of chat APIs and of files for fine-tuning.

A line, or an item of one JSON array, is `{"messages": [{"role", "content"}]}`, ShareGPT's
`{"conversations": [{"from", "value"}]}`, a bare list of such messages, or `{"prompt",
"completion"}`. Content may be in parts, whose texts are joined.

What no dialogue has is left out and counted: messages of the system and of tools, calls of tools,
images and other parts that are no text, empty turns, conversations that nobody answers. An answer
to a turn that was left out, or of `"weight": 0`, makes no example.

Source: OpenAI's chat fine-tuning format; ShareGPT's export; TRL's data set formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from emotone.data.checks import array, member, text
from emotone.data.corpus import Corpus, find, stem
from emotone.data.formats.dialogues import Turn, answers, spoken
from emotone.data.formats.json_stream import Item, json_items
from emotone.data.reading import Problems
from emotone.data.text import Lang, join, language
from emotone.errors import DataError
from emotone.types import Example

CORPUS = Corpus(
    name="messages",
    title="chats in the form of chat APIs or of ShareGPT, JSON lines or an array",
    langs=("en", "zh"),
    taxonomies=(),
    licence="that of the text you bring; a format of files, not a data set",
    files={"all": ("*.jsonl", "*.json")},
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

#: Names of those who speak, and of those who do not.
_ROLES = {
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model"), "assistant"),
    **dict.fromkeys(("system", "developer"), "message of the system"),
    **dict.fromkeys(("tool", "function", "observation"), "message of a tool"),
    "function_call": "call of a tool",
}
_CALLS = ("tool_calls", "function_call")


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example for each turn of the assistant."""
    for part, path in find(CORPUS, where, split):
        for item in _conversations(path, problems):
            with problems.at(path, item.place):
                turns, skip = _turns(_messages(item.value), problems)
                lang: Lang = language(*(turn.text for turn in turns))
                if lang == "zh":
                    turns = [replace(turn, text=join(turn.text)) for turn in turns]
                name = f"{part}-{stem(path)}-{item.number}"
                examples = answers(
                    turns, name, lang, only=["assistant"], skip=skip, problems=problems
                )
                some = False
                for example in examples:
                    some = True
                    yield example
                if not some:
                    problems.left_out["conversation without an answer"] += 1


def _conversations(path: Path, problems: Problems) -> Iterator[Item]:
    """Yield the conversations of a file; an array of messages is one."""
    only: list[Any] = []
    for item in json_items(path, problems, objects=True):
        if isinstance(item.value, dict) and ("role" in item.value or "from" in item.value):
            only.append(item.value)
        else:
            yield item
    if only:
        yield Item(1, 1, "item 1", None, only)


def _messages(row: Any) -> list[Any]:
    """Return the messages of a conversation in any of its forms."""
    if isinstance(row, list):
        return array(row, "the conversation", least=1)
    for key in ("messages", "conversations", "conversation"):
        if isinstance(row, dict) and key in row:
            return array(row[key], key, least=1)
    if isinstance(row, dict) and {"prompt", "completion"} <= row.keys():
        sides = (("user", row["prompt"]), ("assistant", row["completion"]))
        return [
            message
            for role, side in sides
            for message in (side if isinstance(side, list) else [{"role": role, "content": side}])
        ]
    return array(member(row, "messages"), "messages")  # says what it has instead


def _turns(messages: list[Any], problems: Problems) -> tuple[list[Turn], set[int]]:
    """Read what was said, and the places of turns that make no example."""
    turns: list[Turn] = []
    skip: set[int] = set()
    lost = False  # the user's turn before was left out
    for message in messages:
        name = member(message, "role" if "role" in message else "from", "a message")
        role = _ROLES.get(name) if isinstance(name, str) else None
        if role is None:
            raise DataError(f"role is {name!r}; use 'user', 'assistant' or 'system'")
        if role not in ("user", "assistant"):
            problems.left_out[role] += 1
            continue
        calls = any(message.get(key) for key in _CALLS)
        if calls:
            problems.left_out["call of a tool"] += 1
        key = "content" if "content" in message or "value" not in message else "value"
        content = message.get(key) if calls else member(message, key, "a message")
        said = None if calls and not content else _text(content, problems)
        if said is None:
            lost = lost or role == "user"
            continue
        if role == "assistant" and lost:
            problems.left_out["answer to a turn that is not text"] += 1
            skip.add(len(turns))
        elif role == "assistant" and message.get("weight") in (0, "0"):
            problems.left_out["answer of weight 0"] += 1
            skip.add(len(turns))
        lost = False
        turns.append(Turn(role, said))
    return turns, skip


def _text(content: Any, problems: Problems) -> str | None:
    """Return what a message says, its parts joined; None where it says nothing."""
    if not isinstance(content, list):
        return spoken("" if content is None else content, "the content", problems)
    whole = ""
    for part in content:
        kind = None if isinstance(part, str) else member(part, "type", "a part")
        if kind in (None, "text", "input_text", "output_text"):
            words = part if kind is None else member(part, "text", "a part")
            words = text(words, "a part") and str(words)
            apart = whole and not (whole[-1].isspace() or words[0].isspace())
            whole += f"\n{words}" if apart else words
        else:
            problems.left_out[str(kind).removeprefix("input_").removesuffix("_url")] += 1
    if whole.strip():
        return whole.strip()
    if not content:
        problems.left_out["empty turn"] += 1
    return None
