"""The note above the predictions of a bundled model on a user's photo: what it knows, and which models are for photos."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from weakref import ref

from PySide6.QtWidgets import QWidget

from vitviz.app.session.model_list import Recommendations
from vitviz.app.session.session import Session
from vitviz.app.sources.samples import MODELS, is_bundled
from vitviz.app.ui.number_format import megabytes
from vitviz.app.widgets.messages.model_offers import ModelOffers
from vitviz.app.widgets.messages.welcome import Offer
from vitviz.models.listing import ListedModel, Recommended

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace

_COUNTS = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
_OFFLINE = (
    "The Hugging Face hub does not answer, so nothing can be downloaded now. Choose a model that is on this machine, or "
    "open a weights file."
)


class DemoNote(ModelOffers):
    """Shown while a bundled model is used on a photo that is not a bundled scene."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Models for photos", parent)
        self._session = session
        self._of: Callable[[], Trace | None] = lambda: None  # weak: the note must not keep a closed trace

    def follow(self, trace: "Trace | None") -> None:
        """Show the note if it applies to a trace. Asked again for the same trace, nothing changes."""
        if trace is not None and trace is self._of():
            return
        if trace is None or not self._applies(trace):
            self._of = lambda: None
            self.hide()
            return
        self._of = ref(trace)
        self._session.model_list.recommend(partial(self._offer, self._of))

    def _applies(self, trace: "Trace") -> bool:
        path = trace.photo.path
        return self._session.model_source in MODELS and (path is None or not is_bundled(path))

    def _offer(self, of: "Callable[[], Trace | None]", found: Recommendations) -> None:
        trace = of()
        if trace is None or trace is not self._of():
            return
        count = len(trace.model.labels)
        known = _COUNTS[count] if count < len(_COUNTS) else str(count)
        knows = f"{trace.model.name} knows {known} drawn shapes ({trace.model.labels[0]} to {trace.model.labels[-1]})"
        offered = [one for one in found.models if found.online or one[1].here]
        asked = self._session.models_asked.emit
        others = [Offer("All models…", "Search all models (Ctrl+M)", partial(asked, "all"))]
        if not found.online:
            others = [
                Offer("On this machine…", "Models whose weights are on this machine", partial(asked, "here")),
                Offer("Weights file…", "Load a file such as .safetensors or .pth", partial(asked, "file")),
            ]
        sentence = f"{knows}, and not what photos show. "
        self.show_offers(
            sentence + ("For photos choose:" if found.online else _OFFLINE),
            [self._offer_of(*one) for one in offered],
            others,
        )

    def _offer_of(self, model: Recommended, listed: ListedModel) -> Offer:
        return Offer(
            model.title,
            f"{where(listed)} · {model.brief}",
            lambda: self._session.open(model=model.name),
            tip=f"{model.purpose} ({where(listed)})",
        )


def where(model: ListedModel) -> str:
    """Whether a model is on this machine, or how much is to be downloaded."""
    if model.here:
        return "on this machine"
    about = f"≈ {megabytes(model.known.download)}" if model.known is not None else ""
    if model.state == "partly":
        return f"{megabytes(model.size)} of {about} are here"
    return f"download {about}"
