"""The shipped tables against timm, and what the listing says of models in the caches, of files and of random weights."""

import random
import subprocess
import sys

import pytest
import timm
import torch
from huggingface_hub import constants

from vitviz.errors import ModelError
from vitviz.models import listing
from vitviz.models.architectures import SCOPE
from vitviz.models.loading import load_model
from vitviz.models.model_table import (
    default_tag,
    known_models,
    measure_model,
    names_in_scope,
    refused_models,
    table_version,
    top1,
    training_data,
    write_table,
)

needs_this_timm = pytest.mark.skipif(
    table_version() != timm.__version__, reason=f"the table was written with timm {table_version()}"
)


@needs_this_timm
def test_the_table_has_every_name_in_scope():
    assert list(known_models()) == names_in_scope()
    assert set(timm.list_models(module=list(SCOPE), pretrained=True)) <= set(known_models())
    for architecture in ("vit_base_patch16_224", "deit_tiny_patch16_224", "swin_base_patch4_window7_224"):
        config = timm.models.get_pretrained_cfg(architecture)
        assert default_tag(architecture).name == f"{architecture}.{config.tag}"


@needs_this_timm
@pytest.mark.parametrize("name", random.Random(0).sample(sorted(known_models()), 5))
def test_the_table_says_what_timm_builds(name):
    assert measure_model(name) == known_models()[name]


@needs_this_timm
def test_structure_is_that_of_the_modules():
    swin = timm.create_model("swin_tiny_patch4_window7_224")
    known = known_models()["swin_tiny_patch4_window7_224.ms_in1k"]
    assert known.layers == tuple(len(stage.blocks) for stage in swin.layers)
    assert known.widths == tuple(stage.blocks[0].attn.dim for stage in swin.layers)
    assert known.heads == tuple(stage.blocks[0].attn.num_heads for stage in swin.layers)
    assert known.structure == "2-2-6-2 × 96–768 × 3–24"
    assert known.tokens == swin.patch_embed.num_patches


def test_writing_gives_the_same_file_twice(tmp_path):
    names = ["vit_tiny_patch16_224.augreg_in21k", "pit_ti_224.in1k"]
    names[0] = next(name for name in known_models() if name.startswith("vit_tiny_patch16_224."))
    for path in (tmp_path / "one.gz", tmp_path / "two.gz"):
        assert write_table(path, names) == 2
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()


def test_what_is_not_known_is_empty():
    assert training_data("augreg_in21k_ft_in1k") == "ImageNet-21k, ImageNet-1k"
    assert training_data("fb") == ""
    assert "vit_small_patch14_reg4_dinov2.lvd142m" not in top1()
    assert set(top1()) <= set(known_models())
    assert all(50 < value < 95 for value in top1().values())


def test_states_of_models(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    name = "deit_tiny_patch16_224.fb_in1k"
    assert listing.listed(name).state == "download"
    folder = tmp_path / "hub" / f"models--timm--{name}"
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs" / "abc.vitviz-partial").write_bytes(b"12345")
    assert (listing.listed(name).state, listing.listed(name).size) == ("partly", 5)
    (folder / "snapshots" / "c").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("c")
    (folder / "snapshots" / "c" / "model.safetensors").write_bytes(b"1234567")
    assert (listing.listed(name).state, listing.listed(name).size) == ("here", 7)
    assert listing.listed("deit_tiny_patch16_224").state == "here"
    weights = tmp_path / "mine.safetensors"
    assert listing.listed(str(weights)).state == "missing"
    weights.write_bytes(b"123")
    assert (listing.listed(str(weights)).state, listing.listed(str(weights)).size) == ("file", 3)


@pytest.mark.parametrize("name", listing.BUNDLED)
def test_bundled_models_are_listed_as_they_are(name):
    known = listing.bundled_model(name).known
    model = load_model(name, device="cpu")
    blocks = [part for part in model.module.modules() if hasattr(part, "num_heads") and hasattr(part, "proj")]
    assert known.parameters == model.parameters
    assert known.input_size == model.input_size
    assert sum(known.layers) == len(blocks)
    assert known.heads[-1] == blocks[-1].num_heads
    assert known.widths[-1] == blocks[-1].proj.out_features
    assert listing.labels_of_bundled(name) == model.labels


def test_random_weights_are_the_same_each_time_and_need_no_network(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    one, two = (load_model("random/vit_tiny_patch16_224", device="cpu") for _ in range(2))
    assert one.name == "vit_tiny_patch16_224 (random weights)"
    assert all(
        torch.equal(a, b) for a, b in zip(one.module.parameters(), two.module.parameters(), strict=True)
    )
    with pytest.raises(ModelError, match="timm has no model called"):
        load_model("random/no_such_model")


def test_precision_is_that_asked_for():
    name = "random/vit_tiny_patch16_224"
    assert load_model(name, device="cpu").dtype == torch.float32
    assert load_model(name, device="cpu", precision="bfloat16").dtype == torch.bfloat16
    with pytest.raises(ModelError, match="float16 is for GPUs"):
        load_model(name, device="cpu", precision="float16")
    with pytest.raises(ModelError, match="no precision “int8”; choose float32, bfloat16, float16"):
        load_model(name, device="cpu", precision="int8")


def test_the_list_needs_neither_torch_nor_timm():
    if table_version() != timm.__version__:
        pytest.skip("another version of timm than the table's")
    program = (
        "import sys\n"
        "from vitviz.models.listing import listed_models, recommended_models\n"
        "assert len(listed_models()) > 500 and len(recommended_models()) == 4\n"
        "print([name for name in ('torch', 'timm') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_refused_names_are_timms_and_outside_the_scope():
    refused = refused_models()
    assert {"resnet50", "convnext_tiny"} <= set(refused)
    assert not set(refused) & set(timm.list_models(module=list(SCOPE)))
    assert set(refused) <= set(timm.list_models())
    assert all(one.reason and one.short for one in refused.values())


@pytest.mark.parametrize("name", ["resnet18", "convit_tiny", "edgenext_xx_small"])
def test_a_softmax_is_seen_where_there_is_one(name):
    from vitviz.batch.refused import has_softmax
    from vitviz.models.architectures import bare_module

    assert has_softmax(bare_module(name)) == (name != "resnet18")
    assert (refused_models()[name].short == "no attention") == (name == "resnet18")


def test_the_reasons_are_those_of_a_check():
    from vitviz.batch.refused import refusal

    assert refusal("resnet10t").startswith("resnet10t cannot be shown: it has no attention")
    assert refusal("vit_tiny_patch16_224") == ""
    assert refusal("convit_tiny")[1:] in refused_models()["convit_tiny"].reason
