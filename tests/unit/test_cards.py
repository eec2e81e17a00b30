"""Cards and configs beside weights are untrusted: nothing in them reaches the network or a file; all values are checked."""

import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from vitviz.errors import ModelError
from vitviz.models import cards
from vitviz.models.loading import load_model

VIT = "vit_tiny_patch16_224"
OPTIONS = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 1, "num_heads": 3, "num_classes": 2}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a card reached the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    save_file(timm.create_model(VIT, **OPTIONS).state_dict(), path)
    return path


def card(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {"timm": {"architecture": VIT, "kwargs": OPTIONS}, "labels": ["a", "b"]}
    return whole | changes


def built(**options: Any) -> dict[str, Any]:
    return card(timm={"architecture": VIT, "kwargs": {**OPTIONS, **options}})


CASES: list[tuple[dict[str, Any], str]] = [
    (built(pretrained=True), "sets the option pretrained, which a card may not set"),
    (built(pretrained_cfg={"url": "https://example.org/x.pth"}), "sets the option pretrained_cfg"),
    (built(pretrained_cfg_overlay={"file": "/etc/passwd"}), "sets the option pretrained_cfg_overlay"),
    (built(checkpoint_path="/etc/passwd"), "sets the option checkpoint_path"),
    (built(cache_dir="/tmp/x"), "sets the option cache_dir"),
    (card(timm={"architecture": "hf-hub:somebody/evil"}), "names the source “hf-hub:somebody/evil”"),
    (card(timm={"architecture": "local-dir:/tmp"}), "names the source “local-dir:/tmp”"),
    (card(timm={"architecture": "../evil"}), "names the source “../evil”"),
    (card(timm={"architecture": 7}), "names no timm architecture"),
    (card(timm={"architecture": "vit_nothing"}), "timm has no model called “vit_nothing”"),
    (card(timm={"architecture": VIT, "kwargs": [1]}), "gives a list as the model's options"),
    (card(labels="/etc/passwd"), "gives a text as its labels, not a list of names"),
    (card(labels=["a", 7]), "gives 7 as the name of a class"),
    (card(labels=["a"]), "must name the model's 2 classes"),
    (card(data={"mean": "red"}), "gives mean 'red', and it must be 3 numbers"),
    (card(data={"std": [1, 0, 1]}), "gives std [1, 0, 1], and it must be above 0"),
    (card(data={"mean": [float("nan")] * 3}), "and it must be 3 numbers"),
    (card(data={"crop_pct": 0}), "gives crop_pct 0"),
    (card(data={"interpolation": "../x"}), "gives interpolation '../x'"),
    (card(data=[1]), "gives a list as its preprocessing"),
    (built(depth=10**9), "gives depth 1000000000, more than any model has"),
    (built(depth=0), "gives depth 0, and it must be above 0"),
    (built(embed_dim=-1), "gives embed_dim -1, and it must be above 0"),
    (built(embed_dim=96_000, num_heads=3, depth=200), "billion parameters, more than vitviz loads"),
    (built(depth={"a": 1}), "gives a object as depth"),
    (built(depth="two"), "cannot be loaded as vit_tiny_patch16_224"),
    (built(no_such_option=1), "cannot be loaded as vit_tiny_patch16_224"),
    (built(num_heads=5), "cannot be loaded as vit_tiny_patch16_224"),
    (built(norm_layer="os.system"), "sets the option norm_layer"),
    (built(img_size=[[[1]]]), "which is no plain setting"),
]


@pytest.mark.parametrize(("content", "said"), CASES, ids=[said for _, said in CASES])
def test_a_card_says_only_what_a_card_may_say(weights: Path, content: dict[str, Any], said: str) -> None:
    weights.with_suffix(".json").write_text(json.dumps(content))
    with pytest.raises(ModelError) as caught:
        load_model(weights, device="cpu")
    assert said in caught.value.message
    assert caught.value.message.endswith((".", "?"))


def test_a_sound_card_is_taken(weights: Path) -> None:
    weights.with_suffix(".json").write_text(json.dumps(card()))
    assert load_model(weights, device="cpu").labels == ("a", "b")


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: path.write_text("[" * 100_000), "is nested too deeply"),
        (lambda path: path.write_text('{"timm": ' + "9" * 10_000 + "}"), "is not valid JSON"),
        (lambda path: path.write_bytes(b"\xff\xfe\0"), "it is not text"),
        (lambda path: path.write_bytes(b" " * (9 << 20)), "it is larger than 8 MB"),
    ],
)
def test_cards_that_cannot_be_read(weights: Path, write: Callable[[Path], object], said: str) -> None:
    write(weights.with_suffix(".json"))
    with pytest.raises(ModelError, match=said):
        load_model(weights, device="cpu")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "hf-hub:somebody/evil"}, "names the source"),
        ({"model_args": {"pretrained": True}}, "sets the option pretrained"),
        ({"model_args": {"depth": 10**9}}, "more than any model has"),
        ({"model_args": []}, "fit"),
        ({"model_args": [1]}, "gives a list as the model's options"),
        ({"num_classes": "many"}, "cannot be loaded|fit"),
        ({"num_classes": 10**9}, "gives num_classes 1000000000"),
        ({"pretrained_cfg": []}, "pretrained_cfg that is no object"),
        ({"pretrained_cfg": {"mean": [1]}, "label_names": "/etc/passwd"}, "gives a text as its labels"),
        ({"pretrained_cfg": {"input_size": [3, 0, 0]}}, "which no model takes"),
    ],
)
def test_the_config_of_a_timm_folder_is_checked_as_a_card_is(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    save_file(timm.create_model(VIT, **OPTIONS).state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": VIT, **changes}))
    with pytest.raises(ModelError, match=said):
        load_model(tmp_path, device="cpu")


def test_a_timm_folder_names_no_file_and_no_address(tmp_path: Path) -> None:
    """`file`, `url` and `hf_hub_id` of a pretrained_cfg are what timm would load; they are not used."""
    module = timm.create_model(VIT, **OPTIONS)
    save_file(module.state_dict(), tmp_path / "model.safetensors")
    config = {
        "architecture": VIT,
        "model_args": OPTIONS,
        "pretrained_cfg": {
            "file": "/etc/passwd",
            "url": "https://example.org/x",
            "hf_hub_id": "somebody/evil",
            "custom_load": True,
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = load_model(tmp_path, device="cpu")
    assert torch.equal(model.module.state_dict()["norm.weight"], module.state_dict()["norm.weight"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(
    [
        "timm",
        "labels",
        "data",
        "name",
        "architecture",
        "kwargs",
        "mean",
        "std",
        "crop_pct",
        "input_size",
        "depth",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    content=st.dictionaries(keys, json_values | st.dictionaries(keys, json_values, max_size=4), max_size=5)
)
def test_any_card_is_read_or_refused_in_a_sentence(tmp_path: Path, content: dict[str, Any]) -> None:
    timm_part = content.get("timm")
    if isinstance(timm_part, dict):
        timm_part["architecture"] = VIT
    (tmp_path / "any.json").write_text(json.dumps(content))
    said = "."
    try:
        found = cards.read_card(tmp_path / "any.pth")
    except ModelError as error:
        found, said = {}, error.message
    assert said.endswith((".", "?"))
    assert "\n" not in said
    assert not found or found["timm"]["architecture"] == VIT


@pytest.mark.parametrize("name", ["pipe.pth", "pipe.safetensors", "pipe"])
def test_weights_that_are_a_pipe_or_a_device_are_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    told: list[str] = []

    def load(path: Path) -> None:
        try:
            load_model(path, device="cpu")
        except ModelError as error:
            told.append(error.message)

    for path in (tmp_path / name, Path("/dev/zero")):
        worker = threading.Thread(target=load, args=(path,), daemon=True)
        worker.start()
        worker.join(10)
        assert not worker.is_alive()
        assert told.pop().endswith("cannot be opened as weights: it is a pipe or a device, not a file.")


def test_a_config_or_card_that_is_a_pipe(tmp_path: Path, weights: Path) -> None:
    os.mkfifo(weights.with_suffix(".json"))
    with pytest.raises(ModelError, match="how many heads it has"):  # as without a card
        load_model(weights, device="cpu")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "config.json")
    with pytest.raises(ModelError, match="cannot be read: it is a pipe or a device"):
        load_model(tmp_path / "folder", device="cpu")
