"""The panels of numbers: the statistics of heads, by mouse and keyboard, and when numbers are computed at all."""

import copy
import csv
import gc
import threading
import weakref

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QFileDialog
from steps import dock_of, opened, picture, settled, show

import vitviz
from vitviz.app.panels.lens import compute as lens
from vitviz.app.session import measures
from vitviz.app.session.view_state import Hover
from vitviz.app.ui import theme
from vitviz.app.widgets.matrix.heat_table import Cell
from vitviz.app.widgets.mosaic.layout import Target
from vitviz.batch.statistics import over_photos
from vitviz.models.loading import load_model


def middle(view, row, column):
    return view.box(Cell(row, column)).center().toPoint()


def spot(plot, layer, head):
    return plot.place(Target(layer, head)).toPoint()


def test_nothing_is_computed_while_a_panel_is_closed(shown, qtbot, monkeypatch):
    asked = []
    lens_of, statistics_of = lens.lens_of, measures.statistics_of
    monkeypatch.setattr(lens, "lens_of", lambda *what: asked.append("lens") or lens_of(*what))
    monkeypatch.setattr(
        measures, "statistics_of", lambda *what: asked.append("statistics") or statistics_of(*what)
    )
    for name in ("lens", "statistics"):
        assert not shown.panel(name).isVisible()
    assert not asked
    opened(shown, qtbot, "lens")
    assert asked == ["lens"]
    dock_of(shown, "predictions").raise_()  # a panel behind a tab is not seen either
    qtbot.waitUntil(lambda: not shown.panel("lens").isVisible())
    show(shown, qtbot, shown.session.photo.path, shown.session.model)
    assert asked == ["lens"]
    opened(shown, qtbot, "lens")
    assert asked == ["lens", "lens"]


def test_a_closed_panel_keeps_no_old_trace(shown, qtbot):
    for name in ("predictions", "lens", "statistics", "tokens", "faithfulness"):
        opened(shown, qtbot, name)
        dock_of(shown, name).close()
    trace = weakref.ref(shown.session.trace)
    show(shown, qtbot, shown.session.photo.path, shown.session.model)
    qtbot.waitUntil(lambda: gc.collect() >= 0 and trace() is None)


def grid_of(plot):
    """The row of 0 in the picture, and how many rows a unit has, by the lines of the grid and the axis's numbers."""
    picture, box = plot.grab().toImage(), plot.charts[0].vb.sceneBoundingRect()
    line = QColor(theme.colors(plot.palette()).line)
    rows = [y for y in range(picture.height()) if picture.pixelColor(round(box.left()) + 2, y) == line]
    axis, (low, high) = plot.charts[0].getAxis("left"), plot.charts[0].viewRange()[1]
    _, values = axis.tickValues(low, high, box.height())[0]
    assert values[0] == 0
    assert len(rows) == len(values) > 1
    return rows[-1], (rows[-1] - rows[0]) / values[-1]


def test_dots_lie_at_the_heads_distances(shown, qtbot):
    panel = opened(shown, qtbot, "statistics")
    plot, layers = panel.plot, vitviz.statistics(shown.session.trace).layers
    zero, unit = grid_of(plot)
    box = plot.charts[0].vb.sceneBoundingRect()
    for layer, one in enumerate(layers):
        for head, distance in enumerate(one.distance):
            place = plot.place(Target(layer, head))
            assert place.y() == pytest.approx(zero - distance * unit, abs=1.5)
            assert (
                box.left() + layer * box.width() / 3 < place.x() < box.left() + (layer + 1) * box.width() / 3
            )
            assert plot.at(place) == Target(layer, head)
        across = [plot.place(Target(layer, head)).x() for head in range(3)]
        assert across[0] < across[1] < across[2]
    assert plot.charts[0].title.text().startswith("input pixels")
    accent = QColor(theme.colors(plot.palette()).accent)
    for layer, head in ((1, 2), (2, 0)):
        shown.session.change(layer=layer, head=head)
        picture = plot.grab().toImage()
        red = [
            Target(one, two)
            for one in range(3)
            for two in range(3)
            if picture.pixelColor(spot(plot, one, two)) == accent
        ]
        assert red == [Target(layer, head)]


def test_pointing_at_a_dot_previews_the_head_and_a_click_selects_it(shown, qtbot):
    panel = opened(shown, qtbot, "statistics")
    plot, session = panel.plot, shown.session
    plot.grab()
    qtbot.mouseMove(plot, spot(plot, 1, 2))
    assert session.hover == Hover(tile=(1, 2))
    one = vitviz.statistics(session.trace).layers[1]
    ratio = one.distance[2] / float(one.uniform_distance)
    assert f"{one.distance[2]:.0f} px, {ratio:.2f}× even attention" in panel.says.whole
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=spot(plot, 1, 2))
    assert (session.view.layer, session.view.head, session.view.method) == (1, 2, "attention")
    assert panel.matrix.selected == ({2}, set())
    assert "Layer 1" in panel.alike.whole
    qtbot.mouseMove(plot, QPoint(1, 1))
    assert session.hover == Hover()
    box = plot.charts[0].vb.sceneBoundingRect()
    number = QPoint(round(box.left() + box.width() / 6), round(box.bottom() + 10))
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=number)
    assert (session.view.layer, session.view.head) == (0, None)
    session.change(method="gradient_attention")
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=spot(plot, 1, 2))
    assert (session.view.layer, session.view.head, session.view.method) == (1, 2, "gradient_attention")


def test_dots_by_keyboard(shown, qtbot):
    panel = opened(shown, qtbot, "statistics")
    plot, session = panel.plot, shown.session
    plot.setFocus(Qt.FocusReason.TabFocusReason)
    distances = vitviz.statistics(session.trace).layers[1].distance
    qtbot.keyClick(plot, Qt.Key.Key_Right)
    assert session.hover == Hover(tile=(1, 0))
    for _ in range(3):
        qtbot.keyClick(plot, Qt.Key.Key_Down)
    assert session.hover == Hover(tile=(1, int(distances.argmin())))
    qtbot.keyClick(plot, Qt.Key.Key_Up)
    qtbot.keyClick(plot, Qt.Key.Key_Return)
    assert (session.view.layer, session.view.head) == (1, int(np.argsort(distances)[1]))
    assert session.view.query is None


def test_other_quantities(shown, qtbot):
    panel = opened(shown, qtbot, "statistics")
    names = [panel.quantity.itemText(index) for index in range(panel.quantity.count())]
    assert "share on the class token" in names
    assert "share on padding" not in names
    layers = vitviz.statistics(shown.session.trace).layers
    for name, field in (
        ("entropy", "entropy"),
        ("mean attention distance, not renormalised", "distance_unnormalised"),
    ):
        panel.quantity.setCurrentIndex(names.index(name))
        for dots, one in zip(panel.plot.dots.values, layers, strict=True):
            np.testing.assert_allclose(dots, getattr(one, field), rtol=1e-5, atol=1e-8)
    panel.quantity.setCurrentIndex(names.index("share on the class token"))
    np.testing.assert_allclose(panel.plot.dots.values[0], layers[0].prefix[0], rtol=1e-5, atol=1e-8)
    assert panel.plot.dots.even[0] == pytest.approx(1 / 65)
    panel.plot.grab()
    qtbot.mouseMove(panel.plot, spot(panel.plot, 0, 1))
    assert "× uniform of attention" in panel.says.whole


def test_the_matrix_compares_the_heads_of_the_selected_layer(shown, qtbot):
    panel = opened(shown, qtbot, "statistics")
    shown.session.change(layer=0)
    similarity = vitviz.statistics(shown.session.trace).layers[0].similarity
    np.testing.assert_allclose(panel.matrix.table.values, similarity, rtol=1e-5)
    panel.matrix.grab()
    qtbot.mouseMove(panel.matrix, middle(panel.matrix, 2, 1))
    assert shown.session.hover == Hover(tile=(0, 2))
    assert f"heads 2 and 1: cosine {similarity[2, 1]:.2f}" in panel.alike.whole
    qtbot.mouseClick(panel.matrix, Qt.MouseButton.LeftButton, pos=middle(panel.matrix, 2, 1))
    assert (shown.session.view.layer, shown.session.view.head) == (0, 2)


@pytest.fixture
def folder(tmp_path):
    """Three photos, one of them broken."""
    made = tmp_path / "many"
    made.mkdir()
    for seed in range(2):
        picture(made / f"{seed}.png", (80, 70), seed)
    (made / "2.png").write_bytes(b"no picture")
    return made


def test_over_a_folder_and_back(shown, qtbot, folder, tmp_path, monkeypatch):
    panel = opened(shown, qtbot, "statistics")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    qtbot.mouseClick(panel.over, Qt.MouseButton.LeftButton)
    assert panel.card.isVisible()
    qtbot.waitUntil(lambda: panel.shown().photos == 2)
    assert not panel.card.isVisible()
    expected = over_photos(shown.session.model, [folder / name for name in ("0.png", "1.png", "2.png")])
    np.testing.assert_allclose(panel.plot.dots.values[1], expected.mean.layers[1].distance, rtol=1e-5)
    np.testing.assert_allclose(panel.plot.dots.spread[1], expected.deviation.layers[1].distance, rtol=1e-5)
    assert "Mean over 2 photos of the folder many" in panel.note.text()
    assert "cannot be read: 2.png" in panel.note.text()
    qtbot.wait(50)  # the note takes its room, which moves the dots
    panel.plot.grab()
    qtbot.mouseMove(panel.plot, spot(panel.plot, 1, 0))
    qtbot.waitUntil(lambda: "between photos" in panel.says.whole)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "numbers"), ""))
    qtbot.mouseClick(panel.export, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: (tmp_path / "numbers.csv").is_file())
    with open(tmp_path / "numbers.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert float(lines[3]["distance in input pixels"]) == expected.mean.layers[1].distance[0]
    qtbot.mouseClick(panel.back, Qt.MouseButton.LeftButton)
    own = vitviz.statistics(shown.session.trace).layers[1].distance
    np.testing.assert_allclose(panel.plot.dots.values[1], own, rtol=1e-5, atol=1e-8)
    assert not panel.back.isVisible()


def test_work_over_a_folder_is_stopped_and_a_folder_without_photos_is_reported(
    shown, qtbot, folder, tmp_path
):
    panel = opened(shown, qtbot, "statistics")
    panel.over_folder(folder)
    qtbot.mouseClick(panel.card.cancel, Qt.MouseButton.LeftButton)
    assert not panel.card.isVisible()
    assert not panel.folder.busy
    qtbot.wait(50)
    assert panel.folder.summary is None
    assert panel.shown().photos == 0
    panel.over_folder(folder)
    assert [job.title for job in shown.session.jobs.jobs] == ["Statistics over many"]
    qtbot.mouseClick(shown.jobs.cancel, Qt.MouseButton.LeftButton)  # in the status bar, like any job
    assert not panel.card.isVisible()
    assert not panel.folder.busy
    (tmp_path / "none").mkdir()
    with qtbot.waitSignal(shown.session.failed) as caught:
        panel.over_folder(tmp_path / "none")
    assert "no picture in the folder none" in caught.args[0].message


def test_another_models_numbers_replace_those_of_a_folder(shown, qtbot, folder, photo, swin):
    panel = opened(shown, qtbot, "statistics")
    panel.over_folder(folder)
    qtbot.waitUntil(lambda: panel.shown().photos == 2)
    show(shown, qtbot, folder / "0.png", shown.session.model)
    qtbot.waitUntil(lambda: settled(panel))
    assert panel.shown().photos == 2  # another photo of the same model
    show(shown, qtbot, photo, swin)
    qtbot.waitUntil(lambda: settled(panel))
    assert panel.folder.summary is None
    assert panel.shown().photos == 0
    assert len(panel.plot.dots.values) == 4
    assert "share on the class token" not in [
        panel.quantity.itemText(index) for index in range(panel.quantity.count())
    ]


def test_a_folders_numbers_do_not_outlive_their_model_though_another_has_its_name(
    shown, qtbot, folder, photo, model
):
    panel = opened(shown, qtbot, "statistics")
    panel.over_folder(folder)
    qtbot.waitUntil(lambda: panel.shown().photos == 2)
    twin = load_model(copy.deepcopy(model.module), device="cpu")
    assert (twin.name, twin.parameters) == (model.name, model.parameters)
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        shown.session.open(model=twin)
    assert panel.folder.summary is None
    assert panel.shown().photos == 0
    assert not panel.note.isVisible()
    qtbot.waitUntil(lambda: settled(panel))
    own = vitviz.statistics(shown.session.trace).layers[1].distance
    np.testing.assert_allclose(panel.plot.dots.values[1], own, rtol=1e-5, atol=1e-8)


def test_a_folders_numbers_do_not_outlive_their_framing(shown, qtbot, folder):
    panel = opened(shown, qtbot, "statistics")
    panel.over_folder(folder)
    qtbot.waitUntil(lambda: panel.shown().photos == 2)
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        shown.framings.actions()[1].trigger()
    assert shown.session.framing == "squash"
    assert panel.folder.summary is None
    assert panel.shown().photos == 0


@pytest.mark.parametrize("name", ["lens", "statistics"])
def test_another_models_numbers_cannot_be_pointed_at_while_the_new_ones_are_awaited(
    shown, qtbot, photo, monkeypatch, name
):
    import timm

    panel = opened(shown, qtbot, name)
    view = panel.view if name == "lens" else panel.plot
    place = middle(view, 0, 3) if name == "lens" else spot(view, 2, 2)
    go = threading.Event()
    for module, function in ((lens, "lens_of"), (measures, "statistics_of")):
        real = getattr(module, function)
        monkeypatch.setattr(module, function, lambda *what, real=real: go.wait(20) and real(*what))
    options = {"img_size": 64, "patch_size": 8, "num_heads": 2, "num_classes": 50}
    other = vitviz.load_model(timm.create_model("vit_tiny_patch16_224", depth=1, **options), device="cpu")
    try:
        show(shown, qtbot, photo, other)
        qtbot.mouseMove(view, place + QPoint(1, 1))
        qtbot.mouseMove(view, place)
        assert shown.session.hover == Hover()
        qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=place)
        shown.session.change(target=40)
        assert shown.session.view.layer == 0
    finally:
        go.set()
    qtbot.waitUntil(lambda: settled(panel))
    qtbot.waitUntil(lambda: view.accessibleDescription() != "")
    if name == "lens":
        assert 40 in panel.shown().classes
    else:
        assert [len(values) for values in panel.plot.dots.values] == [2]
