"""Numbers as the window writes them: as many digits as they deserve, and what they compare to."""


def number(value: float) -> str:
    """A weight with as many digits as it deserves."""
    if value == 0:
        return "0"
    if abs(value) >= 0.001:
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.3g}"
    return short(value)


def ends(low: float, high: float) -> tuple[str, str]:
    """The two ends of a scale, with as many digits as it takes to tell them apart."""
    for digits in (2, 3, 4, 5):
        first, last = short(low, digits), short(high, digits)
        if first != last and float(last) - float(first) >= (high - low) / 1.5:
            break
    return first, last


def short(value: float, digits: int = 2) -> str:
    """A number of a scale: 0, 0.5, 0.083, 5.2e-6; what was rounded to 0.040 says so."""
    if value == 0:
        return "0"
    rounded = f"{value:#.{digits}g}"
    if float(rounded) == value:
        rounded = f"{value:.{digits}g}"
    mantissa, mark, exponent = rounded.partition("e")
    mantissa = mantissa.removesuffix(".")
    return f"{mantissa}e{int(exponent)}" if mark else mantissa


def compared(value: float, uniform: float | None) -> str:
    """A weight beside what it would be if all tokens got the same; alone where that means nothing."""
    if uniform is None:
        return number(value)
    ratio = value / uniform if uniform > 0 else 0.0
    times = f"{ratio:.1f}" if ratio < 99.5 else f"{ratio:.0f}"
    return f"{number(value)}, {times}× uniform"
