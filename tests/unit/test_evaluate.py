"""`vitviz evaluate`: its table, its errors for unusable photos and labels, and continuing where it was stopped."""

import csv
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_models import VIT, small

import vitviz
from vitviz.batch import evaluate, subjects
from vitviz.batch.scores_table import ScoreTable
from vitviz.cli import evaluate as command
from vitviz.cli import main
from vitviz.errors import VitvizError
from vitviz.explain.measures import faithfulness, truth
from vitviz.models.labels import imagenet_labels

QUICK = ["--steps", "4", "--random", "3", "--device", "cpu", "--methods", "attention,relevance"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small ViT as a file, ten classes."""
    path = tmp_path_factory.mktemp("weights") / "small.pth"
    torch.save(small("vit_tiny_patch16_224", **VIT), path)
    return path


@pytest.fixture(autouse=True)
def _loads(monkeypatch, weights):
    """`--model small` is that ViT, so that the tests do not depend on recognising a weight file."""
    loading = import_module("vitviz.models.loading")
    real = loading.load_model
    module = small("vit_tiny_patch16_224", **VIT)

    def load(source, **options):
        options.pop("progress", None)
        return real(module if source == "small" else source, **options)

    monkeypatch.setattr(loading, "load_model", load)


@pytest.fixture
def folder(tmp_path):
    """Two photos and, between them in the order of names, a file that is no photo."""
    inside = tmp_path / "photos"
    inside.mkdir()
    for name, seed in (("a.png", 1), ("c.jpg", 2)):
        noise = np.random.default_rng(seed).integers(0, 256, (80, 100, 3), dtype=np.uint8)
        Image.fromarray(noise).save(inside / name)
    (inside / "b.png").write_text("no picture")
    (inside / "notes.txt").write_text("not asked about")
    return inside


def run(folder, out, *more):
    return main(["evaluate", str(folder), "--model", "small", "--out", str(out), *QUICK, *more])


def lines(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_holds_what_faithfulness_gives_and_says_which_photo_failed(folder, tmp_path, capsys):
    out, plot = tmp_path / "scores.csv", tmp_path / "curves.png"
    assert run(folder, out, "--png", str(plot)) == 1
    said = capsys.readouterr()
    assert "b.png" in said.err
    assert "1 of 3 photos could not be scored" in said.err
    found = {(Path(row["photo"]).name, row["method"]): row for row in lines(out)}
    names = [
        (photo, method) for photo in ("a.png", "c.jpg") for method in ("attention", "random", "relevance")
    ]
    assert sorted(found) == sorted(names)

    model = vitviz.load_model(small("vit_tiny_patch16_224", **VIT), device="cpu")
    trace = vitviz.trace(model, vitviz.open_image(folder / "c.jpg"))
    best = trace.predictions(1)[0]
    own = faithfulness.scores(trace, vitviz.explain(trace, "relevance", target=best.index), steps=4)
    row = found["c.jpg", "relevance"]
    assert (int(row["target"]), row["label"], row["asked"]) == (best.index, best.label, "prediction")
    assert float(row["deletion"]) == pytest.approx(own.deletion.area, abs=1e-5)
    assert float(row["insertion"]) == pytest.approx(own.insertion.area, abs=1e-5)
    np.testing.assert_allclose(
        [float(number) for number in row["deletion_curve"].split()], own.deletion.probabilities, atol=1e-5
    )
    chance = faithfulness.baseline(trace, trace.patches, steps=4, orders=3)
    row = found["c.jpg", "random"]
    assert float(row["deletion"]) == pytest.approx(chance.deletion.area.mean, abs=1e-5)
    assert float(row["area_ci95"]) == pytest.approx(chance.deletion.area.half, rel=1e-4)
    # The printed means, from the file.
    of_both = [float(found[photo, "attention"]["deletion"]) for photo in ("a.png", "c.jpg")]
    less = [
        float(found[p, "random"]["deletion"]) - float(found[p, "attention"]["deletion"])
        for p in ("a.png", "c.jpg")
    ]
    printed = next(line for line in said.out.splitlines() if line.startswith("| attention"))
    half = 12.7062047 * abs(of_both[0] - of_both[1]) / 2
    assert f"| 2 | {np.mean(of_both):.3f} ± {half:.3f} | {np.mean(less):.3f} ±" in printed
    assert any(line.startswith("| random | 2 |") for line in said.out.splitlines())
    with Image.open(plot) as image:
        assert image.width == 1600
        assert len(image.convert("RGB").getcolors(1 << 20)) > 20


def test_a_stopped_run_goes_on_and_ends_with_the_same_table(folder, tmp_path, capsys, monkeypatch):
    (folder / "b.png").unlink()
    whole, parts = tmp_path / "whole.csv", tmp_path / "parts.csv"
    assert run(folder, whole) == 0
    add = ScoreTable.add

    def once(self, rows):
        add(self, rows)
        raise KeyboardInterrupt

    monkeypatch.setattr(ScoreTable, "add", once)
    assert run(folder, parts) == 130
    assert "continues from" in capsys.readouterr().err
    assert {Path(row["photo"]).name for row in lines(parts)} == {"a.png"}
    monkeypatch.setattr(ScoreTable, "add", add)
    with open(parts, "ab") as file:  # killed while it wrote the next line
        file.write(b"photos/c.jpg,predic")
    seen = []
    score = evaluate.score
    monkeypatch.setattr(
        evaluate, "score", lambda subject, *rest: seen.append(subject.name) or score(subject, *rest)
    )
    assert run(folder, parts) == 0
    assert [Path(name).name for name in seen] == ["c.jpg"]
    assert parts.read_bytes() == whole.read_bytes()
    # All there: nothing is computed, the means are printed again.
    capsys.readouterr()
    assert run(folder, parts) == 0
    assert len(seen) == 1
    assert "| relevance | 2 |" in capsys.readouterr().out
    # One method more: only that one is computed.
    assert run(folder, parts, "--methods", "attention,rollout") == 0
    assert len(lines(parts)) == 8
    assert sum(row["method"] == "random" for row in lines(parts)) == 2


def test_batches_of_any_size_give_the_same_table(folder, tmp_path):
    (folder / "b.png").unlink()
    tables = []
    for batch in ("1", "3", "64"):
        out = tmp_path / f"{batch}.csv"
        assert run(folder, out, "--batch", batch) == 0
        tables.append([[float(row["deletion"]), float(row["insertion"])] for row in lines(out)])
    np.testing.assert_allclose(tables[1], tables[0], atol=1e-5)
    np.testing.assert_allclose(tables[2], tables[0], atol=1e-5)


ASKED = ["evaluate", "--scenes", "8", "--methods", "rollout", "--steps", "6", "--random", "3"]
ASKED += ["--device", "cpu", "--out"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The table of a program that was not stopped."""
    out = tmp_path_factory.mktemp("scenes") / "whole.csv"
    assert main([*ASKED, str(out)]) == 0
    return out


STOPS = [(signal.SIGINT, 130)] + ([(signal.SIGKILL, -signal.SIGKILL)] if hasattr(signal, "SIGKILL") else [])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(("stop", "status"), STOPS, ids=["interrupted", "killed"][: len(STOPS)])
def test_a_stopped_program_goes_on_to_the_table_of_one_that_was_not(tmp_path, whole, stop, status):
    out = tmp_path / "scenes.csv"
    place = {**os.environ, "PYTHONPATH": str(Path(vitviz.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "vitviz", *ASKED, str(out)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def hear() -> None:  # a shell lets its background jobs ignore interrupts, and children inherit that
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(words, env=place, preexec_fn=hear, **quiet) as process:
        end = time.monotonic() + 120
        while time.monotonic() < end and not (out.exists() and len(lines(out)) > 2):
            time.sleep(0.02)
        process.send_signal(stop)
        assert process.wait(60) == status
    kept = out.read_bytes()
    assert 2 < kept.count(b"\n") - 1 < len(lines(whole))  # or nothing was stopped
    assert main([*ASKED, str(out)]) == 0
    assert out.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])  # what was there is not computed again
    keys = ("photo", "asked", "method", "grid", "points", "target", "seed")
    for one, other in zip(lines(out), lines(whole), strict=True):
        assert [one[key] for key in keys] == [other[key] for key in keys]
        for number in ("deletion", "insertion", "area_ci95", "mass"):
            assert float(one[number] or 0) == pytest.approx(float(other[number] or 0), abs=1e-5)


def test_a_file_of_other_settings_is_refused_and_left_alone(folder, tmp_path, capsys):
    out = tmp_path / "scores.csv"
    run(folder, out)
    before = out.read_bytes()
    capsys.readouterr()
    assert run(folder, out, "--steps", "5", "--baseline", "blur") == 1
    said = capsys.readouterr().err
    assert "other settings (steps 4, not 5; replacement mean, not blur)" in said
    assert out.read_bytes() == before
    other = tmp_path / "mine.csv"
    other.write_text("photo,target\na.png,1\n")
    assert run(folder, other) == 1
    assert "not a table that vitviz evaluate has written" in capsys.readouterr().err
    assert other.read_text() == "photo,target\na.png,1\n"


def test_other_weights_are_other_settings():
    one, two = (
        vitviz.load_model(small("vit_tiny_patch16_224", seed, **VIT), device="cpu") for seed in (0, 1)
    )
    assert evaluate.fingerprint(one) == evaluate.fingerprint(one) != evaluate.fingerprint(two)


def test_a_method_that_does_not_apply_is_told_with_the_reason(folder, tmp_path, capsys, monkeypatch):
    (folder / "b.png").unlink()
    monkeypatch.setattr(
        import_module("vitviz.explain.methods.relevance"), "refusal", lambda trace: "because it is Monday"
    )
    out = tmp_path / "scores.csv"
    assert run(folder, out) == 0
    assert "relevance was left out of 2: Relevance does not apply to" in capsys.readouterr().out
    assert [row["note"][-21:] for row in lines(out) if row["method"] == "relevance"] == [
        "because it is Monday."
    ] * 2
    seen = []
    monkeypatch.setattr(evaluate, "score", lambda *all_: seen.append(all_))
    assert run(folder, out) == 0
    assert not seen


def test_labels_in_a_file_are_the_targets(folder, tmp_path, capsys):
    (folder / "b.png").unlink()
    labels = tmp_path / "labels.csv"
    labels.write_text("photo,target\nphotos/a.png,3\na.png,class 4\nc.jpg,7\nelsewhere.jpg,2\n")
    out = tmp_path / "scores.csv"
    assert run(folder, out, "--labels", str(labels)) == 0
    found = {(Path(row["photo"]).name, row["target"]) for row in lines(out)}
    assert found == {("a.png", "3"), ("a.png", "4"), ("c.jpg", "7")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,class\na.png,1\n", "columns photo and target"),
        ("photo,target\na.png,1\n", "no line for"),
        (
            "photo,target\na.png,1\nc.jpg,12\n",
            "line 3: the model has 10 classes, numbered from 0; there is no 12",
        ),
        ("photo,target\na.png,dog\n", "line 2: the model has no class called “dog”"),
        ("photo,target\na.png\n", "line 2: the model has no class called “”"),
        (b"\xff\xfe\x00", "cannot be read as a CSV table"),
        (None, "There is no labels file"),
    ],
)
def test_labels_that_will_not_do_are_told(folder, tmp_path, capsys, text, words):
    labels = tmp_path / "labels.csv"
    if text is not None:
        labels.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert run(folder, tmp_path / "scores.csv", "--labels", str(labels)) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "scores.csv").exists()


def test_a_line_that_fits_two_photos_is_refused(tmp_path):
    photos = [tmp_path / "one" / "a.png", tmp_path / "two" / "a.png"]
    labels = tmp_path / "labels.csv"
    labels.write_text("photo,target\na.png,1\n")
    with pytest.raises(VitvizError, match="write more of its path"):
        subjects.in_file(photos, labels, ["zero", "one"])
    labels.write_text("photo,target\none/a.png,1\ntwo/a.png,zero\n")
    assert [each.target for each in subjects.in_file(photos, labels, ["zero", "one"])] == [1, 0]


def test_folders_are_classes_by_name_other_word_or_imagenet_code():
    labels = imagenet_labels(1000)
    for name, index in (("n02123045", 281), ("Tiger_cat", 282), ("281", 281), ("tabby cat", 281)):
        assert subjects.in_folders([Path(name) / "x.jpg"], labels)[0].target == index
    with pytest.raises(VitvizError, match="could be class 134 and 517"):
        subjects.find_class(labels, "crane", "here")
    with pytest.raises(VitvizError, match="no class called"):
        subjects.find_class(labels, "unicorn", "here")


def test_scenes_are_scored_for_each_class_with_their_masks(tmp_path, capsys):
    out = tmp_path / "scenes.csv"
    words = ["evaluate", "--scenes", "2", "--methods", "rollout", "--steps", "3", "--random", "2"]
    assert main([*words, "--device", "cpu", "--out", str(out)]) == 0
    rows = [row for row in lines(out) if row["method"] == "rollout"]
    model = vitviz.load_model("demo/vit", device="cpu")
    from vitviz.demo import figures

    expected = []
    for drawn in figures.test_scenes(2):
        trace = vitviz.trace(model, vitviz.images.photo.photo_from_array(drawn.picture))
        heatmap = vitviz.explain(trace, "rollout")
        for kind, mask in zip(drawn.kinds, drawn.masks, strict=True):
            found = truth.on_object(heatmap, mask)
            expected.append((kind, found.points, pytest.approx(found.mass, rel=1e-4)))
    assert [(row["label"], row["points"] == "1", float(row["mass"])) for row in rows] == expected
    assert "points at the object" in capsys.readouterr().out


def test_the_bundled_scenes_masks_lie_where_the_model_sees_them():
    found = subjects.bundled(vitviz.load_model("demo/vit", device="cpu").labels)
    assert len(found) == 10
    for subject in found:
        assert subject.mask().shape == subject.open().size
        assert subject.mask().max() == 255


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "one of them"),
        (["x.png", "--sample"], "one of them"),
        (["x.png"], "Name a model"),
        (["--sample", "--labels", "folders"], "leave --labels out"),
        (["--sample", "--random", "1"], "--random is at least 2"),
        (["--sample", "--png", "x.jpg"], "must end in .png"),
        (["--sample", "--methods", "rolout"], "no method 'rolout'"),
    ],
)
def test_what_contradicts_itself_is_refused_at_once(tmp_path, capsys, words, sentence):
    assert main(["evaluate", *words, "--out", str(tmp_path / "x.csv")]) == 1
    assert sentence in capsys.readouterr().err


def test_defaults_are_those_of_the_library():
    import argparse

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    given = parser.parse_args(["--out", "x.csv"])
    assert (given.steps, given.random, given.baseline) == (faithfulness.STEPS, faithfulness.ORDERS, "mean")
    scoring = evaluate.Scoring()
    assert (scoring.steps, scoring.orders, scoring.replacement) == (given.steps, given.random, given.baseline)
    assert (scoring.framing, scoring.seed, scoring.batch) == (given.framing, given.seed, given.batch)
    assert {"mean", "blur"} == set(faithfulness.REPLACEMENTS)
