"""A simulated user: sends real events to a window in a random order that is the same for the same seed."""

import random
import time
from collections import Counter
from itertools import cycle

import user_input
from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QFileDialog, QMessageBox, QPushButton

from vitviz.app import commands
from vitviz.app.dialogs.model_browser import ModelBrowser
from vitviz.app.work.worker import Worker
from vitviz.resources_path import resource

# These open a dialog, for which there is an action below, or a menu whose entries open one, or end the program.
DIALOGS = {
    "open",
    "open_folder",
    "open_weights",
    "save",
    "choose_model",
    "keys",
    "panel_menu",
    "quit",
    "compare_photo",
    "compare_model",
}
FILES = ("open", "open_folder", "open_weights", "save", "compare_photo")
BUNDLED = ("demo/vit", "demo/deit", "demo/swin")
WAYS = ("file", "folder", "picture", "paste file", "paste picture", "sample", "recent", "next", "previous")
"""The ways to open a photo besides the file dialog."""


class Walker:
    """Performs actions on a window, chosen by a seeded generator."""

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
        self.actions = (
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
        # In turn instead of at random, so that each occurs.
        self.answers = cycle(["Return", "Load", "row", "Escape", "Cancel"])
        self.files = cycle(FILES)
        self.ways = cycle(WAYS)
        # Twice each: the first one floats a panel, the second docks it again.
        twice = [way for way in ("drag", "button", "double click") for _ in range(2)]
        self.dockings = cycle([*twice, "open", "close", "open"])
        self.done = []
        self.checked = 0  # how often the drawn map was compared with a new computation
        self.compared = 0
        self.happened = Counter()  # the outcomes of actions with several outcomes
        self.answering = False

    def step(self):
        empty = self.window.session.photo is None and self.window.session.busy is None
        action = self.open_photo if empty else self.chance.choice(self.actions)
        self.done.append(action.__name__)
        self.compared += self.window.stage.comparison is not None
        self.watch()
        action()
        self.put_away()

    # Targets of actions.

    def somewhere(self, widget):
        return QPoint(
            self.chance.randrange(max(1, widget.width())), self.chance.randrange(max(1, widget.height()))
        )

    def view(self):
        """The view of an open panel, or the photo."""
        shown = [dock.panel for dock in self.window.docks if dock.isVisible() and dock.built]
        views = [
            view
            for panel in shown
            for view in (getattr(panel, "view", None), getattr(panel, "list", None))
            if view is not None and view.isVisible()
        ]
        return self.chance.choice(views) if views else self.window.photo.canvas

    def stage(self):
        """The canvas of one side of the stage."""
        second = self.window.stage.second
        canvases = [self.window.photo.canvas, *([] if second is None else [second.photo.canvas])]
        return self.chance.choice(canvases)

    # Dialogs and popups.

    def watch(self):
        """Close a dialog that was opened by a key on a focused button; no action answers it, so it would stay open."""

        def leave(until):
            if time.monotonic() > until or self.answering:
                return
            QTimer.singleShot(20, lambda: leave(until))
            if isinstance(QApplication.activeModalWidget(), QFileDialog | QMessageBox):
                user_input.press(self.window, "Esc")

        leave(time.monotonic() + 1)

    def put_away(self):
        """Close dialogs and most popups, so that the next action reaches the window; a menu sometimes stays open."""
        while QApplication.activeModalWidget() is not None or (
            QApplication.activePopupWidget() is not None and self.chance.random() < 0.8
        ):
            user_input.press(self.window, "Esc")

    def until(self, there):
        """Run the event loop until `there()` is true."""
        end = time.monotonic() + 60
        while not there():
            assert time.monotonic() < end
            user_input.wait(10)

    def leave_presentation(self):
        if self.window.presentation.on:
            user_input.press(self.window, "F11")
            assert not self.window.presentation.on

    def pick(self, *path):
        """Click through the menus."""
        self.leave_presentation()
        self.put_away()
        return user_input.pick(self.window.menu_bar, path)

    def command(self, name):
        """Trigger a command by its keys or by the menu."""
        command = next(one for one in commands.commands() if one.name == name)
        if command.keys and self.chance.random() < 0.7:
            user_input.press(self.window, command.keys[0])
        else:
            self.pick(command.menu.replace("&", ""), command.text.replace("&", ""))

    # Actions.

    def move(self):
        canvas = self.stage()
        user_input.point(canvas, self.somewhere(canvas))

    def point_at_a_panel(self):
        view = self.view()
        user_input.point(view, self.somewhere(view))

    def click(self):
        view = self.chance.choice([self.stage(), self.view()])
        held = self.chance.choice([Qt.KeyboardModifier.NoModifier] * 3 + [Qt.KeyboardModifier.ShiftModifier])
        user_input.click(view, self.somewhere(view), held)

    def drag(self):
        canvas = self.stage()
        held = self.chance.choice([Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier])
        user_input.drag(canvas, self.somewhere(canvas), canvas.mapToGlobal(self.somewhere(canvas)), held)

    def press(self):
        """Press a key where the focus is; sometimes the photo gets the focus first."""
        if self.chance.random() < 0.3:
            canvas = self.stage()
            user_input.click(canvas, self.somewhere(canvas))
        user_input.press(self.window, self.chance.choice(self.keys))

    def wheel(self):
        canvas = self.stage()
        user_input.turn(canvas, self.somewhere(canvas), self.chance.choice([-240, -120, 120, 240]))

    def resize(self):
        before = self.window.size()
        self.window.resize(self.chance.randrange(900, 1600), self.chance.randrange(600, 1000))
        self.happened["resized"] += self.window.size() != before

    def dock(self):
        """Float, dock, close or reopen a panel, by dragging its title bar, a double click, its buttons or the menu."""
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
        """Act on a panel's title bar; a dragged panel is dropped on the middle of `aim`."""
        bar, floating = dock.titleBarWidget(), dock.isFloating()
        if way == "close":
            user_input.click(bar.close_button)
            self.happened["closed"] += dock.isHidden()
            return
        if way == "drag":
            # Docks need some time to make room for a dragged one.
            user_input.drag(
                bar, QPoint(16, bar.height() // 2), aim.mapToGlobal(aim.rect().center()), rest=300
            )
        elif way == "double click":
            user_input.double_click(bar, QPoint(16, bar.height() // 2))
        else:
            user_input.click(bar.float_button)
        if dock.isFloating() != floating:
            self.happened[f"{'docked' if floating else 'floated'} by {way}"] += 1

    def open_photo(self, way=None):
        """Drop, paste or pick a photo, or open the next or previous one."""
        way, photo = way or next(self.ways), self.chance.choice(self.photos)
        before = self.window.session.opening.wanted
        if way in ("file", "folder"):
            user_input.drop(self.stage(), user_input.files(photo.parent if way == "folder" else photo))
        elif way == "picture":
            user_input.drop(self.stage(), user_input.pixels(self.chance))
        elif way.startswith("paste"):
            QGuiApplication.clipboard().setMimeData(
                user_input.files(photo) if "file" in way else user_input.pixels(self.chance)
            )
            user_input.press(self.window, "Ctrl+V")
        elif way == "sample":
            self.pick("File", "Samples", self.chance.choice(self.window.samples.actions()).text())
        elif way == "recent":
            self.pick("File", "Open recent", self.chance.choice(self.photos).name)
        else:
            user_input.press(self.window, "Alt+Right" if way == "next" else "Alt+Left")
        self.happened[f"photo: {way}"] += self.window.session.opening.wanted is not before

    def open_weights(self):
        """Drop a weights file."""
        name = self.chance.choice(["vit", "deit", "swin"])
        user_input.drop(self.stage(), user_input.files(resource(f"models/{name}.safetensors")))

    def free(self):
        user_input.press(self.window, "Esc")

    def rest(self):
        """Wait 50 ms."""
        for _ in range(10):
            user_input.wait(5)

    def cancel(self):
        """Cancel by keys or by the button of the progress card; mostly after opening a photo, so that something runs."""
        if self.chance.random() < 0.7:
            self.open_photo("file")
        stage = self.window.stage
        waited, card = stage.working, self.window.photo.progress
        if self.chance.random() < 0.5:
            self.until(lambda: card.isVisible() or not stage.working)
        if card.isVisible():
            user_input.click(card.cancel)
            self.happened["cancelled by a click"] += 1
        else:
            user_input.press(self.window, "Ctrl+.")
        self.happened["cancelled"] += waited and not stage.working

    def choosers(self):
        return [one for one in self.window.findChildren(ModelBrowser) if one.isVisible()]

    def choose_model(self, command=None, answer=None):
        """Open the model dialog, and load a model by keys or clicks, or cancel."""
        self.command(command or self.chance.choice(["choose_model", "choose_model", "compare_model"]))
        if not self.choosers():
            return
        chooser = self.choosers()[-1]
        if self.chance.random() < 0.7:  # otherwise the list may still be being read
            self.until(lambda: chooser.view.model().rowCount() > 0)
        user_input.write(self.window, self.chance.choice(BUNDLED))
        answer = answer or next(self.answers)
        if answer == "Return":
            user_input.press(self.window, "Return")
        elif answer == "Load":
            user_input.click(chooser.load)
        elif answer == "row":
            row = chooser.view.visualRect(chooser.view.model().index(0, 0)).center()
            user_input.click(chooser.view.viewport(), row)
            user_input.press(self.window, "Esc")
        elif answer == "Escape":
            user_input.press(self.window, "Esc")
        else:
            user_input.click(next(one for one in chooser.findChildren(QPushButton) if one.text() == "Cancel"))
        assert not self.choosers()
        self.happened[f"chooser: {answer}"] += 1

    def use_a_file_dialog(self):
        """Open a file dialog and enter an existing file, a missing file, or Escape by keys."""
        name = next(self.files)
        files = [photo for photo in self.photos if photo.is_file()]
        photo = self.chance.choice(files)
        saved = photo.with_name(f"saved {len(self.done)}.png")
        path = {"open_folder": photo.parent, "open_weights": self.weights, "save": saved}.get(name, photo)
        answer = self.chance.choice([path, path, photo.with_name("missing.png"), None])
        if name == "save" and answer is not None:
            answer = saved
        answered, over, typing = [], [], []
        self.answering = True

        def drive():
            if over:
                return
            # A new timer each time: a timer does not fire again while its own slot runs a nested event loop.
            QTimer.singleShot(10, drive)
            dialog = QApplication.activeModalWidget()
            if isinstance(dialog, QMessageBox):  # there is no such file
                user_input.press(self.window, "Esc")
            elif typing:  # this is called while a path is being typed
                pass
            elif isinstance(dialog, QFileDialog) and (answer is None or answered):
                user_input.press(self.window, "Esc")
                answered.append("Escape")
            elif isinstance(dialog, QFileDialog):
                answered.append(answer.name)
                typing.append(True)
                user_input.enter_path(dialog, str(answer))
                typing.clear()

        QTimer.singleShot(10, drive)
        self.command(name)
        over.append(True)
        self.answering = False
        if answered:
            self.happened[f"dialog: {name}"] += 1
            self.happened["dialog left" if answered[-1] == "Escape" else "dialog answered"] += 1

    def compare(self):
        """Begin a comparison, drop something on its second side, or end it by keys or by its button."""
        second = self.window.stage.second
        if second is None:
            self.choose_model("compare_model", "Return")
        elif self.chance.random() < 0.5:
            user_input.drop(second.photo.canvas, user_input.files(self.chance.choice(self.photos)))
            self.happened["second photo dropped"] += 1
        elif self.chance.random() < 0.5:
            user_input.click(second.buttons["close"])
        else:
            user_input.press(self.window, "Ctrl+Shift+E")
        self.happened["comparison ended"] += second is not None and self.window.stage.second is None

    def dress(self):
        self.pick("View", "Theme", self.chance.choice(["System", "Light", "Dark"]))

    def read_keys(self):
        user_input.press(self.window, "?")
        self.happened["keys read"] += self.window.shortcuts is not None
        user_input.press(self.window, "Esc")


def sides(window):
    """The session and the photo panel of each side: two while a comparison lasts."""
    found = [(window.session, window.photo)]
    if window.stage.comparison is not None:
        found.append((window.stage.comparison.second, window.stage.second.photo))
    return found


def idle(window):
    """Whether no work is running."""
    return not any(
        session.busy or any(worker.busy for worker in session.findChildren(Worker))
        for session, _ in sides(window)
    )
