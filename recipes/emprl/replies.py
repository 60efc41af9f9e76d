"""Invented dialogues, answered side by side by a model as it is, supervised and reinforced.

`python -m recipes.emprl.replies RUNS` writes docs/systems/emprl-replies.md; the replies are kept in
RUNS/eval/invented, so that the page can be written again.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from emotone.data.text import text_key
from emotone.evaluation.records import read_replies_files
from emotone.evaluation.remember import remember_empathy
from emotone.metrics.base import Pair
from emotone.metrics.empathy import context
from emotone.protocols import EmpathyIdentifier
from emotone.types import MECHANISMS, Dialogue, Example, Post, Speaker
from recipes.compare.files import PAGES, filled, write_page
from recipes.compare.table import escaped, table
from recipes.emprl.answer import check, opened, write
from recipes.emprl.names import MODELS, STAGES
from recipes.emprl.runs import Stage, find, identity

HERE = Path(__file__).parent
SHOWN = ("plain", "supervised", "ppo")


def dialogues() -> list[Example]:
    """The dialogues that were written for this page."""
    lines = (HERE / "dialogues.txt").read_text(encoding="utf-8").split("\n")[:-1]
    examples: list[Example] = []
    for i, line in enumerate(lines, 1):
        speakers = (Speaker.USER, Speaker.ASSISTANT)
        posts = tuple(Post(text, speakers[k % 2]) for k, text in enumerate(line.split(" | ")))
        examples.append(Example(f"invented-{i}", Dialogue(posts)))
    return examples


def chosen(stages: Sequence[Stage]) -> dict[str, list[Stage]]:
    """The stages that are shown of each name: of the lowest seed that has a reinforced one."""
    shown: dict[str, list[Stage]] = {}
    for name in dict.fromkeys(s.name for s in stages):
        mine = [s for s in stages if s.name == name and s.stage in SHOWN]
        seeds = [s.seed for s in mine if s.stage == "ppo"] or [s.seed for s in mine if s.seed]
        first = [s for s in mine if s.seed in (0, min(seeds))]
        shown[name] = sorted(first, key=lambda s: SHOWN.index(s.stage))
    return shown


def answered(stage: Stage, examples: Sequence[Example], out: Path) -> list[Pair]:
    """The replies of a stage, written if they are not there."""
    path = out / stage.title / "replies.jsonl"
    check(path.parent, identity(stage, examples))
    write(lambda: opened(stage), examples, path, sampling=1, batch=10)
    return read_replies_files([path])


def page(replies: Mapping[str, Mapping[str, Sequence[Pair]]], judge: EmpathyIdentifier) -> str:
    """The page as Markdown.

    Args:
        replies: Name of the runs -> stage -> its replies.
        judge: Says the levels that stand beside the replies.
    """
    lines: list[str] = []
    for name, stages in replies.items():
        lines += ["", f"## {MODELS.get(name, name)}", ""]
        marks: dict[str, list[str]] = {}
        for stage, pairs in stages.items():
            levels = judge.identify([(context(e.dialogue), r.text) for e, r in pairs])
            marks[stage] = [f"{x.reaction} {x.interpretation} {x.exploration}" for x in levels]
            lines.append(f"- {STAGES[stage]}: {_counted(pairs, levels)}")
        head = ["dialogue", *(STAGES[s] for s in stages)]
        first = next(iter(stages.values()))
        rows = [
            [
                _dialogue(example.dialogue),
                *(
                    f"{escaped(pairs[i][1].text)} ({marks[stage][i]})"
                    for stage, pairs in stages.items()
                ),
            ]
            for i, (example, _) in enumerate(first)
        ]
        lines += ["", *table(head, rows)]
    return filled(HERE / "pages/replies.md", models=lines[1:])


def _counted(pairs: Sequence[Pair], levels: Sequence[object]) -> str:
    texts = [text_key(r.text) for _, r in pairs]
    words = sum(len(r.text.split()) for _, r in pairs) / len(pairs)
    means = [sum(getattr(x, name) for x in levels) / len(pairs) for name in MECHANISMS]
    return (
        f"{len(set(texts))} of {len(texts)} different, the commonest"
        f" {Counter(texts).most_common(1)[0][1]} times; {words:.1f} words; mean levels"
        f" {means[0]:.2f}, {means[1]:.2f}, {means[2]:.2f}."
    )


def _dialogue(dialogue: Dialogue) -> str:
    return " ".join(
        escaped(post.text) if post.speaker is Speaker.USER else f"— {escaped(post.text)} —"
        for post in dialogue.posts
    )


def main() -> None:
    from emotone.judges import open_identifier

    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("runs", type=Path)
    arguments.add_argument("--out", type=Path, help="folder of the replies; RUNS/eval without it")
    arguments.add_argument("--page", type=Path, default=PAGES / "emprl-replies.md")
    given = arguments.parse_args()
    out = (given.out or given.runs / "eval") / "invented"
    examples = dialogues()
    pairs = {
        name: {s.stage: answered(s, examples, out) for s in stages}
        for name, stages in chosen(find(given.runs)).items()
    }
    judge = remember_empathy(open_identifier("empathy-score"), out.parent / ".labels")
    write_page(given.page, page(pairs, judge))


if __name__ == "__main__":
    main()
