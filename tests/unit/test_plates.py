"""Plates: pixels of small pictures have their values' colours, windows lie where they are, the command writes them."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from small_models import VIT, small

import vitviz
from vitviz.attention.model_check import noise
from vitviz.attention.trace import Trace
from vitviz.cli import main
from vitviz.errors import MethodError
from vitviz.explain.plates.plates import PLATES, bias_pictures, plate, split_pictures
from vitviz.render.colors import SIGNED_COLORMAP, lookup_table
from vitviz.render.picture_rows import NOTHING, PlatePicture, colored, common, enlarged, side_by_side, tiled


def test_zero_is_the_middle_and_nothing_is_grey() -> None:
    pixels = colored(np.array([[-2.0, 0.0, 2.0, np.nan]]), -2, 2)
    table = lookup_table(SIGNED_COLORMAP)
    np.testing.assert_array_equal(pixels[0, :3], table[[0, 128, 255]])
    assert tuple(pixels[0, 3]) == NOTHING


def test_tiles_lie_apart_in_order() -> None:
    tiles = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((6, 2, 3, 3), np.uint8)
    whole = tiled(tiles.reshape(2, 3, 2, 3, 3), gap=2)
    assert whole.shape == (6, 13, 3)
    assert whole[0:2, 5:8].max() == whole[0:2, 5:8].min() == 1
    assert whole[4:6, 10:13].min() == 5
    assert (whole[2:4] == 255).all()
    image = side_by_side([PlatePicture(whole, "one", "+"), PlatePicture(whole, "two")], 60)
    assert np.asarray(image).shape[0] > 60


def test_small_pictures_become_large_in_whole_steps() -> None:
    pixels = np.arange(8 * 4 * 3, dtype=np.uint8).reshape(8, 4, 3)
    image = np.asarray(enlarged(Image.fromarray(pixels), 100))
    np.testing.assert_array_equal(image, pixels.repeat(12, 0).repeat(12, 1))
    assert enlarged(Image.new("RGB", (300, 900)), 500).size == (300, 900)
    plain, named = (side_by_side([PlatePicture(pixels, caption)], 80) for caption in ("", "one"))
    assert plain.height < named.height  # no room for words where there are none


def trace_of(name: str, **options: object) -> Trace:
    size = options["img_size"]
    size = size if isinstance(size, tuple) else (size, size)
    return vitviz.trace(
        vitviz.load_model(small(name, **options), device="cpu"), noise(size), framing="squash"
    )


@pytest.fixture(scope="module")
def swin() -> Trace:
    return trace_of(
        "swin_tiny_patch4_window7_224", img_size=(64, 52), embed_dim=24, depths=(2, 2), num_heads=(2, 4), num_classes=5
    )  # fmt: skip


@pytest.fixture(scope="module")
def vit() -> Trace:
    return trace_of("vit_tiny_patch16_224", **VIT)


def test_a_chosen_window_is_bright_where_its_tokens_lie_and_nowhere_else(swin: Trace) -> None:
    layer = swin.layers[1]
    image = np.asarray(plate(swin, "windows", layer=1, query=(0, 0)))[:64, :52].astype(int)
    photo = swin.photo.pixels.astype(int)
    window, _ = layer.layout.windows.slot(0)
    own = set(layer.layout.windows.tokens(window).tolist())
    bright = 0
    for row in range(swin.patches.rows):
        for col in range(swin.patches.cols):
            inner = (slice(4 * row + 3, 4 * row + 4), slice(4 * col + 3, 4 * col + 4))
            same = np.abs(image[inner] - photo[inner]).max() == 0
            dimmed = np.abs(image[inner] - photo[inner] * 2 // 5).max() <= 1
            if not (same or dimmed):
                continue  # a line lies there
            assert same == (row * swin.patches.cols + col in own) or photo[inner].max() < 3
            bright += same
    assert bright > len(own) / 4


def test_the_shifted_plate_has_each_token_where_the_windows_cut_it(swin: Trace) -> None:
    layer = swin.layers[1]
    windows = layer.layout.windows
    image = np.asarray(plate(swin, "shifted", layer=1)).astype(int)
    unit = 900 // max(windows.padded)
    photo = np.asarray(Image.fromarray(swin.photo.pixels).resize((13 * unit, 16 * unit))).astype(int)
    plain = padding = 0
    for row, col in np.ndindex(windows.padded):
        token = windows.picture()[row, col]
        middle = image[row * unit + unit // 2, col * unit + unit // 2]
        window = (row // windows.size[0]) * windows.across[1] + col // windows.size[1]
        if token < 0:
            padding += 1
            continue  # grey, or tinted with its window's region
        there = divmod(int(token), 13)
        expected = photo[there[0] * unit + unit // 2, there[1] * unit + unit // 2]
        if len(set(windows.regions[window].tolist())) == 1:
            assert np.abs(middle - expected).max() <= 2
            plain += 1
        else:
            assert np.abs(middle - expected).max() > 2
    assert plain > 20
    assert padding == windows.padding


def test_each_region_of_the_shifted_plate_has_its_letter(swin: Trace) -> None:
    windows = swin.layers[1].layout.windows
    image = np.asarray(plate(swin, "shifted", layer=1)).astype(int).mean(-1)
    unit = 900 // max(windows.padded)
    letters: dict[int, list[np.ndarray]] = {}
    for window in range(len(windows.index)):
        order, corner = sorted(set(windows.regions[window].tolist())), windows.box(window)
        for part in windows.parts(window) if len(order) > 1 else ():
            slots = part.slots
            y = round((2 * corner.top + slots.top + slots.bottom) * unit / 2)
            x = round((2 * corner.left + slots.left + slots.right) * unit / 2)
            letters.setdefault(order.index(part.region), []).append(image[y - 8 : y + 9, x - 8 : x + 9] > 128)
    assert len(letters) >= 2
    for shade, drawn in letters.items():
        assert 15 < drawn[0].sum() < 150, "white on black"
        for other, others in letters.items():
            assert ((drawn[0] != others[-1]).sum() < 15) == (shade == other), (shade, other)


def test_the_merge_plate_outlines_the_children_on_the_photo(swin: Trace) -> None:
    image = np.asarray(plate(swin, "merge", layer=2, query=(4, 6)))[:64, :52].astype(int)
    changed = np.abs(image - swin.photo.pixels).max(-1) > 0
    rows, cols = np.nonzero(changed)
    # token (2, 3) of the second stage: patches (4…5, 6…7) of 4 pixels
    assert (rows.min(), rows.max() + 1, cols.min(), cols.max() + 1) == (16, 25, 24, 33)
    with pytest.raises(MethodError, match="nothing was merged"):
        plate(swin, "merge", layer=0, query=(4, 6))
    with pytest.raises(MethodError, match="Choose one patch"):
        plate(swin, "merge", layer=2)


def test_the_three_maps_of_a_split_share_one_scale(swin: Trace) -> None:
    found = vitviz.positions.split(swin, 1, (0, 0))
    pictures, limit, note = split_pictures(found, 0)
    assert note == ""
    assert [picture.joint for picture in pictures] == ["+", "=", "→", ""]
    expected = colored(
        np.where(found.picture(found.mask, 0) < 0, np.nan, found.picture(found.position, 0)), -limit, limit
    )
    np.testing.assert_array_equal(pictures[1].pixels, expected)
    seen = ~(found.picture(found.mask, 0) < 0) & (found.keys.reshape(found.shape) >= 0)
    assert limit == pytest.approx(
        max(
            np.abs(found.picture(values, 0)[seen]).max()
            for values in (found.content, found.position, found.logits)
        )
    )


def test_each_heads_position_has_one_scale_with_the_others(swin: Trace) -> None:
    found = vitviz.positions.split(swin, 1, (0, 0))
    pictures, limit, _ = bias_pictures(found)
    seen = ~(found.mask < 0) & (found.keys >= 0)
    assert limit == pytest.approx(np.abs(found.position[seen]).max())
    assert [picture.caption for picture in pictures] == ["head 0", "head 1"]
    values = np.where(seen, found.position, np.nan)[1].reshape(found.shape)
    np.testing.assert_array_equal(pictures[1].pixels, colored(values, -limit, limit))


def test_what_position_adds_to_all_keys_alike_is_taken_off(swin: Trace) -> None:
    found = vitviz.positions.split(swin, 1, (0, 0))
    raised = replace(found, position=found.position + 8, logits=found.logits + 8)
    for draw in (lambda one: split_pictures(one, 0), bias_pictures):
        pictures, limit, note = draw(raised)
        assert "changes no attention" in note
        plain, expected, _ = draw(found)
        assert limit < 1.5 * expected  # the differences fill the scale again
        assert any(" less 8." in picture.caption or " less 7." in picture.caption for picture in pictures)
        assert pictures[0].pixels.shape == plain[0].pixels.shape
    shown = split_pictures(raised, 0)
    seen = np.where(found.picture(found.mask, 0) < 0, np.nan, found.picture(found.position, 0))
    mean = float(np.nanmean(seen))
    np.testing.assert_array_equal(shown.pictures[1].pixels, colored(seen - mean, -shown.limit, shown.limit))
    assert (common([7.9, 8.1]), common([-8.5, -7.5]), common([0.2, 8.0]), common([-1.0, 1.0])) == (
        8.0,
        -8.0,
        0,
        0,
    )


@pytest.mark.parametrize("what", PLATES)
def test_every_plate_is_drawn_or_refused_with_the_reason(what: str, swin: Trace, vit: Trace) -> None:
    drawn = 0
    hybrid = "vit_tiny_r_s16_p8_224"
    more = (
        (trace_of(hybrid, img_size=64, embed_dim=48, depth=2, num_heads=3, num_classes=4),)
        if what == "stem"
        else ()
    )
    for trace, query in ((swin, (3, 3)), (vit, (1, 1)), *((one, (1, 1)) for one in more)):
        try:
            image = plate(trace, what, layer=2 if what == "merge" else 1, query=query)
        except MethodError:
            continue
        drawn += 1
        assert np.asarray(image.convert("L")).std() > 5
    assert drawn == (2 if what in ("patches", "filters", "embedding") else 1)
    with pytest.raises(MethodError, match="There is no plate"):
        plate(vit, "nothing")


def test_all_plates_are_every_layers_and_every_tables(swin: Trace) -> None:
    names = [one.name for one in vitviz.plates(swin, query=(3, 3))]
    layers = [layer.name for layer in swin.layers]
    kinds = ("windows", "shifted", "merge", "matrix", "split", "bias")
    expected = [f"{kind}-{layer}" for kind in kinds for layer in layers]
    expected = [name for name in expected if not name.startswith("merge-layers.0")]  # nothing merged yet
    assert names == [*expected, "patches", "filters", "embedding"]
    only = list(vitviz.plates(swin, ["bias"], layer=2, query=(3, 3)))
    assert [one.name for one in only] == [f"bias-{layers[2]}"]
    np.testing.assert_array_equal(
        np.asarray(only[0].image), np.asarray(plate(swin, "bias", layer=2, query=(3, 3)))
    )
    with pytest.raises(MethodError, match="no table of positions"):
        list(vitviz.plates(swin, ["similarity", "norm"]))


def test_a_resized_table_is_drawn_as_stored_too_and_prefix_tokens_have_their_own(vit: Trace) -> None:
    module = small("deit_tiny_distilled_patch16_224", **VIT)
    wide = vitviz.trace(vitviz.load_model(module, device="cpu"), noise((90, 60)), framing="fit")
    kinds = ["similarity", "prefix", "components", "norm"]
    drawn = {one.name: one.image for one in vitviz.plates(wide, kinds)}
    assert list(drawn) == [name for kind in kinds for name in (kind, f"{kind}-stored")]
    assert [one.name for one in vitviz.plates(vit, kinds)] == kinds  # used as it was stored
    both = np.asarray(plate(wide, "norm", stored="both"))
    parts = [np.asarray(drawn[name]) for name in ("norm-stored", "norm")]
    assert both.shape[1] == parts[0].shape[1] + parts[1].shape[1]
    np.testing.assert_array_equal(both[: parts[0].shape[0], : parts[0].shape[1]], parts[0])
    np.testing.assert_array_equal(both[: parts[1].shape[0], parts[0].shape[1] :], parts[1])
    found = vitviz.positions.prefix_similarity(wide)
    cells = colored(found.patches[1], -1, 1)
    rows, cols = cells.shape[:2]
    image = np.asarray(drawn["prefix"])
    step, gap = 320 // rows, 20
    left = 2 * gap + cols * step  # the second of two
    places = (
        np.arange(rows)[:, None] * step + gap + step // 2,
        np.arange(cols)[None] * step + left + step // 2,
    )
    np.testing.assert_array_equal(image[places], cells)


def test_the_command_writes_all_plates_into_a_folder(tmp_path, photo, capsys) -> None:
    source, out = tmp_path / "photo.png", tmp_path / "plates"
    Image.fromarray(photo.pixels).save(source)
    words = [str(source), "--model", "demo/vit", "--device", "cpu", "--out"]
    assert main(["plate", "all", *words, str(out)]) == 0
    names = {file.name for file in out.iterdir()}
    expected = ("similarity", "prefix", "components", "norm", "patches", "filters", "embedding")
    assert names == {f"photo-{name}.png" for name in expected}
    assert len(capsys.readouterr().out.splitlines()) == len(names)
    assert main(["plate", "all", *words, str(out / "one.png")]) == 1
    assert "into a folder" in capsys.readouterr().err
    assert main(["plate", "bias", *words, str(out), "--layer", "all"]) == 1
    assert "before the first layer" in capsys.readouterr().err


def test_the_command_writes_a_plate(tmp_path, photo) -> None:
    source, out = tmp_path / "photo.png", tmp_path / "windows.png"
    Image.fromarray(photo.pixels).save(source)
    words = ["plate", "windows", str(source), "--model", "demo/swin", "--device", "cpu"]
    assert main([*words, "--layer", "1", "--query", "0,0", "--out", str(out)]) == 0
    with Image.open(out) as image:
        assert image.info["Plate"] == "windows"
        assert image.width == photo.width
