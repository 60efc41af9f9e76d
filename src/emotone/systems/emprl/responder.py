"""EmpRL answers: with the empathy levels and the emotion of a request, or as the policy writes.

The policy was trained to be as empathic as people's replies are, not to take levels. Requested
levels are met by the best of several candidates: the one for which the identifier that also gave
the reward has the largest product of the probabilities of the three levels. A requested emotion
moves the hidden states of a chat model by its emotion vectors, as in `steered`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from emotone.emotions import EmotionMix
from emotone.errors import DataError, Unsupported
from emotone.judges import open_identifier
from emotone.lm.candidates import candidate_seed, write_candidates
from emotone.lm.decode import SEARCHES, stream
from emotone.lm.likelihood import reply_nats
from emotone.metrics.empathy import context
from emotone.models.catalog import languages_of
from emotone.protocols import EmpathyReader
from emotone.requests import check_request
from emotone.rl.causal import chat_prompt
from emotone.rl.seq2seq import source_ids
from emotone.steering.choose import NO_REPLY
from emotone.steering.ears import Ears
from emotone.steering.mood import Candidates, Doses, Mood
from emotone.systems.emprl.config import ReplySettings
from emotone.systems.emprl.folder import Card
from emotone.types import Capabilities, Decoding, Dialogue, EmpathyLevels, Reply

if TYPE_CHECKING:
    from emotone.models.load import CausalLM, Seq2SeqLM
    from emotone.steering.vectors import EmotionVectors

NAME = "emprl"
#: Judge of the requested levels: the one that may train, so that the scoring one stays a stranger.
IDENTIFIER = "empathy-reward"
#: Probabilities below this count as this much in a logarithm.
_FLOOR = 1e-30


class EmpRL:
    """A trained policy that answers.

    Args:
        lm: The model, adapters merged.
        card: How it reads, and what stage it comes from.
        settings: How candidates are made.
        vectors: Emotion vectors of a chat model; None for a model that has none.
        identifier: Judge of the requested levels; None opens "empathy-reward" when first needed.
    """

    def __init__(
        self,
        lm: CausalLM | Seq2SeqLM,
        card: Card,
        settings: ReplySettings,
        *,
        vectors: EmotionVectors | None = None,
        identifier: EmpathyReader | None = None,
    ) -> None:
        self._lm: Any = lm
        self._card = card
        self._settings = settings
        self._mood = None if vectors is None else Mood(self._lm, vectors, settings.batch)
        self._given = identifier
        self._stop: tuple[str, ...] = getattr(lm, "stop", ())
        known = vectors is not None
        self.capabilities = Capabilities(
            vectors.taxonomy if vectors else None,
            graded=known,
            mixes=known,
            empathy=True,
            history=True,
            streaming=True,
            decoding=SEARCHES,
            languages=languages_of(card.base or lm.name),
        )

    def reply(
        self,
        dialogues: Sequence[Dialogue],
        emotions: Sequence[EmotionMix | None],
        *,
        decoding: Decoding,
        empathy: Sequence[EmpathyLevels | None] | None = None,
    ) -> list[Reply]:
        """Answer each dialogue, with its empathy levels and in its emotion where requested.

        A row with levels gets the candidate with the largest product of their probabilities; with
        an emotion too, of this product and the probability that the listener gives to the emotion,
        to the power of its strength. A row with only an emotion is chosen as in `steered`.

        Raises:
            Unsupported: If levels are requested and there is one candidate only, or an emotion of
                a model that has no emotion vectors.
            DataError: If a list has another length.
        """
        self._check(dialogues, emotions, empathy, decoding)
        levels: list[EmpathyLevels | None] = list(empathy or [None] * len(dialogues))
        if any(levels):
            self._check_choice(decoding)
        doses = self._doses(emotions)
        prompts = [self._prompt(d) for d in dialogues]
        # A row that requests nothing has one candidate: there is nothing to choose by.
        requests = [bool(e) or any(d.values()) for d, e in zip(doses, levels, strict=True)]
        counts = [self._settings.candidates if requested else 1 for requested in requests]
        candidates = self._write_candidates(prompts, doses, counts, decoding)
        texts = [[reply.text for reply in row.replies] for row in candidates]
        seeds = [decoding.seed + i for i in range(len(prompts))]
        picks, probabilities = self._choose(dialogues, prompts, texts, doses, levels, seeds)
        replies: list[Reply] = []
        for i, pick in enumerate(picks):
            chosen = candidates[i].replies[pick]
            applied = self._report(candidates[i], doses[i], counts[i])
            if (requested := levels[i]) is not None:
                judge = self._identifier.name
                applied["empathy"] = str(requested)
                applied["probability"] = float(f"{probabilities[i]:.4g}")
                applied["identifier"] = judge
                applied["judges"] = [*applied["judges"], judge]
            replies.append(
                Reply(
                    chosen.text,
                    emotions[i],
                    NAME,
                    self._lm.name,
                    seeds[i],
                    chosen.tokens,
                    chosen.logprob,
                    applied,
                    chosen.finish_reason,
                )
            )
        return replies

    def nats(
        self,
        dialogues: Sequence[Dialogue],
        emotions: Sequence[EmotionMix | None],
        replies: Sequence[str],
    ) -> list[tuple[float, int]]:
        """Return nats and tokens of given replies, end token included, without a choice."""
        self._check(dialogues, emotions)
        prompts = [self._prompt(d) for d in dialogues]
        if self._mood:
            return self._mood.nats(prompts, self._mood.doses(emotions), replies)
        rows = list(zip(prompts, replies, strict=True))
        return reply_nats(self._lm.model, self._lm.tokenizer, rows, batch=self._settings.batch)

    def stream(
        self, dialogue: Dialogue, emotion: EmotionMix | None, *, decoding: Decoding
    ) -> Iterator[str]:
        """Yield one reply while it is written.

        What is sent cannot be taken back, so there is one candidate here.
        """
        self._check([dialogue], [emotion], decoding=decoding)
        prompt = self._prompt(dialogue)
        if self._mood:
            return self._mood.stream(prompt, self._mood.doses([emotion])[0], decoding)
        seed = candidate_seed(decoding.seed, 0)
        lm = self._lm
        return stream(lm.model, lm.tokenizer, prompt, decoding, seed, stop=self._stop)

    @property
    def ears(self) -> Ears | None:
        """What hears a post by the model itself; None without a listener."""
        return self._mood.ears(self._card.system) if self._mood else None

    @cached_property
    def _identifier(self) -> EmpathyReader:
        return self._given or open_identifier(IDENTIFIER)  # pyright: ignore[reportReturnType]

    def _check(
        self,
        dialogues: Sequence[Dialogue],
        emotions: Sequence[EmotionMix | None],
        empathy: Sequence[EmpathyLevels | None] | None = None,
        decoding: Decoding | None = None,
    ) -> None:
        if self._mood is None and any(emotions):
            if self._card.kind == "seq2seq":
                raise Unsupported(
                    "emotion vectors steer causal models only, and this policy is a T5; leave the "
                    "emotion out, or use a chat model's policy such as emprl-smollm2"
                )
            raise Unsupported(
                f"no emotion vectors are shipped for {self._card.base or self._lm.name!r}; leave "
                "the emotion out, or name a vector file with --set reply.vectors=FILE"
            )
        check_request(NAME, self.capabilities, dialogues, emotions, empathy, decoding)
        if empathy and len(empathy) != len(dialogues):
            raise DataError(
                f"{len(dialogues)} dialogues came with {len(empathy)} empathy levels; give levels "
                "(or None) for each dialogue"
            )

    def _check_choice(self, decoding: Decoding) -> None:
        if self._settings.candidates == 1:
            raise Unsupported(
                "empathy levels are met by a choice among candidates, and candidates is 1; use 2 "
                "or more with --set reply.candidates=4"
            )
        if decoding.strategy != "sample":
            raise Unsupported(
                f"empathy levels are met by a choice among replies that differ, which strategy "
                f"{decoding.strategy!r} does not write; use 'sample'"
            )

    def _prompt(self, dialogue: Dialogue) -> list[int]:
        tokenizer, card = self._lm.tokenizer, self._card
        if card.kind == "seq2seq":
            return source_ids(tokenizer, dialogue, card.separator, card.max_prompt)
        return chat_prompt(tokenizer, dialogue, card.system, card.max_prompt)

    def _doses(self, emotions: Sequence[EmotionMix | None]) -> list[Doses]:
        return self._mood.doses(emotions) if self._mood else [{} for _ in emotions]

    def _write_candidates(
        self,
        prompts: list[list[int]],
        doses: list[Doses],
        counts: list[int],
        decoding: Decoding,
    ) -> list[Candidates]:
        if self._mood:
            return self._mood.write_candidates(prompts, doses, counts, decoding)
        replies = write_candidates(
            self._lm.model,
            self._lm.tokenizer,
            prompts,
            counts,
            decoding,
            batch=self._settings.batch,
            stop=self._stop,
        )
        return [Candidates(row, None) for row in replies]

    def _choose(
        self,
        dialogues: Sequence[Dialogue],
        prompts: list[list[int]],
        texts: list[list[str]],
        doses: list[Doses],
        levels: list[EmpathyLevels | None],
        seeds: list[int],
    ) -> tuple[list[int], list[float]]:
        """Choose a candidate of each row; the probability of the requested levels comes with it."""
        mood = self._mood
        only_emotion = [{} if e else d for d, e in zip(doses, levels, strict=True)]
        both = [d if e else {} for d, e in zip(doses, levels, strict=True)]
        picks = mood.choose(prompts, texts, only_emotion, seeds) if mood else [0] * len(texts)
        probabilities = [0.0] * len(texts)
        if not any(levels):
            return picks, probabilities
        emotion = mood.scores(prompts, texts, both) if mood else [None] * len(texts)
        contexts = [context(dialogue) for dialogue in dialogues]
        empathy = level_probabilities(self._identifier, contexts, texts, levels)
        for i, requested in enumerate(levels):
            if requested is not None:
                picks[i] = best_candidate(texts[i], empathy[i], emotion[i])
                probabilities[i] = float(empathy[i][picks[i]])
        return picks, probabilities

    def _report(self, candidates: Candidates, doses: Doses, count: int) -> dict[str, Any]:
        applied: dict[str, Any] = {"tier": "none", "candidates": count}
        if self._mood:
            applied = self._mood.report(candidates.applied, doses, count)
        applied["stage"] = self._card.stage
        # Who gave the reward has shaped every reply, and must not be the one that scores it.
        applied["judges"] = [*applied.get("judges", ()), *filter(None, [self._card.identifier])]
        return applied


def level_probabilities(
    identifier: EmpathyReader,
    contexts: Sequence[str],
    candidates: Sequence[Sequence[str]],
    levels: Sequence[EmpathyLevels | None],
) -> list[np.ndarray]:
    """Compute the probability that each candidate has the requested levels of its row.

    Args:
        identifier: Judge of empathy.
        contexts: What each row answers, all posts in one text.
        candidates: Replies of each row.
        levels: Requested levels of each row; None for none.

    Returns:
        For each row the product over the three mechanisms of the level's probability, one a
        candidate; 0 for a reply without a word, and an empty array for a row without levels.

    Source: the reward of EmpRL (arXiv 2408.02976), for the product.
    """
    products = [
        np.zeros(0 if level is None else len(row))
        for row, level in zip(candidates, levels, strict=True)
    ]
    at = [(i, j) for i, row in enumerate(products) for j in range(len(row))]
    at = [(i, j) for i, j in at if candidates[i][j].strip()]
    if not at:
        return products
    of_levels = identifier.probabilities([(contexts[i], candidates[i][j]) for i, j in at])
    for (i, j), row in zip(at, of_levels, strict=True):
        requested = levels[i]
        if requested is not None:
            wanted = (requested.reaction, requested.interpretation, requested.exploration)
            products[i][j] = np.prod([row[k, level] for k, level in enumerate(wanted)])
    return products


def best_candidate(texts: Sequence[str], empathy: np.ndarray, emotion: Tensor | None = None) -> int:
    """Choose the candidate with the largest product of probabilities; of equal ones the first.

    Args:
        texts: The candidates.
        empathy: Probability of the requested levels of each.
        emotion: Score of the emotion of each, in nats, as `steering.choose.emotion_scores` has it;
            a nat of emotion counts as much as a nat of empathy.
    """
    score = np.log(np.maximum(empathy, _FLOOR))
    if emotion is not None:
        score = score + emotion.double().numpy()
    score = np.where([bool(text.strip()) for text in texts], score, NO_REPLY)
    return int(score.argmax())
