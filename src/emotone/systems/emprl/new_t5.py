"""A small T5 made from nothing: its vocabulary from texts, its weights from a seed.

Pretrained T5 weights are what the paper uses; this is for where none can be had, and for proving
the pipeline on a laptop.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from emotone.errors import ConfigError, DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, T5ForConditionalGeneration

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
#: Stands between the posts of a dialogue.
TURN = "<turn>"
#: What is left out of a text in denoising, in T5's own words.
BLANKS = tuple(f"<extra_id_{i}>" for i in range(20))


@dataclass(frozen=True, slots=True)
class T5Sizes:
    """Size of a new T5.

    Args:
        pieces: Size of the vocabulary.
        width: d_model.
        inner: Width of the feed-forward layers.
        heads: Attention heads, each of `width / heads`.
        encoder_blocks: Blocks of the encoder.
        decoder_blocks: Blocks of the decoder.
        gated: Gated GELU as in T5 1.1, else ReLU as in T5.
        dropout: Share dropped in training.
    """

    pieces: int = 8000
    width: int = 256
    inner: int = 1024
    heads: int = 4
    encoder_blocks: int = 2
    decoder_blocks: int = 2
    gated: bool = False
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Check ranges."""
        names = ("pieces", "width", "inner", "heads", "encoder_blocks", "decoder_blocks")
        for name in names:
            if getattr(self, name) < 1:
                raise ConfigError(f"new: {name} is {getattr(self, name)}; use 1 or more")
        if self.width % self.heads:
            raise ConfigError(
                f"new: width is {self.width} and heads is {self.heads}; use a width that the heads"
                " divide"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"new: dropout is {self.dropout}; use 0 to below 1")


def new_tokenizer(texts: Iterable[str], pieces: int) -> PreTrainedTokenizerBase:
    """Learn a SentencePiece vocabulary (unigram language model) from texts.

    Equal texts give equal pieces. An end token closes each text, as in T5.

    Args:
        texts: What to learn from.
        pieces: Size of the vocabulary, special tokens included; fewer where the texts have no more.

    Raises:
        DataError: If there is no text.

    Source: Kudo 2018, the unigram language model; Raffel et al. 2020 for T5's special tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from tokenizers import processors as post
    from transformers import PreTrainedTokenizerFast

    special = (TURN, *BLANKS)
    core = Tokenizer(models.Unigram(_learned(texts, pieces, special), unk_id=2))
    core.normalizer = _normalizer()
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    core.post_processor = post.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        extra_special_tokens=list(special),
        model_max_length=512,
    )


def _normalizer() -> Any:
    from tokenizers import Regex, normalizers

    blank = normalizers.Replace(Regex(r"\s+"), " ")
    return normalizers.Sequence([normalizers.NFKC(), blank, normalizers.Strip()])


def _learned(
    texts: Iterable[str], pieces: int, special: tuple[str, ...]
) -> list[tuple[str, float]]:
    """Learn pieces and their log-probabilities; pad, end and unknown come first."""
    import sentencepiece

    normalizer = _normalizer()
    lines = [line for text in texts if (line := normalizer.normalize_str(text))]
    if not lines:
        raise DataError("there is no text to learn a vocabulary from; name files with dialogues")
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=proto,
        vocab_size=pieces,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        pad_piece=PAD,
        eos_piece=END,
        unk_piece=UNKNOWN,
        user_defined_symbols=list(special),
        num_threads=1,
        minloglevel=2,
    )
    learned = sentencepiece.SentencePieceProcessor(model_proto=proto.getvalue())
    return [(learned.id_to_piece(i), learned.get_score(i)) for i in range(len(learned))]


def new_t5(
    tokenizer: PreTrainedTokenizerBase, sizes: T5Sizes, seed: int
) -> T5ForConditionalGeneration:
    """Make a T5 with random weights of a seed; embeddings of both sides and output are one.

    Difference from T5, whose embeddings begin with a standard deviation of 1: here they begin with
    `width ** -0.5`, and the decoder's last norm with `width ** 0.5`, which undoes T5's scaling of
    the logits. T5 learned with Adafactor, whose steps grow with a weight's size; Adam's do not, and
    words that are 1 in size hardly move.

    Args:
        tokenizer: Of `new_tokenizer`.
        sizes: Its size; the vocabulary is the tokenizer's.
        seed: Decides the weights.
    """
    from transformers import T5Config, T5ForConditionalGeneration

    pad: Any = tokenizer.pad_token_id
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=sizes.width,
        d_kv=sizes.width // sizes.heads,
        d_ff=sizes.inner,
        num_layers=sizes.encoder_blocks,
        num_decoder_layers=sizes.decoder_blocks,
        num_heads=sizes.heads,
        feed_forward_proj="gated-gelu" if sizes.gated else "relu",
        dropout_rate=sizes.dropout,
        pad_token_id=pad,
        eos_token_id=tokenizer.eos_token_id,  # pyright: ignore[reportArgumentType]
        decoder_start_token_id=pad,  # pyright: ignore[reportCallIssue]
        tie_word_embeddings=True,  # pyright: ignore[reportCallIssue]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = T5ForConditionalGeneration(config)
    with torch.no_grad():
        model.shared.weight.mul_(sizes.width**-0.5)
        model.decoder.final_layer_norm.weight.mul_(sizes.width**0.5)
    return model.eval()
