"""The paper to the letter: its files, its arithmetic, its extraction from EmotionQuery."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from emotone import config as configs
from emotone.data.corpora import emotionquery
from emotone.data.reading import Problems
from emotone.errors import DataError
from emotone.models import CausalLM
from emotone.models.tiny import byte_tokenizer, tiny_causal_lm
from emotone.steering.extract import PRESETS, ExtractSettings, extract
from emotone.steering.published import of_paper, read_published
from emotone.systems import steered
from emotone.types import Decoding, Dialogue

GREEDY = Decoding("greedy", max_tokens=12, repetition_penalty=1.0, no_repeat=0)


def qwen() -> CausalLM:
    tokenizer = byte_tokenizer()
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, eos_token_id=2, pad_token_id=0,
        initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CausalLM(Qwen2ForCausalLM(config).eval(), tokenizer, "q", "q", None, "cpu")


def authors_files(folder: Path) -> list[Path]:
    """Files in the authors' form."""
    draw = torch.Generator().manual_seed(3)
    paths = []
    for emotion in ("joy", "anger"):
        rows = {str(i): [torch.randn(32, generator=draw).tolist()] for i in range(3)}
        path = folder / f"Qwen2.5-7B-Instruct_{emotion}.json"
        path.write_text(json.dumps(rows), encoding="utf-8")
        paths.append(path)
    return paths


def test_published_vectors_act_by_the_authors_arithmetic(tmp_path: Path):
    paths = authors_files(tmp_path)
    rows = {p.stem.rpartition("_")[2]: json.loads(p.read_text()) for p in paths}
    lm = qwen()
    vectors = of_paper(lm, read_published(paths))
    system = steered.Steered(lm, vectors, steered.Config(candidates=1))
    ours = system.reply_raw(
        [Dialogue.of("How was it?")], [{"joy": 2, "anger": -1}], decoding=GREEDY
    )

    def hook(layer: int):
        def add(_module, _args, output):
            for emotion, alpha in (("joy", 2), ("anger", -1)):
                output[0][:, -1:, :] += alpha * torch.tensor(rows[emotion][str(layer)])
            return output

        return add

    messages = [{"role": "user", "content": "How was it?"}]  # their demo has no system prompt
    ids = lm.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=False
    )
    handles = [
        b.self_attn.register_forward_hook(hook(i)) for i, b in enumerate(lm.model.model.layers)
    ]
    try:
        out = lm.model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12
        )
    finally:
        for handle in handles:
            handle.remove()
    theirs = lm.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip()
    plain = system.reply_raw([Dialogue.of("How was it?")], [{}], decoding=GREEDY)
    assert ours[0].text == theirs
    assert ours[0].text != plain[0].text


def test_tensors_are_read_too_and_each_emotion_once(tmp_path: Path):
    save_file(
        {"direction.joy": torch.ones(3, 32), "fear": torch.ones(3, 32)}, tmp_path / "v.safetensors"
    )
    assert set(read_published([tmp_path / "v.safetensors"])) == {"joy", "fear"}
    with pytest.raises(DataError, match="holds joy again"):
        read_published([*authors_files(tmp_path), tmp_path / "v.safetensors"])


@pytest.mark.parametrize("text", ["[]x", "{}", '{"0": "a"}', '{"1": [1.0]}', "[1, 2]"])
def test_other_files_are_refused_by_name(tmp_path: Path, text: str):
    path = tmp_path / "M_joy.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"M_joy\.json"):
        read_published([path])


def test_vectors_of_another_model_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="3 blocks of width 32, and tiny has 2 of 16"):
        of_paper(tiny_causal_lm(blocks=2, width=16), read_published(authors_files(tmp_path)))


def test_the_preset_takes_emotionquery_and_keeps_lengths(tmp_path: Path):
    for name, text in emotionquery.SAMPLE.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    queries = list(emotionquery.read(tmp_path, Problems("raise"), split="queries"))
    settings = configs.load(ExtractSettings, None, configs.as_overrides(PRESETS["paper"]))
    settings = replace(settings, tokens=6)
    lm = tiny_causal_lm()
    vectors = extract(lm, queries, settings=settings)
    assert vectors.labels == ("anger", "joy", "base")
    assert (vectors.card.site, vectors.card.positions) == ("attn_out", "last")
    assert torch.allclose(vectors["base"], (vectors["anger"] + vectors["joy"]) / 2)
    scaled = extract(lm, queries, settings=replace(settings, scaled=True, base=False))
    lengths = vectors["joy"].norm(dim=-1) / scaled["joy"].norm(dim=-1).clamp_min(1e-9)
    assert lengths.std() > 0.1  # each block has a length of its own
