"""Statistics: equal to loops over every pair of tokens, and to known values of uniform and of identity attention."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_models import VIT, small

import vitviz
from vitviz.attention.layer import Layer
from vitviz.attention.recording.recorder import Cancelled
from vitviz.batch.statistics import over_photos
from vitviz.errors import ExportError, PhotoError
from vitviz.explain.measures import statistics as module
from vitviz.explain.measures.statistics import LayerStatistics
from vitviz.images.photo import Photo

SWIN = {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4), "num_classes": 5, "window_size": 4}
KINDS = {
    "ViT, non-square": ("vit_tiny_patch16_224", VIT | {"img_size": (48, 80)}),
    "registers": ("vit_small_patch14_reg4_dinov2", VIT),
    "distilled": ("deit_tiny_distilled_patch16_224", VIT),
    "relative bias, no prefix": ("vit_relpos_small_patch16_224", VIT),
    "Swin, shifted": ("swin_tiny_patch4_window7_224", SWIN | {"img_size": 32}),
    "Swin, shifted and padded": ("swin_tiny_patch4_window7_224", SWIN | {"img_size": (36, 28)}),
    "SwinV2": ("swinv2_tiny_window8_256", SWIN | {"img_size": 32}),
}


def traced(kind: str, photo: Photo) -> vitviz.Trace:
    name, options = KINDS[kind]
    return vitviz.trace(vitviz.load_model(small(name, **options), device="cpu"), photo)


def pixels(layer: Layer, token: int) -> tuple[float, float]:
    """The centre of a patch in input pixels."""
    place = layer.layout.place(token)
    assert place is not None
    grid = layer.layout.patches
    return (
        grid.origin[0] + (place[0] + 0.5) * grid.cell[0],
        grid.origin[1] + (place[1] + 0.5) * grid.cell[1],
    )


def naive(layer: Layer) -> dict[str, np.ndarray]:
    """Every number by loops over queries and keys."""
    prefix = len(layer.layout.prefix)
    windows = layer.layout.windows
    attention = layer.attention().astype(np.float64)
    found = {
        name: [] for name in ("distance", "unnormalised", "entropy", "prefix", "padding", "even", "share")
    }
    rows_of: list[list[np.ndarray]] = []
    for head in range(layer.heads):
        sums = {name: [] for name in found}
        rows_of.append([])
        for query in range(prefix, layer.layout.tokens):
            if windows is None:
                row, keys = attention[head, query], list(range(layer.layout.tokens))
                seen = keys
            else:
                window, slot = windows.slot(query)
                row, keys = attention[window, head, slot], windows.index[window].tolist()
                region = windows.regions[window]
                seen = [key for key, other in zip(keys, region, strict=True) if other == region[slot]]
            here = pixels(layer, query)
            moved = mass = on_padding = entropy = 0.0
            on_prefix = np.zeros(prefix)
            for weight, key in zip(row, keys, strict=True):
                if weight > 0:
                    entropy -= weight * math.log(weight)
                if key < 0:
                    on_padding += weight
                elif key < prefix:
                    on_prefix[key] += weight
                else:
                    moved += weight * math.dist(here, pixels(layer, key))
                    mass += weight
            sums["distance"].append(moved / mass)
            sums["unnormalised"].append(moved)
            if len(seen) > 1:
                sums["entropy"].append(entropy / math.log(len(seen)))
            sums["prefix"].append(on_prefix)
            sums["padding"].append(on_padding)
            sums["even"].append(
                np.mean([math.dist(here, pixels(layer, key)) for key in seen if key >= prefix])
            )
            sums["share"].append(1 / len(seen))
            rows_of[-1].append(row / np.linalg.norm(row))
        for name, values in sums.items():
            found[name].append(np.mean(values, axis=0))
    cosine = [
        [np.mean([a @ b for a, b in zip(one, other, strict=True)]) for other in rows_of] for one in rows_of
    ]
    return {name: np.array(values) for name, values in found.items()} | {"cosine": np.array(cosine)}


def assert_equal(found: LayerStatistics, expected: dict[str, np.ndarray]) -> None:
    far = expected["distance"].max()
    np.testing.assert_allclose(found.distance, expected["distance"], atol=1e-5 * far)
    np.testing.assert_allclose(found.distance_unnormalised, expected["unnormalised"], atol=1e-5 * far)
    np.testing.assert_allclose(found.entropy, expected["entropy"], atol=1e-5)
    np.testing.assert_allclose(found.prefix, expected["prefix"].T, atol=1e-5)
    np.testing.assert_allclose(found.padding, expected["padding"], atol=1e-5)
    np.testing.assert_allclose(found.similarity, expected["cosine"], atol=1e-5)
    assert found.uniform_distance == pytest.approx(expected["even"][0], rel=1e-5)
    assert found.uniform_share == pytest.approx(expected["share"][0], rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_equal_loops_over_every_pair(kind: str, photo: Photo) -> None:
    trace = traced(kind, photo)
    found = vitviz.statistics(trace)
    assert len(found.layers) == len(trace.layers)
    for layer, one in zip(trace.layers, found.layers, strict=True):
        assert one.name == layer.name
        assert_equal(one, naive(layer))
    if "shifted" in kind:
        assert any(any(layer.layout.windows.shift) for layer in trace.layers)
    if "padded" in kind:
        assert found.layers[0].padding.min() > 0.05


@pytest.mark.parametrize("kind", ["registers", "Swin, shifted and padded"])
def test_walking_in_small_chunks_changes_nothing(
    kind: str, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vitviz.attention import layer as layers

    expected = vitviz.statistics(traced(kind, photo))
    monkeypatch.setattr(layers, "CHUNK_ENTRIES", 150)
    monkeypatch.setattr(module, "CHUNK_ENTRIES", 150)
    trace = traced(kind, photo)
    assert kind != "registers" or sum(1 for _ in trace.layers[0].chunks()) > 5
    for one, other in zip(vitviz.statistics(trace).layers, expected.layers, strict=True):
        for name in module.FIELDS:
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-5)


def with_weights(layer: Layer, weights: np.ndarray) -> Layer:
    """A layer that attends by given weights."""
    operation = replace(
        layer.operations[0], query=None, key=None, bias=None, weights=torch.from_numpy(weights)
    )
    return replace(layer, operations=(operation,))


def of(trace: vitviz.Trace, layer: Layer) -> LayerStatistics:
    """The statistics of one layer, as that of a trace which has no other."""
    return vitviz.statistics(replace(trace, layers=(layer,))).layers[0]


def test_even_attention_reaches_the_mean_distance_and_own_attention_none(photo: Photo) -> None:
    trace = traced("ViT, non-square", photo)
    layer = trace.layers[0]
    shape = layer.operations[0].shape
    even = of(trace, with_weights(layer, np.full(shape, 1 / shape[3], np.float32)))
    diagonal = np.broadcast_to(np.eye(shape[3], dtype=np.float32), shape).copy()
    own = of(trace, with_weights(layer, diagonal))
    places = [(16 * row, 16 * column) for row in range(3) for column in range(5)]
    mean = np.mean([math.dist(one, other) for one in places for other in places])
    np.testing.assert_allclose(even.distance, mean, rtol=1e-5)
    np.testing.assert_allclose(even.distance_unnormalised, mean * 15 / 16, rtol=1e-5)
    assert even.uniform_distance == pytest.approx(mean, rel=1e-5)
    np.testing.assert_allclose(even.entropy, 1, atol=1e-6)
    np.testing.assert_allclose(even.prefix, 1 / 16, atol=1e-6)
    np.testing.assert_allclose(even.similarity, 1, atol=1e-6)
    for values in (own.distance, own.distance_unnormalised, own.entropy, own.prefix):
        np.testing.assert_allclose(values, 0, atol=1e-6)


def test_even_attention_within_the_regions_of_shifted_windows_is_even(photo: Photo) -> None:
    trace = traced("Swin, shifted and padded", photo)
    layer = trace.layers[1]
    windows = layer.layout.windows
    assert windows is not None
    assert windows.regions.any()
    together = (windows.regions[:, :, None] == windows.regions[:, None, :]).astype(np.float32)
    rows = together / together.sum(2, keepdims=True)
    even = of(trace, with_weights(layer, np.repeat(rows[:, None], layer.heads, 1)))
    np.testing.assert_allclose(even.entropy, 1, atol=1e-6)
    np.testing.assert_allclose(even.distance, even.uniform_distance, rtol=1e-5)
    whole = np.full_like(rows, 1 / rows.shape[2])  # as if there were no mask: more than the regions allow
    assert of(trace, with_weights(layer, np.repeat(whole[:, None], layer.heads, 1))).entropy.min() > 1


def test_what_has_no_meaning_is_nan(photo: Photo) -> None:
    siglip = small("vit_base_patch16_siglip_224", **VIT)
    found = vitviz.statistics(vitviz.trace(vitviz.load_model(siglip, device="cpu"), photo)).layers
    assert np.isnan(found[-1].distance).all()  # the attention pool's query has no place
    assert not np.isnan(found[0].distance).any()
    cait = small("cait_xxs24_224", img_size=64, depth=1, num_classes=5)
    mixed = vitviz.statistics(vitviz.trace(vitviz.load_model(cait, device="cpu"), photo)).layers[0]
    assert np.isnan(mixed.distance).all()  # heads mixed after the softmax: rows are no shares
    assert np.isnan(mixed.entropy).all()
    np.testing.assert_allclose(np.diag(mixed.similarity), 1, atol=1e-5)


def test_statistics_are_kept_with_the_trace_and_stop_when_asked(photo: Photo) -> None:
    trace = traced("registers", photo)
    with pytest.raises(Cancelled):
        vitviz.statistics(trace, cancel=lambda: True)
    told: list[float | None] = []
    first = vitviz.statistics(trace, progress=lambda _, done: told.append(done))
    assert told == [0, 1 / 3, 2 / 3]
    assert vitviz.statistics(trace) is first


@pytest.fixture
def folder(tmp_path: Path) -> list[Path]:
    """Three photos and a file that is none."""
    for seed in range(3):
        noise = np.random.default_rng(seed).integers(0, 256, (70, 90, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{seed}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    return [tmp_path / name for name in ("0.png", "broken.png", "1.png", "2.png")]


def test_over_photos_is_mean_and_deviation_of_each(folder: list[Path]) -> None:
    model = vitviz.load_model(small(*KINDS["registers"][:1], **KINDS["registers"][1]), device="cpu")
    told: list[tuple[str, float | None]] = []
    summary = over_photos(model, folder, progress=lambda text, done: told.append((text, done)))
    each = [
        vitviz.statistics(vitviz.trace(model, vitviz.open_image(p))) for p in folder if p.name != "broken.png"
    ]
    assert summary.count == 3
    assert [name for name, _ in summary.skipped] == ["broken.png"]
    assert told == [("0.png", 0), ("broken.png", 0.25), ("1.png", 0.5), ("2.png", 0.75)]
    for number in range(3):
        for name in module.FIELDS:
            values = np.array([getattr(one.layers[number], name) for one in each])
            np.testing.assert_allclose(getattr(summary.mean.layers[number], name), values.mean(0), rtol=1e-9)
            np.testing.assert_allclose(
                getattr(summary.deviation.layers[number], name), values.std(0, ddof=1), rtol=1e-6, atol=1e-12
            )


def test_over_photos_stops_and_refuses_what_has_no_photo(folder: list[Path]) -> None:
    model = vitviz.load_model(small(*KINDS["registers"][:1], **KINDS["registers"][1]), device="cpu")
    with pytest.raises(Cancelled):
        over_photos(model, folder, cancel=lambda: True)
    with pytest.raises(PhotoError, match="None of the 1 files can be read"):
        over_photos(model, folder[1:2])
    assert np.isnan(over_photos(model, folder[:1]).deviation.layers[0].distance).all()


def test_the_table_holds_every_head(folder: list[Path], photo: Photo, tmp_path: Path) -> None:
    trace = traced("registers", photo)
    found = vitviz.statistics(trace)
    with open(found.save(tmp_path / "one.csv"), newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 9
    assert (lines[4]["layer"], lines[4]["name"], lines[4]["head"]) == ("1", "blocks.1.attn", "1")
    assert float(lines[4]["distance in input pixels"]) == found.layers[1].distance[1]
    assert float(lines[4]["share on register 2"]) == found.layers[1].prefix[2, 1]
    assert float(lines[4]["cosine with head 2"]) == found.layers[1].similarity[1, 2]
    summary = over_photos(trace.model, folder[:1])
    with open(summary.save(tmp_path / "mean.csv"), newline="") as file:
        assert next(csv.DictReader(file))["entropy, standard deviation"] == ""  # one photo has none
    with pytest.raises(ExportError, match=r"must end in \.csv"):
        found.save(tmp_path / "one.txt")


def test_the_command_prints_each_layer_and_writes_the_table(
    folder: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vitviz.cli import main

    words = [
        "statistics",
        str(tmp_path),
        "--model",
        "demo/vit",
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "t.csv"),
    ]
    assert main(words) == 1  # one file is no photo
    told = capsys.readouterr()
    assert "broken.png is left out" in told.err
    lines = told.out.splitlines()
    assert "mean over 3 photos" in lines[0]
    summary = over_photos(vitviz.load_model("demo/vit", device="cpu"), sorted(folder))
    distances = summary.mean.layers[2].distance
    assert f"{distances.min():.1f} to {distances.max():.1f}" in lines[4]
    with open(tmp_path / "t.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["layer"] == "2"]
    np.testing.assert_allclose([float(row["distance in input pixels"]) for row in rows], distances, rtol=1e-6)


def test_deit_tiny_looks_near_and_far_first_and_far_last(real: Path) -> None:
    """As in Fig. 7 of Dosovitskiy 2021: small distances in some heads of early layers, large ones in all of the last."""
    deit = vitviz.load_model(real / "deit_tiny_patch16_224.safetensors", device="cpu")
    photo = vitviz.open_image(next((real / "photos").glob("n02391049_zebra.*")))
    layers = vitviz.statistics(vitviz.trace(deit, photo)).layers
    assert min(layer.distance.min() for layer in layers[:3]) < 50
    assert layers[-1].distance.min() > 70
    assert layers[0].uniform_distance == pytest.approx(116.6, abs=0.5)
