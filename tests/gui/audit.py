"""An audit of the window: what each visible panel shows is computed again from a fresh trace and compared.

Everything that is compared is found through `shown()`. The expected values come from the Python API and from a trace that
the window never saw; the expected selection comes from the session's view and pointer.
"""

from collections import Counter, OrderedDict
from dataclasses import fields, is_dataclass, replace

import numpy as np
from walker import idle, sides

import vitviz
from vitviz.app.panels.faithfulness.scoring import ORDERS, STEPS
from vitviz.app.panels.heads.panel import order_of
from vitviz.app.panels.layers import strip
from vitviz.app.panels.patches.data import patch_data
from vitviz.app.panels.plate_panel import token_query
from vitviz.app.panels.positions import compute as positions
from vitviz.app.panels.positions import pictures as position_pictures
from vitviz.app.panels.statistics import quantities
from vitviz.app.panels.tokens import matrix as token_matrix
from vitviz.app.panels.windows import matrices, scene
from vitviz.app.session import colour_scale, describe
from vitviz.app.session.view_state import Hover, follows_pointer, patches_in, selection
from vitviz.app.ui import number_format
from vitviz.app.ui.pixels import grid_area, rgba_image, smooth_size
from vitviz.app.window.main_window import Window
from vitviz.errors import VitvizError
from vitviz.explain import explain
from vitviz.explain.internals.matrix import matrix as attention_matrix
from vitviz.explain.measures.faithfulness import baseline, scores
from vitviz.explain.registry import find
from vitviz.render.colors import bending, heat_table, is_signed, to_index, to_unit
from vitviz.render.mosaic import indices
from vitviz.render.overlay import heat_rgba, pixel_grid
from vitviz.render.picture_rows import colored

_TRACES = 6  # fresh traces that are kept


def settled(window: Window) -> bool:
    """Whether nothing is computed for what is visible."""
    return idle(window) and not any(panel.busy for panel in visible(window))


def visible(window: Window) -> list:
    """The panels that can be seen."""
    return [dock.panel for dock in window.docks if dock.built and dock.panel.isVisible()]


def same(one, other) -> None:
    """Both have the same shape and the same numbers; only the order of sums may differ."""
    one, other = np.asarray(one), np.asarray(other)
    assert one.shape == other.shape
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-8)


def same_colours(one, other) -> None:
    """The same colour indices or pixels; a number on the border of two indices may fall on either side."""
    one, other = np.asarray(one), np.asarray(other)
    assert one.shape == other.shape
    apart = np.abs(one.astype(int) - other.astype(int))
    assert apart.max(initial=0) <= 8, (apart.max(), (apart > 0).mean())


def alike(one, other) -> bool:
    """Whether two drawn things are equal, field by field; arrays by their colours, functions left out."""
    if isinstance(one, np.ndarray):
        same_colours(one, other)
        return True
    if callable(one):
        return True
    if is_dataclass(one):
        return all(alike(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    return one == other


def image_of(picture):
    """The pixels (height, width, 4) of a QImage, with premultiplied alpha."""
    plain = picture.convertToFormat(picture.Format.Format_ARGB32_Premultiplied)
    rows = np.frombuffer(plain.constBits(), np.uint8).reshape(plain.height(), plain.bytesPerLine())
    return rows[:, : 4 * plain.width()].reshape(plain.height(), plain.width(), 4)


def same_images(one, other) -> None:
    same_colours(image_of(one), image_of(other))


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
        for session, photo in sides(window):
            self._photo(session, photo.shown(), photo, at_rest)
        self._status(window, at_rest)
        for panel in visible(window):
            shown = panel.shown()
            if at_rest:
                assert not shown.dimmed, panel.name
                nothing = window.session.trace is None or panel.empty.isVisible()
                assert nothing or shown.facts is not None, panel.name
            if shown.facts is None or panel.empty.isVisible():
                continue
            if at_rest:
                assert shown.facts.trace is window.session.trace, panel.name
                assert shown.facts.photo == window.session.photo.name
                assert shown.facts.model == window.session.model.full_name
                assert shown.facts.framing == window.session.framing
            getattr(self, panel.name)(panel, shown, self.fresh(shown.facts), at_rest)
            self.compared[panel.name] += 1
            self.compared[f"{panel.name}: a head"] += shown.facts.selection.head is not None
            self.compared[f"{panel.name}: a query"] += shown.facts.selection.query is not None
            self.compared["while something newer was computed"] += self._is_old(shown, window.session)

    @staticmethod
    def _is_old(shown, session) -> bool:
        return shown.dimmed or shown.facts.trace is not session.trace

    def fresh(self, facts):
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

    def _photo(self, session, shown, photo, at_rest):
        facts, view = shown.facts, session.view
        if facts is None:
            return
        fresh = self.fresh(facts)
        if at_rest:
            assert facts.trace is session.trace
            assert facts.selection == session.selection
            assert not shown.dimmed
        expected = fresh.map(facts.selection)
        same(shown.heatmap.values, expected.values)
        painted = colour_scale.painted(view, expected)
        fine = painted is not expected.values
        assert shown.caption == (
            expected.title.removesuffix(", summed over each patch") if fine else expected.title
        )
        assert shown.prefix == tuple(
            f"{name} {number_format.number(value)}" for name, value in expected.prefix.items()
        )
        if at_rest and view.style != "contour" and view.scale != "shared" and session.shared_range is None:
            ends = colour_scale.scale(view, colour_scale.extent(painted))
            same(shown.ends, ends)
            patches = pixel_grid(painted) if fine else expected.patches
            size = smooth_size(grid_area(expected.framing, patches)) if view.smooth and not fine else None
            drawn = heat_rgba(painted, **colour_scale.style(view, ends), size=size)
            same_images(photo.canvas.heat, rgba_image(drawn))
            extent = colour_scale.extent(painted)
            assert shown.scale.endswith(colour_scale.scale_words(view, extent, None, session.sharers))
        self.compared["photo"] += 1

    def _status(self, window, at_rest):
        shown, session = window.status.shown(), window.session
        facts, chosen = shown.facts, session.selection
        if facts is None or shown.dimmed:
            return
        fresh = self.fresh(facts)
        heat, trace = fresh.map(facts.selection), fresh.trace
        if at_rest:
            assert facts.trace is session.trace
            assert facts.selection == chosen
        name = describe.subject(trace, heat, facts.selection)
        held = not follows_pointer(session.view) or session.hover.query is not None
        assert shown.caption.startswith(f"{name[0].upper()}{name[1:]}")
        assert describe.weight(trace, heat, facts.selection, session.hover, pinned=held) in shown.caption
        assert shown.caption.endswith(describe.where(trace, facts.selection, heat))
        self.compared["status"] += 1

    # The panels: each by its name.

    def layers(self, panel, shown, fresh, at_rest):
        facts, session = shown.facts, panel.session
        if at_rest:
            wanted = selection(session.view, replace(session.hover, tile=None))
            method = find(wanted.method)
            if not method.takes("layer"):
                assert facts.asked == wanted.method
                wanted, method = replace(wanted, method="attention", choices=()), find("attention")
            for name in ("query", "head", "fusion", "direction", "target"):
                if method.takes(name):
                    assert getattr(facts.selection, name) == getattr(wanted, name), name
            assert (facts.selection.method, facts.selection.choices) == (wanted.method, wanted.choices)
        expected, blocks, problems = [], [], {}
        for layer in range(len(fresh.trace.layers)):
            found = fresh.map_or_none(replace(facts.selection, layer=layer))
            expected.append(found)
            if found is None:
                problems[layer] = ""
            else:
                values = found.values[None]
                blocks.append(strip.Block((layer,), values, colour_scale.extents(values)))
        assert [one is None for one in shown.maps] == [one is None for one in expected]
        for drawn, one in zip(shown.maps, expected, strict=True):
            if one is not None:
                same(drawn, one.values)
        made = strip.Strip(len(expected), tuple(blocks), problems)
        assert [frame.name for frame in shown.frames] == [str(layer) for layer in range(len(expected))]
        choices, view = panel.choices.now, session.view
        common = colour_scale.scale(view, made.range) if choices.scale == "common" and blocks else None
        for layer, (frame, one) in enumerate(zip(shown.frames, expected, strict=True)):
            assert frame.tip.startswith(f"layer {layer}, {fresh.trace.layers[layer].name}: ")
            assert (frame.image is None) == (one is None)
            if one is not None:
                ends = common or colour_scale.scale(view, colour_scale.extent(one.values))
                first, last = number_format.ends(*ends)
                assert frame.tip.endswith(f": colours from {first} to {last}")
                assert frame.note == ("" if common else last)
                colours = strip_colours(view, choices.photo, one.values, ends)
                same_images(frame.image.copy(frame.part.toRect()), rgba_image(colours))
        said = strip.sentence(replace(facts, trace=fresh.trace))
        chosen = facts.selection
        if chosen.method == "attention":
            heads = f"{chosen.fusion} of heads" if chosen.head is None else f"head {chosen.head}"
            assert said.endswith(heads)
        assert shown.caption.startswith(said)
        if at_rest:
            words = strip.scale_words(session.view, panel.choices.now, made)
            assert shown.caption == f"{said} · {words}"
            assert panel.strip.selected == session.view.layer

    def heads(self, panel, shown, fresh, at_rest):
        facts, session = shown.facts, panel.session
        chosen = facts.selection
        if at_rest:
            now = session.selection
            assert (chosen.query, chosen.direction) == (now.query, now.direction)
            assert panel.view.selected.layer == session.view.layer
        stacks = []
        for layer, drawn in zip(fresh.trace.layers, shown.tiles.maps, strict=True):
            number = len(stacks)
            own = [fresh.map_or_none(replace(chosen, layer=number, head=head)) for head in range(layer.heads)]
            for one, other in zip(drawn, own, strict=True):
                if other is None:
                    assert np.isnan(one).all()
                else:
                    same(one, other.values)
            stacks.append(
                np.stack([np.full(drawn.shape[1:], np.nan) if one is None else one.values for one in own])
            )
        choices, view = panel.choices.now, session.view
        bent = bending(1.0, view.log, view.temperature)
        assert (facts.part, facts.scale) == (choices.tiles, bent)
        cells = indices(
            [one[None].astype(np.float32) for one in stacks], facts.part, view.log, view.temperature
        )
        if shown.order is not None:
            numbers = [getattr(one, choices.mark) for one in fresh.statistics.layers]
            assert shown.order == order_of([one.tolist() for one in numbers])
            for layer, order in enumerate(shown.order):
                cells[layer, : len(order)] = cells[layer, order]
        same_colours(shown.cells, cells)
        tile, where = session.hover.tile, ""
        if tile is not None:
            where = describe.where(fresh.trace, replace(chosen, layer=tile[0], head=tile[1]))
            assert shown.caption.endswith(where)
        else:
            verb = "attends to" if chosen.direction == "to" else "is attended by"
            name = describe.query_name(fresh.trace, chosen.query)
            said = " · ".join(filter(None, (f"What {name} {verb}", bent)))
            assert shown.caption in (said, f"{said} · measuring heads …")

    def tokens(self, panel, shown, fresh, at_rest):
        facts, session, trace = shown.facts, panel.session, fresh.trace
        chosen, drawn = facts.selection, shown.picture
        layer = trace.layers[chosen.layer]
        if at_rest:
            now = session.selection
            assert (chosen.layer, chosen.head, chosen.query) == (now.layer, now.head, now.query)
            assert chosen.head is not None or chosen.fusion == now.fusion
        key = "matrix", chosen.layer, chosen.head, chosen.fusion, facts.window
        expected = fresh.kept(
            key, lambda: attention_matrix(layer, chosen.head, chosen.fusion, facts.window or 0)
        )
        same(drawn.matrix.values, expected)
        own = replace(drawn.matrix, values=expected)
        assert drawn.log == (facts.scale == "log" and drawn.low > 0 and not drawn.signed)
        same_colours(shown.cells, token_matrix.draw(own, facts.scale == "log").cells)
        head = f"{chosen.fusion} of {layer.heads} heads" if chosen.head is None else f"head {chosen.head}"
        said = f"{layer.name}, {head}"
        if facts.window is not None:
            said += f", window {facts.window}"
            rows = token_matrix.rows_of(trace, own, chosen.query)
            assert ("spread over all" in shown.caption) == (facts.part != "" and not rows)
        assert shown.caption.startswith(said)
        assert f"{expected.shape[0]:,} × {expected.shape[1]:,} tokens" in shown.caption
        cell = panel.view.hovered or (shown.selected[0], shown.marked[1])
        if at_rest and cell[0] is not None and cell[1] is not None:
            assert shown.weight == token_matrix.weight(trace, own, *cell)

    def lens(self, panel, shown, fresh, at_rest):
        facts, view = shown.facts, panel.session.view
        found = fresh.kept("lens", lambda: vitviz.lens(fresh.trace))
        shares = found.probabilities(facts.part)
        if at_rest:
            assert facts.part == (view.class_head if view.class_head in found.heads_logits else "both")
            assert facts.selection.target == view.target
        assert shown.cells.rows == tuple(found.labels[index] for index in shown.classes)
        assert shown.cells.columns == ("start", *(str(layer) for layer in found.layers[1:]))
        words = [
            [f"{share * 100:.0f}" if share >= 0.01 else "" for share in row] for row in shares.T.tolist()
        ]
        assert shown.cells.words == tuple(tuple(words[index]) for index in shown.classes)
        heat = 1 + np.log(np.maximum(shares[:, list(shown.classes)].T, 1e-12)) / np.log(shares.shape[1])
        same(shown.cells.values, np.clip(heat, 0, 1))
        reader = {"both": "the model", "class": "the class head", "distillation": "the distillation head"}
        if panel.view.hovered is None:
            sentence = fresh.trace.readout.sentence
            assert shown.caption == (
                f"What {reader[facts.part]} would predict after each layer, read off {sentence}"
            )

    def predictions(self, panel, shown, fresh, at_rest):
        facts, view = shown.facts, panel.session.view
        shares = fresh.trace.probabilities(facts.part)
        if at_rest:
            heads = fresh.trace.heads_logits
            assert facts.part == (view.class_head if len(heads) > 1 else "both")
            assert facts.selection.target == view.target
        for index, bar in zip(shown.classes, shown.bars, strict=True):
            assert bar.name == fresh.trace.model.labels[index]
            same(bar.share, shares[index])
        if not panel.search.text():
            target, order = facts.selection.target, np.argsort(-shares, kind="stable").tolist()
            listed = order[: len(shown.classes)]
            if target is not None and target not in listed:
                listed[-1] = target
            assert list(shown.classes) == listed
            assert f"of {len(shares):,} classes" in shown.caption

    def statistics(self, panel, shown, fresh, at_rest):
        facts, view = shown.facts, panel.session.view
        found = fresh.statistics
        if at_rest:
            assert shown.layer == facts.selection.layer == view.layer
        for layer, drawn in zip(found.layers, shown.dots.values, strict=True):
            same(drawn, quantities.values_of(layer, facts.scale))
        same(shown.similarity.values, np.clip(found.layers[shown.layer].similarity, 0, 1))
        target = panel.plot.hovered
        if target is None:
            assert shown.caption.startswith("A dot per head: ")
        elif target.head is not None:
            layer = found.layers[target.layer]
            value = float(quantities.values_of(layer, facts.scale)[target.head])
            quantity = quantities.Quantity(facts.scale, "", "", "")
            said = quantities.reading(quantity, layer, value)
            assert shown.caption == f"Layer {target.layer}, head {target.head}: {said}"

    def faithfulness(self, panel, shown, fresh, at_rest):
        facts, view = shown.facts, panel.session.view
        chosen = facts.selection
        if at_rest:
            wanted = selection(view, Hover())
            assert replace(chosen, target=wanted.target) == wanted
            likeliest = int(fresh.trace.logits.argmax())
            assert chosen.target == (likeliest if view.target is None else view.target)
        label = fresh.trace.model.labels[chosen.target]
        assert shown.caption.startswith(f"Probability of “{label}”")
        first = shown.scores[0]
        if first.method == chosen.method:
            asked = replace(chosen, target=view.target)
            found = fresh.kept(
                ("scores", asked, chosen.target, facts.scale),
                lambda: scores(
                    fresh.trace, fresh.map(asked), chosen.target, steps=STEPS, replacement=facts.scale
                ),
            )
            for name, chart in zip(("deletion", "insertion"), shown.charts, strict=True):
                curve = getattr(found, name)
                np.testing.assert_allclose(chart.lines[0].ys, curve.probabilities, rtol=1e-3, atol=1e-6)
                assert chart.y.endswith(label) if hasattr(chart, "y") else True
                row = next(row for row in shown.rows if row.key == chosen.method)
                number = row.numbers[("deletion", "insertion").index(name)]
                assert abs(float(number) - curve.area) < 0.0006
            if shown.baseline is not None:
                chance = fresh.kept(
                    ("baseline", found.patches, chosen.target, facts.scale),
                    lambda: baseline(
                        fresh.trace,
                        found.patches,
                        chosen.target,
                        orders=ORDERS,
                        steps=STEPS,
                        replacement=facts.scale,
                    ),
                )
                np.testing.assert_allclose(
                    shown.baseline.deletion.mean, chance.deletion.mean, rtol=1e-3, atol=1e-6
                )

    def windows(self, panel, shown, fresh, at_rest):
        facts, session, trace = shown.facts, panel.session, fresh.trace
        chosen, view = facts.selection, session.view
        patch = chosen.query
        if at_rest:
            now = session.selection
            wanted = session.hover.patch or next(iter(patches_in(now.query)), None)
            assert (patch, chosen.layer, chosen.head) == (wanted, now.layer, now.head)
        assert shown.scenes[0].caption.startswith(f"layer {chosen.layer}:")
        assert (shown.layer, facts.part) == (chosen.layer, panel.choices.now.mode)
        if patch is not None:
            style = {"colormap": view.colormap, "opacity": view.opacity}
            expected = scene.focus(trace, chosen.layer, patch, facts.part, chosen.head, style)
            assert alike(shown.focus, expected)
            assert shown.caption == scene.sentence(trace, chosen.layer, patch, facts.part)
        else:
            assert shown.caption.startswith(f"{trace.layers[chosen.layer].name} cuts ")
        if shown.matrices is None:
            return
        self.compared["matrices of a window"] += 1
        number = next(
            number for number, one in enumerate(trace.layers) if one.name == shown.matrices.layer.name
        )
        if at_rest:
            assert (number, shown.matrices.window) == panel.choices.now.window
            assert shown.head == (
                view.head if view.head is None or view.head < trace.layers[number].heads else None
            )
        weights = trace.layers[number].weights(None, shown.matrices.window)[0].detach().numpy()
        same(shown.matrices.attention, weights)
        found = matrices.window_matrices(trace, number, shown.matrices.window)
        heads = list(range(len(weights))) if shown.head is None else [shown.head]
        made, told = matrices.matrix_pictures(found, heads, view.colormap)
        same_pictures(shown.pictures, made)
        first = weights[heads[0]]
        same_colours(shown.pictures[0].pixels, colored(first, 0, float(first.max()), view.colormap))
        if panel.matrix.view.hovered is None:
            assert shown.about == f"Window {found.window} of {found.layer.name}: {told}"

    def positions(self, panel, shown, fresh, at_rest):
        facts, session, trace = shown.facts, panel.session, fresh.trace
        chosen, colormap = facts.selection, session.view.colormap
        now = session.selection
        if facts.part in ("split", "bias"):
            if at_rest:
                assert (chosen.query, chosen.layer) == (token_query(trace, now.query), now.layer)
                heads = trace.layers[now.layer].heads
                assert chosen.head == (now.head if now.head is None or now.head < heads else None)
            expected = positions.logit_pictures(
                trace, chosen.layer, chosen.query, facts.part, chosen.head, colormap
            )
            for name in ("content", "position", "logits", "attention"):
                same(getattr(shown.split, name), getattr(expected.split, name))
            if at_rest:
                same_pictures(shown.pictures, expected.pictures)
            if panel.view.hovered is None:
                assert shown.caption.startswith(
                    f"Logits of {expected.split.subject} in {expected.split.layer}"
                )
            return
        tables = fresh.kept("tables", lambda: positions.tables(trace))
        patch = next(iter(patches_in(now.query)), None)
        if at_rest:
            assert chosen.query == patch
            assert facts.part == panel.mode.current
        which = {
            "stored": [("as stored", tables.stored)],
            "both": [("as stored", tables.stored), ("as used", tables.used)],
        }.get(facts.scale, [("as used", tables.used)])
        ends = min(float(one.norm.min()) for _, one in which), max(float(one.norm.max()) for _, one in which)
        expected = []
        for name, one in which:
            expected += position_pictures.maps(facts.part, name, one, ends, colormap, len(which) == 1)
        if facts.scale == "both" and facts.part != "similarity":
            expected.append(position_pictures.changed(tables.change, colormap))
        if facts.part == "similarity":
            for name, one in which:
                place = (
                    None
                    if chosen.query is None
                    else position_pictures.on_table(one.norm.shape, trace, chosen.query)
                )
                expected += position_pictures.beside(one, place, name if len(which) > 1 else "")
        if at_rest:
            same_pictures(shown.pictures, expected)
            if facts.part == "similarity" and chosen.query is not None:
                one = which[-1][1].similarity  # (rows, cols, rows, cols)
                cell = trace.patches.nearest_in(trace.patches.divided(*one.shape[:2]), *chosen.query)
                same_colours(shown.pictures[-1].pixels, colored(one[cell], -1, 1))
        table = tables.stored if facts.scale == "stored" else tables.used
        place = (
            None
            if chosen.query is None
            else position_pictures.on_table(table.norm.shape, trace, chosen.query)
        )
        assert shown.caption == position_pictures.sentence(facts.part, table, place, len(trace.prefix))

    def patches(self, panel, shown, fresh, at_rest):
        facts, session, trace = shown.facts, panel.session, fresh.trace
        data = fresh.kept("patches", lambda: patch_data(trace))
        patch = facts.selection.query
        if at_rest:
            wanted = session.hover.patch or next(iter(patches_in(session.selection.query)), None)
            assert patch == wanted
            assert shown.mode == facts.part == panel.mode.current
        if facts.part == "patches":
            assert shown.pictures[0].cells == data.tiles.shape[:2]
            if patch is not None:
                same_colours(shown.pictures[1].pixels, data.tiles[patch])
                assert shown.pictures[1].caption == f"patch ({patch[0]}, {patch[1]})"
            gap, (height, width) = shown.pictures[0].gap, data.tiles.shape[2:4]
            for row, column in ((0, 0), (1, 2)):
                top, left = row * (height + gap), column * (width + gap)
                drawn = shown.pictures[0].pixels[top : top + height, left : left + width]
                same_colours(drawn, data.tiles[row, column])
        if facts.part == "filters":
            for picture, tile in zip(shown.pictures, data.filters.tiles(), strict=True):
                same_colours(picture.pixels, tile)
        elif patch is not None and facts.part != "stem":
            norms = data.embedding.norms
            assert shown.caption == (
                f"Patch ({patch[0]}, {patch[1]}): embedding of length "
                f"{number_format.number(float(norms[patch]))}, {norms[patch] / norms.mean():.2f}× the mean"
            )


def strip_colours(view, photo, values, ends):
    """The colours (rows, columns, 4) of a frame: over the photo in the view's style, or plain."""
    style = "tint" if not photo else "glow" if view.style == "contour" else view.style
    signed = ends[0] < 0 and is_signed(*ends)
    table = heat_table(view.colormap, view.opacity if photo else 1.0, style, signed=signed)
    return table[to_index(to_unit(values, *ends, view.log, view.temperature))]


def same_pictures(drawn, expected) -> None:
    assert [one.caption for one in drawn] == [one.caption for one in expected]
    for one, other in zip(drawn, expected, strict=True):
        same_colours(one.pixels, other.pixels)


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

    @property
    def statistics(self):
        """The statistics of all heads."""
        return self.kept("statistics", lambda: vitviz.statistics(self.trace))
