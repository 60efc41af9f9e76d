"""A study whose answers are known: systems with known means, raters with known bias and noise.

Chances add up and are never cut, so the mean of a system over posts and raters is its own.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotone.emotions import EmotionMix
from emotone.evaluation import blind
from emotone.evaluation.records import reply_line
from emotone.human import draw, plan, store
from emotone.human.design import design_text, read_design
from emotone.types import Dialogue, Example, Reply

EMOTIONS = ("anger", "disgust", "fear", "joy", "sadness")
#: System -> chance of the asked emotion, half the mean content, chance of blame.
SYSTEMS: Mapping[str, tuple[float, float, float]] = {
    "plodder": (0.35, 0.45, 0.10),
    "middling": (0.50, 0.58, 0.10),
    "brilliant": (0.68, 0.72, 0.10),
}
HAND = (0.78, 0.78, 0.0)
#: Largest effect of a post, of a reply, and of a rater, on the first two.
POST, REPLY, RATER = 0.06, 0.03, 0.12


@dataclass(frozen=True, slots=True)
class World:
    """What only the simulation knows.

    Args:
        chances: (post, reply) -> chances as in `SYSTEMS`, of this reply.
        bias: Rater -> what is added to the first two chances.
        seed: Of the raters' noise.
    """

    chances: Mapping[tuple[str, str], tuple[float, float, float]]
    bias: Mapping[str, float]
    seed: int

    def values(self, rater: str, post: str, reply: str) -> dict[str, int]:
        """What a rater answers to a reply; a line that checks attention is done as it says."""
        if (post, reply) not in self.chances:
            return dict.fromkeys(("emotion", "content", "blame"), int("choose 1" in reply))
        noise = random.Random(f"{self.seed}:{rater}:{post}:{reply}")
        emotion, half, blame = self.chances[post, reply]
        bias = self.bias[rater]
        return {
            "emotion": int(noise.random() < emotion + bias),
            "content": sum(noise.random() < half + bias for _ in range(2)),
            "blame": int(noise.random() < blame),
        }


def replies(folder: Path, posts: int) -> list[Path]:
    """Write a replies file of each system."""
    paths: list[Path] = []
    for system in SYSTEMS:
        path = folder / f"{system}.jsonl"
        lines = [
            reply_line(
                Example(f"e{n}", Dialogue.of(f"Post number {n}.")),
                Reply(f"Answer {n * 17 % 101} {mood} {len(system)}", EmotionMix.parse(mood), system,
                      f"{system}-1b", 0, 1),
            )
            for n in range(posts)
            for mood in EMOTIONS
        ]  # fmt: skip
        path.write_text("\n".join(lines), encoding="utf-8")
        paths.append(path)
    return paths


def study(
    folder: Path, *, posts: int = 10, raters: int = 12, each: int = 3, hand: int = 6, seed: int = 0
) -> tuple[Path, dict[str, str], World]:
    """Make a study; returns its file, the raters' secrets, and what the simulation knows.

    The same study is made once and copied from then on.
    """
    settings = (posts, raters, each, hand, seed)
    path = folder / "study.db"
    if settings not in _MADE:
        _MADE[settings] = _made(folder, path, *settings)
        _FILES[settings] = path.read_bytes()
    elif path.exists():
        raise FileExistsError(path)
    replies(folder, posts)
    path.write_bytes(_FILES[settings])
    return path, *_MADE[settings]


_MADE: dict[tuple[int, ...], tuple[dict[str, str], World]] = {}
_FILES: dict[tuple[int, ...], bytes] = {}


def _made(
    folder: Path, path: Path, posts: int, raters: int, each: int, hand: int, seed: int
) -> tuple[dict[str, str], World]:
    design = design_text("emo-seq")
    systems = draw.comparable(blind.systems_of(replies(folder, posts)), read_design(design))
    lines = [
        Example(f"h{n}", Dialogue.of(f"Own post {n}."), EmotionMix.parse(EMOTIONS[n % 5]),
                f"Written {n}.")
        for n in range(hand)
    ]  # fmt: skip
    items = blind.items(systems, lines, seed=seed)
    mixes = [r.emotion for pairs in systems.values() for _, r in pairs if r.emotion is not None]
    mixes += [line.emotion for line in lines if line.emotion is not None]
    shown = draw.units(items, read_design(design), mixes)
    names = [f"r{n:02d}" for n in range(1, raters + 1)]
    made = plan.plan(read_design(design), shown, names, each, lang="en", seed=seed)
    tokens = store.create(path, design, made, lang="en", seed=seed, contact="us", seconds=12.0)
    return tokens, world(shown, names, seed)


def world(shown: Iterable[draw.Unit], names: list[str], seed: int) -> World:
    """Draw the effects of posts, replies and raters."""
    effects = random.Random(seed)
    of_post: dict[str, float] = {}
    chances: dict[tuple[str, str], tuple[float, float, float]] = {}
    for unit in shown:
        base = HAND if unit.role == "hand" else SYSTEMS[unit.system.partition(",")[0]]
        off = of_post.setdefault(unit.post, effects.uniform(-POST, POST))
        off += effects.uniform(-REPLY, REPLY)
        chances[unit.post, unit.reply] = (base[0] + off, base[1] + off, base[2])
    middle = (len(names) - 1) / 2
    bias = {name: RATER * (i - middle) / max(middle, 1) for i, name in enumerate(names)}
    return World(chances, bias, seed)


Send = Callable[..., Any]


class Reader:
    """A rater who uses the page's API.

    Args:
        send: `send(method, path, headers=..., json=...)`, as test clients and httpx have it.
        token: The secret of the link.
    """

    def __init__(self, send: Send, token: str) -> None:
        self._send, self._headers = send, {"authorization": f"Bearer {token}"}
        self.heard: list[Any] = []

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request; returns what came back, read as JSON."""
        more = {} if body is None else {"json": dict(body)}
        method = "GET" if body is None else "POST"
        answer = self._send(method, f"/api/{path}", headers=self._headers, **more)
        self.heard.append(answer)
        return json.loads(answer.text)

    def rate_all(self, answer: Callable[[str, str], Mapping[str, int]], most: int = 10**9) -> int:
        """Accept the consent and answer item after item; returns how many."""
        state = self.ask("consent", {})
        done = 0
        while (item := state["item"]) is not None and done < most:
            values = answer(item["post"], item["replies"][0])
            body = {"key": f"k{item['place']}", "place": item["place"], "values": values}
            state = self.ask("rate", body | {"seconds": 7.5})
            done += 1
        return done
