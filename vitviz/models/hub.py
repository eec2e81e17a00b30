"""Pretrained weights: found in the local caches, else downloaded with progress, else a sentence that says why not.

Decision: timm's own download is not used, because it reports progress only to a terminal and its errors are stack traces;
the file is fetched here (see `transfer`), into the cache where timm and the hub's tools find it, and handed to timm, which
loads it as it always does.
"""

import os
import re
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitviz.errors import ModelError
from vitviz.models.transfer import PARTIAL, Progress, Unreachable, hash_in_name, partial_file, transfer

# In timm's order of preference.
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
_TIMEOUT = 10.0  # seconds for the hub to say what a file is
_PATIENCE = 5.0  # seconds for the hub to answer at all
_SHA256 = re.compile("[0-9a-f]{64}")


def cached_weights(config: Mapping[str, Any]) -> Path | None:
    """The weight file of a timm pretrained config, if it is already on this machine. Never uses the network."""
    if config.get("file"):
        return Path(config["file"]) if Path(config["file"]).is_file() else None
    if config.get("hf_hub_id"):
        for filename in _filenames(config):
            found = cached_file(config["hf_hub_id"], filename)
            if found is not None:
                return found
    if config.get("url"):
        path = _torch_hub_path(config["url"])
        return path if path.is_file() else None
    return None


def cached_file(hub_id: str, filename: str) -> Path | None:
    """A file of a Hugging Face repository ("user/repo" or "user/repo@revision") in the local cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    repo, _, revision = hub_id.partition("@")
    try:
        found = try_to_load_from_cache(repo, filename, revision=revision or None)
    except HFValidationError as error:
        raise ModelError(f"“{hub_id}” is not the name of a Hugging Face repository.", str(error)) from error
    return Path(found) if isinstance(found, str) else None


def fetch_weights(name: str, config: Mapping[str, Any], progress: Progress | None = None) -> tuple[Path, str]:
    """The weight file of a timm pretrained config and where it came from, as a part of a sentence.

    Raises ModelError: offline and not cached, no such repository, or no permission.
    """
    found = cached_weights(config)
    if found is not None:
        return found, "pretrained, from the local cache"
    if config.get("hf_hub_id"):
        return fetch_file(name, config["hf_hub_id"], _filenames(config), progress), "pretrained, downloaded"
    if config.get("url"):
        return _download(name, config["url"], progress), "pretrained, downloaded"
    raise ModelError(f"There are no pretrained weights for {name}; load a weight file of your own instead.")


def fetch_file(name: str, hub_id: str, filenames: tuple[str, ...], progress: Progress | None = None) -> Path:
    """The first of `filenames` that a Hugging Face repository has, from the cache or downloaded."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repo, _, _ = hub_id.partition("@")
    cached = next((path for filename in filenames if (path := cached_file(hub_id, filename))), None)
    if cached is not None:
        return cached
    for filename in filenames:
        if progress:
            progress(f"Asking the Hugging Face hub for {name}", None)
        _require_hub(name, repo)
        try:
            return _into_cache(name, hub_id, filename, progress)
        except (LocalEntryNotFoundError, OfflineModeIsEnabled, Unreachable) as error:
            raise offline_error(name, f"the Hugging Face repository {repo}", error) from error
        except GatedRepoError as error:
            raise ModelError(
                f"The weights of {name} are given only to those who accept their terms at https://huggingface.co/{repo}; "
                "accept them there, then log in once with `hf auth login`.",
                str(error),
            ) from error
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise ModelError(
                f"The Hugging Face hub has no repository {hub_id} that you may read (for {name}).", str(error)
            ) from error
        except EntryNotFoundError as error:
            _remember_missing(repo, filename, error)
        except (HfHubHTTPError, OSError) as error:
            raise ModelError(
                f"The download of {name} from the Hugging Face hub failed; try again.", str(error)
            ) from error
    raise ModelError(f"The Hugging Face repository {repo} has none of {', '.join(filenames)} (for {name}).")


def fetch_optional(
    name: str, hub_id: str, filenames: tuple[str, ...], progress: Progress | None = None
) -> Path | None:
    """The first of some files that a repository may lack; None where it has none, and offline where none is cached."""
    wanted = tuple(filename for filename in filenames if not _known_missing(hub_id, filename))
    try:
        return fetch_file(name, hub_id, wanted, progress) if wanted else None
    except ModelError:
        return None


def _known_missing(hub_id: str, filename: str) -> bool:
    """Whether the hub has said before that a repository has no such file."""
    from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache

    repo, _, revision = hub_id.partition("@")
    return try_to_load_from_cache(repo, filename, revision=revision or None) is _CACHED_NO_EXIST


def _remember_missing(repo: str, filename: str, error: Exception) -> None:
    """Note in the cache, in the hub's own layout, that a repository has no such file, so that it is not asked again."""
    response = getattr(error, "response", None)
    commit = "" if response is None else response.headers.get("X-Repo-Commit", "")
    if re.fullmatch("[0-9a-f]{40}", commit):
        note = _repository_folder(repo) / ".no_exist" / commit / filename
        with suppress(OSError):  # a cache that cannot be written is asked again
            note.parent.mkdir(parents=True, exist_ok=True)
            note.touch()


def fetch_shards(name: str, hub_id: str, index: Path, progress: Progress | None = None) -> None:
    """All weight files that the index of a repository names, into its folder of the cache."""
    from vitviz.models.checkpoint import shard_names  # imports torch, which the list of models does without

    for filename in shard_names(index):
        fetch_file(name, hub_id, (filename,), progress)


@contextmanager
def discarding_damaged(path: Path) -> Iterator[None]:
    """Where cached weights turn out to be damaged, take them out of the cache, so that loading downloads them again."""
    from vitviz.models.checkpoint import DamagedFileError

    try:
        yield
    except DamagedFileError as error:
        broken = error.path or path
        try:
            target = broken.resolve()
            broken.unlink(missing_ok=True)
            target.unlink(missing_ok=True)
            done = "It was taken out of the cache: load it again to download it."
        except OSError:
            done = f"Delete {broken} and load it again to download it."
        raise ModelError(f"In the local cache, {error.message} {done}", error.details) from error


def _into_cache(name: str, hub_id: str, filename: str, progress: Progress | None) -> Path:
    """Download one file of a repository into the hub's cache, in the hub's own layout: blobs, snapshots, refs."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]

    repo, _, revision = hub_id.partition("@")
    url = hf_hub_url(repo, filename, revision=revision or None)
    about = get_hf_file_metadata(url, timeout=_TIMEOUT)
    if not about.etag or not about.commit_hash:
        raise OSError(f"{url} names no version of the file")
    folder = _repository_folder(repo)
    blob = folder / "blobs" / about.etag
    pointer = folder / "snapshots" / about.commit_hash / filename
    lock = folder.parent / ".locks" / folder.name / f"{about.etag}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if not blob.is_file():
            transfer(
                url,
                blob,
                name,
                progress,
                headers=build_hf_headers(),
                size=about.size,
                sha256=about.etag if _SHA256.fullmatch(about.etag) else "",
            )
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.unlink(missing_ok=True)
        try:
            pointer.symlink_to(os.path.relpath(blob, pointer.parent))
        except OSError:  # a system or a disk without links
            blob.replace(pointer)
    if revision != about.commit_hash:
        reference = folder / "refs" / (revision or "main")
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(about.commit_hash)
    return pointer


def partial_bytes(config: Mapping[str, Any]) -> int:
    """How many bytes of an interrupted download of these weights are kept; 0 for none."""
    kept = [partial_file(_torch_hub_path(config["url"]))] if config.get("url") else []
    if config.get("hf_hub_id"):
        blobs = _repository_folder(config["hf_hub_id"].partition("@")[0]) / "blobs"
        kept += blobs.glob(f"*{PARTIAL}")
    return sum(path.stat().st_size for path in kept if path.is_file())


def delete_weights(config: Mapping[str, Any]) -> int:
    """Delete the cached weights of a timm pretrained config and an interrupted download; returns the bytes that were freed.

    Other files of the same repository stay. Raises ModelError if the system refuses.
    """
    freed = partial_bytes(config)
    doomed: list[Path] = []
    if config.get("url"):
        target = _torch_hub_path(config["url"])
        doomed += [target, partial_file(target)]
    if config.get("hf_hub_id"):
        folder = _repository_folder(config["hf_hub_id"].partition("@")[0])
        doomed += folder.joinpath("blobs").glob(f"*{PARTIAL}")
        for filename in _filenames(config):
            for pointer in folder.joinpath("snapshots").glob(f"*/{filename}"):
                doomed += [pointer.resolve(), pointer]
    try:
        for path in dict.fromkeys(doomed):
            if path.is_file() and not path.is_symlink() and not path.name.endswith(PARTIAL):
                freed += path.stat().st_size
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(f"The weights cannot be deleted: {error.strerror}.", str(error)) from error
    return freed


def _repository_folder(repo: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"


@dataclass(frozen=True)
class HubFacts:
    """What the hub says of a repository: bytes of the weight file (0 if unknown), licence, and whether it is gated."""

    size: int
    licence: str
    gated: bool


def hub_facts(config: Mapping[str, Any]) -> HubFacts | None:
    """Ask the hub about the repository of a timm pretrained config; None without an answer or without a repository."""
    from huggingface_hub import HfApi

    if not config.get("hf_hub_id") or not is_online():
        return None
    try:
        found = HfApi().model_info(
            config["hf_hub_id"].partition("@")[0], files_metadata=True, timeout=_PATIENCE
        )
    except Exception:  # whatever the client raises: without an answer, nothing is known
        return None
    sizes = {one.rfilename: one.size or 0 for one in found.siblings or ()}
    card = found.card_data
    return HubFacts(
        size=next((sizes[name] for name in _filenames(config) if name in sizes), 0),
        licence=str(card.get("license") or "") if card is not None else "",
        gated=bool(found.gated),
    )


def is_online() -> bool:
    """Whether the Hugging Face hub answers, within a few seconds."""
    return _no_answer() is None


def _require_hub(name: str, repo: str) -> None:
    """Raise at once where there is no network."""
    error = _no_answer()
    if error is not None:
        raise offline_error(name, f"the Hugging Face repository {repo}", error) from error


def _no_answer() -> OSError | None:
    """Why the hub does not answer; None if it does."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return OSError("HF_HUB_OFFLINE is set")
    try:
        urllib.request.urlopen(
            urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=_PATIENCE
        ).close()
    except urllib.error.HTTPError:
        return None  # an answer, if only a refusal
    except OSError as error:
        # Python may lack the certificates that the hub's client brings along.
        return None if isinstance(getattr(error, "reason", None), ssl.SSLError) else error
    return None


def offline_error(name: str, where: str, error: BaseException) -> ModelError:
    """The error for weights that are neither cached nor reachable."""
    return ModelError(
        f"Offline and not cached: the weights of {name} are not on this machine, and {where} cannot be reached. "
        "Connect once to download them, or load a weight file (.safetensors, .pth) that you have.",
        f"{type(error).__name__}: {error}",
    )


def _filenames(config: Mapping[str, Any]) -> tuple[str, ...]:
    return (config["hf_hub_filename"],) if config.get("hf_hub_filename") else WEIGHT_FILES


def _torch_hub_path(url: str) -> Path:
    """Where torch.hub keeps a file, without importing torch."""
    if "torch" in sys.modules:
        from torch.hub import get_dir

        folder = Path(get_dir())
    else:
        caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
        folder = Path(os.environ.get("TORCH_HOME", os.path.join(caches, "torch"))).expanduser() / "hub"
    return folder / "checkpoints" / os.path.basename(urllib.parse.urlparse(url).path)


def _download(name: str, url: str, progress: Progress | None) -> Path:
    """Download to torch hub's cache."""
    from huggingface_hub.errors import HfHubHTTPError

    target = _torch_hub_path(url)
    host = urllib.parse.urlparse(url).hostname or url
    try:
        transfer(url, target, name, progress, sha256=hash_in_name(target.name))
    except HfHubHTTPError as error:
        raise ModelError(f"The weights of {name} are no longer offered at {url}.", str(error)) from error
    except Unreachable as error:
        raise offline_error(name, host, error) from error
    return target
