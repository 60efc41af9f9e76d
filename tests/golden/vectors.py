"""Emotion vectors: extracted three ways and calibrated, on the default model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.golden.command import emotone, write_rows
from tests.golden.replies import POSTS_EN, reply
from tests.golden.values import file_value, plain, shortened

REPLIES = {
    "anger": ("I hate it so much!", "How dare they do that!", "Damn it all, I am furious!"),
    "joy": ("I love it so much!", "What fun we had, yay!", "So happy, what a day!"),
    "neutral": ("It is noon now.", "The bus is red today.", "There is a table."),
}


def vectors() -> dict[str, Any]:
    rows = [
        {"id": f"{label}-{i}", "post": POSTS_EN[i], "emotion": label, "reply": text}
        for label, texts in REPLIES.items()
        for i, text in enumerate(texts)
    ]
    source = write_rows("exchanges.jsonl", rows)
    of = ("vectors", "extract", "-i", source)
    emotone(*of, "-o", "fitted.safetensors", *_set("fit.steps=10", "fit.batch=4", "fit.rate=0.06"))
    emotone(*of, "-o", "reading.safetensors", *_set("method=reading", "denoise=1"))
    emotone(*of, "-o", "answers.safetensors", *_set("method=answers", "tokens=6"))
    values: dict[str, Any] = {
        name: file_value(Path(f"{name}.safetensors")) for name in ("fitted", "reading", "answers")
    }
    Path("posts.txt").write_text("\n".join(POSTS_EN[:5]) + "\n", encoding="utf-8")
    labelled = [{"text": text, "label": label} for label, ts in REPLIES.items() for text in ts]
    texts = write_rows("judge.jsonl", labelled)
    limits = {"perplexity": 99.0, "known": 0.0, "repeats": 1.0, "similarity": 0.0}
    given = ["doses=[1.0]", "negative=[-0.5]", "limits.distinct=0.0", "limits.shortest=0.0"]
    given += [f"limits.{name}={limit}" for name, limit in limits.items()]
    human = write_rows("human.jsonl", [row for row in rows if row["emotion"] != "neutral"])
    asked = ("--posts", "posts.txt", "--judge-texts", texts, "--human", human)
    emotone("vectors", "calibrate", "fitted.safetensors", *asked, *_set(*given))
    values["calibrated"] = file_value(Path("fitted.safetensors"))
    card = emotone("vectors", "card", "fitted.safetensors", "--json").json()
    values["card"] = shortened(plain(card), 3000)
    values["list"] = emotone("vectors", "list", "--json").json()
    values["reply"] = reply(
        POSTS_EN[0], "-e", "joy:60", "--max-tokens", "12", "--set", "vectors=fitted.safetensors"
    )
    return values


def _set(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]
