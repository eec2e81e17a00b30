"""Equality of numbers, pixels and drawn things, bit for bit, with words that tell where they differ."""

from dataclasses import fields, is_dataclass

import numpy as np


def same(one, other, what: str = "") -> None:
    """Both have the same shape and exactly the same numbers; NaN is equal to NaN."""
    one, other = np.asarray(one), np.asarray(other)
    assert one.shape == other.shape, f"{what}: shapes {one.shape} and {other.shape}"
    if np.array_equal(one, other, equal_nan=one.dtype.kind == "f"):
        return
    apart = np.abs(one.astype(float) - other.astype(float))
    raise AssertionError(f"{what}: {(one != other).mean():.1%} differ, by {np.nanmax(apart):.2e} at most")


def alike(one, other) -> bool:
    """Whether two drawn things are equal, field by field; functions are left out."""
    if isinstance(one, np.ndarray):
        same(one, other)
        return True
    if callable(one):
        return True
    if is_dataclass(one):
        return all(alike(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(alike, one, other))
    return one == other or (one != one and other != other)


def image_of(picture):
    """The pixels (height, width, 4) of a QImage, with premultiplied alpha."""
    plain = picture.convertToFormat(picture.Format.Format_ARGB32_Premultiplied)
    rows = np.frombuffer(plain.constBits(), np.uint8).reshape(plain.height(), plain.bytesPerLine())
    return rows[:, : 4 * plain.width()].reshape(plain.height(), plain.width(), 4).copy()  # `plain` ends here


def same_images(one, other, what: str = "") -> None:
    """Two QImages have the same pixels."""
    same(image_of(one), image_of(other), f"{what}: colours")


def same_pictures(drawn, expected) -> None:
    """Pictures of a gallery have the same captions, pixels and cells."""
    assert [one.caption for one in drawn] == [one.caption for one in expected]
    for one, other in zip(drawn, expected, strict=True):
        same(one.pixels, other.pixels, one.caption)
        assert (one.cells, one.words) == (other.cells, other.words)


def said(drawn: str, expected: str) -> None:
    """A caption is word for word what is expected."""
    assert drawn == expected, f"says “{drawn}” instead of “{expected}”"
