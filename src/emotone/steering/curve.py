"""The map from intensity, which people set, to dose, which the model feels."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from emotone.errors import SteeringError


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
        at = [i for i, _ in self.knots]
        if intensity <= at[0]:
            return self.knots[0][1]
        if intensity >= at[-1]:
            return self.knots[-1][1]
        right = bisect_right(at, intensity)
        (i, d), (j, e) = self.knots[right - 1], self.knots[right]
        # Rounding must not step over a knot: next to 0 that would turn the sign of a dose.
        return min(max(d + (e - d) * (intensity - i) / (j - i), d), e)
