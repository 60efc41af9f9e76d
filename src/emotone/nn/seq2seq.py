"""What the recurrent systems share: embeddings, encoder, decoder and output layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from emotone.nn.cells import uniform
from emotone.nn.decoder import Decoder, DecoderShape, State
from emotone.nn.encoder import Cell, Encoded, Encoder
from emotone.nn.losses import linear_cross_entropy, sampled_cross_entropy

#: Id of the end token, which is also what stands for a post that is held back.
EOS = 2


class Batch(Protocol):
    """The parts of `emotone.data.batch.Batch` that a model reads."""

    @property
    def source(self) -> Tensor:
        """Posts, padded at the end, [B, S]."""
        ...

    @property
    def source_lengths(self) -> Tensor:
        """Real tokens of each post, on the CPU, [B]."""
        ...

    @property
    def target_in(self) -> Tensor:
        """GO and the reply, [B, T]."""
        ...

    @property
    def target_out(self) -> Tensor:
        """The reply and the end token, [B, T]."""
        ...

    @property
    def target_lengths(self) -> Tensor:
        """Real target tokens, the end token counted, on the CPU, [B]."""
        ...

    @property
    def emotion(self) -> Tensor:
        """Place of each reply's emotion in the taxonomy; -1 for none, [B]."""
        ...

    @property
    def real(self) -> Tensor:
        """Places b * T + t of the real target tokens, [N]."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """How posts are read.

    Args:
        hidden: Units of one direction.
        layers: Number of layers.
        cell: "gru" or "lstm".
        bidirectional: Whether a second pass reads from the end.
        dropout: Share dropped of tokens and between layers.
        blank: Share of posts that are held back in training, so that the model also learns how
            likely a reply is to no post at all. Not in the papers.
    """

    hidden: int
    layers: int = 1
    cell: Cell = "gru"
    bidirectional: bool = True
    dropout: float = 0.0
    blank: float = 0.0


class Predicted(NamedTuple):
    """Features of the real target tokens and what they should be.

    Args:
        features: [N, d].
        target: Gold words, [N].
        row: Row of the batch of each token, [N].
        internal: Internal memory after each row's last token, [B, M]; None without one.
    """

    features: Tensor
    target: Tensor
    row: Tensor
    internal: Tensor | None


class Seq2Seq(nn.Module):
    """Embeddings, encoder, decoder and output layer.

    Args:
        words: Size of the vocabulary, V.
        posts: Size of the vocabulary of posts, where they have one of their own; 0 where not.
        reading: The encoder.
        shape: The decoder; its `out` must be the embedding's width if the tables are tied.
        tied: One table for posts, replies and output; else three.
        softmax: "full", or "sampled" for training against `negatives` drawn words.
        negatives: Words sampled for the sampled softmax.
    """

    def __init__(
        self,
        words: int,
        reading: Reading,
        shape: DecoderShape,
        *,
        posts: int = 0,
        tied: bool = True,
        softmax: Literal["full", "sampled"] = "full",
        negatives: int = 2048,
    ) -> None:
        super().__init__()
        d = shape.embedding
        self.source = nn.Embedding(posts or words, d)
        self.target = self.source if tied else nn.Embedding(words, d)
        self.encoder = Encoder(
            d,
            reading.hidden,
            reading.layers,
            cell=reading.cell,
            bidirectional=reading.bidirectional,
            dropout=reading.dropout,
            reset_first=shape.reset_first,
        )
        self.decoder = Decoder(shape, self.encoder.width, reading.layers)
        if tied and self.decoder.width != d:
            raise ValueError(
                f"the features have width {self.decoder.width} and the tied embedding {d};"
                " set out to the embedding's width"
            )
        self.output = None if tied else nn.Parameter(torch.empty(words, self.decoder.width))
        self.bias = nn.Parameter(torch.zeros(words))
        self.dropout = nn.Dropout(reading.dropout)
        self.blank = reading.blank
        self.softmax = softmax
        self.negatives = negatives
        for table in {id(t): t for t in (self.source, self.target)}.values():
            bound = math.sqrt(3 / d)  # variance 1/d, as for words without a vector
            nn.init.uniform_(table.weight, -bound, bound)
        if self.output is not None:
            nn.init.xavier_uniform_(self.output)

    @property
    def weight(self) -> Tensor:
        """Output embedding, [V, d]."""
        return self.target.weight if self.output is None else self.output

    @torch.no_grad()
    def set_vectors(self, rows: Tensor, posts: Tensor | None = None) -> None:
        """Start the embeddings from word vectors, [V, d]; posts may have others, [V', d]."""
        self.source.weight.copy_(rows if posts is None else posts)
        self.target.weight.copy_(rows)

    @torch.no_grad()
    def start_unit_scaled(self) -> None:
        """Start from weights as TensorFlow 0.12 draws them, for ECM's released code.

        All but the embeddings, which start from word vectors there. A matrix of n inputs is
        uniform(-sqrt(3/n), sqrt(3/n)); the output table, which that code holds turned round, counts
        its words as inputs, and its bias one. Gates of a GRU have a bias of 1.
        """
        self.encoder.start_unit_scaled()
        self.decoder.start_unit_scaled()
        if self.output is not None:
            uniform(self.output, len(self.output))
        uniform(self.bias, 1)

    def hold_back(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """In training, replace a share of the posts by the end token alone."""
        if not (self.training and self.blank):
            return source, lengths
        held = torch.rand(len(lengths)) < self.blank
        lengths = torch.where(held, 1, lengths)
        on_device = held.to(source.device, non_blocking=True)
        return source.masked_fill(on_device[:, None], EOS), lengths

    def read(self, embedded: Tensor, lengths: Tensor) -> Encoded:
        """Encode embedded posts [B, S, d] of `lengths` real tokens [B]."""
        return self.encoder(self.dropout(embedded), lengths)

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """Take tokens [B] and a state; return features [B, d] and the next state."""
        return self.decoder.advance(self.target(token), state)

    def logits(self, features: Tensor) -> Tensor:
        """Return logits [.., V] of features [.., d]."""
        return nn.functional.linear(features, self.weight, self.bias)

    def predict(self, batch: Batch, state: State, last: Tensor | None = None) -> Predicted:
        """Run known targets; padding is dropped before the features are made.

        Args:
            batch: Posts are not read.
            state: State before the first word.
            last: Step of each row whose internal memory is returned, [B]; None for the last real.
        """
        out = self.decoder.unroll(self.target(batch.target_in), state)
        real, steps = batch.real, batch.target_in.shape[1]
        features = self.decoder.features(
            out.hidden.flatten(0, 1)[real], out.context.flatten(0, 1)[real]
        )
        internal = None
        if out.internal is not None:
            rows = torch.arange(len(out.internal), device=real.device)
            if last is None:
                last = batch.target_lengths.to(real.device, non_blocking=True) - 1
            internal = out.internal[rows, last]
        return Predicted(
            features,
            batch.target_out.flatten()[real],
            torch.div(real, steps, rounding_mode="floor"),
            internal,
        )

    def word_loss(
        self, features: Tensor, target: Tensor, token_weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the (weighted) sum of -log p over tokens, with a graph, and each token's, [N].

        With the sampled softmax the first is its estimate, in training; the second then is an
        estimate too, the mean for every token.
        """
        if self.softmax == "sampled" and self.training:
            total = sampled_cross_entropy(features, self.weight, self.bias, target, self.negatives)
            return total, (total.detach() / max(1, len(target))).expand(len(target))
        return linear_cross_entropy(
            features, self.weight, self.bias, target, token_weight=token_weight
        )


def sum_rows(values: Tensor, row: Tensor, rows: int) -> Tensor:
    """Sum token values [N] by row [N] to [B]."""
    return values.new_zeros(rows).index_add_(0, row, values)
