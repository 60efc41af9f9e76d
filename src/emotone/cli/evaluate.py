"""`emotone evaluate`: the tables of papers, by one command each."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotone.cli import options

if TYPE_CHECKING:
    from emotone.models import CausalLM
    from emotone.steering.vectors import EmotionVectors
    from emotone.types import Example

TABLES = ("paper",)

app = typer.Typer(help="Make the tables of papers.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def root() -> None:
    """Make the tables of papers."""


@app.command("vectors")
def vectors(
    model: Annotated[str, typer.Argument(help="Catalogue name, folder or hub id.")],
    table: Annotated[str, typer.Option("--table", help="paper: Dong et al. 2025.")] = "paper",
    file: Annotated[
        str | None,
        typer.Option(
            "--vectors", help="A vector file or shipped name; the paper's are made without it."
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--input",
            "-i",
            help="Folder of EmotionQuery.json and EmotionQuery+.json; else in EMOTONE_DATA.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of answers, table.json and table.md.")
    ] = Path("paper-table"),
    posts: Annotated[
        int | None,
        typer.Option("--posts", min=1, help="Posts of each emotion, and 3 times as many neutral."),
    ] = None,
    queries: Annotated[
        int | None,
        typer.Option("--queries", min=1, help="Queries of each emotion that vectors are made of."),
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Make vectors of queries that are no posts.")
    ] = False,
    controls: Annotated[
        bool,
        typer.Option("--controls", help="Add random, another's vector, prompt, prompt + vector."),
    ] = False,
    judge: Annotated[str, typer.Option("--judge", help="Judge of emotion.")] = "en-score",
    nli: Annotated[
        Path | None,
        typer.Option("--nli", help="Folder of a model of entailment, which judges too."),
    ] = None,
    fluency_model: Annotated[
        str | None, typer.Option("--fluency-model", help="Model for the perplexity of answers.")
    ] = None,
    same_judge: Annotated[
        bool, typer.Option("--same-judge", help="Allow a judge that touched the vectors.")
    ] = False,
    tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", min=1, help="Longest answer (512, as published)."),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Draws for each interval.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of answers and draws.")] = 0,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Answer EmotionQuery+ at -1, 0, 1, 2 and 4 times each vector, and score the answers.

    A killed run goes on; another judge scores what is answered without answering again.
    """
    import dataclasses

    from emotone.cli.progress import bar
    from emotone.errors import unknown_name
    from emotone.evaluation import paper_answers as work
    from emotone.evaluation import paper_table as scoring
    from emotone.evaluation.manifest import manifest
    from emotone.evaluation.nli import open_nli
    from emotone.evaluation.scores import write_text
    from emotone.files import check_writable, under, write_json
    from emotone.models import load_causal_lm
    from emotone.report.published import EV

    if table not in TABLES:
        raise unknown_name("table", table, TABLES)
    folder = _queries_folder(source)
    asked = work.read_queries(folder, posts, queries=queries, held_out=held_out)
    others = [] if nli is None else [open_nli(nli)]
    output.mkdir(parents=True, exist_ok=True)
    written = output / "table.json"
    check_writable(written, keeps="the answers")
    lm = load_causal_lm(model, device=device)
    own = work.of_paper_only(_vectors(lm, asked.queries, file, output))
    decoding = dataclasses.replace(
        work.PUBLISHED, seed=seed, max_tokens=tokens or work.PUBLISHED.max_tokens
    )
    conditions = work.conditions(own.labels, controls=controls)
    replies = output / "replies"
    answers = dict(work.answer_all(lm, own, asked, conditions, replies, decoding, bar=bar))
    settings = {
        **work.run_identity(lm, own, asked, decoding),
        "queries": queries,
        "held_out": held_out if file is None else None,
        "rounds": rounds,
        "seed": seed,
    }
    scored = scoring.score_table(
        answers,
        asked,
        judge=judge,
        others=others,
        fluency_model=fluency_model,
        same_judge=same_judge,
        labels=output / ".labels",
        rounds=rounds,
        seed=seed,
        device=device,
        manifest=manifest(
            [p for p in under(folder) if p.name.startswith("EmotionQuery")],
            settings=settings,
            seeds=(reply.seed for pairs in answers.values() for _, reply in pairs),
        ),
        bar=bar,
    )
    for reason, names in scored.left_out.items():
        options.note(f"left out {', '.join(names)}: {reason}")
    rows = scoring.table_json(scored)
    page = scoring.table_markdown(scored, {k: v[0] for k, v in EV.rows.items()}, EV.caution)
    write_json(written, rows)
    write_text(output / "table.md", page)
    typer.echo(json.dumps(rows, ensure_ascii=False) if as_json else page.rstrip())
    options.note(scoring.leak_sentence(scored))


def _queries_folder(source: Path | None) -> Path:
    """Return the folder of the posts: as named, or of EMOTONE_DATA."""
    from emotone.errors import UsageError

    if source is not None:
        return source
    root = os.environ.get("EMOTONE_DATA")
    if not root:
        raise UsageError(
            "where is EmotionQuery? name the folder of EmotionQuery.json and EmotionQuery+.json"
            " (github.com/xuanfengzu/EmotionVector, dataset) with --input, or set EMOTONE_DATA to"
            " the folder above emotionquery"
        )
    return Path(root) / "emotionquery"


def _vectors(
    lm: CausalLM, queries: tuple[Example, ...], file: str | None, output: Path
) -> EmotionVectors:
    """Load vectors, with the adapters that they need; or make the paper's, once."""
    from emotone.cli.progress import bar
    from emotone.evaluation.paper_answers import EMOTIONS, paper_vectors
    from emotone.steering.find import give_adapters, open_vectors

    if file is not None:
        vectors = open_vectors(file)
        give_adapters(lm.model, vectors, file)
        return vectors
    path = output / "vectors.safetensors"
    with bar("making vectors", 0 if path.exists() else len(EMOTIONS)) as advance:
        return paper_vectors(lm, queries, path, progress=lambda *_: advance(1))
