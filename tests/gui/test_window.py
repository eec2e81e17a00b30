"""The window as a whole: panels, commands, saving, settings, names for those who cannot see it."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import user_input
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPalette
from PySide6.QtWidgets import (
    QAbstractButton,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QMenu,
    QRadioButton,
    QSlider,
    QSpinBox,
    QTableView,
    QWidget,
)
from steps import include, show

from vitviz.app import commands
from vitviz.app.main import make_window, remembered_view
from vitviz.app.settings import Settings
from vitviz.app.ui import number_format, theme
from vitviz.app.widgets.charts.bar_list import Bar, BarList
from vitviz.app.widgets.controls.popover import Popover
from vitviz.app.window import save_png
from vitviz.app.work.failure import catch_uncaught, failure
from vitviz.batch.export import ExportOptions, export_photo


@pytest.fixture
def save(shown, qtbot, monkeypatch, tmp_path):
    """Save by the key; returns the file."""

    def saved():
        target = tmp_path / "out"
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))
        shown.toast.words.clear()
        qtbot.keyClick(shown, Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier)
        qtbot.waitUntil(lambda: "Saved out.png" in shown.toast.words.text())
        return target.with_suffix(".png")

    return saved


def pinned(window, qtbot, query):
    window.session.pin(query)
    window.session.change(colormap="magma", opacity=0.5, grid=True)
    qtbot.waitUntil(lambda: window.session.maps.shown.selection == window.session.selection)
    return window.session.heatmap


def test_a_picture_with_nothing_included_is_byte_for_byte_that_of_api_and_command_line(
    shown, qtbot, save, tmp_path, photo
):
    include(shown)
    heat = pinned(shown, qtbot, "class")
    written = save().read_bytes()
    heat.save(tmp_path / "api.png", colormap="magma", opacity=0.5, grid=True)
    assert written == (tmp_path / "api.png").read_bytes()
    asked = ExportOptions(
        "attention", {"layer": 2, "query": "class"}, style={"colormap": "magma", "opacity": 0.5, "grid": True}
    )
    export_photo(photo, shown.session.model, asked, tmp_path / "cli.png")
    assert written == (tmp_path / "cli.png").read_bytes()


@pytest.mark.parametrize("query", [(2, 5), ((2, 5), (2, 6), (6, 1))])
def test_a_saved_picture_includes_names_legend_and_outline(shown, qtbot, save, tmp_path, photo, query):
    heat = pinned(shown, qtbot, query)
    cells = [query] if query == (2, 5) else query
    style = {"colormap": "magma", "opacity": 0.5, "grid": True}
    heading = (f"{photo.name} · {shown.session.model.full_name}",)
    heat.save(tmp_path / "api.png", legend=True, heading=heading, note=heat.sums, mark=cells, **style)
    assert save().read_bytes() == (tmp_path / "api.png").read_bytes()
    whole = np.asarray(Image.open(tmp_path / "api.png").convert("RGB"))
    plain = np.asarray(heat.overlay(**style))
    top = next(row for row in range(len(whole)) if (whole[row : row + 40, 20:40] == plain[:40, 20:40]).all())
    assert top > 10, "names above"
    assert len(whole) > top + len(plain) + 20, "legend below"
    inside = whole[top : top + len(plain)]
    changed = (inside != plain).any(-1)
    trace = shown.session.trace
    assert changed.any()
    for row in range(8):
        for column in range(8):
            x, y = trace.framing.polygon(trace.patches, row, column).mean(0)
            assert not changed[int(y), int(x)], "the outline covers no middle of a patch"
    for row, column in cells:
        corner = trace.framing.polygon(trace.patches, row, column).min(0)
        assert changed[round(corner[1]) - 1, round(corner[0]) + 3], "a line above each patch of the query"


@pytest.mark.parametrize("parts", [("legend",), ("photo",), ("model",), ("outline",), ("photo", "model")])
def test_each_part_is_included_by_itself_and_remembered(shown, qtbot, save, tmp_path, photo, parts):
    heat = pinned(shown, qtbot, (2, 5))
    include(shown, *parts)
    assert save_png.included(Settings(shown.settings.path)) == save_png.included(shown.settings)
    assert save_png.included(shown.settings) == set(parts)
    names = {"photo": photo.name, "model": shown.session.model.full_name}
    line = " · ".join(name for part, name in names.items() if part in parts)
    heat.save(
        tmp_path / "api.png",
        legend="legend" in parts,
        heading=(line,) if line else (),
        note=heat.sums,
        mark=(2, 5) if "outline" in parts else None,
        colormap="magma",
        opacity=0.5,
        grid=True,
    )
    assert save().read_bytes() == (tmp_path / "api.png").read_bytes()


def test_saving_where_nothing_can_be_written_is_reported(shown, qtbot, monkeypatch, tmp_path):
    target = tmp_path / "no such folder" / "out.png"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))
    with qtbot.waitSignal(shown.session.failed):
        shown.commands["save"].trigger()
    assert "out.png" in shown.notice.sentence.text()


def test_predictions_are_the_traces(shown):
    bars = shown.panel("predictions").list.rows.bars
    found = shown.session.trace.predictions(len(bars))
    assert [bar.name for bar in bars] == [one.label for one in found]
    assert [bar.share for bar in bars] == [one.probability for one in found]
    assert f"{len(bars)} likeliest of 12 classes" in shown.panel("predictions").says.whole


def test_the_status_line_compares_the_weight_with_uniform(shown, qtbot, at):
    qtbot.mouseClick(shown.photo.canvas, Qt.MouseButton.LeftButton, pos=at(shown, 2, 5))
    qtbot.mouseMove(shown.photo.canvas, at(shown, 6, 6))
    weight = float(shown.session.trace.layers[2].row(1 + 2 * 8 + 5).mean(axis=0)[1 + 6 * 8 + 6])
    text = shown.status.weight.text()
    ratio = float(text.split(", ")[-1].split("×")[0])
    assert ratio == pytest.approx(weight * 65, abs=0.06)
    assert "65 tokens" in shown.status.about.whole
    assert "CPU" in shown.status.about.whole


def test_the_badge_shows_the_checks_error(shown):
    assert shown.session.check.exact
    assert shown.status.badge.text() == f"exact, {shown.session.check.worst:.0e}".replace("e-0", "e-")


def test_every_panel_says_how_to_fill_it(window):
    assert window.photo.welcome.isVisible()
    assert "Drop a photo" in window.photo.welcome.headline.text()
    assert window.panel("heads").empty.isVisible()
    assert window.panel("predictions").empty.isVisible()
    assert not window.commands["save"].isEnabled()


def test_panels_close_float_and_come_back(shown, qtbot):
    dock = shown.docks[1]
    dock.setFloating(True)
    assert dock.isFloating()
    dock.close()
    assert not shown.panel("predictions").isVisible()
    shown.commands["reset_layout"].trigger()
    assert shown.panel("predictions").isVisible()
    assert not dock.isFloating()


def test_the_photo_is_the_largest_panel(shown):
    canvas = shown.photo.canvas
    others = max(
        panel.width() * panel.height() for panel in (shown.panel("heads"), shown.panel("predictions"))
    )
    assert canvas.width() * canvas.height() > 1.5 * others


def test_everything_that_takes_the_focus_has_a_name(shown, qtbot):
    shown.commands["choose_model"].trigger()
    dialog = shown.chooser
    kinds = (QAbstractButton, QComboBox, QLineEdit, QSlider, QTableView)
    nameless = [
        widget
        for root in (shown, dialog)
        for widget in root.findChildren(QWidget)
        if widget.focusPolicy() != Qt.FocusPolicy.NoFocus
        and (isinstance(widget, kinds) or type(widget).__module__.startswith("vitviz"))
        and not widget.objectName().startswith("qt_")
        and not (widget.accessibleName() or (isinstance(widget, QAbstractButton) and widget.text()))
        and not type(widget.parentWidget()).__name__.startswith(("QComboBox", "QLineEdit", "QTableView"))
    ]
    dialog.reject()
    assert not nameless


def test_no_key_is_given_twice():
    keys = [key for command in commands.commands() for key in command.keys]
    assert len(keys) == len(set(keys))


def test_the_sheet_of_keys_lists_the_table(shown, qtbot):
    shown.commands["keys"].trigger()
    names = [child.accessibleName() for child in shown.shortcuts.findChildren(QWidget)]
    for _, what, keys in commands.shortcut_list():
        assert f"{what}: {keys}" in names
    assert {"Add a rectangle of patches: Shift+Drag", "Zoom photo or matrix: Wheel"} <= set(names)
    shown.shortcuts.reject()


def test_a_message_about_the_settings_is_shown_until_it_is_closed(qtbot, tmp_path, photo, model):
    path = tmp_path / "window.ini"
    path.write_bytes(b"\0\1\2 rubbish \0")
    window = make_window(Settings(path), "cpu")
    window.show()
    qtbot.waitExposed(window)
    show(window, qtbot, photo, model)
    assert window.notice.isVisible()
    assert "window.damaged.ini" in window.notice.sentence.text()
    user_input.click(window.notice.dismiss)
    assert not window.notice.isVisible()
    window.close()
    window.deleteLater()


def test_settings_survive_and_damage_is_set_aside(qtbot, tmp_path):
    path = tmp_path / "window.ini"
    first = make_window(Settings(path))
    first.session.change(colormap="cividis", opacity=0.4, grid=True)
    first.close()
    first.deleteLater()
    view = remembered_view(Settings(path))
    assert (view.colormap, view.opacity, view.grid) == ("cividis", 0.4, True)
    path.write_bytes(b"\0\1\2 rubbish \0")
    second = make_window(Settings(path))
    assert "window.damaged.ini" in second.notice.sentence.text()
    assert (tmp_path / "window.damaged.ini").read_bytes().startswith(b"\0\1\2")
    second.close()
    second.deleteLater()


@pytest.mark.parametrize(
    "nonsense", ["opacity=much\ncolormap=jet\nstyle=9\n", "geometry=17\nlayout=@Invalid()\n"]
)
def test_settings_that_make_no_sense_are_defaults(qtbot, tmp_path, nonsense):
    path = tmp_path / "window.ini"
    path.write_text(f"[General]\n{nonsense}")
    window = make_window(Settings(path))
    assert 0 <= window.session.view.opacity <= 1
    assert window.session.view.style == "glow"
    window.close()
    window.deleteLater()


def test_the_theme_switches_live(shown, qtbot):
    for key, dark in (("dark", True), ("light", False), ("dark", True)):
        next(action for action in shown.themes.actions() if action.data() == key).trigger()
        qtbot.waitUntil(lambda: (shown.palette().color(QPalette.ColorRole.Window).lightness() < 128) is dark)  # noqa: B023
        corner = shown.photo.canvas.grab().toImage().pixelColor(3, 3).lightness()
        assert (corner < 128) is dark
    assert shown.settings.text("theme") == "dark"


def contrast(one: str | QColor, other: str | QColor) -> float:
    """The contrast of two colours, as WCAG 2.2 defines it."""

    def luminance(color: str | QColor) -> float:
        parts = [QColor(color).redF(), QColor(color).greenF(), QColor(color).blueF()]
        linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
def test_text_stands_out_from_what_it_is_written_on(scheme):
    """At least 4.5 : 1, as WCAG 2.2 asks for."""
    written = [(scheme.on_accent, scheme.accent), (scheme.text, scheme.line)]
    written += [
        (ink, paper)
        for ink in (scheme.text, scheme.muted)
        for paper in (scheme.window, scheme.base, scheme.raised, scheme.popup)
    ]
    for ink, paper in written:
        assert contrast(ink, paper) >= 4.5, (ink, paper)


def _menu() -> QMenu:
    menu = QMenu()
    menu.addAction("words")
    return menu


OUTLINED = [QCheckBox, QRadioButton, QLineEdit, QSpinBox]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_controls_and_popups_can_be_seen_on_the_window(qtbot, qapp, scheme):
    theme.apply(qapp, scheme)
    ground = qapp.palette().color(QPalette.ColorRole.Window)
    made = [(make(), 1.6) for make in OUTLINED] + [(_menu(), 1.3 if scheme == "dark" else 1.05)]
    owner = QWidget()
    made.append((Popover(owner, QLabel("words")), 1.6))
    for widget, least in made:
        qtbot.addWidget(widget)
        image = widget.grab().toImage()
        left = [image.pixelColor(x, image.height() // 2) for x in range(12)]
        assert max(contrast(color, ground) for color in left) >= least, widget
    theme.apply(qapp, "light")


def test_no_widget_of_any_panel_keeps_the_theme_before(shown, qtbot):
    for dock in shown.docks:
        dock.show()
        assert dock.panel.findChildren(QWidget)
    themes = {action.data(): action for action in shown.themes.actions()}
    roles = (QPalette.ColorRole.WindowText, QPalette.ColorRole.Text, QPalette.ColorRole.Base)
    for key, scheme in (("dark", theme.DARK), ("light", theme.LIGHT)):
        themes[key].trigger()
        qtbot.waitUntil(lambda: shown.palette().color(roles[0]) == QColor(scheme.text))  # noqa: B023
        old = theme.LIGHT if key == "dark" else theme.DARK
        kept = {
            (type(widget).__name__, role.name)
            for widget in shown.findChildren(QWidget)
            for role in roles
            if widget.palette().color(QPalette.ColorGroup.Active, role)
            in (QColor(old.text), QColor(old.base))
        }
        assert not kept, key


def test_recent_photos_are_offered_while_they_exist(shown, qtbot, photo, tmp_path):
    from vitviz.app.window import menus

    menu = shown.menu_bar.actions()[0].menu()
    asked: list[Path] = []
    shown.settings.remember("photos", str(photo))
    shown.settings.remember("photos", str(tmp_path / "gone.png"))
    menus.recent(menu, shown.settings.names("photos"), asked.append)
    assert [action.text() for action in menu.actions()] == ["wide.png"]
    menu.actions()[0].trigger()
    assert asked == [photo]


@pytest.mark.qt_no_exception_capture
def test_an_uncaught_exception_is_shown_in_the_window(window, capsys):
    undo = catch_uncaught(window.show_failure)
    try:
        sys.excepthook(KeyError, KeyError("lost"), None)
    finally:
        undo()
    assert "internal error of vitviz" in window.notice.sentence.text()
    assert "lost" in capsys.readouterr().err
    assert "PySide6" in failure(KeyError("lost")).report


def test_a_files_model_is_remembered_by_its_whole_path(shown, tmp_path, monkeypatch):
    (tmp_path / "small.pth").touch()
    monkeypatch.chdir(tmp_path)
    shown.session.loaded = replace(shown.session.loaded, source="small.pth")
    shown.session.model_changed.emit()
    assert shown.settings.text("model") == str(tmp_path / "small.pth")


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.0, 0.083, ("0", "0.083")),
        (0.0, 0.0403, ("0", "0.040")),
        (0.0, 0.5, ("0", "0.5")),
        (0.0, 12.3, ("0", "12")),
        (0.0051, 0.0053, ("0.0051", "0.0053")),
        (0.50001, 0.50004, ("0.50001", "0.50004")),
    ],
)
def test_the_ends_of_a_scale_can_be_distinguished(low, high, texts):
    assert number_format.ends(low, high) == texts


@pytest.mark.parametrize(
    ("value", "per", "text"),
    [
        (0.041, 1 / 197, "0.041, 8.1× uniform"),
        (0.0, 0.1, "0, 0× uniform"),
        (2e-5, 1 / 50, "2e-5, 0.001× uniform"),
        (-0.25, None, "-0.250"),
    ],
)
def test_weights_are_compared(value, per, text):
    assert number_format.compared(value, per) == text


def test_names_of_predictions_are_whole_as_long_as_bars_have_room(qtbot):
    bars = BarList()
    qtbot.addWidget(bars)
    bars.rows.set_bars([Bar("soft-coated wheaten terrier", 0.5)])
    needed = QFontMetricsF(theme.body()).horizontalAdvance("soft-coated wheaten terrier")
    assert needed > 0.42 * 360
    assert bars.name_width(360) >= needed
    assert bars.name_width(240) < needed
