"""What a result was computed for. A panel keeps the facts with the result, and makes its caption from them alone."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitviz.app.session.view_state import Selection

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace


@dataclass(frozen=True)
class Facts:
    """The trace and the selection of a result, and what else its panel distinguishes.

    `selection` has the method and its options, layer, head or fusion, query, direction and target. A panel drops the facts
    together with the result, so that they do not keep a closed trace.
    """

    trace: "Trace"
    """Compared by identity: the same photo and model give another trace when they are opened again."""
    selection: Selection
    asked: str = ""
    """The selected method, where the result is of another method because that one has no such result."""
    part: str = ""
    """The mode of the panel, or the head of a distilled model that is read."""
    window: int | None = None
    """The window of a layer that has windows."""
    scale: str = ""
    """The scale of colours or numbers, as the panel names it."""

    @property
    def model(self) -> str:
        """The full name of the model."""
        return self.trace.model.full_name

    @property
    def photo(self) -> str:
        """The name of the photo."""
        return self.trace.photo.name

    @property
    def framing(self) -> str:
        """How the photo became the model's input."""
        return self.trace.framing.mode
