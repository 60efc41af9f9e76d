"""Each system learns a made-up corpus whose right answers are known, and loads what it learnt."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emotone.data import synthetic
from emotone.emotions import EKMAN, EmotionMix
from emotone.recurrent.config import Data, Sizes
from emotone.recurrent.responder import Recurrent
from emotone.systems import a_seq2seq, ecm, emo_seq
from emotone.training import Training
from emotone.types import Decoding, Dialogue

GREEDY = Decoding(strategy="greedy", max_tokens=12)
SAMPLED = Decoding(temperature=0.7, max_tokens=12, seed=1)
SIZES = Sizes(embedding=24, encoder_hidden=24, hidden=48, dropout=0.1)
PARTS = ecm.Parts(width=16, memory=24)
SYSTEMS: dict[str, Any] = {
    "a_seq2seq": a_seq2seq,
    "ecm": ecm,
    "emo_seq": emo_seq,
}
#: Least share of right replies where the emotion is asked for.
LEAST = 0.95


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pool")
    synthetic.write(folder, 1200)
    return folder


def config(name: str, pool: Path, epochs: int, **parts: Any) -> Any:
    data = Data(pool / "train.jsonl", pool / "dev.jsonl", lang="en", taxonomy="ekman")
    how = Training(epochs=epochs, batch=32, lr=5e-3, patience=0, device="cpu", threads=1)
    made = SYSTEMS[name].Config(data=data, sizes=SIZES, training=how)
    if name == "ecm":
        return replace(made, parts=replace(PARTS, words=pool / "ememory.json", **parts))
    if name == "emo_seq":
        # On so small a corpus lambda 1 takes twice the epochs to the same replies.
        return replace(made, guide=emo_seq.Guide(width=16, weight=0.1, **parts))
    return made


def trained(name: str, settings: Any, out: Path) -> Recurrent:
    SYSTEMS[name].train(settings, out)
    return SYSTEMS[name].load(str(out), device="cpu")


def share_right(responder: Recurrent, pool: Path, decoding: Decoding) -> float:
    """Share of test posts, each in every emotion, that are answered right."""
    rows = [json.loads(line) for line in (pool / "test.jsonl").read_text("utf-8").splitlines()]
    posts = sorted({row["dialogue"][0]["text"] for row in rows})
    asked = [(post, label) for post in posts for label in EKMAN.labels]
    heard = responder.capabilities.taxonomy is not None
    moods = [EmotionMix.parse(label, EKMAN) if heard else None for _, label in asked]
    made = responder.reply([Dialogue.of(post) for post, _ in asked], moods, decoding=decoding)
    right = [synthetic.right(*pair, r.text) for pair, r in zip(asked, made, strict=True)]
    return sum(right) / len(right)


@pytest.mark.parametrize("name", ["ecm", "emo_seq"])
def test_a_few_steps_teach_that_the_asked_emotion_changes_the_reply(
    name: str, pool: Path, tmp_path: Path
):
    responder = trained(name, config(name, pool, 2), tmp_path / name)
    posts = [Dialogue.of("i saw a cat today ."), Dialogue.of("there is a lamp .")]
    for post in posts:
        moods = [EmotionMix.parse(label, EKMAN) for label in EKMAN.labels]
        made = responder.reply([post] * len(moods), moods, decoding=GREEDY)
        said = [set(r.text.lower().split()) for r in made]
        own = [set(synthetic.WORDS[label]) for label in EKMAN.labels]
        assert sum(bool(words & mine) for words, mine in zip(said, own, strict=True)) >= 6
        assert len({r.text for r in made}) >= 6


@pytest.mark.slow
def test_every_system_learns_the_corpus_and_two_of_them_the_emotion(pool: Path, tmp_path: Path):
    found: dict[str, dict[str, float]] = {}
    for name in SYSTEMS:
        begun = time.monotonic()
        responder = trained(name, config(name, pool, 12), tmp_path / name)
        found[name] = {how.strategy: share_right(responder, pool, how) for how in (GREEDY, SAMPLED)}
        manifest = json.loads((tmp_path / name / "manifest.json").read_text("utf-8"))
        found[name] |= {"dev": manifest["training"]["dev_loss"], "s": time.monotonic() - begun}
        if name == "emo_seq":
            assert manifest["classifier_accuracy"] >= LEAST
    for name in ("ecm", "emo_seq"):
        assert found[name]["greedy"] >= LEAST, found
        assert found[name]["sample"] >= LEAST, found
        assert found[name]["dev"] < found["a_seq2seq"]["dev"] - 0.2, found
    # A system that is not told the emotion is right by chance, once in seven.
    assert 0.1 < found["a_seq2seq"]["greedy"] < 0.2, found
