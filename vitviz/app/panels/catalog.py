"""The panels beside the photo, one line each."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from PySide6.QtGui import QPixmap

from vitviz.app.session.facts import Shown
from vitviz.app.widgets.base.title_bar import ElidedLabel


@dataclass(frozen=True)
class PanelKind:
    """A panel: `panel` is "module:Class" in `vitviz.app.panels`, made with (session, keys of the stage).

    `area` "right" is a tab of the upper right, "below" one under it, "bottom" a strip below the photo.
    `shown` panels are open at first, the others are in the Panels menu.
    """

    name: str
    title: str
    panel: str
    area: Literal["right", "below", "bottom"]
    shown: bool = False


PANELS: tuple[PanelKind, ...] = (
    PanelKind("heads", "Heads", "heads.panel:HeadsPanel", "right", shown=True),
    PanelKind("predictions", "Predictions", "predictions.panel:PredictionsPanel", "below", shown=True),
    PanelKind("layers", "Layers", "layers.panel:LayersPanel", "bottom", shown=True),
    PanelKind("tokens", "Tokens", "tokens.panel:TokensPanel", "right"),
    PanelKind("lens", "Logit lens", "lens.panel:LensPanel", "below"),
    PanelKind("statistics", "Statistics", "statistics.panel:StatisticsPanel", "right"),
    PanelKind("windows", "Windows", "windows.panel:WindowsPanel", "right"),
    PanelKind("positions", "Positions", "positions.panel:PositionsPanel", "right"),
    PanelKind("patches", "Patches", "patches.panel:PatchesPanel", "right"),
    PanelKind("faithfulness", "Faithfulness", "faithfulness.panel:FaithfulnessPanel", "right"),
)


@runtime_checkable
class Ending(Protocol):
    """A panel with work of its own."""

    def end(self) -> None:
        """Stop all work and end the threads."""


@runtime_checkable
class Saving(Protocol):
    """A panel that composes its own picture for files."""

    def save(self) -> None:
        """Ask for a file and save what is shown."""


@runtime_checkable
class Captioned(Protocol):
    """A panel with a caption, which a presentation shows in its own line."""

    says: ElidedLabel

    def shown(self) -> Shown:
        """What is drawn now."""


@runtime_checkable
class Pictured(Protocol):
    """A panel that knows better than a picture of all of itself what is to be copied."""

    def picture(self) -> QPixmap:
        """What "copy this panel" copies."""
