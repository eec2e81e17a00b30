"""What a result was computed for. A panel keeps the facts with the result, and makes its caption from them alone."""

from dataclasses import dataclass, field, replace
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


def of_trace(
    trace: "Trace", target: int | None = None, layer: int = 0, part: str = "", scale: str = ""
) -> Facts:
    """The facts of a result that is not of one method: of the trace, and possibly of a class or a layer."""
    return Facts(trace, Selection(None, layer, None, "mean", "to", "", target), part=part, scale=scale)


def of_attention(
    trace: "Trace", chosen: Selection, part: str = "", window: int | None = None, scale: str = ""
) -> Facts:
    """The facts of a result of attention itself, whatever method is selected."""
    return Facts(
        trace,
        replace(chosen, method="attention", target=None, choices=()),
        part=part,
        window=window,
        scale=scale,
    )


@dataclass(frozen=True, eq=False)
class Shown:
    """What a panel or the photo has drawn. Each adds its values. Copying, saving, accessibility and tests read them here."""

    caption: str
    """The sentence that says what is drawn; empty where nothing is."""
    dimmed: bool
    """Whether something newer is being computed while this stays."""
    facts: Facts | None = field(default=None, kw_only=True)
    """What the drawn result was computed for; None where nothing is drawn. The caption is made from these facts."""
