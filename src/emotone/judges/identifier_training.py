"""Training of an identifier of empathy as EmpRL has it: a network with two encoders a mechanism.

The shipped identifiers are smaller and are made by a recipe; this trains the paper's on any
labelled pairs, such as those of `emotone data prepare epitome`.

Source: EmpRL (arXiv 2408.02976). Its training of the identifiers was not released; batch, learning
rate and epochs are those of LEMPEx, whose trainer its folders point to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

from emotone.config import comparable
from emotone.data.batch import plan
from emotone.data.reading import Problems
from emotone.data.source import read_file
from emotone.data.split import train_and_dev
from emotone.errors import ConfigError, DataError
from emotone.judges.identifier import IdentifierCard, level_logits, save_identifier
from emotone.judges.identifier_net import IdentifierNet, IdentifierSpec, open_net, paper_specs
from emotone.nn.losses import Losses
from emotone.training.log import note
from emotone.training.loop import fit
from emotone.training.seeding import seed_for
from emotone.training.settings import Training
from emotone.types import MECHANISMS, Example

#: Pairs of a batch of development data.
DEV_BATCH = 32


@dataclass(frozen=True, slots=True)
class Data:
    """What is learned from.

    Args:
        train: Examples with a reply and its levels of empathy.
        dev: The same, to choose the best weights by; None keeps `dev_share` of the posts apart.
        dev_share: Share of posts kept apart, by a hash of their text.
    """

    train: Path = Path("out/judges/epitome.jsonl")
    dev: Path | None = None
    dev_share: float = 0.1

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 < self.dev_share < 0.5:
            raise ConfigError(f"data: dev_share is {self.dev_share}; use above 0 and below 0.5")


@dataclass(frozen=True, slots=True)
class Config:
    """An identifier with EmpRL's networks.

    Args:
        name: What its labels are signed with.
        role: What it may be used for: "reward" trains, "score" measures.
        backbone: The encoder of each text: a T5 of the hub, or a folder.
        max_context: Longest context in tokens; the end is kept.
        max_response: Longest response in tokens.
        data: The labelled pairs.
        training: How. The learning rate falls in a line to 0 at the last step unless
            `training.linear` says another.
    """

    name: str = "empathy-paper"
    role: Literal["reward", "score"] = "reward"
    backbone: str = "t5-base"
    max_context: int = 250
    max_response: int = 250
    data: Data = field(default_factory=Data)
    training: Training = field(
        default_factory=lambda: Training(epochs=12, batch=8, lr=1e-5, clip=1.0, patience=0)
    )

    @property
    def specs(self) -> tuple[IdentifierSpec, ...]:
        """The networks."""
        limits = {"max_context": self.max_context, "max_response": self.max_response}
        return tuple(replace(spec, **limits) for spec in paper_specs(self.backbone))


class LabelledPairs(NamedTuple):
    """Pairs as tokens, and the levels of one mechanism.

    Args:
        context: Token ids, [B, C], and
        context_mask: True at real ones.
        response: Token ids, [B, R], and
        response_mask: True at real ones.
        level: Of each pair, [B].
    """

    context: Tensor
    context_mask: Tensor
    response: Tensor
    response_mask: Tensor
    level: Tensor

    def to(self, device: torch.device | str) -> Self:
        """Move all tensors."""
        return self._make(value.to(device) for value in self)


class Learner(nn.Module):
    """A network of one mechanism, which learns its levels by cross entropy."""

    def __init__(self, net: IdentifierNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, pairs: LabelledPairs) -> Losses:
        """Return the loss of a batch; a pair counts as one token."""
        (evidence,) = self.net(*pairs[:4]).values()
        loss = nn.functional.cross_entropy(evidence.levels, pairs.level, reduction="sum")
        rows = len(pairs.level)
        right = (evidence.levels.argmax(-1) == pairs.level).sum()
        return Losses(loss, rows, loss.new_zeros(()), rows, {"accuracy": right.detach()})


def train_identifier(config: Config, out: Path) -> Path:
    """Train the network of each mechanism, and write the identifier's folder.

    Run again after a kill, it goes on where it stood.

    Args:
        config: How.
        out: The folder, which `--judge` and `identifier` take; checkpoints lie in it too.

    Returns:
        `out`.

    Raises:
        EmotoneError: As reading, `open_net` and `training.loop.fit`.
    """
    train, dev, hashes = _read(config.data)
    nets = [_network(config, i, train, dev, out, hashes) for i in range(len(MECHANISMS))]
    figures: dict[str, Any] = {}
    for i, (mechanism, net) in enumerate(zip(MECHANISMS, nets, strict=True)):
        predicted = level_logits(net, _texts(dev))[mechanism].argmax(-1)
        gold = _levels(dev, i)
        figures[mechanism] = {
            "accuracy": round(float((predicted == gold).mean()), 4),
            "largest_level": round(float(np.bincount(gold).max() / len(gold)), 4),
        }
        note(
            f"{mechanism}: accuracy {figures[mechanism]['accuracy']} on {len(gold)} development"
            f" pairs, of which the largest level has {figures[mechanism]['largest_level']}"
        )
    card = IdentifierCard(
        config.name,
        1,
        config.role,
        (),
        # The authors' probabilities are the softmax itself, and the likeliest level is chosen.
        temperatures=dict.fromkeys(MECHANISMS, 1.0),
        offsets=dict.fromkeys(MECHANISMS, (0.0, 0.0, 0.0)),
        data={"files": hashes, "pairs": len(train), "dev_pairs": len(dev), "dev": figures},
    )
    save_identifier(out, card, nets)
    return out


def _network(
    config: Config,
    index: int,
    train: Sequence[Example],
    dev: Sequence[Example],
    out: Path,
    hashes: dict[str, str],
) -> IdentifierNet:
    settings, spec, mechanism = config.training, config.specs[index], MECHANISMS[index]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed_for(settings.seed, "weights", index))
        net = open_net(spec)
    steps = settings.epochs * -(-len(train) // settings.batch)
    settings = replace(settings, linear=settings.linear or steps)
    note(f"{mechanism}: {len(train)} pairs to learn")

    def collated(examples: Sequence[Example]) -> Any:
        tokens, levels = net.tokens(_texts(examples)), torch.from_numpy(_levels(examples, index))
        contexts, responses = (np.array([len(pair[side]) for pair in tokens]) for side in (0, 1))

        def collate(rows: np.ndarray) -> LabelledPairs:
            context, response = (
                net.response.pad([tokens[i][side] for i in rows]) for side in (0, 1)
            )
            return LabelledPairs(*context, *response, levels[torch.from_numpy(rows)])

        return contexts, responses, collate

    contexts, responses, collate = collated(train)
    dev_contexts, dev_responses, collate_dev = collated(dev)
    fit(
        Learner(net),
        train_plan=lambda epoch: plan(
            contexts, responses, settings.batch, seed_for(settings.seed, "plan"), epoch
        ),
        collate=collate,
        dev_batches=lambda: map(collate_dev, plan(dev_contexts, dev_responses, DEV_BATCH, 0, 0)),
        settings=settings,
        out=out / mechanism,
        depends_on={"data": hashes, "network": comparable(asdict(spec))},
    )
    return net.cpu().eval()


def _read(data: Data) -> tuple[list[Example], list[Example], dict[str, str]]:
    train, dev, hashes = train_and_dev(
        data.train,
        data.dev,
        _labelled,
        share=data.dev_share,
        text_of=lambda example: example.dialogue.posts[-1].text,
    )
    if not train or not dev:
        raise DataError(
            f"{data.train.name} leaves {len(train)} pairs to learn from and {len(dev)} to choose"
            " by; give more, or a file of its own with data.dev"
        )
    return train, dev, hashes


def _labelled(path: Path) -> list[Example]:
    if not path.is_file():
        raise DataError(
            f"there is no file {path}; make it with `emotone data prepare epitome --from FOLDER"
            " --output FILE`, or name another with data.train"
        )
    examples = list(read_file(path, Problems()))
    for example in examples:
        if example.reply is None or example.empathy is None:
            raise DataError(
                f"{path.name}: example {example.id!r} has no reply with levels of empathy; leave"
                " it out"
            )
    return examples


def _texts(examples: Sequence[Example]) -> list[tuple[str, str]]:
    return [(" ".join(p.text for p in e.dialogue.posts), e.reply or "") for e in examples]


def _levels(examples: Sequence[Example], mechanism: int) -> np.ndarray:
    """Levels of one mechanism, [N] int64."""
    name = MECHANISMS[mechanism]
    return np.array([getattr(e.empathy, name) for e in examples], dtype=np.int64)
