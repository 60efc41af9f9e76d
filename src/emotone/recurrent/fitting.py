"""From a config to a model folder: what is the same for every recurrent system's `train`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emotone.config import comparable
from emotone.data.batch import Batch, collate, passes, plan, plan_as_released
from emotone.identity import digest_path
from emotone.recurrent.corpus import Corpus, read_corpus
from emotone.recurrent.folder import save_folder, start_from, start_vocabularies
from emotone.recurrent.model import initial
from emotone.training.loop import fit
from emotone.training.seeding import seed_for

#: Rows of a batch of development pairs; they need no gradients.
DEV_BATCH = 256


def fit_system(
    system: str,
    config: Any,
    build: Callable[[Any, Corpus], Any],
    out: Path,
    *,
    emotional: bool = True,
    words: Path | None = None,
    word_lists: bool = False,
    released: Sequence[int] = (),
    prepare: Callable[[Any, Any, Corpus], dict[str, float]] | None = None,
) -> Path:
    """Train a system and write its model folder.

    Args:
        system: Its name.
        config: Its config, with `data`, `sizes` and `training`.
        build: Makes the network.
        out: The folder; checkpoints and log lie in it too.
        emotional: Whether pairs need an emotion.
        words: File of emotion words.
        word_lists: Whether the network needs lists of emotion words.
        released: Lengths that ECM's released code pads to, to train as it does: texts are read as
            `read_corpus` does with `as_released`, a batch has one emotion, `training.balanced`
            draws as `plan_as_released`, the learning rate looks at the words' loss ("words" among
            what the network logs), and the last weights are taken. Empty for all others.
        prepare: What comes before the training; returns figures for the manifest.

    Returns:
        `out`.

    Raises:
        EmotoneError: As `read_corpus` and `training.loop.fit`.
    """
    settings = config.training
    out.mkdir(parents=True, exist_ok=True)
    corpus = read_corpus(
        config.data,
        emotional=emotional,
        words=words,
        word_lists=word_lists,
        seed=seed_for(settings.seed, "vectors"),
        vocabularies=None if config.start is None else start_vocabularies(config.start),
        as_released=bool(released),
        apart=bool(released) and not config.sizes.tied,
    )
    network = initial(build, config, corpus)
    if config.start is not None:
        start_from(network, config.start)
    figures = prepare(network, config, corpus) if prepare else {}
    train, dev = corpus.train, corpus.dev

    def batches(epoch: int) -> list[np.ndarray]:
        seed = seed_for(settings.seed, "plan")
        drawn = drawn_rows(train.emotions, config.data.balance, seed, epoch)
        lengths = train.post_lengths[drawn], train.reply_lengths[drawn]
        emotions = train.emotions[drawn] if corpus.taxonomy else None
        balanced = settings.balanced and emotions is not None
        if released and balanced and emotions is not None:
            row_batches = plan_as_released(
                *lengths, emotions, settings.batch, seed, epoch, released
            )
        else:
            row_batches = plan(
                *lengths,
                settings.batch,
                seed,
                epoch,
                emotions=emotions,
                balanced=balanced,
                homogeneous=bool(released),
            )
        return [drawn[rows] for rows in row_batches]

    def rows(indices: np.ndarray) -> Batch:
        return collate(train.rows(indices))

    def dev_batches() -> Iterator[Batch]:
        order = plan(dev.post_lengths, dev.reply_lengths, DEV_BATCH, 0, 0)
        return (collate(dev.rows(indices)) for indices in order)

    depends_on: dict[str, Any] = {"data": corpus.hashes, "config": _what_matters(config)}
    if config.start is not None:
        depends_on["start"] = digest_path(config.start)
    fitted = fit(
        network,
        train_plan=batches,
        collate=rows,
        dev_batches=dev_batches if len(dev) else None,
        settings=settings,
        out=out,
        depends_on=depends_on,
        watched="words" if released else None,
        ends_best=not released,
    )
    manifest = {
        "pairs": len(train),
        "dev_pairs": len(dev),
        "parameters": sum(p.numel() for p in network.parameters()),
        "vectors_cover": round(corpus.covered, 4),
        "training": {
            "steps": fitted.steps,
            "best_step": fitted.best_step,
            "dev_loss": fitted.best_dev,
            "seconds": round(fitted.seconds, 1),
            "stopped": fitted.stopped,
        },
        **({"dropped_pairs": corpus.dropped} if released else {}),
        **figures,
    }
    if torch.distributed.is_initialized() and torch.distributed.get_rank():
        return out  # one process writes
    save_folder(out, system, network, config, corpus, manifest)
    return out


def drawn_rows(emotions: np.ndarray, balance: float, seed: int, epoch: int) -> np.ndarray:
    """Return the rows of an epoch, as many as there are, so that rare emotions come more often.

    Args:
        emotions: Of each row, [N].
        balance: 0 gives every row once; else a class of n rows has a share of n ** (1 - balance),
            each of its rows equally often but for one time.
        seed: Of the run.
        epoch: Its number.
    """
    total = len(emotions)
    if not balance or not total:
        return np.arange(total)
    draws = np.random.default_rng([seed, epoch, 1])
    classes, counts = np.unique(emotions, return_counts=True)
    shares = counts ** (1.0 - balance)
    wanted = np.maximum(1, np.round(total * shares / shares.sum())).astype(int)
    return np.concatenate(
        [
            passes(np.flatnonzero(emotions == label), int(count), draws)
            for label, count in zip(classes, wanted, strict=True)
        ]
    )


def _what_matters(config: Any) -> dict[str, Any]:
    """Everything of a config but the loop's settings, which it checks itself, and paths."""
    values = asdict(config)
    for key in ("training", "replies"):
        values.pop(key, None)
    if values["data"]["words"] == "found":  # runs that began before there was a choice go on
        del values["data"]["words"]
    return comparable(values)
