"""Each method has its own layer, and class-specific methods explain the prediction until a patch is clicked."""

import user_input


def test_a_layer_chosen_for_one_method_is_not_that_of_another(shown):
    session = shown.session
    user_input.press(shown, "Ctrl+Left")
    assert (session.view.method, session.view.layer) == ("attention", 1)
    user_input.press(shown, "4")
    assert (session.view.method, session.view.layer) == ("relevance", 2)
    user_input.press(shown, "Ctrl+Left")
    user_input.press(shown, "Ctrl+Left")
    user_input.press(shown, "6")
    assert (session.view.method, session.view.layer) == ("gradcam", 2)
    for key, layer in (("1", 1), ("4", 0), ("6", 2), ("4", 0)):
        user_input.press(shown, key)
        assert session.view.layer == layer, key
    user_input.press(shown, "Ctrl+Z")
    assert (session.view.method, session.view.layer) == ("gradcam", 2)
    user_input.press(shown, "1")
    assert session.view.layer == 1


def test_a_resting_pointer_does_not_change_what_relevance_explains(shown, qtbot, at):
    session, canvas = shown.session, shown.photo.canvas
    user_input.press(shown, "4")
    qtbot.waitUntil(lambda: session.heatmap.method == "relevance", timeout=20_000)
    heat = session.heatmap
    user_input.point(canvas, at(shown, 2, 6))
    assert session.hover.patch == (2, 6)
    assert session.selection.query is None
    assert session.heatmap is heat
    assert shown.status.weight.text().startswith("patch (2, 6) ")
    assert not canvas.marked
    user_input.click(canvas, at(shown, 2, 6))
    qtbot.waitUntil(lambda: session.heatmap.options["query"] == (2, 6), timeout=20_000)
    assert canvas.marked == {(2, 6)}
    user_input.press(shown, "Esc")
    assert session.selection.query is None
    user_input.press(shown, "1")
    user_input.point(canvas, at(shown, 3, 3))
    assert session.selection.query == (3, 3)
