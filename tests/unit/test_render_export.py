"""Legends and files."""

import os
import sys

import numpy as np
import pytest
from PIL import Image

from vitviz import __version__
from vitviz.errors import ExportError
from vitviz.render import export
from vitviz.render.colors import from_unit, lookup_table
from vitviz.render.export import number_text, save_png, with_legend, write_whole


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 640, 3), dtype=np.uint8))


def test_png_keeps_pixels_and_says_where_they_came_from(picture, tmp_path):
    path = save_png(picture, tmp_path / "a.png", {"Model": "deit – тест", "Scale": "0 to 0.1"})
    with Image.open(path) as read:
        assert read.format == "PNG"
        assert np.array_equal(np.asarray(read), np.asarray(picture))
        assert read.text == {"Software": f"vitviz {__version__}", "Model": "deit – тест", "Scale": "0 to 0.1"}
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.skipif(not hasattr(os, "umask"), reason="needs POSIX permissions")
def test_files_get_the_permissions_of_any_new_file(picture, tmp_path):
    (tmp_path / "plain").touch()
    path = save_png(picture, tmp_path / "a.png")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_errors_name_the_path_and_the_reason(picture, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for place, reason in (
        ("missing/a.png", "there is no folder"),
        ("file/a.png", "is not a folder"),
        ("folder.png", "it is a folder"),
        ("x" * 300 + ".png", "the name is too long"),
        ("a.jpg", "must end in .png"),
    ):
        path = tmp_path / place
        with pytest.raises(ExportError) as caught:
            save_png(picture, path)
        assert str(path) in caught.value.message
        assert reason in caught.value.message
        assert caught.value.message.endswith(".")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder.png"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named(picture, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(ExportError, match=r"no permission to write in .*locked"):
        save_png(picture, tmp_path / "locked" / "a.png")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_said_and_the_old_file_stays(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fill(file):
        file.write(b"half")
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(ExportError, match="the disk is full"):
        write_whole(path, fill)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_a_fault_while_writing_leaves_nothing_behind(tmp_path):
    def fail(file):
        file.write(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_whole(tmp_path / "a.png", fail)
    assert not list(tmp_path.iterdir())


def test_legend_goes_below_the_picture_and_shows_the_colour_map(picture):
    shown = with_legend(
        picture, title="What it shows", low=0, high=0.083, unit="weight", style="tint", opacity=1
    )
    assert shown.width == picture.width
    assert np.array_equal(np.asarray(shown)[:200], np.asarray(picture))
    strip = np.asarray(shown)[200:]
    table = lookup_table("viridis")
    middle = table[128]
    columns = [
        np.flatnonzero((strip == color).all(axis=-1).any(axis=0)) for color in (table[4], middle, table[250])
    ]
    assert all(len(found) for found in columns)
    assert columns[0].mean() < columns[1].mean() < columns[2].mean()


def test_legends_fit_small_and_large_pictures_and_say_different_numbers():
    for width in (40, 224, 3000):
        base = Image.new("RGB", (width, 100))
        title = "What patch (4, 7) attends to in layer 8, head 1 of deit_tiny_patch16_224"
        one = with_legend(base, title=title, low=0, high=0.083, note="14 × 14 patches")
        two = with_legend(base, title=title, low=0, high=0.9, note="14 × 14 patches")
        assert one.size == two.size
        assert (np.asarray(one) != np.asarray(two)).any()
        strip = np.asarray(one)[100:]
        assert (strip[-1] == 255).all(), "nothing is cut off at the bottom"
    plain = with_legend(base, title=title, low=0, high=1)
    logarithmic = with_legend(base, title=title, low=0, high=1, log=True)
    assert logarithmic.height > plain.height, "a line for the number half-way along"


@pytest.mark.parametrize(
    ("options", "low"),
    [({"log": True}, 1e-4), ({"temperature": 2.0}, 0.0), ({"temperature": 4.0}, 0.0), ({}, -0.5)],
)
def test_where_colours_are_bent_or_signed_the_legend_says_what_lies_in_the_middle(monkeypatch, options, low):
    written = []
    real = export.write
    monkeypatch.setattr(
        export, "write", lambda *asked, **more: (written.append(asked[2]), real(*asked, **more))
    )
    with_legend(Image.new("RGB", (800, 40)), title="What", low=low, high=1, unit="weight", **options)
    middle = "0" if low < 0 else number_text(from_unit(0.5, low, 1, **options))
    assert middle in written
    words = {"log": "(logarithmic)", "temperature": f"(temperature {options.get('temperature', 1):g})"}
    assert any(words[name] in text for name in options for text in written) == bool(options)


def test_letters_outside_the_built_in_font_are_still_written():
    base = Image.new("RGB", (600, 10))
    strips = {
        np.asarray(with_legend(base, title=title, low=0, high=1)).tobytes()
        for title in ("Kuchen", "Küchen", "漢字", "×")
    }
    assert len(strips) >= 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0834, "0.0834"),
        (1.5, "1.5"),
        (2.1e-5, "2.1e-5"),
        (1, "1"),
        (123456, "1.23e5"),
        (-0.5, "-0.5"),
    ],
)
def test_numbers_are_short(value, text):
    assert number_text(value) == text
