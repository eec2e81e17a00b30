"""The panels of windows, positions and patches: real pointers and keys on real models, against the models' own data."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtWidgets import QMainWindow, QWidget
from steps import picture

from vitviz.app import places
from vitviz.app.panels.patches import PatchesPanel
from vitviz.app.panels.positions import PositionsPanel
from vitviz.app.panels.windows import WindowsPanel
from vitviz.app.session import Session
from vitviz.app.widgets.pictures import PicturesView, Spot, arrange, arrange_lead
from vitviz.app.widgets.shift import ShiftView
from vitviz.attention.layer import Layer
from vitviz.explain import patches, positions
from vitviz.explain.split import split_or_bias
from vitviz.models.loading import load_model
from vitviz.models.model import Model
from vitviz.render.plates import colored

Opened = Callable[..., QWidget]


@pytest.fixture
def opened(qtbot, tmp_path: Path) -> Iterator[Opened]:
    """Opens a panel in a plain window, with a photo and a model if one is given."""
    made: list[tuple[QMainWindow, Session]] = []

    def open_panel(kind, model: Model | None = None, size: tuple[int, int] = (64, 64)) -> QWidget:
        session = Session("cpu")
        session.change(colormap="viridis")
        window = QMainWindow()
        panel = kind(session, [])
        window.setCentralWidget(panel)
        window.resize(620, 760)
        window.show()
        qtbot.waitExposed(window)
        made.append((window, session))
        if model is not None:
            with qtbot.waitSignal(session.trace_changed, timeout=60_000):
                session.open(photo=picture(tmp_path / "photo.png", size), model=model)
            qtbot.waitUntil(lambda: session.busy is None)
        return panel

    yield open_panel
    for window, session in made:
        window.centralWidget().end()
        session.close()
        window.close()
        window.deleteLater()


def torch_ones(layer: Layer) -> torch.Tensor:
    return torch.ones(layer.operations[0].shape)


def middle(view: ShiftView, cells: QRectF) -> QPoint:
    return view.box(cells).center().toPoint()


def token_at(view: ShiftView, row: int, column: int) -> QPoint:
    """Where a token's middle lies now."""
    return middle(view, view.carried(QRectF(column + 0.4, row + 0.4, 0.2, 0.2))[0])


# Windows.


def test_models_without_windows_say_so_in_a_sentence(opened, model):
    panel = opened(WindowsPanel)
    assert "Open a photo and a Swin model" in panel.empty.hint.text()
    panel = opened(WindowsPanel, model)
    assert panel.empty.isVisible()
    assert "has no windows: open a Swin" in panel.empty.hint.text()
    assert not panel.view.isVisible()


def test_pointing_at_a_token_shows_its_wrapped_window_and_moves_the_common_query(opened, swin, qtbot):
    panel = opened(WindowsPanel, swin)
    session = panel._session
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
    panel._session.change(layer=1)
    windows = panel._session.trace.layers[1].layout.windows
    after = windows.picture()
    panel.slider.setValue(100)
    for row, column in ((0, 0), (3, 9), (15, 15), (14, 2)):
        token = int(after[row, column])
        qtbot.mouseMove(panel.view, QPoint(1, 1))
        qtbot.mouseMove(panel.view, middle(panel.view, QRectF(column, row, 1, 1)))
        assert panel._session.hover.patch == divmod(token, 16)
    panel.slider.setValue(0)
    qtbot.mouseMove(panel.view, middle(panel.view, QRectF(9, 3, 1, 1)))
    assert panel._session.hover.patch == (3, 9)


def test_playing_runs_from_the_photo_to_the_windows_and_back(opened, swin, qtbot):
    panel = opened(WindowsPanel, swin)
    panel._session.change(layer=1)
    panel._animation.setDuration(120)
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
    session = panel._session
    session.change(layer=1)
    panel.view.set_progress(0)
    qtbot.mouseClick(panel.view, Qt.MouseButton.LeftButton, pos=token_at(panel.view, 0, 0))
    qtbot.waitUntil(lambda: panel.matrix.isVisible())
    assert session.view.query == (0, 0)
    layer = session.trace.layers[1]
    window, _ = layer.layout.windows.slot(0)
    shown = panel.matrix.pictures
    assert [one.caption for one in shown] == ["head 0", "bias", "head 1", "bias", "masked"]
    attention = layer.attention()[window]
    bias = positions.position_bias(session.trace, layer)
    np.testing.assert_allclose(shown[2].pixels, colored(attention[1], 0, float(attention[1].max())), atol=4)
    np.testing.assert_allclose(
        shown[3].pixels, colored(bias[1], float(bias.min()), float(bias.max())), atol=4
    )
    white = (shown[4].pixels > 128).all(-1)
    np.testing.assert_array_equal(white, layer.layout.windows.masked(window))
    qtbot.mouseClick(panel.matrix, Qt.MouseButton.LeftButton, pos=panel.matrix.boxes()[2].center().toPoint())
    assert (session.view.head, session.view.method) == (1, "attention")
    assert [one.caption for one in panel.matrix.pictures] == ["head 1", "bias", "masked"]
    qtbot.mouseClick(panel.matrix, Qt.MouseButton.LeftButton, pos=panel.matrix.boxes()[0].center().toPoint())
    assert (session.view.head, len(panel.matrix.pictures)) == (None, 5)
    qtbot.mouseClick(panel.close_matrix, Qt.MouseButton.LeftButton)
    assert not panel.matrix.isVisible()


def test_enter_opens_the_window_of_the_selected_token_and_its_legend(opened, swin, qtbot):
    panel = opened(WindowsPanel, swin)
    panel._session.change(layer=1)
    qtbot.keyClick(panel.view, Qt.Key.Key_Return)
    assert not panel.matrix.isVisible()  # nothing is selected
    panel._session.pin((0, 5))
    about = panel.legend.text()
    qtbot.keyClick(panel.view, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: panel.matrix.isVisible())
    windows = panel._session.trace.layers[1].layout.windows
    assert panel.matrix_says.whole.startswith(f"Window {windows.slot(5)[0]} of layers.0.blocks.1.attn: bias ")
    assert "column: one that is looked at" in panel.legend.text()
    panel.close_matrix.click()
    assert panel.legend.text() == about


def test_a_padded_layer_says_all_of_its_caption_and_merges_on_the_photo_alone(opened, qtbot):
    import timm

    torch.manual_seed(3)
    options = {"img_size": (72, 56), "window_size": 4, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
    module = timm.create_model("swin_tiny_patch4_window7_224", num_classes=5, **options)
    panel = opened(WindowsPanel, load_model(module, device="cpu"))
    panel._session.change(layer=1)
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
    panel.mode._pick("merge")
    assert panel.view.frame == (18, 14)
    assert panel.view.unit > before
    assert not panel.play.isEnabled()  # merging has no shift to play


def test_a_pointer_within_one_cell_draws_its_window_once(opened, swin, qtbot, monkeypatch):
    panel = opened(WindowsPanel, swin)
    panel._session.change(layer=1)
    focused = []
    monkeypatch.setattr(panel.view, "set_focus", focused.append)
    qtbot.mouseMove(panel.view, token_at(panel.view, 0, 5))
    assert len(focused) == 1
    panel._session.change(opacity=0.3)
    assert len(focused) == 2


def test_the_next_layer_beside_it_and_merging_down_to_the_first_patches(opened, swin, qtbot):
    panel = opened(WindowsPanel, swin)
    session = panel._session
    session.change(layer=1)
    qtbot.mouseClick(panel.both, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.other.width() > 100)
    assert panel.other.scene.grid == (8, 8)
    qtbot.mouseMove(panel.other, token_at(panel.other, 3, 4))
    assert session.hover.patch in {(6, 8), (7, 8), (6, 9), (7, 9)}
    assert panel.other.focus.cell == (3, 4)
    session.change(layer=2)
    panel.mode._pick("merge")
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
    panel._session.change(layer=1)
    panel.mode._pick("regions")
    assert panel.view.progress == 2
    windows = panel._session.trace.layers[1].layout.windows
    painted = np.full(windows.padded, -1)
    for cells, shade in panel.view.scene.regions:
        painted[int(cells.top()) : int(cells.bottom()), int(cells.left()) : int(cells.right())] = shade
    for window in range(len(windows.index)):
        box = windows.box(window)
        own = painted[int(box.top) : int(box.bottom), int(box.left) : int(box.right)].reshape(-1)
        apart = own[:, None] != own[None, :]
        np.testing.assert_array_equal(apart, windows.masked(window))


# Positions.


def test_similarity_shows_the_map_of_the_position_that_is_pointed_at(opened, model, qtbot):
    panel = opened(PositionsPanel, model)
    session = panel._session
    qtbot.waitUntil(lambda: len(panel.view.pictures) > 0)
    qtbot.mouseMove(panel.view, panel.view.cell_box(Spot(0, 2, 6)).center().toPoint())
    assert session.hover.patch == (2, 6)
    values = positions.similarity(session.trace)
    np.testing.assert_allclose(panel.view.pictures[1].pixels, colored(values[2, 6], -1, 1), atol=4)
    tile = panel.view.pictures[0].pixels[2 * 9 : 2 * 9 + 8, 6 * 9 : 6 * 9 + 8]
    np.testing.assert_allclose(tile, colored(values[2, 6], -1, 1), atol=4)
    assert "Position (2, 6) is most like" in panel.says.whole
    qtbot.mouseClick(
        panel.view, Qt.MouseButton.LeftButton, pos=panel.view.cell_box(Spot(1, 1, 1)).center().toPoint()
    )
    assert session.view.query == (1, 1)
    panel.mode._pick("components")
    expected = np.round(positions.components(session.trace).colors * 255)
    np.testing.assert_allclose(panel.view.pictures[0].pixels, expected, atol=1)
    panel.mode._pick("norm")
    assert "× the mean" in panel.says.whole
    panel.mode._pick("split")  # barred, with the reason
    assert panel.mode.current == "norm"
    assert "before the first layer" in panel.mode._barred["split"]
    told = panel.mode.accessibleDescription()  # by ear too
    assert "in the logits cannot be chosen: " in told
    assert "before the first layer" in told


def test_a_resized_table_is_shown_beside_the_stored_one(opened, model, qtbot, tmp_path):
    panel = opened(PositionsPanel, model)
    session = panel._session
    with qtbot.waitSignal(session.trace_changed, timeout=60_000):
        session.open(photo=picture(tmp_path / "tall.png", (60, 120)), framing="fit")
    qtbot.waitUntil(lambda: panel.which.isVisible())
    assert "Interpolated from 8×8 to" in panel.changed.text()
    panel.which._pick("both")
    cells = [one.cells for one in panel.view.pictures[:2]]
    grid = session.trace.patches
    assert cells == [(8, 8), (grid.rows, grid.cols)]
    session.pin((0, 0))
    captions = ["as stored", "as used", "(0, 0) as stored", "(0, 0) as used"]
    assert [one.caption for one in panel.view.pictures] == captions
    similar = positions.similarity(session.trace, stored=True)
    np.testing.assert_allclose(panel.view.pictures[2].pixels, colored(similar[0, 0], -1, 1), atol=4)
    session.pin("class")
    captions = ["as stored", "as used", "class as stored", "class as used"]
    assert [one.caption for one in panel.view.pictures] == captions
    panel.mode._pick("norm")
    nearest = positions.change(session.trace).nearest
    np.testing.assert_allclose(
        panel.view.pictures[2].pixels, colored(nearest, float(nearest.min()), 1.0, "viridis"), atol=4
    )
    assert "Likeness" in panel.legend.text()


def test_logits_over_prefix_tokens_are_numbers(opened, qtbot):
    import timm

    torch.manual_seed(4)
    options = {"img_size": 64, "embed_dim": 48, "depth": 1, "num_heads": 3, "num_classes": 4}
    module = timm.create_model("beit_base_patch16_224", **options)
    with torch.no_grad():
        module.blocks[0].attn.relative_position_bias_table.normal_()
    panel = opened(PositionsPanel, load_model(module, device="cpu"))
    panel._session.change(head=2)
    panel._session.pin((1, 2))
    qtbot.waitUntil(lambda: panel._split is not None and panel._split.subject == "patch (1, 2)")
    found = positions.split(panel._session.trace, 0, (1, 2))
    numbers = f"class {found.content[2, 0]:+.2f} {found.position[2, 0]:+.2f} = {found.logits[2, 0]:+.2f}"
    assert numbers.replace("-", "−") in panel.changed.text().replace("\u00a0", " ")
    assert panel.changed.isVisible()
    panel.mode._pick("similarity")  # barred
    assert panel.mode.current == "split"


def test_where_only_weights_are_known_the_bias_is_shown_alone(opened, swin, qtbot):
    panel = opened(PositionsPanel, swin)
    session = panel._session
    trace = session.trace
    qtbot.waitUntil(lambda: panel._split is not None)  # nothing else comes later
    bare = tuple(
        replace(
            layer,
            operations=(
                replace(layer.operations[0], logits=None, query=None, key=None, weights=torch_ones(layer)),
            ),
        )
        for layer in trace.layers
    )
    found = split_or_bias(replace(trace, layers=bare), 1, (5, 9))
    assert not found.complete
    _, slot = trace.layers[1].layout.windows.slot(5 * 16 + 9)
    np.testing.assert_allclose(
        found.position, positions.position_bias(trace, 1)[:, slot], rtol=1e-5, atol=1e-8
    )
    panel._take_split((found, *places.split_plate(found, None, "viridis")), None)
    assert [one.caption for one in panel.view.pictures] == ["position"]
    assert "the bias alone is shown" in panel.changed.text()
    assert panel.says.whole.startswith("Position bias of patch (5, 9)")
    qtbot.mouseMove(panel.view, panel.view.cell_box(Spot(0, 3, 1)).center().toPoint())
    told = f"position {found.picture(found.position)[3, 1]:+.2f} logits".replace("-", "−")
    assert told in panel.says.whole


def test_logits_follow_the_query_and_a_key_is_read_in_numbers(opened, swin, qtbot):
    panel = opened(PositionsPanel, swin)
    session = panel._session
    session.change(layer=1, head=1)
    session.pin((5, 9))
    qtbot.waitUntil(lambda: panel._split is not None and panel._split.subject == "patch (5, 9)")
    assert panel.mode.current == "split"
    assert "no table of positions" in panel.mode._barred["similarity"]
    found = positions.split(session.trace, 1, (5, 9))
    assert [one.caption for one in panel.view.pictures] == ["content", "position", "sum", "attention"]
    limit = max(
        float(np.abs(found.picture(v, 1)).max()) for v in (found.content, found.position, found.logits)
    )
    np.testing.assert_allclose(
        panel.view.pictures[0].pixels, colored(found.picture(found.content, 1), -limit, limit), atol=4
    )
    qtbot.mouseMove(panel.view, panel.view.cell_box(Spot(2, 3, 1)).center().toPoint())
    total = f"{found.picture(found.logits, 1)[3, 1]:+.2f}".replace("-", "−")
    assert f"= {total} logits" in panel.says.whole
    qtbot.mouseMove(panel.view, QPoint(1, 1))
    assert panel.says.whole == "Logits of patch (5, 9) in layers.0.blocks.1.attn, head 1"
    assert session.view.query == (5, 9)  # reading does not change the query, a click does
    key = int(found.keys.reshape(4, 4)[3, 1])
    qtbot.mouseClick(
        panel.view, Qt.MouseButton.LeftButton, pos=panel.view.cell_box(Spot(2, 3, 1)).center().toPoint()
    )
    assert session.view.query == divmod(key, 16)


# Patches.


def test_patches_are_pulled_apart_and_a_hovered_one_is_large(opened, model, qtbot):
    panel = opened(PatchesPanel, model)
    session = panel._session
    qtbot.waitUntil(lambda: len(panel.view.pictures) > 0)
    qtbot.mouseMove(panel.view, panel.view.cell_box(Spot(0, 6, 1)).center().toPoint())
    assert session.hover.patch == (6, 1)
    cut = patches.pictures(session.trace)
    unit = (cut[6, 1] - cut.min()) / (cut.max() - cut.min())
    np.testing.assert_allclose(panel.view.pictures[1].pixels, unit * 255, atol=0.51)
    norms = patches.embedding(session.trace).norms
    assert f"{norms[6, 1] / norms.mean():.2f}× the mean" in panel.says.whole
    qtbot.mouseClick(
        panel.view, Qt.MouseButton.LeftButton, pos=panel.view.cell_box(Spot(0, 0, 7)).center().toPoint()
    )
    assert session.view.query == (0, 7)
    panel.mode._pick("filters")
    assert len(panel.view.pictures) == 28
    panel.mode._pick("embedding")
    assert panel.view.pictures[0].cells == (8, 8)
    assert "no convolutional stem" in panel.mode._barred["stem"]


@pytest.mark.parametrize(
    ("kind", "what"), [(WindowsPanel, "windows"), (PositionsPanel, "split"), (PatchesPanel, "patches")]
)
def test_what_is_shown_is_saved_as_png(opened, swin, qtbot, tmp_path, monkeypatch, kind, what):
    target = tmp_path / "saved.png"
    monkeypatch.setattr("vitviz.app.plate_parts.ask_target", lambda *_: target)
    panel = opened(kind, swin)
    panel._session.pin((3, 3))
    if kind is not WindowsPanel:
        qtbot.waitUntil(lambda: len(panel.view.pictures) > 0)
    with qtbot.waitSignal(panel._session.noted, timeout=20_000) as told:
        qtbot.mouseClick(panel.export, Qt.MouseButton.LeftButton)
    assert told.args == [f"Saved saved.png in {tmp_path}"]
    with Image.open(target) as image:
        assert image.info["Plate"] == what
        assert np.asarray(image.convert("L")).std() > 5


# What they are made of.


@pytest.mark.parametrize("count", [1, 2, 4, 7, 28])
@pytest.mark.parametrize("room", [(420, 300), (300, 600), (1200, 300)])
def test_pictures_lie_apart_inside_the_room(count, room):
    for boxes in (arrange([1.0] * count, ["+"] * count, *room), arrange_lead([1.0] * count, *room)):
        for number, box in enumerate(boxes):
            assert box.left() >= 0
            assert box.right() <= room[0] + 1e-6
            assert box.bottom() <= room[1] + 1e-6
            assert not any(box.intersects(other) for other in boxes[number + 1 :])


def test_a_cell_is_found_where_it_is_drawn(qtbot):
    from vitviz.app.widgets.pictures import Picture

    view = PicturesView()
    qtbot.addWidget(view)
    view.resize(500, 300)
    pixels = np.zeros((3 * 5 - 1, 4 * 5 - 1, 3), np.uint8)
    view.set_pictures([Picture(pixels, "a", (3, 4), gap=1), Picture(pixels, "b", (3, 4), gap=1)])
    for spot in (Spot(0, 0, 0), Spot(0, 2, 3), Spot(1, 1, 2)):
        box = view.cell_box(spot)
        for corner in (QPointF(1, 1), QPointF(box.width() - 1, box.height() - 1)):
            assert view.spot_at(box.topLeft() + corner) == spot


def test_hovering_is_done_within_a_frame(opened, swin, qtbot):
    from time import process_time  # other programs' time is not counted

    panel = opened(WindowsPanel, swin)
    panel._session.change(layer=1)
    times = []
    for column in range(12):
        start = process_time()
        qtbot.mouseMove(panel.view, token_at(panel.view, 4, column))
        panel.view.repaint()
        times.append(process_time() - start)
    assert sorted(times)[6] < 0.016


@pytest.mark.parametrize("kind", [WindowsPanel, PositionsPanel, PatchesPanel])
def test_a_hidden_panel_keeps_nothing_of_an_old_trace(opened, swin, model, qtbot, tmp_path, kind):
    from gc import collect
    from weakref import ref

    panel = opened(kind, swin)
    session = panel._session
    session.change(layer=1)
    session.pin((3, 3))
    qtbot.waitUntil(lambda: not panel._worker.busy)
    old = ref(session.trace)
    panel.hide()
    with qtbot.waitSignal(session.trace_changed, timeout=60_000):
        session.open(photo=picture(tmp_path / "other.png", (64, 64), seed=1), model=model)
    qtbot.waitUntil(lambda: session.busy is None and not session.maps._tiles_worker.busy)

    def gone() -> bool:
        collect()
        return old() is None

    qtbot.waitUntil(gone, timeout=5_000)
    panel.show()
    if kind is not WindowsPanel:
        qtbot.waitUntil(lambda: len(panel.view.pictures) > 0)
