"""The runs of a comparison, as folders on disk, and the replies and likelihoods in them.

A run is one training: `<lang>-<system>-<variant>-s<seed>`, such as `zh-ecm-no_emb-s1`. Runs of one
language, system and variant that differ in their seed are one row of the tables. A variant that
ends in "-10k" or the like is the same variant trained on fewer pairs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotone.emotions import TAXONOMIES
from emotone.errors import DataError
from emotone.evaluation.manifest import file_facts, read_manifest
from emotone.evaluation.records import read_replies_files
from emotone.metrics.asked import asked_emotion
from emotone.metrics.base import Pair
from emotone.types import JudgeName, judge_names

#: Decoding -> the file of its replies.
DECODINGS = {"default": "replies_default.jsonl", "beam": "replies_beam.jsonl"}
EVERYDAY = "everyday.jsonl"
#: Variant that a system is compared by.
MAIN = {"a_seq2seq": "plain", "ecm": "full", "emo_seq": "full"}

_FACTS = ("row", "system", "variant", "plain", "seed", "size", "pairs")
_NAME = re.compile(r"(en|zh)-([a-z0-9_]+)-(.+)-s(\d+)")
_SIZE = re.compile(r"-(\d+k)$")


@dataclass(frozen=True, slots=True)
class Run:
    """One training.

    Args:
        folder: Where its files are.
        lang: Language.
        system: Such as "ecm".
        variant: Such as "full" or "no_emb-10k".
        seed: Seed of the training.
        manifest: What its `manifest.json` says.
    """

    folder: Path
    lang: str
    system: str
    variant: str
    seed: int
    manifest: Mapping[str, Any]

    @property
    def row(self) -> str:
        """Name without language and seed."""
        return f"{self.system}-{self.variant}"

    @property
    def plain(self) -> str:
        """Variant without the number of pairs."""
        return _SIZE.sub("", self.variant)

    @property
    def size(self) -> str:
        """Such as "10k" for a variant trained on fewer pairs; only equal sizes are compared."""
        match = _SIZE.search(self.variant)
        return match[1] if match else ""

    @property
    def pairs(self) -> int | None:
        """Training pairs, where the manifest says so."""
        pairs = self.manifest.get("pairs")
        return pairs if type(pairs) is int else None

    @property
    def judges(self) -> list[JudgeName]:
        """Judges that touched its training."""
        return judge_names(self.manifest.get("judges"), f"{self.folder.name}/manifest.json")

    @property
    def facts(self) -> dict[str, Any]:
        """What a reader of the tables has to know of it."""
        return {
            **{name: getattr(self, name) for name in _FACTS},
            "judges": list(map(str, self.judges)),
            "files": {
                f["name"]: f["sha256"][:16]
                for f in map(file_facts, sorted(self.folder.glob("*.jsonl")))
            },
            **{k: self.manifest[k] for k in ("parameters", "training") if k in self.manifest},
        }


def find(folder: Path) -> list[Run]:
    """List the runs of a folder by name; folders of other names are left out.

    Raises:
        DataError: If there is none.
    """
    runs: list[Run] = []
    for place in sorted(p for p in folder.iterdir() if p.is_dir()):
        match = _NAME.fullmatch(place.name)
        if match:
            lang, system, variant, seed = match.groups()
            manifest = read_manifest(place / "manifest.json")
            runs.append(Run(place, lang, system, variant, int(seed), manifest))
    if not runs:
        raise DataError(
            f"{folder} holds no run; a run is a folder such as zh-ecm-full-s1 with"
            f" {DECODINGS['default']}"
        )
    return runs


def replies(run: Run, file: str) -> list[Pair]:
    """Read the replies of a run; empty where the file is not there."""
    path = run.folder / file
    if not path.is_file():
        return []
    pairs = read_replies_files([path])
    seen: set[tuple[str, str | None]] = set()
    for example, reply in pairs:
        key = (example.id, None if reply.emotion is None else str(reply.emotion))
        if key in seen:
            raise DataError(
                f"{run.folder.name}/{file} answers {example.id!r} twice in one emotion; give one"
                " reply each"
            )
        seen.add(key)
    return pairs


def deal(ids: Iterable[str], size: int) -> list[str]:
    """Choose at most `size` ids by a hash of what they are, the same for all systems; sorted."""
    order = sorted(set(ids), key=lambda i: (_hash(i), i))
    return sorted(order[:size])


def one_each(pairs: Sequence[Pair]) -> list[Pair]:
    """Keep one reply a post, in an emotion that a hash of the post deals.

    A system that answers in six emotions then gives as many replies as one that takes none, which
    is what Distinct needs.
    """
    posts: dict[str, list[Pair]] = {}
    for pair in pairs:
        posts.setdefault(pair[0].id, []).append(pair)
    chosen: list[Pair] = []
    for name, rows in posts.items():
        rows.sort(key=lambda p: "" if p[1].emotion is None else str(p[1].emotion))
        chosen.append(rows[int.from_bytes(_hash(name)[:4], "big") % len(rows)])
    return chosen


def neutral_of(pairs: Iterable[Pair]) -> str | None:
    """Return the label that stands for no emotion in the taxonomy of the asked emotions."""
    names = {e.taxonomy for _, r in pairs if (e := asked_emotion(r)) is not None}
    labels = {TAXONOMIES[n].neutral for n in names if n in TAXONOMIES}
    return next(iter(labels), None) if len(labels) < 2 else None


def _hash(name: str) -> bytes:
    return hashlib.sha256(b"recurrent\n" + name.encode("utf-8", "replace")).digest()
