"""How the window formats numbers."""


def number(value: float) -> str:
    """A weight with three decimals; three significant digits from 10 on, two below 0.001."""
    if value == 0:
        return "0"
    if abs(value) >= 0.001:
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.3g}"
    return short(value)


def ends(low: float, high: float) -> tuple[str, str]:
    """The two ends of a scale, with 2 to 5 significant digits: as many as are needed to distinguish them."""
    for digits in (2, 3, 4, 5):
        first, last = short(low, digits), short(high, digits)
        if first != last and float(last) - float(first) >= (high - low) / 1.5:
            break
    return first, last


def short(value: float, digits: int = 2) -> str:
    """A number of a scale, such as 0, 0.5, 0.083, 5.2e-6. Trailing zeros show rounding: 0.0401 is 0.040, 0.04 is 0.04."""
    if value == 0:
        return "0"
    rounded = f"{value:#.{digits}g}"
    if float(rounded) == value:
        rounded = f"{value:.{digits}g}"
    mantissa, mark, exponent = rounded.partition("e")
    mantissa = mantissa.removesuffix(".")
    return f"{mantissa}e{int(exponent)}" if mark else mantissa


def compared(value: float, uniform: float | None) -> str:
    """A weight, and its ratio to the uniform weight (the weight if all tokens had the same); no ratio if that is None."""
    if uniform is None:
        return number(value)
    ratio = value / uniform if uniform > 0 else 0.0
    times = f"{ratio:.1f}" if ratio < 99.5 else f"{ratio:.0f}"
    if ratio < 0.095:
        times = short(ratio, 1)  # not 0.0
    return f"{number(value)}, {times}× uniform"


def megabytes(count: int) -> str:
    """A number of bytes: "0.9 MB", "23 MB", "1.2 GB"."""
    if count >= 999.5e6:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 9.95e6 else f"{count / 1e6:.1f} MB"
