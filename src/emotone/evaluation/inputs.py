"""Files of examples that are answered or measured."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from emotone.data.examples import Labels, row_language
from emotone.data.reading import whole_text
from emotone.data.text import Lang, language
from emotone.door import Door, Note, unread
from emotone.errors import DataError, UsageError, number_of
from emotone.evaluation.records import read_examples
from emotone.protocols import OneLanguageResponder
from emotone.types import Example


def source_lines(source: str | Path) -> list[str]:
    """Return the lines of a file, or of stdin for "-".

    Raises:
        DataError: If it cannot be read or is not UTF-8.
    """
    # Not splitlines: JSON text may hold U+2028 and its like, which end no line of a file.
    return whole_text(source).split("\n")


def named_examples(lines: Sequence[str], source: str | Path, taxonomy: Labels) -> list[Example]:
    """Read the examples of lines, whose ids name one example each.

    Raises:
        DataError: If a line is not an example or an id occurs twice.
    """
    name = "stdin" if source == "-" else str(source)
    examples = list(read_examples(lines, name, taxonomy))
    numbers = (number for number, line in enumerate(lines, 1) if line.strip())
    first: dict[str, int] = {}
    for number, example in zip(numbers, examples, strict=True):
        if example.id in first:
            raise DataError(
                f"{name}, line {number}: id {example.id!r} occurs twice, first in line "
                f"{first[example.id]}; make the ids unique"
            )
        first[example.id] = number
    return examples


def examples_for(
    door: Door,
    lines: Sequence[str],
    source: str | Path,
    lang: str | None,
    model: str | None,
    note: Note | None,
) -> list[Example]:
    """Read the examples that a system is to answer, each in the language of its reply.

    That is `lang`, or what the line says, or that of its script; but a model that has one language
    answers in that.

    Args:
        door: The system; a model is loaded for each language that some line has.
        lines: Lines of examples.jsonl.
        source: Its name, for messages.
        lang: The language of all lines; None takes each line's own.
        model: The model that was named, which answers all lines; None for the system's own.
        note: Called with how many posts the system cannot read, or are not in the language that
            their line says.

    Raises:
        DataError: As `named_examples`.
        UsageError: If the lines are in two languages and the model that was named has one.
    """
    for one in _languages(lines) if lang is None else [lang]:
        door.speaking(one)  # a model that cannot be loaded is no fault of a line
    examples = named_examples(
        lines, source, lambda own: door.speaking(lang or own).capabilities.taxonomy
    )
    forced: Lang | None = "zh" if lang == "zh" else "en" if lang else None
    own = {example.lang for example in examples}
    answered: list[Example] = []
    lacks: Counter[str] = Counter()
    for example in examples:
        text = example.dialogue.posts[-1].text
        responder = door.speaking(lang or example.lang)
        if isinstance(responder, OneLanguageResponder):
            if model is not None and lang is None and len(own) > 1:
                raise UsageError(
                    f"{source} holds {' and '.join(sorted(own))}, and {model} answers in"
                    f" {responder.lang} only; leave --model out so that each line goes to a model"
                    f" of its language, or answer all by it with --lang {responder.lang}"
                )
            answered.append(replace(example, lang=responder.lang))
        else:
            answered.append(replace(example, lang=forced or example.lang))
        if (lack := unread(responder, text)) is not None:
            lacks[lack] += 1
        elif language(text) != answered[-1].lang:
            lacks[f'in a script that is not that of "lang", {answered[-1].lang}'] += 1
    if note is not None:
        for lack, count in lacks.items():
            are = "is" if count == 1 else "are"
            note(f"{number_of(count, 'post')} {are} {lack}; the replies may not be to the point")
    return answered


def _languages(lines: Sequence[str]) -> set[str]:
    """Return the languages of the lines, English if there are none; bad lines are passed over."""
    languages: set[str] = set()
    for line in lines:
        with suppress(ValueError, RecursionError, DataError):
            row = json.loads(line)
            if isinstance(row, dict):
                languages.add(row_language(row))
    return languages or {"en"}
