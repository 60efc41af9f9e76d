from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from emotone.emotions import EmotionMix
from emotone.errors import CheckpointError, MixError, SteeringError, UnknownName, Unsupported
from emotone.steering.card import VectorsCard
from emotone.steering.dose import Curve
from emotone.steering.fingerprint import fingerprint
from emotone.steering.listen import train_listener
from emotone.steering.mixing import reaching
from emotone.steering.vectors import EmotionVectors
from emotone.systems import steered
from unit.steering.families import family


def toy(seed: int = 0, labels=("anger", "joy", "sadness"), curves=True) -> EmotionVectors:
    draw = torch.Generator().manual_seed(seed)
    curve = Curve(((-100.0, -0.5), (0.0, 0.0), (50.0, 0.4), (100.0, 1.2)))
    card = VectorsCard(
        "toy", "f" * 32, norms=(1.0, 2.0), curves=dict.fromkeys(labels, curve) if curves else {}
    )
    return EmotionVectors({k: torch.randn(2, 4, generator=draw) for k in labels}, card)


def same(a: EmotionVectors, b: EmotionVectors) -> bool:
    return a.labels == b.labels and all(torch.allclose(a[k], b[k], atol=1e-5) for k in a)


@given(st.integers(0, 99), st.integers(100, 199), st.floats(-3, 3), st.floats(-3, 3))
@settings(max_examples=25, deadline=None)
def test_algebra_is_that_of_vectors(i, j, a, b):
    x, y = toy(i), toy(j)
    assert same(x + y, y + x)
    assert same(x - x, 0.0 * x)
    assert same(a * (x + y), a * x + a * y)
    assert same((a + b) * x, a * x + b * x)
    negative = -x
    assert same(-negative, x)


def test_base_and_centred_split_what_is_shared():
    x = toy()
    assert torch.allclose(x.centred().base(), torch.zeros(2, 4), atol=1e-6)
    assert all(torch.allclose(x.centred()[k] + x.base(), x[k], atol=1e-6) for k in x)


def test_algebra_loses_calibration_and_selection_keeps_it():
    x = toy()
    assert set((2 * x).card.curves) == set()
    assert set(x.only("joy").card.curves) == {"joy"}
    assert x.only("joy").merged(x.only("anger")).labels == ("joy", "anger")
    with pytest.raises(Unsupported, match="both sets hold joy"):
        x.merged(x.only("joy"))
    with pytest.raises(Unsupported, match="not calibrated"):
        (2 * x).doses(EmotionMix.parse("joy"))


def test_vectors_of_another_model_do_not_add():
    x = toy()
    y = dataclasses.replace(x, card=dataclasses.replace(x.card, model="other", fingerprint="0"))
    with pytest.raises(Unsupported, match="belong to toy at resid, the others to other"):
        _ = x + y


def test_intensity_goes_through_the_curve():
    x = toy()
    assert x.doses(EmotionMix.parse("joy:50")) == {"joy": pytest.approx(0.4)}
    assert x.doses(EmotionMix.parse("joy")) == {"joy": pytest.approx(1.2)}
    assert x.doses(EmotionMix.parse("joy:-100")) == {"joy": pytest.approx(-0.5)}
    assert torch.equal(x.displacement(EmotionMix.parse("joy:0")), torch.zeros(2, 4))


@given(st.floats(-100, 100), st.floats(-100, 100), st.floats(-100, 100))
@settings(max_examples=50, deadline=None)
def test_a_mix_never_exceeds_what_one_emotion_may_use(a, b, c):
    x = toy()
    doses = x.doses(EmotionMix.of({"joy": a, "anger": b, "sadness": c}))
    ceilings = {k: 1.2 if doses[k] >= 0 else 0.5 for k in doses}
    assert sum((doses[k] / ceilings[k]) ** 2 for k in doses) <= 1 + 1e-9


def test_a_small_mix_is_corrected_or_the_plain_sum_as_is_set():
    x = toy()
    mix = EmotionMix.parse("joy:40 + sadness:30")
    plain = dataclasses.replace(x, mixing="sum").displacement(mix)
    alone = [x.displacement(EmotionMix.parse(m)) for m in ("joy:40", "sadness:30")]
    assert torch.allclose(plain, alone[0] + alone[1])
    asked = {"joy": pytest.approx(0.32), "sadness": pytest.approx(0.24)}
    assert dataclasses.replace(x, mixing="sum").doses(mix) == asked
    assert x.doses(mix) == reaching({"joy": 0.32, "sadness": 0.24}, x.directions, x.card.norms)
    assert x.doses(mix) != asked


def test_one_emotion_is_the_same_in_either_way_of_mixing():
    x = toy()
    for text in ("joy:40", "joy:-100", "joy:40 + sadness:0"):
        mix = EmotionMix.parse(text)
        assert x.doses(mix) == dataclasses.replace(x, mixing="sum").doses(mix)


def test_an_emotion_without_vector_is_refused_with_the_list():
    x = toy()
    with pytest.raises(UnknownName, match=r"[Aa]llowed: anger, joy, sadness"):
        x["fear"]
    with pytest.raises(UnknownName, match="leave the emotion out"):
        x["neutral"]
    with pytest.raises(MixError, match="not both"):
        x.displacement(EmotionMix.parse("joy"), raw_scale={"joy": 1})


def test_file_round_trip(tmp_path):
    texts = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
    listener = train_listener(texts, ["joy", "anger"] * 10, block=1)
    sense = train_listener(texts, ["0", "2"] * 10, block=0)
    hearing = train_listener(texts, ["fear", "love"] * 10, block=0)
    x = dataclasses.replace(toy(), listener=listener, sense=sense, hearing=hearing)
    x.save(tmp_path / "v.safetensors")
    y = EmotionVectors.load(tmp_path / "v.safetensors")
    assert y.card == x.card
    assert y.labels == x.labels
    assert all(torch.equal(y[k], x[k].half().float()) for k in x)
    assert torch.equal(y.listener.logprobs(texts), listener.logprobs(texts))
    assert y.sense.labels == ("0", "2")
    assert torch.equal(y.sense.logprobs(texts), sense.logprobs(texts))
    assert y.digest() != dataclasses.replace(x, sense=None).digest()
    assert y.hearing is not None
    assert torch.equal(y.hearing.logprobs(texts), hearing.logprobs(texts))
    assert y.digest() != dataclasses.replace(x, hearing=None).digest()
    assert [p.name for p in tmp_path.iterdir()] == ["v.safetensors"]  # nothing temporary is left


@pytest.mark.parametrize("where", [0.0, 0.3, 0.6, 0.9, 0.999])
def test_an_altered_byte_is_noticed(tmp_path, where):
    path = tmp_path / "v.safetensors"
    toy().save(path)
    blob = bytearray(path.read_bytes())
    blob[int(where * (len(blob) - 1))] ^= 0x5A
    path.write_bytes(blob)
    with pytest.raises(CheckpointError, match=r"v\.safetensors"):
        EmotionVectors.load(path)


def test_truncated_missing_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "v.safetensors"
    toy().save(path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match=r"cannot read the vector file .*v\.safetensors"):
        EmotionVectors.load(path)
    with pytest.raises(CheckpointError, match="cannot read"):
        EmotionVectors.load(tmp_path / "absent.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="is not an emotion vector file"):
        EmotionVectors.load(tmp_path / "other.safetensors")


def test_the_header_is_plain_json_that_others_can_read(tmp_path):
    toy().save(tmp_path / "v.safetensors")
    with safe_open(tmp_path / "v.safetensors", "pt") as f:
        header = json.loads(f.metadata()["emotone"])
    assert header["labels"] == ["anger", "joy", "sadness"]
    assert header["card"]["model"] == "toy"


def test_damaged_directions_are_refused():
    with pytest.raises(SteeringError, match="vector of joy holds NaN"):
        EmotionVectors({"joy": torch.full((2, 4), float("nan"))}, toy().card)
    with pytest.raises(SteeringError, match="shapes"):
        EmotionVectors({"joy": torch.zeros(2, 4), "fear": torch.zeros(3, 4)}, toy().card)


def test_another_model_is_refused_with_a_clear_sentence():
    system = steered.tiny()
    other = family("llama")
    with pytest.raises(SteeringError, match=r"made for tiny \(3 blocks of width 32\), the model"):
        system.vectors.check_model(other)
    with pytest.raises(SteeringError), system.vectors.steer(other, "joy"):
        pass


def test_the_fingerprint_sees_weights_not_their_type():
    model = family("llama")
    print_ = fingerprint(model)
    bf16 = model.to(torch.bfloat16)
    assert fingerprint(bf16) == print_
    assert fingerprint(family("llama", seed=1)) != print_


def test_steer_takes_text_mixes_and_rows():
    system = steered.tiny()
    model = system._lm.model
    with system.vectors.steer(model, "joy:60 + fear:20") as applied:
        assert applied.tier == "bias"
    with system.vectors.steer(model, ["joy", None]) as applied:
        assert applied.tier == "rows"
    with system.vectors.steer(model, ["joy", "joy:100"]) as applied:
        assert applied.tier == "bias"  # the same mix for all rows
    with system.vectors.steer(model, raw_scale={"joy": 0.5}) as applied:
        assert applied.tier == "bias"
    with system.vectors.steer(model) as applied:
        assert applied.tier == "none"
    with pytest.raises(UnknownName, match="have a vector"):
        system.vectors.steer(model, "hope")


@given(
    st.lists(st.floats(0.01, 1), min_size=1, max_size=5), st.floats(-100, 100), st.floats(-100, 100)
)
def test_a_curve_rises(steps, a, b):
    knots, at = [(0.0, 0.0)], 0.0
    for i, step in enumerate(steps, 1):
        at += step
        knots.append((100 * i / len(steps), at))
    curve = Curve(((-100.0, -at), *knots))
    low, high = sorted((a, b))
    assert curve.dose(low) <= curve.dose(high)
    assert curve.dose(0) == 0
    assert curve.dose(100) == at


def test_a_curve_that_falls_or_moves_zero_is_refused():
    with pytest.raises(SteeringError, match="must rise"):
        Curve(((0.0, 0.0), (50.0, 1.0), (100.0, 0.9)))
    with pytest.raises(SteeringError, match="intensity 0, dose 0"):
        Curve(((0.0, 0.1), (100.0, 1.0)))


def test_a_steered_system_names_every_judge_that_touched_its_vectors():
    from emotone.steering.mood import vector_judges

    assert list(map(str, vector_judges(EmotionVectors.shipped("smollm2")))) == [
        "pair-empathetic-dailydialog-1",
        "pair-goemotions-a-1",
    ]
