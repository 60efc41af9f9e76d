"""Replies of all seven systems: `reply`, `generate` and `chat`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.golden.command import attempt, emotone, write_rows
from tests.golden.values import file_value, plain

POSTS_EN = (
    "My neighbour's dog ran off during the storm last night.",
    "I got the job I hoped for!",
    "There was a spider as big as a saucer in our bath.",
    "The meeting was moved to Thursday.",
    "Nobody came to my little concert.",
    "What shall we cook tonight?",
)
POSTS_ZH = (
    "我家的小猫昨天晚上丢了。",
    "我考上理想的大学了！",
    "会议改到星期四了。",
    "隔壁又在半夜放音乐。",
)
DIALOGUE = [
    {"speaker": "user", "text": "I baked a cake for the first time."},
    {"speaker": "assistant", "text": "Oh nice, how did it turn out?"},
    {"speaker": "user", "text": "It burned, and my sister laughed at me."},
]
#: What the steered systems are asked: single, weak, strong, negative, mixed, none.
MIXES = ("sadness:30", "joy:60", "fear", "anger:-50", "joy:60 + sadness:30", None)
EMPATHY = "reaction:2 interpretation:1 exploration:2"


def reply(*arguments: object) -> Any:
    """Return what `reply --json` prints, without its timing."""
    return plain(emotone("reply", *arguments, "--json").json())


def generate(path: str, rows: list[dict[str, Any]], *arguments: object) -> list[Any]:
    """Answer rows and return the lines of the output file."""
    source = write_rows(f"{path}-in.jsonl", rows)
    emotone("generate", "-i", source, "-o", f"{path}.jsonl", *arguments)
    lines = Path(f"{path}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def posts(texts: tuple[str, ...], emotions: tuple[str | None, ...] = ()) -> list[dict[str, Any]]:
    """Make rows of posts, each with its emotion; all without where none is given."""
    rows: list[dict[str, Any]] = []
    for i, text in enumerate(texts):
        row: dict[str, Any] = {"id": f"own-{i}", "post": text}
        asked = emotions[i % len(emotions)] if emotions else None
        rows.append({**row, "emotion": asked} if asked else row)
    return rows


def echo() -> dict[str, Any]:
    talk = {"id": "talk", "dialogue": DIALOGUE}
    return {
        "reply": reply(POSTS_EN[0], "-s", "echo"),
        "zh": reply(POSTS_ZH[0], "-s", "echo"),
        "plain text": emotone("reply", "-", "-s", "echo", stdin="Hello there.\n").out,
        "generate": generate("r", [*posts(POSTS_EN), talk], "-s", "echo"),
        "manifest": file_value(Path("r.manifest.json")),
        "shard": generate("s", posts(POSTS_EN), "-s", "echo", "--shard", "2/3"),
        "chat": emotone("chat", "-s", "echo", stdin="one\n/again\n/clear\ntwo\n").out,
        "wrong use": [
            attempt("reply", "hi", "-s", "echo", "-e", "joy").code,
            attempt("reply", "hi", "-s", "ecco").code,
            attempt("reply", "hi", "-e", "joi").code,
            attempt("reply", "hi", "-e", "joy:200").code,
            attempt("reply", "hi", "-s", "echo", "--temperature", "-1").code,
            attempt("generate", "-i", "missing.jsonl", "-s", "echo").code,
        ],
    }


def prompted() -> dict[str, Any]:
    talk = {"id": "talk", "dialogue": DIALOGUE, "emotion": "sadness:80"}
    rows = [*posts(POSTS_EN, MIXES), talk]
    short = ("-s", "prompted", "--max-tokens", "24")
    return {
        "reply": reply(POSTS_EN[0], *short, "-e", "sadness:80"),
        "greedy": reply(POSTS_EN[1], *short, "-e", "joy:60", "--greedy"),
        "seed 7": generate("r", rows, *short, "--seed", "7"),
    }


def steered() -> dict[str, Any]:
    talk = {"id": "talk", "dialogue": DIALOGUE, "emotion": "sadness:80"}
    rows = [*posts(POSTS_EN, MIXES), talk]
    short = ("-s", "steered", "--max-tokens", "24")
    chat = "My bike was stolen.\n/again\n/emotion joy:60 + fear:20\nI found it behind the shed.\n"
    return {
        "reply": reply(POSTS_EN[0], "-e", "sadness:80"),
        "reply seed 3": reply(POSTS_EN[0], "-e", "sadness:80", "--seed", "3"),
        "told": reply(POSTS_EN[4], *short, "-e", "anger:100", "--set", "told=true"),
        "greedy": reply(POSTS_EN[1], *short, "-e", "joy:60", "--greedy"),
        "one candidate": reply(
            POSTS_EN[2], *short, "-e", "fear", "--set", "candidates=1", "--temperature", "0.9"
        ),
        "generate": generate("r", rows, *short),
        "manifest": file_value(Path("r.manifest.json")),
        "alone": generate("a", rows[:3], *short, "--batch", "1"),
        "overridden": generate("o", rows[:3], *short, "-e", "disgust:60", "--seed", "5"),
        "chat": emotone("chat", *short, "-e", "anger:60", stdin=chat).out,
    }


def _recurrent(system: str, emotions_en: tuple[str, ...], emotions_zh: tuple[str, ...]) -> Any:
    values: dict[str, Any] = {}
    for lang, texts, emotions in (
        ("en", POSTS_EN, emotions_en),
        ("zh", POSTS_ZH, emotions_zh),
    ):
        rows = posts(texts, emotions)
        of = ("-s", system, "--lang", lang)
        asked = ("-e", emotions[0]) if emotions else ()
        beams = ("--beams", "5")
        values |= {
            f"{lang} reply": reply(texts[0], "-s", system, *asked),
            f"{lang} sample": generate(f"{lang}-s", rows, *of),
            f"{lang} seed 9": generate(f"{lang}-9", rows, *of, "--seed", "9", "--max-tokens", "8"),
            f"{lang} one": generate(
                f"{lang}-1", rows, *of, "--set", "replies.candidates=1", "--temperature", "0.7"
            ),
            f"{lang} greedy": generate(f"{lang}-g", rows, *of, "--greedy"),
            f"{lang} beams": generate(f"{lang}-b", rows, *of, *beams),
            f"{lang} length": generate(f"{lang}-l", rows, *of, *beams, "--length-penalty", "0.8"),
        }
        values[f"{lang} manifest"] = file_value(Path(f"{lang}-b.manifest.json"))
        mood = f"/emotion {emotions[1]}\n" if emotions else ""
        talk = f"{texts[0]}\n/again\n{mood}{texts[1]}\n"
        values[f"{lang} chat"] = emotone("chat", *of, *asked, stdin=talk).out
    return values


def a_seq2seq() -> dict[str, Any]:
    return _recurrent("a_seq2seq", (), ())


EN = ("sadness", "joy", "fear", "neutral", "anger", "surprise")
ZH = ("sadness", "happiness", "other", "anger")


def ecm() -> dict[str, Any]:
    return _recurrent("ecm", EN, ZH)


def emo_seq() -> dict[str, Any]:
    return _recurrent("emo_seq", EN, ZH)


def emprl() -> dict[str, Any]:
    talk = {"id": "talk", "dialogue": DIALOGUE}
    values: dict[str, Any] = {}
    for model in ("emprl-smollm2", "emprl-t5-small"):
        of = ("-s", "emprl", "-m", model, "--max-tokens", "24")
        values |= {
            f"{model} reply": reply(POSTS_EN[4], *of),
            f"{model} greedy": reply(POSTS_EN[0], *of, "--greedy"),
            f"{model} levels": reply(POSTS_EN[4], *of, "--empathy", EMPATHY),
            f"{model} generate": generate(f"{model}-r", [*posts(POSTS_EN), talk], *of),
            f"{model} generate levels": generate(
                f"{model}-e",
                posts(POSTS_EN[:2]),
                *of,
                "--seed",
                "4",
                "--empathy",
                "reaction:0 interpretation:0 exploration:2",
            ),
            f"{model} chat": emotone(
                "chat", *of, stdin=f"{POSTS_EN[2]}\n/again\n/empathy {EMPATHY}\nIt is gone now.\n"
            ).out,
        }
    of = ("-s", "emprl", "-m", "emprl-smollm2", "--max-tokens", "24")
    values["steered and empathic"] = reply(
        POSTS_EN[0], *of, "-e", "sadness:60", "--empathy", EMPATHY
    )
    values["steered"] = generate("m", posts(POSTS_EN[:4], MIXES), *of)
    return values
