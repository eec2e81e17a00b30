"""Downloads one file, with speed; what was downloaded before a break or a cancel is kept, and the next attempt continues.

Decision: the hub's own download is not used, because it deletes the partial file at the end of each attempt, reports in
steps of 10 MB, and retries for up to a minute without saying so.
"""

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from vitviz.errors import ModelError

Progress = Callable[[str, float | None], None]

_TIMEOUT = 10.0  # seconds without a byte
_INTERVAL = 0.1  # seconds between two reports
_WINDOW = 3.0  # seconds over which the speed is measured
PARTIAL = ".vitviz-partial"


class Unreachable(Exception):  # noqa: N818
    """No answer at all from the address."""


def partial_file(target: Path) -> Path:
    """Where a download to `target` is kept until it is complete."""
    return target.with_name(target.name + PARTIAL)


def transfer(
    url: str,
    target: Path,
    name: str,
    progress: Progress | None,
    *,
    headers: Mapping[str, str] | None = None,
    size: int | None = None,
    sha256: str = "",
) -> None:
    """Download a URL to `target`, continuing a partial file. An exception of `progress` stops it and keeps what is there.

    `size` in bytes and `sha256` (its beginning is enough) are checked where they are known. Raises Unreachable without any
    answer, the hub's HfHubHTTPError for a refusal, and ModelError if the connection breaks off or the content is wrong.
    """
    from huggingface_hub import get_session
    from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]
    from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

    partial = partial_file(target)
    before = partial.stat().st_size if partial.is_file() else 0
    if size is not None and before > size:
        before = 0
    asked = {**(headers or {}), "Accept-Encoding": "identity"}
    if before:
        asked["Range"] = f"bytes={before}-"
    answered = False
    whole = size
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if size is None or before != size:
            stream = get_session().stream("GET", url, headers=asked, timeout=_TIMEOUT, follow_redirects=True)
            with stream as answer:
                answered = True
                if answer.status_code == 416:  # the partial file is not the beginning of what is there now
                    partial.unlink()
                    raise ModelError(f"The file of {name} has changed; load it again.")
                hf_raise_for_status(answer)
                before = before if answer.status_code == 206 else 0
                length = int(answer.headers.get("Content-Length") or 0)
                whole = size or (before + length if length else None)
                meter = Meter(name, progress, before, whole)
                meter.tell()
                with partial.open("ab" if before else "wb") as file:
                    for chunk in answer.iter_raw():
                        file.write(chunk)
                        meter.add(len(chunk))
                meter.tell()
    except TransportError as error:
        if hasattr(error, "server_message"):  # the hub's own error: a refusal
            raise
        if not answered:
            raise Unreachable(str(error)) from error
        raise _broken_off(name, partial, whole, str(error)) from error
    except OSError as error:
        raise ModelError(
            f"The weights of {name} cannot be written to {target.parent}: {error.strerror}.", str(error)
        ) from error
    if whole is not None and partial.stat().st_size != whole:
        raise _broken_off(name, partial, whole, "")
    if sha256 and not _digest(partial).startswith(sha256):
        partial.unlink()
        raise ModelError(
            f"What was downloaded of {name} differs from the file that was announced; load it again."
        )
    partial.replace(target)


class Meter:
    """Reports bytes, the part that is done and the speed, at most every tenth of a second."""

    def __init__(self, name: str, progress: Progress | None, done: int, whole: int | None) -> None:
        self._name, self._progress, self._whole = name, progress, whole
        self._done = done
        self._told = time.monotonic()
        self._marks = [(self._told, done)]

    def add(self, count: int) -> None:
        """So many more bytes are there."""
        self._done += count
        if time.monotonic() - self._told >= _INTERVAL:
            self.tell()

    def tell(self) -> None:
        """Report now."""
        self._told = now = time.monotonic()
        self._marks = [mark for mark in self._marks if mark[0] > now - _WINDOW] or self._marks[-1:]
        self._marks.append((now, self._done))
        if self._progress is None:
            return
        (since, then), passed = self._marks[0], now - self._marks[0][0]
        speed = f", {(self._done - then) / passed / 1e6:.1f} MB/s" if now > since and passed > 0.2 else ""
        done = f"{self._done / 1e6:.0f}"
        if not self._whole:
            self._progress(f"Downloading {self._name}: {done} MB{speed}", None)
        else:
            text = f"Downloading {self._name}: {done} of {self._whole / 1e6:.0f} MB{speed}"
            self._progress(text, min(1.0, self._done / self._whole))


def hash_in_name(url: str) -> str:
    """The beginning of the SHA-256 that PyTorch's file names end in ("…-a1311bcf.pth"); empty for other names."""
    found = re.search(r"-([0-9a-f]{8,64})\.\w+$", url)
    return found[1] if found else ""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _broken_off(name: str, partial: Path, whole: int | None, details: str) -> ModelError:
    done = f"{partial.stat().st_size / 1e6:.0f}" if partial.is_file() else "0"
    of = f" of {whole / 1e6:.0f}" if whole else ""
    return ModelError(
        f"The download of {name} broke off after {done}{of} MB; load it again, and it continues from there.",
        details,
    )
