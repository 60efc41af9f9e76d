"""Which replies a study shows: the same posts and emotions of every system, and lines by hand.

The draw is that of a blind sheet (`emotone.evaluation.blind`), whose key can be taken instead.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations

from emotone.emotions import EVERYDAY, TAXONOMIES, EmotionMix, MixText
from emotone.errors import UnknownName, UsageError, unknown_name
from emotone.evaluation.blind import HAND, Item
from emotone.evaluation.groups import in_order
from emotone.human.design import Design
from emotone.types import Example, Reply

Replies = Mapping[str, Sequence[tuple[Example, Reply]]]


@dataclass(frozen=True, slots=True)
class Unit:
    """What is rated at once: a reply, or a pair of them; and what its raters are not told.

    Args:
        role: "reply", "hand" for lines written by hand, or "check".
        post: The post, with the turns before it.
        asked: The emotion asked, as it was written; "none" for none.
        taxonomy: Label set of `asked`; "" for none.
        emotion: Name of the group in tables: the label of `asked` where it is one.
        reply: The reply; of a pair that of `system`.
        system: What wrote it.
        source: Name of the example.
        other_reply: Of a pair, the reply of `other_system`; "" elsewhere.
        other_system: The second system of a pair.
        expected: Of a check, the value that is right for every question.
    """

    role: str
    post: str
    asked: str
    taxonomy: str
    emotion: str
    reply: str
    system: str
    source: str
    other_reply: str = ""
    other_system: str = ""
    expected: int | None = None

    @property
    def stratum(self) -> tuple[str, str, str, str]:
        """Units of one stratum are spread evenly over raters."""
        return (self.role, self.system, self.other_system, self.emotion)


def comparable(
    systems: Replies, design: Design, *, emotions: Sequence[str] = (), asked_all: bool = False
) -> dict[str, list[tuple[Example, Reply]]]:
    """Keep what all systems answered: the same posts in the same emotions.

    Of the posts those are kept that were answered in the most emotions.

    Args:
        systems: Replies by the name of their system.
        design: Says whether replies without an emotion are used.
        emotions: Labels that are used; none for all.
        asked_all: Whether the replies of a system that was asked for no emotion are shown once for
            each emotion that the others were asked for.

    Raises:
        UsageError: If nothing is left, or an emotion is in no reply.
    """
    systems = _one_label_set(systems)
    mixes = {r.emotion for pairs in systems.values() for _, r in pairs if r.emotion is not None}
    labels = {_label(mix) for mix in mixes}
    for emotion in emotions:
        if emotion not in labels:
            raise unknown_name("emotion", emotion, in_order(labels))

    def wanted(mix: EmotionMix | None) -> bool:
        if mix is None:
            return design.neutral and not emotions
        if emotions:
            return _label(mix) in emotions
        return design.neutral or _label(mix) != TAXONOMIES[mix.taxonomy].neutral

    used: dict[str, list[tuple[Example, Reply]]] = {}
    for system, pairs in systems.items():
        plain = asked_all and all(r.emotion is None for _, r in pairs)
        moods = sorted(mixes, key=str)
        shown = ((e, replace(r, emotion=m)) for e, r in pairs for m in moods) if plain else pairs
        used[system] = [(e, r) for e, r in shown if wanted(r.emotion)]
    keys = [{(e.id, str(r.emotion)) for e, r in pairs} for pairs in used.values()]
    shared = set.intersection(*keys) if keys else set[tuple[str, str]]()
    if not shared:
        listed = "; ".join(
            f"{name}: {', '.join(in_order({_label(r.emotion) for _, r in pairs})) or 'none left'}"
            for name, pairs in used.items()
        )
        raise UsageError(
            f"no post was answered by all systems in the same emotion ({listed}); give replies to"
            " the same examples, name emotions that all have by --emotion, or add --asked all"
            " where a system takes no emotion"
        )
    moods_of: dict[str, int] = {}
    for post, _ in shared:
        moods_of[post] = moods_of.get(post, 0) + 1
    most = max(moods_of.values())
    return {
        system: [
            (e, r) for e, r in pairs if (e.id, str(r.emotion)) in shared and moods_of[e.id] == most
        ]
        for system, pairs in used.items()
    }


def _one_label_set(systems: Replies) -> Replies:
    """Name emotions alike where systems have label sets of their own: happiness and joy are one."""
    mixes = {r.emotion for pairs in systems.values() for _, r in pairs if r.emotion is not None}
    if len({mix.taxonomy for mix in mixes}) < 2:
        return systems
    renamed = dict[EmotionMix, EmotionMix]()
    for mix in mixes:
        with suppress(UnknownName):
            renamed[mix] = EmotionMix.of(mix.intensities(), EVERYDAY)
    return {
        system: [
            (e, r if r.emotion is None else replace(r, emotion=renamed.get(r.emotion, r.emotion)))
            for e, r in pairs
        ]
        for system, pairs in systems.items()
    }


def references(systems: Replies) -> list[Example]:
    """List the corpus's own replies to the posts, one an example, asked for no emotion."""
    examples = {e.id: e for pairs in systems.values() for e, _ in pairs if e.reply is not None}
    return [replace(e, emotion=None) for _, e in sorted(examples.items())]


def units(items: Sequence[Item], design: Design, mixes: Iterable[EmotionMix]) -> list[Unit]:
    """Make the units of a study from the lines of a sheet, in strata.

    Of pairs each unit has two systems on one post and emotion; where both say the same, nobody is
    asked. A line by hand stands against one that was written for another post.

    Args:
        items: The lines.
        design: Says whether units are pairs.
        mixes: All emotions asked, to know their label sets.

    Raises:
        UsageError: If pairs are wanted of fewer than two systems.
    """
    known = {str(mix): mix for mix in mixes}
    singles = [_unit(item, known.get(item.asked)) for item in items]
    if design.kind == "pair":
        singles = _pairs(singles)
    rank = {e: i for i, e in enumerate(in_order({u.emotion for u in singles}))}
    return sorted(singles, key=lambda u: (*u.stratum[:3], rank[u.emotion]))


def mixes_of(items: Iterable[Item]) -> list[EmotionMix]:
    """Read the emotions of a sheet's lines, whose key does not say of which label set they are.

    It is the first set that has all their labels; where none has, they stay mere texts.
    """
    asked = sorted({item.asked for item in items} - {"none"})
    names = {name for text in asked for name, _ in MixText.read(text).parts}
    known = next((t for t in TAXONOMIES.values() if names <= set(t.labels)), None)
    return [] if known is None else [EmotionMix.parse(text, known) for text in asked]


def _unit(item: Item, mix: EmotionMix | None) -> Unit:
    return Unit(
        "hand" if item.system == HAND else "reply",
        item.post,
        item.asked,
        "" if mix is None else mix.taxonomy,
        item.asked if mix is None else _label(mix),
        item.reply,
        item.system,
        item.source,
    )


def _pairs(singles: Sequence[Unit]) -> list[Unit]:
    rivals: dict[tuple[str, str], dict[str, list[Unit]]] = {}
    hand: list[Unit] = []
    for unit in singles:
        if unit.role == "hand":
            hand.append(unit)
        else:
            by_system = rivals.setdefault((unit.source, unit.asked), {})
            by_system.setdefault(unit.system, []).append(unit)
    pairs = [
        replace(one, other_reply=other.reply, other_system=other.system)
        for by_system in rivals.values()
        for a, b in combinations(sorted(by_system), 2)
        for one, other in zip(by_system[a], by_system[b], strict=False)
    ]
    if not pairs:
        raise UsageError("pairs need two systems that answered the same posts; give both by -i")
    pairs = [pair for pair in pairs if pair.reply != pair.other_reply]
    foreign = [*hand[1:], *hand[:1]]
    pairs += [
        replace(one, other_reply=other.reply, other_system=f"{HAND}, for another post")
        for one, other in zip(hand, foreign, strict=True)
        if one.reply != other.reply
    ]
    return pairs


def checks(
    design: Design, shown: Sequence[Unit], count: int, *, lang: str, seed: int
) -> list[Unit]:
    """Make the lines that check attention, each under a post of the study.

    Args:
        design: Has their words.
        shown: The units of the study.
        count: How many; none where the design has no words.
        lang: Language of the words.
        seed: Of the choice of posts.
    """
    if not design.checks or not count:
        return []
    posts = random.Random(f"{seed}:checks").choices(shown, k=count)
    made: list[Unit] = []
    for n, unit in enumerate(posts):
        check = design.checks[n % len(design.checks)]
        words = check.reply.both()[lang]
        made.append(
            replace(
                unit,
                role="check",
                reply=words,
                system="",
                source=f"check-{n + 1}",
                other_reply=words if unit.other_reply else "",
                other_system="",
                expected=check.value,
            )
        )
    return made


def names_itself(shown: Sequence[Unit], names: Iterable[str]) -> list[Unit]:
    """Find replies that say the name of a system or model, which no blinding can hide.

    Args:
        shown: The units of the study.
        names: Names of systems and models; those of fewer than four letters are words too.
    """
    known = sorted({name for name in names if len(name) >= 4})
    if not known:
        return []
    said = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, known))})(?!\w)", re.IGNORECASE)
    return [u for u in shown if said.search(u.reply) or said.search(u.other_reply)]


def _label(mix: EmotionMix | None) -> str:
    if mix is None:
        return "none"
    return str(mix) if mix.only is None else mix.only.label
