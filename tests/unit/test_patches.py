"""Patches as the model sees them, filters against the covariance's eigenvectors, embeddings by hand."""

import numpy as np
import pytest
import torch
from small_models import VIT, small
from torch import nn

import vitviz
from vitviz.attention.model_check import noise
from vitviz.errors import MethodError
from vitviz.explain.internals import patches
from vitviz.images.photo import Photo


def loaded(module: nn.Module) -> vitviz.Model:
    return vitviz.load_model(module, device="cpu")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_tiny_patch16_224", VIT | {"img_size": (48, 80)}),
        ("swin_tiny_patch4_window7_224", {"img_size": 56, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}),
        ("naflexvit_base_patch16_gap", {"embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 4}),
    ],
)  # fmt: skip
def test_each_patch_times_the_filters_is_its_embedding(
    name: str, options: dict[str, object], photo: Photo
) -> None:
    module = small(name, **options)
    trace = vitviz.trace(loaded(module), photo)
    cut = patches.pictures(trace)
    rows, cols = trace.patches.rows, trace.patches.cols
    assert cut.shape[:2] == (rows, cols)
    seen = (trace.framing.picture(photo) / 255 - trace.model.data.mean) / trace.model.data.std
    height, width = cut.shape[2:4]
    np.testing.assert_allclose(cut[1, 2], seen[height : 2 * height, 2 * width : 3 * width], atol=1e-5)
    embed = module.embeds.proj if "naflex" in name else module.patch_embed.proj
    weight = embed.weight.detach().numpy()
    given = cut if weight.ndim == 2 else cut.transpose(0, 1, 4, 2, 3)
    vectors = given.reshape(rows * cols, -1) @ weight.reshape(len(weight), -1).T + embed.bias.detach().numpy()
    if name.startswith("swin"):
        vectors = module.patch_embed.norm(torch.from_numpy(vectors)).detach().numpy()
    found = patches.embedding(trace)
    expected = np.linalg.norm(vectors, axis=1).reshape(rows, cols)
    np.testing.assert_allclose(found.norms, expected, rtol=1e-4)
    assert (found.dim, found.stem) == (len(weight), None)


def test_filters_are_the_covariances_directions_as_pictures() -> None:
    module = small("vit_tiny_patch16_224", **VIT)
    found = patches.filters(loaded(module), 5)
    weight = module.patch_embed.proj.weight.detach().double().numpy()
    values, vectors = np.linalg.eigh(np.cov(weight.reshape(48, -1).T))
    assert found.images.shape == (5, 16, 16, 3)
    assert (found.filters, found.whose) == (48, "patch embedding")
    for place in range(5):
        theirs = vectors[:, -1 - place].reshape(3, 16, 16).transpose(1, 2, 0)
        assert abs(float((theirs * found.images[place]).sum())) == pytest.approx(1, abs=1e-4)
        assert found.shares[place] == pytest.approx(values[-1 - place] / values.sum(), rel=1e-4)
    tiles = found.tiles()
    assert tiles.max() == 255  # the largest weight of each is positive
    assert tiles.dtype == np.uint8
    linear = small("naflexvit_base_patch16_gap", embed_dim=48, depth=1, num_heads=3, num_classes=4)
    with torch.no_grad():  # the same filters, in the order that a linear map keeps them
        flat = module.patch_embed.proj.weight.permute(0, 2, 3, 1).reshape(48, -1)
        linear.embeds.proj.weight.copy_(flat)
    np.testing.assert_allclose(patches.filters(loaded(linear), 5).images, found.images, atol=1e-4)


def test_a_hybrid_shows_its_stems_own_grid() -> None:
    module = small("vit_tiny_r_s16_p8_224", img_size=64, embed_dim=48, depth=1, num_heads=3, num_classes=4)
    trace = vitviz.trace(loaded(module), noise((64, 64)))
    found = patches.embedding(trace)
    with torch.no_grad():
        inputs = torch.from_numpy(trace.framing.apply(trace.photo))[None]
        features = module.patch_embed.backbone(inputs)
    features = features[-1] if isinstance(features, list | tuple) else features
    assert found.stem is not None
    assert found.stem.shape == tuple(features.shape[2:])
    np.testing.assert_allclose(found.stem, features[0].norm(dim=0), rtol=1e-5)
    assert patches.filters(trace.model, 4).whose == "stem"


def test_overlapping_patches_are_refused() -> None:
    module = small("pit_ti_224", img_size=64, num_classes=4)
    trace = vitviz.trace(loaded(module), noise((64, 64)))
    with pytest.raises(MethodError, match="separate patches"):
        patches.pictures(trace)
    assert vitviz.patches is patches
