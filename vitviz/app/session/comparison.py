"""Two photos or two models side by side: two sessions whose selection, pointer and colour scale are linked.

Rejected: one session with two traces, which every panel would have to handle. All links between the sessions are here.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from vitviz.app.session import colour_scale
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import Hover, Patch, ViewState, patches_in, query_of, settled
from vitviz.explain.registry import find

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace

_SCALING = {"scale", "style", "pixels"}
"""The fields of the view that decide which values are painted and where their scale ends."""

Place = tuple[float, float]
"""A point of a photo as fractions of its width and height, valid for photos of any size."""


def place_of(trace: "Trace", patch: Patch) -> Place:
    """The centre of a patch on the photo."""
    x, y = trace.framing.polygon(trace.patches, *patch).mean(0)
    return float(x) / trace.photo.width, float(y) / trace.photo.height


def patch_at(trace: "Trace", place: Place) -> Patch | None:
    """The patch of a trace at a place; None outside the area that the model sees."""
    return trace.framing.patch_at(trace.patches, place[0] * trace.photo.width, place[1] * trace.photo.height)


def same_place(patch: Patch, here: "Trace", there: "Trace") -> Patch | None:
    """The patch of `there` at the place of a patch of `here`."""
    if here.photo.size == there.photo.size and (here.framing, here.patches) == (there.framing, there.patches):
        return patch
    return patch_at(there, place_of(here, patch))


def same_depth(layer: int, here: "Trace", there: "Trace") -> int:
    """The layer of `there` at the same relative depth as a layer of `here`; first and last layers correspond."""
    last, other = len(here.layers) - 1, len(there.layers) - 1
    return layer if last == other else round(layer / max(last, 1) * other)


def same_class(target: int | None, here: "Trace", there: "Trace") -> int | None:
    """The class of the same name in the other model; None if it has none."""
    if target is None:
        return None
    label, labels = here.model.labels[target], there.model.labels
    if here.model.labels == labels:
        return target
    return labels.index(label) if label in labels else None


def translated(view: ViewState, here: "Trace", there: "Trace") -> ViewState:
    """The view of one trace for another: the same place, depth and class, with the same display settings."""
    query = view.query
    if isinstance(query, tuple):
        found = (same_place(patch, here, there) for patch in patches_in(query))
        query = query_of(patch for patch in found if patch is not None)
    elif query not in there.prefix:
        query = None
    return replace(
        view,
        query=query,
        pinned=view.pinned and query is not None,
        layer=same_depth(view.layer, here, there),
        target=same_class(view.target, here, there),
        readout=view.readout if view.readout in there.parts else "",
    )


def hovered(hover: Hover, here: "Trace", there: "Trace") -> Hover:
    """The item of `there` that corresponds to the hovered item of `here`."""
    if hover.patch is not None:
        return Hover(patch=same_place(hover.patch, here, there))
    if hover.tile is not None:
        layer, head = same_depth(hover.tile[0], here, there), hover.tile[1]
        missing = head is not None and head >= there.layers[layer].heads
        return Hover(tile=(layer, None if missing else head))
    return Hover()


class Comparison(QObject):
    """Links two sessions until it is ended: selection, pointer and colour scale."""

    ended = Signal()

    def __init__(self, first: Session) -> None:
        super().__init__(first)
        self.first = first
        self.second = Session(first.device, replace(first.view, layer=-1), self, first.memory)
        # Which of "photo" and "model" the second side does not take from the first.
        self._own: set[str] = set()
        self._given = self._shared()
        self._traces: dict[Session, Trace | None] = {first: first.trace}
        self._linking = False
        # Stored to be disconnected: a connection would keep the second trace alive as long as the first session.
        self._links = [first.trace_changed.connect(self._update_second)]
        for here, there in ((first, self.second), (self.second, first)):
            self._links += [
                here.view_changed.connect(partial(self._on_view_changed, here, there)),
                here.hover_changed.connect(partial(self._pass_on, self._copy_hover, here, there)),
                here.heatmap_changed.connect(self._share_scale),
            ]

    def open(self, **what: object) -> None:
        """Open a photo or a model in the second session; one that was never opened there is that of the first."""
        self._own |= set(what)
        self._given = self._shared()
        idle = self.second.busy is None
        for name, shared in (("photo", self.first.photo), ("model", self.first.model)):
            failed = idle and getattr(self.second, name) is None
            if name not in what and (name not in self._own or failed):
                what[name] = shared
        self.second.open(framing=self.first.framing, **what)  # type: ignore[arg-type]

    def walk(self, steps: int) -> None:
        """Request the next or previous photo of the second side's folder; of both sides if both show the same photo."""
        if "photo" in self._own:
            self.second.walk(steps)
        else:
            self.first.walk(steps)

    def pick(self, photo: Path) -> None:
        """Open a photo of the second side's folder; on both sides if both show the same photo."""
        if "photo" in self._own:
            self.open(photo=photo)
        else:
            self.first.open(photo=photo)

    def end(self) -> None:
        """Disconnect the sessions and close the second one."""
        for link in self._links:
            QObject.disconnect(link)
        for session in (self.first, self.second):
            session.share_range(None)
        self.second.close()
        self.ended.emit()
        self.deleteLater()

    def _shared(self) -> tuple[object, object, str]:
        return self.first.photo, self.first.model, self.first.framing

    def _update_second(self) -> None:
        """The first session shows something else: open its new photo, model or framing in the second one, if shared."""
        before, now = self._given, self._shared()
        changed = {
            name
            for name, old, new in zip(("photo", "model", "framing"), before, now, strict=True)
            if old is not new and new is not None
        }
        self._given = now
        if changed - self._own:
            self.open()

    def _pass_on(self, copy: Callable[..., None], *arguments: object) -> None:
        """Call `copy`, and ignore the change signals of the other session that this causes."""
        if self._linking:
            return
        self._linking = True
        try:
            copy(*arguments)
        finally:
            self._linking = False

    def _on_view_changed(self, here: Session, there: Session, before: ViewState, now: ViewState) -> None:
        if here.trace is self._traces.get(here):
            changed = {
                one.name for one in fields(ViewState) if getattr(before, one.name) != getattr(now, one.name)
            }
            self._pass_on(self._copy_view, here, there, changed)
            if changed & _SCALING:
                self._share_scale()
        else:
            # A new trace has changed the view, not the user: the view of the first side then applies to both.
            self._traces[here] = here.trace
            self._pass_on(self._copy_view, self.first, self.second, {one.name for one in fields(ViewState)})

    def _copy_view(self, here: Session, there: Session, changed: set[str]) -> None:
        """Copy the changed fields only: the sides may differ in fields that only one of the models supports."""
        if here.trace is None or there.trace is None or there.shape is None:
            return
        moved = translated(here.view, here.trace, there.trace)
        if changed & {"query", "pinned"}:
            changed = changed | {"query", "pinned"}
        view = replace(there.view, **{name: getattr(moved, name) for name in changed})
        refused = there.methods().get(view.method)
        there.show_view(settled(view, there.shape, there.methods()))
        if refused is not None and "method" in changed:
            there.message.emit(
                f"{there.trace.model.name} shows attention: {find(view.method).label} {refused}."
            )

    def _copy_hover(self, here: Session, there: Session) -> None:
        if here.trace is not None and there.trace is not None:
            there.point(hovered(here.hover, here.trace, there.trace))

    def _share_scale(self) -> None:
        """Use one colour scale for both maps if they have the same unit."""
        view, maps = self.first.view, [session.heatmap for session in (self.first, self.second)]
        shared = None
        if all(maps) and len({heat.unit for heat in maps if heat is not None}) == 1:
            ends = [
                colour_scale.own_scale(view, colour_scale.extent(colour_scale.painted(view, heat)))
                for heat in maps
                if heat is not None
            ]
            shared = min(low for low, _ in ends), max(high for _, high in ends)
        for session in (self.first, self.second):
            session.share_range(shared)
