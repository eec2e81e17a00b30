"""Whatever is shown, the window fits on a small screen: what has no room is wrapped or scrolled to."""

import pytest
import user_input
from PySide6.QtCore import QSize
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QApplication, QScrollArea, QStyleOptionViewItem
from steps import dock_of, show

from vitviz.app.main import start
from vitviz.app.panels import catalog
from vitviz.app.widgets.charts.score_list import ScoreList

SIZES = [(1024, 700), (1280, 720), (960, 504)]
"""In logical pixels; the last is a screen of 1920×1080 at 200 %, less a title bar."""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("which", ["vit", "swin"])
def test_no_panel_makes_the_window_larger(window, qtbot, photo, model, swin, size, which):
    window.resize(*size)
    show(window, qtbot, photo, {"vit": model, "swin": swin}[which])
    for kind in catalog.PANELS:
        panel = window.docks.reveal(kind.name)
        qtbot.waitUntil(lambda panel=panel: panel.isVisible() and not panel.busy, timeout=20_000)
        QApplication.processEvents()
        assert window.size() == QSize(*size), kind.name
    for key in "1234567":
        user_input.press(window, key)
        qtbot.wait(20)
        assert window.size() == QSize(*size), window.session.view.method
    window.stage.compare(photo=photo)
    qtbot.waitUntil(lambda: not window.stage.working, timeout=20_000)
    qtbot.wait(50)
    assert window.size() == QSize(*size)


def test_the_controls_wrap_and_stay_whole(shown, qtbot):
    tools, controls = shown.tools, shown.photo.controls
    shown.resize(1280, 700)
    qtbot.waitUntil(lambda: tools.direction.y() == tools.open.y())
    shown.resize(640, 700)
    qtbot.waitUntil(lambda: tools.direction.y() > tools.open.geometry().bottom())
    qtbot.waitUntil(lambda: controls.scale.y() > controls.opacity.geometry().bottom())
    for widget in (tools.open, tools.model, tools.method, tools.options, tools.direction, tools.save):
        assert shown.rect().contains(widget.mapTo(shown, widget.rect().bottomRight()))
        assert widget.width() >= widget.sizeHint().width()
    for widget in (controls.opacity, controls.style_, controls.colormap, controls.grid, controls.scale):
        assert shown.stage.rect().contains(widget.mapTo(shown.stage, widget.rect().bottomRight()))


def test_a_panel_without_room_is_scrolled_and_one_with_room_is_not(shown, qtbot):
    panel = shown.docks.reveal("statistics")
    area = shown.docks.dock("statistics").findChild(QScrollArea)
    for size, scrolled in ((QSize(1600, 1000), False), (QSize(960, 504), True)):
        shown.resize(size)
        qtbot.wait(50)
        qtbot.waitUntil(lambda scrolled=scrolled: (area.verticalScrollBar().maximum() > 0) is scrolled)
        assert panel.height() >= panel.minimumSizeHint().height()
    assert panel.height() > area.viewport().height()


@pytest.mark.parametrize("size", [(1280, 690), (1024, 640), (1600, 1000)])
def test_the_welcome_card_is_whole_in_windows_of_any_size(window, size):
    welcome = window.photo.welcome
    for before in ((1500, 900), size):
        window.resize(*before)
        QApplication.processEvents()
        QApplication.processEvents()
    assert welcome.isVisible()
    assert window.photo.canvas.rect().contains(welcome.geometry())
    assert all(button.isVisible() for button in welcome.scenes[:4])
    assert welcome.tip.isVisible() == (size[1] == 1000)


def test_an_empty_statistics_panel_has_room_for_its_message(window, qtbot):
    dock = dock_of(window, "statistics")
    dock.show()
    dock.raise_()
    panel = window.panel("statistics")
    qtbot.waitUntil(panel.empty.isVisible)
    assert not any(part.isVisible() for part in (panel.quantity, panel.matrix, panel.over, panel.export))
    assert panel.plot.width() > 0.9 * panel.width()


def test_at_a_first_start_on_a_small_screen_the_offers_take_one_line(window, qtbot):
    window.resize(1280, 690)
    with qtbot.waitSignal(window.session.trace_changed, timeout=60_000):
        start(window, None, None)
    qtbot.waitUntil(lambda: window.session.busy is None)
    offers, photo = window.first_start, window.session.photo
    qtbot.waitUntil(lambda: offers.height() < 60)
    assert window.photo.canvas.viewport.scale * photo.height > 220
    assert offers.zone.button.isVisible()
    assert all(model.isVisible() for model in offers.models)
    window.resize(1280, 900)
    qtbot.waitUntil(lambda: offers.height() > 80)
    assert offers.tip.isVisible()


@pytest.mark.parametrize("which", ["vit", "swin"])
def test_no_panel_is_scrolled_sideways_on_the_smallest_screen(window, qtbot, photo, model, swin, which):
    window.resize(*SIZES[-1])
    show(window, qtbot, photo, {"vit": model, "swin": swin}[which])
    window.docks.reset_layout()
    for kind in catalog.PANELS:
        panel = window.docks.reveal(kind.name)
        qtbot.waitUntil(lambda panel=panel: panel.isVisible() and not panel.busy, timeout=20_000)
        bar = window.docks.dock(kind.name).findChild(QScrollArea).horizontalScrollBar()
        qtbot.waitUntil(lambda bar=bar: bar.maximum() == 0)


def test_on_the_smallest_screen_the_photo_is_larger_than_its_margins(window, qtbot, photo, model):
    window.resize(*SIZES[-1])
    window.docks.reset_layout()
    show(window, qtbot, photo, model)
    canvas = window.photo.canvas
    qtbot.waitUntil(lambda: canvas.height() >= 120)
    view = canvas.viewport
    assert 100 * view.scale > 0.75 * canvas.height()  # the photo is 100 pixels high


def test_a_row_of_choices_gives_room_beside_its_labels_away_and_no_letter(shown, qtbot):
    mode = shown.docks.reveal("positions").mode
    wide, words = mode.sizeHint().width(), mode.minimumSizeHint().width()
    assert words < wide
    for width in (wide, (wide + words) // 2, words):
        mode.resize(width, mode.height())
        cells = [mode.cell(key) for key in ("similarity", "components", "norm", "split", "bias")]
        assert cells[0].left() == 0
        assert width - 12 < cells[-1].right() <= width
        labels = [mode.fontMetrics().horizontalAdvance(word) for word in ("similarity", "length")]
        assert cells[0].width() >= labels[0]
        assert cells[2].width() >= labels[1]


def test_the_names_of_methods_are_whole_in_faithfulness(window, qtbot, photo, model):
    window.resize(1024, 700)
    show(window, qtbot, photo, model)
    panel = window.docks.reveal("faithfulness")
    qtbot.waitUntil(lambda: panel.isVisible() and not panel.busy, timeout=20_000)
    QApplication.processEvents()
    scores = panel.findChild(ScoreList)
    option = QStyleOptionViewItem()
    option.initFrom(scores)
    option.decorationSize = scores.iconSize()
    for row in range(scores.topLevelItemCount()):
        needed = scores.itemDelegate().sizeHint(option, scores.model().index(row, 0)).width()
        assert needed <= scores.columnWidth(0), scores.topLevelItem(row).text(0)
        for column in (1, 2):
            text = scores.topLevelItem(row).text(column)
            metrics = QFontMetrics(scores.topLevelItem(row).font(column))
            assert metrics.horizontalAdvance(text) < scores.columnWidth(column), text
