"""Write a report: `index.html`, `tables.md` and `tables.tex` in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emotone.errors import DataError
from emotone.evaluation.scores import write_text
from emotone.human.findings import read_findings
from emotone.report.examples import side_by_side
from emotone.report.gather import gather
from emotone.report.page import PER_EMOTION, page
from emotone.report.study import study_section, study_tables
from emotone.report.tables import (
    Table,
    by_group,
    differences,
    latex,
    markdown,
    overall,
    published,
)


def write_report(
    places: Sequence[Path],
    output: Path,
    *,
    title: str = "Replies with a chosen emotion",
    posts: bool = False,
    examples: int = 6,
    study: Path | None = None,
) -> list[Path]:
    """Read run folders and write their report; the same scores give the same bytes.

    Args:
        places: Run folders or scores files.
        output: Folder of the report; it is made if its parent exists.
        title: Heading of the page.
        posts: Whether the posts of the examples are shown, which may be lines of a corpus.
        examples: Number of posts whose replies are shown.
        study: `study.json` of a human evaluation, which becomes a section.

    Returns:
        The files written.

    Raises:
        DataError: If there are no scores, a file is damaged, or the folder cannot be written.
    """
    runs = gather(places)
    tables: list[Table] = [overall(runs)]
    if any(run.scores.per_emotion for run in runs):
        tables.append(by_group(runs, "per_emotion", PER_EMOTION, "By emotion asked"))
    if any(run.scores.per_part for run in runs):
        tables.append(by_group(runs, "per_part", PER_EMOTION, "By part of the examples"))
    tables += [*differences(runs), *published(runs)]
    found = None if study is None else read_findings(study)
    tables += [] if found is None else study_tables(found)
    people = "" if found is None else study_section(found)
    talks = side_by_side(runs, examples)
    try:
        output.mkdir(exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot make the folder {output} ({error.strerror}); name one whose parent exists"
        ) from error
    texts = {
        "index.html": page(runs, talks, title=title, hidden=not posts, people=people),
        "tables.md": f"# {title}\n\n" + "\n".join(map(markdown, tables)),
        "tables.tex": "% needs \\usepackage{booktabs}\n" + "\n".join(map(latex, tables)),
    }
    for name, text in texts.items():
        write_text(output / name, text)
    return [output / name for name in texts]
