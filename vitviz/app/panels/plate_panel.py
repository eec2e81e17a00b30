"""The base of the panels of windows, positions and patches: what they show can be saved as plates (`vitviz.plate`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from PySide6.QtCore import QTimer
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from vitviz.app.dialogs.files import ask_folder, ask_target
from vitviz.app.panels.base import Panel
from vitviz.app.panels.choices import Choices
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import Query, ViewState
from vitviz.app.ui import icons, number_format, theme
from vitviz.app.widgets.base.title_bar import MutedLabel
from vitviz.app.widgets.controls.segmented import Segmented
from vitviz.app.widgets.controls.tool_button import tool
from vitviz.app.widgets.photo.colour_bar import ColorBar
from vitviz.app.work.failure import failure
from vitviz.render import colors

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace


V = TypeVar("V")

_PATIENCE = 120  # milliseconds before the old pictures are dimmed, so that quick answers do not flicker


@dataclass(frozen=True, eq=False)
class Plate:
    """A picture that can be saved: the trace, the kind of plate, and its options, as `vitviz.plate` takes them."""

    trace: "Trace"
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


class PlatePanel(Panel, Generic[V]):
    """A sentence, modes to choose from, pictures and a legend, with buttons that save what is shown or every picture."""

    plates: tuple[str, ...] = ()
    """The kinds of plates that "save all" writes."""
    drawn_with: tuple[str, ...] = ("colormap",)
    """The fields of the view that change how the pictures are drawn."""

    def __init__(
        self,
        session: Session,
        choices: type[V],
        name: str,
        modes: Sequence[tuple[str, str]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(session, parent)
        self.choices = Choices(session, self.name, choices)
        self.says = MutedLabel()
        self.mode = Segmented(name, modes)
        self._modes = [key for key, _ in modes]
        self.export = tool("Save this picture as PNG")
        self.export_all = tool("Save all pictures of this panel, of every layer, into a folder", text="all")
        self.legend = legend()
        self._patience = QTimer(self, interval=_PATIENCE, singleShot=True)
        self._patience.timeout.connect(self.dim)
        self.export.clicked.connect(self.save)
        self.export_all.clicked.connect(lambda: save_plates(self, session, self.plates))
        session.trace_changed.connect(self._start_over)
        session.selection_changed.connect(self.follow)
        session.view_changed.connect(self._follow_view)

    def forget(self) -> None:
        """Drop all that belongs to the trace before."""

    def plate(self) -> Plate | None:
        """What is shown, as a plate; None where nothing is."""
        return None

    def head(self) -> QHBoxLayout:
        """The first row: the sentence, and the buttons that save."""
        return row(self.says, self.export, self.export_all, wide=self.says)

    def offer(self, chosen: str, disabled: dict[str, str]) -> str:
        """Show the chosen mode, or the first that is not disabled where the chosen one is; returns the mode to draw."""
        open_modes = [key for key in self._modes if key not in disabled]
        mode = chosen if chosen in open_modes or not open_modes else open_modes[0]
        self.mode.disable_choices(disabled)
        self.mode.set_current(mode)
        return mode

    def fail(self, problem: BaseException) -> None:
        """Tell the user what went wrong in the thread."""
        self.settle()
        self.session.failed.emit(failure(problem))

    @property
    def late(self) -> bool:
        """Whether something newer has been computed for longer than a moment."""
        return self.worker.busy and not self._patience.isActive()

    def wait(self) -> None:
        """Something newer is being computed: what is drawn is dimmed unless that is there soon."""
        if not self._patience.isActive():
            self._patience.start()

    def settle(self) -> None:
        """What was awaited is there, or is not wanted any more."""
        self._patience.stop()
        self.dim()

    def tint(self) -> None:
        """Take colours for icons from the palette."""
        self.export.setIcon(icons.icon("save", self.palette()))

    def _start_over(self) -> None:
        """There is another trace: drop the old one now, also while the panel is hidden."""
        self.worker.cancel()
        self.forget()
        self.follow()

    def _follow_view(self, before: ViewState, now: ViewState) -> None:
        styled = any(getattr(before, field) != getattr(now, field) for field in self.drawn_with)
        if styled or self.choices.differ(before, now):
            self.follow()

    def save(self) -> None:
        """Ask for a file and write the plate there off the GUI thread."""
        shown, session = self.plate(), self.session
        if shown is None:
            return
        path = ask_target(self, Path(f"{Path(shown.trace.photo.name).stem}-{shown.kind}.png"))
        if path is not None:
            session.save(
                lambda: write_plate(shown, path),
                lambda: session.message.emit(f"Saved {path.name} in {path.parent}"),
            )


def legend() -> QLabel:
    """Small text below a picture, in as many lines as it needs."""
    label = QLabel()
    label.setFont(theme.small())
    label.setForegroundRole(QPalette.ColorRole.PlaceholderText)
    label.setWordWrap(True)
    label.setContentsMargins(12, 0, 12, 8)
    return label


def row(*widgets: QWidget, wide: QWidget | None = None) -> QHBoxLayout:
    """Widgets side by side; `wide` takes the space that is left, otherwise it stays empty at the end."""
    line = QHBoxLayout()
    line.setContentsMargins(12, 0, 12, 4)
    line.setSpacing(8)
    for widget in widgets:
        line.addWidget(widget, 1 if widget is wide else 0)
        if widget is wide:
            line.addStretch(0)  # takes the space while the widget is hidden
    if wide is None:
        line.addStretch(1)
    return line


def token_query(trace: "Trace", query: Query) -> Query:
    """The query, or the patch in the middle where it is a mean of patches, which has no window and no logits of its own."""
    reading = trace.reading(query)
    if reading is not None and (len(reading.prefix) != 1 or reading.queries):
        return trace.patches.rows // 2, trace.patches.cols // 2
    return query


def show_scale(bar: ColorBar, low: float, high: float, unit: str, colormap: str) -> None:
    """Show a colour bar from `low` to `high`; where these have different signs, zero is in the middle."""
    signed = colors.is_signed(low, high)
    made = colors.bar(low, high)
    first, last = number_format.ends(low, high)
    middle = "0" if signed else number_format.ends(low, made.middle)[1]
    bar.set_colors(colors.lookup_table(colors.SIGNED_COLORMAP if signed else colormap))
    bar.set_bar(made, (first.replace("-", "−"), middle.replace("-", "−"), last), unit)
    bar.setVisible(low < high)


def save_plates(panel: QWidget, session: Session, kinds: Sequence[str]) -> None:
    """Ask for a folder and write all plates of some kinds there, of every layer and table."""
    trace, chosen = session.trace, session.selection
    folder = None if trace is None else ask_folder(panel, "", "Save all of this panel into a folder")
    if trace is None or folder is None:
        return
    query = token_query(trace, chosen.query)
    options: dict[str, Any] = {"head": chosen.head, "query": query, "colormap": session.view.colormap}
    written: list[int] = []
    session.save(
        lambda: written.append(write_plates(trace, kinds, folder, **options)),
        lambda: session.message.emit(f"Saved {written[0]} pictures in {folder}"),
    )


def write_plate(shown: Plate, path: Path) -> None:
    """Save a plate as PNG."""
    from vitviz.explain.plates.plates import plate
    from vitviz.render.export import save_png

    image = plate(shown.trace, shown.kind, **shown.options)
    save_png(image, path, {"Model": shown.trace.model.full_name, "Plate": shown.kind})


def write_plates(trace: "Trace", kinds: Sequence[str], folder: Path, **options: Any) -> int:
    """Save all plates of some kinds into a folder; returns how many there are."""
    from vitviz.explain.plates.plate_sets import write_all

    return len(list(write_all(trace, folder, list(kinds), **options)))
