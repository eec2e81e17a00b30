"""A method that is added as README says works in Python, in `vitviz export` and in `vitviz evaluate`."""

import csv
from importlib import import_module

import numpy as np
import pytest
from eighth_method import added
from PIL import Image
from small_models import VIT, small

import vitviz
from vitviz.cli import main
from vitviz.errors import MethodError
from vitviz.explain.registry import METHODS, stroke_of
from vitviz.render.strokes import RANDOM


@pytest.fixture(autouse=True)
def method():
    with added() as found:
        yield found


@pytest.fixture(scope="module")
def model():
    return vitviz.load_model(small("vit_tiny_patch16_224", **VIT), device="cpu")


@pytest.fixture
def on_disk(monkeypatch, model, tmp_path):
    """A photo, and `--model small` for the small ViT."""
    monkeypatch.setattr(import_module("vitviz.models.loading"), "load_model", lambda *_, **__: model)
    photo = tmp_path / "photo.png"
    noise = np.random.default_rng(3).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photo)
    return photo


def test_it_is_listed_and_computed(model, photo):
    trace = vitviz.trace(model, photo)
    assert vitviz.methods(trace)["power"] is None
    plain = vitviz.explain(trace, "attention", layer=1, query=(1, 2)).values
    found = vitviz.explain(trace, "power", layer=1, query=(1, 2), cube=True)
    np.testing.assert_allclose(found.values, plain**3, rtol=1e-6)
    with pytest.raises(MethodError, match="it takes: layer, query, cube"):
        vitviz.explain(trace, "power", head=0)


def test_export_offers_its_options_and_writes_it(on_disk, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "input_gradient, power" in words
    assert "the third power in place of the second; for power" in words
    out, raw = tmp_path / "map.png", tmp_path / "map.npz"
    asked = ["--method", "power", "--layer", "0", "--cube", "--out", str(out), "--raw", str(raw)]
    assert main(["export", str(on_disk), "--model", "small", *asked]) == 0
    assert Image.open(out).text["Method"] == "power"
    assert str(np.load(raw)["method"]) == "power"


def test_evaluate_scores_it_and_draws_its_curve_in_a_stroke_of_its_own(on_disk, tmp_path, method, capsys):
    table, plot = tmp_path / "scores.csv", tmp_path / "curves.png"
    few = ["--steps", "4", "--random", "2", "--out", str(table), "--png", str(plot)]
    assert main(["evaluate", str(on_disk), "--model", "small", *few]) == 0
    with open(table, encoding="utf-8", newline="") as file:
        scored = {row["method"]: row for row in csv.DictReader(file)}
    assert list(scored) == ["attention", "random", *(one.name for one in METHODS if one.name != "attention")]
    assert 0 <= float(scored["power"]["deletion"]) <= 1
    assert "| power |" in capsys.readouterr().out
    strokes = {one.name: stroke_of(one.name) for one in METHODS} | {"random": RANDOM}
    assert len(set(strokes.values())) == len(METHODS) + 1
    drawn = set(map(tuple, np.asarray(Image.open(plot)).reshape(-1, 3).tolist()))
    assert all(stroke.light in drawn for stroke in strokes.values())
