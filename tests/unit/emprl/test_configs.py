"""The files of `configs/emprl` load, and their headers say how they were trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from emotone import config as configs
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
    ppo, drawn = paper.reinforce, paper.reinforce.sampling
    assert (ppo.algorithm, ppo.steps, ppo.batch, ppo.rows_a_pass, ppo.epochs) == (
        "ppo",
        1600,
        32,
        8,
        4,
    )
    assert (ppo.lr, ppo.clip_ratio, ppo.clip_value, ppo.value_weight) == (1e-5, 0.2, 0.2, 0.1)
    assert (ppo.kl, ppo.kl_target, ppo.kl_horizon, ppo.gamma, ppo.gae_lambda) == (
        0.2,
        6.0,
        10_000,
        1.0,
        0.95,
    )
    assert (drawn.top_k, drawn.temperature, drawn.min_tokens, drawn.max_tokens) == (20, 0.9, 5, 30)
    assert not paper.policy.detach_values
    assert paper.reward.form == "product"


def test_the_small_files_guard_the_reward():
    for name in ("t5-small", "smollm2"):
        reward = configs.load(Config, ROOT / f"configs/emprl/{name}.toml").reward
        guards = ("repetition_weight", "length_weight", "copy_weight", "common_weight")
        assert all(getattr(reward, guard) > 0 for guard in guards)
