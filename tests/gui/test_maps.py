"""Where maps are computed: at once, or in a thread while the old ones stay, dimmed."""

import sys
import threading

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from steps import picture, show

from vitviz.app.session import compute, prefetch
from vitviz.explain import explain


@pytest.fixture
def heavy(monkeypatch):
    """Lets nothing count as quick that has to compute many weights, as for a large model; notes where work is done."""
    done = []
    for name in ("heatmap", "head_maps"):
        real = getattr(compute, name)

        def noted(*asked, real=real, name=name):
            done.append((name, asked[1:], threading.current_thread() is threading.main_thread()))
            return real(*asked)

        monkeypatch.setattr(compute, name, noted)
    monkeypatch.setattr(compute, "INSTANT", 0)
    monkeypatch.setattr(prefetch, "BYTES", 0)
    return done


def test_a_readout_of_many_tokens_is_computed_off_the_gui_thread(window, qtbot, swin, heavy, tmp_path, at):
    show(window, qtbot, picture(tmp_path / "square.png", (64, 64)), swin)
    session = window.session
    assert session.heatmap is not None
    assert window.panel("heads").view.plan is not None
    qtbot.mouseMove(window.photo.canvas, at(window, 3, 3))
    qtbot.mouseMove(window.photo.canvas, QPoint(1, 1))
    assert session.selection.query is None
    for change in ({"layer": 0}, {"direction": "by"}, {"head": 1}):
        with qtbot.waitSignal(session.heatmap_changed, timeout=20_000):
            session.change(**change)
    expected = explain(session.trace, "attention", layer=0, head=1, direction="by")
    np.testing.assert_allclose(session.heatmap.values, expected.values, rtol=1e-5, atol=1e-8)
    qtbot.waitUntil(lambda: window.panel("heads").shown().tiles.direction == "by")
    many = [here for name, asked, here in heavy if asked[0] is None or getattr(asked[0], "query", 1) is None]
    assert many
    assert not any(many)


def test_columns_are_prepared_off_the_gui_thread_and_then_follow_the_pointer(
    shown, qtbot, heavy, model, photo, at
):
    show(shown, qtbot, photo, model)
    session = shown.session
    qtbot.waitUntil(lambda: not session.maps.preparing)
    session.change(direction="by")
    heavy.clear()
    qtbot.mouseMove(shown.photo.canvas, at(shown, 2, 5))
    assert shown.photo.title.whole.startswith("What patch (2, 5) is attended by")
    assert "patch (2, 5) is attended by" in shown.panel("heads").says.whole
    assert [here for *_, here in heavy] == [True, True]


def test_before_columns_are_prepared_they_come_from_the_thread(
    shown, qtbot, heavy, monkeypatch, model, photo
):
    stuck = threading.Event()
    monkeypatch.setattr(compute, "warm", lambda *_: stuck.wait(20))
    show(shown, qtbot, photo, model)
    heavy.clear()
    shown.session.pin((2, 5))
    with qtbot.waitSignal(shown.session.heatmap_changed, timeout=20_000):
        shown.session.change(direction="by")
    stuck.set()
    qtbot.waitUntil(lambda: shown.panel("heads").shown().tiles.direction == "by")
    assert [
        here for _, asked, here in heavy if asked[-1] == "by" or getattr(asked[0], "direction", "") == "by"
    ]
    assert not any(
        here for _, asked, here in heavy if asked[-1] == "by" or getattr(asked[0], "direction", "") == "by"
    )


def test_the_readouts_maps_are_kept_for_when_the_pointer_leaves(window, qtbot, swin, heavy, tmp_path, at):
    show(window, qtbot, picture(tmp_path / "square.png", (64, 64)), swin)
    first = window.session.heatmap
    qtbot.mouseMove(window.photo.canvas, at(window, 3, 3))
    assert window.session.heatmap is not first
    qtbot.waitUntil(lambda: not window.session.maps.preparing)
    heavy.clear()
    qtbot.mouseMove(window.photo.canvas, QPoint(1, 1))
    assert window.session.heatmap is first
    assert heavy == []


def test_while_rollout_is_computed_nothing_mixes_two_queries(shown, qtbot, gate, at):
    canvas, status = shown.photo.canvas, shown.status
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=at(shown, 2, 5))
    shown.session.change(method="rollout")
    assert (status.query.text(), status.where.whole[:7]) == ("Patch (2, 5) · pinned", "layer 2")
    qtbot.waitUntil(lambda: canvas.dimmed)
    assert status.weight.text() == "computing …"
    assert status.where.whole.casefold().startswith("rollout")
    gate.set()
    qtbot.waitUntil(lambda: shown.session.heatmap.method == "rollout")
    assert not canvas.dimmed
    assert "uniform" in status.weight.text()
    gate.clear()
    shown.session.pin((6, 6))
    # The old map stays for a moment, and what is said is said of it.
    assert status.query.text() == "Patch (2, 5)"
    assert "patch (2, 5)" in shown.photo.title.whole
    gate.set()
    qtbot.waitUntil(lambda: status.query.text() == "Patch (6, 6) · pinned")


def test_what_the_chips_say_follows_the_direction(shown):
    chip = shown.photo.chips.buttons["class"]
    assert chip.toolTip().startswith("What the class token receives")
    shown.session.change(direction="by")
    assert chip.toolTip().startswith("What the class token gives")


def test_rollout_has_no_direction_to_swap(shown, qtbot, model, photo):
    for again in range(2):
        with qtbot.waitSignal(shown.session.heatmap_changed, timeout=20_000):
            shown.session.change(method="rollout")
        assert not shown.commands["direction"].isEnabled(), again
        qtbot.keyClick(shown.photo.canvas, Qt.Key.Key_D)
        assert shown.session.view.direction == "to"
        shown.session.change(method="attention")
        assert shown.commands["direction"].isEnabled()


def test_contours_are_drawn_again_for_the_new_scale(shown, qtbot):
    canvas = shown.photo.canvas
    shown.session.change(style="contour")
    before = canvas.heat.width()
    qtbot.keyClick(canvas, Qt.Key.Key_Minus)
    qtbot.waitUntil(lambda: canvas.heat.width() < 0.9 * before)


def test_exhausted_memory_is_reported_in_a_sentence(shown, qtbot, monkeypatch, model, photo):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(prefetch, "BYTES", 0)  # so that head maps are computed when they are asked for
    show(shown, qtbot, photo, model)
    qtbot.waitUntil(lambda: not shown.session.maps.preparing)
    monkeypatch.setattr(sys.modules["vitviz.explain.query"], "head_maps", full)
    shown.session.pin((2, 5))
    assert "memory" in shown.panel("heads").empty.hint.text()
    assert shown.panel("heads").empty.isVisible()


def test_prefetched_maps_equal_computed_ones_and_need_no_torch(shown, qtbot, monkeypatch):
    maps, trace = shown.session.maps, shown.session.trace
    qtbot.waitUntil(lambda: maps.ready is not None)

    def never(*_):
        raise AssertionError("computed although it lies ready")

    expected = {
        (query, direction): compute.head_maps(trace, query, direction)
        for query in ((2, 5), ((0, 1), (7, 7)), "class")
        for direction in ("to", "by")
    }
    monkeypatch.setattr(compute, "head_maps", never)
    for (query, direction), known in expected.items():
        shown.session.change(query=query, pinned=True, direction=direction)
        tiles = maps.tiles()
        assert (tiles.query, tiles.direction) == (query, direction)
        for values, right in zip(tiles.maps, known, strict=True):
            np.testing.assert_allclose(values, right, rtol=1e-5, atol=1e-8)
    assert maps.ready.maps(None, "to") is None


def test_weights_that_are_too_many_or_of_windows_are_not_prefetched(shown, swin, monkeypatch, photo, qtbot):
    from vitviz.app.work.worker import Ticket

    ticket = Ticket(0, lambda *_: None)
    assert prefetch.prepare(shown.session.trace, ticket) is not None
    monkeypatch.setattr(prefetch, "BYTES", 3 * 3 * 65 * 65 * 4 - 1)
    assert prefetch.prepare(shown.session.trace, ticket) is None
    monkeypatch.setattr(prefetch, "BYTES", 1 << 30)
    show(shown, qtbot, photo, swin)
    assert prefetch.prepare(shown.session.trace, ticket) is None


def test_head_maps_of_layers_that_are_alike_lie_in_one_array(shown, swin, photo, qtbot):
    for query in (None, (3, 3)):
        assert [stack.shape for stack in tiles_of(shown, qtbot, query).stacks] == [(3, 3, 8, 8)]
    show(shown, qtbot, photo, swin)
    tiles = tiles_of(shown, qtbot, (3, 3))
    assert [stack.shape for stack in tiles.stacks] == [(2, 2, 16, 16), (2, 4, 8, 8)]
    known = compute.head_maps(shown.session.trace, (3, 3), "to")
    assert len(tiles.maps) == len(known)
    for values, right in zip(tiles.maps, known, strict=True):
        np.testing.assert_array_equal(values, right)


def tiles_of(window, qtbot, query):
    """The head maps of a query, once they are there."""
    window.session.change(query=query, pinned=query is not None)
    qtbot.waitUntil(lambda: window.panel("heads").shown().tiles.query == query)
    return window.session.maps.tiles()
