"""The model browser by keys and clicks: sections, search, filters, refused names, random weights, downloads and deletion."""

import time
from shutil import copyfile

import pytest
import timm
import torch
import user_input
from hub_server import HubServer
from huggingface_hub import constants
from PySide6.QtWidgets import QApplication, QMessageBox, QPushButton
from steps import show

from vitviz.app.dialogs.model_browser import ModelBrowser
from vitviz.app.session import model_list
from vitviz.app.session.model_list import ModelLists
from vitviz.models.listing import RECOMMENDED, ListedModel
from vitviz.models.model_table import known_models
from vitviz.resources_path import resource

VIT, SWIN, BASE = (RECOMMENDED[number].name for number in (0, 2, 3))


def listed(*states: tuple[str, str]) -> ModelLists:
    """Lists of these models of timm, each in a state, without a look at the caches of this machine."""
    models = []
    for name, state in states:
        if state == "refused":
            reason = "it has no attention between tokens, so there is nothing to show"
            models.append(ListedModel(name, "refused", reason=reason, short="no attention"))
        else:
            known = known_models()[name]
            models.append(ListedModel(name, state, known, 23_000_000 if state in ("here", "partly") else 0))
    purposes = {one.name: one for one in RECOMMENDED}
    recommended = tuple((purposes[one.source], one) for one in models if one.source in purposes)
    return ModelLists(tuple(models), recommended, ())


THREE = listed((VIT, "download"), (SWIN, "download"), (BASE, "here"))


@pytest.fixture
def asked(window, monkeypatch) -> list[dict[str, object]]:
    """What is asked of the session, which loads nothing."""
    requests: list[dict[str, object]] = []
    monkeypatch.setattr(window.session, "open", lambda **request: requests.append(request))
    return requests


def opened(window, qtbot, monkeypatch, lists: ModelLists = THREE, section: str = "all"):
    """The browser with these lists, at a section."""
    monkeypatch.setattr(model_list, "catalog", lambda *_: lists)
    user_input.press(window, "Ctrl+M")
    browser = window.chooser
    user_input.choose(browser.sections, section)
    qtbot.waitUntil(lambda: browser.view.model().rowCount() > 0)
    return browser


def browsers(window) -> list[ModelBrowser]:
    """The browsers that are open."""
    return [one for one in window.findChildren(ModelBrowser) if one.isVisible()]


def column(browser, title: str) -> list[str]:
    """The texts of a column by its heading."""
    table = browser.view.model()
    headings = [table.headerData(number, user_input.Qt.Orientation.Horizontal) for number in range(13)]
    number = headings.index(title)
    return [table.index(row, number).data() for row in range(table.rowCount())]


def test_words_in_any_order_find_a_model_and_return_loads_it(window, qtbot, monkeypatch, asked):
    browser = opened(window, qtbot, monkeypatch)
    user_input.click(browser.search)
    user_input.write(window, "tiny SWIN")
    assert column(browser, "Model") == ["swin_tiny_patch4_window7_224"]
    user_input.press(window, "Return")
    assert asked == [{"model": SWIN}]
    assert not browsers(window)


@pytest.mark.parametrize(
    ("typed", "chosen"),
    [
        ("vit_base_patch16", "vit_base_patch16_224.augreg_in1k"),
        ("vit_base_patch16_384", "vit_base_patch16_384.augreg_in21k_ft_in1k"),
        ("base_patch16", "naflexvit_base_patch16_gap.e300_s576_in1k"),
        ("naflexvit_base_patch16", "naflexvit_base_patch16_gap.e300_s576_in1k"),
        ("resnet50", "resnet50"),
    ],
)
def test_the_exact_name_comes_first_then_names_that_begin_so(
    window, qtbot, monkeypatch, asked, typed, chosen
):
    lists = listed(
        ("naflexvit_base_patch16_gap.e300_s576_in1k", "here"),
        ("vit_base_patch16_224.augreg_in1k", "download"),
        ("vit_base_patch16_384.augreg_in21k_ft_in1k", "download"),
        ("resnet50", "refused"),
    )
    browser = opened(window, qtbot, monkeypatch, lists)
    user_input.click(browser.search)
    user_input.write(window, typed)
    assert browser.choice() == chosen
    user_input.press(window, "Esc")


def test_a_name_that_is_not_listed_can_be_tried(window, qtbot, monkeypatch, asked):
    browser = opened(window, qtbot, monkeypatch)
    user_input.click(browser.search)
    user_input.write(window, "my_vit.tag")
    user_input.click(browser.load)
    assert asked == [{"model": "my_vit.tag"}]


def test_what_cannot_be_shown_says_why_and_cannot_be_loaded(window, qtbot, monkeypatch, asked):
    lists = listed((VIT, "here"), ("resnet50", "refused"))
    browser = opened(window, qtbot, monkeypatch, lists)
    assert column(browser, "Where")[-1] == "no attention"
    user_input.click(browser.search)
    user_input.write(window, "resnet")
    assert "resnet50 cannot be shown: it has no attention" in browser.details.text()
    assert not browser.load.isEnabled()
    user_input.press(window, "Return")
    assert asked == []
    assert browsers(window)
    user_input.press(window, "Esc")


def test_a_row_shows_what_timm_knows_and_nothing_else(window, qtbot, monkeypatch, asked):
    lists = listed((VIT, "download"), ("vit_small_patch14_reg4_dinov2.lvd142m", "here"))
    browser = opened(window, qtbot, monkeypatch, lists)
    shown = {
        title: column(browser, title)[0] for title in ("Weights", "Parameters", "Tokens", "Top-1", "Licence")
    }
    module = timm.create_model("deit_tiny_patch16_224")
    assert shown == {
        "Weights": "fb_in1k",
        "Parameters": f"{sum(one.numel() for one in module.parameters()) / 1e6:.1f} M",
        "Tokens": str(module.patch_embed.num_patches + module.num_prefix_tokens),
        "Top-1": "72.2 %",
        "Licence": timm.models.get_pretrained_cfg(VIT).license,
    }
    structure = f"{len(module.blocks)} × {module.embed_dim} × {module.blocks[0].attn.num_heads}"
    assert column(browser, "Layers × width × heads")[0] == structure
    assert column(browser, "Top-1")[1] == ""  # not in timm's table of results
    assert column(browser, "Access") == ["", ""]  # nobody has asked the hub
    user_input.press(window, "Esc")


def test_filters_and_sections_leave_what_they_say(window, qtbot, monkeypatch, asked):
    browser = opened(window, qtbot, monkeypatch)
    browser.family.setCurrentText("Swin")
    assert column(browser, "Family") == ["Swin"]
    browser.family.setCurrentIndex(0)
    browser.sizes.setCurrentText("30 to 100 M")
    assert column(browser, "Model") == ["vit_base_patch16_224"]
    browser.sizes.setCurrentIndex(0)
    user_input.choose(browser.sections, "here")
    assert column(browser, "Model") == ["vit_base_patch16_224"]
    assert column(browser, "Where") == ["here, 23 MB"]
    user_input.choose(browser.sections, "recent")
    assert "weight files too" in browser.status.text()
    user_input.press(window, "Esc")


def test_a_heading_sorts_up_then_down(window, qtbot, monkeypatch, asked):
    browser = opened(window, qtbot, monkeypatch)
    header = browser.view.horizontalHeader()
    place = user_input.QPoint(header.sectionViewportPosition(3) + 40, header.height() // 2)
    user_input.click(header.viewport(), place)
    first = column(browser, "Parameters")
    assert sorted(first, key=lambda text: float(text[:-2])) in (first, first[::-1])
    user_input.click(header.viewport(), place)
    assert column(browser, "Parameters") == first[::-1]
    user_input.press(window, "Esc")


def test_a_model_is_chosen_by_keys_alone(window, qtbot, monkeypatch, asked):
    browser = opened(window, qtbot, monkeypatch, section="recommended")
    user_input.click(browser.search)
    user_input.press(window, "Down")
    user_input.press(window, "Down")
    assert browser.choice() == SWIN
    user_input.press(window, "Return")
    assert asked == [{"model": SWIN}]


def test_random_weights_are_a_choice_and_need_no_download(window, qtbot, photo):
    user_input.press(window, "Ctrl+M")
    browser = window.chooser
    user_input.write(window, "vit_tiny_patch16_224")
    qtbot.waitUntil(lambda: browser.view.model().rowCount() > 0, timeout=30_000)
    user_input.click(browser.random)
    assert browser.load.text() == "Load"
    window.session.open(photo=photo)
    user_input.click(browser.load)
    qtbot.waitUntil(lambda: window.session.trace is not None and window.session.busy is None, timeout=60_000)
    assert (
        window.session.model.name == f"{window.session.model_source.removeprefix('random/')} (random weights)"
    )
    torch.manual_seed(0)
    expected = timm.create_model("vit_tiny_patch16_224.augreg_in21k_ft_in1k").state_dict()
    found = window.session.model.module.state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_recent_models_are_listed_with_weight_files_and_those_that_are_gone(window, qtbot, photo, tmp_path):
    weights = tmp_path / "mine.safetensors"
    for ending in (".safetensors", ".json"):
        copyfile(resource(f"models/vit{ending}"), weights.with_suffix(ending))
    show(window, qtbot, photo, str(weights))
    show(window, qtbot, photo, "random/pit_ti_224")
    show(window, qtbot, photo, "demo/swin")  # always listed, so never among the recent ones
    user_input.press(window, "Ctrl+M")
    browser = window.chooser
    user_input.choose(browser.sections, "recent")
    qtbot.waitUntil(lambda: browser.view.model().rowCount() == 2, timeout=30_000)
    assert column(browser, "Model") == ["random/pit_ti_224", "mine.safetensors"]
    assert column(browser, "Where")[1] == "file, 1.0 MB"
    user_input.press(window, "Esc")
    weights.unlink()
    user_input.press(window, "Ctrl+M")
    browser = window.chooser
    user_input.choose(browser.sections, "recent")
    qtbot.waitUntil(lambda: column(browser, "Where")[1:] == ["no longer there"], timeout=30_000)
    browser.view.selectRow(1)
    assert not browser.load.isEnabled()
    user_input.press(window, "Esc")


def test_the_list_is_there_at_once_the_second_time_and_follows_what_came(window, qtbot, monkeypatch):
    opened(window, qtbot, monkeypatch)
    user_input.press(window, "Esc")
    more = listed((VIT, "here"), (SWIN, "download"), (BASE, "here"), ("pit_ti_224.in1k", "here"))

    def slow(*_: object) -> ModelLists:
        time.sleep(0.3)
        return more

    monkeypatch.setattr(model_list, "catalog", slow)
    user_input.press(window, "Ctrl+M")
    browser = window.chooser
    user_input.choose(browser.sections, "all")
    assert browser.view.model().rowCount() == 3
    qtbot.waitUntil(lambda: browser.view.model().rowCount() == 4)
    user_input.press(window, "Esc")


@pytest.fixture
def hub(tmp_path, monkeypatch, hub_server) -> HubServer:
    """The stand-in hub in place of the real one, and empty caches."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub_server.address)
    template = hub_server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return hub_server


def test_a_download_is_cancelled_continued_and_its_weights_deleted(window, qtbot, photo, hub, tmp_path):
    session = window.session
    hub.pause = 0.05
    user_input.press(window, "Ctrl+M")
    user_input.write(window, "deit_tiny_patch16_224")
    qtbot.waitUntil(lambda: window.chooser.load.text() == "Download and load", timeout=30_000)
    session.open(photo=photo)
    user_input.press(window, "Return")
    qtbot.waitUntil(lambda: session.busy is not None and "MB/s" in session.busy.text, timeout=30_000)
    qtbot.waitUntil(lambda: f"Downloading {VIT}" in window.photo.progress.text.toolTip(), timeout=5_000)
    user_input.press(window, "Ctrl+.")
    assert "What is downloaded is kept" in window.toast.words.text()
    user_input.press(window, "Ctrl+M")
    user_input.choose(window.chooser.sections, "here")
    browser = window.chooser
    qtbot.waitUntil(lambda: any("of ≈ 23 MB" in text for text in column(browser, "Where")), timeout=30_000)
    user_input.press(window, "Esc")
    hub.pause = 0.0
    session.open(model=VIT)
    qtbot.waitUntil(lambda: session.model is not None and session.model.name == VIT, timeout=60_000)
    first, second = hub.downloads()
    assert first == ""
    assert int(second.removeprefix("bytes=").rstrip("-")) > 0
    user_input.press(window, "Ctrl+M")
    browser = window.chooser
    user_input.choose(browser.sections, "here")
    qtbot.waitUntil(lambda: "here, 23 MB" in column(browser, "Where"), timeout=30_000)
    assert browser.choice() == VIT
    answer(browser, "Cancel")
    assert any((tmp_path / "hub").rglob("model.safetensors"))
    answer(browser, "Delete")
    qtbot.waitUntil(lambda: "were deleted: 23 MB are free again" in browser.status.text(), timeout=30_000)
    assert not any((tmp_path / "hub").rglob("model.safetensors"))
    assert not any(one.is_file() for one in (tmp_path / "hub").rglob("blobs/*"))
    user_input.press(window, "Esc")


def answer(browser, text: str) -> None:
    """Click on Delete weights, and on a button of the question."""
    user_input.click(browser.delete)
    box = browser.findChildren(QMessageBox)[-1]
    assert "23 MB" in box.text()
    user_input.click(
        next(one for one in box.findChildren(QPushButton) if one.text().replace("&", "") == text)
    )
    QApplication.processEvents()


def test_the_hub_is_asked_about_the_selected_model(window, qtbot, hub, monkeypatch):
    hub.gated = True
    browser = opened(window, qtbot, monkeypatch, listed((VIT, "download"), (BASE, "here")))
    user_input.click(browser.search)
    user_input.write(window, "deit")
    qtbot.waitUntil(lambda: column(browser, "Access") == ["gated"], timeout=30_000)
    assert f"https://huggingface.co/timm/{VIT}" in browser.details.text()
    assert browser.choice() == VIT
    size = len(hub.content) / 1e6
    assert column(browser, "Where") == [f"download {size:.0f} MB"]
    user_input.press(window, "Esc")
