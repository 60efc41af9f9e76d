"""Both stages from a config to a folder that answers, on tiny models and a toy identifier."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from emotone.config import load as load_config
from emotone.data.examples import write_jsonl
from emotone.models.tiny import tiny_causal_lm
from emotone.systems import emprl
from emotone.systems.emprl import training
from emotone.systems.emprl.folder import read_card
from emotone.training.adapters import WEIGHTS
from emotone.types import Decoding, Dialogue, EmpathyLevels, Example

DECODING = Decoding(max_tokens=6, repetition_penalty=1.0, no_repeat=0)


class Toy:
    """Hears a question as exploration, and nothing else."""

    name = "toy"

    def read_contexts(self, contexts):
        return self

    def probabilities(self, at, responses):
        made = np.full((len(responses), 3, 3), 0.1)
        made[:, :, 0] = 0.8
        for i, text in enumerate(responses):
            if "?" in text:
                made[i, 2] = [0.1, 0.1, 0.8]
        return made

    def identify(self, at, responses):
        return [EmpathyLevels(0, 0, 2 if "?" in text else 0) for text in responses]


@pytest.fixture(autouse=True, scope="module")
def toy():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "open_identifier", lambda name, device: Toy())
        yield


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "train.jsonl"
    topics = ["dog", "cat", "job", "exam", "car", "son", "flat", "trip", "cake", "bike"]
    examples = [
        Example(f"{topic}-{n}", Dialogue.of(f"My {topic} is gone, number {n}."), reply=reply)
        for n in range(4)
        for topic in topics
        for reply in [f"Oh no, your {topic}!" if n % 2 else f"What was with the {topic}?"]
    ]
    write_jsonl(examples, path)
    return path


COMMON = """
[data]
train = "{file}"
dev_share = 0.2

[policy]
model = "{model}"
max_prompt = 64

[policy.new]
pieces = 90
width = 16
inner = 32
heads = 2
encoder_blocks = 1
decoder_blocks = 1

[policy.adapters]
rank = 2
alpha = 4.0

[base]
epochs = 1
batch = 16
device = "cpu"

[supervised]
epochs = 1
batch = 16
lr = 1e-3
device = "cpu"
threads = 1

[reinforce]
steps = 2
batch = 4
group = 2
rows_a_pass = 4
epochs = 1
evaluate_every = 1
save_every = 1
device = "cpu"
threads = 1

[reinforce.sampling]
max_tokens = 6
min_tokens = 1
"""


def config_of(tmp_path, file, model, *overrides):
    path = tmp_path / "config.toml"
    path.write_text(COMMON.format(file=file, model=model), encoding="utf-8")
    return load_config(emprl.Config, path, overrides)


def rows(place):
    return [json.loads(line) for line in (place / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory, file):
    """A folder with a new T5 that went through all stages."""
    folder = tmp_path_factory.mktemp("runs")
    assert emprl.train(config_of(folder, file, "new"), folder / "new") == folder / "new" / "ppo"
    return folder / "new"


def test_a_new_t5_goes_through_all_stages_and_answers(run):
    place = run / "ppo"
    for stage in ("base", "supervised", "ppo"):
        card = read_card(run / stage)
        assert (card.kind, card.stage) == ("seq2seq", stage)
        system = emprl.load(str(run / stage), device="cpu")
        made = system.reply([Dialogue.of("My dog is gone.")], [None], decoding=DECODING)[0]
        assert made.tokens >= 1
    assert read_card(run / "supervised").identifier == ""
    assert read_card(place).identifier == "empathy-reward"
    assert read_card(place).measured.steps == 2
    steps = [row for row in rows(place) if "reward" in row]
    assert [row["step"] for row in steps] == [1, 2]
    assert {"term/reaction", "term/interpretation", "term/exploration"} <= steps[0].keys()


def test_another_algorithm_starts_from_the_same_supervised_stage(run, file, monkeypatch):
    # A run folder of the name that stands for a new T5 is not the model that is learned from.
    monkeypatch.chdir(run.parent)
    out = Path("new")
    before = (out / "supervised" / "model.safetensors").read_bytes()
    log = (out / "supervised" / "log.jsonl").read_bytes()
    place = emprl.train(config_of(run.parent, file, "new", "reinforce.algorithm=rloo"), out)
    assert place == out / "rloo"
    assert (out / "supervised" / "model.safetensors").read_bytes() == before
    assert (out / "supervised" / "log.jsonl").read_bytes() == log
    first = [next(r for r in rows(out / stage) if "dev_nll" in r) for stage in ("ppo", "rloo")]
    assert first[0]["dev_nll"] == pytest.approx(first[1]["dev_nll"], abs=1e-6)


def test_a_chat_model_learns_by_adapters_and_keeps_its_weights(tmp_path, file):
    lm = tiny_causal_lm()
    folder = tmp_path / "chat"
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    out = tmp_path / "run"
    config = config_of(
        tmp_path,
        file,
        folder,
        "policy.max_prompt=160",
        "policy.system=Be kind.",
        "supervised.epochs=4",
        "supervised.lr=1e-2",
    )
    place = emprl.train(config, out)
    card = read_card(place)
    assert (card.kind, card.base, card.system) == ("causal", str(folder), "Be kind.")
    assert (place / WEIGHTS).is_file()
    assert not list(place.glob("model*.safetensors"))
    losses = [row["dev_loss"] for row in rows(out / "supervised") if "dev_loss" in row]
    assert losses[-1] < losses[0]
    system = emprl.load(str(place), device="cpu")
    assert system.reply([Dialogue.of("My dog is gone.")], [None], decoding=DECODING)


def test_the_reference_is_the_supervised_model(run):
    first = next(row for row in rows(run / "ppo") if "dev_kl" in row)
    assert first["step"] == 0
    assert first["dev_kl"] == pytest.approx(0.0, abs=1e-5)


def test_a_finished_run_is_left_as_it_is(run, file):
    place = run / "ppo"
    before = {p.name: p.read_bytes() for p in place.glob("*.safetensors")}
    assert before
    with torch.random.fork_rng():
        torch.manual_seed(5)
        assert emprl.train(config_of(run.parent, file, "new"), run) == place
    assert {p.name: p.read_bytes() for p in place.glob("*.safetensors")} == before
