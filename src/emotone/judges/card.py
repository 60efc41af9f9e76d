"""What a trained judge says about itself: `judge.json` beside its weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from emotone import config
from emotone.data.text import text_key
from emotone.emotions import TAXONOMIES, Taxonomy
from emotone.errors import CheckpointError, unknown_name
from emotone.types import JudgeName

CARD = "judge.json"
WEIGHTS = "weights.safetensors"
#: Sorted digests of the training texts, `DIGEST` bytes each, so that anybody can see that two
#: judges share none.
TEXTS = "texts.bin"
DIGEST = 6
FORMAT = 1

Role = Literal["label", "score"]
Kind = Literal["encoder", "ngram", "sense"]


@dataclass(frozen=True, slots=True)
class Head:
    """One set of labels that a judge can answer in.

    Args:
        taxonomy: Name of the label set.
        labels: The labels in the order of the head's outputs.
        temperature: Divides the logits, fitted on development texts.
    """

    taxonomy: str
    labels: tuple[str, ...]
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class JudgeCard:
    """The facts that a judge needs to be loaded and named.

    Args:
        name: Name in the zoo, such as "en-score".
        kind: "encoder" reads with a pretrained trunk, "ngram" counts words and letters; "sense"
            reads post and reply and judges content, not emotion.
        role: "label" may label training data and calibrate; "score" is for results only.
        lang: Language of the texts.
        version: Raised whenever the weights change.
        heads: The label sets, the default first.
        weights: sha256 of the weights file.
        settings: What the kind needs besides.
        data: sha256 over the keys of the training texts, by corpus.
        format: Version of this file's shape.
    """

    name: str
    kind: Kind
    role: Role
    lang: Literal["en", "zh"]
    version: int
    heads: tuple[Head, ...]
    weights: str
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    data: dict[str, str] = field(default_factory=dict[str, str])
    format: int = FORMAT

    def judge_name(self, taxonomy: str = "") -> JudgeName:
        """Name the judge for signatures, with its version and the label set that it answers in."""
        return JudgeName(self.name, self.version, card_hash(asdict(self)), taxonomy)

    def head(self, taxonomy: str | None) -> tuple[Head, Taxonomy]:
        """Find a head, the default without a name.

        Raises:
            UnknownName: If the judge has no such label set.
        """
        names = [h.taxonomy for h in self.heads]
        asked = taxonomy or names[0]
        if asked not in names:
            raise unknown_name(f"taxonomy of {self.name}", asked, names)
        return self.heads[names.index(asked)], TAXONOMIES[asked]


def card_hash(row: dict[str, Any]) -> str:
    """Return 8 hex digits of the sha256 of a card's fields, its weights' checksum among them.

    Temperatures, offsets and lengths decide on labels as the weights do, so that labels made
    before one of them changed must not pass for those made after.
    """
    text = json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def read_card(folder: Path) -> JudgeCard:
    """Read `judge.json` and check the weights against it.

    Raises:
        CheckpointError: If a file is missing, of another shape, or not the one that was written.
    """
    try:
        row = json.loads((folder / CARD).read_text(encoding="utf-8"))
        if row.get("format") != FORMAT:
            raise CheckpointError(
                f"judge {folder.name!r} has format {row.get('format')}; this emotone reads {FORMAT}"
            )
        card = config.build(JudgeCard, row, f"{folder.name}/{CARD}")
        digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"judge {folder.name!r} cannot be read ({error}); install emotone-zoo anew"
        ) from error
    if digest != card.weights:
        raise CheckpointError(
            f"the weights of judge {folder.name!r} are damaged; install emotone-zoo anew"
        )
    return card


def write_card(folder: Path, card: JudgeCard) -> None:
    """Write `judge.json`."""
    text = json.dumps(asdict(card), ensure_ascii=False, indent=1)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")


def write_texts(folder: Path, texts: Iterable[str]) -> None:
    """Write which texts a judge learnt from, as digests of what they say."""
    (folder / TEXTS).write_bytes(b"".join(sorted({text_digest(text) for text in texts})))


def read_texts(folder: Path) -> frozenset[bytes]:
    """Read the digests of the texts that a judge learnt from.

    Raises:
        CheckpointError: If they are not there or cut short.
    """
    try:
        whole = (folder / TEXTS).read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"judge {folder.name!r} does not say what it learnt from ({error}); install"
            " emotone-zoo anew"
        ) from error
    if len(whole) % DIGEST:
        raise CheckpointError(f"{TEXTS} of judge {folder.name!r} is cut; install emotone-zoo anew")
    return frozenset(whole[i : i + DIGEST] for i in range(0, len(whole), DIGEST))


def text_digest(text: str) -> bytes:
    """Digest of what a text says, without blanks, width and case."""
    return bytes.fromhex(text_key(text))[:DIGEST]
