"""joeynmt's recurrent model on our batches: `PYTHON joeynmt_rnn.py BATCHES.npz --threads 2`.

Run by the interpreter of an environment that has joeynmt 2.3.0, never by ours. It builds the model
with joeynmt's own builder, then answers requests, one JSON object a line on stdin, with one JSON
object a line on stdout, and sleeps in between, so that `bench.recurrent` can measure both libraries
in turn on a machine that runs only one of them at a time.

A training step is what its `TrainManager` does for a batch: `_train_step` (sort, loss, backward),
gradient clipping, the optimiser its builder makes, `zero_grad`. Search is its `beam_search` behind
its `search`. Its encoder fails when it is not bi-directional (it reads the state of a second
direction that is not there), so the shape both libraries can do is bi-directional.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

#: Our ids of <pad>, <unk>, </s>, <s>, and where joeynmt keeps them.
SPECIALS = {0: 1, 1: 0, 2: 3, 3: 2}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("batches", type=Path)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--clock", choices=["wall", "processor"], default="wall")
    arguments.add_argument("--words", type=int, default=40_000)
    arguments.add_argument("--embedding", type=int, default=100)
    arguments.add_argument("--hidden", type=int, default=256)
    arguments.add_argument("--layers", type=int, default=2)
    chosen = arguments.parse_args()
    # The answers have stdout for themselves: joeynmt and its libraries may print.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    resting = memory()
    with tempfile.TemporaryDirectory() as folder:
        peer = Peer(chosen, Path(folder))
        send(
            answers,
            {
                "joeynmt": peer.version,
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
                "parameters": sum(p.numel() for p in peer.model.parameters()),
                "resting MiB": resting,
            },
        )
        for line in sys.stdin:
            asked = json.loads(line)
            if asked["do"] == "train":
                send(answers, peer.train(asked["set"], asked["steps"]))
            elif asked["do"] == "search":
                send(answers, peer.search(asked["set"], asked["beam"], asked["longest"]))
            elif asked["do"] == "leave":
                break
            else:
                raise SystemExit(f"no such request: {asked['do']}")


def send(out: Any, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer) + "\n")
    out.flush()


def memory() -> float:
    """Peak of resident memory in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def forget_peak() -> None:
    """Let the peak of resident memory begin anew, where the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError as error:
        print(f"the peak of memory is that of the whole process: {error}", file=sys.stderr)


class Peer:
    """joeynmt's model, trainer and batches."""

    def __init__(self, chosen: argparse.Namespace, folder: Path) -> None:
        from importlib.metadata import version

        from joeynmt.config import parse_test_args, parse_train_args
        from joeynmt.model import build_model
        from joeynmt.training import TrainManager

        logging.disable(logging.WARNING)
        self.clock = time.perf_counter if chosen.clock == "wall" else time.process_time
        self.version = version("joeynmt")
        part = {
            "type": "recurrent",
            "rnn_type": "gru",
            "embeddings": {"embedding_dim": chosen.embedding, "dropout": 0.0},
            "hidden_size": chosen.hidden,
            "num_layers": chosen.layers,
            "dropout": 0.0,
        }
        self.model = build_model(
            {
                "encoder": {**part, "bidirectional": True},
                "decoder": {
                    **part,
                    "attention": "bahdanau",
                    "input_feeding": True,
                    "init_hidden": "bridge",
                    "hidden_dropout": 0.0,
                },
            },
            src_vocab=vocabulary(chosen.words),
            trg_vocab=vocabulary(chosen.words),
        )
        self.model.loss_function = ("crossentropy", 0.0)
        self.manager = TrainManager(
            rank=0,
            model=self.model,
            model_dir=folder,
            device=torch.device("cpu"),
            autocast={"device_type": "cpu", "enabled": False},
            train_args=parse_train_args(
                {
                    "optimizer": "adam",
                    "scheduling": "exponential",  # once an epoch; its "plateau" fails on torch 2.13
                    "learning_rate": 1e-3,
                    "clip_grad_norm": 5.0,
                    "normalization": "tokens",
                    "batch_size": 64,
                    "epochs": 1,
                }
            ),
            dev_args=parse_test_args({}, mode="train"),
        )
        self.batches = read_batches(chosen.batches)

    def train(self, which: str, steps: list[int]) -> dict[str, Any]:
        """Take one optimiser step for each batch named; time and real target tokens."""
        forget_peak()
        batches = [self.batch(*self.batches[which][i]) for i in steps]
        losses: list[float] = []
        start = self.clock()
        for batch in batches:
            loss, _ = self.manager._train_step(batch)
            self.manager.clip_grad_fun(parameters=self.model.parameters())
            self.manager.optimizer.step()
            self.model.zero_grad()
            losses.append(loss)
        seconds = self.clock() - start
        tokens = sum(batch.ntokens for batch in batches)
        return {"seconds": seconds, "tokens": tokens, "losses": losses, "peak MiB": memory()}

    def search(self, which: str, beam: int, longest: int) -> dict[str, Any]:
        """Answer the posts of one batch with a beam; time and words written."""
        from joeynmt.search import search

        forget_peak()
        self.model.eval()
        source, lengths, target = self.batches[which][0]
        batch = self.batch(source, lengths, target)
        start = self.clock()
        batch.sort_by_src_length()
        output, scores, _ = search(
            model=self.model,
            batch=batch,
            max_output_length=longest,
            beam_size=beam,
            beam_alpha=0.0,
            n_best=5,
            return_prob="hyp",
            generate_unk=False,
        )
        seconds = self.clock() - start
        return {
            "seconds": seconds,
            "posts": len(source),
            "words": int((output != self.model.pad_index).sum()),
            "best": float(np.mean(scores[::5])),
            "peak MiB": memory(),
        }

    def batch(self, source: np.ndarray, lengths: np.ndarray, target: np.ndarray) -> Any:
        """Return a batch as joeynmt's loader makes it."""
        from joeynmt.batch import Batch

        return Batch(
            src=torch.from_numpy(source.copy()),
            src_length=torch.from_numpy(lengths.copy()),
            src_prompt_mask=None,
            trg=torch.from_numpy(target.copy()),
            trg_prompt_mask=None,
            indices=torch.arange(len(source)),
            device=torch.device("cpu"),
            pad_index=self.model.pad_index,
            eos_index=self.model.eos_index,
        )


def vocabulary(words: int) -> Any:
    """Return words with joeynmt's specials first; the names do not matter."""
    from joeynmt.vocabulary import Vocabulary

    names = SimpleNamespace(
        unk_token="<unk>",
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        sep_token=None,
        unk_id=0,
        pad_id=1,
        bos_id=2,
        eos_id=3,
        sep_id=None,
        lang_tags=[],
    )
    entries = Vocabulary([], names)
    # Not through add_tokens, whose time grows with the square of the number of words.
    for word in range(len(entries), words):
        entries._stoi[f"w{word}"] = word
        entries._itos.append(f"w{word}")
    return entries


def read_batches(path: Path) -> dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """Read our batches and give the specials joeynmt's ids."""
    sets: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for which in sorted({name.split("/")[0] for name in arrays.files}):
            count = sum(name.startswith(f"{which}/") for name in arrays.files) // 3
            sets[which] = [
                (
                    ids_of_peer(arrays[f"{which}/{i}/source"]),
                    arrays[f"{which}/{i}/lengths"],
                    ids_of_peer(arrays[f"{which}/{i}/target"]),
                )
                for i in range(count)
            ]
    return sets


def ids_of_peer(ids: np.ndarray) -> np.ndarray:
    changed = ids.copy()
    for ours, theirs in SPECIALS.items():
        changed[ids == ours] = theirs
    return changed


if __name__ == "__main__":
    main()
