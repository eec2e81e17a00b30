"""Drawn scenes: labels and masks must agree with the picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vitviz.demo.description import (
    SAMPLE_SEEDS,
    TEST_SEEDS,
    TEXTURES,
    TRAINING_SEEDS,
    VALIDATION_SEEDS,
    Description,
    Ground,
    describe,
)
from vitviz.demo.palette import difference, oklch
from vitviz.demo.scenes import draw, scene
from vitviz.demo.shapes import CLASSES, outlines


def alone(kind, **changes):
    """A white object on black, without anything else."""
    made = describe(3, kinds=(kind,), lines=0, ribbon=False)
    white = (255, 255, 255)
    thing = made.things[0].__class__(
        kind, 0.5, 0.5, 0.3, **{"angle": 0.0, "colour": white, "second": white, **changes}
    )
    ground = Ground("gradient", ((0, 0, 0), (0, 0, 0)), 0.0, 0.2, 0)
    return Description((1.0, 1.0), ground, (), (thing,))


def test_a_seed_always_draws_the_same_scene():
    first, again, other = scene(11, 64), scene(11, 64), scene(12, 64)
    assert np.array_equal(first.picture, again.picture)
    assert np.array_equal(first.masks, again.masks)
    assert not np.array_equal(first.picture, other.picture)


def test_the_seeds_of_training_and_of_figures_do_not_meet():
    ranges = [TRAINING_SEEDS, VALIDATION_SEEDS, TEST_SEEDS, SAMPLE_SEEDS]
    for i, first in enumerate(ranges):
        for second in ranges[:i]:
            assert first.stop <= second.start or second.stop <= first.start


@given(st.integers(0, 10**9), st.sampled_from([1, 2]))
def test_weights_masks_and_kinds_agree(seed, things):
    drawn = scene(seed, 48, things=things)
    assert drawn.picture.shape == (48, 48, 3)
    assert drawn.picture.dtype == np.uint8
    assert drawn.masks.shape == (things, 48, 48)
    assert drawn.weights.sum() == pytest.approx(1)
    assert set(drawn.kinds) == {CLASSES[i] for i in np.flatnonzero(drawn.weights)}
    if things == 2 and len(set(drawn.kinds)) == 2:
        assert sorted(drawn.weights)[-2:] == [0.5, 0.5]
    assert (drawn.masks > 127).sum(axis=(1, 2)).min() > 20
    # Two objects never share a pixel by more than their smooth edges.
    assert drawn.masks.astype(int).sum(axis=0).max() <= 300


@pytest.mark.parametrize("kind", CLASSES)
def test_the_mask_is_where_the_object_is(kind):
    drawn = draw(alone(kind), 96)
    shown = drawn.picture[..., 0]
    inside, outside = drawn.masks[0] == 255, drawn.masks[0] == 0
    assert shown[inside].min() > 240
    assert shown[outside].max() < 30


@pytest.mark.parametrize("kind", CLASSES)
def test_shapes_of_one_size_cover_similar_areas(kind):
    area = draw(alone(kind), 128).masks[0].sum() / 255 / 128**2
    assert 0.45 < area / (np.pi * 0.3**2) < 1.0


def test_every_pair_of_classes_looks_different():
    masks = [draw(alone(kind), 64).masks[0].astype(float) / 255 for kind in CLASSES]
    for i, first in enumerate(masks):
        for second in masks[:i]:
            turned = [np.rot90(second, n) for n in range(4)]
            overlap = max(np.minimum(first, t).sum() / np.maximum(first, t).sum() for t in turned)
            assert overlap < 0.93


def test_turning_a_shape_turns_its_mask():
    upright, turned = draw(alone("heart"), 96).masks[0], draw(alone("heart", angle=0.25), 96).masks[0]
    # A quarter turn clockwise on the screen, as y points down.
    assert np.abs(np.rot90(upright.astype(int), -1) - turned).mean() < 3


def test_a_ring_has_a_hole():
    assert outlines("ring")[1] is not None
    assert draw(alone("ring"), 96).masks[0][48, 48] == 0
    assert draw(alone("circle"), 96).masks[0][48, 48] == 255


@pytest.mark.parametrize("seed", range(6))
def test_a_small_drawing_is_a_large_one_made_smaller(seed):
    description = describe(seed)
    small, large = draw(description, 96), draw(description, 480)
    shrunk = np.asarray(Image.fromarray(large.picture).resize((96, 96), Image.Resampling.BICUBIC))
    assert np.abs(shrunk.astype(int) - small.picture).mean() < 4
    for one, other in zip(small.masks, large.masks, strict=True):
        less = np.asarray(Image.fromarray(other).resize((96, 96), Image.Resampling.BOX))
        assert np.abs(less.astype(int) - one).mean() < 1.5


def test_wide_and_tall_pictures_have_their_shape():
    assert draw(describe(1, extent=(1.0, 1.75)), 80).picture.shape == (80, 140, 3)
    assert draw(describe(1, extent=(1.5, 1.0)), 80).picture.shape == (120, 80, 3)


def test_a_ribbon_takes_what_it_hides_out_of_the_mask():
    clear = draw(describe(5, things=1, ribbon=False), 96)
    hidden = draw(describe(5, things=1, ribbon=True), 96)
    whole, left = clear.masks[0].sum(dtype=int), hidden.masks[0].sum(dtype=int)
    assert 0.3 * whole < left < 0.95 * whole
    assert (hidden.masks[0] <= clear.masks[0]).all()


def test_masks_of_one_scene_share_no_pixel():
    for seed in (7, 8, 9):
        drawn = scene(seed, 96, things=2)
        assert drawn.masks.shape == (2, 96, 96)
        assert all(mask.max() == 255 for mask in drawn.masks)
        assert drawn.masks.sum(axis=0, dtype=int).max() <= 256  # each is rounded by itself


def test_colour_does_not_betray_the_class():
    """The mean colour of objects, per class, differs from the mean over all by no more than chance allows."""
    colours, kinds = [], []
    for seed in range(1500):
        for thing in describe(seed).things:
            colours.append((*thing.colour, *thing.second))
            kinds.append(CLASSES.index(thing.kind))
    table, labels = np.array(colours, dtype=float), np.array(kinds)
    spread = table.std(axis=0)
    worst = 0.0
    for index in range(len(CLASSES)):
        chosen = table[labels == index]
        z = (chosen.mean(axis=0) - table.mean(axis=0)) / (spread / np.sqrt(len(chosen)))
        worst = max(worst, float(np.abs(z).max()))
    assert worst < 4


def test_texture_fill_and_clutter_do_not_betray_the_class():
    counts = np.zeros((len(CLASSES), len(TEXTURES)))
    lines = [[] for _ in CLASSES]
    for seed in range(3000):
        made = describe(seed, things=1)
        index = CLASSES.index(made.things[0].kind)
        counts[index, TEXTURES.index(made.ground.texture)] += 1
        lines[index].append(len(made.lines))
    expected = counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / counts.sum()
    # 54 degrees of freedom: chance exceeds 100 once in 10,000.
    assert ((counts - expected) ** 2 / expected).sum() < 100
    assert max(abs(np.mean(n) - 2.67) for n in lines) < 0.5


def test_objects_stand_out_from_the_background():
    gaps = []
    for seed in range(300):
        made = describe(seed)
        gaps += [difference(thing.colour, ground) for thing in made.things for ground in made.ground.colours]
    assert np.quantile(gaps, 0.02) > 0.2


def test_oklch_gives_known_colours():
    assert oklch(1.0, 0.0, 0.0) == (255, 255, 255)
    assert oklch(0.0, 0.0, 0.0) == (0, 0, 0)
    red = oklch(0.62796, 0.25768, 29.234 / 360)
    assert np.abs(np.array(red) - (255, 0, 0)).max() <= 1
    assert difference((0, 0, 0), (255, 255, 255)) == pytest.approx(1, abs=1e-3)
