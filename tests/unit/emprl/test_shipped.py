"""The policies that the zoo ships: small, with cards, and they answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from recipes.emprl.pack import CARD, FILES, WEIGHTS
from safetensors.torch import load_file

from emotone.models import zoo
from emotone.models.catalog import known
from emotone.systems import emprl
from emotone.systems.emprl.folder import read_card
from emotone.systems.emprl.policy import DEFAULT
from emotone.types import Decoding, Dialogue

LARGEST = 22_000_000  # bytes, all together


@pytest.fixture
def shipped() -> list[Path]:
    names = [n for n in zoo.listed("systems") if n.startswith("emprl-")]
    if not names:
        pytest.skip("the zoo ships no policy of EmpRL")
    return [zoo.folder("systems", name) for name in names]


def test_the_default_is_among_them(shipped):
    assert DEFAULT in [folder.name for folder in shipped]


def test_each_is_whole_and_all_are_small(shipped):
    total = 0
    for folder in shipped:
        card = read_card(folder)
        files = {p.name: p.stat().st_size for p in folder.iterdir()}
        weights = WEIGHTS[card.kind]
        assert set(files) == {*FILES[card.kind], weights, "config.toml", CARD}, folder.name
        assert {v.dtype for v in load_file(folder / weights).values()} == {torch.float16}
        assert card.identifier == "empathy-reward"
        assert (card.base in known()) == (card.kind == "causal")
        text = (folder / CARD).read_text(encoding="utf-8")
        for piece in (folder.name, "CC BY-NC 4.0", "academic research only", "## Scores"):
            assert piece in text, (folder.name, piece)
        total += sum(files.values())
    assert total < LARGEST


def test_a_t5_among_them_answers_from_the_zoo(shipped):
    for folder in shipped:
        if read_card(folder).kind == "seq2seq":
            system = emprl.load(folder.name, device="cpu")
            (reply,) = system.reply([Dialogue.of("My dog died.")], [None], decoding=Decoding())
            assert reply.model == folder.name
            assert len(reply.text.split()) > 2
