"""The result table: four systems, three intensities, 40 posts that no tuning touched.

`python -m recipes.smollm2_vectors.table` writes out/table/replies.jsonl (resumable), then
docs/results/smollm2.json and docs/results.md from it.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emotone.emotions import EKMAN, EmotionMix
from emotone.evaluation.records import reply_line
from emotone.lm.chat import FRIEND
from emotone.models import load_causal_lm
from emotone.models.embed import sentence_embedder
from emotone.steering.fluency import (
    distinct,
    known_share,
    prompted_perplexity,
    repeated_share,
    tokenizer_words,
    words,
)
from emotone.steering.vectors import EmotionVectors
from emotone.systems.prompted import Config as PromptedConfig
from emotone.systems.prompted import Prompted
from emotone.systems.steered import Config, Steered
from emotone.types import Decoding, Dialogue, Example
from recipes.smollm2_vectors.corpora import dailydialog, empathetic, goemotions, meld
from recipes.smollm2_vectors.score_judge import ScoreJudge, held_out

HERE = Path(__file__).parent
OUT = Path("out/table")
RESULT = Path("docs/results/smollm2.json")
PAGE = Path("docs/results.md")
SEED = 20_000
LABELS = EKMAN.labels[:6]
TABLE = (50, 80, 100)
CURVE = (-50, 0, 25, 50, 75, 100)


def posts() -> list[str]:
    """The 40 posts of the table."""
    return (HERE / "posts_eval.txt").read_text(encoding="utf-8").split("\n")[:-1]


def generate() -> list[dict[str, Any]]:
    """Answer every post by every system at every intensity; a killed run goes on."""
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / "replies.jsonl"
    done = (
        {json.loads(line)["id"] for line in path.open(encoding="utf-8")} if path.exists() else set()
    )
    lm = load_causal_lm("smollm2", device="cpu")
    # Twice as fast in batches here; the weights of the file are bfloat16 themselves.
    lm.model.to(torch.bfloat16)  # pyright: ignore
    vectors = EmotionVectors.shipped("smollm2")
    systems: dict[str, Any] = {
        "steered": Steered(lm, vectors, Config(batch=80)),
        "prompted": Prompted(lm, PromptedConfig(batch=80)),
        "both": Steered(lm, vectors, Config(batch=80, told=True)),
    }
    jobs: list[tuple[str, str | None]] = [("none", None)]
    jobs += [(s, f"{e}:{i}") for s in ("steered", "prompted") for e in LABELS for i in TABLE]
    jobs += [("steered", f"{e}:{i}") for e in LABELS for i in CURVE if i not in TABLE and i]
    jobs += [("both", f"{e}:{i}") for i in reversed(TABLE) for e in LABELS]
    dialogues = [Dialogue.of(p) for p in posts()]
    with path.open("a", encoding="utf-8") as out:
        for name, mix in jobs:
            key = f"{name}/{mix or ''}"
            if f"{key}/0" in done:
                continue
            emotion = EmotionMix.parse(mix) if mix else None
            replies = systems.get(name, systems["steered"]).reply(
                dialogues, [emotion] * len(dialogues), decoding=Decoding(seed=SEED)
            )
            lines = [
                reply_line(Example(f"{key}/{i}", d, emotion), r)
                for i, (d, r) in enumerate(zip(dialogues, replies, strict=True))
            ]
            out.write("\n".join(lines) + "\n")
            out.flush()
            print(key, replies[0].text, flush=True)
    return [json.loads(line) for line in path.open(encoding="utf-8")]


def score(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Measure every group of replies."""
    judge, embed = ScoreJudge(), sentence_embedder()
    lm = load_causal_lm("smollm2", device="cpu")
    vocabulary = set(tokenizer_words(lm.tokenizer))
    for text, _ in [
        *goemotions("train"),
        *empathetic("train"),
        *dailydialog("train"),
        *meld("train"),
    ]:
        vocabulary |= set(words(text))
    groups: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        groups.setdefault(line["id"].rsplit("/", 1)[0], []).append(line)
    asked = [Dialogue.of(p) for p in posts()]
    at = embed(posts())
    plain = [line["text"] for line in groups["none/"]]
    plain_similarity = float((at * embed(plain)).sum(-1).mean())
    plain_distinct = distinct(plain)
    human: dict[str, float] = {}
    for label in LABELS:
        mix = EmotionMix.parse(label)
        # Turns of a film and of everyday talk: human texts of the emotion, each with a post.
        texts = [t for t, e in [*meld("train"), *dailydialog("train")] if e == label]
        texts = [t for t in texts if 6 <= len(words(t)) <= 30][:200]
        pairs = [(asked[i % len(asked)], t) for i, t in enumerate(texts)]
        human[label] = prompted_perplexity(lm.model, lm.tokenizer, pairs, mix, system=FRIEND)
    cells: dict[str, Any] = {}
    for key, group in groups.items():
        texts = [line["text"] for line in group]
        scores = judge.classify(texts)
        base = {
            "n": len(texts),
            "known": known_share(texts, vocabulary),
            "repeats": repeated_share(texts),
            "similarity": float((at * embed(texts)).sum(-1).mean()) / plain_similarity,
            "distinct": distinct(texts) / plain_distinct,
            "words": statistics.mean(len(words(t)) for t in texts),
        }
        for label in LABELS if key == "none/" else [key.split("/")[1].split(":")[0]]:
            hits = [s.label == label for s in scores]
            rates = [s.probabilities[label] for s in scores]
            ppl = prompted_perplexity(
                lm.model,
                lm.tokenizer,
                list(zip(asked, texts, strict=True)),
                EmotionMix.parse(label),
                system=FRIEND,
            )
            name = f"none/{label}" if key == "none/" else key
            cells[name] = {
                **{k: round(v, 4) if isinstance(v, float) else v for k, v in base.items()},
                "heard": round(statistics.mean(hits), 4),
                "heard_interval": _wilson(sum(hits), len(hits)),
                "probability": round(statistics.mean(rates), 4),
                "probability_interval": _bootstrap(rates),
                "perplexity": round(ppl / human[label], 4),
            }
    curve = {}
    for label in LABELS:
        means = [
            cells[f"none/{label}" if i == 0 else f"steered/{label}:{i}"]["probability"]
            for i in CURVE
        ]
        curve[label] = {"probability": means, "spearman": round(_spearman(means), 3)}
    return {
        "signature": {
            "judge": judge.name,
            "judge_held_out": held_out(),
            "posts": f"{len(asked)} posts of recipes/smollm2_vectors/posts_eval.txt",
            "vectors": EmotionVectors.shipped("smollm2").card.data,
            "decoding": str(Decoding(seed=SEED)),
            "activations": "bfloat16 for replies, float32 for perplexity",
            "torch": torch.__version__,
            "human_perplexity": {k: round(v, 2) for k, v in human.items()},
            "unsteered": {
                "similarity": round(plain_similarity, 4),
                "distinct": round(plain_distinct, 4),
            },
        },
        "cells": cells,
        "curve": {"intensities": list(CURVE), **curve},
    }


def _wilson(hits: int, n: int) -> list[float]:
    """95 % interval of a share.

    Not `metrics.significance`, which resamples: the published table was made with this, and with
    the random numbers of `_bootstrap`.

    Source: Wilson 1927.
    """
    z, p = 1.96, hits / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return [round(max(0.0, middle - half), 3), round(min(1.0, middle + half), 3)]


def _bootstrap(values: Sequence[float]) -> list[float]:
    means = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
    return [round(float(q), 3) for q in np.quantile(means, (0.025, 0.975))]


def _spearman(means: Sequence[float]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(CURVE, means)[0])  # pyright: ignore


def page(result: dict[str, Any], lines: Sequence[dict[str, Any]]) -> str:
    """Write the results as a page."""
    s = result["signature"]
    out = [
        "# Results",
        "",
        "Written by `python -m recipes.smollm2_vectors.table`; do not edit.",
        "",
        f"SmolLM2-135M-Instruct, {s['posts']}, which no tuning touched. Judge {s['judge']} "
        "(MiniLM fine-tuned on half of GoEmotions and on MELD), which had no part in the vectors "
        "or their calibration; on held-out texts it reaches "
        + ", ".join(f"{v['accuracy']} accuracy on {k}" for k, v in s["judge_held_out"].items())
        + f". Decoding: `{s['decoding']}`.",
        "",
        "share: of replies that the judge classifies as the requested emotion (95 % interval). p: "
        "its mean probability. (a) perplexity under the unsteered model prompted for the emotion, "
        "over that of human texts of the emotion. (b) known words. (c) repeated 4-grams. "
        "(d) similarity to the post and Distinct-2, over unsteered replies. (e) words.",
        "",
        "| system | emotion | intensity | share | p | (a) | (b) | (c) | (d) sim | (d) D-2 | (e) |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for system in ("steered", "both", "prompted", "none"):
        for label in LABELS:
            for i in TABLE if system != "none" else (0,):
                c = result["cells"][f"{system}/{label}" + (f":{i}" if i else "")]
                low, high = c["heard_interval"]
                out.append(
                    f"| {system} | {label} | {i or '-'} | {c['heard']:.2f} ({low:.2f}-{high:.2f}) "
                    f"| {c['probability']:.2f} | {c['perplexity']:.2f} | {c['known']:.3f} "
                    f"| {c['repeats']:.3f} | {c['similarity']:.2f} | {c['distinct']:.2f} "
                    f"| {c['words']:.0f} |"
                )
    out += dose_section(result["curve"])
    out += [
        "",
        "## Replies",
        "",
        "Every seventh post at intensity 100, system `steered`, as they came.",
        "",
    ]
    for label in LABELS:
        out += [f"**{label}**", ""]
        own = [x for x in lines if x["id"].startswith(f"steered/{label}:100/")]
        for x in own[::7]:
            out.append(f"- {x['dialogue'][-1]['text']} → {x['text']}")
        out.append("")
    return "\n".join(out)


def dose_section(curve: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Write what rising intensities do, to the judge that scores."""
    lines = [
        "",
        "## Dose",
        "",
        "Mean probability of the requested emotion to the judge, system `steered`. Way: the share "
        "of its rise from 0 to 100 that is reached at 25, 50 and 75. The doses were set so that "
        "another judge, that of the calibration, finds .25, .50 and .75.",
        "",
        "| emotion | " + " | ".join(str(i) for i in CURVE) + " | Spearman | way |",
        "|---" * (len(CURVE) + 3) + "|",
    ]
    for label in LABELS:
        probability = dict(zip(CURVE, curve[label]["probability"], strict=True))
        rise = probability[100] - probability[0]
        way = ", ".join(f"{(probability[i] - probability[0]) / rise:.2f}" for i in (25, 50, 75))
        row = " | ".join(f"{p:.3f}" for p in probability.values())
        lines.append(f"| {label} | {row} | {curve[label]['spearman']} | {way} |")
    return lines


def fill_readme(result: dict[str, Any]) -> None:
    """Put the row of intensity 100 into the README, between its marks."""
    path = Path("README.md")
    text = path.read_text(encoding="utf-8")
    head, begin, rest = text.partition("<!-- results:begin -->")
    _, end, tail = rest.partition("<!-- results:end -->")
    if not (begin and end):
        raise SystemExit("README.md has lost its results marks")
    rows = [
        "Share of replies that an independent judge classifies as the requested emotion at "
        "intensity 100 (40 posts that no tuning touched; the last row: the same share of replies "
        "without an emotion). Intervals, fluency, doses and the judge: "
        "[docs/results.md](docs/results.md).",
        "",
        "| system | " + " | ".join(LABELS) + " |",
        "|---" * (len(LABELS) + 1) + "|",
    ]
    for system, mark in (("steered", ":100"), ("both", ":100"), ("prompted", ":100"), ("none", "")):
        cells = [result["cells"][f"{system}/{label}{mark}"]["heard"] for label in LABELS]
        rows.append(f"| {system} | " + " | ".join(f"{c:.2f}" for c in cells) + " |")
    body = "\n".join(rows)
    path.write_text(f"{head}{begin}\n{body}\n{end}{tail}", encoding="utf-8")


def main() -> None:
    torch.set_num_threads(2)
    lines = generate()
    result = score(lines)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(result, lines), encoding="utf-8")
    fill_readme(result)
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
