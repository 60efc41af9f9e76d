"""The design of a study: what raters are told and asked, in English and Chinese.

A design is a TOML file. Those of this package lie in `designs`; a study holds a copy of its own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from emotone import config
from emotone.emotions import TAXONOMIES, EmotionMix
from emotone.errors import ConfigError, unknown_name

#: Values of a criterion of pairs: the first reply is better, neither, the second.
PAIR = (1, 0, 2)


@dataclass(frozen=True, slots=True)
class Text:
    """Words in English and Chinese; English stands where there is no Chinese."""

    en: str
    zh: str = ""

    def both(self) -> dict[str, str]:
        """Return the words by language."""
        return {"en": self.en.strip(), "zh": (self.zh or self.en).strip()}


@dataclass(frozen=True, slots=True)
class Level:
    """One value of a criterion, and what it means; raters give it by the key of its digit."""

    value: int
    text: Text


@dataclass(frozen=True, slots=True)
class Criterion:
    """One question about each reply, or pair of replies.

    Args:
        name: As it stands in files.
        title: Its short name for people.
        question: The question.
        levels: The answers, in the order shown.
    """

    name: str
    title: Text
    question: Text
    levels: tuple[Level, ...]

    @property
    def values(self) -> tuple[int, ...]:
        """All values, rising."""
        return tuple(sorted(level.value for level in self.levels))


@dataclass(frozen=True, slots=True)
class Practice:
    """An item whose answer is explained, before the first that counts.

    Args:
        post: The post.
        reply: The reply; of a pair the first.
        values: Criterion -> the right answer.
        why: Why it is right.
        asked: The emotion asked, as a label of any set; "" for none.
        other: The second reply of a pair.
    """

    post: Text
    reply: Text
    values: Mapping[str, int]
    why: Text
    asked: str = ""
    other: Text = field(default_factory=lambda: Text(""))


@dataclass(frozen=True, slots=True)
class Check:
    """A line in the place of a reply that says how it is to be rated: one value for every question.

    The post above it is one of the study's own, so that only who reads the line finds it.
    """

    reply: Text
    value: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an item may be skipped."""

    name: str
    text: Text


@dataclass(frozen=True, slots=True)
class Design:
    """What raters are told and asked.

    Args:
        name: Its name; no rater sees it.
        kind: Whether single replies are rated or two compared.
        title: Heading of the page.
        instructions: Read before the first item, a paragraph a line.
        consent: What raters agree to; `{items}`, `{minutes}` and `{contact}` are filled in.
        criteria: The questions, in the order of their keys.
        practice: Items with feedback.
        checks: Lines that check attention, used in turn.
        skip: Reasons to skip an item.
        show_asked: Whether the emotion asked is shown.
        neutral: Whether replies asked for no emotion are used.
        posts: Posts that are drawn where the command names no number; 0 for all.
        seconds: How long an item takes, for the cost.
    """

    name: str
    kind: Literal["rating", "pair"]
    title: Text
    instructions: Text
    consent: Text
    criteria: tuple[Criterion, ...]
    practice: tuple[Practice, ...] = ()
    checks: tuple[Check, ...] = ()
    skip: tuple[Reason, ...] = ()
    show_asked: bool = True
    neutral: bool = True
    posts: int = 0
    seconds: float = 12.0

    def __post_init__(self) -> None:
        """Refuse what no page could ask."""
        names = [c.name for c in self.criteria]
        if not names or len(set(names)) < len(names):
            raise ConfigError(
                f"the criteria are {', '.join(names) or 'none'}; give one or more, each name once"
            )
        for criterion in self.criteria:
            values = criterion.values
            if len(set(values)) < max(2, len(values)) or not set(values) <= set(range(10)):
                raise ConfigError(
                    f"criterion {criterion.name!r} has the values {', '.join(map(str, values))};"
                    " give two or more different ones from 0 to 9, which are their keys"
                )
            if self.kind == "pair" and set(values) != set(PAIR):
                raise ConfigError(
                    f"criterion {criterion.name!r} compares two replies and has the values"
                    f" {', '.join(map(str, values))}; use 1 (first), 0 (neither) and 2 (second)"
                )
        for check in self.checks:
            self.check_values(dict.fromkeys(names, check.value))
        for practice in self.practice:
            self.check_values(practice.values)
        if self.seconds <= 0:
            raise ConfigError(f"seconds is {self.seconds}; give how long an item takes, above 0")

    def check_values(self, values: Mapping[str, Any]) -> dict[str, int]:
        """Return an answer to every criterion, in their order.

        Raises:
            ConfigError: If one is missing or unknown, or a value is none of its criterion's.
        """
        names = [c.name for c in self.criteria]
        for name in values:
            if name not in names:
                raise ConfigError(str(unknown_name("criterion", str(name)[:100], names)))
        for criterion in self.criteria:
            value = values.get(criterion.name)
            if type(value) is not int or value not in criterion.values:
                raise ConfigError(
                    f"{criterion.name} is {str(value)[:100]!r}; use one of"
                    f" {', '.join(map(str, criterion.values))}"
                )
        return {name: values[name] for name in names}

    def page(self, lang: str, filled: Mapping[str, str]) -> dict[str, Any]:
        """Return what the page shows; it holds no name of the design or of a system.

        Args:
            lang: Language of the items, "en" or "zh".
            filled: What is filled into the consent.
        """
        consent = self.consent.both()
        for key, text in filled.items():
            consent = {k: v.replace(f"{{{key}}}", text) for k, v in consent.items()}
        practice = [
            {
                "post": p.post.both()[lang],
                "replies": [t.both()[lang] for t in (p.reply, p.other) if t.en],
                "asked": asked_words(p.asked, "") if self.show_asked else None,
                "values": dict(p.values),
                "why": p.why.both(),
            }
            for p in self.practice
        ]
        return {
            "kind": self.kind,
            "lang": lang,
            "title": self.title.both(),
            "instructions": self.instructions.both(),
            "consent": consent,
            "criteria": [
                {
                    "name": c.name,
                    "title": c.title.both(),
                    "question": c.question.both(),
                    "levels": [{"value": v.value, "text": v.text.both()} for v in c.levels],
                }
                for c in self.criteria
            ],
            "practice": practice,
            "skip": [{"name": r.name, "text": r.text.both()} for r in self.skip],
        }


def design_names() -> list[str]:
    """List the designs of this package."""
    return sorted(f.name[:-5] for f in _folder().iterdir() if f.name.endswith(".toml"))


def design_text(name: str) -> str:
    """Return a design of this package as TOML.

    Raises:
        UnknownName: If there is none of the name.
    """
    if name not in design_names():
        advice = "A file of your own is given by its path, which ends in .toml."
        raise unknown_name("design", name, design_names(), advice=advice)
    return (_folder() / f"{name}.toml").read_text(encoding="utf-8")


@cache
def read_design(text: str) -> Design:
    """Read a design.

    Raises:
        ConfigError: If it is no TOML, or a key or value is not allowed.
    """
    try:
        return config.build(Design, tomllib.loads(text), "the design")
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the design is no TOML ({error}); check the file") from error


def asked_words(asked: str, taxonomy: str) -> dict[str, str] | None:
    """Say which emotion was asked, in both languages; None for none.

    Args:
        asked: A mix, such as "joy:100", or a label.
        taxonomy: Name of its label set; "" for any set that knows the label.
    """
    if asked in ("", "none"):
        return None
    known = TAXONOMIES.get(taxonomy)
    parts = EmotionMix.parse(asked, known).intensities() if known else {asked: 100.0}
    shown = {
        lang: " + ".join(
            (label if lang == "en" else _chinese(label)) + ("" if v == 100 else f" {v:g}")
            for label, v in parts.items()
        )
        for lang in ("en", "zh")
    }
    return {lang: text.replace("_", " ") for lang, text in shown.items()}


def _chinese(label: str) -> str:
    """The first Chinese spelling that any set gives to a label; the label where none does."""
    spelt = (
        alias
        for taxonomy in TAXONOMIES.values()
        for alias, of in taxonomy.aliases.items()
        if of == label and not alias.isascii()
    )
    return next(spelt, label)


def _folder() -> Any:
    return files("emotone.human") / "designs"
