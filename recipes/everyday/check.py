"""The gate of everyday: what every line has to keep, and the figures of the whole corpus.

`python -m recipes.everyday.check` prints what is wrong, line by line, then the table; exit code 1
where anything is wrong. `--models` also measures whether replies share the topic of their post
(sentence vectors of MiniLM in English, word vectors in Chinese). `--split` writes anew which lines
are too like a post that is held out. `python -m recipes.everyday.check FILE` looks at one file that
is being written.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emotone.data import everyday
from emotone.data.everyday import Line
from emotone.data.text import Lang, text_key, tokens
from emotone.emotions import EVERYDAY
from emotone.files import write_json
from emotone.metrics import self_bleu
from emotone.metrics.template import names_emotion
from emotone.types import Speaker

#: Fewest and most words of a text, in Chinese characters.
LENGTHS: dict[tuple[str, str], tuple[int, int]] = {
    ("post", "en"): (1, 40), ("post", "zh"): (2, 60),
    ("reply", "en"): (2, 40), ("reply", "zh"): (3, 70),
}  # fmt: skip
#: Posts whose letters (four in a row; in Chinese two) overlap so far (Jaccard) are near; where one
#: of them is held out, a milder likeness parts them.
NEAR, LIKE = 0.7, 0.45
#: Most of an emotion's replies that may begin alike, and that may name the emotion.
OPENING, NAMED = 0.03, 0.25
#: Replies of an emotion of which self-BLEU is taken.
SAMPLE = 500


def letters(text: str, lang: Lang) -> frozenset[str]:
    """Runs of letters of a post, without case and signs."""
    plain, n = plain_letters(text), 2 if lang == "zh" else 4
    return frozenset(plain[i : i + n] for i in range(max(1, len(plain) - n + 1)))


def plain_letters(text: str) -> str:
    """Letters and digits of a text in lower case."""
    return "".join(c for c in text.lower() if c.isalnum())


def like_posts(
    lines: Sequence[Line], others: Sequence[Line], least: float
) -> Iterator[tuple[Line, Line]]:
    """Yield pairs of lines whose posts are like, each pair once; posts with history are not."""
    own = [(line, letters(line.post, line.lang)) for line in lines if not line.history]
    place: dict[str, list[int]] = {}
    theirs = [(line, letters(line.post, line.lang)) for line in others if not line.history]
    for number, (_, runs) in enumerate(theirs):
        for run in runs:
            place.setdefault(run, []).append(number)
    pairs: set[frozenset[str]] = set()
    for line, runs in own:
        shared = Counter(number for run in runs for number in place.get(run, ()))
        for number, count in shared.items():
            other, those = theirs[number]
            pair = frozenset((line.id, other.id))
            whole = len(runs) + len(those) - count
            if len(pair) == 2 and count / whole >= least and pair not in pairs:
                pairs.add(pair)
                yield line, other


def size(text: str, lang: Lang) -> int:
    """Words of an English text, characters of a Chinese one."""
    return len("".join(text.split())) if lang == "zh" else len(text.split())


def faults(line: Line) -> Iterator[str]:
    """Say what is wrong with one line by itself."""
    keys = everyday.MOODS if line.kind == "moods" else everyday.EMOTIONS
    if tuple(line.replies) != keys:
        yield f"the keys after the post are {', '.join(line.replies)}; write {', '.join(keys)}"
    if (line.kind == "history") != bool(line.history):
        yield "a history line has turns before the post, and no other has"
    speakers = [turn.speaker for turn in line.history]
    if speakers != [Speaker.USER, Speaker.ASSISTANT] * (len(speakers) // 2):
        yield "the turns before the post are the user's and the assistant's in turn"
    texts = [("post", "post", line.post)]
    texts += [(label, "reply", reply) for label, reply in line.replies.items()]
    for label, part, text in texts:
        low, high = LENGTHS[part, line.lang]
        if not low <= size(text, line.lang) <= high:
            yield f"the {label} has {size(text, line.lang)} words, not {low} to {high}: {text}"
        if text != text.strip() or "  " in text or "\ufffd" in text:
            yield f"the {label} has blanks or signs that nobody meant: {text!r}"
    if len({text_key(t) for t in line.replies.values()}) < len(line.replies):
        yield "two replies of the line are the same"


def opening(text: str, lang: Lang) -> str:
    """First two words of a text, in Chinese the first three characters."""
    if lang == "zh":
        return plain_letters(text)[:3]
    return " ".join(re.findall(r"[\w']+", text.lower())[:2])


def replies_of(lines: Iterable[Line], label: str) -> list[str]:
    """All replies in one emotion."""
    return [line.replies[label] for line in lines if label in line.replies]


def habits(lines: Sequence[Line], lang: Lang) -> Iterator[str]:
    """Say what is wrong with all lines of a language together."""
    for label in (*everyday.EMOTIONS, *everyday.MOODS):
        texts = replies_of(lines, label)
        openings = Counter(opening(text, lang) for text in texts)
        for words, count in openings.most_common(3):
            if count > max(6, OPENING * len(texts)):
                yield f"{lang} {label}: {count} of {len(texts)} replies begin with {words!r}"
        share = named(texts, label)
        if share > NAMED:
            yield f"{lang} {label}: {share:.2f} of the replies name the emotion"


def named(texts: Sequence[str], label: str) -> float:
    """Share of replies that name their emotion; 0 for one without names."""
    emotion = EVERYDAY.parse(label)
    return sum(bool(names_emotion(text, emotion)) for text in texts) / max(1, len(texts))


def copies(lines: Sequence[Line]) -> Iterator[str]:
    """Say which texts stand there twice; a post may be answered in emotions and in moods."""
    for line, other in like_posts(lines, lines, NEAR):
        if (line.kind == "moods") == (other.kind == "moods"):
            yield f"{line.id}: the post is near that of {other.id}: {line.post} / {other.post}"
    first: dict[str, str] = {}
    for line in lines:
        for label, text in line.replies.items():
            before = first.setdefault(text_key(text), line.id)
            if before != line.id and size(text, line.lang) > 3:
                yield f"{line.id}: the reply in {label} is that of {before}: {text}"


def near_held_out(lines: Sequence[Line]) -> list[str]:
    """List lines that may train nothing: their post is like a held-out one of another file."""
    split = {line.id: everyday.split_of_file(line.writer) for line in lines}
    held_out = [line for line in lines if split[line.id] in ("test", "dev")]
    rows = {line.id: line for line in lines}
    ids: set[str] = set()
    for line, other in like_posts(lines, held_out, LIKE):
        for one, two in ((line, other), (other, line)):
            held = split[two.id] in ("test", "dev") and split[one.id] != "test"
            if held and one.writer != two.writer:
                ids.add(one.id)
    return sorted(ids, key=lambda name: (rows[name].writer, int(name.partition(":")[2])))


def table(lang: Lang) -> list[dict[str, float | int | str]]:
    """Figures of each emotion of a language: replies, self-BLEU, commonest opening, names."""
    rows: list[dict[str, float | int | str]] = []
    lines = everyday.lines(lang)
    for label in (*everyday.EMOTIONS, *everyday.MOODS):
        texts = replies_of(lines, label)
        sample = random.Random(0).sample(texts, min(SAMPLE, len(texts)))
        bleu = self_bleu.scores([tokens(text, lang, "word") for text in sample])
        openings = Counter(opening(text, lang) for text in texts)
        words, count = openings.most_common(1)[0]
        rows.append(
            {
                "emotion": label,
                "replies": len(texts),
                "self_bleu": round(float(bleu.mean()), 2),
                "opening": words,
                "opening_share": round(count / len(texts), 4),
                "names": round(named(texts, label), 4),
            }
        )
    return rows


def topic(lang: Lang) -> dict[str, float]:
    """How much nearer replies are to their own post than to one drawn at random, by cosine.

    The share is that of replies nearer to their own; chance is .5.
    """
    from emotone.evaluation.instruments import Wanted, open_instruments

    opened = open_instruments(Wanted(("topic_post",), lang, strict=True))
    embed: Any = opened.instruments.embed
    lines = everyday.lines(lang)
    posts = np.asarray(embed([line.post for line in lines]))
    order = np.random.default_rng(0).permutation(len(lines))
    own: list[float] = []
    other: list[float] = []
    for label in (*everyday.EMOTIONS, *everyday.MOODS):
        at = [i for i, line in enumerate(lines) if label in line.replies]
        vectors = np.asarray(embed([lines[i].replies[label] for i in at]))
        own += (vectors * posts[at]).sum(-1).tolist()
        other += (vectors * posts[order[at]]).sum(-1).tolist()
    share = float((np.array(own) > np.array(other)).mean())
    return {"own": float(np.mean(own)), "other": float(np.mean(other)), "nearer": share}


def problems(lines: Sequence[Line]) -> list[str]:
    """Everything that is wrong with some lines, of one language or of two."""
    said = [f"{line.id}: {fault}" for line in lines for fault in faults(line)]
    for lang in ("en", "zh"):
        own = [line for line in lines if line.lang == lang]
        said += [*habits(own, lang), *copies(own)]
    return said


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("files", nargs="*", type=Path)
    args.add_argument("--models", action="store_true")
    args.add_argument("--split", action="store_true")
    args.add_argument("--json", type=Path)
    given = args.parse_args()
    if given.files:
        wrong = problems([line for path in given.files for line in everyday.read_lines(path)])
        raise SystemExit("\n".join(wrong) or 0)
    if given.split:
        place = everyday.HOME / "splits.json"
        splits = json.loads(place.read_text(encoding="utf-8"))
        splits["near"] = [
            name for lang in ("en", "zh") for name in near_held_out(everyday.lines(lang))
        ]
        write_json(place, splits)
        everyday.split_table.cache_clear()  # so that what is printed is what was written
    wrong = problems(everyday.lines())
    print("\n".join(wrong) or "nothing is wrong", file=sys.stderr)
    figures: dict[str, Any] = {}
    for lang in ("en", "zh"):
        lines = everyday.lines(lang)
        kinds = Counter(f"{line.kind}, {line.register}" for line in lines)
        splits = Counter(str(line.split or "near") for line in lines)
        figures[lang] = {"posts": dict(kinds), "splits": dict(splits), "emotions": table(lang)}
        if given.models:
            figures[lang]["topic"] = topic(lang)
        print(lang, dict(kinds), dict(splits), figures[lang].get("topic", ""))
        for row in figures[lang]["emotions"]:
            print("  ", *row.values())
    if given.json:
        write_json(given.json, figures)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
