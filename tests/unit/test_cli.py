"""The command line: what it imports, what it prints, its exit status."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vitviz
from vitviz import __version__
from vitviz.app import display
from vitviz.batch.export import sample_photo, targets
from vitviz.cli import main
from vitviz.cli.models import count
from vitviz.cli.options import number_or_name, pair, query, size
from vitviz.errors import ExportError
from vitviz.models.random_weights import random_module, shallow

PACKAGE = Path(vitviz.__file__).resolve().parent
MODEL = "vit_tiny_patch16_224"


def start(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m vitviz` as a user does, without the display and Qt settings of the tests."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("QT_") and name not in ("DISPLAY", "WAYLAND_DISPLAY")
    }
    environment |= {"PYTHONPATH": str(PACKAGE.parent), "PYTHONUTF8": "1"} | variables
    return subprocess.run(
        [sys.executable, "-m", "vitviz", *words], capture_output=True, text=True, timeout=240, env=environment
    )


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "garden.png"
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A folder with a small ViT of random weights and five classes."""
    options = {"img_size": 64, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 5}
    return saved(tmp_path_factory.mktemp("small"), MODEL, options)


def saved(folder, name, options):
    """A folder as timm saves a model, with random weights."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    module = timm.create_model(name, **options)
    folder.mkdir(exist_ok=True)
    save_file(module.state_dict(), folder / "model.safetensors")
    size = [3, options["img_size"], options["img_size"]]
    config = {"architecture": name, "num_classes": options["num_classes"], "model_args": options}
    config["pretrained_cfg"] = {
        **module.pretrained_cfg,
        "num_classes": options["num_classes"],
        "input_size": size,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["export", "--help"], 0),
        (["models", "--help"], 0),
        (["check", "--help"], 0),
        (["evaluate", "--help"], 0),
        (["--no-such-option"], 2),
        (["export", "--framing", "sideways", "--out", "a.png"], 2),
    ],
)
def test_help_and_usage_errors_import_neither_torch_nor_qt(words, status):
    code = (
        "import sys\nfrom vitviz.cli import main\ntry:\n    main(sys.argv[1:])\n"
        "except SystemExit as end:\n    status = end.code or 0\n"
        "heavy = sorted({'torch', 'timm', 'PySide6', 'pyqtgraph', 'vitviz.app'} & set(sys.modules))\n"
        "print(f'\\nHEAVY {heavy} STATUS {status}')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=PACKAGE.parent,
    )
    assert f"HEAVY [] STATUS {status}" in ran.stdout, ran.stdout + ran.stderr


def test_version_and_module_entry():
    ran = start("--version")
    assert (ran.returncode, ran.stdout.strip()) == (0, f"vitviz {__version__}")


def test_help_names_every_command():
    ran = start("--help")
    for command in ("export", "models", "check", "evaluate"):
        assert f"vitviz {command}" in ran.stdout


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there is always a desktop")
@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({}, "there is no display"),
        ({"DISPLAY": ":1979"}, "no connection to the display :1979"),
        ({"QT_QPA_PLATFORM": "xcb"}, "no connection to the display"),
        ({"QT_QPA_PLATFORM": "nonsense"}, "nonsense"),
    ],
)
def test_without_a_display_one_sentence_and_status_2(variables, reason):
    ran = start(**variables)
    assert ran.returncode == 2, ran.stderr
    assert ran.stdout == ""
    lines = ran.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("vitviz: no window can be opened here")
    assert reason in lines[0]
    assert "vitviz export" in lines[0]


def test_the_display_is_not_asked_for_where_none_is_needed(monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen:fontdir=/nowhere")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr(subprocess, "Popen", None)
    assert display.Probe().reason() is None


@pytest.mark.parametrize(
    ("complaint", "words"),
    [
        (
            "ImportError: libEGL.so.1: cannot open shared object file: No such file or directory",
            "the system library libEGL.so.1 is missing",
        ),
        (
            "qt.qpa.xcb: could not connect to display :3\nqt.qpa.plugin: more",
            "no connection to the display :3",
        ),
        ("qt.qpa.plugin: From 6.5.0, xcb-cursor0 or libxcb-cursor0 is needed to load", "libxcb-cursor0"),
        ("Something new.\nMore of it.", "Something new"),
        ("", "Qt cannot start"),
    ],
)
def test_reasons_are_parts_of_a_sentence(complaint, words):
    assert words in display.last_words(complaint)
    assert not display.last_words(complaint).endswith(".")


def test_a_silent_display_is_given_up_on(monkeypatch):
    monkeypatch.setattr(display, "_TRY", "import time; time.sleep(60)")
    monkeypatch.setattr(display, "_PATIENCE", 0.2)
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    probe = display.Probe()
    assert "did not answer" in (probe.reason() or "")


def test_export_writes_picture_numbers_and_where_they_came_from(photo, weights, tmp_path, capsys):
    picture, raw = tmp_path / "map.png", tmp_path / "map.npz"
    words = ["export", str(photo), "--model", weights, "--method", "attention", "--layer", "0", "--head", "1"]
    words += [
        "--query",
        "1,2",
        "--direction",
        "by",
        "--device",
        "cpu",
        "--out",
        str(picture),
        "--raw",
        str(raw),
    ]
    assert main(words) == 0
    with Image.open(picture) as image, Image.open(photo) as original:
        assert image.size == original.size
        assert image.text["Method"] == "attention"
        assert "patch (1, 2)" in image.text["Title"]
        assert "by" in image.text["Title"]
        assert re.match(r"\d", image.text["Scale"])
        assert image.text["Software"] == f"vitviz {__version__}"
    with np.load(raw) as numbers:
        assert numbers["values"].shape == (4, 4)
    line = capsys.readouterr().out
    assert str(picture) in line
    assert str(raw) in line


def test_a_query_is_marked_on_the_grid_of_a_later_stage(photo, tmp_path):
    """A patch of Swin's first stage lies outside the last stage's smaller grid; the token that holds it is outlined."""
    options = {
        "img_size": 64,
        "embed_dim": 24,
        "depths": (2, 2),
        "num_heads": (2, 4),
        "num_classes": 5,
        "window_size": 4,
    }
    folder = saved(tmp_path / "swin", "swin_tiny_patch4_window7_224", options)
    out = tmp_path / "swin.png"
    words = [
        "export",
        str(photo),
        "--model",
        folder,
        "--method",
        "attention",
        "--query",
        "12,12",
        "--device",
        "cpu",
    ]
    assert main([*words, "--out", str(out)]) == 0
    with Image.open(out) as image, Image.open(photo) as original:
        assert image.size == original.size


def test_a_name_without_a_suffix_is_a_folder_for_one_photo_too(photo, weights, tmp_path):
    words = ["export", str(photo), "--model", weights, "--device", "cpu", "--out", str(tmp_path / "one")]
    assert main(words) == 0
    assert (tmp_path / "one" / "garden-rollout.png").is_file()


def test_export_of_several_photos_goes_on_after_a_bad_one(photo, weights, tmp_path, capsys):
    bad = tmp_path / "note.jpg"
    bad.write_text("no picture")
    out = tmp_path / "maps"
    words = [
        "export",
        str(bad),
        str(photo),
        "--model",
        weights,
        "--device",
        "cpu",
        "--out",
        str(out),
        "--legend",
    ]
    assert main(words) == 1
    assert [file.name for file in out.iterdir()] == ["garden-rollout.png"]
    with Image.open(out / "garden-rollout.png") as image:
        assert image.width == 70
        assert image.height > 50
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("vitviz: ")
    assert "note.jpg" in errors[0]
    assert errors[-1] == "vitviz: 1 of 2 photos could not be exported."


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["missing.jpg", "--model", "MODEL"], "missing.jpg"),
        (["PHOTO"], "--model"),
        (["--model", "MODEL"], "at least one photo"),
        (["PHOTO", "--model", "no_such_model"], "no_such_model"),
        (["PHOTO", "--model", "MODEL", "--method", "guess"], "guess"),
        (["PHOTO", "--model", "MODEL", "--head", "0"], "head"),
        (["PHOTO", "--model", "MODEL", "--query", "9,9"], "(9, 9)"),
        (["PHOTO", "--model", "MODEL", "--colormap", "mud"], "mud"),
        (["PHOTO", "--model", "MODEL", "--device", "abacus"], "abacus"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_status_1(words, said, photo, weights, tmp_path, capsys):
    filled = [{"PHOTO": str(photo), "MODEL": weights}.get(word, word) for word in words]
    assert main(["export", *filled, "--out", str(tmp_path / "a.png")]) == 1
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1, errors
    assert errors[0].startswith("vitviz: ")
    assert errors[0].endswith(".")
    assert said in errors[0]
    assert not (tmp_path / "a.png").exists()


def test_the_sample_is_the_scene_of_two_objects():
    path = sample_photo()
    index = json.loads((path.parent / "index.json").read_text())
    scene = next(scene for scene in index["scenes"] if scene["file"] == path.name)
    assert len({thing["class"] for thing in scene["objects"]}) == 2
    with Image.open(path) as image:
        assert min(image.size) >= 96


def test_targets(tmp_path):
    one, two = tmp_path / "a.jpg", tmp_path / "b.png"
    two.touch()
    png = ".png"
    assert targets([one], tmp_path / "x.png", "rollout", png) == [tmp_path / "x.png"]
    assert targets([one], tmp_path, "rollout", png) == [tmp_path / "a-rollout.png"]
    assert targets([one, two], tmp_path / "{name} map.png", "rollout", png) == [
        tmp_path / "a map.png",
        tmp_path / "b map.png",
    ]
    assert targets([one, two], tmp_path / "new", "attention", ".npz") == [
        tmp_path / "new" / "a-attention.npz",
        tmp_path / "new" / "b-attention.npz",
    ]
    assert (tmp_path / "new").is_dir()
    for photos, out, said in (
        ([one, two], "x.png", "one file for 2 photos"),
        ([two], "{name}.png", "will not be overwritten"),
        ([one], "x.jpg", "must end in .png"),
        ([one, tmp_path / "other" / "a.jpg"], "{name}.png", "would both be written"),
        ([one, two], "b.png/sub", "cannot be made"),
    ):
        with pytest.raises(ExportError, match=re.escape(said)):
            targets(photos, tmp_path / out, "rollout", png)
    assert two.read_bytes() == b""


def test_check_tells_what_is_exact_and_its_status_says_so_too(weights, capsys):
    assert main(["check", weights, "--device", "cpu"]) == 0
    told = capsys.readouterr().out
    for claim in ("weights", "shares", "place", "order", "readout"):
        assert f"  {claim}: holds, by " in told
    for part in ("exact", "float32", "layers: 2", "heads: 3", "tokens: 17", "4×4", "class", "rollout"):
        assert part in told
    assert main(["check", "--random", "resnet18", MODEL, "--depth", "1", "--device", "cpu"]) == 1
    told = capsys.readouterr().out
    assert "resnet18: refused" in told
    assert "no attention" in told
    assert f"{MODEL}: exact" in told
    assert "layers: 1;" in told
    assert main(["check", "no_such_model"]) == 1
    assert "no_such_model: not checked" in capsys.readouterr().out


def test_depth_needs_random_weights(capsys):
    assert main(["check", MODEL, "--depth", "2"]) == 1
    assert "--random" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("deit_tiny_patch16_224", {"depth": 2}),
        ("swin_tiny_patch4_window7_224", {"depths": (2, 2, 2, 2)}),
        ("swinv2_cr_tiny_224", {"depths": (2, 2, 2, 2)}),
        ("pit_ti_224", {"depth": (2, 2, 2)}),
    ],
)
def test_every_kind_can_be_shortened(name, options):
    assert shallow(name, 2) == options


def test_random_weights_are_always_the_same():
    one, two = (random_module(MODEL, 1).state_dict() for _ in range(2))
    assert all((one[key] == two[key]).all() for key in one)


def test_models_lists_sizes_and_weights(capsys):
    assert main(["models", "deit_tiny_*_224"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["model", "parameters", "input", "tokens", "weights"]
    assert [line.split()[0] for line in lines[1:]] == [
        "deit_tiny_distilled_patch16_224",
        "deit_tiny_patch16_224",
    ]
    assert re.search(r" 5\.72 M +224×224 +197 ", lines[2])
    assert main(["models", "no such model"]) == 1
    assert "no such model" in capsys.readouterr().err


def test_words_become_values():
    assert size("384") == 384
    assert size("256,208") == size("256x208") == (256, 208)
    assert pair("0,0.1") == (0.0, 0.1)
    assert query("4,7") == (4, 7)
    assert query("register 2") == "register 2"
    assert number_or_name("-1") == -1
    assert number_or_name("blocks.3.attn") == "blocks.3.attn"
    assert [count(n) for n in (5_717_416, 86_567_656, 1_011_000_000)] == ["5.72 M", "86.6 M", "1.01 G"]
    for convert, text in ((size, "0"), (size, "1,2,3"), (pair, "1"), (query, "1,b")):
        with pytest.raises(ValueError, match=r"\w"):
            convert(text)


def test_the_window_and_all_commands_that_load_a_model_take_its_settings():
    from vitviz.cli import check, evaluate, export, statistics, window
    from vitviz.models.settings import ModelSettings, settings_from

    asked = [
        "--image-size",
        "256,208",
        "--precision",
        "bfloat16",
        "--class-names",
        "names.txt",
        "--device",
        "cpu",
        "--outputs",
        "values",
    ]
    needed = {
        check: ["vit"],
        evaluate: ["--out", "a.csv"],
        export: ["--out", "a.png"],
        statistics: ["a", "--model", "vit"],
    }
    for command, words in needed.items():
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        found = parser.parse_args([*words, *asked])
        assert (found.image_size, found.precision, found.class_names) == ((256, 208), "bfloat16", "names.txt")
        assert found.outputs == "values"
    parser = argparse.ArgumentParser()
    window.add_arguments(parser)
    chosen = window.settings_of(parser.parse_args([*asked, "--framing", "fit"]))
    assert chosen == ModelSettings((256, 208), "fit", "bfloat16", "", "names.txt", "", "values")
    assert window.settings_of(parser.parse_args([])) == ModelSettings()
    assert settings_from(chosen.stored()) == chosen
    assert settings_from({"image_size": (0, 3), "framing": 7, "else": 1}) == ModelSettings()
