"""The pass with gradients: once per class, through fused attention, the model left as it was; or refused with the reason."""

import gc
import inspect
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from naive import lively, relative
from small_models import VIT
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import vitviz
from vitviz.attention.trace import Cancelled, Trace
from vitviz.errors import MethodError
from vitviz.explain.heatmap import read_raw
from vitviz.explain.methods.class_gradients import class_index, find_class, gradients
from vitviz.explain.registry import METHODS
from vitviz.images.photo import Photo

GRADIENT = [method.name for method in METHODS if method.gradient]


def traced(photo: Photo, name: str = "vit_tiny_patch16_224", **options: object) -> Trace:
    return vitviz.trace(vitviz.load_model(lively(name, **(VIT | options)), device="cpu"), photo)


@contextmanager
def counted(module: nn.Module, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Counts the model's forward and backward passes, by either of torch's two backward functions."""
    passes: list[str] = []
    for owner, name in ((torch.autograd, "grad"), (Tensor, "backward")):
        real = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda *args, real=real, **more: passes.append("backward") or real(*args, **more)
        )
    handle = module.register_forward_pre_hook(lambda *_: passes.append("forward"))
    try:
        yield passes
    finally:
        handle.remove()


STAGES = {"img_size": 56, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4), "num_classes": 5}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_tiny_patch16_224", VIT),
        ("deit_tiny_distilled_patch16_224", VIT),
        ("vit_base_patch16_siglip_224", VIT),
        ("swin_tiny_patch4_window7_224", STAGES),
        ("swinv2_tiny_window8_256", STAGES | {"img_size": 64}),
    ],
)
def test_one_backward_pass_per_class_and_none_for_another_layer_head_or_query(
    photo: Photo, name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = vitviz.trace(vitviz.load_model(lively(name, **options), device="cpu"), photo)
    with counted(trace.model.module, monkeypatch) as passes:
        assert passes == []
        for method in GRADIENT:
            vitviz.explain(trace, method, target=1)
        for number, layer in enumerate(trace.layers):
            vitviz.explain(trace, "gradcam", target=1, layer=number)
            for head in range(layer.heads):
                vitviz.explain(trace, "gradient_attention", target=1, layer=number, head=head)
            if layer.pooling:
                continue
            for query in ((1, 1), (3, 3)):
                for direction in ("to", "by"):
                    more = {"layer": number, "query": query, "direction": direction}
                    vitviz.explain(trace, "gradient_attention", target=1, **more)
                for method in ("relevance", "gradient_rollout"):
                    vitviz.explain(trace, method, target=1, query=query, layer=number)
        vitviz.explain(trace, "input_gradient", target=1, times_input=True)
        assert passes == ["forward", "backward"]
        vitviz.explain(trace, "relevance", target=2)
        assert passes == ["forward", "backward", "backward"]
        vitviz.explain(trace, "gradcam", target=1)
        assert len(passes) == 3
        assert [gradients(trace, target).target for target in (1, 2)] == [1, 2]
        assert len(passes) == 3


class _FusedCalls(TorchFunctionMode):
    """Counts fused attention, and softmaxes, of which there should be none."""

    def __init__(self) -> None:
        super().__init__()
        self.with_gradients: list[bool] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        assert name != "softmax"
        if name == "scaled_dot_product_attention":
            self.with_gradients.append(args[0].requires_grad)
        return func(*args, **(kwargs or {}))


def test_fused_attention_stays_on_and_the_model_is_left_as_it_was(photo: Photo) -> None:
    trace = traced(photo)
    module = trace.model.module
    some = next(module.parameters())
    some.requires_grad_(False)
    wanted = {name: p.requires_grad for name, p in module.named_parameters()}
    hooks = [len(child._forward_hooks) + len(child._forward_pre_hooks) for child in module.modules()]
    with _FusedCalls() as calls:
        gradients(trace, 1)
    assert calls.with_gradients == [True] * 3
    assert all(parameter.grad is None for parameter in module.parameters())
    assert {name: p.requires_grad for name, p in module.named_parameters()} == wanted
    assert hooks == [len(child._forward_hooks) + len(child._forward_pre_hooks) for child in module.modules()]
    assert not module.training
    with torch.no_grad():
        again = module(torch.from_numpy(trace.framing.apply(photo))[None])[0].numpy()
    np.testing.assert_array_equal(again, trace.logits)


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
def test_callers_need_not_enable_gradients(photo: Photo, without: Any) -> None:
    trace = traced(photo)
    expected = vitviz.explain(trace, "relevance", target=1).values
    with without():
        again = vitviz.trace(trace.model, photo)
        for known in (trace, again):
            vitviz.explain(known, "relevance", target=2)
        np.testing.assert_array_equal(vitviz.explain(again, "relevance", target=1).values, expected)
    assert all(parameter.grad is None for parameter in trace.model.module.parameters())


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_a_model_that_checkpoints_its_blocks_for_training(photo: Photo, name: str) -> None:
    options = VIT if "vit" in name else STAGES
    trace = vitviz.trace(vitviz.load_model(lively(name, **options), device="cpu"), photo)
    expected = vitviz.explain(trace, "relevance", target=1).values
    trace.model.module.set_grad_checkpointing(True)
    again = vitviz.trace(trace.model, photo)
    np.testing.assert_array_equal(vitviz.explain(again, "relevance", target=1).values, expected)
    assert any(getattr(child, "grad_checkpointing", False) for child in trace.model.module.modules())


def test_a_model_in_bfloat16(photo: Photo) -> None:
    """Maps of lower precision are near those of float32, and float32 themselves."""
    exact = traced(photo)
    module = lively("vit_tiny_patch16_224", **VIT).to(torch.bfloat16)
    rough = vitviz.trace(vitviz.load_model(module, device="cpu"), photo)
    for method in ("relevance", "gradcam"):
        map_ = vitviz.explain(rough, method, target=1)
        assert map_.values.dtype == np.float32
        assert 0 < relative(map_.values, vitviz.explain(exact, method, target=1).values) < 0.2


class Mine(nn.Module):
    """A small classifier of one block, its attention by `nn.MultiheadAttention` or written out with the same weights."""

    def __init__(self, batch_first: bool, explicit: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Conv2d(3, 24, 56, 56)
        self.attention = nn.MultiheadAttention(24, 3, batch_first=batch_first)
        self.head = nn.Linear(24, 5)
        self.explicit = explicit
        self.weights: Tensor | None = None
        with torch.no_grad():
            self.attention.in_proj_weight.mul_(4)
            self.attention.in_proj_bias.normal_()

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.embed(pixels).flatten(2).transpose(1, 2)
        if self.explicit:
            own = self.attention
            q, k, v = (
                (x @ own.in_proj_weight.T + own.in_proj_bias).unflatten(-1, (3, 3, 8)).permute(2, 0, 3, 1, 4)
            )
            self.weights = (q @ k.transpose(-2, -1) / 8**0.5).softmax(-1)
            y = own.out_proj((self.weights @ v).transpose(1, 2).flatten(2))
        elif self.attention.batch_first:
            y = self.attention(x, x, x)[0]
        else:
            y = self.attention(*[x.transpose(0, 1)] * 3)[0].transpose(0, 1)
        return self.head((x + y).tanh().mean(1))


@pytest.mark.parametrize("batch_first", [True, False])
def test_torchs_own_multihead_attention(photo: Photo, batch_first: bool) -> None:
    model = vitviz.load_model(Mine(batch_first, False).eval(), device="cpu")
    trace = vitviz.trace(model, photo)
    naive = Mine(batch_first, True).eval()
    logits = naive(torch.from_numpy(trace.framing.apply(photo))[None])
    (expected,) = torch.autograd.grad(logits[0, 2], naive.weights)
    assert relative(gradients(trace, 2).operation(trace.layers[0]), expected) <= 1e-4
    map_ = vitviz.explain(trace, "relevance", target=2)
    part = torch.relu(expected * naive.weights.detach())[0].mean(0)
    assert relative(map_.values.reshape(-1), part.mean(0)) <= 1e-4
    assert vitviz.explain(trace, "gradcam", target=2).values.shape == (4, 4)


def test_a_model_that_answers_otherwise_the_second_time_is_refused(photo: Photo) -> None:
    trace = traced(photo)
    trace.model.module.pos_drop.p = 0.3
    trace.model.module.pos_drop.train()
    with pytest.raises(
        MethodError, match=r"gives other logits each time it sees the photo .* as with dropout left on"
    ):
        vitviz.explain(trace, "relevance")
    trace.model.module.pos_drop.eval()
    assert vitviz.explain(trace, "relevance").values.max() > 0


def test_a_model_that_lets_no_gradient_through_is_refused(
    photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = traced(photo)
    module = trace.model.module
    monkeypatch.setattr(module, "forward", torch.no_grad()(type(module).forward.__get__(module)))
    with pytest.raises(MethodError, match="lets no gradient through"):
        vitviz.explain(trace, "relevance")
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_without_a_classifier_there_is_no_class_to_explain(photo: Photo) -> None:
    trace = traced(photo, num_classes=0)
    reasons = vitviz.methods(trace)
    what = "it gives an embedding of 48 numbers and has no classifier"
    sentence = f"does not apply, because {what}, so there is no class to explain"
    assert {name: reason for name, reason in reasons.items() if reason} == dict.fromkeys(GRADIENT, sentence)
    with pytest.raises(
        MethodError, match=r"Relevance does not apply to .*, because it gives an embedding of 48 numbers"
    ):
        vitviz.explain(trace, "relevance")


@pytest.mark.parametrize("asked", [2, 5])
def test_a_pass_can_be_stopped_on_both_ways_and_asked_for_again(photo: Photo, asked: int) -> None:
    """Three attending modules forwards, then backwards through three outputs and three inputs."""
    trace = traced(photo)
    times = []

    def cancel() -> bool:
        times.append(1)
        return len(times) == asked

    with pytest.raises(Cancelled):
        gradients(trace, 1, cancel)
    assert len(times) == asked
    assert all(parameter.requires_grad for parameter in trace.model.module.parameters())
    assert gradients(trace, 1, lambda: bool(times.append(1))).target == 1
    assert len(times) > asked  # nothing was kept of the pass that was stopped


def test_gradients_go_with_their_trace_and_old_classes_before(
    photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = traced(photo)
    first = weakref.ref(gradients(trace, 0))
    room = 2 * gradients(trace, 1).bytes
    assert first() is not None
    monkeypatch.setattr(sys.modules["vitviz.explain.methods.class_gradients"], "KEPT_BYTES", room)
    last = weakref.ref(gradients(trace, 2))
    gc.collect()
    assert first() is None
    del trace
    gc.collect()
    assert last() is None


def test_a_class_is_found_by_number_or_label(photo: Photo) -> None:
    labels = [
        "tench, Tinca tinca",
        "tabby, tabby cat",
        "tiger cat",
        "tiger, Panthera tigris",
        "cat",
        "5",
        "a",
        "b",
        "c",
        "d",
    ]
    model = vitviz.load_model(lively("vit_tiny_patch16_224", **VIT), device="cpu", labels=labels)
    trace = vitviz.trace(model, photo)
    assert [find_class(trace, text) for text in ("7", "Tabby", "tiger", "tiger cat", "CAT", "tinca", "a")] == [
        7, 1, 3, 2, 4, 0, 6,
    ]  # fmt: skip
    assert class_index(trace, None) == trace.logits.argmax()
    with pytest.raises(MethodError, match=r"3 classes are called 'ti': 0 \(tench, Tinca tinca\), 2"):
        find_class(trace, "ti")
    with pytest.raises(MethodError, match="has no class called 'dog'"):
        find_class(trace, "dog")
    for text, number in (("10", "10"), ("-1", "-1"), (" +12 ", "12")):
        with pytest.raises(MethodError, match=f"there is no class {number}"):
            find_class(trace, text)
    for text in ("+-5", "²", "1.0"):  # no whole numbers
        with pytest.raises(MethodError, match="has no class called"):
            find_class(trace, text)


def test_pixels_are_saved_and_read_again(photo: Photo, tmp_path: Path) -> None:
    map_ = vitviz.explain(traced(photo), "input_gradient")
    map_.save_raw(tmp_path / "map.npz")
    again = read_raw(tmp_path / "map.npz", photo)
    np.testing.assert_array_equal(again.pixels, map_.pixels)
    assert map_.pixels.shape == (64, 64)
    assert map_.total == pytest.approx(map_.pixels.sum(), rel=1e-5)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_method_is_described_as_it_is(method: Any) -> None:
    """What the window offers without torch are the function's own parameters and defaults."""
    parameters = dict(list(inspect.signature(method.compute).parameters.items())[1:])
    assert set(parameters) == {*method.axes, *(option.name for option in method.parameters)}
    for option in method.parameters:
        assert parameters[option.name].default == option.default
        assert option.kind != "choice" or option.default in option.choices
    assert method.gradient == ("target" in method.axes)
    assert all(method.takes(name) for name in parameters)
    assert not method.takes("colour")


def test_the_facts_of_a_method_are_those_of_its_maps(photo: Photo) -> None:
    trace = traced(photo)
    assert [method.name for method in METHODS if method.reversible] == ["attention", "gradient_attention"]
    for method in METHODS:
        assert method.reversible == ("direction" in method.options)
        found = vitviz.explain(trace, method.name)
        assert method.pixels == (found.pixels is not None)
        composed = "start" in method.options
        if "layer" in method.axes:
            assert method.one_layer != composed, method.name
