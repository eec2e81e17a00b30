"""The running job at the right of the status bar: its title, a progress bar and a cancel button."""

from PySide6.QtCore import QEvent, QSize
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QToolButton, QWidget

from vitviz.app.ui import icons, theme
from vitviz.app.work.jobs import Job, JobQueue

_BAR = 80  # width in pixels
_TEXT = 260  # largest width in pixels


class JobsBar(QWidget):
    """Shows the running job and how many are waiting; hidden if there is none."""

    def __init__(self, queue: JobQueue) -> None:
        super().__init__()
        self._queues: list[JobQueue] = []
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
        self._apply_palette()
        self.set_queues([queue])

    def set_queues(self, queues: list[JobQueue]) -> None:
        """Show the jobs of these queues, one for each side."""
        for queue in queues:
            if queue not in self._queues:
                queue.changed.connect(self._show)
        self._queues = queues
        self._show()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Tint the icon in the new palette."""
        if event.type() == QEvent.Type.PaletteChange:
            self._apply_palette()
        super().changeEvent(event)

    def _apply_palette(self) -> None:
        self.cancel.setIcon(icons.icon("close", self.palette()))
        theme.mute_accent(self.bar)

    def _show(self) -> None:
        jobs = self._jobs()
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

    def _jobs(self) -> list[Job]:
        """The running jobs first."""
        jobs = [job for queue in self._queues for job in queue.jobs]
        return sorted(jobs, key=lambda job: job.state != "running")

    def _cancel(self) -> None:
        for job in self._jobs()[:1]:
            job.cancel()
