"""A model that does not compute in float32 says so wherever its results are named."""

import torch
from PIL import Image
from small_models import VIT, small

import vitviz
from vitviz.explain.registry import METHODS
from vitviz.images.photo import Photo


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
