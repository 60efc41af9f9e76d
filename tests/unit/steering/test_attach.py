"""Set-ups in which a hook or a bias may be lost without a word: each acts, or raises."""

from __future__ import annotations

import threading
import warnings

import pytest
import torch
from torch import nn

from emotone.errors import SteeringError, Unsupported
from emotone.steering.apply import steering
from emotone.steering.layers import blocks
from emotone.steering.positions import POSITIONS
from emotone.steering.record import recording
from parity.tiny_architectures import tiny_model
from unit.steering.families import family, ids, push

SIZE = 0.8
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def logits(model, tokens=None, **kwargs):
    with torch.inference_mode():
        return model(
            input_ids=ids() if tokens is None else tokens, use_cache=False, **kwargs
        ).logits


def say(model, tokens, **kwargs):
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=8,
            min_new_tokens=8,
            do_sample=False,
            pad_token_id=0,
            **kwargs,
        )


# -- compiled ------------------------------------------------------------------------------------

WAYS = {
    "wrapped": lambda model: torch.compile(model, backend="eager"),
    "in place": lambda model: (model.compile(backend="eager"), model)[1],
    "forward": lambda model: (
        setattr(model, "forward", torch.compile(model.forward, backend="eager")),
        model,
    )[1],
    "decoder": lambda model: (
        setattr(model, "model", torch.compile(model.model, backend="eager")),
        model,
    )[1],
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("rows", "positions"), [(None, "all"), (2, "all"), (None, "prompt"), (2, "last")]
)
def test_hooks_set_after_the_first_compiled_call_act_and_are_gone_again(way, rows, positions):
    torch.compiler.reset()
    model, twin = WAYS[way](family("llama")), family("llama")
    plain = logits(model)
    for seed in (1, 5):
        v = push(rows, seed=seed)
        with steering(model, v, positions=positions):
            moved = logits(model)
        with steering(twin, v, positions=positions):
            torch.testing.assert_close(moved, logits(twin), **CLOSE)
        assert not torch.allclose(moved, plain, atol=1e-2)
        assert torch.equal(logits(model), plain)


@pytest.mark.slow
@pytest.mark.parametrize("positions", POSITIONS)
def test_a_compiled_model_generates_as_the_plain_one(positions):
    torch.compiler.reset()
    model, twin, v = family("gemma2"), family("gemma2"), push(size=SIZE)
    model.compile(backend="eager")
    say(model, ids())
    with steering(model, v, positions=positions):
        found = say(model, ids())
    with steering(twin, v, positions=positions):
        assert torch.equal(found, say(twin, ids()))


# -- packed, guessed and padded columns ------------------------------------------------------------


def batch_of(model):
    from transformers import ContinuousBatchingConfig, GenerationConfig

    # Left open, its pages take most of the machine's memory.
    pages = ContinuousBatchingConfig(
        page_size=16, num_blocks=8, max_batch_tokens=32, max_requests_per_batch=4
    )
    config = GenerationConfig(
        max_new_tokens=4, min_new_tokens=4, do_sample=False, eos_token_id=2, pad_token_id=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = model.generate_batch([row.tolist() for row in ids()], config, pages, warmup=False)
    return [out[key].generated_tokens for key in sorted(out)]


@pytest.mark.slow
def test_generate_batch_acts_at_all_columns_and_is_refused_where_columns_matter():
    model, v = family("llama"), push(size=SIZE)
    with steering(model, v):
        alone = [say(model, row[None])[0, 7:11].tolist() for row in ids()]
        assert batch_of(model) == alone
    for positions in ("prompt", "generated", "last"):
        with (
            pytest.raises(Unsupported, match="packs several into one, as generate_batch does"),
            steering(model, v, positions=positions),
        ):
            batch_of(model)
    with pytest.raises(SteeringError, match="runs 1 rows"), steering(model, push(2)):
        batch_of(model)


def test_what_a_thread_refuses_is_raised_at_the_end():
    model = family("llama")

    def run() -> None:
        with pytest.raises(SteeringError, match="runs 3 rows"):
            logits(model, ids(3))

    with pytest.raises(SteeringError, match="runs 3 rows"), steering(model, push(2)):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    with steering(model, push(2)):  # whom it was raised to has heard it
        run()
        logits(model)


@pytest.mark.parametrize("how", ["assistant", "lookup"])
def test_assisted_generation_says_the_same_or_asks_for_the_length_of_the_prompt(how):
    model, v, tokens = family("llama"), push(size=SIZE), ids(1)
    guess = (
        {"assistant_model": family("llama", seed=3)}
        if how == "assistant"
        else {"prompt_lookup_num_tokens": 3}
    )
    tokens[:, 4:] = tokens[:, :3]  # something to look up
    for positions in POSITIONS:
        with steering(model, v, positions=positions):
            wanted = say(model, tokens)
            if positions == "all":
                assert torch.equal(say(model, tokens, **guess), wanted)
            else:
                with pytest.raises(Unsupported, match=r"guessed tokens.*prompt_length"):
                    say(model, tokens, **guess)
        with steering(model, v, positions=positions, prompt_length=7):
            assert torch.equal(say(model, tokens, **guess), wanted)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("kind", ["llama", "gemma3_text"])
def test_a_static_cache_says_the_same(kind, positions):
    model, v = family(kind), push(size=SIZE)
    with steering(model, v, positions=positions):
        assert torch.equal(say(model, ids(), cache_implementation="static"), say(model, ids()))


@pytest.mark.parametrize("positions", POSITIONS)
def test_padding_on_the_right_leaves_each_row_its_own_last_column(positions):
    model, v = family("llama"), push(size=SIZE)
    tokens, mask = ids(2, 9), torch.ones(2, 9, dtype=torch.long)
    tokens[0, 4:] = mask[0, 4:] = 0
    with steering(model, v, positions=positions):
        together = logits(model, tokens, attention_mask=mask)
    with steering(model, v, positions=positions):
        alone = logits(model, tokens[:1, :4])
    torch.testing.assert_close(together[:1, :4], alone, **CLOSE)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("kind", ["qwen3_next", "lfm2"])
def test_a_hybrid_cache_counts_the_columns_of_its_attention(kind, positions):
    model = tiny_model(kind)
    v = push(size=SIZE)[:2]
    tokens = ids(2).remainder(96)
    with steering(model, v, positions=positions):
        assert torch.equal(say(model, tokens), say(model, tokens, use_cache=False))


# -- weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["disk", "cpu"])
def test_an_offloaded_model_is_steered_as_the_whole_one(where, tmp_path):
    from accelerate import cpu_offload, disk_offload

    model, whole = family("llama"), family("llama")
    if where == "cpu":
        cpu_offload(model, execution_device=torch.device("cpu"))
    else:
        disk_offload(model, str(tmp_path), execution_device=torch.device("cpu"))
    assert blocks(model)[0].mlp.down_proj.weight.is_meta
    plain = logits(whole)
    for v, positions in ((push(), "all"), (push(2), "all"), (push(), "last")):
        with steering(model, v, positions=positions) as applied:
            moved = logits(model)
        assert applied.tier != "bias"
        with steering(whole, v, positions=positions):
            torch.testing.assert_close(moved, logits(whole), **CLOSE)
        assert not torch.allclose(moved, plain, atol=1e-2)
    torch.testing.assert_close(logits(model), plain)


def test_a_model_in_parts_is_steered_as_the_whole_one(tmp_path):
    from accelerate import dispatch_model

    model, whole, v = family("llama"), family("llama"), push(2)
    places = {
        "model.embed_tokens": "cpu",
        "model.rotary_emb": "cpu",
        "model.layers.0": "cpu",
        "model.layers.1": "disk",
        "model.layers.2": "cpu",
        "model.norm": "cpu",
        "lm_head": "disk",
    }
    dispatch_model(model, places, main_device="cpu", offload_dir=str(tmp_path), force_hooks=True)
    with steering(whole, v):
        wanted = say(whole, ids())
    with steering(model, v):
        assert torch.equal(say(model, ids()), wanted)


def test_blocks_in_another_type_than_the_embeddings_keep_their_own():
    model = family("llama").to(torch.bfloat16)
    with steering(model, push(2)):
        wanted = logits(model)
    embedding = model.model.embed_tokens.float()
    embedding.register_forward_hook(lambda _module, _args, out: out.to(torch.bfloat16))
    with steering(model, push(2)), recording(model) as states:
        found = logits(model)
    assert {state.dtype for state in states} == {torch.bfloat16}
    assert torch.equal(found, wanted)


class Int8Linear(nn.Module):
    """As bitsandbytes does it: another module, whose weight is of whole numbers."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.scale = linear.weight.abs().amax(1, keepdim=True) / 127
        whole = (linear.weight / self.scale).round().to(torch.int8)
        self.weight = nn.Parameter(whole, requires_grad=False)
        self.bias = linear.bias

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(state, self.weight.to(state.dtype) * self.scale, self.bias)


class Int8Weight(torch.Tensor):
    """As torchao does it: the same module, whose weight is a tensor of a class of its own."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        with torch._C.DisableTorchFunctionSubclass():
            if func is nn.functional.linear:
                state, weight, *bias = args
                step = weight.abs().amax(1, keepdim=True) / 127
                return func(state, (weight / step).round() * step, *bias, **(kwargs or {}))
            made = func(*args, **(kwargs or {}))
            return made.as_subclass(cls) if func is torch.Tensor.detach else made


def quantised(model, how):
    with torch.no_grad():
        for block in blocks(model):
            down = block.mlp.down_proj
            if how == "module":
                block.mlp.down_proj = Int8Linear(down)
            else:
                weight = down.weight.detach().as_subclass(Int8Weight)
                down.weight = nn.Parameter(weight, requires_grad=False)
    return model


def _real(model, how):
    if how == "torchao":
        reason = "torchao is not installed; Int8Weight stands in"
        torchao = pytest.importorskip("torchao.quantization", reason=reason)
        torchao.quantize_(model, torchao.Int8WeightOnlyConfig())
        return model
    reason = "bitsandbytes is not installed; Int8Linear stands in"
    bnb = pytest.importorskip("bitsandbytes", reason=reason)
    for block in blocks(model):
        down = block.mlp.down_proj
        packed = bnb.nn.Linear4bit(down.in_features, down.out_features, bias=False)
        packed.load_state_dict(down.state_dict())
        block.mlp.down_proj = packed.to("cpu")
    return model


@pytest.mark.parametrize("how", ["module", "weight", "torchao", "bitsandbytes"])
@pytest.mark.parametrize("rows", [None, 2])
def test_quantised_weights_are_steered_by_exactly_what_is_asked(how, rows):
    model = family("llama")
    model = quantised(model, how) if how in ("module", "weight") else _real(model, how)
    v = push(rows)
    v[..., :2, :] = 0
    with recording(model) as states:
        plain = logits(model)
        before = states[2].clone()
    with steering(model, v), recording(model) as states:
        moved = logits(model)
        after = states[2].clone()
    asked = v[2] if rows is None else v[:, 2, None]
    torch.testing.assert_close(after, before + asked, **CLOSE)
    assert not torch.allclose(moved, plain, atol=1e-2)
    assert torch.equal(logits(model), plain)


def test_parallel_activations_are_steered_in_the_one_that_is_computed():
    model = tiny_model("gemma3n_text")
    v, tokens = push(2)[:, :2], ids().remainder(96)
    v[:, 0] = 0
    seen = []
    with torch.inference_mode(), steering(model, v):
        handle = blocks(model)[1].register_forward_hook(lambda _m, _a, out: seen.append(out))
        model(input_ids=tokens)
        handle.remove()
    with torch.inference_mode():
        handle = blocks(model)[1].register_forward_hook(lambda _m, _a, out: seen.append(out))
        model(input_ids=tokens)
        handle.remove()
    moved, plain = seen
    torch.testing.assert_close(moved[0], plain[0] + v[:, 1, None], **CLOSE)
    assert torch.equal(moved[1:], plain[1:])
