"""Steered against unsteered, tier against tier, ours against repeng and steering-vectors.

`python -m bench.steering [--rounds 5] [--threads 2] [--output FILE]`

Every pair is measured in turn (A B A B ...) in one process on the same model and prompts, with a
fixed number of new tokens; the figure is the median of the rounds' ratios, with their range.
Peers that do not install beside the current transformers are reported as such, not skipped in
silence.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from emotone.lm.chat import FRIEND, prompt_ids
from emotone.models import load_causal_lm
from emotone.models.packed import pack_linear_maps, unpack_linear_maps
from emotone.steering.apply import steering
from emotone.steering.vectors import EmotionVectors
from emotone.types import Dialogue

Run = Callable[[], AbstractContextManager[Any]]
NEW_TOKENS = 32
MIXES = ["anger", "disgust:70", "fear:60", "joy:60 + fear:20", "sadness:80", "surprise", "joy:30", "sadness:-50"]  # fmt: skip  # noqa: E501


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--output", type=Path, default=None)
    chosen = arguments.parse_args()
    torch.set_num_threads(chosen.threads)
    load = os.getloadavg()[0]
    if load > 1.5:
        print(f"load average is {load:.1f}: figures will be noisy", file=sys.stderr)
    lm = load_causal_lm("smollm2", device="cpu")
    vectors = EmotionVectors.shipped("smollm2")
    prompt = prompt_ids(lm.tokenizer, Dialogue.of("My best friend forgot my birthday."), FRIEND)
    mixes: list[Any] = list(MIXES)

    def steered(mix: Any, **kwargs: Any) -> Run:
        return lambda: vectors.steer(lm.model, mix, **kwargs)

    plain: Run = nullcontext
    results: dict[str, Any] = {}
    pairs: list[tuple[str, int, Run, Run]] = [
        ("constant mix over unsteered, 1 row", 1, steered("sadness:80"), plain),
        ("constant mix over unsteered, 8 rows", 8, steered("sadness:80"), plain),
        ("rows tier over unsteered, 1 row", 1, steered("sadness:80", tier="rows"), plain),
        ("hooks tier over unsteered, 1 row", 1, steered("sadness:80", positions="last"), plain),
        ("8 mixes over 1 mix, 8 rows", 8, steered(mixes), steered("sadness:80")),
    ]
    for name, rows, ours, other in pairs:
        results[name] = ratio(lm, prompt, rows, ours, other, chosen.rounds)
        show(name, results[name])
    for rows in (1, 8):
        name = f"packed weights over plain ones, {rows} row{'s' if rows > 1 else ''}"
        results[name] = ratio(lm, prompt, rows, plain, lambda: unpacked(lm.model), chosen.rounds)
        show(name, results[name])
    for name, run in peers(lm, vectors).items():
        if isinstance(run, str):
            results[name] = {"not measured": run}
        else:
            results[name] = ratio(lm, prompt, 1, steered("sadness:80"), run, chosen.rounds)
        show(name, results[name])
    results["largest difference of logits between tiers"] = tiers(lm, vectors, prompt)
    show(
        "largest difference of logits between tiers",
        results["largest difference of logits between tiers"],
    )
    results["seconds to attach, first and later"] = attach_seconds(lm, vectors)
    show("seconds to attach, first and later", results["seconds to attach, first and later"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results["peak memory of the process, MiB"] = round(peak)
    show("peak memory of the process, MiB", round(peak))
    results["memory the vectors add, MiB"] = {
        "constant mix": round(len(vectors.card.norms) * 576 * 4 / 2**20, 3),
        "8 rows": round(8 * len(vectors.card.norms) * 576 * 4 / 2**20, 3),
    }
    show("memory the vectors add, MiB", results["memory the vectors add, MiB"])
    results["conditions"] = {
        "threads": chosen.threads,
        "rounds": chosen.rounds,
        "new tokens": NEW_TOKENS,
        "load before": round(load, 2),
        "torch": torch.__version__,
        "processor": platform.processor() or platform.machine(),
    }
    if chosen.output:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def show(name: str, value: Any) -> None:
    print(f"{name}: {value}", flush=True)


@torch.inference_mode()
def seconds(lm: Any, prompt: list[int], rows: int, run: Run) -> float:
    """Time one generation of a fixed length; attaching is not counted."""
    ids = torch.tensor([prompt] * rows)
    with run():
        start = time.perf_counter()
        lm.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            min_new_tokens=NEW_TOKENS,
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            pad_token_id=lm.tokenizer.pad_token_id,
        )
        return time.perf_counter() - start


def ratio(lm: Any, prompt: list[int], rows: int, a: Run, b: Run, rounds: int) -> dict[str, Any]:
    """Tokens/s of a over tokens/s of b, in turn, after one uncounted round of each."""
    seconds(lm, prompt, rows, a)
    seconds(lm, prompt, rows, b)
    pairs = []
    for i in range(rounds):
        gc.collect()
        # The order alternates, so that a drifting machine favours neither.
        if i % 2:
            tb, ta = seconds(lm, prompt, rows, b), seconds(lm, prompt, rows, a)
        else:
            ta, tb = seconds(lm, prompt, rows, a), seconds(lm, prompt, rows, b)
        pairs.append((ta, tb))
    ratios = [tb / ta for ta, tb in pairs]
    return {
        "ratio": round(statistics.median(ratios), 3),
        "range": [round(min(ratios), 3), round(max(ratios), 3)],
        "tokens_per_s": round(rows * NEW_TOKENS / statistics.median(t for t, _ in pairs), 1),
        "other_tokens_per_s": round(rows * NEW_TOKENS / statistics.median(t for _, t in pairs), 1),
    }


@contextmanager
def unpacked(model: Any) -> Iterator[None]:
    """Let the maps read their weights as torch does by itself; they are packed again at the end."""
    unpack_linear_maps(model)
    try:
        yield
    finally:
        pack_linear_maps(model)
        with torch.inference_mode():
            model(input_ids=torch.tensor([[0]]))


@torch.inference_mode()
def tiers(lm: Any, vectors: EmotionVectors, prompt: list[int]) -> dict[str, float]:
    """Largest difference of logits between each tier and the bias tier, and their scale."""
    from emotone.emotions import EmotionMix

    displacement = vectors.displacement(EmotionMix.parse("sadness:80"))
    ids = torch.tensor([prompt])
    out: dict[str, torch.Tensor] = {}
    for tier in ("bias", "rows", "hooks"):
        with steering(lm.model, displacement, tier=tier):
            out[tier] = lm.model(input_ids=ids).logits
    scale = float(out["bias"].abs().max())
    gaps = {
        tier: float((out[tier] - out["bias"]).abs().max()) / scale for tier in ("rows", "hooks")
    }
    return {**{k: float(f"{v:.1e}") for k, v in gaps.items()}, "largest logit": round(scale, 2)}


def attach_seconds(lm: Any, vectors: EmotionVectors) -> list[float]:
    """Time to attach with the self-test (a new set of blocks), and without it."""
    from emotone.emotions import EmotionMix

    displacement = vectors.displacement(EmotionMix.parse("joy:80"))
    displacement[0] = 0  # another set of blocks than before, so that the test runs anew
    out: list[float] = []
    for _ in range(2):
        start = time.perf_counter()
        with steering(lm.model, displacement):
            out.append(round(time.perf_counter() - start, 4))
    return out


def peers(lm: Any, vectors: EmotionVectors) -> dict[str, Run | str]:
    """The same displacement applied by other libraries, where they install."""
    from emotone.emotions import EmotionMix

    displacement = vectors.displacement(EmotionMix.parse("sadness:80"))
    runs: dict[str, Run | str] = {}
    for name, module, build in (
        ("ours over repeng, 1 row", "repeng", repeng),
        ("ours over steering-vectors, 1 row", "steering_vectors", steering_vectors),
    ):
        try:
            importlib.import_module(module)
            runs[name] = build(lm, displacement)
        except Exception as error:
            runs[name] = f"{type(error).__name__}: {error}"
    return runs


def repeng(lm: Any, displacement: torch.Tensor) -> Run:
    from repeng import ControlModel, ControlVector  # pyright: ignore

    @contextmanager
    def run():
        layers = list(range(displacement.shape[0]))
        # repeng wraps the blocks of the model it is given; unwrap puts them back.
        control = ControlModel(lm.model, layers)
        vector = ControlVector("llama", {i: displacement[i].numpy() for i in layers})
        try:
            control.set_control(vector, 1.0)
            yield
        finally:
            control.unwrap()

    return run


def steering_vectors(lm: Any, displacement: torch.Tensor) -> Run:
    from steering_vectors import SteeringVector  # pyright: ignore

    vector = SteeringVector({i: displacement[i] for i in range(displacement.shape[0])})
    return lambda: vector.apply(lm.model, multiplier=1.0)


if __name__ == "__main__":
    main()
