from __future__ import annotations

import dataclasses
import signal

import pytest
import torch

from emotone.emotions import EmotionMix
from emotone.errors import CheckpointError, ConfigError, DataError
from emotone.lm.chat import prompt_ids
from emotone.models.tiny import tiny_causal_lm
from emotone.steering.extract import METHODS, ExtractSettings, extract
from emotone.steering.fit import FitSettings, encode, fit
from emotone.steering.listen import listener_logprobs, train_listener
from emotone.steering.record import block_means, response_means
from emotone.types import Dialogue, Example
from unit.steering.families import snapshot, untouched

SAID = {
    "anger": ["I hate it!", "How dare they!", "Damn it all!"],
    "joy": ["I love it!", "What fun, yay!", "So happy!"],
    "neutral": ["It is noon.", "The bus is red.", "A table."],
}


def examples(*labels: str) -> list[Example]:
    return [
        Example(f"{label}{i}", Dialogue.of("What now?"), EmotionMix.parse(label), reply)
        for label in labels
        for i, reply in enumerate(SAID[label])
    ]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_a_direction_a_block_and_leaves_the_model(method):
    lm = tiny_causal_lm()
    before = snapshot(lm.model)
    state = torch.get_rng_state()
    vectors = extract(
        lm,
        examples("anger", "joy", "neutral"),
        settings=ExtractSettings(
            method=method, tokens=8, window=(0.0, 1.0), fit=FitSettings(steps=3, batch=4)
        ),
    )
    assert vectors.labels == ("anger", "joy")
    assert vectors["joy"].shape == (3, 32)
    assert (vectors["joy"].norm(dim=-1) > 0).all()
    assert vectors.card.method == method
    assert untouched(lm.model, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_reading_is_the_mean_difference_at_an_equal_share_of_each_block():
    lm = tiny_causal_lm()
    rows = examples("anger", "joy", "neutral")
    vectors = extract(
        lm,
        rows,
        settings=ExtractSettings(method="reading", centre=False, window=(0.0, 1.0), total=0.6),
    )
    prompt = prompt_ids(lm.tokenizer, Dialogue.of("What now?"), "")
    means = {
        k: response_means(lm.model, lm.tokenizer, [(prompt, t) for t in SAID[k]]).means.mean(0)
        for k in SAID
    }
    raw = means["joy"] - means["neutral"]
    cosine = torch.nn.functional.cosine_similarity(vectors["joy"], raw, dim=-1)
    assert torch.allclose(cosine, torch.ones(3), atol=1e-5)
    share = vectors["joy"].norm(dim=-1) / torch.tensor(vectors.card.norms)
    assert torch.allclose(share, torch.full((3,), 0.2), atol=1e-3)


def test_the_window_leaves_other_blocks_alone():
    lm = tiny_causal_lm()
    vectors = extract(
        lm,
        examples("anger", "joy"),
        settings=ExtractSettings(method="reading", window=(0.5, 1.0)),
    )
    assert vectors["joy"][0].norm() == 0
    assert vectors["joy"][2].norm() > 0


def test_denoising_removes_the_main_direction_of_neutral_texts():
    lm = tiny_causal_lm()
    rows = examples("anger", "joy", "neutral")
    settings = ExtractSettings(method="reading", denoise=1, centre=False, window=(0.0, 1.0))
    clean = extract(lm, rows, settings=settings)
    prompt = prompt_ids(lm.tokenizer, Dialogue.of("What now?"), "")
    neutral = response_means(lm.model, lm.tokenizer, [(prompt, t) for t in SAID["neutral"]]).means
    for block in range(3):
        states = neutral[:, block] - neutral[:, block].mean(0)
        axis = torch.linalg.svd(states, full_matrices=False)[2][0]
        unit = clean["joy"][block] / clean["joy"][block].norm()
        assert abs(float(unit @ axis)) < 1e-4


def test_fitting_makes_the_replies_likelier():
    lm = tiny_causal_lm()
    rows = examples("anger", "joy")
    norms = torch.full((3,), 5.0)
    made = fit(
        lm.model,
        lm.tokenizer,
        rows,
        ["anger", "joy"],
        norms,
        settings=FitSettings(steps=25, batch=6, rate=0.05),
    )

    def nll(label, displacement):
        from emotone.steering.apply import steering

        own = [(e, "") for e in rows if str(e.emotion).startswith(label)]
        ids, mask, wanted = encode(lm.tokenizer, own)
        with steering(lm.model, displacement), torch.inference_mode():
            logits = lm.model(input_ids=ids, attention_mask=mask).logits
        return float(
            torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), wanted[:, 1:].flatten())
        )

    for label, other in (("anger", "joy"), ("joy", "anger")):
        plain, own = nll(label, torch.zeros(3, 32)), nll(label, made[label])
        assert own < plain - 0.3
        assert own < nll(label, made[other])


def run_of_a_fit(**changes):
    lm = tiny_causal_lm()
    arguments = {
        "examples": examples("anger", "joy"),
        "labels": ["anger", "joy"],
        "norms": torch.full((3,), 5.0),
        "settings": FitSettings(steps=8, batch=4, save_every=3),
        **changes,
    }
    return fit(lm.model, lm.tokenizer, **arguments)


def kill(done, _total):
    if done == 5:
        raise KeyboardInterrupt


def test_a_killed_fit_goes_on_and_ends_the_same(tmp_path, capsys):
    straight = run_of_a_fit()
    checkpoint = tmp_path / "state.fit"
    with pytest.raises(KeyboardInterrupt):
        run_of_a_fit(checkpoint=checkpoint, progress=kill)
    steps = []
    resumed = run_of_a_fit(checkpoint=checkpoint, progress=lambda done, _total: steps.append(done))
    assert steps == [4, 5, 6, 7, 8]  # the last save was after step 3
    assert (
        f"going on from {checkpoint / 'checkpoints' / 'step-00000003'}" in capsys.readouterr().err
    )
    assert all(torch.equal(straight[label], resumed[label]) for label in straight)


def test_a_signal_saves_a_fit_and_leaves(tmp_path):
    checkpoint = tmp_path / "state.fit"

    def interrupt(done, _total):
        if done == 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(SystemExit) as left:
        run_of_a_fit(checkpoint=checkpoint, progress=interrupt)
    assert left.value.code == 130
    steps = []
    resumed = run_of_a_fit(checkpoint=checkpoint, progress=lambda done, _total: steps.append(done))
    assert steps == [6, 7, 8]
    straight = run_of_a_fit()
    assert all(torch.equal(straight[label], resumed[label]) for label in straight)


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"examples": examples("joy", "anger")[:5]}, "replies"),
        ({"labels": ["joy", "anger"]}, "labels"),
        ({"norms": torch.full((3,), 6.0)}, "norms"),
        ({"site": "mlp"}, "site"),
        ({"start": {k: torch.ones(3, 32) for k in ("anger", "joy")}}, "start"),
        ({"settings": FitSettings(steps=9, batch=4, save_every=3)}, "steps (8 then, 9 now)"),
    ],
)
def test_a_fit_does_not_go_on_from_another(tmp_path, changes, differs):
    run_of_a_fit(checkpoint=tmp_path / "state.fit")
    with pytest.raises(ConfigError) as error:
        run_of_a_fit(checkpoint=tmp_path / "state.fit", **changes)
    assert differs in str(error.value)


def test_a_fit_does_not_go_on_with_another_model(tmp_path):
    run_of_a_fit(checkpoint=tmp_path / "state.fit")
    lm = tiny_causal_lm()
    with torch.no_grad():
        next(lm.model.parameters())[-1, -1] += 0.5
    settings = FitSettings(steps=8, batch=4, save_every=1)
    with pytest.raises(ConfigError, match="model"):
        fit(
            *(lm.model, lm.tokenizer, examples("anger", "joy"), ["anger", "joy"]),
            torch.full((3,), 5.0),
            settings=settings,
            checkpoint=tmp_path / "state.fit",
        )


def test_a_checkpoint_of_an_earlier_version_is_refused(tmp_path):
    (tmp_path / "state.fit").write_bytes(b"")
    with pytest.raises(
        CheckpointError, match=r"state\.fit is the checkpoint of an earlier version"
    ):
        run_of_a_fit(checkpoint=tmp_path / "state.fit")


def test_the_rate_of_a_fit_rises_and_falls():
    settings = FitSettings(steps=10, rate=1.0, warmup=2, final_rate=0.5)
    assert [settings.rate_of(i) for i in (0, 1, 5)] == [0.5, 0.95, 0.75]
    assert FitSettings(rate=1.0, warmup=0).rate_of(0) == 1.0
    with pytest.raises(ConfigError, match=r"fit: betas is \(0.9,\); use two below 1"):
        FitSettings(betas=(0.9,))


def test_nothing_to_learn_from_is_said():
    lm = tiny_causal_lm()
    with pytest.raises(DataError, match="no example carries an emotion"):
        extract(lm, examples("neutral"))
    bare = [dataclasses.replace(e, reply=None) for e in examples("joy")]
    with pytest.raises(DataError, match="no replies for joy"):
        extract(lm, bare)
    with pytest.raises(ConfigError, match="method is 'pca'"):
        ExtractSettings(method="pca")
    with pytest.raises(ConfigError, match="two rising fractions"):
        ExtractSettings(window=(0.9, 0.1))


def test_a_listener_classifies_the_replies_it_was_trained_on():
    lm = tiny_causal_lm()
    prompt = prompt_ids(lm.tokenizer, Dialogue.of("What now?"), "")
    pairs = [(prompt, t) for k in ("anger", "joy") for t in SAID[k]]
    means = response_means(lm.model, lm.tokenizer, pairs).means[:, 1]
    listener = train_listener(means, ["anger"] * 3 + ["joy"] * 3, block=1, strength=1.0)
    logprobs = listener_logprobs(lm.model, lm.tokenizer, listener, pairs)
    assert [listener.labels[i] for i in logprobs.argmax(1)] == ["anger"] * 3 + ["joy"] * 3
    assert torch.allclose(logprobs.exp().sum(1), torch.ones(6), atol=1e-5)
    with pytest.raises(DataError, match="two emotions"):
        train_listener(means, ["joy"] * 6, block=1)


@pytest.mark.parametrize("mix", ["joy:60 + fear:20", "joy:0", "joy:-50"])
def test_examples_of_a_mix_make_no_vectors(mix):
    lm = tiny_causal_lm()
    rows = [dataclasses.replace(e, emotion=EmotionMix.parse(mix)) for e in examples("joy")]
    with pytest.raises(DataError, match="examples of one emotion each"):
        extract(lm, rows)


def test_one_block_is_read_as_all_are_at_less_cost():
    lm = tiny_causal_lm()
    first, second = ([5, 6, 7, 8, 9, 10] * n for n in (1, 3))
    pairs = [(first, "yes!"), (second, "no, never"), (first, "a longer reply"), (first, ".")]
    wanted = response_means(lm.model, lm.tokenizer, pairs).means
    columns: list[int] = []

    def note(_module, _args, kwargs):
        columns.append(kwargs["input_ids"].numel())

    handle = lm.model.base_model.register_forward_pre_hook(note, with_kwargs=True)
    for block in range(3):
        for batch in (1, 2, 64):
            means = block_means(lm.model, lm.tokenizer, pairs, block, batch=batch)
            torch.testing.assert_close(means, wanted[:, block], rtol=1e-4, atol=1e-5)
    handle.remove()
    assert columns[-2:] == [2 * 18, 4 * 14]
    plain = response_means(lm.model, lm.tokenizer, pairs).means
    assert torch.equal(plain, wanted)  # a pass that was cut short leaves nothing behind


def test_a_long_prompt_leaves_its_reply_whole():
    lm = tiny_causal_lm()
    prompt = list(range(3, 203)) * 5
    replies = ["yes, and gladly", "yes, but sadly"]
    pairs = [(prompt, reply) for reply in replies]
    short = [([*prompt[:60], *prompt[-181:]], reply) for reply in replies]
    assert len(short[0][0]) + len(replies[0]) == 256
    full = response_means(lm.model, lm.tokenizer, pairs)
    assert full.tokens == sum(map(len, replies))
    means = block_means(lm.model, lm.tokenizer, pairs, 1)
    torch.testing.assert_close(means, block_means(lm.model, lm.tokenizer, short, 1))
    assert not torch.equal(means[0], means[1])
