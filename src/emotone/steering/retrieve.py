"""Replies by hand to posts of everyday like the one that is answered, as further candidates.

    content(r | p, q) = w_0 + w_1 sim(p, q) + w_2 like(p, q) + w_3 overlap(p, q)
                        + w_4 borrowed(r; p, q) + w_5 log P(r | p) / |r|

p is the post, q one of `everyday`, r its reply in the asked emotion. `sim` and `overlap` compare
words (`data.everyday.nearest`), `like` the model's states (`likeness`). `borrowed` is the weight of
the words that r takes from q and that p lacks: they speak of what nobody mentioned. The likelihood
is the model's own, without a push. w is fitted to the content, 0 to 2, that blind readers gave to
such replies (recipes/companion/match.py), so that a reply by hand and one that the model wrote
compete on one scale (`steering.choose`).

A small model makes less sense than those who wrote everyday, and what is said to it repeats itself:
where such a post has been answered well, that answer is better than a new one. Far from all that
was answered, the expected content is low and the model's own replies win.

Source: retrieval-based dialogue, such as Ji et al. 2014; its mixture with generation, Weston et al.
2018, "Retrieve and Refine" (here chosen among, not refined).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from emotone.data.everyday.nearest import Near, learned_posts, length, terms
from emotone.data.text import Lang
from emotone.emotions import EVERYDAY, EmotionMix
from emotone.lm.care import needs_care
from emotone.lm.chat import FRIENDS, prompt_ids
from emotone.lm.likelihood import continued_nats
from emotone.models.progress import note
from emotone.steering.likeness import Likeness, hash_of
from emotone.types import Dialogue, Speaker

if TYPE_CHECKING:
    from emotone.models import CausalLM

#: What the content is told from.
FEATURES = ("similarity", "likeness", "overlap", "borrowed", "logprob")
#: Weight of the likeness beside the cosine of words where lines are looked for: the ratio of both
#: in a regression of what readers gave to 4,277 English and 4,200 Chinese replies to near posts.
_BESIDE: Mapping[Lang, float] = {"en": 1.5, "zh": 0.5}
#: The least and the most content that is expected of a reply, of 2.
_LEAST, _MOST = 0.02, 2.0
#: Content from which on a reply fits well enough that the model need not write one: strict readers
#: found 1.00 of 2 in 23 replies by hand that were told to be worth .8 to .9, and .56 in 33 that the
#: model wrote where none fits (docs/decisions/0038).
_ENOUGH = 0.8
#: Words of the longest post that is looked for, and tokens of the longest conversation.
_LONGEST, _MOST_READ = 50, 512
#: Words from which on a post within a conversation says by itself what it is about.
_WHOLE = 4
#: An intensity of 100 / this is a whole emotion each time; below, its share of the times.
_SURE = 1.25


class Retrieved(NamedTuple):
    """A reply of everyday.

    Args:
        text: The reply.
        line: Its line and emotion, such as "en-p12:34/joy", or "en-p12:34/joy+fear".
        content: What is expected of it, 0 to 2.
        tokens: Its tokens, the end included.
        parts: How many emotions it has, one after the other.
    """

    text: str
    line: str
    content: float
    tokens: int
    parts: int = 1


def wanted(emotion: EmotionMix | None, post: str, seed: int) -> tuple[str, ...]:
    """Say in which emotions a reply by hand is wanted, the strongest first; () for none.

    A reply by hand has its emotion whole. So at 50 it is wanted to five of eight posts (or in five
    of eight seeds), a neutral one to the others, and the higher the intensity to the more. Of two
    emotions their sum counts so; the reply then has the stronger one, and the other as often as it
    is strong beside it, always where both are alike. One with more emotions, or with less of one
    than a neutral reply has, was written by nobody.
    """
    given = emotion.intensities() if emotion else {}
    asked = {k: v for k, v in given.items() if v and k != EVERYDAY.neutral}
    if len(asked) > 2 or any(intensity < 0 for intensity in asked.values()):
        return ()
    draw = random.Random(f"{seed} {post}")
    if draw.random() >= _SURE * sum(asked.values()) / 100:
        return (str(EVERYDAY.neutral),)
    first, *rest = sorted(asked, key=lambda label: -asked[label])
    return (first, *(label for label in rest if draw.random() < asked[label] / asked[first]))


def sure(replies: Sequence[Retrieved]) -> list[Retrieved]:
    """Return those replies that fit well enough that no other is needed.

    Two emotions at once are seldom in what the model writes, so that two replies by hand need to
    fit half as well.
    """
    return [reply for reply in replies if reply.content >= _ENOUGH / reply.parts]


def log_shares(replies: Sequence[Retrieved]) -> Tensor:
    """Return the log of the content of replies as a share of the most, [N]."""
    return torch.tensor([math.log(reply.content / _MOST) for reply in replies])


class Retriever:
    """Finds replies by hand for one model.

    Args:
        lm: The model, not steered while it reads.
        system: System prompt of its replies, one of `FRIENDS`.
        weights: Name of a feature -> its weight, "bias" among them.
        likeness: How the model compares posts; without it words alone do.
    """

    def __init__(
        self,
        lm: CausalLM,
        system: str,
        weights: Mapping[str, float],
        likeness: Likeness | None = None,
    ) -> None:
        self._lm = lm
        self._likeness = likeness
        self._weights = weights
        self._lang: Lang = next(lang for lang, prompt in FRIENDS.items() if prompt == system)
        self._system = system

    def replies(self, dialogue: Dialogue, labels: Sequence[str], count: int) -> list[Retrieved]:
        """Find replies to posts like the last one; for two emotions one after the other.

        Args:
            dialogue: What is answered; nothing that was said in it is said again. A later post of a
                word or two is left to the model, as it is about what was said before, and so is
                one that is longer than any of everyday, and a conversation that is long to read or
                speaks of self-harm.
            labels: Emotions of the replies. What is expected of two together is what the worse one
                is worth, as each is a whole answer.
            count: The most replies that are read; two for one emotion each are two.
        """
        posts = learned_posts(self._lang)
        post = dialogue.posts[-1].text
        if any(needs_care(p.text) for p in dialogue.posts if p.speaker is Speaker.USER):
            return []
        if length(post) > _LONGEST or (len(dialogue.posts) > 1 and length(post) < _WHOLE):
            return []
        prompt = prompt_ids(self._lm.tokenizer, dialogue, self._system)
        if len(prompt) > _MOST_READ:
            return []
        before = {p.text for p in dialogue.posts if p.speaker is Speaker.ASSISTANT}
        near = posts.near(
            post,
            labels,
            -(-count // len(labels)),
            without=before,
            likeness=self._reading.all(self._lm, post) if self._reading else None,
            weight=_BESIDE[self._lang],
        )
        texts = [n.line.replies[label] for n in near for label in labels]
        # All at once, as each pass reads the prompt anew.
        read = self.features(post, prompt, [n for n in near for _ in labels], texts)
        parts_of = [read[i : i + len(labels)] for i in range(0, len(read), len(labels))]
        between = "" if self._lang == "zh" else " "
        return [
            Retrieved(
                between.join(n.line.replies[label] for label in labels),
                f"{n.line.id}/{'+'.join(labels)}",
                min(self._content(values) for values, _ in parts),
                sum(tokens for _, tokens in parts),
                len(labels),
            )
            for n, parts in zip(near, parts_of, strict=True)
        ]

    @cached_property
    def _reading(self) -> Likeness | None:
        """The likeness, if it is of the posts that are here; where not, words alone compare."""
        if self._likeness is None or self._likeness.posts == hash_of(learned_posts(self._lang)):
            return self._likeness
        note(
            "replies by hand are looked for by words alone, since the companion's likeness is of"
            " another version of everyday; install emotone and emotone-zoo of one version"
        )
        return None

    def features(
        self, post: str, prompt: list[int], near: Sequence[Near], replies: Sequence[str]
    ) -> list[tuple[dict[str, float], int]]:
        """Return the features of replies to near posts, by name, and their tokens."""
        posts = learned_posts(self._lang)
        own = set(terms(post))
        model, tokenizer = self._lm.model, self._lm.tokenizer
        read = continued_nats(model, tokenizer, prompt, replies)
        rows: list[tuple[dict[str, float], int]] = []
        for n, reply, (nats, tokens) in zip(near, replies, read, strict=True):
            foreign = (set(terms(n.line.post)) - own) & set(terms(reply))
            values = {
                "similarity": n.similarity,
                "likeness": n.likeness,
                "overlap": n.overlap,
                "borrowed": posts.weight(foreign),
                "logprob": -nats / tokens,
            }
            rows.append((values, tokens))
        return rows

    def _content(self, features: Mapping[str, float]) -> float:
        weights = self._weights
        expected = weights["bias"] + sum(weights.get(name, 0) * x for name, x in features.items())
        return min(max(expected, _LEAST), _MOST)
