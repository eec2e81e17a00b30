"""The jobs that run or wait, at the right of the status bar: what is done, how far it is, and a cancel."""

from PySide6.QtCore import QEvent, QSize
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QToolButton, QWidget

from vitviz.app.ui import icons, theme
from vitviz.app.work.jobs import JobQueue

_BAR = 80  # pixels
_TEXT = 260


class JobsBar(QWidget):
    """Shows the job that runs; hidden where there is none."""

    def __init__(self, queue: JobQueue) -> None:
        super().__init__()
        self._queue = queue
        self.setAccessibleName("Job in progress")
        self.text = QLabel()
        self.text.setMaximumWidth(_TEXT)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedSize(_BAR, 4)
        self.bar.setAccessibleName("Part done")
        self.cancel = QToolButton()
        self.cancel.setAutoRaise(True)
        self.cancel.setIconSize(QSize(14, 14))
        self.cancel.setAccessibleName("Cancel this job")
        self.cancel.clicked.connect(self._cancel)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 12, 0)
        line.setSpacing(8)
        for widget in (self.text, self.bar, self.cancel):
            line.addWidget(widget)
        queue.changed.connect(self._show)
        self._tint()
        self._show()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Tint the cross again."""
        if event.type() == QEvent.Type.PaletteChange:
            self._tint()
        super().changeEvent(event)

    def _tint(self) -> None:
        self.cancel.setIcon(icons.icon("close", self.palette()))
        theme.calm(self.bar)

    def _show(self) -> None:
        jobs = self._queue.jobs
        self.setVisible(bool(jobs))
        if not jobs:
            return
        job, waiting = jobs[0], len(jobs) - 1
        more = f" · {waiting} more waiting" if waiting else ""
        self.text.setText(f"{job.title}{more}")
        self.text.setToolTip(job.progress.text)
        done = job.progress.done
        self.bar.setRange(0, 0 if done is None else 1000)
        self.bar.setValue(round(1000 * (done or 0)))
        self.cancel.setToolTip(f"Cancel: {job.title}")

    def _cancel(self) -> None:
        for job in self._queue.jobs[:1]:
            job.cancel()
