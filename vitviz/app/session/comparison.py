"""Two photos or two models side by side: a second session that follows the first, and the first it, by place.

Rejected: one session of two traces, which every panel would have to know of. So a panel still knows one session, and all
that is linked is written here.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from vitviz.app.session import colour_scale
from vitviz.app.session.session import Session
from vitviz.app.session.view_state import Hover, Patch, ViewState, patches_in, query_of, settled
from vitviz.explain.registry import find

if TYPE_CHECKING:
    from vitviz.attention.trace import Trace

Place = tuple[float, float]
"""A point of a photo as parts of its width and height, so that photos of any size have it."""


def place_of(trace: "Trace", patch: Patch) -> Place:
    """Where the middle of a patch lies on the photo."""
    x, y = trace.framing.polygon(trace.patches, *patch).mean(0)
    return float(x) / trace.photo.width, float(y) / trace.photo.height


def patch_at(trace: "Trace", place: Place) -> Patch | None:
    """The patch of another photo or model at a place; None where that model sees nothing."""
    return trace.framing.patch_at(trace.patches, place[0] * trace.photo.width, place[1] * trace.photo.height)


def same_place(patch: Patch, here: "Trace", there: "Trace") -> Patch | None:
    """The patch of `there` at the place of a patch of `here`."""
    if here.photo.size == there.photo.size and (here.framing, here.patches) == (there.framing, there.patches):
        return patch
    return patch_at(there, place_of(here, patch))


def same_depth(layer: int, here: "Trace", there: "Trace") -> int:
    """The layer of `there` as deep as one of `here`: the first is the first, the last the last."""
    last, other = len(here.layers) - 1, len(there.layers) - 1
    return layer if last == other else round(layer / max(last, 1) * other)


def same_class(target: int | None, here: "Trace", there: "Trace") -> int | None:
    """The class of the same name, or None where the other model does not know it."""
    if target is None:
        return None
    label, labels = here.model.labels[target], there.model.labels
    if here.model.labels == labels:
        return target
    return labels.index(label) if label in labels else None


def translated(view: ViewState, here: "Trace", there: "Trace") -> ViewState:
    """The view of one trace as another can show it: the same place, depth and class, drawn in the same way."""
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
    )


def hovered(hover: Hover, here: "Trace", there: "Trace") -> Hover:
    """What the pointer is on in one trace, in the other."""
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
        self.second = Session(first.device, replace(first.view, layer=-1), self)
        self._own: set[str] = set()  # which of photo and model the second side has for itself
        self._given = self._shared()
        self._traces: dict[Session, Trace | None] = {first: first.trace}
        self._linking = False
        # Kept, as what is not disconnected would hold the second trace as long as the first session lives.
        self._links = [first.trace_changed.connect(self._hand_on)]
        for here, there in ((first, self.second), (self.second, first)):
            self._links += [
                here.view_changed.connect(partial(self._follow_view, here, there)),
                here.hover_changed.connect(partial(self._follow, self._take_hover, here, there)),
                here.heatmap_changed.connect(self._share),
            ]

    def open(self, **what: object) -> None:
        """Open a photo or a model in the second session; what it never had of its own is the first's."""
        self._own |= set(what)
        self._given = self._shared()
        idle = self.second.busy is None
        for name, shared in (("photo", self.first.photo), ("model", self.first.model)):
            failed = idle and getattr(self.second, name) is None
            if name not in what and (name not in self._own or failed):
                what[name] = shared
        self.second.open(framing=self.first.framing, **what)  # type: ignore[arg-type]

    def walk(self, steps: int) -> None:
        """Go through the folder of the second side's photo; where both show the same one, both go."""
        if "photo" in self._own:
            self.second.walk(steps)
        else:
            self.first.walk(steps)

    def end(self) -> None:
        """Close the second session and unlink."""
        for link in self._links:
            QObject.disconnect(link)
        for session in (self.first, self.second):
            session.share_range(None)
        self.second.close()
        self.ended.emit()
        self.deleteLater()

    def _shared(self) -> tuple[object, object, str]:
        return self.first.photo, self.first.model, self.first.framing

    def _hand_on(self) -> None:
        """The first side shows something else: what the second has not for itself goes with it."""
        before, now = self._given, self._shared()
        changed = {
            name
            for name, old, new in zip(("photo", "model", "framing"), before, now, strict=True)
            if old is not new and new is not None
        }
        self._given = now
        if changed - self._own:
            self.open()

    def _follow(self, take: Callable[..., None], *of: object) -> None:
        """Pass on once what changed: what comes back from the other side is an echo."""
        if self._linking:
            return
        self._linking = True
        try:
            take(*of)
        finally:
            self._linking = False

    def _follow_view(self, here: Session, there: Session, before: ViewState, now: ViewState) -> None:
        if here.trace is self._traces.get(here):
            changed = {
                one.name for one in fields(ViewState) if getattr(before, one.name) != getattr(now, one.name)
            }
            self._follow(self._take_view, here, there, changed)
        else:
            # What a new trace cannot show is no wish of the user: the other side keeps it.
            self._traces[here] = here.trace
            self._follow(self._take_view, self.first, self.second, {one.name for one in fields(ViewState)})

    def _take_view(self, here: Session, there: Session, changed: set[str]) -> None:
        """What changed is taken over, and nothing else: the sides may differ in what only one of them has."""
        if here.trace is None or there.trace is None or there.shape is None:
            return
        moved = translated(here.view, here.trace, there.trace)
        if changed & {"query", "pinned"}:
            changed = changed | {"query", "pinned"}
        view = replace(there.view, **{name: getattr(moved, name) for name in changed})
        refused = there.methods().get(view.method)
        there.show_view(settled(view, there.shape, there.methods()))
        if refused is not None and "method" in changed:
            there.noted.emit(
                f"{there.trace.model.name} shows attention: {find(view.method).label} {refused}."
            )

    def _take_hover(self, here: Session, there: Session) -> None:
        if here.trace is not None and there.trace is not None:
            there.point(hovered(here.hover, here.trace, there.trace))

    def _share(self) -> None:
        """One colour scale for both maps where they are of the same unit."""
        maps = [session.heatmap for session in (self.first, self.second)]
        shared = None
        if all(maps) and len({heat.unit for heat in maps if heat is not None}) == 1:
            ends = [
                colour_scale.own_scale(self.first.view, colour_scale.extent(heat.values))
                for heat in maps
                if heat is not None
            ]
            shared = min(low for low, _ in ends), max(high for _, high in ends)
        for session in (self.first, self.second):
            session.share_range(shared)
