"""The pure part of the window's state."""

from dataclasses import replace

import pytest

from vitviz.app.session.view_state import (
    Hover,
    Shape,
    ViewState,
    fitted,
    moved_head,
    moved_layer,
    moved_query,
    options_of,
    portable,
    query_of,
    same_selection,
    selection,
    with_option,
    with_selection,
)

VIT = Shape(heads=(3, 3, 3), grid=(8, 8), prefix=("class",))
SWIN = Shape(heads=(2, 2, 4, 4), grid=(16, 16))


def test_an_option_that_names_a_layer_stays_where_there_is_one():
    view = with_option(ViewState(method="relevance"), "relevance", "start", 3)
    view = with_option(view, "rollout", "discard", 0.9)
    assert fitted(view, SWIN).choices == view.choices
    assert fitted(view, VIT).choices == (("rollout", "discard", 0.9),)


def test_a_fresh_view_shows_the_last_layer_all_heads_and_the_readout():
    view = fitted(ViewState(), VIT)
    assert (view.layer, view.head, view.query) == (2, None, None)


@pytest.mark.parametrize(
    ("view", "shape", "kept"),
    [
        (ViewState(query=(7, 7), pinned=True, layer=1, head=2), VIT, ((7, 7), True, 1, 2)),
        (ViewState(query=(9, 7), pinned=True, layer=1, head=2), VIT, (None, False, 1, 2)),
        (ViewState(query="class", pinned=True, layer=3, head=3), SWIN, (None, False, 3, 3)),
        (ViewState(query="class", pinned=True, layer=3, head=3), VIT, ("class", True, 2, None)),
    ],
)
def test_another_trace_keeps_what_it_has(view, shape, kept):
    now = fitted(view, shape)
    assert (now.query, now.pinned, now.layer, now.head) == kept


def test_the_pinned_query_wins_over_the_pointer_and_the_pointer_over_the_readout():
    free, pinned = ViewState(layer=2), ViewState(query=(1, 2), pinned=True, layer=2)
    assert selection(free, Hover()).query is None
    assert selection(free, Hover(patch=(3, 4))).query == (3, 4)
    assert selection(pinned, Hover(patch=(3, 4))).query == (1, 2)
    # A row of the matrix of tokens is the query for now; the patch beside it is a key and no query.
    assert selection(pinned, Hover(query="class", patch=(3, 4))).query == "class"
    assert selection(free, Hover(query=(5, 6), patch=(3, 4))).query == (5, 6)


def test_a_hovered_tile_previews_attention_of_that_layer_and_head():
    chosen = selection(ViewState(layer=2, method="rollout"), Hover(tile=(0, 1)))
    assert (chosen.method, chosen.layer, chosen.head) == ("attention", 0, 1)


def test_the_query_moves_inside_the_grid_and_is_pinned():
    view = replace(fitted(ViewState(), VIT), query=(0, 7), pinned=True)
    assert moved_query(view, Hover(), VIT, 0, 1).query == (0, 7)
    assert moved_query(view, Hover(), VIT, -1, 0).query == (0, 7)
    assert moved_query(view, Hover(), VIT, 1, -1).query == (1, 6)
    fresh = moved_query(fitted(ViewState(), VIT), Hover(), VIT, 0, 1)
    assert fresh.query == (4, 4)
    assert fresh.pinned


def test_moving_from_under_the_pointer_starts_there():
    assert moved_query(fitted(ViewState(), VIT), Hover(patch=(2, 2)), VIT, 0, 1).query == (2, 3)


def test_heads_run_from_all_heads_to_the_last_and_layers_to_the_ends():
    view = replace(fitted(ViewState(), VIT), layer=0)
    heads = [view := moved_head(view, VIT, 1) for _ in range(5)]
    assert [one.head for one in heads] == [0, 1, 2, 2, 2]
    assert moved_head(replace(view, head=0), VIT, -1).head is None
    assert moved_layer(replace(view, layer=2), VIT, 1).layer == 2
    assert moved_layer(replace(view, layer=0), VIT, -1).layer == 0


@pytest.mark.parametrize(
    ("method", "shown"),
    [("attention", "attention"), ("gradient_attention", "gradient_attention"), ("rollout", "attention")],
)
def test_pointing_at_a_head_previews_a_method_that_has_single_heads(method, shown):
    view = ViewState(layer=2, method=method)
    assert selection(view, Hover(tile=(1, 2))).method == shown
    assert selection(view, Hover(tile=(1, None))).method == method


def test_a_layer_with_fewer_heads_keeps_a_head_it_has():
    assert moved_layer(ViewState(layer=2, head=3), SWIN, -1).head == 1


def test_the_last_layer_stays_the_last_one_of_another_model():
    assert portable(ViewState(layer=2), VIT).layer == -1
    assert portable(ViewState(layer=1), VIT).layer == 1
    assert fitted(portable(ViewState(layer=2), VIT), SWIN).layer == len(SWIN.heads) - 1


def test_a_method_has_options_of_its_own_and_none_is_the_default_again():
    view = with_option(ViewState(layer=1, method="rollout"), "rollout", "discard", 0.5)
    assert selection(view, Hover()).choices == (("discard", 0.5),)
    assert selection(replace(view, method="attention"), Hover()).choices == ()
    assert options_of(with_option(view, "rollout", "discard", 0.9), "rollout") == {"discard": 0.9}
    assert with_option(view, "rollout", "discard", None).choices == ()


def test_several_patches_are_one_query_that_moves_as_a_whole():
    assert query_of([(3, 1), (0, 7), (3, 1)]) == ((0, 7), (3, 1))
    assert query_of([(3, 1)]) == (3, 1)
    assert query_of([]) is None
    view = replace(fitted(ViewState(), VIT), query=((0, 7), (3, 1)), pinned=True)
    assert moved_query(view, Hover(), VIT, 1, 0).query == ((1, 7), (4, 1))
    assert fitted(view, Shape((3,), (2, 8))).query is None


def test_the_drawing_is_no_part_of_the_selection():
    view = ViewState(layer=1)
    assert same_selection(view, replace(view, opacity=0.1, colormap="magma"))
    assert not same_selection(view, replace(view, target=3))
    back = with_selection(replace(view, opacity=0.1, layer=2), view)
    assert (back.layer, back.opacity) == (1, 0.1)


def test_a_class_that_another_model_does_not_have_is_no_target():
    assert fitted(ViewState(target=7), replace(VIT, classes=8)).target == 7
    assert fitted(ViewState(target=8), replace(VIT, classes=8)).target is None
