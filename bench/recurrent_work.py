"""The work that `bench.recurrent` measures: batches, models, a training step, searches."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from bench.naive_ecm import naive_losses
from emotone.data.batch import Batch, collate, plan
from emotone.data.pairs import Pair
from emotone.nn.losses import Losses
from emotone.nn.memory import ExternalMemory, word_masks
from emotone.nn.search import Hypothesis, beam
from emotone.nn.state import select
from emotone.recurrent import model as networks
from emotone.recurrent.config import Sizes
from emotone.systems.a_seq2seq import ASeq2Seq
from emotone.systems.ecm import ECM
from emotone.training.optim import optimiser
from emotone.training.settings import Training as Settings

#: Seconds, of the day or of this process's work.
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "processor": time.process_time}

SEED = 40_000
WORDS = 40_000
ROWS = 64
#: Batches of a set.
COUNT = 3
EMOTIONS = 6
#: Emotion words of each emotion.
EMOTION_WORDS = 1000
BEAMS, N_BEST, LONGEST = 20, 5, 20
#: Posts that the loops are measured on, and posts that are compared with the loop over posts.
FEW, COMPARED = 2, 16


def pairs(count: int) -> list[Pair]:
    """Make up pairs of the lengths of Weibo's; few words are said often, as in every language."""
    draw = np.random.default_rng(SEED)
    share = 1 / np.arange(1, WORDS - 3)
    share /= share.sum()
    lengths = draw.integers(5, 21, (count, 2))
    words = (draw.choice(WORDS - 4, int(lengths.sum()), p=share) + 4).tolist()
    rows: list[Pair] = []
    place = 0
    for post, reply in lengths.tolist():
        middle, end = place + post, place + post + reply
        emotion = int(draw.integers(EMOTIONS))
        rows.append(Pair(tuple(words[place:middle]), tuple(words[middle:end]), emotion))
        place = end
    return rows


def batches() -> dict[str, list[Batch]]:
    """Return the sets of batches: "mixed", "alike" and, for searches, "posts"."""
    examples = pairs(50 * ROWS)
    mixed = [collate(examples[i * ROWS : (i + 1) * ROWS]) for i in range(COUNT)]
    lengths = np.array([(len(pair.post), len(pair.reply)) for pair in examples])
    by_length = plan(lengths[:, 0], lengths[:, 1], ROWS, SEED, 0)
    by_length.sort(key=lambda rows: lengths[rows, 1].mean())
    places = [round((i + 0.5) / COUNT * len(by_length)) for i in range(COUNT)]
    alike = [collate([examples[row] for row in by_length[place]]) for place in places]
    return {"mixed": mixed, "alike": alike, "posts": [collate(examples[-ROWS:])]}


def save(path: Path, sets: dict[str, list[Batch]]) -> None:
    """Write batches for a peer: posts, their lengths, and replies with both their signs."""
    arrays: dict[str, Any] = {}
    for which, batches in sets.items():
        for i, batch in enumerate(batches):
            arrays[f"{which}/{i}/source"] = batch.source.numpy()
            arrays[f"{which}/{i}/lengths"] = batch.source_lengths.numpy()
            target = torch.cat((batch.target_in[:, :1], batch.target_out), 1)
            arrays[f"{which}/{i}/target"] = target.numpy()
    np.savez(path, **arrays)


def sizes(softmax: Literal["full", "sampled"] = "full") -> Sizes:
    """Return ECM's published sizes, with an encoder in both directions and an output of 256."""
    return Sizes(
        embedding=100,
        encoder_hidden=256,
        encoder_layers=2,
        bidirectional=True,
        hidden=256,
        layers=2,
        out=256,
        tied=False,
        dropout=0.0,
        blank=0.0,
        softmax=softmax,
    )


def a_seq2seq(softmax: Literal["full", "sampled"] = "full") -> ASeq2Seq:
    torch.manual_seed(SEED)
    return ASeq2Seq(networks.core(WORDS, sizes(softmax)))


def ecm() -> ECM:
    torch.manual_seed(SEED)
    draw = np.random.default_rng(SEED + 1)
    lists = [draw.choice(WORDS - 4, EMOTION_WORDS, replace=False) + 4 for _ in range(EMOTIONS)]
    core = networks.core(WORDS, sizes(), emotion=100, internal=256)
    masks = word_masks([row.tolist() for row in lists], WORDS)
    return ECM(core, EMOTIONS, 100, 256, ExternalMemory(core.decoder.width, masks))


def never_ending(model: ASeq2Seq) -> ASeq2Seq:
    """Let replies have full length, so that all sides write as many words, and sharpen choices.

    Words drawn from random weights are all but equally likely, and the order of equals depends on
    the last bit; a trained model's are not.
    """
    with torch.no_grad():
        model.core.weight.mul_(30.0)
        model.core.bias[2] = -1e4
    return model.eval()


def objective(lost: Losses) -> Tensor:
    """Return what a training step minimises."""
    return lost.token_loss / lost.tokens + lost.row_loss / lost.rows


class Training:
    """A model, how its losses are computed, and an optimiser.

    Args:
        model: The model.
        losses: What it loses on a batch; the model itself without it.
        plain: Whether the optimiser is torch's default, not the training loop's.
    """

    def __init__(
        self,
        model: nn.Module,
        losses: Callable[[Batch], Losses] | None = None,
        *,
        plain: bool = False,
    ) -> None:
        self.losses = losses or model.train()
        settings = Settings()
        self.limit = settings.clip
        self.parameters = list(model.parameters())
        if plain:
            self.optimizer: torch.optim.Optimizer = torch.optim.Adam(self.parameters)
        else:
            self.optimizer = optimiser(self.parameters, settings, torch.device("cpu"))

    def step(self, batch: Batch, *, bf16: bool = False) -> float:
        """Take one step as the training loop does; return the loss."""
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            lost = objective(self.losses(batch))
        lost.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.limit)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return lost.item()

    def rate(self, batches: Sequence[Batch], clock: Clock, *, bf16: bool = False) -> float:
        """Take a step on each batch; return real target tokens a second."""
        start = clock()
        for batch in batches:
            self.step(batch, bf16=bf16)
        return sum(len(batch.real) for batch in batches) / (clock() - start)


class Layer:
    """The output layer alone: features of one batch to a loss and back.

    Args:
        model: Whose layer.
        batch: Whose words.
    """

    def __init__(self, model: ASeq2Seq, batch: Batch) -> None:
        self.core = model.train().core
        self.target = batch.target_out.flatten()[batch.real]
        drawn = torch.Generator().manual_seed(SEED)
        shape = len(self.target), self.core.decoder.width
        self.features = torch.randn(shape, generator=drawn).requires_grad_()

    def rate(self, clock: Clock, *, bf16: bool = False) -> float:
        """Go forward and backward once; return tokens a second."""
        self.core.zero_grad(set_to_none=True)
        start = clock()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss, _ = self.core.word_loss(self.features, self.target)
        loss.backward()
        return len(self.target) / (clock() - start)


class Searching:
    """Beam search over the posts of a batch, together and one by one."""

    def __init__(self, model: ASeq2Seq, batch: Batch) -> None:
        self.model, self.batch = model, batch

    @torch.inference_mode()
    def together(
        self, posts: Sequence[int], step: Callable[..., Any] | None = None, longest: int = LONGEST
    ) -> list[list[Hypothesis]]:
        """Search for replies to some posts, all at once."""
        chosen = list(posts)
        lengths = self.batch.source_lengths[chosen]
        source = self.batch.source[chosen, : int(lengths.max())]
        state = self.model.encode(source, lengths, None)
        return beam(
            step or self.model.step,
            state,
            len(chosen),
            beams=BEAMS,
            n_best=N_BEST,
            max_tokens=longest,
        )

    def by_post(self, posts: Sequence[int]) -> list[list[Hypothesis]]:
        """Search post by post, each with all its hypotheses at once."""
        return [self.together([post])[0] for post in posts]

    def by_hypothesis(self, posts: Sequence[int]) -> list[list[Hypothesis]]:
        """Search post by post, each of a post's hypotheses with a step of its own."""

        def one_by_one(token: Tensor, state: Any) -> tuple[Tensor, Any]:
            steps = [
                self.model.step(token[i : i + 1], select(state, torch.tensor([i])))
                for i in range(len(token))
            ]
            return torch.cat([logits for logits, _ in steps]), joined([s for _, s in steps])

        return [self.together([post], one_by_one)[0] for post in posts]


def joined(states: Sequence[Any]) -> Any:
    """Put the rows of states together again."""
    first = states[0]
    if first is None:
        return None
    if isinstance(first, Tensor):
        return torch.cat(list(states))
    parts = [joined(part) for part in zip(*states, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)


def agree(some: Sequence[list[Hypothesis]], others: Sequence[list[Hypothesis]]) -> str:
    """Say how many posts have the same n best replies, of equal log-probability."""
    same = sum(
        [x.tokens for x in a] == [y.tokens for y in b]
        and all(
            abs(x.logprob - y.logprob) <= 1e-4 * abs(y.logprob) for x, y in zip(a, b, strict=True)
        )
        for a, b in zip(some, others, strict=True)
    )
    return f"{same} of {len(some)}"


def _train_alone(model: nn.Module) -> None:
    training = Training(model)
    for _ in range(2):
        training.step(batches()["mixed"][0])


def _naive_alone() -> None:
    model = ecm()
    training = Training(model, lambda batch: naive_losses(model, batch), plain=True)
    for _ in range(2):
        training.step(batches()["mixed"][0])


def _search_alone() -> None:
    Searching(never_ending(a_seq2seq()), batches()["posts"][0]).together(range(ROWS), longest=2)


#: What a process of its own can be asked to do.
ALONE: dict[str, Callable[[], None]] = {
    "A-Seq2Seq training": lambda: _train_alone(a_seq2seq()),
    "full ECM training": lambda: _train_alone(ecm()),
    "naive ECM training": _naive_alone,
    "A-Seq2Seq beam": _search_alone,
}


def alone(name: str) -> dict[str, float]:
    """Do one thing and return the peaks of resident memory in MiB, before and after."""
    resting = peak()
    gc.collect()
    ALONE[name]()
    return {"peak": peak(), "resting": resting}


def peak() -> float:
    """Peak of this process's resident memory in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
