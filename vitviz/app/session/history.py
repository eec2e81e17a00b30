"""Past selections, and the way back and forward through them."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from vitviz.app.session.view_state import Shape, ViewState, same_selection, settled, with_selection

_REMEMBERED = 200  # past selections

Step = Callable[[ViewState, Shape, Mapping[str, str | None]], ViewState | None]
"""From the view that is shown to the one to go to, of what the trace has and its methods; None where there is none."""


class History:
    """The selections before the one that is shown, and those that were undone."""

    def __init__(self) -> None:
        self._past: list[ViewState] = []
        self._undone: list[ViewState] = []

    def remember(self, before: ViewState, now: ViewState) -> None:
        """Another selection is asked for; what only changes the drawing is nothing to go back to."""
        if not same_selection(before, now):
            self._past = [*self._past[-_REMEMBERED + 1 :], before]
            self._undone = []

    def forget_classes(self) -> None:
        """Another model numbers its classes otherwise."""
        for views in (self._past, self._undone):
            views[:] = [replace(view, target=None) for view in views]

    @property
    def can_undo(self) -> bool:
        """Whether there is a past selection."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether a selection was undone."""
        return bool(self._undone)

    def back(self, now: ViewState, shape: Shape, methods: Mapping[str, str | None]) -> ViewState | None:
        """The selection before `now`."""
        return _step(self._past, self._undone, now, shape, methods)

    def forward(self, now: ViewState, shape: Shape, methods: Mapping[str, str | None]) -> ViewState | None:
        """The selection that was undone last."""
        return _step(self._undone, self._past, now, shape, methods)


def _step(
    source: list[ViewState],
    other: list[ViewState],
    now: ViewState,
    shape: Shape,
    methods: Mapping[str, str | None],
) -> ViewState | None:
    while source:
        # What was selected with another model may not be there any more, or come out as what is shown.
        view = settled(with_selection(now, source.pop()), shape, methods)
        if not same_selection(view, now):
            other.append(now)
            return view
    return None
