"""A judge of emotion by words and letters: logistic regression on n-grams.

Trained in seconds from labelled texts and served at thousands of texts a second; the zoo's
labelling judges are of this kind, and so is the one that `emotone vectors calibrate` trains.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from emotone.data.scripts import simplified
from emotone.data.text import Lang
from emotone.emotions import EKMAN, Taxonomy
from emotone.errors import CheckpointError, DataError
from emotone.judges.calibration import scores, softmax
from emotone.judges.card import WEIGHTS, Head, JudgeCard
from emotone.judges.grams import Counted, Grams, fit, tfidf
from emotone.types import EmotionScores

WORDS_AND_LETTERS = (Grams("word", 1, 2, 2), Grams("char_wb", 2, 4, 3, 60_000))


@dataclass(frozen=True, slots=True, eq=False)
class NgramJudge:
    """A fitted judge; build it with `train_ngram_judge` or `load_ngram_judge`.

    Args:
        name: Kind and data hash, for signatures.
        taxonomy: The labels of its scores.
        counters: The n-grams that it knows, kind by kind.
        labels: The labels that it has seen, in the order of its outputs.
        weights: Coefficients, [k, F].
        bias: Intercepts, [k].
        temperature: Divides the logits.
        lang: Language of the texts; traditional Chinese is read as simplified.
    """

    name: str
    taxonomy: Taxonomy
    counters: tuple[Counted, ...]
    labels: tuple[str, ...]
    weights: Any
    bias: Any
    temperature: float = 1.0
    lang: Lang = "en"

    def logits(self, texts: Sequence[str]) -> Any:
        """Uncalibrated scores, [N, k], in the order of `labels`."""
        from scipy.sparse import hstack

        counts = hstack([tfidf(c, texts) for c in self.counters]).tocsr()
        return counts @ self.weights.T + self.bias

    def classify(
        self, texts: Sequence[str], posts: Sequence[str | None] | None = None
    ) -> list[EmotionScores]:
        """Score each text, its post left aside; labels never seen have probability 0."""
        del posts
        if not texts:
            return []
        if self.lang == "zh":
            texts = [simplified(text) for text in texts]
        rows = softmax(self.logits(texts), self.temperature)
        return [scores(row, self.labels, self.taxonomy) for row in rows]


def train_ngram_judge(
    rows: Sequence[tuple[str, str]],
    taxonomy: Taxonomy = EKMAN,
    *,
    cap: int | None = 2500,
    grams: Sequence[Grams] = WORDS_AND_LETTERS,
    strength: float = 4.0,
    balance: float = 1.0,
) -> NgramJudge:
    """Train a judge on (text, label) pairs.

    Tf-idf of n-grams with sublinear counts, and a multinomial logistic regression on it.

    Args:
        rows: Labelled texts; order does not matter.
        taxonomy: The label set.
        cap: Most texts of one label, so that common emotions do not drown rare ones; None for all.
        grams: What to count; the default suits languages that write words apart.
        strength: Inverse of the L2 penalty.
        balance: 1 weighs every label alike, 0 every text, between them the power of the ratio.

    Raises:
        DataError: If a label is foreign, fewer than two labels are there, or the texts are too
            few to share a word.
    """
    import numpy as np
    from scipy.sparse import hstack
    from sklearn.linear_model import LogisticRegression

    chosen, counts = _rows(rows, taxonomy, cap)
    digest = hashlib.sha256(json.dumps(chosen, ensure_ascii=False).encode()).hexdigest()[:12]
    mean = np.mean([min(n, cap or n) for n in counts.values()])
    weight = {label: float(mean / min(n, cap or n)) ** balance for label, n in counts.items()}
    texts = [t for t, _ in chosen]
    model = LogisticRegression(C=strength, max_iter=500, class_weight=weight)
    try:
        counters = tuple(fit(g, texts) for g in grams)
        seen = hstack([tfidf(c, texts) for c in counters]).tocsr()
        model.fit(seen, [label for _, label in chosen])
    except ValueError as error:
        raise DataError(
            f"{len(chosen)} texts teach a judge nothing ({error}); give more labelled texts"
        ) from error
    coefficients, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn keeps one row for two classes
        coefficients, bias = np.vstack([-coefficients, coefficients]) / 2, np.r_[-bias, bias] / 2
    return NgramJudge(
        f"ngram-{digest}",
        taxonomy,
        counters,
        tuple(map(str, model.classes_)),
        coefficients,
        bias,
    )


def _rows(
    rows: Sequence[tuple[str, str]], taxonomy: Taxonomy, cap: int | None
) -> tuple[list[tuple[str, str]], dict[str, int]]:
    foreign = sorted({label for _, label in rows} - set(taxonomy.labels))
    if foreign:
        raise DataError(
            f"label {foreign[0]!r} is not in {taxonomy.name}; use {', '.join(taxonomy.labels)}"
        )
    # A text's hash decides whether it is kept, so the judge does not depend on the file's order.
    ordered = sorted(set(rows), key=lambda r: (hashlib.sha256(r[0].encode()).digest(), r))
    chosen: list[tuple[str, str]] = []
    counts: dict[str, int] = {}
    for text, label in ordered:
        counts[label] = counts.get(label, 0) + 1
        if cap is None or counts[label] <= cap:
            chosen.append((text, label))
    if len(counts) < 2:
        raise DataError("a judge needs texts of two labels or more; give more labelled texts")
    return chosen, counts


def ngram_tensors(judge: NgramJudge) -> dict[str, Any]:
    """Everything that a judge has learnt, as numpy arrays for a safetensors file."""
    import numpy as np

    arrays: dict[str, Any] = {
        "weights": np.ascontiguousarray(judge.weights, np.float16),
        "bias": np.ascontiguousarray(judge.bias, np.float32),
    }
    for i, counter in enumerate(judge.counters):
        terms = json.dumps(list(counter.terms), ensure_ascii=False)
        arrays[f"terms.{i}"] = np.frombuffer(terms.encode(), np.uint8).copy()
        arrays[f"idf.{i}"] = np.ascontiguousarray(counter.idf, np.float32)
    return arrays


def ngram_settings(judge: NgramJudge) -> dict[str, Any]:
    """What `load_ngram_judge` needs besides the arrays."""
    return {"grams": [asdict(c.grams) for c in judge.counters]}


def load_ngram_judge(folder: Path, card: JudgeCard, taxonomy: str | None = None) -> NgramJudge:
    """Load a judge from its folder, whose card `read_card` has checked.

    Raises:
        CheckpointError: If the files are damaged.
        UnknownName: If the judge has no such label set.
    """
    from safetensors.numpy import load_file

    head, labels = card.head(taxonomy)
    arrays, settings = load_file(folder / WEIGHTS), card.settings
    if "heads" in settings:  # one regression a label set
        prefix = f"{head.taxonomy}."
        arrays = {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}
        settings = settings["heads"].get(head.taxonomy, {})
    judge = restore(arrays, settings, head, labels, folder.name)
    return replace(judge, name=str(card.judge_name(head.taxonomy)), lang=card.lang)


def restore(
    arrays: Mapping[str, Any],
    settings: Mapping[str, Any],
    head: Head,
    taxonomy: Taxonomy,
    name: str,
) -> NgramJudge:
    """Build a judge from what `ngram_tensors` and `ngram_settings` gave.

    Raises:
        CheckpointError: If something of it is missing.
    """
    try:
        grams = tuple(Grams(**g) for g in settings["grams"])
        counters = tuple(_restored(arrays, i, g) for i, g in enumerate(grams))
        weights, bias = arrays["weights"].astype("float64"), arrays["bias"].astype("float64")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"judge {name!r} is not whole ({error}); install emotone-zoo anew"
        ) from error
    return NgramJudge(name, taxonomy, counters, head.labels, weights, bias, head.temperature)


def _restored(arrays: Mapping[str, Any], i: int, grams: Grams) -> Counted:
    terms = json.loads(arrays[f"terms.{i}"].tobytes())
    return Counted(grams, {t: k for k, t in enumerate(terms)}, arrays[f"idf.{i}"].astype("float64"))


def read_labelled(lines: Iterable[str], where: str) -> list[tuple[str, str]]:
    """Read `{"text", "label"}` lines.

    Raises:
        DataError: If a line has another shape; the message names file and line.
    """
    rows: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            text, label = row["text"], row["label"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f'{where}, line {number}: write {{"text", "label"}}') from error
        if not isinstance(text, str) or not isinstance(label, str):
            raise DataError(f"{where}, line {number}: text and label must be text")
        rows.append((text, label))
    return rows
