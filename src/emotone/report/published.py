"""Published numbers, to stand beside ours, each with its source and why it is not the same.

Only tables that were read are here; what could not be checked is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One measure of a published table.

    Args:
        title: As the paper calls it.
        metric: Our metric that comes nearest; "" where we have none.
        times: Our value is multiplied by this, where the paper prints percent.
        digits: Digits after the point, as printed.
    """

    title: str
    metric: str
    times: float = 1.0
    digits: int = 2


@dataclass(frozen=True, slots=True)
class Published:
    """One table of a paper.

    Args:
        name: Short name, for file anchors.
        title: What the table is.
        source: Paper and table.
        columns: Its measures.
        rows: System -> values in the order of the columns; None where the paper has none.
        caution: Why our numbers do not compare with these.
        at_full: Whether ours are those over replies asked for one emotion at intensity 100.
    """

    name: str
    title: str
    source: str
    columns: tuple[Column, ...]
    rows: Mapping[str, tuple[float | None, ...]]
    caution: str
    at_full: bool = False


EMO_SEQ = Published(
    "emo-seq",
    "Emo-Seq, tables 3 and 4",
    "Emo-Seq paper, tables 3 and 4: NLPCC 2017, 10,000 test items",
    (
        Column("PPL", "perplexity", digits=3),
        Column("Distinct-1", "distinct_1", digits=4),
        Column("Distinct-2", "distinct_2", digits=4),
    ),
    {
        "A-Seq2Seq": (97.765, 0.0125, 0.0371),
        "ECM": (88.458, 0.0131, 0.0563),
        "Emo-Seq": (83.372, 0.0245, 0.0673),
    },
    "Perplexity compares only within one vocabulary, and Distinct falls with the number of replies"
    " (theirs is over 10,000); the paper gives no vocabulary and no decoding.",
)

ECM = Published(
    "ecm",
    "ECM, table 4",
    "Zhou et al. 2018 (ECM), table 4, ESTC; read by eye from an image in the authors' repository",
    (
        Column("Perplexity", "ecm_perplexity", digits=1),
        Column("Accuracy", "emotion_accuracy", digits=3),
    ),
    {
        "Seq2Seq": (68.0, 0.179),
        "Emb": (62.5, 0.724),
        "ECM": (65.9, 0.773),
        "ECM w/o Emb": (66.1, 0.753),
        "ECM w/o IMem": (66.7, 0.749),
        "ECM w/o EMem": (61.8, 0.731),
    },
    "Their judge also labelled the training data, ours did not; corpus and vocabulary (40,000"
    " words) differ as well. Perplexity is a mean over sentences in both.",
    at_full=True,
)

EMPRL = Published(
    "emprl",
    "Empathetic replies in the shape of EmpRL's table",
    "LEMPEx (arXiv 2106.11791), results table, EmpatheticDialogues, read by eye from an image;"
    " EmpRL's own numbers could not be checked and are not given",
    (
        Column("PPL", "perplexity"),
        Column("BLEU", "bleu"),
        Column("D-1 %", "distinct_1", 100.0),
        Column("D-2 %", "distinct_2", 100.0),
        Column("Emp-F1 %", "emp_f1", 100.0),
    ),
    {
        "MIME": (37.33, 8.76, 0.63, 3.97, None),
        "EmpDG": (34.18, 8.61, 1.81, 6.38, None),
        "T5-PT": (36.88, 7.47, 1.59, 17.33, None),
        "LEMPEx": (26.37, 7.88, 1.41, 14.66, None),
    },
    "Perplexity compares only within one vocabulary; their BLEU has another tokenisation than"
    " sacrebleu's. Emp-F1 is ours, with identifiers that took no part in training.",
)

EV = Published(
    "ev",
    "Emotion vectors: share of emotional replies",
    "Dong et al. 2025 (arXiv 2502.04075), as quoted in a review: EPS at twice the vector",
    (
        Column("EPS / emotional share", "emotional_share", digits=4),
        Column("asked probability", "asked_probability", digits=4),
    ),
    {
        "Llama3.1 + 2 EV": (1.0, None),
        "Qwen2 + 2 EV": (0.9825, None),
        "MiniCPM + 2 EV": (0.995, None),
    },
    "Their judge, labels and threshold are not published; ours go by names of their own. In"
    " the released replies of Llama3.1 at this strength, 42 % of the 4-grams are repeats.",
    at_full=True,
)

TABLES: tuple[Published, ...] = (EMO_SEQ, ECM, EMPRL, EV)
