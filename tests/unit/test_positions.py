"""Tables of positions against direct cosines and timm's interpolation."""

from typing import Any

import numpy as np
import pytest
import torch
from small_models import VIT, small
from timm.layers import resample_abs_pos_embed

import vitviz
from vitviz.attention.model_check import noise
from vitviz.attention.trace import Trace
from vitviz.explain.internals import positions


def deit() -> Trace:
    module = small("deit_tiny_distilled_patch16_224", **VIT)
    with torch.no_grad():
        module.pos_embed.normal_()
    model = vitviz.load_model(module, device="cpu")
    return vitviz.trace(model, noise((90, 60)), framing="fit")


def test_similarity_norm_and_prefix_are_direct_cosines_of_the_table() -> None:
    trace = deit()
    stored = trace.model.stored_position[0].numpy().astype(np.float64)
    ours = positions.similarity(trace, stored=True)
    prefix = positions.prefix_similarity(trace, stored=True)
    assert ours.shape == (4, 4, 4, 4)
    assert prefix.names == ("class", "distillation")

    def cosine(one: np.ndarray, other: np.ndarray) -> float:
        return float(one @ other / np.sqrt((one @ one) * (other @ other)))

    for i in range(16):
        for j in range(16):
            expected = cosine(stored[2 + i], stored[2 + j])
            assert ours[i // 4, i % 4, j // 4, j % 4] == pytest.approx(expected, abs=1e-6)
        assert positions.norm(trace, stored=True)[i // 4, i % 4] == pytest.approx(
            np.sqrt((stored[2 + i] ** 2).sum()), rel=1e-6
        )
        assert prefix.patches[1, i // 4, i % 4] == pytest.approx(cosine(stored[1], stored[2 + i]), abs=1e-6)
    assert prefix.each_other[0, 1] == pytest.approx(cosine(stored[0], stored[1]), abs=1e-6)


def test_the_table_in_use_is_timms_interpolation_of_the_stored_one() -> None:
    trace = deit()
    grid = (trace.patches.rows, trace.patches.cols)
    assert grid != (4, 4)
    used = resample_abs_pos_embed(
        trace.model.stored_position, list(grid), [4, 4], num_prefix_tokens=2, verbose=False
    )[0].numpy()
    prefix, patches = positions.table(trace)
    np.testing.assert_allclose(prefix, used[:2], atol=1e-6)
    np.testing.assert_allclose(patches.reshape(-1, 48), used[2:], atol=1e-6)
    assert positions.similarity(trace).shape == (*grid, *grid)
    changed = positions.change(trace)
    assert (changed.stored_grid, changed.used_grid) == ((4, 4), grid)
    assert f"from 4×4 to {grid[0]}×{grid[1]}" in changed.sentence
    assert changed.norms[1] < changed.norms[0]  # interpolating random rows averages them
    assert changed.nearest.max() < 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("naflexvit_base_patch16_gap", "table"),
        ("naflexvit_base_patch16_par_gap", "table"),
        ("naflexvit_base_patch16_parfac_gap", "factorised table"),
    ],
)
def test_the_table_of_a_naflex_is_what_it_adds_to_its_patches(name: str, kind: str) -> None:
    module: Any = small(name, embed_dim=48, depth=1, num_heads=3, num_classes=4)
    trace = vitviz.trace(vitviz.load_model(module, device="cpu", image_size=(96, 64)), noise((96, 64)))
    assert trace.position_embedding.kinds == (kind,)
    assert "interpolated from 16×16 to 6×4" in positions.change(trace).sentence
    used = positions.table(trace)[1].copy()
    inputs = torch.from_numpy(trace.framing.apply(trace.photo))[None]
    tables = [p for key, p in module.embeds.named_parameters() if "pos_embed" in key]
    with torch.no_grad():
        after = module.embeds(inputs)
        after = after[0] if isinstance(after, tuple) else after
        for parameter in tables:
            parameter.mul_(0)  # what is left has no positions
        before = module.embeds(inputs)
        before = before[0] if isinstance(before, tuple) else before
    added = (after - before)[0, module.embeds.num_prefix_tokens :].numpy()
    assert used.shape == (trace.patches.rows, trace.patches.cols, 48)
    np.testing.assert_allclose(used.reshape(-1, 48), added, atol=1e-5)


def test_components_are_those_of_the_covariance_and_unchanged_where_the_table_is() -> None:
    trace = vitviz.trace(
        vitviz.load_model(small("vit_tiny_patch16_224", **VIT), device="cpu"), noise((64, 64))
    )
    found = positions.components(trace)
    rows = positions.table(trace)[1].reshape(16, -1).astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    assert found.shares == pytest.approx(tuple(values[::-1][:3] / values.sum()), rel=1e-4)
    projected = rows @ vectors[:, -1]
    for sign in (projected, -projected):
        unit = (sign - sign.min()) / np.ptp(sign)
        if np.allclose(found.colors[..., 0].reshape(-1), unit, atol=1e-4):
            break
    else:
        raise AssertionError("red is not the first component")
    np.testing.assert_array_equal(positions.components(trace, stored=True).colors, found.colors)
    assert positions.change(trace).nearest.min() == pytest.approx(1)
