"""What cannot be read as a file, found out before it is opened: a pipe waits for a writer, a device may never end.

Every file that a user, a folder or a card names is asked here first: photos, weights, labels, cards, settings.
"""

import errno
import os
import stat
from pathlib import Path

PIPE_OR_DEVICE = "it is a pipe or a device, not a file"


def refusal(path: str | os.PathLike[str]) -> str | None:
    """Why a path cannot be read as a file ("it is a folder"), as a part of a sentence; None for a file or a link to one."""
    where = Path(path)
    try:
        status = where.stat()
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and where.is_symlink():
            return f"it is a link to {os.readlink(where)}, which does not exist"
        return reason_of(error)
    if stat.S_ISDIR(status.st_mode):
        return "it is a folder"
    if not stat.S_ISREG(status.st_mode):
        return PIPE_OR_DEVICE
    return None


def reason_of(error: Exception) -> str:
    """What the system's error about a file means, as a part of a sentence."""
    code = error.errno if isinstance(error, OSError) else None
    known = {
        errno.ENOENT: "there is no such file",
        errno.ENOTDIR: "there is no such file",
        errno.EACCES: "you have no permission to read it",
        errno.EPERM: "you have no permission to read it",
        errno.ELOOP: "it is a link that leads back to itself",
        errno.ENAMETOOLONG: "its name is too long",
    }
    if code is None:
        return "this cannot be the name of a file"
    return known.get(code, f"the system says “{os.strerror(code)}”")


def small_text(path: str | os.PathLike[str], limit: int) -> str:
    """The text of a UTF-8 file of at most `limit` bytes. Raises ValueError with the reason, as a part of a sentence."""
    reason = refusal(path)
    if reason is not None:
        raise ValueError(reason)
    try:
        with Path(path).open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ValueError(reason_of(error)) from error
    if len(content) > limit:
        raise ValueError(f"it is larger than {limit / 1e6:.0f} MB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("it is not text (UTF-8)") from error
