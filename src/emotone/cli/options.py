"""Options that several commands share, and how they become values."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from emotone.emotions import TAXONOMIES, EmotionMix, Taxonomy

if TYPE_CHECKING:
    from emotone.protocols import Responder
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
    typer.Option("--beams", help="Search with so many beams (recurrent systems)."),
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
    import dataclasses

    from emotone.errors import ConfigError
    from emotone.types import Decoding

    if greedy and beams is not None:
        raise ConfigError("--greedy and --beams are two ways to search; give one of them")
    if length_penalty is not None and beams is None:
        raise ConfigError("--length-penalty ranks the replies of a beam search; add --beams")
    made = Decoding(strategy="greedy" if greedy else "sample", seed=seed)
    if beams is not None:
        made = dataclasses.replace(made, strategy="beam", beams=beams)
    if length_penalty is not None:
        made = dataclasses.replace(made, length_penalty=length_penalty)
    if max_tokens is not None:
        made = dataclasses.replace(made, max_tokens=max_tokens)
    if temperature is not None:
        made = dataclasses.replace(made, temperature=temperature)
    return made


def parse_emotion(text: str | None, taxonomy: Taxonomy | None) -> EmotionMix | None:
    """Read an emotion against a system's labels and note aliases on stderr."""
    if text is None:
        return None
    mix, notes = EmotionMix.read(text, taxonomy) if taxonomy else EmotionMix.read(text)
    for said in notes:
        note(said)
    return mix


def check_emotion(text: str | None) -> None:
    """Refuse a mix that no system could read, before any model is loaded."""
    if text is None:
        return
    from emotone.errors import UnknownName, UsageError

    first: UsageError | None = None
    for taxonomy in TAXONOMIES.values():
        try:
            EmotionMix.read(text, taxonomy)
        except UsageError as error:
            first = first or error
        else:
            return
    if first is not None and not isinstance(first, UnknownName):
        raise first  # else the system's own labels may hold it


def parse_empathy(text: str | None) -> EmpathyLevels | None:
    """Read empathy levels; None where none are asked."""
    if text is None:
        return None
    from emotone.types import EmpathyLevels

    return EmpathyLevels.parse(text)


def check_empathy(
    levels: EmpathyLevels | None, capabilities: Capabilities, system: str
) -> EmpathyLevels | None:
    """Return empathy levels, and refuse them for a system that takes none."""
    if levels is not None and not capabilities.empathy:
        from emotone.errors import Unsupported

        raise Unsupported(
            f"{system} takes no empathy levels, but {str(levels)!r} was asked; leave them out, or "
            "use --system emprl"
        )
    return levels


def load(
    system: str,
    model: str | None,
    device: str,
    overrides: list[str] | None,
    lang: str | None = None,
    text: str = "",
) -> Responder:
    """Load a system with its heavy libraries.

    Args:
        system: Its name.
        model: Its weights; None for its own.
        device: Where it runs.
        overrides: Settings.
        lang: "en" or "zh", as asked; None goes by `text`.
        text: What is to be answered, whose script tells the language.
    """
    from emotone import systems
    from emotone.data.text import language
    from emotone.errors import UsageError

    if lang not in (None, "en", "zh"):
        raise UsageError(f"--lang is {lang!r}; use en or zh")
    chosen = lang or language(text)
    return systems.load(system, model, device=device, overrides=overrides or (), lang=chosen)
