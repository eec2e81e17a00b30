"""What is chosen in the Heads and Layers panels: part of the view, undone with it, and there again at the next start."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtWidgets import QComboBox
from steps import show

from vitviz.app.main import make_window
from vitviz.app.panels.heads.view import HeadsView
from vitviz.app.panels.layers.view import LayersView
from vitviz.app.session.view_state import panel_view
from vitviz.app.settings import Settings
from vitviz.app.widgets.controls.segmented import Segmented

KINDS = {"heads": HeadsView, "layers": LayersView}


@dataclass(frozen=True)
class Case:
    """A control of a panel, what is done with it, and what it then shows and the view holds."""

    panel: str
    control: str
    used: Callable[[Any, Any], None]
    reads: Callable[[Any], object]
    chosen: dict[str, object]
    painted: str = ""
    """The widget of the panel whose picture changes, if one does."""


def keys(*pressed: Qt.Key) -> Callable[[Any, Any], None]:
    """Press keys in a control."""

    def use(qtbot, control) -> None:
        control.setFocus()
        for key in pressed:
            qtbot.keyClick(control, key)

    return use


def press(key: str) -> Callable[[Any, Any], None]:
    """Click on a choice of a row of choices."""

    def use(qtbot, control: Segmented) -> None:
        qtbot.mouseClick(control, Qt.MouseButton.LeftButton, pos=control.cell(key).center().toPoint())

    return use


def click(qtbot, control) -> None:
    qtbot.mouseClick(control, Qt.MouseButton.LeftButton, pos=QPoint(8, 8))


def data(control: QComboBox) -> object:
    return control.currentText()


CASES = [
    Case("heads", "scale", keys(Qt.Key.Key_End), data, {"tiles": "all"}, "view"),
    Case(
        "heads",
        "marks",
        keys(Qt.Key.Key_End),
        data,
        {"mark": "entropy", "ordered": True},
        "view",
    ),
    Case("layers", "scale", press("common"), lambda one: one.current, {"scale": "common"}, "strip"),
    Case("layers", "over", press("plain"), lambda one: one.current, {"photo": False}, "strip"),
    Case("layers", "speed", keys(Qt.Key.Key_End), data, {"speed": "4"}),
    Case("layers", "loop", click, lambda one: one.isChecked(), {"loop": True}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.panel} {case.control}")
def test_a_choice_is_part_of_the_view_undone_and_there_again_at_the_next_start(
    shown, qtbot, qapp, photo, model, case
):
    def control(window) -> Any:
        return getattr(window.panel(case.panel), case.control)

    def chosen(window) -> dict[str, object]:
        view = panel_view(window.session.view, case.panel, KINDS[case.panel])
        return {name: getattr(view, name) for name in case.chosen}

    def picture(window) -> Any:
        panel = window.panel(case.panel)
        return getattr(panel, case.painted).grab().toImage() if case.painted else None

    shown.session.pin((2, 5))
    bare, before, first = picture(shown), case.reads(control(shown)), chosen(shown)
    assert first != case.chosen
    case.used(qtbot, control(shown))
    assert chosen(shown) == case.chosen
    assert case.reads(control(shown)) != before
    if case.painted:
        qtbot.waitUntil(lambda: picture(shown) != bare, timeout=20_000)
    after = case.reads(control(shown))
    while chosen(shown) != first:  # each key was a step of its own
        shown.commands["undo"].trigger()
    assert case.reads(control(shown)) == before
    if case.painted:
        qtbot.waitUntil(lambda: picture(shown) == bare, timeout=20_000)
    assert shown.session.view.query == (2, 5)
    case.used(qtbot, control(shown))
    path = shown.settings.path
    shown.close()
    second = make_window(Settings(path), "cpu")
    second.resize(1280, 800)
    second.show()
    qtbot.waitExposed(second)
    show(second, qtbot, photo, model)
    assert chosen(second) == case.chosen
    assert case.reads(control(second)) == after
    second.close()
    second.deleteLater()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


def test_a_choice_that_does_not_exist_is_the_default(shown):
    shown.session.change_panel("layers", speed="1000", photo="yes", scale="common")
    assert shown.panel("layers").choices.now == LayersView(scale="common")
    assert shown.panel("layers").pace == 500
    assert shown.panel("layers").speed.currentText() == "1×"


def test_what_is_chosen_in_one_panel_does_not_draw_the_other(shown):
    tiles, frames = shown.panel("heads").shown(), shown.panel("layers").strip.frames
    shown.session.change_panel("heads", tiles="all")
    assert shown.panel("layers").strip.frames is frames
    shown.session.change_panel("layers", photo=False)
    assert shown.panel("heads").shown().tiles is tiles.tiles
