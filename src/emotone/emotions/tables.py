"""The labels of corpora's sets, each with its label in Ekman and in NLPCC; the maps made of them.

Rows are `label  Ekman's  NLPCC's`. NLPCC has neither fear nor surprise: both are "other" there, as
in the labelling of ECM. Where a set's authors publish a map to Ekman, it is theirs; every other
column is our choice, made by the meaning that the authors give the label.
"""

from __future__ import annotations

from collections.abc import Mapping

Rows = tuple[tuple[str, str, str], ...]


def _rows(table: str) -> Rows:
    rows = (line.split() for line in table.strip().splitlines())
    return tuple((label, ekman, nlpcc) for label, ekman, nlpcc in rows)


EMPATHETIC = _rows("""
surprised     surprise  other
excited       joy       happiness
angry         anger     anger
proud         joy       happiness
sad           sadness   sadness
annoyed       anger     anger
grateful      joy       like
lonely        sadness   sadness
afraid        fear      other
terrified     fear      other
guilty        sadness   sadness
impressed     surprise  like
disgusted     disgust   disgust
hopeful       joy       happiness
confident     joy       happiness
furious       anger     anger
anxious       fear      other
anticipating  joy       happiness
joyful        joy       happiness
nostalgic     sadness   sadness
disappointed  sadness   sadness
prepared      neutral   other
jealous       anger     disgust
content       joy       happiness
devastated    sadness   sadness
embarrassed   sadness   sadness
caring        joy       like
sentimental   sadness   sadness
trusting      joy       like
ashamed       sadness   sadness
apprehensive  fear      other
faithful      joy       like
""")
"""In the data set's own order. Source: Rashkin et al. 2019 (EmpatheticDialogues), table 2."""

GOEMOTIONS = _rows("""
admiration      joy       like
amusement       joy       happiness
anger           anger     anger
annoyance       anger     anger
approval        joy       like
caring          joy       like
confusion       surprise  other
curiosity       surprise  other
desire          joy       like
disappointment  sadness   sadness
disapproval     anger     disgust
disgust         disgust   disgust
embarrassment   sadness   sadness
excitement      joy       happiness
fear            fear      other
gratitude       joy       like
grief           sadness   sadness
joy             joy       happiness
love            joy       like
nervousness     fear      other
optimism        joy       happiness
pride           joy       happiness
realization     surprise  other
relief          joy       happiness
remorse         sadness   sadness
sadness         sadness   sadness
surprise        surprise  other
neutral         neutral   other
""")
"""Source: Demszky et al. 2020; Ekman's column is `ekman_mapping.json` of the data's authors."""

SMP2020 = _rows("""
neutral   neutral   other
happy     joy       happiness
angry     anger     anger
sad       sadness   sadness
fear      fear      other
surprise  surprise  other
""")
"""Source: SMP2020-EWECT, the evaluation of Weibo emotion classification, task description."""

DAILYDIALOG = _rows("""
neutral    neutral   other
anger      anger     anger
disgust    disgust   disgust
fear       fear      other
happiness  joy       happiness
sadness    sadness   sadness
surprise   surprise  other
""")
"""Ids 0 to 6 in this order. Source: Li et al. 2017 (DailyDialog), section 3.2, and its readme."""

CPED = _rows("""
happy           joy       happiness
grateful        joy       like
relaxed         joy       happiness
positive-other  joy       like
neutral         neutral   other
anger           anger     anger
sadness         sadness   sadness
fear            fear      other
depress         sadness   sadness
disgust         disgust   disgust
astonished      surprise  other
worried         fear      other
negative-other  disgust   disgust
""")
"""Source: Chen et al. 2022 (CPED), the 13 emotions of table 3."""

EMORYNLP = _rows("""
joyful    joy      happiness
mad       anger    anger
neutral   neutral  other
peaceful  joy      happiness
powerful  joy      happiness
sad       sadness  sadness
scared    fear     other
""")
"""Source: Zahiri and Choi 2018, the six primary feelings of Willcox's wheel, and neutral."""

NLPCC2013 = _rows("""
anger      anger     anger
disgust    disgust   disgust
fear       fear      other
happiness  joy       happiness
like       joy       like
sadness    sadness   sadness
surprise   surprise  other
none       neutral   other
""")
"""Source: NLPCC 2013 and 2014, shared task on emotion in Chinese weibos."""

ESCONV = _rows("""
anger        anger    anger
anxiety      fear     other
depression   sadness  sadness
disgust      disgust  disgust
fear         fear     other
guilt        sadness  sadness
jealousy     anger    disgust
nervousness  fear     other
pain         sadness  sadness
sadness      sadness  sadness
shame        sadness  sadness
""")
"""What the seeker brings. Source: Liu et al. 2021 (ESConv), table 2 and the published data."""

INTENTS = _rows("""
agreeing       neutral  other
acknowledging  neutral  other
encouraging    neutral  other
consoling      neutral  other
sympathizing   neutral  other
suggesting     neutral  other
questioning    neutral  other
wishing        neutral  other
neutral        neutral  other
""")
"""The response intents that stand beside the 32 emotions; an intent has no emotion of its own.

Source: Welivita and Pu 2020, the taxonomy of empathetic response intents.
"""

EVERYDAY = _rows("""
anger          anger     anger
disgust        disgust   disgust
fear           fear      other
joy            joy       happiness
sadness        sadness   sadness
surprise       surprise  other
love           joy       like
neutral        neutral   other
calm           neutral   other
pride          joy       happiness
gratitude      joy       like
amusement      joy       happiness
curiosity      surprise  other
hope           joy       happiness
embarrassment  sadness   sadness
loneliness     sadness   sadness
jealousy       anger     disgust
boredom        neutral   other
""")
"""The eight emotions of our own corpus, then its ten further moods.

What other sets have too is mapped as they map it.
"""

#: Label sets of one corpus each; they map to Ekman and NLPCC, but nothing maps to them.
_OF_CORPORA: Mapping[str, Rows] = {
    "goemotions": GOEMOTIONS,
    "smp2020": SMP2020,
    "dailydialog": DAILYDIALOG,
    "cped": CPED,
    "emorynlp": EMORYNLP,
    "nlpcc2013": NLPCC2013,
    "esconv": ESCONV,
    "empathetic_intents": (*EMPATHETIC, *INTENTS),
    "everyday": EVERYDAY,
}

MAPS: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("nlpcc", "ekman"): {
        "other": "neutral",
        "like": "joy",
        "sadness": "sadness",
        "disgust": "disgust",
        "anger": "anger",
        "happiness": "joy",
    },
    # NLPCC has no fear and no surprise: both are "other" there, as in ECM's own labelling.
    ("ekman", "nlpcc"): {
        "anger": "anger",
        "disgust": "disgust",
        "fear": "other",
        "joy": "happiness",
        "sadness": "sadness",
        "surprise": "other",
        "neutral": "other",
    },
    ("empathetic_dialogues", "ekman"): {row[0]: row[1] for row in EMPATHETIC},
    ("empathetic_dialogues", "nlpcc"): {row[0]: row[2] for row in EMPATHETIC},
    # EmpatheticDialogues has no neutral: "prepared" is the one label without a feeling's tone.
    ("ekman", "empathetic_dialogues"): {
        "anger": "angry",
        "disgust": "disgusted",
        "fear": "afraid",
        "joy": "joyful",
        "sadness": "sad",
        "surprise": "surprised",
        "neutral": "prepared",
    },
    ("nlpcc", "empathetic_dialogues"): {
        "other": "prepared",
        "like": "caring",
        "sadness": "sad",
        "disgust": "disgusted",
        "anger": "angry",
        "happiness": "joyful",
    },
    **{(name, "ekman"): {row[0]: row[1] for row in rows} for name, rows in _OF_CORPORA.items()},
    **{(name, "nlpcc"): {row[0]: row[2] for row in rows} for name, rows in _OF_CORPORA.items()},
}
"""Every map between two label sets, total on its source. Lossy where the target is smaller."""
