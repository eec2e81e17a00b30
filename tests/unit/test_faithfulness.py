"""Deletion, insertion, random orders and their intervals, against loops written out with plain torch."""

import math
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from small_models import VIT, small

import vitviz
from vitviz.attention.trace import Cancelled
from vitviz.errors import MethodError
from vitviz.explain.measures import faithfulness, intervals, truth
from vitviz.images.framing import DataConfig, PatchGrid, frame

SWIN = {
    "img_size": 64,
    "window_size": 4,
    "embed_dim": 24,
    "depths": (2, 2),
    "num_heads": (2, 4),
    "num_classes": 5,
}


@pytest.fixture(scope="module")
def traced(photo):
    return vitviz.trace(vitviz.load_model(small("vit_tiny_patch16_224", **VIT), device="cpu"), photo)


@pytest.fixture(scope="module")
def swin(photo):
    module = small("swin_tiny_patch4_window7_224", 3, **SWIN)
    return vitviz.trace(vitviz.load_model(module, device="cpu"), photo)


def by_hand(trace, order, boxes, target, steps, instead):
    """The two curves, one forward pass per step, with patches painted over one by one."""
    photo = trace.framing.apply(trace.photo)
    module = trace.model.module

    def probability(picture):
        with torch.no_grad():
            return float(module(torch.from_numpy(picture)[None])[0].double().softmax(0)[target])

    curves = [], []
    for curve, start, paint in ((curves[0], photo, instead), (curves[1], instead, photo)):
        for step in range(steps + 1):
            picture = start.copy()
            for cell in order[: round(step * len(order) / steps)]:
                left, top, right, bottom = (int(edge) for edge in boxes(cell))
                picture[:, top:bottom, left:right] = paint[:, top:bottom, left:right]
            curve.append(probability(picture))
    return curves


@pytest.mark.parametrize("replacement", ["mean", "blur"])
def test_curves_equal_a_loop_over_painted_pictures(traced, replacement):
    heatmap = vitviz.explain(traced, "attention", layer=0, head=1)
    order = sorted(range(16), key=lambda cell: -heatmap.values.reshape(-1)[cell])
    instead = np.zeros((3, 64, 64), np.float32)
    if replacement == "blur":
        seen = Image.fromarray(traced.framing.picture(traced.photo)).filter(ImageFilter.GaussianBlur(6.4))
        config = traced.framing.config
        normal = (np.asarray(seen, np.float32) / 255 - np.float32(config.mean)) / np.float32(config.std)
        instead = np.ascontiguousarray(normal.transpose(2, 0, 1), np.float32)
    target = 3
    deletion, insertion = by_hand(
        traced, order, lambda cell: heatmap.patches.box(*divmod(cell, 4)), target, 8, instead
    )
    found = faithfulness.scores(traced, heatmap, target, steps=8, replacement=replacement, batch=5)
    np.testing.assert_allclose(found.deletion.probabilities, deletion, atol=1e-6)
    np.testing.assert_allclose(found.insertion.probabilities, insertion, atol=1e-6)
    assert found.deletion.area == pytest.approx(
        sum(deletion) / 8 - (deletion[0] + deletion[-1]) / 16, abs=1e-6
    )
    assert found.order.tolist() == order
    assert np.ptp(deletion) > 1e-3  # or the comparison above would prove nothing
    top = faithfulness.scores(traced, heatmap, steps=1)
    assert top.target == traced.predictions(1)[0].index
    assert top.deletion.probabilities[0] == pytest.approx(traced.predictions(1)[0].probability, abs=1e-6)


def test_a_later_stage_of_swin_loses_the_pixels_of_its_tokens(swin):
    heatmap = vitviz.explain(swin, "attention", layer=-1, head=0)
    assert heatmap.values.shape == (8, 8)
    order = np.argsort(-heatmap.values.reshape(-1), kind="stable").tolist()

    def box(cell):
        return (cell % 8) * 8, (cell // 8) * 8, (cell % 8) * 8 + 8, (cell // 8) * 8 + 8

    found = faithfulness.scores(swin, heatmap, 2, steps=4)
    deletion, insertion = by_hand(swin, order, box, 2, 4, np.zeros((3, 64, 64), np.float32))
    np.testing.assert_allclose(found.deletion.probabilities, deletion, atol=1e-6)
    np.testing.assert_allclose(found.insertion.probabilities, insertion, atol=1e-6)
    fine = faithfulness.baseline(swin, swin.patches, 2, orders=2, steps=2)
    assert fine.patches.rows == 16


def test_an_input_that_is_not_square(photo):
    model = vitviz.load_model(small("vit_tiny_patch16_224", **{**VIT, "img_size": (48, 80)}), device="cpu")
    trace = vitviz.trace(model, photo, framing="squash")
    heatmap = vitviz.explain(trace, "rollout")
    assert heatmap.values.shape == (3, 5)
    order = np.argsort(-heatmap.values.reshape(-1)).tolist()
    found = faithfulness.scores(trace, heatmap, 0, steps=5)
    blank = np.zeros((3, 48, 80), np.float32)
    deletion, insertion = by_hand(
        trace, order, lambda cell: heatmap.patches.box(*divmod(cell, 5)), 0, 5, blank
    )
    np.testing.assert_allclose(found.deletion.probabilities, deletion, atol=1e-6)
    np.testing.assert_allclose(found.insertion.probabilities, insertion, atol=1e-6)
    # More steps than patches are one patch each.
    assert faithfulness.scores(trace, heatmap, 0, steps=99).counts.tolist() == list(range(16))


def test_random_orders_removed_are_their_reverses_revealed(traced):
    """The rule that saves half of the forward passes, against forward passes for the insertion itself."""
    found = faithfulness.baseline(traced, traced.patches, 1, orders=3, steps=4, seed=5)
    draw = np.random.default_rng([5, 1])
    heat = SimpleNamespace(patches=traced.patches, method="random")
    for curve in found.probabilities:
        rank = draw.permutation(16)
        heat.values = -rank.reshape(4, 4).astype(np.float32)
        forward = faithfulness.scores(traced, heat, 1, steps=4)
        np.testing.assert_allclose(curve, forward.deletion.probabilities, atol=1e-6)
        heat.values = rank.reshape(4, 4).astype(np.float32)
        reverse = faithfulness.scores(traced, heat, 1, steps=4)
        np.testing.assert_allclose(curve[::-1], reverse.insertion.probabilities, atol=1e-6)
    assert found.insertion.area.mean == pytest.approx(found.deletion.area.mean)
    np.testing.assert_array_equal(found.insertion.mean, found.deletion.mean[::-1])
    again = faithfulness.baseline(traced, traced.patches, 1, orders=3, steps=4, seed=5, batch=2)
    np.testing.assert_allclose(again.probabilities, found.probabilities, atol=1e-6)
    other = faithfulness.baseline(traced, traced.patches, 1, orders=3, steps=4, seed=6)
    assert np.abs(other.probabilities - found.probabilities).max() > 1e-4


def test_interval_of_known_numbers():
    """2, 4, 4, 4, 5, 5, 7, 9: mean 5, s = √(32/7), t(7) = 2.364624, so ± 1.787493 (any statistics textbook's table)."""
    found = intervals.interval([2, 4, 4, 4, 5, 5, 7, 9])
    assert found.mean == 5
    assert found.half == pytest.approx(2.364624 * math.sqrt(32 / 7) / math.sqrt(8), rel=1e-6)
    assert str(found) == "5.000 ± 1.787"
    assert str(intervals.interval([0.25])) == "0.250"


@pytest.mark.parametrize(
    ("freedom", "t"),
    [
        (1, 12.7062047),
        (2, 4.3026527),
        (3, 3.1824463),
        (4, 2.7764451),
        (9, 2.2621572),
        (10, 2.2281389),
        (30, 2.0422725),
        (99, 1.9842170),
        (1000, 1.9623391),
    ],
)
def test_students_t_is_that_of_the_tables(freedom, t):
    assert intervals.student_t(freedom) == pytest.approx(t, rel=1e-7)


def test_the_band_is_the_interval_at_each_step():
    curves = np.array([[1.0, 0.5, 0.0], [1.0, 0.7, 0.0], [1.0, 0.3, 0.0]])
    band = faithfulness.band(np.array([0, 0.5, 1.0]), curves)
    np.testing.assert_allclose(band.mean, [1, 0.5, 0])
    np.testing.assert_allclose(band.half, [0, 4.3026527 * 0.2 / math.sqrt(3), 0], rtol=1e-6, atol=1e-12)
    assert band.area.mean == pytest.approx(0.5)
    assert band.area.half == pytest.approx(band.half[1] / 2, rel=1e-6)


def test_area_by_hand():
    assert faithfulness.area(np.array([0, 0.25, 1]), np.array([1.0, 0.5, 0.1])) == pytest.approx(
        0.25 * 0.75 + 0.75 * 0.3
    )


@given(
    st.lists(st.sampled_from([0.0, 1.0, -1.0, 2.5, float("nan")]), min_size=1, max_size=40), st.integers(0, 9)
)
def test_the_ranking_goes_down_and_breaks_ties_by_the_seed_alone(values, seed):
    order = faithfulness.ranking(values, seed)
    assert sorted(order.tolist()) == list(range(len(values)))
    down = [-math.inf if math.isnan(values[cell]) else values[cell] for cell in order]
    assert down == sorted(down, reverse=True)
    np.testing.assert_array_equal(order, faithfulness.ranking(values, seed))


def test_equal_patches_are_not_taken_in_reading_order():
    orders = {tuple(faithfulness.ranking(np.ones((3, 3)), seed)) for seed in range(5)}
    assert len(orders) == 5
    assert tuple(range(9)) not in orders


def test_pixels_of_no_cell_stay(traced):
    grid = PatchGrid(2, 2, (16.0, 16.0), (16.0, 16.0))
    heat = SimpleNamespace(values=np.zeros((2, 2)), patches=grid, method="none")
    found = faithfulness.scores(traced, heat, 4, steps=2)
    photo = traced.framing.apply(traced.photo)
    photo[:, 16:48, 16:48] = 0
    with torch.no_grad():
        emptied = float(traced.model.module(torch.from_numpy(photo)[None])[0].double().softmax(0)[4])
    assert found.deletion.probabilities[-1] == pytest.approx(emptied, abs=1e-6)


def test_work_ends_between_two_batches(traced):
    asked, told = [], []

    def cancel():
        asked.append(len(told))
        return len(asked) == 3

    heatmap = vitviz.explain(traced, "rollout")
    with pytest.raises(Cancelled):
        faithfulness.scores(
            traced, heatmap, steps=8, batch=4, cancel=cancel, progress=lambda _, share: told.append(share)
        )
    assert told == [0, 0.25]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "at least 1 step"),
        ({"replacement": "red"}, "mean, blur"),
        ({"target": 10}, "10 classes"),
        ({"batch": 0}, "At least 1 input"),
    ],
)
def test_options_out_of_range_are_said(traced, options, words):
    with pytest.raises(MethodError, match=words):
        faithfulness.scores(traced, vitviz.explain(traced, "rollout"), **options)


def test_one_random_order_has_no_interval_and_no_classes_no_probability(traced, photo):
    with pytest.raises(MethodError, match="at least 2"):
        faithfulness.baseline(traced, traced.patches, orders=1)
    bare = vitviz.load_model(small("vit_tiny_patch16_224", **{**VIT, "num_classes": 0}), device="cpu")
    with pytest.raises(MethodError, match="no classifier"):
        faithfulness.target_of(vitviz.trace(bare, photo), None)


def test_a_mask_is_framed_as_the_photo_is(photo):
    """White where the photo is white: what the model sees of both is the same."""
    mask = np.zeros((90, 120), np.uint8)
    mask[20:70, 30:95] = 255
    white = vitviz.images.photo.photo_from_array(np.repeat(mask[:, :, None], 3, 2))
    config = DataConfig((64, 64), (0.5,) * 3, (0.5,) * 3)
    for mode in ("crop", "squash", "fit"):
        framing = frame((90, 120), config, mode)
        np.testing.assert_array_equal(
            truth.input_mask(framing, mask) > 128, framing.picture(white)[:, :, 0] > 128, err_msg=mode
        )
    # Where the input is padded there is no object, whatever the padding's colour.
    padded = frame((45, 100), config, "fit")
    (height, width), (top, left) = padded.resized, padded.offset
    expected = np.zeros(padded.input_size)
    expected[-top : height - top, -left : width - left] = 255
    assert 0 < expected.mean() < 255
    np.testing.assert_array_equal(truth.input_mask(padded, np.full((45, 100), 255, np.uint8)), expected)


def test_tracing_and_scoring_side_by_side_do_not_hear_each_other(traced, photo):
    """One model, two threads: a recording's hooks must not record the other thread's passes."""
    ended, problems, alone = threading.Event(), [], vitviz.explain(traced, "attention", layer=1).values

    def score():
        try:
            while not ended.is_set():
                faithfulness.baseline(traced, traced.patches, 0, orders=2, steps=4, batch=1)
        except Exception as problem:
            problems.append(problem)

    other = threading.Thread(target=score)
    other.start()
    try:
        for _ in range(40):
            again = vitviz.trace(traced.model, photo)
            np.testing.assert_array_equal(again.logits, traced.logits)
            assert len(again.layers) == len(traced.layers)
            np.testing.assert_array_equal(vitviz.explain(again, "attention", layer=1).values, alone)
    finally:
        ended.set()
        other.join()
    assert not problems
