"""Loading by name without the internet: from the caches, from a folder, and refused connections."""

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from vitviz.errors import ModelError
from vitviz.models import hub
from vitviz.models.catalog import is_cached
from vitviz.models.loading import load_model

NAME = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
BARE = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def tiny() -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model(BARE)


@pytest.fixture
def caches(tmp_path, monkeypatch) -> Path:
    """Empty caches of the Hugging Face hub and of torch hub."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


@pytest.fixture
def offline(monkeypatch) -> None:
    """Refuse every connection, as a machine without a network does."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def put_in_cache(root: Path, repo: str, files: dict[str, object]) -> Path:
    """Lay files out as the Hugging Face hub's cache does."""
    folder = root / "hub" / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("a" * 40)
    for name, content in files.items():
        if isinstance(content, torch.nn.Module):
            save_file(content.state_dict(), snapshot / name)
        else:
            (snapshot / name).write_text(json.dumps(content))
    return snapshot


def same_weights(model: torch.nn.Module, other: torch.nn.Module) -> bool:
    mine, theirs = model.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.mark.parametrize("name", [NAME, BARE])
def test_a_name_is_loaded_from_the_cache_without_a_network(caches, offline, tiny, name):
    put_in_cache(caches, f"timm/{NAME}", {"model.safetensors": tiny})
    assert is_cached(name)
    model = load_model(name, device="cpu")
    assert same_weights(model.module, tiny)
    assert (model.name, model.architecture) == (name, BARE)
    assert model.weights == "pretrained, from the local cache"
    assert not model.module.training


def test_a_repository_is_loaded_from_the_cache_with_its_own_config(caches, offline):
    module = timm.create_model(BARE, num_classes=2)
    config = {
        "architecture": BARE,
        "num_classes": 2,
        "label_names": ["cat", "dog"],
        "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "input_size": [3, 224, 224], "num_classes": 2},
    }
    put_in_cache(caches, "somebody/pets", {"config.json": config, "model.safetensors": module})
    model = load_model("hf-hub:somebody/pets", device="cpu")
    assert same_weights(model.module, module)
    assert model.labels == ("cat", "dog")
    assert model.data.mean == (0.1, 0.2, 0.3)
    assert model.name == "somebody/pets"
    assert model.weights == "pretrained, from the local cache"


def test_a_folder_with_config_and_weights(tmp_path, offline, tiny):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"architecture": BARE, "num_classes": 1000, "std": [1, 1, 1]})
    )
    save_file(tiny.state_dict(), folder / "model.safetensors")
    for source in (folder, str(folder), f"local-dir:{folder}"):
        model = load_model(source, device="cpu")
        assert same_weights(model.module, tiny)
        assert model.data.std == (1, 1, 1)
        assert model.name == f"{BARE} (mine)"


def test_folders_without_config_or_weights(tmp_path):
    with pytest.raises(ModelError, match=r"has no config\.json"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(
        '{"model_type": "vit", "architectures": ["ViTForImageClassification"]}'
    )
    with pytest.raises(ModelError, match=r"has a config\.json and no weights beside it"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text('{"architecture": "vit_tiny_patch16_224"}')
    with pytest.raises(ModelError, match=r"has a config\.json and no weights beside it"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="is not valid JSON"):
        load_model(tmp_path)


def test_weights_of_other_classes_than_the_config_says(tmp_path, tiny):
    config = {"architecture": BARE, "num_classes": 1000, "model_args": {"num_classes": 7}}
    config["pretrained_cfg"] = {"num_classes": 1000, "classifier": "head"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(tiny.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(
        ModelError, match=r"does not fit vit_tiny_patch16_224: head\.weight is 1000×192, not 7×192"
    ):
        load_model(tmp_path)


def test_offline_and_not_cached_is_a_sentence(caches, offline):
    assert not is_cached(NAME)
    with pytest.raises(
        ModelError, match=r"^Offline and not cached: the weights of .*augreg.*weight file"
    ) as caught:
        load_model(NAME)
    assert NAME in caught.value.message
    with pytest.raises(ModelError, match="Offline and not cached: the weights of hf-hub:somebody/pets"):
        load_model("hf-hub:somebody/pets")


def test_offline_for_weights_outside_the_hub(caches, offline):
    with pytest.raises(
        ModelError, match=r"Offline and not cached.*dl\.fbaipublicfiles\.com cannot be reached"
    ):
        load_model("vit_giant_patch16_gap_224.in22k_ijepa")
    assert not list((caches / "torch").rglob("*.partial"))


def test_the_hubs_own_switch_for_offline_work(caches, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="Offline and not cached") as caught:
        load_model(NAME)
    assert "HF_HUB_OFFLINE is set" in caught.value.details


def test_a_refused_connection_is_told_quickly(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    environment = {**os.environ, "HF_HOME": str(tmp_path), "TORCH_HOME": str(tmp_path)}
    environment |= {"HF_ENDPOINT": f"http://127.0.0.1:{port}"}
    program = (
        "import time, sys\n"
        "from vitviz.models.loading import load_model\n"
        "from vitviz.errors import ModelError\n"
        "import timm\n"
        "began = time.perf_counter()\n"
        f"try: load_model({NAME!r})\n"
        "except ModelError as error: print(error)\n"
        "print(time.perf_counter() - began)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    sentence, seconds = done.stdout.strip().splitlines()
    assert sentence.startswith("Offline and not cached: the weights of vit_tiny")
    assert float(seconds) < 10


class Hub(http.server.BaseHTTPRequestHandler):
    """The part of the Hugging Face hub that one download needs."""

    content = b""

    def do_HEAD(self) -> None:
        found = self.path.endswith("/model.safetensors")
        self.send_response(200 if found else 404)
        self.send_header("X-Repo-Commit", "b" * 40)
        self.send_header("ETag", '"tag"')
        self.send_header("Content-Length", str(len(self.content) if found else 0))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        if self.path.endswith("/model.safetensors"):
            self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tiny, tmp_path):
    save_file(tiny.state_dict(), tmp_path / "served.safetensors")
    handler = type("Served", (Hub,), {"content": (tmp_path / "served.safetensors").read_bytes()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def test_a_download_reports_its_bytes_and_is_then_cached(caches, server, tiny, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", server)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server + "/{repo_id}/resolve/{revision}/{filename}"
    )
    told: list[tuple[str, float | None]] = []
    model = load_model(NAME, device="cpu", progress=lambda what, part: told.append((what, part)))
    assert model.weights == "pretrained, downloaded"
    assert same_weights(model.module, tiny)
    parts = [part for what, part in told if what.startswith(f"Downloading {NAME}") and part is not None]
    assert parts
    assert parts == sorted(parts)
    assert parts[-1] == 1.0
    assert any("of 23 MB" in what for what, _ in told)
    assert load_model(NAME, device="cpu").weights == "pretrained, from the local cache"


def test_a_download_outside_the_hub_reports_its_bytes(caches, server):
    told: list[float | None] = []
    config = {"url": f"{server}/files/model.safetensors"}
    path, weights = hub.fetch_weights("vit", config, lambda _, part: told.append(part))
    assert weights == "pretrained, downloaded"
    assert path == caches / "torch" / "hub" / "checkpoints" / "model.safetensors"
    assert told[-1] == 1.0
    assert len(told) > 1
    assert hub.fetch_weights("vit", config) == (path, "pretrained, from the local cache")
    with pytest.raises(ModelError, match="no longer offered"):
        hub.fetch_weights("vit", {"url": f"{server}/gone.pth"})


def test_unknown_names_get_suggestions():
    with pytest.raises(
        ModelError, match=r"no model called “deit_tiny_patch16_24”. Did you mean deit_tiny_patch16_224"
    ):
        load_model("deit_tiny_patch16_24")
    with pytest.raises(ModelError, match=r"`vitviz models` lists"):
        load_model("zzzz")
    with pytest.raises(
        ModelError, match=r"no weights called “vit_tiny_patch16_224\.nonsense”; .*has .*augreg_in21k"
    ):
        load_model("vit_tiny_patch16_224.nonsense")
    with pytest.raises(
        ModelError, match=r"no pretrained weights for vit_small_patch32_384_none|timm has no model"
    ):
        load_model("vit_small_patch32_384_none")


def test_a_name_without_weights_says_so():
    bare = next(
        name for name in timm.list_models("vit_*") if not timm.list_models(f"{name}.*", pretrained=True)
    )
    with pytest.raises(ModelError, match=f"no pretrained weights for {bare}; load a weight file of your own"):
        load_model(bare)


def test_a_path_that_is_not_there_is_not_taken_for_a_name(tmp_path):
    with pytest.raises(ModelError, match=r"no weight file .*missing\.safetensors"):
        load_model(tmp_path / "missing.safetensors")
    with pytest.raises(ModelError, match="write hf-hub:somebody/pets"):
        load_model("somebody/pets")
    with pytest.raises(ModelError, match="not the name of a Hugging Face repository"):
        load_model("hf-hub:not a/valid/name")


def test_looking_into_the_cache_is_quick(caches, offline):
    began = time.perf_counter()
    for _ in range(100):
        is_cached(NAME)
    assert time.perf_counter() - began < 2


def put_transformers_in_cache(root: Path, shards: bool = False) -> Path:
    """A small ViT of transformers, as the hub's cache has it: links to blobs. Returns its snapshot."""
    transformers = pytest.importorskip("transformers")
    shape = {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 96}
    config = transformers.ViTConfig(image_size=32, **shape, id2label={0: "cat", 1: "dog"})
    snapshot = put_in_cache(root, "somebody/pets", {})
    made = root / "made"
    transformers.ViTForImageClassification(config).save_pretrained(
        made, max_shard_size="60KB" if shards else "1GB"
    )
    (made / "preprocessor_config.json").write_text(
        json.dumps({"size": {"height": 32, "width": 32}, "image_mean": [0.1, 0.2, 0.3]})
    )
    blobs = snapshot.parents[1] / "blobs"
    blobs.mkdir()
    for index, path in enumerate(sorted(made.iterdir())):
        path.rename(blobs / f"blob{index}")
        (snapshot / path.name).symlink_to(blobs / f"blob{index}")
    return snapshot


@pytest.mark.parametrize("shards", [False, True])
def test_a_repository_of_transformers_is_loaded_from_the_cache(caches, offline, shards):
    put_transformers_in_cache(caches, shards)
    model = load_model("hf-hub:somebody/pets", device="cpu")
    assert model.labels == ("cat", "dog")
    assert model.input_size == (32, 32)
    assert model.data.mean == (0.1, 0.2, 0.3)
    assert (model.name, model.weights) == ("somebody/pets", "pretrained, from the local cache")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "model.safetensors is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is only a Git LFS pointer"),
        (None, "model.safetensors is cut off"),
    ],
)
@pytest.mark.parametrize("kind", ["timm", "transformers"])
def test_damaged_weights_leave_the_cache_so_that_they_are_downloaded_again(
    caches, offline, tiny, kind, content, said
):
    if kind == "timm":
        snapshot, name = put_in_cache(caches, f"timm/{NAME}", {"model.safetensors": tiny}), NAME
    else:
        snapshot, name = put_transformers_in_cache(caches), "hf-hub:somebody/pets"
    path = snapshot / "model.safetensors"
    blob = path.resolve()
    blob.write_bytes(blob.read_bytes()[:-5] if content is None else content)
    with pytest.raises(ModelError, match=rf"In the local cache, .*{said}.*load it again to download it\."):
        load_model(name, device="cpu")
    assert not path.is_symlink()
    assert not blob.exists()
    with pytest.raises(ModelError, match="Offline and not cached"):
        load_model(name, device="cpu")


def test_an_adapter_on_the_hub_is_named(caches, offline):
    put_in_cache(caches, "somebody/lora", {"adapter_config.json": {"base_model_name_or_path": "x/y"}})
    with pytest.raises(ModelError, match="somebody/lora is an adapter"):
        load_model("hf-hub:somebody/lora", device="cpu")


class Repository(http.server.BaseHTTPRequestHandler):
    """A repository of the hub: the files of a folder, and 404 for others."""

    folder = Path()
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.asked.append(self.path)
        path = self.folder / self.path.rpartition("/")[2]
        found = path.is_file()
        self.send_response(200 if found else 404)
        self.send_header("X-Repo-Commit", "b" * 40)
        if not found:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("ETag", f'"{path.name}"')
        self.send_header("Content-Length", str(path.stat().st_size if found else 0))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        path = self.folder / self.path.rpartition("/")[2]
        if path.is_file():
            self.wfile.write(path.read_bytes())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve(monkeypatch):
    """Serve a folder as every repository of the hub; returns the paths that are asked for."""
    running = []

    def start(folder):
        asked = []
        handler = type("Served", (Repository,), {"folder": folder, "asked": asked})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        running.append((server, thread))
        address = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        return asked

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_repository_of_transformers_is_downloaded_with_its_shards(caches, serve):
    asked = serve(put_transformers_in_cache(caches / "made", shards=True))
    told: list[str] = []
    model = load_model("hf-hub:somebody/pets", device="cpu", progress=lambda what, _: told.append(what))
    assert model.weights == "pretrained, downloaded"
    assert model.data.mean == (0.1, 0.2, 0.3)
    assert model.labels == ("cat", "dog")
    assert any(what.startswith("Downloading hf-hub:somebody/pets") for what in told)
    asked.clear()
    assert load_model("hf-hub:somebody/pets", device="cpu").weights == "pretrained, from the local cache"
    assert asked == []


def test_a_file_that_a_repository_lacks_is_asked_for_once(caches, serve):
    made = put_transformers_in_cache(caches / "made")
    (made / "preprocessor_config.json").unlink()
    asked = serve(made)
    load_model("hf-hub:somebody/pets", device="cpu")
    assert any(path.endswith("preprocessor_config.json") for path in asked)
    asked.clear()
    again = load_model("hf-hub:somebody/pets", device="cpu")
    assert again.weights.startswith("pretrained, from the local cache, without preprocessor_config.json")
    assert asked == []
