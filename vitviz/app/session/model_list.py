"""The list of models that can be loaded by name, read off the GUI thread and remembered."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject

from vitviz.app.sources.samples import models
from vitviz.app.work.progress import Progress
from vitviz.app.work.worker import Ticket, Worker

if TYPE_CHECKING:
    from vitviz.models.catalog import Entry


class ModelList(QObject):
    """Reads the list whenever it is asked for, as weights come and go, and gives the last one meanwhile."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker = Worker("catalog", self)
        self._known: list[Entry] = []

    def ask(
        self, done: "Callable[[list[Entry]], None]", failed: Callable[[BaseException], None]
    ) -> Callable[[], None]:
        """Call `done` with what is known, and again if it has changed; returns what says that nobody waits any more."""

        def take(entries: "list[Entry]") -> None:
            if entries != self._known:
                self._known = entries
                done(entries)

        if self._known:
            done(self._known)
        self._worker.submit(catalog, take, failed)
        return self._worker.cancel

    def close(self) -> None:
        """End the thread."""
        self._worker.close()


def catalog(ticket: Ticket) -> "list[Entry]":
    """Everything that can be loaded by name, what is bundled first; the first call imports timm."""
    ticket.tell(Progress("Reading the list of models"))
    from vitviz.models.catalog import entries

    return [_bundled(name) for name in models()] + entries()


def _bundled(name: str) -> "Entry":
    from vitviz.models.catalog import Entry
    from vitviz.models.loading import load_model

    model = load_model(name, device="cpu")
    module: Any = model.module
    tokens = module.patch_embed.num_patches + getattr(module, "num_prefix_tokens", 0)
    return Entry(name, model.parameters, model.input_size, int(tokens), True)
