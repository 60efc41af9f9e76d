"""The supervised stage on tiny models whose right answer is known."""

import pytest
import torch

from emotone.models.tiny import tiny_seq2seq
from emotone.rl.rollout import roll_out
from emotone.rl.seq2seq import Seq2SeqPolicy
from emotone.rl.settings import Sampling
from emotone.rl.supervised import TokenPairs, supervise
from emotone.training import checkpoint
from emotone.training.settings import Training
from emotone.types import Dialogue

POSTS = ["up", "down", "left", "right"] * 4
REPLIES = [{"up": "hi", "down": "lo", "left": "go", "right": "no"}[post] for post in POSTS]


def policy_of(**settings):
    lm = tiny_seq2seq()
    return Seq2SeqPolicy(lm.model, lm.tokenizer, reference=False, **settings)


def token_pairs(policy):
    prompts = policy.encode([Dialogue.of(post) for post in POSTS])
    return TokenPairs(prompts, policy.codec.encode(REPLIES))


def settings(**other):
    return Training(
        **{"epochs": 80, "batch": 8, "lr": 5e-3, "patience": 0, "device": "cpu", "threads": 1}
        | other
    )


@pytest.mark.slow
def test_it_learns_what_to_reply(tmp_path):

    policy = policy_of()
    data = token_pairs(policy)
    fitted = supervise(policy, data, data, settings=settings(), out=tmp_path, progress=False)
    assert fitted.best_dev is not None
    assert fitted.best_dev < 0.1
    sampling = Sampling(top_k=1, temperature=1.0, min_tokens=0, max_tokens=8)
    drawn = roll_out(policy, policy.prompts(data.prompts[:4]), sampling, [0, 1, 2, 3])
    assert drawn.texts == REPLIES[:4]


def test_the_loss_is_nats_a_token_with_the_end(tmp_path):
    policy = policy_of()
    data = token_pairs(policy)
    expected = 0.0
    with torch.no_grad():
        for prompt, reply in zip(data.prompts, data.replies, strict=True):
            start = torch.tensor([[policy.model.config.decoder_start_token_id, *reply[:-1]]])
            logits = policy.model(input_ids=torch.tensor([prompt]), decoder_input_ids=start).logits
            expected -= float(logits[0].log_softmax(-1)[range(len(reply)), reply].sum())
    expected /= sum(map(len, data.replies))
    fitted = supervise(
        policy, data, data, settings=settings(epochs=1, lr=1e-12), out=tmp_path, progress=False
    )
    assert fitted.best_dev is not None
    assert abs(fitted.best_dev - expected) < 1e-5


def test_the_value_head_and_what_is_frozen_take_no_part(tmp_path):
    policy = policy_of()
    policy.freeze_reference()
    head = {k: v.clone() for k, v in policy.value_head.state_dict().items()}
    data = token_pairs(policy)
    supervise(policy, data, None, settings=settings(epochs=2), out=tmp_path, progress=False)
    for name, value in policy.value_head.state_dict().items():
        assert torch.equal(value, head[name])
    assert all(p.requires_grad for p in policy.value_head.parameters())
    place = checkpoint.steps(tmp_path / "checkpoints")[0]
    kept = checkpoint.read_tensors(place, checkpoint.MODEL)
    assert kept
    assert not [name for name in kept if "value_head" in name or "_frozen" in name]


def test_a_run_goes_on_as_if_it_had_not_stopped(tmp_path):
    whole, broken = policy_of(), policy_of()
    data = token_pairs(whole)
    supervise(
        whole, data, data, settings=settings(epochs=4), out=tmp_path / "whole", progress=False
    )
    for steps in (3, 0):
        supervise(
            broken,
            data,
            data,
            settings=settings(epochs=4, max_steps=steps, save_every=1),
            out=tmp_path / "broken",
            progress=False,
        )
        if steps:
            broken = policy_of()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, broken.model.state_dict()[name]), name


def test_the_learning_rate_rises_and_falls_in_a_line():
    from emotone.training.optim import scheduled

    rates = [scheduled(1.0, step, 2, 6) for step in range(7)]
    assert rates == [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    assert scheduled(1.0, 500, 0, 0) == 1.0
