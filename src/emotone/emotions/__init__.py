"""Emotions as values: label sets, the tables between them, the mix grammar, axes and `auto`.

An emotion always names its label set, because the sets of the field differ: `joy` of Ekman is
`happiness` for NLPCC and one of several happy labels for EmpatheticDialogues. Maps between sets
are written out in `tables`; nothing is matched by likeness of strings.
"""

from __future__ import annotations

from emotone.emotions.auto import Auto
from emotone.emotions.mix import FULL, EmotionMix, MixText
from emotone.emotions.sets import (
    CPED,
    DAILYDIALOG,
    EKMAN,
    EMORYNLP,
    EMPATHETIC,
    ESCONV,
    EVERYDAY,
    GOEMOTIONS,
    INTENTS,
    NLPCC,
    NLPCC2013,
    SMP2020,
    TAXONOMIES,
)
from emotone.emotions.tables import MAPS
from emotone.emotions.taxonomy import Emotion, Taxonomy

__all__ = [
    "CPED",
    "DAILYDIALOG",
    "EKMAN",
    "EMORYNLP",
    "EMPATHETIC",
    "ESCONV",
    "EVERYDAY",
    "FULL",
    "GOEMOTIONS",
    "INTENTS",
    "MAPS",
    "NLPCC",
    "NLPCC2013",
    "SMP2020",
    "TAXONOMIES",
    "Auto",
    "Emotion",
    "EmotionMix",
    "MixText",
    "Taxonomy",
]
