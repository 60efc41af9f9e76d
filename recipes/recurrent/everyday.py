"""The page of replies to everyday posts: what the three systems say, post by post."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from emotone.data.text import text_key
from emotone.evaluation.remember import remember_emotion
from emotone.metrics.asked import asked_emotion
from emotone.metrics.base import Pair
from emotone.protocols import EmotionClassifier
from emotone.types import Dialogue, Example
from recipes.compare.files import filled
from recipes.compare.table import escaped, table
from recipes.recurrent.folders import EVERYDAY, MAIN, Run, find, neutral_of, replies
from recipes.recurrent.names import LANGS, SYSTEMS

HERE = Path(__file__).parent


def posts(lang: str) -> list[str]:
    """The everyday posts of a language, written for this page."""
    return (HERE / f"posts_{lang}.txt").read_text(encoding="utf-8").split("\n")[:-1]


def examples(lang: str) -> list[Example]:
    """The same as examples without an emotion."""
    return [
        Example(f"everyday-{i}", Dialogue.of(text), lang=lang)  # pyright: ignore
        for i, text in enumerate(posts(lang), 1)
    ]


def chosen(runs: Sequence[Run], lang: str) -> dict[str, Run]:
    """The run of each system that is shown: its main variant, all pairs, lowest seed."""
    shown: dict[str, Run] = {}
    for system, variant in MAIN.items():
        mine = [
            r
            for r in runs
            if (r.lang, r.system, r.variant) == (lang, system, variant)
            and (r.folder / EVERYDAY).is_file()
        ]
        if mine:
            shown[system] = min(mine, key=lambda r: r.seed)
    return shown


def everyday_page(folder: Path) -> str:
    """The page as Markdown; ✓ marks replies that the judge classifies as the requested emotion."""
    from emotone.judges import SCORE, open_judge

    runs = find(folder)
    lines: list[str] = []
    for lang, name in LANGS.items():
        if shown := chosen(runs, lang):
            judge = remember_emotion(open_judge(SCORE[lang]), folder / ".labels")
            pairs = {system: replies(run, EVERYDAY) for system, run in shown.items()}
            lines += section(name, posts(lang), pairs, judge)
    return filled(HERE / "pages/replies.md", languages=lines[1:])


def section(
    name: str,
    wanted: Sequence[str],
    of_systems: Mapping[str, Sequence[Pair]],
    judge: EmotionClassifier,
) -> list[str]:
    """One language: what can be counted, then a table of posts and emotions."""
    neutral = neutral_of(p for pairs in of_systems.values() for p in pairs)
    cells: dict[tuple[str, str, str], str] = {}
    emotions: dict[str, None] = {}
    lines = ["", f"## {name}", ""]
    for system, pairs in of_systems.items():
        texts: list[tuple[str, str]] = []
        hits: list[bool] = []
        scores = judge.classify([reply.text for _, reply in pairs]) if pairs else []
        for (example, reply), score in zip(pairs, scores, strict=True):
            emotion = asked_emotion(reply)
            label = "" if emotion is None else emotion.label
            if label and label == neutral:
                continue
            if label:
                emotions[label] = None
                hits.append(label == score.label)
            post = text_key(example.dialogue.posts[-1].text)
            texts.append((text_key(reply.text), post))
            cells[post, label, system] = reply.text + (" ✓" if label == score.label else "")
        lines.append(f"- {SYSTEMS[system]}: {_counted(texts, hits)}")
    rows: list[list[str]] = []
    for post in wanted:
        key = text_key(post)
        labels = [e for e in emotions if any((key, e, s) in cells for s in of_systems)] or [""]
        for i, label in enumerate(labels):
            plain = {s: "" if i else cells.get((key, "", s), "") for s in of_systems}
            texts_of = [cells.get((key, label, s), plain[s]) for s in of_systems]
            rows.append(["" if i else escaped(post), label, *map(escaped, texts_of)])
    return [*lines, "", *table(["post", "emotion", *(SYSTEMS[s] for s in of_systems)], rows)]


def _counted(texts: Sequence[tuple[str, str]], hits: Sequence[bool]) -> str:
    """Count replies, different ones, those given to several posts, and hits of the emotion."""
    posts_of: dict[str, set[str]] = {}
    for text, post in texts:
        posts_of.setdefault(text, set()).add(post)
    commonest = max(Counter(text for text, _ in texts).values(), default=0)
    parts = [
        f"{len(texts)} replies, {len(posts_of)} of them different",
        f"{sum(len(posts_of[text]) > 1 for text, _ in texts)} also given to another post",
        f"the commonest {commonest} times",
    ]
    if hits:
        parts.append(f"{sum(hits)} of {len(hits)} classified as the requested emotion")
    return "; ".join(parts) + "."
