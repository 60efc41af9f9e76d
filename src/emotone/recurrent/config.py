"""Settings that the recurrent systems have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emotone.data.words import Boundaries
from emotone.emotions import TAXONOMIES
from emotone.errors import ConfigError, unknown_name


@dataclass(frozen=True, slots=True)
class Data:
    """What a system learns from.

    Args:
        train: Examples, .jsonl or .parquet, each of one post, a reply and the reply's emotion.
        dev: Examples that decide when to stop.
        texts: Labelled posts without a reply, learnt as replies to a post that is held back; none
            without it.
        balance: How evenly emotions are sampled, from 0 (as they occur) to 1 (all alike): a
            class of n pairs has a share of n ** (1 - balance). It is the same for every system, so
            that all learn from the same rows.
        lang: Language of the texts.
        taxonomy: Label set that emotions are mapped to.
        vocabulary: Most words, the four signs counted; or the path of words that are given: of one
            file, or without its end of ECM's two, "vocab40000" for vocab40000.post and
            vocab40000.response.
        words: "found": texts are cleaned and cut by one segmenter, whatever blanks they have.
            "corpus": words stand between the blanks of the training texts, as
            `emotone data prepare --keep-words` leaves them; see `emotone.data.words`.
        vectors: Word vectors to start from, as text; none without it.
        limit: Number of training examples to read, from the first; 0 for all.
        longest: Words of a post that are read; replies keep one fewer, for their end.
    """

    train: Path = Path()
    dev: Path = Path()
    texts: Path | None = None
    balance: float = 0.0
    lang: Literal["en", "zh"] = "zh"
    taxonomy: str = "nlpcc"
    vocabulary: int | Path = 8000
    words: Boundaries = "found"
    vectors: Path | None = None
    limit: int = 0
    longest: int = 30

    def __post_init__(self) -> None:
        """Check names and ranges."""
        if self.taxonomy not in TAXONOMIES:
            raise unknown_name("taxonomy", self.taxonomy, TAXONOMIES)
        if not 0 <= self.balance <= 1:
            raise ConfigError(f"balance is {self.balance}; use a number from 0 to 1")
        if isinstance(self.vocabulary, int):
            _least("vocabulary", self.vocabulary, 5)
        elif self.vocabulary == Path():
            raise ConfigError("vocabulary is empty; give a number of words, or a file of them")
        if self.words not in ("found", "corpus"):
            raise unknown_name("way to find words", self.words, ("found", "corpus"))
        _least("limit", self.limit, 0)
        _least("longest", self.longest, 2)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Widths and variants of encoder and decoder; see `emotone.nn`.

    Args:
        embedding: Width of a word.
        encoder_hidden: Units of one direction of the encoder.
        encoder_layers: Layers of the encoder.
        bidirectional: Whether the encoder also reads from the end.
        hidden: Units of a layer of the decoder.
        layers: Layers of the decoder.
        cell: "gru" or "lstm", of both.
        attention: "additive" or "general".
        bridge: How the encoder's last states become the decoder's first: "map" or "copy".
        first_context: "attention" of the first state, or the encoder's "last" state.
        reads: Words are predicted from "state+context" or from the "state" alone.
        out: Width of the features before the output layer; 0 takes the embedding's if the tables
            are tied, else leaves state and context as they are.
        tied: One table for posts, replies and the output layer.
        dropout: Share dropped.
        blank: Share of posts held back in training; see `emotone.nn.seq2seq.Reading`.
        softmax: "full", or "sampled" for training.
        negatives: Words sampled for the sampled softmax.
    """

    embedding: int = 300
    encoder_hidden: int = 256
    encoder_layers: int = 1
    bidirectional: bool = True
    hidden: int = 384
    layers: int = 1
    cell: Literal["gru", "lstm"] = "gru"
    attention: Literal["additive", "general"] = "additive"
    bridge: Literal["map", "copy"] = "map"
    first_context: Literal["attention", "last"] = "attention"
    reads: Literal["state+context", "state"] = "state+context"
    out: int = 0
    tied: bool = True
    dropout: float = 0.3
    blank: float = 0.1
    softmax: Literal["full", "sampled"] = "full"
    negatives: int = 2048

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("embedding", "encoder_hidden", "encoder_layers", "hidden", "layers"):
            _least(name, getattr(self, name), 1)
        _least("out", self.out, 0)
        _least("negatives", self.negatives, 1)
        for name in ("dropout", "blank"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; use 0 or more, below 1")
        read = self.encoder_hidden * (1 + self.bidirectional)
        if self.bridge == "copy" and (self.encoder_layers, read) != (self.layers, self.hidden):
            raise ConfigError(
                f"the encoder has {self.encoder_layers} layers of {read} and the decoder"
                f" {self.layers} of {self.hidden}; set bridge to 'map'"
            )
        if self.tied and self.out not in (0, self.embedding):
            raise ConfigError(
                f"out is {self.out} and the tied embedding {self.embedding} wide; leave out at 0"
            )


@dataclass(frozen=True, slots=True)
class Replies:
    """How one of several candidates is chosen when replies are sampled; see `recurrent.choose`.

    The defaults were chosen on development posts by the labelling judge's accuracy, the share of
    the commonest reply and similarity to the post; no scoring judge had a part in it.

    Args:
        candidates: Replies sampled for each post; 1 takes the first.
        spread: Candidates are sampled at this multiple of the temperature, for the choice narrows
            them again.
        emotion: Weight of the log odds that the reply is in the asked emotion, in nats, told by the
            model itself.
        topic: Share of log p(reply | no post) that is taken off, so that what fits every post
            loses; needs a model that was trained with `blank`.
        batch: Posts a pass.
    """

    candidates: int = 32
    spread: float = 1.4
    emotion: float = 0.1
    topic: float = 0.6
    batch: int = 16

    def __post_init__(self) -> None:
        """Check ranges."""
        _least("candidates", self.candidates, 1)
        _least("batch", self.batch, 1)
        if not 0.1 <= self.spread <= 10:
            raise ConfigError(f"spread is {self.spread}; use a number from 0.1 to 10")
        for name in ("emotion", "topic"):
            if not 0 <= getattr(self, name) <= 100:
                raise ConfigError(f"{name} is {getattr(self, name)}; use a number from 0 to 100")


def _least(name: str, value: int, low: int) -> None:
    if value < low:
        raise ConfigError(f"{name} is {value}; use {low} or more")
