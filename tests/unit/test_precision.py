"""A model that does not compute in float32 says so wherever its results are named."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from proof_models import DATA, Columns, HandWritten, mirrored, strong, timm_vit
from small_models import VIT, small
from timm.models.swin_transformer import SwinTransformerBlock
from timm.models.vision_transformer import VisionTransformer
from torch import nn

import vitviz
from vitviz.errors import RefusedError
from vitviz.explain.registry import METHODS
from vitviz.images.photo import Photo, photo_from_array


def test_float32_goes_without_saying() -> None:
    model = vitviz.load_model(small("vit_tiny_patch16_224", **VIT), device="cpu")
    assert model.full_name == model.name


def test_every_map_of_half_precision_says_so(photo: Photo, tmp_path) -> None:
    module = small("vit_tiny_patch16_224", **VIT).to(torch.bfloat16)
    model = vitviz.load_model(module, device="cpu")
    assert model.full_name == f"{model.name} (bfloat16)"
    trace = vitviz.trace(model, photo)
    for method in METHODS:
        heatmap = vitviz.explain(trace, method.name)
        assert heatmap.note.startswith(f"{model.name} (bfloat16). ")  # the text of the legend
        heatmap.save(tmp_path / "map.png")
        assert Image.open(tmp_path / "map.png").text["Model"] == f"{model.name} (bfloat16)"
    assert vitviz.statistics(trace).model_name == vitviz.lens(trace).model_name == model.full_name


SWIN = {"img_size": 112, "depths": (2, 2, 2), "num_heads": (2, 4, 8), "embed_dim": 48, "num_classes": 10}
MODELS = {
    "ViT": lambda: small("vit_tiny_patch16_224", **VIT),
    "distilled ViT": lambda: small("deit_tiny_distilled_patch16_224", **VIT),
    "Swin": lambda: small("swin_tiny_patch4_window7_224", **SWIN),
    "hand-written": HandWritten,
}


def traced_in(dtype: torch.dtype, module: nn.Module, hand: bool = True) -> vitviz.Trace:
    model = vitviz.load_model(strong(module).to(dtype), device="cpu", data=DATA if hand else None)
    pixels = np.random.default_rng(0).integers(0, 256, (*model.input_size, 3), np.uint8)
    return vitviz.trace(model, photo_from_array(pixels, "noise"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_all_claims_are_proved_in_half_precision(name: str, dtype: torch.dtype) -> None:
    check = traced_in(dtype, MODELS[name](), name == "hand-written").check
    assert check.proved, [claim.sentence for claim in check.claims]
    assert check.precision == str(dtype).removeprefix("torch.")


def test_all_claims_of_trained_weights_are_proved_in_bfloat16(real: Path) -> None:
    model = vitviz.load_model(real / "deit_tiny_patch16_224.safetensors", device="cpu")
    model = vitviz.load_model(model.module.to(torch.bfloat16), device="cpu")
    trace = vitviz.trace(model, vitviz.open_image(next((real / "photos").iterdir())))
    assert trace.check.proved, [claim.sentence for claim in trace.check.claims]


class Unshifted(SwinTransformerBlock):
    """A block whose windows are not shifted, though its attributes say so."""

    def _attn(self, x: torch.Tensor) -> torch.Tensor:
        moved = super()._attn(x.roll(self.shift_size, (1, 2)))
        return moved.roll([-length for length in self.shift_size], (1, 2))


def unshifted() -> nn.Module:
    module = small("swin_tiny_patch4_window7_224", **SWIN)
    module.layers[0].blocks[1].__class__ = Unshifted
    return module


def by_columns() -> nn.Module:
    module = timm_vit()
    module.patch_embed = Columns(module.patch_embed)
    return module


WRONG = {
    "mirrored": (
        lambda: timm_vit(mirrored(VisionTransformer)),
        r"blocks\.0\.attn query 1 comes from patch \(0, 6\)",
    ),
    "by columns": (by_columns, r"blocks\.0\.attn query 2 comes from patch \(1, 0\)"),
    "unshifted": (unshifted, r"layers\.0\.blocks\.1\.attn query 0 .*comes from patch \(0, 0\)"),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("kind", WRONG)
def test_wrong_layouts_are_refused_in_half_precision(kind: str, dtype: torch.dtype) -> None:
    make, reason = WRONG[kind]
    with pytest.raises(RefusedError, match=reason):
        traced_in(dtype, make(), kind != "unshifted")
