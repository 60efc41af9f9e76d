"""Ours against the authors' procedure (Dong et al. 2025), rewritten plainly here."""

from __future__ import annotations

import numpy as np
import torch

from emotone.lm.chat import prompt_ids
from emotone.models.tiny import tiny_causal_lm
from emotone.steering.apply import steering
from emotone.steering.record import recording, response_means
from emotone.types import Dialogue
from unit.steering.families import family, ids, push


def test_attention_output_at_the_last_position_as_the_published_code_does():
    model = family("llama")
    vectors = {"joy": push(seed=3, size=0.5), "fear": push(seed=4, size=0.5)}
    times = {"joy": 2.0, "fear": -1.0}

    def hook(layer):
        def add(_module, _args, output):
            for name, alpha in times.items():
                output[0][:, -1:, :] += alpha * vectors[name][layer]
            return output

        return add

    handles = [b.self_attn.register_forward_hook(hook(i)) for i, b in enumerate(model.model.layers)]
    kwargs = {"max_new_tokens": 10, "min_new_tokens": 10, "do_sample": False, "pad_token_id": 0}
    tokens = ids(1)
    mask = torch.ones_like(tokens)
    try:
        with torch.inference_mode():
            theirs = model.generate(tokens, attention_mask=mask, **kwargs)
    finally:
        for h in handles:
            h.remove()
    total = sum(alpha * vectors[name] for name, alpha in times.items())
    with steering(model, total, site="attn_out", positions="last"), torch.inference_mode():
        ours = model.generate(tokens, attention_mask=mask, **kwargs)
    with steering(model, total, site="resid", positions="last"), torch.inference_mode():
        elsewhere = model.generate(tokens, attention_mask=mask, **kwargs)
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, elsewhere)  # the two sites are not confused


def test_the_mean_difference_is_that_of_plain_numpy():
    lm = tiny_causal_lm()
    texts = {"joy": ["I am glad!", "What a day, how lovely"], "calm": ["It is noon.", "Rain"]}
    prompt = prompt_ids(lm.tokenizer, Dialogue.of("How are you?"), None)

    def mean(label):
        rows = []
        for text in texts[label]:
            tail = lm.tokenizer(text, add_special_tokens=False)["input_ids"]
            with recording(lm.model) as seen, torch.inference_mode():
                lm.model(input_ids=torch.tensor([[*prompt, *tail]]))
            rows.append(np.stack([s[0, len(prompt) :].double().mean(0).numpy() for s in seen]))
        return np.mean(rows, axis=0)

    ours = {
        label: response_means(lm.model, lm.tokenizer, [(prompt, t) for t in rows]).means.mean(0)
        for label, rows in texts.items()
    }
    assert np.allclose(ours["joy"] - ours["calm"], mean("joy") - mean("calm"), atol=1e-5)


def test_padding_neighbours_do_not_change_a_mean():
    lm = tiny_causal_lm()
    prompt = prompt_ids(lm.tokenizer, Dialogue.of("Hi"), None)
    long = prompt_ids(lm.tokenizer, Dialogue.of("A much longer post than the other one."), None)
    alone = response_means(lm.model, lm.tokenizer, [(prompt, "Yes!")])
    beside = response_means(lm.model, lm.tokenizer, [(prompt, "Yes!"), (long, "No, never, no.")])
    assert torch.allclose(alone.means[0], beside.means[0], atol=1e-5)
    assert alone.tokens == 4  # bytes of "Yes!", nothing of the prompt
