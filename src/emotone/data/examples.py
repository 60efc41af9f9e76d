"""`examples.jsonl`, and the same rows as parquet: read and written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from emotone.data.formats.json_stream import json_fault
from emotone.data.text import Lang, language
from emotone.emotions import EKMAN, TAXONOMIES, Emotion, EmotionMix, Taxonomy
from emotone.errors import DataError, EmotoneError, kind_of_value, unknown_name
from emotone.files import replacing
from emotone.types import (
    MECHANISMS,
    Dialogue,
    EmpathyLevels,
    Example,
    Post,
    Speaker,
    is_unicode,
    judge_names,
)

#: A longer line is not an example.
MAX_LINE = 50 * 1024 * 1024
#: Rows of a parquet file that are held in memory at once.
CHUNK = 20_000


#: Labels of what names no taxonomy: a set, or the set of each language; Ekman's for None.
Labels = Taxonomy | None | Callable[[Lang], Taxonomy | None]


def read_examples(lines: Iterable[str], where: str, taxonomy: Labels = None) -> Iterator[Example]:
    """Read examples, one JSON object a line; empty lines are skipped.

    A line is `{"id", "dialogue": [{"speaker", "text", "emotion"?}], "emotion", "reply", "lang"}` or
    the short `{"post", "emotion"?, "reply"?}`, each with "taxonomy" (the name of the labels' set)
    "empathy" (`{"reaction", "interpretation", "exploration"}`) and "judges" (those that gave its
    emotions) where it has them. A line without id gets its line number, and one without "lang" that
    of its script.

    Args:
        lines: The file's lines.
        where: Name of the file, for messages.
        taxonomy: Labels of the lines that name no taxonomy, for all or by the line's language;
            Ekman's without one.

    Raises:
        DataError: If a line has another shape; the message names file and line.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield read_example(line, number, taxonomy)
        except EmotoneError as error:
            raise DataError(f"{where}, line {number}: {error}") from error


def read_example(line: str, number: int, taxonomy: Labels = None) -> Example:
    """Read one line; the arguments and errors are those of `read_examples`, without the place."""
    if len(line) > MAX_LINE:
        raise DataError(f"the line is {len(line)} characters long; keep lines under {MAX_LINE}")
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(json_fault(error, "write one object a line")) from error
    if isinstance(row, list):
        raise DataError(
            "a list where a JSON object is needed; write one a line, as `jq -c '.[]'` does"
        )
    if not isinstance(row, dict):
        raise DataError(f"{kind_of_value(row)} where a JSON object is needed")
    return _example(row, number, taxonomy)


def example_row(example: Example) -> dict[str, Any]:
    """Return the JSON object of one line; optional keys stand only where they say something.

    Raises:
        DataError: If emotions of two taxonomies are in one example, which one line cannot say.
    """
    emotions = [post.emotion for post in example.dialogue.posts if post.emotion is not None]
    emotions += [emotion for emotion, _ in example.emotion.parts] if example.emotion else []
    named = sorted({emotion.taxonomy for emotion in emotions})
    if len(named) > 1:
        raise DataError(
            f"example {example.id!r} has emotions of {' and '.join(named)}; "
            "map them to one taxonomy"
        )
    row: dict[str, Any] = {
        "id": example.id,
        "dialogue": [
            turn if post.emotion is None else {**turn, "emotion": post.emotion.label}
            for turn, post in zip(turns(example.dialogue), example.dialogue.posts, strict=True)
        ],
        "emotion": None if example.emotion is None else str(example.emotion),
        "reply": example.reply,
        "lang": example.lang,
    }
    if named:
        row["taxonomy"] = named[0]
    if example.empathy is not None:
        row["empathy"] = {level: getattr(example.empathy, level) for level in MECHANISMS}
    if example.judges:
        row["judges"] = list(example.judges)
    return row


def example_line(example: Example) -> str:
    """Write one line of `examples.jsonl`, without its end; `read_examples` gives the example back.

    Raises:
        DataError: If emotions of two taxonomies are in one example.
    """
    return json.dumps(example_row(example), ensure_ascii=False)


def turns(dialogue: Dialogue) -> list[dict[str, str]]:
    """Return a dialogue as `[{"speaker", "text"}]`."""
    return [{"speaker": p.speaker.value, "text": p.text} for p in dialogue.posts]


def write_jsonl(examples: Iterable[Example], path: Path) -> int:
    """Write `examples.jsonl`, whole or not at all.

    Returns:
        The number of examples.

    Raises:
        DataError: If the file cannot be written, or an example cannot be said in one line.
    """
    count = 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as out:
        for example in examples:
            out.write(example_line(example) + "\n")
            count += 1
    return count


def write_parquet(examples: Iterable[Example], path: Path) -> int:
    """Write the rows of `examples.jsonl` as parquet, whole or not at all, in bounded memory.

    Polars writes parquet in a stream from files only, so the rows pass through a JSONL file beside
    `path`, which is removed.

    Returns:
        The number of examples.

    Raises:
        DataError: As `write_jsonl`.
    """
    import polars as pl

    with replacing(path) as temporary:
        rows = temporary.with_name(f"{temporary.name}.rows.jsonl")
        try:
            count = write_jsonl(examples, rows)
            if count:
                pl.scan_ndjson(rows, schema=_schema()).sink_parquet(temporary)
            else:
                pl.DataFrame(schema=_schema()).write_parquet(temporary)
        finally:
            rows.unlink(missing_ok=True)
    return count


def read_parquet(path: Path, taxonomy: Labels = None) -> Iterator[Example]:
    """Read what `write_parquet` wrote, `CHUNK` rows at a time.

    Args:
        path: The file.
        taxonomy: Labels of the rows that name no taxonomy; Ekman's without one.

    Raises:
        DataError: If it is not a parquet file, lacks a column or a row has another shape.
    """
    import polars as pl

    number = 0
    try:
        scan = pl.scan_parquet(path, glob=False)
        lacks = {"id", "dialogue"} - set(scan.collect_schema().names())
        if lacks:
            raise DataError(f"{path.name}: no column {sorted(lacks)[0]!r}; prepare the file again")
        while True:
            part = scan.slice(number, CHUNK).collect()
            for row in part.iter_rows(named=True):
                number += 1
                try:
                    yield _example(_without_nulls(row), number, taxonomy)
                except EmotoneError as error:
                    raise DataError(f"{path.name}, row {number}: {error}") from error
            if len(part) < CHUNK:
                return
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).splitlines()[0]
        raise DataError(
            f"{path.name} is not a parquet file of examples ({first}); prepare it again"
        ) from error


def _schema() -> dict[str, Any]:
    import polars as pl

    turn = pl.Struct({"speaker": pl.String, "text": pl.String, "emotion": pl.String})
    return {
        "id": pl.String,
        "dialogue": pl.List(turn),
        "emotion": pl.String,
        "reply": pl.String,
        "lang": pl.String,
        "taxonomy": pl.String,
        "empathy": pl.Struct(dict.fromkeys(MECHANISMS, pl.Int64)),
        "judges": pl.List(pl.String),
    }


def _without_nulls(row: Mapping[str, Any]) -> dict[str, Any]:
    """Take out the columns that a row has only because others have them."""
    present = {key: value for key, value in row.items() if value is not None}
    levels = present.get("empathy")
    if isinstance(levels, dict) and all(level is None for level in levels.values()):
        del present["empathy"]
    return present


#: Keys of an example and of a turn, whose misspellings are refused; others belong to the user.
_KEYS = ("dialogue", "post", "emotion", "reply", "lang", "taxonomy", "empathy", "judges")
_TURN_KEYS = ("speaker", "text", "emotion")
#: Keys that mean one of these, but are not read.
_MEANT = {"language": "lang", "response": "reply", "intensity": 'emotion": "joy:60'}


def _check_keys(row: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Refuse a key that is nearly one that is read, whose wish would be ignored.

    Raises:
        DataError: If there is one; what is near no key is left to whoever wrote it.
    """
    for key in row:
        if key in keys or key in ("text", "reference", "judge"):
            continue
        near = get_close_matches(key.lower(), keys, n=1, cutoff=0.8)
        meant = near[0] if near else _MEANT.get(key.lower(), "")
        if meant and meant not in row:
            raise DataError(f'unknown key "{key}"; write "{meant}", or leave it out')


def _example(row: dict[str, Any], number: int, taxonomy: Labels) -> Example:
    _check_keys(row, _KEYS)
    lang = row_language(row)
    given = taxonomy if taxonomy is None or isinstance(taxonomy, Taxonomy) else taxonomy(lang)
    labels = _taxonomy(row.get("taxonomy"), given)
    if "dialogue" in row:
        posts = row["dialogue"]
        if not isinstance(posts, list):
            raise DataError('"dialogue" must be a list of {"speaker", "text"}')
        dialogue = Dialogue(tuple(_post(post, labels) for post in posts))
    elif "post" in row:
        dialogue = Dialogue.of(_text(row["post"], "post"))
    else:
        raise DataError('neither "dialogue" nor "post" is there; give one of them')
    emotion = row.get("emotion")
    if emotion is not None:
        emotion = EmotionMix.parse(_text(emotion, "emotion"), labels)
    reply = row.get("reply")
    return Example(
        _id(row.get("id"), number),
        dialogue,
        emotion,
        None if reply is None else _text(reply, "reply"),
        lang,
        _empathy(row.get("empathy")),
        tuple(map(str, judge_names(row.get("judges"), "the example"))),
    )


def row_language(row: Mapping[str, Any]) -> Lang:
    """Return a row's language: as it says, else by the script of its reply and last post.

    Raises:
        DataError: If it says another than "en" or "zh".
    """
    lang = row.get("lang")
    if lang in ("en", "zh"):
        return lang
    if lang is not None:
        raise DataError(f'"lang" is {lang!r}; use "en" or "zh", or leave it out')
    turns = row.get("dialogue")
    last = turns[-1] if isinstance(turns, list) and turns else None
    post = last.get("text") if isinstance(last, dict) else row.get("post")
    # A line of replies.jsonl has the reply in "text", and is in the language of that.
    texts = (row["text"],) if row.get("text") else (post, row.get("reply"))
    return language(*(text for text in texts if isinstance(text, str)))


def _taxonomy(name: Any, given: Taxonomy | None) -> Taxonomy:
    if name is None:
        return given or EKMAN
    if given is not None and name == given.name:
        return given
    if not isinstance(name, str) or name not in TAXONOMIES:
        raise unknown_name("taxonomy", str(name), TAXONOMIES)
    return TAXONOMIES[name]


def _post(turn: Any, taxonomy: Taxonomy) -> Post:
    if not isinstance(turn, dict) or "text" not in turn:
        raise DataError('a turn of "dialogue" must be {"speaker", "text"}')
    _check_keys(turn, _TURN_KEYS)
    speaker = turn.get("speaker", "user")
    if speaker not in ("user", "assistant"):
        raise DataError(f'"speaker" is {speaker!r}; use "user" or "assistant"')
    label = turn.get("emotion")
    emotion: Emotion | None = None
    if label is not None:
        emotion = taxonomy.parse(_text(label, "emotion"))
    return Post(_text(turn["text"], "text"), Speaker(speaker), emotion)


def _empathy(value: Any) -> EmpathyLevels | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != set(MECHANISMS):
        raise DataError(f'"empathy" must be an object of {", ".join(MECHANISMS)}, each 0, 1 or 2')
    for level in MECHANISMS:
        if type(value[level]) is not int:
            raise DataError(f'"{level}" is {kind_of_value(value[level])}; use 0, 1 or 2')
    return EmpathyLevels(**value)


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        also = " or a whole number" if key == "id" else ""
        raise DataError(f'"{key}" is {kind_of_value(value)}; it must be text{also}')
    if not is_unicode(value):
        raise DataError(f'"{key}" holds half a surrogate pair; write the text in UTF-8')
    return value


def _id(value: Any, number: int) -> str:
    if value is None:
        return str(number)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if whole else _text(value, "id")
