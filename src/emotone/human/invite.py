"""More raters for a study that runs: in the place of one who stopped, or beside the others."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from emotone.errors import UsageError
from emotone.human.assign import assign, in_order
from emotone.human.plan import CHECK_EVERY
from emotone.human.ratings import add_event
from emotone.human.store import Store, add_orders, rater_of_name, study_of, units_of


def replace_rater(store: Store, gone: str, name: str) -> dict[str, str]:
    """Give what a rater has not answered to a new one; the old link ends, the answers stay.

    Returns:
        The new rater -> the secret of the link.

    Raises:
        UnknownName: If nobody has the name.
        UsageError: If nothing is left to rate, or the new name is taken.
    """
    old = rater_of_name(store, gone)
    with store.change() as db:
        left = db.execute(
            "SELECT item, flipped FROM assignments AS a WHERE rater = ? AND coalesce((SELECT kind"
            " FROM ratings AS r WHERE r.rater = a.rater AND r.item = a.item ORDER BY id DESC"
            " LIMIT 1), 'undo') = 'undo' ORDER BY place",
            (old.id,),
        ).fetchall()
        if not left:
            raise UsageError(f"{gone} has answered everything; there is nothing to take over")
        tokens = add_orders(db, {name: [(item, bool(flip)) for item, flip in left]})
        add_event(db, old, "closed", f"replaced by {name}")
    return tokens


def add_raters(store: Store, names: Sequence[str], items: int = 0) -> dict[str, str]:
    """Give new raters the items that the fewest have, each item to one of them.

    Args:
        store: The study.
        names: Of the new raters.
        items: Of each; 0 for as many as the others have.

    Returns:
        Rater -> the secret of the rater's link.

    Raises:
        UsageError: If a name is taken.
    """
    units, seed = units_of(store), study_of(store).seed
    shown = {number: unit for number, unit in units.items() if unit.role != "check"}
    lines = [number for number, unit in units.items() if unit.role == "check"]
    with store.change() as db:
        given = dict(db.execute("SELECT item, count(*) FROM assignments GROUP BY item").fetchall())
        raters = len({row[0] for row in db.execute("SELECT rater FROM assignments")})
        own = items or math.ceil(sum(given.get(n, 0) for n in shown) / max(1, raters))
        draw = random.Random(f"{seed}:{names}")
        fewest = sorted(shown, key=lambda n: (given.get(n, 0), draw.random()))
        chosen = sorted(fewest[: own * len(names)], key=lambda n: units[n].stratum)
        dealt = assign([units[n].post for n in chosen], names, 1, seed=seed)
        posts = {n: units[n].post for n in shown}
        orders: dict[str, list[tuple[int, bool]]] = {}
        for name, places in dealt.items():
            checks = lines[: math.ceil(len(places) / CHECK_EVERY)]
            mine = [chosen[place] for place in places]
            order = in_order(mine, posts, checks, seed=f"{seed}:{name}")
            orders[name] = [
                (n, bool(units[n].other_reply and n in posts) and draw.random() < 0.5)
                for n in order
            ]
        return add_orders(db, orders)
