"""What the panels of windows, positions and patches share: a scale, a legend, saving what they show."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from vitviz.app.dialogs.files import ask_folder, ask_target
from vitviz.app.session.session import Session
from vitviz.app.ui import number_format, theme
from vitviz.app.widgets.photo.colour_bar import ColorBar
from vitviz.render import colors

if TYPE_CHECKING:
    from pathlib import Path

    from vitviz.attention.trace import Trace


def legend() -> QLabel:
    """Quiet words below a picture, in as many lines as they need."""
    label = QLabel()
    label.setFont(theme.small())
    label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
    label.setWordWrap(True)
    label.setContentsMargins(12, 0, 12, 8)
    return label


def row(*widgets: QWidget, wide: QWidget | None = None) -> QHBoxLayout:
    """Controls side by side; `wide` takes the room that is left, else the end of the row does."""
    line = QHBoxLayout()
    line.setContentsMargins(12, 0, 12, 4)
    line.setSpacing(8)
    for widget in widgets:
        line.addWidget(widget, 1 if widget is wide else 0)
    if wide is None:
        line.addStretch(1)
    return line


def show_scale(bar: ColorBar, low: float, high: float, unit: str, colormap: str) -> None:
    """A colour bar from `low` to `high`; one with two sides has zero in the middle."""
    signed = colors.is_signed(low, high)
    made = colors.bar(low, high)
    first, last = number_format.ends(low, high)
    middle = "0" if signed else number_format.ends(low, made.middle)[1]
    bar.set_colors(colors.lookup_table(colors.SIGNED_COLORMAP if signed else colormap))
    bar.set_bar(made, (first.replace("-", "−"), middle.replace("-", "−"), last), unit)
    bar.setVisible(low < high)


def save_plate(panel: QWidget, session: Session, trace: "Trace", what: str, options: dict[str, Any]) -> None:
    """Ask for a file and write a plate there off the GUI thread."""
    path = ask_target(panel, Path(f"{Path(trace.photo.name).stem}-{what}.png"))
    if path is None:
        return
    session.save(
        lambda: write_plate(trace, what, path, **options),
        lambda: session.message.emit(f"Saved {path.name} in {path.parent}"),
    )


def save_plates(panel: QWidget, session: Session, what: list[str]) -> None:
    """Ask for a folder and write all plates of some kinds there, every layer's and every table's."""
    trace, chosen = session.trace, session.selection
    folder = None if trace is None else ask_folder(panel, "", "Save all of this panel into a folder")
    if trace is None or folder is None:
        return
    query = chosen.query
    # A mean of patches has no window and no logits of its own.
    if query is None and len(trace.readout.prefix) != 1:
        query = (trace.patches.rows // 2, trace.patches.cols // 2)
    options: dict[str, Any] = {"head": chosen.head, "query": query, "colormap": session.view.colormap}
    written: list[int] = []
    session.save(
        lambda: written.append(write_plates(trace, what, folder, **options)),
        lambda: session.message.emit(f"Saved {written[0]} pictures in {folder}"),
    )


def write_plate(trace: "Trace", what: str, path: "Path", **options: Any) -> None:
    """Save a plate as PNG."""
    from vitviz.explain.plates.plates import plate
    from vitviz.render.export import save_png

    save_png(plate(trace, what, **options), path, {"Model": trace.model.full_name, "Plate": what})


def write_plates(trace: "Trace", what: list[str], folder: "Path", **options: Any) -> int:
    """Save all plates of some kinds into a folder; how many there are."""
    from vitviz.explain.plates.plate_sets import write_all

    return len(list(write_all(trace, folder, what, **options)))
