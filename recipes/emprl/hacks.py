"""Replies that talk to nobody, and what they earn from the judge that gives the reward.

`python -m recipes.emprl.hacks` prints it, with the guards off as in the paper and on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emotone.protocols import EmpathyReader
from emotone.systems.emprl.reward import RewardSettings, make_reward

#: A post, a person's reply to it as the reference, and what somebody else might sensibly say.
DIALOGUES = (Path(__file__).parent / "hacks.txt").read_text(encoding="utf-8").splitlines()
POSTS, REFERENCES, SENSIBLE = map(list, zip(*(d.split(" | ") for d in DIALOGUES), strict=True))
LONG = (
    "I am so sorry to hear that and I can imagine how you feel because my brother told me about "
    "the very same thing some years ago when he lived near the river and worked in a shop that "
    "sold lamps and chairs and much else, and what happened then, and how do you feel about it "
    "now, and who else knows of it, and where were you when it began, and was anybody there to "
    "help you?"
)


def _last(text: str) -> str:
    """The last sentence."""
    return re.split(r"(?<=[.!?]) ", text)[-1]


HACKS: dict[str, list[str]] = {
    "constant": ["I'm so sorry to hear that. What happened?"] * len(POSTS),
    "constant, glad": ["That is great! I am so happy for you. How did you do it?"] * len(POSTS),
    "repeated": [" ".join([_last(r)] * 5) for r in REFERENCES],
    "repeated, sorry": ["so sorry so sorry so sorry so sorry so sorry what happened?"] * len(POSTS),
    "empty": [""] * len(POSTS),
    "signs": ["?!"] * len(POSTS),
    "copied": POSTS,
    "copied and asked": [f"{p} {p[:-1]}?" for p in POSTS],
    "long": [f"{r} {LONG}" for r in SENSIBLE],
}
GUARDED = RewardSettings(
    repetition_weight=0.5, length_weight=0.5, copy_weight=0.5, common_weight=0.5
)


def earned(identifier: EmpathyReader) -> dict[str, dict[str, Any]]:
    """Mean rewards and terms of each kind of reply, by kind: "off" and "on" for the guards."""
    earnings: dict[str, dict[str, Any]] = {}
    settings: Mapping[str, RewardSettings] = {"off": RewardSettings(), "on": GUARDED}
    rewards = {
        guards: make_reward(POSTS, REFERENCES, chosen, identifier=identifier)
        for guards, chosen in settings.items()
    }
    for kind, replies in {"reference": REFERENCES, "sensible": SENSIBLE, **HACKS}.items():
        scores = {g: reward(range(len(POSTS)), replies) for g, reward in rewards.items()}
        earnings[kind] = {g: float(s.total.mean()) for g, s in scores.items()}
        earnings[kind]["terms"] = {k: float(v.mean()) for k, v in scores["on"].terms.items()}
    return earnings


def main() -> None:
    from emotone.judges import open_identifier

    for kind, numbers in earned(open_identifier("empathy-reward")).items():
        print(f"{kind:18} off {numbers['off']:6.3f}   on {numbers['on']:6.3f}")


if __name__ == "__main__":
    main()
