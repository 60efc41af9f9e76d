"""Put the Chinese word vectors into the zoo, small, with their card.

`python -m recipes.word_vectors.pack`, after `python -m recipes.word_vectors.make`; with
EMOTONE_DATA, from which the words are counted and the figures come.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from emotone.data.text import segment
from emotone.data.word_vectors import WordVectors, read_word_vectors
from emotone.files import replacing
from emotone.models import word_encoder
from emotone.models.word_encoder import WordEncoder, WordVectorsCard, load_word_encoder
from recipes.word_vectors.make import ROOT, gather, held_out

NAME = "zh-words"
VERSION = 1
WORDS = 12_000
SMOOTHING = 1e-3
#: Sentences that give the shared direction, at most.
SENTENCES = 50_000
ZOO = ROOT / "zoo/src/emotone_zoo/vectors"
#: Corpus, as in `make.SOURCES` -> what it is and its licence.
LICENCES = {
    "lccc": ("LCCC (the toy part)", "repository MIT"),
    "cped": ("CPED (train, valid)", "repository Apache-2.0; text of television series"),
    "xdailydialog": (
        "XDailyDialog (Chinese)",
        "repository Apache-2.0; DailyDialog CC BY-NC-SA 4.0",
    ),
    "ecm": ("samples of ESTC", "repositories Apache-2.0; STC's text has terms of its own"),
    "ecm_sentences": ("sentences of NLPCC 2017 in a copy of ECM's data", "shared-task data"),
    "smp2020_ewect": ("SMP2020-EWECT (train)", "shared-task data, research use"),
    "nlpcc_emotion": ("sentences of NLPCC 2013 and 2014 (train, dev)", "shared-task data"),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--vectors", type=Path, default=ROOT / "out/word_vectors/zh-300.txt.gz")
    arguments.add_argument("--zoo", type=Path, default=ZOO)
    chosen = arguments.parse_args()
    root = os.environ.get("EMOTONE_DATA")
    if not root:
        raise SystemExit("set EMOTONE_DATA to the folder of corpora")
    texts, facts = gather(Path(root))
    train = [words for key, words in texts.items() if not held_out(key)]
    unseen = [words for key, words in texts.items() if held_out(key)]
    counts = Counter(word for words in train for word in words)
    vectors = frequent(read_word_vectors(chosen.vectors), counts, WORDS)
    encoder = pack(chosen.zoo / NAME, vectors, counts, train, facts)
    with replacing(chosen.zoo / NAME / "README.md") as path:
        path.write_text(readme(facts, figures(encoder, vectors, unseen)), encoding="utf-8")
    print((chosen.zoo / NAME / "README.md").read_text(encoding="utf-8"))


def frequent(vectors: WordVectors, counts: Counter[str], size: int) -> WordVectors:
    """Keep the vectors of the most frequent words, by falling count, then by code point."""
    place = {word: i for i, word in enumerate(vectors.words)}
    words = sorted(place, key=lambda w: (-counts[w], w))[:size]
    return WordVectors(tuple(words), vectors.matrix[[place[w] for w in words]])


def pack(
    folder: Path,
    vectors: WordVectors,
    counts: Counter[str],
    texts: Sequence[Sequence[str]],
    facts: dict[str, int],
) -> WordEncoder:
    """Write the folder and load it again."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, scales = word_encoder.quantised(vectors.matrix)
    probabilities = np.array([counts[w] for w in vectors.words], np.float32) / counts.total()
    bare = WordEncoder(
        NAME,
        {w: i for i, w in enumerate(vectors.words)},
        rows,
        scales,
        probabilities,
        np.zeros(rows.shape[1], np.float32),
        SMOOTHING,
        str.split,
    )
    # A blank never stands within a word that a segmenter made of Chinese text.
    sample = np.random.default_rng(1).permutation(len(texts))[:SENTENCES]
    sums = bare([" ".join(texts[int(i)]) for i in sample])
    blob = save(
        {
            "rows": rows,
            "scales": scales,
            "probabilities": probabilities,
            "component": word_encoder.shared_direction(sums),
        }
    )
    words = json.dumps(list(vectors.words), ensure_ascii=False, separators=(",", ":")).encode()
    digests = [hashlib.sha256(b).hexdigest() for b in (words, blob)]
    card = WordVectorsCard(NAME, "zh", VERSION, *digests, smoothing=SMOOTHING, data=facts)
    about = json.dumps(asdict(card), ensure_ascii=False, indent=1) + "\n"
    for file, content in (
        (word_encoder.WEIGHTS, blob),
        (word_encoder.WORDS, words),
        (word_encoder.CARD, about.encode()),
    ):
        with replacing(folder / file) as path:
            path.write_bytes(content)
    return load_word_encoder(folder, segment)


def figures(
    encoder: WordEncoder, vectors: WordVectors, texts: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """What rounding cost, what is covered, and whether halves of one text find each other."""
    whole, rounded = vectors.matrix, encoder.matrix(vectors.words)
    lengths = np.linalg.norm(whole, axis=1) * np.linalg.norm(rounded, axis=1)
    cosines = (whole * rounded).sum(1) / lengths
    tokens = [w for words in texts for w in words]
    long = [w for w in texts if len(w) >= 12]
    first = encoder(["".join(w[: len(w) // 2]) for w in long])
    second = encoder(["".join(w[len(w) // 2 :]) for w in long])
    near = first @ second.T
    own = np.diag(near)
    return {
        "words": len(vectors.words),
        "least cosine": float(cosines.min()),
        "covered": sum(w in encoder.words for w in tokens) / len(tokens),
        "read": sum(any(c in encoder.words for c in (w, *w)) for w in tokens) / len(tokens),
        "texts": len(texts),
        "halves": len(long),
        # Share of other second halves that are further from a first half than its own is.
        "nearer": float((near < own[:, None]).sum() / (len(long) * (len(long) - 1))),
        "own": float(own.mean()),
        "other": float((near.sum() - own.sum()) / (near.size - len(long))),
    }


def readme(facts: dict[str, int], numbers: dict[str, Any]) -> str:
    data = "\n".join(
        f"- {LICENCES[name][0]}: {texts} texts; {LICENCES[name][1]}"
        for name, texts in facts.items()
    )
    halves = (
        f"Halves of those that have 12 words or more ({numbers['halves']}): the cosine of the two"
        f" halves of one text is {numbers['own']:.3f} on average, of halves of two texts"
        f" {numbers['other']:.3f}; the own half is nearer than another in"
        f" {numbers['nearer']:.1%} of comparisons (chance 50 %)."
    )
    lines = [
        f"# {NAME}, version {VERSION}",
        "",
        f"Vectors of the {numbers['words']} most frequent Chinese words, 300 numbers each, from"
        " which a vector of a sentence is made: the mean of its words' vectors, each weighted by"
        f" a / (a + p(word)) with a = {SMOOTHING}, less the direction that all sentences share, of"
        " length 1 (SIF).",
        "",
        "- Intended use: how alike two Chinese texts are in content, for metrics of similarity."
        " Not a judge of emotion, and no measure of a person.",
        "- Recipe: `python -m recipes.word_vectors.make`, then `python -m"
        " recipes.word_vectors.pack`: FastText skip-gram with character n-grams; rows rounded to"
        " 8 bits with one scale a row.",
        "- Limits: trained on few texts, so characters speak louder than contexts; word order"
        f" counts for nothing; a word that is not among the {numbers['words']} is read by its"
        " characters. A text of which nothing is known gets the shared direction, which is at"
        " right angles to all others.",
        "- Terms: made of the texts below, each under terms of its own; for research, not for"
        " commerce.",
        "",
        "## Data",
        "",
        "Each text once, counted for the first corpus that has it, without labels; 2 % of all"
        " texts were kept out.",
        "",
        data,
        "",
        "## Figures",
        "",
        "- Rounding: the least cosine of a word's vector before and after is"
        f" {numbers['least cosine']:.5f}.",
        f"- Words of {numbers['texts']} texts that were kept out: {numbers['covered']:.1%} have a"
        f" vector, {numbers['read']:.1%} one or that of a character.",
        f"- {halves}",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
