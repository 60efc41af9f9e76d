"""The files of `configs/emprl` load, and their headers say how they were trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from emotone import config as configs
from emotone.rl.settings import KL, PPO, Sampling
from emotone.systems.emprl import Config

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "configs/emprl").glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_file_loads_and_its_header_trains_it(path: Path):
    loaded = configs.load(Config, path)
    text = path.read_text("utf-8").split("\n\n")[0]
    assert f"emotone train emprl --config configs/emprl/{path.name}" in text
    for file in (loaded.data.train, loaded.data.dev, *loaded.data.base):
        assert file is None or f"-o {file}" in text


def test_the_papers_settings_are_those_of_its_code():
    """Source: the released code of EmpRL (arXiv 2408.02976), and trl 0.9.6."""
    paper = configs.load(Config, ROOT / "configs/emprl/paper-t5-base.toml")
    assert (paper.policy.model, paper.policy.max_prompt, paper.policy.max_reply) == (
        "t5-base",
        200,
        50,
    )
    first = paper.supervised
    assert (first.epochs, first.batch, first.lr, first.seed) == (3, 8, 1e-4, 42)
    run = paper.reinforce
    assert (run.algorithm, run.steps, run.batch, run.rows_a_pass) == ("ppo", 1600, 32, 8)
    assert (run.epochs, run.lr) == (4, 1e-5)
    ppo = PPO(clip_ratio=0.2, clip_value=0.2, value_weight=0.1, gamma=1.0, gae_lambda=0.95)
    assert (run.ppo, run.kl) == (ppo, KL(weight=0.2, target=6.0, horizon=10_000))
    # Their 30 and 5 count the start token: 29 new tokens, of which the fifth may be the end.
    assert run.sampling == Sampling(top_k=20, temperature=0.9, min_tokens=4, max_tokens=29)
    assert paper.identifier == "out/judges/empathy-paper"
    assert not paper.policy.detach_values
    assert paper.reward.form == "product"


def test_the_small_files_guard_the_reward():
    for name in ("t5-small", "smollm2"):
        reward = configs.load(Config, ROOT / f"configs/emprl/{name}.toml").reward
        guards = ("repetition_weight", "length_weight", "copy_weight", "common_weight")
        assert all(getattr(reward, guard) > 0 for guard in guards)
