"""The part of the Windows panel that shows one window's matrices: pictures, the line that reads a cell, and a button."""

from PySide6.QtCore import QObject, Signal

from vitviz.app.panels.windows.matrices import WindowMatrices, matrix_pictures, matrix_words
from vitviz.app.widgets.base.title_bar import Quiet
from vitviz.app.widgets.controls.tool_button import tool
from vitviz.app.widgets.pictures.gallery import PicturesView, Spot


class MatrixPart(QObject):
    """Three widgets that the panel lays out. They are hidden until there are matrices to show."""

    picked = Signal(
        object
    )  # the head whose matrix was clicked; None, for all heads, where it was shown alone

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.view = PicturesView()
        self.view.setAccessibleName("The window's matrices, query down by key across")
        self.view.set_walks(True)
        self.says = Quiet()
        self.close = tool("Close the window's matrices")
        self.found: WindowMatrices | None = None
        self._drawn: tuple[object, ...] | None = None
        self._heads: list[int] = []
        self._about = ""
        self.view.clicked.connect(self._pick)
        self.view.pointed.connect(self._read)
        self.set_visible(False)

    @property
    def head(self) -> int | None:
        """The head that is shown alone; None for all."""
        found = self.found
        return self._heads[0] if found is not None and len(self._heads) < len(found.attention) else None

    def show(self, found: WindowMatrices, head: int | None, colormap: str) -> None:
        """Draw the matrices of all heads, or of one, larger."""
        drawn = (found, head, colormap)
        if drawn != self._drawn:
            self.found, self._drawn = found, drawn
            one = head is not None and head < len(found.attention)
            self._heads = [head] if one and head is not None else list(range(len(found.attention)))
            pictures, told = matrix_pictures(found, self._heads, colormap)
            self.view.set_pictures(pictures)
            self._about = f"Window {found.window} of {found.layer.name}: {told}"
            self._read(self.view.hovered)
            self.set_visible(True)

    def clear(self) -> None:
        """Hide the matrices, and drop them."""
        self.found = self._drawn = None
        self.set_visible(False)

    def set_visible(self, shown: bool) -> None:
        """Show or hide all three widgets."""
        for widget in (self.view, self.says, self.close):
            widget.setVisible(shown)

    def _head_of(self, spot: Spot) -> int | None:
        """The head of a picture; None for the mask."""
        assert self.found is not None
        place = spot.picture // (1 if self.found.bias is None else 2)
        return self._heads[place] if place < len(self._heads) else None

    def _read(self, spot: Spot | None) -> None:
        """Say the numbers of a cell, and outline it in each matrix; without one, say what the matrices are."""
        if self.found is None:
            return
        told, marks = "", []
        if spot is not None:
            told = matrix_words(self.found, self._head_of(spot), spot.row, spot.column)
            every = range(len(self.view.pictures))
            marks = [(Spot(one, spot.row, spot.column), False) for one in every]
        self.view.set_marks(marks)
        self.says.set_text(told or self._about)
        self.view.setAccessibleDescription(told or f"{self._about}. Arrow keys go from cell to cell.")

    def _pick(self, spot: Spot) -> None:
        head = None if self.found is None else self._head_of(spot)
        if self.found is not None and head is not None:
            alone = len(self._heads) == 1 and len(self.found.attention) > 1
            self.picked.emit(None if alone else head)
