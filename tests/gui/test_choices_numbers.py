"""What is chosen in the panels of numbers: by a real click or key, undone, and there again in the next window."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from PySide6.QtCore import QEvent, QPoint, Qt
from steps import opened, settled, show

from vitviz.app.main import make_window
from vitviz.app.settings import Settings
from vitviz.models.loading import load_model
from vitviz.models.model import Model

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture(scope="module")
def distilled() -> Model:
    """A DeiT with a class head and a distillation head."""
    import timm
    import torch

    torch.manual_seed(4)
    options = {"img_size": 64, "patch_size": 16, "depth": 2, "num_classes": 9}
    return load_model(timm.create_model("deit_tiny_distilled_patch16_224", **options), device="cpu")


@dataclass(frozen=True)
class Case:
    """A panel, how something is chosen in it, and what then holds: in the view, at the control, in what is drawn."""

    panel: str
    choose: Callable[[Any, Any], None]
    held: Callable[[Any], object]
    """What the view has of it."""
    control: Callable[[Any], object]
    drawn: Callable[[Any], object]
    model: str = "model"


def press(control: str, key: str) -> Callable[[Any, Any], None]:
    """A click on one of several choices side by side."""

    def click(panel, qtbot) -> None:
        choices = getattr(panel, control)
        qtbot.mouseClick(choices, LEFT, pos=choices.cell(key).center().toPoint())

    return click


def read_by_class_head(panel, qtbot) -> None:
    """The head is chosen in the panel of predictions, which lies in the same place as the logit lens."""
    window = panel.window()
    press("heads", "class")(opened(window, qtbot, "predictions"), qtbot)
    opened(window, qtbot, "lens")


def curves(panel) -> list[tuple[str, tuple[float, ...]]]:
    """Each curve that is drawn, as a name and its values."""
    return [(line.label, tuple(line.ys)) for chart in panel.shown().charts for line in chart.lines]


def compare_rollout(panel, qtbot) -> None:
    """A click on its check mark."""
    place = [row.key for row in panel.shown().rows].index("rollout")
    box = panel.list.visualItemRect(panel.list.topLevelItem(place))
    qtbot.mouseClick(panel.list.viewport(), LEFT, pos=QPoint(10, box.center().y()))


CASES = {
    "the head of a distilled model": Case(
        "predictions",
        press("heads", "distillation"),
        lambda view: view.class_head,
        lambda panel: panel.heads.current,
        lambda panel: [bar.share for bar in panel.shown().bars][:3],  # how many fit is the layout's
        model="distilled",
    ),
    "the head that the logit lens reads": Case(
        "lens",
        read_by_class_head,
        lambda view: view.class_head,
        lambda panel: panel.shown().head,
        lambda panel: (panel.shown().caption, panel.shown().cells.words[:3]),
        model="distilled",
    ),
    "the quantity of the statistics": Case(
        "statistics",
        lambda panel, qtbot: qtbot.keyClick(panel.quantity, Qt.Key.Key_End),
        lambda view: view.panels.get("statistics", {}).get("quantity", "distance"),
        lambda panel: panel.quantity.currentText(),
        lambda panel: (panel.shown().quantity, [layer.tolist() for layer in panel.shown().dots.values]),
    ),
    "the scale of the matrix of tokens": Case(
        "tokens",
        press("scale", "linear"),
        lambda view: view.panels.get("tokens", {}).get("log", True),
        lambda panel: panel.scale.current,
        lambda panel: panel.shown().picture.cells.tolist(),
    ),
    "the window of the matrix of tokens": Case(
        "tokens",
        lambda panel, qtbot: qtbot.keyClick(panel.windows, Qt.Key.Key_End),
        lambda view: view.panels.get("tokens", {}).get("window"),
        lambda panel: panel.windows.currentText(),
        lambda panel: (panel.shown().picture.matrix.asked, panel.shown().caption),
        model="swin",
    ),
    "what stands where patches are removed": Case(
        "faithfulness",
        press("replacement", "blur"),
        lambda view: view.panels.get("faithfulness", {}).get("replacement", "mean"),
        lambda panel: panel.replacement.current,
        curves,
    ),
    "the methods whose curves are drawn": Case(
        "faithfulness",
        compare_rollout,
        lambda view: view.panels.get("faithfulness", {}).get("compared", ()),
        lambda panel: [row.key for row in panel.shown().rows if row.checked],
        curves,
    ),
}


def test_a_window_that_a_layer_lacks_is_the_querys_own_and_is_not_lost(window, qtbot, photo, swin):
    show(window, qtbot, photo, swin)
    panel, session = opened(window, qtbot, "tokens"), window.session
    session.change(layer=0)
    qtbot.waitUntil(lambda: settled(panel))
    qtbot.keyClick(panel.windows, Qt.Key.Key_End)
    qtbot.waitUntil(lambda: settled(panel))
    last = panel.shown().picture.matrix.asked.window
    assert last == len(session.trace.layers[0].layout.windows.index) - 1
    session.change(layer=3)  # of fewer windows
    qtbot.waitUntil(lambda: settled(panel))
    assert panel.shown().picture.matrix.asked.window == 0
    assert panel.windows.currentText() == "the query's window"
    session.change(layer=0)
    qtbot.waitUntil(lambda: settled(panel))
    assert panel.shown().picture.matrix.asked.window == last
    assert panel.windows.currentText() == f"window {last}"


def test_a_quantity_that_a_model_lacks_is_the_first_one_and_is_not_lost(window, qtbot, photo, model, swin):
    show(window, qtbot, photo, model)
    panel = opened(window, qtbot, "statistics")
    qtbot.keyClick(panel.quantity, Qt.Key.Key_End)
    assert panel.shown().quantity == "prefix 0"
    for other, quantity, entry in (
        (swin, "distance", "mean attention distance"),
        (model, "prefix 0", "share on the class token"),
    ):
        show(window, qtbot, photo, other)
        qtbot.waitUntil(lambda: settled(panel))
        assert panel.shown().quantity == quantity
        assert panel.quantity.currentText() == entry


@pytest.mark.parametrize("name", CASES)
def test_a_choice_is_kept_undone_and_remembered(window, qtbot, qapp, photo, request, name):
    case = CASES[name]
    model = request.getfixturevalue(case.model)
    show(window, qtbot, photo, model)
    panel = opened(window, qtbot, case.panel)

    def state(of) -> tuple[object, object, object]:
        there = of.panel(case.panel)
        qtbot.waitUntil(lambda: settled(there), timeout=20_000)
        return case.held(of.session.view), case.control(there), case.drawn(there)

    before = state(window)
    case.choose(panel, qtbot)
    chosen = state(window)
    assert all(one != other for one, other in zip(before, chosen, strict=True))
    window.session.undo()
    assert state(window) == before
    window.session.redo()
    assert state(window) == chosen
    window.close()
    again = make_window(Settings(window.settings.path), "cpu")
    try:
        again.show()
        qtbot.waitExposed(again)
        show(again, qtbot, photo, model)
        opened(again, qtbot, case.panel)
        assert state(again) == chosen
    finally:
        again.close()
        again.deleteLater()
        qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
