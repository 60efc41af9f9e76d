"""The label sets of the field, with the other spellings that each takes."""

from __future__ import annotations

from collections.abc import Mapping

from emotone.emotions import tables
from emotone.emotions.taxonomy import Taxonomy

_HAPPY = (
    "happy",
    "happiness",
    "joyful",
    "glad",
    "快乐",
    "高兴",
    "喜悦",
    "开心",
    "快樂",
    "高興",
    "喜悅",
    "開心",
)
_SAD = ("sad", "unhappy", "sorrow", "悲伤", "难过", "伤心", "悲傷", "難過", "傷心")
_ANGRY = ("angry", "mad", "furious", "rage", "愤怒", "生气", "憤怒", "生氣")
_DISGUSTED = ("disgusted", "disgusting", "厌恶", "恶心", "讨厌", "厭惡", "噁心", "討厭")
_AFRAID = ("afraid", "fearful", "scared", "terrified", "恐惧", "害怕", "恐懼")
_SURPRISED = ("surprised", "astonished", "amazed", "惊讶", "惊奇", "吃惊", "驚訝", "驚奇", "吃驚")


def _aliases(**groups: tuple[str, ...]) -> dict[str, str]:
    return {alias: label for label, group in groups.items() for alias in group if alias != label}


EKMAN = Taxonomy(
    "ekman",
    ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral"),
    _aliases(
        anger=_ANGRY,
        disgust=_DISGUSTED,
        fear=_AFRAID,
        joy=_HAPPY,
        sadness=_SAD,
        surprise=_SURPRISED,
        neutral=("none", "calm", "中性", "平静", "平靜"),
    ),
    neutral="neutral",
)
"""Ekman's six basic emotions and neutral, in the alphabetical order of GoEmotions."""

NLPCC = Taxonomy(
    "nlpcc",
    ("other", "like", "sadness", "disgust", "anger", "happiness"),
    _aliases(
        other=("neutral", "none", "其他", "其它"),
        like=("喜欢", "喜爱", "喜歡", "喜愛"),
        sadness=_SAD,
        disgust=_DISGUSTED,
        anger=_ANGRY,
        happiness=(*_HAPPY, "joy"),
    ),
    neutral="other",
)
"""The six classes of NLPCC 2017 and ECM, ids 0 to 5 in this order.

Source: Zhou et al. 2018 (ECM), section 4.1; label ids as in the published data.
"""


def _labels(rows: tables.Rows) -> tuple[str, ...]:
    return tuple(label for label, _, _ in rows)


EMPATHETIC = Taxonomy(
    "empathetic_dialogues",
    _labels(tables.EMPATHETIC),
    _aliases(
        surprised=("surprise",),
        angry=("anger",),
        sad=("sadness",),
        afraid=("fear",),
        disgusted=("disgust",),
        joyful=("joy", "happy", "happiness"),
    ),
)
"""The 32 situations of EmpatheticDialogues. Source: Rashkin et al. 2019, table 2."""

GOEMOTIONS = Taxonomy("goemotions", _labels(tables.GOEMOTIONS), neutral="neutral")
"""The 27 emotions of GoEmotions and neutral. Source: Demszky et al. 2020."""

SMP2020 = Taxonomy(
    "smp2020",
    _labels(tables.SMP2020),
    _aliases(
        happy=(*_HAPPY, "joy"),
        angry=(*_ANGRY, "anger"),
        sad=(*_SAD, "sadness"),
        fear=_AFRAID,
        surprise=_SURPRISED,
    ),
    neutral="neutral",
)
"""The six classes of SMP2020-EWECT."""

DAILYDIALOG = Taxonomy(
    "dailydialog",
    _labels(tables.DAILYDIALOG),
    _aliases(
        anger=_ANGRY,
        disgust=_DISGUSTED,
        fear=_AFRAID,
        # RECCON's release writes a few labels as adjectives, "excited" among them.
        happiness=(*_HAPPY, "joy", "excited"),
        sadness=_SAD,
        surprise=_SURPRISED,
        neutral=("none", "no emotion"),
    ),
    neutral="neutral",
)
"""The seven classes of DailyDialog, ids 0 to 6 in this order. Source: Li et al. 2017."""

CPED = Taxonomy("cped", _labels(tables.CPED), neutral="neutral")
"""The 13 emotions of CPED. Source: Chen et al. 2022."""

EMORYNLP = Taxonomy("emorynlp", _labels(tables.EMORYNLP), neutral="neutral")
"""The seven feelings of EmoryNLP. Source: Zahiri and Choi 2018."""

NLPCC2013 = Taxonomy("nlpcc2013", _labels(tables.NLPCC2013), neutral="none")
"""The eight classes of the shared tasks of 2013 and 2014, whose sentences taught ECM's judge."""

ESCONV = Taxonomy("esconv", _labels(tables.ESCONV))
"""The emotions that help seekers bring to ESConv. Source: Liu et al. 2021."""

INTENTS = Taxonomy(
    "empathetic_intents",
    (*EMPATHETIC.labels, *_labels(tables.INTENTS)),
    neutral="neutral",
)
"""The 32 emotions, 8 response intents and neutral of EmpatheticIntents."""

EVERYDAY = Taxonomy(
    "everyday",
    _labels(tables.EVERYDAY),
    _aliases(
        anger=_ANGRY,
        disgust=_DISGUSTED,
        fear=_AFRAID,
        joy=_HAPPY,
        sadness=_SAD,
        surprise=_SURPRISED,
        love=("like", "affection", "喜欢", "爱", "喜歡", "愛"),
        neutral=("none", "no emotion", "中性"),
    ),
    neutral="neutral",
)
"""Ekman's seven and love, and ten further moods: the labels of our own corpus."""

TAXONOMIES: Mapping[str, Taxonomy] = {
    taxonomy.name: taxonomy
    for taxonomy in (
        EKMAN,
        NLPCC,
        EMPATHETIC,
        GOEMOTIONS,
        SMP2020,
        DAILYDIALOG,
        CPED,
        EMORYNLP,
        NLPCC2013,
        ESCONV,
        INTENTS,
        EVERYDAY,
    )
}
"""Every label set by its name."""
