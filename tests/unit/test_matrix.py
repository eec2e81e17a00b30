"""The matrix of one head against the whole attention, and what prefix tokens receive and give."""

import numpy as np
import pytest
from small_models import VIT, small

from vitviz.attention.trace import trace
from vitviz.errors import MethodError
from vitviz.explain.internals import matrix as of_matrix
from vitviz.explain.internals.matrix import matrix, one_head, prefix_shares
from vitviz.images.photo import photo_from_array
from vitviz.models.loading import load_model

PHOTO = photo_from_array(np.random.default_rng(0).integers(0, 256, (80, 96, 3), dtype=np.uint8), "noise")
MODELS = {
    "vit": ("vit_tiny_patch16_224", VIT),
    "registers": ("vit_small_patch16_dinov3", {**VIT, "num_heads": 3}),
    "bias": ("beit_base_patch16_224", VIT),
    "class attention": (
        "cait_xxs24_224",
        {"img_size": 64, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 5},
    ),
    "pool": ("vit_base_patch16_siglip_224", VIT),
}


@pytest.fixture(scope="module", params=MODELS)
def traced(request):
    name, options = MODELS[request.param]
    return trace(load_model(small(name, **options), device="cpu"), PHOTO)


def test_one_head_is_that_head_of_all(traced):
    for layer in traced.layers:
        whole = layer.attention()
        for head in range(layer.heads):
            np.testing.assert_allclose(matrix(layer, head), whole[head], rtol=1e-5, atol=1e-7)
            assert one_head(layer, head).heads == 1
        np.testing.assert_allclose(matrix(layer, None, "max"), whole.max(0), rtol=1e-6)
        np.testing.assert_allclose(matrix(layer), whole.mean(0), rtol=1e-5, atol=1e-8)


def test_in_groups_of_rows_it_is_the_same(traced, monkeypatch):
    layer = traced.layers[0]
    whole = matrix(layer, 1)
    monkeypatch.setattr("vitviz.attention.layer.CHUNK_ENTRIES", 3 * whole.shape[1])
    np.testing.assert_allclose(matrix(layer, 1), whole, rtol=1e-6, atol=1e-8)
    assert matrix(layer, 1, stop=lambda: True).shape == (0, whole.shape[1])


def test_prefix_tokens_keep_the_books(traced):
    for layer in traced.layers:
        values = matrix(layer, 0)
        found = prefix_shares(layer, values)
        assert [share.name for share in found] == list(layer.layout.prefix)
        attending = [-1] if layer.pooling else list(layer.queries or range(layer.layout.tokens))
        for token, share in enumerate(found):
            assert share.received == pytest.approx(values[:, token].mean(), rel=1e-5)
            if token not in attending:
                assert share.kept is None
                continue
            row = values[attending.index(token)]
            assert share.kept == pytest.approx(row[token], rel=1e-6)
            assert share.kept + share.to_patches + share.to_prefix == pytest.approx(row.sum(), rel=1e-5)
            assert share.to_patches == pytest.approx(row[len(found) :].sum(), rel=1e-5)


def test_a_window_is_its_own_matrix():
    options = {"img_size": 64, "window_size": 4, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
    traced = trace(load_model(small("swin_tiny_patch4_window7_224", **options), device="cpu"), PHOTO)
    layer = traced.layers[1]
    for window in (0, 7, 15):
        np.testing.assert_allclose(
            matrix(layer, 1, window=window), layer.attention()[window, 1], rtol=1e-6, atol=1e-9
        )
    assert prefix_shares(layer, matrix(layer, 1)) == []
    with pytest.raises(MethodError, match="16 windows"):
        matrix(layer, 0, window=16)


def test_what_is_not_there_or_too_large_is_refused_in_a_sentence(traced, monkeypatch):
    with pytest.raises(MethodError, match="numbered from 0"):
        matrix(traced.layers[0], 99)
    with pytest.raises(MethodError, match="fusion is one of"):
        matrix(traced.layers[0], None, "sum")
    monkeypatch.setattr(of_matrix, "MOST_BYTES", 10)
    with pytest.raises(MethodError, match="more than can be shown"):
        matrix(traced.layers[0], 0)
