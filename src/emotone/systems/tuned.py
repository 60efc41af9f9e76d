"""Tuned: a chat model taught to answer in the emotion that it is told in words.

The fine-tuning baseline of emotion vectors: adapters (LoRA) learn the replies of a corpus,

    loss = - sum_t log p(y_t | y_<t, system prompt with the emotion, dialogue) / T,

over the replies alone. The emotion stands in the system prompt in the words that `prompted` uses.
A neutral reply is learned under the plain prompt: whoever asks for no emotion gets it.

Source: Hu et al. 2022 (LoRA); fine-tuning is a baseline of the emotion vectors' paper.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotone import config as configs
from emotone.data.reading import Problems
from emotone.data.source import read_file
from emotone.data.split import train_and_dev
from emotone.emotions import EVERYDAY, EmotionMix, Taxonomy
from emotone.errors import CheckpointError, ConfigError, DataError, ModelMissing, UnknownName
from emotone.files import replacing
from emotone.lm.chat import FRIEND, system_prompt
from emotone.lm.decode import SEARCHES
from emotone.lm.told import Told
from emotone.models import devices
from emotone.models.catalog import languages_of
from emotone.training.adapters import Adapters, adapted_blocks
from emotone.training.log import note
from emotone.training.seeding import seed_for
from emotone.training.settings import Training
from emotone.types import Capabilities, Example

if TYPE_CHECKING:
    from emotone.models import CausalLM
    from emotone.rl.causal import CausalPolicy
    from emotone.rl.supervised import TokenPairs

FILE = "config.toml"
#: All linear maps of a block of a Llama-like model.
ALL_MAPS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
#: How ids of lines of everyday begin that nothing may learn from.
HELD_OUT = ("test-", "dev-", "near-")
#: Intensities that are told in training; the data has none, so each example draws one.
TOLD = (50.0, 75.0, 100.0)


@dataclass(frozen=True, slots=True)
class Data:
    """What is learned from.

    Args:
        train: Examples with replies and the emotions of them, as `emotone data prepare everyday`
            writes them.
        dev: The same, to choose the best weights by; None keeps `dev_share` of the posts apart.
        dev_share: Share of posts kept apart, by a hash of the first post of a conversation.
    """

    train: Path = Path("everyday.jsonl")
    dev: Path | None = None
    dev_share: float = 0.05

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 < self.dev_share < 0.5:
            raise ConfigError(f"data: dev_share is {self.dev_share}; use above 0 and below 0.5")


@dataclass(frozen=True, slots=True)
class LowRank(Adapters):
    """Adapters in all maps of every block."""

    rank: int = 32
    alpha: float = 64.0
    targets: tuple[str, ...] = ALL_MAPS


@dataclass(frozen=True, slots=True)
class Learning(Training):
    """A training that few thousand replies take well."""

    epochs: int = 2
    batch: int = 16
    lr: float = 2e-4
    clip: float = 1.0
    warmup: int = 30


@dataclass(frozen=True, slots=True)
class Config:
    """How the model learns and answers.

    Args:
        model: Chat model that learns: catalogue name, folder or hub id.
        system: System prompt before the emotion.
        max_prompt: Tokens that are read in training; the end of the dialogue is kept.
        max_reply: Tokens of a reply that are learned.
        batch: Rows a forward pass when it answers.
        adapters: The low-rank change.
        data: What is learned from.
        training: How.
    """

    model: str = "smollm2"
    system: str = FRIEND
    max_prompt: int = 200
    max_reply: int = 60
    batch: int = 32
    adapters: LowRank = field(default_factory=LowRank)
    data: Data = field(default_factory=Data)
    training: Learning = field(default_factory=Learning)

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("max_prompt", "max_reply", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; use 1 or more")


@dataclass(frozen=True, slots=True)
class Card:
    """What a model folder says of itself in `config.toml`.

    Args:
        base: The chat model that the adapters belong to.
        revision: What exactly its weights were.
        system: System prompt before the emotion.
        emotions: Labels of `everyday` that were told in training, in the order of the set.
        data: "train" and "dev" -> sha256 of the file.
        steps: Steps made.
        dev_nats: Nats a token on the development examples.
    """

    base: str
    revision: str
    system: str
    emotions: tuple[str, ...]
    data: dict[str, str] = field(default_factory=dict[str, str])
    steps: int = 0
    dev_nats: float = 0.0


class Tuned(Told):
    """A chat model with adapters that learned to answer in what it is told.

    Args:
        lm: The model, adapters merged into it.
        card: What its folder says.
        batch: Rows a forward pass.
    """

    name = "tuned"

    def __init__(self, lm: CausalLM, card: Card, batch: int = 32) -> None:
        capabilities = Capabilities(
            Taxonomy(EVERYDAY.name, card.emotions, EVERYDAY.aliases),
            graded=True,
            mixes=True,
            history=True,
            streaming=True,
            decoding=SEARCHES,
            languages=languages_of(card.base),
        )
        super().__init__(lm, capabilities, system=card.system, batch=batch)
        self.card = card


def train(config: Config, out: Path) -> Path:
    """Teach adapters the replies of a corpus; `out` becomes a model folder with the run beside it.

    Raises:
        DataError: If no example has a reply or an emotion, or one an emotion that `everyday` has
            not.
        EmotoneError: As `emotone.training.loop.fit`.
    """
    from emotone.models import load_causal_lm
    from emotone.rl.causal import CausalPolicy
    from emotone.rl.supervised import supervise
    from emotone.training.adapters import save_adapters
    from emotone.training.distributed import is_first_process

    learned, dev, hashes = train_and_dev(
        config.data.train,
        config.data.dev,
        _with_replies,
        share=config.data.dev_share,
        text_of=lambda example: example.dialogue.posts[0].text,
    )
    if not learned or not dev:
        raise DataError(
            f"{config.data.train} leaves {len(learned)} examples to learn from and {len(dev)} to"
            " choose by; name a file with more posts, or one of its own with data.dev"
        )
    told = {e.label for ex in learned if (mix := _told(ex.emotion, 100.0)) for e, _ in mix.parts}
    if not told:
        raise DataError(
            f"no example of {config.data.train} has an emotion to be told; label the replies first"
        )
    place = devices.place(config.training.device)
    # What is cut over several cards may be too large for one.
    lm = load_causal_lm(config.model, "cpu" if config.training.shard else place.type)
    if config.training.shard and place.type == "cuda":
        lm.model.bfloat16()  # rounded as it is where it is loaded on a card
    policy = CausalPolicy(
        lm.model.float(),
        lm.tokenizer,
        adapters=config.adapters,
        system=config.system,
        max_prompt=config.max_prompt,
        max_reply=config.max_reply,
        values=False,
        seed=seed_for(config.training.seed, "policy"),
    )
    seed = seed_for(config.training.seed, "told")
    fitted = supervise(
        policy,
        token_pairs(policy, learned, config, seed),
        token_pairs(policy, dev, config, seed + 1),
        settings=config.training,
        out=out,
        blocks=adapted_blocks(policy.model),
        depends_on={
            "data": hashes,
            "model": lm.revision,
            "reading": [config.system, config.max_prompt, config.max_reply],
            "adapters": configs.comparable(asdict(config.adapters)),
        },
    )
    if is_first_process():
        labels = tuple(e for e in EVERYDAY.labels if e in told)
        base = str(Path(config.model).resolve()) if Path(config.model).is_dir() else config.model
        save_adapters(policy.model, out, base=base)
        nats = fitted.best_dev if fitted.best_dev is not None else 0.0
        card = Card(base, lm.revision, config.system, labels, hashes, fitted.steps, nats)
        with replacing(out / "manifest.json") as path:
            path.write_text(json.dumps({"system": "tuned"}) + "\n", encoding="utf-8")
        with replacing(out / FILE) as path:  # last: a folder without it is incomplete
            path.write_text(configs.dump(card), encoding="utf-8")
    return out


def token_pairs(
    policy: CausalPolicy, examples: Sequence[Example], config: Config, seed: int
) -> TokenPairs:
    """Prompts that tell the emotions of examples, and their replies, as the policy's tokens.

    Args:
        policy: Whose tokens.
        examples: What is told and answered.
        config: How prompts are written.
        seed: Of the intensities that are told.
    """
    from emotone.rl.causal import chat_prompt
    from emotone.rl.supervised import TokenPairs

    drawn = np.random.default_rng(seed).choice(TOLD, len(examples))
    prompts = [
        chat_prompt(
            policy.codec.tokenizer,
            example.dialogue,
            system_prompt(config.system, _told(example.emotion, float(intensity))),
            config.max_prompt,
        )
        for example, intensity in zip(examples, drawn, strict=True)
    ]
    return TokenPairs(prompts, policy.codec.encode([str(example.reply) for example in examples]))


def _told(emotion: EmotionMix | None, intensity: float) -> EmotionMix | None:
    """What is told of an example's emotion: nothing of a neutral one."""
    if emotion is None or emotion.parts[0][0].label == EVERYDAY.neutral:
        return None
    if emotion.at_full is None:  # the corpus says how much
        return emotion
    return EmotionMix(((emotion.at_full, intensity),))


def _with_replies(path: Path) -> list[Example]:
    if not path.is_file():
        raise DataError(
            f"there is no file {path}; make it with `emotone data prepare everyday --split en-plain"
            f" --output {path}`, or name another with data.train"
        )
    examples = [e for e in read_file(path, Problems("raise")) if e.reply and e.reply.strip()]
    held_out = [e for e in examples if e.id.startswith(HELD_OUT)]
    if held_out:
        note(f"{len(held_out)} examples of {path} are held out for judges and tables: left alone")
        examples = [e for e in examples if not e.id.startswith(HELD_OUT)]
    for example in examples:
        for emotion, _ in example.emotion.parts if example.emotion else ():
            if emotion.label not in EVERYDAY.labels:
                raise DataError(
                    f"example {example.id} of {path} has the emotion {emotion.label!r} of"
                    f" {emotion.taxonomy}; use those of everyday ({', '.join(EVERYDAY.labels)})"
                )
    return examples


def load(model: str | None = None, *, device: str = "auto", config: Config | None = None) -> Tuned:
    """Load a trained model; its adapters are merged into the chat model that they belong to.

    Raises:
        ModelMissing: If no folder is given, as no weights of this system are shipped yet, or the
            chat model below it is not where it was.
        CheckpointError: If the folder is none of this system, or the chat model has changed.
        ConfigError: If a setting of the training is given.
    """
    from emotone.models import load_causal_lm
    from emotone.training.adapters import fold_adapters

    settings = config or Config()
    if settings != Config(batch=settings.batch):
        raise ConfigError("a trained model takes no setting but batch; the others are its own")
    if model is None:
        raise ModelMissing(
            "tuned has no shipped weights; train some with `emotone train tuned --out FOLDER` and"
            " give the folder with --model"
        )
    folder = Path(model)
    try:
        card = configs.load(Card, folder / FILE)
    except ConfigError as error:
        raise CheckpointError(
            f"{model} is not a folder of tuned ({error}); train it with `emotone train tuned`"
        ) from error
    try:
        lm = load_causal_lm(card.base, device)
    except UnknownName as error:
        raise ModelMissing(
            f"{model} holds adapters of {card.base}, which is not there; put it back, or set base"
            f" in {folder / FILE}"
        ) from error
    if lm.revision != card.revision:
        raise CheckpointError(
            f"{model} was trained on {card.base} of {card.revision}, and that is {lm.revision} now;"
            " train it anew"
        )
    fold_adapters(lm.model, folder)
    return Tuned(replace(lm, name=folder.resolve().name), card, settings.batch)


def tiny() -> Tuned:
    """Return the system on a random two-block model."""
    from emotone.models.tiny import tiny_causal_lm

    return Tuned(tiny_causal_lm(), Card("tiny", "tiny", FRIEND, EVERYDAY.labels[:7]))
