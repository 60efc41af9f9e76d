"""Which of several candidates is said: the model itself is asked, no judge.

For candidate y of post x in emotion e, n tokens long with its end,

    score = (log p(y | x, e) - topic * log p(y | no post, e)) / n + emotion * log odds(e)
    odds(e) = p(y | x, e) / mean of p(y | x, e') over the other emotions e'

The first part is maximum mutual information: what would be said to any post is worth less. The
second asks how well the reply can be told from one in another emotion; odds, not a probability,
because a plain "that's awful" is soon 99 % disgust to such a model, and "that's gross" is clearer
still. They are not divided by the length: a reply that says more of an emotion says it better. A
system without emotions has the first part only. Both are read off the trained network, so nothing
is learnt here, and the judge of a result has no part in it. Neither is in the papers;
`candidates = 1`, greedy and beam search leave it out.

Source: Li et al. 2016, "A Diversity-Promoting Objective Function", for the first part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from emotone.data.batch import collate
from emotone.data.pairs import Pair
from emotone.data.vocab import EOS
from emotone.recurrent.model import Network

#: Rows of one pass, on a CPU and on a GPU.
ROWS, GPU_ROWS = 512, 8192

Words = tuple[int, ...]


@torch.inference_mode()
def choose(
    network: Network,
    posts: Sequence[Words],
    candidates: Sequence[Sequence[Words]],
    emotions: Sequence[int] | None,
    classes: int,
    *,
    topic: float,
    emotion: float,
    device: str,
) -> list[int]:
    """Return the place of the best candidate of each post.

    Args:
        network: The trained network.
        posts: Words of each post.
        candidates: Words of each post's candidates, without end; at least one each.
        emotions: Place of each post's asked emotion; None for a system without emotions.
        classes: Number of emotions.
        topic: Share of log p(y | no post) taken off.
        emotion: Weight of log odds(e).
        device: Where the network is.
    """
    weigh = emotion > 0 and emotions is not None and classes > 1
    rows: list[Pair] = []
    for i, (post, listed) in enumerate(zip(posts, candidates, strict=True)):
        asked = -1 if emotions is None else emotions[i]
        for reply in listed:
            rows += [Pair(post, reply, e) for e in (range(classes) if weigh else (asked,))]
            if topic:
                rows.append(Pair((EOS,), reply, asked))
    nats = iter(_nats(network, rows, device).tolist())
    best: list[int] = []
    for i, listed in enumerate(candidates):
        scores: list[float] = []
        for reply in listed:
            if weigh and emotions is not None:
                under = torch.tensor([-next(nats) for _ in range(classes)])
                own = float(under[emotions[i]])
                under[emotions[i]] = -torch.inf
                others = float(under.logsumexp(0)) - math.log(classes - 1)
                score = own / (len(reply) + 1) + emotion * (own - others)
            else:
                score = -next(nats) / (len(reply) + 1)
            if topic:
                score += topic * next(nats) / (len(reply) + 1)
            scores.append(score)
        best.append(max(range(len(scores)), key=scores.__getitem__))
    return best


def _nats(network: Network, rows: Sequence[Pair], device: str) -> Tensor:
    """-log p of each row in nats, [N]; rows of like length share a pass."""
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i].reply), len(rows[i].post)))
    nats = torch.zeros(len(rows))
    step = GPU_ROWS if device.startswith("cuda") else ROWS
    for start in range(0, len(order), step):
        part = order[start : start + step]
        batch = collate([rows[i] for i in part]).to(device)
        nats[part] = network.nll(batch).float().cpu()
    return nats
