"""Panels take their place in the window when they are opened, not before."""

import pytest
import user_input
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QStyle, QTabBar

from vitviz.app.panels import catalog


def bars(window):
    """The tab bars that can be seen, by their tabs."""
    inside = [
        bar
        for bar in window.findChildren(QTabBar)
        if bar.isVisible() and window.rect().intersects(bar.geometry())
    ]
    return [[bar.tabText(place) for place in range(bar.count())] for bar in inside]


def test_closed_panels_leave_no_bar_of_tabs_in_the_window(shown, qtbot):
    qtbot.wait(50)
    assert bars(shown) == []
    assert {dock.kind.name for dock in shown.docks if dock.isVisible()} == {
        kind.name for kind in catalog.PANELS if kind.shown
    }


@pytest.mark.parametrize(
    "kind", [kind for kind in catalog.PANELS if not kind.shown], ids=lambda kind: kind.name
)
def test_a_panel_from_the_menu_comes_as_a_tab_beside_its_neighbour_and_in_front(shown, qtbot, kind):
    dock = next(dock for dock in shown.docks if dock.kind == kind)
    assert not dock.built
    dock.toggleViewAction().trigger()
    qtbot.waitUntil(lambda: dock.built and not dock.panel.visibleRegion().isEmpty())
    neighbour = next(one for one in catalog.PANELS if one.shown and one.area == kind.area)
    assert bars(shown) == [[neighbour.title, kind.title]]
    shown.commands["reset_layout"].trigger()
    qtbot.waitUntil(lambda: bars(shown) == [] and dock.isHidden())


@pytest.mark.parametrize("way", ["opened over it", "another tab", "closed"])
def test_the_keyboard_goes_to_the_photo_when_its_panel_is_hidden(shown, qtbot, way):
    heads, dock = shown.panel("heads"), shown.docks.dock("heads")
    if way == "another tab":
        assert user_input.pick(shown.menu_bar, ["Panels", "Tokens"])
        qtbot.waitUntil(lambda: len(bars(shown)) == 1)
        bar = next(bar for bar in shown.findChildren(QTabBar) if bar.isVisible())
        user_input.click(bar, bar.tabRect(0).center())
        qtbot.waitUntil(heads.isVisible)
    user_input.click(heads.view)
    assert shown.focusWidget() is heads.view
    if way == "opened over it":
        assert user_input.pick(shown.menu_bar, ["Panels", "Tokens"])
    elif way == "another tab":
        user_input.click(bar, bar.tabRect(1).center())
    else:
        user_input.click(dock.titleBarWidget().close_button)
    qtbot.waitUntil(lambda: not heads.isVisible())
    assert shown.focusWidget() is shown.photo.canvas
    user_input.press(shown, "2")
    assert shown.session.view.method == "rollout"
    assert shown.panel("predictions").search.text() == ""


def test_names_of_tabs_are_whole_however_many_there_are(shown, qtbot):
    for dock in shown.docks:
        if dock.isHidden() and dock.kind.area == "right":
            dock.toggleViewAction().trigger()
            qtbot.waitUntil(lambda dock=dock: dock.built and not dock.panel.visibleRegion().isEmpty())
    bar = next(bar for bar in shown.findChildren(QTabBar) if bar.isVisible() and bar.count() > 3)
    room = bar.style().pixelMetric(QStyle.PixelMetric.PM_TabBarTabHSpace)
    for place in range(bar.count()):
        words = bar.fontMetrics().horizontalAdvance(bar.tabText(place))
        assert bar.tabRect(place).width() >= words + room, bar.tabText(place)
    assert bar.rect().contains(bar.tabRect(bar.currentIndex())), "the tab in front is in sight"


def test_a_presentation_leaves_panels_where_they_were_after_one_was_dragged_over_a_floating_one(
    window, qtbot
):
    docks = {dock.kind.name: dock for dock in window.docks}
    heads, layers, positions, predictions = (
        docks[name] for name in ("heads", "layers", "positions", "predictions")
    )
    assert user_input.pick(window.menu_bar, ["Panels", "Positions"])
    user_input.click(positions.titleBarWidget().float_button)
    title = predictions.titleBarWidget()
    user_input.drag(
        title,
        QPoint(16, title.height() // 2),
        positions.mapToGlobal(positions.rect().center()),
        rest=200,
    )
    floating = [dock.isFloating() for dock in window.docks]
    assert predictions.isFloating()
    assert positions.isFloating()
    sizes = heads.size(), layers.size()
    user_input.press(window, "F11")
    assert layers.isHidden()
    user_input.press(window, "F11")
    assert [dock.isFloating() for dock in window.docks] == floating
    qtbot.waitUntil(lambda: (heads.size(), layers.size()) == sizes)
