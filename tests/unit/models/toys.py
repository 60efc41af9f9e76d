"""Tiny real models, wheels and catalogues, so that the tests need no network and no mocks."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import emotone
from emotone.models.catalog import Wheel

CHATML = (
    "{% for message in messages %}{{ '<s>' + message['role'] + '\\n' + message['content']"
    " + '</s>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<s>assistant\\n' }}{% endif %}"
)

# What another process needs to import the package and these tests.
PYTHONPATH = os.pathsep.join(
    [str(Path(emotone.__file__).parents[1]), str(Path(__file__).parents[2])]
)

# Seconds for what another process does on a busy machine; a test that passes waits for none of it.
PATIENCE = 300.0

SPECIAL = ("<pad>", "<s>", "</s>")


@dataclass(frozen=True)
class Toys:
    """Wheels of toy models and the catalogue that names them."""

    wheelhouse: Path
    catalog: Path
    gguf_model: Any


def byte_vocabulary() -> list[str]:
    """Special tokens, every byte in GPT-2's spelling, and two blanks as one token."""
    from tokenizers.pre_tokenizers import ByteLevel

    return [*SPECIAL, *sorted(ByteLevel.alphabet()), "ĠĠ"]


def byte_tokenizer(*, chat_template: str | None = CHATML, pad: bool = True) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate(byte_vocabulary())}
    inner = Tokenizer(BPE(vocabulary, merges=[("Ġ", "Ġ")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(t, special=True) for t in SPECIAL])
    outer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>" if pad else None,
    )
    outer.chat_template = chat_template
    return outer


def tiny_llama(*, width: int = 16) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(byte_vocabulary()),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LlamaForCausalLM(config)


def save_llama(folder: Path, **tokenizer: Any) -> Path:
    tiny_llama().save_pretrained(folder)
    byte_tokenizer(**tokenizer).save_pretrained(folder)
    return folder


def save_encoder(folder: Path) -> Path:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def save_gguf(path: Path, model: Any) -> Path:
    """Write a Llama as GGUF the way llama.cpp's converter does, matrices in 8 bits."""
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quants

    config = model.config
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    writer = GGUFWriter(str(path), "llama")
    writer.add_name("Toy")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(config.hidden_size // heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    tokens = byte_vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    kinds = [TokenType.CONTROL if t in SPECIAL else TokenType.NORMAL for t in tokens]
    writer.add_token_types(kinds)
    writer.add_token_merges(["Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_chat_template(CHATML)

    def permuted(matrix: Any, count: int) -> Any:  # GGUF's rotary layout interleaves the halves
        rows = matrix.reshape(count, 2, matrix.shape[0] // count // 2, matrix.shape[1])
        return rows.swapaxes(1, 2).reshape(matrix.shape)

    names = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    tops = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    for name, tensor in model.state_dict().items():
        array = tensor.numpy()
        if name in tops:
            target = tops[name]
        else:
            _, _, block, rest = name.split(".", 3)
            target = f"blk.{block}.{names[rest.removesuffix('.weight')]}.weight"
        if "attn_q" in target:
            array = permuted(array, heads)
        if "attn_k" in target:
            array = permuted(array, kv_heads)
        if array.ndim == 2:
            kind = GGMLQuantizationType.Q8_0
            packed = quants.quantize(np.ascontiguousarray(array), kind)
            writer.add_tensor(target, packed, raw_dtype=kind)
        else:
            writer.add_tensor(target, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def make_wheel(folder: Path, distribution: str, version: str, members: Mapping[str, bytes]) -> Path:
    """Make a wheel that real pip accepts."""
    stem = f"{distribution.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    every = {
        **members,
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        ).encode(),
        f"{info}/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: toy\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    record = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in every.items()]
    every[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    path = folder / f"{stem}-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in every.items():
            archive.writestr(name, data)
    return path


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def raw_file(name: str, data: bytes, *parts: tuple[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "parts": [{"wheel": wheel, "member": member} for wheel, member in parts],
    }


def folder_entry(wheelhouse: Path, name: str, kind: str, folder: Path) -> dict[str, Any]:
    """Put a folder into a wheel, and describe it as the catalogue does."""
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    data = {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}
    wheel = f"toy-{name}"
    package = f"toy_{name.replace('-', '_')}/model"
    path = make_wheel(wheelhouse, wheel, "1.0", {f"{package}/{k}": v for k, v in data.items()})
    return {
        "kind": kind,
        "description": f"toy {kind}",
        "languages": ["en"],
        "licence": "Apache-2.0",
        "weights": "model.safetensors",
        "wheels": [{"distribution": wheel, "version": "1.0", "bytes": path.stat().st_size}],
        "files": [raw_file(k, v, (wheel, f"{package}/{k}")) for k, v in data.items()],
    }


def gguf_entry(wheelhouse: Path, gguf: Path) -> dict[str, Any]:
    """Split a GGUF over two wheels, and put terms beside it."""
    data = gguf.read_bytes()
    halves = (data[: len(data) // 2], data[len(data) // 2 :])
    wheels = []
    for i, half in enumerate(halves):
        name = f"toy-gguf-part{i}"
        path = make_wheel(wheelhouse, name, "1.0", {f"part{i}/w.{i}": half})
        wheels.append({"distribution": name, "version": "1.0", "bytes": path.stat().st_size})
    page = b"<html><nav>Menu</nav><div class='x-article-body'><p>Be <b>kind</b>.</p></div></html>"
    path = make_wheel(wheelhouse, "toy-gguf", "1.0", {"toy/TERMS.html": page})
    wheels.append({"distribution": "toy-gguf", "version": "1.0", "bytes": path.stat().st_size})
    parts = [(f"toy-gguf-part{i}", f"part{i}/w.{i}") for i in (0, 1)]
    return {
        "kind": "causal-lm",
        "description": "toy in GGUF",
        "languages": ["en"],
        "licence": "LicenseRef-Toy",
        "weights": "w.gguf",
        "digits_apart": True,
        "terms": {"name": "Toy Terms", "url": "https://example.org/terms", "file": "TERMS.html"},
        "wheels": wheels,
        "files": [
            raw_file("w.gguf", data, *parts),
            raw_file("TERMS.html", page, ("toy-gguf", "toy/TERMS.html")),
        ],
    }


def toml(values: Any) -> str:
    """Write nested values as TOML, tables inline."""
    if isinstance(values, Mapping):
        return "{" + ", ".join(f"{k} = {toml(v)}" for k, v in values.items()) + "}"
    if isinstance(values, list):
        return "[" + ", ".join(toml(v) for v in values) + "]"
    return json.dumps(values)


def write_catalog(path: Path, entries: Mapping[str, Any]) -> Path:
    path.write_text("".join(f"{name} = {toml(entry)}\n" for name, entry in entries.items()))
    return path


def copying(wheelhouse: Path) -> Any:
    """A download that copies from a folder, in place of pip."""

    def download(wheel: Wheel, folder: Path) -> Path:
        name = f"{wheel.distribution.replace('-', '_')}-{wheel.version}-py3-none-any.whl"
        return Path(shutil.copy(wheelhouse / name, folder))

    return download
