"""A head that reads several parts: the part is chosen in the options, kept in the view, and named wherever a map is."""

import numpy as np
import pytest
import torch
import user_input
from proof_models import DATA, DIM, Block, HandWritten, Pool
from PySide6.QtCore import QPoint
from PySide6.QtGui import QCursor
from PySide6.QtWidgets import QApplication, QComboBox
from steps import opened, show

import vitviz
from vitviz.models.loading import load_model
from vitviz.models.model import Model


@pytest.fixture(scope="module")
def two_parts() -> Model:
    module = HandWritten(
        Block(), Block(), read=lambda x: torch.cat([x[:, 0], x[:, 1:].mean(1)], 1), features=2 * DIM
    )
    return load_model(module, device="cpu", data=DATA)


@pytest.fixture(scope="module")
def pool() -> Model:
    module = HandWritten(Block(), Block(), Pool(4), read=lambda x: x.flatten(1), features=4 * DIM)
    return load_model(module, device="cpu", data=DATA)


def choose(window, part: str) -> None:
    """Open the options and pick a part by its words, with the keyboard as a user would."""
    # Where the pointer rests when the options close would be the query, were it a patch.
    QCursor.setPos(window.mapToGlobal(QPoint(4, 4)))
    user_input.click(window.tools.options)
    form = QApplication.activePopupWidget()
    box = next(one for one in form.findChildren(QComboBox) if one.accessibleName() == "Readout")
    box.setFocus()
    user_input.press(form, "Home")
    for _ in range(box.findText(part)):
        user_input.press(form, "Down")
    assert box.currentText() == part
    user_input.press(form, "Esc")


def same_as_the_api(window, readout: str | None) -> bool:
    session = window.session
    if session.heatmap is None or session.maps.heat_late or session.maps.busy:
        return False
    expected = vitviz.explain(session.trace, session.view.method, readout=readout)
    # Torch rounds otherwise with another number of threads, of which the window gives its work fewer.
    return bool(np.allclose(session.heatmap.values, expected.values, rtol=1e-5, atol=0))


def test_a_part_is_chosen_named_undone_and_kept(window, qtbot, two_parts, photo):
    show(window, qtbot, photo, two_parts)
    session = window.session
    assert window.status.query.text() == "The class token (the head also reads the mean of the patches)"
    choose(window, "the mean of the patches")
    assert session.view.readout == "mean"
    qtbot.waitUntil(lambda: same_as_the_api(window, "mean"), timeout=20_000)
    said = "The mean of the patches (the head also reads the class token)"
    assert window.status.query.text() == said
    assert window.tools.options.text() == "readout mean"
    assert session.heatmap.title.startswith("What the mean of the patches")
    heads = opened(window, qtbot, "heads").shown()
    assert heads.facts.selection.query == "mean"
    assert said[0].lower() + said[1:] in heads.caption
    user_input.press(window, "2")  # rollout of the same part
    qtbot.waitUntil(lambda: session.heatmap.method == "rollout", timeout=20_000)
    assert same_as_the_api(window, "mean")
    user_input.press(window, "Ctrl+Z")
    user_input.press(window, "Ctrl+Z")
    assert (session.view.method, session.view.readout) == ("attention", "")
    qtbot.waitUntil(lambda: same_as_the_api(window, None), timeout=20_000)
    user_input.press(window, "Ctrl+Shift+Z")
    assert session.view.readout == "mean"


def test_a_patch_under_the_pointer_comes_before_the_part(window, qtbot, two_parts, photo, at):
    show(window, qtbot, photo, two_parts)
    session = window.session
    choose(window, "the mean of the patches")
    user_input.point(window.photo.canvas, at(window, 2, 3))
    assert session.selection.query == (2, 3)
    user_input.click(window.photo.canvas, at(window, 2, 3))
    assert session.selection.query == (2, 3)
    user_input.press(window, "Esc")
    user_input.point(window.photo.canvas, at(window, 0, 0))
    assert session.view.readout == "mean"


def test_each_query_of_a_pool_is_shown(window, qtbot, pool, photo):
    show(window, qtbot, photo, pool)
    session = window.session
    assert window.status.query.text() == "The mean of 4 queries of the attention pool"
    choose(window, "query 3 of the attention pool")
    qtbot.waitUntil(lambda: same_as_the_api(window, "query 3"), timeout=20_000)
    assert "query 3 of the attention pool" in session.heatmap.title
    for dock in window.docks:  # a query that is no token is understood by all panels
        opened(window, qtbot, dock.kind.name)
    tokens = opened(window, qtbot, "tokens").shown()
    assert tokens.facts.selection.query == "query 3"
    show(window, qtbot, photo, pool)
    assert session.view.readout == "query 3"


def test_a_model_without_parts_has_no_choice_and_forgets_it(window, qtbot, two_parts, model, photo):
    show(window, qtbot, photo, two_parts)
    choose(window, "the mean of the patches")
    show(window, qtbot, photo, model)
    assert window.session.view.readout == ""
    user_input.click(window.tools.options)
    form = QApplication.activePopupWidget()
    assert not [one for one in form.findChildren(QComboBox) if one.accessibleName() == "Readout"]
    user_input.press(form, "Esc")


@pytest.mark.parametrize("head", ["flattened", "a corner"])
def test_a_model_whose_readout_cannot_be_shown_opens_and_asks_for_a_patch(window, qtbot, photo, at, head):
    module = HandWritten(
        Block(),
        Block(),
        read=(lambda x: x.flatten(1)) if head == "flattened" else (lambda x: x[:, 8]),
        features=50 * DIM if head == "flattened" else DIM,
    )
    show(window, qtbot, photo, load_model(module, device="cpu", data=DATA))
    session = window.session
    assert session.heatmap is None
    assert "choose a patch or a token" in window.status.where.whole
    assert window.status.badge.text().startswith("4 of 5 claims proved")
    for dock in window.docks:  # each shows what it can, or says why not
        opened(window, qtbot, dock.kind.name)
    user_input.click(window.photo.canvas, at(window, 2, 3))
    qtbot.waitUntil(lambda: session.heatmap is not None, timeout=20_000)
    np.testing.assert_array_equal(
        session.heatmap.values, vitviz.explain(session.trace, "attention", query=(2, 3)).values
    )
    user_input.press(window, "4")
    qtbot.waitUntil(lambda: session.heatmap is not None and session.heatmap.method == "relevance")
    user_input.press(window, "Esc")
    qtbot.waitUntil(lambda: session.heatmap is None, timeout=20_000)
    assert "choose a patch or a token" in window.status.where.whole
