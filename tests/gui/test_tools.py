"""The line of tools: every method with its options and its class; and the welcome of an empty window."""

import threading

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication, QCheckBox, QComboBox, QLabel, QSlider
from steps import picture, show

from vitviz.app.session import compute
from vitviz.app.sources.samples import models, samples
from vitviz.app.window.method_options import OptionsForm
from vitviz.explain.registry import METHODS, find


def opened(button, qtbot):
    """What a button opened, by a click."""
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    return button.popover.content


def choose(window, qtbot, name):
    listed = opened(window.tools.method, qtbot)
    row = [method.name for method in METHODS].index(name)
    place = listed.visualItemRect(listed.item(row)).center()
    qtbot.mouseClick(listed.viewport(), Qt.MouseButton.LeftButton, pos=place)


def test_every_method_is_offered_in_the_order_of_its_key_with_what_it_does(shown, qtbot):
    listed = opened(shown.tools.method, qtbot)
    said = [listed.item(row).data(Qt.ItemDataRole.AccessibleTextRole) for row in range(listed.count())]
    assert [words.split(". ")[0] for words in said] == [method.label for method in METHODS]
    assert all(method.about.rstrip(".") in words for method, words in zip(METHODS, said, strict=True))
    assert [pick.keys for pick in shown.tools.method.picks] == [
        str(number + 1) for number in range(len(METHODS))
    ]
    qtbot.keyClick(listed, Qt.Key.Key_Escape)
    assert shown.tools.method.popover is None or not shown.tools.method.popover.isVisible()


def test_a_click_in_the_list_chooses_a_method_and_the_keyboard_does_too(shown, qtbot):
    choose(shown, qtbot, "rollout")
    qtbot.waitUntil(lambda: shown.session.heatmap.method == "rollout", timeout=20_000)
    assert shown.tools.method.text() == "Rollout"
    shown.tools.method.setFocus()
    qtbot.keyClick(shown.tools.method, Qt.Key.Key_Down)
    listed = shown.tools.method.popover.content
    assert QApplication.focusWidget() is listed
    qtbot.keyClick(listed, Qt.Key.Key_Up)
    qtbot.keyClick(listed, Qt.Key.Key_Return)
    assert shown.session.view.method == "attention"


def test_a_method_that_does_not_apply_says_why_and_cannot_be_chosen(shown, qtbot):
    shown.tools.method.set_barred({"rollout": "does not apply, because rows are no shares"})
    choose(shown, qtbot, "rollout")
    assert shown.session.view.method == "attention"
    shown.tools.method.close_popover()
    listed = opened(shown.tools.method, qtbot)
    assert "rows are no shares" in listed.item(1).data(Qt.ItemDataRole.AccessibleTextRole)
    shown.tools.method.close_popover()


def test_a_model_whose_rows_are_no_shares_bars_rollout_with_the_reason(window, qtbot, photo):
    """CaiT mixes its heads after the softmax."""
    import timm

    from vitviz.models.loading import load_model

    cait = timm.create_model("cait_xxs24_224", img_size=64, embed_dim=48, depth=2, num_heads=3, num_classes=5)
    window.session.change(method="rollout")
    show(window, qtbot, photo, load_model(cait.eval(), device="cpu"))
    assert window.session.view.method == "attention"
    choose(window, qtbot, "rollout")
    assert window.session.view.method == "attention"
    window.tools.method.close_popover()
    listed = opened(window.tools.method, qtbot)
    said = [listed.item(row).data(Qt.ItemDataRole.AccessibleTextRole) for row in range(listed.count())]
    assert [("does not apply" in words) for words in said] == [method.name == "rollout" for method in METHODS]
    assert "because rows of blocks.0.attn are not shares" in said[1]
    window.tools.method.close_popover()


def test_heads_layers_and_queries_of_a_class_are_gone_through_without_a_pass(shown, qtbot, monkeypatch):
    import torch

    passes = []
    real = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *all_, **more: passes.append(1) or real(*all_, **more))
    session, maps = shown.session, shown.session.maps

    def drawn():
        return maps.shown is not None and maps.shown.selection == session.selection

    choose(shown, qtbot, "gradient_attention")
    session.change(target=3, layer=2)
    qtbot.waitUntil(drawn, timeout=20_000)
    passes.clear()
    session.change(target=4)
    qtbot.waitUntil(drawn, timeout=20_000)
    assert passes == [1]
    seen = []
    for name in ("next_head", "next_head", "previous_layer"):
        shown.commands[name].trigger()
        qtbot.waitUntil(drawn, timeout=20_000)
        seen.append(
            (session.heatmap.method, session.heatmap.options["layer"], session.heatmap.options["head"])
        )
    session.pin((2, 5))
    qtbot.waitUntil(drawn, timeout=20_000)
    assert [one[1:] for one in seen] == [("blocks.2.attn", 0), ("blocks.2.attn", 1), ("blocks.1.attn", 1)]
    assert {one[0] for one in seen} == {"gradient_attention"}
    for method in ("relevance", "gradcam", "gradient_rollout", "input_gradient"):
        session.change(method=method)
        qtbot.waitUntil(drawn, timeout=20_000)
        session.change(layer=0)
        qtbot.waitUntil(drawn, timeout=20_000)
    assert passes == [1]


@pytest.mark.parametrize("method", [method.name for method in METHODS])
def test_options_are_those_of_the_registry_and_change_the_map(shown, qtbot, method):
    described = find(method)
    shown.session.change(method=method)
    shown.session.pin((2, 5))
    button = shown.tools.options
    expected = [option.name for option in described.parameters]
    if not expected and not described.takes("fusion"):
        assert not button.isVisible()
        return
    form = opened(button, qtbot)
    assert isinstance(form, OptionsForm)
    names = [name for name in form.controls if name not in ("fusion", "reset")]
    assert names == expected
    assert ("fusion" in form.controls) is described.takes("fusion")
    maps = shown.session.maps
    for option in described.parameters:
        control = form.controls[option.name]
        assert control.isEnabled() is (option.refusal(shown.session.trace) is None)
        if not control.isEnabled():
            continue
        if isinstance(control, QCheckBox):
            qtbot.keyClick(control, Qt.Key.Key_Space)
        elif isinstance(control, QComboBox):
            qtbot.keyClick(control, Qt.Key.Key_Down)
        else:
            qtbot.keyClick(control.findChild(QSlider), Qt.Key.Key_Right)
        chosen = dict(shown.session.selection.choices)
        assert chosen[option.name] != option.default, option.name
        assert option.label.casefold() in button.text().casefold()
        qtbot.waitUntil(
            lambda: bool(maps.problem) or (maps.shown and maps.shown.selection) == shown.session.selection,
            timeout=20_000,
        )
        # Some exclude each other; then the reason is said.
        assert (maps.shown is None) == bool(maps.problem)
        if option.name in ("discard", "residual", "start"):
            assert maps.problem == ""
            expected_value = "blocks.1.attn" if option.name == "start" else chosen[option.name]
            assert maps.shown.heatmap.options[option.name] == expected_value
    shown.session.change(fusion="max" if described.takes("fusion") else "mean")
    qtbot.mouseClick(form.controls["reset"], Qt.MouseButton.LeftButton)
    assert shown.session.view.fusion == "mean"
    assert shown.session.selection.choices == ()
    assert button.text() == "Options"


@pytest.fixture(scope="module")
def padded():
    """A Swin whose second stage, 5×5 tokens, is padded to whole windows of 4×4."""
    import timm
    import torch

    from vitviz.models.loading import load_model

    torch.manual_seed(5)
    options = {"img_size": 40, "window_size": 4, "embed_dim": 12, "depths": (1, 1), "num_heads": (2, 2)}
    module = timm.create_model("swin_tiny_patch4_window7_224", num_classes=5, **options)
    return load_model(module, device="cpu")


def test_an_option_that_can_do_nothing_for_a_model_is_disabled_with_the_reason(
    shown, qtbot, photo, swin, padded
):
    session, tools = shown.session, shown.tools
    for model, padding, script in (
        (swin, "pads nothing at this size", "one grid of patches behind one class token"),
        (padded, "", "one grid of patches behind one class token"),
        (session.model, "pads nothing at this size", ""),
    ):
        show(shown, qtbot, photo, model)
        session.change(method="rollout")
        form = opened(tools.options, qtbot)
        for name, reason in (("renormalise", padding), ("vit_explain", script)):
            control, about = form.controls[name], find("rollout").parameter(name).about
            assert control.isEnabled() is not bool(reason)
            said = control.accessibleDescription()
            assert said == about if not reason else said.startswith("Does nothing here, because")
            assert reason in said
            assert any(words.text() == said for words in form.findChildren(QLabel))
            qtbot.keyClick(control, Qt.Key.Key_Space)
            chosen = dict(session.selection.choices)
            assert (name in chosen) is not bool(reason)
            qtbot.keyClick(control, Qt.Key.Key_Space)
        tools.options.close_popover()


def test_an_option_does_not_go_with_the_photo_to_a_model_for_which_it_can_do_nothing(
    shown, qtbot, photo, swin
):
    session = shown.session
    session.change(method="rollout")
    form = opened(shown.tools.options, qtbot)
    qtbot.mouseClick(form.controls["vit_explain"], Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    assert dict(session.selection.choices) == {"vit_explain": True}
    shown.tools.options.close_popover()
    show(shown, qtbot, photo, swin)
    assert dict(session.selection.choices) == {}
    assert session.maps.problem == ""
    assert shown.tools.options.text() == "Options"


def test_fusion_is_an_option_of_attention(shown, qtbot):
    form = opened(shown.tools.options, qtbot)
    fusion = form.controls["fusion"]
    qtbot.mouseClick(fusion, Qt.MouseButton.LeftButton, pos=fusion.cell("max").center().toPoint())
    assert shown.session.view.fusion == "max"
    assert shown.session.heatmap.options["fusion"] == "max"
    assert shown.tools.options.text() == "maximum"
    shown.tools.options.close_popover()


def test_the_class_that_is_explained_is_shown_and_can_be_changed(shown, qtbot):
    tools, session = shown.tools, shown.session
    assert not tools.target.isVisible()
    session.change(method="relevance")
    qtbot.waitUntil(lambda: session.heatmap.method == "relevance", timeout=20_000)
    top = session.trace.predictions(1)[0]
    assert tools.target.text() == f"explains {top.label} (top prediction)"
    other = session.trace.predictions(2)[1].index
    session.change(target=other)
    assert tools.target.text() == f"explains {session.trace.model.labels[other]}"
    shown.docks[1].close()
    qtbot.mouseClick(tools.target, Qt.MouseButton.LeftButton)
    panel = shown.panel("predictions")
    assert panel.isVisible()
    assert panel.isAncestorOf(QApplication.focusWidget())


def test_a_slow_method_can_be_cancelled_and_what_was_shown_comes_back(shown, qtbot, monkeypatch):
    through = threading.Event()
    real = compute.heatmap

    def held(trace, chosen):
        if chosen.method == "relevance":
            assert through.wait(20)
        return real(trace, chosen)

    monkeypatch.setattr(compute, "heatmap", held)
    qtbot.keyClick(shown.photo.canvas, "4")
    assert shown.session.view.method == "relevance"
    progress = shown.photo.progress
    qtbot.waitUntil(progress.isVisible)
    assert "relevance" in progress.text.text()
    assert shown.photo.canvas.dimmed
    qtbot.mouseClick(progress.cancel, Qt.MouseButton.LeftButton)
    assert shown.session.view.method == shown.session.heatmap.method == "attention"
    assert not progress.isVisible()
    assert not shown.photo.canvas.dimmed
    through.set()
    qtbot.wait(100)
    assert shown.session.heatmap.method == "attention"


@pytest.mark.parametrize("strip", [False, True], ids=["alone", "the strip of layers waits for them too"])
def test_the_passes_of_a_class_stop_when_another_method_is_asked_for(shown, qtbot, model, strip):
    reached, go = [], threading.Event()

    def first(*_):
        reached.append(0)
        go.wait(20)

    shown.session.change(layer=0)
    hooks = [
        model.module.blocks[0].register_forward_pre_hook(first),
        model.module.blocks[2].register_forward_pre_hook(lambda *_: reached.append(2)),
    ]
    try:
        qtbot.keyClick(shown.photo.canvas, "4")
        qtbot.waitUntil(lambda: bool(reached), timeout=20_000)
        if strip:
            qtbot.waitUntil(lambda: shown.panel("layers").busy)
            qtbot.wait(200)  # until it waits for the model
        shown.session.change(method="attention")
        go.set()
        qtbot.wait(300)
        assert reached == [0]
    finally:
        for hook in hooks:
            hook.remove()


def test_an_empty_window_offers_scenes_models_and_a_tip(window, qtbot):
    welcome = window.photo.welcome
    qtbot.waitUntil(lambda: bool(welcome.scenes))
    assert [button.text() for button in welcome.scenes] == [sample.title for sample in samples()]
    assert [button.text() for button in welcome.models] == list(models())
    assert welcome.tip.text().startswith("Tip: ")
    assert not any(button.icon().isNull() for button in welcome.scenes)
    with qtbot.waitSignal(window.session.trace_changed, timeout=60_000):
        qtbot.mouseClick(welcome.scenes[1], Qt.MouseButton.LeftButton)
    assert window.session.photo.path == samples()[1].path
    assert not welcome.isVisible()


def test_the_welcome_fits_on_its_stage_and_shows_all_scenes_where_there_is_room(window, qtbot):
    welcome, stage = window.photo.welcome, window.photo.canvas
    qtbot.waitUntil(lambda: bool(welcome.scenes))
    for height, whole in ((760, False), (1100, True), (760, False)):
        window.resize(1440, height)
        qtbot.waitUntil(lambda whole=whole: welcome.scenes[-1].isVisible() == whole)
        qtbot.waitUntil(lambda: stage.rect().contains(welcome.geometry()))
        assert welcome.scenes[0].isVisible()
        assert welcome.rect().contains(welcome.tip.geometry())


def test_a_model_of_the_welcome_is_loaded_and_the_welcome_says_so(window, qtbot):
    welcome = window.photo.welcome
    qtbot.waitUntil(lambda: bool(welcome.models))
    welcome.models[0].setFocus()
    with qtbot.waitSignal(window.session.model_changed, timeout=60_000):
        qtbot.keyClick(welcome.models[0], Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: welcome.isVisible() and "demo/vit is ready" in welcome.hint.text())


def test_a_folder_on_the_command_line_shows_its_first_photo(window, qtbot, tmp_path):
    from vitviz.app import main

    picture(tmp_path / "b.png", (30, 30))
    picture(tmp_path / "a.png", (40, 30))
    with qtbot.waitSignal(window.session.photo_opened, timeout=20_000):
        main.start(window, str(tmp_path), None)
    assert window.session.photo.name == "a.png"


def test_undoing_does_not_bring_another_models_class_back(shown, qtbot, photo, swin, model):
    session = shown.session
    session.change(method="relevance", target=3)
    session.change(layer=0)
    show(shown, qtbot, photo, swin)
    assert session.view.target is None
    session.undo()
    assert session.view.target is None
    assert session.view.method == "relevance"


def test_another_model_is_asked_once_and_for_its_own_class(shown, swin, qtbot, monkeypatch):
    from vitviz.explain.methods import class_gradients as of_class

    asked = []
    real = of_class.differentiate
    monkeypatch.setattr(
        of_class,
        "differentiate",
        lambda trace, target, *more: asked.append((trace.model, target)) or real(trace, target, *more),
    )
    before = shown.session.model
    shown.session.change(method="relevance", target=3)
    qtbot.waitUntil(lambda: asked == [(before, 3)])
    with qtbot.waitSignal(shown.session.trace_changed, timeout=20_000):
        shown.session.open(model=swin)
    qtbot.waitUntil(lambda: shown.session.busy is None and not shown.session.maps.heat_late)
    likeliest = shown.session.trace.predictions(1)[0].index
    # Of the old one a panel may ask again, when the pass that it waited for was stopped.
    assert [target for model, target in asked if model is shown.session.model] == [likeliest]
    assert shown.session.heatmap.options["target"] == likeliest
