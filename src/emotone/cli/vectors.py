"""`emotone vectors`: make, calibrate and look at emotion vectors."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotone.cli import options

if TYPE_CHECKING:
    from emotone.data.text import Lang
    from emotone.models import CausalLM
    from emotone.protocols import EmotionClassifier
    from emotone.steering.vectors import EmotionVectors
    from emotone.types import Example

#: Fewer replies of an emotion are remarked on.
FEW = 20

app = typer.Typer(
    help="Make, calibrate and look at emotion vectors.", no_args_is_help=True, rich_markup_mode=None
)

_Input = Annotated[Path, typer.Option("--input", "-i", help="examples.jsonl.")]
_Output = Annotated[Path, typer.Option("--output", "-o", help="The vector file to write.")]


@app.command("list")
def list_(as_json: options.Json = False) -> None:
    """List the vectors that come with the package."""
    from emotone.steering.vector_file import shipped_names
    from emotone.steering.vectors import EmotionVectors

    rows = []
    for name in shipped_names():
        vectors = EmotionVectors.shipped(name)
        rows.append({"name": name, "model": vectors.card.model, "emotions": list(vectors.labels)})
    if as_json:
        typer.echo(json.dumps({"vectors": rows}))
        return
    for row in rows:
        typer.echo(f"{row['name']}  for {row['model']}: {', '.join(row['emotions'])}")


@app.command("card")
def card(
    vectors: Annotated[
        str, typer.Argument(help="Shipped name, or file of vectors or mood adapters.")
    ] = "smollm2",
    as_json: options.Json = False,
) -> None:
    """Show where vectors come from, their dose curves and what the calibration measured."""
    import dataclasses

    from emotone.steering.find import open_moods

    loaded = open_moods(vectors)
    if as_json:
        row = {"emotions": list(loaded.labels), **dataclasses.asdict(loaded.card)}
        typer.echo(json.dumps(row, ensure_ascii=False))
        return
    c = loaded.card
    typer.echo(f"model     {c.model} ({c.fingerprint})")
    typer.echo(f"method    {c.method}, data {c.data}")
    typer.echo(f"site      {loaded.site}, {len(loaded.blocks)} blocks")
    typer.echo(f"prompt    {c.system_prompt or 'the chat template'}")
    for key, value in c.notes.items():
        typer.echo(f"{key:<9} {value}")
    typer.echo("emotion   dose at -100, 25, 50, 75, 100; heard at 100 in calibration")
    for label in loaded.labels:
        curve = c.curves.get(label)
        if curve is None:
            typer.echo(f"{label:<9} not calibrated")
            continue
        doses = "  ".join(f"{curve.dose(i):+.2f}" for i in (-100, 25, 50, 75, 100))
        rows: list[dict[str, Any]] = c.measured.get(label, [])
        top = curve.dose(100)
        near = min(rows, key=lambda r: abs(r["dose"] - top), default=None)
        share = near["heard"] if near is not None else "?"
        typer.echo(f"{label:<9} {doses}   {share}")


@app.command("make")
def make(
    model: Annotated[str, typer.Argument(help="Catalogue name, folder or hub id.")],
    lang: Annotated[str, typer.Option("--lang", help="Language of the texts: en or zh.")] = "en",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file; without it found by the model's name."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Such as steps=100 or moods=false.")
    ] = None,
    device: options.Device = "auto",
) -> None:
    """Make calibrated vectors for any chat model, from nothing but its name.

    Texts, posts and judge come with emotone. A killed run goes on where it was.
    """
    from emotone import config as configs
    from emotone.data import everyday
    from emotone.files import check_writable, remove
    from emotone.judges import LABEL, open_judge
    from emotone.models import load_causal_lm
    from emotone.steering import make as making
    from emotone.steering.find import own_place
    from emotone.steering.vector_file import WITH_ADAPTERS

    of = _language(lang)
    chosen = configs.load(making.MakeSettings, None, settings or ())
    file = output or own_place(model) / WITH_ADAPTERS
    file.parent.mkdir(parents=True, exist_ok=True)
    check_writable(file, keeps="the work of a run that is stopped")
    judge = open_judge(LABEL[of], "everyday")
    lm = load_causal_lm(model, device=device)
    checkpoint, replies = file.with_suffix(".fit"), file.with_suffix(".sweep.json")
    minutes = round(making.expected_seconds(lm, of, chosen) / 60)
    options.note(f"about {max(minutes, 1)} min on this machine; a run that is stopped goes on")
    with _bar("fitting") as progress:
        vectors = making.make_vectors(
            lm, of, settings=chosen, checkpoint=checkpoint, progress=progress
        )
    known = [t for line in everyday.lines(of, kinds=["plain"]) for t in line.replies.values()]
    heard = vectors.only(*(label for label in vectors.labels if label in making.JUDGED))
    measured = _measured(lm, heard, judge, known, of, replies)
    making.with_moods(vectors.calibrated_as(measured)).save(file)
    remove(checkpoint)
    remove(replies)
    for label, reason in measured.card.measured["uncalibrated"].items():
        options.note(f"{label} stays uncalibrated: {reason}")
    typer.echo(file)
    ask = ["emotone", "reply", "I missed my train.", "--model", model, "--emotion", "joy:60"]
    ask += ["--set", f"vectors={output}"] if output else []
    options.note(f"try it: {shlex.join(ask)}")


@app.command("define")
def define(
    name: Annotated[str, typer.Argument(help="What the mood is called, such as grumpy.")],
    texts: Annotated[Path, typer.Option("--texts", help="One reply in the mood a line, 20 or so.")],
    model: options.Model = None,
    lang: Annotated[str, typer.Option("--lang", help="Language of the texts: en or zh.")] = "en",
    device: options.Device = "auto",
) -> None:
    """Add a mood of your own to a model's vectors, from texts in it.

    The dose is measured by the model's own listener, which no person has checked: read replies.
    """
    import shutil

    from emotone.errors import UsageError
    from emotone.models import DEFAULT, load_causal_lm
    from emotone.steering import make as making
    from emotone.steering.find import give_adapters, open_vectors, own_place, vectors_of
    from emotone.steering.vector_file import WITH_ADAPTERS, shipped_file

    spoken = _language(lang)
    listed = [line.strip() for line in _text(texts).split("\n") if line.strip()]
    of = model or DEFAULT
    source = vectors_of(of)
    if not source:
        raise UsageError(f"{of} has no vectors yet; make them first: emotone vectors make {of}")
    vectors = open_vectors(source)
    lm = load_causal_lm(of, device=device)
    give_adapters(lm.model, vectors, source)
    with _bar("fitting") as progress:
        alone, judge = making.define(lm, vectors, name, listed, spoken, progress=progress)
    measured = _measured(lm, alone, judge, listed, spoken)
    place = own_place(of)
    if vectors.card.adapters and not Path(source).is_dir():
        shutil.copytree(shipped_file(source).parent, place, dirs_exist_ok=True)
    vectors.merged(measured).save(place / WITH_ADAPTERS)
    typer.echo(place / WITH_ADAPTERS)
    top = measured.card.curves[name].dose(100)
    options.note(f"{name}:100 is dose {top:.2f}; try: emotone reply '...' --emotion {name}:60")


@app.command("extract")
def extract(
    source: _Input,
    output: _Output,
    model: options.Model = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Such as method=reading, fit.steps=100 or system='Be brief.'"),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML with extraction settings.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", help="paper: as Dong et al. 2025; use it with `reply --raw`."),
    ] = None,
    device: options.Device = "auto",
) -> None:
    """Make vectors for a model from labelled replies; a killed run goes on where it was."""
    from emotone import config as configs
    from emotone.errors import unknown_name
    from emotone.files import check_writable, remove
    from emotone.models import DEFAULT, load_causal_lm
    from emotone.steering import extract as extraction
    from emotone.steering.fit import label_of

    if preset is not None and preset not in extraction.PRESETS:
        raise unknown_name("preset", preset, extraction.PRESETS)
    by_preset = configs.as_overrides(extraction.PRESETS[preset] if preset else {})
    chosen = configs.load(extraction.ExtractSettings, config, [*by_preset, *(settings or ())])
    output.parent.mkdir(parents=True, exist_ok=True)
    check_writable(output, keeps="the work of a run that is stopped")
    examples = _examples(source)
    lm = load_causal_lm(model or DEFAULT, device=device)
    checkpoint = output.with_suffix(".fit")
    for label, count in sorted(Counter(map(label_of, examples)).items(), key=str):
        if label is not None and count < FEW:
            options.note(
                f"{label} has {count} of the {FEW} replies that directions need to be good"
            )
    title = {"fitted": "fitting", "answers": "answering", "reading": "reading"}[chosen.method]
    with _bar(title) as progress:
        vectors = extraction.extract(
            lm, examples, settings=chosen, checkpoint=checkpoint, progress=progress
        )
    vectors.save(output)
    remove(checkpoint)
    remove(output.with_suffix(".sweep.json"))  # of vectors that are no more
    if not chosen.scaled:
        options.note(
            f"wrote {output}; use it by: emotone reply ... --set vectors={output} --raw joy=2"
        )
        return
    command = ["emotone", "vectors", "calibrate", str(output)]
    command += ["--model", model] if model else []
    options.note(f"wrote {output}; calibrate it next: {shlex.join(command)}")


@app.command("calibrate")
def calibrate(
    vectors: Annotated[Path, typer.Argument(help="The vector file; it is rewritten in place.")],
    posts: Annotated[
        Path | None,
        typer.Option("--posts", help="One post a line, 20 or more; English ones come with us."),
    ] = None,
    judge_texts: Annotated[
        Path | None,
        typer.Option(
            "--judge-texts",
            help='Lines of {"text", "label"} to train the judge on, none that made the vectors;'
            " without them the judge is en-label.",
        ),
    ] = None,
    human: Annotated[
        Path | None,
        typer.Option("--human", help="examples.jsonl with human replies: 1 of the perplexity."),
    ] = None,
    model: options.Model = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Such as doses=[0.3,0.6,0.9] or limits.known=0.98."),
    ] = None,
    device: options.Device = "auto",
) -> None:
    """Measure dose and response, and store the map from intensity to dose."""
    from emotone import config as configs
    from emotone.errors import DataError, number_of
    from emotone.files import check_writable
    from emotone.judges import LABEL, open_judge
    from emotone.judges.ngram import read_labelled, train_ngram_judge
    from emotone.models import load_causal_lm
    from emotone.steering.calibrate import SweepSettings, shipped_posts
    from emotone.steering.find import open_vectors
    from emotone.systems.steered import calibrate_vectors

    chosen = configs.load(SweepSettings, None, settings or ())
    uncalibrated = open_vectors(str(vectors))
    check_writable(vectors, keeps="the work of a run that is stopped")
    labelled: list[tuple[str, str]] = []
    if judge_texts is None:
        judge = open_judge(LABEL["en"])
    else:
        labelled = read_labelled(_text(judge_texts).split("\n"), str(judge_texts))
        judge = train_ngram_judge(labelled)
    listed = shipped_posts()
    if posts is not None:
        listed = [line.strip() for line in _text(posts).split("\n") if line.strip()]
        if len(listed) < 5:
            raise DataError(f"{posts} holds {number_of(len(listed), 'post')}; give 20 or more")
    lm = load_causal_lm(model or uncalibrated.card.model, device=device)
    checkpoint = vectors.with_suffix(".sweep.json")
    with _bar("sweeping") as progress:
        calibrated = calibrate_vectors(
            lm,
            uncalibrated,
            listed,
            judge,
            known_texts=[text for text, _ in labelled] or listed,
            human=_examples(human) if human else (),
            settings=chosen,
            checkpoint=checkpoint,
            progress=progress,
        )
    calibrated.save(vectors)
    checkpoint.unlink(missing_ok=True)
    for label, reason in calibrated.card.measured["uncalibrated"].items():
        options.note(f"{label} stays uncalibrated: {reason}")
    options.note(f"calibrated {vectors}; see: emotone vectors card {vectors}")


@app.command("import")
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="The paper's MODEL_EMOTION.json, .gguf, .pt or safetensors."
        ),
    ],
    output: _Output,
    model: Annotated[str, typer.Option("--model", "-m", help="The model they were made for.")],
    site: Annotated[
        str | None,
        typer.Option("--site", help="attn_out, resid or mlp_out; that of such files."),
    ] = None,
    positions: Annotated[
        str | None,
        typer.Option("--positions", help="last, all, prompt or generated; those of such files."),
    ] = None,
    block: Annotated[
        int | None, typer.Option("--block", help="Move this block alone, from 0 on.")
    ] = None,
    device: options.Device = "auto",
) -> None:
    """Take over vectors that others published, unscaled, for raw doses."""
    from emotone.errors import unknown_name
    from emotone.files import check_writable
    from emotone.models import load_causal_lm
    from emotone.steering.layers import SITES, blocks
    from emotone.steering.positions import POSITIONS
    from emotone.steering.published import made_for, of_paper, read_published

    if site is not None and site not in SITES:
        raise unknown_name("site", site, SITES)
    if positions is not None and positions not in POSITIONS:
        raise unknown_name("positions", positions, POSITIONS)
    own_site, own_positions = made_for(files)
    output.parent.mkdir(parents=True, exist_ok=True)
    check_writable(output)
    read_published(files)  # says what is wrong with them before weights are loaded
    lm = load_causal_lm(model, device=device)
    directions = read_published(files, depth=len(blocks(lm.model)))
    of_paper(
        lm,
        directions,
        site=site or own_site,
        positions=positions or own_positions,
        block=block,
    ).save(output)
    typer.echo(output)
    label = next(iter(directions))
    options.note(f"try: emotone reply ... -m {model} --set vectors={output} --raw {label}=2")


def _measured(
    lm: CausalLM,
    vectors: EmotionVectors,
    judge: EmotionClassifier,
    known: list[str],
    lang: Lang,
    checkpoint: Path | None = None,
) -> EmotionVectors:
    """Measure doses on the posts that come with us, one candidate a post, under a bar."""
    from emotone.steering.calibrate import shipped_posts
    from emotone.steering.make import SWEEPS
    from emotone.systems.steered import Config, calibrate_vectors

    with _bar("measuring doses") as progress:
        return calibrate_vectors(
            lm,
            vectors,
            shipped_posts(lang),
            judge,
            known_texts=known,
            config=Config(candidates=1, batch=64),
            settings=SWEEPS[lang],
            checkpoint=checkpoint,
            progress=progress,
        )


def _language(given: str) -> Lang:
    from emotone.errors import UsageError

    if given == "en" or given == "zh":
        return given
    raise UsageError(f"--lang is {given!r}; use en or zh")


def _text(path: Path) -> str:
    from emotone.data.reading import whole_text

    return whole_text(path)


def _examples(path: Path) -> list[Example]:
    from emotone.evaluation.records import read_examples

    return list(read_examples(_text(path).split("\n"), str(path)))


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
