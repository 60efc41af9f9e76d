"""Counts over examples, in one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from emotone.data.text import text_key
from emotone.types import MECHANISMS, Example

#: The row of examples that have no label, or a mix of several emotions.
UNLABELLED = "-"


@dataclass(slots=True)
class Stats:
    """What is in a file of examples.

    Args:
        examples: Lines.
        replies: Lines with a reply.
        conversations: Runs of lines each of which holds all posts of the line before.
        turns: Posts in the dialogues, history included; a post counts in each line that has it.
        length: Language -> words of English posts and replies, characters of Chinese ones, as
            [posts, their length, replies, their length]; only the post that is answered counts.
        post_emotions: Emotion of the post that is answered -> lines.
        reply_emotions: Emotion of the reply -> lines.
        taxonomies: Label sets that occur.
        empathy: Mechanism -> lines of level 0, 1 and 2.
        duplicates: Lines whose dialogue's last post and reply stood together in an earlier line.
        same_ids: Lines whose id an earlier line has, and
        same_id: the first such id.
    """

    examples: int = 0
    replies: int = 0
    conversations: int = 0
    turns: int = 0
    length: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    post_emotions: Counter[str] = field(default_factory=Counter[str])
    reply_emotions: Counter[str] = field(default_factory=Counter[str])
    taxonomies: set[str] = field(default_factory=set[str])
    empathy: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    duplicates: int = 0
    same_ids: int = 0
    same_id: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the counts and means as values of JSON."""
        return {
            "examples": self.examples,
            "conversations": self.conversations,
            "replies": self.replies,
            "turns": self.turns,
            "mean_length": {
                lang: {
                    "unit": "words" if lang == "en" else "characters",
                    "post": _mean(posts, post_units),
                    "reply": _mean(replies, reply_units),
                }
                for lang, (posts, post_units, replies, reply_units) in sorted(self.length.items())
            },
            "taxonomies": sorted(self.taxonomies),
            "emotions": {
                label: {"post": self.post_emotions[label], "reply": self.reply_emotions[label]}
                for label in self.labels()
            },
            "empathy": self.empathy,
            "duplicates": self.duplicates,
            "same_ids": self.same_ids,
        }

    def labels(self) -> list[str]:
        """Return the emotions that occur, most frequent first, unlabelled last."""
        both = self.post_emotions + self.reply_emotions
        return sorted(both, key=lambda label: (label == UNLABELLED, -both[label], label))


def collect(examples: Iterable[Example]) -> Stats:
    """Count examples; texts are not kept, only two numbers of a line, some 150 bytes in all."""
    stats = Stats()
    seen: set[int] = set()
    ids: set[int] = set()
    before: tuple[str, ...] = ("",)
    for example in examples:
        last = example.dialogue.posts[-1]
        texts = tuple(post.text for post in example.dialogue.posts)
        stats.conversations += texts[: len(before)] != before
        before = texts
        stats.examples += 1
        stats.turns += len(example.dialogue.posts)
        lengths = stats.length.setdefault(example.lang, [0, 0, 0, 0])
        lengths[0] += 1
        lengths[1] += _units(last.text, example.lang)
        if example.reply is not None:
            stats.replies += 1
            lengths[2] += 1
            lengths[3] += _units(example.reply, example.lang)
        _count_emotions(stats, example)
        if example.empathy is not None:
            for name in MECHANISMS:
                levels = stats.empathy.setdefault(name, [0, 0, 0])
                levels[getattr(example.empathy, name)] += 1
        stats.duplicates += _again(seen, f"{last.text}\n{example.reply or ''}")
        if _again(ids, example.id):
            stats.same_ids += 1
            stats.same_id = stats.same_id or example.id
    return stats


def table(stats: Stats) -> str:
    """Write the counts as lines, emotions as a table of post and reply (Emo-Seq, Table 1)."""
    values = stats.as_dict()
    lines = [
        f"{name.replace('_', ' ')}: {values[name]}"
        for name in ("examples", "conversations", "replies", "turns", "duplicates", "same_ids")
    ]
    for lang, mean in values["mean_length"].items():
        reply = "-" if mean["reply"] is None else f"{mean['reply']:.2f}"
        lines.append(f"mean {mean['unit']} ({lang}): post {mean['post']:.2f}, reply {reply}")
    if values["taxonomies"]:
        rows = [("emotion", "post", "reply")]
        rows += [(n, str(c["post"]), str(c["reply"])) for n, c in values["emotions"].items()]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines += ["", f"labels: {', '.join(values['taxonomies'])}"]
        lines += [
            f"{a.ljust(widths[0])}  {b.rjust(widths[1])}  {c.rjust(widths[2])}" for a, b, c in rows
        ]
    for name, levels in stats.empathy.items():
        lines.append(f"{name}: level 0 {levels[0]}, level 1 {levels[1]}, level 2 {levels[2]}")
    return "\n".join(lines)


def _count_emotions(stats: Stats, example: Example) -> None:
    post = example.dialogue.posts[-1].emotion
    reply = example.emotion.at_full if example.emotion else None
    stats.post_emotions[post.label if post else UNLABELLED] += 1
    if example.reply is not None:
        stats.reply_emotions[reply.label if reply else UNLABELLED] += 1
    stats.taxonomies.update(e.taxonomy for e in (post, reply) if e is not None)


def _units(text: str, lang: str) -> int:
    return len(text.split()) if lang == "en" else sum(not c.isspace() for c in text)


def _mean(count: int, total: int) -> float | None:
    return total / count if count else None


def _again(seen: set[int], text: str) -> bool:
    key = int(text_key(text)[:16], 16)
    if key in seen:
        return True
    seen.add(key)
    return False
