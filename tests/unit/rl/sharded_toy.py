"""A tiny chat model that learns replies by adapters, as a program; run by the tests."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from emotone.models.packed import pack_linear_maps
from emotone.rl.causal import CausalPolicy
from emotone.rl.policy import trainable_parameters
from emotone.rl.supervised import TokenPairs, supervise
from emotone.training.adapters import adapted_blocks
from emotone.training.checkpoint import copied
from emotone.training.settings import Training
from emotone.types import Dialogue
from unit.rl.policies import policy_of

POSTS = ["up", "down", "left", "right", "here"] * 3
REPLIES = [{"up": "hi", "down": "lo", "left": "go", "right": "no"}.get(p, "there") for p in POSTS]


def train(out: Path, **settings: Any) -> Any:
    """Train; the last batches of an epoch and of the development data are short."""
    policy = policy_of("causal", values=False)
    pack_linear_maps(policy)  # as those of a model that was loaded are
    with torch.inference_mode():
        policy.model(input_ids=torch.tensor([[5, 6, 7]]))
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
        blocks=adapted_blocks(policy.model),
        progress=False,
    )
    return policy


def main() -> None:
    out, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    if os.environ["RANK"] == settings.pop("signalled", None):  # in the middle of an evaluation
        passes = itertools.count()

        def look(model: torch.nn.Module, *_: Any) -> None:
            if not model.training and next(passes) == 1:
                os.kill(os.getpid(), signal.SIGTERM)

        torch.nn.modules.module.register_module_forward_pre_hook(
            lambda module, args: look(module) if isinstance(module, CausalPolicy) else None
        )
    policy = train(out, **settings)
    here = sum(getattr(p, "to_local", lambda p=p: p)().numel() for p in policy.parameters())
    rank = int(os.environ["RANK"])
    save_file(copied(trainable_parameters(policy)), out / f"final-{rank}.safetensors")
    (out / f"here-{rank}").write_text(str(here))
    torch.distributed.barrier()


if __name__ == "__main__":
    main()
