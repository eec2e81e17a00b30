"""A move of the pointer stays cheap: how many functions are called for it, and what it leaves alone."""

import cProfile
import pstats
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QEventLoop, QPoint
from PySide6.QtGui import QAction
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from steps import show

from vitviz.app.session import prefetch
from vitviz.app.widgets.mosaic.view import MosaicView
from vitviz.app.widgets.photo.canvas import Canvas
from vitviz.app.widgets.pictures.filmstrip import FilmStrip
from vitviz.app.window.main_window import Window

MOST = 1400
"""The bound of function calls of a move on the bundled ViT. `tests/benchmarks/window.py` counts those of a ViT-B."""
PATCHES = [(row, (5 * row + 3 * round_) % 12) for round_ in range(3) for row in range(12)]


@pytest.fixture
def followed(window: Window, qtbot, photo) -> Iterator[Window]:
    """The window with the bundled ViT, in the layout of a first start, with nothing left to do."""
    show(window, qtbot, photo, "demo/vit")
    window.session.change(method="attention")
    qtbot.waitUntil(lambda: not window.session.maps.preparing, timeout=20_000)
    qtbot.wait(100)
    return window


def move(window: Window, place: QPoint) -> None:
    """Move the pointer and paint all that this asks for."""
    QTest.mouseMove(window.photo.canvas, place)
    QApplication.sendPostedEvents()
    QApplication.processEvents(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)


def places(window: Window, at) -> list[QPoint]:
    grid = window.session.trace.patches
    return [at(window, *patch) for patch in PATCHES if patch[0] < grid.rows and patch[1] < grid.cols]


def test_a_move_makes_few_function_calls(followed, at):
    found = places(followed, at)
    for place in found:  # what is made once, such as texts that widen a column, is there
        move(followed, place)
    profile = cProfile.Profile()
    for place in found:
        before = followed.session.heatmap
        profile.enable()
        move(followed, place)
        profile.disable()
        assert followed.session.heatmap is not before
    calls = pstats.Stats(profile).total_calls / len(found)
    assert calls < MOST, f"{calls:.0f} calls"


def test_a_move_enables_and_disables_no_command(followed, at):
    changed = []
    for action in followed.findChildren(QAction):
        action.changed.connect(lambda action=action: changed.append(action.text()))
    titles = set()
    for place in places(followed, at):
        move(followed, place)
        titles.add(followed.photo.title.whole)
    assert len(titles) == len(places(followed, at))
    assert not changed


def test_a_move_computes_head_maps_once_and_draws_each_panel_once(followed, at, monkeypatch):
    """Panels share the head maps of a query, and are not drawn both for the pointer and for the map."""
    done = []
    for owner, name in (
        (prefetch.Ready, "maps"),
        (Canvas, "set_heat"),
        (MosaicView, "set_tiles"),
        (FilmStrip, "set_frames"),
    ):
        real = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda *asked, real=real, name=name: (done.append(name), real(*asked))[1]
        )
    for place in places(followed, at)[:5]:
        done.clear()
        move(followed, place)
        assert sorted(done) == ["maps", "set_frames", "set_heat", "set_tiles"]
        assert followed.panel("heads").shown().tiles is followed.session.maps.tiles()
        assert followed.panel("layers").shown().facts.selection.query == followed.session.hover.patch
