"""Put a trained policy into the zoo, with a card.

`python -m recipes.emprl.pack STAGE_FOLDER NAME` packs one stage of a run, such as
out/emprl/smollm2-s1/rloo as `smollm2`, into the folder `emprl-NAME`. Without arguments the cards
are written anew, from docs/results/emprl.json.

Weights become float16: those of a T5 whole, of a chat model the adapters alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from emotone import config as configs
from emotone.data import corpora
from emotone.errors import DataError
from emotone.files import replacing
from emotone.systems.emprl.folder import FILE, Card, read_card
from emotone.training import adapters
from recipes.compare.files import RESULTS, ZOO, filled, read_results
from recipes.compare.table import table, values
from recipes.emprl.names import COLUMNS, MODELS, STAGES
from recipes.emprl.table import EMPATHY, TEXTS

HERE = Path(__file__).parent
FIGURES = RESULTS / "emprl.json"
CARD = "README.md"
#: What of a stage's folder is given away besides weights and `config.toml`, by kind of policy.
FILES: Mapping[str, tuple[str, ...]] = {
    "causal": (adapters.CONFIG,),
    "seq2seq": (
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ),
}
WEIGHTS = {"causal": adapters.WEIGHTS, "seq2seq": "model.safetensors"}
#: What the policies learned from; a T5 made from nothing learned to write from more.
CORPORA: Mapping[str, tuple[str, ...]] = {
    "causal": ("empathetic_dialogues",),
    "seq2seq": ("empathetic_dialogues", "dailydialog", "meld"),
}
NUMBERS = tuple(key for key in (*EMPATHY, *TEXTS) if key != "similarity_post")


def pack(source: Path, out: Path) -> None:
    """Copy a stage's folder without what only training needs; its card comes last.

    Args:
        source: A folder that `save_policy` wrote.
        out: The new folder.

    Raises:
        CheckpointError: If `source` is no such folder.
        DataError: If a file of it is missing.
    """
    card = read_card(source)
    out.mkdir(parents=True, exist_ok=True)
    name = WEIGHTS[card.kind]
    for file in (*FILES[card.kind], name):
        if not (source / file).is_file():
            raise DataError(f"{source} has no {file}; name the folder of a finished stage")
    for file in FILES[card.kind]:
        with replacing(out / file) as path:
            path.write_bytes((source / file).read_bytes())
    with replacing(out / name) as path:
        save_file(halved(load_file(source / name)), path, metadata={"format": "pt"})
    # What the run measured is in the README; seconds of one machine are nobody's concern.
    given = replace(card, measured=replace(card.measured, seconds=0.0))
    with replacing(out / FILE) as path:
        path.write_text(configs.dump(given), encoding="utf-8")


def halved(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights in float16.

    Raises:
        DataError: If a number is too large for it.
    """
    half = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    for name, value in half.items():
        if not torch.isfinite(value).all():
            raise DataError(f"{name} holds numbers that float16 cannot; pack it as it is")
    return half


def readme(name: str, card: Card, results: Mapping[str, Any] | None, numbers: int) -> str:
    """Write the card of one policy.

    Args:
        name: Name in the zoo, "emprl-smollm2".
        card: What its `config.toml` says.
        results: docs/results/emprl.json; None before it is written.
        numbers: How many weights it holds.
    """
    short = name.removeprefix("emprl-")
    causal = card.kind == "causal"
    text = filled(
        HERE / "pages/card.md",
        name=name,
        model=MODELS.get(short, short),
        stage=STAGES.get(card.stage, card.stage),
        what=f"low-rank adapters of {card.base}" if causal else "a T5",
        millions=numbers / 1e6,
        emotions="those of the base model's emotion vectors" if causal else "none (a T5)",
        corpora=", ".join(CORPORA[card.kind]),
        measured=card.measured,
        reward=_reward(card),
        licences="; ".join(f"{corpus}: {_licence(corpus)}" for corpus in CORPORA[card.kind]),
    )
    row = (results or {}).get("rows", {}).get(f"{short}-{card.stage}")
    if row:
        cells = table(["measure", "value"], values(row["numbers"], COLUMNS, NUMBERS))
        trainings = len(row["trainings"])
        text += filled(HERE / "pages/scores.md", trainings=trainings, table=cells)
    return text


def _reward(card: Card) -> str:
    if not card.identifier:
        return "none"
    return f"{card.identifier}, a judge that learned from epitome ({_licence('epitome')})"


def _licence(corpus: str) -> str:
    return corpora.module(corpus).CORPUS.licence


def cards() -> None:
    """Write README.md into the folder of each packed policy."""
    results = read_results(FIGURES) if FIGURES.is_file() else None
    for folder in sorted(p.parent for p in ZOO.glob(f"emprl-*/{FILE}")):
        card = read_card(folder)
        count = sum(v.numel() for v in load_file(folder / WEIGHTS[card.kind]).values())
        with replacing(folder / CARD) as path:
            path.write_text(readme(folder.name, card, results, count), encoding="utf-8")


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("folder", type=Path, nargs="?", help="a stage's folder")
    arguments.add_argument("name", nargs="?", help="such as smollm2")
    given = arguments.parse_args()
    if given.folder is not None:
        if not given.name:
            arguments.error("give the folder of a stage and a name")
        pack(given.folder, ZOO / f"emprl-{given.name}")
    cards()


if __name__ == "__main__":
    main()
