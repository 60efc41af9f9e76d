"""What can carry a mood where: the table of formats and engines, and the reasons of refusals.

A row says what somebody read in the sources of transformers 5.23, vLLM 0.33, SGLang 0.5.23 and
llama.cpp of autumn 2026. An engine that is not in a row drops the bias without a word, or nobody
has looked; both are refused, since a mood that is dropped shows nowhere but in the replies.
`emotone verify` tells what an engine does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from emotone.engines.mood import OneMood
from emotone.errors import Unsupported, unknown_name
from emotone.models import locate
from emotone.steering.layers import Site

Engine = Literal["transformers", "vllm", "sglang", "llamacpp"]
ENGINES: tuple[Engine, ...] = ("transformers", "vllm", "sglang", "llamacpp")


@dataclass(frozen=True, slots=True)
class Bias:
    """A bias in a checkpoint of a family.

    Args:
        flag: Entry of config.json that makes the family's classes hold it; "" where they always
            do.
        engines: Those that load it.
        dropped: Engine -> why it does not act there.
    """

    flag: str
    engines: frozenset[Engine]
    dropped: Mapping[Engine, str]


#: Families whose published checkpoints have this bias: an engine that dropped it would serve none.
_OWN = Bias("", frozenset(ENGINES), {})
_ENDS: Mapping[Site, str] = {"attn_out": "attention", "mlp_out": "mlp", "resid": "mlp"}

#: Family, and the part of the block whose last map holds the bias.
BIASES: Mapping[tuple[str, str], Bias] = {
    ("llama", "attention"): Bias("attention_bias", frozenset(ENGINES), {}),
    ("llama", "mlp"): Bias(
        "mlp_bias",
        frozenset({"transformers", "vllm", "llamacpp"}),
        {"sglang": "its Llama builds down_proj without one and drops it without a word"},
    ),
    ("qwen3", "attention"): Bias(
        "attention_bias",
        frozenset({"transformers", "sglang"}),
        {"vllm": "its Qwen3 builds o_proj without one and drops it without a word"},
    ),
    ("gemma3_text", "attention"): Bias(
        "attention_bias", frozenset({"transformers", "vllm", "sglang"}), {}
    ),
    ("smollm3", "attention"): Bias("attention_bias", frozenset({"transformers", "vllm"}), {}),
    ("smollm3", "mlp"): Bias("mlp_bias", frozenset({"transformers", "vllm"}), {}),
    ("granite", "attention"): Bias(
        "attention_bias",
        frozenset({"transformers"}),
        {"sglang": "its Granite builds o_proj without one and drops it without a word"},
    ),
    ("granite", "mlp"): Bias(
        "mlp_bias",
        frozenset({"transformers", "vllm"}),
        {"sglang": "its Granite builds down_proj without one and drops it without a word"},
    ),
    ("gpt2", "attention"): _OWN,
    ("gpt2", "mlp"): _OWN,
    ("gpt_neox", "attention"): _OWN,
    ("gpt_neox", "mlp"): _OWN,
    ("phi", "attention"): _OWN,
    ("phi", "mlp"): _OWN,
}


def bias_of(family: str, site: Site, engine: str) -> Bias:
    """Look up the bias that carries a mood.

    Args:
        family: `model_type` of the model's config.
        site: Where the mood acts.
        engine: What will load the checkpoint.

    Raises:
        UnknownName: If the engine is no name of `ENGINES`.
        Unsupported: If the bias would be dropped, or nobody knows.
    """
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    part = _ENDS[site]
    row = BIASES.get((family, part))
    if row is None:
        families = ", ".join(dict.fromkeys(f for f, p in BIASES if p == part))
        raise Unsupported(
            f"a {family} model has no bias at the end of its {part}, so that one in a checkpoint is"
            f" dropped; bake it into a model of {families}, or export another format"
        )
    if engine not in row.engines:
        why = row.dropped.get(engine, "nobody has looked whether it loads it")  # pyright: ignore
        raise Unsupported(
            f"{engine} gets no bias at the end of the {part} of a {family} model: {why}; engines"
            f" that load it are {', '.join(e for e in ENGINES if e in row.engines)}"
        )
    return row


def check_everywhere(mood: OneMood, carrier: str) -> None:
    """Refuse a mood that is none, or that acts on a part of the text.

    Raises:
        Unsupported: If it is so.
    """
    if not mood.displacement.any():
        raise Unsupported(f"{carrier} without a mood changes nothing; add --emotion 'joy:60'")
    positions = mood.moods.card.positions
    if positions != "all":
        raise Unsupported(
            f"{carrier} acts on all positions, and these vectors were made for {positions!r}; take"
            " others with --vectors, such as those of `emotone vectors make`"
        )


def check_residual(mood: OneMood, carrier: str) -> None:
    """Refuse a mood that acts inside of the blocks.

    Raises:
        Unsupported: If it does.
    """
    site = mood.moods.card.site
    if site != "resid":
        raise Unsupported(
            f"{carrier} is added to the output of blocks, and these vectors act at {site}, before"
            " the rest of the block reads it; export `bake` or `adapter`, or take vectors of site"
            " resid"
        )


def config_of(model: str) -> Any:
    """Read the config of a model without its weights.

    Raises:
        CheckpointError: If it cannot be read.
    """
    from transformers import AutoConfig

    from emotone.models.reading import read_kind

    location = locate(model)
    read_kind(location.path, location.name)  # says in one sentence what is wrong
    source = location.name if location.path is None else str(location.path)
    return AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)


def check_shape(mood: OneMood, config: Any) -> None:
    """Refuse vectors of a model of another depth or width.

    Raises:
        Unsupported: If depth or width differ.
    """
    text = config.get_text_config()
    have = (int(text.num_hidden_layers), int(text.hidden_size))
    depth, width = mood.displacement.shape
    if have != (depth, width):
        raise Unsupported(
            f"these vectors are of {depth} blocks of width {width}, and the model has {have[0]} of"
            f" {have[1]}; name the model that they were made for"
        )
