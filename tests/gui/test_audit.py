"""What the window shows is what the Python API gives: after each action of a random walk, and before things settle."""

from pathlib import Path

import pytest
import user_input
from audit import Audit, exactly, settled, visible
from audit_models import FAMILIES, model_of
from PySide6.QtWidgets import QApplication
from steps import dock_of, picture
from walker import Walker

from vitviz.app.widgets.controls.segmented import Segmented

SELECTING = (
    "Ctrl+Right",
    "Ctrl+Left",
    "Ctrl+Down",
    "Ctrl+Up",
    "D",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "Ctrl+Z",
    "Esc",
)


FLOATING = ("tokens", "windows", "positions", "patches", "statistics")
"""Panels that are floating at first, so that all can be seen at the same time."""


class Reader(Walker):
    """A walker that more often selects layers, heads, methods and the modes of panels."""

    def __init__(self, window, photos, seed):
        super().__init__(window, photos, seed)
        self.actions += [self.click_a_panel] * 40 + [self.select] * 40 + [self.choose_a_mode] * 12
        self.actions += [self.choose_a_window] * 15

    def click_a_panel(self):
        """Click on the strip, the mosaic, or another part of a panel."""
        parts = [
            part
            for panel in visible(self.window)
            for part in map(lambda name, panel=panel: getattr(panel, name, None), ("strip", "view", "plot"))
            if part is not None and part.isVisible()
        ]
        if parts:
            part = self.chance.choice(parts)
            user_input.click(part, self.somewhere(part))

    def choose_a_window(self):
        """Click on a token in the Windows panel, which opens the matrices of its window."""
        panel = next((one for one in visible(self.window) if one.name == "windows"), None)
        if panel is not None and panel.view.isVisible():
            user_input.click(panel.view, self.somewhere(panel.view))

    def select(self):
        """Press a key that selects another layer, head, direction or method."""
        user_input.press(self.window, self.chance.choice(SELECTING))

    def choose_a_mode(self):
        """Click on a mode or a scale of a panel."""
        parts = [
            control
            for panel in visible(self.window)
            for control in panel.findChildren(Segmented)
            if control.isVisible()
        ]
        if parts:
            control = self.chance.choice(parts)
            user_input.click(control, self.somewhere(control))


@pytest.fixture
def photos(tmp_path) -> list[Path]:
    sizes = [(160, 100), (64, 64), (90, 200), (300, 220)]
    made = [picture(tmp_path / f"p{number}.png", size, number) for number, size in enumerate(sizes)]
    (tmp_path / "p9.png").write_bytes(b"no picture")
    return [*made, tmp_path / "p9.png", tmp_path]


def settle(window, qtbot):
    """Wait until no work is running, including work that finished work has started."""
    for _ in range(2):
        qtbot.waitUntil(lambda: settled(window), timeout=60_000)
        QApplication.processEvents()


def bring(dock):
    """Show a panel, in front of those that it shares its place with."""
    dock.show()
    dock.raise_()


def audited(window, qtbot, photos, events, seed) -> Audit:
    """A random walk, in which each action is followed by an audit, and two of three also before its work has ended."""
    audit, walker = Audit(), Reader(window, photos, seed)
    user_input.drop(window.photo.canvas, user_input.files(photos[0]))
    walker.choose_model("choose_model", "Return")
    settle(window, qtbot)
    for name in FLOATING:
        dock = dock_of(window, name)
        dock.setFloating(True)
        dock.resize(560, 640)  # large enough that nothing of the panel has to be scrolled to
        bring(dock)
    settle(window, qtbot)
    for number in range(events):
        if number % 3 == 0 and not window.presentation.on:
            bring(window.docks[number // 3 % len(window.docks)])
        family = FAMILIES[(number // EACH + seed) % len(FAMILIES)]
        if number % EACH == 0:
            walker.leave_presentation()
            window.session.open(model=model_of(family))
            bring(dock_of(window, "windows"))
            settle(window, qtbot)
            walker.choose_a_window()  # the matrices of a window, if the model has windows
            settle(window, qtbot)
            audit.check(window, at_rest=True)
        walker.step()
        try:
            if number % 3 != 1:
                audit.check(window, at_rest=False)
                user_input.wait(walker.chance.choice((0, 5, 30, 130)))
                audit.check(window, at_rest=False)
            settle(window, qtbot)
            audit.check(window, at_rest=True)
        except AssertionError as fault:
            last = ", ".join(walker.done[-8:])
            raise AssertionError(f"{family}, after {number + 1} actions, last {last}: {fault}") from fault
        trace = window.session.trace
        if trace is not None and trace.model is model_of(family):
            audit.compared[family] += 1
    walker.leave_presentation()
    audit.forget()
    return audit


@pytest.fixture(autouse=True)
def _exactly():
    with exactly():
        yield


PANELS = (
    *("heads", "predictions", "layers", "tokens", "lens", "statistics"),
    *("windows", "positions", "patches", "faithfulness"),
)
EACH = 17  # actions with a model of each family


def test_after_each_action_the_window_shows_what_the_api_gives(window, qtbot, photos):
    audit = audited(window, qtbot, photos, 150, seed=3)
    assert audit.compared["photo"] > 150
    wanted = (*PANELS, "status", "matrices of a window", "while something newer was computed")
    assert [name for name in wanted if not audit.compared[name]] == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5, 10))
def test_after_each_of_many_actions_the_window_shows_what_the_api_gives(window, qtbot, photos, seed):
    audit = audited(window, qtbot, photos, 400, seed)
    print(f"seed {seed}:", dict(sorted(audit.compared.items())))
    assert all(audit.compared[name] > 20 for name in (*PANELS, "status", "photo")), audit.compared
    assert all(audit.compared[name] > 10 for name in FAMILIES), audit.compared
