"""A companion: what is learned together is what acts when the model answers."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch

from emotone.errors import CheckpointError, ConfigError, DataError
from emotone.files import sha256
from emotone.lm.chat import prompt_ids
from emotone.lm.likelihood import reply_nats
from emotone.models.tiny import tiny_causal_lm
from emotone.models.token_ids import text_ids
from emotone.steering.companion import CompanionSettings, Exchange, Pupil, draw, learn, pack
from emotone.steering.find import give_adapters, open_vectors
from emotone.steering.mood import Mood
from emotone.steering.tiny import tiny_vectors
from emotone.training.adapters import WEIGHTS, Adapters, adapter_weights, save_adapters
from emotone.types import Decoding, Dialogue, Post, Speaker

EXCHANGES = [
    Exchange(Dialogue.of("it rains"), {"joy": "Sing!", "anger": "Again!", "neutral": "Yes."}),
    Exchange(
        Dialogue((Post("hi"), Post("Hello.", Speaker.ASSISTANT), Post("I won a very big cake"))),
        {"joy": "Wonderful!", "anger": "And no plate!", "neutral": "Good."},
    ),
]
ADAPTERS = Adapters(rank=4, alpha=8.0, targets=("q_proj", "up_proj"))


def companion_vectors(lm):
    vectors = tiny_vectors(lm.model).only("joy", "anger")
    return replace(vectors, card=replace(vectors.card, positions="last"))


def tokens_of(lm, labels, dose):
    return [
        (
            prompt_ids(lm.tokenizer, e.dialogue, "S"),
            [
                (
                    labels.get(label, 0),
                    dose if label in labels else 0.0,
                    [*text_ids(lm.tokenizer, reply), lm.tokenizer.eos_token_id],
                )
                for label, reply in e.replies.items()
            ],
        )
        for e in EXCHANGES
    ]


def test_a_packed_batch_has_the_likelihood_of_each_reply_alone_steered():
    lm = tiny_causal_lm()
    vectors = companion_vectors(lm)
    mood = Mood(lm, vectors, batch=4)
    rows = [(e, label) for e in EXCHANGES for label in e.replies]
    nats = mood.nats(
        [prompt_ids(lm.tokenizer, e.dialogue, "S") for e, _ in rows],
        [{} if label == "neutral" else {label: 0.7} for _, label in rows],
        [e.replies[label] for e, label in rows],
    )
    batch = pack(tokens_of(lm, {"joy": 1, "anger": 2}, 0.7), 0)
    pupil = Pupil.of(
        lm.model,
        vectors.labels,
        torch.ones(3),
        adapters=ADAPTERS,
        start=vectors.directions,
        site="resid",
        seed=0,
    )
    with torch.no_grad():
        loss = pupil.nats(batch).mean()
    count = sum(n for _, n in nats)
    assert int((batch.targets >= 0).sum()) == count
    assert float(loss) == pytest.approx(sum(x for x, _ in nats) / count, rel=1e-5)


def test_likelihood_under_a_push_is_that_of_what_the_decoder_writes():
    lm = tiny_causal_lm()
    mood = Mood(lm, companion_vectors(lm), batch=4)
    prompts = [prompt_ids(lm.tokenizer, e.dialogue, "S") for e in EXCHANGES]
    doses = [{"joy": 1.0}, {"anger": 0.8}]
    plain = Decoding(
        strategy="greedy", max_tokens=6, repetition_penalty=1.0, no_repeat=0, min_tokens=6
    )
    for candidates, prompt, dose in zip(
        mood.write_candidates(prompts, doses, [1, 1], plain), prompts, doses, strict=True
    ):
        written = candidates.replies[0]
        ((nats, count),) = reply_nats(
            lm.model,
            lm.tokenizer,
            [(prompt, written.text)],
            steer=lambda _, p=prompt, d=dose: mood._steer([d], prompt_length=[len(p)]),
        )
        if text_ids(lm.tokenizer, written.text) and count == written.tokens + 1:
            assert nats > -written.logprob  # the end token comes on top


def test_each_emotion_learns_its_own_replies():
    lm = tiny_causal_lm()
    norms = torch.ones(3)
    settings = CompanionSettings(steps=150, batch=2, lr=1e-2, push_lr=0.1, dose=(0.9, 1.1))
    pushes = learn(
        lm.model,
        lm.tokenizer,
        EXCHANGES,
        ("joy", "anger"),
        norms,
        system="S",
        settings=settings,
        adapters=ADAPTERS,
    )
    vectors = replace(companion_vectors(lm), directions=pushes)
    mood = Mood(lm, vectors, batch=4)
    prompt = prompt_ids(lm.tokenizer, EXCHANGES[0].dialogue, "S")
    said = {
        label: mood.nats([prompt] * 2, [{"joy": 1.0}, {"anger": 1.0}], [reply] * 2)
        for label, reply in (("joy", "Sing!"), ("anger", "Again!"))
    }
    assert said["joy"][0][0] < 0.5 * said["joy"][1][0]
    assert said["anger"][1][0] < 0.5 * said["anger"][0][0]
    (plain,) = mood.nats([prompt], [{}], ["Yes."])
    assert plain[0] < 0.5 * mood.nats([prompt], [{"joy": 1.0}], ["Yes."])[0][0]


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path):
    def run(**changes):
        lm = tiny_causal_lm()
        settings = CompanionSettings(**{"steps": 6, "batch": 1, "save_every": 2, **changes})
        pushes = learn(
            lm.model,
            lm.tokenizer,
            EXCHANGES,
            ("joy", "anger"),
            torch.ones(3),
            system="S",
            settings=settings,
            adapters=ADAPTERS,
            checkpoint=tmp_path,
        )
        return pushes["joy"], adapter_weights(lm.model)

    whole, low_rank = run()
    newest = max((tmp_path / "checkpoints").glob("*6*"))
    shutil.rmtree(newest) if newest.is_dir() else newest.unlink()
    again, low_rank_again = run()
    assert torch.equal(whole, again)
    assert all(torch.equal(p, low_rank_again[name]) for name, p in low_rank.items())
    with pytest.raises(ConfigError):
        run(lr=0.1)  # another run


def test_all_posts_come_once_before_one_comes_again():
    tokens = [([1] * (3 + i % 5), [(1, [2, 3])]) for i in range(40)]
    settings = CompanionSettings(batch=8)
    drawn = [id(prompt) for step in range(5) for prompt, _ in draw(tokens, settings, step)]
    assert len(set(drawn)) == len(drawn) == 40
    assert draw(tokens, settings, 3) == draw(tokens, settings, 3)
    assert draw(tokens, settings, 3) != draw(tokens, settings, 8)


def test_an_emotion_without_replies_is_refused():
    lm = tiny_causal_lm()
    with pytest.raises(DataError, match="no replies for fear"):
        learn(
            lm.model,
            lm.tokenizer,
            EXCHANGES,
            ("joy", "fear"),
            torch.ones(3),
            system="S",
            settings=CompanionSettings(steps=1),
        )


def test_vectors_come_with_their_adapters_or_not_at_all(tmp_path):
    lm = tiny_causal_lm()
    vectors = companion_vectors(lm)
    learn(
        lm.model,
        lm.tokenizer,
        EXCHANGES,
        ("joy", "anger"),
        torch.ones(3),
        system="S",
        settings=CompanionSettings(steps=2, batch=2, lr=0.05),
        adapters=ADAPTERS,
    )
    folder = tmp_path / "companion"
    save_adapters(lm.model, folder, base="tiny")
    card = replace(vectors.card, adapters=sha256(folder / WEIGHTS))
    replace(vectors, card=card).save(folder / "vectors.safetensors")

    opened = open_vectors(str(folder))
    assert opened.card.positions == "last"
    bare = tiny_causal_lm()
    before = bare.model.model.layers[0].mlp.up_proj.weight.clone()
    give_adapters(bare.model, opened, str(folder))
    assert not torch.equal(before, bare.model.model.layers[0].mlp.up_proj.weight)
    opened.check_model(bare.model)

    (folder / WEIGHTS).write_bytes(b"other")
    with pytest.raises(CheckpointError, match="belong to adapters"):
        give_adapters(tiny_causal_lm().model, opened, str(folder))


def test_a_push_whose_replies_do_not_come_stays_where_it_is():
    lm = tiny_causal_lm()
    start = dict(companion_vectors(lm).directions)
    rows = [EXCHANGES[0], replace(EXCHANGES[1], replies={"joy": "Wonderful!"})]

    def after(steps):
        model = tiny_causal_lm()
        return learn(
            model.model,
            model.tokenizer,
            rows,
            ("joy", "anger"),
            torch.ones(3),
            system="S",
            settings=CompanionSettings(steps=steps, batch=1, warmup=0, seed=seed),
            adapters=ADAPTERS,
            start=start,
        )

    # A pass is two steps; a seed whose first step is the post with both, the second that with joy.
    tokens = tokens_of(lm, {"joy": 1, "anger": 2}, 1.0)
    bare = [(prompt, [(of, ids) for of, _, ids in replies]) for prompt, replies in tokens]
    seed = next(
        s
        for s in range(20)
        if draw(bare, CompanionSettings(batch=1, seed=s), 0)[0][0] == tokens[0][0]
    )
    first, second = after(1), after(2)
    assert not torch.equal(first["anger"], start["anger"])
    assert torch.equal(first["anger"], second["anger"])
    assert not torch.equal(first["joy"], second["joy"])


def test_below_the_fade_a_push_says_the_neutral_reply_as_often_as_its_dose_is_short_of_it():
    tokens = [([1, 2], [(0, [7]), (1, [8]), (2, [9])])] * 8
    settings = CompanionSettings(batch=8, dose=(0.01, 1.0), fade=0.5)
    drawn = [
        (of, dose, ids[0])
        for step in range(400)
        for _, replies in draw(tokens, settings, step)
        for of, dose, ids in replies
    ]
    assert all(ids == 7 and dose == 0 for of, dose, ids in drawn if not of)
    assert all(ids == 7 + of for of, dose, ids in drawn if dose >= 0.5)
    low = [ids == 7 for of, dose, ids in drawn if of and 0.2 <= dose <= 0.3]
    assert sum(low) / len(low) == pytest.approx(0.5, abs=0.05)


def test_the_step_size_is_the_one_whose_first_step_lowers_the_loss_most():
    lm = tiny_causal_lm()
    batch = pack(tokens_of(lm, {"joy": 1, "anger": 2}, 1.0), 0)
    start = companion_vectors(lm).directions
    pupil = Pupil.of(
        lm.model, ("joy", "anger"), torch.ones(3), adapters=None, start=start, site="resid",
        seed=0, low_rank=False,
    )  # fmt: skip
    before = [push.detach().clone() for push in pupil.free]
    pupil.nats(batch).mean().backward()
    ways = [torch.sign(push.grad) for push in pupil.free if push.grad is not None]
    for push in pupil.free:
        push.grad = None

    def loss(rate: float) -> float:
        with torch.no_grad():
            for push, origin, way in zip(pupil.free, before, ways, strict=True):
                push.copy_(origin - rate * way)
            nats = pupil.nats(batch).mean().item()
            for push, origin in zip(pupil.free, before, strict=True):
                push.copy_(origin)
        return nats

    rate = pupil.best_rate(batch, 8.0)
    losses = {8.0 / 2**i: loss(8.0 / 2**i) for i in range(7)}
    assert rate == min(losses, key=losses.__getitem__)
    assert losses[rate] < max(losses.values())
    for push, origin in zip(pupil.free, before, strict=True):
        assert torch.equal(push, origin)
        assert push.grad is None


def test_logits_some_at_a_time_give_the_same_loss_and_gradients(monkeypatch: pytest.MonkeyPatch):
    lm = tiny_causal_lm()
    batch = pack(tokens_of(lm, {"joy": 1, "anger": 2}, 0.7), 0)
    outcomes: list[tuple[torch.Tensor, list[torch.Tensor]]] = []
    for most in (2**26, 3 * lm.model.config.vocab_size):
        monkeypatch.setattr("emotone.steering.companion._MOST_LOGITS", most)
        pupil = Pupil.of(
            lm.model, ("joy", "anger"), torch.ones(3), adapters=None, seed=0, low_rank=False,
            start=companion_vectors(lm).directions, site="resid",
        )  # fmt: skip
        nats = pupil.nats(batch)
        nats.mean().backward()
        outcomes.append((nats, [p.grad for p in pupil.free if p.grad is not None]))
    torch.testing.assert_close(outcomes[0], outcomes[1])
    assert len(outcomes[1][1]) == 2
