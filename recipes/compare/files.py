"""Where results and pages are, and how they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emotone.files import replacing

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs/results"
PAGES = ROOT / "docs/systems"
ZOO = ROOT / "zoo/src/emotone_zoo/systems"


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Write numbers as JSON.

    An object or list of plain values is on one line: fewer lines, and easier to compare.
    """
    text = json.dumps(results, ensure_ascii=False, indent=1, allow_nan=False)
    text = re.sub(r"\{\s+([^{}\[\]]*?)\s+\}", lambda m: f"{{{' '.join(m[1].split())}}}", text)
    text = re.sub(r"\[\s+([^{}\[\]]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)
    write_page(path, text + "\n")


def write_page(path: Path, text: str) -> None:
    """Write a file at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def filled(template: Path, **values: object) -> str:
    """Return the text of a page or card with its {names} replaced; a list stands for its lines."""
    texts = {k: "\n".join(v) if isinstance(v, list) else v for k, v in values.items()}
    return template.read_text(encoding="utf-8").format(**texts)


def read_results(path: Path) -> dict[str, Any]:
    """Read what `write_results` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))
