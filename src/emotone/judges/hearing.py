"""Hear a post and choose the emotion of its reply, for the emotion `auto`.

The system's own ears hear it where they were taught on posts of its language, else the judge that
labels that language where the zoo is installed, else any ears of the system. The judge is then
named among those that touched the reply, so that it does not score it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from emotone import judges
from emotone.data.text import language
from emotone.emotions import Auto, EmotionMix
from emotone.errors import Unsupported
from emotone.protocols import EmotionClassifier, HearingResponder, Responder
from emotone.types import Dialogue, Reply

#: A feeling that is heard with less probability is none.
LEAST = 0.3


@dataclass(slots=True)
class Hearing:
    """What is heard in one dialogue's last post, and what `auto` makes of it.

    Args:
        responder: The system that answers, not steered while it is asked.
        dialogue: What it answers.
        note: Called with a sentence on what was heard and chosen; None tells nobody.
        record: The same for `Reply.applied`; empty until `auto` is asked.
        judge: Name of the judge that heard it; "" where the system heard it by itself.
    """

    responder: Responder
    dialogue: Dialogue
    note: Callable[[str], None] | None = None
    record: dict[str, Any] = field(default_factory=dict[str, Any])
    judge: str = ""

    def mix(self, asked: EmotionMix | Auto | None) -> EmotionMix | None:
        """Return what the reply is to be in: a mix as it is, and for `auto` what is chosen.

        Raises:
            Unsupported: If `auto` is asked of a system that takes no emotion, or nothing hears the
                post.
        """
        return self._choose(asked) if isinstance(asked, Auto) else asked

    def _choose(self, auto: Auto) -> EmotionMix | None:
        taxonomy = self.responder.capabilities.taxonomy
        if taxonomy is None:
            raise Unsupported(f"this system takes no emotion, but {auto} was asked; leave it out")
        post = self.dialogue.posts[-1].text
        own = self.responder.ears if isinstance(self.responder, HearingResponder) else None
        lang = language(post)
        reads = self.responder.capabilities.languages or (lang,)
        taught = getattr(own, "of_posts", False) and lang in reads
        judge = None if taught else _judge_of(lang)
        ears = judge or own
        if ears is None:
            raise Unsupported(
                f"nothing hears the post for {auto}: this system has no listener, and there is no"
                " labelling judge; install emotone-zoo, or name an emotion"
            )
        scores = ears.classify([post])[0]
        chance = scores.probabilities[scores.label]
        label = auto.answer(scores.label, ears.taxonomy, taxonomy) if chance >= LEAST else None
        mix = EmotionMix.of({label: auto.intensity}, taxonomy) if label else None
        self.judge = ears.name if judge else ""
        self.record = {
            "asked": str(auto),
            "heard": scores.label,
            "probability": round(chance, 4),
            "by": ears.name,
            "chosen": str(mix) if mix else None,
        }
        if self.note is not None:
            answer = f"answers in {mix}" if mix else "answers plainly"
            self.note(f"{scores.label} is heard in the post ({chance:.2f}); {auto} {answer}")
        return mix

    def tell(self, reply: Reply) -> Reply:
        """Return the reply with what was heard and chosen in its `applied`."""
        if not self.record:
            return reply
        applied = {**reply.applied, "auto": self.record}
        if self.judge:
            applied["judges"] = [*applied.get("judges", ()), self.judge]
        return replace(reply, applied=applied)


@cache
def _judge_of(lang: str) -> EmotionClassifier | None:
    """Open the judge that labels a language, in the labels of everyday; None where none is here."""
    name = judges.LABEL.get(lang)
    return judges.open_judge(name, "everyday") if name in judges.names() else None
