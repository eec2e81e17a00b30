"""Every class-specific method equals its definition with dense matrices, unfused attention and autograd on stored N×N."""

import numpy as np
import pytest
import torch
from naive import (
    KINDS,
    TARGET,
    Matrix,
    Reference,
    composed,
    dense,
    grid,
    known,
    laid,
    lively,
    patches,
    pooled,
    prefixes,
    readout,
    reference,
    relative,
    row_sums,
    token_of,
)

import vitviz
from vitviz.attention.trace import Trace
from vitviz.errors import MethodError
from vitviz.explain.methods.class_gradients import gradients
from vitviz.images.photo import photo_from_array


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_stored_attention(kind: str) -> None:
    trace, expected = known(kind)
    found = gradients(trace, TARGET)
    assert relative(found.pixels, expected.pixels) <= 1e-4
    for layer, gradient in zip(trace.layers, expected.gradients, strict=True):
        assert relative(found.operation(layer), gradient) <= 1e-4
        window, row = divmod(int(gradient.abs().amax((1, 3)).argmax()), gradient.shape[2])
        part = gradient[window : window + 1, :, row : row + 1]
        assert relative(found.operation(layer, slice(row, row + 1), window), part) <= 1e-4


@pytest.mark.parametrize("kind", ["ViT", "Swin"])
def test_each_layer_has_its_own_gradient_and_not_that_of_its_mirror(kind: str) -> None:
    """Backward hooks fire last layer first; a list of them paired with the layers in order is reversed."""
    trace, expected = known(kind)
    found = gradients(trace, TARGET)
    alike = [
        layer for layer in trace.layers if layer.operations[0].shape == trace.layers[0].operations[0].shape
    ]
    assert len(alike) >= 2
    right = [relative(found.operation(layer), expected.gradients[i]) for i, layer in enumerate(alike)]
    mirrored = [
        relative(found.operation(layer), expected.gradients[len(alike) - 1 - i])
        for i, layer in enumerate(alike)
        if i != len(alike) - 1 - i
    ]
    assert max(right) <= 1e-4
    assert min(mirrored) > 0.3


def naive_relevance(trace: Trace, expected: Reference) -> Matrix:
    parts = [np.maximum(each, 0).mean(1) for each in expected.contributions()]
    tokens = composed(trace, lambda i, result: result + dense(trace, i, parts[i]) @ result)
    return parts[-1][0, 0] @ tokens if pooled(trace) else readout(trace, tokens)


def came_past(trace: Trace) -> Matrix:
    """The readout's row of the identity part of R, merged."""
    if pooled(trace):
        return np.zeros(prefixes(trace) + np.prod(grid(trace, 0)))
    return readout(trace, composed(trace, lambda _index, result: result))


@pytest.mark.parametrize("kind", KINDS)
def test_relevance(kind: str) -> None:
    trace, expected = known(kind)
    whole = naive_relevance(trace, expected)
    with_own = vitviz.explain(trace, "relevance", target=TARGET, own=True)
    assert relative(with_own.values, patches(trace, whole)) <= 1e-4
    map_ = vitviz.explain(trace, "relevance", target=TARGET)
    assert relative(map_.values, patches(trace, whole - came_past(trace))) <= 1e-4
    np.testing.assert_allclose(
        [map_.prefix[name] for name in trace.layers[0].layout.prefix],
        (whole - came_past(trace))[: len(trace.layers[0].layout.prefix)],
        atol=1e-4 * np.abs(whole).max(),
    )
    assert map_.values.dtype == np.float32
    if "padded" in kind:
        assert map_.leak > 0


@pytest.mark.parametrize(
    "kind", ["ViT", "distilled DeiT", "Swin, padded and non-square", "SwinV2, padded, three stages"]
)
def test_relevance_to_a_patch_and_through_some_layers(kind: str) -> None:
    trace, expected = known(kind)
    parts = [np.maximum(each, 0).mean(1) for each in expected.contributions()]
    whole = composed(trace, lambda i, result: result + dense(trace, i, parts[i]) @ result)
    token = token_of(trace, len(trace.layers) - 1, 2, 3)
    values = vitviz.explain(trace, "relevance", target=TARGET, query=(2, 3), own=True).values
    assert relative(values, patches(trace, whole[token])) <= 1e-4
    once = dense(trace, 0, parts[0])
    first = np.eye(len(once)) + once
    token = token_of(trace, 0, 2, 3)
    values = vitviz.explain(trace, "relevance", target=TARGET, query=(2, 3), layer=0, own=True).values
    assert relative(values, patches(trace, first[token])) <= 1e-4
    end = len(trace.layers) - 1
    values = vitviz.explain(trace, "relevance", target=TARGET, start=-1).values
    assert relative(values, patches(trace, readout(trace, dense(trace, end, parts[end])), end)) <= 1e-4


def naive_gradient_rollout(
    trace: Trace, expected: Reference, discard: float = 0.0, residual: float = 0.5, first: int = 0
) -> tuple[Matrix, Matrix]:
    """R of the last layer's tokens (the pool's layer left out), and the readout's row."""
    fused = [np.maximum(each.mean(1), 0) for each in expected.contributions()]
    for part in fused if discard else []:
        flat = part.reshape(-1)
        flat[np.argsort(flat, kind="stable")[: int(discard * flat.size)]] = 0

    def step(index: int, result: Matrix) -> Matrix:
        sums = (1 - residual) * row_sums(trace, index, fused[index]) + residual
        both = (1 - residual) * dense(trace, index, fused[index]) + residual * np.eye(len(result))
        return both / sums[:, None] @ result

    tokens = composed(trace, step, first)
    pool = fused[-1][0, 0]
    return tokens, pool / pool.sum() @ tokens if pooled(trace) else readout(trace, tokens)


@pytest.mark.parametrize("discard", [0.0, 0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_rollout(kind: str, discard: float) -> None:
    trace, expected = known(kind)
    _, row = naive_gradient_rollout(trace, expected, discard)
    map_ = vitviz.explain(trace, "gradient_rollout", target=TARGET, discard=discard)
    assert relative(map_.values, patches(trace, row)) <= 1e-4
    assert map_.total + sum(map_.prefix.values()) + map_.leak == pytest.approx(1, abs=1e-5)
    if "padded" in kind and not discard:
        assert map_.leak > 0
        whole = vitviz.explain(trace, "gradient_rollout", target=TARGET, renormalise=True)
        assert relative(whole.values, patches(trace, row / row.sum())) <= 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_rollout_of_a_patch_with_another_residual_share_down_to_the_second_layer(kind: str) -> None:
    trace, expected = known(kind)
    tokens, row = naive_gradient_rollout(trace, expected, residual=0.1, first=1)
    options = {"target": TARGET, "residual": 0.1, "start": 1}
    map_ = vitviz.explain(trace, "gradient_rollout", **options)
    assert relative(map_.values, patches(trace, row, 1)) <= 1e-4
    one = vitviz.explain(trace, "gradient_rollout", query=(2, 3), **options)
    token = token_of(trace, len(trace.layers) - 1, 2, 3)
    assert relative(one.values, patches(trace, tokens[token], 1)) <= 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_times_attention_in_every_layer_head_and_direction(kind: str) -> None:
    trace, expected = known(kind)
    for index, layer in enumerate(trace.layers):
        by_head = np.maximum(expected.contributions()[index], 0)
        for head in (None, layer.heads - 1):
            chosen = by_head.mean(1) if head is None else by_head[:, head]
            options = {"target": TARGET, "layer": index, "head": head}
            if layer.pooling:
                row = vitviz.explain(trace, "gradient_attention", **options)
                scale = np.abs(
                    expected.contributions()[index]
                ).max()  # all weights of a head may lower a class
                np.testing.assert_allclose(row.values, patches(trace, chosen[0, 0], index), atol=1e-4 * scale)
                continue
            tokens = dense(trace, index, chosen)
            token = token_of(trace, index, 1, 2)
            for direction, matrix in (("to", tokens), ("by", tokens.T)):
                options["direction"] = direction
                one = vitviz.explain(trace, "gradient_attention", query=(1, 2), **options)
                read = vitviz.explain(trace, "gradient_attention", **options)
                scale = np.abs(tokens).max()
                np.testing.assert_allclose(
                    one.values, patches(trace, matrix[token], index), atol=1e-4 * scale
                )
                if not pooled(trace):
                    row = patches(trace, readout(trace, matrix), index)
                    np.testing.assert_allclose(read.values, row, atol=1e-4 * np.abs(row).max() + 1e-12)
            if "padded" in kind and index == 0:
                to = vitviz.explain(trace, "gradient_attention", **(options | {"direction": "to"}))
                missing = row_sums(trace, index, chosen).mean() - tokens.sum(1).mean()
                assert to.leak == pytest.approx(missing, rel=1e-3)
                assert to.leak > 0


@pytest.mark.parametrize("kind", KINDS)
def test_gradcam(kind: str) -> None:
    trace, expected = known(kind)
    for index in range(len(trace.layers)):
        z, gradient = (laid(trace, index, part.numpy()) for part in expected.inputs[index])
        weights = gradient[prefixes(trace) :].mean(0)
        signed = (z * weights).sum(-1)
        map_ = vitviz.explain(trace, "gradcam", target=TARGET, layer=index)
        difference = map_.values - patches(trace, np.maximum(signed, 0), index)
        assert np.abs(difference).max() <= 1e-4 * np.abs(signed).max()  # all of a map may be 0
        assert np.abs(signed).max() > 0
    np.testing.assert_array_equal(vitviz.explain(trace, "gradcam", target=TARGET).values, map_.values)


@pytest.mark.parametrize("kind", KINDS)
def test_input_gradient_per_pixel_and_per_patch(kind: str) -> None:
    trace, expected = known(kind)
    rows, cols = grid(trace, 0)
    size = expected.pixels.shape[1] // rows
    for times_input in (False, True):
        given = trace.framing.apply(trace.photo)
        signed = expected.pixels * given if times_input else np.abs(expected.pixels)
        pixels = signed.sum(0)
        map_ = vitviz.explain(trace, "input_gradient", target=TARGET, times_input=times_input)
        assert relative(map_.pixels, pixels) <= 1e-4
        cells = [
            [pixels[r * size : (r + 1) * size, c * size : (c + 1) * size].sum() for c in range(cols)]
            for r in range(rows)
        ]
        assert relative(map_.values, cells) <= 1e-4


@pytest.mark.parametrize(
    "method", ["relevance", "gradient_rollout", "gradcam", "input_gradient", "gradient_attention"]
)
def test_every_class_has_its_own_map_and_the_top_one_is_the_default(method: str) -> None:
    trace, _ = known("ViT")
    maps = [vitviz.explain(trace, method, target=target) for target in range(3)]
    assert relative(maps[0].values, maps[1].values) > 0.05
    top = int(trace.logits.argmax())
    default = vitviz.explain(trace, method)
    assert default.options["target"] == top
    assert f"class {top}" in default.title
    np.testing.assert_array_equal(default.values, vitviz.explain(trace, method, target=top).values)


def test_talking_heads_and_class_attention_are_exact_too() -> None:
    """CaiT: what is multiplied with the values is the mix of heads, signed; the last layers have one query."""
    pixels = np.random.default_rng(7).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    module = lively("cait_xxs24_224", img_size=64, depth=1, num_classes=5)
    with torch.no_grad():  # trained weights mix heads with both signs
        module.get_parameter("blocks.0.attn.proj_w.bias")[0].neg_()
    model = vitviz.load_model(module, device="cpu")
    trace = vitviz.trace(model, photo_from_array(pixels, "noise"))
    expected = reference(trace, TARGET)
    found = gradients(trace, TARGET)
    for layer, gradient in zip(trace.layers, expected.gradients, strict=True):
        assert relative(found.operation(layer), gradient) <= 1e-4
    row = None
    count = 17
    for part in reversed([np.maximum(each, 0).mean(1)[0] for each in expected.contributions()]):
        row = np.eye(count)[0] if row is None else row
        alone = part.shape[0] == 1  # class attention: only the class token's row changes
        row = row + row[0] * part[0] if alone else np.concatenate([row[:1], row[1:] + row[1:] @ part])
    map_ = vitviz.explain(trace, "relevance", target=TARGET)
    assert relative(map_.values.reshape(-1), row[1:]) <= 1e-4
    assert map_.prefix["class"] == pytest.approx(
        row[0] - 1, rel=1e-3
    )  # of R − I, though the token joins late
    with_own = vitviz.explain(trace, "relevance", target=TARGET, own=True)
    assert with_own.prefix["class"] == pytest.approx(row[0], rel=1e-5)
    assert vitviz.methods(trace)["relevance"] is None


@pytest.mark.parametrize(
    ("method", "options", "sentence"),
    [
        ("relevance", {"target": 10}, "10 classes, numbered from 0; there is no class 10"),
        ("relevance", {"target": -1}, "there is no class -1"),
        ("relevance", {"head": 1}, "relevance takes no option head"),
        (
            "relevance",
            {"start": 2, "layer": 0},
            r"start is blocks\.2\.attn, which comes after blocks\.0\.attn",
        ),
        ("gradcam", {"layer": 7}, "3 layers, numbered from 0"),
        ("gradcam", {"target": True}, "there is no class True"),
        ("relevance", {"own": "no"}, "own is True or False; not 'no'"),
        ("gradient_attention", {"head": 3}, "3 heads, numbered from 0; there is no head 3"),
        ("gradient_attention", {"direction": "up"}, "direction is one of to, by"),
        ("gradient_rollout", {"residual": 1.0}, "residual is a share from 0 up to, not including, 1"),
        ("input_gradient", {"layer": 1}, "takes no option layer; it takes: target, times_input"),
    ],
)
def test_wrong_options_are_told(method: str, options: dict[str, object], sentence: str) -> None:
    trace, _ = known("ViT")
    with pytest.raises(MethodError, match=sentence):
        vitviz.explain(trace, method, **options)


def test_numpys_numbers_will_do() -> None:
    """NumPy's integers, as argmax gives them."""
    trace, _ = known("ViT")
    options = {"target": 4, "layer": 1, "head": 2, "query": (1, 2), "direction": "to"}
    wanted = vitviz.explain(trace, "gradient_attention", **options)
    of_numpy = options | {name: np.int64(options[name]) for name in ("target", "layer", "head")}
    given = vitviz.explain(trace, "gradient_attention", **(of_numpy | {"query": (np.int32(1), np.int64(2))}))
    np.testing.assert_array_equal(given.values, wanted.values)
    assert given.title == wanted.title
    assert given.options == wanted.options
    assert {type(value) for value in given.options.values()} <= {int, str, tuple}
    rolled = vitviz.explain(trace, "rollout", discard=np.float32(0.5), query=(0, 1))
    np.testing.assert_array_equal(
        rolled.values, vitviz.explain(trace, "rollout", discard=0.5, query=(0, 1)).values
    )
