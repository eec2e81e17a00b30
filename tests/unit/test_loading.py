"""Modules that the caller made: what is read from them, and what load_model does with its options."""

import pytest
import timm
import torch
from torch import nn

from vitviz.errors import ModelError
from vitviz.images.framing import DataConfig
from vitviz.models.loading import from_module, load_model

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class HandWritten(nn.Module):
    """A ViT as people write it for a course."""

    def __init__(self, size: int = 32, classes: int = 5) -> None:
        super().__init__()
        self.cut = nn.Conv2d(3, 24, 8, 8)
        self.position = nn.Parameter(torch.zeros(1, (size // 8) ** 2, 24))
        layer = nn.TransformerEncoderLayer(24, 2, 48, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(24, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.cut(x).flatten(2).transpose(1, 2) + self.position
        return self.head(self.encoder(x).mean(1))


@pytest.mark.parametrize(
    ("name", "size", "multiple"),
    [
        ("vit_tiny_patch16_224", 224, 16),
        ("deit_tiny_distilled_patch16_224", 224, 16),
        ("swin_tiny_patch4_window7_224", 224, 32),
        ("swinv2_cr_tiny_ns_224", 224, 32),
        ("vit_tiny_r_s16_p8_224", 224, 32),
        ("vit_small_patch14_reg4_dinov2", 518, 14),
        ("pit_ti_224", 224, 8),
        ("naflexvit_base_patch16_gap", 384, 16),
    ],
)
def test_timm_modules_say_everything_themselves(name, size, multiple):
    with torch.device("meta"):
        module = timm.create_model(name)
    module.train()
    model = from_module(module, "as given")
    expected = timm.data.resolve_model_data_config(module)
    assert (model.name, model.architecture, model.weights) == (name, name, "as given")
    assert model.input_size == (size, size)
    assert model.data.multiple == multiple
    assert (model.data.mean, model.data.std) == (expected["mean"], expected["std"])
    assert (model.data.crop_pct, model.data.interpolation) == (
        expected["crop_pct"],
        expected["interpolation"],
    )
    assert len(model.labels) == module.num_classes
    assert model.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert not any(part.training for part in module.modules())


def test_a_module_made_for_another_size_is_taken_at_its_size():
    model = load_model(timm.create_model("vit_tiny_patch16_224", img_size=(96, 160), depth=1), device="cpu")
    assert model.input_size == (96, 160)
    assert model.stored_position is not None
    assert model.stored_position.shape == (1, 61, 192)


def test_the_module_is_the_callers_own_in_eval_mode():
    module = timm.create_model("vit_tiny_patch16_224", depth=1).train()
    model = load_model(module, device="cpu")
    assert model.module is module
    assert not module.training
    assert model.device == torch.device("cpu")
    assert model.dtype == torch.float32
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_image_size_and_labels_are_options():
    module = timm.create_model("vit_tiny_patch16_224", depth=1, num_classes=2)
    model = load_model(module, device="cpu", image_size=64, labels=["cat", "dog"])
    assert model.input_size == (64, 64)
    assert model.labels == ("cat", "dog")
    assert load_model(module, device="cpu", image_size=(64, 96)).input_size == (64, 96)
    assert load_model(module, device="cpu").labels == ("class 0", "class 1")
    with pytest.raises(ModelError, match="the model's 2 classes"):
        load_model(module, device="cpu", labels=["cat"])


def test_channels_other_than_red_green_blue_are_refused():
    with pytest.raises(ModelError, match="pictures of 1 channels"):
        load_model(timm.create_model("vit_tiny_patch16_224", depth=1, in_chans=1), device="cpu")


@pytest.mark.parametrize(
    ("builder", "name", "size", "resized", "interpolation"),
    [
        ("vit_b_16", "vit_b_16", 224, 256, "bilinear"),
        ("swin_t", "swin_t", 224, 232, "bicubic"),
        ("swin_v2_t", "swin_v2_t", 256, 260, "bicubic"),
    ],
)
def test_torchvision_modules_are_prepared_as_their_weights_were(builder, name, size, resized, interpolation):
    from torchvision import models

    with torch.device("meta"):
        module = getattr(models, builder)(num_classes=7)
    model = from_module(module, "as given")
    assert (model.name, model.architecture) == (name, None)
    assert model.input_size == (size, size)
    assert model.data.crop_pct == pytest.approx(size / resized)
    assert model.data.interpolation == interpolation
    assert (model.data.mean, model.data.std) == IMAGENET
    assert len(model.labels) == 7


def small_hugging_face(kind: str, **options: object) -> nn.Module:
    import transformers

    shape = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    if kind == "Swin":
        shape = {"embed_dim": 12, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4, "patch_size": 4}
    config = getattr(transformers, f"{kind}Config")(image_size=64, **shape, **options)
    module: nn.Module = getattr(transformers, f"{kind}ForImageClassification")(config)
    return module


@pytest.mark.parametrize(
    ("kind", "mean_std", "crop_mode", "multiple"),
    [("ViT", HALF, "squash", 16), ("DeiT", IMAGENET, "center", 16), ("Swin", IMAGENET, "squash", 8)],
)
def test_hugging_face_modules_bring_size_labels_and_preprocessing(kind, mean_std, crop_mode, multiple):
    module = small_hugging_face(kind, id2label={0: "cat, house cat", 1: "dog"})
    model = load_model(module, device="cpu")
    assert model.input_size == (64, 64)
    assert (model.data.mean, model.data.std) == mean_std
    assert (model.data.crop_mode, model.data.multiple) == (crop_mode, multiple)
    assert model.labels == ("cat", "dog")
    assert model.weights == "as given"
    unnamed = load_model(small_hugging_face(kind, num_labels=3), device="cpu")
    assert unnamed.labels == ("class 0", "class 1", "class 2")


def test_a_hand_written_module_needs_its_data_config():
    data = DataConfig((32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), multiple=8)
    model = load_model(HandWritten(), device="cpu", data=data)
    assert (model.name, model.architecture, model.weights) == ("HandWritten", None, "as given")
    assert model.data == data
    assert model.labels == tuple(f"class {index}" for index in range(5))
    with pytest.raises(
        ModelError,
        match=r"HandWritten does not take a picture of 3×224×224: The size of .* Say what it takes with data=",
    ):
        load_model(HandWritten(), device="cpu")


def test_without_a_data_config_the_assumption_is_told():
    model = load_model(HandWritten(224), device="cpu")
    assert model.input_size == (224, 224)
    assert (model.data.mean, model.data.std) == IMAGENET
    assert "224×224 with ImageNet's mean and std (data= sets others)" in model.weights


def test_a_module_that_answers_no_classes_is_refused():
    with pytest.raises(
        ModelError, match=r"must answer one picture with a \(1, classes\) tensor.*gives \(1, 8, 112, 112\)"
    ):
        load_model(nn.Conv2d(3, 8, 2, 2), device="cpu")


def test_data_given_replaces_the_modules_own():
    data = DataConfig((224, 224), (0.1, 0.2, 0.3), (1, 1, 1), "bilinear", 1.0, "squash", 16)
    assert (
        load_model(timm.create_model("vit_tiny_patch16_224", depth=1), device="cpu", data=data).data == data
    )


def test_steps_are_reported(real):
    told: list[str] = []
    load_model(
        real / "deit_tiny_patch16_224.safetensors", device="cpu", progress=lambda what, _: told.append(what)
    )
    assert told[0] == "Reading deit_tiny_patch16_224.safetensors"


def test_the_real_weights_recognise_the_real_photos(real):
    from vitviz.images.framing import frame
    from vitviz.images.photo import open_image

    model = load_model(real / "deit_tiny_patch16_224.safetensors", device="cpu")
    for path in sorted((real / "photos").glob("n*.JPEG")):
        photo = open_image(path)
        picture = torch.from_numpy(frame(photo.size, model.data).apply(photo))[None]
        with torch.no_grad():
            answer = model.labels[int(model.module(picture).argmax())]
        assert answer == path.stem.split("_", 1)[1].replace("_", " ")
