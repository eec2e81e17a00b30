"""The options of the selected method, built from its entry in the registry."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from vitviz.app.session.session import Session
from vitviz.app.session.view_state import ViewState, options_of
from vitviz.app.ui import theme
from vitviz.app.widgets.controls.popover import PopButton
from vitviz.app.widgets.controls.segmented import Segmented
from vitviz.explain.registry import Method, Option, find

_WIDTH = 380
_STEPS = 20  # of the slider from 0 to 1
FUSIONS = {"mean": "mean", "max": "maximum", "min": "minimum"}
_FUSED = "How the maps of a layer's heads are combined. A single head is selected in the Heads panel."


_READ = "The prediction is read from several parts. This one is shown where no patch or token is chosen."


def _has_parts(session: Session, method: Method) -> bool:
    return method.takes("query") and session.trace is not None and bool(session.trace.parts)


def summary(view: ViewState, method: Method) -> str:
    """The options that differ from the method's defaults, in words; empty if there are none."""
    set_ = options_of(view, method.name)
    parts = [FUSIONS[view.fusion]] if method.takes("fusion") and view.fusion != "mean" else []
    parts += [f"readout {view.readout}"] if method.takes("query") and view.readout else []
    for option in method.parameters:
        if option.name in set_:
            value = set_[option.name]
            label = option.label[0].lower() + option.label[1:]
            shown = f"{value:.2f}" if isinstance(value, float) else str(value)
            parts.append(label if option.kind == "flag" else f"{label} {shown}")
    return ", ".join(parts)


class OptionsButton(PopButton):
    """Opens the options of the selected method; its text says which are not at their defaults.

    `update_text` is called when the view, the trace or the check of the session has changed.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setAccessibleName("Options of the method")
        self.update_text()

    def set_session(self, session: Session) -> None:
        """Show the options of this session, that of the current side."""
        self._session = session
        self.update_text()

    def update_text(self) -> None:
        """Show the current options of the selected method."""
        view = self._session.view
        method = find(view.method)
        changed = summary(view, method)
        self.setText(changed or "Options")
        self.setToolTip(f"Options of {method.label}: {changed or 'all at their defaults'}")
        self.setAccessibleDescription(changed or "all at their defaults")
        self.setEnabled(self._session.trace is not None)
        self.setVisible(
            bool(method.parameters) or method.takes("fusion") or _has_parts(self._session, method)
        )

    def content(self) -> QWidget:
        """A row for each option."""
        return OptionsForm(self._session)


class OptionsForm(QWidget):
    """A control for each option of the method, with a sentence that explains it."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._method = find(session.view.method)
        self.controls: dict[str, QWidget] = {}
        self.setFixedWidth(_WIDTH)
        self._column = column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 12)
        column.setSpacing(4)
        self._build()
        reset = QPushButton("Defaults")
        reset.setToolTip("Set all options of this method to their defaults")
        reset.clicked.connect(self._reset)
        line = QHBoxLayout()
        line.addStretch(1)
        line.addWidget(reset)
        column.addLayout(line)
        self.controls["reset"] = reset
        self.setFocusProxy(next(iter(self.controls.values())))

    def _build(self) -> None:
        view = self._session.view
        if self._method.takes("fusion"):
            fusion = Segmented("Fusion of heads", list(FUSIONS.items()))
            fusion.set_current(view.fusion)
            fusion.setEnabled(view.head is None or not self._method.takes("head"))
            fusion.chosen.connect(lambda key: self._session.change(fusion=key))
            self._add("fusion", "Heads", _FUSED, fusion)
        trace = self._session.trace
        if _has_parts(self._session, self._method):
            self._add("readout", "Readout", _READ, self._readout())
        for option in self._method.parameters:
            reason = None if trace is None else option.refusal(trace)
            control = self._control(option)
            control.setEnabled(reason is None)
            about = option.about if reason is None else f"Has no effect here, {reason}."
            control.setToolTip("" if reason is None else option.about)
            self._add(option.name, option.label, about, control)

    def _readout(self) -> QWidget:
        """The parts that the head reads; one of them, or several together, is the default, without a name in the view."""
        box = QComboBox()
        trace = self._session.trace
        assert trace is not None
        whole = trace.readout
        if whole.subject not in {part.subject for part in whole.parts}:
            box.addItem(whole.subject, "")
        for part in whole.parts:
            box.addItem(part.subject, "" if part.subject == whole.subject else part.name)
        box.setCurrentIndex(max(box.findData(self._session.view.readout), 0))
        box.currentIndexChanged.connect(lambda _: self._session.change(readout=box.currentData()))
        return box

    def _value(self, option: Option) -> object:
        return options_of(self._session.view, self._method.name).get(option.name, option.default)

    def _set(self, option: Option, value: object) -> None:
        self._session.set_option(option.name, None if value == option.default else value)

    def _control(self, option: Option) -> QWidget:
        value = self._value(option)
        if option.kind == "flag":
            return self._flag(option, bool(value))
        if option.kind == "share":
            return self._share(option, float(value))  # type: ignore[arg-type]
        if option.kind == "layer":
            return self._layer(option, value)
        choices = Segmented(option.label, [(choice, choice) for choice in option.choices])
        choices.set_current(str(value))
        choices.chosen.connect(lambda key: self._set(option, key))
        return choices

    def _flag(self, option: Option, value: bool) -> QWidget:
        box = QCheckBox(option.label)
        box.setChecked(value)
        box.toggled.connect(lambda on: self._set(option, on))
        return box

    def _share(self, option: Option, value: float) -> QWidget:
        control = QWidget()
        line = QHBoxLayout(control)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(8)
        slider, number = QSlider(Qt.Orientation.Horizontal), QLabel(f"{value:.2f}")
        slider.setAccessibleName(option.label)
        slider.setRange(0, _STEPS - 1)
        slider.setValue(round(value * _STEPS))
        slider.setFixedWidth(150)
        slider.setPageStep(2)
        slider.setTracking(False)  # each value causes a computation and a step of the undo history
        slider.sliderMoved.connect(lambda step: number.setText(f"{step / _STEPS:.2f}"))
        slider.valueChanged.connect(lambda step: number.setText(f"{step / _STEPS:.2f}"))
        slider.valueChanged.connect(lambda step: self._set(option, step / _STEPS))
        theme.mute_accent(slider)
        number.setFont(theme.body())
        number.setFixedWidth(36)
        number.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        line.addWidget(slider)
        line.addWidget(number)
        control.setFocusProxy(slider)
        return control

    def _layer(self, option: Option, value: object) -> QWidget:
        box = QComboBox()
        trace = self._session.trace
        for number, layer in enumerate(trace.layers if trace is not None else ()):
            box.addItem(f"{number} · {layer.name}", number)
        box.setCurrentIndex(box.findData(value))
        box.currentIndexChanged.connect(lambda _: self._set(option, box.currentData()))
        return box

    def _add(self, name: str, label: str, about: str, control: QWidget) -> None:
        line = QHBoxLayout()
        line.setSpacing(8)
        if not isinstance(control, QCheckBox):
            name_label = QLabel(label)
            name_label.setFont(theme.body())
            line.addWidget(name_label)
            line.addStretch(1)
        if not control.accessibleName():
            control.setAccessibleName(label)
        control.setAccessibleDescription(about)
        line.addWidget(control)
        explanation = QLabel(about)
        explanation.setFont(theme.small())
        explanation.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        explanation.setWordWrap(True)
        self._column.addLayout(line)
        self._column.addWidget(explanation)
        self._column.addSpacing(8)
        self.controls[name] = control

    def _reset(self) -> None:
        name = self._method.name
        view = self._session.view
        kept = tuple(choice for choice in view.choices if choice[0] != name)
        self._session.change(
            choices=kept,
            fusion="mean" if self._method.takes("fusion") else view.fusion,
            readout="" if self._method.takes("query") else view.readout,
        )
        popover = self.window()
        popover.close()
