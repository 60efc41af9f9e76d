"""Signs of a template: replies that begin alike, name their emotion, blame the user, or echo.

A system that was tuned to a judge which hears emotion words says "I am so angry that ..." to
everything, and such a judge hears it in full. These four count what a reader notices at once.
Openings are counted within the replies that were asked for one emotion, as emotions differ.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from emotone.emotions import EVERYDAY, Emotion
from emotone.metrics.asked import asked_emotion
from emotone.metrics.base import Measure, Pair, SumStats, check_weights, mean_of, mean_stats
from emotone.metrics.instruments import Instruments, RunFacts
from emotone.metrics.spec import DIVERSITY, FLUENCY, Spec
from emotone.protocols import Metric

#: Words of an opening, and of a run that a reply may take from its post.
OPENING, RUN = 3, 3

#: What names an emotion of Ekman's, or love; other label sets are brought to it.
NAMES: Mapping[str, re.Pattern[str]] = {
    label: re.compile(pattern)
    for label, pattern in {
        "anger": r"\b(anger|angr\w+|furious|fury|mad|rag(e|ing)|livid|outraged?)\b"
        r"|生气|愤怒|气愤|火大|恼火|气死",
        "disgust": r"\b(disgust\w*|gross|revolt(ed|ing)|yuck\w*|ew+)\b|恶心|反感|厌恶|讨厌",
        "fear": r"\b(afraid|scar(y|ed|es?|ing)|fear(s|ed|ful)?|frighten\w*|worr(y|ied|ies|ying)"
        r"|nervous|terrif\w+|anxious)\b|害怕|我怕|好怕|担心|恐惧|可怕",
        "joy": r"\b(happy|happi\w+|joy\w*|glad|delight\w*|excited)\b|高兴|开心|快乐|喜悦",
        "sadness": r"\b(sad|sadd\w+|sadness|sorrow\w*|unhappy|heartbroken|depressed)\b"
        r"|难过|伤心|悲伤|难受|悲哀",
        "surprise": r"\b(surpris\w+|shock\w*|astonish\w*|amaz(ed|ing)|stunned)\b"
        r"|惊讶|吃惊|惊呆|惊奇|震惊",
        "love": r"\b(i (really |do |just |so )?(love|like|adore)|love you|loving)\b|我爱|爱你|喜欢",
    }.items()
}

# Against the person who wrote the post: "you" with what nobody likes to hear. Complaints about
# others ("how dare they") and plain advice ("you should have a rest") are none.
_BAD = (
    r"(?:stupid|dumb|idiot\w*|fool(?:ish)?|lazy|selfish|ridiculous|pathetic|disgusting|terrible"
    r"|horrible|awful|useless|crazy|insane|liar|loser|jerk|rude|annoying|worthless|disgrace"
    r"|disappointment|irresponsible|careless|ungrateful|ignorant|moron\w*|hypocrit\w*|weak|creep)"
)
_YOU_ARE = r"\byou(?:'re| are|'ve been| have been| were)\s+"
_SO = r"(?:not\s+|just\s+|really\s+|being\s+|so\s+|such\s+|an?\s+|the\s+|too\s+|very\s+|all\s+)"
BLAMES: Mapping[str, re.Pattern[str]] = {
    "en": re.compile(
        "|".join(
            (
                rf"{_YOU_ARE}(?!not\b){_SO}{{0,4}}{_BAD}\b",
                rf"\byou\s+{_SO}{{0,2}}{_BAD}\b",
                r"\b(?:this is|it's|it is|that's|all) (?:all )?your (?:own )?fault\b",
                r"\byou (?:only )?(?:have|got) (?:only )?yourself to blame\b",
                r"\byou deserved? (?:it|this|that)\b",
                r"\b(?:angry|mad|furious|annoyed|disappointed|disgusted|irritated|livid|upset)"
                r" (?:at|with|by|about|in) you(?!r\b)\b",
                r"\b(?:i hate|i can't stand|(?:i'm|i am) (?:sick|tired) of) you\b",
                r"\bhow (?:dare|could) you\b|\bhow can you be so\b",
                r"\bwhat(?:'s| is) wrong with you\b",
                r"\bwho do you think you are\b",
                r"\byou(?:'ve| have)? (?:ruined|messed up|let me down|betrayed|wasted my)\b",
                r"\byou (?:always|never) (?:do|listen|think|care|learn|help|ruin|make|lie)\b",
                r"\byou (?:should be|ought to be) ashamed\b|\bshame on you\b",
                r"\bshut up\b|\bget lost\b|\bgo away\b|\bleave me alone\b",
                r"\byour (?:stupid|disgusting|ridiculous|selfish|pathetic|awful|horrible"
                r"|terrible|bad) (?:\w+ )?(?:attitude|behaviou?r|idea|excuses?|question)\b",
            )
        )
    ),
    "zh": re.compile(
        "|".join(
            (
                r"(?:都|就|全)(?:怪|赖)你|是你(?:自己)?的错|你自找的|你活该|活该",
                r"你(?:真|太|好|这么|怎么这么|就是|简直|可真)?(?:是个|是)?(?:蠢|笨|傻[逼B子瓜]"
                r"|白痴|废物|恶心|无耻|不要脸|自私|懒|没用|神经病|变态|混蛋|讨厌|垃圾|有病)",
                r"你(?:个|这|这个)(?:傻|混|蠢|王八|死|坏|烂)",
                r"(?:讨厌|恨|鄙视|受够)(?:死)?你|你(?:凭什么|有什么资格|算什么|好意思)",
                r"滚(?:开|蛋|吧|出)?(?:$|[，。！!,. ])|闭嘴|去死|丢人现眼",
                r"你(?:总是|从来)(?:不|都|没)|你怎么(?:能|敢|可以)(?:这样|这么)",
            )
        )
    ),
}


def names_emotion(text: str, emotion: Emotion) -> bool | None:
    """Tell whether a text names an emotion; None for one without names, such as neutral."""
    label = emotion.label
    if label not in NAMES:
        label = EVERYDAY.aliases.get(label, label)
    pattern = NAMES.get(label)
    return None if pattern is None else bool(pattern.search(_plain(text)))


def blames(text: str, lang: str) -> bool:
    """Tell whether a reply blames or insults whoever wrote the post, by rules."""
    return bool(BLAMES["zh" if lang == "zh" else "en"].search(_plain(text)))


def echoed(reply: Sequence[str], post: Sequence[str], n: int = RUN) -> tuple[int, int]:
    """Count the n-grams of a reply that stand in its post, and all of the reply."""
    runs = list(zip(*(reply[j:] for j in range(n)), strict=False))
    posted = set(zip(*(post[j:] for j in range(n)), strict=False))
    return sum(run in posted for run in runs), len(runs)


def opening(tokens: Sequence[str]) -> tuple[str, ...]:
    """First words of a reply, signs left out."""
    return tuple([t for t in tokens if any(c.isalnum() for c in t)][:OPENING])


@dataclass(frozen=True)
class OpeningStats:
    """Openings of replies, for the share of the commonest of each emotion.

    A reply that is sampled twice would be an opening that nobody wrote, so intervals leave replies
    out.

    Args:
        openings: Emotion that was asked, "" for none, and opening of each reply, [N].
    """

    openings: tuple[tuple[str, tuple[str, ...]], ...]
    leave_out: ClassVar[bool] = True

    def __len__(self) -> int:
        """Return the number of replies, N."""
        return len(self.openings)

    def value(self, weights: Sequence[float] | None = None) -> float:
        """Weight of the replies with the commonest opening of their emotion over all weight."""
        each = np.ones(len(self)) if weights is None else check_weights(weights, len(self))
        counts: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
        for (emotion, words), weight in zip(self.openings, each.tolist(), strict=True):
            counts[emotion][words] += weight  # pyright: ignore[reportArgumentType]
        total = float(each.sum())
        if total <= 0:
            return float("nan")
        return sum(max(counter.values()) for counter in counts.values()) / total

    def join(self, other: Self) -> Self:
        """Put the replies of another run after these."""
        return type(self)(self.openings + other.openings)


def _plain(text: str) -> str:
    return text.lower().replace("’", "'")


def _opening(instruments: Instruments, facts: RunFacts) -> Metric:
    def read(pairs: Sequence[Pair]) -> OpeningStats:
        rows = [
            (str(r.emotion or ""), opening(instruments.tokens(r.text, e.lang, "word")))
            for e, r in pairs
        ]
        return OpeningStats(tuple(rows))

    signature = f"name:opening_share|tok:{instruments.tokens_name}|words:{OPENING}|v:1"
    return Measure("opening_share", signature, read)


def _named(instruments: Instruments, facts: RunFacts) -> Metric:
    def named(reply: Pair) -> float | None:
        emotion = asked_emotion(reply[1])
        said = None if emotion is None else names_emotion(reply[1].text, emotion)
        return None if said is None else float(said)

    return Measure(
        "names_emotion",
        "name:names_emotion|list:own|v:1",
        lambda pairs: mean_stats([named(pair) for pair in pairs], share=True),
    )


def _blames(instruments: Instruments, facts: RunFacts) -> Metric:
    return Measure(
        "blames_user",
        "name:blames_user|list:own|v:1",
        lambda pairs: mean_stats([float(blames(r.text, e.lang)) for e, r in pairs], share=True),
    )


def _echo(instruments: Instruments, facts: RunFacts) -> Metric:
    def read(pairs: Sequence[Pair]) -> SumStats:
        rows = [
            echoed(
                instruments.tokens(r.text, e.lang, "word"),
                instruments.tokens(e.dialogue.posts[-1].text, e.lang, "word"),
            )
            for e, r in pairs
        ]
        return SumStats(np.array(rows, np.float64).reshape(len(rows), 2), mean_of)

    signature = f"name:echo_3|tok:{instruments.tokens_name}|unit:word|v:1"
    return Measure("echo_3", signature, read)


METRICS = (
    Spec(
        name="opening_share",
        make=_opening,
        title="Commonest opening",
        group=DIVERSITY,
        better="down",
        share=True,
        measures="replies that begin with the commonest three words of their emotion",
        range="0 to 1",
        misleads="falls as the number of replies rises; compare equal numbers",
    ),
    Spec(
        name="names_emotion",
        make=_named,
        title="Names the emotion",
        group=DIVERSITY,
        better="",
        share=True,
        measures="replies with a word that names the asked emotion",
        range="0 to 1",
        misleads="a word list: takes 'not afraid' for a name; people name it in a quarter",
    ),
    Spec(
        name="blames_user",
        make=_blames,
        title="Blames the user",
        group=FLUENCY,
        better="down",
        share=True,
        measures="replies that blame or insult whoever wrote the post, by rules",
        range="0 to 1",
        misleads="finds under half of what readers call blame; what it finds is blame in 9 of 10",
    ),
    Spec(
        name="echo_3",
        make=_echo,
        title="Echo of the post",
        group=DIVERSITY,
        better="down",
        measures="word 3-grams of replies that stand in their post / all",
        range="0 to 1",
        misleads="to take up a post's words is human; a rise above human lines is the sign",
    ),
)
