"""Emo-Seq: an emotion tag in encoder and decoder, and a frozen classifier that guides training.

    X' = {x_1 .. x_m, e_x}                                       tag after the post       (3-8)
    s_t = LSTM([e(y_{t-1}); c_{t-1}; e_y], s_{t-1})              emotion at every step    (3-9)
    c_t = sum_j softmax_j(s_t^T W_a h_j) h_j                     general attention        (3-4, 3-5)
    M(e | Y) = softmax(W_e (1/n) sum_t Emb(y_t))                 trained first, frozen    (3-12)
    Emb_new(t) = sum over kept words of P(y) Emb(y)              what is expected         (3-13)
    L = -sum_t log P(y_t)  +  lambda * -log M(e | Emb_new)                               (3-14, -16)

The sum over a reply's n words and the one classifier term stand in this proportion with
`guide.scale = "printed"`. Our default, "mean", divides the words by n and not the classifier, so
its lambda weighs n times as much (8.7 on the Chinese pairs): 0.1 there is 0.87 as printed
(docs/decisions/0016-lambda.md).

What the paper leaves open, and our choice: a word is kept with P >= 0.01, at least one
and at most 50 a step, and kept probabilities are scaled to sum to 1; the classifier term is one a
reply, as 3-15 pools over it, its n counting the step that expects the end; the tag e_x has a table
of its own and so has e_y. The classifier reads embeddings of its own that never change (the word
vectors where some are given), for a generator that tunes its classifier's input can please it
without saying anything. `joint = true` trains the classifier with the generator instead, as the
parent method's code does.

With lambda 0 this is "A-Seq2Seq + tag". Sizes: `configs/`; `small` takes the same encoder, cell and
attention as the systems it is compared with, `paper` those above.

Source: the Emo-Seq paper, equations in brackets; Song et al. 2019 (EmoDS) for the parent method.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from emotone.errors import ConfigError
from emotone.nn.decoder import State
from emotone.nn.expected import BagClassifier, expected_embeddings
from emotone.nn.losses import Losses
from emotone.nn.seq2seq import Batch, Seq2Seq, sum_rows
from emotone.recurrent import model as networks
from emotone.recurrent.bag import fit_bag
from emotone.recurrent.config import Data, Replies, Sizes
from emotone.recurrent.corpus import Corpus
from emotone.recurrent.fitting import fit_system
from emotone.recurrent.folder import load_folder
from emotone.recurrent.responder import Recurrent, tiny_corpus, tiny_sizes
from emotone.training import Training

NAME = "emo_seq"
#: Language -> its model in the zoo.
MODELS = {"zh": "emo_seq-zh", "en": "emo_seq-en"}


@dataclass(frozen=True, slots=True)
class Guide:
    """Emotion tags and the classifier's part in the loss.

    Args:
        weight: lambda of the classifier's loss; 0 leaves the classifier out.
        scale: "printed" weighs the classifier against the sum over the words of a reply, as the
            paper does (3-10, 3-16); "mean" against their mean, with which the same lambda is as
            many times larger as a reply has words.
        threshold: Least probability of a word that is kept in the expectation.
        most: Most words kept a step.
        renormalise: Whether kept probabilities are scaled to sum to 1.
        joint: Train the classifier together with the generator instead of before it.
        tag: Whether e_x follows the post.
        width: Width of e_y in every step's input; 0 leaves it out.
        epochs: Passes over the replies when the classifier is trained first.
    """

    weight: float = 0.1
    scale: Literal["mean", "printed"] = "mean"
    threshold: float = 0.01
    most: int = 50
    renormalise: bool = True
    joint: bool = False
    tag: bool = True
    width: int = 100
    epochs: int = 10

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 <= self.weight <= 100:
            raise ConfigError(f"weight is {self.weight}; use a number from 0 to 100")
        if not 0 <= self.threshold < 1:
            raise ConfigError(f"threshold is {self.threshold}; use 0 or more, below 1")
        if self.most < 1 or self.epochs < 1 or self.width < 0:
            raise ConfigError("most and epochs are 1 or more, width 0 or more")
        if not self.tag and not self.width:
            raise ConfigError("neither tag nor width says the emotion; set one of them")


@dataclass(frozen=True, slots=True)
class Config:
    """What is learnt, how, and how replies are chosen.

    Args:
        data: The pairs.
        sizes: Encoder and decoder.
        guide: Tags and classifier.
        training: The loop.
        replies: Choice among candidates.
        start: Model folder to begin from: its vocabulary, and its weights wherever name and shape
            are the same (ECM's `--pretrain_dir`); random weights without it.
    """

    data: Data = field(default_factory=Data)
    sizes: Sizes = field(default_factory=Sizes)
    guide: Guide = field(default_factory=Guide)
    training: Training = field(default_factory=Training)
    replies: Replies = field(default_factory=Replies)
    start: Path | None = None

    def __post_init__(self) -> None:
        """Check what the guide asks of the sizes."""
        if self.guide.weight and self.sizes.softmax == "sampled":
            raise ConfigError(
                "the classifier reads the whole distribution; set sizes.softmax = 'full' or"
                " guide.weight = 0"
            )


class EmoSeq(nn.Module):
    """Seq2Seq with emotion tags and a guiding classifier; see `recurrent.model.Network`.

    Args:
        core: Encoder, decoder and output layer.
        emotions: Number of emotions.
        guide: Tags and classifier.
        classifier: M(e | Y); None where `guide.weight` is 0.
    """

    def __init__(
        self, core: Seq2Seq, emotions: int, guide: Guide, classifier: BagClassifier | None
    ) -> None:
        super().__init__()
        self.core = core
        self.tag = nn.Embedding(emotions, core.source.embedding_dim) if guide.tag else None
        self.embedding = nn.Embedding(emotions, guide.width) if guide.width else None
        self.classifier = classifier
        self.guide = guide

    def encode(self, source: Tensor, lengths: Tensor, emotion: Tensor | None) -> State:
        """Read posts [B, S] of `lengths` words [B], in emotions [B].

        Raises:
            ValueError: If no emotions came.
        """
        if emotion is None:
            raise ValueError("Emo-Seq answers in an emotion; give one for each row")
        core = self.core
        source, lengths = core.hold_back(source, lengths)
        embedded = core.source(source)
        if self.tag is not None:
            rows, size, d = embedded.shape
            at = lengths.to(source.device, non_blocking=True)
            wide = torch.cat((embedded, embedded.new_zeros(rows, 1, d)), 1)
            here = torch.arange(size + 1, device=source.device) == at[:, None]
            embedded = torch.where(here[..., None], self.tag(emotion)[:, None], wide)
            lengths = lengths + 1
        feeling = None if self.embedding is None else self.embedding(emotion)
        return core.decoder.start(core.read(embedded, lengths), feeling)

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """Take words [B]; return logits [B, V] and the next state."""
        features, state = self.core.step(token, state)
        return self.core.logits(features), state

    def nll(self, batch: Batch) -> Tensor:
        """Return -log p of each reply in its emotion, in nats, [B]."""
        state = self.encode(batch.source, batch.source_lengths, batch.emotion)
        predicted = self.core.predict(batch, state)
        _, nll = self.core.word_loss(predicted.features, predicted.target)
        return sum_rows(nll, predicted.row, len(batch.source))

    def forward(self, batch: Batch) -> Losses:
        """Return equation 3-16 of a batch, as sums.

        Words are over tokens. With the printed scale the classifier is too: a batch's sum of 3-16
        over its replies, divided by its number of tokens as every system's loss is; with "mean"
        it is over rows.
        """
        core, rows = self.core, len(batch.source)
        state = self.encode(batch.source, batch.source_lengths, batch.emotion)
        predicted = core.predict(batch, state)
        if self.classifier is None:
            loss, nll = core.word_loss(predicted.features, predicted.target)
            zero = loss.new_zeros(())
            return Losses(loss, len(predicted.target), zero, rows, {"nll": nll.sum()})
        loss, nll, expected = expected_embeddings(
            predicted.features,
            core.weight,
            core.bias,
            predicted.target,
            self.classifier.embedding,
            threshold=self.guide.threshold,
            most=self.guide.most,
            renormalise=self.guide.renormalise,
        )
        lengths = batch.target_lengths.to(expected.device, non_blocking=True)
        mean = expected.new_zeros(rows, expected.shape[1]).index_add(0, predicted.row, expected)
        guide_loss = cross_entropy(
            self.classifier(mean / lengths[:, None]), batch.emotion, reduction="sum"
        )
        logged = {"nll": nll.sum(), "emotion": guide_loss.detach()}
        weighted = self.guide.weight * guide_loss
        if self.guide.scale == "printed":
            return Losses(loss + weighted, len(predicted.target), loss.new_zeros(()), rows, logged)
        return Losses(loss, len(predicted.target), weighted, rows, logged)


def build(config: Config, corpus: Corpus) -> EmoSeq:
    """Build the network for a vocabulary and its emotions; the classifier is untrained.

    Raises:
        ConfigError: If the corpus has no emotions.
    """
    if corpus.taxonomy is None:
        raise ConfigError("Emo-Seq learns from labelled pairs; set data.taxonomy")
    emotions, guide = len(corpus.taxonomy.labels), config.guide
    core = networks.core(
        len(corpus.vocabulary), config.sizes, posts=corpus.post_words, emotion=guide.width
    )
    classifier = None
    if guide.weight:
        classifier = BagClassifier(core.target.weight.detach().clone(), emotions)
        if not guide.joint:
            classifier.requires_grad_(False)
    return EmoSeq(core, emotions, guide, classifier)


def prepare(network: EmoSeq, config: Config, corpus: Corpus) -> dict[str, float]:
    """Train the classifier on the labelled replies and freeze it; return what to write down."""
    if network.classifier is None:
        return {}
    if config.guide.joint:
        if corpus.vectors is not None:
            network.classifier.embedding.copy_(torch.from_numpy(corpus.vectors))
        return {}
    return fit_bag(
        network.classifier,
        corpus,
        epochs=config.guide.epochs,
        seed=config.training.seed,
        tune=corpus.vectors is None,
    )


def train(config: Config, out: Path) -> Path:
    """Train on the config's pairs; `out` becomes a model folder with checkpoints beside it."""
    return fit_system(NAME, config, build, out, prepare=prepare)


def load(
    model: str | None = None, *, device: str = "auto", config: Config | None = None
) -> Recurrent:
    """Load a trained model: a name of the zoo or a folder; "emo_seq-en" without one."""
    return load_folder(NAME, model, Config, build, device=device, config=config)


def tiny() -> Recurrent:
    """Return the system with random weights on a few words."""
    corpus = tiny_corpus("en", "ekman")
    return Recurrent.of(NAME, "tiny", build, Config(sizes=tiny_sizes()), corpus)
