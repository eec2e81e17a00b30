"""How curves are drawn in charts: no two strokes have the same dashes, so that colours are not needed to tell them apart."""

from dataclasses import dataclass

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Stroke:
    """How a curve is drawn on white and on black; dashes and gaps in line widths, none for a solid line."""

    light: Color
    dark: Color
    dashes: tuple[float, ...] = ()


RANDOM = Stroke((110, 114, 122), (150, 155, 164), (1.0, 2.0))
"""For the random orders that all others are compared with."""

_SPARE: tuple[tuple[Color, Color], ...] = (
    ((176, 82, 0), (246, 172, 96)),
    ((70, 74, 82), (206, 210, 218)),
)


def spare(number: int) -> Stroke:
    """The stroke of the `number`-th curve, from 0, that states none: a dash and `number` + 3 dots, in one of two colours."""
    light, dark = _SPARE[number % len(_SPARE)]
    return Stroke(light, dark, (6.0, 2.0) + (1.5, 2.0) * (number + 3))
