"""`emotone judge`: labels of emotion or empathy for a file of texts."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, TypeVar

import typer

from emotone.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from emotone.protocols import EmotionClassifier, SenseReader, Spread
    from emotone.types import EmotionScores

    _Rows = Sequence[dict[str, Any]]

_Judge = TypeVar("_Judge")
_Reading = TypeVar("_Reading")

app = typer.Typer(
    help="Label texts by emotion or by empathy levels.", no_args_is_help=True, rich_markup_mode=None
)

Source = Annotated[
    str,
    typer.Option(
        "--input", "-i", help="JSON lines (also replies.jsonl) or a text a line; - stdin."
    ),
]
Output = Annotated[str, typer.Option("--output", "-o", help="labels.jsonl; - writes stdout.")]

#: The mechanisms as EPITOME's files call them.
_KEYS = {
    "reaction": "emotional_reactions",
    "interpretation": "interpretations",
    "exploration": "explorations",
}
#: The start of a JSON array of objects or texts, which would be judged as one text.
_JSON_LIST = re.compile(r'\s*\[\s*(?:[{"]|$)')
#: Rows judged at once: enough to sort them by length, few enough to hold.
_CHUNK = 2048


@app.command("emotion")
def emotion(
    source: Source = "-",
    output: Output = "-",
    lang: Annotated[
        str | None, typer.Option("--lang", help="en or zh, of all texts; else by their script.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="Name or folder; <lang>-score without one.")
    ] = None,
    taxonomy: Annotated[
        str | None, typer.Option("--taxonomy", help="Label set, where the judge has several.")
    ] = None,
    ray: options.Ray = None,
    workers: options.Workers = None,
) -> None:
    """Label texts with their emotion: `{"id", "text", "label", "scores", "judge"}` a line.

    Lines are `{"id", "text", "post"}`, the post where the text answers one, plain texts, or those
    of replies.jsonl.
    """
    from emotone.data.scripts import converter, is_traditional
    from emotone.data.text import language
    from emotone.errors import unknown_name
    from emotone.judges import SCORE, card_of, open_judge
    from emotone.judges.by_language import JudgesByLanguage

    if lang is not None and lang not in SCORE:
        raise unknown_name("language", lang, SCORE)
    _check_output(output)
    rows = _texts(source)
    named = dict(SCORE) if judge is None else {card_of(judge).lang: judge}
    judges = JudgesByLanguage(named, lambda name: open_judge(name, taxonomy))
    for row in rows:  # before any is judged
        row["lang"] = lang or row["lang"] or language(row["text"])
        judges.of(row["lang"], f"text {row['id']!r}")
    if converter() is None and any(is_traditional(row["text"]) for row in rows):
        options.note(
            "some texts are in traditional Chinese, which the judges read badly; "
            "`pip install 'emotone[traditional]'` lets them read it as simplified"
        )
    names = " and ".join(each.name for each in judges.opened.values())
    label = partial(_emotions, judges.opened)
    _run(rows, output, f"texts by {names}", label, options.spread(ray, workers))


def _emotions(
    judges: Mapping[str, EmotionClassifier], rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    def classify(judge: EmotionClassifier, own: _Rows) -> Sequence[EmotionScores]:
        return judge.classify([row["text"] for row in own], [row["post"] for row in own])

    return [
        {
            "id": row["id"],
            "text": row["text"],
            "label": scores.label,
            "scores": {k: round(v, 6) for k, v in scores.probabilities.items()},
            "judge": judge.name,
        }
        for row, judge, scores in _by_language(judges, rows, classify)
    ]


def _by_language(
    judges: Mapping[str, _Judge],
    rows: _Rows,
    read: Callable[[_Judge, _Rows], Iterable[_Reading]],
) -> Iterator[tuple[dict[str, Any], _Judge, _Reading]]:
    """Yield each row, the judge of its language and what that reads in it, in order."""
    readings = {
        lang: iter(read(judge, [row for row in rows if row["lang"] == lang]))
        for lang, judge in judges.items()
    }
    for row in rows:
        yield row, judges[row["lang"]], next(readings[row["lang"]])


@app.command("empathy")
def empathy(
    source: Source = "-",
    output: Output = "-",
    judge: Annotated[str, typer.Option("--judge", help="Name or folder.")] = "empathy-score",
    ray: options.Ray = None,
    workers: options.Workers = None,
) -> None:
    """Label replies with their levels of emotional reaction, interpretation and exploration.

    Lines are `{"id", "context", "response"}`, or those of replies.jsonl.
    """
    from emotone.judges import open_identifier

    _check_output(output)
    rows = _pairs(source)
    identifier: Any = open_identifier(judge)

    label = partial(_levels, identifier)
    _run(rows, output, f"pairs by {identifier.name}", label, options.spread(ray, workers))


def _levels(identifier: Any, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    from emotone.judges.identifier import decide
    from emotone.types import MECHANISMS

    chances = identifier.probabilities([(r["context"], r["response"]) for r in rows])
    labelled: list[dict[str, Any]] = []
    for row, chance in zip(rows, chances, strict=True):
        levels = {
            _KEYS[name]: int(decide(chance[i : i + 1], identifier.card.offsets[name])[0])
            for i, name in enumerate(MECHANISMS)
        }
        scores = {
            _KEYS[name]: [round(float(p), 6) for p in chance[i]]
            for i, name in enumerate(MECHANISMS)
        }
        labelled.append({"id": row["id"], **levels, "scores": scores, "judge": identifier.name})
    return labelled


@app.command("sense")
def sense(
    source: Source = "-",
    output: Output = "-",
    lang: Annotated[
        str | None,
        typer.Option("--lang", help="Language of all lines; else by the script of each reply."),
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="Name or folder; en-sense or zh-sense.")
    ] = None,
    ray: options.Ray = None,
    workers: options.Workers = None,
) -> None:
    """Judge how well replies answer their posts: `{"id", "content", "sense", "judge"}` a line.

    Lines are `{"id", "context", "response"}`, or those of replies.jsonl. `content` is expected on
    the scale 0 to 2, `sense` the probability of 2.
    """
    from emotone.data.text import language
    from emotone.errors import Unsupported
    from emotone.judges import open_sense, sense_judge_of

    _check_output(output)
    rows = _pairs(source, last=True)
    langs = [lang or language(row["response"], row["context"]) for row in rows]
    named = {one: judge or sense_judge_of(one) for one in dict.fromkeys(langs)}
    judges = {one: open_sense(name) for one, name in named.items()}
    for one, sense_judge in judges.items():
        if sense_judge.card.lang != one:
            row = rows[langs.index(one)]
            raise Unsupported(
                f"{sense_judge.card.name} judges replies in {sense_judge.card.lang!r}, and line"
                f" {row['id']!r} is in {one!r}; leave it out, or say --lang {sense_judge.card.lang}"
            )
    for one, row in zip(langs, rows, strict=True):
        row["lang"] = one
    names = " and ".join(each.name for each in judges.values())
    label = partial(_content, judges)
    _run(rows, output, f"pairs by {names}", label, options.spread(ray, workers))


def _content(
    judges: Mapping[str, SenseReader], rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    def content(judge: SenseReader, own: _Rows) -> Iterable[Any]:
        return judge.content([(row["context"], row["response"]) for row in own])

    return [
        {
            "id": row["id"],
            "content": round(float(chance[1] + 2 * chance[2]), 6),
            "sense": round(float(chance[2]), 6),
            "judge": judge.name,
        }
        for row, judge, chance in _by_language(judges, rows, content)
    ]


@app.command("train")
def train(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder to write, for --judge and identifier.")
    ],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="TOML with what differs from defaults.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, such as backbone=t5-small.")
    ] = None,
) -> None:
    """Train an identifier of empathy as EmpRL's paper has it; run it again and it goes on.

    It learns from examples with levels, such as those of `emotone data prepare epitome`.
    """
    from emotone import config as configs
    from emotone.judges.identifier_training import Config, train_identifier

    print(train_identifier(configs.load(Config, config, settings or ()), out))


@app.command("list")
def judges(as_json: options.Json = False) -> None:
    """List the judges that are here, and what each may be used for."""
    from emotone.judges import identifiers, names, sense_judges
    from emotone.models import zoo

    rows: list[dict[str, Any]] = []
    shelves: tuple[tuple[zoo.Shelf, list[str]], ...] = (
        ("judges", names()),
        ("sense", sense_judges()),
        ("identifiers", identifiers()),
    )
    for shelf, here in shelves:
        for name in here:
            card = json.loads((zoo.folder(shelf, name) / "judge.json").read_text("utf-8"))
            labels = [h["taxonomy"] for h in card.get("heads", [])] or ["EPITOME levels"]
            rows.append(
                {
                    "name": name,
                    "role": card["role"],
                    "lang": card.get("lang", "en"),
                    "kind": card["kind"],
                    "labels": labels,
                    "version": card["version"],
                }
            )
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        about = f"{row['role']}, {row['lang']}, {row['kind']}: {', '.join(row['labels'])}"
        print(f"{row['name']:16} {about}")
    if not rows:
        options.note("no judges are here; install emotone-zoo")


def _run(
    rows: list[dict[str, Any]],
    output: str,
    what: str,
    label: Callable[[Sequence[dict[str, Any]]], list[dict[str, Any]]],
    workers: AbstractContextManager[Spread | None],
) -> None:
    from emotone.cli.progress import bar

    began = time.perf_counter()
    with workers as spread, _writing(output) as out, bar("judging", len(rows)) as advance:
        size = _CHUNK if spread is None else _CHUNK // 8  # so that each worker gets some
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        for labels in (spread or map)(label, parts):
            for labelled in labels:
                out.write(json.dumps(labelled, ensure_ascii=False) + "\n")
            advance(len(labels))
    spent = time.perf_counter() - began
    options.note(f"{len(rows):,} {what} in {spent:.1f} s ({len(rows) / max(spent, 1e-9):,.0f}/s)")


def _check_output(output: str) -> None:
    from emotone.files import check_writable

    if output != "-":
        check_writable(Path(output))


@contextmanager
def _writing(output: str) -> Iterator[TextIO]:
    from emotone.files import replacing

    if output == "-":
        yield sys.stdout
        return
    with replacing(Path(output)) as part, part.open("w", encoding="utf-8") as out:
        yield out


def _lines(source: str) -> Iterator[tuple[int, str]]:
    from emotone.data.reading import Problems, read_lines, whole_text

    if source != "-":
        yield from read_lines(Path(source), Problems())
        return
    yield from enumerate(whole_text(source).split("\n"), 1)


def _objects(source: str, needed: str) -> Iterator[tuple[str, int, dict[str, Any] | str]]:
    """Yield (place, line, JSON object or plain text) for each line that is not empty."""
    from emotone.errors import DataError

    name = "stdin" if source == "-" else Path(source).name
    for number, line in _lines(source):
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        if _JSON_LIST.match(line):
            raise DataError(f"{place}: a list; write {needed} a line, as `jq -c '.[]'` does")
        if not line.lstrip().startswith("{"):
            yield place, number, line
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place}: no JSON object ({error}); write {needed}") from error
        yield place, number, row


def _texts(source: str) -> list[dict[str, Any]]:
    from emotone.errors import DataError
    from emotone.types import is_unicode

    needed = '{"id", "text", "post"} or a plain text'
    rows: list[dict[str, Any]] = []
    for place, number, row in _objects(source, needed):
        fields = {"text": row} if isinstance(row, str) else row
        text = fields.get("text")
        if not isinstance(text, str) or not is_unicode(text):
            raise DataError(f'{place}: "text" is not text; write {needed} a line')
        lang = fields.get("lang")
        if lang not in (None, "en", "zh"):
            raise DataError(f'{place}: "lang" is {lang!r}; use "en" or "zh"')
        post = fields.get("post")
        turns = fields.get("dialogue")
        if post is None and isinstance(turns, list) and turns and isinstance(turns[-1], dict):
            post = turns[-1].get("text")  # pyright: ignore[reportUnknownMemberType]
        if post is not None and (not isinstance(post, str) or not is_unicode(post)):
            raise DataError(f'{place}: "post" is not text; write {needed} a line')
        name = str(fields.get("id", number))
        rows.append({"id": name, "text": text, "post": post, "lang": lang})
    return rows


def _pairs(source: str, *, last: bool = False) -> list[dict[str, Any]]:
    """Read pairs; of replies.jsonl all turns are the context, or the last one alone."""
    from emotone.errors import DataError
    from emotone.types import is_unicode

    needed = '{"id", "context", "response"}'
    rows: list[dict[str, Any]] = []
    for place, number, row in _objects(source, needed):
        if isinstance(row, str):
            raise DataError(f"{place}: a plain text; write {needed} a line")
        context, response = row.get("context"), row.get("response")
        if context is None and isinstance(row.get("dialogue"), list):
            turns = [t.get("text", "") for t in row["dialogue"] if isinstance(t, dict)]
            context, response = " ".join(map(str, turns[-1:] if last else turns)), row.get("text")
        if not all(isinstance(text, str) and is_unicode(text) for text in (context, response)):
            raise DataError(f"{place}: context or response is not text; write {needed} a line")
        rows.append({"id": str(row.get("id", number)), "context": context, "response": response})
    return rows
