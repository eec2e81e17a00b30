"""What clicks, rectangles and arrow keys make of the query; test_several_patches has it with real clicks."""

import pytest
from PySide6.QtCore import QRectF

from vitviz.app.session.view_state import ViewState, rectangle
from vitviz.app.stage.query_tool import extended, picked, pinned_patches, swept, toggled


def view(query=None, pinned=True) -> ViewState:
    return ViewState(query=query, pinned=pinned and query is not None)


def test_a_second_click_on_what_is_pinned_frees_it():
    assert picked(view(), (2, 3)) == (2, 3)
    assert picked(view((2, 3)), (2, 3)) is None
    assert picked(view((2, 3), pinned=False), (2, 3)) == (2, 3)
    assert picked(view("class"), "class") is None
    assert picked(view(((2, 3), (4, 5))), (2, 3)) == (2, 3)


def test_a_click_with_shift_adds_a_patch_or_takes_it_out():
    assert toggled(view(), (2, 3)) == (2, 3)
    assert toggled(view((2, 3)), (1, 0)) == ((1, 0), (2, 3))
    assert toggled(view(((1, 0), (2, 3))), (2, 3)) == (1, 0)
    assert toggled(view((2, 3)), (2, 3)) is None
    assert toggled(view("class"), (2, 3)) == (2, 3)
    assert pinned_patches(view((2, 3), pinned=False)) == set()


@pytest.mark.parametrize(
    ("step", "corner"),
    [
        ((1, 0), (4, 5)),
        ((-1, 0), (2, 5)),
        ((0, 9), (3, 7)),
        ((0, -9), (3, 0)),
        ((9, 0), (7, 5)),
        ((-9, 0), (0, 5)),
    ],
)
def test_arrow_keys_move_one_corner_and_stop_at_the_edge(step, corner):
    assert extended(((2, 2), (3, 5)), *step, (8, 8)) == ((2, 2), corner)


def test_a_rectangle_takes_the_patches_that_it_touches_and_those_that_were_pinned(shown):
    trace = shown.session.trace
    middles = [trace.framing.polygon(trace.patches, *patch).mean(0) for patch in ((1, 2), (3, 4))]
    area = QRectF(*middles[0], *(middles[1] - middles[0]))
    assert swept(view(), trace, area) == rectangle((1, 2), (3, 4))
    assert swept(view((7, 7)), trace, area) == rectangle((1, 2), (3, 4)) | {(7, 7)}
    assert swept(view((7, 7), pinned=False), trace, area) == rectangle((1, 2), (3, 4))
