"""Settings that are kept between starts, in one INI file. A damaged file is renamed and reported to the user."""

import json
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import platformdirs
from PySide6.QtCore import QByteArray, QSettings

from vitviz import files

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
"""Fields of `ViewState` that are kept between starts."""


def default_path() -> Path:
    """The settings file in the user's configuration folder of this operating system."""
    return Path(platformdirs.user_config_dir("vitviz")) / "window.ini"


class Settings:
    """Typed access to the settings file.

    `message` is a sentence for the user if a damaged file was renamed or the settings were reset; otherwise it is empty.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()
        self.message = ""
        if files.refusal(self.path) == files.PIPE_OR_DEVICE:
            self._rename("no file")
        self._store = QSettings(str(self.path), QSettings.Format.IniFormat)
        if self._store.status() == QSettings.Status.FormatError or _is_garbage(self.path):
            self._rename("damaged")
            self._store = QSettings(str(self.path), QSettings.Format.IniFormat)

    def _rename(self, fault: str) -> None:
        """Put what is in the place of the settings file under another name, and say so."""
        renamed = self.path.with_suffix(".damaged.ini")
        with suppress(OSError):
            self.path.replace(renamed)
        self.message = (
            f"The settings file was {fault} and renamed to {renamed.name}. The default settings are used."
        )

    def text(self, key: str, default: str = "") -> str:
        """A text setting."""
        value = self._store.value(key, default)
        return value if isinstance(value, str) else default

    def number(self, key: str, default: float) -> float:
        """A number; the default if the stored value is not a number."""
        try:
            return float(self.text(key, str(default)))
        except ValueError:
            return default

    def flag(self, key: str, default: bool) -> bool:
        """A boolean setting."""
        return self.text(key, "yes" if default else "no") == "yes"

    def data(self, key: str) -> QByteArray:
        """Bytes such as a window's geometry; empty if the checksum differs, because Qt crashes on damaged layouts."""
        check, _, content = self.text(key).partition(":")
        found = QByteArray.fromBase64(content.encode("ascii", "replace"))
        return found if check == _checksum(found) else QByteArray()

    def put(self, key: str, value: str | float | bool | QByteArray) -> None:
        """Store a value."""
        if isinstance(value, bool):
            value = "yes" if value else "no"
        if isinstance(value, QByteArray):
            value = f"{_checksum(value)}:{bytes(value.toBase64().data()).decode()}"
        self._store.setValue(key, str(value))

    def choices(self, key: str) -> dict[str, dict[str, object]]:
        """Choices by group and name, stored by `put_choices`, with lists as tuples; empty if they cannot be read."""
        try:
            found = json.loads(self.text(key) or "{}")
            return {
                str(group): {str(name): _as_tuples(value) for name, value in chosen.items()}
                for group, chosen in found.items()
            }
        except (ValueError, AttributeError, RecursionError):
            return {}

    def put_choices(self, key: str, groups: Mapping[str, Mapping[str, object]]) -> None:
        """Store choices by group and name."""
        self.put(key, json.dumps({group: dict(chosen) for group, chosen in groups.items()}))

    def names(self, key: str) -> list[str]:
        """A list of names, newest first."""
        return [line for line in self.text(key).split("\n") if line]

    def remember(self, key: str, name: str) -> None:
        """Move a name to the front of a list, which keeps its newest `RECENT` names."""
        names = [name, *(other for other in self.names(key) if other != name)]
        self._store.setValue(key, "\n".join(names[:RECENT]))

    def reset(self) -> None:
        """Delete all settings and set `message`."""
        self._store.clear()
        self._store.sync()
        self.message = "All settings were reset to their defaults."

    def save(self) -> None:
        """Write to disk now."""
        self._store.sync()


def _as_tuples(value: object) -> object:
    """Lists as tuples, also those inside lists."""
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def _checksum(content: QByteArray) -> str:
    return f"{zlib.crc32(content.data()):08x}"


def _is_garbage(path: Path) -> bool:
    """Whether the file is binary data, which QSettings reads as an empty file without an error."""
    try:
        with path.open("rb") as file:
            return b"\0" in file.read(4096)
    except OSError:
        return False
