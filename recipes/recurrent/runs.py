"""Train the systems and their variants, and let each answer: the runs that the pages compare.

`python -m recipes.recurrent.runs RUNS [--only REGEX] [--workers 1] [--device auto]`

Each run is a folder `RUNS/<lang>-<system>-<variant>-s<seed>`: the model, `replies_default.jsonl`,
`replies_beam.jsonl`, `everyday.jsonl`, `perplexity.json` and the training's log. A run that is
finished is left alone, one that was killed goes on. Before the first starts, the list of all and,
after each, the time are printed.

Main runs have three seeds and all pairs. Ablations and sweeps have one seed and 10,000 pairs, and
the suffix "-10k"; the two scales of Emo-Seq's loss have three seeds of these.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import re
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emotone import config as configs
from emotone import systems
from emotone.data.reading import Problems
from emotone.data.source import read_file
from emotone.emotions import EmotionMix
from emotone.evaluation.generate import generate
from emotone.evaluation.likelihoods import PERPLEXITY, write_likelihoods
from emotone.files import replacing
from emotone.protocols import Responder
from emotone.types import Decoding, Example
from recipes.compare.files import ROOT
from recipes.recurrent.everyday import examples as everyday
from recipes.recurrent.folders import DECODINGS, EVERYDAY, deal

SEEDS = (1, 2, 3)
Variants = Mapping[tuple[str, str], tuple[str, ...]]
"""System, variant -> settings. The small configs in `configs/` are what they differ from."""
MAIN: Variants = {
    ("a_seq2seq", "plain"): (),
    ("emo_seq", "tag"): ("guide.weight=0.0",),
    ("ecm", "full"): (),
    ("emo_seq", "full"): (),
}
ABLATIONS: Variants = {
    ("a_seq2seq", "plain"): (),
    ("emo_seq", "tag"): ("guide.weight=0.0",),
    ("ecm", "full"): (),
    ("ecm", "emb_only"): ("parts.internal=false", "parts.external=false"),
    ("ecm", "no_emb"): ("parts.embedding=false",),
    ("ecm", "no_imem"): ("parts.internal=false",),
    ("ecm", "no_emem"): ("parts.external=false",),
    ("emo_seq", "full"): (),
    ("emo_seq", "lambda0.05"): ("guide.weight=0.05",),
    ("emo_seq", "lambda0.5"): ("guide.weight=0.5",),
    ("emo_seq", "lambda1"): ("guide.weight=1.0",),
    ("emo_seq", "threshold0"): ("guide.threshold=0.0",),
    ("emo_seq", "threshold0.1"): ("guide.threshold=0.1",),
    ("emo_seq", "not_renormalised"): ("guide.renormalise=false",),
    ("emo_seq", "joint"): ("guide.joint=true",),
}
#: Emo-Seq's classifier beside the sum over a reply's words, as printed, and beside their mean.
SCALES: Variants = {
    ("emo_seq", "full"): (),
    ("emo_seq", "printed"): ("guide.scale=printed", "guide.weight=1.0"),
    ("emo_seq", "lambda1"): ("guide.weight=1.0",),
}
#: Posts that are answered: of main runs, and of ablations.
POSTS, FEWER = 300, 150
LANGS = ("zh", "en")


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One run.

    Args:
        name: Name of its folder.
        lang: Language.
        system: Which system.
        settings: What differs from the small config.
        posts: How many test posts it answers.
    """

    name: str
    lang: str
    system: str
    settings: tuple[str, ...]
    posts: int


def jobs() -> list[Job]:
    """All runs, the main ones of each seed first."""
    every: list[Job] = []
    for seed in SEEDS:
        every += _jobs(MAIN, f"s{seed}", (f"training.seed={seed}",), POSTS)
    for seed in SEEDS:
        variants = {**ABLATIONS, **SCALES} if seed == 1 else SCALES
        fewer = ("data.limit=10000", f"training.seed={seed}")
        every += _jobs(variants, f"10k-s{seed}", fewer, FEWER)
    return every


def _jobs(variants: Variants, end: str, settings: tuple[str, ...], posts: int) -> list[Job]:
    return [
        Job(f"{lang}-{system}-{variant}-{end}", lang, system, (*own, *settings), posts)
        for (system, variant), own in variants.items()
        for lang in LANGS
    ]


def run(job: Job, folder: Path, device: str, more: tuple[str, ...]) -> None:
    """Train one run and let it answer."""
    out = folder / job.name
    if (out / PERPLEXITY).is_file():
        return
    module = systems.module(job.system)
    config = configs.load(
        module.Config,
        ROOT / f"configs/{job.system}/{job.lang}-small.toml",
        [*job.settings, *more, f"training.device={device}"],
    )
    module.train(config, out)
    replies = configs.load(module.Config, None, [f"replies.batch={64 if device != 'cpu' else 16}"])
    responder = module.load(str(out), device=device, config=replies)
    answer(responder, job.lang, out, posts=job.posts)


def answer(responder: Responder, lang: str, out: Path, *, posts: int, beam: bool = True) -> None:
    """Write what is missing of a system's replies and of its likelihoods of people's replies.

    Args:
        responder: The system.
        lang: Its language.
        out: Folder of the run.
        posts: How many test posts it answers; chosen by a hash of their ids, the same for all.
        beam: Whether it answers them by beam search as well.
    """
    test = list(read_file(ROOT / f"out/pairs/{lang}/test.jsonl", Problems()))
    dealt = set(deal([e.id for e in test], posts))
    chosen = [e for e in test if e.id in dealt]
    sampled = Decoding(max_tokens=30)
    files = [
        (EVERYDAY, everyday(lang), sampled),
        (DECODINGS["default"], chosen, sampled),
        (DECODINGS["beam"], chosen, Decoding(strategy="beam", beams=20, max_tokens=30)),
    ]
    for file, examples, decoding in files if beam else files[:2]:
        if not (out / file).is_file():
            write(responder, examples, out / file, decoding)
    if not (out / PERPLEXITY).is_file():
        write_likelihoods(responder, test, out)


def write(
    responder: Responder, examples: Sequence[Example], path: Path, decoding: Decoding
) -> None:
    """Write the replies to all examples in every emotion, or once where there is none."""
    taxonomy = responder.capabilities.taxonomy
    emotions: list[EmotionMix | None] = [None]
    if taxonomy is not None:
        emotions = [EmotionMix.parse(label, taxonomy) for label in taxonomy.labels]
    rows = list(enumerate(examples))
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as out:
        for emotion in emotions:
            generate(responder, rows, out, emotion=emotion, decoding=decoding, batch=64)


def _work(queue: Any, folder: Path, device: str, more: tuple[str, ...], until: float) -> None:
    import torch

    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "2"))))
    torch.backends.cuda.matmul.allow_tf32 = True
    while time.time() < until:
        try:
            job: Job = queue.get_nowait()
        except Exception:  # the queue is empty
            return
        start = time.perf_counter()
        try:
            run(job, folder, device, more)
        except Exception:
            traceback.print_exc()
        print(f"{job.name}: {time.perf_counter() - start:.0f} s", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--only", default=".")
    arguments.add_argument("--workers", type=int, default=1)
    arguments.add_argument("--device", default="auto")
    arguments.add_argument("--set", dest="more", action="append", default=[])
    arguments.add_argument("--minutes", type=float, default=10_000, help="start nothing after")
    chosen = arguments.parse_args()
    wanted = [job for job in jobs() if re.search(chosen.only, job.name)]
    print(f"{len(wanted)} runs: {', '.join(job.name for job in wanted)}", flush=True)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    for job in wanted:
        queue.put(job)
    until = time.time() + 60 * chosen.minutes
    device = chosen.device
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen.folder.mkdir(parents=True, exist_ok=True)
    workers = [
        context.Process(
            target=_work, args=(queue, chosen.folder, device, tuple(chosen.more), until)
        )
        for _ in range(min(chosen.workers, len(wanted)))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
