"""Does the meter hear what the scoring judge hears?

`python -m bench.meter [--posts 50] [--output FILE]`: replies of the default model to development
posts in six emotions; the mean over a reply's tokens of the probability that the listener gives to
the asked emotion after the push, against the probability that `en-score` gives to the reply.
"""

from __future__ import annotations

import argparse
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata

from emotone.data import everyday
from emotone.emotions import MixText
from emotone.judges import SCORE, open_judge
from emotone.server.jobs import Finished, Job
from emotone.server.moods import Feeling
from emotone.server.served import read
from emotone.server.worker import Worker
from emotone.types import Decoding, Dialogue

EMOTIONS = ("anger", "disgust", "fear", "joy", "sadness", "surprise")
INTENSITIES = (25, 50, 100)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--posts", type=int, default=50)
    arguments.add_argument("--output", type=Path)
    chosen = arguments.parse_args()
    torch.set_num_threads(2)
    posts = [line.post for line in everyday.lines("en", kinds=["plain"], splits=["dev"])]
    asked = [
        (post, emotion, INTENSITIES[(i + j) % 3])
        for i, post in enumerate(posts[: chosen.posts])
        for j, emotion in enumerate(EMOTIONS)
    ]
    events: dict[int, Any] = {}
    done = threading.Semaphore(0)
    served = {"smollm2": read("smollm2")}
    worker = Worker(served, rows=16, waiting=len(asked))
    worker.start(["smollm2"])
    while not worker.ready:
        done.acquire(timeout=0.1)
    for i, (post, emotion, intensity) in enumerate(asked):

        def emit(event: Any, i: int = i) -> None:
            events[i] = event
            done.release()

        feeling = Feeling((MixText.read(f"{emotion}:{intensity}"),))
        decoding = Decoding(seed=i)
        job = Job(served["smollm2"], Dialogue.of(post), feeling, decoding, emit, True, True)
        job.streaming, job.meter = False, True
        worker.submit(job)
    for _ in asked:
        done.acquire()
    worker.stop()
    finished = [events[i] for i in range(len(asked))]
    if not all(isinstance(event, Finished) for event in finished):
        raise RuntimeError("a reply failed")
    heard = [
        float(np.mean([row["after"][emotion] for row in event.meter] or [0.0]))
        for event, (_, emotion, _) in zip(finished, asked, strict=True)
    ]
    judge = open_judge(SCORE["en"], "everyday")
    scores = judge.classify([e.reply.text for e in finished], [post for post, *_ in asked])
    judged = [s.probabilities[e] for s, (_, e, _) in zip(scores, asked, strict=True)]
    row = {
        "replies": len(asked),
        "judge": judge.name,
        "pearson": round(float(np.corrcoef(heard, judged)[0, 1]), 3),
        "spearman": round(float(np.corrcoef(rankdata(heard), rankdata(judged))[0, 1]), 3),
        "backed off": sum(event.backed_off for event in finished),
    }
    print(json.dumps(row))
    if chosen.output:
        chosen.output.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
