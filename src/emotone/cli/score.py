"""`emotone score`: numbers with intervals from replies."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotone.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emotone.evaluation.scores import Scores


def score(
    source: Annotated[
        list[Path], typer.Option("--input", "-i", help="replies.jsonl; give it again for more.")
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", help="scores.json; - writes stdout.")
    ] = "-",
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            help="Such as distinct_2,bleu; default: every metric whose tools are installed.",
        ),
    ] = None,
    asked: Annotated[
        str,
        typer.Option("--asked", help="all: compare runs without any emotion with each asked one."),
    ] = "none",
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", help="replies.jsonl of another system, for paired tests."),
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="Judge of emotion; en-score or zh-score.")
    ] = None,
    empathy_judge: Annotated[
        str | None, typer.Option("--empathy-judge", help="Judge of empathy; empathy-score.")
    ] = None,
    sense_judge: Annotated[
        str | None, typer.Option("--sense-judge", help="Judge of sense; en-sense or zh-sense.")
    ] = None,
    same_judge: Annotated[
        bool, typer.Option("--same-judge", help="Allow a judge that touched the training.")
    ] = False,
    fluency_model: Annotated[
        str | None,
        typer.Option("--fluency-model", help="Model for the perplexity of the replies."),
    ] = None,
    parts: Annotated[
        str | None,
        typer.Option("--parts", help="Parts of the ids to score apart: emotional,neutral."),
    ] = None,
    taxonomy: Annotated[
        str | None, typer.Option("--taxonomy", help="Labels of lines that name none.")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Draws for each interval.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draws.")] = 0,
    device: options.Device = "auto",
    ray: options.Ray = None,
    workers: options.Workers = None,
) -> None:
    """Score replies; nothing is generated anew, and what was judged once is not judged again.

    Each (system, model) of the input has a scores file of its own: of several, the names of system
    and model go into the files' names.
    """
    from emotone.cli.progress import bar
    from emotone.evaluation.score import score_files
    from emotone.files import check_writable, is_stream

    path = None if output == "-" else Path(output)
    if path is not None:
        check_writable(path)
    beside = source[0] if path is None or is_stream(path) else path
    with options.spread(ray, workers) as spread:
        scores = score_files(
            source,
            None if metrics is None else _listed(metrics),
            against=against or (),
            asked=asked,
            parts=_listed(parts or ""),
            taxonomy=taxonomy,
            judge=judge,
            empathy_judge=empathy_judge,
            sense_judge=sense_judge,
            same_judge=same_judge,
            fluency_model=fluency_model,
            rounds=rounds,
            seed=seed,
            device=device,
            labels=_labels(beside.parent),
            note=options.note,
            bar=bar,
            spread=spread or map,
        )
    _write(scores, path)


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _labels(folder: Path) -> Path | None:
    """Return where judges' labels are kept for the next time; None where nothing can be kept."""
    labels = folder / ".labels"
    if os.access(labels if labels.exists() else folder, os.W_OK):
        return labels
    options.note(f"{folder} cannot be written, so the judges' labels are not kept for next time")
    return None


def _write(made: Sequence[Scores], path: Path | None) -> None:
    from emotone.errors import number_of
    from emotone.evaluation.scores import scores_json, write_scores, write_text
    from emotone.files import is_stream

    if path is None or is_stream(path):
        texts = [scores_json(scores).rstrip() for scores in made]
        if len(made) > 1:  # one object is spread out for people; several, one a line, for programs
            texts = [json.dumps(json.loads(text), ensure_ascii=False) for text in texts]
        if path is None:
            print("\n".join(texts))
        else:
            write_text(path, "\n".join(texts) + "\n")
        return
    for scores in made:
        name = path.name if len(made) == 1 else f"{path.stem}.{_slug(scores)}{path.suffix}"
        write_scores(scores, path.with_name(name))
        options.note(f"{path.with_name(name)}: {scores.title}, {number_of(scores.n, 'reply')}")


def _slug(scores: Scores) -> str:
    import re

    return re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{scores.system}-{scores.model}").strip("-.")
