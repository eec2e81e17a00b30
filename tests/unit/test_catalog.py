"""The shipped index against the models themselves, and the catalog made from it."""

import gzip
import json
import time

import pytest
import timm
from huggingface_hub import constants

from vitviz.models import architectures, catalog
from vitviz.models.architectures import bare_module, classifier_names, known, measure, signature
from vitviz.models.catalog import SCOPE, entries


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


def test_every_architecture_in_scope_is_listed_once():
    names = [entry.name for entry in entries()]
    assert names == timm.list_models(module=list(SCOPE))
    assert len(set(names)) == len(names)
    if timm.__version__ == "1.0.31":
        assert len(names) == 348


@pytest.mark.parametrize(
    "name",
    [
        "vit_tiny_patch16_224",
        "deit_tiny_distilled_patch16_224",
        "vit_relpos_small_patch16_rpn_224",
        "vit_tiny_r_s16_p8_224",
        "swin_tiny_patch4_window7_224",
        "swinv2_tiny_window8_256",
        "swinv2_cr_tiny_ns_224",
        "beitv2_base_patch16_224",
        "eva02_tiny_patch14_224",
        "cait_xxs24_224",
        "pit_ti_distilled_224",
        "naflexvit_base_patch16_gap",
    ],
)
def test_the_index_says_what_the_models_are(name):
    if architectures.index_version() != timm.__version__:
        pytest.skip(f"the index was written with timm {architectures.index_version()}")
    module = bare_module(name)
    one = known()[name]
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    assert one.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert dict(one.signature) == dict(signature(shapes, classifier_names(module.pretrained_cfg)))
    assert one.function == measure(name).function
    assert one.input_size == module.pretrained_cfg["input_size"][-2:]


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("vit_tiny_patch16_224", 197),
        ("deit_tiny_distilled_patch16_224", 198),
        ("vit_small_patch14_reg4_dinov2", 37 * 37 + 5),
        ("swin_tiny_patch4_window7_224", 56 * 56),
        ("pit_ti_distilled_224", 27 * 27 + 2),
        ("vit_tiny_r_s16_p8_224", 50),
        ("naflexvit_base_patch16_map", 24 * 24 + 1),
    ],
)
def test_tokens_are_patches_and_prefix(name, tokens):
    assert known()[name].tokens == tokens


def test_patterns_are_globs_or_parts():
    assert [entry.name for entry in entries("deit_tiny_*")] == [
        "deit_tiny_distilled_patch16_224",
        "deit_tiny_patch16_224",
    ]
    assert {entry.name for entry in entries("Distilled")} == {
        name for name in timm.list_models("*distilled*") if name.startswith(("deit", "pit"))
    }
    assert entries("no such model") == []


def test_entries_say_whether_weights_are_here(caches):
    assert not any(entry.cached for entry in entries("deit_tiny*"))
    folder = caches / "hub" / "models--timm--deit_tiny_patch16_224.fb_in1k"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc" / "model.safetensors").touch()
    assert {entry.name for entry in entries("deit_tiny*") if entry.cached} == {"deit_tiny_patch16_224"}


def test_the_catalog_is_quick():
    known()
    began = time.perf_counter()
    entries()
    assert time.perf_counter() - began < 5


def test_a_name_that_is_not_in_the_index_is_measured(monkeypatch):
    index = dict(architectures.read_index())
    expected = index.pop("vit_tiny_patch16_224")
    monkeypatch.setattr(architectures, "read_index", lambda: index)
    assert known()["vit_tiny_patch16_224"] == expected


def test_the_index_is_written_with_timms_version(tmp_path, monkeypatch):
    path = tmp_path / architectures.INDEX
    assert architectures.write_index(path, ["vit_tiny_patch16_224", "pit_ti_224"]) == 2
    assert json.loads(gzip.decompress(path.read_bytes()))["timm"] == timm.__version__
    first = path.read_bytes()
    architectures.write_index(path, ["vit_tiny_patch16_224", "pit_ti_224"])
    assert path.read_bytes() == first
    monkeypatch.setattr(catalog, "resource", lambda name: tmp_path / name)
    monkeypatch.setattr(catalog, "write_index", lambda path: 0)
    assert catalog.main(["--write"]) == 0
    with pytest.raises(SystemExit):
        catalog.main([])


def test_architectures_that_share_tensors_differ_in_function_only_where_they_do():
    together = known()
    assert together["vit_tiny_patch16_224"].function == together["deit_tiny_patch16_224"].function
    plain, quick = together["vit_base_patch32_clip_224"], together["vit_base_patch32_clip_quickgelu_224"]
    assert plain.signature == quick.signature
    assert plain.function != quick.function
