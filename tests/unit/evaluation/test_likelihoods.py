"""Likelihoods of single references: what is written and read again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotone.emotions import NLPCC, EmotionMix
from emotone.errors import DataError
from emotone.evaluation.likelihoods import read_likelihoods, write_likelihoods
from emotone.evaluation.perplexity import perplexity
from emotone.types import Capabilities, Decoding, Dialogue, Example, Reply


class Toy:
    """Finds references as likely as told."""

    def __init__(self, nats: float) -> None:
        self.capabilities, self.each = Capabilities(NLPCC), nats

    def reply(self, dialogues: Sequence[Dialogue], emotions: Sequence[Any], *, decoding: Decoding):
        return [Reply("yes", m, "toy", "x", decoding.seed, 1) for m in emotions]

    def nats(self, dialogues: Any, emotions: Any, texts: Sequence[str]) -> list[tuple[float, int]]:
        return [(self.each * (len(t.split()) + i % 2), len(t.split())) for i, t in enumerate(texts)]


def examples() -> list[Example]:
    joy = EmotionMix.parse("happiness", NLPCC)
    return [
        Example(f"t{i}", Dialogue.of(f"post {i}"), joy, f"answer {'again ' * (i % 3)}{i}", "zh")
        for i in range(12)
    ]


def test_likelihoods_are_those_of_the_command_and_hold_no_text(tmp_path: Path):
    twice = [*examples(), dataclasses.replace(examples()[3], id="again")]
    system = Toy(1.5)
    made = write_likelihoods(system, twice, tmp_path)
    plain: Any = system
    assert made.metrics["perplexity"] == perplexity(plain, twice).metrics["perplexity"]
    found = read_likelihoods(tmp_path / "nats.jsonl")
    assert list(found) == [e.id for e in twice]
    assert found["again"] == found["t3"]
    nats, tokens, characters = np.array(list(found.values())).T
    assert math.exp(nats.sum() / tokens.sum()) == pytest.approx(made.metrics["perplexity"].value)
    assert characters[0] == len(twice[0].reply or "")
    assert "answer" not in (tmp_path / "nats.jsonl").read_text(encoding="utf-8")
    with pytest.raises(DataError, match="two examples have one id"):
        write_likelihoods(system, [twice[0], twice[0]], tmp_path)
    with pytest.raises(DataError, match="has no reply"):
        write_likelihoods(system, [dataclasses.replace(twice[0], reply=" ")], tmp_path)
    (tmp_path / "nats.jsonl").write_text('{"id": "a"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"nats\.jsonl, line 1 has no id, nats"):
        read_likelihoods(tmp_path / "nats.jsonl")
