"""Whether a window can be opened: asked before Qt is, because Qt ends the whole program where it cannot.

Qt's choice of platform (X11, Wayland, what QT_QPA_PLATFORM says) and its reasons to give up (no server, no permission, a
missing system library) are many and change between versions. So where a display is named, a second, short-lived Python
opens Qt's connection and reports the result; that takes about 0.3 s, during which the window's own imports run.
"""

import os
import re
import subprocess
import sys

_HEADLESS = ("offscreen", "minimal", "vnc")
_QT = ("PySide6", "shiboken6", "pyqtgraph", "superqt")
_TRY = """
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except ImportError:
    pass
from PySide6.QtGui import QGuiApplication
QGuiApplication(["vitviz"])
"""
_PATIENCE = 20.0


class Probe:
    """Starts to find out whether Qt can open a window here; `reason()` waits for the answer."""

    def __init__(self) -> None:
        self.details = ""
        self._process: subprocess.Popen[str] | None = None
        self._reason = _obvious_reason()
        if self._reason is None and _may_fail():
            self._process = subprocess.Popen(
                [sys.executable, "-c", _TRY],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )

    def reason(self) -> str | None:
        """Why no window can be opened, as a part of a sentence; None if one can."""
        if self._process is None:
            return self._reason
        try:
            _, self.details = self._process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            self.stop()
            return f"the display did not answer within {_PATIENCE:.0f} s"
        return None if self._process.returncode == 0 else last_words(self.details)

    def stop(self) -> None:
        """End the probe without waiting for its answer."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


def is_qt(error: ImportError) -> bool:
    """Whether an import failed in Qt or a system library that it needs, rather than in vitviz."""
    return (error.name or "").startswith(_QT) or "PySide6" in (error.path or "") or ".so" in str(error)


def last_words(complaint: str) -> str:
    """The reason in what Qt or the loader printed before it gave up, as a part of a sentence."""
    missing = re.search(r"(lib[\w+.-]+\.so[\w.]*): cannot open shared object file", complaint)
    if missing:
        return f"the system library {missing[1]} is missing"
    refused = re.search(r"could not connect to display ?(\S*)", complaint)
    if refused:
        return f"no connection to the display {refused[1]}".rstrip()
    if re.search(r"[Ff]ailed to create wl_display", complaint):
        return "no connection to the Wayland display"
    cursor = re.search(r"(libxcb-cursor0) is needed", complaint)
    if cursor:
        return f"the system library {cursor[1]} is missing"
    lines = [line.strip().rstrip(".") for line in complaint.splitlines() if line.strip()]
    return lines[0] if lines else "Qt cannot start"


def _may_fail() -> bool:
    """Windows and macOS always have a desktop, and Qt's platforms without a screen need none."""
    return sys.platform not in ("win32", "darwin") and _platform() not in _HEADLESS


def _obvious_reason() -> str | None:
    if not _may_fail() or _platform() or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return None
    return "there is no display"


def _platform() -> str:
    """The first platform that QT_QPA_PLATFORM names, without its options; empty if it is not set."""
    return re.split(r"[:;]", os.environ.get("QT_QPA_PLATFORM", ""))[0]
