"""The presentation: what is large, what its line says, the size of every text, and the way back."""

from dataclasses import dataclass
from itertools import combinations
from xml.etree import ElementTree

import pytest
import user_input
from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontInfo, QFontMetricsF
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox, QLabel, QWidget
from steps import picture, show

from vitviz.app.panels import catalog
from vitviz.app.ui import theme
from vitviz.app.widgets.base.hover_view import HoverView
from vitviz.app.widgets.base.title_bar import ElidedLabel
from vitviz.app.window import panel_keys

SIZES = [(1280, 720), (1920, 1080), (960, 540)]
"""Screens in logical pixels; the last is one of 1920×1080 at 200 %."""
SVG = "{http://www.w3.org/2000/svg}"
LEAST = 0.02
"""Of the height of the screen, for every text."""


@pytest.fixture
def presented(window, qtbot, photo, model):
    """The window in a presentation."""
    show(window, qtbot, photo, model)
    window.photo.canvas.setFocus()
    user_input.press(window, "F11")
    return window


def fit(window, qtbot, size) -> None:
    """Give the window the size of a screen."""
    window.resize(*size)
    qtbot.waitUntil(lambda: abs(window.photo.width() / size[0] - 0.64) < 0.02)


def press_key_of(window, qtbot, name: str) -> QWidget:
    """Press a panel's key and wait until it has its content."""
    number = 1 + [kind.name for kind in catalog.PANELS].index(name)
    user_input.press(window, panel_keys.key_of(number))
    panel = window.panel(name)
    qtbot.waitUntil(lambda: panel.isVisible() and not panel.busy, timeout=30_000)
    qtbot.wait(20)
    return panel


@dataclass(frozen=True)
class Text:
    """A text as it is drawn: the height of its font, and the box of its letters if it is not turned."""

    words: str
    size: float
    box: QRectF | None


def drawn(widget: QWidget) -> list[Text]:
    """The texts that a widget and its children draw, read from the widget drawn as SVG."""
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    svg = QSvgGenerator()
    svg.setOutputDevice(buffer)
    svg.setSize(widget.size())
    svg.setResolution(96)
    widget.render(svg)
    buffer.close()
    found = []
    for group in ElementTree.fromstring(bytes(data.data())).iter(f"{SVG}g"):
        for element in group.findall(f"{SVG}text"):
            words, size = (element.text or "").strip(), float(element.attrib["font-size"])
            a, b, c, d, left, top = map(float, group.attrib["transform"][7:-1].split(","))
            font = QFont(element.attrib["font-family"])
            font.setPixelSize(round(size))
            font.setWeight(QFont.Weight(int(element.attrib["font-weight"])))
            # Capital letters and digits are about 0.7 of the font's size high.
            box = QRectF(
                float(element.attrib["x"]),
                float(element.attrib["y"]) - 0.7 * size,
                QFontMetricsF(font).horizontalAdvance(words),
                0.7 * size,
            )
            straight = (a, b, c, d) == (1, 0, 0, 1)
            if words:
                found.append(Text(words, size, box.translated(left, top) if straight else None))
    return found


def overprinted(texts: list[Text]) -> list[tuple[str, str]]:
    """The pairs of texts that lie over each other; a text may be drawn twice in the same place, the second time bright."""
    placed = [text for text in texts if text.box is not None]
    return [
        (one.words, other.words)
        for one, other in combinations(placed, 2)
        if one.words != other.words and one.box.adjusted(1, 1, -1, -1).intersects(other.box)
    ]


def cut(window: QWidget) -> list[str]:
    """The visible labels and buttons whose text has no room."""
    found = []
    for label in window.findChildren(QLabel):
        if not label.isVisible() or not label.text() + getattr(label, "whole", ""):
            continue
        if isinstance(label, ElidedLabel):
            lines = label.lines()
            elided = any(line.endswith("…") for line in lines) and not label.whole.endswith("…")
            room = label.height() >= len(lines) * label.fontMetrics().height()
            if elided or not room:
                found.append(label.whole)
        elif label.wordWrap():
            if label.height() < label.heightForWidth(label.width()):
                found.append(label.text())
        elif label.width() < label.sizeHint().width():
            found.append(label.text())
    for button in window.findChildren(QAbstractButton):
        if button.isVisible() and button.text() and button.width() < button.sizeHint().width():
            found.append(button.text())
    return found


def views_of(widget: QWidget) -> list[HoverView]:
    """The visible views of a widget that paint their words themselves."""
    return [view for view in widget.findChildren(HoverView) if view.isVisible()]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("which", ["vit", "swin"])
def test_every_text_is_large_whole_and_apart_whatever_is_large(
    window, qtbot, photo, model, swin, size, which
):
    show(window, qtbot, photo, {"vit": model, "swin": swin}[which])
    window.photo.canvas.setFocus()
    user_input.press(window, "F11")
    fit(window, qtbot, size)
    least = LEAST * size[1]
    assert QFontInfo(theme.small()).pixelSize() >= least, "the font of what is drawn into kept pictures"
    assert window.photo.canvas.height() >= size[1] / 2
    for name in ("", *(kind.name for kind in catalog.PANELS)):
        panel = press_key_of(window, qtbot, name) if name else window.photo
        assert window.size() == QSize(*size), name
        small = {text.words: text.size for text in drawn(window) if text.size < least}
        assert not small, name
        qtbot.waitUntil(lambda: not cut(window))
        for view in views_of(panel):
            texts = drawn(view)
            assert not overprinted(texts), name
            for text in texts:
                inside = QRectF(view.rect()).adjusted(-2, -2, 2, 2)
                assert text.box is None or inside.contains(text.box), (name, text)


def test_the_largest_panel_is_wider_than_the_photo_and_its_key_gives_the_place_back(presented, qtbot):
    fit(presented, qtbot, (1280, 720))
    before = presented.photo.width()
    assert before > 0.6 * 1280
    for kind in catalog.PANELS:
        panel = press_key_of(presented, qtbot, kind.name)
        assert presented.presentation.on_stage == kind.name
        assert panel.width() > 0.6 * 1280
        assert panel.height() > 0.6 * 720 or panel.visibleRegion().boundingRect().height() > 0.6 * 720
        assert presented.photo.isVisible()
        visible = [dock.kind.name for dock in presented.docks if dock.isVisible()]
        assert visible == [kind.name]
    user_input.press(presented, panel_keys.key_of(len(catalog.PANELS)))
    qtbot.waitUntil(lambda: presented.photo.width() == before)
    press_key_of(presented, qtbot, "tokens")
    user_input.press(presented, panel_keys.PHOTO)
    qtbot.waitUntil(lambda: presented.photo.width() == before)
    assert presented.presentation.on_stage == ""


def test_the_line_names_model_photo_and_what_is_shown(presented, qtbot, at, model, photo):
    line = presented.presentation.caption
    trace = presented.session.trace
    names = f"{model.full_name} · {photo.name} · "
    assert (
        line.whole
        == f"{names}What the class token attends to in {trace.layers[-1].name}, the mean of 3 heads"
    )
    assert not presented.photo.title.isVisible()
    user_input.point(presented.photo.canvas, at(presented, 2, 5))
    assert line.whole.startswith(f"{names}What patch (2, 5) attends to")
    heads = press_key_of(presented, qtbot, "heads")
    assert line.whole == f"{names}Heads · {heads.shown().caption}"
    assert not heads.says.isVisible()
    user_input.point(presented.photo.canvas, at(presented, 3, 1))
    qtbot.waitUntil(lambda: "(3, 1)" in line.whole)
    assert line.whole == f"{names}Heads · {heads.shown().caption}"
    user_input.press(presented, "F11")
    assert heads.says.isVisible()
    assert presented.photo.title.isVisible()
    assert not line.isVisible()


def test_the_line_follows_the_next_photo(presented, qtbot, tmp_path):
    second = picture(tmp_path / "second.png", (90, 70))
    with qtbot.waitSignal(presented.session.trace_changed, timeout=20_000):
        presented.open_path(second)
    qtbot.waitUntil(lambda: "second.png" in presented.presentation.caption.whole)
    assert "wide.png" not in presented.presentation.caption.whole


def test_long_names_are_wrapped_at_their_joints(qtbot):
    label = ElidedLabel()
    qtbot.addWidget(label)
    label.show_whole(True)
    label.set_text("swin_tiny_patch4_window7_224")
    label.resize(label.fontMetrics().horizontalAdvance("swin_tiny_patch4_w"), 100)
    assert label.lines() == ["swin_tiny_patch4_", "window7_224"]
    label.resize(4, 100)
    assert label.lines() == [label.fontMetrics().elidedText(label.whole, Qt.TextElideMode.ElideRight, 4)]


def test_in_a_comparison_each_photo_keeps_its_caption(presented, qtbot, tmp_path):
    presented.stage.compare(photo=picture(tmp_path / "second.png", (90, 60)))
    qtbot.waitUntil(lambda: not presented.stage.working, timeout=20_000)
    assert presented.photo.title.isVisible()
    assert not presented.presentation.line.isVisible()
    presented.stage.end()
    assert not presented.photo.title.isVisible()
    assert presented.presentation.line.isVisible()


def test_escape_unpins_then_returns_to_the_photo_then_leaves(presented, qtbot, at):
    session = presented.session
    user_input.click(presented.photo.canvas, at(presented, 2, 5))
    press_key_of(presented, qtbot, "heads")
    assert session.view.pinned
    user_input.press(presented, "Esc")
    assert not session.view.pinned
    assert presented.presentation.on_stage == "heads"
    user_input.press(presented, "Esc")
    assert presented.presentation.on
    assert presented.presentation.on_stage == ""
    user_input.press(presented, "Esc")
    assert not presented.presentation.on
    assert not presented.isFullScreen()


def test_space_plays_the_layers_and_the_photo_keeps_its_size(presented, qtbot):
    session = presented.session
    fit(presented, qtbot, (1280, 720))
    before, layer = presented.photo.canvas.size(), session.view.layer
    user_input.press(presented, "Space")
    qtbot.waitUntil(lambda: session.view.layer != layer)
    assert presented.photo.canvas.size() == before
    user_input.press(presented, "Space")
    assert not presented.panel("layers").playing


def layout(window) -> list[tuple[object, ...]]:
    """What can be seen of the docks."""
    return [
        (
            dock.kind.name,
            dock.isFloating(),
            window.dockWidgetArea(dock),
            dock.visibleRegion().isEmpty() or dock.size(),  # the size of a hidden tab is an old one
            dock.titleBarWidget().isVisible(),
        )
        for dock in window.docks
        if dock.isVisible()
    ]


@pytest.mark.parametrize("last", ["", "layers", "windows", "tokens", "positions"])
def test_after_a_presentation_the_window_is_as_before(window, qtbot, photo, swin, last):
    show(window, qtbot, photo, swin)
    window.resize(1280, 720)
    for name in ("windows", "statistics"):
        window.docks.reveal(name)
    qtbot.wait(50)
    user_input.click(window.docks.dock("statistics").titleBarWidget().float_button)
    window.docks.reveal("heads")
    qtbot.wait(100)
    before, geometry = layout(window), window.geometry()
    assert [name for name, floating, *_ in before if floating] == ["statistics"]
    window.photo.canvas.setFocus()
    for _ in range(2):
        user_input.press(window, "F11")
        fit(window, qtbot, (1920, 1080))
        for name in dict.fromkeys(("statistics", "layers", *filter(None, [last]))):
            press_key_of(window, qtbot, name)
        user_input.press(window, "F11")
        window.setGeometry(geometry)  # which a window manager does
        qtbot.waitUntil(lambda: layout(window) == before, timeout=3000)
        assert window.geometry() == geometry
    assert theme.scale() == 1


def test_outside_a_presentation_the_keys_go_to_panels_and_photo(shown, qtbot):
    shown.photo.canvas.setFocus()
    press_key_of(shown, qtbot, "tokens")
    qtbot.waitUntil(lambda: shown.docks.focused() is shown.docks.dock("tokens"))
    user_input.press(shown, panel_keys.PHOTO)
    qtbot.waitUntil(lambda: QApplication.focusWidget() is shown.photo.canvas)
    assert shown.docks.dock("tokens").isVisible()


def test_the_keys_are_in_the_menu_and_in_the_list_of_shortcuts(shown, qtbot):
    user_input.press(shown, "F1")
    listed = {label.text() for label in shown.shortcuts.findChildren(QLabel)}
    keys = [panel_keys.key_of(number) for number in range(1, len(catalog.PANELS) + 1)]
    assert listed >= {*keys, panel_keys.PHOTO, *(kind.title for kind in catalog.PANELS)}
    user_input.press(shown, "Esc")
    assert user_input.pick(shown.menu_bar, ["Panels", "Go to", "Layers"])
    qtbot.waitUntil(lambda: shown.docks.focused() is shown.docks.dock("layers"))


@pytest.fixture
def compared(presented, qtbot, tmp_path):
    """A comparison of two photos that began in the presentation."""
    presented.stage.compare(photo=picture(tmp_path / "second.png", (90, 60)))
    qtbot.waitUntil(lambda: not presented.stage.working, timeout=20_000)
    return presented


def test_the_line_is_of_the_current_side(compared, qtbot):
    heads = press_key_of(compared, qtbot, "heads")
    line = compared.presentation.caption
    for name in ("second.png", "wide.png", "second.png"):
        user_input.press(compared, "Ctrl+E")
        other, heads = heads, compared.panel("heads")
        assert heads is not other
        qtbot.waitUntil(lambda heads=heads: heads.shown().caption != "", timeout=20_000)
        facts = heads.shown().facts
        assert facts.photo == name
        assert line.whole == f"{facts.model} · {name} · Heads · {heads.shown().caption}"
        assert heads.isVisible()
        assert not heads.says.isVisible()
        assert not other.isVisible()


@pytest.mark.parametrize("large", [False, True])
def test_the_panels_of_both_sides_have_the_same_controls(compared, qtbot, large):
    if large:
        press_key_of(compared, qtbot, "heads")
    seen = []
    for _ in range(3):
        panel = compared.panel("heads")
        assert panel.isVisible()
        seen += [choices.isVisible() for choices in panel.findChildren(QWidget, "choices")]
        user_input.press(compared, "Ctrl+E")
    assert seen == [large] * 3
    user_input.press(compared, "F11")
    for _ in range(2):
        panel = compared.panel("heads")
        assert all(choices.isVisible() for choices in panel.findChildren(QWidget, "choices"))
        user_input.press(compared, "Ctrl+E")


def test_no_side_has_buttons_in_a_presentation(compared):
    sides = compared.stage.first, compared.stage.second
    buttons = [*compared.stage.second.buttons.values(), *(side.photo.help for side in sides)]
    assert not any(button.isVisible() for button in buttons)
    user_input.press(compared, "F11")
    assert all(button.isVisible() for button in buttons)
    user_input.press(compared, "F11")
    assert not any(button.isVisible() for button in buttons)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_in_a_comparison_every_text_is_whole_and_apart(compared, qtbot, size):
    user_input.press(compared, "F11")
    panel = compared.docks.reveal("faithfulness")
    user_input.press(compared, "F11")
    compared.resize(*size)
    qtbot.waitUntil(lambda: panel.isVisible() and not panel.busy, timeout=20_000)
    qtbot.waitUntil(lambda: not cut(compared))
    for view in views_of(panel):
        assert not overprinted(drawn(view)), "beside the photos"
    for name in ("", *(kind.name for kind in catalog.PANELS)):
        panel = press_key_of(compared, qtbot, name) if name else compared.photo
        assert compared.size() == QSize(*size), name
        qtbot.waitUntil(lambda: not cut(compared))
        for view in views_of(panel):
            assert not overprinted(drawn(view)), name


def test_a_panel_that_is_large_does_not_repeat_the_line(presented, qtbot):
    for kind in catalog.PANELS:
        panel = press_key_of(presented, qtbot, kind.name)
        if panel.shown().caption:
            assert not panel.says.isVisible(), kind.name


def test_controls_that_are_built_in_a_presentation_have_their_usual_size_after_it(compared, window, qtbot):
    user_input.press(compared, "Ctrl+E")  # which builds panels
    user_input.press(compared, "F11")
    qtbot.wait(50)
    boxes = {}
    for _ in range(2):
        found = {
            box.accessibleName(): box.width() for box in window.findChildren(QComboBox) if box.isVisible()
        }
        for name, width in found.items():
            assert boxes.setdefault(name, width) == width, name
        user_input.press(compared, "Ctrl+E")
        qtbot.wait(50)
