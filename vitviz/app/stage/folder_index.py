"""Which photo of its folder a side shows: the names in the folder and the place among them, read in a thread."""

from pathlib import Path

from PySide6.QtCore import QObject, Signal

from vitviz.app.session.session import Session
from vitviz.app.sources.folder import photos_in
from vitviz.app.sources.samples import is_bundled
from vitviz.app.work.worker import Worker


class FolderIndex(QObject):
    """The photos in the folder of a session's photo. They are read again with each photo and after each failure.

    Empty for a photo without a file and for a bundled scene.
    """

    changed = Signal()

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self.folder: Path | None = None
        self.names: tuple[str, ...] = ()
        self.place: int | None = None
        """The index of the photo in `names`; None if it is not in the folder any more."""
        self._session = session
        self._worker = Worker("folder", self)
        session.photo_changed.connect(self.read)
        session.failed.connect(self.read)
        self.read()

    @property
    def text(self) -> str:
        """The place in words, as "4 of 2,000"; empty where there is no folder."""
        if not self.names:
            return ""
        if self.place is None:
            return "deleted from its folder"
        return f"{self.place + 1:,} of {len(self.names):,}"

    def read(self) -> None:
        """Read the folder of the photo that is shown."""
        photo = self._session.photo
        path = None if photo is None else photo.path
        if path is None or is_bundled(path):
            self._worker.cancel()
            self._set(None, "", ())
            return
        folder, name = path.parent, path.name

        def done(names: list[str]) -> None:
            self._set(folder, name, tuple(names))

        # A folder that cannot be read has no place to show. Opening one of its photos says why.
        self._worker.submit(lambda _: photos_in(folder), done, lambda _: self._set(None, "", ()))

    def end(self) -> None:
        """End the thread."""
        self._worker.close()

    def _set(self, folder: Path | None, name: str, names: tuple[str, ...]) -> None:
        place = names.index(name) if name in names else None
        if (folder, names, place) != (self.folder, self.names, self.place):
            self.folder, self.names, self.place = folder, names, place
            self.changed.emit()
