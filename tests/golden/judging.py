"""Judges, scores, perplexity, reports and the commands on data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.golden.command import attempt, emotone, write_rows
from tests.golden.replies import DIALOGUE, EN, POSTS_EN, POSTS_ZH, generate, posts
from tests.golden.values import digest, file_value, plain, shortened

#: What systems with intensities are asked.
SIX = ("sadness:60", "joy", "fear:30", "disgust:100", "anger:100", "surprise:50")
TEXTS_EN = (
    "I could dance all day, this is wonderful!",
    "Leave me alone, you liar.",
    "I miss her every single morning.",
    "That smell makes me sick.",
    "Did you hear that noise downstairs?",
    "No way, you are already back?",
    "The train leaves at nine.",
    "Thank you, that helps a lot.",
    "",
    "uh",
)
TEXTS_ZH = (
    "今天真是太开心了！",
    "别烦我，骗子。",
    "我每天早上都想她。",
    "这味道真恶心。",
    "火车九点开。",
    "你真可爱，谢谢你。",
    "哈",
)
ANSWERS = (
    "I am so sorry, that must hurt a lot.",
    "When did it happen?",
    "I understand, being alone in such a night is hard. What would help you?",
    "It is Thursday.",
    "Oh no! I know that feeling well, it happened to me too.",
    "Good for you.",
)
REFERENCES = (
    "Oh dear, I hope he comes back soon.",
    "That is great news, well done!",
    "I would have run out of the house!",
    "Fine, I will write it down.",
    "I am sorry, they do not know what they missed.",
    "What about soup?",
)


def judge_emotion() -> dict[str, Any]:
    # zh-score reads by a model whose terms of use a person has to accept first, so it is left out.
    values: dict[str, Any] = {}
    for lang, name, texts in (
        ("en", "en-label", TEXTS_EN),
        ("en", "en-score", TEXTS_EN),
        ("zh", "zh-label", TEXTS_ZH),
    ):
        path = write_rows(f"{lang}.jsonl", [{"id": i, "text": t} for i, t in enumerate(texts)])
        values[name] = emotone("judge", "emotion", "-i", path, "--lang", lang, "--judge", name)
        values[name] = values[name].rows()
    values["list"] = emotone("judge", "list", "--json").json()
    return values


def judge_empathy() -> dict[str, Any]:
    pairs = zip(POSTS_EN, ANSWERS, strict=True)
    rows = [{"id": i, "context": c, "response": r} for i, (c, r) in enumerate(pairs)]
    path = write_rows("pairs.jsonl", rows)
    return {
        name: emotone("judge", "empathy", "-i", path, "--judge", name).rows()
        for name in ("empathy-reward", "empathy-score")
    }


def score() -> dict[str, Any]:
    rows = [
        {**row, "reply": reference}
        for row, reference in zip(posts(POSTS_EN, EN), REFERENCES, strict=True)
    ]
    rows += [{**row, "id": f"more-{i}", "reply": "Oh, I see."} for i, row in enumerate(rows)]
    bare = [{k: v for k, v in row.items() if k != "emotion"} for row in rows]
    for folder in ("echo", "a_seq2seq", "ecm", "emo_seq", "zh"):
        Path(folder).mkdir()
    generate("echo/replies", bare, "-s", "echo")
    generate("a_seq2seq/replies", bare, "-s", "a_seq2seq")
    generate("ecm/replies", rows, "-s", "ecm", "--beams", "3")
    generate("emo_seq/replies", rows, "-s", "emo_seq")
    generate("zh/replies", posts(POSTS_ZH, ("happiness", "sadness")), "-s", "ecm")
    emotone(
        "score", "-i", "ecm/replies.jsonl", "-o", "ecm/scores.json", "--fluency-model", "smollm2",
        "--against", "emo_seq/replies.jsonl", "--parts", "own,more",
    )  # fmt: skip
    emotone("score", "-i", "emo_seq/replies.jsonl", "-o", "emo_seq/scores.json")
    for system in ("echo", "a_seq2seq"):
        emotone(
            "score", "-i", f"{system}/replies.jsonl", "-o", f"{system}/scores.json",
            "--asked", "all", "--taxonomy", "ekman", "--rounds", "200", "--seed", "3",
        )  # fmt: skip
    several = ("-i", "ecm/replies.jsonl", "-i", "emo_seq/replies.jsonl")
    few = ("--metrics", "distinct_2,bleu,rouge_l", "--rounds", "50")
    zh = ("--judge", "zh-label", "--same-judge", "--rounds", "50")
    emotone("perplexity", "-i", "ecm/replies-in.jsonl", "-s", "ecm", "-o", "ecm/perplexity.json")
    values: dict[str, Any] = {
        f"{system} {part}": value
        for system in ("ecm", "emo_seq", "echo", "a_seq2seq")
        for part, value in _scores(f"{system}/scores.json").items()
    }
    values |= {
        "several": [_less(row) for row in emotone("score", *several, *few).rows()],
        "zh": _less(emotone("score", "-i", "zh/replies.jsonl", *zh).json()),
        "perplexity of ecm": _scores("ecm/perplexity.json"),
    }
    # The page shows the manifests, so what differs between two runs is taken out of them first.
    for path in sorted(Path().glob("*/*.json")):
        scores = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(plain(scores)), encoding="utf-8")
    emotone("report", "ecm", "emo_seq", "echo", "a_seq2seq", "-o", "report", "--posts", "show")
    for path in sorted(Path("report").iterdir()):
        text = path.read_text(encoding="utf-8")
        values[f"report {path.name}"] = {"characters": len(text), "sha256": digest(text)}
    return values


def perplexity() -> dict[str, Any]:
    rows = [
        {**row, "reply": reference}
        for row, reference in zip(posts(POSTS_EN, EN), REFERENCES, strict=True)
    ]
    bare = [{k: v for k, v in row.items() if k != "emotion"} for row in rows]
    talk = {"id": "talk", "dialogue": DIALOGUE, "reply": "That was not nice of her."}
    with_, without = write_rows("with.jsonl", rows), write_rows("without.jsonl", bare)
    talks = write_rows("talks.jsonl", [*bare, talk])
    six = [{**row, "emotion": e} for row, e in zip(rows, SIX, strict=True)]
    strong = write_rows("strong.jsonl", six)
    values: dict[str, Any] = {}
    for system, path in (
        ("steered", strong),
        ("prompted", strong),
        ("emo_seq", with_),
        ("a_seq2seq", without),
        ("emprl", talks),
    ):
        values[system] = _less(emotone("perplexity", "-i", path, "-s", system).json())
    t5 = emotone("perplexity", "-i", talks, "-s", "emprl", "-m", "emprl-t5-small")
    values["emprl t5"] = _less(t5.json())
    return values


def data() -> dict[str, Any]:
    emotone("data", "prepare", "synthetic", "-o", "synthetic")
    pairs = zip(POSTS_EN, ANSWERS, EN, strict=True)
    lines = ["\t".join(row) for row in pairs]
    Path("own.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    emotone("data", "prepare", "tsv", "--from", "own.tsv", "-o", "own.jsonl")
    talk = {"messages": [{"role": p["speaker"], "content": p["text"]} for p in DIALOGUE]}
    talk["messages"].append({"role": "assistant", "content": "Oh no, that is a pity."})
    write_rows("chats.jsonl", [talk, talk])
    emotone("data", "prepare", "messages", "--from", "chats.jsonl", "-o", "chats-out.jsonl")
    emotone("data", "label", "-i", "own.jsonl", "-o", "labelled.jsonl", "--judge", "en-label")
    Path("broken.jsonl").write_text('{"id": "a", "post": "x"}\n{"id": "a"\n', encoding="utf-8")
    broken = attempt("data", "validate", "broken.jsonl", "--json")
    part = ("synthetic/train.jsonl", "--limit", "300")
    return {
        "synthetic": {path.name: digest(path.read_bytes()) for path in Path("synthetic").iterdir()},
        "pool": file_value(Path("synthetic/pool.json")),
        "tsv": file_value(Path("own.jsonl")),
        "messages": file_value(Path("chats-out.jsonl")),
        "labelled": file_value(Path("labelled.jsonl")),
        "stats": shortened(emotone("data", "stats", *part, "--json").json(), 3000),
        "stats as text": digest(emotone("data", "stats", *part).out),
        "stats of own": emotone("data", "stats", "labelled.jsonl", "--json").json(),
        "valid": emotone("data", "validate", "own.jsonl", "--json").json(),
        "broken": broken.code,
        "list": shortened(emotone("data", "list", "--json").json(), 30_000),
    }


def options() -> dict[str, Any]:
    """Commands and their options, by their help."""
    values: dict[str, Any] = {}
    places: list[tuple[str, ...]] = [()]
    while places:
        place = places.pop()
        text = emotone(*place, "--help").out
        for block in text.split("\nCommands:\n")[1:]:
            commands = re.findall(r"^  ([a-z]+)  ", block, re.MULTILINE)
            places += [(*place, command) for command in commands]
        names = re.findall(r"--[a-z][a-z-]*", re.sub(r"`[^`]*`", "", text))
        values[" ".join(place) or "emotone"] = sorted(set(names))
    return dict(sorted(values.items()))


def _scores(path: str) -> Any:
    return _less(json.loads(Path(path).read_text(encoding="utf-8")))


def _less(scores: Any) -> Any:
    """Write each metric as [value, low, high, n]; all signatures together have a digest."""
    signatures: list[str] = []

    def compact(value: Any) -> Any:
        if isinstance(value, dict) and value.keys() >= _METRIC:
            signatures.append(value["signature"])
            more = {k: v for k, v in value.items() if k not in _METRIC}
            return [
                value["value"],
                value["low"],
                value["high"],
                value["n"],
                *([more] if more else []),
            ]
        if isinstance(value, dict):
            return {key: compact(part) for key, part in value.items()}
        return [compact(part) for part in value] if isinstance(value, list) else value

    values = compact(plain(scores))
    return {**values, "signatures": digest("\n".join(signatures))}


_METRIC = frozenset({"value", "low", "high", "n", "signature"})
