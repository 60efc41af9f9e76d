"""Identifiers of empathy: levels of EPITOME's three mechanisms, with calibrated probabilities.

A folder holds an identifier: `judge.json` says how it is built and how it decides,
`weights.safetensors` has what was trained. The pretrained encoder comes from the catalogue.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from emotone.errors import CheckpointError, ConfigError
from emotone.types import MECHANISMS, EmpathyLevels, JudgeName

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from emotone.judges.identifier_net import IdentifierNet

CARD = "judge.json"
WEIGHTS = "weights.safetensors"
KIND = "identifier"
FORMAT = 1
#: Pairs whose contexts' states are held at once.
_PART = 512


@dataclass(frozen=True, slots=True)
class IdentifierCard:
    """What an identifier says about itself in `judge.json`.

    Args:
        name: Name in the zoo, such as "empathy-score".
        version: Raised whenever the weights change.
        role: "score" is for results only, "reward" may train.
        parts: One `IdentifierSpec` a network, as a table.
        temperatures: Divides the level logits of each mechanism; fitted on held-out pairs.
        offsets: Added to the log-probabilities of levels 0, 1 and 2 where one level has to be
            chosen, so that a rare level is found; probabilities are left alone.
        weights: sha256 of the weights file; empty before it is written.
        data: What it was trained on.
        kind: Always "identifier".
        format: Version of this file's shape.
    """

    name: str
    version: int
    role: Literal["score", "reward"]
    parts: tuple[dict[str, Any], ...]
    temperatures: dict[str, float]
    offsets: dict[str, tuple[float, float, float]]
    weights: str = ""
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    kind: str = KIND
    format: int = FORMAT


@dataclass(frozen=True, slots=True, eq=False)
class TrainedIdentifier:
    """Networks that together score every mechanism once; load one with `load_identifier`.

    Args:
        card: What it says about itself.
        nets: One network for all mechanisms, or several that share them out.
        batch: Texts a forward pass; on a CPU, padding costs more than few rows do.
    """

    card: IdentifierCard
    nets: tuple[IdentifierNet, ...]
    batch: int = 8

    def __post_init__(self) -> None:
        """Check that each mechanism is scored once and has its numbers."""
        from emotone.judges.identifier_net import LEVELS

        scored = sorted(m for net in self.nets for m in net.spec.mechanisms)
        if scored != sorted(MECHANISMS):
            raise ConfigError(
                f"the networks score {', '.join(scored) or 'nothing'}; "
                f"each of {', '.join(MECHANISMS)} has to be scored once"
            )
        for mechanism in MECHANISMS:
            temperature = self.card.temperatures.get(mechanism)
            if not _finite(temperature) or temperature <= 0:
                raise ConfigError(
                    f"temperature of {mechanism} is {temperature}; use a number above 0"
                )
            shift = self.card.offsets.get(mechanism, ())
            if len(shift) != LEVELS or not all(map(_finite, shift)):
                raise ConfigError(f"offsets of {mechanism} are {shift}; use three finite numbers")

    @property
    def name(self) -> str:
        """Name for signatures: name, version and the first digits of the card's checksum."""
        from emotone.judges.card import card_hash

        return str(JudgeName(self.card.name, self.card.version, card_hash(asdict(self.card))))

    def read_contexts(self, contexts: Sequence[str]) -> ContextStates:
        """Read contexts once, so that responses to them can be scored; equal ones are read once.

        The states of a context of 96 tokens take some 150 kB, so read thousands in parts.
        """
        from emotone.judges.context_states import context_states

        different = list(dict.fromkeys(contexts))
        place = {text: i for i, text in enumerate(different)}
        states: list[list[Tensor]] = []
        for net in self.nets:
            of_net = context_states(net, different, batch=self.batch)
            states.append([of_net[place[text]] for text in contexts])
        return ContextStates(self, tuple(states))

    def identify(self, pairs: Sequence[tuple[str, str]]) -> list[EmpathyLevels]:
        """Choose the levels of each (context, response), in order."""
        return self.decide(self.probabilities(pairs))

    def decide(self, probabilities: np.ndarray) -> list[EmpathyLevels]:
        """Choose levels from `probabilities`, [N, 3, 3]."""
        chosen = [
            decide(probabilities[:, i], self.card.offsets[m]) for i, m in enumerate(MECHANISMS)
        ]
        return [EmpathyLevels(*map(int, row)) for row in zip(*chosen, strict=True)]

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """Calibrated probabilities, [N, 3, 3]: pairs, mechanisms in `MECHANISMS`' order, levels.

        A context that stands in several pairs is read once.
        """
        import numpy as np

        from emotone.judges.identifier_net import LEVELS

        out = np.zeros((len(pairs), len(MECHANISMS), LEVELS))
        for part in _by_context(pairs):
            states = self.read_contexts([pairs[i][0] for i in part])
            out[part] = states.probabilities(range(len(part)), [pairs[i][1] for i in part])
        return out


def _by_context(pairs: Sequence[tuple[str, str]]) -> list[list[int]]:
    """Part pairs so that a context's responses stand together, in parts of some `_PART` pairs."""
    groups: dict[str, list[int]] = {}
    # Parts of pairs of like length hold little padding.
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]))
    for i in order:
        groups.setdefault(pairs[i][0], []).append(i)
    parts: list[list[int]] = []
    for rows in groups.values():
        if not parts or len(parts[-1]) >= _PART:
            parts.append([])
        parts[-1] += rows
    return parts


@dataclass(frozen=True, slots=True, eq=False)
class ContextStates:
    """Contexts that an identifier has read once, so that responses to them cost only their own.

    Responses of one call share forward passes with one another and with those of no other call,
    so what a call returns depends on nothing that was asked before.

    Args:
        judge: The identifier.
        states: States of each context by network, tensors [C, d].
    """

    judge: TrainedIdentifier
    states: tuple[Sequence[Tensor], ...]

    def probabilities(self, at: Sequence[int], responses: Sequence[str]) -> np.ndarray:
        """Calibrated probabilities of responses, [N, 3, 3]: mechanisms, then levels.

        Args:
            at: Which of the contexts each response answers.
            responses: The responses.
        """
        import numpy as np

        from emotone.judges.calibration import softmax
        from emotone.judges.context_states import response_logits
        from emotone.judges.identifier_net import LEVELS

        out = np.zeros((len(responses), len(MECHANISMS), LEVELS))
        for net, states in zip(self.judge.nets, self.states, strict=True):
            of_net = response_logits(net, states, at, responses, batch=self.judge.batch)
            for mechanism, logits in of_net.items():
                temperature = self.judge.card.temperatures[mechanism]
                out[:, MECHANISMS.index(mechanism)] = softmax(logits, temperature)
        return out

    def identify(self, at: Sequence[int], responses: Sequence[str]) -> list[EmpathyLevels]:
        """Choose the levels of each response; arguments are those of `probabilities`."""
        return self.judge.decide(self.probabilities(at, responses))


def _finite(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def decide(probabilities: np.ndarray, offsets: Sequence[float] | np.ndarray) -> np.ndarray:
    """Choose levels [N]: the argmax of log-probability plus offset, of probabilities [N, 3]."""
    import numpy as np

    # A probability of 0 would have a logarithm that no offset could be weighed against.
    return (np.log(np.maximum(probabilities, 1e-30)) + np.asarray(offsets)).argmax(-1)


def level_logits(
    net: IdentifierNet, pairs: Sequence[tuple[str, str]], *, batch: int = 8
) -> dict[str, np.ndarray]:
    """Level logits of each mechanism of a network, [N, 3] in float64, in the pairs' order.

    A context that stands in several pairs is read once; see `response_logits`.
    """
    import numpy as np

    from emotone.judges.context_states import context_states, response_logits

    out = {m: np.zeros((len(pairs), 3)) for m in net.spec.mechanisms}
    for part in _by_context(pairs):
        different = list(dict.fromkeys(pairs[i][0] for i in part))
        states = context_states(net, different, batch=batch)
        at = [different.index(pairs[i][0]) for i in part]
        of_part = response_logits(net, states, at, [pairs[i][1] for i in part], batch=batch)
        for mechanism, logits in of_part.items():
            out[mechanism][part] = logits
    return out


def save_identifier(folder: Path, card: IdentifierCard, nets: Sequence[IdentifierNet]) -> None:
    """Write an identifier in training: only what was trained, in half precision.

    Args:
        folder: Where to; made if it is not there.
        card: What it says about itself; `parts` and `weights` are filled in here.
        nets: Its networks, opened with `trained=True`.

    Raises:
        ConfigError: If a network was loaded from a folder; copy the folder instead.
    """
    from dataclasses import replace

    from safetensors.torch import save

    from emotone.files import replacing, write_json

    tensors = {f"{i}.{k}": v for i, net in enumerate(nets) for k, v in trained_parts(net).items()}
    weights = save(tensors)
    card = replace(
        card,
        parts=tuple(asdict(net.spec) for net in nets),
        weights=hashlib.sha256(weights).hexdigest(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / WEIGHTS) as path:
        path.write_bytes(weights)
    write_json(folder / CARD, asdict(card))


def trained_parts(net: IdentifierNet) -> dict[str, Tensor]:
    """Collect what training changed, in float16: `heads.*`, and of each trunk what it trains.

    Raises:
        ConfigError: If the low-rank change is merged already, and so cannot be told apart.
    """
    from emotone.judges.trunk import low_rank_change

    parts = {f"heads.{k}": v for k, v in net.heads.state_dict().items()}
    for place, trunk in net.trunks().items():
        if net.spec.rank is None:
            parts |= {f"{place}.{k}": v for k, v in trunk.model.state_dict().items()}
        elif net.spec.rank:
            change = low_rank_change(trunk)
            if not change:
                raise ConfigError(
                    "the low-rank change of this network is merged; save the one that was trained"
                )
            parts |= {f"{place}.{k}": v for k, v in change.items()}
    # A clone each: tied weights share memory, which safetensors refuses.
    return {k: v.detach().half().contiguous().clone() for k, v in parts.items()}


def load_identifier(folder: Path, *, batch: int = 8, device: str = "cpu") -> TrainedIdentifier:
    """Load an identifier from its folder, its low-rank change merged into the encoder.

    Args:
        folder: The folder.
        batch: Texts a forward pass.
        device: Where its networks are.

    Raises:
        CheckpointError: If a file is missing, damaged, or does not fit the encoder.
        ModelMissing: If the encoder is not here and cannot be fetched.
    """
    from safetensors.torch import load

    from emotone import config
    from emotone.judges.identifier_net import IdentifierSpec, open_net

    card, weights = _read(folder)
    specs = [config.build(IdentifierSpec, p, f"{folder.name}/{CARD}") for p in card.parts]
    tensors = load(weights)
    nets: list[IdentifierNet] = []
    for i, spec in enumerate(specs):
        net = open_net(spec, trained=False)
        try:
            _fill(net, _under(tensors, f"{i}."))
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"the weights of {folder.name!r} do not fit {spec.backbone} ({error}); "
                "fetch or train them anew"
            ) from error
        nets.append(net.to(device).eval().requires_grad_(False))
    return TrainedIdentifier(card, tuple(nets), batch)


def _fill(net: IdentifierNet, tensors: Mapping[str, Tensor]) -> None:
    from emotone.judges.trunk import merge

    net.heads.load_state_dict(_under(tensors, "heads."))
    for place, trunk in net.trunks().items():
        change = _under(tensors, f"{place}.")
        if net.spec.rank is None:
            trunk.model.load_state_dict(change)
        else:
            merge(trunk, change)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k[len(prefix) :]: v.float() for k, v in tensors.items() if k.startswith(prefix)}


def _read(folder: Path) -> tuple[IdentifierCard, bytes]:
    from emotone import config

    try:
        row = json.loads((folder / CARD).read_text(encoding="utf-8"))
        weights = (folder / WEIGHTS).read_bytes()
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"identifier {folder.name!r} cannot be read ({error}); fetch or train it anew"
        ) from error
    if not isinstance(row, dict) or (row.get("kind"), row.get("format")) != (KIND, FORMAT):
        raise CheckpointError(
            f"{folder.name}/{CARD} is not of an identifier of format {FORMAT}; name a folder that "
            "holds one"
        )
    card = config.build(IdentifierCard, row, f"{folder.name}/{CARD}")
    if hashlib.sha256(weights).hexdigest() != card.weights:
        raise CheckpointError(
            f"the weights of identifier {folder.name!r} are damaged; fetch or train them anew"
        )
    return card, weights
