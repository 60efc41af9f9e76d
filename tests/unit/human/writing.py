"""Four raters who answer at once, until they are killed; what was acknowledged goes to stdout.

`python writing.py STUDY TOKEN...` writes a line `name key place` after each answer is on the disk.
Every eighth answer is sent twice with one key, every ninth is taken back and given anew.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from emotone.human.ratings import Act, save, state_of, tell
from emotone.human.store import Rater, Store, open_store, rater_of_token, units_of


def answer(store: Store, rater: Rater, start: threading.Barrier) -> None:
    """Answer item after item."""
    units = units_of(store)
    tell(store, rater, "consent")
    start.wait()
    turn = 0
    while (state := state_of(store, rater, units)).unit is not None:
        turn += 1
        name = f"{os.getpid()}-{turn}"
        values = {"emotion": turn % 2, "content": turn % 3, "blame": 0}
        act = Act("rate", f"rate-{name}", state.place, values, seconds=1.0)
        for _ in range(2 if turn % 8 == 0 else 1):
            save(store, rater, act)
        acknowledge(rater.name, act.key, state.place)
        if turn % 9 == 0:
            save(store, rater, Act("undo", f"undo-{name}"))
            acknowledge(rater.name, f"undo-{name}", state.place)


def acknowledge(name: str, key: str, place: int) -> None:
    """Tell the parent, in one write that a kill cannot part."""
    os.write(1, f"{name} {key} {place}\n".encode())


def main() -> None:
    """Open the study and let the raters begin together."""
    with open_store(Path(sys.argv[1])) as store:
        raters = [rater_of_token(store, token) for token in sys.argv[2:]]
        start = threading.Barrier(len(raters))
        threads = [
            threading.Thread(target=answer, args=(store, rater, start))
            for rater in raters
            if rater is not None
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
