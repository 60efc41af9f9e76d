"""What every recurrent system's network must hold, in all its variants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from emotone.errors import ConfigError
from emotone.recurrent.config import Sizes
from emotone.recurrent.responder import tiny_corpus
from emotone.systems import a_seq2seq, ecm, emo_seq
from unit.recurrent.networks import PAIRS, VARIANTS, asked, batch, network

ALL = pytest.mark.parametrize("name", VARIANTS)
EMOTIONAL = pytest.mark.parametrize("name", [n for n in VARIANTS if not n.startswith("a_seq2seq")])
LOSSES = ("token_loss", "row_loss")


def near(one: Any, other: Any) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


def nats_by_steps(model: Any, name: str) -> Tensor:
    """-log p of each reply, from the step protocol that search uses."""
    rows = batch()
    state = model.encode(rows.source, rows.source_lengths, asked(name, rows.emotion))
    total = torch.zeros(len(PAIRS), dtype=torch.float64)
    for t in range(rows.target_in.shape[1]):
        logits, state = model.step(rows.target_in[:, t], state)
        gold = logits.log_softmax(-1).gather(1, rows.target_out[:, t, None])[:, 0]
        total -= torch.where(t < rows.target_lengths, gold, 0.0)
    return total


@ALL
@torch.no_grad()
def test_whole_replies_are_as_likely_as_their_steps(name: str):
    model = network(name)
    near(model.nll(batch()), nats_by_steps(model, name))


@ALL
@torch.no_grad()
def test_what_forward_logs_is_the_likelihood_of_the_replies(name: str):
    model = network(name)
    made = model(batch())
    near(made.logged["nll"], model.nll(batch()).sum())
    assert (made.tokens, made.rows) == (sum(len(p.reply) + 1 for p in PAIRS), len(PAIRS))
    assert all(value.dim() == 0 for value in made.logged.values())


@ALL
@torch.no_grad()
def test_a_batch_of_n_equals_n_of_one(name: str):
    model = network(name)
    together, nats = model(batch()), model.nll(batch())
    alone = [model(batch([pair])) for pair in PAIRS]
    near(nats, torch.cat([model.nll(batch([pair])) for pair in PAIRS]))
    for part in LOSSES:
        near(getattr(together, part), sum(getattr(one, part) for one in alone))
    for key, value in together.logged.items():
        near(value, sum(one.logged[key] for one in alone))


@ALL
def test_every_parameter_takes_part_in_training(name: str):
    model = network(name, dropout=0.1).train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = model(batch())
    (made.token_loss / made.tokens + made.row_loss / made.rows).backward()
    for key, value in model.named_parameters():
        if value.requires_grad:
            assert value.grad is not None, key
            assert value.grad.isfinite().all(), key
            assert value.grad.abs().max() > 0, key


@EMOTIONAL
@torch.no_grad()
def test_the_emotion_is_heard_and_needed(name: str):
    model, rows = network(name), batch()
    other = rows._replace(emotion=(rows.emotion + 1) % 6)
    assert ((model.nll(rows) - model.nll(other)).abs() > 1e-6).all()
    with pytest.raises(ValueError, match="give one for each row"):
        model.encode(rows.source, rows.source_lengths, None)


@torch.no_grad()
def test_a_seq2seq_hears_no_emotion():
    model, rows = network("a_seq2seq-0"), batch()
    near(model.nll(rows), model.nll(rows._replace(emotion=(rows.emotion + 1) % 6)))
    with pytest.raises(ValueError, match="takes no emotion"):
        model.encode(rows.source, rows.source_lengths, rows.emotion)


@pytest.mark.parametrize("name", ["a_seq2seq-0", "emo_seq-4", "ecm-3"])
def test_sampled_words_are_for_training_alone(name: str):
    plain, sampled = network(name), network(name, softmax="sampled", negatives=30)
    near(sampled.nll(batch()), plain.nll(batch()))
    near(sampled(batch()).logged["nll"], plain(batch()).logged["nll"])
    sampled.train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        one, other = (sampled(batch()) for _ in range(2))
    assert one.token_loss != other.token_loss
    near(one.logged["nll"], one.token_loss.detach())
    one.token_loss.backward()
    assert all(p.grad is not None for p in sampled.parameters() if p.requires_grad)


@pytest.mark.parametrize("name", ["a_seq2seq-0", "ecm-0", "emo_seq-0"])
@torch.no_grad()
def test_posts_are_held_back_in_training_alone(name: str):
    model = network(name, blank=0.5)
    near(model.nll(batch()), network(name).nll(batch()))
    held = torch.tensor([[2]]), torch.tensor([1])
    rows = batch([PAIRS[0]] * 40)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model.train()
        source, lengths = model.core.hold_back(rows.source, rows.source_lengths)
    gone = lengths == 1
    assert 10 < gone.sum() < 30
    assert (source[gone] == held[0]).all()
    assert torch.equal(source[~gone], rows.source[~gone])
    # A post that is held back reads as the end token alone, which `choose` asks for.
    model.eval()
    feeling = asked(name, rows.emotion)
    state = model.encode(source, lengths, feeling)
    blank = model.encode(
        held[0].expand(40, 1), held[1].expand(40), feeling
    )  # one word, nothing behind it
    token = torch.full((40,), 3)
    near(model.step(token, state)[0][gone], model.step(token, blank)[0][gone])


def test_vectors_start_both_tables():
    model = network("a_seq2seq-0", tied=False)
    vectors = torch.randn(len(model.core.bias), 5, dtype=torch.float64)
    model.core.set_vectors(vectors)
    assert torch.equal(model.core.source.weight, vectors)
    assert torch.equal(model.core.target.weight, vectors)


def test_settings_that_do_not_go_together_are_refused():
    with pytest.raises(ConfigError, match="'faithful' reads in one direction"):
        ecm.Config(parts=ecm.Parts(style="faithful"))
    with pytest.raises(ConfigError, match="two softmaxes"):
        ecm.Config(sizes=Sizes(softmax="sampled"))
    with pytest.raises(ConfigError, match=r"set parts\.external = true"):
        ecm.Parts(external=False, words=__file__)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="reads the whole distribution"):
        emo_seq.Config(sizes=Sizes(softmax="sampled"))
    with pytest.raises(ConfigError, match="set one of them"):
        emo_seq.Guide(tag=False, width=0)
    with pytest.raises(ConfigError, match="leave out at 0"):
        Sizes(out=7)
    for module in (ecm, emo_seq):
        with pytest.raises(ConfigError, match=r"set data\.taxonomy"):
            module.build(module.Config(), tiny_corpus("en", None))
    strangers = replace(tiny_corpus("zh", "nlpcc"), emotion_words=(("nobody",),) * 6)
    with pytest.raises(ConfigError, match=r"give parts\.words"):
        ecm.build(ecm.Config(), strangers)


def test_signs_are_no_emotion_words():
    lists = (("</s>", "<unk>", "nobody"), ("开心",), *((),) * 4)
    made = ecm.build(ecm.Config(), replace(tiny_corpus("zh", "nlpcc"), emotion_words=lists))
    assert made.external is not None
    assert made.external.masks.sum(1).tolist() == [0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("system", [a_seq2seq, ecm, emo_seq])
def test_states_that_cannot_be_copied_are_refused_in_a_sentence(system: Any):
    with pytest.raises(ConfigError, match="set bridge to 'map'"):
        system.Config(sizes=Sizes(bridge="copy"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@ALL
def test_a_gpu_s_fused_kernels_give_the_same_losses_and_gradients(name: str):
    here, there = network(name), network(name).cuda()
    grads: list[dict[str, Tensor]] = []
    for model, rows in ((here, batch()), (there, batch().to("cuda"))):
        # cuDNN's encoder has gradients in training mode only, where there would be dropout.
        with torch.backends.cudnn.flags(enabled=False):
            made = model(rows)
            (made.token_loss / made.tokens + made.row_loss / made.rows).backward()
        near(model.nll(rows).cpu(), here.nll(batch()))
        grads.append({k: v.grad.cpu() for k, v in model.named_parameters() if v.requires_grad})
    for key, grad in grads[0].items():
        torch.testing.assert_close(grads[1][key], grad, rtol=0, atol=1e-7, msg=key)
    low = there.float()
    off = torch.backends.cudnn.flags(enabled=False)
    with off, torch.autocast("cuda", dtype=torch.bfloat16):
        made = low(batch().to("cuda"))
        (made.token_loss + made.row_loss).backward()
    assert made.token_loss.dtype == torch.float32
    nats = float(here.nll(batch()).sum())
    assert float(made.logged["nll"]) == pytest.approx(nats, rel=0.05)
