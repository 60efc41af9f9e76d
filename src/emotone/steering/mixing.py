"""Doses of a mix whose parts each reach what was asked of them.

All directions share a part, which says that there is an emotion and not which (`base`); the rest,
k_e = D_e - mean_f D_f, tells e apart. Rests of different emotions are not orthogonal, so that in a
sum each part moves the others too. With u_e the rest of e in units of its own length, over all
blocks and in activation lengths, and y_e = dose_e |k_e|,

    C_ef = <u_e, u_f>          (C x)_e is how far the mix goes along what tells e apart
    x    = argmin_x sum_e w_e^2 ((C x)_e - y_e)^2 + RIDGE |x - y|^2,      1/MOST <= x_e/y_e <= MOST
    dose_e <- x_e / |k_e|

An emotion alone has C = 1 and x = y. Where the rests are nearly parallel or opposed the ridge leads
back to the plain sum, and the bounds keep each part's sign. w_e is 1, and falls to 0 for a part
below FADE of the greatest, so that a part at 0 is as one that was not named.

The projection is on k_e and not on D_e: on the vectors shipped, joy has a cosine of .3 with sadness
by the shared part alone, yet lowers what the listener reads of sadness. Projected on D_e, "joy:80 +
sadness:20" would push sadness below 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Mixing = Literal["gram", "sum"]
"""`gram`: each part of a mix reaches what was asked; `sum`: each has the dose that it has alone."""

#: Weight of the distance to the plain sum.
RIDGE = 0.01
#: A part gets at most so many times its dose, and at least that part of it.
MOST = 2.0
#: Share of the greatest part below which what a part reaches counts less and less.
FADE = 0.1


def reaching(
    doses: Mapping[str, float], directions: Mapping[str, Tensor], norms: tuple[float, ...] = ()
) -> dict[str, float]:
    """Correct the doses of a mix by the overlap of its directions.

    Args:
        doses: Label -> dose that the emotion would have alone.
        directions: Label -> displacement at dose 1, [L, d]; of all emotions, as their mean counts.
        norms: Length of an activation in each block, [L]; () for 1 in each.

    Returns:
        Label -> dose, in the order of `doses`; the doses themselves where fewer than two parts
        differ from 0.
    """
    named = [label for label, dose in doses.items() if dose]
    if len(named) < 2:
        return dict(doses)
    from scipy.optimize import lsq_linear  # loaded only where there is something to solve

    shared = torch.stack(list(directions.values())).mean(0)
    rests = torch.stack([directions[label] - shared for label in named]).double()
    if norms:
        rests = rests / torch.tensor(norms, dtype=torch.float64)[:, None]
    rests = rests.flatten(1)
    lengths = rests.norm(dim=1)
    if not (lengths > 0).all():  # all directions are one: nothing tells them apart
        return dict(doses)
    unit = rests / lengths[:, None]
    asked = torch.tensor([doses[label] for label in named], dtype=torch.float64) * lengths
    size = asked.abs()
    weight = (size / (FADE * size.max())).clamp_max(1.0)
    system = torch.cat([weight[:, None] * (unit @ unit.T), RIDGE**0.5 * torch.eye(len(named))])
    goal = torch.cat([weight * asked, RIDGE**0.5 * asked])
    ends = torch.stack([asked / MOST, asked * MOST])
    solved = lsq_linear(
        system.numpy(), goal.numpy(), (ends.amin(0).numpy(), ends.amax(0).numpy()), method="bvls"
    )
    reached = (torch.from_numpy(solved.x) / lengths).tolist()
    return {**doses, **dict(zip(named, reached, strict=True))}
