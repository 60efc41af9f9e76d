"""A few steps of every trainer, and runs that were cut and went on."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
from pathlib import Path
from typing import Any

from tests.golden.command import emotone, write_rows
from tests.golden.judging import ANSWERS
from tests.golden.replies import POSTS_EN, generate, posts, reply
from tests.golden.values import folder_values, without_files

RECURRENT = """
[data]
train = "train.jsonl"
dev = "dev.jsonl"
lang = "en"
taxonomy = "ekman"

[sizes]
embedding = 12
encoder_hidden = 10
hidden = 14
dropout = 0.1

[training]
batch = 8
lr = 5e-3
max_steps = 3
evaluate_every = 2
save_every = 2
log_every = 1
threads = 1
device = "cpu"

[replies]
candidates = 4
"""
EMPRL = """
[data]
train = "talks.jsonl"
dev_share = 0.2
base = ["talks.jsonl"]

[policy]
model = "new"
max_prompt = 64

[policy.new]
pieces = 120
width = 16
inner = 32
heads = 2
encoder_blocks = 1
decoder_blocks = 1

[policy.adapters]
rank = 2
alpha = 4.0

[base]
epochs = 1
batch = 16
max_steps = 3
evaluate_every = 2
log_every = 1
device = "cpu"
threads = 1

[supervised]
epochs = 1
batch = 8
lr = 1e-2
max_steps = 3
evaluate_every = 2
save_every = 2
log_every = 1
device = "cpu"
threads = 1

[reinforce]
steps = 3
batch = 8
group = 2
rows_a_pass = 4
epochs = 2
lr = 1e-3
evaluate_every = 2
save_every = 1
device = "cpu"
threads = 1

[reinforce.sampling]
max_tokens = 8
min_tokens = 1

[reward]
repetition_weight = 0.5
length_weight = 0.5
copy_weight = 0.5
common_weight = 0.5
"""


def a_seq2seq() -> dict[str, Any]:
    _synthetic()
    plain = _trained("a_seq2seq", "plain")
    lstm = _trained(
        "a_seq2seq", "lstm", "sizes.cell=lstm", "sizes.layers=2", "sizes.attention=general",
        "sizes.encoder_layers=2",
        "sizes.hidden=20", "sizes.bridge=copy", "data.balance=0.5", "sizes.blank=0.3",
    )  # fmt: skip
    sampled = _trained(
        "a_seq2seq", "sampled", "sizes.softmax=sampled", "sizes.negatives=12",
        "training.optimiser=sgd", "training.decay=0.9", "training.warmup=2", "training.seed=4",
    )  # fmt: skip
    start = _trained("a_seq2seq", "start", "start=plain")
    rows = posts(("i saw a boat today .", "look at the moon ."))
    return {
        **plain, **lstm, **sampled, **start,
        "replies": generate("r", rows, "-s", "a_seq2seq", "-m", "plain"),
        "beams": generate("b", rows, "-s", "a_seq2seq", "-m", "lstm", "--beams", "3"),
    }  # fmt: skip


def ecm() -> dict[str, Any]:
    _synthetic()
    sizes = ("parts.width=6", "parts.memory=8")
    plain = _trained("ecm", "plain", *sizes, "parts.words=synthetic/ememory.json")
    own = _trained(
        "ecm", "own-words", *sizes, "parts.style=faithful", "sizes.bidirectional=false",
        "sizes.blank=0.0", "data.balance=0.5",
    )  # fmt: skip
    bare = _trained("ecm", "bare", *sizes, "parts.external=false", "sizes.tied=true")
    rows = posts(("i saw a boat today .", "look at the moon ."), ("joy", "anger"))
    return {
        **plain, **own, **bare,
        "replies": generate("r", rows, "-s", "ecm", "-m", "plain"),
        "beams": generate("b", rows, "-s", "ecm", "-m", "own-words", "--beams", "3"),
        "perplexity": emotone(
            "perplexity", "-i", "dev.jsonl", "-s", "ecm", "-m", "plain", "--rounds", "50"
        ).json()["metrics"],
    }  # fmt: skip


def emo_seq() -> dict[str, Any]:
    _synthetic()
    sizes = ("guide.width=6", "guide.epochs=1")
    plain = _trained("emo_seq", "plain", *sizes)
    joint = _trained("emo_seq", "joint", *sizes, "guide.joint=true", "guide.weight=1.0")
    bare = _trained("emo_seq", "bare", *sizes, "guide.weight=0", "guide.renormalise=false")
    rows = posts(("i saw a boat today .", "look at the moon ."), ("joy", "anger"))
    return {
        **plain, **joint, **bare,
        "replies": generate("r", rows, "-s", "emo_seq", "-m", "plain"),
        "greedy": generate("g", rows, "-s", "emo_seq", "-m", "joint", "--greedy"),
    }  # fmt: skip


def recurrent_resumed() -> dict[str, Any]:
    """Seven steps, at once and cut after four; weights, log and checkpoints are to be the same."""
    _synthetic()
    values: dict[str, Any] = {}
    for system, *settings in (
        ("ecm", "parts.width=6", "parts.memory=8"),
        ("emo_seq", "guide.width=6", "guide.epochs=1"),
    ):
        _trained(system, f"cut/{system}", *settings, "training.max_steps=4")
        _trained(system, f"cut/{system}", *settings, "training.max_steps=7")
        values |= _trained(system, f"whole/{system}", *settings, "training.max_steps=7")
        values[f"{system}, cut, differs in"] = _unequal(f"cut/{system}", f"whole/{system}")
    return values


def emprl() -> dict[str, Any]:
    _talks()
    values = _trained("emprl", "new", config=EMPRL)
    for algorithm in ("rloo", "grpo"):
        _trained("emprl", "new", f"reinforce.algorithm={algorithm}", config=EMPRL)
        values |= _under(f"new {algorithm}", folder_values(f"new/{algorithm}"))
    short = ("-s", "emprl", "--max-tokens", "8")
    values["reply of new"] = reply("My dog is gone.", *short, "-m", "new/ppo")
    _chat_model("chat")
    settings = (
        "policy.model=chat", "policy.system=Be kind.", "policy.max_prompt=96",
        "policy.detach_values=true",
    )  # fmt: skip
    values |= _trained("emprl", "adapters", *settings, config=EMPRL)
    values["reply of adapters"] = reply("My dog is gone.", *short, "-m", "adapters/ppo")
    values |= _trained(
        "emprl", "guarded", *settings[:3], "data.rows=20", "reinforce.kl_limit=0.02",
        "reinforce.updates=2", "reinforce.whiten_rewards=false", "reinforce.kl_adaptive=false",
        "reinforce.sampling.temperature=0.7", "reinforce.sampling.top_k=20",
        "reinforce.linear=6", "reinforce.warmup=1", "reward.emotion_weight=0.5",
        "supervised.precision=bf16", config=EMPRL,
    )  # fmt: skip
    return values


def emprl_resumed() -> dict[str, Any]:
    """As `recurrent_resumed`, in each stage: cut after two steps of three, and of four."""
    _talks()
    values: dict[str, Any] = {}
    for algorithm in ("ppo", "rloo"):
        fixed = f"reinforce.algorithm={algorithm}"
        cut, whole = f"cut/{algorithm}", f"whole/{algorithm}"
        # The second stage begins with the weights of the first, so it is begun anew after that one
        # has gone on.
        first = ("supervised.max_steps=2", "reinforce.steps=0")
        _trained("emprl", cut, fixed, *first, config=EMPRL)
        shutil.rmtree(f"{cut}/{algorithm}")
        _trained("emprl", cut, fixed, "reinforce.steps=2", config=EMPRL)
        _trained("emprl", cut, fixed, "reinforce.steps=4", config=EMPRL)
        _trained("emprl", whole, fixed, "reinforce.steps=4", config=EMPRL)
        values |= _under(f"{whole}/{algorithm}", folder_values(f"{whole}/{algorithm}"))
        values[f"{algorithm}, cut, differs in"] = _unequal(cut, whole)
    return values


def _trained(system: str, out: str, *settings: str, config: str = RECURRENT) -> dict[str, Any]:
    """Train, and return every file of the run by its name."""
    path = Path(f"{out}.toml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(config, encoding="utf-8")
    given = [word for setting in settings for word in ("--set", setting)]
    printed = emotone("train", system, "--config", path, "--out", out, *given).out
    return {f"{out} prints": printed, **_under(out, folder_values(out))}


def _under(name: str, files: dict[str, Any]) -> dict[str, Any]:
    # A checkpoint lists the sizes of files that hold timings.
    return {f"{name}/{file}": without_files(value) for file, value in files.items()}


def _unequal(one: str, other: str) -> list[str]:
    """Name the files that differ between two runs, but for timings."""
    left, right = (without_files(folder_values(folder)) for folder in (one, other))
    return sorted(key for key in {*left, *right} if left.get(key) != right.get(key))


def _synthetic() -> None:
    """Write 120 pairs to learn from and 24 to choose by."""
    emotone("data", "prepare", "synthetic", "-o", "synthetic")
    for name, count in (("train", 120), ("dev", 24)):
        lines = Path(f"synthetic/{name}.jsonl").read_text(encoding="utf-8").splitlines(True)
        Path(f"{name}.jsonl").write_text("".join(lines[:count]), encoding="utf-8")


def _talks() -> None:
    """Write 60 small talks, some of three turns."""
    draw = random.Random(11)
    things = ("dog", "cat", "job", "exam", "car", "son", "flat", "trip", "cake", "bike")
    rows = []
    for n in range(60):
        thing = things[n % len(things)]
        post = {"speaker": "user", "text": f"My {thing} is gone, number {n}."}
        turns = [post]
        if n % 3 == 0:
            turns = [
                {"speaker": "user", "text": f"{draw.choice(POSTS_EN)} And my {thing}, number {n}."},
                {"speaker": "assistant", "text": draw.choice(ANSWERS)},
                post,
            ]
        answer = f"Oh no, your {thing}!" if n % 2 else f"What was with the {thing}?"
        rows.append({"id": f"talk-{n}", "dialogue": turns, "reply": answer})
    write_rows("talks.jsonl", rows)


def _chat_model(folder: str) -> None:
    """Write a chat model of random weights, by transformers alone."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    numbers = {token: i for i, token in enumerate([*control, *alphabet])}
    tokenizer = Tokenizer(models.BPE(numbers, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        padding_side="left",
    )
    fast.chat_template = (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
        "{{ message['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
        initializer_range=0.2,
    )
    torch.manual_seed(0)
    with contextlib.redirect_stderr(io.StringIO()):  # a bar of progress
        LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
