"""The bundled models, scenes and their figures: they load like any model, recognise what they show, and pass the check."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

import vitviz
from vitviz.demo import figures
from vitviz.demo.architectures import ARCHITECTURES, KINDS
from vitviz.demo.samples import SAMPLES, write
from vitviz.demo.score import Score
from vitviz.demo.shapes import CLASSES
from vitviz.explain.measures.truth import OnObject, on_object
from vitviz.images.framing import PatchGrid
from vitviz.resources_path import resource


@pytest.fixture(scope="module")
def fresh():
    """40 scenes of the test range, every second with two objects."""
    return list(figures.test_scenes(40))


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    return vitviz.load_model(f"demo/{request.param}", device="cpu")


def opened(stem):
    return vitviz.open_image(resource(f"scenes/{stem}.png"))


def test_all_weights_together_are_small():
    files = list(resource("models").glob("*.safetensors"))
    assert {file.stem for file in files} == {*KINDS, "teacher"}
    assert sum(file.stat().st_size for file in files) < 12e6


@pytest.mark.parametrize("kind", KINDS)
def test_the_card_says_what_the_weights_are(kind):
    card = json.loads(resource(f"models/{kind}.json").read_text())
    name, arguments = ARCHITECTURES[kind]
    assert card["timm"] == {"architecture": name, "kwargs": arguments}
    assert card["labels"] == list(CLASSES)
    training = card["training"]
    assert training["pictures"] == 64 * training["steps"] > 10_000
    assert training["accuracy"]["one_object_scenes"] >= 1000
    assert f"vitviz.demo.train {kind}" in training["command"]
    tensors = load_file(resource(f"models/{kind}.safetensors"))
    assert {str(t.dtype) for t in tensors.values() if t.is_floating_point()} == {"torch.float16"}
    assert not [key for key in tensors if key.startswith("dense")]


def test_models_recognise_fresh_scenes(model, fresh):
    found = figures.accuracy(model.module, fresh)
    assert found.one == 20
    assert found.top1 >= 0.85
    assert found.both >= 0.7


def test_the_teacher_recognises_fresh_scenes(fresh):
    assert figures.accuracy(figures.teacher(), fresh).top1 >= 0.9


def test_models_pass_the_check_on_a_bundled_scene(model):
    traced = vitviz.trace(model, opened("two-objects"), check=True)
    assert traced.check is not None
    assert traced.check.worst <= traced.check.tolerance
    assert model.labels == CLASSES


def test_the_opening_scene_is_recognised_from_its_large_picture(model):
    traced = vitviz.trace(model, opened("two-objects"))
    assert {p.label for p in traced.predictions(top=2)} == {"heart", "star"}


def test_the_swin_really_shifts_in_both_stages():
    traced = vitviz.trace(vitviz.load_model("demo/swin", device="cpu"), opened("one-object"))
    shifts = [layer.layout.windows.shift for layer in traced.layers]
    assert shifts == [(0, 0), (1, 1), (0, 0), (1, 1), (0, 0), (1, 1)]


@pytest.mark.parametrize("kind", KINDS)
def test_rollout_finds_the_object_better_than_a_uniform_map(kind, fresh):
    single = [drawn for drawn in fresh if len(drawn.kinds) == 1]
    aim = figures.aims(f"demo/{kind}", single[:12])["rollout"]
    assert aim.scenes == 12
    assert aim.beats_uniform


def test_the_index_names_files_that_are_there_and_fit():
    index = json.loads(resource("scenes/index.json").read_text())["scenes"]
    assert [entry["file"] for entry in index] == [f"{sample.stem}.png" for sample in SAMPLES]
    sizes = set()
    for entry in index:
        picture = Image.open(resource(f"scenes/{entry['file']}"))
        sizes.add(picture.size)
        assert sum(entry["weights"].values()) == pytest.approx(1)
        assert set(entry["weights"]) == {thing["class"] for thing in entry["objects"]}
        for thing in entry["objects"]:
            mask = np.asarray(Image.open(resource(f"scenes/{thing['mask']}")))
            assert mask.shape == (picture.height, picture.width)
            assert mask.max() == 255
    assert any(w > h for w, h in sizes)
    assert any(w < h for w, h in sizes)


def test_the_bundled_scenes_are_what_the_command_draws(tmp_path):
    write(tmp_path, SAMPLES[:1])
    for name in ("two-objects.png", "masks/two-objects-1.png", "masks/two-objects-2.png"):
        drawn, bundled = (
            np.asarray(Image.open(tmp_path / name)),
            np.asarray(Image.open(resource(f"scenes/{name}"))),
        )
        assert np.abs(drawn.astype(int) - bundled).max() <= 2


def a_map(values):
    return SimpleNamespace(values=np.array(values, np.float32), patches=PatchGrid(2, 2, (4.0, 4.0)))


def test_mass_and_pointing_are_measured_against_the_mask():
    mask = np.zeros((8, 8), np.uint8)
    mask[:4, :2] = 255
    found = on_object(a_map([[3.0, 1.0], [-5.0, 0.0]]), mask)
    assert (found.points, found.chance, found.uniform) == (True, 0.25, 0.125)
    assert found.mass == pytest.approx(3 / 4 * 0.5)
    missed = on_object(a_map([[0.0, 1.0], [0.0, 0.0]]), mask)
    assert (missed.points, missed.mass) == (False, 0.0)
    nothing = on_object(a_map([[-1.0, -1.0], [-1.0, -1.0]]), mask)
    assert (nothing.points, nothing.mass) == (False, 0.0)


def test_a_lead_within_chance_does_not_count():
    rng = np.random.default_rng(0)
    noise = [OnObject(True, 0.2, 0.2 + d, 0.2) for d in rng.normal(0, 0.05, 40)]
    noise += [OnObject(True, 0.2, 0.4 - one.mass, 0.2) for one in noise]
    assert not figures.summed_up(noise).beats_uniform
    clear = figures.summed_up([OnObject(True, 0.2, 0.3 + d, 0.2) for d in rng.normal(0, 0.02, 40)])
    assert clear.beats_uniform
    assert clear.mass == pytest.approx(0.3, abs=0.02)


def test_class_specific_maps_point_to_the_object_that_was_asked_for():
    pairs = figures.of_two_classes(12)
    assert all(len({*drawn.kinds}) == 2 for drawn in pairs)
    found = figures.askings("demo/vit", pairs)
    assert found["rollout"].askings == 24
    # The same map for both: right for one as often as it is wrong for the other.
    assert found["rollout"].rather == 0.5
    assert found["relevance"].rather >= 0.8
    assert found["relevance"].asked > found["relevance"].other
    one = found["relevance"]
    line = figures.asked_table({"demo/vit": {"relevance": one}}).splitlines()[2]
    assert (
        line
        == f"| demo/vit | relevance | {one.asked:.1%} | {one.other:.1%} | {one.elsewhere:.1%} | {one.rather:.1%} |"
    )


def test_the_tables_say_so_when_a_method_fails_or_does_not_apply():
    bad = figures.Aim(50, 0.1, 0.2, 0.15, 0.16, 0.01)
    table = figures.aim_table(
        {"demo/x": {"poor": bad, "other": "does not apply, because it has no attention"}}
    )
    assert table.splitlines()[2].endswith("| no |")
    assert "does not apply, because it has no attention" in table
    assert "| demo/x | 97.0% | 90.0% |" in figures.accuracy_table({"demo/x": Score(0.97, 10, 0.9, 10)})
