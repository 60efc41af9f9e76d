"""Put the trained systems into the zoo, with cards.

`python -m recipes.recurrent.pack RUNS` packs the first seed's run of each system and language. All
three then learn a second time, from what is clear and from everyday (`clear.py`, `parallel.py` and
`configs/*/{en,zh}-parallel.toml`); `python -m recipes.recurrent.pack --second FOLDER` packs what
came of it, folders `<system>-<lang>`. `python -m recipes.recurrent.pack` writes the cards anew,
from docs/results/recurrent-shipped.json.

Words that the training texts hold fewer than 5 times are taken out of the vocabulary, for a rare
word may be a person's; they are unknown words from then on. Weights become int8.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from emotone.data import everyday
from emotone.data.reading import Problems
from emotone.data.source import read_file
from emotone.data.text import Lang, tokens
from emotone.recurrent.folder import CONFIG, pack_folder
from recipes.compare.files import RESULTS, ROOT, ZOO, filled, read_results
from recipes.recurrent.folders import MAIN
from recipes.recurrent.names import LANGS as NAMES
from recipes.recurrent.names import SYSTEMS
from recipes.recurrent.parallel import ASKED
from recipes.recurrent.runs import LANGS
from recipes.recurrent.table import row_values

FIGURES = RESULTS / "recurrent-shipped.json"
LEAST = 5
SECOND = (
    " These are rows and steps of the last stage, on what the labelling judge is sure of and on"
    " lines of everyday, written by hand in each emotion; it begins from an A-Seq2Seq that has"
    " learnt the whole pool{more}."
)
MORE = {"en": ", as in docs/systems/recurrent-results.md", "zh": " and these lines"}
USES = {
    "a_seq2seq": "the yardstick that takes no emotion, for comparison",
    "ecm": "replies of one post in one of its emotions, for research and play",
    "emo_seq": "replies of one post in one of its emotions, for research and play",
}
LIMITS = {
    "en": "It was trained on some 60,000 short exchanges, most of them of crowd workers who talk"
    " about feelings, and on {posts:,} everyday posts answered in each emotion. Its replies are"
    " short and often beside the point.",
    "zh": "It was trained on some 38,000 short exchanges from weibos, television and translated"
    " lessons, and on {posts:,} everyday posts answered in each emotion. Sentences are often broken"
    " or beside the point.",
}


def words(lang: Lang) -> set[str]:
    """Words that may be given away: ours, and those that come often enough in others' texts."""
    counts: Counter[str] = Counter()
    for part in ("train", "texts"):
        for example in read_file(ROOT / f"out/pairs/{lang}/{part}.jsonl", Problems()):
            for text in (example.dialogue.posts[-1].text, example.reply or ""):
                counts.update(tokens(text, lang))
    ours = {
        word
        for line in everyday.lines(lang)
        for text in (line.post, *line.replies.values())
        for word in tokens(text, lang)
    }
    return ours | {word for word, count in counts.items() if count >= LEAST}


def pack(runs: Path) -> None:
    """Pack the first seed's run of each system and language."""
    for lang in LANGS:
        frequent = words(lang)
        for system, variant in MAIN.items():
            out = ZOO / f"{system}-{lang}"
            pack_folder(runs / f"{lang}-{system}-{variant}-s1", out, words=frequent)
            _without_replies(out)


def pack_second(folder: Path) -> None:
    """Pack models of a later stage."""
    for source in sorted(p.parent for p in folder.glob("*/manifest.json")):
        lang: Lang = "zh" if source.name.endswith("zh") else "en"
        pack_folder(source, ZOO / source.name, words=words(lang))
        _without_replies(ZOO / source.name)


def _without_replies(out: Path) -> None:
    """How candidates are chosen is the code's default, also where it has changed since."""
    text = (out / CONFIG).read_text(encoding="utf-8")
    (out / CONFIG).write_text(text.split("[replies]")[0].rstrip() + "\n", encoding="utf-8")


def cards() -> None:
    """Write README.md into the folder of each system."""
    results = read_results(FIGURES)
    for folder in sorted(p.parent for p in ZOO.glob("*/manifest.json")):
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        system, lang = manifest["system"], manifest["lang"]
        config = tomllib.loads((folder / CONFIG).read_text(encoding="utf-8"))
        source = ROOT / Path(config["data"]["train"]).parent / "pool.json"
        if not source.is_file():
            print(f"{folder.name}: its card stays as it is, since {source} is not here")
            continue
        pool = json.loads(source.read_text(encoding="utf-8"))
        row = f"{system}-{MAIN[system]}"
        run = results["langs"][lang]["runs"][f"{lang}-{row}-s1"]
        scores = [["none yet", "trained anew since"]]
        if run["training"] == manifest["training"]:
            scores = row_values(results, lang, row)
        text = card(folder.name, manifest, pool, scores)
        (folder / "README.md").write_text(text, encoding="utf-8")


def card(name: str, manifest: dict[str, Any], pool: dict[str, Any], scores: list[list[str]]) -> str:
    """Write the card of one model."""
    system, lang = manifest["system"], manifest["lang"]
    return filled(
        Path(__file__).parent / "pages/card.md",
        name=name,
        system=SYSTEMS[system],
        lang=lang,
        language=NAMES[lang],
        millions=manifest["parameters"] / 1e6,
        use=USES[system],
        emotions=manifest["taxonomy"] or "none",
        rows=manifest["pairs"],
        judges=", ".join(manifest["judges"]),
        steps=manifest["training"]["best_step"],
        second=SECOND.format(more=MORE[lang]) if "everyday" in pool else "",
        licences="; ".join(f"{corpus}: {text}" for corpus, text in pool["licences"].items()),
        least=LEAST,
        limits=LIMITS[lang].format(posts=pool.get("everyday", 0) // len(ASKED[lang])),
        scores=[f"| {measure} | {value} |" for measure, value in scores],
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("runs", type=Path, nargs="?")
    arguments.add_argument("--second", type=Path)
    chosen = arguments.parse_args()
    if chosen.runs:
        pack(chosen.runs)
    if chosen.second:
        pack_second(chosen.second)
    if FIGURES.is_file():
        cards()


if __name__ == "__main__":
    main()
