"""Tiny encoders with a tokenizer of whole words, saved as folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

_TEXT = (
    "i you we feel felt sad glad lost found my the a job cat exam rain today why when how what "
    "sorry know mean think hope same here tell more is that was it so hard fine bus tea"
)
WORDS = _TEXT.split()
MARKS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")


def word_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {w: i for i, w in enumerate([*MARKS, *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        unk_token="[UNK]",
    )  # fmt: skip


def save_bert(folder: Path, *, width: int = 32, blocks: int = 2, seed: int = 0) -> Path:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=len(MARKS) + len(WORDS),
        hidden_size=width,
        num_hidden_layers=blocks,
        num_attention_heads=4,
        intermediate_size=2 * width,
        max_position_embeddings=256,
        initializer_range=0.2,
    )
    return _save(folder, lambda: BertModel(config), seed)


def save_t5(folder: Path, *, seed: int = 0) -> Path:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=len(MARKS) + len(WORDS),
        d_model=24,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=3,
        decoder_start_token_id=0,
    )
    return _save(folder, lambda: T5EncoderModel(config), seed)


def _save(folder: Path, make: Any, seed: int) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make()
    model.save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder
