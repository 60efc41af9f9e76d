"""`emotone score`: numbers with intervals from replies."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotone.cli import options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emotone.emotions import Taxonomy
    from emotone.evaluation.scores import Scores
    from emotone.evaluation.summaries import Pair


def score(
    source: Annotated[
        list[Path], typer.Option("--input", "-i", help="replies.jsonl; give it again for more.")
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", help="scores.json; - writes stdout.")
    ] = "-",
    metrics: Annotated[
        str | None, typer.Option("--metrics", help="Such as distinct_2,bleu; all that can be had.")
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
) -> None:
    """Score replies; nothing is generated anew, and what was judged once is not judged again.

    Each (system, model) of the input has a scores file of its own: of several, the names of system
    and model go into the files' names.
    """
    from emotone.cli.progress import bar
    from emotone.errors import Unsupported, UsageError
    from emotone.evaluation import score as work
    from emotone.evaluation.records import read_replies_files
    from emotone.evaluation.tools import Wanted, check_judges, open_tools, usable

    if asked not in ("none", "all"):
        raise UsageError(f"--asked is {asked!r}; use none or all")
    names = _names(metrics)
    labels = _taxonomy(taxonomy)
    pairs = read_replies_files(source, labels)
    others = [(path, read_replies_files([path], labels)) for path in against or []]
    runs = work.runs(pairs)
    _check_one_each(others)
    place = Path(output) if output != "-" else source[0].parent / "scores.json"
    opened = open_tools(
        Wanted(
            tuple(names),
            _lang(pairs, judge),
            strict=metrics is not None,
            judge=judge,
            empathy_judge=empathy_judge,
            fluency_model=fluency_model,
            device=device,
            cache=place.parent / ".labels",
        )
    )
    everyone = [*pairs, *(p for _, rows in others for p in rows)]
    if not same_judge:
        listed = _trained([*source, *(path for path, _ in others)])
        check_judges(opened.judges, everyone, trained=listed)
    tools = dataclasses.replace(
        opened.tools,
        asked=asked,
        asked_emotions=work.asked_emotions(everyone) if asked == "all" else (),
    )
    chosen: dict[tuple[str, str], list[str]] = {}
    left_out: dict[str, list[str]] = {}
    for run, rows in runs.items():
        chosen[run], without = usable(names, opened, rows)
        left_out.update(without)
        if without and metrics is not None:
            raise Unsupported(
                f"{', '.join(next(iter(without.values())))} cannot be had: {next(iter(without))};"
                " leave it out of --metrics"
            )
    lost = work.with_unsaid(tools, everyone).unsaid
    if lost:
        options.note(
            f"left out replies asked for {', '.join(lost)} from what compares with the asked"
            f" emotion: the judge {getattr(tools.emotion, 'name', '')} has no label for it"
        )
    for reason, missing in left_out.items():
        options.note(f"left out {', '.join(missing)}: {reason}")
    settings = {"asked": asked, "rounds": rounds, "seed": seed, "same_judge": same_judge}
    settings |= {"taxonomy": taxonomy, "parts": parts}
    made: list[Scores] = []
    with bar("metrics", sum(map(len, chosen.values())) * (1 + len(others))) as advance:
        for run, rows in runs.items():
            done = work.score(
                rows,
                chosen[run],
                tools,
                parts=[p.strip() for p in (parts or "").split(",") if p.strip()],
                rounds=rounds,
                seed=seed,
                manifest=_manifest(rows, source, against or (), opened.judges, settings),
                advance=lambda _: advance(1),
            )
            compared = [
                work.compare(
                    rows,
                    theirs,
                    [n for n in chosen[run] if n in usable([n], opened, theirs)[0]],
                    tools,
                    rounds=10 * rounds,
                    seed=seed,
                    advance=lambda _: advance(1),
                )
                for _, theirs in others
            ]
            made.append(dataclasses.replace(done, against=tuple(compared)))
    _write(made, output)


def _names(metrics: str | None) -> list[str]:
    from emotone import metrics as room
    from emotone.errors import UsageError

    if metrics is None:
        return room.names()
    names = [n.strip() for n in metrics.split(",") if n.strip()]
    if not names:
        raise UsageError(f"--metrics is {metrics!r}; name some, such as distinct_2,bleu")
    return list(dict.fromkeys(names))


def _taxonomy(name: str | None) -> Taxonomy | None:
    from emotone.emotions import TAXONOMIES
    from emotone.errors import unknown_name

    if name is None:
        return None
    if name not in TAXONOMIES:
        raise unknown_name("taxonomy", name, TAXONOMIES)
    return TAXONOMIES[name]


def _lang(pairs: Sequence[Pair], judge: str | None) -> str:
    from emotone.errors import UsageError

    langs = sorted({example.lang for example, _ in pairs})
    if len(langs) > 1 and judge is None:
        raise UsageError(
            f"the replies are in {' and '.join(langs)}; score each language apart, or name one"
            " --judge for both"
        )
    return langs[0]


def _check_one_each(others: Sequence[tuple[Path, list[Pair]]]) -> None:
    from emotone.errors import DataError
    from emotone.evaluation.score import runs

    for path, rows in others:
        if len(runs(rows)) != 1:
            raise DataError(f"{path} holds replies of several systems; give a file of one system")


def _trained(paths: Sequence[Path]) -> list[str]:
    """Judges that manifests beside replies list."""
    from emotone.evaluation.manifest import beside, read_manifest
    from emotone.evaluation.tools import judge_names

    found: list[str] = []
    for path in paths:
        for place in (beside(path), path.with_name("manifest.json")):
            found += judge_names(read_manifest(place).get("judges"), str(place))
    return found


def _manifest(
    rows: Sequence[Pair],
    source: Sequence[Path],
    against: Sequence[Path],
    judges: Mapping[str, dict[str, str]],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    from emotone.evaluation.manifest import beside, file_facts, manifest, read_manifest

    made = {path.name: read_manifest(beside(path)) for path in source}
    return manifest(
        source,
        judges=judges,
        settings=settings,
        seeds=(reply.seed for _, reply in rows),
        against=[file_facts(path) for path in against],
        generated={name: facts for name, facts in made.items() if facts},
    )


def _write(made: Sequence[Scores], output: str) -> None:
    from emotone.evaluation.scores import scores_json, write_scores

    if output == "-":
        for scores in made:
            # One object is spread out for people; several, one a line, for programs.
            text = scores_json(scores)
            print(
                text.rstrip()
                if len(made) == 1
                else json.dumps(json.loads(text), ensure_ascii=False)
            )
        return
    path = Path(output)
    for scores in made:
        name = path.name if len(made) == 1 else f"{path.stem}.{_slug(scores)}{path.suffix}"
        write_scores(scores, path.with_name(name))
        options.note(f"{path.with_name(name)}: {scores.title}, {scores.n} replies")


def _slug(scores: Scores) -> str:
    import re

    return re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{scores.system}-{scores.model}").strip("-.")
