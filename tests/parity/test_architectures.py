"""Every causal architecture of transformers: steering acts as by hand, or raises; none is plain."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from parity.sweep import Row, examine
from parity.tiny_architectures import KINDS

SCRIPT = Path(__file__).parents[2] / "docs" / "reference" / "make_architectures.py"
#: One of each sort, and those that were once steered in silence: OPT, the Mambas, half precision.
FAST = ("llama", "opt", "mamba", "gemma3", "gemma3n_text", "qwen3_next", "lfm2", "xlnet")


def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_architectures", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", FAST)
def test_one_of_each_sort_acts_or_raises(kind: str):
    row = examine(kind)
    assert not row.built
    assert not row.wrong, row.outcomes
    assert ("acts" in row.outcomes.values()) == (kind != "xlnet")


@pytest.mark.slow
def test_all_of_them_act_or_raise_and_the_page_says_so():
    rows = [examine(kind) for kind in KINDS]
    assert [(row.kind, row.wrong) for row in rows if row.wrong] == []
    assert sum(row.acts for row in rows) > 100
    # Which tiny models can be built depends on what else is installed, such as PIL.
    page = make().PAGE.read_text(encoding="utf-8")
    assert [row.kind for row in rows if row.kind not in page] == []


def test_a_family_that_stays_plain_would_be_seen(monkeypatch: pytest.MonkeyPatch):
    from emotone.steering.attach import HookAttachment

    real = HookAttachment.set
    asked: list[int] = []

    def nothing(self: HookAttachment, displacement: object) -> None:
        asked.append(1)
        real(self, displacement * (len(asked) < 4))  # as asked in its own test, then nothing

    monkeypatch.setattr(HookAttachment, "set", nothing)
    row = examine("stablelm")
    assert "WRONG: plain" in row.outcomes.values()


def test_the_page_groups_what_was_found():
    rows = [
        Row("one", tier="rows", outcomes={"resid": "acts", "generate, last": "acts"}),
        Row("two", outcomes={"resid": "it has no blocks; use another"}),
        Row("three", built="ImportError: a kernel"),
    ]
    page = make().render(rows)
    assert "1 act, 1 raise, 1 are not run, 0 silent" in page
    assert "it has no blocks; use another" in page
