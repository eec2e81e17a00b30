"""A forward pass whose graph is kept: any class then costs a backward pass alone, and memory stays within bounds."""

import gc
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from naive import lively
from small_models import VIT
from torch import nn

import vitviz
from vitviz.attention.recording.autograd_graph import kept, record
from vitviz.attention.trace import Cancelled, Trace
from vitviz.errors import MethodError
from vitviz.explain.methods.class_gradients import gradients
from vitviz.images.photo import Photo

GRAPHS = sys.modules["vitviz.attention.recording.autograd_graph"]
KINDS: dict[str, dict[str, Any]] = {
    "vit_tiny_patch16_224": VIT,
    "deit_tiny_distilled_patch16_224": VIT,
    "vit_base_patch16_siglip_224": VIT,
    "beit_base_patch16_224": VIT,
    "swin_tiny_patch4_window7_224": {
        "img_size": 56, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4), "num_classes": 10,
    },
}  # fmt: skip


def checked(photo: Photo, name: str = "vit_tiny_patch16_224", **options: object) -> vitviz.Model:
    """A model that has checked itself already."""
    model = vitviz.load_model(lively(name, **(KINDS[name] | options)), device="cpu")
    vitviz.trace(model, photo)
    return model


@contextmanager
def counted(module: nn.Module) -> Iterator[list[int]]:
    passes: list[int] = []
    handle = module.register_forward_pre_hook(lambda *_: passes.append(1))
    try:
        yield passes
    finally:
        handle.remove()


def held(trace: Trace) -> Any:
    return kept(trace, trace.model.module)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("without", [torch.enable_grad, torch.inference_mode])
def test_from_the_photo_on_a_class_costs_one_forward_pass(photo: Photo, name: str, without: Any) -> None:
    model = checked(photo, name)
    plain = vitviz.trace(model, photo)
    assert held(plain) is None
    with counted(model.module) as passes, without():
        vitviz.trace(model, photo)  # the counting hook is noticed and proved with
        passes.clear()
        trace = vitviz.trace(model, photo, gradients=True)
        np.testing.assert_array_equal(trace.logits, plain.logits)
        found = {(method, target): vitviz.explain(trace, method, target=target)
                 for target in (1, 2) for method in ("relevance", "gradcam", "input_gradient")}  # fmt: skip
    assert len(passes) == 1
    for (method, target), heatmap in found.items():
        expected = vitviz.explain(plain, method, target=target).values
        np.testing.assert_allclose(heatmap.values, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.module.parameters())
    assert all(operation.output is None for layer in trace.layers for operation in layer.operations)
    np.testing.assert_array_equal(trace.layers[0].attention(), plain.layers[0].attention())


def test_a_pass_that_checks_itself_keeps_no_graph(photo: Photo) -> None:
    model = vitviz.load_model(lively("vit_tiny_patch16_224", **VIT), device="cpu")
    assert held(vitviz.trace(model, photo, gradients=True)) is None
    assert held(vitviz.trace(model, photo, gradients=True, check=True)) is None
    assert held(vitviz.trace(model, photo, gradients=True)) is not None


def test_without_a_classifier_no_graph_is_kept(photo: Photo) -> None:
    assert held(vitviz.trace(checked(photo, num_classes=0), photo, gradients=True)) is None


def test_a_large_graph_is_for_one_class_only(photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = vitviz.trace(checked(photo), photo, gradients=True)
    monkeypatch.setattr(GRAPHS, "KEPT_BYTES", held(trace).bytes - 1)
    output = weakref.ref(held(trace).output)
    with counted(trace.model.module) as passes:
        gradients(trace, 0)
        assert passes == []
        assert held(trace) is None
        gc.collect()
        assert output() is None
        gradients(trace, 1)
        assert passes == [1]
        assert held(trace) is None


def test_the_graph_of_the_trace_explained_last_stays(photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    model = checked(photo)
    traces = [vitviz.trace(model, photo) for _ in range(3)]
    gradients(traces[0], 0)
    monkeypatch.setattr(GRAPHS, "KEPT_BYTES", 2 * held(traces[0]).bytes)
    gradients(traces[1], 0)
    gradients(traces[1], 1)
    assert held(traces[0]) is not None
    gradients(traces[0], 1)
    gradients(traces[2], 0)
    assert [held(trace) is not None for trace in traces] == [True, False, True]


def test_a_graph_goes_with_its_trace(photo: Photo) -> None:
    trace = vitviz.trace(checked(photo), photo)
    gradients(trace, 0)
    inputs = weakref.ref(held(trace).inputs)
    del trace
    gc.collect()
    assert inputs() is None


def _saved(tensor: Any) -> dict[int, int]:
    """The storages that autograd says its nodes saved."""
    found, waiting, seen = {}, [tensor.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
        for name in dir(node):
            value = getattr(node, name) if name.startswith("_saved_") else None
            for each in value if isinstance(value, tuple | list) else [value]:
                if isinstance(each, torch.Tensor):
                    found[each.untyped_storage().data_ptr()] = each.untyped_storage().nbytes()
    return found


def test_what_a_graph_holds_is_known_in_bytes(photo: Photo) -> None:
    trace = vitviz.trace(checked(photo), photo, gradients=True)
    saved = _saved(held(trace).output)
    for parameter in trace.model.module.parameters():
        saved.pop(parameter.untyped_storage().data_ptr(), None)
    assert held(trace).bytes == sum(saved.values()) > 17 * 48 * 4 * 3


def test_a_model_changed_since_is_not_explained_by_its_old_graph(photo: Photo) -> None:
    trace = vitviz.trace(checked(photo), photo, gradients=True)
    with torch.no_grad():
        trace.model.module.head.weight.mul_(2)
    with pytest.raises(MethodError, match="gives other logits"):
        gradients(trace, 0)


class Overwriting(nn.Module):
    """Overwrites the result of a softmax after it was used, which makes gradients impossible."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 16, 16)
        self.qkv = nn.Linear(8, 24)
        self.head = nn.Linear(8, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(self.embed(pixels).flatten(2).transpose(1, 2)).chunk(3, -1)
        weights = (q @ k.transpose(-2, -1)).softmax(-1)
        mixed = weights @ v
        weights.zero_()
        return self.head(mixed.mean(1))


def test_what_was_overwritten_gives_no_wrong_gradient(photo: Photo) -> None:
    inputs = torch.randn(1, 3, 64, 64)
    graph = record(Overwriting().eval(), inputs, ())
    with pytest.raises(RuntimeError, match="changed in place"):
        torch.autograd.grad(graph.output[0, 0], inputs)


def test_stopping_on_the_way_back_leaves_the_graph_as_it_was(photo: Photo) -> None:
    trace = vitviz.trace(checked(photo), photo, gradients=True)
    times: list[int] = []

    def second() -> bool:
        times.append(1)
        return len(times) == 2

    with pytest.raises(Cancelled):
        gradients(trace, 1, second)
    with counted(trace.model.module) as passes:
        found = gradients(trace, 1)
    assert passes == []
    assert len(times) == 2
    again = gradients(vitviz.trace(trace.model, photo), 1)
    np.testing.assert_allclose(found.pixels, again.pixels, rtol=1e-4, atol=1e-7)
