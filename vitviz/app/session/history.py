"""Undo and redo of selections."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from vitviz.app.session.view_state import Shape, ViewState, same_selection, settled, with_selection

_LIMIT = 200  # past selections that are kept

Step = Callable[[ViewState, Shape, Mapping[str, str | None]], ViewState | None]
"""`History.back` or `History.forward`: (shown view, shape of the trace, its methods) -> the view to show, or None."""


class History:
    """Past selections, and selections that were undone."""

    def __init__(self) -> None:
        self._past: list[ViewState] = []
        self._undone: list[ViewState] = []

    def remember(self, before: ViewState, now: ViewState) -> None:
        """Store the view `before` if the selection changes; a change of display settings only is not stored."""
        if not same_selection(before, now):
            self._past = [*self._past[-_LIMIT + 1 :], before]
            self._undone = []

    def forget_classes(self) -> None:
        """Remove target classes: another model numbers its classes differently."""
        for views in (self._past, self._undone):
            views[:] = [replace(view, target=None) for view in views]

    @property
    def can_undo(self) -> bool:
        """Whether there is a past selection."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone selection."""
        return bool(self._undone)

    def back(self, now: ViewState, shape: Shape, methods: Mapping[str, str | None]) -> ViewState | None:
        """The selection before `now`; None if there is none."""
        return _step(self._past, self._undone, now, shape, methods)

    def forward(self, now: ViewState, shape: Shape, methods: Mapping[str, str | None]) -> ViewState | None:
        """The selection that was undone last; None if there is none."""
        return _step(self._undone, self._past, now, shape, methods)


def _step(
    source: list[ViewState],
    other: list[ViewState],
    now: ViewState,
    shape: Shape,
    methods: Mapping[str, str | None],
) -> ViewState | None:
    while source:
        # A selection made with another model may not exist in this one, or may equal the one that is shown.
        view = settled(with_selection(now, source.pop()), shape, methods)
        if not same_selection(view, now):
            other.append(now)
            return view
    return None
