"""The panel of windows: real pointers and keys on real models, against the models' own data."""

import numpy as np
import torch
import user_input
from PIL import Image
from PySide6.QtCore import QPoint, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPalette
from PySide6.QtWidgets import QWidget

import vitviz
from vitviz.app.panels.windows.panel import WindowsPanel
from vitviz.app.session.view_state import Hover
from vitviz.app.widgets.pictures.gallery import Spot
from vitviz.app.widgets.windows.shift_view import ShiftView
from vitviz.explain.internals import positions
from vitviz.models.loading import load_model
from vitviz.models.model import Model
from vitviz.render.picture_rows import colored


def middle(view: ShiftView, cells: QRectF) -> QPoint:
    return view.box(cells).center().toPoint()


def token_at(view: ShiftView, row: int, column: int) -> QPoint:
    """Where a token's middle lies now."""
    return middle(view, view.carried(QRectF(column + 0.4, row + 0.4, 0.2, 0.2))[0])


def padded_swin() -> Model:
    """A Swin whose grids of 18×14 and 9×7 do not divide into its windows of 4×4."""
    import timm

    torch.manual_seed(3)
    options = {"img_size": (72, 56), "window_size": 4, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
    module = timm.create_model("swin_tiny_patch4_window7_224", num_classes=5, **options)
    return load_model(module, device="cpu")


def test_models_without_windows_say_so_in_a_sentence(opened, model):
    panel = opened(WindowsPanel)
    assert "Open a photo and a Swin model" in panel.empty.hint.text()
    panel = opened(WindowsPanel, model)
    assert panel.empty.isVisible()
    assert "has no windows:\nopen a Swin" in panel.empty.hint.text()
    assert not panel.view.isVisible()


def test_pointing_at_a_token_shows_its_wrapped_window_and_moves_the_common_query(opened, swin, qtbot):
    panel = opened(WindowsPanel, swin)
    session = panel.session
    session.change(layer=1)
    trace = session.trace
    windows = trace.layers[1].layout.windows
    assert windows.shift == (2, 2)
    qtbot.mouseMove(panel.view, token_at(panel.view, 0, 5))
    assert session.hover.patch == (0, 5)
    assert session.selection.query == (0, 5)
    window, _ = windows.slot(trace.layers[1].layout.token(0, 5))
    expected = {(part.box.top, part.box.left) for part in windows.parts(window)}
    assert {(box.y(), box.x()) for box, _ in panel.view.focus.parts} == expected
    assert len(expected) == 2
    assert panel.view.focus.cell == (0, 5)
    # Heat lies where the token attends, and nowhere else: it sees its own half of the window.
    heat = panel.view.focus.heat[..., 3] > 0
    seen = trace.layers[1].layout.on_grid(trace.layers[1].row(5)).mean(0)
    assert not heat[seen < 1e-20].any()
    assert heat.any()
    assert "sees 8 of the 16 slots" in panel.says.whole


def test_the_shift_carries_every_token_to_where_the_window_cuts_it(opened, swin, qtbot):
    panel = opened(WindowsPanel, swin)
    panel.session.change(layer=1)
    windows = panel.session.trace.layers[1].layout.windows
    after = windows.picture()
    panel.slider.setValue(100)
    for row, column in ((0, 0), (3, 9), (15, 15), (14, 2)):
        token = int(after[row, column])
        qtbot.mouseMove(panel.view, QPoint(1, 1))
        qtbot.mouseMove(panel.view, middle(panel.view, QRectF(column, row, 1, 1)))
        assert panel.session.hover.patch == divmod(token, 16)
    panel.slider.setValue(0)
    qtbot.mouseMove(panel.view, middle(panel.view, QRectF(9, 3, 1, 1)))
    assert panel.session.hover.patch == (3, 9)


def test_playing_runs_from_the_photo_to_the_windows_and_back(opened, swin, qtbot):
    panel = opened(WindowsPanel, swin)
    panel.session.change(layer=1)
    panel.animation.setDuration(120)
    seen = []
    panel.slider.valueChanged.connect(seen.append)
    qtbot.mouseClick(panel.play, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.view.progress == 2)
    assert seen == sorted(seen)
    assert len(seen) > 2
    before = panel.view.grab().toImage()
    qtbot.mouseClick(panel.play, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.view.progress == 0)
    assert panel.view.grab().toImage() != before


def test_a_click_opens_the_windows_matrices_and_a_matrix_selects_its_head(opened, swin, qtbot):
    panel = opened(WindowsPanel, swin)
    session = panel.session
    session.change(layer=1)
    panel.view.set_progress(0)
    qtbot.mouseClick(panel.view, Qt.MouseButton.LeftButton, pos=token_at(panel.view, 0, 0))
    qtbot.waitUntil(lambda: panel.matrix.view.isVisible())
    assert session.view.query == (0, 0)
    layer = session.trace.layers[1]
    window, _ = layer.layout.windows.slot(0)
    shown = panel.matrix.view.pictures
    assert [one.caption for one in shown] == ["head 0", "bias", "head 1", "bias", "masked"]
    attention = layer.attention()[window]
    bias = positions.position_bias(session.trace, layer)
    np.testing.assert_allclose(shown[2].pixels, colored(attention[1], 0, float(attention[1].max())), atol=4)
    np.testing.assert_allclose(
        shown[3].pixels, colored(bias[1], float(bias.min()), float(bias.max())), atol=4
    )
    white = (shown[4].pixels > 128).all(-1)
    np.testing.assert_array_equal(white, layer.layout.windows.masked(window))
    qtbot.mouseClick(
        panel.matrix.view, Qt.MouseButton.LeftButton, pos=panel.matrix.view.boxes()[2].center().toPoint()
    )
    assert (session.view.head, session.view.method) == (1, "attention")
    assert [one.caption for one in panel.matrix.view.pictures] == ["head 1", "bias", "masked"]
    qtbot.mouseClick(
        panel.matrix.view, Qt.MouseButton.LeftButton, pos=panel.matrix.view.boxes()[0].center().toPoint()
    )
    assert (session.view.head, len(panel.matrix.view.pictures)) == (None, 5)
    qtbot.mouseClick(panel.matrix.close, Qt.MouseButton.LeftButton)
    assert not panel.matrix.view.isVisible()
    session.change(layer=0)  # not shifted
    qtbot.keyClick(panel.view, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: panel.matrix.view.isVisible())
    assert [one.caption for one in panel.matrix.view.pictures] == ["head 0", "bias", "head 1", "bias"]
    assert "no pair is masked" in panel.matrix.says.whole


def test_enter_opens_the_window_of_the_selected_token_and_its_legend(opened, swin, qtbot):
    panel = opened(WindowsPanel, swin)
    panel.session.change(layer=1)
    qtbot.keyClick(panel.view, Qt.Key.Key_Return)
    assert not panel.matrix.view.isVisible()  # nothing is selected
    panel.session.pin((0, 5))
    about = panel.legend.text()
    qtbot.keyClick(panel.view, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: panel.matrix.view.isVisible())
    windows = panel.session.trace.layers[1].layout.windows
    assert panel.matrix.says.whole.startswith(f"Window {windows.slot(5)[0]} of layers.0.blocks.1.attn: bias ")
    assert "Row: query; column: key." in panel.legend.text()
    panel.matrix.close.click()
    assert panel.legend.text() == about


def test_a_padded_layer_says_all_of_its_caption_and_merges_on_the_photo_alone(opened, qtbot):
    panel = opened(WindowsPanel, padded_swin())
    panel.session.change(layer=1)
    panel.both.click()
    qtbot.waitUntil(lambda: panel.other.width() > 100)
    for view in (panel.view, panel.other):
        assert "cells of padding" in view.scene.caption
        wide = view.fontMetrics().horizontalAdvance(view.scene.caption)
        below = view.height() - view.box(QRectF(0, 0, 1, view.scene.frame[0])).bottom()
        lines = -(-wide // (view.width() - 8))
        assert below >= 4 + lines * view.fontMetrics().height()
    assert panel.view.scene.frame == (20, 16)
    before = panel.view.unit
    assert panel.play.isEnabled()
    user_input.choose(panel.mode, "merge")
    assert panel.view.frame == (18, 14)
    assert panel.view.unit > before
    assert not panel.play.isEnabled()  # merging has no shift to play


def test_a_cell_of_a_matrix_is_read_by_pointer_and_keys(opened, swin, qtbot):
    panel = opened(WindowsPanel, swin)
    session = panel.session
    session.change(layer=1)
    session.pin((0, 0))
    qtbot.keyClick(panel.view, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: panel.matrix.view.isVisible() and len(panel.matrix.view.pictures) == 5)
    whole = panel.matrix.says.whole
    layer = session.trace.layers[1]
    windows = layer.layout.windows
    window, _ = windows.slot(0)
    attention = layer.attention()[window]
    bias = positions.position_bias(session.trace, layer)
    names = ["({}, {})".format(*layer.layout.place(int(token))) for token in windows.index[window]]
    qtbot.mouseMove(panel.matrix.view, panel.matrix.view.cell_box(Spot(2, 6, 2)).center().toPoint())
    told = panel.matrix.says.whole
    assert told.startswith(f"Head 1, {names[6]} → {names[2]}: ")
    assert f"bias {bias[1, 6, 2]:+.2f}".replace("-", "−") in told
    assert f"{attention[1, 6, 2] * 16:.1f}× uniform" in told
    assert ("masked" in told) == windows.masked(window)[6, 2]
    qtbot.mouseMove(panel.matrix.view, QPoint(1, 1))
    assert panel.matrix.says.whole == whole
    qtbot.keyClick(panel.matrix.view, Qt.Key.Key_Right)
    qtbot.keyClick(panel.matrix.view, Qt.Key.Key_Down)
    assert panel.matrix.says.whole.startswith(f"Head 0, {names[1]} → {names[1]}: ")
    assert panel.matrix.view.accessibleDescription() == panel.matrix.says.whole
    for _ in range(15):  # over the right edge into the bias beside it
        qtbot.keyClick(panel.matrix.view, Qt.Key.Key_Right)
    assert panel.matrix.view.hovered == Spot(1, 1, 0)
    qtbot.keyClick(panel.matrix.view, Qt.Key.Key_Return)
    assert session.view.head == 0


def test_a_pointer_within_one_cell_draws_its_window_once(opened, swin, qtbot, monkeypatch):
    panel = opened(WindowsPanel, swin)
    panel.session.change(layer=1)
    focused = []
    monkeypatch.setattr(panel.view, "set_focus", focused.append)
    qtbot.mouseMove(panel.view, token_at(panel.view, 0, 5))
    assert len(focused) == 1
    panel.session.change(opacity=0.3)
    assert len(focused) == 2


def test_the_next_layer_beside_it_and_merging_down_to_the_first_patches(opened, swin, qtbot):
    panel = opened(WindowsPanel, swin)
    session = panel.session
    session.change(layer=1)
    qtbot.mouseClick(panel.both, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.other.width() > 100)
    assert panel.other.scene.grid == (8, 8)
    qtbot.mouseMove(panel.other, token_at(panel.other, 3, 4))
    assert session.hover.patch in {(6, 8), (7, 8), (6, 9), (7, 9)}
    assert panel.other.focus.cell == (3, 4)
    session.change(layer=2)
    user_input.choose(panel.mode, "merge")
    session.pin((6, 8))
    assert [(rows, columns) for _, rows, columns in panel.view.focus.nested] == [(2, 2)]
    # the photo of 64 pixels was enlarged to 71 before the middle was taken, so 8 of the input are 7.2 of it
    assert "4 of 16×16 ← 7×7 pixels of the photo" in panel.says.whole
    session.change(layer=3)
    assert not panel.both.isEnabled()
    assert not panel.other.isVisible()
    session.change(layer=2)
    assert panel.other.isVisible()


def test_regions_are_coloured_as_the_mask_has_them(opened, swin):
    panel = opened(WindowsPanel, swin)
    panel.session.change(layer=1)
    user_input.choose(panel.mode, "regions")
    assert panel.view.progress == 2
    windows = panel.session.trace.layers[1].layout.windows
    painted = np.full(windows.padded, -1)
    for cells, shade in panel.view.scene.regions:
        painted[int(cells.top()) : int(cells.bottom()), int(cells.left()) : int(cells.right())] = shade
    for window in range(len(windows.index)):
        box = windows.box(window)
        own = painted[int(box.top) : int(box.bottom), int(box.left) : int(box.right)].reshape(-1)
        apart = own[:, None] != own[None, :]
        np.testing.assert_array_equal(apart, windows.masked(window))


def test_each_region_has_its_letter(opened, swin):
    """In drawn pixels: a white letter on black, the same for the same region of a window, another for another."""
    panel = opened(WindowsPanel, swin)
    panel.session.change(layer=1)
    panel.session.point(Hover())
    user_input.choose(panel.mode, "regions")
    image = panel.view.grab().toImage()
    letters: dict[int, list[np.ndarray]] = {}
    for cells, shade in panel.view.scene.regions:
        middle = panel.view.box(cells).center().toPoint()
        part = image.copy(middle.x() - 6, middle.y() - 6, 13, 13).convertToFormat(
            QImage.Format.Format_Grayscale8
        )
        pixels = np.frombuffer(part.constBits(), np.uint8).reshape(13, part.bytesPerLine())[:, :13]
        assert (pixels > 200).sum() > 8, "the letter"
        letters.setdefault(shade, []).append(pixels > 180)
    assert sorted(letters) == [0, 1, 2, 3]
    for shade, drawn in letters.items():
        for other, others in letters.items():
            apart = (drawn[0] != others[-1]).sum()
            assert apart < 12 if shade == other else apart > 12, (shade, other, apart)


def test_hovering_is_done_within_a_frame(opened, swin, qtbot):
    from time import process_time  # other programs' time is not counted

    panel = opened(WindowsPanel, swin)
    panel.session.change(layer=1)
    times = []
    for column in range(12):
        start = process_time()
        qtbot.mouseMove(panel.view, token_at(panel.view, 4, column))
        panel.view.repaint()
        times.append(process_time() - start)
    assert sorted(times)[6] < 0.016


def test_following_the_pointer_draws_only_what_stands_out(opened, swin, qtbot):
    panel = opened(WindowsPanel, swin)
    panel.session.change(layer=1)
    qtbot.mouseMove(panel.view, token_at(panel.view, 4, 8))
    qtbot.wait(1)  # the sentence above has its place
    before, kept = panel.view.grab().toImage(), panel.view.backdrop
    assert kept is not None
    qtbot.mouseMove(panel.view, token_at(panel.view, 4, 9))
    assert panel.view.grab().toImage() != before
    assert panel.view.backdrop is kept  # photo and lines
    panel.slider.setValue(50)
    assert panel.view.backdrop is None
    panel.view.repaint()
    assert panel.view.backdrop.toImage() != kept.toImage()


def painted(view: ShiftView) -> QImage:
    """What a view draws, without the window behind it."""
    image = QImage(view.size(), QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.gray)
    view.render(image, QPoint(), renderFlags=QWidget.RenderFlag.DrawChildren)
    return image


def test_what_is_kept_for_the_pointer_is_never_stale(opened, qtbot):
    panel = opened(WindowsPanel, padded_swin())
    session = panel.session
    session.change(layer=1)
    session.pin((4, 9))

    def resize() -> None:
        panel.window().resize(500, 620)

    def darken() -> None:
        panel.view.setPalette(QPalette(QColor(30, 30, 34)))

    steps = (
        lambda: panel.slider.setValue(60), lambda: panel.slider.setValue(200),
        lambda: user_input.choose(panel.mode, "regions"),
        resize, darken, lambda: user_input.choose(panel.mode, "shift"), lambda: panel.slider.setValue(0),
        lambda: user_input.choose(panel.mode, "merge"), lambda: session.change(layer=2),
    )  # fmt: skip
    for step in steps:
        painted(panel.view)  # what is kept is from before the step
        step()
        qtbot.waitUntil(lambda: panel.view.scene is not None)
        fresh = ShiftView()
        qtbot.addWidget(fresh)
        fresh.setPalette(panel.view.palette())
        fresh.resize(panel.view.size())
        fresh.set_scene(panel.view.scene)
        fresh.set_focus(panel.view.focus)
        fresh.set_progress(panel.view.progress)
        fresh.set_regions(panel.mode.current == "regions")
        fresh.set_padded(panel.mode.current != "merge")
        assert painted(panel.view) == painted(fresh)


def test_what_is_saved_is_what_is_shown(opened, swin, qtbot, tmp_path, monkeypatch):
    panel = opened(WindowsPanel, swin)
    session = panel.session
    session.change(layer=2)
    session.pin((3, 3))

    def saved(name: str) -> str:
        monkeypatch.setattr("vitviz.app.panels.plate_panel.ask_target", lambda *_: tmp_path / f"{name}.png")
        with qtbot.waitSignal(session.message, timeout=20_000):
            qtbot.mouseClick(panel.export, Qt.MouseButton.LeftButton)
        with Image.open(tmp_path / f"{name}.png") as image:
            return str(image.info["Plate"])

    assert saved("photo") == "windows"
    panel.slider.setValue(150)
    assert saved("rolled") == "shifted"
    user_input.choose(panel.mode, "merge")
    assert saved("merged") == "merge"
    user_input.choose(panel.mode, "regions")
    assert saved("regions") == "shifted"


def test_the_matrices_that_are_saved_are_those_that_are_shown(opened, swin, qtbot, tmp_path, monkeypatch):
    panel = opened(WindowsPanel, swin)
    session = panel.session
    session.change(layer=1, head=1)
    user_input.choose(panel.mode, "shift")
    qtbot.mouseClick(panel.both, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.other.width() > 100)
    qtbot.mouseClick(panel.other, Qt.MouseButton.LeftButton, pos=token_at(panel.other, 6, 6))
    qtbot.waitUntil(lambda: panel.matrix.view.isVisible())
    session.pin((0, 0))  # a token of another window
    qtbot.mouseMove(panel.view, QPoint(1, 1))
    assert panel.shown().matrices.layer is session.trace.layers[2]
    target = tmp_path / "matrix.png"
    monkeypatch.setattr("vitviz.app.panels.plate_panel.ask_target", lambda *_: target)
    with qtbot.waitSignal(session.message, timeout=20_000):
        qtbot.mouseClick(panel.export, Qt.MouseButton.LeftButton)
    options = {"layer": 2, "head": 1, "query": (13, 13), "colormap": session.view.colormap}
    expected = vitviz.plate(session.trace, "matrix", **options)
    with Image.open(target) as image:
        assert image.info["Plate"] == "matrix"
        np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


def test_the_numbers_of_a_matrix_are_written_where_there_is_room(opened, qtbot, swin):
    panel = opened(WindowsPanel, swin)
    panel.session.change(layer=1, head=0)
    panel.session.change_panel("windows", window=(1, 2))
    qtbot.waitUntil(lambda: not panel.busy)
    view = panel.matrix.view
    weights = panel.session.trace.layers[1].weights(None, 2)[0, 0]
    assert view.pictures[0].words[3][5] == f"{float(weights[3, 5]):.2f}"
    inks = []
    for size in ((620, 420), (2400, 1200)):
        panel.window().resize(*size)
        qtbot.waitUntil(lambda size=size: panel.width() == size[0])
        qtbot.wait(20)
        drawn, box = view.grab().toImage(), view.cell_box(Spot(0, 3, 5)).toRect().adjusted(2, 2, -2, -2)
        inks.append(
            {
                drawn.pixel(x, y)
                for x in range(box.left(), box.right())
                for y in range(box.top(), box.bottom())
            }
        )
    assert len(inks[0]) == 1  # the colour of the cell alone
    assert len(inks[1]) > 2
