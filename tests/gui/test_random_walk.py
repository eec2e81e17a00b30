"""Two thousand real events in a random order that is the same each time, and what is left after them."""

import ctypes
import gc
import random
import threading
import time
from collections import Counter
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt, QTimer
from PySide6.QtGui import QKeySequence, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QLineEdit, QMessageBox, QPushButton
from steps import picture, show

from vitviz.app import actions, drawing
from vitviz.app.chooser import ModelChooser
from vitviz.app.worker import Worker
from vitviz.attention.trace import Trace
from vitviz.explain import explain
from vitviz.explain.registry import find

# These open a dialog, which has a deed of its own below, or end the program.
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
FILES = ("open", "open_folder", "open_weights", "save", "compare_photo")
BUNDLED = ("demo/vit", "demo/deit", "demo/swin")
HAPPENS = (
    *("resized", "floated", "docked", "closed", "reopened", "cancelled"),
    *("chooser: Return", "chooser: Load", "chooser: row", "chooser: Escape", "chooser: Cancel"),
    *("dialog left", "dialog answered", *(f"dialog: {name}" for name in FILES)),
)
LEFT = Qt.MouseButton.LeftButton


class Walker:
    """Does one thing after the other to a window, chosen by a seeded generator."""

    def __init__(self, window, models, photos, seed):
        self.window, self.models, self.photos = window, models, photos
        self.chance = random.Random(seed)
        self.weights = photos[0].with_name("no weights.pth")
        self.weights.write_bytes(b"no weights")
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
            + [self.choose_model] * 4
            + [self.use_a_file_dialog] * 5
            + [self.dress] * 1
            + [self.read_keys] * 1
        )
        # In turn, not by chance: each must have been.
        self.ways = cycle(["Return", "Load", "row", "Escape", "Cancel"])
        self.files = cycle(FILES)
        self.done = []
        self.checked = 0  # how often what was drawn has been computed again
        self.compared = 0
        self.happened = Counter()  # what deeds with several outcomes came to

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
        before = self.window.size()
        self.window.resize(self.chance.randrange(900, 1600), self.chance.randrange(600, 1000))
        self.happened["resized"] += self.window.size() != before

    def dock(self):
        """Float a panel or put it back, close it, or open it again."""
        dock = self.chance.choice(self.window.docks)
        buttons = dock.titleBarWidget()
        if dock.isHidden():
            dock.toggleViewAction().trigger()
            self.happened["reopened"] += not dock.isHidden()
        elif self.chance.random() < 0.67:
            floating = dock.isFloating()
            QTest.mouseClick(buttons._float, LEFT)
            self.happened["docked" if floating else "floated"] += dock.isFloating() != floating
        else:
            QTest.mouseClick(buttons._close, LEFT)
            self.happened["closed"] += dock.isHidden()

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
        """While something runs, mostly: else there is nothing to cancel."""
        if self.chance.random() < 0.7:
            self.open_photo()
        waited = self.window.stage.working
        self.window.commands["cancel"].trigger()
        self.happened["cancelled"] += waited and not self.window.stage.working

    def until(self, there):
        """Let the window go on until something is there."""
        end = time.monotonic() + 60
        while not there():
            assert time.monotonic() < end
            QTest.qWait(10)

    def keys_of(self, name):
        """Press the keys of a command in the window, or trigger it where it has none."""
        command = next(one for one in actions.COMMANDS if one.name == name)
        if command.keys:
            self.window.activateWindow()
            self.window.photo.canvas.setFocus()
            QTest.keySequence(self.window.photo.canvas, QKeySequence(command.keys[0]))
        else:
            self.window.commands[name].trigger()

    def choose_model(self):
        """Open the list of models for a side, and load one by keys or by clicks, or think better of it."""
        self.keys_of(self.chance.choice(["choose_model", "choose_model", "compare_model"]))
        choosers = [one for one in self.window.findChildren(ModelChooser) if one.isVisible()]
        if not choosers:
            return
        chooser = choosers[-1]
        if self.chance.random() < 0.7:  # else it is read still
            self.until(lambda: chooser._table.rowCount() > 0)
        name = self.chance.choice(BUNDLED)
        QTest.keyClicks(chooser.search, name)
        way = next(self.ways)
        if way == "Return":
            QTest.keyClick(chooser.search, Qt.Key.Key_Return)
        elif way == "Load":
            QTest.mouseClick(chooser.load, LEFT)
        elif way == "row":
            place = chooser.view.visualRect(chooser._shown.index(0, 0)).center()
            QTest.mouseClick(chooser.view.viewport(), LEFT, pos=place)
            QTest.keyClick(chooser.view, Qt.Key.Key_Escape)
        elif way == "Escape":
            QTest.keyClick(chooser.search, Qt.Key.Key_Escape)
        else:
            button = next(one for one in chooser.findChildren(QPushButton) if one.text() == "Cancel")
            QTest.mouseClick(button, LEFT)
        assert not chooser.isVisible()
        self.happened[f"chooser: {way}"] += 1

    def use_a_file_dialog(self):
        """Open Qt's own file dialog and answer it by keys: a file that is there, one that is not, or Escape."""
        name = next(self.files)
        files = [photo for photo in self.photos if photo.is_file()]
        photo = self.chance.choice(files)
        saved = photo.with_name(f"saved {len(self.done)}.png")
        path = {"open_folder": photo.parent, "open_weights": self.weights, "save": saved}.get(name, photo)
        answer = self.chance.choice([path, path, photo.with_name("missing.png"), None])
        if name == "save" and answer is not None:
            answer = saved
        answered, over = [], []

        def drive():
            if over:
                return
            # A new timer each time: one does not fire again while its own slot opens a further dialog.
            QTimer.singleShot(10, drive)
            dialog = QApplication.activeModalWidget()
            if isinstance(dialog, QMessageBox):  # there is no such file
                QTest.keyClick(dialog, Qt.Key.Key_Escape)
            elif isinstance(dialog, QFileDialog) and (answer is None or answered):
                QTest.keyClick(dialog, Qt.Key.Key_Escape)
                answered.append("Escape")
            elif isinstance(dialog, QFileDialog):
                answered.append(answer.name)
                field = dialog.findChild(QLineEdit, "fileNameEdit")
                field.setText(str(answer))
                QTest.keyClick(field, Qt.Key.Key_Return)

        QTimer.singleShot(10, drive)
        self.keys_of(name)
        over.append(True)
        if answered:
            self.happened[f"dialog: {name}"] += 1
            self.happened["dialog left" if answered[-1] == "Escape" else "dialog answered"] += 1

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
        session.busy or any(worker.busy for worker in session.findChildren(Worker))
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
    missing = {name for name in HAPPENS if not walker.happened[name]}
    assert not missing, walker.happened
    assert_nothing_is_stale(window)
    assert len(traces()) <= 2  # what is shown, and at most one more on a second side
    window.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("vitviz")]


def traces() -> list[object]:
    """The traces that something still holds."""
    gc.collect()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    gc.collect()
    return [one for one in gc.get_objects() if type(one) is Trace]


def resident() -> float:
    """MiB of memory that this process holds, without what the allocator keeps for later."""
    gc.collect()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_after_200_switches_is_that_after_20(window, qtbot, model, swin, tmp_path):
    # Photos large enough that each one that was kept would be seen: 180 of them take half a gibibyte.
    opened = [picture(tmp_path / f"large{number}.png", (900, 700 + number), number) for number in range(4)]
    models = [model, swin]
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
    assert len(traces()) == 1
    window.session.close_photo()
    assert traces() == []
