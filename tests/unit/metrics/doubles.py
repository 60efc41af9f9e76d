"""Small real instruments: judges that read words, encoders that count letters."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from emotone import metrics
from emotone.emotions import EKMAN, TAXONOMIES, EmotionMix, Taxonomy
from emotone.metrics.base import Pair
from emotone.protocols import Metric
from emotone.types import Dialogue, EmotionScores, EmpathyLevels, Example, Reply

WORDS = ("happy", "sad", "angry", "the", "a", "cat", "dog", "ran", "well", "no", "you", "?")
TELLS = {"happy": "joy", "sad": "sadness", "angry": "anger"}


class WordJudge:
    """Says the emotion of the first telling word."""

    def __init__(self, taxonomy: Taxonomy = EKMAN, tells: dict[str, str] | None = None) -> None:
        self.taxonomy = taxonomy
        self.tells = TELLS if tells is None else tells
        self.asked: list[str] = []

    @property
    def name(self) -> str:
        return "words-1"

    def classify(
        self, texts: Sequence[str], posts: Sequence[str | None] | None = None
    ) -> list[EmotionScores]:
        self.asked += texts
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> EmotionScores:
        found = [self.tells[w] for w in text.split() if w in self.tells]
        label = found[0] if found else self.taxonomy.neutral or self.taxonomy.labels[0]
        rest = 0.3 / (len(self.taxonomy.labels) - 1)
        return EmotionScores(label, {x: 0.7 if x == label else rest for x in self.taxonomy.labels})


class CountIdentifier:
    """Levels from words that can be counted."""

    name = "counts-1"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def identify(self, pairs: Sequence[tuple[str, str]]) -> list[EmpathyLevels]:
        self.asked += pairs
        return [
            EmpathyLevels(
                min(2, r.split().count("sad")), min(2, len(r.split()) // 3), min(2, r.count("?"))
            )
            for _, r in pairs
        ]


class ShareReader:
    """Takes the words that a reply shares with its post for sense."""

    name = "shares-1"
    human_median = 0.5

    def content(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        rows = []
        for post, reply in pairs:
            words = reply.split()
            share = sum(w in post.split() for w in words) / len(words) if words else 0.0
            rows.append((0.8 * (1 - share), 0.2 * (1 - share), share))
        return np.array(rows).reshape(-1, 3)


def _letters(text: str) -> np.ndarray:
    counts = np.array([text.count(c) for c in "abcdeghilnoprstuwy?"], float)
    return np.append(counts, 1.0)


def embed(texts: Sequence[str]) -> np.ndarray:
    rows = np.array([_letters(t) for t in texts]).reshape(len(texts), 20)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def embed_tokens(texts: Sequence[str]) -> list[np.ndarray]:
    return [np.array([_letters(w) for w in t.split()]).reshape(-1, 20) for t in texts]


def likelihood(pairs: Sequence[Pair]) -> np.ndarray:
    texts = [reply.text for _, reply in pairs]
    rows = [(2.5 * len(t.split()) + t.count("a"), len(t.split()), len(t)) for t in texts]
    return np.array(rows, float).reshape(-1, 3)


def instruments(**changes) -> metrics.Instruments:
    every = {
        "emotion": WordJudge(),
        "sense": ShareReader(),
        "empathy": CountIdentifier(),
        "embed": embed,
        "embed_name": "letters",
        "embed_tokens": embed_tokens,
        "perplexity": likelihood,
        "perplexity_name": "replies@letters",
    }
    return metrics.Instruments(**(every | changes))


def facts(**changes) -> metrics.RunFacts:
    plain = {str(i): {0: "the cat ran"} for i in range(100)}
    return metrics.RunFacts(**({"plain": plain} | changes))


def build(name: str, **changes) -> Metric:
    """Make a metric; changes are those of the instruments and of the facts together."""
    of_run = {f.name for f in dataclasses.fields(metrics.RunFacts)} & set(changes)
    told = {key: changes.pop(key) for key in of_run}
    return metrics.build(name, instruments(**changes), facts(**told))


def pair(
    text: str,
    reference: str | None = None,
    mix: str | None = None,
    *,
    id: str = "0",
    lang: str = "en",
    post: str = "how are you",
    taxonomy: str = "ekman",
) -> Pair:
    asked = None if mix is None else EmotionMix.parse(mix, TAXONOMIES[taxonomy])
    example = Example(id, Dialogue.of(post), asked, reference, lang)  # type: ignore[arg-type]
    return example, Reply(text, asked, "mine", "none", 0, len(text.split()))


def texts(least: int = 0, most: int = 9) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(WORDS), min_size=least, max_size=most).map(" ".join)


MIXES = (None, "joy", "sadness", "anger:60", "joy:-50", "joy:60 + fear:20", "fear:0")


def corpora(least: int = 0, most: int = 12) -> st.SearchStrategy[list[Pair]]:
    one = st.builds(
        pair,
        texts(),
        st.none() | texts(1),
        st.sampled_from(MIXES),
        id=st.integers(0, 5).map(str),
        lang=st.sampled_from(["en", "zh"]),
        post=texts(1),
    )
    return st.lists(one, min_size=least, max_size=most)


def random_corpus(rng: np.random.Generator, n: int, words: Sequence[str] = WORDS) -> list[Pair]:
    """Replies that share words with their references; every reply and reference has a word."""
    made: list[Pair] = []
    for i in range(n):
        reference = list(rng.choice(words, rng.integers(1, 12)))
        reply = [w if rng.random() < 0.6 else str(rng.choice(words)) for w in reference]
        reply = reply[: int(rng.integers(1, len(reply) + 1))] + list(
            rng.choice(words, rng.integers(0, 4))
        )
        mix = str(rng.choice(["joy", "sadness", "anger", "fear"]))
        made.append(pair(" ".join(reply), " ".join(reference), mix, id=str(i)))
    return made
