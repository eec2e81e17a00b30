"""An audit of the window: what each visible panel shows is computed again from a fresh trace and compared.

Everything that is compared is found through `shown()`. The expected values come from the Python API and from a trace that
the window never saw; the expected selection comes from the session's view and pointer. Numbers, pixels and whole captions
have to be equal bit for bit. For that torch computes with one thread (`exactly`): sums over several threads differ in their
last bits with the number of threads, and the window gives its threads different numbers of them.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import audit_panels
import numpy as np
import torch
from audit_compare import same, same_images
from walker import idle, sides

import vitviz
from vitviz.app.session import colour_scale, describe
from vitviz.app.session.view_state import follows_pointer
from vitviz.app.ui import number_format
from vitviz.app.ui.pixels import grid_area, rgba_image, smooth_size
from vitviz.app.window.main_window import Window
from vitviz.app.work.thread_budget import budget
from vitviz.errors import VitvizError
from vitviz.explain import explain
from vitviz.explain.registry import find
from vitviz.render.overlay import heat_rgba, pixel_grid

_TRACES = 6  # fresh traces that are kept
_FEW = 8  # tokens of a query whose weights the window takes from matrices that lie ready


@contextmanager
def exactly() -> Iterator[None]:
    """Inside, torch computes with one thread in every thread."""
    threads, known = torch.get_num_threads(), budget.all
    torch.set_num_threads(1)
    budget.all = 1
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        budget.all = known


def settled(window: Window) -> bool:
    """Whether nothing is computed for what is visible."""
    return idle(window) and not any(panel.busy for panel in visible(window))


def visible(window: Window) -> list:
    """The panels that can be seen."""
    return [dock.panel for dock in window.docks if dock.built and dock.panel.isVisible()]


class Audit:
    """Checks a window, and counts what it compared by panel."""

    def __init__(self) -> None:
        self.compared: Counter[str] = Counter()
        self._traces: OrderedDict = OrderedDict()

    def forget(self) -> None:
        """Let go of all traces."""
        self._traces.clear()

    def check(self, window: Window, at_rest: bool) -> None:
        """Check all that is visible. `at_rest`: nothing is computed, so it also has to be what is selected."""
        both = self._both(window) if at_rest else None
        for number, (session, photo) in enumerate(sides(window)):
            self._photo(session, photo.shown(), photo, at_rest, both)
            self.compared["second side"] += number
        self._status(window, at_rest)
        for panel in visible(window):
            shown = panel.shown()
            if at_rest:
                assert not shown.dimmed, f"{panel.name} is dimmed at rest"
                nothing = window.stage.session.trace is None or panel.empty.isVisible()
                assert nothing or shown.facts is not None, f"{panel.name} shows nothing"
            if shown.facts is None or panel.empty.isVisible():
                continue
            if at_rest:
                assert shown.facts.trace is window.stage.session.trace, panel.name
                assert shown.facts.photo == window.stage.session.photo.name
                assert shown.facts.model == window.stage.session.model.full_name
                assert shown.facts.framing == window.stage.session.framing
            try:
                getattr(audit_panels, panel.name)(panel, shown, self.fresh(shown.facts), at_rest)
            except AssertionError as fault:
                raise AssertionError(f"{panel.name}: {fault}") from fault
            self.compared[panel.name] += 1
            self.compared[f"{panel.name}: a head"] += shown.facts.selection.head is not None
            self.compared[f"{panel.name}: a query"] += shown.facts.selection.query is not None
            self.compared["matrices of a window"] += getattr(shown, "matrices", None) is not None
            self.compared["while something newer was computed"] += self._is_old(shown, panel.session)

    @staticmethod
    def _is_old(shown, session) -> bool:
        return shown.dimmed or shown.facts.trace is not session.trace

    def fresh(self, facts) -> "Fresh":
        """Another trace of the same photo, model and framing, and what was computed from it."""
        trace = facts.trace
        key = id(trace.model), id(trace.photo), facts.framing
        if key not in self._traces:
            made = vitviz.trace(trace.model, trace.photo, framing=facts.framing)
            self._traces[key] = trace.photo, Fresh(made)
            while len(self._traces) > _TRACES:
                self._traces.popitem(last=False)
        self._traces.move_to_end(key)
        return self._traces[key][1]

    # The photo and the status line.

    def _both(self, window):
        """The colour scale that both sides of a comparison have in common; None where they have none."""
        facts = [photo.shown().facts for _, photo in sides(window)]
        if len(facts) < 2 or None in facts:
            return None
        maps = [self.fresh(one).map(one.selection) for one in facts]
        if maps[0].unit != maps[1].unit:
            return None
        view = window.session.view
        painted = [colour_scale.painted(view, one) for one in maps]
        ends = [colour_scale.own_scale(view, colour_scale.extent(one)) for one in painted]
        return min(low for low, _ in ends), max(high for _, high in ends)

    def _photo(self, session, shown, photo, at_rest, both):
        facts, view = shown.facts, session.view
        if at_rest:
            assert not shown.dimmed, "the photo is dimmed at rest"
        if facts is None:
            return
        fresh = self.fresh(facts)
        if at_rest:
            assert facts.trace is session.trace
            assert facts.selection == session.selection
        expected = fresh.map(facts.selection)
        same(shown.heatmap.values, expected.values, "photo")
        painted = colour_scale.painted(view, expected)
        fine = painted is not expected.values
        caption = expected.title.removesuffix(", summed over each patch") if fine else expected.title
        assert shown.caption == caption, (shown.caption, caption)
        assert shown.prefix == tuple(
            f"{name} {number_format.number(value)}" for name, value in expected.prefix.items()
        )
        sums = {"Σ patches": expected.total, "padding": expected.leak or None}
        said = [f"{name} {number_format.number(value)}" for name, value in sums.items() if value is not None]
        assert photo.sums.text() == " · ".join(said)
        if at_rest:
            self._colours(session, shown, photo, expected, both, self._shared(session, fresh))
        self.compared["photo"] += 1

    def _colours(self, session, shown, photo, expected, both, of_heads):
        """The colours of the map and their scale, as they are in the drawn canvas."""
        view, shared = session.view, both or of_heads
        painted = colour_scale.painted(view, expected)
        fine, extent = painted is not expected.values, colour_scale.extent(painted)
        ends = colour_scale.scale(view, extent, shared)
        what = f"scale of {expected.method}, {view.scale}, {view.style}, pixels {view.pixels}, log {view.log}"
        same(shown.ends, ends, f"{what}, given {session.shared_range}, both {both}, drawn {shown.ends}")
        sharers = "both sides" if both else "all layers and heads"
        unit = f"{expected.unit}, each pixel" if fine else expected.unit
        words = f"{unit} · {colour_scale.scale_words(view, extent, shared, sharers)}"
        assert shown.scale == words, (shown.scale, words)
        if view.style == "contour":
            return  # its lines are drawn for the zoom of a moment ago until that has rested
        patches = pixel_grid(painted) if fine else expected.patches
        size = smooth_size(grid_area(expected.framing, patches)) if view.smooth and not fine else None
        drawn = heat_rgba(painted, **colour_scale.style(view, ends), size=size)
        same_images(photo.canvas.heat, rgba_image(drawn), "photo")

    def _shared(self, session, fresh):
        """The colour scale that the map has in common with all layers and heads."""
        chosen = session.selection
        if session.view.scale != "shared" or chosen.method != "attention":
            return None
        drawn = session.maps.tiles()
        stacks = fresh.tiles_like(drawn.maps, chosen.query, chosen.direction)
        return colour_scale.shared_by([one[None] for one in stacks])

    def _status(self, window, at_rest):
        shown, session = window.status.shown(), window.stage.session
        facts, chosen = shown.facts, session.selection
        if facts is None:
            return
        fresh = self.fresh(facts)
        if at_rest:
            assert not shown.dimmed, "the status line is late at rest"
            assert facts.trace is session.trace
            assert facts.selection == chosen
        trace, of = fresh.trace, facts.selection
        takes_query = find(of.method).takes("query")
        held = session.view.pinned and of.query == session.view.query and takes_query
        pinned = " · pinned" if held else ""
        if shown.dimmed:
            name, number, where = describe.awaited(trace, of), "computing …", describe.where(trace, of)
        else:
            heat = fresh.map(of)
            beside = not follows_pointer(session.view) or session.hover.query is not None
            name = describe.subject(trace, heat, of)
            number = describe.weight(trace, heat, of, session.hover, pinned=beside)
            where = describe.where(trace, of, heat)
        words = f"{name[0].upper()}{name[1:]}{pinned} · {number} · {where}"
        assert shown.caption == words, (shown.caption, words)
        self.compared["status"] += 1


class Fresh:
    """A trace that the window never saw, with what was computed from it."""

    def __init__(self, trace) -> None:
        self.trace = trace
        self._kept: dict = {}

    def kept(self, key, make):
        """What `make` gives; made once."""
        if key not in self._kept:
            if len(self._kept) > 600:
                self._kept.clear()
            self._kept[key] = make()
        return self._kept[key]

    def map(self, chosen):
        """The map of a selection, by `vitviz.explain`."""
        asked = {name: getattr(chosen, name) for name in find(chosen.method).axes}
        return self.kept(chosen, lambda: explain(self.trace, chosen.method, **asked, **dict(chosen.choices)))

    def map_or_none(self, chosen):
        """The same; None where there is none."""
        try:
            return self.map(chosen)
        except VitvizError:
            return None

    def tiles(self, query, direction):
        """Per layer the maps of all heads (heads, rows, cols) of attention, by `vitviz.explain`; NaN for none."""

        def make():
            found = []
            for number, layer in enumerate(self.trace.layers):
                grid = layer.layout.patches
                maps = np.full((layer.heads, grid.rows, grid.cols), np.nan, np.float32)
                for head in range(layer.heads):
                    asked = {"layer": number, "head": head, "query": query, "direction": direction}
                    with suppress(VitvizError):
                        maps[head] = explain(self.trace, "attention", **asked).values
                found.append(maps)
            return found

        return self.kept(("tiles", query, direction), make)

    def tiles_of_matrices(self, query, direction):
        """The same from each layer's whole matrix (`Layer.attention`); None where that is not square, or many tokens ask.

        For the pointer the window takes rows out of whole matrices. These differ from rows that are computed alone by
        a few units in the last place (4e-6 relative were seen): a product of matrices sums in another order than
        that of a row and a matrix.
        """
        trace = self.trace
        plain = all(
            not layer.pooling and layer.queries is None and layer.layout.windows is None
            for layer in trace.layers
        )
        if query is None or not plain:
            return None

        def make():
            found = []
            for number, layer in enumerate(trace.layers):
                shares = trace.query_weights(layer, query)
                tokens = [] if shares is None else shares.nonzero()[0].tolist()
                if not tokens or len(tokens) > _FEW:
                    return None
                whole = self.kept(("whole", number), layer.attention)  # heads, queries, keys
                parts = [
                    shares[one] * (whole[:, one] if direction == "to" else whole[..., one]) for one in tokens
                ]
                found.append(layer.layout.on_grid(parts[0] if len(parts) == 1 else np.sum(parts, axis=0)))
            return found

        return self.kept(("tiles of matrices", query, direction), make)

    def tiles_like(self, drawn, query, direction):
        """The maps of all heads that are equal to the drawn ones: computed alone, or taken from whole matrices."""
        alone, together = self.tiles(query, direction), self.tiles_of_matrices(query, direction)
        if together is not None:
            for one, other in zip(alone, together, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-8)
            if all(np.array_equal(one, other) for one, other in zip(drawn, together, strict=True)):
                return together
        for layer, (one, other) in enumerate(zip(drawn, alone, strict=True)):
            same(one, other, f"heads of layer {layer}")
        return alone

    @property
    def statistics(self):
        """The statistics of all heads."""
        return self.kept("statistics", lambda: vitviz.statistics(self.trace))
