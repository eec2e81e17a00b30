"""Passes of the caller in other threads are neither seen nor changed; a module is run by one thread of vitviz at a time."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import timm
import torch
from proof_models import DATA, DIM, Block, HandWritten, strong, timm_vit, torchvision_vit
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules
from torch.overrides import TorchFunctionMode

import vitviz
from vitviz.attention.model_check import check_model, noise
from vitviz.attention.replay import replay
from vitviz.attention.trace import Cancelled, prove_claims
from vitviz.explain.internals import lens

PHOTO = noise(DATA.input_size)
INPUTS = torch.randn(1, 3, *DATA.input_size, generator=torch.Generator().manual_seed(5))


def encoder() -> nn.Module:
    """torch's own encoder, which answers with other digits when a hook is attached to any of its modules."""
    layer = nn.TransformerEncoderLayer(DIM, 4, 96, batch_first=True, norm_first=True, activation="gelu")
    return HandWritten(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))


def swin() -> nn.Module:
    options = {"img_size": 112, "window_size": 7, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
    return strong(timm.create_model("swin_tiny_patch4_window7_224", num_classes=10, **options))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "timm ViT": timm_vit,
    "timm Swin": swin,
    "torchvision ViT": torchvision_vit,
    "hand-written": HandWritten,
    "nn.TransformerEncoder": encoder,
}


class Counting(TorchFunctionMode):
    """A function mode of the caller."""

    calls = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += 1
        return func(*args, **(kwargs or {}))


def plainly(module: nn.Module) -> list[Tensor]:
    with torch.no_grad():
        return [module(INPUTS)]


def learning(module: nn.Module) -> list[Tensor]:
    """The answer, and the gradients of all parameters."""
    answer = module(INPUTS)
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return [answer.detach(), *torch.autograd.grad(answer.sum(), parameters, allow_unused=True)]


def learning_in_a_mode(module: nn.Module) -> list[Tensor]:
    """The same inside a function mode of the caller, and how often that was called."""
    with Counting() as mode:
        found = learning(module)
    return [*found, torch.tensor(mode.calls)]


def same(first: list[Any], second: list[Any]) -> bool:
    return all((a is None and b is None) or torch.equal(a, b) for a, b in zip(first, second, strict=True))


class Caller(threading.Thread):
    """Runs a module again and again, as `run` does, and compares with what it gave before anything else ran."""

    def __init__(self, module: nn.Module, run: Callable[[nn.Module], list[Any]]) -> None:
        super().__init__()
        self.module, self.run_once = module, run
        self.ready, self.stopping = threading.Event(), threading.Event()
        self.passes = 0
        self.problems: list[str] = []

    def run(self) -> None:
        torch.set_num_threads(1)
        try:
            alone = self.run_once(self.module)
            self.ready.set()
            while not self.stopping.is_set():
                self.passes += 1
                if not same(self.run_once(self.module), alone):
                    self.problems.append("another answer")
                if torch.overrides._get_current_function_mode_stack():
                    self.problems.append("a function mode is on")
                if not torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
                    self.problems.append("gradients are off, or autocast is on")
        except BaseException as error:
            self.problems.append(f"{type(error).__name__}: {error}")
            self.ready.set()


def hooks_of(module: nn.Module) -> list[int]:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [len(getattr(child, kind)) for child in module.modules() for kind in kinds]


def state_of(module: nn.Module) -> tuple[Any, ...]:
    """What must be left as it was: hooks, modes, which parameters learn, train mode, forward methods."""
    return (
        hooks_of(module),
        len(torch_modules._global_forward_hooks) + len(torch_modules._global_forward_pre_hooks),
        len(torch_modules._global_forward_hooks_always_called)
        + len(torch_modules._global_forward_hooks_with_kwargs),
        [parameter.requires_grad for parameter in module.parameters()],
        [child.training for child in module.modules()],
        [sorted(vars(child)) for child in module.modules()],
        len(torch.overrides._get_current_function_mode_stack()),
        torch.is_grad_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.is_inference_mode_enabled(),
    )


def everything(module: nn.Module) -> list[np.ndarray]:
    """What comes of every kind of pass that vitviz runs through a module."""
    model = vitviz.load_model(module, device="cpu", data=DATA)
    first = vitviz.trace(model, PHOTO, defer=True)
    prove_claims(first)
    checked = vitviz.trace(model, PHOTO, check=True)
    assert checked.check is not None
    assert checked.check.proved, checked.check.claims
    again = vitviz.trace(model, PHOTO, gradients=True)
    found = [first.logits, checked.logits, again.logits]
    found += [layer.weights(None, 0)[0].numpy() for trace in (first, again) for layer in trace.layers]
    found.append(vitviz.explain(again, "relevance", target=1).values)
    found.append(vitviz.explain(checked, "gradcam", target=2).values)  # by a graph of its own
    if checked.layers[0].operations[0].weights is not None:
        found.append(replay(checked, checked.layers[0], 1).logits.numpy())
    if lens.refusal(checked) is None:
        found.append(lens.lens(checked).logits)
    assert check_model(model, PHOTO).exact
    return found


@pytest.mark.parametrize("kind", MODELS)
def test_passes_of_the_caller_in_other_threads_are_neither_seen_nor_changed(kind: str) -> None:
    alone = everything(MODELS[kind]())
    module = MODELS[kind]()
    before = state_of(module)
    callers = [Caller(module, run) for run in (plainly, learning_in_a_mode)]
    try:
        for caller in callers:
            caller.start()
        for caller in callers:
            assert caller.ready.wait(60)
        for value, expected in zip(everything(module), alone, strict=True):
            np.testing.assert_array_equal(value, expected)
    finally:
        for caller in callers:
            caller.stopping.set()
        for caller in callers:
            caller.join(60)
    assert [caller.problems[:3] for caller in callers] == [[], []]
    assert all(caller.passes > 1 for caller in callers)
    assert state_of(module) == before


class Alone(nn.Module):
    """Notes whether two passes are inside it at the same time."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.inside, self.most = inner, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            return self.inner(x)
        finally:
            self.inside -= 1


class Shared(nn.Module):
    """A model of its own around a part that another has too."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part, self.own = part, nn.Linear(10, 10)
        strong(self.own)

    def forward(self, x: Tensor) -> Tensor:
        return self.own(self.part(x))


def in_threads(*work: Callable[[], Any]) -> list[Any]:
    """Results of several functions, each in a thread of its own, all at the same time."""
    found: list[Any] = [None] * len(work)
    start = threading.Barrier(len(work))

    def run(number: int, each: Callable[[], Any]) -> None:
        torch.set_num_threads(1)
        start.wait(60)
        try:
            found[number] = each()
        except BaseException as error:
            found[number] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "deadlock"
    return found


def require_same(found: list[Any], expected: list[np.ndarray]) -> None:
    for each in found:
        assert isinstance(each, list), each
        for value, known in zip(each, expected, strict=True):
            np.testing.assert_array_equal(value, known)


def test_a_module_that_is_loaded_twice_is_run_by_one_thread_at_a_time() -> None:
    module = Alone(timm_vit()).eval()
    expected = everything(module)
    before = state_of(module)
    require_same(in_threads(*[lambda: everything(module)] * 3), expected)
    assert module.most == 1
    assert state_of(module) == before


def test_models_that_share_a_part_wait_for_each_other() -> None:
    """Also one that shares parts with two models that were loaded before and share none."""

    class Both(nn.Module):
        def __init__(self, first: nn.Module, second: nn.Module) -> None:
            super().__init__()
            self.first, self.second = first, second

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x).mean() * 0.01 + x)

    left, right = Alone(timm_vit()).eval(), Alone(HandWritten()).eval()
    models = [Shared(left).eval(), Shared(right).eval()]
    expected = [everything(model) for model in models]
    both = vitviz.load_model(Both(left, right).eval(), device="cpu", data=DATA)

    def run_both() -> list[np.ndarray]:
        return [vitviz.trace(both, PHOTO, refuse=False).logits for _ in range(3)]

    third = run_both()
    found = in_threads(lambda: everything(models[0]), lambda: everything(models[1]), run_both)
    require_same(found[:1], expected[0])
    require_same(found[1:2], expected[1])
    require_same(found[2:], third)
    assert (left.most, right.most) == (1, 1)


def test_a_model_at_another_size_waits_for_the_same_module() -> None:
    module = timm.create_model("vit_tiny_patch16_224", img_size=112, depth=1).eval()
    model = vitviz.load_model(module, device="cpu")
    wide = vitviz.load_model(module, device="cpu", image_size=(112, 224))
    held = threading.Event()
    leave = threading.Event()

    def hold() -> None:
        with model.lock:
            held.set()
            leave.wait(60)

    holding = threading.Thread(target=hold)
    holding.start()
    held.wait(60)
    tracing = threading.Thread(target=lambda: vitviz.trace(wide, PHOTO))
    tracing.start()
    tracing.join(0.5)
    assert tracing.is_alive()
    leave.set()
    tracing.join(60)
    holding.join(60)
    assert not tracing.is_alive()


@pytest.mark.parametrize("at", range(1, 40, 4))
def test_what_is_stopped_in_the_middle_leaves_nothing_on(at: int) -> None:
    """By cancelling, by an error of the module, and by an interrupt."""
    module = encoder() if at % 8 == 1 else HandWritten(Block(), Block())
    model = vitviz.load_model(module, device="cpu", data=DATA)
    before = state_of(module)
    for error in (Cancelled, RuntimeError("broken"), KeyboardInterrupt()):
        asked: list[int] = []

        def stop(*_: Any, error: Any = error, asked: list[int] = asked) -> bool:
            asked.append(1)
            if len(asked) < at:
                return False
            if error is Cancelled:
                return True
            raise error

        hook = (
            None
            if error is Cancelled
            else module.norm.register_forward_pre_hook(lambda *_, s=stop: s() or None)
        )
        with suppress(Cancelled, vitviz.VitvizError, KeyboardInterrupt):
            vitviz.trace(model, PHOTO, check=True, cancel=stop if error is Cancelled else None)
        if hook is not None:
            hook.remove()
        assert state_of(module) == before
    assert vitviz.trace(model, PHOTO).check.proved
