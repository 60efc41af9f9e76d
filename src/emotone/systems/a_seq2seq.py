"""A-Seq2Seq: sequence to sequence with attention, the yardstick.

    s_t = GRU(s_{t-1}, [c_{t-1}; e(y_{t-1})])       c_t = attention(s_t)
    p(y_t) = softmax(W_o [s_t; c_t])                L = -sum_t log p(y_t)

It takes no emotion: asking for one raises, and its emotion accuracy is that of chance. Fed with
the emotion as a tag it is `emo_seq` with the classifier's weight at 0.

Where we leave the source: neither paper says the baseline's sizes, so encoder, decoder, embeddings
and vectors are those of the systems it is compared with (`configs/`), and a difference is the
system's. Some posts are held back in training (`sizes.blank`), for choosing among candidates.

Source: Bahdanau et al. 2015; the baseline of Zhou et al. 2018 (ECM), table 4 and equations 1 to 3,
and of Emo-Seq, table 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from emotone.nn.decoder import State
from emotone.nn.losses import Losses
from emotone.nn.seq2seq import Batch, Seq2Seq, sum_rows
from emotone.recurrent import model as networks
from emotone.recurrent.config import Data, Replies, Sizes
from emotone.recurrent.corpus import Corpus
from emotone.recurrent.fitting import fit_system
from emotone.recurrent.folder import load_folder
from emotone.recurrent.responder import Recurrent, tiny_corpus, tiny_sizes
from emotone.training import Training

NAME = "a_seq2seq"
#: Language -> its model in the zoo.
MODELS = {"zh": "a_seq2seq-zh", "en": "a_seq2seq-en"}


@dataclass(frozen=True, slots=True)
class Config:
    """What is learnt, how, and how replies are chosen.

    Args:
        data: The pairs.
        sizes: Encoder and decoder.
        training: The loop.
        replies: Choice among candidates.
        start: Model folder to begin from: its vocabulary, and its weights wherever name and shape
            are the same (ECM's `--pretrain_dir`); random weights without it.
    """

    data: Data = field(default_factory=Data)
    sizes: Sizes = field(default_factory=Sizes)
    training: Training = field(default_factory=Training)
    replies: Replies = field(default_factory=Replies)
    start: Path | None = None


class ASeq2Seq(nn.Module):
    """Encoder and attention decoder, nothing else; see `emotone.recurrent.model.Network`."""

    def __init__(self, core: Seq2Seq) -> None:
        super().__init__()
        self.core = core

    def encode(self, source: Tensor, lengths: Tensor, emotion: Tensor | None) -> State:
        """Read posts; the emotion must be None, for there is nothing that could hear it."""
        if emotion is not None:
            raise ValueError("A-Seq2Seq takes no emotion")
        return self._start(source, lengths)

    def _start(self, source: Tensor, lengths: Tensor) -> State:
        core = self.core
        source, lengths = core.hold_back(source, lengths)
        return core.decoder.start(core.read(core.source(source), lengths))

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """Take words [B]; return logits [B, V] and the next state."""
        features, state = self.core.step(token, state)
        return self.core.logits(features), state

    def nll(self, batch: Batch) -> Tensor:
        """Return -log p of each reply in nats, [B]."""
        predicted = self.core.predict(batch, self._start(batch.source, batch.source_lengths))
        _, nll = self.core.word_loss(predicted.features, predicted.target)
        return sum_rows(nll, predicted.row, len(batch.source))

    def forward(self, batch: Batch) -> Losses:
        """Return the cross entropy of a batch; its emotions are not looked at."""
        predicted = self.core.predict(batch, self._start(batch.source, batch.source_lengths))
        loss, nll = self.core.word_loss(predicted.features, predicted.target)
        return Losses(
            loss, len(predicted.target), loss.new_zeros(()), len(batch.source), {"nll": nll.sum()}
        )


def build(config: Config, corpus: Corpus) -> ASeq2Seq:
    """Build the network for a vocabulary."""
    return ASeq2Seq(networks.core(len(corpus.vocabulary), config.sizes, posts=corpus.post_words))


def train(config: Config, out: Path) -> Path:
    """Train on the config's pairs; `out` becomes a model folder with checkpoints beside it."""
    return fit_system(NAME, config, build, out, emotional=False)


def load(
    model: str | None = None, *, device: str = "auto", config: Config | None = None
) -> Recurrent:
    """Load a trained model: a name of the zoo or a folder; "a_seq2seq-en" without one."""
    return load_folder(NAME, model, Config, build, device=device, config=config)


def tiny() -> Recurrent:
    """Return the system with random weights on a few words."""
    corpus = tiny_corpus("en", None)
    return Recurrent.of(NAME, "tiny", build, Config(sizes=tiny_sizes()), corpus)
