"""From a name to a system that answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from emotone.errors import ModelMissing
from emotone.models import zoo
from emotone.models.load import load_causal_lm
from emotone.models.load_seq2seq import load_seq2seq_lm
from emotone.rl.adapters import load_adapters, merge_adapters
from emotone.steering.find import vectors_fitting, vectors_named
from emotone.systems.emprl.config import Config
from emotone.systems.emprl.folder import FILE, Card, read_card
from emotone.systems.emprl.policy import hub_name, is_seq2seq
from emotone.systems.emprl.responder import NAME, EmpRL

DEFAULT = "emprl-smollm2"


def load(model: str | None = None, *, device: str = "auto", config: Config | None = None) -> EmpRL:
    """Load a trained policy; adapters are merged into the model they belong to.

    Args:
        model: Name in the zoo, or a folder that `emotone train emprl` wrote. A model that was not
            trained here answers as it is: folder, hub id or catalogue name of a T5 or chat model.
        device: "auto", "cpu", "cuda" or "mps".
        config: Its `reply` says how replies are given; all else is the model's own.

    Raises:
        UnknownName: If there is no such model.
        ModelMissing: If the weights are not here.
        CheckpointError: If the files are damaged or not of this system.
    """
    settings = (config or Config()).reply
    name = model or DEFAULT
    folder = _find(name)
    if folder is None:
        card = Card("seq2seq") if is_seq2seq(name) else Card("causal", base=name)
    else:
        card = read_card(folder)
    if card.kind == "seq2seq":
        t5 = load_seq2seq_lm(folder or hub_name(name), device)
        return EmpRL(replace(t5, name=_said(folder, card) or t5.name), card, settings)
    vectors = vectors_named(card.base, settings.vectors)
    lm = load_causal_lm(card.base, device)
    if folder is not None:
        load_adapters(lm.model, folder)
        merge_adapters(lm.model)
    lm = replace(lm, name=_said(folder, card) or lm.name)
    return EmpRL(lm, card, settings, vectors=vectors or vectors_fitting(lm.model))


def _find(name: str) -> Path | None:
    """Find the folder of a trained policy; None for a model as it is."""
    path = Path(name)
    if (path / FILE).is_file():
        return path
    if name in zoo.listed("systems") or (name.startswith(f"{NAME}-") and not path.exists()):
        return zoo.folder("systems", name)
    if path.is_dir():
        inside = sorted(p.parent.name for p in path.glob(f"*/{FILE}"))
        if inside:
            raise ModelMissing(
                f"{name} is the folder of a whole run; name a stage in it, such as "
                f"{path / inside[0]}"
            )
    return None


def _said(folder: Path | None, card: Card) -> str:
    """Name a trained policy; that of a stage's folder says which run it is of."""
    if folder is None:
        return ""
    whole = folder.resolve()
    return f"{whole.parent.name}/{whole.name}" if whole.name == card.stage else whole.name
