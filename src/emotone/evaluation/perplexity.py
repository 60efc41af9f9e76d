"""Perplexity of references under a system, and of replies under a fixed language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emotone.emotions import EmotionMix
from emotone.errors import DataError, Unsupported
from emotone.evaluation.scores import Scores
from emotone.metrics.base import Pair
from emotone.protocols import LikelihoodResponder, Responder
from emotone.types import Decoding, Dialogue, Example, Reply

if TYPE_CHECKING:
    import numpy as np

    from emotone.models import CausalLM

#: Rows between two calls of `progress`.
CHUNK = 64

METRICS = ("perplexity", "ecm_perplexity", "bits_per_character")


def perplexity(
    responder: Responder,
    examples: Sequence[Example],
    *,
    emotion: EmotionMix | None = None,
    rounds: int = 1000,
    seed: int = 0,
    manifest: dict[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Scores:
    """Measure how likely the examples' own replies are under a system, by teacher forcing.

    Args:
        responder: The system.
        examples: With replies; those without one are left out.
        emotion: Asked for every example; None takes the examples' own.
        rounds: Samples of the bootstrap.
        seed: Seed of the samples.
        manifest: Goes into the result.
        progress: Called with the number of references just read.

    Raises:
        Unsupported: If the system does not say how likely a reply is.
        DataError: If no example has a reply.
    """
    from emotone.evaluation.facts import run_facts
    from emotone.evaluation.measure import measure_all
    from emotone.metrics import Instruments

    able = check_likelihoods(responder)
    # A reply is what names system and model as replies.jsonl does; one token of it is enough.
    reply = responder.reply([Dialogue.of("Hello.")], [None], decoding=Decoding(max_tokens=1))[0]
    system, model = reply.system, reply.model
    takes = responder.capabilities.taxonomy is not None
    pairs: list[Pair] = []
    for example in examples:
        if example.reply is None or not example.reply.strip():
            continue
        mix = emotion if emotion is not None else example.emotion if takes else None
        pairs.append((example, Reply(example.reply, mix, system, model, 0, 0)))
    if not pairs:
        raise DataError('no example has a reply; perplexity needs the key "reply"')

    def counts(rows: Sequence[Pair]) -> np.ndarray:
        return _counts(able.nats, rows, progress)

    instruments = Instruments(
        perplexity=remembered(counts), perplexity_name=f"{system}:{model},references"
    )
    measured = measure_all(
        pairs,
        METRICS,
        instruments,
        run_facts(pairs, None),
        rounds=rounds,
        seed=seed,
        of_replies=False,
    )
    return Scores(
        system,
        model,
        len(pairs),
        measured.total,
        measured.per_emotion,
        manifest=dict(manifest or {}),
        at_full=measured.at_full,
    )


def check_likelihoods(responder: Responder) -> LikelihoodResponder:
    """Return the system as one that says how likely a given reply is.

    Raises:
        Unsupported: If it does not.
    """
    if not isinstance(responder, LikelihoodResponder):
        raise Unsupported(
            f"{type(responder).__name__} does not say how likely a given reply is; measure the"
            " perplexity of steered, prompted or a trained system"
        )
    return responder


@dataclass(frozen=True, slots=True)
class Fluency:
    """A fixed language model that says how likely replies are.

    Args:
        name: Model, revision and what it is given, for signatures.
        counts: Pairs -> nats, tokens and characters of each reply, [N, 3].
    """

    name: str
    counts: Callable[[Sequence[Pair]], np.ndarray]


def fluency_of(model: str, *, device: str = "auto") -> Fluency:
    """Load the language model under which replies are likely or not.

    The model reads the dialogue in its chat format, without an emotion or a system prompt. It
    stands in the signature: a system that answers with this very model is at an advantage.

    Raises:
        EmotoneError: As `emotone.models.load_causal_lm`.
    """
    from emotone.models import load_causal_lm

    return fluency_under(load_causal_lm(model, device=device))


def fluency_under(lm: CausalLM) -> Fluency:
    """Let a loaded language model say how likely replies are; see `fluency_of`."""
    from emotone.lm.chat import prompt_ids
    from emotone.lm.likelihood import reply_nats

    def nats(dialogues: Sequence[Any], _: Any, replies: Sequence[str]) -> list[tuple[float, int]]:
        prompts = [prompt_ids(lm.tokenizer, d) for d in dialogues]
        return reply_nats(lm.model, lm.tokenizer, list(zip(prompts, replies, strict=True)))

    name = f"{lm.name}@{lm.revision[:12]},replies,given:dialogue,end:yes"
    return Fluency(name, remembered(lambda rows: _counts(nats, rows, None)))


def remembered(counts: Callable[[Sequence[Pair]], np.ndarray]) -> Callable[..., np.ndarray]:
    """Let likelihoods be computed once, although several metrics ask for them."""
    known: dict[tuple[str, str | None, str], Any] = {}

    def key(pair: Pair) -> tuple[str, str | None, str]:
        example, reply = pair
        posts = " ".join(f"{p.speaker}{p.text}" for p in example.dialogue.posts)
        return posts, None if reply.emotion is None else str(reply.emotion), reply.text

    def ask(rows: Sequence[Pair]) -> np.ndarray:
        import numpy as np

        new = {key(pair): pair for pair in rows if key(pair) not in known}
        if new:
            known.update(zip(new, counts(list(new.values())), strict=True))
        return np.array([known[key(pair)] for pair in rows], np.float64).reshape(-1, 3)

    return ask


def _counts(
    nats: Callable[..., list[tuple[float, int]]],
    rows: Sequence[Pair],
    progress: Callable[[int], None] | None,
) -> np.ndarray:
    import numpy as np

    counts: list[tuple[float, int, int]] = []
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        likelihoods = nats(
            [e.dialogue for e, _ in part], [r.emotion for _, r in part], [r.text for _, r in part]
        )
        counts += [(*row, len(r.text)) for row, (_, r) in zip(likelihoods, part, strict=True)]
        if progress:
            progress(len(part))
    return np.array(counts, np.float64).reshape(-1, 3)
