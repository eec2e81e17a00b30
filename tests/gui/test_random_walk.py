"""Two thousand real events in a random order that is the same each time, and what is left after them."""

import ctypes
import gc
import random
import threading
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QKeySequence, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from steps import picture, show

from vitviz.app import actions, drawing
from vitviz.explain import explain
from vitviz.explain.registry import find

# These ask in a dialog of the system, or end the program.
DIALOGS = {
    "open",
    "open_folder",
    "open_weights",
    "save",
    "choose_model",
    "keys",
    "quit",
    "compare_photo",
    "compare_model",
}
LEFT = Qt.MouseButton.LeftButton


class Walker:
    """Does one thing after the other to a window, chosen by a seeded generator."""

    def __init__(self, window, models, photos, seed):
        self.window, self.models, self.photos = window, models, photos
        self.chance = random.Random(seed)
        self.keys = [
            key
            for command in actions.COMMANDS
            if command.name not in DIALOGS
            for key in (*command.keys, *command.stage_keys)
        ]
        self.deeds = (
            [self.move] * 40
            + [self.point_at_a_panel] * 12
            + [self.click] * 10
            + [self.press] * 20
            + [self.wheel] * 4
            + [self.drag] * 2
            + [self.resize] * 3
            + [self.dock] * 3
            + [self.open_photo] * 3
            + [self.open_model] * 2
            + [self.free] * 6
            + [self.rest] * 3
            + [self.cancel] * 1
            + [self.compare] * 3
            + [self.dress] * 1
            + [self.read_keys] * 1
        )
        self.done = []
        self.checked = 0  # how often what was drawn has been computed again
        self.compared = 0

    def step(self):
        empty = self.window.session.photo is None and self.window.session.busy is None
        deed = self.open_photo if empty else self.chance.choice(self.deeds)
        self.done.append(deed.__name__)
        self.compared += self.window.stage.comparison is not None
        deed()

    def somewhere(self, widget):
        return QPoint(
            self.chance.randrange(max(1, widget.width())), self.chance.randrange(max(1, widget.height()))
        )

    def view(self):
        """What is pictured in a panel that is open, or the photo."""
        shown = [dock.panel for dock in self.window.docks if dock.isVisible() and dock.built]
        views = [
            view
            for panel in shown
            for view in (getattr(panel, "view", None), getattr(panel, "list", None))
            if view is not None and view.isVisible()
        ]
        return self.chance.choice(views) if views else self.window.photo.canvas

    def stage(self):
        """One of the photos on the stage."""
        second = self.window.stage.second
        canvases = [self.window.photo.canvas, *([] if second is None else [second.photo.canvas])]
        return self.chance.choice(canvases)

    def move(self):
        canvas = self.stage()
        QTest.mouseMove(canvas, self.somewhere(canvas))

    def point_at_a_panel(self):
        view = self.view()
        QTest.mouseMove(view, self.somewhere(view))

    def click(self):
        view = self.chance.choice([self.stage(), self.view()])
        held = self.chance.choice([Qt.KeyboardModifier.NoModifier] * 3 + [Qt.KeyboardModifier.ShiftModifier])
        QTest.mouseClick(view, LEFT, held, self.somewhere(view))

    def drag(self):
        canvas = self.stage()
        start = self.somewhere(canvas)
        QTest.mousePress(canvas, LEFT, Qt.KeyboardModifier.NoModifier, start)
        QTest.mouseMove(canvas, self.somewhere(canvas))
        QTest.mouseRelease(canvas, LEFT, Qt.KeyboardModifier.NoModifier, self.somewhere(canvas))

    def press(self):
        if self.chance.random() < 0.5:
            self.window.photo.canvas.setFocus()
        at = QApplication.focusWidget() or self.window.photo.canvas
        QTest.keySequence(at, QKeySequence(self.chance.choice(self.keys)))

    def wheel(self):
        canvas = self.stage()
        place = QPointF(self.somewhere(canvas))
        turn = QPoint(0, self.chance.choice([-240, -120, 120, 240]))
        event = QWheelEvent(
            place,
            canvas.mapToGlobal(place),
            QPoint(),
            turn,
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(canvas, event)

    def resize(self):
        self.window.resize(self.chance.randrange(900, 1600), self.chance.randrange(600, 1000))

    def dock(self):
        dock = self.chance.choice(self.window.docks)
        buttons = dock.titleBarWidget()
        if dock.isHidden():
            dock.toggleViewAction().trigger()
        else:
            button = self.chance.choice([buttons._float, buttons._float, buttons._close])
            QTest.mouseClick(button, LEFT)

    def open_photo(self):
        self.window.open_path(self.chance.choice(self.photos))

    def open_model(self):
        self.window.session.open(model=self.chance.choice(self.models))

    def free(self):
        QTest.keyClick(self.window.photo.canvas, Qt.Key.Key_Escape)

    def rest(self):
        """Let what is under way come to its end, as people do."""
        for _ in range(10):
            QTest.qWait(5)

    def cancel(self):
        self.window.commands["cancel"].trigger()

    def compare(self):
        """Begin a comparison, open something else in its second side, or end it."""
        stage, files = self.window.stage, [photo for photo in self.photos if photo.is_file()]
        if self.window.session.photo is None:
            return
        deed = self.chance.choice(["photo", "model", "end"])
        if deed == "photo":
            stage.compare(photo=self.chance.choice(files))
        elif deed == "model":
            stage.compare(model=self.chance.choice(self.models))
        else:
            self.window.commands["compare_end"].trigger()

    def dress(self):
        self.chance.choice(self.window.themes.actions()).trigger()

    def read_keys(self):
        self.window.commands["keys"].trigger()
        QTest.keyClick(self.window.keys, Qt.Key.Key_Escape)


def sides(window):
    """The session and the photo panel of each side: two while a comparison lasts."""
    found = [(window.session, window.photo)]
    if window.stage.comparison is not None:
        found.append((window.stage.comparison.second, window.stage.second.photo))
    return found


def idle(window):
    """Whether nothing is under way."""
    return not any(
        session.busy or session.maps._heat_worker.busy or session.maps._tiles_worker.busy
        for session, _ in sides(window)
    )


def at_rest(window, qtbot):
    """Wait until nothing is under way, nor is asked for because of that."""
    qtbot.waitUntil(lambda: idle(window), timeout=60_000)
    QApplication.processEvents()
    qtbot.waitUntil(lambda: idle(window), timeout=60_000)


def assert_nothing_is_stale(window):
    """What is drawn is of the photo, the model and the selection that hold, computed again from the trace."""
    assert window.windowTitle().startswith(window.session.photo.name)
    for session, panel in sides(window):
        if session.trace is not None:
            assert_side_holds(session, panel)
    heads, chosen = window.panel("heads"), window.session.selection
    if heads.isVisible() and heads._tiles is not None:
        assert (heads._tiles.query, heads._tiles.direction) == (chosen.query, chosen.direction)


def assert_side_holds(session, panel):
    trace, chosen = session.trace, session.selection
    assert trace.photo is session.photo is session.picture.photo
    assert trace.model is session.model
    assert panel.canvas._levels is session.picture.levels
    assert not panel.canvas._dimmed
    assert not panel.progress.isVisible()
    if session.maps.problem:
        assert session.maps.shown is None
        return
    assert session.maps.shown.selection == chosen
    asked = {name: getattr(chosen, name) for name in find(chosen.method).axes}
    expected = explain(trace, chosen.method, **asked, **dict(chosen.choices))
    np.testing.assert_allclose(session.heatmap.values, expected.values, rtol=1e-4, atol=1e-7)
    title = expected.title
    if drawing.painted(session.view, expected) is not expected.values:
        title = title.removesuffix(", summed over each patch")  # pixels are drawn, not their sums
    assert panel.title.whole == title


@pytest.fixture
def photos(tmp_path) -> list[Path]:
    sizes = [(160, 100), (64, 64), (90, 200), (300, 220)]
    made = [picture(tmp_path / f"p{number}.png", size, number) for number, size in enumerate(sizes)]
    (tmp_path / "p9.png").write_bytes(b"no picture")
    return [*made, tmp_path / "p9.png", tmp_path]


def walk(window, qtbot, models, photos, events, seed):
    show(window, qtbot, photos[0], models[0])
    walker = Walker(window, models, photos, seed)
    for number in range(events):
        walker.step()
        if number % 4 == 0:
            QApplication.processEvents()
        if number % 100 == 99:
            at_rest(window, qtbot)
            if window.session.trace is not None:
                assert_nothing_is_stale(window)
                walker.checked += 1
    window.presentation.leave()
    # A photo that can be read, so that there is something to look at in the end.
    window.open_path(photos[1])
    at_rest(window, qtbot)
    return walker


def test_a_random_walk_ends_in_order(window, qtbot, model, swin, photos):
    walker = walk(window, qtbot, [model, swin], photos, 2000, seed=4)
    assert len(walker.done) == 2000
    assert len(set(walker.done)) == len(set(walker.deeds))
    assert walker.checked >= 10  # of 20 rests; the others had no photo, or one that cannot be read
    assert walker.compared > 200
    assert_nothing_is_stale(window)
    window.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("vitviz")]


def resident() -> float:
    """MiB of memory that this process holds, without what the allocator keeps for later."""
    gc.collect()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_after_200_switches_is_that_after_20(window, qtbot, model, swin, photos):
    models, opened = [model, swin], photos[:4]
    early = 0.0
    for number in range(200):
        if number == 20:
            early = resident()
        if number % 2:
            window.session.open(photo=opened[number // 2 % 4])
        else:
            window.session.open(photo=opened[number // 2 % 4], model=models[number // 2 % 2])
        qtbot.waitUntil(lambda: idle(window), timeout=60_000)
    assert resident() <= early * 1.05
    window.session.close_photo()
