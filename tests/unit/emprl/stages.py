"""Folders of stages, as a training writes them, of random models."""

from __future__ import annotations

from pathlib import Path

from emotone.models import CausalLM
from emotone.models.tiny import tiny_causal_lm, tiny_seq2seq
from emotone.rl.causal import CausalPolicy
from emotone.rl.seq2seq import Seq2SeqPolicy
from emotone.systems.emprl.config import Config, PolicySettings
from emotone.systems.emprl.folder import save_policy
from emotone.training.adapters import Adapters, adapter_weights, add_adapters


def chat_model(folder: Path) -> Path:
    """A chat model's folder."""
    lm = tiny_causal_lm()
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return folder


def adapted_model() -> CausalLM:
    """The chat model with adapters that change what it says."""
    lm = tiny_causal_lm()
    add_adapters(lm.model, Adapters(rank=2))
    for name, value in adapter_weights(lm.model).items():
        if "lora_B" in name:
            value.data.fill_(0.3)
    return lm


def adapted(folder: Path, base: Path) -> Path:
    """A stage's folder of a policy that is the chat model with adapters."""
    lm = adapted_model()
    config = Config(policy=PolicySettings(model=str(base), system="Be kind.", max_prompt=300))
    policy = CausalPolicy(lm.model, lm.tokenizer, system="Be kind.", values=False)
    measured = {"steps": 40, "best_step": 30, "seconds": 99.5}
    save_policy(policy, folder, config, stage="ppo", measured=measured)
    return folder


def t5(folder: Path) -> Path:
    """A stage's folder of a T5."""
    lm = tiny_seq2seq()
    config = Config(policy=PolicySettings(model="new", separator=" | "))
    policy = Seq2SeqPolicy(lm.model, lm.tokenizer, reference=False, values=False)
    save_policy(policy, folder, config, stage="supervised", measured={})
    return folder
