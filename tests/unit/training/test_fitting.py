"""What a run does: its steps by hand, when it stops, what it writes and what it refuses."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from emotone import config as configs
from emotone.errors import ConfigError, DataError, RunError, Unsupported
from emotone.training import Training, checkpoint, distributed
from emotone.training import log as logs
from emotone.training.loop import fit
from emotone.training.optim import decayed
from emotone.training.seeding import seed_for
from unit.training import toy

#: float32 rounds after 7 digits; a run of 30 steps adds some of them up.
ROUNDING = 1e-5


def rows(out: Path, key: str) -> list[dict]:
    lines = (out / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if key in row]


def by_hand(steps: int, update, *, clip: float, every: int = 0, decay: float = 1.0, lr: float):
    """Train the toy in plain torch: the objective, the clipping and ECM's schedule."""
    model, pairs = toy.model(), toy.Pairs()
    model.train()
    losses, norms, rates, before = [], [], [], []
    since = torch.zeros(4, dtype=torch.float64)
    batches = [b for epoch in range(4) for b in pairs.plan(16, 1, epoch)]
    for step in range(steps):
        torch.manual_seed(seed_for(1, "dropout", step, 0))
        found = model(pairs.collate(batches[step]))
        loss = found.token_loss / found.tokens + found.row_loss / found.rows
        parameters = list(model.parameters())
        grads = torch.autograd.grad(loss, parameters)
        norm = math.sqrt(sum(float(g.double().square().sum()) for g in grads))
        scale = min(1.0, clip / norm)
        with torch.no_grad():
            for number, (p, g) in enumerate(zip(parameters, grads, strict=True)):
                update(p, g * scale, lr, number, step + 1)
        losses.append(loss.item())
        norms.append(norm)
        rates.append(lr)
        since += torch.tensor(
            [found.token_loss.item(), found.tokens, found.row_loss.item(), found.rows]
        )
        if every and (step + 1) % every == 0:
            mean = float(since[0] / since[1] + since[2] / since[3])
            if len(before) >= 3 and mean > max(before[-3:]):
                lr *= decay
            before.append(mean)
            since.zero_()
    return model, losses, norms, rates


def compare(out: Path, trained: nn.Module, hand) -> None:
    model, losses, norms, rates = hand
    logged = rows(out, "loss")
    assert [r["step"] for r in logged] == list(range(1, len(losses) + 1))
    assert [r["loss"] for r in logged] == pytest.approx(losses, rel=ROUNDING)
    assert [r["grad_norm"] for r in logged] == pytest.approx(norms, rel=100 * ROUNDING)
    assert [r["lr"] for r in logged] == pytest.approx(rates)
    state = checkpoint.read_tensors(checkpoint.steps(out / "checkpoints")[0], "model.safetensors")
    for key, value in checkpoint.weights(model).items():
        assert (value - state[key]).abs().max() < 10 * ROUNDING, key


def test_sgd_and_the_schedule_by_hand(tmp_path):
    def sgd(p, g, lr, number, step):
        p -= lr * g

    settings = {"optimiser": "sgd", "lr": 2.0, "decay": 0.5, "clip": 0.5, "evaluate_every": 2}
    trained, _ = toy.train(tmp_path, log_every=1, patience=0, max_steps=30, **settings)
    hand = by_hand(30, sgd, clip=0.5, every=2, decay=0.5, lr=2.0)
    assert len(set(hand[3])) > 2, "the schedule was never used"
    compare(tmp_path, trained, hand)


def test_adam_by_hand(tmp_path):
    moments: dict[int, list] = {}

    def adam(p, g, lr, number, step):
        m, v = moments.setdefault(number, [torch.zeros_like(p), torch.zeros_like(p)])
        m.mul_(0.9).add_(g, alpha=0.1)
        v.mul_(0.999).add_(g * g, alpha=0.001)
        p -= lr * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)

    trained, _ = toy.train(tmp_path, log_every=1, lr=0.01, clip=1.0, max_steps=30)
    compare(tmp_path, trained, by_hand(30, adam, clip=1.0, lr=0.01))


@pytest.mark.parametrize(
    ("before", "loss", "lr"),
    [
        ([], 9.0, 1.0),
        ([1.0, 1.0], 9.0, 1.0),
        ([3.0, 2.0, 1.0], 3.1, 0.9),
        ([3.0, 2.0, 1.0], 3.0, 1.0),
        ([9.0, 1.0, 1.0, 1.0], 2.0, 0.9),
    ],
)
def test_the_rate_falls_when_the_loss_is_above_the_last_three(before, loss, lr):
    assert decayed(1.0, 0.9, loss, before) == pytest.approx(lr)


def test_the_dev_loss_is_nats_a_token_without_dropout(tmp_path):
    trained, fitted = toy.train(tmp_path, epochs=2)
    trained.eval()
    with torch.no_grad():
        found = [trained(batch) for batch in toy.Pairs(40, seed=6).batches(size=7)]
    nats = sum(float(f.token_loss) for f in found) / sum(f.tokens for f in found)
    assert fitted.best_dev == pytest.approx(nats, rel=ROUNDING)
    assert fitted.curve[-1].dev_loss == fitted.best_dev
    row = rows(tmp_path, "dev_loss")[-1]
    assert row["dev_perplexity"] == pytest.approx(math.exp(nats), rel=ROUNDING)
    label = sum(float(f.logged["label"]) for f in found) / sum(f.rows for f in found)
    assert row["dev_label"] == pytest.approx(label, rel=ROUNDING)


def test_a_run_stops_when_it_gets_no_better_and_keeps_the_best(tmp_path):
    trained, fitted = toy.train(tmp_path, epochs=50, lr=1.0, patience=3)
    losses = [point.dev_loss for point in fitted.curve]
    assert fitted.stopped == "patience"
    best = losses.index(min(losses))
    assert len(losses) == best + 1 + 3
    assert fitted.best_step == 10 * (best + 1)
    assert fitted.steps == 10 * len(losses)
    trained.eval()
    with torch.no_grad():
        found = [trained(batch) for batch in toy.Pairs(40, seed=6).batches()]
    nats = sum(float(f.token_loss) for f in found) / sum(f.tokens for f in found)
    assert nats == pytest.approx(min(losses), rel=ROUNDING)
    _, again = toy.train(tmp_path, epochs=50, lr=1.0, patience=3)
    assert again.steps == fitted.steps
    _, more = toy.train(tmp_path, epochs=50, lr=1.0, patience=4)
    assert more.steps == fitted.steps + 10 or more.best_step > fitted.best_step


def test_the_last_weights_are_measured_too(tmp_path):
    _, fitted = toy.train(tmp_path, max_steps=14, lr=0.01)
    assert [p.step for p in fitted.curve] == [10, 14]
    assert fitted.best_step == 14


def test_without_development_data_the_last_weights_stay(tmp_path):
    trained, fitted = toy.train(tmp_path, epochs=2, dev=False)
    assert (fitted.best_dev, fitted.curve, fitted.steps) == (None, (), 20)
    place = checkpoint.steps(tmp_path / "checkpoints")[0]
    values = checkpoint.read_tensors(place, "model.safetensors")
    assert all(torch.equal(v, values[k]) for k, v in checkpoint.weights(trained).items())


def test_a_log_line_has_every_term_over_its_own_steps(tmp_path):
    toy.train(tmp_path / "1", epochs=1, log_every=1)
    toy.train(tmp_path / "5", epochs=1, log_every=5)
    one, five = rows(tmp_path / "1", "loss"), rows(tmp_path / "5", "loss")
    assert [r["step"] for r in five] == [5, 10]
    keys = {"step", "epoch", "loss", "nll", "label", "lr", "grad_norm", "tokens_per_second"}
    assert set(five[0]) == keys | {"seconds"}
    pairs = toy.Pairs()
    plan = pairs.plan(16, 1, 0)[5:]
    tokens = [int(pairs.lengths[r].sum()) for r in plan]
    nll = sum(r["nll"] * n for r, n in zip(one[5:], tokens, strict=True)) / sum(tokens)
    assert five[1]["nll"] == pytest.approx(nll)


class Broken(toy.Toy):
    """Loses all sense at its seventh step."""

    made, gradient = 0, True

    def forward(self, batch):
        found = super().forward(batch)
        self.made += self.training
        loss = found.token_loss * math.nan if self.gradient else found.token_loss + math.nan
        return found._replace(token_loss=loss) if self.made == 7 else found


@pytest.mark.parametrize("gradient", [True, False])
def test_a_loss_that_is_no_number_stops_the_run_and_is_not_saved(tmp_path, gradient):
    broken = Broken()
    broken.gradient = gradient
    with pytest.raises(RunError, match="not a number at step 7"):
        toy.train(tmp_path, broken, save_every=3)
    places = checkpoint.steps(tmp_path / "checkpoints")
    assert [p.name for p in places] == ["step-00000006", "step-00000003"]


def test_two_models_that_log_other_terms_are_told_apart(tmp_path):
    class Changing(toy.Toy):
        def forward(self, batch):
            found = super().forward(batch)
            extra = {"more": found.row_loss.detach()} if len(batch.label) < 16 else {}
            return found._replace(logged={**found.logged, **extra})

    with pytest.raises(RunError, match="return the same names"):
        toy.train(tmp_path, Changing())


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write .*Not a directory"):
        toy.train(tmp_path / "file" / "run")


@pytest.mark.slow
@pytest.mark.parametrize("limit", [300, 4000])
def test_a_full_disk_is_one_sentence_and_keeps_what_was_saved(tmp_path, limit):
    """The log is too long for the disk, or a checkpoint is."""
    toy.train(tmp_path, max_steps=10, lr=0.01)
    (tmp_path / "log.jsonl").write_text("")
    program = Path(toy.__file__).with_name("full_disk.py")
    settings = json.dumps({"lr": 0.01, "log_every": 1 if limit == 300 else 1000})
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path), settings, str(limit)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(program.parents[2]), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith("emotone: cannot write"), done.stderr
    assert "free space there or name another folder" in said
    assert "Traceback" not in done.stderr
    places = checkpoint.steps(tmp_path / "checkpoints")
    assert places
    checkpoint.verify(places[0])
    assert not list((tmp_path / "checkpoints").glob(".*.part"))


def test_nothing_to_learn_from_is_refused(tmp_path):
    def run(plan, dev):
        return fit(
            toy.model(),
            train_plan=lambda _: plan,
            collate=toy.Pairs().collate,
            dev_batches=lambda: dev,
            settings=Training(epochs=1),
            out=tmp_path,
            progress=False,
        )

    with pytest.raises(DataError, match="no row to train on"):
        run([], [])
    with pytest.raises(DataError, match="no token to evaluate on"):
        run(toy.Pairs().plan(16, 1, 0), [])


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("epochs", 0, "1 or more"),
        ("batch", 0, "1 or more"),
        ("keep", 0, "1 or more"),
        ("lr", 0.0, "more than 0"),
        ("lr", math.nan, "more than 0"),
        ("decay", 1.5, "at most 1"),
        ("clip", -1.0, "0 or more"),
        ("patience", -1, "0 or more"),
        ("optimiser", "adamw", "'adam', 'sgd'"),
        ("precision", "fp16", "'fp32', 'bf16'"),
        ("device", "tpu", "'auto', 'cpu'"),
        ("resume", "", "auto, never or"),
    ],
)
def test_settings_out_of_range_are_refused(key, value, said):
    with pytest.raises(ConfigError, match=key) as error:
        configs.build(Training, {key: value})
    assert said in str(error.value)


def test_settings_go_through_toml(tmp_path):
    (tmp_path / "a.toml").write_text(configs.dump(Training(lr=3e-4, resume="never")))
    assert configs.load(Training, tmp_path / "a.toml") == Training(lr=3e-4, resume="never")


def test_a_device_that_is_not_here_is_refused(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(Unsupported, match="'cuda' is not on this machine"):
        toy.train(tmp_path, device="cuda")


def test_processes_that_did_not_find_each_other_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "Accelerator", lambda **_: type("A", (), {"num_processes": 1}))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match="torchrun started 2 processes, but 1 joined"):
        toy.train(tmp_path)


def test_seeds_have_names():
    assert seed_for(1, "dropout", 3, 0) == seed_for(1, "dropout", 3, 0)
    many = {seed_for(s, p, i) for s in (1, 2) for p in ("a", "b") for i in range(50)}
    assert len(many) == 200
    assert all(0 <= seed < 2**63 for seed in many)
    # Frozen: another value would change every run that was made.
    assert seed_for(1, "dropout", 0, 0) == FROZEN


FROZEN = 3457137398309530783


def test_progress_on_a_pipe_is_plain_lines(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(logs, "EVERY", 0.0)
    toy.train(tmp_path, epochs=3, progress=True)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "emotone: training for at most 30 steps"
    assert any("to go, evaluations not counted" in line for line in said)
    assert any(line.startswith("emotone: step 7 of 30, ") and "left" in line for line in said)
    assert any("dev perplexity" in line and "tokens/s" in line for line in said)
    assert not any("\x1b" in line for line in said)


def test_progress_on_a_terminal_is_a_bar(tmp_path, monkeypatch):
    reader, writer = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    pieces: list[bytes] = []

    def listen() -> None:  # a terminal holds 4 KiB, and on a slow machine more is drawn
        with contextlib.suppress(OSError):  # so a closed terminal says that it is over
            while piece := os.read(reader, 4096):
                pieces.append(piece)

    listener = threading.Thread(target=listen)
    listener.start()
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        toy.train(tmp_path, epochs=3, progress=True)
        monkeypatch.undo()
    listener.join()
    os.close(reader)
    said = b"".join(pieces).decode()
    assert "30/30" in said
    assert "dev perplexity" in said


def test_no_progress_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", said := io.StringIO())
    toy.train(tmp_path, epochs=1, progress=False)
    assert said.getvalue() == ""


def test_tensorboard_is_written_by_its_own_library(tmp_path):
    events = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed; it is an option",
    )
    toy.train(tmp_path, epochs=2, tensorboard=True)
    read = events.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    logged = [(e.step, pytest.approx(e.value)) for e in read.Scalars("loss")]
    assert logged == [(r["step"], r["loss"]) for r in rows(tmp_path, "loss")]


def test_a_missing_tensorboard_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "is_tensorboard_available", lambda: False)
    with pytest.raises(Unsupported, match="pip install tensorboard"):
        toy.train(tmp_path, tensorboard=True)
