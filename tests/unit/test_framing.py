"""Framing: equal to timm's own transform, and every patch found again in the photo's own pixels."""

from dataclasses import replace

import numpy as np
import pytest
import timm
from framings import MEAN, SIZES, STD, config, noise, timms_input
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform

from vitviz.errors import ModelError, VitvizError
from vitviz.images import framing as framing_module
from vitviz.images.framing import DataConfig, fit_size, frame
from vitviz.images.photo import photo_from_array

# The way in


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("input_size", [(224, 224), (256, 208), (64, 97)])
@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
def test_crop_is_timms_transform_to_the_bit(
    size: tuple[int, int], input_size: tuple[int, int], crop_mode: str
) -> None:
    photo = noise(*size)
    for crop_pct in (0.875, 0.9, 1.0, 1.15):  # above 1 the resized photo is smaller than the input
        if crop_mode == "border" and min(size) * min(input_size) / crop_pct / max(size) < 1:
            continue  # timm fails on these
        wanted = config(input_size, crop_pct, crop_mode)
        actual = frame(size, wanted).apply(photo)
        assert actual.dtype == np.float32
        assert actual.flags.c_contiguous
        np.testing.assert_array_equal(actual, timms_input(photo, wanted))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"])
def test_every_interpolation_of_timms_is_followed(interpolation: str) -> None:
    for size in ((300, 200), (100, 130)):
        wanted = config(interpolation=interpolation)
        np.testing.assert_array_equal(
            frame(size, wanted).apply(noise(*size)), timms_input(noise(*size), wanted)
        )


@given(
    st.tuples(st.integers(1, 600), st.integers(1, 600)),
    st.tuples(st.integers(16, 96), st.integers(16, 96)),
    st.floats(0.5, 1.3),
    st.sampled_from(["center", "squash", "border"]),
)
def test_any_crop_is_timms(
    size: tuple[int, int], input_size: tuple[int, int], crop_pct: float, crop_mode: str
) -> None:
    wanted = config(input_size, crop_pct, crop_mode)
    framing = frame(size, wanted)
    if crop_mode == "border" and min(framing.resized) == 1:
        return
    np.testing.assert_array_equal(framing.apply(noise(*size)), timms_input(noise(*size), wanted))


def test_the_data_configs_of_timms_models_are_followed() -> None:
    photo = noise(333, 500)
    for name in (
        "deit_tiny_patch16_224",
        "swin_tiny_patch4_window7_224",
        "vit_base_patch16_siglip_224",
        "eva02_tiny_patch14_336",
    ):
        pretrained = timm.get_pretrained_cfg(name)
        assert pretrained is not None
        data = timm.data.resolve_data_config(pretrained_cfg=pretrained.to_dict())
        wanted = DataConfig(
            data["input_size"][1:],
            data["mean"],
            data["std"],
            data["interpolation"],
            data["crop_pct"],
            data["crop_mode"],
        )
        reference = create_transform(**data)(Image.fromarray(photo.pixels)).numpy()
        np.testing.assert_array_equal(frame(photo.size, wanted).apply(photo), reference)


def test_a_border_so_thin_that_timm_fails_keeps_one_pixel() -> None:
    framing = frame((2, 2000), config(crop_mode="border"))
    assert framing.resized == (1, 248)
    assert framing.picture(noise(2, 2000)).shape == (224, 224, 3)


def test_squash_is_the_whole_photo_at_the_input_size() -> None:
    photo = noise(300, 200)
    framing = frame(photo.size, config((208, 256)), "squash")
    expected = Image.fromarray(photo.pixels).resize((256, 208), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(framing.picture(photo), np.asarray(expected))
    assert framing.seen() == (0, 0, 200, 300)


def test_fit_is_the_whole_photo_with_its_aspect_and_the_mean_around_it() -> None:
    photo = photo_from_array(np.full((263, 376, 3), (250, 10, 200), np.uint8))
    framing = frame(photo.size, config(), "fit")
    assert framing.input_size == framing.config.input_size == fit_size(photo.size, config()) == (192, 272)
    assert framing.resized == (190, 272)
    assert framing.offset == (-1, 0)
    picture = framing.picture(photo)
    mean = [round(255 * value) for value in MEAN]
    assert picture[[0, -1]].tolist() == [[mean] * 272] * 2
    assert np.all(picture[1:-1] == (250, 10, 200))
    assert framing.seen() == pytest.approx((0, 0, 376, 263))
    assert np.abs(framing.apply(photo)[:, 0]).max() < 0.01  # the mean colour is about zero for the model


def test_the_input_is_normalised_by_mean_and_deviation() -> None:
    photo = photo_from_array(np.full((224, 224, 3), (0, 128, 255), np.uint8))
    values = frame(photo.size, config(crop_pct=1.0)).apply(photo)
    expected = (np.array([0, 128 / 255, 1]) - MEAN) / STD
    np.testing.assert_allclose(
        values, np.broadcast_to(expected[:, None, None], (3, 224, 224)), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("size", [(640, 480), (3, 400), (400, 3), (90, 100)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_only_the_window_of_a_very_long_photo_is_resized(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], interpolation: str
) -> None:
    photo = noise(*size)
    framing = frame(size, config((96, 128), interpolation=interpolation))
    whole = framing.picture(photo).astype(int)
    monkeypatch.setattr(framing_module, "_MOST_RESIZED", 0)
    assert np.abs(framing.picture(photo) - whole).max() <= 1


def test_a_photo_of_a_million_to_one_can_be_framed() -> None:
    pixels = np.zeros((1, 1_000_000, 3), np.uint8)
    pixels[0, 500_000:] = 255
    photo = photo_from_array(pixels)
    for mode in ("crop", "squash", "fit"):
        framing = frame(photo.size, config(), mode)
        picture = framing.picture(photo)
        assert picture.shape == (*framing.input_size, 3)
    middle = frame(photo.size, config()).picture(photo)  # all of it would be 248 × 248,000,000 pixels
    assert middle[:, 0].max() < 20  # black, but for the filter's reach into the white half
    assert middle[:, -1].min() > 235


def test_a_framing_is_for_photos_of_its_own_size() -> None:
    with pytest.raises(ValueError, match="for a photo of"):
        frame((30, 40), config()).apply(noise(40, 30))


def test_an_unknown_framing_is_refused_with_the_choices() -> None:
    with pytest.raises(VitvizError, match="no framing “stretch”; choose one of crop, squash, fit"):
        frame((30, 40), config(), "stretch")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_size", (0, 224)),
        ("mean", (0.5,)),
        ("std", (0.2, 0.0, 0.2)),
        ("interpolation", "random"),
        ("crop_pct", 0),
        ("crop_mode", "middle"),
        ("multiple", 0),
    ],
)
def test_data_configs_that_no_framing_can_follow_are_refused(name: str, value: object) -> None:
    with pytest.raises(ModelError, match=f"The model's {name} is "):
        replace(config(), **{name: value})  # type: ignore[arg-type]


# The input size of "fit"


def test_fit_sizes_of_usual_photos() -> None:
    assert fit_size((1000, 1000), config()) == (224, 224)
    assert fit_size((3000, 4000), config()) == (192, 256)
    assert fit_size((4000, 3000), config()) == (256, 192)
    assert fit_size((4000, 6000), config((518, 518), multiple=14)) == (420, 630)
    assert fit_size((1, 1_000_000), config()) == (16, 16 * 196)


sizes = st.tuples(st.integers(1, 3000), st.integers(1, 3000))
configs = st.builds(
    lambda cells, multiple: config((cells[0] * multiple, cells[1] * multiple), multiple=multiple),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from([4, 14, 16, 32, 224]),
)


@given(sizes, configs)
def test_fit_pads_less_than_one_multiple_of_one_side(size: tuple[int, int], wanted: DataConfig) -> None:
    framing = frame(size, wanted, "fit")
    height, width = framing.input_size
    assert height % wanted.multiple == width % wanted.multiple == 0
    padding = height - framing.resized[0], width - framing.resized[1]
    assert min(padding) == 0
    assert max(padding) < wanted.multiple
    assert height * width < 8 * max(wanted.input_size[0] * wanted.input_size[1], wanted.multiple**2)
    for axis in (0, 1):  # the aspect is kept, to the rounding of a pixel
        exact = size[axis] * max(framing.resized[0] / size[0], framing.resized[1] / size[1])
        assert framing.resized[axis] == 1 or abs(framing.resized[axis] - exact) <= max(
            1, size[axis] / size[1 - axis]
        )


@given(sizes, configs)
def test_fit_asked_again_with_its_own_answer_gives_the_same(
    size: tuple[int, int], wanted: DataConfig
) -> None:
    once = fit_size(size, wanted)
    assert fit_size(size, replace(wanted, input_size=once)) == once
    assert frame(size, replace(wanted, input_size=once), "fit") == frame(size, wanted, "fit")
    assert fit_size(size[::-1], wanted) == once[::-1]


@given(st.floats(1 / 3, 3), st.integers(10, 40))
def test_fit_keeps_about_the_area(aspect: float, cells: int) -> None:
    height, width = fit_size((round(2000 * aspect), 2000), config((16 * cells, 16 * cells)))
    assert 0.8 < height * width / (16 * cells) ** 2 < 1.25
