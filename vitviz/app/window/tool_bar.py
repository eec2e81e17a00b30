"""The line of tools at the top: photo, model, method with its options and its class, direction, saving."""

from collections.abc import Mapping

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QAction, QPalette
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSizePolicy, QToolButton, QWidget

from vitviz.app.commands import method_key
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import ViewState
from vitviz.app.ui import icons, theme
from vitviz.app.widgets.controls.picker import Pick, Picker
from vitviz.app.widgets.controls.segmented import Segmented
from vitviz.app.window.method_options import OptionsButton
from vitviz.explain.registry import METHODS, find

_ICONS = {"open": "open", "choose_model": "model", "save": "save"}
_NAME = 32  # letters of a model's or a class's name before it is cut in the middle


class ToolsPanel(QWidget):
    """What is looked at, and how."""

    def __init__(
        self, session: Session, actions: Mapping[str, QAction], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._chosen_for = session  # whose model is named and chosen here
        self._actions = actions
        self.open = self._button("open", "Open photo…")
        self.model = self._button("choose_model", "Choose model…")
        self.save = self._button("save", "Save PNG…")
        self.method = Picker(
            "Method",
            [
                Pick(method.name, method.label, method.about, method_key(number))
                for number, method in enumerate(METHODS, start=1)
            ],
        )
        self.options = OptionsButton(session)
        self.target = self._button("choose_target", "")
        self.direction = Segmented("Direction", [("to", "attends to"), ("by", "attended by")])
        space = QWidget()
        space.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        line = QHBoxLayout(self)
        line.setContentsMargins(8, 4, 8, 4)
        line.setSpacing(12)
        for widget in (self.open, self.model, self._line(), self.method, self.options, self.target):
            line.addWidget(widget)
        for widget in (self.direction, space, self.save):
            line.addWidget(widget)
        self.method.chosen.connect(lambda key: session.change(method=key))
        self.direction.chosen.connect(lambda key: session.change(direction=key))
        session.view_changed.connect(self._follow)
        session.trace_changed.connect(self._show_methods)
        session.trace_changed.connect(self._show_target)
        session.model_changed.connect(self._show_model)
        self._follow(session.view, session.view)
        self._show_model()
        self._show_methods()
        self._show_target()
        self._dress()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Tint the icons again."""
        if event.type() == QEvent.Type.PaletteChange:
            self._dress()
        super().changeEvent(event)

    def _button(self, name: str, text: str) -> QToolButton:
        action = self._actions[name]
        button = QToolButton()
        button.setText(text)
        button.setFont(theme.body())
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.setAutoRaise(True)
        button.setIconSize(QSize(16, 16))
        button.setMinimumHeight(28)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setToolTip(action.toolTip())
        button.setAccessibleName(action.text().replace("&", ""))
        button.clicked.connect(action.trigger)
        action.changed.connect(lambda: button.setEnabled(action.isEnabled()))
        return button

    def _line(self) -> QWidget:
        line = QFrame()
        line.setFrameShape(QFrame.Shape.VLine)
        line.setFixedHeight(20)
        line.setForegroundRole(QPalette.ColorRole.Mid)
        line.setFrameShadow(QFrame.Shadow.Plain)
        return line

    def _dress(self) -> None:
        for button, name in ((self.open, "open"), (self.model, "choose_model"), (self.save, "save")):
            button.setIcon(icons.icon(_ICONS[name], self.palette()))

    def choose_for(self, session: Session) -> None:
        """Name the model of another side, for which the commands choose now."""
        self._chosen_for = session
        self._show_model()

    def _show_model(self) -> None:
        model = self._chosen_for.model
        if model is None:
            self.model.setText("Choose model…")
            return
        self.model.setText(_short(model.full_name))
        self.model.setToolTip(
            f"{model.full_name}: {model.weights}, {model.parameters / 1e6:.1f} M parameters. Choose another"
        )
        self.model.setAccessibleDescription(f"{model.full_name} is loaded")

    def _show_methods(self) -> None:
        known = self._session.methods()
        self.method.setEnabled(bool(known))
        self.direction.setEnabled(bool(known))
        self.method.set_barred({name: reason for name, reason in known.items() if reason is not None})

    def _show_target(self) -> None:
        """Which class a class-specific method explains; nothing for the others."""
        trace, view = self._session.trace, self._session.view
        explains = trace is not None and find(view.method).gradient and len(trace.logits) > 0
        self.target.setVisible(explains)
        if trace is None or not explains:
            return
        target = int(trace.logits.argmax()) if view.target is None else view.target
        name = trace.model.labels[target] if target < len(trace.model.labels) else f"class {target}"
        top = " (top prediction)" if view.target is None else ""
        self.target.setText(f"explains {_short(name)}{top}")
        self.target.setToolTip(
            f"The class that is explained: {name}{top}. Find another among the predictions"
        )
        self.target.setAccessibleName(f"Class that is explained: {name}{top}")

    def _follow(self, before: ViewState, now: ViewState) -> None:
        self.method.set_current(now.method)
        self.direction.set_current(now.direction)
        if before is now or (before.method, before.target) != (now.method, now.target):
            self._show_target()
        self._allow()

    def _allow(self) -> None:
        method = find(self._session.view.method)
        one_way = not method.reversible
        self.direction.setVisible(method.takes("query") or method.takes("direction"))
        reason = {"by": f"{method.label} follows what tokens attend to."} if one_way else {}
        self.direction.set_barred(reason)


def _short(name: str) -> str:
    """A long name cut in the middle."""
    return name if len(name) <= _NAME else f"{name[: _NAME // 2]}…{name[-_NAME // 2 + 1 :]}"
