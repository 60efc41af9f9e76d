"""The page of replies to everyday posts: what the three systems say, post by post."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emotone.data.text import text_key
from emotone.evaluation.remember import remember_emotion
from emotone.metrics.asked import asked_emotion
from emotone.metrics.base import Pair
from emotone.protocols import EmotionClassifier
from recipes.recurrent.compare import MAIN
from recipes.recurrent.folders import EVERYDAY, Run, find, neutral_of, replies
from recipes.recurrent.names import LANGS, SYSTEMS, table

HERE = Path(__file__).parent


def posts(lang: str) -> list[str]:
    """The everyday posts of a language, written for this page."""
    return (HERE / f"posts_{lang}.txt").read_text(encoding="utf-8").split("\n")[:-1]


def chosen(runs: Sequence[Run], lang: str) -> dict[str, Run]:
    """The run of each system that is shown: its main variant, all pairs, lowest seed."""
    mine = [
        r
        for r in runs
        if r.lang == lang and r.variant == MAIN.get(r.system) and (r.folder / EVERYDAY).is_file()
    ]
    mine.sort(key=lambda r: r.seed)
    return {
        s: next(r for r in mine if r.system == s) for s in MAIN if any(r.system == s for r in mine)
    }


def everyday_page(folder: Path) -> str:
    """The page as Markdown; the scoring judge marks replies in which it hears the asked emotion."""
    from emotone.judges import SCORE, open_judge

    runs = find(folder)
    lines = [
        "# Replies of the recurrent systems",
        "",
        "Written by `python -m recipes.recurrent.table RUNS`; do not edit. Replies to everyday"
        " posts that were written for this page and that no system was trained on; one weight of"
        " the choice among candidates was lowered after reading earlier replies to them. The"
        " first seed of each system, default decoding, nothing chosen by hand. ✓ marks replies"
        " in which the scoring judge hears the asked emotion. A-Seq2Seq takes no emotion.",
    ]
    for lang, name in LANGS.items():
        shown = chosen(runs, lang)
        if shown:
            judge = remember_emotion(open_judge(SCORE[lang]), folder / ".labels")
            told = {system: replies(run, EVERYDAY) for system, run in shown.items()}
            lines += section(name, posts(lang), told, judge)
    return "\n".join(lines) + "\n"


def section(
    name: str,
    wanted: Sequence[str],
    told: Mapping[str, Sequence[Pair]],
    judge: EmotionClassifier | None,
) -> list[str]:
    """One language: what can be counted, then a table of posts and emotions."""
    neutral = neutral_of(p for pairs in told.values() for p in pairs)
    by_post: dict[tuple[str, str, str], str] = {}
    emotions: dict[str, None] = {}
    lines = ["", f"## {name}", ""]
    for system, pairs in told.items():
        marks = _heard(pairs, judge)
        said: list[tuple[str, str]] = []
        hits: list[bool] = []
        for (example, reply), heard in zip(pairs, marks, strict=True):
            emotion = asked_emotion(reply)
            label = "" if emotion is None else emotion.label
            if label == neutral and label:
                continue
            if label:
                emotions[label] = None
                hits.append(heard)
            post = example.dialogue.posts[-1].text
            said.append((text_key(reply.text), post))
            by_post[text_key(post), label, system] = reply.text + (" ✓" if heard else "")
        lines.append(f"- {SYSTEMS[system]}: {_counted(said, hits)}")
    head = ["post", "asked", *(SYSTEMS[s] for s in told)]
    rows: list[list[str]] = []
    for post in wanted:
        key = text_key(post)
        labels = [e for e in emotions if any((key, e, s) in by_post for s in told)] or [""]
        for i, label in enumerate(labels):
            cells = [
                by_post.get((key, label, s), by_post.get((key, "", s), "") if not i else "")
                for s in told
            ]
            rows.append([_plain(post) if not i else "", label, *map(_plain, cells)])
    return [*lines, "", *table(head, rows)]


def _heard(pairs: Sequence[Pair], judge: EmotionClassifier | None) -> list[bool]:
    if judge is None or not pairs:
        return [False] * len(pairs)
    scores = judge.classify([r.text for _, r in pairs])
    emotions = [asked_emotion(r) for _, r in pairs]
    return [e is not None and e.label == s.label for e, s in zip(emotions, scores, strict=True)]


def _counted(said: Sequence[tuple[str, str]], hits: Sequence[bool]) -> str:
    """Say how many replies there are, how many are the same, and in how many the mood is heard."""
    of_text: dict[str, set[str]] = {}
    for text, post in said:
        of_text.setdefault(text, set()).add(post)
    shared = sum(len(of_text[text]) > 1 for text, _ in said)
    top = Counter(text for text, _ in said).most_common(1)
    parts: list[Any] = [
        f"{len(said)} replies, {len(of_text)} of them different",
        f"{shared} also said to another post",
        f"the commonest {top[0][1] if top else 0} times",
    ]
    if hits:
        parts.append(f"asked emotion heard in {sum(hits)} of {len(hits)}")
    return "; ".join(parts) + "."


def _plain(text: str) -> str:
    """Write text that no Markdown is read into."""
    for sign in "\\`*_[]<>#|~":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
