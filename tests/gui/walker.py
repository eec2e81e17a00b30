"""Somebody who does one thing after the other to a window, by real events in an order that is the same each time."""

import random
import time
from collections import Counter
from itertools import cycle

import hands
from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QFileDialog, QMessageBox, QPushButton

from vitviz.app import commands
from vitviz.app.dialogs.model_chooser import ModelChooser
from vitviz.app.work.worker import Worker
from vitviz.resources_path import resource

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
WAYS = ("file", "folder", "picture", "paste file", "paste picture", "sample", "recent", "next", "previous")
"""The ways to a photo, beside the file dialog."""


class Walker:
    """Does one thing after the other to a window, chosen by a seeded generator."""

    def __init__(self, window, photos, seed):
        self.window, self.photos = window, photos
        self.chance = random.Random(seed)
        self.weights = photos[0].with_name("no weights.pth")
        self.weights.write_bytes(b"no weights")
        self.keys = [
            key
            for command in commands.commands()
            if command.name not in DIALOGS
            for key in (*command.keys, *command.stage_keys)
        ] + ["Tab", "Shift+Tab", "F6", "Shift+F6"]
        self.deeds = (
            [self.move] * 40
            + [self.point_at_a_panel] * 12
            + [self.click] * 10
            + [self.press] * 20
            + [self.wheel] * 4
            + [self.drag] * 2
            + [self.resize] * 3
            + [self.dock] * 4
            + [self.open_photo] * 4
            + [self.open_weights] * 1
            + [self.free] * 6
            + [self.rest] * 3
            + [self.cancel] * 1
            + [self.compare] * 3
            + [self.choose_model] * 4
            + [self.use_a_file_dialog] * 4
            + [self.dress] * 1
            + [self.read_keys] * 1
        )
        # In turn, not by chance: each must have been.
        self.answers = cycle(["Return", "Load", "row", "Escape", "Cancel"])
        self.files = cycle(FILES)
        self.ways = cycle(WAYS)
        # Twice each: what the first makes float the second puts back.
        twice = [way for way in ("drag", "button", "double click") for _ in range(2)]
        self.dockings = cycle([*twice, "open", "close", "open"])
        self.done = []
        self.checked = 0  # how often what was drawn has been computed again
        self.compared = 0
        self.happened = Counter()  # what deeds with several outcomes came to
        self._answering = False

    def step(self):
        empty = self.window.session.photo is None and self.window.session.busy is None
        deed = self.open_photo if empty else self.chance.choice(self.deeds)
        self.done.append(deed.__name__)
        self.compared += self.window.stage.comparison is not None
        self.watch()
        deed()
        self.put_away()

    # Where.

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

    # What may come in between.

    def watch(self):
        """Leave a dialog that a key opened from a button, and that no deed answers: else it would wait for ever."""

        def leave(until):
            if time.monotonic() > until or self._answering:
                return
            QTimer.singleShot(20, lambda: leave(until))
            if isinstance(QApplication.activeModalWidget(), QFileDialog | QMessageBox):
                hands.press(self.window, "Esc")

        leave(time.monotonic() + 1)

    def put_away(self):
        """Leave what lies before the window, so that the next deed reaches it; a menu sometimes stays."""
        while QApplication.activeModalWidget() is not None or (
            QApplication.activePopupWidget() is not None and self.chance.random() < 0.8
        ):
            hands.press(self.window, "Esc")

    def until(self, there):
        """Let the window go on until something is there."""
        end = time.monotonic() + 60
        while not there():
            assert time.monotonic() < end
            hands.wait(10)

    def leave_presentation(self):
        if self.window.presentation.on:
            hands.press(self.window, "F11")
            assert not self.window.presentation.on

    def pick(self, *path):
        """Click through the menus."""
        self.leave_presentation()
        self.put_away()
        return hands.pick(self.window.menu_bar, path)

    def command(self, name):
        """Give a command by its keys, or by the menu."""
        command = next(one for one in commands.commands() if one.name == name)
        if command.keys and self.chance.random() < 0.7:
            hands.press(self.window, command.keys[0])
        else:
            self.pick(command.menu.replace("&", ""), command.text.replace("&", ""))

    # What is done.

    def move(self):
        canvas = self.stage()
        hands.point(canvas, self.somewhere(canvas))

    def point_at_a_panel(self):
        view = self.view()
        hands.point(view, self.somewhere(view))

    def click(self):
        view = self.chance.choice([self.stage(), self.view()])
        held = self.chance.choice([Qt.KeyboardModifier.NoModifier] * 3 + [Qt.KeyboardModifier.ShiftModifier])
        hands.click(view, self.somewhere(view), held)

    def drag(self):
        canvas = self.stage()
        held = self.chance.choice([Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier])
        hands.drag(canvas, self.somewhere(canvas), canvas.mapToGlobal(self.somewhere(canvas)), held)

    def press(self):
        """A key, wherever the focus is: sometimes on the photo."""
        if self.chance.random() < 0.3:
            canvas = self.stage()
            hands.click(canvas, self.somewhere(canvas))
        hands.press(self.window, self.chance.choice(self.keys))

    def wheel(self):
        canvas = self.stage()
        hands.turn(canvas, self.somewhere(canvas), self.chance.choice([-240, -120, 120, 240]))

    def resize(self):
        before = self.window.size()
        self.window.resize(self.chance.randrange(900, 1600), self.chance.randrange(600, 1000))
        self.happened["resized"] += self.window.size() != before

    def dock(self):
        """Drag a panel by its title to where it floats or docks, float it or put it back, close it, or open it again."""
        self.leave_presentation()
        way, docks = next(self.dockings), self.window.docks
        hidden = [one for one in docks if one.isHidden()]
        seen = [one for one in docks if one.built and one.panel.isVisible()]  # not behind a tab
        floating = [one for one in seen if one.isFloating()]
        docked = [one for one in seen if not one.isFloating()]
        if way == "open" and hidden:
            dock = self.chance.choice(hidden)
            self.pick("Panels", dock.kind.title)
            self.happened["reopened"] += not dock.isHidden()
        elif way == "drag" and floating and docked:
            dock = self.chance.choice(floating)
            above = [one.frameGeometry() for one in floating if one is not dock]
            middles = {one: one.mapToGlobal(one.rect().center()) for one in docked}
            free = [one for one in docked if not any(other.contains(middles[one]) for other in above)]
            self.dock_by(way, dock, self.chance.choice(free or docked))
        elif way != "open" and (floating or docked):
            self.dock_by(way, self.chance.choice(floating or docked), self.window.photo.canvas)

    def dock_by(self, way, dock, aim):
        """Act on a panel's title; one that is dragged goes to the middle of something."""
        bar, floating = dock.titleBarWidget(), dock.isFloating()
        if way == "close":
            hands.click(bar.close_button)
            self.happened["closed"] += dock.isHidden()
            return
        if way == "drag":
            # Docks make room for one that is held over them, which takes them a while.
            hands.drag(bar, QPoint(16, bar.height() // 2), aim.mapToGlobal(aim.rect().center()), rest=300)
        elif way == "double click":
            hands.double_click(bar, QPoint(16, bar.height() // 2))
        else:
            hands.click(bar.float_button)
        if dock.isFloating() != floating:
            self.happened[f"{'docked' if floating else 'floated'} by {way}"] += 1

    def open_photo(self, way=None):
        """Drop, paste or pick a photo, or go to the next one."""
        way, photo = way or next(self.ways), self.chance.choice(self.photos)
        before = self.window.session.opening.wanted
        if way in ("file", "folder"):
            hands.drop(self.stage(), hands.files(photo.parent if way == "folder" else photo))
        elif way == "picture":
            hands.drop(self.stage(), hands.pixels(self.chance))
        elif way.startswith("paste"):
            QGuiApplication.clipboard().setMimeData(
                hands.files(photo) if "file" in way else hands.pixels(self.chance)
            )
            hands.press(self.window, "Ctrl+V")
        elif way == "sample":
            self.pick("File", "Samples", self.chance.choice(self.window.samples.actions()).text())
        elif way == "recent":
            self.pick("File", "Open recent", self.chance.choice(self.photos).name)
        else:
            hands.press(self.window, "Alt+Right" if way == "next" else "Alt+Left")
        self.happened[f"photo: {way}"] += self.window.session.opening.wanted is not before

    def open_weights(self):
        """Drop a file of weights."""
        name = self.chance.choice(["vit", "deit", "swin"])
        hands.drop(self.stage(), hands.files(resource(f"models/{name}.safetensors")))

    def free(self):
        hands.press(self.window, "Esc")

    def rest(self):
        """Let what is under way come to its end, as people do."""
        for _ in range(10):
            hands.wait(5)

    def cancel(self):
        """By keys or, once it is there, by the button; while something runs, mostly: else there is nothing to cancel."""
        if self.chance.random() < 0.7:
            self.open_photo("file")
        stage = self.window.stage
        waited, card = stage.working, self.window.photo.progress
        if self.chance.random() < 0.5:
            self.until(lambda: card.isVisible() or not stage.working)
        if card.isVisible():
            hands.click(card.cancel)
            self.happened["cancelled by a click"] += 1
        else:
            hands.press(self.window, "Ctrl+.")
        self.happened["cancelled"] += waited and not stage.working

    def choosers(self):
        return [one for one in self.window.findChildren(ModelChooser) if one.isVisible()]

    def choose_model(self, command=None, answer=None):
        """Open the list of models for a side, and load one by keys or by clicks, or think better of it."""
        self.command(command or self.chance.choice(["choose_model", "choose_model", "compare_model"]))
        if not self.choosers():
            return
        chooser = self.choosers()[-1]
        if self.chance.random() < 0.7:  # else it is read still
            self.until(lambda: chooser._table.rowCount() > 0)
        hands.write(self.window, self.chance.choice(BUNDLED))
        answer = answer or next(self.answers)
        if answer == "Return":
            hands.press(self.window, "Return")
        elif answer == "Load":
            hands.click(chooser.load)
        elif answer == "row":
            row = chooser.view.visualRect(chooser._shown.index(0, 0)).center()
            hands.click(chooser.view.viewport(), row)
            hands.press(self.window, "Esc")
        elif answer == "Escape":
            hands.press(self.window, "Esc")
        else:
            hands.click(next(one for one in chooser.findChildren(QPushButton) if one.text() == "Cancel"))
        assert not self.choosers()
        self.happened[f"chooser: {answer}"] += 1

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
        answered, over, typing = [], [], []
        self._answering = True

        def drive():
            if over:
                return
            # A new timer each time: one does not fire again while its own slot opens a further dialog.
            QTimer.singleShot(10, drive)
            dialog = QApplication.activeModalWidget()
            if isinstance(dialog, QMessageBox):  # there is no such file
                hands.press(self.window, "Esc")
            elif typing:  # the window goes on while one types
                pass
            elif isinstance(dialog, QFileDialog) and (answer is None or answered):
                hands.press(self.window, "Esc")
                answered.append("Escape")
            elif isinstance(dialog, QFileDialog):
                answered.append(answer.name)
                typing.append(True)
                hands.answer(dialog, str(answer))
                typing.clear()

        QTimer.singleShot(10, drive)
        self.command(name)
        over.append(True)
        self._answering = False
        if answered:
            self.happened[f"dialog: {name}"] += 1
            self.happened["dialog left" if answered[-1] == "Escape" else "dialog answered"] += 1

    def compare(self):
        """Begin a comparison, drop something on its second side, or end it by keys or by its button."""
        second = self.window.stage.second
        if second is None:
            self.choose_model("compare_model", "Return")
        elif self.chance.random() < 0.5:
            hands.drop(second.photo.canvas, hands.files(self.chance.choice(self.photos)))
            self.happened["second photo dropped"] += 1
        elif self.chance.random() < 0.5:
            hands.click(second.buttons["close"])
        else:
            hands.press(self.window, "Ctrl+Shift+E")
        self.happened["comparison ended"] += second is not None and self.window.stage.second is None

    def dress(self):
        self.pick("View", "Theme", self.chance.choice(["As the system", "Light", "Dark"]))

    def read_keys(self):
        hands.press(self.window, "?")
        self.happened["keys read"] += self.window.keys is not None
        hands.press(self.window, "Esc")


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
