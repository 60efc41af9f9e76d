"""`emotone export`: a mood as a file that other engines load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotone.cli import options
from emotone.errors import Unsupported, UsageError, unknown_name

if TYPE_CHECKING:
    from emotone.engines.mood import OneMood
    from emotone.models import CausalLM

#: Format -> what it is; those of the first row need no weights.
_FILES = ("gguf-control-vector", "repeng", "vllm-lens")
_FOLDERS = ("bake", "adapter")
#: Those of mood adapters, which are no vectors.
_MAPS = ("adapter", "gguf-lora")
FORMATS = (*_FILES, *_FOLDERS, "gguf-lora")


def export(
    format_: Annotated[
        str,
        typer.Argument(metavar="FORMAT", help=", ".join(FORMATS), autocompletion=lambda: FORMATS),
    ],
    model: Annotated[str, typer.Argument(help="Catalogue name, folder or hub id.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file or new folder.")],
    emotion: options.Emotion = None,
    raw: options.Raw = None,
    vectors: Annotated[
        str,
        typer.Option("--vectors", help="Vectors or mood adapters: file, folder or shipped set."),
    ] = "",
    engine: Annotated[
        str,
        typer.Option(
            "--engine", help="Who loads it: transformers, vllm, sglang, llamacpp (bake, adapter)."
        ),
    ] = "transformers",
    without_first: Annotated[
        bool,
        typer.Option("--without-first", help="Leave out block 0, which llama.cpp cannot move."),
    ] = False,
    each: Annotated[
        bool,
        typer.Option(
            "--each", help="gguf-lora: a folder with a file an emotion, for llama-server."
        ),
    ] = False,
    embedding: Annotated[
        Path | None,
        typer.Option("--embedding", help="adapter: safetensors with a vector [1, d] an emotion."),
    ] = None,
    device: options.Device = "auto",
) -> None:
    """Write a mood as one file or folder that another engine loads, or say why it cannot act there.

    The dose is in the numbers: scale 1 is what was asked. `emotone verify` tells whether it acts.
    """
    from emotone.engines.mood import one_mood, open_vectors_of

    if format_ not in FORMATS:
        raise unknown_name("format", format_, FORMATS)
    if without_first and format_ != "gguf-control-vector":
        raise UsageError("--without-first is for gguf-control-vector alone; leave it out")
    if each and (format_ != "gguf-lora" or emotion is not None or raw is not None):
        raise UsageError(
            "--each goes with gguf-lora, without a mood: each file holds one at dose 1"
        )
    doses = options.read_doses(raw)
    if embedding is not None:
        if format_ != "adapter" or doses is None or emotion is not None or vectors:
            raise UsageError("--embedding goes with the format adapter and --raw 'joy=1' alone")
        _embedding_adapter(model, embedding, doses, output, device)
        return
    if vectors and _mood_adapter(format_, model, vectors, emotion, doses, output, each=each):
        return
    if format_ == "gguf-lora":
        raise Unsupported(
            "gguf-lora holds mood adapters, which are low-rank maps; name some with --vectors, or"
            " export vectors as gguf-control-vector"
        )
    loaded, source = open_vectors_of(model, vectors)
    mood = one_mood(loaded, emotion, doses)
    if format_ in _FILES:
        _file(format_, model, mood, output, without_first)
    else:
        _folder(format_, model, mood, source, engine, output, device)
    _done(output, mood.record())


def _mood_adapter(
    format_: str,
    model: str,
    vectors: str,
    emotion: str | None,
    doses: Mapping[str, float] | None,
    output: Path,
    *,
    each: bool,
) -> bool:
    """Write a mix of mood adapters with what they were learned on; False where there are none."""
    from emotone.engines.carriers import config_of
    from emotone.engines.gguf_lora import write_gguf_lora, write_gguf_loras
    from emotone.engines.mood import one_mood
    from emotone.engines.mood_adapter import mood_record, write_mood_adapter
    from emotone.steering.find import mood_file

    file = mood_file(vectors)
    if file is None:
        return False
    if format_ not in _MAPS:
        raise Unsupported(
            f"{vectors} holds mood adapters, which are low-rank maps and no vectors, so that"
            f" {format_} cannot hold them; export the format adapter or gguf-lora"
        )
    from emotone.steering.mood_adapters import open_mood_adapters

    adapters = open_mood_adapters(file)
    shared = file.parent if adapters.card.adapters else None
    if each:
        write_gguf_loras(adapters, output, config_of(model), shared=shared)
        _done(output, mood_record(adapters, {}))
        return True
    # An empty emotion asks for the shared adapters alone.
    wanted = None if emotion == "" and doses is None else emotion
    mood = one_mood(adapters, wanted, doses)
    if format_ == "adapter":
        write_mood_adapter(adapters, mood.doses, output, shared=shared)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_gguf_lora(adapters, mood.doses, output, config_of(model), shared=shared)
    _done(output, mood_record(adapters, mood.doses))
    return True


def _file(format_: str, model: str, mood: OneMood, output: Path, without_first: bool) -> None:
    from emotone.engines.carriers import check_shape, config_of
    from emotone.engines.control_vector import write_control_vector
    from emotone.engines.lens import write_lens
    from emotone.files import check_writable

    config = config_of(model)
    check_shape(mood, config)
    output.parent.mkdir(parents=True, exist_ok=True)
    check_writable(output)
    if format_ == "vllm-lens":
        write_lens(output, mood)
        return
    if format_ == "gguf-control-vector" and config.get_text_config() is not config:
        raise Unsupported(
            f"llama.cpp counts the width of a {config.model_type} model, which also sees, in"
            " another way than its blocks; export a model of text alone"
        )
    left_out = write_control_vector(
        output,
        mood,
        reader="repeng" if format_ == "repeng" else "llama.cpp",
        family=config.model_type,
        without_first=without_first,
    )
    if left_out:
        options.note(f"{left_out:.0%} of the mood, that of block 0, is left out")


def _folder(
    format_: str, model: str, mood: OneMood, source: str, engine: str, output: Path, device: str
) -> None:
    from emotone.engines import adapter
    from emotone.engines.bake import bake
    from emotone.steering.find import give_adapters

    if format_ == "adapter" and not any(mood.doses.values()):
        adapter.copy_companion(mood, source, output)
        return
    lm = _load(model, device)
    if format_ == "adapter":
        adapter.write_bias_adapter(lm.model, mood, engine, output)
        return
    give_adapters(lm.model, mood.moods, source)
    bake(lm, mood, engine, output)


def _embedding_adapter(
    model: str, file: Path, doses: Mapping[str, float], output: Path, device: str
) -> None:
    from emotone.engines.adapter import write_embedding_adapter
    from emotone.engines.mood import licences
    from emotone.errors import DataError
    from emotone.steering.fingerprint import fingerprint
    from emotone.steering.published import read_published

    directions = read_published([file])
    for label in doses:
        if label not in directions:
            raise unknown_name("vector", label, directions)
    push: Any = sum(dose * directions[label] for label, dose in doses.items())
    if len(push) != 1:
        raise DataError(f"{file} holds vectors of {len(push)} blocks; the embedding is one place")
    lm = _load(model, device)
    record = {"dose": dict(doses), "model": lm.name, "fingerprint": fingerprint(lm.model)}
    record |= {"site": "embedding", "positions": "all", **licences(lm.name, "")}
    write_embedding_adapter(lm.model, push[0], output, record)
    _done(output, record)


def _load(model: str, device: str) -> CausalLM:
    from emotone.cli.progress import waiting
    from emotone.models import load_causal_lm

    with waiting("loading the model"):
        return load_causal_lm(model, device=device)


def _done(output: Path, record: Mapping[str, Any]) -> None:
    typer.echo(output)
    options.note(
        f"licence of the vectors: {record['licence']}, of the model: {record['model_licence']}; the"
        " file says so too"
    )
