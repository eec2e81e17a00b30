"""A start shows what the last session showed: photo, model, selection and panels."""

import json

import pytest
import user_input
from PySide6.QtCore import QEvent
from steps import show

from vitviz.app import main
from vitviz.app.main import make_window
from vitviz.app.settings import Settings
from vitviz.app.sources.samples import models, samples
from vitviz.app.window import last_session
from vitviz.app.window.last_session import LastSelection, LastSession


@pytest.fixture
def again(window, qtbot, qapp):
    """Closes the window, and opens and starts another one with its stored settings."""
    made = []

    def reopen(photo: str | None = None, model: str | None = None):
        window.close()
        second = make_window(Settings(window.settings.path), "cpu")
        made.append(second)
        second.show()
        qtbot.waitExposed(second)
        main.start(second, photo, model)
        qtbot.waitUntil(lambda: second.session.busy is None, timeout=60_000)
        qapp.processEvents()
        return second

    yield reopen
    for one in made:
        one.close()
        one.deleteLater()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


def select(window) -> None:
    """A selection that differs from the default in everything that is restored."""
    window.session.change(layer=2, head=1, direction="by", target=3, query=((1, 2), (4, 5)), pinned=True)
    window.session.change(choices=(("rollout", "discard", 0.5), ("rollout", "start", 1)))


def test_a_start_restores_photo_model_selection_and_panels(window, again, qtbot, photo):
    show(window, qtbot, photo, "demo/deit")
    with qtbot.waitSignal(window.session.trace_changed, timeout=60_000):
        window.session.open(framing="squash")
    select(window)
    assert user_input.pick(window.menu_bar, ["Panels", "Tokens"])
    before, heat = window.session.view, window.session.selection
    second = again()
    session = second.session
    assert session.photo.path == photo
    assert session.model_source == "demo/deit"
    assert session.framing == "squash"
    assert session.view == before
    assert session.selection == heat
    assert not session.history.can_undo
    assert not second.docks.dock("tokens").isHidden()
    assert second.first_start is None


def test_with_the_switch_off_a_start_is_empty(window, again, qtbot, photo):
    show(window, qtbot, photo, "demo/vit")
    assert window.commands["restore"].isChecked()
    assert user_input.pick(window.menu_bar, ["File", "Start with the last photo"])
    second = again()
    assert not second.commands["restore"].isChecked()
    assert second.session.photo is None
    assert second.session.model is None
    assert second.photo.welcome.isVisible()


def test_without_a_photo_the_last_model_is_loaded_and_the_next_photo_is_shown_by_it(
    window, again, qtbot, photo
):
    show(window, qtbot, photo, "demo/swin")
    user_input.press(window, "Ctrl+W")
    second = again()
    assert second.session.model_source == "demo/swin"
    assert second.session.photo is None
    assert second.photo.welcome.isVisible()
    with qtbot.waitSignal(second.session.trace_changed, timeout=60_000):
        second.open_path(photo)
    assert second.session.trace.model.name == "demo/swin"


def test_a_photo_of_the_command_line_has_no_selection_of_another_photo(window, again, qtbot, photo):
    show(window, qtbot, photo, "demo/vit")
    select(window)
    second = again(str(photo), "demo/vit")
    assert not second.session.view.pinned
    assert second.session.view.target is None
    assert second.session.view.head is None


def test_a_photo_that_is_gone_is_reported_and_the_model_is_loaded(window, again, qtbot, photo):
    show(window, qtbot, photo, "demo/vit")
    photo.unlink()
    second = again()
    assert photo.name in second.notice.sentence.text()
    assert second.session.model_source == "demo/vit"


def test_a_class_is_not_chosen_in_another_model(window, again, qtbot, photo):
    show(window, qtbot, photo, "demo/vit")
    select(window)
    window.close()
    last = last_session.read(window.settings)
    last_session.store(
        window.settings,
        LastSession(last.photo, str(photo.parent / "gone.safetensors"), selection=last.selection),
    )
    window.settings.save()
    second = make_window(Settings(window.settings.path), "cpu")
    second.show()
    with qtbot.waitSignal(second.session.failed, timeout=60_000):
        main.start(second, None, None)
    show(second, qtbot, photo, "demo/swin")
    qtbot.wait(20)
    assert second.session.view.target is None
    second.close()
    second.deleteLater()


def test_the_first_scene_is_shown_with_its_stored_heatmap_again(window, again, qtbot, monkeypatch):
    with qtbot.waitSignal(window.session.trace_changed, timeout=60_000):
        main.start(window, None, None)
    qtbot.waitUntil(lambda: window.session.busy is None)
    stored = []
    monkeypatch.setattr(main, "show_stored_heatmap", lambda _, path: stored.append(path))
    second = again()
    assert stored == [samples()[0].path]
    assert second.session.model_source == models()[0]
    assert second.session.view.method == "rollout"


@pytest.mark.parametrize(
    "nonsense",
    [
        {"layer": "last", "layers": [["rollout", 1.5]], "head": -3},
        {"query": [[0, -1]], "pinned": True},
        {"query": [], "pinned": True},
        {"target": True, "direction": "back"},
        {"choices": [["no method", "discard", 0.5], ["rollout", "discard", 7], ["rollout", "start", -1]]},
        {"choices": [["rollout"], 3]},
        [1, 2],
    ],
)
def test_a_stored_selection_that_makes_no_sense_is_the_default(tmp_path, nonsense):
    settings = Settings(tmp_path / "window.ini")
    settings.put("last_selection", json.dumps({"view": nonsense}))
    settings.put("last_framing", "round")
    assert last_session.read(settings) == LastSession(selection=LastSelection())


def test_a_selection_is_stored_and_read_as_it_was(tmp_path):
    settings = Settings(tmp_path / "window.ini")
    chosen = LastSelection(
        ((0, 1), (2, 3)), True, 4, 0, "by", (("rollout", 2),), 7, (("relevance", "own", True),), "mean"
    )
    for query in (chosen.query, (5, 6), "cls", None):
        last = LastSession(
            "/a/photo.png", "a model", "fit", LastSelection(**{**vars(chosen), "query": query})
        )
        last_session.store(settings, last)
        settings.save()
        assert last_session.read(Settings(settings.path)) == last
