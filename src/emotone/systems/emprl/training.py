"""Both stages of EmpRL, from a config to a model folder.

A run folder holds one folder a stage, each of which answers: `base/` (a new T5 only),
`supervised/`, and one named after the algorithm. Run again after a kill, every stage goes on where
it stood; run again with another algorithm, the supervised stage is there already.

Source: EmpRL (arXiv 2408.02976) and its released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from emotone.judges import LABEL, open_identifier, open_judge
from emotone.metrics.empathy import context
from emotone.models import devices
from emotone.protocols import EmpathyReader
from emotone.rl.trainer import Development, reinforce
from emotone.rl.types import Policy
from emotone.systems.emprl.config import NEW, Config
from emotone.systems.emprl.corpus import Corpus, read_base, read_corpus, sides
from emotone.systems.emprl.folder import save_policy
from emotone.systems.emprl.policy import new_policy, open_policy
from emotone.systems.emprl.reward import EmpathyReward, make_reward
from emotone.systems.emprl.supervised import TokenPairs, supervise
from emotone.training.log import note
from emotone.training.seeding import seed_for
from emotone.training.settings import Training
from emotone.types import Example


def train(config: Config, out: Path) -> Path:
    """Train the supervised stage, then raise the reward.

    Args:
        config: How.
        out: The run folder.

    Returns:
        The folder of the reinforced model.

    Raises:
        EmotoneError: As the stages do.
    """
    out.mkdir(parents=True, exist_ok=True)
    corpus = read_corpus(config.data, config.supervised.seed)
    policy = _begun(config, corpus, out)
    read = _plain(asdict(config.policy))
    critic = {"detach_values": read.pop("detach_values")}  # of the second stage only
    made_with = {"data": corpus.hashes, "policy": read}
    learned, dev = token_pairs(policy, corpus.train), token_pairs(policy, corpus.dev)
    _teach(
        policy,
        learned,
        dev,
        config,
        config.supervised,
        out / "supervised",
        {**made_with, "data settings": _plain(asdict(config.data))},
    )
    policy.settle()
    place = out / config.reinforce.algorithm
    note(f"{config.reinforce.algorithm}: {config.reinforce.steps} steps")
    identifier = open_identifier(config.identifier)
    result = reinforce(
        policy,
        prompts=learned.prompts,
        reward=_reward(config, identifier, corpus.train),
        development=Development(dev.prompts, dev.replies, _reward(config, identifier, corpus.dev)),
        settings=config.reinforce,
        out=place,
        made_with={
            **made_with,
            **critic,
            "reward": asdict(config.reward),
            "identifier": config.identifier,
        },
    )
    if first():
        measured = {
            "steps": result.steps,
            "best_step": result.best_step,
            "dev_reward": result.best_reward,
            "stopped": result.stopped,
            "seconds": result.seconds,
        }
        save_policy(policy, place, config, stage=config.reinforce.algorithm, measured=measured)
    return place


def token_pairs(policy: Policy, examples: Sequence[Example]) -> TokenPairs:
    """Prompts and replies of examples as the policy's tokens."""
    prompts = policy.encode([example.dialogue for example in examples])
    return TokenPairs(prompts, policy.encode_replies([example.reply or "" for example in examples]))


def first() -> bool:
    """Tell whether this process writes files: the only one, or the first of several."""
    several = torch.distributed.is_available() and torch.distributed.is_initialized()
    return not several or torch.distributed.get_rank() == 0


def _begun(config: Config, corpus: Corpus, out: Path) -> Any:
    """Open the policy, or make a new T5 and let it learn to write dialogue."""
    # The critic learns in the second stage only; rloo and grpo have none.
    values = config.reinforce.algorithm == "ppo"
    seed = seed_for(config.supervised.seed, "policy")
    place = devices.place(config.supervised.device)
    if config.policy.model != NEW:
        return open_policy(config.policy, config.policy.model, place, seed=seed, values=values)
    base = [side for example in corpus.train for side in sides(example)]
    base += read_base(config.data.base)
    folder = out / "base"
    policy = new_policy(config.policy, base, folder, place, seed=seed, values=values)
    made_with = {"data": [path.name for path in config.data.base], "rows": len(base)}
    dev = token_pairs(policy, corpus.dev)
    _teach(policy, token_pairs(policy, base), dev, config, config.base, folder, made_with)
    return policy


def _teach(
    policy: Any,
    learned: TokenPairs,
    dev: TokenPairs,
    config: Config,
    settings: Training,
    folder: Path,
    made_with: dict[str, Any],
) -> None:
    """Run a stage of likelihood and write its folder, which is named as the stage."""
    note(f"{folder.name} stage: {len(learned)} replies to learn")
    fitted = supervise(policy, learned, dev, settings=settings, out=folder, made_with=made_with)
    if first():
        measured = {"steps": fitted.steps, "dev_nats": fitted.best_dev, "seconds": fitted.seconds}
        save_policy(policy, folder, config, stage=folder.name, measured=measured)


def _reward(
    config: Config, identifier: EmpathyReader, examples: Sequence[Example]
) -> EmpathyReward:
    """Reward replies to examples; where an emotion is rewarded, a classifier hears it."""
    replies = [example.reply or "" for example in examples]
    classifier = emotions = None
    if config.reward.emotion_weight:
        # The emotion that the reference has: the corpus says none of a listener's turn.
        classifier = open_judge(LABEL["en"])
        emotions = [scores.label for scores in classifier.classify(replies)]
    return make_reward(
        [context(example.dialogue) for example in examples],
        replies,
        config.reward,
        identifier=identifier,
        classifier=classifier,
        emotions=emotions,
    )


def _plain(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _plain(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_plain(value) for value in values]
    return values.name if isinstance(values, Path) else values
