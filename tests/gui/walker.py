"""Somebody who does one thing after the other to a window, by real events in an order that is the same each time."""

import random
import time
from collections import Counter
from itertools import cycle

from PySide6.QtCore import QPoint, QPointF, Qt, QTimer
from PySide6.QtGui import QKeySequence, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QLineEdit, QMessageBox, QPushButton

from vitviz.app import actions
from vitviz.app.chooser import ModelChooser
from vitviz.app.worker import Worker

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
