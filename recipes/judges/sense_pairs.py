"""Pairs of post and reply that judges of sense learn from: true, made wrong, and rated.

True are the lines of everyday and answers of dialogue corpora (EmpatheticDialogues, DailyDialog;
in Chinese CPED, LCCC and XDailyDialog). Each is also made wrong in one of seven ways, `KINDS`. Made
wrong alone teaches little about what machines get wrong (Spearman .24 against readers), so the
rated replies of everyday are learnt beside.

A post's hash decides who sees it, as for emotion: 0-9 held out, 10-14 dev, 55-99 the judge that
scores; 15-54 are kept for one that chooses. Of everyday these are the splits test, dev, train-b and
train-a.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from emotone.data import everyday
from emotone.data.reading import Problems
from emotone.data.source import open_source
from emotone.data.text import Lang, text_key

Part = Literal["held_out", "dev", "label", "score"]
BUCKETS: dict[Part, range] = {
    "held_out": range(10), "dev": range(10, 15), "label": range(15, 55), "score": range(55, 100),
}  # fmt: skip
SPLIT: dict[Part, everyday.Split] = {
    "label": "train-a", "score": "train-b", "dev": "dev", "held_out": "test",
}  # fmt: skip
#: Ways to make an answer wrong.
KINDS = ("similar", "dialogue", "echo", "exchanged", "generic", "order", "random")
#: Corpora, their folders under EMOTONE_DATA, and most pairs of each that are read.
CORPORA: dict[Lang, tuple[tuple[str, str, int], ...]] = {
    "en": (
        ("empathetic_dialogues", "empatheticdialogues/train.csv.gz", 60_000),
        ("dailydialog", "dailydialog_reccon", 40_000),
    ),
    "zh": (
        ("cped", "cped/valid_split.csv.gz", 40_000),
        ("lccc", "lccc_toy", 40_000),
        ("xdailydialog", "xdailydialog", 40_000),
    ),
}
#: Most words of an answer (characters in Chinese), and fewest.
LENGTH: dict[Lang, tuple[int, int]] = {"en": (3, 30), "zh": (4, 45)}

GENERIC: dict[Lang, tuple[str, ...]] = {
    "en": (
        "I'm sorry to hear that.",
        "I'm sorry for your loss.",
        "That's great! I'm so happy for you.",
        "I'm not sure what you mean.",
        "Really? I didn't know that. How did it happen?",
        "I hope everything will be fine for you.",
        "I don't know what to say about it.",
        "It's okay, I'm here for you.",
        "What? I can't believe it! How is that possible?",
        "I know how you feel.",
        "I'm scared of what could happen. Please be careful!",
        "I'm so angry! They should be ashamed of themselves.",
        "That is disgusting. It makes me feel sick.",
        "I cried when I heard it, and it still hurts.",
        "Thank you for telling me, that means a lot.",
        "I'm glad that it worked out for you!",
    ),
    "zh": (
        "我也是这么想的。",
        "真的吗？我不知道。",
        "好的，谢谢你。",
        "没关系，一切都会好的。",
        "我觉得也是。",
        "太好了，真为你高兴！",
        "听到这个我很难过。",
        "我不太明白你的意思。",
        "哈哈，真有意思。",
        "加油，我相信你。",
        "怎么会这样？太让人吃惊了。",
        "我好害怕，你要小心。",
        "真让人生气！",
        "太恶心了，受不了。",
        "我喜欢这样的你。",
        "我也不知道该怎么办。",
    ),
}
_SWAP = {
    "en": {
        "i": "you", "me": "you", "my": "your", "mine": "yours", "i'm": "you're", "i'll": "you'll",
        "i've": "you've", "i'd": "you'd", "am": "are", "you": "I", "your": "my", "yours": "mine",
        "you're": "I'm", "you'll": "I'll", "you've": "I've", "you'd": "I'd", "he": "she",
        "she": "he", "his": "her", "him": "her", "they": "we", "them": "us", "their": "our",
    },
    "zh": {"我": "你", "你": "我", "他": "她", "她": "他", "您": "我"},
}  # fmt: skip


class Pair(NamedTuple):
    """A post, a reply, how sensible it is (0 to 2), where it comes from, and its weight."""

    post: str
    reply: str
    content: int
    kind: str
    weight: float = 1.0


class Answer(NamedTuple):
    """A true answer, and the other turns of its dialogue."""

    post: str
    reply: str
    others: tuple[str, ...]
    source: str


def words(text: str, lang: Lang) -> list[str]:
    """Words of an English text, characters of a Chinese one."""
    return [c for c in text if not c.isspace()] if lang == "zh" else text.split()


def dialogues(lang: Lang, part: Part) -> Iterator[Answer]:
    """True answers of the corpora of a language, of one part."""
    root = Path(os.environ["EMOTONE_DATA"])
    low, high = LENGTH[lang]
    for name, folder, most in CORPORA[lang]:
        source = open_source(name, root / folder, Problems("skip"))
        for number, example in enumerate(source.examples):
            if number >= most:
                break
            post, reply = example.dialogue.posts[-1].text, example.reply
            if reply is None or example.lang != lang:
                continue
            if int(text_key(post)[:8], 16) % 100 not in BUCKETS[part]:
                continue
            if not low <= len(words(reply, lang)) <= high or len(words(post, lang)) > 2 * high:
                continue
            others = tuple(p.text for p in example.dialogue.posts[:-1])
            yield Answer(post, reply, others, name)


def lines(lang: Lang, part: Part) -> Iterator[Answer]:
    """True answers of everyday, of one part."""
    for line in everyday.lines(lang, kinds=["rich", "plain", "history"], splits=[SPLIT[part]]):
        turns = tuple(turn.text for turn in line.history)
        for reply in line.replies.values():
            yield Answer(line.post, reply, turns, "everyday")


def exchanged(text: str, lang: Lang) -> str | None:
    """Exchange who does what; None where nobody is named."""
    table = _SWAP[lang]
    if lang == "zh":
        other = "".join(table.get(c, c) for c in text)
    else:
        other = re.sub(
            r"[A-Za-z]+(?:['’][a-z]+)?",
            lambda m: table.get(m[0].lower().replace("’", "'"), m[0]),
            text,
        )
    return None if other == text else other


def echo(post: str, lang: Lang, draw: random.Random) -> str:
    """Say the post's own words back, as small models do."""
    if lang == "zh":
        return draw.choice((f"{post}，真的吗？", f"我也{post}", f"{post}，{post}！"))
    plain = post.rstrip(".!?")
    return draw.choice(
        (
            f"{plain}? {plain}!",
            f"I think that {plain[:1].lower()}{plain[1:]}.",
            f"{exchanged(plain, 'en') or plain}? Really?",
            f"I love it when {plain[:1].lower()}{plain[1:]}.",
        )
    )


def shuffled(text: str, lang: Lang, draw: random.Random) -> str:
    """Break the order of words, three or more of them."""
    parts = words(text, lang)
    if len(parts) < 5:
        draw.shuffle(parts)
    else:
        start = draw.randrange(0, len(parts) - 3)
        end = min(len(parts), start + draw.randint(4, 8))
        middle = parts[start:end]
        draw.shuffle(middle)
        parts[start:end] = middle
    return ("" if lang == "zh" else " ").join(parts)


def neighbours(posts: Sequence[str], lang: Lang, count: int = 5) -> np.ndarray:
    """Places of the posts most like each post, [N, count], by tf-idf of words or characters."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if lang == "zh":
        vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True)
    else:
        vectorizer = TfidfVectorizer(stop_words="english", sublinear_tf=True)
    rows = vectorizer.fit_transform(posts).astype(np.float32)
    nearest: list[np.ndarray] = []
    for start in range(0, rows.shape[0], 500):  # pyright: ignore[reportOptionalSubscript]
        likeness = (rows[start : start + 500] @ rows.T).toarray()
        nearest.append(np.argpartition(-likeness, count, axis=1)[:, :count])
    return np.concatenate(nearest)


def made_wrong(
    answers: Sequence[Answer], lang: Lang, draw: random.Random, generic: Sequence[str]
) -> list[Pair]:
    """Make one wrong pair of each answer, of the kinds in turn where they can be made."""
    by_post: dict[str, list[Answer]] = {}
    for answer in answers:  # one post may have eight answers, which are no wrong ones of it
        by_post.setdefault(answer.post, []).append(answer)
    posts = list(by_post)
    nearest = dict(zip(posts, neighbours(posts, lang), strict=True))
    wrong: list[Pair] = []
    for answer in answers:
        for kind in draw.sample(KINDS, len(KINDS)):
            reply: str | None = None
            if kind == "similar":
                others = [posts[i] for i in nearest[answer.post] if posts[i] != answer.post]
                reply = draw.choice(by_post[draw.choice(others)]).reply if others else None
            elif kind == "dialogue":
                reply = draw.choice(answer.others) if answer.others else None
            elif kind == "echo":
                reply = echo(answer.post, lang, draw)
            elif kind == "exchanged":
                reply = exchanged(answer.reply, lang)
            elif kind == "generic":
                reply = draw.choice(generic)
            elif kind == "order":
                reply = shuffled(answer.reply, lang, draw)
            elif kind == "random":
                reply = draw.choice(answers).reply
            if reply and text_key(reply) not in (text_key(answer.reply), text_key(answer.post)):
                # What is fit for any post, or odd in who does what, is still partly an answer.
                content = 1 if kind in ("generic", "exchanged") else 0
                wrong.append(Pair(answer.post, reply, content, kind))
                break
    return wrong


def rated(lang: Lang, part: Part, weight: float = 1.0) -> list[Pair]:
    """Replies as readers rated them; of two readings the first."""
    rows = everyday.ratings(lang, splits=[SPLIT[part]])
    return [Pair(r.post, r.reply, r.content, "rated", weight) for r in rows]


def pairs(
    lang: Lang, part: Part, *, most: int = 8000, seed: int = 1, weight: float = 3.0
) -> list[Pair]:
    """True, wrong and rated pairs of one part.

    Args:
        lang: Language.
        part: Who may see them.
        most: Most true pairs of the corpora, and of everyday.
        seed: Of the draw.
        weight: Of a rated pair.
    """
    draw = random.Random(f"{seed} {lang} {part}")
    rows: list[Pair] = []
    sources: Iterable[list[Answer]] = (list(dialogues(lang, part)), list(lines(lang, part)))
    for answers in sources:
        some = draw.sample(answers, min(most, len(answers)))
        if not some:
            continue
        rows += [Pair(a.post, a.reply, 2, f"true, {a.source}") for a in some]
        # No two judges learn from one text, so each has half of the general lines.
        halves = {"label": GENERIC[lang][::2], "score": GENERIC[lang][1::2]}
        rows += made_wrong(some, lang, draw, halves.get(part, GENERIC[lang]))
    return rows + rated(lang, part, weight)
