"""A new panel is one folder and one line: everything else of the window works with it."""

import threading

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from steps import show

import vitviz.app.panels
from vitviz.app.main import make_window
from vitviz.app.panels import catalog
from vitviz.app.panels.catalog import PanelKind
from vitviz.app.settings import Settings

PANEL = '''
"""The Counter panel: how many patches the photo has, in rows or in all."""

from dataclasses import dataclass
from typing import Literal

from PySide6.QtWidgets import QCheckBox, QLabel, QPushButton, QVBoxLayout

from vitviz.app.panels.base import Panel, Shown
from vitviz.app.session.view_state import panel_view
from vitviz.app.work.progress import Progress
from vitviz.app.work.worker import Stopped


@dataclass(frozen=True)
class CounterView:
    """What is counted."""

    of: Literal["rows", "all"] = "all"


class CounterPanel(Panel):
    """A number of the trace, and a job."""

    name = "counter"

    def __init__(self, session, keys, parent=None):
        super().__init__(session, parent)
        self.label, self.rows, self.count = QLabel(), QCheckBox("Rows only"), QPushButton("Count slowly")
        self.job = None
        column = QVBoxLayout(self)
        for widget in (self.label, self.rows, self.count):
            column.addWidget(widget)
        self.label.addActions(keys)
        self.rows.clicked.connect(lambda on: session.change_panel("counter", of="rows" if on else "all"))
        self.count.clicked.connect(self.start)
        session.trace_changed.connect(self.follow)
        session.view_changed.connect(self.follow)
        self.follow()

    def draw(self):
        trace = self.session.trace
        view = panel_view(self.session.view, self.name, CounterView)
        self.rows.setChecked(view.of == "rows")
        if trace is not None:
            grid = trace.patches
            self.label.setText(str(grid.rows if view.of == "rows" else grid.rows * grid.cols))

    def shown(self):
        return Shown(self.label.text(), False)

    def start(self):
        def work(ticket):
            ticket.tell(Progress("Counting", 0.5))
            while not GO.wait(0.002):
                if ticket.stopped():
                    raise Stopped
            return "counted"

        self.job = self.session.jobs.start("Counting patches", work, self.label.setText)


import threading

GO = threading.Event()
'''


@pytest.fixture
def counter(qtbot, tmp_path, monkeypatch):
    """A folder with a panel and a line in the catalog; opens windows that have it."""
    folder = tmp_path / "more" / "counter"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text('"""The Counter panel."""\n')
    (folder / "panel.py").write_text(PANEL)
    monkeypatch.setattr(vitviz.app.panels, "__path__", [*vitviz.app.panels.__path__, str(tmp_path / "more")])
    line = PanelKind("counter", "Counter", "counter.panel:CounterPanel", "right")
    monkeypatch.setattr(catalog, "PANELS", (*catalog.PANELS, line))
    made = []

    def open_window():
        window = make_window(Settings(tmp_path / "window.ini"), "cpu")
        window.resize(1280, 800)
        window.show()
        qtbot.waitExposed(window)
        made.append(window)
        return window

    yield open_window
    for window in made:
        window.close()
        window.deleteLater()


def test_it_is_in_the_menu_follows_the_session_and_its_choice_is_undone_and_remembered(
    counter, qtbot, model, photo
):
    window = counter()
    show(window, qtbot, photo, model)
    dock = window.docks.dock("counter")
    assert dock.toggleViewAction() in [
        action for menu in window.menu_bar.actions() for action in menu.menu().actions()
    ]
    dock.toggleViewAction().trigger()
    qtbot.waitUntil(lambda: dock.panel.isVisible())
    panel = dock.panel
    qtbot.waitUntil(lambda: panel.shown().caption == "64")
    box = QPoint(8, panel.rows.height() // 2)
    QTest.mouseClick(panel.rows, Qt.MouseButton.LeftButton, pos=box)
    assert panel.shown().caption == "8"
    window.commands["undo"].trigger()
    assert (panel.shown().caption, panel.rows.isChecked()) == ("64", False)
    window.commands["redo"].trigger()
    assert panel.shown().caption == "8"
    window.close()
    again = counter()
    show(again, qtbot, photo, model)
    other = again.docks.reveal("counter")
    qtbot.waitUntil(lambda: other.shown().caption == "8")
    assert other.rows.isChecked()


def test_it_starts_a_job_with_progress_a_cancel_and_a_result(counter, qtbot, model, photo):
    window = counter()
    show(window, qtbot, photo, model)
    panel = window.docks.reveal("counter")
    qtbot.waitUntil(panel.isVisible)
    assert not window.jobs.isVisible()
    go: threading.Event = __import__("sys").modules[type(panel).__module__].GO

    def start():
        QTest.mouseClick(panel.count, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: panel.job.progress.done == 0.5)
        assert window.jobs.isVisible()
        assert "Counting patches" in window.jobs.text.text()
        assert window.jobs.bar.value() == 500
        assert window.commands["cancel"].isEnabled()

    start()
    QTest.mouseClick(window.jobs.cancel, Qt.MouseButton.LeftButton)
    assert (panel.job.state, window.jobs.isVisible()) == ("cancelled", False)
    assert not window.commands["cancel"].isEnabled()
    start()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    QTest.keyClick(window.photo.canvas, Qt.Key.Key_Period, Qt.KeyboardModifier.ControlModifier)
    assert panel.job.state == "cancelled"
    assert panel.shown().caption == "64"
    start()
    go.set()
    qtbot.waitUntil(lambda: panel.shown().caption == "counted")
    assert (panel.job.state, window.jobs.isVisible()) == ("finished", False)
