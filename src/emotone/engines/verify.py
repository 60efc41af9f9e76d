"""Prove that a mood acts on a server: what it serves against transformers, with and without.

Engines drop what they do not know, such as a bias, without a word, and serve the plain model. So
the same probes are answered by the server and by transformers, and compared token by token:

    gap(a, b)  = mean_t |log p_a(x_t | x_<t) - log p_b(x_t | x_<t)|       nats a token
    acts             gap(server with mood, transformers with mood) <= tolerance
    silently plain   gap(server with mood, transformers without) <= tolerance
    differs by x     x = the first gap; moved = <s - p, m - p> / |m - p|^2

s, p, m are the log-probabilities of the server with mood, of transformers without and with it, over
all tokens x_t of the probes and of the server's own replies, so that one other token does not end
the comparison; the gap is the larger of two, over the tokens that the mood moves in transformers
and over the others. A server that gives no log-probabilities is judged by its greedy replies alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from emotone.engines.asking import Asker, Heard, Probe
from emotone.engines.reference import Reference
from emotone.engines.wire import NoAnswer, Server
from emotone.errors import ConfigError, number_of

#: Everyday posts that say little of a mood, so that what a reply shows of one was added.
POSTS = (
    "I missed the last bus home.",
    "My sister comes to visit tomorrow.",
    "What should I cook tonight?",
    "They painted our staircase green.",
    "I found an old letter in a book.",
)
#: Nats below which two passes over the same tokens may differ by the order of their sums.
_ROUNDING = 1e-3
Outcome = Literal["acts", "agrees", "silently plain", "differs"]
EXIT_CODES: dict[Outcome, int] = {"acts": 0, "agrees": 0, "silently plain": 1, "differs": 2}


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server is asked.

    Args:
        tokens: Longest reply.
        tolerance: Nats a token by which what is the same may differ, or a tenth of what the mood
            moves where that is less; engines in bfloat16 stay within a few hundredths.
        posts: What is asked.
    """

    tokens: int = 24
    tolerance: float = 0.05
    posts: tuple[str, ...] = POSTS

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 1 <= self.tokens <= 1024:
            raise ConfigError(f"tokens is {self.tokens}; use 1 to 1024")
        if not 0 < self.tolerance <= 1:
            raise ConfigError(f"tolerance is {self.tolerance}; use above 0 up to 1")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a proof found.

    Args:
        outcome: "acts", "silently plain" or "differs"; "agrees" where no mood was asked.
        by: How far what was served is from what was asked: nats a token, or, where the server
            gives no log-probabilities, the share of replies that are others.
        unit: Of `by`.
        where: "plain" where the server differs already without the mood, else "mood".
        moved: How much of the mood acts: 0 for none, 1 for all of it; None where it is not known.
        asked: How much the mood moves transformers itself, in the same unit.
        compared: Number of tokens, or of replies.
        way: What the server gave.
    """

    outcome: Outcome
    by: float
    unit: Literal["nats a token", "of the replies"]
    where: Literal["mood", "plain"]
    moved: float | None
    asked: float
    compared: int
    way: str

    def __str__(self) -> str:
        """Say it in one line."""
        if self.outcome != "differs":
            return self.outcome
        place = " already without the mood" if self.where == "plain" else ""
        about = "" if self.moved is None else f" (about {self.moved:.2f} of the mood acts)"
        return f"differs by {self.by:.3f} {self.unit}{place}{about}"


@dataclass(frozen=True, slots=True)
class _Scores:
    """Log-probabilities of the same tokens."""

    server: list[float]
    plain: list[float]
    moody: list[float]


def verify(
    server: Server,
    reference: Reference,
    *,
    plain_name: str,
    mood_name: str,
    settings: Settings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Verdict:
    """Compare a server with transformers on the same model.

    Args:
        server: The server.
        reference: Model and mood.
        plain_name: What the server calls the model without the mood.
        mood_name: What it calls the model with it. The same name as `plain_name` says that the
            server has no other: it is then asked for the mood alone.
        settings: How to ask.
        progress: Called with (answers so far, answers in all).

    Raises:
        NoAnswer: If the server cannot be asked, or the mood is too weak to be told.
    """
    settings = settings or Settings()
    asker = Asker(server, settings.tokens)
    probes = [
        Probe(post, reference.system, tuple(reference.prompt(post))) for post in settings.posts
    ]
    moody = reference.mood is not None and any(reference.mood.doses.values())
    sides = [plain_name] if not moody else list(dict.fromkeys([plain_name, mood_name]))
    heard: dict[str, list[Heard]] = {name: [] for name in sides}
    for name in sides:
        for probe in probes:
            heard[name].append(asker.hear(name, probe))
            if progress:
                progress(sum(map(len, heard.values())), len(sides) * len(probes))
    without = heard[plain_name] if not moody or plain_name != mood_name else []
    with_mood = heard[mood_name] if moody else []
    by_scores = _judge_scores(reference, probes, without, with_mood, settings, asker.way)
    if by_scores is not None:
        return by_scores
    return _judge_replies(reference, without, with_mood, settings, asker.way)


def _judge_scores(
    reference: Reference,
    probes: Sequence[Probe],
    without: Sequence[Heard],
    with_mood: Sequence[Heard],
    settings: Settings,
    way: str,
) -> Verdict | None:
    """Judge by log-probabilities; None where the server gives none."""
    limit = settings.tolerance
    if without:
        scores = _scores(reference, probes, without, moody=False)
        if not scores.server:
            return None
        gap, count = _gap(scores.server, scores.plain), len(scores.server)
        if gap > limit:
            return Verdict("differs", gap, "nats a token", "plain", None, 0.0, count, way)
        if not with_mood:
            return Verdict("agrees", gap, "nats a token", "plain", None, 0.0, count, way)
    scores = _scores(reference, probes, with_mood, moody=True)
    if not scores.server:
        return None
    asked, count = _asked(scores), len(scores.server)
    if asked < 4 * limit:
        raise NoAnswer(
            f"the mood moves the model by {asked:.3f} nats a token, which cannot be told from the"
            f" {limit} that may differ anyway; ask for a stronger one, or lower --tolerance"
        )
    limit = min(limit, asked / 10)  # so that a scale that is wrong by more shows
    moved = _moved(scores)
    gap, to_plain = _worse_gap(scores, scores.moody), _worse_gap(scores, scores.plain)
    outcome: Outcome = "differs"
    if gap <= limit:
        outcome = "acts"
    elif to_plain <= limit:
        outcome = "silently plain"
    return Verdict(outcome, gap, "nats a token", "mood", moved, asked, count, way)


def _scores(
    reference: Reference, probes: Sequence[Probe], heard: Sequence[Heard], *, moody: bool
) -> _Scores:
    """Score with transformers what the server scored."""
    scores = _Scores([], [], [])
    for probe, one in zip(probes, heard, strict=True):
        reply = reference.ids(one.text)
        of_reply = one.of_reply
        if len(of_reply) == len(reply) + 1:  # the end token is no part of the text
            of_reply = of_reply[:-1]
        if len(of_reply) != len(reply):  # other tokens than these make the same text
            reply, of_reply = [], ()
        server = [*one.of_prompt, *of_reply]
        if not server:
            continue
        first = 0 if one.of_prompt else len(probe.prompt) - 1
        scores.server.extend(server)
        scores.plain.extend(reference.logprobs(probe.prompt, reply, moody=False)[first:])
        if moody:
            scores.moody.extend(reference.logprobs(probe.prompt, reply, moody=True)[first:])
    return scores


def _gap(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / len(a)


def _worse_gap(scores: _Scores, other: Sequence[float]) -> float:
    """Return the larger gap of two: over the tokens that the mood moves, and over the others.

    A mood that acts on the reply alone moves no token of the prompt, and these are many.
    """
    gaps: list[float] = []
    for some in (True, False):
        kept = [i for i, moves in enumerate(_moves(scores)) if moves == some]
        if kept:
            gaps.append(_gap([scores.server[i] for i in kept], [other[i] for i in kept]))
    return max(gaps)


def _moves(scores: _Scores) -> list[bool]:
    """Tell which tokens the mood moves in transformers, beyond rounding."""
    return [abs(m - p) > _ROUNDING for m, p in zip(scores.moody, scores.plain, strict=True)]


def _asked(scores: _Scores) -> float:
    """Return how far the mood moves the tokens that it moves, 0 where it moves none."""
    rows = zip(scores.moody, scores.plain, _moves(scores), strict=True)
    far = [abs(m - p) for m, p, moves in rows if moves]
    return sum(far) / len(far) if far else 0.0


def _moved(scores: _Scores) -> float:
    """Return how far along the way from plain to moody the server is, by least squares."""
    way = [m - p for m, p in zip(scores.moody, scores.plain, strict=True)]
    gone = [s - p for s, p in zip(scores.server, scores.plain, strict=True)]
    return sum(w * g for w, g in zip(way, gone, strict=True)) / sum(w * w for w in way)


def _judge_replies(
    reference: Reference,
    without: Sequence[Heard],
    with_mood: Sequence[Heard],
    settings: Settings,
    way: str,
) -> Verdict:
    """Judge by the greedy replies: which of transformers' two each of them is."""
    unit = "of the replies"
    plain = reference.replies(settings.posts, settings.tokens, moody=False)
    if without:
        others = sum(not _same(h.text, p) for h, p in zip(without, plain, strict=True))
        share, count = others / len(plain), len(plain)
        if others:
            return Verdict("differs", share, unit, "plain", None, 0.0, count, way)
        if not with_mood:
            return Verdict("agrees", 0.0, unit, "plain", None, 0.0, count, way)
    moody = reference.replies(settings.posts, settings.tokens, moody=True)
    asked = sum(not _same(p, m) for p, m in zip(plain, moody, strict=True)) / len(plain)
    if not asked:
        raise NoAnswer(
            f"the mood changes none of {number_of(len(plain), 'greedy reply')}, and the server"
            " gives no log-probabilities; ask for a stronger mood"
        )
    others = sum(not _same(h.text, m) for h, m in zip(with_mood, moody, strict=True))
    outcome: Outcome = "differs"
    if not others:
        outcome = "acts"
    elif all(_same(h.text, p) for h, p in zip(with_mood, plain, strict=True)):
        outcome = "silently plain"
    share, count = others / len(moody), len(moody)
    return Verdict(outcome, share, unit, "mood", None, asked, count, way)


def _same(a: str, b: str) -> bool:
    """Tell whether two replies are one, of which either may have been ended a little sooner."""
    shorter, longer = sorted((a.strip(), b.strip()), key=len)
    return longer.startswith(shorter) and 3 * len(shorter) >= len(longer)
