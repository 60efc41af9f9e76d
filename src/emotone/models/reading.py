"""Reading weights and tokenizer with transformers: safetensors only, no code of the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emotone.errors import CheckpointError, ModelMissing, Unsupported
from emotone.models import progress
from emotone.models.progress import quiet

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: How a model writes: after what it read, or from an encoder of its own.
LMKind = Literal["causal", "seq2seq"]

# Seconds until the hub counts as out of reach; its client would retry for half a minute.
_HUB_TIMEOUT = 10.0


def read_folder(
    path: Path, name: str, dtype: torch.dtype, kind: LMKind = "causal"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read a model from a folder.

    Raises:
        Unsupported: If it does not write text, or needs code of its own.
        CheckpointError: If it is damaged.
    """
    try:
        with quiet():
            return _read(str(path), name, dtype, kind, local_files_only=True)
    except _failures() as error:
        raise CheckpointError(
            f"model {name!r} in {path} cannot be loaded ({_first_line(error)}); copy or save it"
            " again with save_pretrained"
        ) from error


def read_hub(
    name: str, dtype: torch.dtype, kind: LMKind = "causal", *, fetch: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """Read a model of the hub, out of the hub's own cache where it is there.

    The cache goes first, so that what was loaded once stays the same and loads without a network.

    Returns:
        Model, tokenizer, and the commit that they are of.

    Raises:
        Unsupported: If it does not write text, or needs code of its own.
        ModelMissing: If it is not in the cache and cannot be fetched.
        CheckpointError: If it is damaged, or has no safetensors.
    """
    if commit := _cached_commit(name):
        try:
            with quiet():
                return *_read(name, name, dtype, kind, local_files_only=True), commit
        except OSError:  # transformers' word for a file that is not in the cache
            pass
        except _failures() as error:
            raise _unreadable(name, error) from error
    if not fetch:
        raise ModelMissing(
            f"model {name!r} is not a folder and not in the cache of the model hub; load it once"
            " while online, or give a folder with --model"
        )
    _ask_hub(name)
    progress.note(f"fetching {name} from the model hub")
    try:
        with quiet(bars=True):
            read = _read(name, name, dtype, kind, local_files_only=False)
    except _failures() as error:
        raise _unreadable(name, error) from error
    return *read, _cached_commit(name) or ""


def read_kind(path: Path | None, name: str) -> LMKind:
    """Tell from its config how a model writes, before its weights are read.

    Args:
        path: Its folder; None for a model of the hub.
        name: What to call it, or its id on the hub.

    Raises:
        ModelMissing: If it is on the hub and cannot be fetched.
        CheckpointError: If its config cannot be read.
    """
    from transformers import AutoConfig

    here = path is not None or _cached_commit(name) is not None
    if not here:
        _ask_hub(name)
    try:
        with quiet():
            config = AutoConfig.from_pretrained(
                name if path is None else str(path), local_files_only=here, trust_remote_code=False
            )
    except _failures() as error:
        raise CheckpointError(
            f"config.json of model {name!r} cannot be read ({_first_line(error)}); copy or save it"
            " again with save_pretrained"
        ) from error
    return "seq2seq" if getattr(config, "is_encoder_decoder", False) else "causal"


def _cached_commit(name: str) -> str | None:
    import huggingface_hub

    # Asked apart, since transformers calls the hub even to learn that nothing is in the cache.
    path = huggingface_hub.try_to_load_from_cache(name, "config.json")
    return Path(path).parent.name if isinstance(path, str) else None


def _ask_hub(name: str) -> None:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    try:
        listed = huggingface_hub.HfApi().model_info(name, timeout=_HUB_TIMEOUT).siblings or []
    except HfHubHTTPError as error:
        raise ModelMissing(
            f"{name!r} is not a folder here and the model hub does not give it"
            f" ({_first_line(error)}); check the name, log in if it is gated, or give a folder"
            " with --model"
        ) from error
    except Exception as error:  # each HTTP library of the hub client fails in its own class
        raise ModelMissing(
            f"{name!r} is not a folder here and the model hub cannot be reached; go online once, or"
            " give a folder with --model"
        ) from error
    if not any(file.rfilename.endswith(".safetensors") for file in listed):
        raise CheckpointError(
            f"model {name!r} on the hub has no safetensors weights; save it with save_pretrained"
            " where you trust it and give the folder"
        )


def _read(
    source: str, name: str, dtype: torch.dtype, kind: LMKind, **options: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForSeq2SeqLM,
        AutoTokenizer,
    )

    options["trust_remote_code"] = False
    config = AutoConfig.from_pretrained(source, **options)
    _check_writes_text(config, name, kind)
    causal = kind == "causal"
    side = "left" if causal else "right"
    tokenizer = AutoTokenizer.from_pretrained(source, padding_side=side, **options)
    loaded: Any = (AutoModelForCausalLM if causal else AutoModelForSeq2SeqLM).from_pretrained(
        source,
        config=config,
        dtype=dtype,
        use_safetensors=True,
        output_loading_info=True,
        **options,
    )
    model, report = loaded
    lacks = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if lacks:
        more = f" and {len(lacks) - 1} more" if lacks[1:] else ""
        raise CheckpointError(
            f"the weights of model {name!r} lack {lacks[0]}{more} that its config.json asks for;"
            " save it again with save_pretrained"
        )
    return model, tokenizer


def _check_writes_text(config: Any, name: str, kind: LMKind) -> None:
    from transformers.models.auto import modeling_auto as auto

    named = config.architectures or []
    if kind == "causal":
        known = auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        lacks = "writes no text from left to right; use a causal language model such as smollm2"
    else:
        known = auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
        lacks = "has no encoder and decoder that write text; use a model such as google-t5/t5-base"
    if named and not set(named) & set(known.values()):
        raise Unsupported(f"model {name!r} is a {named[0]}, which {lacks}")


def _failures() -> tuple[type[Exception], ...]:
    from safetensors import SafetensorError

    return (
        *(OSError, ValueError, KeyError, TypeError, AttributeError),
        *(ImportError, RuntimeError, SafetensorError),
    )


def _unreadable(name: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"model {name!r} of the hub cannot be loaded ({_first_line(error)}); choose another model"
        " or give a folder with --model"
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
