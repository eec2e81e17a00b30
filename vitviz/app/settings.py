"""What is remembered between starts, in one INI file; a damaged file is set aside and told, never a crash."""

import json
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import platformdirs
from PySide6.QtCore import QByteArray, QSettings

RECENT = 8
REMEMBERED = (
    "colormap",
    "style",
    "opacity",
    "smooth",
    "grid",
    "log",
    "temperature",
    "method",
    "fusion",
    "class_head",
)
"""Fields of the view that survive."""


def default_path() -> Path:
    """The settings file in the place this system keeps such files."""
    return Path(platformdirs.user_config_dir("vitviz")) / "window.ini"


class Settings:
    """Typed access to the settings file; `told` is a sentence for the user where a damaged file was set aside."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()
        self.told = ""
        self._store = QSettings(str(self.path), QSettings.Format.IniFormat)
        if self._store.status() == QSettings.Status.FormatError or _is_garbage(self.path):
            aside = self.path.with_suffix(".damaged.ini")
            with suppress(OSError):
                self.path.replace(aside)
            self.told = (
                f"The settings file was damaged; it was set aside as {aside.name} and vitviz starts afresh."
            )
            self._store = QSettings(str(self.path), QSettings.Format.IniFormat)

    def text(self, key: str, default: str = "") -> str:
        """A text setting."""
        value = self._store.value(key, default)
        return value if isinstance(value, str) else default

    def number(self, key: str, default: float) -> float:
        """A number; the default where the file holds something else."""
        try:
            return float(self.text(key, str(default)))
        except ValueError:
            return default

    def flag(self, key: str, default: bool) -> bool:
        """A yes or no."""
        return self.text(key, "yes" if default else "no") == "yes"

    def data(self, key: str) -> QByteArray:
        """Bytes such as a window's geometry; empty where they are not as they were put: Qt crashes on damaged layouts."""
        check, _, content = self.text(key).partition(":")
        found = QByteArray.fromBase64(content.encode("ascii", "replace"))
        return found if check == _check(found) else QByteArray()

    def put(self, key: str, value: str | float | bool | QByteArray) -> None:
        """Remember a value."""
        if isinstance(value, bool):
            value = "yes" if value else "no"
        if isinstance(value, QByteArray):
            value = f"{_check(value)}:{bytes(value.toBase64().data()).decode()}"
        self._store.setValue(key, str(value))

    def choices(self, key: str) -> dict[str, dict[str, object]]:
        """Choices by name in named groups, as `put_choices` wrote them; lists are tuples. Empty where the file differs."""
        try:
            found = json.loads(self.text(key) or "{}")
            return {
                str(group): {
                    str(name): tuple(value) if isinstance(value, list) else value
                    for name, value in chosen.items()
                }
                for group, chosen in found.items()
            }
        except (ValueError, AttributeError, RecursionError):
            return {}

    def put_choices(self, key: str, groups: Mapping[str, Mapping[str, object]]) -> None:
        """Remember named choices in named groups."""
        self.put(key, json.dumps({group: dict(chosen) for group, chosen in groups.items()}))

    def names(self, key: str) -> list[str]:
        """A list of names, newest first."""
        return [line for line in self.text(key).split("\n") if line]

    def remember(self, key: str, name: str) -> None:
        """Put a name at the front of a list, once, and keep the list short."""
        names = [name, *(other for other in self.names(key) if other != name)]
        self._store.setValue(key, "\n".join(names[:RECENT]))

    def reset(self) -> None:
        """Forget everything, and tell."""
        self._store.clear()
        self._store.sync()
        self.told = "All settings are as on the first start."

    def save(self) -> None:
        """Write to disk now."""
        self._store.sync()


def _check(content: QByteArray) -> str:
    return f"{zlib.crc32(content.data()):08x}"


def _is_garbage(path: Path) -> bool:
    """QSettings reads binary rubbish as an empty file; a settings file is text."""
    try:
        return b"\0" in path.read_bytes()[:4096]
    except OSError:
        return False
