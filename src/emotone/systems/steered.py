"""Steered: emotion vectors (EV) are added to the hidden states of a chat model.

    EV_e,l  = mean_q h_l(q | e) - mean_q h_l(q | neutral)            `extract._answer_differences`
    h_l    <- h_l + sum_e alpha_e EV_e,l                             the paper, while it answers
    D_e     = argmax_D sum log p(reply | post; h_l + D_l, every l)   `fit.fit`
    c_e(i)  = dose of emotion e at intensity i                       `dose.Curve.dose`
    h_l    <- h_l + sum_e c_e(i_e) D_e,l                             ours; `apply.steering`

h_l(q | e) is block l's mean activation over the model's own answer to query q under an instruction
to be in emotion e; D_e is fitted on replies in e while the model is frozen.

All named functions are in `emotone.steering`; `calibrate_vectors` below measures c_e. The model
gets no instruction. It is not trained either, but for the default model's companion, whose adapters
and D_e are learned together (`steering.companion`). Deviations, with reasons and measurements in
docs/systems/steered.md:

1. Directions are fitted, not averaged; the averages are `vectors extract --set method=answers`.
2. They act on the residual stream at all positions, not on the attention output at the last one.
3. Strength is a calibrated intensity from -100 to 100, not a raw multiple.
4. Of a few candidates one is kept, sampled by how well the model itself recognises the emotion in
   it (`steering.listen`, `steering.choose`), as strictly as the intensity asks, and by how much
   sense it sees in it.
5. Where everyday answers a post like this one in the asked emotion, its replies are among the
   candidates, and where one surely fits the model writes none (`steering.retrieve`).

Source: Dong et al. 2025, "Controllable Emotion Generation with Emotion Vectors" (arXiv 2502.04075).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from emotone.emotions import EmotionMix
from emotone.errors import ConfigError, Unsupported
from emotone.identity import digest
from emotone.lm.batching import Task
from emotone.lm.candidates import candidate_seed
from emotone.lm.chat import FRIEND, FRIENDS, NO_SYSTEM, prompt_ids, system_prompt
from emotone.lm.decode import SEARCHES, Written
from emotone.lm.small_talk import opened
from emotone.models.catalog import languages_of
from emotone.protocols import EmotionClassifier
from emotone.requests import check_request
from emotone.steering.calibrate import SweepSettings, calibrated, sweep
from emotone.steering.dose import Curve
from emotone.steering.ears import Ears
from emotone.steering.find import (
    give_adapters,
    likeness_of,
    moods_named,
    vectors_fitting,
    vectors_of,
)
from emotone.steering.fit import label_of
from emotone.steering.fluency import Embed, prompted_perplexity, tokenizer_words, words
from emotone.steering.likeness import Likeness
from emotone.steering.mixing import Mixing
from emotone.steering.mood import Candidates, Doses, Mood
from emotone.steering.moods import AnyMoods, Moods
from emotone.steering.retrieve import Retrieved, Retriever, log_shares, sure, wanted
from emotone.types import Capabilities, Decoding, Dialogue, EmpathyLevels, Example, Reply

if TYPE_CHECKING:
    from torch import Tensor

    from emotone.judges.sense import SenseJudge
    from emotone.models import CausalLM


@dataclass(frozen=True, slots=True)
class Config:
    """How the system answers.

    Args:
        vectors: A vector file, a folder of adapters with vectors, or the name of a shipped set; ""
            takes that of the model.
        companion: Whether "" takes the adapters that make the model talk, and their vectors, where
            there are some.
        system: System prompt; "" takes the one that the vectors were made with, "none" none.
        told: Also prompt the model for the emotion in words.
        candidates: Replies to choose from; 1 takes the first. Where nothing reads sense, a post
            without an emotion has one.
        sense: Judge of sense that helps to choose in place of the vectors' own readout, a name or
            a folder; "auto" takes the one that chooses in the model's language where it is
            installed, "" none.
        retrieve: Replies by hand that join the candidates, for vectors whose card tells how to
            weigh them and their own system prompt; 0 for none. One candidate leaves no choice.
        batch: Rows a forward pass, candidates included.
        mixing: "gram" lets each part of a mix reach what was asked (`steering.mixing`), "sum" adds
            the pushes that its emotions have alone.
    """

    vectors: str = ""
    companion: bool = True
    system: str = ""
    told: bool = False
    candidates: int = 4
    sense: str = ""
    retrieve: int = 6
    batch: int = 32
    mixing: Mixing = "gram"

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 1 <= self.candidates <= 64:
            raise ConfigError(f"candidates is {self.candidates}; use a number from 1 to 64")
        if not 0 <= self.retrieve <= 64:
            raise ConfigError(f"retrieve is {self.retrieve}; use a number from 0 to 64")
        if self.batch < 1:
            raise ConfigError(f"batch is {self.batch}; use 1 or more")


class Steered:
    """A chat model with emotion vectors or mood adapters."""

    def __init__(
        self,
        lm: CausalLM,
        vectors: Moods,
        config: Config,
        sense: Callable[[], SenseJudge | None] = lambda: None,
        likeness: Likeness | None = None,
    ) -> None:
        self._likeness = likeness
        vectors = replace(vectors, mixing=config.mixing)
        self._open_sense = sense
        self._mood = Mood(lm, vectors, config.batch)
        self._lm = lm
        self._config = config
        self.vectors = vectors
        named = config.system or vectors.card.system_prompt or FRIEND
        self._system = "" if named == NO_SYSTEM else named
        self.capabilities = Capabilities(
            vectors.taxonomy,
            graded=True,
            mixes=True,
            history=True,
            streaming=True,
            decoding=SEARCHES,
            languages=languages_of(lm.name),
        )

    def reply(
        self,
        dialogues: Sequence[Dialogue],
        emotions: Sequence[EmotionMix | None],
        *,
        decoding: Decoding,
        empathy: Sequence[EmpathyLevels | None] | None = None,
    ) -> list[Reply]:
        """Answer each dialogue in its emotion."""
        check_request("steered", self.capabilities, dialogues, emotions, empathy, decoding)
        doses = self._mood.doses(emotions)
        prompts = [self._prompt(d, e) for d, e in zip(dialogues, emotions, strict=True)]
        by_hand = [
            self._by_hand(*row, replace(decoding, seed=decoding.seed + i))
            for i, row in enumerate(zip(dialogues, emotions, strict=True))
        ]
        return self._answer(dialogues, prompts, list(emotions), doses, decoding, by_hand)

    def reply_raw(
        self,
        dialogues: Sequence[Dialogue],
        raw_scale: Sequence[Mapping[str, float]],
        *,
        decoding: Decoding,
    ) -> list[Reply]:
        """Answer at raw multiples of the directions, bypassing calibration; for calibrating."""
        prompts = [prompt_ids(self._lm.tokenizer, d, self._system) for d in dialogues]
        doses = [dict(d) for d in raw_scale]
        return self._answer(dialogues, prompts, [None] * len(prompts), doses, decoding)

    def nats(
        self,
        dialogues: Sequence[Dialogue],
        emotions: Sequence[EmotionMix | None],
        replies: Sequence[str],
    ) -> list[tuple[float, int]]:
        """Return nats and tokens of given replies, steered as in `reply`, without a choice."""
        check_request("steered", self.capabilities, dialogues, emotions)
        prompts = [self._prompt(d, e) for d, e in zip(dialogues, emotions, strict=True)]
        return self._mood.nats(prompts, self._mood.doses(emotions), replies)

    def prompted_perplexity(self, label: str, pairs: Sequence[tuple[Dialogue, str]]) -> float:
        """Perplexity of replies under the unsteered model prompted for an emotion; to calibrate."""
        mix = EmotionMix.of({label: 100.0}, self.vectors.taxonomy)
        lm = self._lm
        return prompted_perplexity(lm.model, lm.tokenizer, pairs, mix, system=self._system)

    def _prompt(self, dialogue: Dialogue, emotion: EmotionMix | None) -> list[int]:
        if self._system == FRIEND:
            dialogue = opened(dialogue, emotion)
        prompt = system_prompt(self._system, emotion if self._config.told else None)
        return prompt_ids(self._lm.tokenizer, dialogue, prompt)

    @property
    def ears(self) -> Ears | None:
        """What hears a post by the model itself; None without a listener."""
        return self._mood.ears(self._system)

    @cached_property
    def _sense(self) -> SenseJudge | None:
        """The judge of sense, loaded when it is first needed."""
        return self._open_sense()

    def _answer(
        self,
        dialogues: Sequence[Dialogue],
        prompts: list[list[int]],
        emotions: list[EmotionMix | None],
        doses: Sequence[Doses],
        decoding: Decoding,
        by_hand: Sequence[list[Retrieved]] | None = None,
    ) -> list[Reply]:
        by_hand = by_hand or [[] for _ in prompts]
        counts = [
            0 if _is_sure(dialogue, replies) else self._count(row)
            for dialogue, row, replies in zip(dialogues, doses, by_hand, strict=True)
        ]
        candidates = self._mood.write_candidates(prompts, doses, counts, decoding)
        return self._chosen(dialogues, prompts, emotions, doses, candidates, decoding.seed, by_hand)

    @cached_property
    def _retriever(self) -> Retriever | None:
        """Who finds replies by hand; None where none are wanted or nothing tells how to weigh."""
        card, config = self.vectors.card, self._config
        chooses = config.retrieve and config.candidates > 1 and self._reads_sense
        own = self._system == card.system_prompt and self._system in FRIENDS.values()
        if not (chooses and own and card.retrieval) or config.told:
            return None
        return Retriever(self._lm, self._system, card.retrieval, self._likeness)

    def _by_hand(
        self, dialogue: Dialogue, emotion: EmotionMix | None, decoding: Decoding
    ) -> list[Retrieved]:
        """Replies by hand that may answer; none where a reply is to have a least length.

        Where some surely fit, only these, but for a conversation: what was said before is not
        compared, so that the model's own candidates always stand beside them.
        """
        labels = wanted(emotion, dialogue.posts[-1].text, decoding.seed)
        if self._retriever is None or not labels or decoding.min_tokens:
            return []
        replies = self._retriever.replies(dialogue, labels, self._config.retrieve)
        replies = [reply for reply in replies if reply.tokens <= decoding.max_tokens]
        return sure(replies) if _is_sure(dialogue, replies) else replies

    def _count(self, doses: Doses) -> int:
        """Candidates of a reply: without a push and somebody who reads sense none is better."""
        return self._config.candidates if self._reads_sense or any(doses.values()) else 1

    @property
    def _reads_sense(self) -> bool:
        return self.vectors.sense is not None or self._judge is not None

    @property
    def _judge(self) -> SenseJudge | None:
        """The judge of sense that helps to choose."""
        return self._sense if self._config.candidates > 1 else None

    def _chosen(
        self,
        dialogues: Sequence[Dialogue],
        prompts: Sequence[list[int]],
        emotions: Sequence[EmotionMix | None],
        doses: Sequence[Doses],
        candidates: Sequence[Candidates],
        seed: int,
        by_hand: Sequence[list[Retrieved]],
    ) -> list[Reply]:
        judge = self._judge
        texts = [[reply.text for reply in row.replies] for row in candidates]
        seeds = [seed + i for i in range(len(prompts))]
        replies: list[Reply] = []
        sense = None if judge is None else _expected_content(judge, dialogues, texts)
        shares = [log_shares(row) for row in by_hand]
        for i, pick in enumerate(self._mood.choose(prompts, texts, doses, seeds, sense, shares)):
            row, count = candidates[i], len(candidates[i].replies)
            told = system_prompt("", emotions[i]) if self._config.told else ""
            own = row.replies[pick] if pick < count else None
            pushed = (row.applied, doses[i]) if own else (None, {})
            applied = self._mood.report(*pushed, count + len(by_hand[i]), told=told)
            if judge is not None:
                applied["judges"] = [*applied["judges"], judge.name]
            if own is None:
                chosen = by_hand[i][pick - count]
                applied["retrieved"] = chosen.line
                rest = chosen.tokens, None, applied, "stop"
            else:
                chosen = own
                rest = own.tokens, own.logprob, applied, own.finish_reason
            names = "steered", self._lm.name
            replies.append(Reply(chosen.text, emotions[i], *names, seeds[i], *rest))
        return replies

    def task(
        self,
        dialogue: Dialogue,
        emotion: EmotionMix | None,
        *,
        decoding: Decoding,
        streaming: bool = False,
        own_words: bool = False,
    ) -> Task:
        """Describe a reply that is written in a running batch; the same as `reply` gives.

        Args:
            dialogue: What is answered.
            emotion: As for `reply`.
            decoding: As for `reply`.
            streaming: Whether what is written is sent at once, which leaves no choice; a reply by
                hand that surely fits is taken.
            own_words: Whether no reply by hand is.
        """
        check_request("steered", self.capabilities, [dialogue], [emotion], decoding=decoding)
        doses = self._mood.doses([emotion])[0]
        prompt = self._prompt(dialogue, emotion)
        by_hand = [] if own_words else self._by_hand(dialogue, emotion, decoding)
        count = 1 if streaming else self._count(doses)
        if _is_sure(dialogue, by_hand):
            count = 0
        elif streaming:
            by_hand = []

        def finish(written: Sequence[Written]) -> Reply:
            applied = self._mood.in_batch if any(doses.values()) and written else None
            row = Candidates(list(written), applied)
            seed = decoding.seed
            return self._chosen([dialogue], [prompt], [emotion], [doses], [row], seed, [by_hand])[0]

        seeds = [candidate_seed(decoding.seed, i) for i in range(count)]
        return Task(self._lm, prompt, decoding, seeds, finish, self.vectors, doses)

    def stream(
        self, dialogue: Dialogue, emotion: EmotionMix | None, *, decoding: Decoding
    ) -> Iterator[str]:
        """Yield one reply while it is written.

        What is sent cannot be taken back, so there is one candidate here, or replies by hand where
        one of them surely fits.
        """
        check_request("steered", self.capabilities, [dialogue], [emotion], decoding=decoding)
        prompt = self._prompt(dialogue, emotion)
        doses = self._mood.doses([emotion])[0]
        by_hand = self._by_hand(dialogue, emotion, decoding)
        if _is_sure(dialogue, by_hand):
            row, seed = Candidates([], None), decoding.seed
            rows = self._chosen([dialogue], [prompt], [emotion], [doses], [row], seed, [by_hand])
            return iter([rows[0].text])
        return self._mood.stream(prompt, doses, decoding)


def _is_sure(dialogue: Dialogue, by_hand: Sequence[Retrieved]) -> bool:
    """Tell whether replies by hand fit so well that the model need not write one."""
    return len(dialogue.posts) == 1 and bool(sure(by_hand))


def _expected_content(
    judge: SenseJudge, dialogues: Sequence[Dialogue], texts: Sequence[Sequence[str]]
) -> list[Tensor]:
    """Log of the expected content of each row's candidates, as a share of 2."""
    import torch

    pairs = [
        (d.posts[-1].text, text) for d, row in zip(dialogues, texts, strict=True) for text in row
    ]
    expected = torch.tensor(judge.content(pairs), dtype=torch.float32) @ torch.tensor([0, 0.5, 1])
    return list(expected.clamp_min(1e-6).log().split([len(row) for row in texts]))


def _chooser(config: Config, languages: Sequence[str]) -> SenseJudge | None:
    """Open the judge of sense that a configuration asks for."""
    from emotone import judges

    name = config.sense
    if name == "auto":
        named = [judges.SENSE_CHOOSE[lang] for lang in languages if lang in judges.SENSE_CHOOSE]
        name = next((n for n in named if n in judges.sense_judges()), "")
    return judges.open_sense(name) if name else None


def calibrate_vectors(
    lm: CausalLM,
    vectors: AnyMoods,
    posts: Sequence[str],
    judge: EmotionClassifier,
    *,
    known_texts: Iterable[str] = (),
    human: Iterable[Example] = (),
    embed: Embed | None = None,
    config: Config | None = None,
    settings: SweepSettings | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AnyMoods:
    """Measure how the system answers at each dose, and store the map from intensity to dose.

    Args:
        lm: The model that the vectors were made for.
        vectors: Vectors, calibrated or not; earlier curves are replaced.
        posts: Posts to answer; use 20 or more, and none of those that report the result.
        judge: Classifies the replies; it was trained on no text that made the vectors.
        known_texts: Texts whose words count as known, beside the words of the tokenizer.
        human: Replies by people with one emotion each: the 1 of the perplexity ratio. Without
            them the ratio is not measured.
        embed: Text embedding for similarity; None loads the sentence encoder of the catalogue.
        config: How the system answers; use the vectors with the same number of candidates.
        settings: Which doses are tried, and what fluent means.
        checkpoint: JSON file that keeps the replies, so that a killed sweep goes on.
        progress: Called with (doses done, doses in all).

    Returns:
        The vectors with a dose curve for each emotion and the measurements in their card.

    Raises:
        SteeringError: If the vectors belong to another model, or no emotion has a fluent dose at
            which the judge finds it more often than without steering. Where some have, the others
            stand in the card under "uncalibrated".
        ConfigError: If the checkpoint is of other vectors, posts or settings of the system.
    """
    from emotone.models.embed import sentence_embedder

    config = config or Config()
    settings = settings or SweepSettings()
    # The sweep sets raw doses. Curves of an earlier calibration would change how strictly
    # candidates are chosen; this one only scales the choice with the dose.
    straight = Curve(((-100.0, -0.2), (0.0, 0.0), (100.0, 1.0)))
    card = replace(vectors.card, curves=dict.fromkeys(vectors.labels, straight))
    system = Steered(lm, replace(vectors, card=card), config)
    decoding = Decoding(seed=1000)

    def answer(dialogues: Sequence[Dialogue], doses: Sequence[Doses]) -> list[str]:
        return [r.text for r in system.reply_raw(dialogues, doses, decoding=decoding)]

    pairs: dict[str, list[tuple[Dialogue, str]]] = {}
    for example in human:
        if example.reply is not None and (label := label_of(example)) in vectors.labels:
            pairs.setdefault(label, []).append((example.dialogue, example.reply))
    points = sweep(
        vectors.labels,
        posts,
        answer,
        judge,
        embed=embed or sentence_embedder(),
        vocabulary=tokenizer_words(lm.tokenizer) | {w for t in known_texts for w in words(t)},
        perplexity=system.prompted_perplexity,
        human=pairs,
        settings=settings,
        checkpoint=checkpoint,
        depends_on={
            "vectors": vectors.digest(),
            "posts": digest(list(posts)),
            "system": digest([lm.revision, asdict(config)]),
        },
        progress=progress,
    )
    return calibrated(vectors, points, settings.limits, judge.name)


def load(
    model: str | None = None, *, device: str = "auto", config: Config | None = None
) -> Steered:
    """Load a chat model and its vectors.

    Raises:
        Unsupported: If no vectors are shipped for the model and none are named.
    """
    from emotone.models import DEFAULT, load_causal_lm

    config = config or Config()
    name = model or DEFAULT
    file = config.vectors or vectors_of(name, companion=config.companion)
    vectors = moods_named(name, file)
    lm = load_causal_lm(name, device=device)
    likeness = None
    if vectors is not None:
        give_adapters(lm.model, vectors, file)
        likeness = likeness_of(vectors, file)
    # A folder may hold the default model under another name: its weights tell.
    vectors = vectors or vectors_fitting(lm.model)
    if vectors is None:
        raise Unsupported(
            f"there are no emotion vectors for {name!r} yet; make them by `emotone vectors make"
            f" {name}`, or name a file with --set vectors=FILE"
        )
    languages = languages_of(lm.name)
    return Steered(lm, vectors, config, lambda: _chooser(config, languages), likeness)


def train(config: Config, out: Path) -> Path:
    """Raise: vectors are extracted, not trained with the system."""
    raise Unsupported("steered has nothing to train; use `emotone vectors extract` and `calibrate`")


def tiny() -> Steered:
    """Return the system on a random three-block model with random vectors and ears."""
    from emotone.models.tiny import tiny_causal_lm
    from emotone.steering.tiny import tiny_vectors

    lm = tiny_causal_lm()
    return Steered(lm, tiny_vectors(lm.model), replace(Config(), candidates=2))
