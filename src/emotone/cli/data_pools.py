"""`emotone data prepare` for pools: pairs of several corpora, and the synthetic corpus."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from emotone.cli.options import note

if TYPE_CHECKING:
    from emotone.protocols import EmotionClassifier

#: Names that `prepare` takes beside those of corpora.
POOLS = ("zh-pairs", "en-pairs", "synthetic")


def prepare_pool(
    name: str,
    output: Path,
    where: Path | None,
    judge: str | None,
    taxonomy: str | None,
    given: dict[str, object],
) -> None:
    """Write a pool into a folder.

    Args:
        name: Name of the pool.
        output: The folder.
        where: Folder of corpora; that of EMOTONE_DATA without it.
        judge: Who labels; the labelling judge of the language without it.
        taxonomy: Label set of the synthetic pairs.
        given: Options of `prepare` that a pool does not take -> their values.
    """
    from emotone.data import synthetic
    from emotone.data.pools import build as pools
    from emotone.emotions import EKMAN, TAXONOMIES
    from emotone.errors import UsageError, number_of, unknown_name

    if name != synthetic.NAME:
        given = {**given, "--taxonomy": taxonomy}
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"{name} is made of whole corpora; leave {option} out")
    if output.suffix in (".jsonl", ".parquet"):
        raise UsageError(f"{name} is several files; name a folder instead of {output.name}")
    if name == synthetic.NAME:
        if where is not None or judge is not None:
            raise UsageError(f"{name} is made up; leave --from and --judge out")
        if taxonomy is not None and taxonomy not in TAXONOMIES:
            raise unknown_name("taxonomy", taxonomy, TAXONOMIES)
        facts = synthetic.write(output, taxonomy=TAXONOMIES[taxonomy or EKMAN.name])
    else:
        if where is None and not os.environ.get("EMOTONE_DATA"):
            raise UsageError(
                f"where are the corpora of {name}? name their folder with --from or in EMOTONE_DATA"
            )
        root = where or Path(os.environ["EMOTONE_DATA"])
        pool = pools.POOLS[name]
        listens = may_label(judge or f"{pool.lang}-label", pool.taxonomy.name)
        facts = pools.write(name, root, listens, output)
        note(f"labelled by {facts['judge']}; left out: {number_of(facts['bad lines'], 'bad line')}")
        for corpus, licence in facts["licences"].items():
            note(f"licence of {corpus}: {licence}")
    for split, counts in facts["pairs"].items():
        labels = ", ".join(f"{label} {count}" for label, count in counts["all"].items())
        pairs = number_of(sum(counts["all"].values()), "pair")
        note(f"{pairs} in {output / split}.jsonl: {labels}")


def may_label(name: str, taxonomy: str | None = None) -> EmotionClassifier:
    """Open a judge whose role is to label; what scores results may not have taught a system."""
    from emotone.errors import UsageError
    from emotone.judges import card_of, open_judge

    card = card_of(name)
    if card.role != "label":
        raise UsageError(
            f"{name} is for results only; name a judge that may label, such as {card.lang}-label"
        )
    return open_judge(name, taxonomy)
