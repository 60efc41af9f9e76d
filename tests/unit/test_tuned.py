"""Tuned: what is learned, what is told, and the folder that comes of it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from emotone.config import load as load_config
from emotone.data.examples import write_jsonl
from emotone.emotions import EKMAN, EVERYDAY, NLPCC, EmotionMix
from emotone.errors import CheckpointError, ConfigError, DataError, ModelMissing
from emotone.lm.chat import FRIEND, system_prompt
from emotone.models.tiny import tiny_causal_lm
from emotone.models.zoo import trained_by
from emotone.rl.causal import CausalPolicy
from emotone.systems import tuned
from emotone.training.adapters import Adapters
from emotone.types import Decoding, Dialogue, Example

SAID = {"joy": "ha", "anger": "no", "neutral": "ok", None: "so"}
FAST = ("model=MODEL", "system=", "training.lr=0.01", "training.epochs=20", "training.batch=8",
        "training.patience=0", "training.device=cpu", "training.threads=1", "training.warmup=0",
        "data.dev_share=0.3", "adapters.rank=16", "adapters.alpha=16")  # fmt: skip


def examples(posts: int = 12) -> list[Example]:
    return [
        Example(
            f"{number}-{label}",
            Dialogue.of(f"post {number}"),
            None if label is None else EmotionMix.of({label: 100}, EVERYDAY),
            reply,
        )
        for number in range(posts)
        for label, reply in SAID.items()
    ]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_jsonl(examples(), tmp_path / "train.jsonl")
    return tmp_path / "train.jsonl"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("chat")
    lm = tiny_causal_lm()
    lm.model.save_pretrained(place)
    lm.tokenizer.save_pretrained(place)
    return place


def config_of(file: Path, model: Path, *more: str) -> tuned.Config:
    fast = [item.replace("MODEL", str(model)) for item in FAST]
    return load_config(tuned.Config, None, [f"data.train={file}", *fast, *more])


def test_it_learns_to_answer_in_what_it_is_told(file: Path, model: Path, tmp_path: Path) -> None:
    out = tuned.train(config_of(file, model), tmp_path / "run")
    system = tuned.load(str(out), device="cpu")
    assert [e.label for e in system.capabilities.taxonomy] == ["anger", "joy"]
    assert system.card.system == ""
    asked = {"joy": 100, "anger": 75}
    mixes = [EmotionMix.of({label: much}, EVERYDAY) for label, much in asked.items()]
    posts = [Dialogue.of("post 3")] * 2
    replies = system.reply(posts, mixes, decoding=Decoding(strategy="greedy", max_tokens=4))
    assert [reply.text for reply in replies] == ["ha", "no"]
    assert {reply.system for reply in replies} == {"tuned"}
    told = {label: system.nats(posts[:1], [mix], [SAID[label]])[0][0] for label, mix in
            zip(asked, mixes, strict=True)}  # fmt: skip
    other = system.nats(posts[:1], [mixes[0]], ["no"])[0][0]
    assert told["joy"] < other


def test_a_neutral_reply_is_learned_under_the_plain_prompt() -> None:
    lm = tiny_causal_lm()
    policy = CausalPolicy(lm.model, lm.tokenizer, adapters=Adapters(rank=1), values=False)
    config = tuned.Config(max_prompt=400)
    rows = tuned.token_pairs(policy, examples(40), config, seed=1)
    prompts = [lm.tokenizer.decode(ids) for ids in rows.prompts]
    by_label: dict[str | None, set[str]] = {}
    for label, prompt in zip(list(SAID) * 40, prompts, strict=True):
        by_label.setdefault(label, set()).add(prompt.split("post")[0])
    assert by_label["neutral"] == by_label[None]
    adverbs = ("rather", "very", "extremely")
    assert len(by_label["joy"]) == len(adverbs), "each intensity that is told was drawn"
    for prompt in by_label["joy"]:
        assert any(f"You are {adverb} happy" in prompt for adverb in adverbs)
    again = tuned.token_pairs(policy, examples(40), config, seed=1)
    assert again.prompts == rows.prompts
    half = EmotionMix.of({"joy": 20}, EVERYDAY)
    (row,) = tuned.token_pairs(
        policy, [Example("a", Dialogue.of("x"), half, "y")], config, seed=1
    ).prompts
    assert system_prompt(FRIEND, half) in lm.tokenizer.decode(row), "what a corpus says stays"


def test_the_loss_counts_the_reply_alone(file: Path, model: Path, tmp_path: Path) -> None:
    """Nats a token of the development replies, end token included, by the model as it is."""
    config = config_of(file, model, "training.lr=1e-12", "training.epochs=1")
    out = tuned.train(config, tmp_path / "run")
    system = tuned.load(str(out), device="cpu")
    learned, dev, _ = tuned.train_and_dev(
        file, None, tuned._with_replies, share=0.3, text_of=lambda e: e.dialogue.posts[0].text
    )
    assert {e.dialogue for e in learned}.isdisjoint({e.dialogue for e in dev})
    policy = CausalPolicy(
        tiny_causal_lm().model, system.lm.tokenizer, adapters=Adapters(rank=1), values=False
    )
    seed = tuned.seed_for(config.training.seed, "told") + 1
    rows = tuned.token_pairs(policy, dev, config, seed)
    nats = tokens = 0.0
    with torch.no_grad():
        for prompt, reply in zip(rows.prompts, rows.replies, strict=True):
            logits = system.lm.model(torch.tensor([prompt + reply[:-1]])).logits[0]
            at = logits[len(prompt) - 1 :].log_softmax(-1)
            nats -= float(at[range(len(reply)), reply].sum())
            tokens += len(reply)
    assert system.card.dev_nats == pytest.approx(nats / tokens, rel=1e-4)


def test_a_file_without_enough_is_refused(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    odd = [Example("a", Dialogue.of("x"), EmotionMix.of({"joy": 100}, EKMAN), "y")]
    write_jsonl(odd, path)
    assert tuned._with_replies(path), "Ekman's labels are everyday's too"
    with pytest.raises(DataError, match="data prepare everyday"):
        tuned.train(config_of(tmp_path / "none.jsonl", model), tmp_path / "run")
    with pytest.raises(DataError, match="leaves"):
        tuned.train(config_of(path, model), tmp_path / "run")


def test_one_setting_leaves_the_others_as_they_are() -> None:
    config = load_config(tuned.Config, None, ["adapters.top=2", "training.lr=0.5"])
    assert (config.adapters.top, config.adapters.targets) == (2, tuned.ALL_MAPS)
    assert (config.training.lr, config.training.epochs) == (0.5, 2)


def test_held_out_lines_and_files_without_emotions_are_not_learned(
    model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "held.jsonl"
    rows = [replace(e, id=f"{split}-{e.id}") for split in ("train-a", "test", "dev", "near")
            for e in examples(3)]  # fmt: skip
    write_jsonl(rows, path)
    assert {e.id[:7] for e in tuned._with_replies(path)} == {"train-a"}
    write_jsonl([replace(e, emotion=None) for e in examples()], path)
    with pytest.raises(DataError, match="has an emotion to be told"):
        tuned.train(config_of(path, model), tmp_path / "run")


def test_a_model_that_changed_below_its_adapters_is_refused(
    file: Path, model: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(model, base)
    out = tuned.train(config_of(file, base, "training.max_steps=1"), tmp_path / "run")
    assert tuned.load(str(out), device="cpu").card.emotions == ("anger", "joy")
    assert trained_by(out) == "tuned"
    with pytest.raises(ConfigError, match="no setting but batch"):
        tuned.load(str(out), config=tuned.Config(system="Be odd."))
    other = tiny_causal_lm(seed=5)
    other.model.save_pretrained(base)
    with pytest.raises(CheckpointError, match="train it anew"):
        tuned.load(str(out), device="cpu")
    shutil.rmtree(base)
    with pytest.raises(ModelMissing, match="put it back"):
        tuned.load(str(out), device="cpu")


def test_folders_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="no shipped weights"):
        tuned.load()
    with pytest.raises(CheckpointError, match="not a folder of tuned"):
        tuned.load(str(tmp_path))


def test_a_foreign_label_is_named(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    write_jsonl([Example("a", Dialogue.of("x"), EmotionMix.of({"like": 100}, NLPCC), "y")], path)
    with pytest.raises(DataError, match=r"example a of .* has the emotion 'like' of nlpcc"):
        tuned.train(config_of(path, model), tmp_path / "run")
