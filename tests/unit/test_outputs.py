"""What a model's numbers are is stated by the model or said by the user: nothing that is no class gets a probability."""

from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from proof_models import CLASSES, DATA, DIM, Block, HandWritten, Wrapped, timm_vit
from safetensors.torch import save_file
from torch import Tensor, nn

import vitviz
from vitviz.attention.model_check import noise
from vitviz.cli import main
from vitviz.errors import MethodError, ModelError


def load(module: nn.Module, **options: object) -> vitviz.Model:
    return vitviz.load_model(module, device="cpu", data=DATA, **options)


def hand(name: str, width: int = CLASSES, after: Callable[[Tensor], Tensor] = lambda x: x) -> nn.Module:
    """A ViT whose last linear map has a name, and `after` what it does with its numbers."""

    class Named(HandWritten):
        def forward(self, x: Tensor) -> Tensor:
            last = getattr(self, name)
            return after(last(self.norm(self.blocks(self.tokens(x)))[:, 0]))

    module = Named(Block(), Block())
    del module.head
    setattr(module, name, nn.Linear(DIM, width))
    return module


class Stating(Wrapped):
    """A wrapper that states its number of classes."""

    def __init__(self, inner: nn.Module, classes: int) -> None:
        super().__init__(inner)
        self.num_classes = classes


def configured(regression: bool, labels: dict[int, str] | None = None) -> nn.Module:
    import transformers as hf

    config = hf.ViTConfig(
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=96,
        image_size=112,
        patch_size=16,
        num_labels=5,
        problem_type="regression" if regression else None,
    )
    if labels:
        config.id2label = labels
    return hf.ViTForImageClassification(config).eval()


class Answering(Wrapped):
    """Hugging Face's model that gives its logits alone."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).logits


BIRDS = {number: f"bird {number}" for number in range(5)}
KINDS: dict[str, tuple[Callable[[], nn.Module], str, tuple[str, ...]]] = {
    "a head": (lambda: hand("head"), "classes", ("class 0", "class 9")),
    "a classifier as wide as the tokens": (
        lambda: hand("classifier", DIM),
        "classes",
        ("class 0", "class 47"),
    ),
    "a last map named fc": (lambda: hand("fc"), "classes", ("class 0", "class 9")),
    "a last map that says nothing": (lambda: hand("out"), "unknown", ("output 0", "output 9")),
    "the same, 192 wide": (lambda: hand("linear", 192), "unknown", ("output 0", "output 191")),
    "a projection": (lambda: hand("proj", 192), "embedding", ()),
    "a head whose numbers are normalised": (
        lambda: hand("head", 192, lambda x: F.normalize(x, dim=-1)),
        "embedding",
        (),
    ),
    "a regression": (lambda: hand("regressor", 3), "values", ("output 0", "output 2")),
    "probabilities": (lambda: hand("out", 7, lambda x: x.softmax(-1)), "unknown", ("output 0", "output 6")),
    "a number of classes that is stated": (
        lambda: Stating(hand("out", 192), 192),
        "classes",
        ("class 0", "class 191"),
    ),
    "a number of classes that is another": (
        lambda: Stating(hand("out", 192), 10),
        "unknown",
        ("output 0", "output 191"),
    ),
    "timm in a wrapper": (lambda: Wrapped(timm_vit(num_classes=6)), "classes", ("class 0", "class 5")),
    "timm without a head, in a wrapper": (lambda: Wrapped(timm_vit(num_classes=0)), "embedding", ()),
    "timm without a head": (lambda: timm_vit(num_classes=0), "embedding", ()),
    "Hugging Face, labels": (lambda: configured(False, BIRDS), "classes", ("bird 0", "bird 4")),
    "Hugging Face, labels, wrapped": (
        lambda: Answering(configured(False, BIRDS)),
        "classes",
        ("bird 0", "bird 4"),
    ),
    "Hugging Face, regression": (lambda: configured(True), "values", ("output 0", "output 4")),
    "Hugging Face, regression, wrapped": (
        lambda: Answering(configured(True)),
        "values",
        ("output 0", "output 4"),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_numbers_are_is_taken_from_what_the_module_states(kind: str) -> None:
    make, outputs, ends = KINDS[kind]
    model = load(make())
    assert model.outputs == outputs
    assert ((model.labels[0], model.labels[-1]) if model.labels else ()) == ends


def test_outputs_that_are_no_classes_have_values_and_maps_but_no_probabilities() -> None:
    module = hand("out", 192)
    trace = vitviz.trace(load(module), noise(DATA.input_size))
    with torch.no_grad():
        values = module(torch.from_numpy(trace.framing.apply(trace.photo))[None])[0].numpy()
    best = trace.predictions(top=1)[0]
    assert best.index == values.argmax()
    assert best.label == f"output {best.index}"
    assert np.isnan(best.probability)
    assert best.value == pytest.approx(values.max(), rel=1e-5)
    assert best.said == f"{values.max():.3g}"
    assert f"for output {best.index} to" in vitviz.explain(trace, "relevance").title
    with pytest.raises(MethodError, match="has 192 outputs, numbered from 0; there is no output 192"):
        vitviz.explain(trace, "relevance", target=192)
    with pytest.raises(MethodError, match="has no classes, so its outputs have no probabilities"):
        vitviz.lens(trace)


def test_the_user_says_what_the_numbers_are() -> None:
    assert load(hand("out"), outputs="classes").labels[3] == "class 3"
    assert load(hand("head"), outputs="embedding").labels == ()
    assert load(hand("head", 2), outputs="values", labels=["age", "weight"]).labels == ("age", "weight")
    assert load(hand("head", 2), outputs="values", labels=["age", "weight"]).quantity == "output"
    assert load(hand("out", 2), labels=["cat", "dog"]).outputs == "classes"
    assert load(hand("proj", 2), outputs="values").labels == ("output 0", "output 1")
    with pytest.raises(ModelError, match="one of classes, values, embedding, unknown; not 'logits'"):
        load(hand("head"), outputs="logits")
    with pytest.raises(ModelError, match="answers with no classes"):
        load(timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=112), outputs="classes")


@pytest.mark.parametrize("base", ["timm", "hand-written"])
def test_the_logit_of_a_single_class_is_offered_in_place_of_its_probability(base: str) -> None:
    module = timm_vit(num_classes=1) if base == "timm" else hand("head", 1)
    trace = vitviz.trace(load(module), noise(DATA.input_size))
    with torch.no_grad():
        pixels = torch.from_numpy(trace.framing.apply(trace.photo))[None]
        logit = float(module(pixels)[0, 0])
    (one,) = trace.predictions()
    assert (one.probability, one.value) == (1.0, pytest.approx(logit, rel=1e-4))
    assert one.said == f"logit {logit:.3g}"
    assert trace.model.quantity == "logit"
    heat = vitviz.explain(trace, "input_gradient")
    pixels.requires_grad_(True)
    module(pixels)[0, 0].backward()
    np.testing.assert_allclose(heat.pixels, pixels.grad[0].abs().sum(0).numpy(), rtol=1e-3, atol=1e-6)
    with pytest.raises(MethodError, match="a single class, so its outputs have no probabilities"):
        vitviz.lens(trace)


def test_faithfulness_of_a_single_class_follows_its_logit() -> None:
    from vitviz.explain.measures.faithfulness import scores

    module = hand("head", 1)
    trace = vitviz.trace(load(module), noise(DATA.input_size))
    heat = vitviz.explain(trace, "rollout")
    found = scores(trace, heat, steps=7)
    pixels = trace.framing.apply(trace.photo)
    for step, count in enumerate(found.counts):
        gone = pixels.copy()
        for cell in found.order[:count]:
            row, col = divmod(int(cell), 7)
            gone[:, row * 16 : row * 16 + 16, col * 16 : col * 16 + 16] = 0
        with torch.no_grad():
            expected = float(module(torch.from_numpy(gone)[None])[0, 0])
        assert found.deletion.probabilities[step] == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert np.ptp(found.deletion.probabilities) > 0.01  # all 1 as probabilities


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    """Weight files of DeiT-Tiny with heads of another kind."""
    folder = tmp_path_factory.mktemp("weights")
    found = {}
    for name, classes in (("single", 1), ("bare", 0), ("three", 3)):
        torch.manual_seed(4)
        module = timm.create_model("deit_tiny_patch16_224", num_classes=classes)
        save_file(module.state_dict(), folder / f"{name}.safetensors")
        found[name] = str(folder / f"{name}.safetensors")
    return found


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> str:
    from PIL import Image

    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(noise((64, 64)).pixels).save(path)
    return str(path)


LOADED = ["--architecture", "deit_tiny_patch16_224", "--device", "cpu"]


def test_the_command_line_says_logit_of_a_single_class(files, photo, tmp_path, capsys) -> None:
    out = str(tmp_path / "map.png")
    assert (
        main(["export", photo, "--model", files["single"], "--out", out, "--method", "relevance", *LOADED])
        == 0
    )
    said = capsys.readouterr().out
    assert "class 0 logit " in said
    assert "%" not in said
    table = str(tmp_path / "scores.csv")
    command = [
        "evaluate",
        photo,
        "--model",
        files["single"],
        "--out",
        table,
        "--png",
        str(tmp_path / "c.png"),
    ]
    few = ["--methods", "rollout", "--steps", "2", "--random", "2"]
    assert main([*command, *few, *LOADED]) == 0
    said = capsys.readouterr().out
    assert "The probability of a single class is always 1: the curves follow its logit." in said
    text = (tmp_path / "scores.csv").read_text().splitlines()
    assert text[0].endswith("followed")
    assert all(line.endswith(",logit") for line in text[1:])


def test_the_command_line_takes_what_the_numbers_are(files, photo, tmp_path, capsys) -> None:
    out = str(tmp_path / "map.png")
    command = ["export", photo, "--model", files["three"], "--out", out, *LOADED]
    assert main(command) == 0
    assert "%; " in capsys.readouterr().out
    assert main([*command, "--outputs", "values", "--method", "gradcam", "--target", "2"]) == 0
    said = capsys.readouterr().out
    assert "%" not in said
    assert "Grad-CAM for output 2" in said
    assert main([*command, "--outputs", "embedding", "--method", "gradcam"]) == 1
    assert "because it gives an embedding of 3 numbers and has no classifier" in capsys.readouterr().err


def test_a_model_without_a_head_works_on_the_command_line_where_no_class_is_needed(
    files, photo, tmp_path, capsys
) -> None:
    out = str(tmp_path / "map.png")
    command = ["export", photo, "--model", files["bare"], "--out", out, *LOADED]
    assert main(command) == 0
    assert main([*command, "--method", "relevance"]) == 1
    reason = "gives an embedding of 192 numbers and has no classifier, so there is no class to explain"
    assert reason in capsys.readouterr().err
    assert main(["check", files["bare"], *LOADED]) == 0
    said = capsys.readouterr().out
    assert "applies: attention, rollout" in said
    assert f"relevance does not apply, because it {reason}" in said
    scored = ["evaluate", photo, "--model", files["bare"], "--out", str(tmp_path / "scores.csv"), *LOADED]
    assert main(scored) == 1
    assert "has no classifier, so there is no output to follow" in capsys.readouterr().err
