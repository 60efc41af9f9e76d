"""The recipe that holds ways to find a direction against each other."""

from __future__ import annotations

import torch
from recipes.directions import make

from emotone.models.tiny import tiny_causal_lm
from emotone.steering.layers import blocks, width
from emotone.steering.record import recording


def test_a_push_to_a_level_ends_there_and_leaves_what_is_above():
    model = tiny_causal_lm().model
    depth, size = len(blocks(model)), width(model)
    unit = torch.nn.functional.normalize(torch.ones(depth, size), dim=-1)
    ids = torch.arange(6)[None] + 5

    def along(level: float, dose: float) -> torch.Tensor:
        with (
            torch.no_grad(),
            make.pushed_to(model, (unit, torch.full((depth,), level)), dose),
            recording(model) as states,
        ):
            model(ids)
        return states[0][0] @ unit[0]

    plain = along(-100.0, 1.0)
    pushed = along(7.0, 1.0)
    assert torch.equal(pushed[:-1], plain[:-1])  # the last column alone
    torch.testing.assert_close(pushed[-1], torch.tensor(7.0))
    torch.testing.assert_close(along(7.0, 0.5)[-1], torch.tensor(3.5))


def test_the_page_holds_every_way_and_model_that_was_measured():
    number = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 48}
    cell = dict.fromkeys(make.METRICS, number)
    ways = {"mean": {"0.3": cell, "1.0": cell}, "made": {"1.0": cell}}
    manifest = {"judges": ["en-score", "en-sense"]}
    both = {"50": cell, "100": cell}
    page = make.page(
        {
            "smollm2": {"ways": ways, "made": both, "manifest": manifest},
            "merged": {"ways": {}, "made": both, "manifest": manifest},
        }
    )
    assert "48 replies a cell, to 8 posts" in page
    assert "| mean difference | 0.50, 0.50, 0.50 | 0.50, 0.50, 0.50 |" in page
    assert "| merged | 0.50 [0.40, 0.60] |" in page
    assert "{" not in page
