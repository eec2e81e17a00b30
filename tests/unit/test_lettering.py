"""Text on pictures is where it is asked for, evenly spaced."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from vitviz.render.lettering import INK, width_of, write


def inked(text: str, place: tuple[float, float], size: float, anchor: str) -> np.ndarray:
    """Where ink is on white paper of 240×60: bool (60, 240)."""
    paper = Image.new("RGB", (240, 60), "white")
    write(ImageDraw.Draw(paper), place, text, size, INK, anchor)
    return np.asarray(paper.convert("L")) < 160


@pytest.mark.parametrize("size", [11, 24])
def test_a_text_lies_at_its_place_by_its_anchor(size: float) -> None:
    wide = width_of("HIH", size)
    left, right = (np.flatnonzero(inked("HIH", (100, 30), size, anchor).any(0)) for anchor in ("lm", "rm"))
    assert abs(left[0] - 100) <= 0.15 * size
    assert abs(left[-1] - (100 + wide)) <= 0.15 * size + 1
    assert abs(right[-1] - 100) <= 0.15 * size + 1
    rows = np.flatnonzero(inked("HIH", (100, 30), size, "mm").any(1))
    assert abs(rows.mean() - 30) <= 0.15 * size + 1
    columns = np.flatnonzero(inked("HIH", (100, 30), size, "mm").any(0))
    assert abs(columns.mean() - 100) <= 1


def test_small_words_are_set_as_large_ones_are() -> None:
    assert width_of("0.104 relevance", 11) == pytest.approx(width_of("0.104 relevance", 88) / 8, rel=0.02)
    columns = inked("0.104 relevance", (10, 30), 11, "lm").any(0)
    gaps = np.diff(np.flatnonzero(columns)) - 1
    space = width_of(" ", 88) / 8
    assert gaps.max() >= space - 0.5, "the space between words is whole"
    assert np.sort(gaps)[-2] < space, "and no letter stands apart"


def test_nothing_to_write_leaves_the_paper_white() -> None:
    assert not inked("", (10, 30), 11, "la").any()
    assert not inked("  ", (10, 30), 11, "la").any()
