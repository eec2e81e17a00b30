"""The panel of deletion and insertion curves: live, stopped when it should be, usable by mouse and keyboard, saved."""

import csv
from threading import Event
from time import sleep

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtWidgets import QFileDialog, QMainWindow
from shiboken6 import isValid
from steps import picture

from vitviz.app.panels.faithfulness import scoring
from vitviz.app.panels.faithfulness.panel import FaithfulnessPanel
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import ViewState
from vitviz.app.ui import theme
from vitviz.explain import explain
from vitviz.explain.measures import faithfulness
from vitviz.explain.registry import METHODS


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(scoring, "STEPS", 8)
    monkeypatch.setattr(scoring, "ORDERS", 3)


@pytest.fixture
def panel(qtbot):
    """The panel alone in a window, with a session of its own."""
    session = Session("cpu", ViewState(colormap="viridis", method="rollout"))
    made = FaithfulnessPanel(session, [])
    window = QMainWindow()
    window.setCentralWidget(made)
    window.resize(560, 640)
    window.show()
    qtbot.waitExposed(window)
    yield made
    made.end()
    session.close()
    window.close()
    window.deleteLater()


def opened(panel, qtbot, photo, model):
    with qtbot.waitSignal(panel.session.trace_changed, timeout=60_000):
        panel.session.open(photo=photo, model=model)
    settled(panel, qtbot)
    return panel


@pytest.fixture
def scored(panel, qtbot, model, photo):
    return opened(panel, qtbot, photo, model)


def settled(panel, qtbot):
    qtbot.waitUntil(lambda: panel.isVisible() and not panel.busy, timeout=30_000)
    assert panel.shown().scores


def plots(panel):
    keys = {method.label: method.name for method in METHODS} | {"Random order": "random"}
    return {
        plot.title.split(":")[0]: {keys[line.label]: line for line in plot.lines}
        for plot in panel.shown().charts
    }


def row(panel, name):
    return panel.list.topLevelItem([*(method.name for method in METHODS), "random"].index(name))


def test_it_shows_the_curves_of_the_selected_map_and_random_orders(scored):
    trace = scored.session.trace
    best = trace.predictions(1)[0]
    own = faithfulness.scores(trace, explain(trace, "rollout"), best.index, steps=8)
    chance = faithfulness.baseline(trace, trace.patches, best.index, steps=8, orders=3)
    shown = plots(scored)
    np.testing.assert_allclose(shown["Deletion"]["rollout"].ys, own.deletion.probabilities, atol=1e-6)
    np.testing.assert_allclose(shown["Insertion"]["rollout"].ys, own.insertion.probabilities, atol=1e-6)
    np.testing.assert_allclose(shown["Insertion"]["random"].half, chance.insertion.half, atol=1e-6)
    assert shown["Deletion"]["rollout"].strong
    assert row(scored, "rollout").text(1) == f"{own.deletion.area:.3f}"
    assert row(scored, "random").text(2) == str(chance.insertion.area)
    assert best.label in scored.says.whole
    assert "random orders" in scored.view.accessibleDescription()


def test_the_selected_curve_has_the_accent_and_lies_where_its_numbers_are(scored):
    view = scored.view
    image = view.grab().toImage()
    accent = theme.colors(view.palette()).accent
    curve = plots(scored)["Insertion"]["rollout"]
    for step in (2, 5):
        place = view.place(1, curve.xs[step], curve.ys[step]).toPoint()
        near = QRect(place - QPoint(3, 3), place + QPoint(3, 3))
        found = {
            image.pixelColor(x, y).name()
            for x in range(near.left(), near.right() + 1)
            for y in range(near.top(), near.bottom() + 1)
        }
        assert accent in found, step


def test_another_map_another_class_and_other_replacement_are_scored_at_once(scored, qtbot):
    before = plots(scored)["Deletion"]["rollout"].ys
    scored.session.change(method="attention", layer=0)
    settled(scored, qtbot)
    assert set(plots(scored)["Deletion"]) == {"random", "attention"}
    scored.session.change(target=4)
    assert scored.view.dimmed
    settled(scored, qtbot)
    assert not scored.view.dimmed
    assert plots(scored)["Deletion"]["attention"].ys[0] == pytest.approx(
        scored.session.trace.predictions(None)[
            [p.index for p in scored.session.trace.predictions(None)].index(4)
        ].probability,
        abs=1e-6,
    )
    mean = plots(scored)["Deletion"]["attention"].ys
    qtbot.mouseClick(
        scored.replacement, Qt.MouseButton.LeftButton, pos=scored.replacement.cell("blur").center().toPoint()
    )
    assert scored.session.view.panels["faithfulness"] == {"replacement": "blur"}
    settled(scored, qtbot)
    assert plots(scored)["Deletion"]["attention"].ys[-1] != pytest.approx(mean[-1], abs=1e-4)
    # What was scored before is kept: nothing runs.
    scored.session.show_view(
        ViewState(colormap="viridis", method="rollout", layer=scored.session.trace.layers[-1].step)
    )
    assert plots(scored)["Deletion"]["rollout"].ys == before
    assert not scored.busy


def test_a_check_mark_adds_a_method_by_mouse_and_space_takes_it_away(scored, qtbot):
    item = row(
        scored, "attention"
    )  # held, so that its wrapper tells if Qt's item was deleted in its own event
    box = scored.list.visualItemRect(item)
    qtbot.mouseClick(scored.list.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(10, box.center().y()))
    assert scored.session.view.panels["faithfulness"] == {"compared": ("attention",)}
    assert isValid(item)
    assert item is row(scored, "attention")
    settled(scored, qtbot)
    assert set(plots(scored)["Deletion"]) == {"random", "rollout", "attention"}
    assert row(scored, "attention").text(1)
    scored.list.setFocus()
    scored.list.setCurrentItem(row(scored, "attention"))
    qtbot.keyClick(scored.list, Qt.Key.Key_Space)
    assert scored.session.view.panels["faithfulness"] == {"compared": ()}
    assert set(plots(scored)["Deletion"]) == {"random", "rollout"}
    assert not row(scored, "attention").text(1)
    # The selected method cannot be unchecked.
    box = scored.list.visualItemRect(row(scored, "rollout"))
    qtbot.mouseClick(scored.list.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(10, box.center().y()))
    assert row(scored, "rollout").checkState(0) == Qt.CheckState.Checked


def test_a_method_that_does_not_apply_is_disabled_with_the_reason(scored, monkeypatch):
    reasons = {**scored.session.methods(), "relevance": "does not apply, because it is Monday"}
    monkeypatch.setattr(Session, "methods", lambda self: reasons)
    scored.session.change_panel("faithfulness", compared=("relevance",))
    item = row(scored, "relevance")
    assert not item.flags() & Qt.ItemFlag.ItemIsEnabled
    assert "because it is Monday" in item.toolTip(0)
    assert set(plots(scored)["Deletion"]) == {"random", "rollout"}


def test_pointing_shows_the_step_and_what_the_model_was_given(scored, qtbot):
    view, trace = scored.view, scored.session.trace
    scores = scored.shown().scores[0]
    qtbot.mouseMove(view, view.place(0, 0.5, 0.2).toPoint() + QPoint(1, 0))
    assert (view.hovered.plot, view.hovered.step) == (0, 4)
    words = view.card.words.text().split("\n")
    assert words[:2] == ["50 % removed", f"probability {scores.deletion.probabilities[4]:.3f}"]
    thumb = view.card.picture.pixmap().toImage()
    seen = trace.framing.picture(trace.photo)
    grey = [round(255 * value) for value in trace.framing.config.mean]
    for rank, cell in enumerate(scores.order):
        x, y = (cell % 8) * 8 + 3, (cell // 8) * 8 + 5
        color = thumb.pixelColor(int(x), int(y))
        expected = grey if rank < scores.counts[4] else seen[y, x].tolist()
        assert np.abs(np.array([color.red(), color.green(), color.blue()]) - expected).max() <= 1, rank
    # By keyboard to the other plot and on; Escape ends it.
    view.setFocus()
    qtbot.keyClick(view, Qt.Key.Key_Down)
    qtbot.keyClick(view, Qt.Key.Key_Right)
    assert (view.hovered.plot, view.hovered.step) == (1, 5)
    assert view.card.isVisible()
    assert view.card.words.text().split("\n")[0].endswith("revealed")
    thumb = view.card.picture.pixmap().toImage()
    hottest = scores.order[0]
    color = thumb.pixelColor(int(hottest % 8 * 8 + 3), int(hottest // 8 * 8 + 5))
    assert [color.red(), color.green(), color.blue()] == seen[
        hottest // 8 * 8 + 5, hottest % 8 * 8 + 3
    ].tolist()
    qtbot.keyClick(view, Qt.Key.Key_Escape)
    assert view.hovered is None
    assert not view.card.isVisible()


def test_nothing_runs_while_the_panel_is_hidden(scored, qtbot):
    scored.hide()
    scored.session.change(method="attention")
    qtbot.wait(300)
    assert not scored.busy
    assert "attention" not in plots(scored)["Deletion"]
    scored.show()
    assert scored.busy
    settled(scored, qtbot)
    assert "attention" in plots(scored)["Deletion"]


def test_the_old_curves_stay_dimmed_with_their_words_until_the_new_ones_are_there(scored, qtbot, monkeypatch):
    before, through = scored.shown(), Event()
    real = faithfulness.scores

    def held(*asked, **given):
        assert through.wait(20)
        return real(*asked, **given)

    monkeypatch.setattr(faithfulness, "scores", held)
    label = scored.session.trace.model.labels[3]
    scored.session.change(target=3)
    qtbot.waitUntil(lambda: scored.busy and scored.shown().dimmed)
    during = scored.shown()
    assert (during.caption, during.facts, during.scores) == (before.caption, before.facts, before.scores)
    assert label not in during.caption
    assert all(label not in chart.up for chart in during.charts)
    assert scored.sheet().label == before.charts[0].up.removeprefix("probability of ")
    through.set()
    qtbot.waitUntil(lambda: not scored.busy and not scored.shown().dimmed, timeout=30_000)
    assert label in scored.shown().caption
    assert scored.shown().facts.selection.target == 3


def test_random_orders_that_were_stopped_are_drawn_when_the_panel_is_seen_again(scored, qtbot, monkeypatch):
    stopped = []

    def stuck(*_, cancel, **__):
        while not cancel():
            sleep(0.001)
        stopped.append(True)
        raise faithfulness.Cancelled

    with monkeypatch.context() as held:
        held.setattr(faithfulness, "baseline", stuck)
        scored.session.change(target=3)
        qtbot.waitUntil(lambda: set(plots(scored).get("Deletion", {})) == {"rollout"}, timeout=30_000)
        scored.hide()
        assert not scored.busy
        qtbot.waitUntil(lambda: stopped == [True])
    scored.show()
    settled(scored, qtbot)
    assert "random" in plots(scored)["Deletion"]


def test_a_photo_that_is_opened_comes_first(scored, qtbot, photo):
    scored.session.change(target=5)
    with qtbot.waitSignal(scored.session.trace_changed, timeout=60_000):
        scored.session.open(photo=photo)
        assert not scored.busy
    settled(scored, qtbot)
    assert scored.store.trace is scored.session.trace
    assert "rollout" in plots(scored)["Deletion"]


def test_a_new_selection_stops_what_runs(scored, qtbot, monkeypatch):
    began, stopped = Event(), []
    real = faithfulness.scores

    def slow(trace, heatmap, target, **options):
        cancel = options.pop("cancel")
        if heatmap.method == "attention":
            began.set()
            while not cancel():
                sleep(0.001)
            stopped.append(True)
            raise faithfulness.Cancelled
        return real(trace, heatmap, target, cancel=cancel, **options)

    monkeypatch.setattr(faithfulness, "scores", slow)
    scored.session.change(method="attention")
    qtbot.waitUntil(lambda: began.is_set() and scored.bar.isVisible())
    scored.session.change(method="rollout", layer=0)
    settled(scored, qtbot)
    assert stopped == [True]
    assert not scored.bar.isVisible()
    assert [one.selection.method for one in scored.store.scores] == ["rollout", "rollout"]


def test_swins_coarse_map_has_random_orders_of_its_own_grid(panel, qtbot, swin, tmp_path):
    opened(panel, qtbot, picture(tmp_path / "square.png", (64, 64)), swin)
    panel.session.change(method="attention")
    settled(panel, qtbot)
    assert {orders.grid.rows for orders in panel.store.baselines} == {16, 8}
    assert panel.shown().scores[0].patches.rows == panel.shown().baseline.patches.rows == 8
    panel.session.change_panel("faithfulness", compared=("rollout",))
    settled(panel, qtbot)
    assert (
        row(panel, "rollout").toolTip(1) == "In patches of 16×16; the random orders that are drawn are of 8×8"
    )


def test_on_a_bundled_scene_it_says_how_the_map_lies_on_the_object(panel, qtbot):
    """The pointing game and the share of the map inside the mask, for the class that is asked for."""
    from vitviz.explain.measures.truth import input_mask, on_object
    from vitviz.resources_path import resource

    opened(panel, qtbot, resource("scenes/two-objects.png"), "demo/vit")
    session, trace = panel.session, panel.session.trace
    masses = []
    for number, kind in enumerate(("heart", "star"), 1):
        target = trace.model.labels.index(kind)
        session.change(target=target, method="relevance")
        session.change_panel("faithfulness", compared=("rollout",))
        settled(panel, qtbot)
        with Image.open(resource(f"scenes/masks/two-objects-{number}.png")) as image:
            mask = input_mask(trace.framing, np.asarray(image.convert("L")))
        of_map = on_object(explain(trace, "relevance", target=target), mask)
        assert panel.aim.whole == (
            f"On the {kind}: {100 * of_map.mass:.0f} % (even {100 * of_map.uniform:.0f} %), hottest patch "
            f"{'hit' if of_map.points else 'missed'} (chance {100 * of_map.chance:.0f} %)"
        )
        assert panel.aim.isVisible()
        other = on_object(explain(trace, "rollout"), mask)
        assert (
            row(panel, "rollout")
            .toolTip(0)
            .startswith(f"{100 * other.mass:.0f} % of the map lie on the object")
        )
        masses.append((of_map.mass, of_map.uniform))
    assert all(mass > 2 * even for mass, even in masses)
    # A class that is not in the scene has no object.
    session.change(target=trace.model.labels.index("cross"))
    settled(panel, qtbot)
    assert not panel.aim.isVisible()
    assert "object" not in row(panel, "relevance").toolTip(0)


def test_a_photo_of_ones_own_has_no_known_object(scored):
    assert not scored.aim.isVisible()


def test_without_a_photo_and_without_classes_it_says_what_to_do(panel, qtbot, photo):
    assert panel.empty.isVisible()
    assert "Open a photo" in panel.empty.hint.text()
    assert not panel.save.isEnabled()
    import timm

    from vitviz.models.loading import load_model

    bare = timm.create_model("vit_tiny_patch16_224", img_size=64, patch_size=16, depth=1, num_classes=0)
    with qtbot.waitSignal(panel.session.trace_changed, timeout=60_000):
        panel.session.open(photo=photo, model=load_model(bare, device="cpu"))
    assert "no classifier" in panel.empty.hint.text()


@pytest.mark.parametrize("name", ["curves.png", "curves.csv"])
def test_curves_are_saved_as_picture_or_numbers(scored, qtbot, tmp_path, monkeypatch, name):
    path = tmp_path / name
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    with qtbot.waitSignal(scored.session.message) as told:
        qtbot.mouseClick(scored.save, Qt.MouseButton.LeftButton)
    assert name in told.args[0]
    if path.suffix == ".png":
        with Image.open(path) as image:
            assert image.width == 1600
            assert scored.session.trace.model.name in image.text["Title"]
        return
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    curve = plots(scored)["Insertion"]["rollout"]
    mine = [line for line in rows if line["method"] == "rollout"]
    np.testing.assert_allclose([float(line["insertion"]) for line in mine], curve.ys, atol=1e-5)
    band = plots(scored)["Deletion"]["random"]
    mine = [line for line in rows if line["method"] == "random"]
    np.testing.assert_allclose([float(line["deletion_ci95"]) for line in mine], band.half, atol=1e-5)


def test_both_schemes_are_drawn_in_their_own_colours(scored, qapp, qtbot):
    theme.apply(qapp, "light")
    qtbot.wait(20)
    light = plots(scored)["Deletion"]["random"].color
    theme.apply(qapp, "dark")
    qtbot.wait(20)
    assert plots(scored)["Deletion"]["random"].color != light
    theme.apply(qapp, "light")
