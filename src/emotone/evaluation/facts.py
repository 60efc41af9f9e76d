"""What is known of runs before their replies are measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from emotone.emotions import Emotion
from emotone.errors import DataError
from emotone.evaluation.groups import in_order
from emotone.metrics import RunFacts
from emotone.metrics.asked import asked_emotion
from emotone.metrics.base import Pair
from emotone.metrics.common import common_taxonomy, unsaid
from emotone.protocols import EmotionClassifier


def by_system(pairs: Iterable[Pair]) -> dict[tuple[str, str], list[Pair]]:
    """Group replies by (system, model), each in the order of the file.

    Raises:
        DataError: If one id stands for two dialogues.
    """
    runs: dict[tuple[str, str], list[Pair]] = {}
    dialogues: dict[str, Any] = {}
    for example, reply in pairs:
        posts = tuple((p.speaker, p.text) for p in example.dialogue.posts)
        if dialogues.setdefault(example.id, posts) != posts:
            raise DataError(
                f"example {example.id!r} has two different dialogues; score files of one corpus"
            )
        runs.setdefault((reply.system, reply.model), []).append((example, reply))
    return runs


def run_facts(
    pairs: Sequence[Pair],
    judge: EmotionClassifier | None,
    *,
    asked: str = "none",
    emotions: Sequence[Emotion] = (),
) -> RunFacts:
    """Gather the facts of one run, complete.

    Args:
        pairs: Its replies.
        judge: Judge of emotion; None without one.
        asked: As in `RunFacts`.
        emotions: What "all" compares a run without any emotion with.

    Raises:
        DataError: If emotions of several taxonomies are requested and a judge has to compare them.
        UnknownName: If there is no table between the requested taxonomy and the judge's.
    """
    plain = plain_replies(pairs)
    if judge is None:
        return RunFacts(asked, tuple(emotions), plain=plain)
    requested = asked_emotions(pairs) or (tuple(emotions) if asked == "all" else ())
    mixes = (r.emotion for _, r in pairs if r.emotion is not None)
    common = common_taxonomy((mix.parts[0][0] for mix in mixes), judge.taxonomy)
    lost = unsaid(requested, judge.taxonomy)
    return RunFacts(asked, tuple(emotions), lost, common, plain)


def plain_replies(pairs: Sequence[Pair]) -> Mapping[str, Mapping[int, str]] | None:
    """Return each example's replies without an emotion by seed; None unless others have one."""
    plain: dict[str, dict[int, str]] = {}
    for example, reply in pairs:
        if reply.emotion is None:
            plain.setdefault(example.id, {})[reply.seed] = reply.text
    moods = any(reply.emotion is not None for _, reply in pairs)
    return plain if plain and moods else None


def asked_emotions(pairs: Iterable[Pair]) -> tuple[Emotion, ...]:
    """List the emotions that replies were asked for alone and above 0, in taxonomy order."""
    alone = {e for _, reply in pairs if (e := asked_emotion(reply)) is not None}
    order = in_order({e.label for e in alone})
    return tuple(sorted(alone, key=lambda e: (e.taxonomy, order.index(e.label))))
