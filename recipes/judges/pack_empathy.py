"""Put the trained empathy identifiers into the zoo, each with its card.

`python -m recipes.judges.pack_empathy out/judges`, after `empathy_table`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from emotone.types import MECHANISMS

ZOO = Path("zoo/src/emotone_zoo/identifiers")
FIGURES = Path("docs/results/empathy.json")
USE = {
    "empathy-score": "to score replies in result tables. Never to label, train or tune them.",
    "empathy-reward": "to give reward in training, and to choose among candidates. Never for"
    " results.",
}


def readme(name: str, figures: dict[str, Any]) -> str:
    """The card of one identifier."""
    table = figures[name]
    lines = [
        f"# {name}, version 1",
        "",
        "An identifier of empathy for pairs of English texts: levels 0, 1 or 2 of emotional"
        " reaction, interpretation and exploration, as EPITOME defines them.",
        "",
        f"- Intended use: {USE[name]}",
        "- Trained on: EPITOME, the Reddit part; its seeker posts are dealt to the two identifiers"
        " by hash, and no post is shared.",
        "- Licence of the data: academic licence of its authors, research use. These weights are"
        " for research, not for commerce.",
        "- Base model: all-MiniLM-L6-v2 (Apache-2.0), with a low-rank change.",
        f"- Recipe: `python -m recipes.judges.train_empathy {name} --out out/judges/{name}`",
        "- Limits: posts of mental-health forums and replies of strangers. It reads the form of"
        " empathy, not whether it helps. Not a measure of anybody's state of mind.",
        "",
        f"## Scores on {table['pairs']} pairs of the other identifier's posts (95 % intervals)",
        "",
        "| mechanism | accuracy | macro-F1 | always level 0 | calibration error |",
        "|---|---|---|---|---|",
    ]
    for mechanism in MECHANISMS:
        row = table[mechanism]
        cells = [f"{v['value']:.3f} [{v['low']:.3f}, {v['high']:.3f}]" for v in _both(row)]
        floor = f"{row['accuracy']['always_0']:.3f}"
        error = f"{row['calibration_error']:.3f}"
        lines.append(f"| {mechanism} | {' | '.join(cells)} | {floor} | {error} |")
    return "\n".join(lines) + "\n"


def _both(row: dict[str, Any]) -> list[dict[str, float]]:
    return [row["accuracy"], row["macro_f1"]]


def main() -> None:
    args = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    args.add_argument("folder", type=Path)
    folder = args.parse_args().folder
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    for name in USE:
        place = ZOO / name
        place.mkdir(parents=True, exist_ok=True)
        for file in ("judge.json", "weights.safetensors"):
            shutil.copyfile(folder / name / file, place / file)
        (place / "README.md").write_text(readme(name, figures), encoding="utf-8")
        size = sum(f.stat().st_size for f in place.iterdir())
        print(f"{name}: {size / 1e6:.2f} MB in {place}")


if __name__ == "__main__":
    main()
