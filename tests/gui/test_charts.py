"""The charts' widgets: only what changed is painted, nothing of pyqtgraph's own gets in the way, nothing is left of them."""

import gc
import weakref

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QObject, QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QImage, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu
from shiboken6 import isValid

from vitviz.app.ui import theme
from vitviz.app.widgets.charts.curves import CurvesView, Spot
from vitviz.app.widgets.charts.scatter import Dots, ScatterView
from vitviz.app.widgets.mosaic.layout import Target
from vitviz.render.plot import Chart, Line

XS = (0.0, 0.25, 0.5, 0.75, 1.0)


def plots(half=None):
    chosen = Line("Rollout", "0.4", XS, (0.9, 0.5, 0.3, 0.2, 0.1), (0, 100, 190), strong=True)
    chance = Line("Random", "0.6", XS, (0.8, 0.8, 0.6, 0.4, 0.2), (110, 114, 122), (1.0, 2.0), half)
    return [
        Chart(title, "share of patches", "probability", (chosen, chance))
        for title in ("Deletion", "Insertion")
    ]


@pytest.fixture
def curves(qtbot):
    """Two charts of five steps on the screen."""
    made = CurvesView()
    qtbot.addWidget(made)
    made.resize(480, 240)
    made.set_plots(plots())
    made.show()
    qtbot.waitExposed(made)
    return made


@pytest.fixture
def dots(qtbot):
    """Three layers of two heads, one of which has no number."""
    made = ScatterView()
    qtbot.addWidget(made)
    made.resize(400, 240)
    values = np.array([[1.0, 3.0], [2.0, np.nan], [4.0, 5.0]])
    made.set_dots(Dots(tuple(values), "input pixels", tuple(values * 0 + 0.5), (2.5, 2.5, np.nan)))
    made.show()
    qtbot.waitExposed(made)
    return made


class Paints(QObject):
    """Counts how often a chart is painted."""

    def __init__(self, view):
        super().__init__(view)
        self.count = 0
        view.view.viewport().installEventFilter(self)

    def eventFilter(self, _, event):  # noqa: N802
        self.count += event.type() == QEvent.Type.Paint
        return False


def has(picture: QImage, color: str, near: QPointF, reach: int = 3) -> bool:
    """Whether a colour is seen within some pixels of a place."""
    wanted, at = QColor(color), near.toPoint()
    steps = range(-reach, reach + 1)
    return any(picture.pixelColor(at + QPoint(x, y)) == wanted for x in steps for y in steps)


def at_rest():
    for _ in range(10):
        QApplication.processEvents()


def test_what_did_not_change_is_not_painted(curves, dots):
    dots.set_selected(Target(0, 1))
    for view in (curves, dots):
        at_rest()
        paints = Paints(view)
        if view is curves:
            view.set_plots(plots())
        else:
            view.set_selected(Target(0, 1))
            view.set_preview(None)
        view.set_dimmed(False)
        at_rest()
        assert paints.count == 0
        view.set_dimmed(True)
        at_rest()
        assert paints.count > 0


def test_charts_are_not_painted_while_the_pointer_is_over_the_photo(shown, qtbot, at):
    for dock in shown.docks:
        if dock.kind.name in ("statistics", "predictions"):
            dock.show()
    panel = shown.panel("statistics")
    qtbot.waitUntil(lambda: panel.isVisible() and len(panel.shown().dots.values) > 0 and not panel.busy)
    at_rest()
    paints = Paints(panel.plot)
    for column in range(2, 6):
        qtbot.mouseMove(shown.photo.canvas, at(shown, 3, column))
        at_rest()
        assert shown.session.hover.patch == (3, column)
    assert paints.count == 0


def test_the_axes_stay_where_they_are_and_there_is_no_menu(curves, dots):
    for view in (curves, dots):
        before = [chart.viewRange() for chart in view.charts]
        middle = view.rect().center()
        for button in (Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton, Qt.MouseButton.MiddleButton):
            under = view.childAt(middle) or view
            QTest.mousePress(under, button, pos=middle)
            QTest.mouseMove(under, middle + QPoint(30, 20))
            QTest.mouseRelease(under, button, pos=middle + QPoint(30, 20))
        turn = QWheelEvent(
            QPointF(middle),
            view.mapToGlobal(QPointF(middle)),
            QPoint(),
            QPoint(0, 240),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(view.childAt(middle) or view, turn)
        at_rest()
        assert [chart.viewRange() for chart in view.charts] == before
    assert not [
        menu for menu in QApplication.topLevelWidgets() if isinstance(menu, QMenu) and menu.isVisible()
    ]


@pytest.mark.parametrize("wide", [True, False])
def test_pointing_finds_the_step_in_either_arrangement(curves, wide):
    curves.resize(*((480, 240) if wide else (300, 480)))
    at_rest()
    first, second = curves.place(0, 0, 0), curves.place(1, 0, 0)
    assert (first.x() < second.x() - 100, first.y() < second.y() - 100) == (wide, not wide)
    for spot in (Spot(0, 1), Spot(1, 3)):
        place = curves.place(spot.plot, XS[spot.step], 0.65)
        assert has(curves.grab().toImage(), theme.colors(curves.palette()).window, place, 0)
        QTest.mouseMove(curves, place.toPoint() + QPoint(4, 0))
        assert curves.hovered == spot
        at_rest()
        # The line through the step.
        assert not has(curves.grab().toImage(), theme.colors(curves.palette()).window, place, 0)
    QApplication.sendEvent(curves, QEvent(QEvent.Type.Leave))
    assert curves.hovered is None


def test_the_keys_show_where_they_are(curves, dots):
    for view in (curves, dots):
        accent = QColor(theme.colors(view.palette()).accent)
        assert view.grab().toImage().pixelColor(1, 100) != accent
        view.activateWindow()
        view.setFocus(Qt.FocusReason.TabFocusReason)
        QTest.keyClick(view, Qt.Key.Key_Right)
        assert view.grab().toImage().pixelColor(1, 100) == accent
    assert curves.hovered == Spot(0, 0)
    text = theme.colors(dots.palette()).text
    ringed = [
        target for target in dots.targets[:3] if has(dots.grab().toImage(), text, dots.place(target), 8)
    ]
    assert ringed == [dots.hovered] == [Target(1, 0)]


def test_a_head_that_is_pointed_at_elsewhere_has_a_ring_as_long_as_it_is(dots):
    text = theme.colors(dots.palette()).text
    layer = [Target(0, 0), Target(0, 1)]
    for preview, expected in ((Target(2, 0), [Target(2, 0)]), (Target(0, None), layer), (None, [])):
        dots.set_preview(preview)
        picture = dots.grab().toImage()
        ringed = [
            one for one in dots.targets if one != Target(1, 1) and has(picture, text, dots.place(one), 8)
        ]
        assert ringed == expected


def test_all_of_a_chart_is_seen_however_narrow_it_becomes(dots):
    dots.set_dots(
        Dots(dots.dots.values, "a quantity of which there is much to be said", even=(2.5, 2.5, 2.5))
    )
    for width in (400, 220, 300):
        dots.resize(width, 240)
        at_rest()
        assert width - 30 < dots.charts[0].vb.sceneBoundingRect().right() < width
        assert dots.at(dots.place(Target(2, 1))) == Target(2, 1)


def test_enter_picks_what_has_the_ring(dots, qtbot):
    dots.setFocus(Qt.FocusReason.TabFocusReason)
    for key, expected in (
        (None, Target(0, 0)),
        (Qt.Key.Key_Up, Target(0, 1)),
        (Qt.Key.Key_Right, Target(1, 1)),
    ):
        if key is not None:
            QTest.keyClick(dots, key)
        with qtbot.waitSignal(dots.clicked) as picked:
            QTest.keyClick(dots, Qt.Key.Key_Return)
        assert picked.args == [expected]
    dots.set_dots(Dots((np.array([1.0]),), "bits"))
    with qtbot.waitSignal(dots.clicked) as picked:
        QTest.keyClick(dots, Qt.Key.Key_Return)
    assert picked.args == [Target(0, 0)]


def test_spread_and_even_attention_are_drawn_at_their_values(dots):
    picture, quiet = dots.grab().toImage(), theme.colors(dots.palette()).quiet
    vb = dots.charts[0].vb
    end = vb.mapViewToScene(QPointF(-0.5, 2.5))
    assert any(has(picture, quiet, end + QPointF(x, 0), 1) for x in range(2, 16))  # dashes
    missing = vb.mapViewToScene(QPointF(1.9, 2.5))
    assert not has(picture, quiet, missing, 2)
    # The spread is 0.5: there is a line as far up and down from a dot, and none further away.
    window = theme.colors(dots.palette()).window
    for target in (Target(0, 0), Target(1, 0), Target(2, 1)):
        place, half = (
            dots.place(target),
            0.5 * (vb.mapViewToScene(QPointF(0, 0)) - vb.mapViewToScene(QPointF(0, 1))),
        )
        for share, drawn in ((0.8, True), (-0.8, True), (1.3, False)):
            assert has(picture, window, place + half * share, 0) != drawn, (target, share)
    # A head without a number has no dot and cannot be pointed at.
    assert not [x for x in range(400) if dots.at(QPointF(x, dots.place(Target(0, 0)).y())) == Target(1, 1)]


def test_a_theme_is_put_on_at_once(curves, dots, qapp):
    dots.set_selected(Target(2, 1))
    try:
        for name, scheme in (("dark", theme.DARK), ("light", theme.LIGHT)):
            theme.apply(qapp, name)
            at_rest()
            seen = dots.grab().toImage()
            assert seen.pixelColor(dots.place(Target(2, 1)).toPoint()) == QColor(scheme.accent)
            seen = curves.grab().toImage()
            assert has(seen, scheme.accent, curves.place(1, 0.5, 0.3))
            assert seen.pixelColor(2, 2) == QColor(scheme.window)
    finally:
        theme.apply(qapp, "light")


def test_drawing_again_leaves_no_items_behind(curves, dots):
    for number in range(6):
        curves.set_plots(plots((0.1 + number / 100,) * 5))
        curves.point(Spot(0, number % 5))
        dots.set_preview(Target(number % 3, 0))
        dots.redraw()
        if number == 1:
            early = [len(view.view.scene().items()) for view in (curves, dots)]
    assert [len(view.view.scene().items()) for view in (curves, dots)] == early


def test_nothing_is_left_of_a_deleted_chart(qtbot):
    made = CurvesView()
    made.set_plots(plots())
    made.show()
    qtbot.waitExposed(made)
    scene, charts = made.view.scene(), [weakref.ref(chart) for chart in made.charts]
    made.close()
    made.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    assert not isValid(scene)
    del made, scene
    gc.collect()
    assert [chart() for chart in charts] == [None, None]


def test_the_axis_says_what_it_is_in_its_middle_whatever_it_said_before(qtbot):
    made = ScatterView()
    qtbot.addWidget(made)
    made.resize(500, 240)
    made.show()
    qtbot.waitExposed(made)
    for heads in ([[1.0, 3.0], [2.0, 4.0]], [[1.0], [2.0], [3.0]]):
        made.set_dots(Dots(tuple(np.array(layer) for layer in heads), "input pixels"))
        QApplication.processEvents()
        axis = made.charts[0].getAxis("bottom")
        words = axis.label.sceneBoundingRect()
        assert words.left() >= 0
        assert words.right() <= made.width()
        assert abs(words.center().x() - axis.sceneBoundingRect().center().x()) <= 1
