"""The strip of thumbnails of the folder from which the current side's photo comes."""

from pathlib import Path

from PySide6.QtCore import QEvent, QSize, Signal
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QHBoxLayout, QToolButton, QWidget

from vitviz.app.sources.folder import thumbnail
from vitviz.app.stage.folder_index import FolderIndex
from vitviz.app.ui import icons
from vitviz.app.widgets.pictures.thumbnails import LARGE, Thumbnails
from vitviz.app.work.worker import Worker

_SMALL, _LEAST = 560, 340
"""The heights of the stage in pixels below which thumbnails are small, and below which there are none."""


class FolderStrip(QWidget):
    """Shown where the folder has several photos, unless it is switched off or has no room. A click or Enter opens a photo.

    Only the thumbnails that can be seen are read, one at a time, in a thread.
    """

    picked = Signal(object)  # Path
    closed = Signal()  # by its button

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._index: FolderIndex | None = None
        self._folder: Path | None = None  # of the thumbnails
        self._on = self._bare = False
        self._fits = True
        self._worker = Worker("thumbnails", self, background=True)
        self.list = Thumbnails()
        self.list.setAccessibleName("Photos of the folder")
        self.close_button = QToolButton()
        self.close_button.setAutoRaise(True)
        self.close_button.setIconSize(QSize(14, 14))
        self.close_button.setAccessibleName("Close the thumbnails")
        self.close_button.setToolTip("Close the thumbnails; T or the View menu shows them again")
        self.close_button.clicked.connect(self.closed)
        line = QHBoxLayout(self)
        line.setContentsMargins(12, 0, 8, 0)
        line.setSpacing(4)
        line.addWidget(self.list, 1)
        line.addWidget(self.close_button)
        self.list.picked.connect(self._pick)
        self.list.wanted_changed.connect(self._load)
        self._tint_icons()
        self.hide()

    def follow(self, index: FolderIndex) -> None:
        """Show this folder: that of the current side."""
        if index is self._index:
            return
        if self._index is not None:
            self._index.changed.disconnect(self._show)
        self._index = index
        index.changed.connect(self._show)
        self._show()

    def switch(self, on: bool) -> None:
        """Show the strip where a folder has several photos, or hide it."""
        self._on = on
        self._show()

    def set_room(self, height: int) -> None:
        """Follow the height of the stage in pixels: small thumbnails on a small one, none where the photo needs the room."""
        self.list.set_small(height < _SMALL)
        if self._fits != (height >= _LEAST):
            self._fits = height >= _LEAST
            self._show()

    def set_bare(self, bare: bool) -> None:
        """Hide the strip for a presentation."""
        self._bare = bare
        self._show()

    def end(self) -> None:
        """End the thread."""
        self._worker.close()

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Nothing: it gives way where a short window has no room for it."""
        return QSize(0, 0)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Tint the icon in the new palette."""
        if event.type() == QEvent.Type.PaletteChange:
            self._tint_icons()
        super().changeEvent(event)

    def _tint_icons(self) -> None:
        self.close_button.setIcon(icons.icon("close", self.palette()))

    def _show(self) -> None:
        index = self._index
        names = () if index is None else index.names
        if index is not None and index.folder != self._folder:
            self._folder = index.folder
            self._worker.cancel()
            self.list.rows.pictures.clear()
        self.setVisible(self._on and self._fits and not self._bare and len(names) > 1)
        place = None if index is None else index.place
        self.list.show_names(names, -1 if place is None else place)

    def _load(self) -> None:
        """Read the next thumbnail that can be seen, unless one is being read."""
        folder, name = self._folder, self.list.wanted()
        if folder is None or name is None or self._worker.busy:
            return

        def done(picture: QImage | None) -> None:
            self.list.set_picture(name, picture)
            self._load()

        most = LARGE * self.devicePixelRatioF()
        size = most.width(), most.height()
        self._worker.submit(lambda _: read(folder / name, size), done, lambda _: done(None))

    def _pick(self, row: int) -> None:
        if self._folder is not None:
            self.picked.emit(self._folder / self.list.rows.names[row])


def read(path: Path, size: tuple[int, int]) -> QImage | None:
    """A thumbnail of at most (width, height) pixels; None for a file that cannot be read."""
    image = thumbnail(path, size)
    if image is None:
        return None
    # A copy: QImage does not own the bytes that it is given.
    return QImage(
        image.tobytes(), image.width, image.height, 3 * image.width, QImage.Format.Format_RGB888
    ).copy()
