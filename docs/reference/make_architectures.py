"""Write docs/reference/architectures.md: what steering does on every causal architecture.

`python docs/reference/make_architectures.py [kind ...]`

Takes some minutes. With kinds it prints what it finds of them and writes nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parity.sweep import Row

PAGE = Path(__file__).with_name("architectures.md")
_TESTS = Path(__file__).parents[2] / "tests"
_TITLE = """# Architectures

<!-- Written by `python docs/reference/make_architectures.py`; do not edit by hand. -->

Steering was tried on a tiny random model of every causal architecture of transformers {version}
(`model_type`): {summary}.

Each was compared with additions by hand, row by row, without padding and without a cache: the
activation after a block moves by what is asked and no other does; two mixes in a batch, generated
with a cache and padding on the left, at each of the four kinds of positions; beams; bfloat16. What
transformers itself cannot do with a model was left out. A sentence below is the error that is
raised. `tests/parity/test_architectures.py` repeats all of it.
"""


def render(rows: Sequence[Row]) -> str:
    """Return the page of what was found."""
    import transformers

    acts = [row for row in rows if row.acts]
    absent = [row for row in rows if row.built]
    wrong = [row for row in rows if row.wrong]
    raises = [row for row in rows if not row.acts and not row.built and not row.wrong]
    summary = (
        f"{len(acts)} act, {len(raises)} raise, {len(absent)} are not run, {len(wrong)} silent"
    )
    parts = [_TITLE.format(version=transformers.__version__, summary=summary)]
    parts += ["## Acts", "", "| added as | families |", "|---|---|"]
    for tier, name in (("bias", "a bias, no hook"), ("rows", "a hook a block")):
        parts.append(f"| {name} | {_names(row.kind for row in acts if row.tier == tier)} |")
    partly = _grouped((row.kind, o) for row in acts for o in _refusals(row))
    if partly:
        parts += ["", "Of these, some raise in one way of running:", ""]
        parts += ["| sentence | ways | families |", "|---|---|---|", *partly]
    limits = _grouped((row.kind, (limit, "")) for row in acts for limit in row.limits)
    if limits:
        parts += ["", "Not compared, since the plain tiny model fails or differs there itself:", ""]
        parts += ["| what | | families |", "|---|---|---|", *limits]
    parts += ["", "## Raises", "", "| sentence | families |", "|---|---|"]
    parts += _sentences((row.outcomes["resid"], row.kind) for row in raises)
    if wrong:
        parts += ["", "## Silent", "", _names(row.kind for row in wrong)]
    if absent:
        parts += ["", "## Not run", "", "Their tiny model is not built, or does not run plain.", ""]
        parts += ["| what transformers says | families |", "|---|---|"]
        parts += _sentences((row.built, row.kind) for row in absent)
    return "\n".join(parts) + "\n"


def _refusals(row: Row) -> Iterable[tuple[str, str]]:
    ways: dict[str, list[str]] = {}
    for way, outcome in row.outcomes.items():
        if outcome != "acts":
            sentence = (
                outcome.replace(repr(way.partition(", ")[2]), "P") if ", " in way else outcome
            )
            ways.setdefault(sentence, []).append(way)
    return [(sentence, "; ".join(names)) for sentence, names in ways.items()]


def _grouped(found: Iterable[tuple[str, tuple[str, str]]]) -> list[str]:
    groups: dict[tuple[str, str], list[str]] = {}
    for kind, key in found:
        groups.setdefault(key, []).append(kind)
    return [f"| {_cell(a)} | {b} | {_names(kinds)} |" for (a, b), kinds in sorted(groups.items())]


def _sentences(found: Iterable[tuple[str, str]]) -> list[str]:
    groups: dict[str, list[str]] = {}
    for sentence, kind in found:
        groups.setdefault(sentence, []).append(kind)
    return [f"| {_cell(said)} | {_names(kinds)} |" for said, kinds in sorted(groups.items())]


def _names(kinds: Iterable[str]) -> str:
    return ", ".join(kinds) or "none"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main(kinds: Sequence[str]) -> None:
    """Examine every architecture and write the page, or some and print them."""
    sys.path.insert(0, str(_TESTS))
    from parity.sweep import examine
    from parity.tiny_architectures import KINDS

    rows: list[Row] = []
    for number, kind in enumerate(kinds or KINDS, 1):
        start = time.perf_counter()
        rows.append(row := examine(kind))
        state = row.built or f"{row.outcomes} {row.limits}"
        said = (
            f"{number}/{len(kinds or KINDS)} {kind} ({time.perf_counter() - start:.1f} s): {state}"
        )
        print(said, file=sys.stderr, flush=True)
    if not kinds:
        PAGE.write_text(render(rows), encoding="utf-8")
        print(PAGE)


if __name__ == "__main__":
    main(sys.argv[1:])
