"""Weight files: read safely, and their architecture found from their tensors."""

import argparse
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from vitviz.errors import ModelError
from vitviz.models.architectures import bare_module, known
from vitviz.models.checkpoint import WeightFile, read_weight_file
from vitviz.models.loading import load_model
from vitviz.models.recognition import recognise

VIT = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def vit() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(VIT, num_classes=7).eval()


def equal(model: nn.Module, other: nn.Module) -> bool:
    mine, theirs = model.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def prefixed(module: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in module.state_dict().items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda module: module.state_dict(),
        lambda module: {"model": module.state_dict(), "epoch": 3, "optimizer": {"state": {}}},
        lambda module: {"state_dict": prefixed(module, "module."), "arch": VIT},
        lambda module: {"model_state_dict": prefixed(module, "_orig_mod.module.")},
        lambda module: {"state_dict": prefixed(module, "model."), "pytorch-lightning_version": "2.0"},
        lambda module: {"state_dict": {**prefixed(module, "model."), "criterion.weight": torch.ones(7)}},
        lambda module: {
            "student": {"module.x": torch.ones(1)},
            "teacher": prefixed(module, "module.backbone."),
        },
        lambda module: {
            "args": argparse.Namespace(model=VIT, lr=0.1),
            "model": {"state_dict": module.state_dict()},
        },
    ],
    ids=["flat", "model", "module", "compiled", "lightning", "criterion", "teacher", "nested"],
)
def test_wrappers_and_prefixes(tmp_path, vit, wrap: Callable[[nn.Module], Any]):
    model = load_model(saved(tmp_path / f"{VIT}.pth", wrap(vit)), device="cpu")
    assert model.architecture == VIT
    assert len(model.labels) == 7
    assert equal(model.module, vit)


def test_averaged_weights_are_preferred_and_told(tmp_path, vit):
    old = {key: value + 1 for key, value in vit.state_dict().items()}
    path = saved(tmp_path / f"{VIT}.pth", {"state_dict": old, "state_dict_ema": vit.state_dict()})
    model = load_model(path, device="cpu")
    assert equal(model.module, vit)
    assert model.weights == f"{VIT}.pth (state_dict_ema)"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_float_becomes_float32(tmp_path, vit, dtype):
    halved = {key: value.to(dtype) for key, value in vit.state_dict().items()}
    model = load_model(saved(tmp_path / f"{VIT}.pt", halved), device="cpu")
    assert model.dtype == torch.float32
    assert torch.equal(model.module.state_dict()["norm.weight"], halved["norm.weight"].float())


def test_the_real_weights_are_found_among_rivals_with_the_same_tensors(real, tmp_path):
    model = load_model(real / "deit_tiny_patch16_224.safetensors", device="cpu")
    assert model.architecture == "deit_tiny_patch16_224"
    assert model.weights == "deit_tiny_patch16_224.safetensors"
    assert model.data.mean == (0.485, 0.456, 0.406)
    assert model.labels[1] == "goldfish"
    neutral = tmp_path / "model.safetensors"
    neutral.symlink_to(real / "deit_tiny_patch16_224.safetensors")
    guessed = load_model(neutral, device="cpu")
    assert guessed.architecture == "vit_tiny_patch16_224"
    assert "deit_tiny_patch16_224 would compute the same from a picture normalised" in guessed.weights
    chosen = load_model(neutral, device="cpu", architecture="deit_tiny_patch16_224")
    assert (chosen.architecture, chosen.weights) == ("deit_tiny_patch16_224", "model.safetensors")
    assert chosen.data == model.data


def test_a_name_in_the_header_decides_before_the_file_name(tmp_path):
    module = timm.create_model("deit_tiny_patch16_224", num_classes=2)
    path = tmp_path / "vit_tiny_patch16_224.safetensors"
    save_file(module.state_dict(), path, metadata={"architecture": "deit_tiny_patch16_224"})
    assert load_model(path, device="cpu").architecture == "deit_tiny_patch16_224"


def test_a_tag_in_the_file_name_gives_its_preprocessing(tmp_path):
    module = timm.create_model("vit_tiny_patch16_224", num_classes=21843)
    path = tmp_path / "vit_tiny_patch16_224.augreg_in21k.safetensors"
    save_file(module.state_dict(), path)
    model = load_model(path, device="cpu")
    assert model.module.pretrained_cfg["tag"] == "augreg_in21k"
    assert len(model.labels) == 21843


def test_the_same_tensors_with_another_computation_are_never_guessed(tmp_path):
    module = timm.create_model("swinv2_tiny_window8_256", num_classes=2).eval()
    neutral = saved(tmp_path / "weights.pth", module.state_dict())
    with pytest.raises(
        ModelError, match=r"swinv2_tiny_window16_256, swinv2_tiny_window8_256.*architecture="
    ) as caught:
        load_model(neutral, device="cpu")
    assert "compute differently" in caught.value.message
    chosen = load_model(neutral, device="cpu", architecture="swinv2_tiny_window8_256")
    named = load_model(
        saved(tmp_path / "my-swinv2_tiny_window8_256-b.pth", module.state_dict()), device="cpu"
    )
    picture = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        assert torch.equal(chosen.module(picture), module(picture))
        assert torch.equal(named.module(picture), module(picture))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_tiny_patch16_224", {"num_classes": 0}),
        ("vit_tiny_patch16_224", {"num_classes": 4, "img_size": 288}),
        ("deit_tiny_distilled_patch16_224", {"num_classes": 4}),
        ("vit_relpos_small_patch16_224", {"num_classes": 4}),
        ("vit_tiny_r_s16_p8_224", {"num_classes": 4}),
        ("swin_tiny_patch4_window7_224", {"num_classes": 4}),
        ("beitv2_base_patch16_224", {"num_classes": 4, "img_size": 192}),
        ("eva02_tiny_patch14_224", {"num_classes": 4}),
        ("cait_xxs24_224", {"num_classes": 4}),
        ("pit_ti_224", {"num_classes": 4, "img_size": 256}),
        ("naflexvit_base_patch16_map", {"num_classes": 4}),
    ],
)
def test_every_family_is_found_with_its_classes_and_size(tmp_path, name, options):
    torch.manual_seed(0)
    module = timm.create_model(name, **options).eval()
    path = tmp_path / (f"{name}.pth" if name.startswith(("beit", "vit_tiny_patch16")) else "weights.pth")
    model = load_model(saved(path, module.state_dict()), device="cpu")
    assert model.architecture == name
    assert len(model.labels) == options["num_classes"]
    size = options.get("img_size", known()[name].input_size[0])
    assert model.input_size == (size, size)
    picture = torch.rand(1, 3, size, size)
    with torch.no_grad():
        assert torch.equal(model.module(picture), module(picture))


@pytest.mark.sweep
@pytest.mark.parametrize("name", sorted(known()))
def test_every_architecture_is_found_from_its_own_tensors(name):
    """Without memory and under a neutral name: found, or told apart from a rival that computes differently."""
    tensors = bare_module(name, num_classes=4).state_dict()
    same = {one.name for one in known().values() if one.function == known()[name].function}
    try:
        told = recognise(WeightFile(Path("weights.pth"), tensors)).architecture
    except ModelError as error:
        told = error.message if "compute differently" in error.message else ""
    assert told in same or name in told


def test_older_namings_are_converted_as_timm_does(tmp_path):
    swin = timm.create_model("swin_tiny_patch4_window7_224", num_classes=4)
    original = {}
    for key, value in swin.state_dict().items():
        parts = key.split(".")
        if parts[0] == "layers" and parts[2] == "downsample":
            parts[1] = str(int(parts[1]) - 1)
        original[".".join(parts).replace("head.fc.", "head.")] = value
    original["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.int64)
    found = load_model(saved(tmp_path / "swin.pth", {"model": original}), device="cpu")
    assert found.architecture == "swin_tiny_patch4_window7_224"
    assert equal(found.module, swin)

    deit3 = timm.create_model("deit3_small_patch16_224", num_classes=4)
    renamed = {
        key.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): value
        for key, value in deit3.state_dict().items()
    }
    # Renamed so, the tensors are also those of a ViT with rotary embeddings: only a name can tell.
    with pytest.raises(
        ModelError, match=r"deit3_small_patch16_224, vit_small_patch16_rope_ape_224.*compute differently"
    ):
        load_model(saved(tmp_path / "weights.pth", {"model": renamed}))
    found = load_model(saved(tmp_path / "deit3_small_patch16_224_1k.pth", {"model": renamed}), device="cpu")
    assert found.architecture == "deit3_small_patch16_224"
    assert equal(found.module, deit3)

    mae = {**timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()}
    mae |= {"mask_token": torch.zeros(1, 1, 192), "decoder_embed.weight": torch.zeros(64, 192)}
    assert load_model(saved(tmp_path / "mae.pth", {"model": mae}), device="cpu").architecture == VIT


def test_what_fits_nothing_names_the_closest_and_the_first_difference(tmp_path, vit):
    shallow = {key: value for key, value in vit.state_dict().items() if not key.startswith("blocks.7.")}
    with pytest.raises(
        ModelError, match=r"closest are .*vit_tiny_patch16_224.*blocks\.7\.norm1\.weight is missing"
    ) as caught:
        load_model(saved(tmp_path / "weights.pth", shallow))
    assert "vit_tiny_patch16_224: 12 tensors differ" in caught.value.details
    with pytest.raises(
        ModelError, match=r"no architecture that vitviz knows; its first tensor is conv1\.weight"
    ):
        load_model(saved(tmp_path / "resnet.pth", timm.create_model("resnet18").state_dict()))
    extended = {**vit.state_dict(), "dist_token": torch.zeros(1, 1, 192)}
    with pytest.raises(ModelError, match="dist_token is not in the architecture"):
        load_model(saved(tmp_path / "extended.pth", extended))


def test_an_architecture_given_is_checked(tmp_path, vit):
    path = saved(tmp_path / "weights.pth", vit.state_dict())
    with pytest.raises(
        ModelError, match=r"does not fit vit_small_patch16_224: cls_token is 1×1×192, not 1×1×384"
    ):
        load_model(path, architecture="vit_small_patch16_224")
    with pytest.raises(ModelError, match="Did you mean vit_tiny_patch16_224"):
        load_model(path, architecture="vit_tiny_patch16_22")
    with pytest.raises(ModelError, match="is for a weight file"):
        load_model(VIT, architecture=VIT)


def test_files_of_other_libraries_are_told_where_to_go(tmp_path):
    ours = {"vit.encoder.layer.0.attention.attention.query.weight": torch.zeros(192, 192)}
    with pytest.raises(
        ModelError,
        match=r"is a Hugging Face ViT without its config; open the folder",
    ):
        load_model(saved(tmp_path / "weights.pth", ours))


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".ckpt"])
def test_code_in_a_file_is_never_run(tmp_path, vit, suffix):
    marker = tmp_path / "was-run"
    path = saved(tmp_path / f"evil{suffix}", {"state_dict": vit.state_dict(), "hook": Evil(marker)})
    with pytest.raises(ModelError, match=r"holds Python objects.*could run code, so it was not loaded"):
        load_model(path)
    path.write_bytes(pickle.dumps({"hook": Evil(marker)}))
    with pytest.raises(ModelError, match=rf"evil\{suffix}"):
        load_model(path)
    assert not marker.exists()


def test_files_that_are_no_weights(tmp_path, vit):
    whole = saved(tmp_path / "module.pth", vit)
    with pytest.raises(
        ModelError, match=r"module\.pth holds Python objects.*Save the model's state_dict\(\)"
    ):
        load_model(whole)
    (tmp_path / "empty.pth").touch()
    with pytest.raises(ModelError, match=r"empty\.pth is empty"):
        load_model(tmp_path / "empty.pth")
    (tmp_path / "text.pth").write_text("this is a text\n" * 100)
    with pytest.raises(ModelError, match=r"text\.pth is no weight file"):
        load_model(tmp_path / "text.pth")
    (tmp_path / "text.safetensors").write_text("this is a text\n" * 100)
    with pytest.raises(ModelError, match=r"text\.safetensors cannot be read as safetensors"):
        load_model(tmp_path / "text.safetensors")
    with pytest.raises(ModelError, match=r"number\.pth holds a int"):
        load_model(saved(tmp_path / "number.pth", 7))
    with pytest.raises(ModelError, match=r"nothing\.pth holds no weights"):
        load_model(saved(tmp_path / "nothing.pth", {"epoch": 3}))
    quantised = {key: value.to(torch.int8) for key, value in vit.state_dict().items()}
    with pytest.raises(ModelError, match="quantised"):
        load_model(saved(tmp_path / "small.pth", quantised))


@pytest.mark.parametrize("name", ["cut.pth", "cut.safetensors"])
def test_a_file_that_was_cut_off(tmp_path, vit, name):
    path = tmp_path / name
    if name.endswith("pth"):
        torch.save(vit.state_dict(), path)
    else:
        save_file(vit.state_dict(), path)
    path.write_bytes(path.read_bytes()[: 1 << 20])
    with pytest.raises(ModelError, match=r"cut\..* cut off"):
        load_model(path)


def test_safetensors_by_content_whatever_the_name(tmp_path, vit):
    save_file(vit.state_dict(), tmp_path / "weights.bin")
    assert read_weight_file(tmp_path / "weights.bin").tensors.keys() == vit.state_dict().keys()


def test_a_card_beside_the_file_says_how_to_build_it(tmp_path):
    kwargs = {"img_size": 64, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 2}
    module = timm.create_model(VIT, **kwargs)
    path = tmp_path / "small.safetensors"
    save_file(module.state_dict(), path)
    card = {
        "timm": {"architecture": VIT, "kwargs": kwargs},
        "labels": ["square", "circle"],
        "data": {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "crop_pct": 1.0, "interpolation": "bilinear"},
    }
    (tmp_path / "small.json").write_text(json.dumps(card))
    model = load_model(path, device="cpu")
    assert equal(model.module, module)
    assert model.labels == ("square", "circle")
    assert model.input_size == (64, 64)
    assert (model.data.mean, model.data.crop_pct, model.data.interpolation) == (
        (0.1, 0.2, 0.3),
        1.0,
        "bilinear",
    )
    assert model.data.multiple == 8
    assert load_model(path, device="cpu", labels=["a", "b"]).labels == ("a", "b")
    (tmp_path / "small.json").write_text(
        json.dumps({**card, "timm": {"architecture": VIT, "kwargs": {"depth": 3}}})
    )
    with pytest.raises(ModelError, match=r"small\.safetensors cannot be loaded as vit_tiny"):
        load_model(path)
    (tmp_path / "small.json").write_text("{")
    with pytest.raises(ModelError, match=r"card small\.json .* not valid JSON"):
        load_model(path)


def test_demo_models_come_from_the_resources(tmp_path, monkeypatch):
    from vitviz.models import loading

    monkeypatch.setattr(loading, "resource", lambda name: tmp_path / name)
    with pytest.raises(ModelError, match="no demo model “demo/vit”; there is none"):
        load_model("demo/vit")
    kwargs = {"img_size": 64, "embed_dim": 24, "depth": 1, "num_heads": 3, "num_classes": 2}
    (tmp_path / "models").mkdir()
    save_file(timm.create_model(VIT, **kwargs).state_dict(), tmp_path / "models" / "vit.safetensors")
    card = {"timm": {"architecture": VIT, "kwargs": kwargs}, "labels": ["square", "circle"]}
    (tmp_path / "models" / "vit.json").write_text(json.dumps(card))
    model = load_model("demo/vit", device="cpu")
    assert (model.name, model.weights, model.labels) == (
        "demo/vit",
        "trained for the demo",
        ("square", "circle"),
    )
    with pytest.raises(ModelError, match="no demo model “demo/swin”; there is demo/vit"):
        load_model("demo/swin")


def test_nothing_is_resampled_without_a_word(tmp_path):
    """timm's conversions fit tables of another size to the architecture that is tried; the file's own size is opened."""
    swin = timm.create_model("swin_tiny_patch4_window7_224", num_classes=4, window_size=8, img_size=256)
    with torch.no_grad():
        for key, value in swin.named_parameters():
            if key.endswith("relative_position_bias_table"):
                value.normal_()
    original = {}
    for key, value in swin.state_dict().items():
        parts = key.split(".")
        if parts[0] == "layers" and parts[2] == "downsample":
            parts[1] = str(int(parts[1]) - 1)
        original[".".join(parts).replace("head.fc.", "head.")] = value
    for name, state in (("timm", swin.state_dict()), ("original", original)):
        model = load_model(saved(tmp_path / f"{name}.pth", {"model": state}), device="cpu")
        assert model.input_size == (256, 256)
        assert equal(model.module, swin)

    vit = timm.create_model(VIT, num_classes=4, patch_size=8, img_size=64)
    model = load_model(saved(tmp_path / "vit.pth", vit.state_dict()), device="cpu")
    assert model.input_size == (64, 64)
    assert equal(model.module, vit)

    dinov2 = timm.create_model("vit_small_patch14_reg4_dinov2", num_classes=0, img_size=112)
    native = {
        {"reg_token": "register_tokens"}.get(key, key): value for key, value in dinov2.state_dict().items()
    }
    place = torch.randn(1, 1, 384)
    native |= {"cls_token": native["cls_token"] - place, "mask_token": torch.zeros(1, 384)}
    native["pos_embed"] = torch.cat([place, native["pos_embed"]], 1)
    model = load_model(
        saved(tmp_path / "dinov2.pth", {"teacher": prefixed_all(native, "backbone.")}), device="cpu"
    )
    assert model.input_size == (112, 112)
    assert torch.equal(model.module.state_dict()["pos_embed"], dinov2.state_dict()["pos_embed"])


def prefixed_all(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in state.items()}
