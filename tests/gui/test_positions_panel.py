"""The panel of positions: real pointers and keys on real models, against the models' own data."""

import hands
import numpy as np
import torch
from PySide6.QtCore import QPoint, Qt
from steps import picture, show

from vitviz.app.panels.positions.panel import PositionsPanel
from vitviz.app.widgets.pictures.gallery import Spot
from vitviz.explain.internals import positions
from vitviz.models.loading import load_model
from vitviz.render.picture_rows import colored


def subject(panel: PositionsPanel) -> str:
    """Whose logits are drawn."""
    split = panel.shown().split
    return "" if split is None else split.subject


def test_similarity_shows_the_map_of_the_position_that_is_pointed_at(opened, model, qtbot):
    panel = opened(PositionsPanel, model)
    session = panel.session
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
    hands.choose(panel.mode, "components")
    expected = np.round(positions.components(session.trace).colors * 255)
    np.testing.assert_allclose(panel.view.pictures[0].pixels, expected, atol=1)
    hands.choose(panel.mode, "norm")
    assert "× the mean" in panel.says.whole
    hands.choose(panel.mode, "split")  # barred, with the reason
    assert panel.mode.current == "norm"
    assert "before the first layer" in panel.mode.barred["split"]
    told = panel.mode.accessibleDescription()  # by ear too
    assert "in the logits cannot be chosen: " in told
    assert "before the first layer" in told


def test_a_resized_table_is_shown_beside_the_stored_one(opened, model, qtbot, tmp_path):
    panel = opened(PositionsPanel, model)
    session = panel.session
    with qtbot.waitSignal(session.trace_changed, timeout=60_000):
        session.open(photo=picture(tmp_path / "tall.png", (60, 120)), framing="fit")
    qtbot.waitUntil(lambda: panel.which.isVisible())
    assert "Interpolated from 8×8 to" in panel.changed.text()
    hands.choose(panel.which, "both")
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
    hands.choose(panel.mode, "norm")
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
    panel.session.change(head=2)
    panel.session.pin((1, 2))
    qtbot.waitUntil(lambda: subject(panel) == "patch (1, 2)")
    found = positions.split(panel.session.trace, 0, (1, 2))
    numbers = f"class {found.content[2, 0]:+.2f} {found.position[2, 0]:+.2f} = {found.logits[2, 0]:+.2f}"
    assert numbers.replace("-", "−") in panel.changed.text().replace("\u00a0", " ")
    assert panel.changed.isVisible()
    hands.choose(panel.mode, "similarity")  # barred
    assert panel.mode.current == "split"


def test_logits_follow_the_query_and_a_key_is_read_in_numbers(opened, swin, qtbot):
    panel = opened(PositionsPanel, swin)
    session = panel.session
    session.change(layer=1, head=1)
    session.pin((5, 9))
    qtbot.waitUntil(lambda: subject(panel) == "patch (5, 9)")
    assert panel.mode.current == "split"
    assert "no table of positions" in panel.mode.barred["similarity"]
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


def test_arrow_keys_read_the_keys_of_a_query_and_enter_makes_one_the_query(window, qtbot, photo, swin):
    show(window, qtbot, photo, swin)
    session = window.session
    session.change(layer=1, head=1)
    session.pin((5, 9))
    panel = window.docks.reveal("positions")
    qtbot.waitUntil(lambda: subject(panel) == "patch (5, 9)")
    found = panel.shown().split
    window.activateWindow()
    qtbot.waitUntil(panel.view.isVisible)
    panel.view.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.waitUntil(panel.view.hasFocus)
    assert "Logits of patch (5, 9)" in panel.view.accessibleDescription()
    row, column = found.place
    qtbot.keyClick(panel.view, Qt.Key.Key_Left)
    expected = (row, column - 1) if column else (row, column)
    assert panel.view.hovered == Spot(0, *expected)
    total = f"= {found.picture(found.logits, 1)[expected]:+.2f} logits".replace("-", "−")
    assert total in panel.says.whole
    assert total in panel.view.accessibleDescription()
    assert session.selection.query == (5, 9)  # not the window's own arrow keys
    for _ in range(5):
        qtbot.keyClick(panel.view, Qt.Key.Key_Down)
    assert panel.view.hovered == Spot(0, 3, expected[1])  # stays on the window of 4×4
    token = int(found.keys.reshape(4, 4)[3, expected[1]])
    qtbot.keyClick(panel.view, Qt.Key.Key_Return)
    assert session.view.query == divmod(token, 16)
    qtbot.waitUntil(lambda: panel.shown().split is not found)
    assert panel.says.whole.startswith("Key (")  # the key is still read, now beside the new query's
    panel.mode.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.waitUntil(lambda: panel.view.hovered is None)
    assert panel.says.whole.startswith("Logits of patch (")


def test_arrow_keys_still_move_the_query_where_there_are_no_keys_to_read(window, qtbot, photo, model):
    show(window, qtbot, photo, model)
    window.session.pin((3, 3))
    panel = window.docks.reveal("positions")
    qtbot.waitUntil(lambda: len(panel.view.pictures) > 0)
    window.activateWindow()
    qtbot.waitUntil(panel.view.isVisible)
    panel.view.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.waitUntil(panel.view.hasFocus)
    qtbot.keyClick(panel.view, Qt.Key.Key_Down)
    assert window.session.view.query == (4, 3)


def test_position_of_every_head_is_shown_and_a_click_takes_its_head_apart(opened, swin, qtbot):
    panel = opened(PositionsPanel, swin)
    session = panel.session
    session.change(layer=1)
    session.pin((5, 9))
    qtbot.waitUntil(lambda: subject(panel) == "patch (5, 9)")
    hands.choose(panel.mode, "bias")
    qtbot.waitUntil(lambda: [one.caption for one in panel.view.pictures] == ["head 0", "head 1"])
    found = positions.split(session.trace, 1, (5, 9))
    seen = np.where(found.mask < 0, np.nan, found.position)
    limit = float(np.nanmax(np.abs(seen)))
    for head in (0, 1):
        expected = colored(seen[head].reshape(4, 4), -limit, limit)
        np.testing.assert_allclose(panel.view.pictures[head].pixels, expected, atol=4)
    qtbot.mouseMove(panel.view, panel.view.cell_box(Spot(1, *found.place)).center().toPoint())
    told = f"head 1: position {found.picture(found.position, 1)[found.place]:+.2f} logits".replace("-", "−")
    assert told in panel.says.whole
    qtbot.mouseClick(panel.view, Qt.MouseButton.LeftButton, pos=panel.view.boxes()[1].center().toPoint())
    assert session.view.head == 1
    qtbot.waitUntil(lambda: len(panel.view.pictures) == 4)
    assert panel.mode.current == "split"
    assert session.view.query == (5, 9)


def test_logits_that_come_late_do_not_take_the_place_of_a_table(opened, qtbot):
    import timm

    torch.manual_seed(4)
    options = {"img_size": 56, "embed_dim": 48, "depth": 1, "num_heads": 3, "num_classes": 4}
    module = timm.create_model("eva02_tiny_patch14_224", **options)  # a table, and rotations in the logits
    panel = opened(PositionsPanel, load_model(module, device="cpu"))
    qtbot.waitUntil(lambda: panel.shown().mode == "similarity")
    assert panel.mode.barred == {}
    hands.choose(panel.mode, "split")
    assert panel.busy
    hands.choose(panel.mode, "norm")
    assert not panel.busy
    qtbot.wait(300)
    assert (panel.shown().mode, panel.shown().split) == ("norm", None)
    hands.choose(panel.mode, "split")
    qtbot.waitUntil(lambda: panel.shown().mode == "split")
    assert [one.caption for one in panel.shown().pictures][-1] == "attention"
