"""Pretrained weights: found in the local caches, else downloaded with progress, else a sentence that says why not.

Decision: timm's own download is not used, because it reports progress only to a terminal and its errors are stack traces;
the file is fetched here and handed to timm, which loads it as it always does.
"""

import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vitviz.errors import ModelError
from vitviz.models.checkpoint import DamagedFileError, shard_names

Progress = Callable[[str, float | None], None]

# In timm's order of preference.
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
_TIMEOUT = 10.0  # seconds without a byte
_PATIENCE = 5.0  # seconds for the hub to answer at all
_CHUNK = 1 << 20


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
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repo, _, revision = hub_id.partition("@")
    cached = next((path for filename in filenames if (path := cached_file(hub_id, filename))), None)
    if cached is not None:
        return cached
    for filename in filenames:
        if progress:
            progress(f"Asking the Hugging Face hub for {name}", None)
        _require_hub(name, repo)
        try:
            return Path(
                hf_hub_download(repo, filename, revision=revision or None, **_reporting(name, progress))
            )
        except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
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
        except EntryNotFoundError:
            continue
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


def fetch_shards(name: str, hub_id: str, index: Path, progress: Progress | None = None) -> None:
    """All weight files that the index of a repository names, into its folder of the cache."""
    for filename in shard_names(index):
        fetch_file(name, hub_id, (filename,), progress)


@contextmanager
def discarding_damaged(path: Path) -> Iterator[None]:
    """Where cached weights turn out to be damaged, take them out of the cache, so that loading downloads them again."""
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


def _require_hub(name: str, repo: str) -> None:
    """Raise at once where there is no network: the hub's own download would first retry for half a minute."""
    from huggingface_hub import constants

    where = f"the Hugging Face repository {repo}"
    if constants.HF_HUB_OFFLINE:
        raise offline_error(name, where, OSError("HF_HUB_OFFLINE is set"))
    try:
        urllib.request.urlopen(
            urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=_PATIENCE
        ).close()
    except urllib.error.HTTPError:
        return  # an answer, if only a refusal
    except OSError as error:
        # Python may lack the certificates that the hub's client brings along.
        if not isinstance(getattr(error, "reason", None), ssl.SSLError):
            raise offline_error(name, where, error) from error


def offline_error(name: str, where: str, error: BaseException) -> ModelError:
    """The error for weights that are neither cached nor reachable."""
    return ModelError(
        f"offline and not cached: the weights of {name} are not on this machine, and {where} cannot be reached. "
        "Connect once to download them, or load a weight file (.safetensors, .pth) that you have.",
        f"{type(error).__name__}: {error}",
    )


def _filenames(config: Mapping[str, Any]) -> tuple[str, ...]:
    return (config["hf_hub_filename"],) if config.get("hf_hub_filename") else WEIGHT_FILES


def _reporting(name: str, progress: Progress | None) -> dict[str, Any]:
    """Keyword arguments that make the hub's download report bytes to `progress` and nothing to the terminal."""
    import inspect

    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils.tqdm import tqdm

    # Versions of the hub before 1.0 cannot hand a download's progress on.
    if "tqdm_class" not in inspect.signature(hf_hub_download).parameters:
        return {}

    class Bar(tqdm):  # type: ignore[misc, unused-ignore]
        """Counts bytes; a download in parts (Xet) reports what was transferred as well as what was written."""

        def __init__(self, *args: Any, **options: Any) -> None:
            self._whole = options.get("total")
            self._written = options.get("initial") or 0
            self._transferred = self._written
            options.pop("name", None)
            super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> bool | None:
            self._written += n or 0
            return self._report()

        def update_transfer(self, n: float) -> bool | None:
            self._transferred += n
            return self._report()

        def _report(self) -> bool | None:
            if progress:
                done = max(self._written, self._transferred)
                progress(*_said(name, done, self._whole))
            return None

    return {"tqdm_class": Bar}


def _said(name: str, done: float, whole: float | None) -> tuple[str, float | None]:
    if not whole:
        return f"Downloading {name}: {done / 1e6:.0f} MB", None
    return f"Downloading {name}: {min(done, whole) / 1e6:.0f} of {whole / 1e6:.0f} MB", min(1.0, done / whole)


def _torch_hub_path(url: str) -> Path:
    from torch.hub import get_dir

    return Path(get_dir()) / "checkpoints" / os.path.basename(urllib.parse.urlparse(url).path)


def _download(name: str, url: str, progress: Progress | None) -> Path:
    """Download to torch hub's cache; a broken download leaves no file behind."""
    target = _torch_hub_path(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    host = urllib.parse.urlparse(url).hostname or url
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, partial.open("wb") as file:
            whole = int(answer.headers.get("Content-Length") or 0) or None
            done = 0
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                if progress:
                    progress(*_said(name, done, whole))
        if whole is not None and done != whole:
            raise ModelError(f"The download of {name} from {host} broke off; try again.")
        partial.replace(target)
    except urllib.error.HTTPError as error:
        raise ModelError(f"The weights of {name} are no longer offered at {url}.", str(error)) from error
    except OSError as error:
        raise offline_error(name, host, error) from error
    finally:
        partial.unlink(missing_ok=True)
    return target
