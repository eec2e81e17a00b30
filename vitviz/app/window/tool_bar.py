"""The tool bar: photo, model, method with its options and target class, direction, save."""

from collections.abc import Mapping

from PySide6.QtCore import QEvent, QMetaObject, QObject, QSize, Qt
from PySide6.QtGui import QAction, QPalette
from PySide6.QtWidgets import QFrame, QHBoxLayout, QMenu, QToolButton, QWidget

from vitviz.app.commands import method_key
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import ViewState
from vitviz.app.ui import icons, theme
from vitviz.app.widgets.base.flow_layout import FlowLayout
from vitviz.app.widgets.controls.picker import Pick, Picker
from vitviz.app.widgets.controls.segmented import Segmented
from vitviz.app.window.method_options import OptionsButton
from vitviz.explain.registry import METHODS, find

_ICONS = {"open": "open", "choose_model": "model", "save": "save"}
_NAME = 32  # the longest name of a model or class that is not shortened


class ToolBar(QWidget):
    """Buttons and controls that choose what is shown: photo, model, method, target class and direction."""

    def __init__(
        self, session: Session, actions: Mapping[str, QAction], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
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
        choices = QWidget()
        flow = FlowLayout(choices, spacing=12)
        for widget in (self.open, self.model, self._line(), self.method, self.options, self.target):
            flow.addWidget(widget)
        flow.addWidget(self.direction)
        line = QHBoxLayout(self)
        line.setContentsMargins(8, 4, 8, 4)
        line.setSpacing(12)
        line.addWidget(choices, 1)
        line.addWidget(self.save, 0, Qt.AlignmentFlag.AlignTop)
        self.method.chosen.connect(lambda key: self._session.change(method=key))
        self.direction.chosen.connect(lambda key: self._session.change(direction=key))
        self._links = self._connect()
        self._show()
        self._tint_icons()

    def set_save_menu(self, menu: QMenu) -> None:
        """Open a menu with the arrow beside the save button."""
        self.save.setMenu(menu)
        self.save.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)

    def set_session(self, session: Session) -> None:
        """Show this session and act on it: that of the current side."""
        if session is self._session:
            return
        for link in self._links:
            QObject.disconnect(link)
        self._session = session
        self._links = self._connect()
        self._show()

    def _connect(self) -> list[QMetaObject.Connection]:
        session = self._session
        return [
            session.view_changed.connect(self._follow),
            session.trace_changed.connect(self._show_trace),
            session.check_changed.connect(self.options.update_text),
            session.model_changed.connect(self._show_model),
        ]

    def _show(self) -> None:
        self.options.set_session(self._session)
        self._follow(self._session.view, self._session.view)
        self._show_model()
        self._show_trace()

    def _show_trace(self) -> None:
        self._show_methods()
        self._show_target()
        self.options.update_text()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Tint the icons in the new palette."""
        if event.type() == QEvent.Type.PaletteChange:
            self._tint_icons()
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

    def _tint_icons(self) -> None:
        for button, name in ((self.open, "open"), (self.model, "choose_model"), (self.save, "save")):
            button.setIcon(icons.icon(_ICONS[name], self.palette()))

    def _show_model(self) -> None:
        model = self._session.model
        if model is None:
            self.model.setText("Choose model…")
            self.model.setToolTip(self._actions["choose_model"].toolTip())
            self.model.setAccessibleDescription("")
            return
        self.model.setText(_short(model.full_name))
        self.model.setToolTip(
            f"{model.full_name}: {model.weights}, {model.parameters / 1e6:.1f} M parameters. Click to choose another"
        )
        self.model.setAccessibleDescription(f"{model.full_name} is loaded")

    def _show_methods(self) -> None:
        known = self._session.methods()
        self.method.setEnabled(bool(known))
        self.direction.setEnabled(bool(known))
        self.method.disable_choices({name: reason for name, reason in known.items() if reason is not None})

    def _show_target(self) -> None:
        """Show the class that a class-specific method explains; hidden for other methods."""
        trace, view = self._session.trace, self._session.view
        explains = trace is not None and find(view.method).gradient and len(trace.logits) > 0
        self.target.setVisible(explains)
        if trace is None or not explains:
            return
        target = int(trace.logits.argmax()) if view.target is None else view.target
        name = trace.model.labels[target] if target < len(trace.model.labels) else f"output {target}"
        largest = "top prediction" if trace.model.outputs == "classes" else "largest output"
        top = f" ({largest})" if view.target is None else ""
        self.target.setText(f"explains {_short(name)}{top}")
        self.target.setToolTip(
            f"Explained {trace.model.noun}: {name}{top}. Click to choose another among the predictions"
        )
        self.target.setAccessibleName(f"Explained {trace.model.noun}: {name}{top}")

    def _follow(self, before: ViewState, now: ViewState) -> None:
        self.method.set_current(now.method)
        self.direction.set_current(now.direction)
        self.options.update_text()
        if before is now or (before.method, before.target) != (now.method, now.target):
            self._show_target()
        self._update_direction()

    def _update_direction(self) -> None:
        method = find(self._session.view.method)
        one_way = not method.reversible
        self.direction.setVisible(method.takes("query") or method.takes("direction"))
        reason = {"by": f"{method.label} only shows what tokens attend to."} if one_way else {}
        self.direction.disable_choices(reason)


def _short(name: str) -> str:
    """A long name shortened in the middle."""
    return name if len(name) <= _NAME else f"{name[: _NAME // 2]}…{name[-_NAME // 2 + 1 :]}"
