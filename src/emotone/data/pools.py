"""Pairs pooled from several corpora, filtered, labelled and split: what the recurrent systems eat.

`emotone data prepare zh-pairs|en-pairs --output FOLDER` writes train.jsonl, dev.jsonl and
test.jsonl, the emotion words of the training replies (ememory.json), and pool.json, which says
what is in them.

- **Pairs**: each turn with the turn of another speaker that it answers, once a (post, reply).
- **Texts** are cleaned (`emotone.data.clean`). A pair goes if a text holds a link or an account's
  name, if the reply copies the post, or if a side is too short or too long for its words.
- **Split** by `text_key` of the post alone: 2 % dev, 3 % test. No post is on two sides; a reply
  may be, for many people say "me too".
- **Generic replies**: one text is the reply of at most 20 training pairs, because a model that
  sees "I'm sorry to hear that" a thousand times says nothing else.
- **Labels** are of the reply alone, by a judge, as ECM labelled its pairs: its likeliest label from
  a least probability on, else the neutral one. Where the corpus has a label of its own, both must
  agree: the corpus's label stands if the judge gives it `AGREE` or more. A label that the corpus's
  set does not know, such as "like" in DailyDialog's, is the judge's alone.

Why both: of the labels that `zh-label`, which learnt from weibos, gives XDailyDialog's replies with
probability 0.5 or more, 5 % of anger, 9 % of sadness and 0.4 % of disgust are what people heard
(questions sound like disgust to it), and at 0.7 still only 1 % of disgust. No threshold mends that,
but people's labels do. On CPED 0.5 gives 21, 20 and 11 %, where people also saw the film. Against
the labels of ECM's own classifier on ESTC it gives 77 % of like, 90 % of happiness, 71 % of disgust
and 57 % of sadness. For LCCC, which has no labels, anger, sadness and disgust must therefore be
surer. `en-label` has 77 to 100 % against MELD and DailyDialog at 0.5 in each class, some of whose
texts it learnt from, and needs no more.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from emotone.data import corpora
from emotone.data.atomic import replacing
from emotone.data.clean import addressed, clean
from emotone.data.corpus import find
from emotone.data.ememory import Ememory, from_log_odds, labelled_words, write_ememory
from emotone.data.examples import write_jsonl
from emotone.data.reading import Problems
from emotone.data.shape import Lang, language, mix
from emotone.data.text import text_key, tokens
from emotone.data.vocab import Vocabulary
from emotone.emotions import EKMAN, NLPCC, TAXONOMIES, Emotion, Taxonomy
from emotone.errors import DataError, UsageError, unknown_name
from emotone.protocols import EmotionClassifier
from emotone.types import Dialogue, EmotionScores, Example

SPLITS = ("train", "dev", "test")
#: Of 1,000 posts so many are kept for dev and for test.
DEV, TEST = 20, 30
POST_WORDS = (1, 30)
REPLY_WORDS = (2, 25)
MOST_EQUAL_REPLIES = 20
#: Texts that the judge hears at once.
CHUNK = 4096


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
        least: Label -> probability from which the judge's label stands; `LEAST` for others.
        most: Most training pairs, neutral ones left out first; None for all.
    """

    lang: Lang
    taxonomy: Taxonomy
    parts: tuple[Part, ...]
    least: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    most: int | None = None


#: The judge's label stands from this probability on, where a pool says no other.
LEAST = 0.5
#: The corpus's label stands if the judge gives it so much.
AGREE = 0.15
#: Words of the vocabulary that emotion words are looked for in, and most of them a label.
WORDS, MEMORY = 8000, 200
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
                posts = example.dialogue.posts
                if part.earlier and len(posts) > 1 and posts[-2].speaker != posts[-1].speaker:
                    yield Said(part.corpus, posts[-2].text, posts[-1].text, None)
                if example.reply:
                    label = None if example.emotion is None else example.emotion.single()
                    yield Said(part.corpus, posts[-1].text, example.reply, label)
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
    if language(post) != lang or language(reply) != lang:
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


def hear(said: Sequence[Said], judge: EmotionClassifier, pool: Pool) -> list[str]:
    """Label each reply; see `settled`.

    Raises:
        UsageError: If the judge labels in another set than the pool's.
    """
    if judge.taxonomy.name != pool.taxonomy.name:
        raise UsageError(
            f"{judge.name} labels in {judge.taxonomy.name}; name a judge that labels in "
            f"{pool.taxonomy.name}"
        )
    labels: list[str] = []
    for start in range(0, len(said), CHUNK):
        part = said[start : start + CHUNK]
        heard = judge.classify([pair.reply for pair in part])
        labels += [settled(one, pair.label, pool) for one, pair in zip(heard, part, strict=True)]
    return labels


def settled(heard: EmotionScores, label: Emotion | None, pool: Pool) -> str:
    """Decide on the label of a reply that a judge has heard and a corpus may have labelled.

    Args:
        heard: The judge's probabilities in the pool's label set.
        label: The corpus's label, of any set; None for none.
        pool: Whose least probabilities count.
    """
    taxonomy, chance = pool.taxonomy, heard.probabilities
    sure = heard.label if chance[heard.label] >= pool.least.get(heard.label, LEAST) else None
    if label is None:
        return sure or str(taxonomy.neutral)
    own = TAXONOMIES[label.taxonomy]
    said = own.map_to(label, taxonomy).label
    known = {own.map_to(emotion, taxonomy).label for emotion in own}
    if sure is not None and sure not in known:
        return sure
    if said != taxonomy.neutral and chance[said] >= AGREE:
        return said
    return str(taxonomy.neutral)


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
    labels = hear(pairs, judge, pool)
    rows: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for number, (pair, label) in enumerate(zip(pairs, labels, strict=True), 1):
        emotion = mix(Emotion(label, pool.taxonomy.name))
        dialogue = Dialogue.of(pair.post)
        example = Example(f"{pair.corpus}-{number}", dialogue, emotion, pair.reply, pool.lang)
        rows[side(pair.post)].append(example)
    rows["train"] = thinned(rows["train"], pool, seed, left_out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make {folder} ({error.strerror}); name another folder") from error
    for split in SPLITS:
        write_jsonl(rows[split], folder / f"{split}.jsonl")
    write_ememory(folder / "ememory.json", emotion_words(rows["train"], pool), pool.taxonomy)
    facts = {
        "pool": name,
        "lang": pool.lang,
        "taxonomy": pool.taxonomy.name,
        "judge": judge.name,
        "least probability": {e: pool.least.get(e, LEAST) for e in pool.taxonomy.labels},
        "least probability of a corpus's own label": AGREE,
        "seed": seed,
        "pairs": {split: _counts(rows[split], pool) for split in SPLITS},
        "left out": dict(left_out.most_common()),
        "bad lines": problems.count,
        "licences": {p.corpus: corpora.module(p.corpus).CORPUS.licence for p in pool.parts},
        "sha256": {file: _sha256(folder / file) for file in FILES},
    }
    with replacing(folder / "pool.json") as temporary:
        text = json.dumps(facts, ensure_ascii=False, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")
    return facts


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
    kept: list[Example] = []
    for example in train:
        key = _letters(example.reply or "")
        times[key] += 1
        if times[key] <= MOST_EQUAL_REPLIES:
            kept.append(example)
    left_out["the reply is one of a few"] += len(train) - len(kept)
    if pool.most is None or len(kept) <= pool.most:
        return kept
    neutral = f"{pool.taxonomy.neutral}:100"
    order = draw.sample(range(len(kept)), len(kept))
    order.sort(key=lambda i: str(kept[i].emotion) == neutral)  # stable: emotional ones first
    left_out["more than the pool takes"] += len(kept) - pool.most
    return [kept[i] for i in sorted(order[: pool.most])]


def emotion_words(train: Iterable[Example], pool: Pool) -> Ememory:
    """Find the emotion words of the training replies, of words that a model will know."""
    train = list(train)
    words = Vocabulary.build(
        (
            tokens(text, pool.lang)
            for e in train
            for text in (e.dialogue.posts[-1].text, e.reply or "")
        ),
        WORDS,
    ).words
    rows = labelled_words(train, pool.taxonomy)
    return from_log_odds(rows, words, size=MEMORY, taxonomy=pool.taxonomy)


def _counts(rows: Iterable[Example], pool: Pool) -> dict[str, dict[str, int]]:
    """Count pairs by corpus and label, and of all corpora."""
    counts: dict[str, Counter[str]] = {"all": Counter()}
    for example in rows:
        emotion = example.emotion.single() if example.emotion else None
        for corpus in ("all", example.id.rpartition("-")[0]):
            counts.setdefault(corpus, Counter())[str(emotion)] += 1
    return {corpus: {e: n[e] for e in pool.taxonomy.labels} for corpus, n in counts.items()}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
