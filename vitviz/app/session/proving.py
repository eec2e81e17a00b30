"""The proof of the claims behind the first map: models of known libraries are drawn at once and proved in the background."""

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from vitviz.app.session import compute
from vitviz.app.work.worker import Worker

if TYPE_CHECKING:
    from vitviz.attention.self_check.outputs import Check
    from vitviz.attention.trace import Trace


class Proving(QObject):
    """Proves what the trace that is shown has left for later, once per trace.

    The proof runs the model, so it is paused while the user waits for the model, and begins again after that.
    """

    changed = Signal()  # `check` has more claims proved
    refused = Signal(object)  # the exception: a claim fails without which no map may be drawn

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.check: Check | None = None
        """The self-check of the trace that is shown, with the claims that were proved meanwhile."""
        self._trace: Trace | None = None  # None once its proof has ended
        self._worker = Worker("proof", self, background=True)

    @property
    def busy(self) -> bool:
        """Whether the proof runs."""
        return self._trace is not None and self._worker.busy

    def start(self, trace: "Trace | None") -> None:
        """Go on with another trace."""
        self._worker.cancel()
        self.check = None if trace is None else trace.check
        self._trace = None if self.check is None or self.check.proved else trace
        self.resume()

    def pause(self) -> None:
        """Let the model go: the proof ends at its next layer."""
        self._worker.cancel()

    def resume(self) -> None:
        """Begin the proof that was paused, if there is one."""
        trace = self._trace
        if trace is not None and not self._worker.busy:
            self._worker.submit(lambda ticket: compute.prove(trace, ticket), self._take, self._refuse)

    def close(self) -> None:
        """Stop and end the thread."""
        self._worker.close()

    def _take(self, check: "Check") -> None:
        self._trace, self.check = None, check
        self.changed.emit()

    def _refuse(self, problem: BaseException) -> None:
        self._trace = self.check = None
        self.refused.emit(problem)
