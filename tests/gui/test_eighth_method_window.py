"""A method that is added as README says can be chosen in the window, by its number key too, and every panel shows it."""

import hands
import numpy as np
import pytest
from eighth_method import added
from steps import show

from vitviz.app.commands import sheet
from vitviz.app.main import make_window
from vitviz.app.panels.catalog import PANELS
from vitviz.app.panels.faithfulness import scoring
from vitviz.app.settings import Settings
from vitviz.explain import explain


@pytest.fixture
def shown(qtbot, tmp_path, model, photo):
    """A window that was made when there were eight methods."""
    with added():
        window = make_window(Settings(tmp_path / "settings" / "window.ini"), "cpu")
        window.resize(1280, 800)
        window.show()
        qtbot.waitExposed(window)
        show(window, qtbot, photo, model)
        yield window
        window.close()
        window.deleteLater()


@pytest.fixture
def failures(shown):
    """Everything that the session reports as failed."""
    told: list[object] = []
    shown.session.failed.connect(told.append)
    return told


def chosen(shown, qtbot, key, name):
    shown.activateWindow()
    shown.photo.canvas.setFocus()
    hands.press(shown, key)
    qtbot.waitUntil(lambda: shown.session.heatmap.method == name, timeout=20_000)


def test_its_number_key_chooses_it_with_every_panel_open(shown, qtbot, failures, monkeypatch):
    monkeypatch.setattr(scoring, "STEPS", 4)
    monkeypatch.setattr(scoring, "ORDERS", 2)
    for kind in PANELS:
        dock = next(one for one in shown.docks if one.kind.name == kind.name)
        dock.show()
        dock.raise_()
        qtbot.waitUntil(lambda dock=dock: dock.panel.isVisible())
        chosen(shown, qtbot, "1", "attention")
        chosen(shown, qtbot, "8", "power")
        qtbot.wait(100)
    assert shown.tools.method.text() == "Power of attention"
    trace = shown.session.trace
    asked = shown.session.selection  # a panel that came up under the pointer may preview a layer or a query
    wanted = explain(trace, "power", layer=asked.layer, query=asked.query).values
    np.testing.assert_allclose(shown.session.heatmap.values, wanted, rtol=1e-5)
    curves = shown.panel("faithfulness").view
    qtbot.waitUntil(lambda: len(curves.plots) == 2 and len(curves.plots[0].lines) == 2, timeout=20_000)
    for plot in curves.plots:
        assert [line.label for line in plot.lines] == ["Power of attention", "Random order"]
        assert plot.lines[0].strong
    row = shown.panel("faithfulness").list.topLevelItem(7)
    assert [row.text(0), row.text(1)] == ["Power of attention", curves.plots[0].lines[0].number]
    shown.session.change(method="attention")
    shown.session.change_panel("faithfulness", compared=("power",))
    qtbot.waitUntil(lambda: len(curves.plots[0].lines) == 3, timeout=20_000)
    assert [line.label for line in curves.plots[0].lines] == [
        "Attention",
        "Power of attention",
        "Random order",
    ]
    assert len({line.dashes for line in curves.plots[0].lines}) == 3
    assert not failures
    assert not shown.notice.isVisible()


def test_its_command_is_on_the_sheet_of_keys_and_its_options_are_offered(shown, qtbot):
    assert ("Method", "Power of attention", "8") in sheet()
    shown.commands["method_power"].trigger()
    qtbot.waitUntil(lambda: shown.session.heatmap.method == "power", timeout=20_000)
    shown.session.set_option("cube", True)
    wanted = explain(shown.session.trace, "power", layer=shown.session.view.layer, cube=True).values
    qtbot.waitUntil(lambda: shown.session.heatmap.options["cube"] is True, timeout=20_000)
    np.testing.assert_allclose(shown.session.heatmap.values, wanted, rtol=1e-5)
    assert shown.tools.options.text() == "third power"
