"""Panels take their place in the window when they are opened, not before."""

import pytest
from PySide6.QtWidgets import QTabBar

from vitviz.app import docks


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
        kind.name for kind in docks.PANELS if kind.shown
    }


@pytest.mark.parametrize(
    "kind", [kind for kind in docks.PANELS if not kind.shown], ids=lambda kind: kind.name
)
def test_a_panel_from_the_menu_comes_as_a_tab_beside_its_neighbour_and_in_front(shown, qtbot, kind):
    dock = next(dock for dock in shown.docks if dock.kind == kind)
    assert not dock.built
    dock.toggleViewAction().trigger()
    qtbot.waitUntil(lambda: dock.built and not dock.panel.visibleRegion().isEmpty())
    neighbour = next(one for one in docks.PANELS if one.shown and one.area == kind.area)
    assert bars(shown) == [[neighbour.title, kind.title]]
    shown.commands["reset_layout"].trigger()
    qtbot.waitUntil(lambda: bars(shown) == [] and dock.isHidden())
