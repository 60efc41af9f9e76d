"""From intensity, which people set, to dose, which multiplies an emotion's direction.

    dose_e = c_e(i_e)                                the calibrated curve of emotion e: `Curve.dose`
    dose <- correct(dose)                        each part reaches what is asked: `steering.mixing`
    dose_e <- dose_e / sqrt(max(1, sum_e (dose_e / ceiling_e)^2))          in a mix: `mix_doses`
    h_l <- h_l + sum_e dose_e D_e,l                              `EmotionVectors.displacement`

`emotone.steering.calibrate` measures c_e.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from emotone.errors import SteeringError

#: Label -> multiple of its direction, for one reply; empty or all 0 for an unsteered one.
Doses = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """A rising piecewise-linear map through (intensity, dose) knots, with (0, 0) among them.

    Args:
        knots: Pairs of intensity in [-100, 100] and dose in multiples of the direction; both
            strictly rising. Beyond the outer knots the dose stays at theirs.
    """

    knots: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        """Check that the curve rises and leaves zero alone."""
        if (0.0, 0.0) not in self.knots:
            raise SteeringError(
                "a dose curve must pass through intensity 0, dose 0; calibrate again"
            )
        for (i, d), (j, e) in zip(self.knots, self.knots[1:], strict=False):
            if not (j > i and e > d):
                raise SteeringError(
                    f"a dose curve must rise, but goes from {(i, d)} to {(j, e)}; calibrate again"
                )

    def dose(self, intensity: float) -> float:
        """Return the dose at an intensity, in multiples of the direction."""
        intensities = [i for i, _ in self.knots]
        if intensity <= intensities[0]:
            return self.knots[0][1]
        if intensity >= intensities[-1]:
            return self.knots[-1][1]
        right = bisect_right(intensities, intensity)
        (i, d), (j, e) = self.knots[right - 1], self.knots[right]
        # Rounding must not step over a knot: next to 0 that would turn the sign of a dose.
        return min(max(d + (e - d) * (intensity - i) / (j - i), d), e)

    def ceiling(self, sign: float) -> float:
        """Return the farthest dose on one side: of intensity 100, or of -100 for a sign below 0."""
        return self.dose(100.0 if sign >= 0 else -100.0)


def mix_doses(
    intensities: Mapping[str, float],
    curves: Mapping[str, Curve],
    correct: Callable[[Doses], Doses] | None = None,
) -> dict[str, float]:
    """Turn the intensities of a mix into doses, in multiples of each direction.

    Doses are scaled down together where their root sum of squares, each in units of its own
    ceiling, exceeds 1: directions of different emotions are near orthogonal, so this keeps the
    length of the whole displacement within what each emotion alone may use.

    Args:
        intensities: Label -> intensity in [-100, 100].
        curves: The curve of each of these labels, and maybe of others.
        correct: Turns the doses that the emotions have alone into those of the mix, of the same
            signs, before they are scaled; None leaves them.
    """
    doses: Doses = {label: curves[label].dose(i) for label, i in intensities.items()}
    if correct is not None:
        doses = correct(doses)
    load = 0.0
    for label, intensity in intensities.items():
        ceiling = curves[label].ceiling(intensity)
        load += (doses[label] / ceiling) ** 2 if ceiling else 0.0
    scale = 1.0 if load <= 1.0 else load**-0.5
    return {label: dose * scale for label, dose in doses.items()}


def strength(dose: float, curve: Curve | None) -> float:
    """Return a dose as a fraction of the ceiling on its side, in [-1, 1].

    Without a curve the ceiling is 1.
    """
    ceiling = abs(curve.ceiling(dose)) if curve else 1.0
    if not ceiling:  # a curve without a side below 0
        return 0.0
    return max(-1.0, min(1.0, dose / ceiling))
