"""The note above the predictions of a bundled model: on a photo it offers models for photos, on a scene it is hidden."""

import pytest
import user_input
from steps import show

from vitviz.app.session import model_list
from vitviz.app.session.model_list import Recommendations
from vitviz.app.sources.samples import samples
from vitviz.models.listing import RECOMMENDED, ListedModel
from vitviz.models.model_table import known_models


def recommended(*here: str, online: bool) -> Recommendations:
    """The recommended models, those of `here` on this machine."""
    models = [
        (one, ListedModel(one.name, "here" if one.name in here else "download", known_models()[one.name]))
        for one in RECOMMENDED
    ]
    return Recommendations(tuple(models), online)


@pytest.fixture
def on_demo(window, qtbot, photo, monkeypatch):
    """The note of demo/vit on a photo, with what is recommended."""

    def open_photo(found: Recommendations):
        monkeypatch.setattr(model_list, "recommendations", lambda _: found)
        show(window, qtbot, photo, "demo/vit")
        note = window.panel("predictions").note
        qtbot.waitUntil(note.isVisible, timeout=20_000)
        return note

    return open_photo


def texts(buttons) -> list[str]:
    return [button.text() for button in buttons]


def test_it_says_what_the_model_knows_and_one_click_loads_another(window, on_demo, monkeypatch):
    note = on_demo(recommended(RECOMMENDED[2].name, online=True))
    assert note.sentence.text().startswith("demo/vit knows eight drawn shapes (circle to crescent)")
    assert texts(note.models) == [one.title for one in RECOMMENDED]
    abouts = [button.accessibleDescription() for button in note.models]
    assert "download ≈ 23 MB" in abouts[0]
    assert "on this machine" in abouts[2]
    asked = []
    monkeypatch.setattr(window.session, "open", lambda **request: asked.append(request))
    user_input.click(note.models[1])
    assert asked == [{"model": "vit_small_patch14_reg4_dinov2.lvd142m"}]
    user_input.click(note.others[0])
    assert window.chooser.sections.current == "all"
    user_input.press(window, "Esc")


def test_offline_it_offers_what_is_here_and_files(window, on_demo):
    note = on_demo(recommended(RECOMMENDED[0].name, online=False))
    assert "does not answer" in note.sentence.text()
    assert texts(note.models) == ["DeiT-Tiny"]
    assert texts(note.others) == ["On this machine…", "Weights file…"]
    user_input.click(note.others[0])
    assert window.chooser.sections.current == "here"
    user_input.press(window, "Esc")


def test_it_is_not_there_for_a_bundled_scene_and_for_other_models(window, qtbot, on_demo, model):
    note = on_demo(recommended(online=True))
    show(window, qtbot, samples()[0].path, "demo/vit")
    assert not note.isVisible()
    show(window, qtbot, samples()[0].path, model)
    assert not note.isVisible()
