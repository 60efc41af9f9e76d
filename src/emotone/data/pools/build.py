"""Pairs pooled from several corpora, filtered, labelled and split: what the recurrent systems eat.

`emotone data prepare zh-pairs|en-pairs --output FOLDER` writes train.jsonl, dev.jsonl and
test.jsonl, single labelled texts (texts.jsonl, see `pools.texts`), the emotion words of what is
trained on (ememory.json), and pool.json, which says what is in them.

- **Pairs**: each turn with the turn of another speaker that it answers, once a (post, reply).
- **Texts** are cleaned (`emotone.data.clean`). A pair goes if a text holds a link or an account's
  name, if the reply copies the post, or if a side is too short or too long for its words.
- **Split** by `text_key` of the post alone: 2 % dev, 3 % test. No post is on two sides; a reply
  may be, for many people say "me too".
- **Generic replies**: one text is the reply of at most 20 training pairs, because a model that
  sees "I'm sorry to hear that" a thousand times says nothing else.
- **Labels** are of the reply alone, by a judge and, where there is one, the corpus: see
  `emotone.data.pools.labels`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from emotone.data import corpora
from emotone.data.checks import mix
from emotone.data.clean import addressed, clean
from emotone.data.corpus import find
from emotone.data.ememory import Ememory, write_ememory
from emotone.data.examples import write_jsonl
from emotone.data.pools.labels import AGREE, LEAST, emotion_words, label_replies
from emotone.data.pools.texts import count as count_texts
from emotone.data.pools.texts import texts
from emotone.data.reading import Problems
from emotone.data.text import Lang, has_han, text_key, tokens
from emotone.emotions import EKMAN, NLPCC, Emotion, Taxonomy
from emotone.errors import DataError, UsageError, unknown_name
from emotone.files import check_writable, sha256, write_json
from emotone.protocols import EmotionClassifier
from emotone.types import Dialogue, Example

SPLITS = ("train", "dev", "test")
#: Number of posts in 1,000 for dev and for test.
DEV, TEST = 20, 30
POST_WORDS = (1, 30)
REPLY_WORDS = (2, 25)
MOST_EQUAL_REPLIES = 20


@dataclass(frozen=True, slots=True)
class Part:
    """One corpus of a pool.

    Args:
        corpus: Its name.
        folder: Its folder in the folder of corpora.
        splits: Splits that are read, where they are there.
        earlier: Whether the last post is read as a reply too, for corpora whose examples are the
            answers of one side only.
    """

    corpus: str
    folder: str
    splits: tuple[str, ...]
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class Pool:
    """What a pool is made of.

    Args:
        lang: Language of its texts.
        taxonomy: Label set of its emotions.
        parts: Its corpora, in order.
        least: Label -> probability from which the judge's label stands; `labels.LEAST` for
            others.
        most: Most training pairs, neutral ones left out first; None for all.
        agree: Probability that the judge must give a corpus's own label.
    """

    lang: Lang
    taxonomy: Taxonomy
    parts: tuple[Part, ...]
    least: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    most: int | None = None
    agree: float = AGREE


FILES = (*(f"{split}.jsonl" for split in SPLITS), "ememory.json")

POOLS: Mapping[str, Pool] = MappingProxyType(
    {
        "zh-pairs": Pool(
            "zh",
            NLPCC,
            (
                Part("lccc", "lccc_toy", ("train", "valid", "all")),
                Part("cped", "cped", ("train", "valid", "test")),
                Part("xdailydialog", "xdailydialog", ("zh-train", "zh-dev", "zh-test", "zh-more")),
                Part("ecm", "ecm", ("train", "dev")),
            ),
            least=MappingProxyType({"anger": 0.65, "sadness": 0.6, "disgust": 0.7}),
            agree=0.3,
        ),
        "en-pairs": Pool(
            "en",
            EKMAN,
            (
                Part("empathetic_dialogues", "empatheticdialogues", ("train", "valid"), True),
                Part("dailydialog", "dailydialog_reccon", ("train", "valid")),
                Part("meld", "meld", ("train", "dev")),
            ),
            most=60_000,
        ),
    }
)


class Said(NamedTuple):
    """A post and its reply, with the corpus they are of and the corpus's label of the reply."""

    corpus: str
    post: str
    reply: str
    label: Emotion | None


def gather(pool: Pool, root: Path, problems: Problems) -> Iterator[Said]:
    """Yield the adjacent pairs of a pool's corpora, as they stand there.

    Args:
        pool: Which corpora.
        root: Folder of corpora.
        problems: Where bad lines go.

    Raises:
        DataError: If no split of a corpus is in its folder.
    """
    for part in pool.parts:
        module, some = corpora.module(part.corpus), False
        for split in part.splits:
            try:
                find(module.CORPUS, root / part.folder, split)
            except DataError:  # not every official file is in everybody's folder
                continue
            some = True
            for example in module.read(root / part.folder, problems, split=split):
                last = example.dialogue.posts[-1]
                for before in example.dialogue.posts[-2:-1] if part.earlier else ():
                    if before.speaker != last.speaker:
                        yield Said(part.corpus, before.text, last.text, None)
                if example.reply:
                    label = None if example.emotion is None else example.emotion.at_full
                    yield Said(part.corpus, last.text, example.reply, label)
        if not some:
            raise DataError(
                f"no split of {part.corpus} in {root / part.folder}; put one of "
                f"{', '.join(part.splits)} there"
            )


def sift(said: Iterable[Said], lang: Lang, left_out: Counter[str]) -> Iterator[Said]:
    """Clean the texts, and leave out what no model should learn from; each pair once.

    Args:
        said: Pairs.
        lang: Their language.
        left_out: Where is counted why pairs are left out.
    """
    seen: set[tuple[str, str]] = set()
    for pair in said:
        if addressed(pair.post) or addressed(pair.reply):
            left_out["a link or an account"] += 1
            continue
        post, reply = clean(pair.post, lang), clean(pair.reply, lang)
        why = _fault(post, reply, lang)
        key = text_key(post), text_key(reply)
        if why is None and key in seen:
            why = "the same pair again"
        if why is not None:
            left_out[why] += 1
            continue
        seen.add(key)
        yield pair._replace(post=post, reply=reply)


def _fault(post: str, reply: str, lang: Lang) -> str | None:
    if not (_worded(post) and _worded(reply)):
        return "no word on a side"
    if not (has_han(post) == has_han(reply) == (lang == "zh")):
        return "another language"
    if _letters(post) == _letters(reply):
        return "the reply copies the post"
    for text, (least, most), side in ((post, POST_WORDS, "post"), (reply, REPLY_WORDS, "reply")):
        if not least <= len(tokens(text, lang)) <= most:
            return f"a {side} of another length than {least} to {most} words"
    return None


def _letters(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def _worded(text: str) -> bool:
    return any(c.isalpha() for c in text)


def side(post: str) -> str:
    """Tell the split of a post: that of its `text_key`, so equal posts go together."""
    at = int(text_key(post)[:8], 16) % 1000
    return "dev" if at < DEV else "test" if at < DEV + TEST else "train"


def write(
    name: str,
    root: Path,
    judge: EmotionClassifier,
    folder: Path,
    *,
    pool: Pool | None = None,
    seed: int = 0,
    problems: Problems | None = None,
) -> dict[str, Any]:
    """Make a pool and write it into a folder, which is made if it is not there.

    Args:
        name: One of `POOLS`, or the name of `pool`.
        root: Folder of corpora.
        judge: A judge that may label.
        folder: Where train.jsonl, dev.jsonl, test.jsonl, ememory.json and pool.json go.
        pool: What it is made of; None for `POOLS[name]`.
        seed: Decides which neutral pairs are left out where there are too many.
        problems: Where bad lines go; they are skipped and counted without it.

    Returns:
        What pool.json holds.

    Raises:
        DataError: If a corpus is not there, or a file cannot be written.
        UnknownName: If there is no such pool.
        UsageError: If the judge labels in another set.
    """
    if pool is None:
        if name not in POOLS:
            raise unknown_name("pool", name, POOLS)
        pool = POOLS[name]
    problems = Problems("skip") if problems is None else problems
    left_out: Counter[str] = Counter()
    pairs = list(sift(gather(pool, root, problems), pool.lang, left_out))
    if judge.taxonomy.name != pool.taxonomy.name:
        raise UsageError(
            f"{judge.name} labels in {judge.taxonomy.name}; name a judge that labels in "
            f"{pool.taxonomy.name}"
        )
    _make(folder)
    replies, own = [pair.reply for pair in pairs], [pair.label for pair in pairs]
    labels = label_replies(
        replies, [pair.post for pair in pairs], own, judge, pool.least, pool.agree
    )
    rows: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for number, (pair, label) in enumerate(zip(pairs, labels, strict=True), 1):
        emotion = mix(Emotion(label, pool.taxonomy.name))
        dialogue = Dialogue.of(pair.post)
        example = Example(f"{pair.corpus}-{number}", dialogue, emotion, pair.reply, pool.lang)
        rows[side(pair.post)].append(example)
    rows["train"] = thinned(rows["train"], pool, seed, left_out)
    held_out = [*rows["dev"], *rows["test"]]
    single = list(
        texts(name, pool.lang, pool.taxonomy, root, judge, held_out, problems, pool.agree)
    )
    facts = {
        "pool": name,
        "lang": pool.lang,
        "taxonomy": pool.taxonomy.name,
        "judge": judge.name,
        "least probability": {e: pool.least.get(e, LEAST) for e in pool.taxonomy.labels},
        "least probability of a corpus's own label": pool.agree,
        "seed": seed,
        "single texts": count_texts(single),
        "left out": dict(left_out.most_common()),
        "bad lines": problems.count,
        "licences": {p.corpus: corpora.module(p.corpus).CORPUS.licence for p in pool.parts},
    }
    words = emotion_words([*rows["train"], *single], judge)
    return save(folder, rows, words, pool.taxonomy, facts, single)


def _make(folder: Path) -> None:
    """Make a folder, before the long work that fills it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make {folder} ({error.strerror}); name another folder") from error
    check_writable(folder / "pool.json")


def save(
    folder: Path,
    rows: Mapping[str, Sequence[Example]],
    words: Ememory,
    taxonomy: Taxonomy,
    facts: Mapping[str, Any],
    single: Sequence[Example] = (),
) -> dict[str, Any]:
    """Write the splits, the emotion words, and pool.json last, so that it is of what is there.

    Args:
        folder: Made if it is not there.
        rows: Split -> pairs, named "corpus-number".
        words: Emotion words.
        taxonomy: Label set of both.
        facts: What pool.json says besides counts and checksums.
        single: Labelled texts without a reply, for texts.jsonl; not written where there are none.

    Returns:
        What pool.json holds.

    Raises:
        DataError: If a file cannot be written.
    """
    _make(folder)
    (folder / "pool.json").unlink(missing_ok=True)
    for split in SPLITS:
        write_jsonl(rows[split], folder / f"{split}.jsonl")
    if single:
        write_jsonl(single, folder / "texts.jsonl")
    write_ememory(folder / "ememory.json", words, taxonomy)
    whole = {
        **facts,
        "pairs": {split: _counts(rows[split], taxonomy) for split in SPLITS},
        "sha256": {
            file: sha256(folder / file) for file in (*FILES, *(["texts.jsonl"] if single else []))
        },
    }
    write_json(folder / "pool.json", whole)
    return whole


def thinned(
    train: Sequence[Example], pool: Pool, seed: int, left_out: Counter[str]
) -> list[Example]:
    """Leave out generic replies that come too often, then neutral pairs that are too many.

    Args:
        train: Training pairs.
        pool: How many there may be.
        seed: Draws the pairs that stay; their order is kept.
        left_out: Where is counted why pairs are left out.
    """
    draw = random.Random(seed)
    times: Counter[str] = Counter()
    thin: list[Example] = []
    for example in train:
        key = _letters(example.reply or "")
        times[key] += 1
        if times[key] <= MOST_EQUAL_REPLIES:
            thin.append(example)
    left_out["the reply is one of a few"] += len(train) - len(thin)
    if pool.most is None or len(thin) <= pool.most:
        return thin
    neutral = f"{pool.taxonomy.neutral}:100"
    order = draw.sample(range(len(thin)), len(thin))
    order.sort(key=lambda i: str(thin[i].emotion) == neutral)  # stable: emotional ones first
    left_out["more than the pool takes"] += len(thin) - pool.most
    return [thin[i] for i in sorted(order[: pool.most])]


def _counts(rows: Iterable[Example], taxonomy: Taxonomy) -> dict[str, dict[str, int]]:
    """Count pairs by corpus and label, and of all corpora."""
    counts: dict[str, Counter[str]] = {"all": Counter()}
    for example in rows:
        emotion = example.emotion.at_full if example.emotion else None
        for corpus in ("all", example.id.rpartition("-")[0]):
            counts.setdefault(corpus, Counter())[str(emotion)] += 1
    return {corpus: {e: n[e] for e in taxonomy.labels} for corpus, n in counts.items()}
