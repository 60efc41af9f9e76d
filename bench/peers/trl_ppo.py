"""trl's PPO on a T5: `PYTHON trl_ppo.py FOLDER --threads 1`.

Run by the interpreter of an environment that has trl 0.9.6, never by ours;
`tests/parity/make_trl_rollout.py` says how it is made. FOLDER holds what `bench.rl` wrote:
`shape.json`, `weights.safetensors`, `prompts.json` and `tokenizer.json`. Requests come one JSON
object a line on stdin, answers go the same way to stdout, and the process sleeps in between.

A step is the loop of EmpRL's released code: `generate`, decode, score, `PPOTrainer.step`, with its
settings: batch 32 as 4 accumulated mini-batches of 8, 4 passes, adaptive KL, scores scaled and
normalised, rewards whitened, gradients clipped at 1, Adam. Two things are in trl's favour: it
writes all replies in one batch, not 4 at a time, and without the dropout that its `step` leaves on.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--clock", choices=["wall", "processor"], default="wall")
    chosen = arguments.parse_args()
    # The answers have stdout for themselves: trl and its libraries may print.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    torch.set_num_threads(chosen.threads)
    peer = Peer(chosen.folder, chosen.clock)
    send(
        answers,
        {
            **peer.versions,
            "threads": torch.get_num_threads(),
            "parameters": sum(p.numel() for p in peer.trainer.model.parameters()),
        },
    )
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "step":
            send(answers, peer.step(asked["seed"]))
        elif asked["do"] == "score":
            send(answers, peer.logprobs(asked["replies"]))
        elif asked["do"] == "leave":
            break
        else:
            raise SystemExit(f"no such request: {asked['do']}")


def send(out: Any, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer) + "\n")
    out.flush()


def peak() -> float:
    """Peak of resident memory in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


class Peer:
    """trl's trainer, with a model of the shape and weights of ours."""

    def __init__(self, folder: Path, clock: str) -> None:
        import accelerate
        import transformers
        import trl
        from safetensors.torch import load_file
        from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration
        from trl import AutoModelForSeq2SeqLMWithValueHead, PPOConfig, PPOTrainer

        transformers.logging.set_verbosity_error()
        self.clock = time.perf_counter if clock == "wall" else time.process_time
        self.versions = {m.__name__: m.__version__ for m in (trl, transformers, accelerate, torch)}
        shape = json.loads((folder / "shape.json").read_text(encoding="utf-8"))
        self.rows, self.tokens = shape["rows"], shape["tokens"]
        self.prompts = json.loads((folder / "prompts.json").read_text(encoding="utf-8"))
        given = load_file(folder / "weights.safetensors")

        def new_model() -> Any:
            model = T5ForConditionalGeneration(T5Config(**shape["shape"]))
            for name, parameter in model.named_parameters():
                parameter.data.copy_(given[name])
            return AutoModelForSeq2SeqLMWithValueHead.from_pretrained(model).eval()

        model = new_model()
        self.tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), pad_token="<pad>", eos_token="</s>"
        )
        self.trainer = PPOTrainer(
            config=PPOConfig(
                batch_size=self.rows,
                mini_batch_size=shape["rows_a_pass"],
                gradient_accumulation_steps=self.rows // shape["rows_a_pass"],
                ppo_epochs=shape["epochs"],
                learning_rate=shape["lr"],
                max_grad_norm=1.0,
                adap_kl_ctrl=True,
                use_score_scaling=True,
                use_score_norm=True,
                whiten_rewards=True,
                seed=1,
            ),
            model=model,
            ref_model=new_model(),
            tokenizer=self.tokenizer,
        )

    def step(self, seed: int) -> dict[str, Any]:
        """Draw replies to the prompts, score them, learn from them; seconds of each part."""
        torch.manual_seed(seed)
        np.random.seed(seed)
        queries = [torch.tensor(row) for row in self.prompts]
        self.trainer.model.eval()
        start = self.clock()
        responses = self.trainer.generate(
            queries,
            return_prompt=False,
            batch_size=self.rows,
            do_sample=True,
            top_k=20,
            top_p=1.0,
            temperature=0.9,
            min_new_tokens=self.tokens,
            max_new_tokens=self.tokens,
        )
        wrote = self.clock()
        texts = [self.tokenizer.decode(r, skip_special_tokens=True) for r in responses]
        scores = [torch.tensor(worth(str(text))) for text in texts]
        scored = self.clock()
        statistics = self.trainer.step(queries, responses, scores)
        done = self.clock()
        return {
            "seconds": done - start,
            "rollout": wrote - start,
            "score": scored - wrote,
            "optimise": done - scored,
            "tokens": [len(r) - 1 for r in responses],
            "kl": float(statistics["objective/kl"]),
            "loss": float(statistics["ppo/loss/total"]),
            "peak MiB": peak(),
        }

    @torch.no_grad()
    def logprobs(self, replies: list[list[int]]) -> dict[str, Any]:
        """Log-probabilities of replies to the prompts, to see that both sides have one model."""
        queries = [torch.tensor(row) for row in self.prompts]
        responses = [torch.tensor([0, *row]) for row in replies]
        inputs = self.trainer.prepare_model_inputs(queries, responses)
        logprobs, *_ = self.trainer.batched_forward_pass(
            self.trainer.model, queries, responses, inputs
        )
        return {"logprobs": logprobs.tolist()}


def worth(text: str) -> float:
    """A reward that costs next to nothing: the share of words that are said once."""
    words = text.split()
    return len(set(words)) / max(len(words), 1)


if __name__ == "__main__":
    main()
