"""The settings of the loaded model: input size with an estimate, framing, precision, device, outputs and class names."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QPalette, QStandardItemModel
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from vitviz.app.dialogs.files import name_filter
from vitviz.app.session.session import Session
from vitviz.app.ui import theme
from vitviz.app.ui.number_format import megabytes
from vitviz.models.settings import ModelSettings

FRAMINGS = {
    "crop": "As in training (crop)",
    "squash": "Whole photo, aspect ratio changed",
    "fit": "Whole photo, aspect ratio kept",
}
_OUTPUTS = {
    "": "As the model states them",
    "classes": "Classes, with probabilities",
    "values": "Values (a regression)",
    "embedding": "An embedding",
}
_LARGEST = 4096  # pixels
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


class ModelSettingsDialog(QDialog):
    """Changes are applied together: the model is loaded again with them, and they are remembered for it."""

    def __init__(
        self,
        session: Session,
        apply: Callable[[ModelSettings], object],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        assert session.loaded is not None
        self._session = session
        self._apply = apply
        self._model = session.loaded.model
        self._before = session.loaded.settings
        self.setWindowTitle("Model settings")
        self.height_px, self.width_px = self._side("Height"), self._side("Width")
        self.own_size = QPushButton("Own size")
        self.estimate = QLabel()
        self.framing, self.precision, self.device = QComboBox(), QComboBox(), QComboBox()
        self.outputs = QComboBox()
        self.labels = QLineEdit(self._before.labels)
        self.browse = QPushButton("Browse…")
        self.defaults = QPushButton("Restore defaults")
        self.cancel = QPushButton("Cancel")
        self.accept_button = QPushButton("Apply")
        self._fill()
        self._lay_out()
        self._connect()
        self._show_estimate()

    def _side(self, name: str) -> QSpinBox:
        from vitviz.models.sizes import size_step

        step = size_step(self._model)
        box = QSpinBox()
        box.setAccessibleName(f"{name} of the input in pixels")
        box.setSuffix(" px")
        box.setRange(step or 1, _LARGEST)
        box.setSingleStep(step or 1)
        box.setKeyboardTracking(False)
        box.setEnabled(step is not None)
        if step is None:
            box.setToolTip("This model takes only the input size it was made for")
        return box

    def _fill(self) -> None:
        from vitviz.models.devices import PRECISIONS, available_devices

        self._set_size(self._model.input_size)
        for key, text in FRAMINGS.items():
            self.framing.addItem(text, key)
        self.framing.setCurrentIndex(list(FRAMINGS).index(self._session.framing))
        for name in PRECISIONS:
            self.precision.addItem(name, name)
        self.precision.setCurrentText(self._model.precision)
        self.device.addItem(f"Automatic ({self._session.device})", "")
        for name in available_devices():
            self.device.addItem(name, name)
        self.device.setCurrentIndex(max(0, self.device.findData(self._before.device)))
        for key, text in _OUTPUTS.items():
            self.outputs.addItem(text, key)
        self.outputs.setCurrentIndex(max(0, self.outputs.findData(self._before.outputs)))
        self.outputs.setToolTip(
            "Classes have probabilities; values (a regression) and an embedding have none"
        )
        self.labels.setPlaceholderText("The model's own")
        self.labels.setToolTip("A file of class names: .txt with one a line, .json or .csv")
        for widget, name in (
            (self.framing, "Framing"),
            (self.precision, "Precision"),
            (self.device, "Device"),
            (self.outputs, "What the model's numbers are"),
            (self.labels, "File of class names"),
        ):
            widget.setAccessibleName(name)

    def _lay_out(self) -> None:
        self.estimate.setWordWrap(True)
        self.estimate.setFont(theme.small())
        self.estimate.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.estimate.setMinimumHeight(3 * self.estimate.fontMetrics().lineSpacing())
        self.estimate.setAlignment(Qt.AlignmentFlag.AlignTop)
        form = QFormLayout()
        form.setHorizontalSpacing(12)
        form.setVerticalSpacing(8)
        form.addRow(
            "Input size", _line(self.height_px, QLabel("×"), self.width_px, self.own_size, stretch=True)
        )
        form.addRow("", self.estimate)
        form.addRow("Framing", self.framing)
        form.addRow("Precision", self.precision)
        form.addRow("Device", self.device)
        form.addRow("Outputs", self.outputs)
        form.addRow("Class names", _line(self.labels, self.browse))
        title = QLabel(self._model.name)
        title.setFont(theme.body(strong=True))
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self.defaults)
        buttons.addStretch(1)
        buttons.addWidget(self.cancel)
        buttons.addWidget(self.accept_button)
        self.accept_button.setDefault(True)
        for button in (self.own_size, self.browse, self.defaults, self.cancel):
            button.setAutoDefault(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 16, 16, 16)
        column.setSpacing(12)
        column.addWidget(title)
        column.addLayout(form)
        column.addStretch(1)
        column.addLayout(buttons)
        self.setMinimumWidth(520)

    def _connect(self) -> None:
        for side in (self.height_px, self.width_px):
            side.valueChanged.connect(lambda _, side=side: self._snap(side))
        self.precision.currentIndexChanged.connect(lambda _: self._show_estimate())
        self.device.currentIndexChanged.connect(lambda _: self._show_estimate())
        self.own_size.clicked.connect(lambda: self._set_size(self._own_size()))
        self.browse.clicked.connect(self._ask_labels)
        self.defaults.clicked.connect(self._restore)
        self.cancel.clicked.connect(self.reject)
        self.accept_button.clicked.connect(self._accept)

    # What is chosen.

    def chosen(self) -> ModelSettings:
        """What the controls say; what is the model's own is left empty."""
        size = self._size()
        return replace(
            self._before,
            image_size=None if size == self._own_size() else size,
            framing=self.framing.currentData(),
            precision="" if self.precision.currentData() == "float32" else self.precision.currentData(),
            device=self.device.currentData(),
            labels=self.labels.text().strip(),
            outputs=self.outputs.currentData(),
        )

    def _size(self) -> tuple[int, int]:
        return self.height_px.value(), self.width_px.value()

    def _own_size(self) -> tuple[int, int]:
        """The size without a setting: that of the weights."""
        own = self._model.own_input_size
        return self._model.input_size if own is None else own

    def _set_size(self, size: tuple[int, int]) -> None:
        self.height_px.setValue(size[0])
        self.width_px.setValue(size[1])

    def _snap(self, side: QSpinBox) -> None:
        """Set a typed number to the nearest size that the model takes."""
        step = side.singleStep()
        nearest = max(step, round(side.value() / step) * step)
        if nearest != side.value() and side.value() not in self._own_size():
            side.setValue(nearest)
        self._show_estimate()

    def _show_estimate(self) -> None:
        """Say how many tokens the size makes, and what it will need."""
        trace = self._session.trace
        on_cpu = (self.device.currentData() or str(self._model.device)).startswith("cpu")
        _enable(self.precision, "float16", not on_cpu)
        if on_cpu and self.precision.currentData() == "float16":
            self.precision.setCurrentText("float32")
        if trace is None or trace.model is not self._model:
            self.estimate.setText("Open a photo: then tokens, memory and time are estimated here.")
            return
        from vitviz.attention.estimate import estimate

        precision = self.precision.currentData()
        found = estimate(trace, self._size(), _BYTES[precision])
        same = precision == self._model.precision and not self._other_device()
        time = (
            f"about {_duration(found.seconds)} for a photo ({trace.milliseconds:.0f} ms at "
            f"{self._model.input_size[0]}×{self._model.input_size[1]})"
            if same
            else "the time is known once it has run"
        )
        prefix = f" + {len(trace.prefix)} prefix" if trace.prefix else ""
        self.estimate.setText(
            f"{found.tokens:,} tokens: {found.rows}×{found.cols} patches{prefix}. About {megabytes(found.memory)} of memory "
            f"(weights {megabytes(found.weights)}, kept for the maps {megabytes(found.kept)}); {time}."
        )

    def _other_device(self) -> bool:
        """Whether the device asked for is not the one that the model runs on."""
        asked = self.device.currentData()
        return bool(asked) and asked != str(self._model.device)

    # Buttons.

    def _ask_labels(self) -> None:
        name, _ = QFileDialog.getOpenFileName(
            self, "Class names", self.labels.text(), name_filter("Class names", (".txt", ".json", ".csv"))
        )
        if name:
            self.labels.setText(str(Path(name)))

    def _restore(self) -> None:
        self._set_size(self._own_size())
        self.framing.setCurrentIndex(0)
        self.precision.setCurrentText("float32")
        self.device.setCurrentIndex(0)
        self.outputs.setCurrentIndex(0)
        self.labels.clear()

    def _accept(self) -> None:
        chosen = self.chosen()
        self.accept()
        self._apply(chosen)


def _enable(box: QComboBox, text: str, enabled: bool) -> None:
    model = box.model()
    if isinstance(model, QStandardItemModel):
        model.item(box.findText(text)).setEnabled(enabled)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _line(*widgets: QWidget, stretch: bool = False) -> QWidget:
    holder = QWidget()
    line = QHBoxLayout(holder)
    line.setContentsMargins(0, 0, 0, 0)
    line.setSpacing(8)
    for widget in widgets:
        line.addWidget(widget)
    if stretch:
        line.addStretch(1)
    return holder
