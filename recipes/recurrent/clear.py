"""Keep the pairs and texts of a pool whose label is clear: a second stage for the zoo's models.

`python -m recipes.recurrent.clear` reads out/pairs/{zh,en} and writes out/pairs/{zh,en}-clear.

The pool labels a reply from a least probability on and calls all others neutral, so that a system
also reads many replies that are hardly angry as angry, and hardly neutral as neutral. Here a pair
stays if the same labelling judge gives its label a high probability, and goes otherwise.
"""

from __future__ import annotations

import json
from collections import Counter

from emotone.data.examples import write_jsonl
from emotone.data.reading import Problems
from emotone.data.source import read_file
from emotone.judges import open_judge
from emotone.types import Example
from recipes.compare.files import ROOT
from recipes.recurrent.runs import LANGS

#: Language -> least probability of an emotion and of no emotion in a pair, of an emotion in a text.
CLEAR = {"en": (0.65, 0.7, 0.4), "zh": (0.4, 0.75, 0.35)}
TAXONOMY = {"en": "ekman", "zh": "nlpcc"}


def main() -> None:
    for lang in LANGS:
        judge = open_judge(f"{lang}-label", TAXONOMY[lang])
        source, out = ROOT / f"out/pairs/{lang}", ROOT / f"out/pairs/{lang}-clear"
        out.mkdir(parents=True, exist_ok=True)
        emotion, neutral, text = CLEAR[lang]
        for part in ("train", "dev", "texts"):
            examples = list(read_file(source / f"{part}.jsonl", Problems()))
            judged = judge.classify([_text(e) for e in examples])
            clear: list[Example] = []
            counts: Counter[str] = Counter()
            for example, scores in zip(examples, judged, strict=True):
                label = _label(example)
                least = neutral if label == judge.taxonomy.neutral else emotion
                if scores.probabilities[label] >= (text if part == "texts" else least):
                    clear.append(example)
                    counts[label] += 1
            write_jsonl(clear, out / f"{part}.jsonl")
            print(lang, part, len(clear), dict(counts), flush=True)
        facts = json.loads((source / "pool.json").read_text(encoding="utf-8"))
        facts["clear"] = {"emotion": emotion, "neutral": neutral, "text": text}
        blob = json.dumps(facts, ensure_ascii=False, indent=1) + "\n"
        (out / "pool.json").write_text(blob, encoding="utf-8")


def _text(example: Example) -> str:
    return example.reply if example.reply is not None else example.dialogue.posts[-1].text


def _label(example: Example) -> str:
    emotion = example.emotion.at_full if example.emotion else example.dialogue.posts[-1].emotion
    return "" if emotion is None else emotion.label


if __name__ == "__main__":
    main()
