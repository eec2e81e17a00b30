"""What is saved and copied of a comparison: both sides, with their captions and their scale."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog
from steps import include, picture

from vitviz.app.session import colour_scale
from vitviz.models.loading import load_model
from vitviz.render import export, pair

CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def ready(qtbot):
    """Wait until both sides show what is asked for."""

    def wait(window):
        both = (window.session, window.stage.comparison.second)

        def there(session):
            shown = session.maps.shown
            return session.busy is None and shown is not None and shown.selection == session.selection

        qtbot.waitUntil(lambda: all(map(there, both)), timeout=20_000)
        return both

    return wait


@pytest.fixture
def saved(qtbot, tmp_path, monkeypatch):
    """Save by the key, and open what was written."""

    def save(window):
        target = tmp_path / "both.png"
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))
        qtbot.keyClick(window, Qt.Key.Key_S, CONTROL)
        qtbot.waitUntil(lambda: "Saved both.png" in window.toast.words.text(), timeout=20_000)
        return Image.open(target)

    return save


def overlay(session):
    style = colour_scale.picture(session.view, session.heatmap, session.shared_range)
    return np.asarray(session.heatmap.overlay(**style).convert("RGB"))


def place(whole, part):
    """Where a picture lies in another, to the pixel; None where it does not."""
    height, width = part.shape[:2]
    for top in range(whole.shape[0] - height + 1):
        lefts = np.flatnonzero((whole[top] == part[0, 0]).all(-1))
        for left in lefts[lefts <= whole.shape[1] - width]:
            if np.array_equal(whole[top : top + height, left : left + width], part):
                return top, int(left)
    return None


def test_both_sides_are_saved_beside_each_other_on_their_one_scale(shown, qtbot, swin, ready, saved):
    shown.stage.compare(model=swin)
    first, second = ready(shown)
    shown.session.change(layer=1, colormap="magma")
    ready(shown)
    assert first.shared_range == second.shared_range
    image = saved(shown)
    whole = np.asarray(image.convert("RGB"))
    left, right = (place(whole, overlay(session)) for session in (first, second))
    assert left is not None
    assert right is not None
    assert left[0] == right[0] > 0  # level, below the captions
    assert right[1] >= left[1] + first.photo.width
    low, high = first.shared_range
    for side, session in (("Left", first), ("Right", second)):
        fields = {key.removeprefix(f"{side} "): value for key, value in image.text.items()}
        assert fields["Model"] == session.model.full_name
        assert fields["Title"] == session.heatmap.title
        assert fields["Scale"].startswith(f"{low:g} to {high:g} ")
        assert fields["Photo"] == "wide.png"
    # One bar below both: the strip under the photos is as wide as both, and its ink is not only on the left.
    below = whole[left[0] + first.photo.height :]
    assert (below.reshape(-1, 3) != 255).any()


def test_captions_say_photo_model_classes_and_map(shown, swin, ready, saved, monkeypatch):
    written = []
    real = pair.write
    monkeypatch.setattr(pair, "write", lambda *what, **more: written.append(what[2]) or real(*what, **more))
    noted = []
    monkeypatch.setattr(export, "write", lambda *what, **more: noted.append(what[2]) or real(*what, **more))
    shown.stage.compare(model=swin)
    both = ready(shown)
    saved(shown)
    said = " ".join(written)
    for session in both:
        best = session.trace.predictions(1)[0]
        assert session.model.name in said
        assert f"{best.label} {best.probability:.1%}" in said
        assert session.heatmap.title.split()[-1] in said
    assert "Left: patches sum to " in " ".join(noted)
    assert "Right: patches sum to 1.000." in " ".join(noted)


def test_photos_of_other_sizes_are_saved_level(shown, qtbot, tmp_path, ready, saved):
    shown.stage.compare(photo=picture(tmp_path / "small.png", (64, 50), 5))
    first, second = ready(shown)
    image = saved(shown)
    whole = np.asarray(image.convert("RGB"))
    assert place(whole, overlay(first)) is not None
    assert image.width > first.photo.width + 2 * second.photo.width
    assert image.text["Right Photo"] == "small.png"


@pytest.fixture(scope="module")
def mixed():
    """A CaiT, whose heads are mixed with signed weights: rollout does not apply to it."""
    torch.manual_seed(3)
    options = {"img_size": 64, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 5}
    return load_model(timm.create_model("cait_xxs24_224", **options), device="cpu")


def test_maps_of_two_units_are_saved_each_with_its_own_scale(shown, qtbot, mixed, ready, saved):
    shown.stage.compare(model=mixed)
    first, second = ready(shown)
    first.change(method="rollout")
    ready(shown)
    assert (first.shared_range, second.shared_range) == (None, None)
    scales = saved(shown).text
    assert scales["Left Method"] == "rollout"
    assert scales["Right Method"] == "attention"
    assert scales["Left Scale"] != scales["Right Scale"]


def test_without_legend_and_names_both_sides_are_saved_with_nothing_else(shown, swin, ready, saved):
    shown.stage.compare(model=swin)
    first, second = ready(shown)
    include(shown)
    whole = np.asarray(saved(shown).convert("RGB"))
    gap = whole.shape[1] - 2 * first.photo.width
    expected = np.full_like(whole, 255)
    expected[:, : first.photo.width] = overlay(first)
    expected[:, first.photo.width + gap :] = overlay(second)
    np.testing.assert_array_equal(whole, expected)


def test_one_side_without_a_map_is_left_out(shown, qtbot, tmp_path, saved):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    second = shown.stage.compare(photo=broken).second
    qtbot.waitUntil(lambda: second.busy is None, timeout=20_000)
    image = saved(shown)
    assert place(np.asarray(image.convert("RGB")), overlay(shown.session)) is not None
    assert image.text["Method"] == "attention"


def test_both_sides_are_copied_without_controls(shown, qtbot, swin, ready):
    shown.stage.compare(model=swin)
    ready(shown)
    shown.photo.canvas.setFocus()
    panels = (shown.photo, shown.stage.second.photo)
    alone = [panel.picture().toImage() for panel in panels]
    for _ in range(2):  # the second time there is a word over the photo, which is not copied
        qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_C, CONTROL)
        assert shown.toast.isVisible()
        copied = QGuiApplication.clipboard().pixmap().toImage()
        top = max(shown.stage.caption.height(), shown.stage.second.caption.height())
        assert copied.height() == top + alone[0].height()
        for image, left in zip(alone, (0, copied.width() - alone[1].width()), strict=True):
            part = copied.copy(left, top, image.width(), image.height())
            assert part.convertToFormat(image.format()) == image
