"""The results page: the default model, its variants and what each part adds.

1. answer  replies of every variant to 10 posts in six emotions     FOLDER/<variant>.jsonl
2. score   figures by the judges that score                         docs/results/default.json
3. page    docs/results.md and the table of the README, from the files in docs/results

`python -m recipes.companion.table answer [FOLDER] [--only REGEX]`, then `score`, which writes the
page too. A variant whose file is there is left alone: delete it where settings or posts change.
docs/results/blind.json holds what `emotone blind report --json` says of each sheet, under a name;
docs/results/moods.json what readers heard who chose a mood for each reply.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from emotone import config as configs
from emotone import systems
from emotone.emotions import EVERYDAY, EmotionMix
from emotone.evaluation.generate import generate
from emotone.evaluation.records import read_replies_files
from emotone.evaluation.score import score_files
from emotone.files import replacing, write_json
from emotone.judges import open_judge
from emotone.steering.make import JUDGED
from emotone.types import Decoding, Dialogue, Example
from recipes.compare.files import RESULTS, ROOT, filled, read_results, write_page, write_results
from recipes.compare.table import Column, number_table, table

HERE = Path(__file__).parent
RESULT, PAGE = RESULTS / "default.json", ROOT / "docs/results.md"
BLIND, MOODS = RESULTS / "blind.json", RESULTS / "moods.json"
POSTS = ROOT / "recipes/smollm2_vectors/posts_eval.txt"
EMOTIONS = JUDGED[:6]
DOSES = (-50, 0, 25, 50, 75, 100)
JUDGE = "en-score:everyday"
SHOWN: Mapping[str, Column] = {
    "emotion_accuracy": ("heard ↑", 2, 1),
    "sense": ("sense ↑", 2, 1),
    "self_bleu": ("self-BLEU ↓", 1, 1),
    "opening_share": ("commonest opening, % ↓", 0, 100),
    "names_emotion": ("names the emotion, %", 0, 100),
    "blames_user": ("blames, % ↓", 0, 100),
    "echo_3": ("echo, % ↓", 0, 100),
    "distinct_2": ("Distinct-2 ↑", 2, 1),
    "repeated_4": ("repeats, % ↓", 1, 100),
    "length_words": ("words", 0, 1),
}
READ: Mapping[str, Column] = {
    "emotion": ("emotion heard", 2, 1),
    "content": ("content of 2", 2, 1),
    "both": ("both right", 2, 1),
    "blame": ("blames the user", 2, 1),
}
#: What the manifests of all variants have in common.
SHARED = ("emotone", "commit", "packages", "judges")
#: Sheets of blind.json that stand in the README too, by how their names begin.
IN_README = ("English", "Chinese", "English, 40 further", "Chinese, 38 further")


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to answer.

    Args:
        title: What it is.
        settings: Of the system, as `--set` takes them.
        system: Which system.
        intensities: What is asked of each emotion.
        emotions: The emotions.
        decoding: How replies are searched for.
    """

    title: str
    settings: tuple[str, ...] = ()
    system: str = "steered"
    intensities: tuple[int, ...] = (100,)
    emotions: tuple[str, ...] = EMOTIONS
    decoding: Decoding = field(default_factory=Decoding)


VARIANTS: Mapping[str, Variant] = {
    "prompted": Variant("the bare model, told the emotion", system="prompted"),
    "bare": Variant("vectors of the bare model", ("companion=false", "retrieve=0")),
    "one": Variant("the companion, one candidate", ("candidates=1", "retrieve=0")),
    "four": Variant("four candidates, by listener and readout of sense", ("retrieve=0",)),
    "eight": Variant("eight candidates", ("candidates=8", "retrieve=0")),
    "sixteen": Variant("sixteen candidates", ("candidates=16", "retrieve=0")),
    "judge": Variant("four, by listener and `en-sense-label`", ("sense=auto", "retrieve=0")),
    "told": Variant("four, and told the emotion", ("told=true", "retrieve=0")),
    "hand": Variant("**the default: four, and replies by hand**"),
    "hand16": Variant("four, and 16 replies by hand", ("retrieve=16",)),
    "hand50": Variant("the default at 50", intensities=(50,)),
    "free": Variant(
        "four, 48 tokens, `no_repeat` 0", ("retrieve=0",), decoding=Decoding(no_repeat=0)
    ),
    "long": Variant(
        "one candidate, 60 to 300 tokens", ("candidates=1", "retrieve=0"),
        decoding=Decoding(max_tokens=300, min_tokens=60),
    ),
    "longfree": Variant(
        "one candidate, 60 to 300 tokens, `no_repeat` 0", ("candidates=1", "retrieve=0"),
        decoding=Decoding(max_tokens=300, min_tokens=60, no_repeat=0),
    ),
    "dose": Variant("four", ("retrieve=0",), intensities=DOSES, emotions=JUDGED),
}  # fmt: skip


def answer(name: str, folder: Path) -> None:
    """Write the replies of a variant, and its CPU seconds beside them."""
    variant, out = VARIANTS[name], folder / f"{name}.jsonl"
    if out.is_file():
        return
    module = systems.module(variant.system)
    settings = [*variant.settings, *(["batch=64"] if variant.system == "steered" else [])]
    responder = module.load(config=configs.load(module.Config, None, settings))
    posts = POSTS.read_text(encoding="utf-8").splitlines()[::4]
    start, written = time.process_time(), 0
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        for emotion in variant.emotions:
            for intensity in variant.intensities:
                rows = [
                    (i, Example(f"post-{i}:{emotion}:{intensity}", Dialogue.of(post)))
                    for i, post in enumerate(posts)
                ]
                mix = EmotionMix.of({emotion: float(intensity)}, EVERYDAY) if intensity else None
                written += generate(
                    responder, rows, file, emotion=mix, decoding=variant.decoding, batch=64
                )
    seconds = (time.process_time() - start) / written
    write_json(out.with_suffix(".seconds.json"), {"cpu seconds a reply": round(seconds, 2)})
    print(f"{name}: {written} replies, {seconds:.2f} CPU seconds each", flush=True)


def score(folder: Path) -> dict[str, Any]:
    """Score the replies of all variants that are there."""
    rows: dict[str, Any] = {}
    manifest: Mapping[str, Any] = {}
    for name, variant in VARIANTS.items():
        path = folder / f"{name}.jsonl"
        if name == "dose" or not path.is_file():
            continue
        (scores,) = score_files(path, [*SHOWN], judge=JUDGE, labels=folder / ".labels")
        seconds = json.loads(path.with_suffix(".seconds.json").read_text(encoding="utf-8"))
        rows[name] = {
            "settings": variant.settings, "intensities": variant.intensities,
            "decoding": asdict(variant.decoding), "inputs": scores.manifest["inputs"], **seconds,
            "metrics": {k: {"value": n.value, "low": n.low, "high": n.high}
                        for k, n in scores.metrics.items()},
            "heard": {
                e.partition(":")[0]: n["emotion_accuracy"].value
                for e, n in scores.per_emotion.items()
            },
        }  # fmt: skip
        manifest = {key: scores.manifest[key] for key in SHARED}
        print(name, {k: round(n.value or 0, 3) for k, n in scores.metrics.items()}, flush=True)
    return {"manifest": manifest, "variants": rows, "dose": heard_at(folder / "dose.jsonl")}


def heard_at(path: Path) -> dict[str, list[float]]:
    """Return the mean probability of each emotion to the judge at each intensity."""
    if not path.is_file():
        return {}
    judge = open_judge(JUDGE)
    pairs = read_replies_files([path])
    judged = judge.classify(
        [r.text for _, r in pairs], [e.dialogue.posts[-1].text for e, _ in pairs]
    )
    heard: dict[tuple[str, int], list[float]] = {}
    for (example, _), scores in zip(pairs, judged, strict=True):
        _, emotion, intensity = example.id.split(":")
        heard.setdefault((emotion, int(intensity)), []).append(scores.probabilities[emotion])
    return {e: [float(np.mean(heard[e, i])) for i in DOSES] for e in JUDGED}


def page(results: Mapping[str, Any], readings: Mapping[str, Any], moods: Mapping[str, Any]) -> str:
    """Write the results as a page, from what is in default.json, blind.json and moods.json."""
    rows = results["variants"]
    head = ["", "CPU seconds"]
    cells = [
        ([VARIANTS[name].title, f"{row['cpu seconds a reply']:.2f}"], row["metrics"])
        for name, row in rows.items()
    ]
    heard = [
        [VARIANTS[name].title, *(f"{row['heard'][e]:.2f}" for e in EMOTIONS)]
        for name, row in rows.items()
    ]
    doses = [
        [e, *(f"{p:.2f}" for p in means), f"{float(spearmanr(DOSES, means).statistic):.2f}"]  # pyright: ignore
        for e, means in results["dose"].items()
    ]
    felt = [
        [mood, *(f"{shares[i]['heard']:.2f}, {shares[i]['content']:.2f}" for i in ("50", "100"))]
        for mood, shares in moods["moods"].items()
    ]
    return filled(
        HERE / "results.md",
        judges=" and ".join(f"`{name}`" for name in results["manifest"]["judges"]),
        blind="\n\n".join(_reading(name, sheet) for name, sheet in readings.items()),
        variants=number_table(head, cells, SHOWN, [*SHOWN]),
        heard=table(["heard", *EMOTIONS], heard),
        doses=table(["emotion", *map(str, DOSES), "Spearman"], doses),
        moods=table(["mood", "at 50: heard, content", "at 100"], felt),
    )


def _reading(name: str, sheet: Mapping[str, Any]) -> str:
    rows = [([s["system"], str(s["lines"])], s) for s in sheet["systems"]]
    return "\n".join([f"{name}:", "", *number_table(["", "lines"], rows, READ, [*READ])])


def with_table(readme: str, readings: Mapping[str, Any]) -> str:
    """Put the sheets of `IN_README` into the README, between its marks."""
    head, begin, rest = readme.partition("<!-- results:begin -->\n")
    _, end, tail = rest.partition("<!-- results:end -->")
    if not (begin and end):
        raise SystemExit("README.md has lost its results marks")
    rows = [
        [system["system"], *(f"{system[key]['value']:.2f}" for key in READ)]
        for start in IN_README
        for name in readings
        if name == start or (" " in start and name.startswith(start))
        for system in readings[name]["systems"]
    ]
    lines = table(["", *(heading for heading, _, _ in READ.values())], rows)
    return f"{head}{begin}{chr(10).join(lines)}\n{end}{tail}"


def main() -> None:
    torch.set_num_threads(2)
    arguments = argparse.ArgumentParser()
    arguments.add_argument("step", choices=["answer", "score", "page"])
    arguments.add_argument("folder", type=Path, nargs="?", default=Path("out/default"))
    arguments.add_argument("--only", default=".")
    given = arguments.parse_args()
    if given.step == "answer":
        given.folder.mkdir(parents=True, exist_ok=True)
        for name in VARIANTS:
            if re.search(given.only, name):
                answer(name, given.folder)
        return
    if given.step == "score":
        write_results(RESULT, score(given.folder))
    write_page(PAGE, page(read_results(RESULT), read_results(BLIND), read_results(MOODS)))
    readme = ROOT / "README.md"
    write_page(readme, with_table(readme.read_text(encoding="utf-8"), read_results(BLIND)))


if __name__ == "__main__":
    main()
