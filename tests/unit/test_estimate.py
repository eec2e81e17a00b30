"""The estimate of another input size against what a trace at that size has."""

import pytest

from vitviz.attention.estimate import estimate
from vitviz.attention.trace import trace
from vitviz.images.photo import photo_from_array
from vitviz.models.loading import load_model
from vitviz.models.sizes import at_size, size_step


@pytest.fixture(scope="module")
def noise():
    import numpy as np

    return photo_from_array(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", ["demo/vit", "demo/deit", "demo/swin"])
@pytest.mark.parametrize("size", [(144, 144), (192, 96)])
def test_tokens_and_kept_bytes_are_those_of_a_trace_at_that_size(name, size, noise):
    model = load_model(name, device="cpu")
    found = estimate(trace(model, noise), size)
    there = trace(at_size(model, size), noise)
    grid = there.patches
    assert (found.rows, found.cols) == (grid.rows, grid.cols)
    assert found.tokens == grid.rows * grid.cols + len(there.prefix)
    assert found.weights == 4 * model.parameters
    assert found.kept == pytest.approx(there.bytes, rel=0.02)


def test_half_the_bytes_in_half_precision_and_more_time_for_more_tokens(noise):
    model = load_model("demo/vit", device="cpu")
    traced = trace(model, noise)
    whole, half, large = (
        estimate(traced, (96, 96)),
        estimate(traced, (96, 96), 2),
        estimate(traced, (192, 192)),
    )
    assert half.memory == pytest.approx(whole.memory / 2, rel=0.01)
    assert whole.seconds == pytest.approx(traced.milliseconds / 1000)
    # 24·d² per token and 4·d per pair, d = 96: counted here
    cost = [tokens * (24 * 96**2 + 4 * tokens * 96) for tokens in (145, 577)]
    assert large.seconds / whole.seconds == pytest.approx(cost[1] / cost[0])


@pytest.mark.parametrize("name", ["demo/vit", "demo/swin", "random/pit_ti_224", "random/cait_xxs24_224"])
def test_sizes_are_a_step_apart(name):
    model = load_model(name, device="cpu")
    step = size_step(model)
    assert step is not None
    size = (model.input_size[0] + step, model.input_size[1] - step)
    resized = at_size(model, size)
    assert resized.input_size == size
    assert resized.own_input_size == model.input_size
    assert at_size(resized, model.input_size).own_input_size == model.input_size
