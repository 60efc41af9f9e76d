"""ECM, the Emotional Chatting Machine: emotion embedding, internal and external memory.

    s_t  = GRU(s_{t-1}, [c_{t-1}; e(y_{t-1}); v_e; M_r])     v_e: emotion embedding      (5, 10)
    M_r  = g^r * M,  g^r = sigmoid(W [e(y); c; v_e; s])      read gate of the memory     (6, 8)
    M   <- g^w * M,  g^w = sigmoid(W s_t)                    write gate; M only decays   (7, 9)
    a_t  = sigmoid(u^T o_t)                                  type selector               (11)
    p(y) = a_t softmax over e's emotion words, (1 - a_t) softmax over the others         (12 - 14)
    L    = -log p(y) + cross entropy of the type + |M at the end|^2                      (15)

c_{t-1} is the context that attention makes of s_{t-1}. The paper calls it c_t, after the step that
reads it: another index, not a deviation.

Each part can be left out (`parts`), as in the paper's ablations. Two styles:

- `fixed` (default): padding is masked, the loss is a mean over tokens, the memory is asked to be
  empty at a reply's own end, batches mix emotions in equal shares.
- `faithful`: as the released code does it. A pair is padded to the first of four lengths that holds
  both sides, the post reversed, and padding is attended; the loss is a mean over replies of their
  means; the memory's end is that of the padded length; GRUs reset before their product; weights
  start as TensorFlow 0.12 draws them, gates with a bias of 1. Digits are 0, posts and replies have
  a vocabulary each (with `sizes.tied = false`), word vectors are not scaled, longer pairs are left
  out; a batch has one emotion, with `training.balanced` drawn with replacement; the learning rate
  decays by the words' loss and the last weights are taken. What is still different is listed in
  docs/systems/ecm.md.

In both the type's cross entropy counts both types and the norm is squared, as in the code, which
the printed equation does not say; the read gate also reads v_e and every layer. The memory is
re-ordered with its hypothesis in beam search, which the released code forgets. An emotion without
words of its own answers from all words; the code would lose probability.

Source: Zhou et al. 2018, "Emotional Chatting Machine" (AAAI), equations in brackets; its released
code for what the paper leaves open (two layers of 256, embeddings of 100, memory of 256, SGD).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from emotone.data.vocab import UNK
from emotone.errors import ConfigError
from emotone.nn.cells import uniform
from emotone.nn.decoder import State
from emotone.nn.losses import Losses
from emotone.nn.memory import ExternalMemory, word_masks
from emotone.nn.seq2seq import EOS, Batch, Predicted, Seq2Seq, sum_rows
from emotone.recurrent import model as networks
from emotone.recurrent.config import Data, Replies, Sizes
from emotone.recurrent.corpus import Corpus
from emotone.recurrent.fitting import fit_system
from emotone.recurrent.folder import load_folder
from emotone.recurrent.responder import Recurrent, tiny_corpus, tiny_sizes
from emotone.training import Training

NAME = "ecm"
#: Language -> its model in the zoo.
MODELS = {"zh": "ecm-zh", "en": "ecm-en"}

#: Lengths that the released code pads to: posts, and replies with their end.
BUCKETS = (12, 16, 20, 30)


@dataclass(frozen=True, slots=True)
class Parts:
    """What makes a sequence to sequence model an ECM.

    Args:
        embedding: Whether v_e is in every step's input (`--use_emb`).
        internal: Whether there is an internal memory (`--use_imemory`).
        external: Whether emotion words have a softmax of their own (`--use_ememory`).
        width: Width of v_e.
        memory: Width of the internal memory.
        words: File of the emotion words, a JSON list of one list an emotion; without it the lists
            are made from the training replies by log-odds.
        style: "fixed" or "faithful"; see the module.
    """

    embedding: bool = True
    internal: bool = True
    external: bool = True
    width: int = 100
    memory: int = 256
    words: Path | None = None
    style: Literal["fixed", "faithful"] = "fixed"

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.width < 1 or self.memory < 1:
            raise ConfigError(f"width {self.width}, memory {self.memory}; use 1 or more")
        if self.words is not None and not self.external:
            raise ConfigError(
                "parts.words came without an external memory; leave it out (--set parts.words=) or"
                " set parts.external = true"
            )


@dataclass(frozen=True, slots=True)
class Config:
    """What is learnt, how, and how replies are chosen.

    Args:
        data: The pairs.
        sizes: Encoder and decoder.
        parts: ECM's parts.
        training: The loop.
        replies: Choice among candidates.
        start: Model folder to begin from: its vocabulary, and its weights wherever name and shape
            are the same (ECM's `--pretrain_dir`); random weights without it.
    """

    data: Data = field(default_factory=Data)
    sizes: Sizes = field(default_factory=Sizes)
    parts: Parts = field(default_factory=Parts)
    training: Training = field(default_factory=Training)
    replies: Replies = field(default_factory=Replies)
    start: Path | None = None

    def __post_init__(self) -> None:
        """Check what the parts ask of the sizes."""
        faithful = self.parts.style == "faithful"
        if faithful and (self.sizes.bidirectional or self.sizes.blank):
            raise ConfigError(
                "style 'faithful' reads in one direction and holds no post back; set"
                " sizes.bidirectional = false and sizes.blank = 0"
            )
        if self.parts.external and self.sizes.softmax == "sampled":
            raise ConfigError(
                "the external memory has two softmaxes and no sampled one; set sizes.softmax ="
                " 'full' or parts.external = false"
            )


class Feeling(NamedTuple):
    """A decoder's state and the emotion of each row, which a beam keeps with it.

    Args:
        decoder: The decoder's state.
        emotion: Place of each row's emotion, [B].
    """

    decoder: State
    emotion: Tensor


class ECM(nn.Module):
    """Seq2Seq with the three parts; see `emotone.recurrent.model.Network`.

    Args:
        core: Encoder, decoder and output layer.
        emotions: Number of emotions, E.
        width: Width of v_e; 0 without the emotion embedding.
        memory: Width of the internal memory; 0 without it.
        external: External memory, or None.
        faithful: Whether padding, losses and first weights are those of the released code.
    """

    def __init__(
        self,
        core: Seq2Seq,
        emotions: int,
        width: int,
        memory: int,
        external: ExternalMemory | None,
        *,
        faithful: bool = False,
    ) -> None:
        super().__init__()
        self.core = core
        self.embedding = nn.Embedding(emotions, width) if width else None
        self.internal = nn.Embedding(emotions, memory) if memory else None
        self.external = external
        self.faithful = faithful

    def encode(
        self, source: Tensor, lengths: Tensor, emotion: Tensor | None, also: Tensor | None = None
    ) -> Feeling:
        """Read posts [B, S] of `lengths` words [B], in emotions [B].

        In the style "faithful" a post's padding makes room for `also` many words too, [B].

        Raises:
            ValueError: If no emotions came.
        """
        if emotion is None:
            raise ValueError("ECM answers in an emotion; give one for each row")
        core = self.core
        source, lengths = core.hold_back(source, lengths)
        if self.faithful:
            longest = lengths if also is None else torch.maximum(lengths, also)
            source, lengths = _padded_and_reversed(source, _bucket(longest))
        state = core.decoder.start(
            core.read(core.source(source), lengths),
            None if self.embedding is None else self.embedding(emotion),
            None if self.internal is None else self.internal(emotion),
        )
        return Feeling(state, emotion)

    def _start(self, batch: Batch) -> Feeling:
        """Read the posts of pairs; in the code a pair's padded length is one for both sides."""
        return self.encode(
            batch.source, batch.source_lengths, batch.emotion, also=batch.target_lengths
        )

    def step(self, token: Tensor, state: Feeling) -> tuple[Tensor, Feeling]:
        """Take words [B]; return logits or, of the two softmaxes, log p [B, V], and the state."""
        features, after = self.core.step(token, state.decoder)
        logits = self.core.logits(features)
        if self.external is not None:
            logits = self.external.log_probabilities(features, logits, state.emotion)
        return logits, Feeling(after, state.emotion)

    @torch.no_grad()
    def start_unit_scaled(self) -> None:
        """Start from weights as TensorFlow 0.12 draws them; see `Seq2Seq.start_unit_scaled`."""
        self.core.start_unit_scaled()
        for table in (self.embedding, self.internal):
            if table is not None:
                uniform(table.weight, table.num_embeddings)
        if self.external is not None:
            uniform(self.external.select.weight, self.external.select.in_features)
            self.external.select.bias.zero_()

    def nll(self, batch: Batch) -> Tensor:
        """Return -log p of each reply in its emotion, in nats, [B]."""
        predicted = self.core.predict(batch, self._start(batch).decoder)
        _, _, nll = self._word_loss(predicted, batch.emotion, None)
        return sum_rows(nll, predicted.row, len(batch.source))

    def forward(self, batch: Batch) -> Losses:
        """Return equation 15 of a batch, as sums."""
        rows, zero = len(batch.source), self.core.bias.new_zeros(())
        start = self._start(batch)
        if self.faithful:
            wide, end = _to_buckets(batch)
            predicted = self.core.predict(wide, start.decoder, end)
            # Each reply counts once, however long it is.
            share = 1.0 / batch.target_lengths.to(predicted.row.device)
            words, types, nll = self._word_loss(predicted, batch.emotion, share[predicted.row])
            token_loss, row_loss = zero, words + types
        else:
            predicted = self.core.predict(batch, start.decoder)
            words, types, nll = self._word_loss(predicted, batch.emotion, None)
            token_loss, row_loss = words + types, zero
        logged = {"nll": nll.sum()}
        if self.faithful:
            logged["words"] = words.detach()  # what the code lowers its learning rate by
        if self.external is not None:
            logged["type"] = types.detach()
        if predicted.internal is not None:
            left = predicted.internal.square().sum()
            row_loss = row_loss + left
            logged["memory"] = left.detach()
        return Losses(token_loss, len(predicted.target), row_loss, rows, logged)

    def _word_loss(
        self, predicted: Predicted, emotion: Tensor, weight: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Sums over tokens of the words' and types' losses, and -log p of each token."""
        core = self.core
        if self.external is None:
            loss, nll = core.word_loss(predicted.features, predicted.target, weight)
            return loss, loss.new_zeros(()), nll
        return self.external.nll(
            predicted.features,
            core.weight,
            core.bias,
            predicted.target,
            emotion[predicted.row],
            token_weight=weight,
        )


def _bucket(lengths: Tensor) -> Tensor:
    """Return the padded length of each row, the first of `BUCKETS` that is longer, [B]."""
    edges = torch.tensor(BUCKETS, device=lengths.device)
    place = torch.bucketize(lengths, edges, right=True).clamp_max(len(BUCKETS) - 1)
    return torch.maximum(edges[place], lengths)


def _padded_and_reversed(source: Tensor, padded: Tensor) -> tuple[Tensor, Tensor]:
    """Pad each post to its bucket and reverse it whole, so that its padding comes first.

    Args:
        source: Posts, [B, S].
        padded: Their padded lengths, on the CPU, [B].

    Returns:
        Posts [B, S'], and their lengths with the padding, on the CPU, [B].
    """
    size = int(padded.max())
    place = (padded[:, None] - 1 - torch.arange(size)).clamp_min(0).to(source.device)
    inside = torch.where(place < source.shape[1], place, 0)
    reversed_posts = source.gather(1, inside).masked_fill(place >= source.shape[1], 0)
    return reversed_posts, padded


def _to_buckets(batch: Batch) -> tuple[Batch, Tensor]:
    """Pad replies to their buckets; return the batch and each row's last padded step, [B].

    What is fed after a reply is its end once, then padding, as in the released code.
    """
    padded = _bucket(torch.maximum(batch.source_lengths, batch.target_lengths))
    before = batch.target_in.shape[1]
    size = max(int(padded.max()), before)
    more = (0, size - before)
    real = torch.div(batch.real, before, rounding_mode="floor") * size + batch.real % before
    device = batch.real.device
    after = torch.arange(size, device=device) == batch.target_lengths.to(device)[:, None]
    wide = batch._replace(  # pyright: ignore[reportAttributeAccessIssue]
        target_in=nn.functional.pad(batch.target_in, more).masked_fill(after, EOS),
        target_out=nn.functional.pad(batch.target_out, more),
        real=real,
    )
    return wide, (padded - 1).to(device)


def build(config: Config, corpus: Corpus) -> ECM:
    """Build the network for a vocabulary and its emotions.

    Raises:
        ConfigError: If the corpus has no emotions, or no emotion words for an external memory.
    """
    parts, words = config.parts, len(corpus.vocabulary)
    if corpus.taxonomy is None:
        raise ConfigError("ECM learns from labelled pairs; set data.taxonomy")
    width = parts.width if parts.embedding else 0
    memory = parts.memory if parts.internal else 0
    faithful = parts.style == "faithful"
    core = networks.core(
        words,
        config.sizes,
        posts=corpus.post_words,
        emotion=width,
        internal=memory,
        reset_first=faithful,
    )
    external = None
    if parts.external:
        lists = [
            [i for i in corpus.vocabulary.ids(row) if i != UNK] for row in corpus.emotion_words
        ]
        if not any(lists):
            raise ConfigError("none of the emotion words is in the vocabulary; give parts.words")
        external = ExternalMemory(core.decoder.width, word_masks(lists, words))
    network = ECM(core, len(corpus.taxonomy.labels), width, memory, external, faithful=faithful)
    if faithful:
        network.start_unit_scaled()
    return network


def train(config: Config, out: Path) -> Path:
    """Train on the config's pairs; `out` becomes a model folder with checkpoints beside it."""
    parts = config.parts
    return fit_system(
        NAME,
        config,
        build,
        out,
        words=parts.words if parts.external else None,
        word_lists=parts.external,
        released=BUCKETS if parts.style == "faithful" else (),
    )


def load(
    model: str | None = None, *, device: str = "auto", config: Config | None = None
) -> Recurrent:
    """Load a trained model: a name of the zoo or a folder; "ecm-en" without one."""
    return load_folder(NAME, model, Config, build, device=device, config=config)


def tiny() -> Recurrent:
    """Return the system with random weights on a few words."""
    corpus = tiny_corpus("zh", "nlpcc")
    parts = Parts(width=8, memory=8)
    return Recurrent.of(NAME, "tiny", build, Config(sizes=tiny_sizes(), parts=parts), corpus)
