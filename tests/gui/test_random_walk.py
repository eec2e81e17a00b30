"""Real events in a random order that is the same each time, and what is left after them: 150, or 2,000 under `long`."""

import ctypes
import gc
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import user_input
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication
from steps import picture
from walker import FILES, WAYS, Walker, idle, sides

from vitviz.app.session import colour_scale
from vitviz.attention.trace import Trace
from vitviz.explain import explain
from vitviz.explain.registry import find
from vitviz.resources_path import resource

HAPPENS = (
    *("resized", "closed", "reopened", "cancelled", "keys read"),
    # Not "docked by drag": a dropped panel stays floating if the other docks have not made room in time.
    *("floated by drag", "floated by double click", "floated by button"),
    *("docked by double click", "docked by button"),
    *(f"photo: {way}" for way in WAYS),
    *("second photo dropped", "comparison ended"),
    *("chooser: Return", "chooser: Load", "chooser: row", "chooser: Escape", "chooser: Cancel"),
    *("dialog left", "dialog answered", *(f"dialog: {name}" for name in FILES)),
)


def at_rest(window, qtbot):
    """Wait until no work is running, including work that finished work has started."""
    qtbot.waitUntil(lambda: idle(window), timeout=60_000)
    QApplication.processEvents()
    qtbot.waitUntil(lambda: idle(window), timeout=60_000)


def assert_nothing_is_stale(window):
    """What is drawn belongs to the current photo, model and selection; the map is computed again and compared."""
    assert window.windowTitle().startswith(window.stage.session.photo.name)
    for session, panel in sides(window):
        if session.trace is not None:
            assert_side_holds(session, panel)
    heads, chosen = window.panel("heads"), window.stage.session.selection
    if heads.isVisible() and heads.shown().tiles is not None:
        assert (heads.shown().tiles.query, heads.shown().tiles.direction) == (chosen.query, chosen.direction)


def assert_side_holds(session, panel):
    trace, chosen = session.trace, session.selection
    assert trace.photo is session.photo is session.picture.photo
    assert trace.model is session.model
    assert panel.canvas.levels is session.picture.levels
    assert not panel.canvas.dimmed
    assert not panel.progress.isVisible()
    if session.maps.problem:
        assert session.maps.shown is None
        return
    assert session.maps.shown.selection == chosen
    asked = {name: getattr(chosen, name) for name in find(chosen.method).axes}
    expected = explain(trace, chosen.method, **asked, **dict(chosen.choices))
    np.testing.assert_allclose(session.heatmap.values, expected.values, rtol=1e-4, atol=1e-7)
    title = expected.title
    if colour_scale.painted(session.view, expected) is not expected.values:
        title = title.removesuffix(", summed over each patch")  # pixels are drawn, not their sums
    assert panel.title.whole == title


@pytest.fixture
def photos(tmp_path) -> list[Path]:
    sizes = [(160, 100), (64, 64), (90, 200), (300, 220)]
    made = [picture(tmp_path / f"p{number}.png", size, number) for number, size in enumerate(sizes)]
    (tmp_path / "p9.png").write_bytes(b"no picture")
    return [*made, tmp_path / "p9.png", tmp_path]


def walk(window, qtbot, photos, events, seed, rest=100):
    """Do so many things to the window, and compare what it shows with the trace after every `rest` of them."""
    walker = Walker(window, photos, seed)
    user_input.drop(window.photo.canvas, user_input.files(photos[0]))
    walker.choose_model("choose_model", "Return")
    at_rest(window, qtbot)
    for number in range(events):
        walker.step()
        if number % rest == rest - 1:
            at_rest(window, qtbot)
            if window.session.trace is not None:
                assert_nothing_is_stale(window)
                walker.checked += 1
    while QApplication.activePopupWidget() is not None:
        user_input.press(window, "Esc")
    walker.leave_presentation()
    # A readable photo, so that a map is shown at the end.
    user_input.drop(window.photo.canvas, user_input.files(photos[1]))
    at_rest(window, qtbot)
    assert window.session.photo.name == photos[1].name
    return walker


def test_a_short_random_walk_ends_in_order(window, qtbot, photos):
    before = traces()
    walker = walk(window, qtbot, photos, 150, seed=6, rest=25)
    assert len(walker.done) == 150
    assert len(set(walker.done)) >= 12
    assert walker.checked >= 3  # of 6 rests; the others had no photo, or one that cannot be read
    assert walker.compared > 20
    assert_ends_in_order(window, before)


@pytest.mark.long
def test_a_long_random_walk_ends_in_order(window, qtbot, photos):
    before = traces()
    walker = walk(window, qtbot, photos, 2000, seed=4)
    assert len(walker.done) == 2000
    assert len(set(walker.done)) == len(set(walker.actions))
    assert walker.checked >= 10  # of 20 rests; the others had no photo, or one that cannot be read
    assert walker.compared > 200
    missing = {name for name in HAPPENS if not walker.happened[name]}
    assert not missing, walker.happened
    assert_ends_in_order(window, before)


def assert_ends_in_order(window, before):
    """Nothing on the screen is stale, the program can be quit, and no trace or thread is left beside what is shown."""
    assert_nothing_is_stale(window)
    assert len(traces(before)) <= 2  # what is shown, and at most one more on a second side
    user_input.press(window, "Ctrl+Q")
    assert not window.isVisible()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("vitviz")]


def traces(before: Sequence[object] = ()) -> list[object]:
    """The traces that are still alive, without those of other tests."""
    gc.collect()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    gc.collect()
    known = set(map(id, before))
    return [one for one in gc.get_objects() if type(one) is Trace and id(one) not in known]


def resident() -> float:
    """MiB of memory that this process holds, without what the allocator keeps for later."""
    gc.collect()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_after_200_switches_is_that_after_20(window, qtbot, tmp_path):
    # Photos large enough that each one that was kept would be seen: 180 of them take half a gibibyte.
    opened = [picture(tmp_path / f"large{number}.png", (900, 700 + number), number) for number in range(4)]
    models = [resource(f"models/{name}.safetensors") for name in ("vit", "swin")]
    stage, shown = window.photo.canvas, window.session
    before = traces()
    for first in (opened[3], models[1]):
        user_input.drop(stage, user_input.files(first))
        qtbot.waitUntil(lambda: idle(window), timeout=60_000)
    early = 0.0
    for number in range(200):
        if number == 20:
            early = resident()
        dropped = models[number // 2 % 2] if number % 2 else opened[number // 2 % 4]
        with qtbot.waitSignal(shown.trace_changed, timeout=60_000):
            user_input.drop(stage, user_input.files(dropped))
        qtbot.waitUntil(lambda: idle(window), timeout=60_000)
    assert resident() <= early * 1.05
    assert len(traces(before)) == 1
    user_input.press(window, "Ctrl+W")
    assert traces(before) == []
