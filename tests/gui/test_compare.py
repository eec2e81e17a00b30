"""Two photos or two models side by side: linked by place, on one colour scale."""

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication
from steps import picture

from vitviz.app.dialogs import files
from vitviz.app.session import colour_scale
from vitviz.app.session.comparison import patch_at, place_of, same_class, same_depth, same_place
from vitviz.explain import explain
from vitviz.explain.registry import find


@pytest.fixture
def split(shown, qtbot, swin):
    """The window with the small Swin beside the small ViT, on the same photo."""
    comparison = shown.stage.compare(model=swin)
    qtbot.waitUntil(lambda: comparison.second.trace is not None, timeout=20_000)
    qtbot.waitUntil(lambda: comparison.second.heatmap is not None, timeout=20_000)
    return shown


def over(panel, trace, row, column):
    """The point of a panel's canvas over the middle of a patch, from the framing alone."""
    x, y = trace.framing.polygon(trace.patches, row, column).mean(axis=0)
    view = panel.canvas.viewport
    return QPointF(view.left + x * view.scale, view.top + y * view.scale).toPoint()


def test_the_second_side_shows_the_same_photo_by_another_model(split, swin):
    second = split.stage.comparison.second
    assert second.photo is split.session.photo
    assert second.model is swin
    assert split.stage.second.isVisible()
    assert split.stage.caption.name.whole.startswith("wide.png · ")
    assert split.stage.second.caption.name.whole == f"wide.png · {swin.name}"
    best = second.trace.predictions(1)[0]
    assert split.stage.second.caption.classes.whole.startswith(f"{best.label} {best.probability:.1%}")
    names = {split.photo.canvas.accessibleName(), split.stage.second.photo.canvas.accessibleName()}
    assert len(names) == 2
    widths = [split.photo.width(), split.stage.second.width()]
    assert abs(widths[0] - widths[1]) < 20  # neither is the smaller one


def test_the_pointer_on_one_side_is_at_the_same_place_on_the_other(split, qtbot):
    first, second = split.session, split.stage.comparison.second
    qtbot.mouseMove(split.photo.canvas, over(split.photo, first.trace, 2, 5))
    assert first.hover.patch == (2, 5)
    assert second.hover.patch == (5, 11)  # the 8×8 patch's middle is a corner of the 16×16 grid
    here, there = place_of(first.trace, (2, 5)), place_of(second.trace, second.hover.patch)
    assert np.abs(np.subtract(here, there)).max() < 0.05
    qtbot.mouseMove(split.stage.second.photo.canvas, over(split.stage.second.photo, second.trace, 13, 0))
    assert second.hover.patch == (13, 0)
    assert first.hover.patch == (6, 0)


def test_a_click_and_a_key_on_either_side_select_on_both(split, qtbot):
    first, second = split.session, split.stage.comparison.second
    panel = split.stage.second.photo
    qtbot.mouseClick(panel.canvas, Qt.MouseButton.LeftButton, pos=over(panel, second.trace, 13, 0))
    assert (second.view.query, first.view.query) == ((13, 0), (6, 0))
    assert first.view.pinned
    split.session.change(layer=0)
    assert second.view.layer == 0
    second.change(layer=3)
    assert first.view.layer == 2  # the last of three, as it was the last of four
    split.session.change(method="rollout", colormap="magma")
    assert (second.view.method, second.view.colormap) == ("rollout", "magma")


def test_both_sides_have_one_colour_scale_until_the_end(split, qtbot):
    first, second = split.session, split.stage.comparison.second
    first.change(layer=1)
    qtbot.waitUntil(lambda: not first.maps.heat_late and not second.maps.heat_late)
    assert first.heatmap.unit == second.heatmap.unit
    most = max(first.heatmap.values.max(), second.heatmap.values.max())
    qtbot.waitUntil(lambda: first.shared_range is not None and first.shared_range[1] == pytest.approx(most))
    assert first.shared_range == second.shared_range
    assert first.heatmap.values.max() != pytest.approx(second.heatmap.values.max())
    split.commands["compare_end"].trigger()
    assert first.shared_range is None


def test_the_end_of_a_comparison_leaves_the_first_side_alone(split, qtbot):
    trace, heat = split.session.trace, split.session.heatmap
    button = split.stage.second.buttons["close"]
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert split.stage.comparison is None
    assert split.stage.second is None
    assert not split.stage.caption.isVisible()
    assert split.photo.controls.isVisible()
    assert split.photo.isAncestorOf(split.photo.controls)
    assert (split.session.trace, split.session.heatmap) == (trace, heat)
    split.session.change(layer=0)
    assert split.session.view.layer == 0


def test_another_photo_is_chosen_by_a_command_and_another_dropped_on_its_side(
    shown, qtbot, tmp_path, monkeypatch
):
    tall = picture(tmp_path / "tall.png", (70, 120), seed=3)
    monkeypatch.setattr(files, "ask_photo", lambda *_: tall)
    shown.commands["compare_photo"].trigger()
    second = shown.stage.comparison.second
    qtbot.waitUntil(lambda: second.trace is not None, timeout=20_000)
    assert (second.photo.path, second.model) == (tall, shown.session.model)
    square = picture(tmp_path / "square.png", (90, 90), seed=4)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(square))])
    copy, left, none = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    side = shown.stage.second
    QApplication.sendEvent(side, QDragEnterEvent(side.rect().center(), copy, data, left, none))
    QApplication.sendEvent(side, QDropEvent(QPointF(20, 200), copy, data, left, none))
    qtbot.waitUntil(lambda: second.photo.path == square, timeout=20_000)
    assert shown.session.photo.path.name == "wide.png"


def test_a_photo_that_cannot_be_opened_is_reported_and_the_comparison_stays(split, qtbot, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    second = split.stage.comparison.second
    before = second.trace
    with qtbot.waitSignal(second.failed, timeout=20_000):
        split.stage.compare(photo=broken)
    assert "broken.png" in split.notice.sentence.text()
    assert second.trace is before


def test_places_depths_and_classes_of_two_traces(split, model):
    here, there = split.session.trace, split.stage.comparison.second.trace
    assert [same_depth(layer, here, there) for layer in range(3)] == [0, 2, 3]
    assert [same_depth(layer, there, here) for layer in range(4)] == [0, 1, 1, 2]
    for patch in ((0, 0), (7, 7), (3, 6)):
        assert patch_at(here, place_of(here, patch)) == patch
        assert same_place(patch, here, here) == patch
    assert same_class(3, here, here) == 3
    assert same_class(None, here, there) is None
    assert same_class(11, here, there) is None  # the Swin has five classes


def shared_by_hand(split):
    """The scale of both sides, from what each paints."""
    view = split.session.view
    ends = []
    for session in (split.session, split.stage.comparison.second):
        asked = {name: getattr(session.selection, name) for name in find(view.method).axes}
        painted = colour_scale.painted(view, explain(session.trace, view.method, **asked))
        ends.append(colour_scale.own_scale(view, colour_scale.extent(painted)))
    return min(low for low, _ in ends), max(high for _, high in ends)


@pytest.mark.parametrize("method", ["rollout", "input_gradient"])
def test_the_common_scale_follows_the_rule_that_is_chosen_and_what_is_painted(split, qtbot, method):
    first, second = split.session, split.stage.comparison.second
    first.change(method=method)
    for changes in (
        {"scale": "zero"},
        {"scale": "range"},
        {"pixels": False},
        {"pixels": True},
        {"scale": "auto"},
    ):
        first.change(**changes)
        qtbot.waitUntil(lambda: not first.maps.busy and not second.maps.busy, timeout=20_000)
        wanted = shared_by_hand(split)
        for session in (first, second):
            assert session.shared_range == pytest.approx(wanted, rel=1e-5), changes
