"""Mood adapters: equal to peft's, mixed exactly, row by row, kept in files, refused in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from emotone.emotions import EmotionMix
from emotone.errors import CheckpointError, MixError, SteeringError, UnknownName, Unsupported
from emotone.models.tiny import tiny_causal_lm
from emotone.steering.find import mood_file, open_moods, open_vectors
from emotone.steering.gates import Factors
from emotone.steering.live import LiveSteering
from emotone.steering.mood import Mood
from emotone.steering.mood_adapters import MoodAdapters, open_mood_adapters
from emotone.steering.tiny import tiny_vectors
from emotone.systems import steered
from emotone.types import Decoding, Dialogue
from unit.steering.running import alone, together

GREEDY = Decoding("greedy", max_tokens=12)
IDS = (torch.arange(36).reshape(3, 12) * 7 + 3) % 250
RANK = 2
SHAPES = {"self_attn.o_proj": (32, 32), "mlp.down_proj": (64, 32)}


def tiny_moods(model: Any) -> MoodAdapters:
    """Random adapters in two of three blocks, each in a length that tells."""
    vectors = tiny_vectors(model)
    draw = torch.Generator().manual_seed(3)
    count = len(vectors.labels)
    maps = {
        f"model.layers.{block}.{name}": Factors(
            torch.randn(count, RANK, width, generator=draw) * 0.2,
            torch.randn(count, out, RANK, generator=draw) * 0.3,
        )
        for block in (1, 2)
        for name, (width, out) in SHAPES.items()
    }
    norms = tuple(float(model.get_submodule(path).weight.detach().norm()) for path in sorted(maps))
    card = replace(vectors.card, norms=norms)
    return MoodAdapters(vectors.labels, maps, card, vectors.listener)


@pytest.fixture
def lm() -> Any:
    return tiny_causal_lm()


@torch.inference_mode()
def logits(model: Any, ids: torch.Tensor = IDS) -> torch.Tensor:
    return model(input_ids=ids, use_cache=False).logits


# -- what they compute --------------------------------------------------------------------------


def test_one_emotion_is_the_lora_of_peft(lm: Any) -> None:
    from peft import LoraConfig, get_peft_model

    moods = tiny_moods(lm.model)
    with moods.steer(lm.model, raw_scale={"joy": 1.0}) as applied:
        ours = logits(lm.model)
    assert (applied.tier, applied.site, applied.blocks) == ("hooks", "maps", (1, 2))
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(moods.maps))
    theirs: Any = get_peft_model(tiny_causal_lm().model, config)
    place = moods.labels.index("joy")
    with torch.no_grad():
        for path, (down, up) in moods.maps.items():
            layer = theirs.get_submodule(f"base_model.model.{path}")
            layer.lora_A["default"].weight.copy_(down[place])
            layer.lora_B["default"].weight.copy_(up[place])
    assert (ours - logits(theirs)).abs().max() < 1e-5
    assert (ours - logits(lm.model)).abs().max() > 0.1


def test_a_mix_moves_a_map_by_the_sum_of_its_parts(lm: Any) -> None:
    moods = tiny_moods(lm.model)
    path = "model.layers.1.mlp.down_proj"
    module, x = lm.model.get_submodule(path), torch.randn(2, 5, 64)
    down, up = moods.maps[path]
    doses = {"joy": 0.7, "fear": -0.4}
    with torch.inference_mode():
        plain = module(x)
        with moods.steer(lm.model, raw_scale=doses):
            moved = module(x) - plain
    wanted = torch.zeros_like(plain)
    for label, dose in doses.items():
        i = moods.labels.index(label)
        wanted += dose * (x @ down[i].T @ up[i].T)
    assert torch.allclose(moved, wanted, atol=1e-5)
    (low, high) = moods.folded(doses)[path]
    assert torch.allclose(x @ low.T @ high.T, wanted, atol=1e-5)


def test_a_row_in_a_batch_is_as_alone(lm: Any) -> None:
    moods = tiny_moods(lm.model)
    asked = [{"joy": 1.0}, {}, {"anger": 0.5, "fear": 0.8}]
    plain = logits(lm.model)
    with moods.steer(lm.model, raw_scale=asked):
        together = logits(lm.model)
    for row, doses in enumerate(asked):
        with moods.steer(lm.model, raw_scale=doses) as applied:
            alone = logits(lm.model, IDS[row : row + 1])
        assert (applied.tier == "none") == (not doses)
        assert torch.allclose(together[row], alone[0], atol=1e-5)
    assert torch.allclose(together[1], plain[1], atol=1e-6)
    assert (together[2] - plain[2]).abs().max() > 0.1


def test_candidates_of_a_prompt_have_its_mix(lm: Any) -> None:
    mood = Mood(lm, tiny_moods(lm.model))
    doses = [{"joy": 1.0}, {"fear": 0.7}]
    prompts = [[5, 6, 7], [8, 9]]
    both = mood.write_candidates(prompts, doses, [2, 3], Decoding(max_tokens=6, seed=5))
    alone = Mood(lm, mood.vectors, batch=1)
    single = alone.write_candidates(prompts, doses, [2, 3], Decoding(max_tokens=6, seed=5))
    assert [[w.text for w in row.replies] for row in both] == [
        [w.text for w in row.replies] for row in single
    ]


def test_the_model_is_afterwards_as_it_was_also_after_a_failure(lm: Any) -> None:
    moods, before = tiny_moods(lm.model), logits(lm.model)
    with pytest.raises(RuntimeError, match="boom"), moods.steer(lm.model, "joy"):
        raise RuntimeError("boom")
    assert torch.equal(logits(lm.model), before)
    assert not any(m._forward_hooks for m in lm.model.modules())
    with moods.steer(lm.model, "joy"):
        pass


def test_they_act_in_half_precision(lm: Any) -> None:
    moods = tiny_moods(lm.model)
    with moods.steer(lm.model, "joy:60"):
        exact = logits(lm.model)
    plain = logits(lm.model)
    lm.model.bfloat16()
    with moods.steer(lm.model, "joy:60"):
        short = logits(lm.model).float()
    assert (short - exact).abs().mean() < 0.2 * (plain - exact).abs().mean()


# -- wherever vectors go ------------------------------------------------------------------------


def test_a_running_batch_gives_each_row_its_own(lm: Any) -> None:
    moods = tiny_moods(lm.model)
    system = steered.Steered(lm, moods, steered.Config(candidates=1))
    posts = ("the bus", "a longer post than that", "the bus again")
    asks = [{"joy": 1.5}, {}, {"anger": 1.0, "fear": 0.8}]
    expected = alone(system, posts, asks, GREEDY)
    with LiveSteering(lm.model, moods).on() as live:
        assert together(system, live, posts, asks, GREEDY) == expected
        assert live.prefix_key(moods.push({"joy": 1.0})) != live.prefix_key(None)
    assert len(set(expected)) > 1
    assert not any(m._forward_hooks for m in lm.model.modules())


def test_the_system_answers_chooses_and_reports_with_them(lm: Any) -> None:
    moods = tiny_moods(lm.model)
    system = steered.Steered(lm, moods, steered.Config(candidates=3))
    mix = EmotionMix.parse("joy:60 + fear:20", moods.taxonomy)
    dialogues = [Dialogue.of("hello"), Dialogue.of("hello")]
    moved, plain = system.reply(dialogues, [mix, None], decoding=Decoding(max_tokens=8))
    said = moved.applied
    assert (said["site"], said["positions"], said["blocks"]) == ("maps", "all", [1, 2])
    assert said["relative_dose"] > 0
    assert said["candidates"] == 3
    assert set(said["dose"]) == {"joy", "fear"}
    assert (plain.applied["tier"], plain.applied["relative_dose"]) == ("none", 0.0)
    ((steered_nats, count),) = system.nats(dialogues[:1], [mix], ["ha"])
    ((plain_nats, _),) = system.nats(dialogues[:1], [None], ["ha"])
    assert count > 0
    assert steered_nats != plain_nats


def test_doses_of_a_mix_are_those_of_vectors_with_the_same_products(lm: Any) -> None:
    moods = tiny_moods(lm.model)
    weights = [
        (up @ down).double() / norm
        for (_, (down, up)), norm in zip(sorted(moods.maps.items()), moods.card.norms, strict=True)
    ]
    flat = torch.cat([w.flatten(1) for w in weights], 1)  # [E, entries]: B A of each emotion
    vectors = replace(
        tiny_vectors(lm.model),
        directions={k: row[None] for k, row in zip(moods.labels, flat, strict=True)},
    )
    vectors = replace(vectors, card=replace(vectors.card, norms=()))
    for text in ("joy:60 + fear:20", "joy:40 + sadness:40 + anger:10", "joy:60", "joy:-30"):
        mix = EmotionMix.parse(text, moods.taxonomy)
        assert moods.doses(mix) == pytest.approx(vectors.doses(mix), abs=1e-5)
    plain = replace(moods, mixing="sum").doses(EmotionMix.parse("joy:60 + fear:20", moods.taxonomy))
    assert plain == pytest.approx({"joy": 0.6, "fear": 0.2})
    length = torch.stack([(0.5 * w[3]).norm() for w in weights]).mean()
    assert moods.relative_dose(moods.push({moods.labels[3]: 0.5})) == pytest.approx(float(length))


# -- files --------------------------------------------------------------------------------------


def test_a_file_gives_back_what_was_saved(lm: Any, tmp_path: Any) -> None:
    moods = tiny_moods(lm.model)
    heard = moods.listener
    assert heard is not None
    labels = {name: tuple(f"{name} {i}" for i in range(len(heard.labels))) for name in ("a", "b")}
    sense, hearing = (
        replace(heard, labels=own, weight=heard.weight + k, bias=heard.bias + k,
                centre=heard.centre + k, scale=heard.scale + k)
        for k, own in enumerate(labels.values(), 1)
    )  # fmt: skip
    moods = replace(moods, sense=sense, hearing=hearing)
    moods.save(tmp_path / "moods.safetensors")
    for place in (tmp_path, tmp_path / "moods.safetensors"):
        opened = open_mood_adapters(place)
        assert (opened.labels, opened.card) == (moods.labels, moods.card)
        assert opened.listener is not None
        assert opened.sense is not None
        assert opened.hearing is not None
        assert (opened.sense.labels, opened.hearing.labels) == (labels["a"], labels["b"])
        assert opened.digest() == moods.digest()
        for path, both in moods.maps.items():
            for part, other in zip(both, opened.maps[path], strict=True):
                assert torch.equal(part.half().float(), other)
    assert moods.only("fear", "joy").labels == ("fear", "joy")
    assert set(moods.only("fear").card.curves) == {"fear"}


def test_vectors_and_mood_adapters_are_told_apart(lm: Any, tmp_path: Any) -> None:
    moods, vectors = tiny_moods(lm.model), tiny_vectors(lm.model)
    moods.save(tmp_path / "moods.safetensors")
    assert isinstance(open_moods(str(tmp_path)), MoodAdapters)
    with pytest.raises(CheckpointError, match="holds mood adapters, not emotion vectors"):
        open_vectors(str(tmp_path / "moods.safetensors"))
    vectors.save(tmp_path / "vectors.safetensors")
    assert type(open_moods(str(tmp_path))) is type(vectors)  # a folder of both is one of vectors
    assert isinstance(open_moods(str(tmp_path / "moods.safetensors")), MoodAdapters)
    assert mood_file(str(tmp_path / "vectors.safetensors")) is None
    assert mood_file("smollm2-companion") is None
    with pytest.raises(CheckpointError, match="holds emotion vectors, not mood adapters"):
        open_mood_adapters(tmp_path / "vectors.safetensors")


def test_an_altered_file_is_refused(lm: Any, tmp_path: Any) -> None:
    file = tmp_path / "moods.safetensors"
    tiny_moods(lm.model).save(file)
    blob = bytearray(file.read_bytes())
    blob[-5] ^= 1
    file.write_bytes(bytes(blob))
    with pytest.raises(CheckpointError, match="was altered"):
        open_mood_adapters(file)
    with pytest.raises(CheckpointError, match="cannot read"):
        open_mood_adapters(tmp_path / "no.safetensors")


# -- errors -------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused_in_words(lm: Any) -> None:
    moods = tiny_moods(lm.model)
    with pytest.raises(SteeringError, match="learned for tiny, the model given is another"):
        moods.check_model(tiny_causal_lm(seed=1).model)
    with pytest.raises(SteeringError, match=r"no map model\.layers\.2"):
        moods.check_model(tiny_causal_lm(blocks=2).model)
    with pytest.raises(SteeringError, match=r"is \[64, 64\].*for one of \[32, 32\]"):
        moods.check_model(tiny_causal_lm(width=64).model)
    with pytest.raises(UnknownName, match="mood adapter 'hope'"):
        moods.push({"hope": 1.0})
    with pytest.raises(UnknownName, match="have an adapter"), moods.steer(lm.model, "hope:40"):
        pass
    both = moods.steer(lm.model, "joy", raw_scale={"joy": 1.0})
    with pytest.raises(MixError, match="not both"), both:
        pass
    bare = replace(moods, card=replace(moods.card, curves={}))
    with pytest.raises(Unsupported, match="adapter of joy is not calibrated"):
        bare.doses(EmotionMix.parse("joy", moods.taxonomy))
    two = moods.steer(lm.model, raw_scale=[{"joy": 1.0}, {}])
    with pytest.raises(SteeringError, match="runs 3 rows, the mixes are for 2"), two:
        logits(lm.model)
    second = moods.steer(lm.model, "fear")
    with (
        pytest.raises(SteeringError, match="already steered"),
        moods.steer(lm.model, "joy"),
        second,
    ):
        pass


def test_inconsistent_parts_are_refused(lm: Any) -> None:
    moods = tiny_moods(lm.model)
    path, (down, up) = next(iter(moods.maps.items()))
    for wrong, words in (
        ({"labels": ()}, "need an emotion"),
        ({"maps": {}}, "need an emotion and a map"),
        ({"maps": {path: Factors(down[:2], up)}}, "are"),
        ({"maps": {**moods.maps, path: Factors(down, up[:, :, :1])}}, "out, 2"),
        ({"maps": {**moods.maps, path: Factors(down * float("nan"), up)}}, "NaN"),
        ({"card": replace(moods.card, norms=(1.0,))}, "1 lengths for 4 maps"),
        ({"card": replace(moods.card, positions="last")}, "act on 'all'"),
    ):
        with pytest.raises(SteeringError, match=words):
            replace(moods, **wrong)


def test_a_map_that_is_never_called_is_not_passed_over(lm: Any) -> None:
    moods = tiny_moods(lm.model)
    block = lm.model.model.layers[2].mlp
    down = block.down_proj
    # As a fused kernel does, which takes the weight and calls no module.
    block.forward = lambda x: torch.nn.functional.linear(
        block.act_fn(block.gate_proj(x)) * block.up_proj(x), down.weight
    )
    steering = moods.steer(lm.model, "joy")
    with pytest.raises(SteeringError, match=r"layers\.2\.mlp\.down_proj was not called"), steering:
        pass
