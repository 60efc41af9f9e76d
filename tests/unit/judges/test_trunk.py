"""Trunks with low-rank changes, on tiny random models saved to a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from emotone.errors import Unsupported
from emotone.judges.trunk import TrunkSpec, low_rank_change, merge, open_trunk, pool
from emotone.models.tiny import byte_tokenizer

TEXTS = ["good", "a longer text with some words", "x", "今天很开心"]
#: Changes are kept in float16, so sums over a tiny width may differ in the fourth digit.
HALF = 2e-3


@pytest.fixture(scope="module", params=["bert", "gemma", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import (
        BertConfig,
        BertModel,
        Gemma3TextConfig,
        Gemma3TextModel,
        LlamaConfig,
        LlamaModel,
    )

    place = tmp_path_factory.mktemp(request.param)
    tokenizer = byte_tokenizer()
    size = {"hidden_size": 32, "num_hidden_layers": 4, "vocab_size": len(tokenizer)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if request.param == "bert":
            model = BertModel(
                BertConfig(
                    **size, num_attention_heads=4, intermediate_size=64, initializer_range=0.3
                )
            )
        elif request.param == "llama":
            model = LlamaModel(
                LlamaConfig(
                    **size,
                    num_attention_heads=4,
                    num_key_value_heads=2,
                    intermediate_size=64,
                    initializer_range=0.3,
                )
            )
        else:
            model = Gemma3TextModel(
                Gemma3TextConfig(
                    **size, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
                    intermediate_size=64, initializer_range=0.3, sliding_window=64,
                )
            )  # fmt: skip
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def spec(folder: Path, **other: object) -> TrunkSpec:
    return TrunkSpec(str(folder), **{"max_tokens": 40, "rank": 3, "alpha": 6.0, **other})  # type: ignore[arg-type]


POSTS = ["I won", None, "They left", "Ha"]


def vectors(trunk, texts, posts=None) -> torch.Tensor:
    with torch.no_grad():
        rows = trunk.tokens(texts, posts)
        padded = trunk.pad([row.ids for row in rows])
        return trunk(*padded, [row.start for row in rows])


def test_pooling_by_hand():
    states = torch.tensor(
        [[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]], [[5.0, 6.0], [7.0, 8.0], [1.0, 0.0]]]
    )
    mask = torch.tensor([[True, True, False], [True, True, True]])
    assert pool(states, mask, "mean")[0].tolist() == [2.0, 3.0]
    assert pool(states, mask, "last").tolist() == [[3.0, 4.0], [1.0, 0.0]]
    assert pool(states, mask, "mean+last")[0].tolist() == [2.0, 3.0, 3.0, 4.0]


@pytest.mark.parametrize("pooling", ["mean", "last", "mean+last"])
@pytest.mark.parametrize("suffix", ["", "\nfeels:"])
def test_padding_and_company_change_nothing(folder: Path, pooling: str, suffix: str):
    trunk = open_trunk(spec(folder, pooling=pooling, suffix=suffix), trained=False)
    together = vectors(trunk, TEXTS)
    alone = torch.cat([vectors(trunk, [t]) for t in TEXTS])
    assert together.shape == (4, trunk.width)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_a_long_text_is_cut_but_keeps_its_suffix(folder: Path):
    trunk = open_trunk(spec(folder, suffix="?!", max_tokens=8), trained=False)
    (row,) = trunk.tokens(["long " * 50])
    assert len(row.ids) == 8 + 2
    assert row.ids[-2:] == trunk.tokenizer("?!", add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("pooling", ["mean", "mean+last"])
def test_a_post_is_read_but_not_pooled(folder: Path, pooling: str):
    reads = open_trunk(spec(folder, pooling=pooling, max_post=6), trained=False)
    (row,) = reads.tokens(["so glad"], ["I won a very long race today"])
    (alone,) = reads.tokens(["so glad"])
    assert row.ids[row.start :] == alone.ids[len(alone.ids) - (len(row.ids) - row.start) :]
    assert row.start > 0
    assert len(row.ids) - len(alone.ids) <= 6 + 1, "the post is cut, and its mark is counted"
    with torch.no_grad():
        states = reads.states(*reads.pad([row.ids]))[0]
    mean = vectors(reads, ["so glad"], ["I won a very long race today"])[0, : states.shape[-1]]
    torch.testing.assert_close(mean, states[row.start :].mean(0), rtol=1e-4, atol=1e-5)
    together = vectors(reads, TEXTS, POSTS)
    single = [vectors(reads, [t], [p]) for t, p in zip(TEXTS, POSTS, strict=True)]
    torch.testing.assert_close(together, torch.cat(single), rtol=1e-4, atol=1e-5)
    other = vectors(reads, TEXTS, ["I lost", None, "They left", "Ha"])
    assert not torch.allclose(together[0], other[0]), "the post is read"
    assert torch.equal(together[1], other[1])
    deaf = open_trunk(spec(folder, pooling=pooling), trained=False)
    torch.testing.assert_close(vectors(deaf, TEXTS, ["a"] * 4), vectors(deaf, TEXTS))


def test_a_pair_is_read_as_the_models_own_template_has_it(folder: Path):
    chat = {"opening": "user: ", "between": " reply: ", "suffix": "!"}
    trunk = open_trunk(spec(folder, max_post=9, **chat), trained=False)
    (row,) = trunk.tokens(["fine"], ["and you?"])
    text = trunk.tokenizer.decode(row.ids, skip_special_tokens=True)
    assert text == "user: and you? reply: fine!"
    assert trunk.tokenizer.decode(row.ids[row.start :], skip_special_tokens=True) == "fine!"
    (alone,) = trunk.tokens(["fine"])
    assert trunk.tokenizer.decode(alone.ids, skip_special_tokens=True) == "fine!"


def test_the_mean_begins_with_the_text():
    states = torch.tensor([[[1.0], [3.0], [5.0], [9.0]]])
    mask = torch.tensor([[True, True, True, False]])
    assert pool(states, mask, "mean", [1])[0].tolist() == [4.0]
    assert pool(states, mask, "mean+last", [2])[0].tolist() == [5.0, 5.0]


def test_only_the_first_blocks_are_kept(folder: Path):
    short = open_trunk(spec(folder, layers=2), trained=False)
    whole = open_trunk(spec(folder), trained=False)
    ids, mask = whole.pad([row.ids for row in whole.tokens(TEXTS)])
    with torch.no_grad():
        out = whole.model(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True)
        second = out.hidden_states[2]
        if hasattr(whole.model, "norm"):
            second = whole.model.norm(second)
        states = short.states(ids, mask)
    torch.testing.assert_close(states[mask], second[mask], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frozen", [0, 3])
def test_merging_gives_what_training_had(folder: Path, frozen: int):
    trained = open_trunk(spec(folder, frozen=frozen))
    plain = open_trunk(spec(folder, frozen=frozen), trained=False)
    torch.testing.assert_close(vectors(trained, TEXTS), vectors(plain, TEXTS))
    draw = torch.Generator().manual_seed(1)
    for name, value in trained.named_parameters():
        if "lora_" in name:
            value.data = torch.randn(value.shape, generator=draw) * 0.2
    change = low_rank_change(trained)
    numbers = {int(k.split("layer")[1].lstrip("s.").split(".")[0]) for k in change}
    assert numbers == set(range(frozen, 4))
    moved = vectors(trained, TEXTS)
    assert (moved - vectors(plain, TEXTS)).abs().max() > 0.01
    merge(plain, change)
    torch.testing.assert_close(vectors(plain, TEXTS), moved, rtol=HALF, atol=HALF)


def test_a_change_for_a_block_that_is_not_there_is_refused(folder: Path):
    change = {"lora.layers.9.x.A": torch.zeros(3, 32), "lora.layers.9.x.B": torch.zeros(32, 3)}
    with pytest.raises(KeyError, match=r"layers\.9\.x"):
        merge(open_trunk(spec(folder), trained=False), change)


def test_a_model_without_known_layers_is_refused(tmp_path: Path):
    from transformers import GPT2Config, GPT2Model

    tokenizer = byte_tokenizer()
    GPT2Model(GPT2Config(vocab_size=len(tokenizer), n_embd=8, n_layer=1, n_head=1)).save_pretrained(
        tmp_path
    )
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(Unsupported, match="gpt2"):
        open_trunk(spec(tmp_path))


def test_the_opening_comes_after_the_mark_that_begins_a_text(folder: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    trunk = open_trunk(
        TrunkSpec(str(folder), max_post=8, opening="Q", between="A", rank=0), trained=False
    )
    mark = trunk.tokenizer.eos_token
    trunk.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{mark} $A", special_tokens=[(mark, trunk.tokenizer.eos_token_id)]
    )
    first, q, a = trunk.tokenizer.eos_token_id, trunk.written("Q"), trunk.written("A")
    post, reply = trunk.written("hi"), trunk.written("yo")
    assert trunk.prompts(["hi", ""]) == [[first, *q, *post, *a], [first, *q, *a]]
    (row,) = trunk.tokens(["yo"], ["hi"])
    assert row == ([first, *q, *post, *a, *reply], 1 + len(q + post + a))
