"""What a recurrent system's network offers, and how it is put together from sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from emotone.errors import ConfigError
from emotone.nn.decoder import DecoderShape, State
from emotone.nn.losses import Losses
from emotone.nn.seq2seq import Batch, Reading, Seq2Seq
from emotone.recurrent.config import Sizes
from emotone.recurrent.corpus import Corpus
from emotone.training.seeding import seed_for


class Network(Protocol):
    """A network that search, training and perplexity can drive."""

    @property
    def core(self) -> Seq2Seq:
        """Embeddings, encoder, decoder and output layer."""
        ...

    def encode(self, source: Tensor, lengths: Tensor, emotion: Tensor | None) -> State:
        """Read posts [B, S] of `lengths` words [B] (on the CPU), in an emotion each, [B]."""
        ...

    def step(self, token: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Take words [B]; return logits or log-probabilities [B, V] and the next state."""
        ...

    def nll(self, batch: Batch) -> Tensor:
        """Return -log p of each reply, its end token included, in nats, [B]."""
        ...

    def __call__(self, batch: Batch) -> Losses:
        """Return what the network lost on a batch."""
        ...


def core(
    words: int,
    sizes: Sizes,
    *,
    posts: int = 0,
    emotion: int = 0,
    internal: int = 0,
    **shape: Any,
) -> Seq2Seq:
    """Build the shared part.

    Args:
        words: Size of the vocabulary.
        sizes: Widths and variants.
        posts: Size of the vocabulary of posts, where they have one of their own; 0 where not.
        emotion: Width of the emotion in every decoder step's input; 0 for none.
        internal: Width of the internal memory; 0 for none.
        shape: More fields of the decoder's `DecoderShape`.

    Raises:
        ConfigError: If posts have words of their own and the tables are to be one.
    """
    if posts and sizes.tied:
        raise ConfigError(
            "posts and replies have a vocabulary each, and one table cannot hold both; set"
            " sizes.tied = false"
        )
    reading = Reading(
        sizes.encoder_hidden,
        sizes.encoder_layers,
        sizes.cell,
        sizes.bidirectional,
        sizes.dropout,
        sizes.blank,
    )
    decoder = DecoderShape(
        embedding=sizes.embedding,
        hidden=sizes.hidden,
        layers=sizes.layers,
        cell=sizes.cell,
        attention=sizes.attention,
        emotion=emotion,
        internal=internal,
        bridge=sizes.bridge,
        first_context=sizes.first_context,
        reads=sizes.reads,
        out=sizes.out or (sizes.embedding if sizes.tied else 0),
        dropout=sizes.dropout,
        **shape,
    )
    return Seq2Seq(
        words,
        reading,
        decoder,
        posts=posts,
        tied=sizes.tied,
        softmax=sizes.softmax,
        negatives=sizes.negatives,
    )


def initial(build: Callable[[Any, Corpus], Any], config: Any, corpus: Corpus) -> Any:
    """Build a network with weights that the config's seed decides.

    Raises:
        ConfigError: If the word vectors have another width than the embeddings.
    """
    if corpus.vectors is not None and corpus.vectors.shape[1] != config.sizes.embedding:
        width = corpus.vectors.shape[1]
        raise ConfigError(
            f"the word vectors are {width} wide and sizes.embedding is {config.sizes.embedding};"
            f" set sizes.embedding = {width} or leave data.vectors out"
        )
    with torch.random.fork_rng(devices=[]):
        # Only the CPU's generator: `torch.manual_seed` would seed every GPU too.
        torch.default_generator.manual_seed(seed_for(config.training.seed, "weights"))
        network = build(config, corpus)
    if corpus.vectors is not None:
        tables = (corpus.vectors, corpus.post_vectors)
        network.core.set_vectors(*(torch.from_numpy(t) for t in tables if t is not None))
    return network
