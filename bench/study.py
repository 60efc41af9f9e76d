"""A study under stress: what it finds, whether its intervals cover, and what a kill can take.

`python -m bench.study simulate [--posts 40]` sends twelve simulated raters with known bias and
noise through the API and compares the report with what is known of the three systems.

`python -m bench.study coverage [--times 100]` repeats small studies, each with raters and posts
of its own, and counts how often the intervals hold the known means and the order is right.

`python -m bench.study kills [--times 200]` kills the server (SIGKILL) at random moments while four
clients rate at once, starts it again, and looks for every rating that was acknowledged.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import json
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from emotone.human import app as apps
from emotone.human.figures import findings
from emotone.human.findings import Findings
from emotone.human.ratings import Act, save, state_of, tell
from emotone.human.store import open_store, rater_of_name, units_of
from emotone.report.study import write_study

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
simulated: Any = importlib.import_module("unit.human.simulated")

SERVE = "from emotone.cli.study import app; app()"
VALUES = {"emotion": 1, "content": 2, "blame": 0}


def known() -> dict[tuple[str, str], float]:
    """(question, system) -> its mean over posts and raters."""
    means: dict[tuple[str, str], float] = {}
    for system, (emotion, half, blame) in simulated.SYSTEMS.items():
        title = f"{system}, {system}-1b"
        means |= {("emotion", title): emotion, ("content", title): 2 * half}
        means["blame", title] = blame
    return means


def compare(found: Findings) -> tuple[int, int, bool]:
    """Intervals that hold what is known, how many there are, and whether the order is right."""
    truth = known()
    cells = {(c.question, c.system): c.number for c in found.cells if not c.emotion}
    inside = [
        (cells[key].low or 0) <= value <= (cells[key].high or 0) for key, value in truth.items()
    ]
    ordered = True
    for question in ("emotion", "content"):
        systems = sorted(
            (s for q, s in truth if q == question), key=lambda s: cells[question, s].value or 0
        )
        ordered &= [s.partition(",")[0] for s in systems] == list(simulated.SYSTEMS)
    return sum(inside), len(inside), ordered


def simulate(posts: int, output: Path | None) -> None:
    from starlette.testclient import TestClient

    apps.BURST = 1e9
    with tempfile.TemporaryDirectory() as name:
        path, tokens, world = simulated.study(Path(name), posts=posts, hand=12, seed=1)
        began = time.perf_counter()
        with open_store(path) as store:
            with TestClient(apps.app(store), base_url="http://localhost") as client:
                done = sum(
                    simulated.Reader(client.request, token).rate_all(
                        lambda post, reply, rater=rater: world.values(rater, post, reply)
                    )
                    for rater, token in tokens.items()
                )
            spent = time.perf_counter() - began
            found = findings(store)
        if output is not None:
            write_study(found, output)
    print(f"{done} answers in {spent:.1f} s, {1000 * spent / done:.1f} ms each")
    truth = known()
    for cell in found.cells:
        if not cell.emotion and (cell.question, cell.system) in truth:
            n, value = cell.number, truth[cell.question, cell.system]
            held = (n.low or 0) <= value <= (n.high or 0)
            print(f"{cell.question:8} {cell.system:24} known {value:.3f} found {n.value:.3f}"
                  f" [{n.low:.3f}, {n.high:.3f}] {'holds' if held else 'MISSES'}")  # fmt: skip
    for test in found.tests:
        d = test.difference
        print(f"{test.question:8} {test.system.split(',')[0]} - {test.other.split(',')[0]}:"
              f" {d.value:+.3f} [{d.low:+.3f}, {d.high:+.3f}] p {test.p:.4f}"
              f" corrected {test.holm:.4f}")  # fmt: skip
    pairs = [(world.bias[r.name], r.bias[0].value or 0.0) for r in found.raters]
    print(f"bias known and found: r = {statistics.correlation(*zip(*pairs, strict=True)):.3f}")
    print("order", "right" if compare(found)[2] else "WRONG")


def coverage(times: int, posts: int) -> None:
    held = asked = right = 0
    for seed in range(times):
        draw = random.Random(seed)
        with tempfile.TemporaryDirectory() as name:
            path, tokens, world = simulated.study(Path(name), posts=posts, hand=0, seed=seed)
            most = simulated.RATER
            world = replace(world, bias={r: draw.uniform(-most, most) for r in tokens})
            with open_store(path) as store:
                with store.read() as db:
                    db.execute("PRAGMA synchronous = OFF")  # nobody pulls the plug here
                units = units_of(store)
                for rater_name in tokens:
                    rater = rater_of_name(store, rater_name)
                    tell(store, rater, "consent")
                    while (unit := (state := state_of(store, rater, units)).unit) is not None:
                        values = world.values(rater_name, unit.post, unit.reply)
                        save(store, rater, Act("rate", str(state.place), state.place, values))
                inside, count, ordered = compare(findings(store, rounds=300, seed=seed))
        held, asked, right = held + inside, asked + count, right + ordered
        if (seed + 1) % 10 == 0:
            print(f"{seed + 1} studies: {held} of {asked} intervals hold ({held / asked:.3f}),"
                  f" order right in {right}", flush=True)  # fmt: skip


class Client(threading.Thread):
    """Rates item after item until the server is gone; remembers what was acknowledged."""

    def __init__(self, port: int, rater: str, token: str) -> None:
        super().__init__(daemon=True)
        self.rater, self.acknowledged = rater, list[str]()
        self._port, self._token = port, token

    def run(self) -> None:
        """Rate until nothing answers."""
        try:
            link = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            state = self._ask(link, "POST", "consent", {})
            while (item := state.get("item")) is not None:
                key = f"item {item['place']}"
                body = {"key": key, "place": item["place"], "values": VALUES, "seconds": 1.5}
                state = self._ask(link, "POST", "rate", body)
                self.acknowledged.append(key)
        except (OSError, http.client.HTTPException):
            return

    def _ask(self, link: http.client.HTTPConnection, method: str, path: str, body: Any) -> Any:
        headers = {"authorization": f"Bearer {self._token}", "content-type": "application/json"}
        while True:
            link.request(method, f"/api/{path}", json.dumps(body), headers)
            answer = link.getresponse()
            text = answer.read()
            if answer.status == 200:
                return json.loads(text)
            if answer.status not in (429, 503):
                raise RuntimeError(f"{answer.status}: {text[:200]!r}")
            time.sleep(0.05)


def kills(times: int, seed: int) -> None:
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        path, tokens, _ = simulated.study(Path(name), posts=200, raters=4, hand=0)
        acknowledged: set[tuple[str, str]] = set()
        lost = twice = 0
        began = time.perf_counter()
        for kill in range(times):
            server = subprocess.Popen(
                [sys.executable, "-c", SERVE, "serve", str(path), "--port", "0"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
            spoken: Any = server.stdout
            port = int(spoken.readline().rpartition(":")[2])
            clients = [Client(port, rater, token) for rater, token in tokens.items()]
            for client in clients:
                client.start()
            time.sleep(draw.uniform(0.02, 0.4))
            server.send_signal(signal.SIGKILL)
            server.wait()
            spoken.close()
            for client in clients:
                client.join(30)
                acknowledged |= {(client.rater, key) for key in client.acknowledged}
            db = sqlite3.connect(path)
            rows = db.execute(
                "SELECT raters.name, key, item FROM ratings JOIN raters ON raters.id = rater"
            ).fetchall()
            whole = db.execute("PRAGMA integrity_check").fetchone()[0]
            db.close()
            lost += len(acknowledged - {(rater, key) for rater, key, _ in rows})
            twice += len(rows) - len({(rater, item) for rater, _, item in rows})
            if whole != "ok" or lost or twice:
                raise SystemExit(f"kill {kill + 1}: {whole}, {lost} lost, {twice} twice")
            if (kill + 1) % 20 == 0:
                print(f"{kill + 1} kills, {len(acknowledged)} acknowledged, {len(rows)} there,"
                      f" {lost} lost, {twice} twice, integrity {whole},"
                      f" {time.perf_counter() - began:.0f} s", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=("simulate", "coverage", "kills"))
    parser.add_argument("--posts", type=int, default=0)
    parser.add_argument("--times", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="Folder of the simulated study's report.")
    given = parser.parse_args()
    if given.what == "simulate":
        simulate(given.posts or 40, given.output)
    elif given.what == "coverage":
        coverage(given.times or 100, given.posts or 12)
    else:
        kills(given.times or 200, given.seed)


if __name__ == "__main__":
    main()
