"""Train 300-d word vectors, Chinese or English, and measure them.

`python -m recipes.word_vectors.make [--lang zh] [--epochs N] [--workers 1]`

Writes out/word_vectors/zh-300.txt.gz (texts of others went into it: not committed) and
docs/results/word-vectors.json, or en-300.txt.gz and word-vectors-en.json. See the README beside
this file.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from emotone.data.corpora import module
from emotone.data.corpus import find
from emotone.data.lexicons import read_lexicon
from emotone.data.reading import Problems
from emotone.data.text import text_key, tokens
from emotone.data.word_vectors import read_word_vectors, write_word_vectors
from emotone.emotions import EKMAN, NLPCC, Taxonomy
from emotone.errors import DataError

ROOT = Path(__file__).parents[2]
#: Corpus, its folder in EMOTONE_DATA, and the splits that are read: no test split.
SOURCES: dict[str, tuple[tuple[str, str, tuple[str, ...]], ...]] = {
    "zh": (
        ("lccc", "lccc_toy", ("train", "valid", "all")),
        ("cped", "cped", ("train", "valid")),
        ("xdailydialog", "xdailydialog", ("zh-train", "zh-dev", "zh-more")),
        ("ecm", "ecm", ("train", "dev")),
        ("ecm_sentences", "ecm", ("all",)),
        ("smp2020_ewect", "smp2020_ewect", ("usual-train", "virus-train")),
        ("nlpcc_emotion", "nlpcc_emotion", ("train", "dev")),
    ),
    "en": (
        ("empathetic_dialogues", "empatheticdialogues", ("train", "valid")),
        ("dailydialog", "dailydialog_reccon", ("train", "valid")),
        ("meld", "meld", ("train", "dev")),
        ("emorynlp", "meld", ("train", "dev")),
        ("goemotions", "goemotions", ("train",)),
    ),
}
#: The word list whose classes are compared, and the label set of the classes.
WORD_LISTS: dict[str, tuple[str, str, Taxonomy]] = {
    "zh": ("DUTIR", "lexicon/cntext/zh_common_DUTIR.yaml.gz", NLPCC),
    "en": ("NRC", "lexicon/cntext/en_common_NRC.yaml.gz", EKMAN),
}
#: Of 1,000 texts so many are kept out of training, to count which words are covered.
HELD_OUT = 20
SHOWN: dict[str, tuple[str, ...]] = {
    "zh": ("开心", "难过", "生气", "恶心", "害怕", "惊讶", "喜欢", "手机", "上海", "老师"),
    "en": ("happy", "sad", "angry", "gross", "scared", "surprised", "love", "phone", "mom"),
}
SETTINGS: dict[str, Any] = {
    "vector_size": 300,
    "sg": 1,
    "negative": 5,
    "window": 5,
    "sample": 1e-4,
    "min_count": 5,
    "bucket": 100_000,
    "seed": 1,
}
#: Chinese words share characters that mean something. English n-grams of letters say more of
#: spelling than of meaning ("love" beside "glove"), so English has none: plain skip-gram.
OF_LANG: dict[str, dict[str, int]] = {
    "zh": {"min_n": 1, "max_n": 2, "epochs": 5},
    "en": {"min_n": 3, "max_n": 0, "epochs": 10},
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--lang", choices=sorted(SOURCES), default="zh")
    arguments.add_argument("--epochs", type=int, help="default: 5 for zh, 10 for en")
    arguments.add_argument("--workers", type=int, default=1)
    arguments.add_argument("--out", type=Path, help="default: out/word_vectors/LANG-300.txt.gz")
    arguments.add_argument("--results", type=Path, help="default: in docs/results")
    chosen = arguments.parse_args()
    lang: str = chosen.lang
    out = chosen.out or ROOT / f"out/word_vectors/{lang}-300.txt.gz"
    name = "word-vectors.json" if lang == "zh" else f"word-vectors-{lang}.json"
    path = chosen.results or ROOT / "docs/results" / name
    settings = SETTINGS | OF_LANG[lang] | {"workers": chosen.workers}
    if chosen.epochs is not None:
        settings["epochs"] = chosen.epochs
    root = os.environ.get("EMOTONE_DATA")
    if not root:
        raise SystemExit("set EMOTONE_DATA to the folder of corpora")
    texts, facts = gather(Path(root), lang)
    train = [words for key, words in texts.items() if not held_out(key)]
    unseen = [words for key, words in texts.items() if held_out(key)]
    seconds = train_and_write(train, out, settings)
    vectors = read_word_vectors(out)
    counts = Counter(word for words in train for word in words)
    results = {
        "settings": settings,
        "texts by corpus (each text once)": facts,
        "texts": len(train),
        "tokens": counts.total(),
        "words with a vector": len(vectors.words),
        "share of training tokens with a vector": round(
            sum(counts[w] for w in vectors.words) / counts.total(), 4
        ),
        "held-out texts": coverage(unseen, set(vectors.words)),
        "neighbours": neighbours(vectors.words, vectors.matrix, SHOWN[lang]),
        "emotion of the nearest word": emotion(vectors.words, vectors.matrix, Path(root), lang),
        "seconds of training": round(seconds),
    }
    text = json.dumps(results, ensure_ascii=False, indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    print(text)


def gather(root: Path, lang: str = "zh") -> tuple[dict[str, list[str]], dict[str, int]]:
    """Cut every text of every corpus into words, each once; return words by `text_key`, counts."""
    texts: dict[str, list[str]] = {}
    facts: dict[str, int] = {}
    for name, folder, splits in SOURCES[lang]:
        before = len(texts)
        for text in texts_of(name, root / folder, splits):
            key = text_key(text)
            if key not in texts and (words := tokens(text, lang)):
                texts[key] = words
        facts[name] = len(texts) - before
    return texts, facts


def texts_of(name: str, folder: Path, splits: tuple[str, ...]) -> Iterator[str]:
    corpus = module(name)
    problems = Problems(on_error="skip")
    for split in splits:
        try:
            find(corpus.CORPUS, folder, split)
        except DataError as error:  # not every official file is in everybody's folder
            print(f"left out: {error}")
            continue
        for example in corpus.read(folder, problems, split=split):
            yield from (post.text for post in example.dialogue.posts)
            if example.reply:
                yield example.reply
    if problems.count:
        print(f"{name}: {problems.count} places skipped, such as {problems.places[0]}")


def held_out(key: str) -> bool:
    return int(key[:8], 16) % 1000 < HELD_OUT


def train_and_write(texts: list[list[str]], out: Path, settings: dict[str, Any]) -> float:
    from gensim.models import FastText

    out.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    model = FastText(sentences=texts, **settings)
    seconds = time.perf_counter() - start
    words: Any = model.wv.index_to_key
    write_word_vectors(out, words, model.wv.vectors, digits=6)
    return seconds


def coverage(texts: list[list[str]], known: set[str]) -> dict[str, Any]:
    """Which words of texts that were not trained on have a vector, the frequent ones first."""
    counts = Counter(word for words in texts for word in words)
    ranked = [word for word, _ in counts.most_common()]
    shares: dict[str, Any] = {"texts": len(texts), "tokens": counts.total(), "words": len(ranked)}
    covered = sum(count for word, count in counts.items() if word in known)
    shares["share of tokens"] = round(covered / counts.total(), 4)
    for top in (1000, 2000, 5000):
        if top <= len(ranked):
            share = sum(word in known for word in ranked[:top]) / top
            shares[f"share of the {top} most frequent words"] = round(share, 4)
    return shares


def neighbours(
    words: tuple[str, ...], matrix: np.ndarray, shown: tuple[str, ...]
) -> dict[str, list[str]]:
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    place = {word: i for i, word in enumerate(words)}
    nearest: dict[str, list[str]] = {}
    for word in shown:
        if word in place:
            near = np.argsort(-(unit @ unit[place[word]]))[1:9]
            nearest[word] = [words[i] for i in near]
    return nearest


def emotion(words: tuple[str, ...], matrix: np.ndarray, root: Path, lang: str) -> dict[str, Any]:
    """How often a word of a word list and the list's nearest word have one class.

    Words that share letters are also compared without each other: a list of words holds many
    spellings of one word, which vectors made of letters find easily. In Chinese they share a
    character, in English the first four letters.
    """
    title, place, taxonomy = WORD_LISTS[lang]
    path = root / place
    if not path.exists():
        return {"not measured": f"{title} is not in EMOTONE_DATA"}
    classes: dict[str, list[str]] = {}
    for label, listed in read_lexicon(path).map_to(taxonomy).words.items():
        for word in listed:
            classes.setdefault(word, []).append(label)
    rows = [i for i, word in enumerate(words) if len(classes.get(word, ())) == 1]
    labels = np.array([classes[words[i]][0] for i in rows])
    unit = matrix[rows] / np.linalg.norm(matrix[rows], axis=1, keepdims=True)
    near = unit @ unit.T
    np.fill_diagonal(near, -2)
    parts = [set(words[i]) if lang == "zh" else {words[i][:4]} for i in rows]
    letters = {c: i for i, c in enumerate(sorted(set[str]().union(*parts)))}
    holds = np.zeros((len(rows), len(letters)), dtype=np.float32)
    for row, part in enumerate(parts):
        holds[row, [letters[c] for c in part]] = 1
    apart = np.where(holds @ holds.T > 0, np.float32(-2), near)
    _, counts = np.unique(labels, return_counts=True)
    return {
        "words": len(rows),
        "same class": round(float((labels[near.argmax(1)] == labels).mean()), 4),
        f"same class, no shared {'character' if lang == 'zh' else 'first four letters'}": round(
            float((labels[apart.argmax(1)] == labels).mean()), 4
        ),
        "by chance": round(float(((counts / counts.sum()) ** 2).sum()), 4),
        "always the largest class": round(float(counts.max() / counts.sum()), 4),
    }


if __name__ == "__main__":
    main()
