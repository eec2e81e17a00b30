"""The settings of a model in the window: a size with its estimate, precision, class names; remembered for each model."""

import pytest
import torch
import user_input
from PySide6.QtWidgets import QApplication, QSpinBox
from steps import show

from vitviz.app.main import make_window
from vitviz.app.settings import Settings

NAME = "demo/vit"


@pytest.fixture
def on_demo(window, qtbot, photo):
    show(window, qtbot, photo, NAME)
    return window


def opened(window):
    user_input.press(window, "Ctrl+,")
    return window.model_settings


def type_size(window, box: QSpinBox, pixels: int) -> None:
    user_input.click(box)
    user_input.press(window, "Ctrl+A")
    user_input.write(window, str(pixels))
    user_input.press(window, "Tab")


def apply(window, qtbot, dialog) -> None:
    with qtbot.waitSignal(window.session.trace_changed, timeout=60_000):
        user_input.click(dialog.accept_button)
    qtbot.waitUntil(lambda: window.session.busy is None)


def test_another_size_is_estimated_applied_and_remembered(on_demo, qtbot, photo, tmp_path):
    window, session = on_demo, on_demo.session
    dialog = opened(window)
    assert (dialog.height_px.value(), dialog.width_px.value()) == (96, 96)
    type_size(window, dialog.height_px, 130)  # no multiple of 8: the nearest is 128
    type_size(window, dialog.width_px, 64)
    assert dialog.height_px.value() == 128
    assert "129 tokens: 16×8 patches + 1 prefix" in dialog.estimate.text()
    assert "of memory" in dialog.estimate.text()
    apply(window, qtbot, dialog)
    assert session.model.input_size == (128, 64)
    assert (session.trace.patches.rows, session.trace.patches.cols) == (16, 8)
    show(window, qtbot, photo, "demo/swin")
    assert session.model.input_size == (96, 96)  # settings are each model's own
    show(window, qtbot, photo, NAME)
    assert session.model.input_size == (128, 64)
    again = make_window(Settings(window.settings.path), "cpu")
    assert again.session.memory.of(NAME).image_size == (128, 64)
    again.close()
    again.deleteLater()
    dialog = opened(window)
    user_input.click(dialog.defaults)
    apply(window, qtbot, dialog)
    assert session.model.input_size == (96, 96)


def test_precision_and_class_names(on_demo, qtbot, tmp_path):
    window, session = on_demo, on_demo.session
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"figure {number}" for number in range(8)))
    dialog = opened(window)
    item = dialog.precision.model().item(dialog.precision.findText("float16"))
    assert not item.isEnabled()  # on the CPU
    dialog.precision.setCurrentText("bfloat16")
    assert "the time is known once it has run" in dialog.estimate.text()
    user_input.click(dialog.labels)
    user_input.write(window, str(names))
    apply(window, qtbot, dialog)
    assert session.model.dtype == torch.bfloat16
    assert session.model.labels[3] == "figure 3"


def test_what_the_numbers_are_is_chosen_and_remembered(on_demo, qtbot):
    window, session = on_demo, on_demo.session
    dialog = opened(window)
    dialog.outputs.setCurrentIndex(dialog.outputs.findData("values"))
    apply(window, qtbot, dialog)
    assert session.model.outputs == "values"
    assert session.loaded.settings.outputs == "values"
    assert session.memory.of(NAME).outputs == "values"
    dialog = opened(window)
    assert dialog.outputs.currentData() == "values"
    user_input.click(dialog.defaults)
    apply(window, qtbot, dialog)
    assert session.model.outputs == "classes"


def test_the_framing_is_remembered_with_the_model(on_demo, qtbot, photo):
    window, session = on_demo, on_demo.session
    dialog = opened(window)
    dialog.framing.setCurrentIndex(dialog.framing.findData("squash"))
    apply(window, qtbot, dialog)
    assert session.trace.framing.mode == "squash"
    assert session.memory.of(NAME).framing == "squash"


def test_without_a_model_that_can_be_loaded_again_there_are_no_settings(window, qtbot, photo, model):
    assert not window.commands["model_settings"].isEnabled()
    show(window, qtbot, photo, model)  # given as a module
    assert not window.commands["model_settings"].isEnabled()
    QApplication.processEvents()


def test_settings_on_the_command_line_are_those_of_the_window(window, qtbot, photo):
    from vitviz.app import main
    from vitviz.models.settings import ModelSettings

    with qtbot.waitSignal(window.session.trace_changed, timeout=60_000):
        main.start(window, str(photo), NAME, ModelSettings(image_size=(64, 64), framing="fit"))
    assert window.session.model.input_size == (64, 64)
    assert window.session.framing == "fit"
