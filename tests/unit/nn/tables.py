"""Decoders whose every distribution is written in a table, and searches through all replies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

EOS, GO = 0, 1


class State(NamedTuple):
    """What the tabled decoder remembers: the same twice, in the two forms that a state can take.

    Args:
        post: Which post is answered, [B].
        code: Number of what was said, [B].
        memory: What was said, [B, longest], padded with -1, and how many words, [B].
    """

    post: Tensor
    code: Tensor
    memory: tuple[Tensor, Tensor]


class Tabled:
    """A decoder with a random distribution for each post and everything said so far.

    Args:
        posts: Number of posts.
        words: Size of the vocabulary, V.
        longest: Longest reply, T.
        seed: Of the logits.
        spread: Their standard deviation.
    """

    def __init__(self, posts: int, words: int, longest: int, seed: int = 0, spread: float = 2.0):
        self.posts, self.words, self.longest = posts, words, longest
        draw = torch.Generator().manual_seed(seed)
        size = (posts, (words + 1) ** longest, words)
        self.logits = spread * torch.randn(size, generator=draw)
        self.batches: list[int] = []

    def start(self, posts: Sequence[int] | None = None) -> State:
        post = torch.tensor(range(self.posts) if posts is None else posts)
        said = torch.full((len(post), self.longest), -1)
        return State(post, torch.zeros_like(post), (said, torch.zeros_like(post)))

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        said, count = state.memory
        self.batches.append(len(token))
        first = count == 0
        # GO starts a reply and is no word of it; -1 marks that it was read.
        code = torch.where(first, 0, state.code * (self.words + 1) + token + 1)
        assert (token[first] == GO).all()
        said = said.clone()
        rest = (~first).nonzero()[:, 0]
        said[rest, count[rest] - 1] = token[rest]
        for words, number in zip(said.tolist(), code.tolist(), strict=True):
            assert self.number([w for w in words if w >= 0]) == number, "a part stayed behind"
        return self.logits[state.post, code], State(state.post, code, (said, count + 1))

    def number(self, said: Sequence[int]) -> int:
        code = 0
        for word in said:
            code = code * (self.words + 1) + word + 1
        return code

    def logprob(self, post: int, said: Sequence[int], finished: bool) -> float:
        """Sum of the log-probabilities of a reply, in float64."""
        total = 0.0
        for t, word in enumerate([*said, EOS] if finished else said):
            row = self.logits[post, self.number(said[:t])].double().log_softmax(-1)
            total += float(row[word])
        return total

    def replies(self, post: int, allowed: Sequence[int], least: int = 1) -> Iterator[Reply]:
        """Every finished reply of at least so many words, with its log-probability."""
        for n in range(least, self.longest):
            for said in itertools.product(allowed, repeat=n):
                yield Reply(said, self.logprob(post, said, True))


class Reply(NamedTuple):
    tokens: tuple[int, ...]
    logprob: float


def repeats(said: Sequence[int], size: int) -> bool:
    """Whether an n-gram of this size occurs twice."""
    spans = [tuple(said[i : i + size]) for i in range(len(said) - size + 1)]
    return len(set(spans)) < len(spans)
