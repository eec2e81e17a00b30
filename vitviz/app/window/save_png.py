"""What is on the stage as a PNG: one map on its photo, or both sides of a comparison with captions and their scale."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QWidget

from vitviz.app.dialogs import files
from vitviz.app.session import colour_scale
from vitviz.app.session.comparison import Comparison
from vitviz.app.session.session import Session
from vitviz.app.settings import Settings
from vitviz.app.sources.samples import is_bundled
from vitviz.app.stage.side import said_of
from vitviz.render.export import save_png, with_legend
from vitviz.render.pair import Side, levelled, paired

if TYPE_CHECKING:
    from vitviz.explain.heatmap import Heatmap

_LEGEND = ("colormap", "opacity", "style", "log", "temperature")
_SIDES = ("Left", "Right")


def save(
    parent: QWidget,
    session: Session,
    comparison: Comparison | None,
    settings: Settings,
    say: Callable[[str], object],
) -> None:
    """Ask where to, and save what the stage shows; in a comparison both sides, as soon as both have a map."""
    heat, photo = session.heatmap, session.photo
    if heat is None or photo is None:
        return
    both = comparison is not None and comparison.second.heatmap is not None
    folder = settings.text("save_folder") or (
        str(photo.path.parent) if photo.path is not None and not is_bundled(photo.path) else ""
    )
    stem = photo.path.stem if photo.path else photo.name
    path = files.ask_target(parent, Path(folder) / f"{stem}-{'compared' if both else heat.method}.png")
    if path is None:
        return

    def told() -> None:
        say(f"Saved {path.name} in {path.parent}")

    settings.put("save_folder", str(path.parent))
    if comparison is not None and both:
        shown = [Taken(session), Taken(comparison.second)]
        session.save(lambda: save_both(path, shown), told)
    else:
        style = colour_scale.picture(session.view, heat, session.shared_range)
        session.save(lambda: heat.save(path, **style), told)


class Taken:
    """What a side shows at a moment, for the thread that saves it."""

    def __init__(self, session: Session) -> None:
        assert session.heatmap is not None
        self.heat: Heatmap = session.heatmap
        self.style: dict[str, Any] = colour_scale.picture(session.view, self.heat, session.shared_range)
        self.named, self.classes = said_of(session)
        painted = colour_scale.painted(session.view, self.heat)
        self.title = self.heat.title_of(painted)
        self.ends = colour_scale.scale(session.view, colour_scale.extent(painted), session.shared_range)

    @property
    def lines(self) -> tuple[str, ...]:
        """What stands over the picture."""
        return tuple(filter(None, (self.named, self.classes)))

    def legend(self, below: Any, title: str, note: str) -> Any:
        """A picture with this side's scale below it."""
        style = {key: self.style[key] for key in _LEGEND}
        low, high = self.ends
        return with_legend(below, title=title, low=low, high=high, unit=self.heat.unit, note=note, **style)


def save_both(path: Path, sides: list[Taken]) -> None:
    """Write two sides beside each other: one scale below both where they have it in common, else each with its own."""
    images = levelled([side.heat.overlay(**side.style) for side in sides])
    first = sides[0]
    if len({(side.ends, side.heat.unit) for side in sides}) == 1:
        whole = paired(
            [Side(image, (*side.lines, side.title)) for image, side in zip(images, sides, strict=True)]
        )
        notes = dict.fromkeys(side.heat.note for side in sides)
        whole = first.legend(whole, "One colour scale for both sides", " ".join(notes))
    else:
        whole = paired(
            [
                Side(side.legend(image, side.title, side.heat.note), side.lines)
                for image, side in zip(images, sides, strict=True)
            ]
        )
    fields = {"Title": " | ".join(side.title for side in sides)}
    for where, side in zip(_SIDES, sides, strict=True):
        told = {"Photo": side.heat.photo.name, **side.heat.described(**side.style)}
        fields |= {f"{where} {key}": value for key, value in told.items()}
    save_png(whole, path, fields)
