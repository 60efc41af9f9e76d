"""Answers for the table of the emotion-vector paper, at raw multiples of the vectors.

The posts are EmotionQuery+; each emotion's vector is added -1, 0, 1, 2 and 4 times, and so is the
mean of all, their base. Controls are a random vector of equal length, the emotion asked in words,
and both together. Every condition has a file of replies, which a killed run goes on with.

Source: Dong et al. 2025 (arXiv 2502.04075); sampling as in code/api.py of xuanfengzu/EmotionVector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from emotone.data.corpora import emotionquery
from emotone.data.reading import Problems
from emotone.data.text import text_key
from emotone.emotions import EKMAN, EmotionMix
from emotone.errors import ConfigError, DataError, Unsupported
from emotone.evaluation.generate import finished, generate
from emotone.evaluation.manifest import read_manifest
from emotone.evaluation.records import read_replies_files
from emotone.files import write_json
from emotone.identity import check_same, digest
from emotone.lm.chat import FRIEND, NO_SYSTEM
from emotone.protocols import Responder
from emotone.steering.dose import Curve, Doses
from emotone.steering.extract import PRESETS, ExtractSettings, data_hash, extract
from emotone.steering.vectors import EmotionVectors
from emotone.systems import prompted, steered
from emotone.types import Capabilities, Decoding, Dialogue, EmpathyLevels, Example, Reply

if TYPE_CHECKING:
    from emotone.metrics.base import Pair
    from emotone.models import CausalLM

#: The emotions of the paper, in the order of its posts.
EMOTIONS = emotionquery.BLOCKS
#: What they share: the mean of their vectors.
BASE = "base"
#: Multiples of a vector in the paper's table.
ALPHAS = (-1.0, 0.0, 1.0, 2.0, 4.0)
#: The multiple at which vectors stand beside their controls, since the paper prints its EPS there.
CONTROL = 2.0
#: Sampling of the published demo.
PUBLISHED = Decoding(
    temperature=0.6,
    top_p=0.9,
    max_tokens=512,
    repetition_penalty=1.0,
    no_repeat=0,
    sentence_end_after=1.0,
)
#: Rows that share a forward pass.
_BATCH = 32

Kind = Literal["plain", "vector", "random", "prompted", "prompt + vector"]
Bar = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True, slots=True)
class Queries:
    """Posts to answer, and queries to make vectors from.

    Args:
        posts: Of EmotionQuery+; each id says emotional or neutral, and seen or unseen, which is
            whether EmotionQuery holds the post too.
        queries: Of EmotionQuery, each with its emotion.
        leaked: Emotional posts of the whole EmotionQuery+ that stand in EmotionQuery.
        emotional: Emotional posts of the whole EmotionQuery+.
    """

    posts: tuple[Example, ...]
    queries: tuple[Example, ...]
    leaked: int
    emotional: int

    @property
    def digest(self) -> str:
        """Hash of the posts and their ids."""
        return digest([[e.id, e.dialogue.posts[-1].text] for e in self.posts])


@dataclass(frozen=True, slots=True)
class Condition:
    """One way to answer all posts.

    Args:
        kind: What acts on the model.
        emotion: Which emotion, or "base"; "" for plain answers.
        alpha: Multiple of the vector; 0 where none acts.
    """

    kind: Kind
    emotion: str = ""
    alpha: float = 0.0

    @property
    def file(self) -> str:
        """Name of its file of replies, such as "vector-joy-2.jsonl"."""
        kind = self.kind.replace(" + ", "-and-")
        return f"{kind}-{self.emotion or 'none'}-{self.alpha:g}.jsonl"


def read_queries(
    where: Path, each: int | None = None, *, queries: int | None = None, held_out: bool = False
) -> Queries:
    """Read EmotionQuery and EmotionQuery+.

    Args:
        where: The folder of both files.
        each: Posts of each emotion, and three times as many neutral ones, as 50 and 150 are in the
            whole; evenly spaced. None takes all.
        queries: Queries of each emotion, evenly spaced; None takes all.
        held_out: Leave out the queries that are posts too.

    Raises:
        DataError: If a file is not there or of another form, or nothing is left.
    """
    problems = Problems()
    asked = list(emotionquery.read(where, problems, split="queries"))
    posts = list(emotionquery.read(where, problems, split="plus"))
    known = {text_key(e.dialogue.posts[-1].text) for e in asked}
    seen = [text_key(e.dialogue.posts[-1].text) in known for e in posts]
    parts = [emotionquery.plus_part(i) for i in range(len(posts))]
    named = [
        replace(e, id=f"{part}-{'seen' if leaked else 'unseen'}-{i}")
        for i, (e, part, leaked) in enumerate(zip(posts, parts, seen, strict=True))
    ]
    if held_out:
        ours = {text_key(e.dialogue.posts[-1].text) for e in posts}
        asked = [e for e in asked if text_key(e.dialogue.posts[-1].text) not in ours]
    chosen = [
        e
        for label, group in _by_emotion(named).items()
        for e in _spaced(group, each if each is None or label in EMOTIONS else 3 * each)
    ]
    made_from = [e for group in _by_emotion(asked).values() for e in _spaced(group, queries)]
    if not chosen or not made_from:
        raise DataError(
            f"{where} holds {len(posts)} posts of EmotionQuery+ and {len(asked)} queries of"
            " EmotionQuery to use; give the folder of both published files"
        )
    emotional = [leaked for leaked, part in zip(seen, parts, strict=True) if part == "emotional"]
    return Queries(tuple(chosen), tuple(made_from), sum(emotional), len(emotional))


def _by_emotion(examples: Sequence[Example]) -> dict[str, list[Example]]:
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(_emotion(example), []).append(example)
    return groups


def _emotion(example: Example) -> str:
    emotion = example.dialogue.posts[-1].emotion
    return "" if emotion is None else emotion.label


def _spaced(examples: Sequence[Example], count: int | None) -> list[Example]:
    if count is None or count >= len(examples):
        return list(examples)
    return [examples[len(examples) * i // count] for i in range(count)]


def paper_vectors(
    lm: CausalLM,
    queries: Sequence[Example],
    path: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> EmotionVectors:
    """Make the paper's vectors of a model from its own answers to queries, or read them again.

    Args:
        lm: The model.
        queries: Posts with their emotion.
        path: The vector file; one of other queries or another model is refused.
        progress: Called with (emotions done, emotions in all).

    Raises:
        ConfigError: If the file was made from other queries.
        SteeringError: If it was made for another model.
    """
    if not path.exists():
        settings = ExtractSettings(**PRESETS["paper"])
        extract(lm, queries, settings=settings, progress=progress).save(path)
    vectors = EmotionVectors.load(path)  # of both ways in the file's float16
    if vectors.card.data != data_hash(queries):
        raise ConfigError(f"{path} was made from other queries; name another folder")
    vectors.check_model(lm.model)
    return vectors


def of_paper_only(vectors: EmotionVectors) -> EmotionVectors:
    """Keep the paper's emotions and add their base, where it is not there.

    Raises:
        Unsupported: If there are fewer than two of them.
    """
    labels = [label for label in EMOTIONS if label in vectors.labels]
    if len(labels) < 2:
        raise Unsupported(
            f"these vectors hold {', '.join(vectors.labels)}; the table needs two or more of"
            f" {', '.join(EMOTIONS)}"
        )
    own = vectors.only(*labels)
    base = vectors.directions[BASE] if BASE in vectors.labels else own.base()
    return replace(own, directions={**own.directions, BASE: base})


def conditions(labels: Sequence[str], *, controls: bool = False) -> list[Condition]:
    """List what is answered: plain, each vector at each multiple, and controls."""
    listed = [Condition("plain")]
    listed += [Condition("vector", label, a) for label in labels for a in ALPHAS if a]
    if controls:
        emotions = [label for label in labels if label != BASE]
        listed += [Condition("random", label, CONTROL) for label in emotions]
        listed += [Condition("prompted", label) for label in emotions]
        listed += [Condition("prompt + vector", label, CONTROL) for label in emotions]
    return listed


def random_vectors(vectors: EmotionVectors, seed: int) -> EmotionVectors:
    """Return vectors of random direction and, block by block, of the same length.

    Args:
        vectors: Whose lengths, [L] an emotion, are kept.
        seed: Seed of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn: dict[str, torch.Tensor] = {}
    for label, direction in vectors.directions.items():
        noise = torch.randn(direction.shape, generator=generator)
        lengths = direction.norm(dim=-1, keepdim=True)
        drawn[label] = noise / noise.norm(dim=-1, keepdim=True) * lengths
    return replace(vectors, directions=drawn)


@dataclass(frozen=True, slots=True)
class _AtDoses:
    """A steered model that answers everything at the same raw doses."""

    system: steered.Steered
    doses: Doses

    @property
    def capabilities(self) -> Capabilities:
        """As the system's."""
        return self.system.capabilities

    def reply(
        self,
        dialogues: Sequence[Dialogue],
        emotions: Sequence[EmotionMix | None],  # noqa: ARG002 - none are asked
        *,
        decoding: Decoding,
        empathy: Sequence[EmpathyLevels | None] | None = None,  # noqa: ARG002
    ) -> list[Reply]:
        """Answer each dialogue."""
        return self.system.reply_raw(dialogues, [self.doses] * len(dialogues), decoding=decoding)


def responder(
    lm: CausalLM, vectors: EmotionVectors, condition: Condition, *, seed: int = 0
) -> tuple[Responder, EmotionMix | None]:
    """Return who answers in a condition, and which emotion it is asked for in words.

    Args:
        lm: The model.
        vectors: As `of_paper_only` returns them.
        condition: The condition.
        seed: Seed of random vectors.
    """
    system = vectors.card.system_prompt or FRIEND
    if condition.kind in ("prompted", "prompt + vector"):
        mix = EmotionMix.of({condition.emotion: 100.0}, EKMAN)
        if condition.kind == "prompted":
            told = prompted.Config(system="" if system == NO_SYSTEM else system)
            return prompted.Prompted(lm, told), mix
        # What is asked at 100 acts at the raw multiple.
        top = condition.alpha
        straight = Curve(((-100.0, -top), (0.0, 0.0), (100.0, top)))
        own = vectors.only(condition.emotion)
        own = replace(own, card=replace(own.card, curves={condition.emotion: straight}))
        config = steered.Config(system=system, told=True, candidates=1, batch=_BATCH)
        return steered.Steered(lm, own, config), mix
    if condition.kind == "random":
        vectors = random_vectors(vectors, seed)
    config = steered.Config(system=system, candidates=1, batch=_BATCH)
    doses = {condition.emotion: condition.alpha} if condition.emotion else {}
    return _AtDoses(steered.Steered(lm, vectors, config), doses), None


def run_identity(
    lm: CausalLM, vectors: EmotionVectors, queries: Queries, decoding: Decoding
) -> dict[str, Any]:
    """Return all that a reply depends on besides its condition, JSON-ready."""
    return {
        "model": lm.name,
        "revision": lm.revision,
        "vectors": vectors.digest(),
        "method": vectors.card.method,
        "site": vectors.card.site,
        "positions": vectors.card.positions,
        "system_prompt": vectors.card.system_prompt or FRIEND,
        "posts": queries.digest,
        "decoding": asdict(decoding),
    }


def answer_all(
    lm: CausalLM,
    vectors: EmotionVectors,
    queries: Queries,
    wanted: Sequence[Condition],
    folder: Path,
    decoding: Decoding,
    *,
    bar: Bar,
) -> Iterator[tuple[Condition, list[Pair]]]:
    """Answer all posts in each condition; what the folder holds is not answered anew.

    Post i has the seed `decoding.seed + i` in every condition, so that conditions go in pairs.

    Args:
        lm: The model.
        vectors: As `of_paper_only` returns them.
        queries: The posts.
        wanted: See `conditions`.
        folder: Where the files of replies are, and `run.json` with what they depend on.
        decoding: How answers are sampled.
        bar: Called with a title and the number of replies that are left.

    Yields:
        Each condition with its replies, in the order of the posts.

    Raises:
        ConfigError: If the folder was begun with another model, vectors, posts or decoding.
    """
    record, now = folder / "run.json", run_identity(lm, vectors, queries, decoding)
    before = read_manifest(record)
    if before:
        check_same(before, now, folder, "name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(record, now)
    posts = list(enumerate(queries.posts))
    done: Mapping[Condition, set[str]] = {c: finished(folder / c.file) for c in wanted}
    left = sum(len(posts) - len(ids) for ids in done.values())
    with bar("answers", left) as advance:
        for condition, ids in done.items():
            path = folder / condition.file
            if len(ids) < len(posts):
                system, mix = responder(lm, vectors, condition, seed=decoding.seed)
                with path.open("a", encoding="utf-8") as out:
                    generate(
                        system,
                        posts,
                        out,
                        emotion=mix,
                        decoding=decoding,
                        batch=_BATCH,
                        done=ids,
                        progress=advance,
                    )
            yield condition, read_replies_files([path])
