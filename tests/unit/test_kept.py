"""What is computed of a trace is kept with it, computed once, and freed with it at once."""

import gc
import weakref
from dataclasses import replace

import pytest
from small_models import VIT, small

import vitviz
from vitviz.explain.methods.class_gradients import gradients
from vitviz.images.photo import Photo

COMPUTED = {
    "statistics": vitviz.statistics,
    "lens": vitviz.lens,
    "gradients": lambda trace: gradients(trace, 1),
}


@pytest.fixture(scope="module")
def model() -> vitviz.Model:
    return vitviz.load_model(small("vit_tiny_patch16_224", **VIT), device="cpu")


@pytest.mark.parametrize("name", COMPUTED)
def test_a_result_is_the_same_object_again_and_gone_with_its_trace(
    photo: Photo, model: vitviz.Model, name: str
) -> None:
    compute = COMPUTED[name]
    trace = vitviz.trace(model, photo)
    assert compute(trace) is compute(trace)
    assert compute(vitviz.trace(model, photo)) is not compute(trace)
    found = weakref.ref(compute(trace))
    gc.collect()
    gc.disable()  # nothing refers back to the trace, so its memory is freed without the collector
    try:
        del trace
        assert found() is None
    finally:
        gc.enable()


def test_a_copy_of_a_trace_starts_without_results(photo: Photo, model: vitviz.Model) -> None:
    trace = vitviz.trace(model, photo)
    first = vitviz.statistics(trace)
    copy = replace(trace, milliseconds=0.0)
    assert vitviz.statistics(copy) is not first
    assert vitviz.statistics(trace) is first


def test_a_model_keeps_its_check_and_itself_at_another_size(photo: Photo, model: vitviz.Model) -> None:
    first = vitviz.trace(model, photo)
    assert vitviz.trace(model, photo).check is first.check
    assert vitviz.trace(model, photo, check=True).check is not first.check
    fitted = vitviz.trace(model, photo, framing="fit")
    assert fitted.model is not model
    again = vitviz.trace(model, photo, framing="fit")
    assert again.model is fitted.model
    assert again.check is fitted.check
