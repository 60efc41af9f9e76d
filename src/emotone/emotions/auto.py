"""The emotion `auto`: what is heard in a post chooses the emotion of its reply, by a policy.

| written | means |
|---|---|
| `auto` | `auto:friend:100` |
| `auto:mirror` | the policy mirror, at 100 |
| `auto:cheer:60`, `auto:60` | at 60 |

`friend` shares what is pleasant, what annoys and what disgusts, and meets sorrow, fear and shame
with love. `mirror` answers a feeling with the same one. `soothe` meets what is unpleasant with what
eases it: sorrow with love, fear and anger with calm. `cheer` turns to the bright side: hope where
something is lost, amusement where something annoys. A policy lists several emotions for
a feeling, best first, as few systems have all; where a system has none of them, or no feeling is
heard, the reply is plain. The tables are our choice: `friend` is what readers liked best
(docs/decisions/0033), and that comfort answers sadness and calm answers anger in `soothe` is what
strategies of support say (Hill's, as in ESConv: reflect, reassure, then advise).

Source: Liu et al. 2021, "Towards Emotional Support Dialog Systems", section 3.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from emotone.emotions.sets import EVERYDAY
from emotone.emotions.tables import MAPS
from emotone.emotions.taxonomy import Taxonomy, folded
from emotone.emotions.vad import spelled
from emotone.errors import MixError, unknown_name

AUTO = "auto"
DEFAULT_POLICY = "friend"


def _table(rows: str) -> Mapping[str, tuple[str, ...]]:
    lines = (row.split() for row in rows.strip().splitlines())
    return {feeling: tuple(answers) for feeling, *answers in lines}


_FRIEND = _table("""
    anger          anger
    disgust        disgust
    fear           love calm
    joy            joy
    sadness        love sadness
    surprise       surprise
    love           love joy
    calm           joy
    pride          joy
    gratitude      joy
    amusement      joy
    curiosity      curiosity
    hope           joy
    embarrassment  love calm
    loneliness     love sadness
    jealousy       love calm
    boredom        joy
""")
_SOOTHE = _table("""
    anger          calm love
    disgust        calm
    fear           calm love hope
    joy            joy
    sadness        love calm sadness
    surprise       curiosity surprise
    love           love joy
    calm           calm
    pride          joy
    gratitude      love joy
    amusement      amusement joy
    curiosity      curiosity
    hope           hope joy
    embarrassment  calm love
    loneliness     love calm sadness
    jealousy       calm love
    boredom        curiosity amusement joy
""")
_CHEER = _table("""
    anger          amusement hope joy
    disgust        amusement joy
    fear           hope joy
    joy            joy
    sadness        hope joy
    surprise       joy
    love           joy love
    calm           joy
    pride          joy
    gratitude      joy
    amusement      amusement joy
    curiosity      curiosity joy
    hope           hope joy
    embarrassment  amusement joy
    loneliness     hope joy
    jealousy       hope joy
    boredom        amusement joy
    neutral        joy
""")
_MIRROR = {
    label: (label, MAPS["everyday", "ekman"][label])
    for label in EVERYDAY.labels
    if label != EVERYDAY.neutral
}

POLICIES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "friend": _FRIEND,
    "soothe": _SOOTHE,
    "mirror": _MIRROR,
    "cheer": _CHEER,
}
"""Name -> label of `EVERYDAY` that is heard -> labels to answer in, best first."""


@dataclass(frozen=True, slots=True)
class Auto:
    """An emotion that is chosen when a post is heard.

    Args:
        policy: One of `POLICIES`.
        intensity: Of the reply's emotion, from 0 to 100.
    """

    policy: str = DEFAULT_POLICY
    intensity: float = 100.0

    def __post_init__(self) -> None:
        """Check policy and range."""
        if self.policy not in POLICIES:
            raise unknown_name("policy of auto", self.policy, POLICIES)
        if not 0.0 <= self.intensity <= 100.0:
            raise _no_intensity(f"{self.intensity:g}")

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read `auto`, `auto:mirror`, `auto:60` or `auto:soothe:60`; None for any other text.

        Raises:
            MixError: If it goes on in another way or stands in a mix, or the intensity is outside 0
                to 100.
            UnknownName: If there is no such policy.
        """
        # As in a mix, a sign after a colon belongs to a number.
        parts = re.split(r"(?<!:)\+", unicodedata.normalize("NFKC", text))
        if AUTO not in (folded(part.partition(":")[0]) for part in parts):
            return None
        if len(parts) > 1:
            raise MixError(f"{text!r} mixes auto with emotions; write auto alone, or leave it out")
        rest = [folded(part) for part in parts[0].split(":")][1:]
        number = rest.pop() if rest and not rest[-1].isalpha() else None
        policy = rest.pop() if rest else DEFAULT_POLICY
        if rest:
            raise MixError(f"cannot read {text!r}; write 'auto', 'auto:mirror' or 'auto:soothe:60'")
        try:
            return cls(policy, 100.0 if number is None else float(number))
        except ValueError:
            raise _no_intensity(number or "") from None

    def answer(self, label: str, source: Taxonomy, taxonomy: Taxonomy) -> str | None:
        """Choose the emotion of a reply.

        Args:
            label: What is heard in the post.
            source: The label set of it.
            taxonomy: The emotions that the system has.

        Returns:
            One of the system's labels; None for a plain reply.
        """
        own = spelled(taxonomy)
        wanted = POLICIES[self.policy].get(_feeling(label, source) or "", ())
        return next((own[one] for one in wanted if one in own), None)

    def __str__(self) -> str:
        """Print canonically: policy and intensity written."""
        return f"{AUTO}:{self.policy}:{self.intensity:g}"


def _feeling(label: str, taxonomy: Taxonomy) -> str | None:
    """Return the label of `EVERYDAY` that a label means, or its Ekman's; None where it has none."""
    feelings = {own: feeling for feeling, own in spelled(taxonomy).items()}
    return feelings.get(label) or MAPS.get((taxonomy.name, "ekman"), {}).get(label)


def _no_intensity(text: str) -> MixError:
    return MixError(
        f"the intensity {text!r} of auto is not one from 0 to 100; write 'auto:soothe:60'"
    )
