"""Panels take their place in the window when they are opened, not before."""

from collections import Counter

import pytest
import user_input
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, QRect
from PySide6.QtWidgets import QLabel, QStyle, QTabBar

from vitviz.app.panels import catalog
from vitviz.app.ui import theme
from vitviz.app.window.docks import offset


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
    qtbot.wait(400)  # the docks take the room that is left
    sizes = heads.size(), layers.size()
    user_input.press(window, "F11")
    assert layers.isHidden()
    user_input.press(window, "F11")
    assert [dock.isFloating() for dock in window.docks] == floating
    qtbot.waitUntil(lambda: (heads.size(), layers.size()) == sizes)


def order(window):
    """The visible tab bars by their tabs, and where each docked panel lies."""
    return bars(window), {dock.kind.name: dock.geometry() for dock in window.docks if not dock.isHidden()}


@pytest.mark.parametrize("way", ["double click", "button", "keys"])
@pytest.mark.parametrize("name", ["heads", "tokens", "predictions", "layers"])
def test_a_panel_floats_beside_its_place_and_returns_to_the_same_neighbours_or_tab(shown, qtbot, way, name):
    for title in ("Tokens", "Statistics"):
        assert user_input.pick(shown.menu_bar, ["Panels", title])
        qtbot.waitUntil(lambda title=title: any(title in bar for bar in bars(shown)))
    dock = shown.docks.dock(name)
    dock.raise_()
    qtbot.waitUntil(lambda: not dock.bar.visibleRegion().isEmpty())
    qtbot.wait(50)
    before = order(shown)

    def toggle():
        if way == "double click":
            user_input.double_click(dock.bar, QPoint(16, dock.bar.height() // 2))
        elif way == "button":
            user_input.click(dock.bar.float_button)
        else:
            shown.docks.go_to(dock.kind.name)
            user_input.press(shown, "Ctrl+Shift+F")

    place = QRect(dock.mapToGlobal(QPoint(0, 0)), dock.size())
    toggle()
    assert dock.isFloating()
    apart = dock.frameGeometry().topLeft() - place.topLeft()
    assert apart.manhattanLength() >= 32
    assert dock.screen().availableGeometry().contains(dock.frameGeometry())
    toggle()
    assert not dock.isFloating()
    qtbot.waitUntil(lambda: order(shown) == before)
    assert not dock.panel.visibleRegion().isEmpty()


def test_a_floating_panel_has_a_frame_and_can_be_maximized(shown, qtbot):
    dock = shown.docks.dock("heads")
    assert not dock.bar.maximize_button.isVisible()
    user_input.click(dock.bar.float_button)
    qtbot.waitUntil(dock.bar.maximize_button.isVisible)
    image = dock.grab().toImage()
    ends = image.width() - 1, image.height() - 1
    edge = {image.pixelColor(x, y).name() for x in range(image.width()) for y in (0, ends[1])}
    edge |= {image.pixelColor(x, y).name() for y in range(image.height()) for x in (0, ends[0])}
    assert edge == {theme.colors(shown.palette()).muted}
    before = dock.geometry()
    user_input.click(dock.bar.maximize_button)
    assert dock.geometry() == dock.screen().availableGeometry()
    user_input.click(dock.bar.maximize_button)
    assert dock.geometry() == before
    user_input.click(dock.bar.maximize_button)
    user_input.click(dock.bar.float_button)
    assert not dock.isFloating()
    assert not dock.bar.maximize_button.isVisible()


@given(
    docked=st.tuples(
        st.integers(-50, 1900), st.integers(-50, 1100), st.integers(50, 2500), st.integers(50, 1500)
    ),
    moved=st.booleans(),
)
def test_a_floating_panel_lies_inside_the_screen_and_never_over_its_old_place(docked, moved):
    screen = QRect(0, 24, 1920, 1056)
    place = QRect(*docked)
    floating = place.translated(300, 100) if moved else place
    found = offset(floating, place, screen)
    assert screen.contains(found)
    assert found != place


def test_each_panel_has_a_key_that_opens_raises_and_focuses_it(shown, qtbot):
    listed = {}
    user_input.press(shown, "F1")
    for label in shown.shortcuts.findChildren(QLabel):
        what, _, key = label.accessibleName().partition(": ")
        listed[what] = key
    shown.shortcuts.close()
    for dock in shown.docks:
        user_input.press(shown, listed[dock.kind.title])
        qtbot.waitUntil(lambda dock=dock: dock.built and not dock.panel.visibleRegion().isEmpty())
        assert shown.docks.focused() is dock
    user_input.press(shown, listed["Photo"])
    assert shown.focusWidget() is shown.photo.canvas


def test_a_key_does_one_thing(shown):
    keys = Counter(
        sequence.toString()
        for action in shown.actions()
        for sequence in action.shortcuts()
        if action.isEnabled()
    )
    assert keys["Alt+1"] == 1
    assert [key for key, count in keys.items() if count > 1] == []
