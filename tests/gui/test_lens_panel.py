"""The panel of the logit lens: by mouse and keyboard, for every readout, and where it does not apply."""

import math

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from steps import opened, settled, show

import vitviz
from vitviz.app.session.view_state import Hover
from vitviz.app.widgets.matrix.heat_table import Cell
from vitviz.models.loading import load_model
from vitviz.render.colors import lookup_table


def middle(view, row, column):
    return view.box(Cell(row, column)).center().toPoint()


def test_cells_of_the_lens_are_coloured_by_probability(shown, qtbot):
    panel = opened(shown, qtbot, "lens")
    lens = vitviz.lens(shown.session.trace)
    shares = lens.probabilities()
    leaders = lens.leaders(5)
    assert panel.view.table.rows == tuple(lens.labels[index] for index in leaders)
    assert panel.view.table.columns == ("start", "0", "1", "2")
    image = panel.view.grab().toImage()
    table = lookup_table(shown.session.view.colormap)
    for row, index in enumerate(leaders):
        for column in range(4):
            box = panel.view.box(Cell(row, column))
            color = image.pixelColor(int(box.left() + 4), int(box.top() + 4))
            heat = min(max(1 + math.log(shares[column, index]) / math.log(12), 0), 1)
            expected = table[round(heat * 255)]
            assert (color.red(), color.green(), color.blue()) == tuple(expected), (row, column)


def test_pointing_at_the_lens_previews_the_layer_and_a_click_selects_it(shown, qtbot):
    panel = opened(shown, qtbot, "lens")
    view, session = panel.view, shown.session
    qtbot.mouseMove(view, middle(view, 1, 2))
    assert session.hover == Hover(tile=(1, None))
    share = vitviz.lens(session.trace).probabilities()[2, panel.shown().classes[1]]
    assert f"{share:.1%}" in panel.says.whole
    assert "after layer 1 (blocks.1)" in panel.says.whole
    assert "uniform, rank" in panel.says.whole
    assert view.accessibleDescription() == panel.says.whole
    qtbot.mouseMove(view, middle(view, 1, 0))
    assert session.hover == Hover()  # before the first layer there is none to preview
    assert "before the first layer" in panel.says.whole
    assert session.view.layer == 2
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=middle(view, 0, 1))
    assert (session.view.layer, session.view.head) == (0, None)
    assert view.selected == (set(), {1})
    qtbot.mouseMove(view, QPoint(view.width() - 1, view.height() - 1))
    assert session.hover == Hover()


def test_a_class_of_the_lens_becomes_the_target_and_is_given_up_again(shown, qtbot):
    panel = opened(shown, qtbot, "lens")
    index = panel.shown().classes[1]
    for expected, mark in ((index, "dot"), (None, "")):
        qtbot.mouseClick(panel.view, Qt.MouseButton.LeftButton, pos=middle(panel.view, 1, None))
        assert shown.session.view.target == expected
        assert panel.view.table.marks[1] == mark
    last = int(np.argsort(shown.session.trace.logits)[0])
    shown.session.change(target=last)
    assert last in panel.shown().classes  # the chosen class is always seen


def test_the_lens_by_keyboard(shown, qtbot):
    panel = opened(shown, qtbot, "lens")
    view, session = panel.view, shown.session
    view.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.keyClick(view, Qt.Key.Key_Right)
    assert session.hover == Hover(tile=(0, None))
    qtbot.keyClick(view, Qt.Key.Key_Right)
    qtbot.keyClick(view, Qt.Key.Key_Down)
    assert "after layer 1" in panel.says.whole
    qtbot.keyClick(view, Qt.Key.Key_Return)
    assert session.view.layer == 1
    for _ in range(3):
        qtbot.keyClick(view, Qt.Key.Key_Left)
    qtbot.keyClick(view, Qt.Key.Key_Return)
    assert session.view.target == panel.shown().classes[1]
    assert session.view.query is None  # arrows did not move the query


def test_the_lens_says_what_it_means_by_stage_and_why_it_does_not_apply(window, qtbot, photo, swin):
    import timm

    panel = opened(window, qtbot, "lens")
    assert "Open a photo" in panel.empty.hint.text()
    show(window, qtbot, photo, swin)
    qtbot.waitUntil(lambda: settled(panel))
    assert "patch mergings are kept" in panel.note.text()
    assert panel.empty.isHidden()
    headless = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=1, num_classes=0)
    show(window, qtbot, photo, load_model(headless, device="cpu"))
    qtbot.waitUntil(lambda: settled(panel))
    assert "does not apply" in panel.empty.hint.text()
    assert "no classifier" in panel.empty.hint.text()
    assert not panel.view.table.values.size
    assert not panel.note.isVisible()


SMALL = {"img_size": 64, "patch_size": 16, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 6}


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("deit_tiny_distilled_patch16_224", "the mean of class and distillation"),
        ("vit_base_patch16_siglip_224", "the attention pool"),
        ("vit_relpos_small_patch16_224", "the mean of the patches"),
    ],
)
def test_every_readout_is_read_and_named(window, qtbot, photo, name, read):
    import timm
    import torch

    torch.manual_seed(4)
    module = timm.create_model(name, **SMALL).eval()
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            if key.startswith(("head", "attn_pool", "fc")) and parameter.ndim == 2:
                parameter.normal_()
    panel = opened(window, qtbot, "lens")
    show(window, qtbot, photo, load_model(module, device="cpu"))
    qtbot.waitUntil(lambda: settled(panel))
    lens = vitviz.lens(window.session.trace)
    assert read in lens.sentence
    for head in ("both", "class", "distillation"):
        if head not in ("both", *lens.heads_logits):
            continue
        window.session.change(class_head=head)
        shares = lens.probabilities(head)[:, list(panel.shown().classes)].T
        shown = [[float(words or 0) for words in row] for row in panel.view.table.words]
        np.testing.assert_allclose(shown, 100 * shares, atol=1)  # below 1 % nothing is written
        classes, leaders = list(panel.shown().classes), lens.leaders(5, head)
        assert classes[: len(leaders)] == leaders[: len(classes)]
        assert panel.shown().head == head

        def pointed(words=f"{shares[0, 1]:.1%}") -> bool:
            qtbot.mouseMove(panel.view, middle(panel.view, 0, 1))
            return words in panel.says.whole

        qtbot.waitUntil(pointed)
        qtbot.mouseMove(panel.view, QPoint(1, panel.view.height() - 1))
