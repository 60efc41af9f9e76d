"""The work that `bench.rl` measures: a model, prompts, one PPO step, pairs to score."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from emotone.judges.identifier import IdentifierCard, TrainedIdentifier
from emotone.judges.identifier_net import open_net, paper_specs
from emotone.rl.policy import Replies, trainable_parameters
from emotone.rl.rewards import Rewards
from emotone.rl.seq2seq import Seq2SeqPolicy
from emotone.rl.settings import Reinforce, Sampling
from emotone.rl.trainer import Learner
from emotone.training.distributed import ranks
from emotone.types import MECHANISMS

#: Seconds, of the day or of this process's work.
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "processor": time.process_time}

SEED = 512
#: T5-small's.
SHAPE: dict[str, Any] = {
    "vocab_size": 32128,
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 6,
    "num_decoder_layers": 6,
    "num_heads": 8,
    "dropout_rate": 0.1,
    "feed_forward_proj": "relu",
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}
#: Tokens of a reply, neither more nor fewer.
TOKENS = 30
#: Tokens of prompts, from and to; 40 on average.
PROMPT = (30, 50)
PAIRS = 1000


def settings(top_k: int = 20) -> Reinforce:
    """Return EmpRL's settings, with replies of one length."""
    drawn = Sampling(top_k=top_k, temperature=0.9, min_tokens=TOKENS, max_tokens=TOKENS)
    return Reinforce(sampling=drawn, steps=10**6, seed=SEED, device="cpu", resume="never")


def model() -> T5ForConditionalGeneration:
    torch.manual_seed(SEED)
    return T5ForConditionalGeneration(T5Config(**SHAPE)).eval()


def tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of words without meaning, as many as T5 has."""
    words = {"<pad>": 0, "</s>": 1, "<unk>": 2}
    words |= {f"w{i}": i for i in range(3, SHAPE["vocab_size"])}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def prompts(count: int) -> list[list[int]]:
    draw = np.random.default_rng(SEED)
    lengths = draw.integers(PROMPT[0], PROMPT[1] + 1, count)
    return [[*draw.integers(3, SHAPE["vocab_size"], n - 1).tolist(), 1] for n in lengths]


def worth(text: str) -> float:
    """A reward that costs next to nothing: the share of words that are said once."""
    words = text.split()
    return len(set(words)) / max(len(words), 1)


def save(folder: Path) -> None:
    """Write for a peer what both sides begin with."""
    of = settings()
    shape = {"shape": SHAPE, "tokens": TOKENS, "rows": of.batch, "lr": of.lr}
    shape |= {"rows_a_pass": of.rows_a_pass, "epochs": of.epochs}
    (folder / "shape.json").write_text(json.dumps(shape), encoding="utf-8")
    (folder / "prompts.json").write_text(json.dumps(prompts(of.batch)), encoding="utf-8")
    tokenizer().backend_tokenizer.save(str(folder / "tokenizer.json"))
    weights = {name: p.detach() for name, p in model().named_parameters()}
    save_file(weights, folder / "weights.safetensors")


class Step:
    """Our trainer, a step at a time.

    Args:
        top_k: Tokens a draw may choose from; 0 for all, and then losses are over all of them too.
    """

    def __init__(self, top_k: int = 20) -> None:
        self.settings = settings(top_k)
        self.prompts = prompts(self.settings.batch)
        self.policy = Seq2SeqPolicy(model(), tokenizer())
        self.clock: Clock = time.perf_counter
        self.at: list[float] = []
        parameters = trainable_parameters(self.policy)
        self.learner = Learner(
            self.policy, parameters, self.prompts, self._reward, None, self.settings, ranks("cpu")
        )
        self.state = self.learner.task().state

    def seconds(self, clock: Clock) -> dict[str, float]:
        """Draw replies, score them, learn from them; seconds of each part."""
        self.clock, self.at = clock, []
        start = clock()
        self.learner.step(self.state)
        self.state.step += 1
        done = clock()
        wrote, scored = self.at
        return {
            "seconds": done - start,
            "rollout": wrote - start,
            "score": scored - wrote,
            "optimise": done - scored,
        }

    def _reward(self, _: Sequence[int], texts: Sequence[str]) -> Rewards:
        self.at.append(self.clock())
        total = np.array([worth(text) for text in texts])
        self.at.append(self.clock())
        return Rewards(total, {"worth": total})

    def length(self) -> float:
        """Mean length in tokens of the replies of the last step."""
        return self.learner.row["length"]

    @torch.no_grad()
    def logprobs(self, replies: list[list[int]]) -> list[list[float]]:
        """Log-probabilities over the whole vocabulary of replies to the prompts."""
        tokens = torch.tensor(replies)
        written = Replies(tokens, torch.ones_like(tokens, dtype=torch.bool))
        return self.policy(self.policy.prompts(self.prompts), written).logprobs.tolist()


def shared_trunk() -> TrainedIdentifier:
    """Open the identifier that rewards: one trunk for both texts and all mechanisms."""
    from emotone.judges import open_identifier

    identifier = open_identifier("empathy-reward")
    assert isinstance(identifier, TrainedIdentifier)  # noqa: S101
    return identifier


def three_networks(like: TrainedIdentifier) -> TrainedIdentifier:
    """Make EmpRL's own set: a network a mechanism, two encoders each, as deep as the one given.

    Heads are untrained: they cost what trained ones do.
    """
    torch.manual_seed(SEED)
    spec = like.nets[0].spec
    nets = tuple(
        open_net(replace(paper, layers=spec.layers), trained=False).eval()
        for paper in paper_specs(spec.backbone)
    )
    heat: dict[str, float] = {name: 1.0 for name in MECHANISMS}
    shift: dict[str, tuple[float, float, float]] = {name: (0.0, 0.0, 0.0) for name in MECHANISMS}
    card = IdentifierCard("three", 1, "reward", (), heat, shift)
    return TrainedIdentifier(card, nets, like.batch)


def pairs() -> list[tuple[str, str]]:
    """Make up contexts and responses of the lengths of spoken ones, no context twice."""
    draw = np.random.default_rng(SEED)
    words = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("and", "ay", "old", "ind", "ork", "ate")]

    def text(low: int, high: int) -> str:
        return " ".join(draw.choice(words, int(draw.integers(low, high + 1))))

    return [(text(20, 60), text(6, 24)) for _ in range(PAIRS)]
