"""Judges of emotion, one a language, each opened when a text of its language comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from emotone.errors import UsageError
from emotone.protocols import EmotionClassifier


@dataclass(frozen=True, slots=True)
class JudgesByLanguage:
    """Opens the judge of a language once.

    Args:
        names: Language -> name or folder of its judge.
        open: Opens a judge by its name.
        opened: Language -> the judge, of those that were needed.
    """

    names: Mapping[str, str]
    open: Callable[[str], EmotionClassifier]
    opened: dict[str, EmotionClassifier] = field(default_factory=dict[str, EmotionClassifier])

    def of(self, lang: str, text: str) -> EmotionClassifier:
        """Return the judge of a language.

        Args:
            lang: The language.
            text: What is in it, for the message.

        Raises:
            UsageError: If no judge reads the language.
        """
        if lang not in self.names:
            readers = " and ".join(f"{name} reads {known}" for known, name in self.names.items())
            raise UsageError(
                f"{text} is {lang}, and {readers}; leave --judge out, which takes a judge of each"
                " language, or keep the languages apart"
            )
        if lang not in self.opened:
            self.opened[lang] = self.open(self.names[lang])
        return self.opened[lang]
