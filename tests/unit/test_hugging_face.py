# ruff: noqa: E501 (a case, a line)
"""Folders of Hugging Face transformers: each class opens with its own logits or embedding, labels and preprocessing."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from vitviz.attention.model_check import check_model
from vitviz.errors import ModelError
from vitviz.images.framing import frame
from vitviz.images.photo import photo_from_array
from vitviz.models.loading import load_model

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.forms
BUILD = Path(__file__).resolve().parents[2] / "build" / "forms"

VIT = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96}
SQUARE = {"image_size": 64, "patch_size": 16}
NAMES = {
    "id2label": {0: "cat, house cat", 1: "dog", 2: "owl"},
    "label2id": {"cat, house cat": 0, "dog": 1, "owl": 2},
}
SWIN = {
    "image_size": 64,
    "patch_size": 4,
    "embed_dim": 24,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "window_size": 4,
}
BOTH = {"vision_config": {**VIT, **SQUARE}, "text_config": {**VIT, "vocab_size": 99}}

# Class, its config's class, options; the class that vitviz opens it as, and which of its outputs to compare.
CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "ViTForImageClassification": ("ViTConfig", {**VIT, **SQUARE, **NAMES}),
    "ViTModel": ("ViTConfig", {**VIT, **SQUARE}),
    "DeiTForImageClassification": ("DeiTConfig", {**VIT, **SQUARE, **NAMES}),
    "DeiTForImageClassificationWithTeacher": ("DeiTConfig", {**VIT, **SQUARE, **NAMES}),
    "BeitForImageClassification": (
        "BeitConfig",
        {**VIT, **SQUARE, **NAMES, "use_relative_position_bias": True},
    ),
    "Data2VecVisionForImageClassification": ("Data2VecVisionConfig", {**VIT, **SQUARE, **NAMES}),
    "SwinForImageClassification": ("SwinConfig", {**SWIN, **NAMES}),
    "Swinv2ForImageClassification": ("Swinv2Config", {**SWIN, **NAMES}),
    "Dinov2ForImageClassification": ("Dinov2Config", {**VIT, **SQUARE, **NAMES}),
    "Dinov2Model": ("Dinov2Config", {**VIT, **SQUARE}),
    "Dinov2WithRegistersModel": ("Dinov2WithRegistersConfig", {**VIT, **SQUARE}),
    "DINOv3ViTModel": ("DINOv3ViTConfig", {**VIT, **SQUARE, "num_register_tokens": 4}),
    "CLIPModel": ("CLIPConfig", BOTH),
    "CLIPVisionModel": ("CLIPVisionConfig", {**VIT, **SQUARE}),
    "CLIPForImageClassification": ("CLIPConfig", {**BOTH, **NAMES}),
    "SiglipModel": ("SiglipConfig", BOTH),
    "SiglipVisionModel": ("SiglipVisionConfig", {**VIT, **SQUARE}),
    "SiglipForImageClassification": ("SiglipConfig", {**BOTH, **NAMES}),
    "ViTMAEForPreTraining": (
        "ViTMAEConfig",
        {**VIT, **SQUARE, "decoder_num_hidden_layers": 1, "mask_ratio": 0.0},
    ),
    "ViTMAEModel": ("ViTMAEConfig", {**VIT, **SQUARE, "mask_ratio": 0.0}),
    "ViTMSNModel": ("ViTMSNConfig", {**VIT, **SQUARE}),
    "ViTMSNForImageClassification": ("ViTMSNConfig", {**VIT, **SQUARE, **NAMES}),
    "IJepaModel": ("IJepaConfig", {**VIT, **SQUARE}),
    "IJepaForImageClassification": ("IJepaConfig", {**VIT, **SQUARE, **NAMES}),
}


def made(name: str) -> nn.Module:
    config, options = CLASSES[name]
    torch.manual_seed(0)
    module: nn.Module = getattr(transformers, name)(getattr(transformers, config)(**options))
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            if "decoder" not in key:
                parameter.copy_(torch.randn(parameter.shape) * 0.05 + (parameter.ndim == 1) * ("norm" in key))
    return module.eval()


def answer(module: nn.Module, picture: torch.Tensor) -> torch.Tensor:
    """Logits, or the embedding, or the tokens of a picture."""
    inner: Any = module
    for part in ("vit", "vision_model"):
        if type(module).__name__ in ("CLIPModel", "SiglipModel", "ViTMAEForPreTraining"):
            inner = getattr(module, part, inner)
    options: dict[str, Any] = {}
    if "ViTMAE" in type(inner).__name__:  # the order of the patches, which it otherwise shuffles
        patches = (picture.shape[-1] // 16) ** 2
        options["noise"] = torch.arange(patches)[None].float()
    with torch.no_grad():
        output = inner(picture, **options)
        if type(module).__name__ == "CLIPModel":
            return module.visual_projection(output.pooler_output)
    for part in ("logits", "image_embeds", "last_hidden_state"):
        if getattr(output, part, None) is not None:
            return getattr(output, part)
    raise AssertionError(type(output))


@pytest.fixture(scope="module")
def table() -> Iterator[list[str]]:
    rows: list[str] = []
    yield rows
    BUILD.mkdir(parents=True, exist_ok=True)
    head = ["| class | opened as | answer | input | preprocessing | exact |", "|---|---|---|---|---|---|"]
    (BUILD / "hugging_face.md").write_text("\n".join(head + rows) + "\n")


@pytest.mark.parametrize("name", CLASSES)
def test_a_folder_opens_with_the_answers_of_its_class(tmp_path: Path, name: str, table: list[str]) -> None:
    source = made(name)
    source.save_pretrained(tmp_path)
    model = load_model(tmp_path, device="cpu")
    picture = torch.randn(1, 3, *model.input_size)
    wanted, got = answer(source, picture), answer(model.module, picture)
    assert wanted.std() > 0
    difference = float((wanted - got).abs().max() / wanted.abs().max())
    report = check_model(model)
    row = [
        name,
        type(model.module).__name__,
        "equal" if difference == 0 else f"within {difference:.0e}",
        "×".join(map(str, model.input_size)),
        f"mean {model.data.mean[0]:.3g}, {model.data.interpolation}, {model.data.crop_mode}",
        "yes" if report.exact else str(report.reason),
    ]
    table.append("| " + " | ".join(row) + " |")
    alone = tmp_path / "alone" / "pytorch_model.bin"
    alone.parent.mkdir()
    torch.save(source.state_dict(), alone)
    with pytest.raises(ModelError, match=r"is a Hugging Face .* without its config; open the folder"):
        load_model(alone, device="cpu")
    assert difference <= 1e-6
    assert model.input_size == (64, 64)
    assert model.labels == (("cat", "dog", "owl") if "ForImageClassification" in name else ())
    assert report.exact, report.reason


def folder_of(tmp_path: Path, name: str, preprocessing: dict[str, Any] | None = None) -> Path:
    folder = tmp_path / "model"
    made(name).save_pretrained(folder)
    if preprocessing is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return folder


PHOTO = np.random.default_rng(3).integers(0, 256, (90, 140, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("ViT", {"size": {"height": 64, "width": 64}, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "resample": 2}),
        ("DeiT", {"size": {"height": 72, "width": 72}, "crop_size": {"height": 64, "width": 64}, "do_center_crop": True,
                  "resample": 3, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}),
        ("CLIP", {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}, "do_center_crop": True, "resample": 3,
                  "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}),
        ("Bit", {"size": {"shortest_edge": 74}, "crop_size": {"height": 64, "width": 64}, "do_center_crop": True, "resample": 3,
                 "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}),
        ("ViT", {"size": {"height": 64, "width": 64}, "do_normalize": False}),
        ("ViT", {"size": {"height": 64, "width": 64}, "rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3}),
    ],
    ids=["vit", "deit", "clip", "dinov2", "not normalised", "other scale"],
)  # fmt: skip
def test_a_photo_is_prepared_as_its_own_processor_does(
    tmp_path: Path, kind: str, content: dict[str, Any]
) -> None:
    """Compared with transformers' own processor, to a level of 8 bits."""
    name = "Dinov2Model" if kind == "Bit" else "CLIPVisionModel" if kind == "CLIP" else "ViTModel"
    model = load_model(folder_of(tmp_path, name, content), device="cpu")
    own = getattr(transformers, f"{kind}ImageProcessorPil", getattr(transformers, f"{kind}ImageProcessor"))
    wanted = own(**content)(Image.fromarray(PHOTO), return_tensors="np")["pixel_values"][0]
    photo = photo_from_array(PHOTO)
    got = frame(photo.size, model.data).apply(photo)
    assert got.shape == np.asarray(wanted).shape
    level = 1 / 255 / min(model.data.std)
    assert np.abs(got - np.asarray(wanted)).max() <= 1.5 * level


def test_dinov2_takes_the_size_of_its_processor_and_a_vit_that_of_its_config(tmp_path: Path) -> None:
    content = {
        "size": {"shortest_edge": 40},
        "crop_size": {"height": 32, "width": 32},
        "do_center_crop": True,
    }
    model = load_model(folder_of(tmp_path, "Dinov2Model", content), device="cpu")
    assert model.input_size == (32, 32)
    assert model.data.crop_pct == pytest.approx(32 / 40)
    shutil.rmtree(tmp_path / "model")
    model = load_model(folder_of(tmp_path, "ViTModel", {"size": 32}), device="cpu")
    assert model.input_size == (64, 64)


def test_shards_and_torch_files_open(tmp_path: Path) -> None:
    source = made("ViTForImageClassification")
    source.save_pretrained(tmp_path / "shards", max_shard_size="40KB")
    assert (tmp_path / "shards" / "model.safetensors.index.json").exists()
    picture = torch.randn(1, 3, 64, 64)
    model = load_model(tmp_path / "shards", device="cpu")
    assert torch.equal(answer(model.module, picture), answer(source, picture))
    assert model.name == "vit (shards)"
    (tmp_path / "torch").mkdir()
    shutil.copy(tmp_path / "shards" / "config.json", tmp_path / "torch" / "config.json")
    torch.save(source.state_dict(), tmp_path / "torch" / "pytorch_model.bin")
    model = load_model(tmp_path / "torch", device="cpu")
    assert torch.equal(answer(model.module, picture), answer(source, picture))


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(folder, device="cpu")
    assert caught.value.message.endswith(".")
    return caught.value.message


def damage(change: Callable[[Path], None], tmp_path: Path) -> str:
    folder = folder_of(tmp_path, "ViTForImageClassification")
    change(folder)
    return refusal(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "has a config.json and no weights beside it"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "model.safetensors is empty"),
        (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-9]), "is cut off"),
        (lambda f: (f / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "a Git LFS pointer"),
        (lambda f: (f / "config.json").write_text('{"model_type": "convnext"}'), "(convnext) that vitviz does not open by itself"),
        (lambda f: (f / "config.json").write_text('{"architectures": ["Foo"]}'), "does not open by itself"),
        (lambda f: (f / "adapter_config.json").write_text("{}"), "is an adapter (PEFT)"),
    ],
)  # fmt: skip
def test_folders_that_cannot_be_opened_are_named(
    tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    assert said in damage(change, tmp_path)


def edited(tmp_path: Path, **values: Any) -> str:
    def change(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(content | values))

    return damage(change, tmp_path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers 1000000000, more than any model has"),
        ({"num_hidden_layers": 0}, "num_hidden_layers 0, and it must be above 0"),
        ({"hidden_size": "large"}, "cannot be loaded as ViTForImageClassification"),
        (
            {"hidden_size": 90_000, "intermediate_size": 90_000, "num_hidden_layers": 200},
            "billion parameters",
        ),
        ({"patch_size": {"a": 1}}, "cannot be loaded as"),
        ({"num_attention_heads": 7}, "cannot be loaded as"),
        ({"num_hidden_layers": 3}, "lack 16 of the model's tensors"),
        ({"hidden_act": "os.system"}, "cannot be loaded as"),
        ({"id2label": {"0": ["x"]}}, "as the name of a class"),
        ({"quantization_config": {"load_in_8bit": True}}, "are quantised"),
    ],
)
def test_configs_that_no_model_has_are_refused(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    assert said in edited(tmp_path, **values)


def test_nothing_in_a_config_runs_code_or_reaches_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("reached for the network")

    folder = folder_of(tmp_path, "ViTForImageClassification")
    content = json.loads((folder / "config.json").read_text())
    content |= {
        "auto_map": {"AutoModel": "evil.Model"},
        "_attn_implementation": "somebody/kernels",
        "attn_implementation": "somebody/kernels",
        "_name_or_path": "somebody/else",
    }
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "evil.py").write_text("raise SystemExit")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert load_model(folder, device="cpu").labels == ("cat", "dog", "owl")


def test_without_transformers_the_sentence_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path, "ViTForImageClassification")
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "which is not installed here; install it with `pip install transformers`" in refusal(folder)
