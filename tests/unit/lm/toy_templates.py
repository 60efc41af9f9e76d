"""Tokenizers of a few hundred tokens in the four families of chat templates, and of T5 and BERT."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
_ALTERNATE = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/...') }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}" + _ALTERNATE + "<start_of_turn>"
    "{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}"
    "<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}" + _ALTERNATE + "{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% else %}{{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)


def _fast(core: Any, added: Sequence[str], template: str | None, **special: str) -> Any:
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    # As tokens that are not special: these, too, are control.
    core.add_tokens([AddedToken(token, normalized=False) for token in added])
    fast = PreTrainedTokenizerFast(tokenizer_object=core, padding_side="left", **special)
    fast.chat_template = template
    return fast


def _bytes(control: Sequence[str], template: str, **special: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {t: i for i, t in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    core = Tokenizer(models.BPE(vocabulary, [], ignore_merges=True))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return _fast(core, control, template, **special)


def _characters(control: Sequence[str]) -> dict[str, int]:
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    pieces = [*control, *fallback, *string.ascii_letters, *string.digits, *string.punctuation, "▁"]
    return {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}


def chatml() -> Any:
    """Return a byte tokenizer with ChatML, whose <|im_start|> is not registered as special."""
    control = ("<|im_start|>", "<|endoftext|>")
    return _bytes(control, CHATML, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def llama() -> Any:
    """Return a byte tokenizer with the form of Llama 3."""
    control = ("<|start_header_id|>", "<|end_header_id|>")
    return _bytes(control, LLAMA, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>")


def gemma() -> Any:
    """Return a tokenizer of characters with Gemma's form, its control tokens in the vocabulary."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    control = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
    core = Tokenizer(
        models.BPE(_characters(control), [], byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    )
    core.normalizer = normalizers.Replace(" ", "▁")
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    named = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return _fast(core, control[4:], GEMMA, **named)


def mistral() -> Any:
    """Return a tokenizer of characters with Mistral's form, which sets a blank at the start."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    control = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]")
    core = Tokenizer(models.BPE(_characters(control), [], byte_fallback=True, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return _fast(core, control[3:], MISTRAL, **named)


def t5() -> Any:
    """Return T5's kind, whose model finds its control tokens in a text by itself."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    control = ("<pad>", "</s>", "<unk>", "<extra_id_0>")
    letters = [*string.ascii_letters, *string.digits, *string.punctuation, "▁"]
    pieces = [*((c, 0.0) for c in control), *((letter, -5.0) for letter in letters)]
    core = Tokenizer(models.Unigram(pieces, 2))
    core.normalizer = normalizers.NFKC()
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    core.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    named = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return _fast(core, control[3:], None, **named)


def bert() -> Any:
    """Return BERT's kind with lower case, one of whose control tokens is matched after that."""
    from tokenizers import (
        AddedToken,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )

    control = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    letters = [*string.ascii_lowercase, *string.digits]
    pieces = [*control, *letters, *(f"##{letter}" for letter in letters), *string.punctuation]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    core = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    core.add_special_tokens([AddedToken("[MASK]", normalized=True)])
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    named = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    return _fast(core, (), None, unk_token="[UNK]", mask_token="[MASK]", **named)


TEMPLATES = {"ChatML": chatml, "Llama": llama, "Gemma": gemma, "Mistral": mistral}
ENCODERS = {**TEMPLATES, "T5": t5, "BERT": bert}
