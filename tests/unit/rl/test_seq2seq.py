"""One lookup for all that a pass reads and says, and the same gradients as of many."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from emotone.models.tiny import tiny_seq2seq
from emotone.rl.policy import Replies
from emotone.rl.seq2seq import Seq2SeqPolicy, embedding_rows

PROMPTS, REPLIES = torch.tensor([[5, 9, 5, 1], [7, 1, 0, 0]]), torch.tensor([[0, 4], [0, 9]])
SUPPORT = torch.tensor([[5, 9, 33], [4, 4, 0]])


def untied(model):
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach() + 0.5)
    return model


def test_a_table_that_all_share_is_looked_up_once(monkeypatch):
    model = tiny_seq2seq().model
    lookups = []
    whole = nn.functional.embedding
    monkeypatch.setattr(
        nn.functional, "embedding", lambda ids, *a, **k: lookups.append(ids) or whole(ids, *a, **k)
    )
    rows = embedding_rows(model, PROMPTS, REPLIES, SUPPORT)
    assert len(lookups) == 1
    weight = model.shared.weight
    for looked_up, ids in zip(rows, (PROMPTS, REPLIES, SUPPORT), strict=True):
        assert looked_up is not None
        assert torch.equal(looked_up, weight[ids])


def test_an_output_layer_of_its_own_is_left_to_itself():
    model = untied(tiny_seq2seq().model)
    rows = embedding_rows(model, PROMPTS, REPLIES, SUPPORT)
    assert torch.equal(rows.prompts, model.shared.weight[PROMPTS])
    assert rows.support is None


class Doubled(nn.Embedding):
    def forward(self, ids):
        return 2 * super().forward(ids)


def test_a_table_that_does_more_is_asked_itself():
    model = tiny_seq2seq().model
    twice = Doubled(*model.shared.weight.shape)
    twice.weight = model.shared.weight
    model.encoder.embed_tokens = twice
    rows = embedding_rows(model, PROMPTS, REPLIES, SUPPORT)
    assert torch.equal(rows.prompts, 2 * model.shared.weight[PROMPTS])
    assert torch.equal(rows.replies, model.shared.weight[REPLIES])
    assert rows.support is None


@pytest.mark.parametrize("tied", [True, False])
def test_a_policy_says_and_learns_what_its_model_does(tied):
    lm = tiny_seq2seq()
    model = lm.model if tied else untied(lm.model)
    policy = Seq2SeqPolicy(model, lm.tokenizer, reference=False).eval()
    prompts = policy.prompts([[5, 9, 5, 1], [7, 1]])
    tokens = torch.tensor([[4, 1], [9, 33]])
    support = torch.stack([tokens, tokens + 1, tokens + 2], -1)
    mask = torch.ones_like(tokens, dtype=torch.bool)
    output = policy(prompts, Replies(tokens, mask, support, 0.9))
    output.logprobs.sum().backward()
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    policy.zero_grad()

    inputs = torch.cat([torch.zeros(2, 1, dtype=torch.long), tokens[:, :-1]], 1)
    logits = model(
        input_ids=prompts.ids, attention_mask=prompts.mask.long(), decoder_input_ids=inputs
    ).logits
    plain = (logits.gather(-1, support) / 0.9).log_softmax(-1)[..., 0]
    torch.testing.assert_close(output.logprobs, plain)
    plain.sum().backward()
    wanted = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert grads.keys() == wanted.keys()
    for name, grad in wanted.items():
        torch.testing.assert_close(grads[name], grad, msg=name, rtol=1e-4, atol=1e-5)
