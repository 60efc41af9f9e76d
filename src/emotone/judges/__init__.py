"""Judges: classifiers of emotion, identifiers of empathy, and what each may be used for.

Roles, one judge each: `en-label` and `zh-label` may label training data and calibrate; `en-score`
and `zh-score` are for results only; `empathy-reward` trains, `empathy-score` scores; of the judges
of sense `en-sense` and `zh-sense` score, `en-sense-label` and `zh-sense-label` choose and reward.
Judges of different roles share no training text.

Judges of emotion are an `encoder` or count `ngram`s; an `identifier` of empathy has networks
(`identifier_net`) that read a context once for all its responses (`context_states`). `card` is what
a judge of emotion says about itself, `trunk` the pretrained body of both kinds. Importing this room
loads no library.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emotone.errors import ModelMissing, UnknownName, unknown_name

if TYPE_CHECKING:
    from emotone.judges.card import JudgeCard
    from emotone.judges.identifier import TrainedIdentifier
    from emotone.judges.sense import SenseJudge
    from emotone.protocols import EmotionClassifier

#: What labels and what scores, by language.
LABEL = {"en": "en-label", "zh": "zh-label"}
SCORE = {"en": "en-score", "zh": "zh-score"}
#: What scores sense, and what chooses by it.
SENSE_SCORE = {"en": "en-sense", "zh": "zh-sense"}
SENSE_CHOOSE = {"en": "en-sense-label", "zh": "zh-sense-label"}


def names() -> list[str]:
    """List the judges of emotion that are here."""
    from emotone.models import zoo

    return zoo.listed("judges")


def identifiers() -> list[str]:
    """List the empathy identifiers that are here."""
    from emotone.models import zoo

    return zoo.listed("identifiers")


def sense_judges() -> list[str]:
    """List the judges of sense that are here."""
    from emotone.models import zoo

    return zoo.listed("sense")


def open_judge(name: str | Path, taxonomy: str | None = None) -> EmotionClassifier:
    """Load a judge of emotion.

    Args:
        name: Name in the zoo, or a folder with `judge.json`.
        taxonomy: Label set to answer in; the judge's first without one. "zh-score:smp2020" as a
            name says the same.

    Raises:
        UnknownName: If there is no such judge or it has no such label set.
        ModelMissing: If the zoo, or the model below the judge, is not here.
        CheckpointError: If its files are damaged.
    """
    folder, asked = _folder(name)
    taxonomy = taxonomy or asked
    from emotone.judges.card import read_card

    card = read_card(folder)
    if card.kind == "sense":
        raise UnknownName(f"{name} judges sense, not emotion; use one of {', '.join(names())}")
    if card.kind == "ngram":
        from emotone.judges.ngram import load_ngram_judge

        return load_ngram_judge(folder, card, taxonomy)
    from emotone.judges.encoder import load_encoder_judge

    return load_encoder_judge(folder, card, taxonomy)


def card_of(name: str | Path) -> JudgeCard:
    """Read what a judge of emotion says of itself, its role among it, without loading it.

    Args:
        name: As for `open_judge`.

    Raises:
        UnknownName: If there is no such judge.
        ModelMissing: If the zoo is not here.
        CheckpointError: If its files are damaged.
    """
    from emotone.judges.card import read_card

    return read_card(_folder(name)[0])


def open_identifier(
    name: str | Path = "empathy-score", *, device: str = "cpu"
) -> TrainedIdentifier:
    """Load an identifier of empathy levels.

    Args:
        name: Name in the zoo, or a folder with `judge.json`.
        device: "cpu", "cuda" or another that torch knows.

    Raises:
        UnknownName: If there is no such identifier.
        ModelMissing: If the zoo, or the model below the identifier, is not here.
        CheckpointError: If its files are damaged.
    """
    from emotone.models import zoo

    path = Path(name)
    if str(name).partition(":")[0] in zoo.listed("judges"):
        raise UnknownName(
            f"{name} judges emotion, not empathy; use one of {', '.join(identifiers())}"
        )
    if (path / "judge.json").is_file():
        folder = path
    elif len(path.parts) > 1:
        raise ModelMissing(
            f"there is no identifier in {name}; name a folder that `emotone judge train` wrote, or"
            f" one of {', '.join(identifiers())}"
        )
    else:
        folder = zoo.folder("identifiers", str(name))
    from emotone.judges.identifier import load_identifier

    return load_identifier(folder, device=device)


def sense_judge_of(lang: str) -> str:
    """Name the judge that scores sense in a language.

    Raises:
        ModelMissing: If there is none.
    """
    if lang not in SENSE_SCORE:
        raise ModelMissing(
            f"there is no judge of sense for {lang!r}, only for {', '.join(SENSE_SCORE)}; name the"
            " folder of one of your own"
        )
    return SENSE_SCORE[lang]


def open_sense(name: str | Path) -> SenseJudge:
    """Load a judge of sense.

    Args:
        name: Name in the zoo, or a folder with `judge.json`.

    Raises:
        UnknownName: If there is no such judge.
        ModelMissing: If the zoo, or the model below the judge, is not here.
        CheckpointError: If its files are damaged.
    """
    from emotone.judges.sense import load_sense_judge
    from emotone.models import zoo

    path = Path(name)
    inside = (path / "judge.json").is_file()
    return load_sense_judge(path if inside else zoo.folder("sense", str(name)))


def _folder(name: str | Path) -> tuple[Path, str | None]:
    from emotone.models import zoo

    path = Path(name)
    if (path / "judge.json").is_file():
        return path, None
    plain, sign, taxonomy = str(name).partition(":")
    if path.is_dir():
        raise unknown_name(
            "judge", str(name), zoo.listed("judges"), advice="A folder needs judge.json."
        )
    if plain in zoo.listed("sense"):
        return zoo.folder("sense", plain), None
    if plain in zoo.listed("identifiers"):
        raise UnknownName(f"{plain} judges empathy, not emotion; use one of {', '.join(names())}")
    return zoo.folder("judges", plain), taxonomy if sign else None
