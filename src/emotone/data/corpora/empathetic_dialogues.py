"""EmpatheticDialogues: a speaker tells of a situation, a listener answers.

The official CSV has no quoting: a comma in a text is written `_comma_`, so that lines split at
commas into 8 fields, or 9 where the candidates of the official evaluation stand at the end.
Odd utterances are the speaker's, even ones the listener's.

Source: Rashkin et al. 2019; facebookresearch/EmpatheticDialogues, and ParlAI's reader for the
number of fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emotone.data.checks import named, text, whole
from emotone.data.corpus import Corpus, find
from emotone.data.formats.dialogues import Turn, answers
from emotone.data.reading import Problems, filled_lines
from emotone.emotions import EMPATHETIC
from emotone.errors import DataError, EmotoneError, number_of
from emotone.types import Example

CORPUS = Corpus(
    name="empathetic_dialogues",
    title="25 thousand conversations about a situation and its emotion, one of 32",
    langs=("en",),
    taxonomies=(EMPATHETIC,),
    licence="CC BY-NC 4.0; from facebookresearch/EmpatheticDialogues",
    files={"train": ("train.csv",), "valid": ("valid.csv",), "test": ("test.csv",)},
    note="each turn of the listener; the situation's emotion is that of the speaker's posts",
)

_HEADER = "conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags"

SAMPLE = {
    "train.csv": f"""{_HEADER}
hit:0_conv:0,1,proud,I baked my first bread.,4,I baked bread_comma_ my first ever!,5|5|5_5|5|5,
hit:0_conv:0,2,proud,I baked my first bread.,7,How did it taste?,5|5|5_5|5|5,
hit:0_conv:0,3,proud,I baked my first bread.,4,A bit salty_comma_ but good.,5|5|5_5|5|5,
hit:0_conv:0,4,proud,I baked my first bread.,7,Well done!,5|5|5_5|5|5,
hit:1_conv:2,1,afraid,A noise at night.,9,I heard a noise downstairs.,5|5|5_5|5|5,
hit:1_conv:2,2,afraid,A noise at night.,3,Did you call anyone?,5|5|5_5|5|5,
"""
}

# Of the columns after a text: what else stands there was cut off a text at a comma.
_RATINGS = frozenset("0123456789|_")
_SPEAKER, _LISTENER = "speaker", "listener"


def read(where: Path, problems: Problems, *, split: str | None = None) -> Iterator[Example]:
    """Yield one example for each turn of a listener."""
    for part, path in find(CORPUS, where, split):
        name, turns, broken = "", list[Turn](), False
        lines = filled_lines(path, problems)
        _, header = next(lines, (1, ""))
        if header != _HEADER:
            problems.bad(path, 1, f"the header is {header[:120]!r} where {_HEADER!r} is needed")
            continue
        for line, content in lines:
            fields = content.split(",")
            if fields[0] != name:
                if not broken:
                    yield from _examples(part, name, turns)
                name, turns, broken = fields[0], [], False
            if broken:
                continue
            try:
                turns.append(_turn(fields, len(turns)))
            except EmotoneError as error:
                broken = True  # what follows would answer a turn that is missing
                problems.bad(path, line, str(error))
        if not broken:
            yield from _examples(part, name, turns)


def _examples(part: str, name: str, turns: list[Turn]) -> Iterator[Example]:
    return answers(turns, f"{part}-{name}", "en", only=[_LISTENER])


def _turn(fields: list[str], before: int) -> Turn:
    if len(fields) not in (8, 9):
        given = number_of(len(fields), "field")
        raise DataError(f"{given} where 8 are needed; commas in texts are _comma_")
    _, index, context, _, speaker, utterance, selfeval, *_ = fields
    if not (speaker.strip().isdecimal() and set(selfeval) <= _RATINGS):
        raise DataError("a comma in a text; write _comma_ for it")
    if whole(index, "utterance_idx") != before + 1:
        raise DataError(f"utterance {index} after {before} of its conversation; keep their order")
    turn_text = text(utterance.replace("_comma_", ","), "the utterance")
    if before % 2:
        return Turn(_LISTENER, turn_text)
    return Turn(_SPEAKER, turn_text, named(context, EMPATHETIC))
