"""Greedy, sampling and beam search, written once over the step protocol of all decoders.

A decoder offers `step(token [B], state) -> (logits [B, V], state)`, where every tensor of the
state has the batch first. The search copies, drops and re-orders rows with `select` alone; it
knows nothing of what a state holds.

PAD, UNK and GO (`banned`) are never proposed. What probability the model gives them is lost: the
log-probability of a reply is the model's own, at temperature 1, with every word of the vocabulary
in the sum and no penalty; it is not renormalised over the words that were allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from emotone.errors import CheckpointError
from emotone.nn.draw import draw
from emotone.nn.state import select

S = TypeVar("S")
Step = Callable[[Tensor, S], tuple[Tensor, S]]

#: Hypotheses that a CPU takes a step for at once. Logits of more do not fit its cache, and so much
#: memory is asked of the system anew at each step.
_ROWS = 160
#: From this many words for each that is wanted, the best are looked for in blocks of so many.
_MANY, _BLOCK = 512, 64


class Hypothesis(NamedTuple):
    """One reply, whole or begun.

    Args:
        tokens: Its words, without EOS.
        logprob: Sum of the log-probabilities of its words, and of EOS if finished, in nats.
        finished: Whether it ended with EOS.
    """

    tokens: tuple[int, ...]
    logprob: float
    finished: bool


@torch.inference_mode()
def sample(
    step: Step[S],
    state: S,
    rows: int,
    *,
    seeds: Sequence[int] = (),
    candidates: int = 1,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    max_tokens: int,
    repetition_penalty: float = 1.0,
    no_repeat: int = 0,
    go: int = 3,
    eos: int = 2,
    banned: Sequence[int] = (0, 1, 3),
    min_tokens: int = 1,
    greedy: bool = False,
    device: torch.device | str = "cpu",
) -> list[list[Hypothesis]]:
    """Draw replies word by word, or take the likeliest word each time.

    Row i draws `candidates` numbers a step from a generator of its own, on the CPU, whether or not
    all its candidates still run: a reply depends on its seed, its place among the candidates and
    their number, never on other rows, the size of the batch or `max_tokens`.

    Args:
        step: One step of the decoder.
        state: Start state of `rows` rows.
        rows: Number of posts.
        seeds: One seed a row; not used when greedy.
        candidates: Replies a row.
        temperature: Divides the logits after penalties.
        top_p: Draw from the smallest set of words with this probability; 1 is the whole vocabulary.
        top_k: Draw from this many of the likeliest words at most; 0 is off.
        max_tokens: Longest reply in tokens, EOS included.
        repetition_penalty: Divides the positive logits of words said before, and multiplies the
            negative ones; 1 is off.
        no_repeat: No n-gram of this many words occurs twice in a reply; 0 is off.
        go: Token that starts a reply.
        eos: Token that ends it.
        banned: Tokens that are never proposed.
        min_tokens: EOS is not proposed before this many words.
        greedy: Take the likeliest word; all candidates of a row are then equal.
        device: Where the decoder lives.

    Returns:
        For each row its candidates. One that no word can continue is left unfinished.

    Raises:
        CheckpointError: If the model's output is not a number.
        ValueError: If there are not as many seeds as rows.
    """
    if rows == 0:
        return []
    if not greedy and len(seeds) != rows:
        raise ValueError(f"{len(seeds)} seeds for {rows} rows; give one a row")
    count = 1 if greedy else candidates
    most = max(1, _ROWS // count)
    if rows > most and torch.device(device).type == "cpu":
        more: Any = {
            **{"candidates": candidates, "temperature": temperature, "top_p": top_p},
            **{"top_k": top_k},
            **{"max_tokens": max_tokens, "min_tokens": min_tokens, "greedy": greedy},
            **{"repetition_penalty": repetition_penalty, "no_repeat": no_repeat},
            **{"go": go, "eos": eos, "banned": banned},
        }
        replies: list[list[Hypothesis]] = []
        for i in range(0, rows, most):
            part = torch.arange(i, min(i + most, rows))
            own = seeds[i : i + most]
            replies += sample(step, select(state, part), len(part), seeds=own, **more)
        return replies
    draws = torch.zeros(0)
    if not greedy:
        each = [torch.Generator().manual_seed(seed) for seed in seeds]
        draws = torch.stack([torch.rand(max_tokens, count, generator=g) for g in each])
        draws = draws.transpose(1, 2).flatten(0, 1).to(device)  # [rows * count, max_tokens]
    total = torch.zeros(rows * count, dtype=torch.float64)
    written = torch.full((rows * count, max_tokens), eos)
    length = torch.zeros(rows * count, dtype=torch.long)
    finished = torch.zeros(rows * count, dtype=torch.bool)
    alive = torch.arange(rows * count)  # the replies that run, [N]
    prefix = torch.empty(rows * count, 0, dtype=torch.long, device=device)
    token = torch.full((rows,), go, device=device)
    for t in range(max_tokens):
        logits, state = step(token, state)
        if t == 0 and count > 1:
            # The first step is the same for all candidates of a row.
            of_row = torch.arange(rows, device=device).repeat_interleave(count)
            logits, state = logits.index_select(0, of_row), select(state, of_row)
        logprobs = logits.float().log_softmax(-1)
        _check(logprobs)
        scores = logprobs if repetition_penalty == 1.0 else logits.float().clone()
        if repetition_penalty != 1.0 and t > 0:
            _penalise(scores, prefix, repetition_penalty)
        # Written over in place: what is chosen is never among what is forbidden.
        _forbid(scores, prefix, banned if t >= min_tokens else (*banned, eos), no_repeat)
        going = (scores.amax(-1) > -torch.inf).cpu()  # where any word may follow
        if greedy:
            token = scores.argmax(-1)
        else:
            if not going.all():
                scores[~going.to(device)] = 0.0  # so that the draw is a number; it is not used
            if 0 < top_k < scores.shape[1]:
                scores = _likeliest(scores, top_k)
            tempered = scores if temperature == 1.0 else scores / temperature
            token = draw(tempered.softmax(-1), draws[alive.to(device), t], top_p)
        chosen = token.cpu()
        gain = logprobs.gather(1, token[:, None])[:, 0].cpu().double()
        total[alive[going]] += gain[going]
        ended = (chosen == eos) & going
        finished[alive[ended]] = True
        going &= ~ended
        written[alive[going], t] = chosen[going]
        length[alive[going]] += 1
        if not going.any():
            break
        prefix = torch.cat([prefix, token[:, None]], dim=1)
        if not going.all():
            keep = going.nonzero()[:, 0]
            alive = alive[keep]
            keep = keep.to(device)
            token, prefix, state = token[keep], prefix[keep], select(state, keep)
    flat = [
        Hypothesis(tuple(words[:n]), score, end)
        for words, n, score, end in zip(
            written.tolist(), length.tolist(), total.tolist(), finished.tolist(), strict=True
        )
    ]
    return [flat[i : i + count] * (candidates // count) for i in range(0, len(flat), count)]


def _check(logprobs: Tensor) -> None:
    if logprobs[:, 0].isnan().any():  # one bad logit spoils its whole row
        raise CheckpointError(
            "the model's output is not a number; its weights are damaged, so load them anew"
        )


def _penalise(scores: Tensor, prefix: Tensor, factor: float) -> None:
    """Make the words of the reply so far less likely, in place; scores [N, V], prefix [N, t]."""
    values = scores.gather(1, prefix)
    scores.scatter_(1, prefix, torch.where(values > 0, values / factor, values * factor))


def _forbid(scores: Tensor, prefix: Tensor, banned: Sequence[int], size: int) -> None:
    """Set to -inf what must not come next, in place; scores [N, V], prefix [N, t]."""
    if banned:
        scores[:, list(banned)] = -torch.inf
    if 0 < size <= prefix.shape[1]:
        spans = prefix.unfold(1, size, 1)  # [N, spans, size]
        tail = prefix[:, prefix.shape[1] - size + 1 :]
        again = (spans[:, :, :-1] == tail[:, None]).all(-1)
        # A word may end several spans, of which one is enough: the least value wins.
        limit = torch.where(again, -torch.inf, torch.inf).to(scores.dtype)
        scores.scatter_reduce_(1, spans[:, :, -1], limit, "amin")


def _likeliest(scores: Tensor, count: int) -> Tensor:
    """Return the `count` largest scores of each row and -inf elsewhere, [N, V]."""
    top = scores.topk(count)
    return torch.full_like(scores, -torch.inf).scatter(1, top.indices, top.values)


@torch.inference_mode()
def beam(
    step: Step[S],
    state: S,
    rows: int,
    *,
    beams: int = 20,
    n_best: int = 1,
    max_tokens: int,
    length_penalty: float = 0.0,
    diverse_first: bool = False,
    no_repeat: int = 0,
    go: int = 3,
    eos: int = 2,
    banned: Sequence[int] = (0, 1, 3),
    min_tokens: int = 1,
    device: torch.device | str = "cpu",
) -> list[list[Hypothesis]]:
    """Search for the likeliest replies, `beams` at a time, all rows together.

    At each step the 2 * `beams` best continuations of a row are taken by their summed
    log-probability. Those that end go to the finished ones; the best `beams` of the others go on.
    A row stops as soon as nothing that runs can still enter its n best: log-probabilities only
    fall, so the result is that of a search to the end.

    Finished replies are ranked by logprob / ((5 + n) / 6) ** length_penalty, n their tokens with
    EOS. Unfinished ones are returned only where none finished.

    With `diverse_first` the row's `n_best` likeliest first words get beams of their own,
    `beams` // `n_best` wide (at least 1, of at most `beams` words), and the best reply of each is
    returned: every reply begins differently. EOS, where allowed, counts as a first word.

    Deviation: the released code of ECM leaves the internal memory where it was when hypotheses
    change places; here all of the state moves with its hypothesis.

    Args:
        step: One step of the decoder.
        state: Start state of `rows` rows.
        rows: Number of posts.
        beams: Hypotheses a row that go on at each step.
        n_best: Replies a row that are wanted; there may be fewer.
        max_tokens: Longest reply in tokens, EOS included.
        length_penalty: Exponent, at least 0; 0 ranks by log-probability alone.
        diverse_first: Whether the replies of a row begin with different words.
        no_repeat: No n-gram of this many words occurs twice in a reply; 0 is off.
        go: Token that starts a reply.
        eos: Token that ends it.
        banned: Tokens that are never proposed.
        min_tokens: EOS is not proposed before this many words.
        device: Where the decoder lives.

    Returns:
        For each row its replies, best first.

    Raises:
        CheckpointError: If the model's output is not a number.
    Source: thu-coai/ecm, beam search of the released code; Wu et al. 2016, equation 14, for the
        length penalty.
    """
    if rows == 0:
        return []
    most = max(1, _ROWS // beams)
    if rows > most and torch.device(device).type == "cpu":
        how: Any = dict(beams=beams, n_best=n_best, max_tokens=max_tokens, no_repeat=no_repeat)
        how |= dict(length_penalty=length_penalty, diverse_first=diverse_first)
        how |= dict(go=go, eos=eos, banned=banned, min_tokens=min_tokens, device=device)
        parts = torch.arange(rows).split(most)
        return [one for p in parts for one in beam(step, select(state, p), len(p), **how)]
    groups = min(n_best, beams) if diverse_first else 1
    width, best = (beams // groups, 1) if groups > 1 else (beams, n_best)
    replies = _BestReplies(rows * groups, best, length_penalty)
    # All but the state is small, and lives on the CPU, sums in float64.
    row = torch.arange(rows) * groups  # places in `replies`, [R]
    runs = torch.zeros(rows, 1, dtype=torch.float64)  # running log-probabilities, [R, K]
    prefix = torch.empty(rows, 1, 0, dtype=torch.long)  # their words, [R, K, t]
    token = torch.full((rows,), go, device=device)
    for t in range(max_tokens):
        logits, state = step(token, state)
        logprobs = logits.float().log_softmax(-1)
        _check(logprobs)
        forbidden = banned if t >= min_tokens else (*banned, eos)
        _forbid(logprobs, prefix.flatten(0, 1).to(device), forbidden, no_repeat)
        split = t == 0 and groups > 1
        score, parent, word = _continue(logprobs, runs, groups if split else 2 * width)
        place = torch.arange(len(runs))[:, None] * runs.shape[1] + parent  # rows of the state
        words = torch.cat([_take(prefix, parent), word[..., None]], dim=2)  # [R, C, t + 1]
        if split:
            # From here on each first word is a row of its own.
            row = (row[:, None] + torch.arange(score.shape[1])).flatten()
            score, place = score.reshape(-1, 1), place.reshape(-1, 1)
            words = words.reshape(-1, 1, 1)
        ends = (words[..., -1] == eos) & (score > -torch.inf)
        replies.finish(row, score, words, ends)
        # The stable sort keeps the others in the order of their scores.
        order = ends.long().sort(dim=1, stable=True).indices[:, :width]
        going = score.masked_fill(ends, -torch.inf).gather(1, order)
        words, place = _take(words, order), place.gather(1, order)
        top = going.amax(1)
        stop = (top == -torch.inf) | (replies.least[row] >= top / replies.divisor(max_tokens))
        if t + 1 == max_tokens:
            stop[:] = True
        for r in stop.nonzero()[:, 0].tolist():
            if replies.any(int(row[r])):
                continue
            if top[r] > -torch.inf:
                replies.keep(int(row[r]), going[r], words[r])
            elif not split:  # no word could follow: the words so far are all there is
                replies.keep(int(row[r]), runs[r], prefix[r])
        on = (~stop).nonzero()[:, 0]
        if not len(on):
            break
        row, runs, prefix = row[on], going[on], words[on]
        state = select(state, place[on].flatten().to(device))
        token = prefix[..., -1].flatten().to(device)
    return [replies.best(range(i, i + groups)) for i in range(0, rows * groups, groups)]


def _continue(logprobs: Tensor, runs: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best continuations of each row, best first: scores, parents, words, [R, C].

    Args:
        logprobs: Of the next word, [R * K, V].
        runs: Log-probabilities so far, [R, K]; -inf at empty places.
        count: Continuations wanted, C; fewer where there are fewer.
    """
    values, ids = _top(logprobs, min(count, logprobs.shape[1]))
    each = values.shape[1]
    values = values.cpu().double().view(*runs.shape, each)
    score, place = (runs[..., None] + values).flatten(1).sort(dim=1, descending=True, stable=True)
    score, place = score[:, :count], place[:, :count]
    return score, place // each, ids.cpu().view(len(runs), -1).gather(1, place)


def _top(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the `count` best of each row and where they are, as `topk` does; scores [N, V]."""
    words = scores.shape[1]
    if scores.is_cuda or words < _MANY * count:
        top = scores.topk(count)
        return top.values, top.indices
    # They are in the blocks whose best are best; to find those takes a CPU one pass.
    whole = words - words % _BLOCK
    best = scores[:, :whole].unflatten(1, (-1, _BLOCK)).amax(2).topk(count).indices
    among = (best[..., None] * _BLOCK + torch.arange(_BLOCK)).flatten(1)
    among = torch.cat((among, torch.arange(whole, words).expand(len(scores), -1)), 1)
    top = scores.gather(1, among).topk(count)
    return top.values, among.gather(1, top.indices)


def _take(words: Tensor, place: Tensor) -> Tensor:
    """Pick hypotheses: words [R, K, t], place [R, C] to [R, C, t]."""
    return words.gather(1, place[..., None].expand(-1, -1, words.shape[2]))


class _BestReplies:
    """The n best replies of each row."""

    def __init__(self, rows: int, n: int, penalty: float) -> None:
        self._n = n
        self._penalty = penalty
        self._rows: list[list[tuple[float, Hypothesis]]] = [[] for _ in range(rows)]
        #: Rank of each row's n-th best, -inf where it has fewer.
        self.least = torch.full((rows,), -torch.inf, dtype=torch.float64)

    def divisor(self, tokens: int) -> float:
        """Return what divides the log-probability of so many tokens, EOS counted."""
        return ((5 + tokens) / 6) ** self._penalty

    def any(self, i: int) -> bool:
        """Tell whether a row has a reply."""
        return bool(self._rows[i])

    def finish(self, row: Tensor, score: Tensor, words: Tensor, ends: Tensor) -> None:
        """Enter the continuations that end, of rows whose scores fall from left to right."""
        divisor = self.divisor(words.shape[2])
        enters = ends & (score / divisor > self.least[row][:, None]) & (ends.cumsum(1) <= self._n)
        for r, c in enters.nonzero().tolist():
            reply = Hypothesis(tuple(words[r, c, :-1].tolist()), float(score[r, c]), True)
            self._enter(int(row[r]), divisor, reply)

    def keep(self, i: int, score: Tensor, words: Tensor) -> None:
        """Enter what a row has begun, where nothing finished: score [K], words [K, t]."""
        divisor = self.divisor(words.shape[1])
        for reply, value in zip(words.tolist(), score.tolist(), strict=True):
            if value > -torch.inf:
                self._enter(i, divisor, Hypothesis(tuple(reply), value, False))

    def best(self, rows: range) -> list[Hypothesis]:
        """Return the replies of some rows together, the best first."""
        all_ = [one for i in rows for one in self._rows[i]]
        whole = [one for one in all_ if one[1].finished]
        ranked = sorted(whole or all_, key=lambda one: -one[0])
        return [reply for _, reply in ranked] or [Hypothesis((), 0.0, False)]

    def _enter(self, i: int, divisor: float, reply: Hypothesis) -> None:
        ranked = self._rows[i]
        ranked.append((reply.logprob / divisor, reply))
        ranked.sort(key=lambda one: -one[0])
        del ranked[self._n :]
        if len(ranked) == self._n:
            self.least[i] = ranked[-1][0]
