"""Whatever a module is, does or returns: its attention is shown, or a sentence says why not."""

import socket
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import transformers as hf
from proof_models import DATA, DIM, GRID, Attention, Block, HandWritten, Wrapped, timm_vit
from torch import Tensor, nn

import vitviz
from vitviz.attention.model_check import check_model, noise
from vitviz.errors import DeviceMemoryError, MethodError, ModelError, VitvizError
from vitviz.explain.measures.faithfulness import scores

PHOTO = noise(DATA.input_size)
INPUTS = torch.randn(1, 3, *DATA.input_size, generator=torch.Generator().manual_seed(4))


def loaded(module: Any) -> vitviz.Model:
    return vitviz.load_model(module, device="cpu", data=DATA)


def refused(module: Any) -> str:
    with pytest.raises(VitvizError) as caught:
        vitviz.trace(loaded(module), PHOTO)
    return caught.value.message


# Wrappers


def in_place(module: nn.Module) -> nn.Module:
    module.compile()
    return module


def around_a_block(module: nn.Module) -> nn.Module:
    module.blocks[1] = torch.compile(module.blocks[1])
    return module


def around_an_attention_in_place(module: nn.Module) -> nn.Module:
    module.blocks[1].attn.compile()
    return module


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "compiled": torch.compile,
    "compiled in place": in_place,
    "a compiled block": around_a_block,
    "an attention compiled in place": around_an_attention_in_place,
    "DataParallel": nn.DataParallel,
    "DataParallel of a compiled module": lambda module: nn.DataParallel(torch.compile(module)),
    "a compiled module in a module": lambda module: Wrapped(torch.compile(module)),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("make", [timm_vit, HandWritten])
def test_what_a_wrapper_holds_is_shown_and_the_wrapper_stays(wrapper: str, make: Any) -> None:
    plain = vitviz.trace(loaded(make()), PHOTO)
    module = WRAPPERS[wrapper](make())
    before = [(name, id(part), part._compiled_call_impl) for name, part in module.named_modules()]
    trace = vitviz.trace(loaded(module), PHOTO)
    assert trace.check.proved
    np.testing.assert_array_equal(trace.logits, plain.logits)
    names = [layer.name.removeprefix("inner.") for layer in trace.layers]
    assert names == [layer.name for layer in plain.layers]
    np.testing.assert_array_equal(
        vitviz.explain(trace, "relevance", target=1).values,
        vitviz.explain(plain, "relevance", target=1).values,
    )
    assert [(name, id(part), part._compiled_call_impl) for name, part in module.named_modules()] == before


def test_weights_changed_in_a_wrapped_module_are_noticed() -> None:
    module = around_a_block(timm_vit())
    model = loaded(module)
    first = vitviz.trace(model, PHOTO)
    with torch.no_grad():
        module.blocks[1]._orig_mod.attn.qkv.weight.mul_(2)
        module.head.weight.mul_(2)
    assert vitviz.trace(model, PHOTO).check is not first.check


def test_distributed_data_parallel_is_unwrapped() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=0, world_size=1)
    try:
        trace = vitviz.trace(loaded(nn.parallel.DistributedDataParallel(HandWritten())), PHOTO)
    finally:
        torch.distributed.destroy_process_group()
    assert trace.check.proved
    assert [layer.name for layer in trace.layers] == [f"blocks.{number}.attn" for number in range(3)]


# What cannot be observed


def with_a_part_on_meta() -> nn.Module:
    module = timm_vit()
    module.blocks[1].mlp.to("meta")
    return module


def quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(timm_vit(), {nn.Linear})


def scripted_core() -> nn.Module:
    class Script(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.jit.trace(HandWritten(), INPUTS)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x)

    return Script()


UNSEEN = {
    "exported": (lambda: torch.export.export(HandWritten(), (INPUTS,)), "a program made by torch.export"),
    "exported module": (
        lambda: torch.export.export(HandWritten(), (INPUTS,)).module(),
        "a graph made by torch.export",
    ),
    "traced": (lambda: torch.jit.trace(HandWritten(), INPUTS), "a TorchScript module"),
    "scripted": (lambda: torch.jit.script(nn.Linear(3, 3)), "a TorchScript module"),
    "scripted core": (scripted_core, "none was seen; inner is TorchScript"),
    "meta": (lambda: HandWritten().to("meta"), "has no weights: token is on the meta device"),
    "partly meta": (with_a_part_on_meta, r"has no weights: blocks.1.mlp.fc1.weight is on the meta device"),
    "quantised": (quantised, r"is quantised (blocks.0.attn.qkv)"),
    "a number": (lambda: 3, "A model is a name, a file, a folder or an nn.Module; this is a int."),
}


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("kind", UNSEEN)
def test_what_cannot_be_observed_is_named(kind: str) -> None:
    make, sentence = UNSEEN[kind]
    assert sentence in refused(make())


def test_a_graph_of_functions_is_shown() -> None:
    module = timm_vit()
    trace = vitviz.trace(loaded(torch.fx.symbolic_trace(module)), PHOTO)
    assert trace.check.proved
    np.testing.assert_array_equal(trace.logits, vitviz.trace(loaded(module), PHOTO).logits)


# Hugging Face

SMALL = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3}
TEXT = SMALL | {"vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def clip(size: int) -> hf.CLIPConfig:
    return hf.CLIPConfig(
        vision_config=SMALL | {"image_size": size, "patch_size": 14}, text_config=dict(TEXT), num_labels=7
    )


def siglip(size: int) -> hf.SiglipConfig:
    return hf.SiglipConfig(
        vision_config=SMALL | {"image_size": size, "patch_size": 16}, text_config=dict(TEXT), num_labels=7
    )


@pytest.mark.parametrize(
    ("make", "size", "mean"),
    [
        (lambda: hf.CLIPModel(clip(336)), 336, 0.48145466),
        (lambda: hf.CLIPVisionModel(clip(112).vision_config), 112, 0.48145466),
        (lambda: hf.CLIPForImageClassification(clip(336)), 336, 0.48145466),
        (lambda: hf.SiglipModel(siglip(384)), 384, 0.5),
        (lambda: hf.SiglipForImageClassification(siglip(96)), 96, 0.5),
    ],
)
def test_size_and_normalisation_stand_in_a_nested_config(make: Any, size: int, mean: float) -> None:
    module = make().eval()
    model = vitviz.load_model(module, device="cpu")
    assert model.input_size == (size, size)
    assert model.data.mean[0] == mean
    assert vitviz.trace(model, PHOTO).check.claim("place").holds
    assert len(model.labels) == (7 if "Classification" in model.name else 0)
    assert ("the vision part of" in model.weights) == (type(module).__name__ in ("CLIPModel", "SiglipModel"))


NOT_PHOTOS = {
    "takes input_values, not a photo": lambda: hf.ASTForAudioClassification(
        hf.ASTConfig(**SMALL, max_length=64, num_mel_bins=32)
    ),
    "takes 4 frames of a video, not one photo": lambda: hf.VideoMAEForVideoClassification(
        hf.VideoMAEConfig(**SMALL, image_size=112, num_frames=4)
    ),
    "takes pixel_attention_mask and spatial_shapes beside pixel_values": lambda: hf.Siglip2VisionModel(
        hf.Siglip2VisionConfig(**SMALL, num_patches=49)
    ),
    "takes input_ids, not a photo": lambda: hf.BertModel(hf.BertConfig(**SMALL)),
}


@pytest.mark.parametrize("sentence", NOT_PHOTOS)
def test_what_takes_no_photo_is_told(sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        vitviz.load_model(NOT_PHOTOS[sentence](), device="cpu")


# What is returned


class Answer:
    """An output that keeps its logits as an attribute."""

    def __init__(self, logits: Any) -> None:
        self.logits = logits


def returning(change: Callable[[Tensor], Any]) -> nn.Module:
    class Returning(HandWritten):
        def forward(self, x: Tensor) -> Any:
            return change(super().forward(x))

    return Returning()


ANSWERS: dict[str, Callable[[Tensor], Any]] = {
    "object": Answer,
    "dict": lambda logits: {"loss": None, "logits": logits},
    "dict of one": lambda logits: {"out": logits},
    "tuple": lambda logits: (logits, None),
    "nested": lambda logits: ([logits, logits], 3),
    "object with a tuple": lambda logits: Answer((logits, logits)),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_logits_are_found_in_what_is_returned(kind: str) -> None:
    plain = vitviz.trace(loaded(HandWritten()), PHOTO)
    trace = vitviz.trace(loaded(returning(ANSWERS[kind])), PHOTO)
    assert trace.check.proved
    np.testing.assert_array_equal(trace.logits, plain.logits)
    for method, problem in vitviz.methods(trace).items():
        assert problem is None, method
        np.testing.assert_array_equal(
            vitviz.explain(trace, method).values, vitviz.explain(plain, method).values
        )


NO_ANSWERS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "nothing": (lambda _: None, "gives NoneType"),
    "words": (lambda _: ["cat", "dog"], "gives list"),
    "an empty tuple": (lambda _: (), "gives tuple"),
    "two answers": (lambda logits: {"a": logits, "b": logits}, "gives dict"),
    "one row": (lambda logits: logits[0], r"gives (10,)"),
    "a number": (lambda logits: logits.sum(), r"gives ()"),
    "NumPy": (lambda logits: logits.detach().numpy(), "gives ndarray"),
    "sparse": (lambda logits: logits.to_sparse(), "a dense tensor of real numbers"),
    "complex": (lambda logits: logits + 1j, "a dense tensor of real numbers"),
    "NaN": (lambda logits: logits * float("nan"), "answers with numbers that are not finite"),
}


@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_what_is_no_answer_is_a_sentence(kind: str) -> None:
    change, sentence = NO_ANSWERS[kind]
    assert sentence in refused(returning(change))


@pytest.mark.parametrize("change", [lambda logits: logits.detach(), lambda logits: (logits * 100).long()])
def test_an_answer_without_gradients_has_no_known_readout(change: Callable[[Tensor], Tensor]) -> None:
    trace = vitviz.trace(loaded(returning(change)), PHOTO)
    claim = trace.check.claim("readout")
    assert not claim.holds
    assert "No gradient leads from the prediction to the attention" in claim.sentence
    vitviz.explain(trace, "attention", query=(1, 1))
    with pytest.raises(VitvizError, match="no gradient"):
        vitviz.explain(trace, "relevance", target=1)


# What is taken and what is raised


class OnePhoto(HandWritten):
    """A batch of one stands in its code."""

    def tokens(self, x: Tensor) -> Tensor:
        patches = self.embed(x).reshape(1, DIM, GRID * GRID).transpose(1, 2)
        return torch.cat([self.token, patches], 1) + self.position


class OnePhotoAsserted(HandWritten):
    def forward(self, x: Tensor) -> Tensor:
        assert len(x) == 1
        return super().forward(x)


@pytest.mark.parametrize("kind", [OnePhoto, OnePhotoAsserted])
def test_a_module_that_takes_one_photo_is_shown_and_scored(kind: type[HandWritten]) -> None:
    trace = vitviz.trace(loaded(kind()), PHOTO)
    assert trace.check.proved
    found = scores(trace, vitviz.explain(trace, "rollout"), steps=5)
    plain = vitviz.trace(loaded(HandWritten()), PHOTO)
    expected = scores(plain, vitviz.explain(plain, "rollout"), steps=5, batch=1)
    np.testing.assert_array_equal(found.deletion.probabilities, expected.deletion.probabilities)


def test_what_takes_something_else_is_told_what_it_said() -> None:
    class TwoInputs(HandWritten):
        def forward(self, x: Tensor, words: Tensor) -> Tensor:
            return super().forward(x)

    class Lists(HandWritten):
        def forward(self, images: Any) -> Tensor:
            assert isinstance(images, list), "expected a list of images"
            return super().forward(images[0])

    assert "missing 1 required positional argument: 'words'. Say what it takes" in refused(TwoInputs())
    assert "does not take a picture of 3×112×112: expected a list of images." in refused(Lists())


class Failing(HandWritten):
    """Raises in its pass number `at`."""

    at: ClassVar[int]
    error: ClassVar[BaseException]

    def __init__(self) -> None:
        super().__init__(Block(Attention()), Block())
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        if self.passes >= self.at:
            raise self.error
        return super().forward(x)


class OwnError(Exception):
    """An error of the module's own."""


ERRORS = (
    KeyError("weights"),
    AssertionError(),
    RecursionError("maximum recursion depth exceeded"),
    NotImplementedError("no"),
    StopIteration(),
    OwnError("first line\nsecond line"),
    OSError("disk full"),
    ZeroDivisionError("division by zero"),
    ImportError("No module named 'flash_attn'"),
    UnicodeDecodeError("utf8", b"a", 0, 1, "bad"),
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
)


def use_everywhere(module: nn.Module) -> list[VitvizError]:
    """What load, trace, check, explain and the scores refuse; any other error is the test's."""
    refusals: list[VitvizError] = []

    def attempt(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except VitvizError as refusal:
            refusals.append(refusal)
            return None

    model = attempt(lambda: loaded(module))
    trace = None if model is None else attempt(lambda: vitviz.trace(model, PHOTO))
    if model is not None:
        attempt(lambda: check_model(model, PHOTO))
    if trace is not None:
        for method in ("relevance", "gradcam"):
            attempt(lambda method=method: vitviz.explain(trace, method, target=1))
        heatmap = vitviz.explain(trace, "attention", layer=0, query=(1, 1))
        attempt(lambda: scores(trace, heatmap, steps=3))
        attempt(lambda: vitviz.lens(trace))
    return refusals


@pytest.mark.parametrize("at", [1, 2, 3, 5, 9, 30])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_a_module_raises_becomes_a_sentence(error: Exception, at: int) -> None:
    kind = type("Failing", (Failing,), {"at": at, "error": error})
    refusals = use_everywhere(kind())
    assert refusals or at == 30
    said = (str(error) or type(error).__name__).splitlines()[0]
    for refusal in refusals:
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            assert isinstance(refusal, DeviceMemoryError)
        elif not isinstance(refusal, MethodError):
            assert said in refusal.message
            assert "second line" not in refusal.message


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=["interrupt", "exit"])
@pytest.mark.parametrize("at", [1, 2, 3, 9])
def test_an_interrupt_is_no_fault_of_the_module(error: BaseException, at: int) -> None:
    kind = type("Failing", (Failing,), {"at": at, "error": error})
    with pytest.raises(type(error)):
        vitviz.trace(loaded(kind()), PHOTO)


@pytest.mark.parametrize("name", ["token", "blocks.2.attn.qkv.weight", "head.bias"])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_named_when_loading(name: str, number: float) -> None:
    module = HandWritten()
    with torch.no_grad():
        dict(module.named_parameters())[name].view(-1)[0] = number
    with pytest.raises(ModelError, match=rf"HandWritten holds numbers that are not finite \({name}\)"):
        loaded(module)
