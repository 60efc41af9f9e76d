"""A tiny chat model that learns replies by adapters, as a program; run by the tests."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from emotone.rl.policy import trainable_parameters
from emotone.rl.supervised import TokenPairs, supervise
from emotone.training.checkpoint import copied
from emotone.training.settings import Training
from emotone.types import Dialogue
from unit.rl.policies import policy_of

POSTS = ["up", "down", "left", "right", "here"] * 3
REPLIES = [{"up": "hi", "down": "lo", "left": "go", "right": "no"}.get(p, "there") for p in POSTS]


def train(out: Path, **settings: Any) -> Any:
    """Train; the last batches of an epoch and of the development data are short."""
    policy = policy_of("causal", values=False)
    prompts = policy.encode([Dialogue.of(post) for post in POSTS])
    data = TokenPairs(prompts, policy.codec.encode(REPLIES))
    chosen = {"epochs": 3, "batch": 4, "lr": 0.005, "patience": 0, "device": "cpu", "threads": 1}
    supervise(
        policy,
        data,
        data,
        settings=Training(**{**chosen, "log_every": 1, "evaluate_every": 2, **settings}),
        out=out,
        dev_batch=5,
        progress=False,
    )
    return policy


def main() -> None:
    out, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    policy = train(out, **settings)
    here = sum(getattr(p, "to_local", lambda p=p: p)().numel() for p in policy.parameters())
    rank = int(os.environ["RANK"])
    save_file(copied(trainable_parameters(policy)), out / f"final-{rank}.safetensors")
    (out / f"here-{rank}").write_text(str(here))
    torch.distributed.barrier()


if __name__ == "__main__":
    main()
