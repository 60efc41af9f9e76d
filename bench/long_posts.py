"""How much longer a long post takes with four candidates than with one.

`python -m bench.long_posts [--tokens 1000 3500] [--rounds 1] [--output FILE]`

The same post, emotion and seed, on the default model and one thread: the reply with four candidates
and the choice among them, over the reply with one. The rounds of both alternate in one process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from emotone.emotions import EmotionMix
from emotone.systems import steered
from emotone.types import Decoding, Dialogue

SENTENCE = "Then I walked home in the rain, and nobody had kept any dinner for me. "


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tokens", type=int, nargs="+", default=[1000, 3500])
    arguments.add_argument("--rounds", type=int, default=1)
    arguments.add_argument("--output", type=Path, default=None)
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    four = steered.load(device="cpu", config=steered.Config(retrieve=0))
    one = steered.Steered(four._lm, four.vectors, replace(four._config, candidates=1))
    seconds(four, Dialogue.of("Hello there."))  # the first attachment tests itself
    results: dict[str, Any] = {}
    for tokens in chosen.tokens:
        post = long_post(four._lm.tokenizer, tokens)
        rounds = [(seconds(four, post), seconds(one, post)) for _ in range(chosen.rounds)]
        results[f"{tokens} tokens"] = {
            "ratio": round(statistics.median(a / b for a, b in rounds), 2),
            "seconds": [
                round(statistics.median(column), 1) for column in zip(*rounds, strict=True)
            ],
        }
        print(f"{tokens} tokens: {results[f'{tokens} tokens']}", flush=True)
    if chosen.output:
        chosen.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def long_post(tokenizer: Any, tokens: int) -> Dialogue:
    """Make a post of about so many tokens."""
    each = len(tokenizer(SENTENCE, add_special_tokens=False).input_ids)
    return Dialogue.of(SENTENCE * (tokens // each))


def seconds(system: steered.Steered, post: Dialogue) -> float:
    """Processor time of one reply."""
    mix = EmotionMix.parse("sadness:70", system.vectors.taxonomy)
    start = time.process_time()  # one thread: waiting for a busy machine does not count
    system.reply([post], [mix], decoding=Decoding(seed=0))
    return time.process_time() - start


if __name__ == "__main__":
    main()
