"""Saves the stage as a PNG: a heatmap on its photo, or both sides of a comparison, with what the user has included."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QWidget

from vitviz.app.dialogs import files
from vitviz.app.session import colour_scale, describe
from vitviz.app.session.comparison import Comparison
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import patches_in
from vitviz.app.settings import Settings
from vitviz.app.sources.samples import is_bundled
from vitviz.app.stage.side import classes_of
from vitviz.render.export import save_png, with_legend
from vitviz.render.pair import Side, levelled, paired

if TYPE_CHECKING:
    from vitviz.explain.heatmap import Heatmap

Write = Callable[[], object]

PARTS = {
    "legend": "&Legend with the colour scale",
    "photo": "Name of the &photo",
    "model": "Name of the &model",
    "outline": "&Outline of the query",
}
"""What a saved picture can include, by name: the text of its menu entry."""

_LEGEND = ("colormap", "opacity", "style", "log", "temperature")
_SIDES = ("Left", "Right")


def included(settings: Settings) -> frozenset[str]:
    """The parts that saved pictures include: those that the user has not switched off."""
    return frozenset(part for part in PARTS if settings.flag(f"save_{part}", True))


def include(settings: Settings, part: str, on: bool) -> None:
    """Include a part in saved pictures from now on, or leave it out."""
    settings.put(f"save_{part}", on)


def save(
    parent: QWidget,
    session: Session,
    comparison: Comparison | None,
    settings: Settings,
    show_message: Callable[[str], object],
) -> None:
    """Ask for a file name and save what the stage shows: both sides of a comparison if both have a heatmap.

    `session` is that of the current side. `show_message` is called with a sentence once the file is written.
    """
    heat, photo = session.heatmap, session.photo
    if heat is None or photo is None:
        return
    sessions = [session] if comparison is None else [comparison.first, comparison.second]
    both = len(sessions) == 2 and all(one.heatmap is not None for one in sessions)
    folder = settings.text("save_folder") or (
        str(photo.path.parent) if photo.path is not None and not is_bundled(photo.path) else ""
    )
    stem = photo.path.stem if photo.path else photo.name
    path = files.ask_target(parent, Path(folder) / f"{stem}-{'compared' if both else heat.method}.png")
    if path is None:
        return

    def done() -> None:
        show_message(f"Saved {path.name} in {path.parent}")

    settings.put("save_folder", str(path.parent))
    parts = included(settings)
    shown = [SideSnapshot(one, parts) for one in (sessions if both else [session])]
    session.save(lambda: save_both(path, shown) if both else shown[0].save(path), done)


class SideSnapshot:
    """A copy of what a side shows and of the parts to include, for the thread that saves it."""

    def __init__(self, session: Session, parts: frozenset[str]) -> None:
        assert session.heatmap is not None
        self.heat: Heatmap = session.heatmap
        self.legend = "legend" in parts
        self.style: dict[str, Any] = colour_scale.picture(session.view, self.heat, session.shared_range)
        if "outline" in parts:
            self.style["mark"] = query_cells(session)
        names = {"photo": self.heat.photo.name, "model": self.heat.model_name}
        self.names = " · ".join(name for part, name in names.items() if part in parts)
        self.classes = classes_of(session) if "model" in parts else ""
        self.note = self.heat.sums
        painted = colour_scale.painted(session.view, self.heat)
        self.title = self.heat.title_of(painted)
        self.ends = colour_scale.scale(session.view, colour_scale.extent(painted), session.shared_range)

    def save(self, path: Path) -> None:
        """Write this side alone."""
        heading = (self.names,) if self.names else ()
        self.heat.save(path, legend=self.legend, heading=heading, note=self.note, **self.style)

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the caption in a comparison."""
        return tuple(filter(None, (self.names, self.classes)))

    def with_legend(self, below: Any, title: str, note: str) -> Any:
        """An image with this side's colour scale below it."""
        style = {key: self.style[key] for key in _LEGEND}
        low, high = self.ends
        return with_legend(below, title=title, low=low, high=high, unit=self.heat.unit, note=note, **style)


def query_cells(session: Session) -> frozenset[tuple[int, int]]:
    """The patches of the shown map that hold its query; none where the query is a prefix token."""
    shown, trace = session.maps.shown, session.trace
    if shown is None or trace is None:
        return frozenset()
    cells = (describe.cell_of(shown.heatmap, trace, patch) for patch in patches_in(shown.selection.query))
    return frozenset(cell for cell in cells if cell is not None)


def _both_notes(sides: list[SideSnapshot]) -> str:
    """The sums of both sides: once where they are equal, otherwise each with its side."""
    if sides[0].note == sides[1].note:
        return sides[0].note
    return " ".join(
        f"{where}: {side.note[0].lower()}{side.note[1:]}" for where, side in zip(_SIDES, sides, strict=True)
    )


def save_image(image: QImage, path: Path, fields: dict[str, str]) -> None:
    """Write an image of a panel as PNG with text fields. ExportError names the path and the reason."""
    plain = image.convertToFormat(QImage.Format.Format_RGBA8888)
    size = plain.width(), plain.height()
    save_png(
        Image.frombuffer("RGBA", size, bytes(plain.constBits()), "raw", "RGBA", plain.bytesPerLine(), 1),
        path,
        fields,
    )


def save_both(path: Path, sides: list[SideSnapshot]) -> None:
    """Write two sides beside each other, with one colour scale below both if they share it, otherwise with one each."""
    images = levelled([side.heat.overlay(**side.style) for side in sides])
    first = sides[0]
    shared = len({(side.ends, side.heat.unit) for side in sides}) == 1
    columns = []
    for image, side in zip(images, sides, strict=True):
        lines = side.lines
        if side.legend and shared:
            lines = (*lines, side.title)
        elif side.legend:
            image = side.with_legend(image, side.title, side.note)
        columns.append(Side(image, lines))
    whole = paired(columns)
    if first.legend and shared:
        whole = first.with_legend(whole, "One colour scale for both sides", _both_notes(sides))
    fields = {"Title": " | ".join(side.title for side in sides)}
    for where, side in zip(_SIDES, sides, strict=True):
        described = {"Photo": side.heat.photo.name, **side.heat.described(**side.style)}
        fields |= {f"{where} {key}": value for key, value in described.items()}
    save_png(whole, path, fields)
