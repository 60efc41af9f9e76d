"""Twelve posts answered in each emotion, as they come: docs/systems/twelve.md.

`python -m recipes.companion.twelve` writes the page from the default systems of both languages.
"""

from __future__ import annotations

from pathlib import Path

import torch

from emotone.data.text import Lang
from emotone.emotions import EmotionMix
from emotone.steering.make import JUDGED
from emotone.systems import steered
from emotone.types import Decoding, Dialogue

#: Written down before any reply to them was seen.
POSTS: dict[Lang, tuple[str, ...]] = {
    "en": (
        "I start my new job tomorrow.",
        "My dog ran away last night.",
        "what should I cook tonight?",
        "My neighbour plays the drums at midnight.",
        "I passed the exam!",
        "nobody came to my party",
        "Do you like the sea?",
        "The doctor wants to see me again.",
        "I found twenty euros in my old coat.",
        "My sister is getting married in June.",
        "I broke my favourite cup.",
        "it's raining again",
    ),
    "zh": (
        "我明天开始上新班",
        "我家狗昨晚跑丢了",
        "今晚做什么菜好？",
        "邻居半夜打鼓",
        "我考试通过了！",
        "没人来我的生日会",
        "你喜欢大海吗？",
        "医生让我再去一趟",
        "旧大衣里翻出二十块钱",
        "我姐六月结婚",
        "我把最喜欢的杯子摔了",
        "又下雨了",
    ),
}
MODELS: dict[Lang, str] = {"en": "smollm2", "zh": "gemma3-270m"}
HEAD = (
    "# Twelve replies in each emotion\n\n"
    "Written by `python -m recipes.companion.twelve`: the first reply at intensity 100, none chosen"
    ", seed 0. *h* marks [replies by hand](steered.md#replies-by-hand) to another post. Read before"
    " you trust: what still fails is here too."
)


def main() -> None:
    torch.set_num_threads(2)
    parts = [HEAD]
    for lang, posts in POSTS.items():
        system = steered.load(MODELS[lang], config=steered.Config(batch=64))
        rows = [
            f"| {MODELS[lang]} | " + " | ".join(JUDGED) + " |",
            "|---" * (len(JUDGED) + 1) + "|",
        ]
        for post in posts:
            mixes = [EmotionMix.of({e: 100.0}, system.vectors.taxonomy) for e in JUDGED]
            replies = [
                system.reply([Dialogue.of(post)], [mix], decoding=Decoding())[0] for mix in mixes
            ]
            cells = [r.text + (" *h*" if "retrieved" in r.applied else "") for r in replies]
            rows.append(f"| **{post}** | " + " | ".join(cells) + " |")
        parts.append("\n".join(rows))
    page = Path("docs/systems/twelve.md")
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
