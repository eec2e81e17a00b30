"""Downloads that are slow, stopped, broken, refused and continued, from a stand-in hub; and the deletion of weights."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from vitviz.errors import ModelError
from vitviz.models import hub, transfer
from vitviz.models.loading import load_model

NAME = "deit_tiny_patch16_224.fb_in1k"
CONFIG = {"hf_hub_id": f"timm/{NAME}"}
MEGABYTE = 1 << 20


class StopError(Exception):
    """What a cancelled request raises inside `progress`."""


@pytest.fixture
def served(tmp_path, monkeypatch, hub_server):
    """The stand-in hub in place of the real one, and empty caches."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "ENDPOINT", hub_server.address)
    template = hub_server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return hub_server


def fetch(progress=None) -> Path:
    return hub.fetch_weights(NAME, CONFIG, progress)[0]


def stop_after(part: float):
    def progress(text: str, done: float | None) -> None:
        if done is not None and done >= part:
            raise StopError

    return progress


def test_a_stopped_download_continues_where_it_was(served):
    served.pause = 0.005  # longer than the time between two reports
    with pytest.raises(StopError):
        fetch(stop_after(0.3))
    kept = hub.partial_bytes(CONFIG)
    assert 0.3 * len(served.content) <= kept < len(served.content)
    assert hub.cached_weights(CONFIG) is None  # half a file is not taken for the weights
    told = []
    path = fetch(lambda text, done: told.append((text, done)))
    assert served.downloads() == ["", f"bytes={kept}-"]
    assert path.read_bytes() == served.content
    assert told[-1][1] == 1.0
    assert hub.partial_bytes(CONFIG) == 0
    model = load_model(NAME, device="cpu")
    assert model.weights == "pretrained, from the local cache"


def test_a_broken_connection_is_told_with_what_is_there(served):
    served.break_after = 5 * MEGABYTE
    with pytest.raises(ModelError, match=r"broke off after 5 of 23 MB; load it again, and it continues"):
        fetch()
    assert hub.partial_bytes(CONFIG) == 5 * MEGABYTE
    with pytest.raises(ModelError, match=r"broke off after 10 of 23 MB"):
        fetch()
    served.break_after = None
    assert fetch().read_bytes() == served.content
    assert served.downloads() == ["", f"bytes={5 * MEGABYTE}-", f"bytes={10 * MEGABYTE}-"]


def test_a_server_that_gives_no_parts_gives_the_whole_file(served):
    served.break_after = 5 * MEGABYTE
    with pytest.raises(ModelError, match="broke off"):
        fetch()
    served.break_after, served.ranges = None, False
    assert fetch().read_bytes() == served.content


def test_a_partial_file_of_other_content_is_found_out(served, tmp_path):
    served.break_after = 5 * MEGABYTE
    with pytest.raises(ModelError, match="broke off"):
        fetch()
    partial = next((tmp_path / "hub").rglob(f"*{transfer.PARTIAL}"))
    partial.write_bytes(b"\0" * partial.stat().st_size)
    served.break_after = None
    with pytest.raises(ModelError, match="differs from the file that was announced; load it again"):
        fetch()
    assert fetch().read_bytes() == served.content


def test_a_gated_repository_says_what_to_do(served):
    served.gated = True
    with pytest.raises(
        ModelError, match=r"accept their terms at https://huggingface.co/timm/deit_tiny"
    ) as caught:
        fetch()
    assert "hf auth login" in caught.value.message
    facts = hub.hub_facts(CONFIG)
    assert facts == hub.HubFacts(len(served.content), "apache-2.0", gated=True)


def test_the_hubs_own_tools_find_what_was_downloaded(served):
    from huggingface_hub import hf_hub_download, scan_cache_dir

    path = fetch()
    found = hf_hub_download(CONFIG["hf_hub_id"], "model.safetensors", local_files_only=True)
    assert Path(found) == path
    (repository,) = scan_cache_dir(constants.HF_HUB_CACHE).repos
    assert repository.repo_id == CONFIG["hf_hub_id"]
    assert repository.size_on_disk == len(served.content)


def test_deleting_frees_the_weights_and_leaves_other_files(served, tmp_path):
    path = fetch()
    beside = path.parent / "config.json"
    beside.write_text("{}")
    assert hub.delete_weights(CONFIG) == len(served.content)
    assert hub.cached_weights(CONFIG) is None
    assert beside.is_file()
    assert not [one for one in (tmp_path / "hub").rglob("blobs/*") if one.is_file()]
    assert hub.delete_weights(CONFIG) == 0


def test_speed_is_that_of_the_last_seconds(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(transfer.time, "monotonic", lambda: now[0])
    told = []
    meter = transfer.Meter("vit", lambda text, done: told.append((text, done)), 2_000_000, 12_000_000)
    for _ in range(4):
        now[0] += 1
        meter.add(2_000_000)
    assert told[-1] == ("Downloading vit: 10 of 12 MB, 2.0 MB/s", pytest.approx(10 / 12))
    now[0] += 1
    meter.add(500_000)
    text = told[-1][0]
    assert 1.0 <= float(text.split(", ")[1].removesuffix(" MB/s")) < 2.0


def test_a_cache_that_cannot_be_written_is_named(served, tmp_path):
    (tmp_path / "torch").write_text("a file where a folder is needed")
    with pytest.raises(
        ModelError, match=r"weights of vit cannot be written to .*checkpoints: Not a directory"
    ):
        hub.fetch_weights("vit", {"url": f"{served.address}/files/resolve/model.safetensors"})


def test_names_that_cannot_be_shown_are_refused_without_asking_the_hub(served, monkeypatch):
    with pytest.raises(ModelError, match=r"vitviz cannot show resnet50: it has no attention between tokens"):
        load_model("resnet50")
    assert served.asked == []
