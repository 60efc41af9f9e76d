"""The loop on a GPU: what the CPU tests assert, and that no step waits for the device."""

from __future__ import annotations

import json

import pytest
import torch

from emotone.training import checkpoint
from unit.training import toy

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA")

LONG = {"epochs": 6, "lr": 0.01, "patience": 0, "device": "cuda"}
#: cuDNN sums in another order than the CPU; 60 steps of Adam add it up.
CLOSE = 0.02


class Strict(toy.Toy):
    """Makes every wait for the GPU an error from its second step to the eighth."""

    made = 0

    def forward(self, batch):
        if self.training:
            self.made += 1
            strict = 2 <= self.made <= 8
            torch.cuda.set_sync_debug_mode("error" if strict else "default")
        real = batch.target != 0
        states, _ = self.cell(self.drop(self.embedding(batch.source)))
        logits = self.output(self.drop(states)) * self.scale
        # The toy's own mask would wait for its number of places.
        nll = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), batch.target, reduction="none"
        )
        nll = (nll * real).sum()
        pooled = (states * real[..., None]).sum(1)
        guess = torch.nn.functional.cross_entropy(self.label(pooled), batch.label, reduction="sum")
        logged = {"nll": nll.detach(), "label": guess.detach()}
        return toy.Losses(nll, batch.target.numel(), 0.5 * guess, len(batch.label), logged)


class Waitless(toy.Pairs):
    """Batches that are copied without waiting, as the real ones are."""

    def collate(self, rows):
        return Moving(*super().collate(rows))


class Moving(toy.Batch):
    def to(self, device):
        return Moving(*(t.to(device, non_blocking=True) for t in self))


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
def test_no_step_waits_for_the_device(tmp_path, monkeypatch):
    monkeypatch.setattr(toy, "Pairs", Waitless)
    model = Strict().cuda()
    try:
        toy.train(tmp_path, model, log_every=10, max_steps=20, dev=False, device="cuda")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert model.made == 20


def test_the_gpu_learns_what_the_cpu_learns(tmp_path):
    _, cpu = toy.train(tmp_path / "cpu", toy.model(dropout=0.0), **{**LONG, "device": "cpu"})
    _, gpu = toy.train(tmp_path / "gpu", toy.model(dropout=0.0), **LONG)
    assert gpu.best_dev == pytest.approx(cpu.best_dev, abs=CLOSE)
    half, _ = toy.train(tmp_path / "half", toy.model(dropout=0.0), **LONG, precision="bf16")
    rows = [json.loads(x) for x in (tmp_path / "half" / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["dev_loss"] == pytest.approx(cpu.best_dev, abs=10 * CLOSE)
    assert all(p.dtype == torch.float32 for p in half.parameters())


def test_a_run_moves_between_cpu_and_gpu(tmp_path):
    toy.train(tmp_path, toy.model(dropout=0.0), max_steps=30, **LONG)
    _, there = toy.train(tmp_path, toy.model(dropout=0.0), **{**LONG, "device": "cpu"})
    _, whole = toy.train(tmp_path / "whole", toy.model(dropout=0.0), **{**LONG, "device": "cpu"})
    assert there.best_dev == pytest.approx(whole.best_dev, abs=CLOSE)


def test_a_gpu_run_goes_on_and_leaves_the_generators(tmp_path):
    models = [toy.model(), toy.model(), toy.model(seed=9)]  # making them seeds everything
    torch.cuda.manual_seed(5)
    before = torch.cuda.get_rng_state()
    whole, _ = toy.train(tmp_path / "whole", models[0], **LONG)
    toy.train(tmp_path / "halves", models[1], max_steps=30, **LONG)
    halves, _ = toy.train(tmp_path / "halves", models[2], **LONG)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    a, b = checkpoint.weights(whole), checkpoint.weights(halves)
    assert max(float((a[k] - b[k]).abs().max()) for k in a) < CLOSE


def test_a_loss_that_is_no_number_is_found_at_the_next_line(tmp_path):
    from emotone.errors import RunError
    from unit.training.test_fitting import Broken

    with pytest.raises(RunError, match="between steps 1 and 10"):
        toy.train(tmp_path, Broken(), log_every=10, device="cuda")
    assert not checkpoint.steps(tmp_path / "checkpoints")
