"""Options that several commands share, and how they become values."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotone.emotions import Auto, EmotionMix, MixText
from emotone.errors import ConfigError, MixError, UsageError
from emotone.types import SEARCHES, Decoding

if TYPE_CHECKING:
    from emotone.door import Door
    from emotone.protocols import Spread
    from emotone.types import Capabilities, EmpathyLevels


def systems() -> list[str]:
    """List the systems."""
    from emotone.systems import names

    return names()


def _models() -> list[str]:
    from emotone.models import catalog, zoo

    chat = [name for name, entry in catalog.known().items() if entry.kind == "causal-lm"]
    return [*chat, *zoo.listed("systems")]


def _emotions() -> list[str]:
    from emotone.emotions import EKMAN
    from emotone.emotions.auto import AUTO

    return [*(label for label in EKMAN.labels if label != EKMAN.neutral), AUTO]


# What a shell offers when it completes (`emotone --install-completion`); it loads no weights.
_SYSTEM = "Which system answers; a dotted name loads your own."
System = Annotated[str, typer.Option("--system", "-s", help=_SYSTEM, autocompletion=systems)]
OptionalSystem = Annotated[
    str | None,
    typer.Option(
        "--system",
        "-s",
        help=f"{_SYSTEM} Without it steered, and for Chinese the best that is here.",
        autocompletion=systems,
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Catalogue name, folder or hub id.", autocompletion=_models),
]
Emotion = Annotated[
    str | None,
    typer.Option(
        "--emotion",
        "-e",
        help="Such as 'sadness:80', 'joy:60 + fear:20', 'valence:-40 arousal:70' or 'auto'.",
        autocompletion=_emotions,
    ),
]
Empathy = Annotated[
    str | None,
    typer.Option(
        "--empathy",
        help="Levels 0 to 2, such as 'reaction:2 interpretation:1 exploration:2' (emprl).",
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray", help="Spread the work over Ray's workers: local, or a cluster's address."
    ),
]
Workers = Annotated[
    int | None, typer.Option("--workers", help="How many with --ray; one a GPU, or for 4 cores.")
]


@contextmanager
def spread(address: str | None, workers: int | None, *, ahead: int = 2) -> Iterator[Spread | None]:
    """Open Ray's workers where they are asked for; None stands for this process alone.

    Args:
        address: As `--ray` has it.
        workers: As `--workers` has it.
        ahead: Blocks that a worker may be given at once.
    """
    if address is None:
        if workers is not None:
            raise UsageError("--workers goes with --ray; add --ray local")
        yield None
        return
    from emotone.launch.ray import ray_workers

    with ray_workers(address, workers, ahead=ahead) as opened:
        yield opened


Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting of the system, such as candidates=1 or told=true."),
]
Lang = Annotated[
    str | None,
    typer.Option("--lang", help="en or zh, for systems with a model of each; else by the script."),
]
#: Fields of `Decoding` -> what their options do. `--greedy` and `--beams` are its strategy.
_FIELDS: Mapping[str, str] = {
    "seed": "The same seed gives the same reply",
    "max_tokens": "Longest reply, in tokens",
    "temperature": "Below 1 is safer, above wilder",
    "top_p": "Sample from the fewest tokens with this probability",
    "top_k": "Sample from this many of the likeliest tokens; 0 is off",
    "repetition_penalty": "Makes said tokens less likely; 1 is off",
    "no_repeat": "No n-gram of so many tokens twice in a reply; 0 is off",
    "min_tokens": "No reply ends before so many tokens",
    "sentence_end_after": "Share of the longest reply after which its sentence ends it; 1 is off",
    "beams": "Search with this many beams (recurrent systems)",
    "length_penalty": "With --beams: 0 is off, 1 favours long",
}


def _flag(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def _parameter(name: str, hint: Any, default: Any, text: str) -> inspect.Parameter:
    option = typer.Option(_flag(name), help=text)
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=Annotated[hint, option])


def _decoding_parameters() -> list[inspect.Parameter]:
    defaults = {field.name: field.default for field in dataclasses.fields(Decoding)}
    parameters = [_parameter("greedy", bool, False, "Take the likeliest token each time.")]
    for name, text in _FIELDS.items():
        default = defaults[name]
        known = "" if name in ("seed", "beams", "length_penalty") else f" (default {default})"
        parameters.append(_parameter(name, type(default) | None, None, f"{text}{known}."))
    return parameters


_DECODING = _decoding_parameters()
Raw = Annotated[
    str | None,
    typer.Option("--raw", help="Multiples of the vectors, uncalibrated: 'joy=2 + fear=-1'."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def note(text: str) -> None:
    """Tell the user something that is not a result."""
    print(f"emotone: {text}", file=sys.stderr)


def with_decoding(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each field of `Decoding` in place of its argument `decoding`."""
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        parameters += _DECODING if parameter.name == "decoding" else [parameter]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        searched = {one.name: given.pop(one.name) for one in _DECODING}
        command(**given, decoding=decoding(**searched))

    del run.__wrapped__  # typer would read the argument's own name there
    run.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def decoding(*, greedy: bool = False, **given: float | None) -> Decoding:
    """Build the decoding settings; what is None keeps its default.

    Raises:
        ConfigError: If what is given has no effect on the search that is asked, be it the default.
    """
    fields = {name: value for name, value in given.items() if value is not None}
    if greedy and "beams" in fields:
        raise ConfigError("--greedy and --beams are two ways to search; give one of them")
    if "length_penalty" in fields and "beams" not in fields:
        raise ConfigError("--length-penalty ranks the replies of a beam search; add --beams")
    strategy = "greedy" if greedy else "beam" if "beams" in fields else "sample"
    for name in fields:
        if name not in SEARCHES[strategy] | {"seed", "sentence_end_after"}:
            other = "--greedy" if greedy else "--beams"
            raise ConfigError(
                f"{_flag(name)} has no effect on the search of {other}; leave one of them out"
            )
    return Decoding(strategy, **fields)  # pyright: ignore[reportArgumentType]


def read_emotion(text: str | None) -> MixText | None:
    """Read an emotion as far as no labels are needed, before any model is loaded."""
    return None if text is None else MixText.read(text)


def emotion_of(
    emotion: str | MixText | None, capabilities: Capabilities
) -> EmotionMix | Auto | None:
    """Look an emotion up in a system's labels, and note aliases on stderr."""
    from emotone.door import asked_of

    return asked_of(emotion, capabilities.taxonomy, note)


def read_doses(text: str | None) -> dict[str, float] | None:
    """Read raw doses such as "joy=2 + fear=-1"; None where none are asked."""
    if text is None:
        return None
    doses: dict[str, float] = {}
    for part in text.split(" + "):
        name, sign, number = part.strip().partition("=")
        try:
            dose = float(number)
        except ValueError:
            dose = math.nan
        if not sign or not math.isfinite(dose) or name in doses:
            raise MixError(f"cannot read {text!r} as raw doses; write 'joy=2' or 'joy=2 + fear=-1'")
        doses[name.strip()] = dose
    return doses


def read_empathy(text: str | None) -> EmpathyLevels | None:
    """Read empathy levels; None where none are asked."""
    if text is None:
        return None
    from emotone.types import EmpathyLevels

    return EmpathyLevels.parse(text)


def open_door(
    system: str | None,
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
