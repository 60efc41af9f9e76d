"""Replies that talk to nobody, and what they earn from the judge that gives the reward.

`python -m recipes.emprl.hacks` prints it, with the guards off as in the paper and on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from emotone.rl.empathy_reward import RewardSettings
from emotone.rl.judged_reward import Identifier, empathy_reward

#: A post, a person's reply to it as the reference, and what somebody else might sensibly say.
DIALOGUES = [
    (
        "My bike was stolen from the yard last night and I need it for work.",
        "I'm so sorry, that is awful. Did you tell the police?",
        "Oh no, that must be so frustrating. How will you get to work now?",
    ),
    (
        "I passed my driving test on the third try!",
        "Congratulations! I am so happy for you. Where will you drive first?",
        "Well done! That must feel great after all the practice.",
    ),
    (
        "Our old dog cannot climb the stairs any more.",
        "That is so sad. I know how hard it is to watch a pet grow old.",
        "Poor thing. How old is your dog?",
    ),
    (
        "My sister is moving to another country in spring and I will miss her.",
        "You must be close. Will you be able to visit her?",
        "I would miss her too. Which country is your sister moving to?",
    ),
    (
        "Somebody at the office ate my lunch again.",
        "That would make me so angry! Do you know who it was?",
        "How rude! I once put my name on every box because of that.",
    ),
    (
        "I have to speak in front of two hundred people tomorrow.",
        "I understand, I get nervous too. What will you talk about?",
        "You must be nervous. I am sure that you will do well.",
    ),
    (
        "We found an old letter of my grandfather in the attic.",
        "What a lovely find! What did he write?",
        "That must be so moving to read. Who was the letter for?",
    ),
    (
        "My landlord wants to raise the rent by a third.",
        "That is terrible. Can you talk to him about it?",
        "That sounds unfair. Have you looked for another flat?",
    ),
    (
        "I baked bread for the first time and it came out perfect.",
        "Wow, well done! What kind of bread was it?",
        "I can smell it from here! You should be proud of that.",
    ),
    (
        "My best friend has not answered my messages for two weeks.",
        "That must hurt. Did something happen between you?",
        "I am sorry, that would worry me as well. Have you tried to call?",
    ),
    (
        "I saw a spider as big as my hand in the shower.",
        "Oh my, I would have screamed! What did you do?",
        "That sounds scary! Was it still there afterwards?",
    ),
    (
        "The doctor says that my mother will be home for her birthday.",
        "That is wonderful news. You must be so relieved!",
        "I am so glad to hear that. How will you celebrate?",
    ),
]
POSTS, REFERENCES, SENSIBLE = map(list, zip(*DIALOGUES, strict=True))
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


def earned(identifier: Identifier) -> dict[str, dict[str, Any]]:
    """Mean rewards and terms of each kind of reply, by kind: "off" and "on" for the guards."""
    made: dict[str, dict[str, Any]] = {}
    settings: Mapping[str, RewardSettings] = {"off": RewardSettings(), "on": GUARDED}
    rewards = {
        guards: empathy_reward(POSTS, REFERENCES, chosen, identifier=identifier)
        for guards, chosen in settings.items()
    }
    for kind, replies in {"reference": REFERENCES, "sensible": SENSIBLE, **HACKS}.items():
        found = {g: reward(range(len(POSTS)), replies) for g, reward in rewards.items()}
        made[kind] = {g: float(scores.total.mean()) for g, scores in found.items()}
        made[kind]["terms"] = {k: float(v.mean()) for k, v in found["on"].terms.items()}
    return made


def main() -> None:
    from emotone.judges import open_identifier

    for kind, numbers in earned(open_identifier("empathy-reward")).items():
        print(f"{kind:18} off {numbers['off']:6.3f}   on {numbers['on']:6.3f}")


if __name__ == "__main__":
    main()
