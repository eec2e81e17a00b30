"""Transposed copies of queries and keys give the same rows and columns as before."""

import numpy as np
import pytest
import timm
import torch

from vitviz.attention.trace import trace
from vitviz.images.photo import photo_from_array
from vitviz.models.loading import load_model

SMALL = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 48, "num_heads": 3, "num_classes": 4}


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "beit_base_patch16_224", "deit3_small_patch16_224"])
def test_rows_and_columns_stay_what_they_are(name):
    torch.manual_seed(0)
    module = timm.create_model(name, **SMALL)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    seen = trace(load_model(module, device="cpu"), photo_from_array(noise, "noise"))
    for layer in seen.layers:
        before = [(layer.row(token), layer.column(token)) for token in range(layer.layout.tokens)]
        whole = layer.attention()
        kept = layer.bytes
        layer.turn()
        for token, (row, column) in enumerate(before):
            np.testing.assert_allclose(layer.row(token), row, rtol=1e-5, atol=1e-8)
            np.testing.assert_allclose(layer.column(token), column, rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(layer.attention(), whole, rtol=1e-5, atol=1e-8)
        assert layer.bytes == kept
