"""What a file of emotion vectors says about itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emotone.steering.dose import Curve
from emotone.steering.layers import Site
from emotone.steering.positions import Positions


@dataclass(frozen=True, slots=True)
class VectorsCard:
    """Where vectors come from and what they fit: the header of their file.

    Args:
        model: Name of the model they were made on.
        fingerprint: See `fingerprint`; vectors refuse a model with another one.
        chat_template: Hash of the chat template that the model was read with.
        system_prompt: System prompt of the replies that the vectors were made from.
        site: Where in the block they act.
        positions: Which columns of the text they act on.
        adapters: sha256 of the adapters that the model needs for them, which stand beside the
            file; "" where it is to be as it was published.
        method: How they were made.
        data: Hash of the texts they were made from.
        norms: Median length of the model's activations a block, [L]; the unit of relative doses.
        curves: Intensity -> dose of each calibrated emotion.
        measured: What the calibration saw, one row a dose.
        retrieval: What tells the content of replies by hand (`steering.retrieve`): feature ->
            weight; empty where nobody rated such replies with this model.
        notes: Licence, sources, seeds and anything a reader should know.
    """

    model: str
    fingerprint: str
    chat_template: str = ""
    system_prompt: str = ""
    site: Site = "resid"
    positions: Positions = "all"
    adapters: str = ""
    method: str = ""
    data: str = ""
    norms: tuple[float, ...] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict[str, Curve])
    measured: Mapping[str, Any] = field(default_factory=dict[str, Any])
    retrieval: Mapping[str, float] = field(default_factory=dict[str, float])
    notes: Mapping[str, Any] = field(default_factory=dict[str, Any])


def read_card(values: Mapping[str, Any]) -> VectorsCard:
    """Build a card from the JSON of a file's header; keys of later versions are left out."""
    known = {f.name for f in dataclasses.fields(VectorsCard)}
    fields = {k: v for k, v in values.items() if k in known}
    fields["norms"] = tuple(fields.get("norms", ()))
    fields["curves"] = {
        label: Curve(tuple((float(i), float(d)) for i, d in curve["knots"]))
        for label, curve in fields.get("curves", {}).items()
    }
    return VectorsCard(**fields)
