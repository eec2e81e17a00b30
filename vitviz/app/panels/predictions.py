"""What the model says the photo shows."""

from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from vitviz.app.session import Session
from vitviz.app.widgets.bars import Bar, BarList
from vitviz.app.widgets.invitation import Invitation
from vitviz.app.widgets.segmented import Segmented
from vitviz.app.widgets.titlebar import Quiet

TOP = 6


class PredictionsPanel(QWidget):
    """The classes the model finds likeliest, with their probabilities."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.says = Quiet()
        self.heads = Segmented(
            "Which head of the model",
            [("both", "both heads"), ("class", "class"), ("distillation", "distillation")],
        )
        self.list = BarList()
        self.list.setAccessibleName("Predictions")
        self.empty = Invitation(self.list, [])
        line = QHBoxLayout()
        line.setContentsMargins(12, 0, 12, 8)
        line.setSpacing(8)
        line.addWidget(self.says, 1)
        line.addWidget(self.heads)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 8)
        column.setSpacing(0)
        column.addLayout(line)
        column.addWidget(self.list, 1)
        self.heads.chosen.connect(lambda _: self._show())
        session.trace_changed.connect(self._show)
        session.busy_changed.connect(self._show_busy)
        self._show()

    def _show(self) -> None:
        trace = self._session.trace
        self.heads.setVisible(trace is not None and len(trace.heads_logits) > 1)
        if trace is None:
            self.list.rows.set_bars(())
            self.says.set_text("")
            self.empty.invite(
                "What the model sees", "Open a photo and choose a model: its likeliest classes will be here."
            )
            return
        self.empty.hide()
        head = self.heads.current if self.heads.isVisibleTo(self) else "both"
        found = trace.predictions(TOP, head=head) if len(trace.logits) else []
        self.list.rows.set_bars(
            [
                Bar(one.label, one.probability, f"class {one.index}: {one.label}, {one.probability:.4f}")
                for one in found
            ]
        )
        count = len(trace.logits)
        if not count:
            self.says.set_text("This model has no classifier: it gives features, not classes.")
        else:
            self.says.set_text(f"{min(TOP, count)} likeliest of {count} classes · bars from 0 to 100 %")

    def _show_busy(self) -> None:
        self.list.setEnabled(self._session.busy is None)
