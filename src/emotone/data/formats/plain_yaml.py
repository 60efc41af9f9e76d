"""YAML of word lists and corpora, as text only: nothing is built, guessed or run.

The usual loaders turn the words `no`, `848` and `1:30` into other things, follow references that
grow without end, and the fast ones crash the process on deep nesting. Files of this field need
lists, mappings and text, so that is what comes out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emotone.errors import DataError

#: No file of this field nests deeper; more is an attack or another file.
MAX_DEPTH = 20


def read_plain_yaml(text: str, where: str | Path) -> Any:
    """Read one YAML document as dicts, lists and strings; every scalar stays what was written.

    Args:
        text: The document.
        where: The file, for messages.

    Raises:
        DataError: With file and line: it is not YAML, nests too deep, repeats a key, has a key
            that is not text, uses references or custom types, or holds several documents.
    """
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # the first needs libyaml
    root: list[Any] = []
    open_: list[_Open] = [_Open(root)]
    try:
        for event in yaml.parse(text, Loader=loader):
            line = event.start_mark.line + 1
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise _wrong(where, line, "references (& and *) are not read; write the value out")
            tag = getattr(event, "tag", None)
            if tag is not None and tag not in _PLAIN_TAGS:
                raise _wrong(where, line, f"the type {tag!r} is not read; write plain text")
            if isinstance(event, yaml.ScalarEvent):
                open_[-1].add(event.value, where, line)
            elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
                collection: Any = [] if isinstance(event, yaml.SequenceStartEvent) else {}
                open_[-1].add(collection, where, line)
                open_.append(_Open(collection))
                if len(open_) > MAX_DEPTH:
                    raise _wrong(where, line, f"nests deeper than {MAX_DEPTH}; flatten it")
            elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
                open_.pop()
            elif isinstance(event, yaml.DocumentStartEvent) and root:
                raise _wrong(where, line, "a second document begins; give one document a file")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise _wrong(where, line, f"this is not YAML ({problem}); correct it") from error
    return root[0] if root else ""


_PLAIN_TAGS = ("!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")


class _Open:
    """A list or mapping that is being filled."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.key: str | None = None

    def add(self, item: Any, where: str | Path, line: int) -> None:
        if isinstance(self.value, list):
            self.value.append(item)
        elif self.key is not None:
            self.value[self.key] = item
            self.key = None
        elif not isinstance(item, str):
            raise _wrong(where, line, "a key is a list or mapping; use text")
        elif item in self.value:
            raise _wrong(where, line, f"the key {item!r} comes twice; keep one")
        else:
            self.key = item


def _wrong(where: str | Path, line: int | None, message: str) -> DataError:
    name = Path(where).name
    return DataError(f"{name}, line {line}: {message}" if line else f"{name}: {message}")
