"""The status line: what the map is of, the number with what it compares to, the class and the layer."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QFileDialog
from steps import show as begin

from vitviz.app.ui import number_format
from vitviz.app.window import status_bar
from vitviz.attention.self_check.claims import fails, holds, unproved
from vitviz.attention.self_check.outputs import Check


def show(shown, qtbot, **changes) -> None:
    with qtbot.waitSignal(shown.session.heatmap_changed, timeout=20_000):
        shown.session.change(**changes)


@pytest.mark.parametrize("target", [None, 7])
def test_the_class_that_is_explained_is_named_with_its_probability(shown, qtbot, target):
    show(shown, qtbot, method="relevance", target=target, layer=1)
    logits = shown.session.trace.logits.astype(float)
    chosen = int(logits.argmax()) if target is None else target
    share = np.exp(logits[chosen]) / np.exp(logits).sum()
    text = shown.status.where.whole
    assert (
        text
        == f"Relevance for {shown.session.model.labels[chosen]}, {share:.1%} · up to layer 1 (blocks.1.attn)"
    )
    assert f"class {chosen}" in shown.photo.title.whole


def test_a_method_without_a_query_is_of_a_class_and_pointing_reads_its_values(shown, qtbot, at):
    shown.session.pin((1, 1))
    shown.session.change(pixels=False)
    show(shown, qtbot, method="gradcam", target=3)
    session = shown.session
    assert shown.status.query.text().startswith(f"Class {session.model.labels[3]}, ")
    assert "pinned" not in shown.status.query.text()
    session.unpin()
    for patch in ((2, 2), (6, 1)):  # a pointer that is there already, from a test before, does not move
        qtbot.mouseMove(shown.photo.canvas, at(shown, *patch))
    values = session.heatmap.values
    expected = f"{values[6, 1] / np.abs(values).max():.0%} of the strongest"
    assert (
        shown.status.weight.text() == f"patch (6, 1) {number_format.number(float(values[6, 1]))}, {expected}"
    )


def test_rolled_out_shares_compare_with_uniform_and_others_do_not(shown, qtbot):
    show(shown, qtbot, method="rollout")
    assert "× uniform" in shown.status.weight.text()
    show(shown, qtbot, method="relevance")
    assert "uniform" not in shown.status.weight.text()
    assert shown.status.weight.text().endswith("relevance")


def test_several_patches_are_counted(shown, qtbot, at):
    for patch in ((2, 5), (6, 1), (3, 3)):
        qtbot.mouseClick(
            shown.photo.canvas,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.ShiftModifier,
            at(shown, *patch),
        )
    assert shown.status.query.text() == "The mean of 3 patches · pinned"
    rows = [shown.session.trace.layers[2].row(1 + 8 * r + c).mean(0)[1:] for r, c in ((2, 5), (6, 1), (3, 3))]
    strongest = np.mean(rows, 0).max()
    assert number_format.number(float(strongest)) in shown.status.weight.text()


def test_the_badge_explains_itself_by_click(shown, qtbot):
    qtbot.mouseClick(shown.status.badge, Qt.MouseButton.LeftButton)
    said = [
        widget for widget in QApplication.topLevelWidgets() if "WhatsThat" in widget.metaObject().className()
    ]
    assert said
    for widget in said:
        widget.close()


@pytest.fixture
def half(model):
    """The small ViT in bfloat16."""
    import copy

    import torch

    from vitviz.models.loading import load_model

    return load_model(copy.deepcopy(model.module).to(torch.bfloat16), device="cpu")


def test_half_precision_is_marked_beside_full_precision(shown, qtbot, half, photo, tmp_path, monkeypatch):
    assert "float" not in shown.status.about.whole + shown.tools.model.text()
    shown.stage.compare(model=half)
    qtbot.waitUntil(lambda: shown.stage.comparison.second.trace is not None, timeout=20_000)
    first, second = shown.stage.caption, shown.stage.second.caption
    assert second.name.whole == f"{photo.stem}.png · {half.name} (bfloat16)"
    assert "float" not in first.name.whole
    shown.stage.end()
    begin(shown, qtbot, photo, half)
    assert " · CPU · bfloat16 · " in shown.status.about.whole
    assert "(bfloat16)" in shown.tools.model.text()
    target = tmp_path / "half.png"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))
    qtbot.keyClick(shown, Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(target.exists, timeout=20_000)
    assert Image.open(target).text["Model"] == f"{half.name} (bfloat16)"


def test_the_badge_says_exact_only_if_all_five_claims_hold():
    weights, place = (
        holds("weights", "by comparison"),
        fails("place", "A token <is> elsewhere.", "by pictures"),
    )
    check = Check({"blocks.0": 3e-7}, 1e-5, "float32", claims=(weights, weights))
    assert status_bar.badge_text(check) == "exact, 3e-7"
    assert "✓&nbsp;<b>weights</b>" in status_bar.badge_details(check)
    check = replace(check, claims=(weights, place, unproved("order", "Not yet.")))
    assert status_bar.badge_text(check) == "1 of 3 claims proved, 3e-7"
    details = status_bar.badge_details(check)
    assert details.startswith(
        "<p style='margin-bottom: 6px'><b>One claim fails: maps that need it are refused.</b>"
    )
    when = place.when.strftime("%H:%M:%S")
    assert "✗&nbsp;<b>place</b>" in details
    assert "A token &lt;is&gt; elsewhere." in details
    assert f"Found by pictures, at {when}." in details
    assert "–&nbsp;<b>order</b>" in details
    assert "Not yet." in details
    assert (
        f"Proved by comparison, at {weights.when:%H:%M:%S}. Largest relative error 3e-7, allowed 1e-5"
        in details
    )
    assert status_bar.badge_text(replace(check, errors={"blocks.0": 1.0})) == "not exact, 1e+00"
