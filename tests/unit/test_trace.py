"""A trace as a whole: sizes, framings, position tables, predictions, cancelling, the attention method's options."""

import numpy as np
import pytest
import torch
from small_models import VIT, small
from timm.layers import resample_abs_pos_embed

import vitviz
from vitviz.attention.recording.recorder import Cancelled
from vitviz.errors import DeviceMemoryError, MethodError
from vitviz.explain.query import head_maps
from vitviz.images.photo import Photo


def model(name: str = "vit_tiny_patch16_224", **options: object) -> vitviz.Model:
    size = options.pop("image_size", None)
    return vitviz.load_model(small(name, **(VIT | options)), device="cpu", image_size=size)


def test_logits_and_predictions_are_the_models_own(photo: Photo) -> None:
    loaded = model()
    trace = vitviz.trace(loaded, photo)
    with torch.no_grad():
        own = loaded.module(torch.from_numpy(trace.framing.apply(photo))[None])[0]
    assert trace.logits.dtype == np.float32
    np.testing.assert_array_equal(trace.logits, own.numpy())
    probabilities = own.softmax(0).numpy()
    best = trace.predictions(top=3)
    assert [p.index for p in best] == np.argsort(-probabilities)[:3].tolist()
    assert [p.label for p in best] == [f"class {p.index}" for p in best]
    np.testing.assert_allclose([p.probability for p in best], np.sort(probabilities)[::-1][:3], rtol=1e-5)
    with pytest.raises(MethodError, match="no head 'class'; it has: both"):
        trace.predictions(head="class")


def test_a_model_without_a_classifier_predicts_nothing(photo: Photo) -> None:
    trace = vitviz.trace(model(num_classes=0), photo)
    assert trace.predictions() == []
    assert vitviz.explain(trace, "rollout").total > 0


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "eva02_tiny_patch14_224"]
)
def test_a_larger_and_non_square_input_interpolates_the_position_table(photo: Photo, name: str) -> None:
    plain = model(name)
    trace = vitviz.trace(model(name, image_size=(96, 160)), photo, check=True)
    assert trace.check.exact
    assert (trace.patches.rows, trace.patches.cols) == (6, 10)
    position = trace.position_embedding
    assert position.stored_grid == (4, 4)
    assert position.used_grid == (6, 10)
    stored = plain.module.pos_embed.detach()
    prefix = position.prefix
    expected = resample_abs_pos_embed(stored, [6, 10], [4, 4], num_prefix_tokens=prefix)[0]
    np.testing.assert_allclose(position.stored, stored[0].numpy())
    np.testing.assert_allclose(position.used, expected.numpy(), atol=1e-6)
    assert position.used.shape == (prefix + 60, 48)
    assert "interpolated from 4×4 to 6×10" in position.sentence


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("vit_tiny_patch16_224", ("table",)),
        ("eva02_tiny_patch14_224", ("table", "rotary")),
        ("beit_base_patch16_224", ("relative bias",)),
        ("vit_relpos_small_patch16_224", ("relative bias",)),
        ("vit_base_patch16_rope_224", ("rotary",)),
    ],
)
def test_every_kind_of_position_information_is_named(photo: Photo, name: str, kinds: tuple[str, ...]) -> None:
    position = vitviz.trace(model(name), photo).position_embedding
    assert position.kinds == kinds
    assert (position.used is not None) == ("table" in kinds)


def test_framings_change_what_the_model_sees(photo: Photo) -> None:
    loaded = model()
    crop, squash, fit = (vitviz.trace(loaded, photo, framing=mode) for mode in ("crop", "squash", "fit"))
    assert crop.framing.seen()[0] > 0  # a landscape photo loses its sides
    assert squash.framing.seen() == (0, 0, 120, 90)
    assert (squash.patches.rows, squash.patches.cols) == (4, 4)
    assert fit.framing.seen() == (0, 0, 120, 90)
    assert fit.patches.cols > fit.patches.rows
    assert loaded.input_size == (64, 64)  # the model given is not changed
    for trace in (crop, squash, fit):
        heatmap = vitviz.explain(trace, "rollout")
        assert heatmap.values.shape == (trace.patches.rows, trace.patches.cols)
        assert heatmap.overlay().size == (120, 90)


def test_a_trace_stops_when_it_is_no_longer_wanted(photo: Photo) -> None:
    loaded = model()
    vitviz.trace(loaded, photo)
    asked = []

    def cancel() -> bool:
        asked.append(1)
        return len(asked) == 2

    with pytest.raises(Cancelled):
        vitviz.trace(loaded, photo, cancel=cancel)
    assert len(asked) == 2
    told = []
    vitviz.trace(loaded, photo, progress=lambda what, _share: told.append(what))
    assert any("blocks.2.attn" in what for what in told)


def test_running_out_of_memory_is_a_sentence(photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = model()

    def full(_inputs: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.67 GiB")

    monkeypatch.setattr(loaded.module, "forward", full)
    with pytest.raises(DeviceMemoryError, match="memory") as caught:
        vitviz.trace(loaded, photo)
    assert "9.67 GiB" in caught.value.details
    monkeypatch.undo()
    assert vitviz.trace(loaded, photo).logits.size == 10  # the program can go on


def test_attention_options(photo: Photo) -> None:
    trace = vitviz.trace(model(), photo)
    layer = trace.layers[1]
    full = layer.attention()
    cases = [
        (1, None, "mean", None, "to", full.mean(0)[0]),
        (1, 2, "mean", (1, 3), "to", full[2, 1 + 7]),
        ("blocks.1.attn", None, "max", "class", "by", full[:, :, 0].max(0)),
        (1, None, "min", (0, 0), "by", full[:, :, 1].min(0)),
        (1, 0, "mean", ((0, 0), (3, 3)), "to", (full[0, 1] + full[0, 16]) / 2),
    ]
    for which, head, fusion, query, direction, expected in cases:
        heatmap = vitviz.explain(
            trace, "attention", layer=which, head=head, fusion=fusion, query=query, direction=direction
        )
        np.testing.assert_allclose(heatmap.values.reshape(-1), expected[1:], atol=1e-6)
        assert heatmap.prefix["class"] == pytest.approx(expected[0], abs=1e-6)
        assert "blocks.1.attn" in heatmap.title
    for options, sentence in (
        ({"head": 3}, "3 heads, numbered from 0; there is no head 3"),
        ({"direction": "from"}, "direction is one of to, by"),
        ({"layer": "blocks.9.attn"}, "no layer 'blocks.9.attn'; its layers run from blocks.0.attn"),
    ):
        with pytest.raises(MethodError, match=sentence):
            vitviz.explain(trace, "attention", **options)


@pytest.mark.parametrize("direction", ["to", "by"])
@pytest.mark.parametrize("query", [None, (2, 1), "class", ((0, 0), (1, 1))])
def test_head_maps_are_the_attention_of_every_head(photo: Photo, query: object, direction: str) -> None:
    trace = vitviz.trace(model(), photo)
    maps = head_maps(trace, query, direction)
    assert [m.shape for m in maps] == [(3, 4, 4)] * 3
    for number, of_layer in enumerate(maps):
        for head in range(3):
            one = vitviz.explain(
                trace, "attention", layer=number, head=head, query=query, direction=direction
            )
            np.testing.assert_allclose(of_layer[head], one.values, atol=1e-7)


def test_readouts_of_many_tokens_are_means_of_rows_and_columns(photo: Photo) -> None:
    trace = vitviz.trace(model("vit_medium_patch16_reg4_gap_256"), photo)
    full = trace.layers[0].attention()
    to = vitviz.explain(trace, "attention", layer=0, head=1).values
    by = vitviz.explain(trace, "attention", layer=0, head=1, direction="by").values
    np.testing.assert_allclose(to.reshape(-1), full[1, 4:].mean(0)[4:], atol=1e-6)
    np.testing.assert_allclose(by.reshape(-1), full[1, :, 4:].mean(1)[4:], atol=1e-6)


def test_heads_that_do_not_attend_are_empty(photo: Photo) -> None:
    trace = vitviz.trace(
        vitviz.load_model(small("cait_xxs24_224", img_size=64, depth=1), device="cpu"), photo
    )
    patches, last = head_maps(trace, (0, 0))[0], head_maps(trace, (0, 0))[-1]
    assert np.isfinite(patches).all()
    assert np.isnan(last).all()
    with pytest.raises(MethodError, match="only class attends, not patch"):
        vitviz.explain(trace, "attention", layer=-1, query=(0, 0))
    with pytest.raises(MethodError, match="there is no class token yet"):
        vitviz.explain(trace, "attention", layer=0, query="class")


def test_a_heatmap_is_saved_with_its_numbers(photo: Photo, tmp_path: object) -> None:
    from PIL import Image

    trace = vitviz.trace(model(), photo)
    heatmap = vitviz.explain(trace, "rollout")
    heatmap.save(tmp_path / "map.png", legend=True)
    heatmap.save(tmp_path / "plain.png")
    heatmap.save_raw(tmp_path / "map.npz")
    with Image.open(tmp_path / "plain.png") as image:
        assert image.size == (120, 90)
        assert image.text["Method"] == "rollout"
        assert image.text["Title"] == heatmap.title
        assert "share of attention" in image.text["Scale"]
    with Image.open(tmp_path / "map.png") as image:
        assert image.height > 90
    with np.load(tmp_path / "map.npz") as raw:
        np.testing.assert_array_equal(raw["values"], heatmap.values)
        np.testing.assert_allclose(raw["polygons"][2, 1], trace.framing.polygon(trace.patches, 2, 1))
        assert raw["prefix_names"].tolist() == ["class"]
        assert raw["prefix_weights"][0] == pytest.approx(heatmap.prefix["class"])


def test_every_model_is_checked_once_at_each_input_size(
    photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vitviz.attention import trace as module

    checked = []
    real = module.check_layers
    monkeypatch.setattr(
        module, "check_layers", lambda *what: checked.append(what[1].shape[-2:]) or real(*what)
    )
    loaded = model()
    for framing in ("crop", "fit", "crop", "fit", "squash"):
        assert vitviz.trace(loaded, photo, framing=framing).check.exact
    assert len(checked) == 2
    assert tuple(checked[0]) == (64, 64)


def test_an_inexact_model_is_refused(photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    from vitviz.attention.recording import recorder
    from vitviz.errors import RefusedError

    loaded = model()
    right = recorder.Recording.add_fused

    def wrong(self: object, module: str, output: object, args: object, kwargs: dict[str, object]) -> None:
        right(self, module, output, args, kwargs | {"scale": 0.9})

    monkeypatch.setattr(recorder.Recording, "add_fused", wrong)
    for _ in range(2):
        with pytest.raises(
            RefusedError, match="cannot be shown: its recomputed attention is NOT exact, worst error"
        ):
            vitviz.trace(loaded, photo)
    assert not vitviz.trace(loaded, photo, refuse=False).check.exact


def test_a_table_that_was_not_resized_is_its_own(photo: Photo) -> None:
    position = vitviz.trace(model(img_size=(32, 96)), photo).position_embedding
    assert position.stored_grid == position.used_grid == (2, 6)
    assert "interpolated" not in position.sentence
    resized = vitviz.trace(model(img_size=(32, 96), image_size=(64, 64)), photo).position_embedding
    assert (resized.stored_grid, resized.used_grid) == ((2, 6), (4, 4))


def test_what_stands_for_a_readout_that_is_not_there_yet_is_said(photo: Photo) -> None:
    cait = vitviz.trace(vitviz.load_model(small("cait_xxs24_224", img_size=64, depth=1), device="cpu"), photo)
    first = vitviz.explain(cait, "attention", layer=0).title
    assert (
        first
        == "What the mean of the patches (the class token joins later) attends to in blocks.0.attn, the mean of 4 heads"
    )
    assert "the class token attends" in vitviz.explain(cait, "attention").title
    siglip = vitviz.trace(model("vit_base_patch16_siglip_224"), photo)
    assert "(the attention pool reads them later)" in vitviz.explain(siglip, "rollout", layer=0).title
    assert (
        vitviz.explain(siglip, "rollout").title
        == "Rollout of the attention pool through 4 layers, mean of heads"
    )
    assert "patch (1, 1) through 3 layers" in vitviz.explain(siglip, "rollout", query=(1, 1)).title
    assert "through 1 layer, " in vitviz.explain(siglip, "rollout", layer=0).title
    with pytest.raises(MethodError, match="nothing attends to it"):
        vitviz.explain(siglip, "attention", direction="by")


def test_unpooled_outputs_are_refused(photo: Photo) -> None:
    from vitviz.errors import RefusedError

    loaded = vitviz.load_model(small("vit_tiny_patch16_224", **VIT, global_pool=""), device="cpu")
    with pytest.raises(RefusedError, match="gives 17×10 numbers for one photo"):
        vitviz.trace(loaded, photo)


@pytest.mark.parametrize(
    "options",
    [
        {"query": (1, 2, 3)},
        {"query": ()},
        {"query": 5},
        {"query": (1.5, 2)},
        {"query": [(0, 0)]},
        {"head": "0"},
        {"head": True},
        {"layer": None},
        {"layer": 1.5},
    ],
)
def test_options_of_the_wrong_kind_are_method_errors(photo: Photo, options: dict[str, object]) -> None:
    trace = vitviz.trace(model(), photo)
    with pytest.raises(MethodError):
        vitviz.explain(trace, "attention", **options)
    if "head" not in options:
        with pytest.raises(MethodError):
            vitviz.explain(trace, "rollout", **options)


def test_running_out_of_memory_in_a_method_is_a_sentence(
    photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vitviz.attention.layer import Layer

    trace = vitviz.trace(model(), photo)

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Layer, "weights", full)
    for ask in (lambda: vitviz.explain(trace, "rollout"), lambda: head_maps(trace, (0, 0))):
        with pytest.raises(DeviceMemoryError):
            ask()
