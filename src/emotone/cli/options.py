"""Options that several commands share, and how they become values."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from emotone.emotions import EmotionMix, MixText

if TYPE_CHECKING:
    from emotone.door import Door
    from emotone.types import Capabilities, Decoding, EmpathyLevels

System = Annotated[
    str, typer.Option("--system", "-s", help="Which system answers; a dotted name loads your own.")
]
Model = Annotated[
    str | None, typer.Option("--model", "-m", help="Catalogue name, folder or hub id.")
]
Emotion = Annotated[
    str | None,
    typer.Option("--emotion", "-e", help="Such as 'sadness:80' or 'joy:60 + fear:20'."),
]
Empathy = Annotated[
    str | None,
    typer.Option(
        "--empathy",
        help="Levels 0 to 2, such as 'reaction:2 interpretation:1 exploration:2' (emprl).",
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same reply.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", help="Longest reply, in tokens.")]
Temperature = Annotated[
    float | None, typer.Option("--temperature", help="Below 1 is safer, above wilder.")
]
Greedy = Annotated[bool, typer.Option("--greedy", help="Take the likeliest token each time.")]
Beams = Annotated[
    int | None,
    typer.Option("--beams", help="Search with this many beams (recurrent systems)."),
]
LengthPenalty = Annotated[
    float | None, typer.Option("--length-penalty", help="With --beams: 0 is off, 1 favours long.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting of the system, such as candidates=1 or told=true."),
]
Lang = Annotated[
    str | None,
    typer.Option("--lang", help="en or zh, for systems with a model of each; else by the script."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def note(text: str) -> None:
    """Tell the user something that is not a result."""
    print(f"emotone: {text}", file=sys.stderr)


def decoding(
    seed: int,
    max_tokens: int | None,
    temperature: float | None,
    greedy: bool,
    beams: int | None = None,
    length_penalty: float | None = None,
) -> Decoding:
    """Build the decoding settings; what is not given keeps its default."""
    from emotone.errors import ConfigError
    from emotone.types import Decoding

    if greedy and beams is not None:
        raise ConfigError("--greedy and --beams are two ways to search; give one of them")
    if length_penalty is not None and beams is None:
        raise ConfigError("--length-penalty ranks the replies of a beam search; add --beams")
    given = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "beams": beams,
        "length_penalty": length_penalty,
    }
    return Decoding(
        "greedy" if greedy else "sample" if beams is None else "beam",
        seed=seed,
        **{name: value for name, value in given.items() if value is not None},
    )


def read_emotion(text: str | None) -> MixText | None:
    """Read an emotion as far as no labels are needed, before any model is loaded."""
    return None if text is None else MixText.read(text)


def emotion_of(emotion: str | MixText | None, capabilities: Capabilities) -> EmotionMix | None:
    """Look an emotion up in a system's labels, and note aliases on stderr."""
    from emotone.door import mix_of

    return mix_of(emotion, capabilities.taxonomy, note)


def read_empathy(text: str | None) -> EmpathyLevels | None:
    """Read empathy levels; None where none are asked."""
    if text is None:
        return None
    from emotone.types import EmpathyLevels

    return EmpathyLevels.parse(text)


def open_door(
    system: str,
    model: str | None,
    device: str,
    settings: list[str] | None,
    lang: str | None,
) -> Door:
    """Open the door of a system, as its options say; weights are loaded when first needed."""
    from emotone.door import open_door
    from emotone.errors import UsageError

    if lang not in (None, "en", "zh"):
        raise UsageError(f"--lang is {lang!r}; use en or zh")
    return open_door(system, model, device=device, settings=settings or (), lang=lang)
