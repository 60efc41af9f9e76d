"""A model's own ears: its listener as a classifier of texts that stand alone, such as posts.

A listener reads replies; a text of somebody else is read as if the model had said it, in answer to
nothing. So it needs no judge, and hears the emotions that its vectors have. Some vectors have a
second readout of the same states, taught on posts and what their writers feel ("we had to put our
dog down" names no feeling), which hears posts better than any ear for replies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emotone.emotions import EVERYDAY, Taxonomy
from emotone.lm.chat import prompt_ids
from emotone.steering.listen import Listener, listener_logprobs
from emotone.types import Dialogue, EmotionScores

if TYPE_CHECKING:
    from emotone.models import CausalLM

#: What the texts are read as answers to.
NOTHING = Dialogue.of("...")


@dataclass(frozen=True, slots=True, eq=False)
class Ears:
    """A listener as a judge of emotion (`emotone.protocols.EmotionClassifier`).

    Args:
        lm: The model, not steered while it hears.
        listener: Its readout.
        system: System prompt of the replies that the listener was taught on.
        name: Name for signatures.
        of_posts: Whether it was taught on posts.
    """

    lm: CausalLM
    listener: Listener
    system: str
    name: str
    of_posts: bool = False

    @property
    def taxonomy(self) -> Taxonomy:
        """The labels of its scores."""
        return EVERYDAY if self.of_posts else Taxonomy("own", self.listener.labels)

    def classify(
        self,
        texts: Sequence[str],
        posts: Sequence[str | None] | None = None,  # noqa: ARG002 - it hears texts alone
    ) -> list[EmotionScores]:
        """Score each text; an empty one as a single full stop."""
        head = prompt_ids(self.lm.tokenizer, NOTHING, self.system)
        pairs = [(head, text or ".") for text in texts]
        logprobs = listener_logprobs(self.lm.model, self.lm.tokenizer, self.listener, pairs)
        labels = self.listener.labels
        return [
            EmotionScores(labels[int(row.argmax())], dict(zip(labels, row.tolist(), strict=True)))
            for row in logprobs.exp()
        ]
