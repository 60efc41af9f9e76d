"""Both stages of EmpRL, from a config to a model folder: likelihood, then reward.

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

from emotone.config import comparable
from emotone.identity import digest_path
from emotone.judges import LABEL, open_identifier, open_judge
from emotone.metrics.empathy import context
from emotone.models import devices
from emotone.protocols import EmpathyReader
from emotone.rl.causal import CausalPolicy
from emotone.rl.policy import Policy
from emotone.rl.seq2seq import Seq2SeqPolicy
from emotone.rl.supervised import TokenPairs, supervise
from emotone.rl.trainer import Development, reinforce
from emotone.systems.emprl.config import NEW, Config
from emotone.systems.emprl.corpus import Corpus, read_base, read_corpus, sides
from emotone.systems.emprl.folder import save_policy
from emotone.systems.emprl.policy import new_policy, open_policy
from emotone.systems.emprl.reward import EmpathyReward, make_reward
from emotone.training.distributed import is_first_process
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
    policy = _open_policy(config, corpus, out)
    pairs, dev = token_pairs(policy, corpus.train), token_pairs(policy, corpus.dev)

    # What a stage depends on. Only the second one has a critic: the supervised stage of one run
    # serves trainings with and without `detach_values`.
    reading = comparable(asdict(config.policy))
    critic = {"detach_values": reading.pop("detach_values")}
    depends_on = {"data": corpus.hashes, "policy": reading}
    model = Path(config.policy.model)
    if config.policy.model != NEW and model.is_dir():
        depends_on["policy weights"] = digest_path(model)
    data = {"data settings": comparable(asdict(config.data))}
    _supervise(
        policy, pairs, dev, config, config.supervised, out / "supervised", {**depends_on, **data}
    )

    policy.freeze_reference()
    settings, folder = config.reinforce, out / config.reinforce.algorithm
    note(f"{settings.algorithm}: {settings.steps} steps")
    place = "cpu" if config.identifier_device == "cpu" else str(devices.place(settings.device))
    identifier = open_identifier(config.identifier, device=place)
    reward = asdict(config.reward)
    if reward["targets"] == "identifier":  # runs that began before there was a choice go on
        del reward["targets"]
    result = reinforce(
        policy,
        prompts=pairs.prompts,
        reward=_reward(config, identifier, corpus.train),
        development=Development(dev.prompts, dev.replies, _reward(config, identifier, corpus.dev)),
        settings=settings,
        out=folder,
        depends_on={
            **depends_on,
            **critic,
            "reward": reward,
            "identifier": _name_or_digest(config.identifier),
        },
    )
    if is_first_process():
        measured = {
            "steps": result.steps,
            "best_step": result.best_step,
            "dev_reward": result.best_reward,
            "stopped": result.stopped,
            "seconds": result.seconds,
        }
        save_policy(policy, folder, config, stage=settings.algorithm, measured=measured)
    return folder


def token_pairs(policy: Policy, examples: Sequence[Example]) -> TokenPairs:
    """Prompts and replies of examples as the policy's tokens."""
    prompts = policy.encode([example.dialogue for example in examples])
    return TokenPairs(prompts, policy.codec.encode([example.reply or "" for example in examples]))


def _open_policy(config: Config, corpus: Corpus, out: Path) -> Seq2SeqPolicy | CausalPolicy:
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
    files = {path.name: digest_path(path) for path in config.data.base}
    depends_on = {"data": files, "rows": len(base)}
    dev = token_pairs(policy, corpus.dev)
    _supervise(policy, token_pairs(policy, base), dev, config, config.base, folder, depends_on)
    return policy


def _supervise(
    policy: Seq2SeqPolicy | CausalPolicy,
    pairs: TokenPairs,
    dev: TokenPairs,
    config: Config,
    settings: Training,
    folder: Path,
    depends_on: dict[str, Any],
) -> None:
    """Run a stage of likelihood and write its folder, which is named as the stage."""
    note(f"{folder.name} stage: {len(pairs)} replies to learn")
    fitted = supervise(policy, pairs, dev, settings=settings, out=folder, depends_on=depends_on)
    if is_first_process():
        measured = {"steps": fitted.steps, "dev_nats": fitted.best_dev, "seconds": fitted.seconds}
        save_policy(policy, folder, config, stage=folder.name, measured=measured)


def _name_or_digest(identifier: str) -> str:
    """Return a name of the zoo as it is, and a digest of what an identifier's folder holds."""
    folder = Path(identifier)
    return digest_path(folder) if (folder / "judge.json").is_file() else identifier


def _reward(
    config: Config, identifier: EmpathyReader, examples: Sequence[Example]
) -> EmpathyReward:
    """Reward replies to examples; where an emotion is rewarded, a classifier reads it too."""
    replies = [example.reply or "" for example in examples]
    contexts = [context(example.dialogue) for example in examples]
    classifier = emotions = None
    if config.reward.emotion_weight:
        # The emotion that the reference has: the corpus says none of a listener's turn.
        classifier = open_judge(LABEL["en"])
        emotions = [scores.label for scores in classifier.classify(replies, contexts)]
    return make_reward(
        contexts,
        replies,
        config.reward,
        identifier=identifier,
        classifier=classifier,
        emotions=emotions,
        levels=[example.empathy for example in examples],
    )
