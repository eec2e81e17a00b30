"""`vitviz export` offers every method with its options and targets, and passes on what was given."""

import argparse
import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

import vitviz
from vitviz.cli import main
from vitviz.cli.methods import add_method, choices_of, listed
from vitviz.explain.registry import METHODS

LABELS = ["tench", "goldfish", "tabby, tabby cat", "tiger cat", "dog"]


SMALL = {"img_size": 64, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 5}


def saved(path, architecture, options):
    """A model folder with random weights and labels, and a photo."""
    torch.manual_seed(0)
    module = timm.create_model(architecture, **options)
    save_file(module.state_dict(), path / "model.safetensors")
    pretrained = {**module.pretrained_cfg, "num_classes": 5, "input_size": [3, 64, 64]}
    config = {
        "architecture": architecture,
        "num_classes": 5,
        "model_args": options,
        "pretrained_cfg": pretrained,
    }
    (path / "config.json").write_text(json.dumps(config))
    (path / "labels.txt").write_text("\n".join(LABELS))
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path / "garden.png")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small ViT."""
    return saved(tmp_path_factory.mktemp("model"), "vit_tiny_patch16_224", SMALL)


def given(*words):
    parser = argparse.ArgumentParser()
    add_method(parser.add_argument_group())
    return parser.parse_args(words)


def export(folder, *words):
    photo, out, raw = (str(folder / name) for name in ("garden.png", "out.png", "out.npz"))
    model = ["--model", str(folder), "--labels", str(folder / "labels.txt"), "--device", "cpu"]
    status = main(["export", photo, *model, "--out", out, "--raw", raw, *words])
    return status, np.load(raw) if status == 0 else None


def test_a_target_can_be_an_imagenet_code(tmp_path, folder):
    torch.manual_seed(0)
    module = timm.create_model("test_vit", num_classes=1000)
    save_file(module.state_dict(), tmp_path / "thousand.safetensors")
    out = tmp_path / "out.png"
    model = ["--model", str(tmp_path / "thousand.safetensors"), "--architecture", "test_vit"]
    words = [*model, "--device", "cpu", "--method", "relevance", "--target", "n02123045"]
    assert main(["export", str(folder / "garden.png"), *words, "--out", str(out)]) == 0
    assert "class 281 (tabby)" in Image.open(out).text["Title"]


@pytest.mark.parametrize(
    ("words", "method", "options"),
    [
        (["--method", "relevance", "--target", "goldfish"], "relevance", {"target": 1}),
        (["--method", "attention", "--query", "1,2 0,3"], "attention", {"query": ((1, 2), (0, 3))}),
        (
            ["--method", "relevance", "--target", "3", "--start", "1", "--own"],
            "relevance",
            {"target": 3, "start": 1, "own": True},
        ),
        (
            ["--method", "gradcam", "--target", "tiger cat", "--layer", "0"],
            "gradcam",
            {"target": 3, "layer": 0},
        ),
        (["--method", "input_gradient", "--times-input"], "input_gradient", {"times_input": True}),
        (["--method", "gradient_rollout", "--discard", "0.5"], "gradient_rollout", {"discard": 0.5}),
        (
            ["--method", "gradient_attention", "--head", "2", "--direction", "by"],
            "gradient_attention",
            {"head": 2, "direction": "by"},
        ),
        (
            ["--vit-explain", "--discard", "0.9", "--fusion", "max"],
            "rollout",
            {"vit_explain": True, "discard": 0.9, "fusion": "max"},
        ),
        (
            ["--residual", "0.2", "--start", "blocks.1.attn"],
            "rollout",
            {"residual": 0.2, "start": "blocks.1.attn"},
        ),
    ],
)
def test_a_map_is_what_python_gives_with_the_same_options(folder, words, method, options):
    status, raw = export(folder, *words)
    assert status == 0
    model = vitviz.load_model(folder, device="cpu", labels=folder / "labels.txt")
    trace = vitviz.trace(model, vitviz.open_image(folder / "garden.png"))
    map_ = vitviz.explain(trace, method, **options)
    np.testing.assert_array_equal(raw["values"], map_.values)
    assert str(raw["title"]) == map_.title


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--method", "relevance", "--target", "cow"], "has no class called 'cow'"),
        (
            ["--method", "relevance", "--target", "t"],
            "3 classes are called 't': 0 (tench), 2 (tabby, tabby cat)",
        ),
        (["--method", "rollout", "--target", "1"], "rollout takes no option target; it takes: fusion"),
        (["--method", "attention", "--own"], "attention takes no option own"),
        (["--method", "rollout", "--pixels"], "rollout has no values of single pixels"),
    ],
)
def test_what_does_not_fit_is_told(folder, capsys, words, sentence):
    status, _ = export(folder, *words)
    assert status == 1
    assert sentence in capsys.readouterr().err


SWIN = {
    "img_size": 64,
    "window_size": 4,
    "embed_dim": 24,
    "depths": (2, 2),
    "num_heads": (2, 4),
    "num_classes": 5,
}


@pytest.mark.parametrize(
    ("architecture", "options", "words", "sentence"),
    [
        (
            "cait_xxs24_224",
            SMALL,
            ["--method", "rollout"],
            "because rows of blocks.0.attn are not shares: its heads are mixed with signed weights",
        ),
        (
            "vit_dlittle_patch16_reg1_gap_256",
            SMALL,
            ["--method", "rollout"],
            "because in blocks.0.attn one attention map is subtracted from another",
        ),
        ("deit_tiny_distilled_patch16_224", SMALL, ["--vit-explain"], "behind one class token"),
        ("swin_tiny_patch4_window7_224", SWIN, ["--vit-explain"], "behind one class token"),
    ],
)
def test_where_a_method_does_not_apply_the_reason_is_told(
    tmp_path, capsys, architecture, options, words, sentence
):
    status, _ = export(saved(tmp_path, architecture, options), *words)
    assert status == 1
    told = capsys.readouterr().err
    assert "does not apply to" in told
    assert sentence in told
    assert not (tmp_path / "out.png").exists()
    assert export(tmp_path, "--method", "gradient_rollout")[0] == 0


@pytest.mark.parametrize("words", [["--temperature", "3"], ["--log"], ["--log", "--temperature", "0.5"]])
@pytest.mark.parametrize("method", ["attention", "rollout", "relevance"])
def test_temperature_and_logarithm_colour_the_picture_and_leave_the_numbers(folder, method, words):
    def exported(*more):
        _, raw = export(folder, "--method", method, *more)
        with Image.open(folder / "out.png") as image:
            seen = image.tobytes(), image.text["Scale"]
        return *seen, {name: raw[name].tobytes() for name in raw.files}

    plain, _, numbers = exported()
    bent, scale, same = exported(*words)
    assert same == numbers
    assert bent != plain
    assert ("logarithmic" if "--log" in words else "temperature 3") in scale


def test_a_title_says_whether_pixels_or_patches_are_shown(folder, capsys):
    for words, end in ((["--pixels"], "(tench)"), ([], "(tench), summed over each patch")):
        status, _ = export(folder, "--method", "input_gradient", "--target", "0", *words)
        assert status == 0
        title = f"Input gradient for class 0 {end}"
        assert Image.open(folder / "out.png").text["Title"] == title
        assert f"; {title}; " in capsys.readouterr().out


def test_every_option_of_every_method_is_on_offer():
    known = vars(given())
    for method in METHODS:
        assert f"\n  {method.name} " in listed()
        assert method.about in listed()
        assert all(name in known for name in (*method.axes, *(option.name for option in method.parameters)))
    assert choices_of(given()) == {}  # methods keep their own defaults
    assert choices_of(given("--query", "1,2", "--residual", "0")) == {"query": (1, 2), "residual": 0.0}
