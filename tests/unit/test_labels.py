import json
import os

import pytest

from vitviz.errors import ModelError
from vitviz.models.labels import classes_called, imagenet_labels, labels_for


def test_imagenet_names_are_short():
    names = labels_for(1000)
    assert [names[index] for index in (1, 207, 281, 340, 404, 402)] == [
        "goldfish",
        "golden retriever",
        "tabby",
        "zebra",
        "airliner",
        "acoustic guitar",
    ]


@pytest.mark.parametrize("count", [1000, 10450, 11221, 11821, 21841, 21842, 21843])
def test_every_imagenet_subset_has_its_names(count):
    names = labels_for(count)
    assert len(names) == count
    assert all(names)
    assert f"class {count - 1}" not in names


def test_classes_that_share_a_short_name_are_told_apart():
    names = labels_for(1000)
    assert len(set(names)) == 1000
    assert names[134].startswith("crane (")
    assert names[517].startswith("crane (")
    assert names[134] != names[517]


def test_other_numbers_of_classes_are_numbered():
    assert labels_for(3) == ("class 0", "class 1", "class 2")
    assert labels_for(0) == ()
    assert imagenet_labels(999) is None


def test_a_sequence_or_a_mapping_is_taken_as_it_is():
    assert labels_for(2, ["cat", "dog"]) == ("cat", "dog")
    assert labels_for(2, {1: "dog", 0: "cat"}) == ("cat", "dog")
    with pytest.raises(ModelError, match="must name the model's 3 classes, and has 2 names"):
        labels_for(3, ["cat", "dog"])
    with pytest.raises(ModelError, match="without a name for class 0"):
        labels_for(2, {1: "dog", 2: "cat"})
    with pytest.raises(ModelError, match="a name for class 1, and has 7"):
        labels_for(2, ["cat", 7])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain.txt", "cat\nsea lion\n"),
        ("windows.txt", "\ufeffcat\r\nsea lion\r\n"),
        ("list.json", '["cat", "sea lion"]'),
        ("index.json", '{"1": "sea lion", "0": "cat"}'),
        ("keras.json", '{"0": ["n01", "cat"], "1": ["n02", "sea lion"]}'),
        ("config.json", '{"model_type": "vit", "id2label": {"0": "cat", "1": "sea lion"}}'),
        ("names.csv", "cat\nsea lion\n"),
        ("index.csv", '1,"sea lion"\n0,cat\n'),
        ("headed.csv", "index,name\n0,cat\n1,sea lion\n"),
        ("tabs.tsv", "0\tcat\n1\tsea lion\n"),
    ],
)
def test_labels_files(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    assert labels_for(2, path) == ("cat", "sea lion")
    assert labels_for(2, str(path)) == ("cat", "sea lion")


def test_bad_labels_files_are_told_with_their_name(tmp_path):
    with pytest.raises(ModelError, match=r"no labels file .*missing\.txt"):
        labels_for(2, tmp_path / "missing.txt")
    (tmp_path / "picture.txt").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ModelError, match=r"picture\.txt cannot be read: it is not text \(UTF-8\)"):
        labels_for(2, tmp_path / "picture.txt")
    (tmp_path / "broken.json").write_text('["cat",\n')
    with pytest.raises(ModelError, match=r"broken\.json is not valid JSON \(line 2\)"):
        labels_for(2, tmp_path / "broken.json")
    (tmp_path / "number.json").write_text("7")
    with pytest.raises(ModelError, match=r"number\.json must hold a list of names"):
        labels_for(2, tmp_path / "number.json")
    (tmp_path / "short.txt").write_text("cat\n")
    with pytest.raises(
        ModelError, match=r"labels file short\.txt must name the model's 2 classes, and has 1 names"
    ):
        labels_for(2, tmp_path / "short.txt")
    (tmp_path / "gap.txt").write_text("cat\n\ndog\n")
    with pytest.raises(ModelError, match="a name for class 1"):
        labels_for(3, tmp_path / "gap.txt")
    (tmp_path / "words.json").write_text(json.dumps({"one": "cat", "two": "dog"}))
    with pytest.raises(ModelError, match="numbered with whole numbers"):
        labels_for(2, tmp_path / "words.json")
    with pytest.raises(ModelError, match="cannot be read"):
        labels_for(2, tmp_path)


def test_a_class_is_found_by_label_word_code_or_part_of_its_label():
    names = labels_for(1000)
    assert classes_called(names, "n02123045") == [281]
    assert classes_called(names, " Tiger_cat ") == [282]
    assert classes_called(names, "tabby cat") == [281]  # one of ImageNet's words, in no label
    assert classes_called(names, "crane") == [134, 517]
    assert classes_called(names, "retriev") == classes_called(names, "") == []
    assert 207 in classes_called(names, "retriev", part=True)
    assert classes_called(["tabby, tabby cat", "dog"], "tabby cat") == [0]
    assert classes_called(["n1", "dog"], "n02123045", part=True) == []  # codes are ImageNet's alone


def test_labels_files_that_would_fill_the_memory_or_wait_for_ever(tmp_path):
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(1 << 40)  # a sparse file: a terabyte of zeros
    with pytest.raises(ModelError, match=r"huge\.txt cannot be read: it is larger than 17 MB"):
        labels_for(2, tmp_path / "huge.txt")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(ModelError, match=r"deep\.json is nested too deeply"):
        labels_for(2, tmp_path / "deep.json")
    os.mkfifo(tmp_path / "pipe.txt")
    for path in (tmp_path / "pipe.txt", "/dev/zero"):
        with pytest.raises(ModelError, match="cannot be read: it is a pipe or a device, not a file"):
            labels_for(2, path)
