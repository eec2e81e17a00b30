"""What the panels of windows, positions and patches share, and the panel of patches."""

import itertools

import hands
import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QPointF, Qt
from steps import picture

from vitviz.app.panels.patches.panel import PatchesPanel
from vitviz.app.panels.positions.panel import PositionsPanel
from vitviz.app.panels.windows.panel import WindowsPanel
from vitviz.app.widgets.pictures.gallery import GalleryPicture, PicturesView, Spot, arrange, arrange_lead
from vitviz.explain.internals import patches
from vitviz.models.loading import load_model

LAYERS = [f"layers.{stage}.blocks.{block}.attn" for stage in (0, 1) for block in (0, 1)]


def test_patches_are_pulled_apart_and_a_hovered_one_is_large(opened, model, qtbot):
    panel = opened(PatchesPanel, model)
    session = panel.session
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
    hands.choose(panel.mode, "filters")
    assert len(panel.view.pictures) == 28
    hands.choose(panel.mode, "embedding")
    assert panel.view.pictures[0].cells == (8, 8)
    assert "no convolutional stem" in panel.mode.barred["stem"]


def test_a_token_is_outlined_on_a_hybrids_finer_stem(opened, qtbot):
    import timm
    import torch

    torch.manual_seed(5)
    options = {"img_size": 64, "embed_dim": 48, "depth": 1, "num_heads": 3, "num_classes": 4}
    panel = opened(
        PatchesPanel, load_model(timm.create_model("vit_tiny_r_s16_p8_224", **options), device="cpu")
    )
    qtbot.waitUntil(lambda: len(panel.view.pictures) > 0)
    hands.choose(panel.mode, "stem")
    picture = panel.view.pictures[0]
    assert picture.pixels.shape[:2] == (16, 16)
    assert picture.cells == (2, 2)  # the tokens
    assert "8×8 to a token" in picture.caption
    qtbot.mouseMove(panel.view, panel.view.cell_box(Spot(0, 1, 0)).center().toPoint())
    assert panel.session.hover.patch == (1, 0)
    box = panel.view.cell_box(Spot(0, 1, 0))
    assert box.width() == pytest.approx(panel.view.boxes()[0].width() / 2)


@pytest.mark.parametrize(
    ("kind", "what"), [(WindowsPanel, "windows"), (PositionsPanel, "split"), (PatchesPanel, "patches")]
)
def test_what_is_shown_is_saved_as_png(opened, swin, qtbot, tmp_path, monkeypatch, kind, what):
    target = tmp_path / "saved.png"
    monkeypatch.setattr("vitviz.app.panels.plate_panel.ask_target", lambda *_: target)
    panel = opened(kind, swin)
    panel.session.pin((3, 3))
    if kind is not WindowsPanel:
        qtbot.waitUntil(lambda: len(panel.view.pictures) > 0)
    with qtbot.waitSignal(panel.session.noted, timeout=20_000) as told:
        qtbot.mouseClick(panel.export, Qt.MouseButton.LeftButton)
    assert told.args == [f"Saved saved.png in {tmp_path}"]
    with Image.open(target) as image:
        assert image.info["Plate"] == what
        assert np.asarray(image.convert("L")).std() > 5


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            WindowsPanel,
            {f"{what}-{layer}" for what in ("windows", "shifted", "matrix") for layer in LAYERS}
            | {f"merge-{layer}" for layer in LAYERS[2:]},
        ),
        (PositionsPanel, {f"{what}-{layer}" for what in ("split", "bias") for layer in LAYERS}),
        (PatchesPanel, {"patches", "filters", "embedding"}),
    ],
)
def test_all_of_a_panel_is_saved_into_a_folder(opened, swin, qtbot, tmp_path, monkeypatch, kind, names):
    folder = tmp_path / "all"
    monkeypatch.setattr("vitviz.app.panels.plate_panel.ask_folder", lambda *_: folder)
    panel = opened(kind, swin)
    with qtbot.waitSignal(panel.session.noted, timeout=60_000) as told:
        qtbot.mouseClick(panel.export_all, Qt.MouseButton.LeftButton)
    assert told.args == [f"Saved {len(names)} pictures in {folder}"]
    assert {file.name for file in folder.iterdir()} == {f"photo-{name}.png" for name in names}


@pytest.mark.parametrize("count", [1, 2, 4, 7, 28])
@pytest.mark.parametrize("room", [(420, 300), (300, 600), (1200, 300)])
def test_pictures_lie_apart_inside_the_room(count, room):
    for boxes in (arrange([1.0] * count, ["+"] * count, *room), arrange_lead([1.0] * count, *room)):
        for number, box in enumerate(boxes):
            assert box.left() >= 0
            assert box.right() <= room[0] + 1e-6
            assert box.bottom() <= room[1] + 1e-6
            assert not any(box.intersects(other) for other in boxes[number + 1 :])


def test_what_is_joined_stays_in_one_row_where_pictures_are_not_much_smaller_for_it():
    joints = ["←", "", "←", "", "←", "", ""]
    boxes = arrange([1.0] * 7, joints, 315, 300)
    for number, joint in enumerate(joints):
        if joint:
            assert boxes[number].top() == boxes[number + 1].top()
    apart = boxes[1].left() - boxes[0].right(), boxes[2].left() - boxes[1].right()
    assert apart[0] > apart[1]  # more room where a joint stands
    sums = arrange([1.0] * 4, ["+", "=", "→", ""], 500, 310)
    assert (
        sums[1].top() == sums[0].top() < sums[2].top()
    )  # four do not fit into two columns, and are larger so


def test_narrow_pictures_take_no_more_room_than_they_need():
    boxes = arrange([1.0, 0.4, 1.0, 0.6], [""] * 4, 500, 200)
    assert boxes[0].height() == pytest.approx((500 - 2 * 12 - 3 * 12) / 3)
    for one, other in itertools.pairwise(boxes):
        assert other.left() - one.right() == pytest.approx(12)


def test_a_cell_is_found_where_it_is_drawn(qtbot):
    view = PicturesView()
    qtbot.addWidget(view)
    view.resize(500, 300)
    pixels = np.zeros((3 * 5 - 1, 4 * 5 - 1, 3), np.uint8)
    view.set_pictures(
        [GalleryPicture(pixels, "a", (3, 4), gap=1), GalleryPicture(pixels, "b", (3, 4), gap=1)]
    )
    for spot in (Spot(0, 0, 0), Spot(0, 2, 3), Spot(1, 1, 2)):
        box = view.cell_box(spot)
        for corner in (QPointF(1, 1), QPointF(box.width() - 1, box.height() - 1)):
            assert view.at(box.topLeft() + corner) == spot


@pytest.mark.parametrize("kind", [WindowsPanel, PositionsPanel, PatchesPanel])
def test_a_hidden_panel_keeps_nothing_of_an_old_trace(opened, swin, model, qtbot, tmp_path, kind):
    from gc import collect
    from weakref import ref

    panel = opened(kind, swin)
    session = panel.session
    session.change(layer=1)
    session.pin((3, 3))
    qtbot.waitUntil(lambda: not panel.worker.busy)
    old = ref(session.trace)
    panel.hide()
    with qtbot.waitSignal(session.trace_changed, timeout=60_000):
        session.open(photo=picture(tmp_path / "other.png", (64, 64), seed=1), model=model)
    qtbot.waitUntil(lambda: session.busy is None)

    def gone() -> bool:
        collect()
        return old() is None

    qtbot.waitUntil(gone, timeout=20_000)  # work on it ends at its next chance
    panel.show()
    if kind is not WindowsPanel:
        qtbot.waitUntil(lambda: len(panel.view.pictures) > 0)
