"""A heatmap written as numbers and read again, and the one that the program brings with it."""

import numpy as np
import pytest
from small_models import small

import vitviz
from vitviz.errors import VitvizError
from vitviz.explain.heatmap import read_raw
from vitviz.images.photo import photo_from_array
from vitviz.resources_path import resource


@pytest.mark.parametrize("framing", ["crop", "squash", "fit"])
def test_a_heatmap_read_again_is_the_same_map_on_the_same_place(framing, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 110, 3), dtype=np.uint8)
    photo = photo_from_array(noise, "noise")
    trace = vitviz.trace(
        vitviz.load_model(small("vit_tiny_patch16_224"), device="cpu"), photo, framing=framing
    )
    heat = vitviz.explain(trace, "rollout", query=(0, 1))
    heat.save_raw(tmp_path / "map.npz")
    again = read_raw(tmp_path / "map.npz", photo)
    np.testing.assert_array_equal(again.values, heat.values)
    assert (again.framing, again.patches, again.prefix) == (
        heat.framing,
        heat.patches,
        pytest.approx(heat.prefix),
    )
    assert (again.title, again.unit, again.leak) == (heat.title, heat.unit, heat.leak)
    assert np.array_equal(np.asarray(again.overlay()), np.asarray(heat.overlay()))


def test_what_is_no_heatmap_and_what_is_of_another_photo_is_told(tmp_path):
    other = photo_from_array(np.zeros((30, 30, 3), np.uint8), "other")
    (tmp_path / "text.npz").write_text("no numbers")
    np.savez(tmp_path / "else.npz", values=np.zeros(3))
    for name in ("text.npz", "else.npz", "missing.npz"):
        with pytest.raises(VitvizError, match=name):
            read_raw(tmp_path / name, other)
    with pytest.raises(VitvizError, match="another size"):
        read_raw(resource("scenes/first.npz"), other)


def test_the_picture_shown_at_the_start_is_what_the_bundled_model_gives():
    photo = vitviz.open_image(resource("scenes/two-objects.png"))
    stored = read_raw(resource("scenes/first.npz"), photo)
    heat = vitviz.explain(vitviz.trace(vitviz.load_model("demo/vit", device="cpu"), photo), "rollout")
    np.testing.assert_allclose(stored.values, heat.values, rtol=1e-4, atol=1e-7)
    assert (stored.title, stored.patches, stored.framing) == (heat.title, heat.patches, heat.framing)
