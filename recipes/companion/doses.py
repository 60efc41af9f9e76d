"""How the scoring judge hears each intensity: `python -m recipes.companion.doses` prints the table.

14 plain development posts, the default system without a judge of sense and without replies by
hand, seeds 3 and on.
"""

from __future__ import annotations

import random

import numpy as np
import torch
from scipy.stats import spearmanr

from emotone.data import everyday
from emotone.emotions import EmotionMix
from emotone.judges import SCORE, open_judge
from emotone.systems import steered
from emotone.types import Decoding
from recipes.companion.make import JUDGED

INTENSITIES = (-50, 0, 25, 50, 75, 100)


def main() -> None:
    torch.set_num_threads(2)
    system = steered.load(config=steered.Config(sense="", retrieve=0, batch=64))
    lines = [x for x in everyday.lines("en", splits=["dev"]) if x.kind == "plain"]
    posts = random.Random(9).sample(lines, 14)
    judge = open_judge(SCORE["en"], "everyday")
    print(f"judge {judge.name}, vectors {system.vectors.digest()[:12]}\n")
    print("| emotion | " + " | ".join(map(str, INTENSITIES)) + " | rho |")
    print("|---" * (len(INTENSITIES) + 2) + "|")
    for emotion in JUDGED:
        rows = [(line, i) for i in INTENSITIES for line in posts]
        mixes = [
            EmotionMix.of({emotion: float(i)}, system.vectors.taxonomy) if i else None
            for _, i in rows
        ]
        replies = system.reply(
            [line.dialogue for line, _ in rows], mixes, decoding=Decoding(seed=3)
        )
        scores = judge.classify([r.text for r in replies], [line.post for line, _ in rows])
        heard = np.array([s.probabilities[emotion] for s in scores])
        means = heard.reshape(len(INTENSITIES), len(posts)).mean(1)
        rho = float(spearmanr(INTENSITIES, means).statistic)  # pyright: ignore
        print(f"| {emotion} | " + " | ".join(f"{m:.2f}" for m in means) + f" | {rho:.2f} |")


if __name__ == "__main__":
    main()
