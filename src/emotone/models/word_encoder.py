"""Sentence vectors from word vectors: a weighted mean in which frequent words weigh little.

For languages without a sentence encoder in the catalogue. A word w of probability p(w) weighs
a / (a + p(w)); the direction that all sentences share is taken out; the rest has length 1. Word
order counts for nothing. A word without a vector is read by its characters, of which those without
one are left out.

Source: Arora, Liang and Ma 2017 (SIF), algorithm 1. The shared direction comes from a fixed set of
sentences, stored with the words, so that a text's vector does not depend on the texts beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotone import config
from emotone.errors import CheckpointError, DataError

if TYPE_CHECKING:
    import numpy as np

CARD = "vectors.json"
WORDS = "words.json"
WEIGHTS = "vectors.safetensors"
FORMAT = 1

#: Shorter sums have lost their direction to rounding.
_NOTHING = 1e-6

Segment = Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class WordVectorsCard:
    """The facts that word vectors of the zoo need to be loaded and named.

    Args:
        name: Name in the zoo, such as "zh-words".
        lang: Language of the words.
        version: Raised whenever the vectors change.
        words: sha256 of the file of words.
        weights: sha256 of the file of vectors.
        smoothing: a of a / (a + p(w)).
        data: Number of training texts, by corpus.
        format: Version of this file's shape.
    """

    name: str
    lang: str
    version: int
    words: str
    weights: str
    smoothing: float = 1e-3
    data: dict[str, int] = field(default_factory=dict[str, int])
    format: int = FORMAT

    @property
    def title(self) -> str:
        """Name for signatures: name, version and the first digits of a hash of the card."""
        text = json.dumps(asdict(self), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        digits = hashlib.sha256(text.encode()).hexdigest()[:8]
        return f"{self.name}-{self.version}-{digits}"


@dataclass(frozen=True, slots=True, eq=False)
class WordEncoder:
    """Words with vectors, and what makes sentence vectors of them.

    Args:
        name: For signatures.
        words: Word -> its row.
        rows: Vectors, int8 [N, d]; times `scales` they are the numbers.
        scales: One a row, float16 [N].
        probabilities: p(w), float32 [N].
        component: The direction that all sentences share, float32 [d], of length 1.
        smoothing: a of a / (a + p(w)).
        segment: Text -> words.
    """

    name: str
    words: dict[str, int]
    rows: np.ndarray
    scales: np.ndarray
    probabilities: np.ndarray
    component: np.ndarray
    smoothing: float
    segment: Segment

    def matrix(self, words: Sequence[str]) -> np.ndarray:
        """Return the vectors of words that have one, float32 [N, d].

        Raises:
            DataError: If a word has none.
        """
        import numpy as np

        lacks = next((w for w in words if w not in self.words), None)
        if lacks is not None:
            raise DataError(f"{lacks!r} has no vector in {self.name}; leave it out")
        places = [self.words[w] for w in words]
        return self.rows[places] * self.scales[places, None].astype(np.float32)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return a vector of length 1 for each text, float32 [N, d].

        A text of which nothing is known gets the shared direction, which is at right angles to
        all other vectors: it is like no other text, but like its equals.
        """
        import numpy as np

        out = np.zeros((len(texts), self.rows.shape[1]), np.float32)
        weight = self.smoothing / (self.smoothing + self.probabilities)
        weight = (weight * self.scales).astype(np.float32)
        for i, text in enumerate(texts):
            known = self._places(text)
            if known:
                out[i] = weight[known] @ self.rows[known].astype(np.float32) / len(known)
        out -= np.outer(out @ self.component, self.component)
        lengths = np.linalg.norm(out, axis=1, keepdims=True)
        return np.where(lengths > _NOTHING, out / np.maximum(lengths, _NOTHING), self.component)

    def _places(self, text: str) -> list[int]:
        places: list[int] = []
        for word in self.segment(text):
            place = self.words.get(word)
            places += [self.words[c] for c in word if c in self.words] if place is None else [place]
        return places


def load_word_encoder(name: str | Path, segment: Segment) -> WordEncoder:
    """Load word vectors of the zoo, or of a folder with `vectors.json`.

    Args:
        name: Name in the zoo, such as "zh-words", or a folder.
        segment: Text -> words, as the vectors were trained with.

    Raises:
        UnknownName: If the zoo has no such vectors.
        ModelMissing: If the zoo is not installed.
        CheckpointError: If the files are damaged.
    """
    from safetensors.numpy import load

    from emotone.models import zoo

    path = Path(name)
    folder = path if (path / CARD).is_file() else zoo.folder("vectors", str(name))
    try:
        row = json.loads((folder / CARD).read_text(encoding="utf-8"))
        if row["format"] != FORMAT:
            raise CheckpointError(
                f"word vectors {folder.name!r} have format {row['format']}; this emotone reads"
                f" {FORMAT}"
            )
        card = config.build(WordVectorsCard, row, f"{folder.name}/{CARD}")
        words_blob, blob = ((folder / file).read_bytes() for file in (WORDS, WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"word vectors {folder.name!r} cannot be read ({error}); install emotone-zoo anew"
        ) from error
    digests = tuple(hashlib.sha256(b).hexdigest() for b in (words_blob, blob))
    if digests != (card.words, card.weights):
        raise CheckpointError(f"word vectors {folder.name!r} are damaged; install emotone-zoo anew")
    words, tensors = json.loads(words_blob), load(blob)
    return _checked(card, words, tensors, segment)


def _checked(
    card: WordVectorsCard, words: list[str], tensors: dict[str, Any], segment: Segment
) -> WordEncoder:
    place = {word: i for i, word in enumerate(words)}
    shapes = {key: value.shape for key, value in tensors.items()}
    rows = shapes.get("rows", ())
    expected = {"rows": rows, "scales": rows[:1], "probabilities": rows[:1], "component": rows[1:]}
    if len(rows) != 2 or shapes != expected or not len(place) == len(words) == rows[0]:
        raise CheckpointError(
            f"word vectors {card.name!r} hold {shapes} for {len(place)} words; make them again"
            " with recipes/word_vectors"
        )
    return WordEncoder(card.title, place, **tensors, smoothing=card.smoothing, segment=segment)


def quantised(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round vectors [N, d] to int8 rows and one float16 scale a row, so that row * scale is near.

    Raises:
        DataError: If a number is not finite or a row too large for a float16 scale.
    """
    import numpy as np

    top = np.abs(matrix).max(axis=1, initial=0.0)
    if not np.isfinite(top).all() or (top / 127 > np.finfo(np.float16).max).any():
        raise DataError("a word vector is too large or not finite; scale the vectors down")
    scales = np.maximum(top / 127, np.finfo(np.float16).smallest_normal).astype(np.float16)
    wide = scales.astype(np.float32)[:, None]
    return np.clip(np.rint(matrix / wide), -127, 127).astype(np.int8), scales


def shared_direction(sums: np.ndarray) -> np.ndarray:
    """Return the first right singular vector of sentence vectors [N, d], float32 [d].

    Its sign is the one that most sentences lean to.
    """
    import numpy as np

    _, vectors = np.linalg.eigh(sums.T.astype(np.float64) @ sums)
    first = vectors[:, -1]
    return (first * np.sign((sums @ first).sum() or 1.0)).astype(np.float32)
