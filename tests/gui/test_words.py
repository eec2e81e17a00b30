"""Sentences over the panels: two lines before anything is cut, and nothing that jumps under the pointer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QGuiApplication, QPainter, QPixmap
from PySide6.QtWidgets import QVBoxLayout, QWidget

from vitviz.app.panels.catalog import PANELS
from vitviz.app.ui import theme
from vitviz.app.widgets.base.title_bar import ElidedLabel, Quiet, broken
from vitviz.app.widgets.charts.bar_list import Bar, BarList
from vitviz.app.widgets.matrix.heat_table import Cell, HeatCells, HeatTable
from vitviz.app.widgets.mosaic.labels import Labels, draw
from vitviz.app.widgets.mosaic.layout import plan
from vitviz.render.colors import lookup_table

WORDS = st.lists(st.text("abcdefg(),", min_size=1, max_size=12), min_size=1, max_size=12).map(" ".join)


@given(text=WORDS, width=st.integers(20, 400), most=st.integers(1, 3))
def test_a_text_is_broken_between_words_and_only_then_cut(qapp, text, width, most):
    metrics = QFontMetrics(QGuiApplication.font())
    lines = broken(text, metrics, width, most)
    assert 1 <= len(lines) <= most
    assert all(metrics.horizontalAdvance(line) <= width for line in lines)
    if not lines[-1].endswith("…"):
        assert " ".join(lines) == text
    elif len(lines) > 1:
        assert text.startswith(" ".join(lines[:-1]) + " ")


def test_a_dot_between_two_sentences_begins_and_ends_no_line(qapp):
    metrics = QFontMetrics(QFont())
    text = "What patch (6, 5) attends to · logarithmic"
    for width in range(60, metrics.horizontalAdvance(text)):
        lines = broken(text, metrics, width, 3)
        assert not [line for line in lines if line.startswith("·") or line.endswith("·")], width


def test_what_belongs_together_stays_in_one_line_where_it_can(qapp):
    metrics = QFontMetrics(QFont())
    for text in (
        "in blocks.11.attn, mean of 3 heads · 197 × 197 tokens",
        "in blocks.11.attn, the mean of 3 heads",
    ):
        width = metrics.horizontalAdvance(text) - 4
        head, _, rest = text.rpartition(" · ")
        head, rest = (head, rest) if head else (text[:18], text[19:])
        assert broken(text, metrics, width, 2) == [head, rest]


def test_row_and_column_of_a_patch_stay_together(qapp):
    metrics = QFontMetrics(QFont())
    text = "token (3, 3) ← 4 of 15×15 ← 16 of 30×30"
    for width in range(metrics.horizontalAdvance("token (3, 3)"), metrics.horizontalAdvance(text)):
        assert "(3, 3)" in broken(text, metrics, width, 3)[0]


@pytest.fixture
def column(qtbot):
    """A narrow column with a label of up to two lines."""
    widget, label = QWidget(), Quiet()
    layout = QVBoxLayout(widget)
    layout.addWidget(label)
    layout.addStretch(1)
    widget.resize(180, 200)
    widget.show()
    qtbot.waitExposed(widget)
    yield widget, label
    widget.close()
    widget.deleteLater()


def test_a_line_more_is_taken_where_it_is_needed_and_kept_while_the_pointer_moves(column, qtbot):
    widget, label = column
    one = label.height()
    label.set_text("What the class token attends to in blocks.11.attn, head 2")
    qtbot.waitUntil(lambda: label.height() == 2 * one)
    assert len(label.lines()) == 2
    label.set_text("layer 3")
    qtbot.wait(20)
    assert label.height() == 2 * one  # what lies below stays where it is
    widget.resize(400, 200)
    qtbot.waitUntil(lambda: label.height() == one)
    widget.resize(180, 200)
    label.set_text("What the class token attends to in blocks.11.attn, head 2")
    qtbot.waitUntil(lambda: label.height() == 2 * one)
    label.set_text("")
    qtbot.waitUntil(lambda: label.height() == one)


@pytest.mark.parametrize("name", [kind.name for kind in PANELS])
def test_no_sentence_over_a_panel_is_cut(shown, qtbot, name):
    dock = next(dock for dock in shown.docks if dock.kind.name == name)
    dock.show()
    dock.raise_()
    qtbot.waitUntil(dock.panel.isVisible)
    shown.session.pin((4, 5))
    said = [label for label in dock.panel.findChildren(Quiet) if label.isVisible() and label.whole]
    cut = [label.whole for label in said if label.lines()[-1].endswith("…") and not label.whole.endswith("…")]
    assert not cut


def test_larger_type_is_broken_elsewhere(column, qtbot):
    _, label = column
    label.set_text("What patch (6, 5) attends")
    qtbot.waitUntil(lambda: len(label.lines()) == 1)
    font = label.font()
    font.setPointSizeF(font.pointSizeF() * 1.6)
    label.setFont(font)
    qtbot.waitUntil(lambda: label.height() >= 2 * QFontMetrics(font).height())
    assert len(label.lines()) == 2


def test_a_title_has_one_line_and_gives_way(qapp):
    title = ElidedLabel()
    title.resize(60, 20)
    title.set_text("What patch (6, 5) attends to")
    assert len(title.lines()) == 1
    assert title.lines()[0].endswith("…")
    assert title.whole == title.accessibleName()
    assert title.alignment() & Qt.AlignmentFlag.AlignVCenter


def test_numbers_of_low_rows_are_whole(qtbot):
    """As beside the 24 × 24 heads of a Swin's last layers."""
    view = HeatTable()
    names = tuple(str(number) for number in range(24))
    view.set_colors(lookup_table("viridis"))
    view.set_table(HeatCells(np.eye(24), names, names, square=True))
    view.resize(200, 150)
    view.show()
    qtbot.waitExposed(view)
    image = view.grab().toImage()
    beside = int(view.box(Cell(0, None)).right()) - 8
    blank = image.pixelColor(0, 0)
    inked = [y for y in range(150) if any(image.pixelColor(x, y) != blank for x in range(beside))]
    view.close()
    view.deleteLater()
    numbers = np.split(inked, np.flatnonzero(np.diff(inked) > 1) + 1)
    assert len(numbers) >= 5
    assert min(map(len, numbers)) >= QFontMetrics(theme.small()).capHeight()


def test_numbers_beside_folded_layers_have_room(qapp):
    placed = plan((3, 3, 6, 6, *[12] * 6, 24, 24), 1.0, 380, 420)
    metrics = QFontMetrics(theme.small())
    folded = [spot for layer in range(12) for spot in placed.continued(layer)]
    assert folded
    for first, (_, _, width, _) in folded:
        assert metrics.horizontalAdvance(f"h{first}") <= width


def test_in_a_narrow_list_a_name_is_written_and_its_note_gives_way(qtbot):
    bars = BarList()
    qtbot.addWidget(bars)
    bars.resize(240, 100)
    bars.rows.set_bars([Bar("Siamese cat", 0.001, note="284 · rank 1,020")])
    bars.show()
    qtbot.waitExposed(bars)
    noted = bars.grab().toImage()
    bars.rows.set_bars([Bar("Siamese cat", 0.001)])
    bare = bars.grab().toImage()
    # The name stands where it stands without a note, and is as long.
    room = QRect(28, 0, QFontMetrics(theme.body()).horizontalAdvance("Siamese cat"), 28)
    assert noted.copy(room) == bare.copy(room)


def test_labels_of_stages_and_folds_are_written_where_they_have_room(qapp):
    """In the large type of a presentation they would run into each other."""
    placed = plan((3, 3, 6, 6, *[12] * 6, 24, 24), 1.0, 460, 380)
    assert not placed.turned
    labels = Labels(stages=("60×60",) * 2 + ("30×30",) * 2 + ("15×15",) * 6 + ("8×8",) * 2)
    for size, written in ((8, True), (30, False)):
        picture = QPixmap(placed.size[1], placed.size[0])
        painter = _Noting(picture)
        font = QFont()
        font.setPixelSize(size)
        painter.setFont(font)
        draw(painter, placed, labels, theme.LIGHT)
        painter.end()
        assert ("60×60" in painter.words) == written
        assert ("h12" in painter.words) == written


class _Noting(QPainter):
    """Notes what is written."""

    def __init__(self, on):
        super().__init__(on)
        self.words = []

    def drawText(self, box, flags, text):  # noqa: N802
        self.words.append(text)


@pytest.mark.parametrize("wide", [19, 28, 60])
def test_a_dot_beside_or_above_a_number_hides_nothing_of_it(qtbot, wide):
    """However narrow: ink of the dot and of the number, each alone, is as much as that of both."""

    def ink(words: str, dotted: bool) -> int:
        table = HeatCells(
            np.zeros((1, 12)), ("one",), tuple("abcdefghijkl"), words=((words, *[""] * 11),),
            dotted=((0, 0),) if dotted else (),
        )  # fmt: skip
        view.set_table(table)
        box = view.box(Cell(0, 0)).toRect().adjusted(1, 1, -2, -2)
        image = view.grab(box).toImage()
        grey = [
            QColor(image.pixel(x, y)).lightness() for x in range(box.width()) for y in range(box.height())
        ]
        return sum(grey) - len(grey) * min(grey)

    view = HeatTable()
    qtbot.addWidget(view)
    view.set_colors(np.zeros((256, 3), np.uint8))
    view.resize(400, 120)
    view.show()
    ink("", dotted=False)
    view.resize(400 + round(12 * (wide - view.box(Cell(0, 0)).width())), 120)
    assert abs(view.box(Cell(0, 0)).width() - wide) < 2
    number, dot, both = ink("93", dotted=False), ink("", dotted=True), ink("93", dotted=True)
    assert number > 0
    assert both > number + 0.4 * dot  # above a number it is smaller
