"""The audit of each panel, a function by the panel's name: what it shows against values of a fresh trace.

Each takes the panel, what `shown()` gives, the `Fresh` trace and whether nothing is being computed. Captions are spelled
here, or made by the function that documents them from values of the fresh trace.
"""

import re
from dataclasses import replace

import numpy as np
from audit_compare import alike, said, same, same_images, same_pictures

import vitviz
from vitviz.app.panels.faithfulness.scoring import ORDERS, STEPS
from vitviz.app.panels.heads.panel import order_of
from vitviz.app.panels.layers import strip
from vitviz.app.panels.patches.data import patch_data
from vitviz.app.panels.plate_panel import token_query
from vitviz.app.panels.positions import compute as positions_compute
from vitviz.app.panels.positions import pictures as position_pictures
from vitviz.app.panels.statistics import quantities
from vitviz.app.panels.tokens import matrix as token_matrix
from vitviz.app.panels.windows import matrices, scene
from vitviz.app.session import colour_scale, describe
from vitviz.app.session.view_state import Hover, patches_in, selection
from vitviz.app.ui import number_format
from vitviz.app.ui.pixels import rgba_image
from vitviz.explain.internals.matrix import matrix as attention_matrix
from vitviz.explain.internals.matrix import prefix_shares
from vitviz.explain.measures.faithfulness import baseline, scores
from vitviz.explain.query import fuse
from vitviz.explain.registry import find
from vitviz.render.colors import bending, heat_table, is_signed, to_index, to_unit
from vitviz.render.mosaic import indices
from vitviz.render.picture_rows import colored


def layers(panel, shown, fresh, at_rest):
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
        assert panel.strip.selected == session.view.layer
    expected = _maps_of_layers(fresh, facts.selection, shown.maps)
    assert [one is None for one in shown.maps] == [one is None for one in expected]
    for layer, (drawn, one) in enumerate(zip(shown.maps, expected, strict=True)):
        if one is not None:
            same(drawn, one, f"layer {layer}")
    made = strip.Strip(
        len(expected),
        tuple(
            strip.Block((layer,), one[None], colour_scale.extents(one[None]))
            for layer, one in enumerate(expected)
            if one is not None
        ),
        {},
    )
    _frames(panel, shown, fresh, expected, made)
    sentence = strip.sentence(replace(facts, trace=fresh.trace))
    chosen = facts.selection
    if chosen.method == "attention":
        heads = f"{chosen.fusion} of heads" if chosen.head is None else f"head {chosen.head}"
        assert sentence.endswith(f"{describe_verb(chosen)} in each layer, {heads}")
    computing = rf"{re.escape(sentence)} · computing, \d+ of {len(expected)} layers"
    if at_rest or not re.fullmatch(computing, shown.caption):
        words = strip.scale_words(session.view, panel.choices.now, made)
        said(shown.caption, f"{sentence} · {words}")


def describe_verb(chosen) -> str:
    return "attends to" if chosen.direction == "to" else "is attended by"


def _maps_of_layers(fresh, chosen, drawn):
    """Each layer's map; of attention alone, or from whole matrices where the drawn ones are (`Fresh.tiles_like`)."""
    alone = [fresh.map_or_none(replace(chosen, layer=layer)) for layer in range(len(fresh.trace.layers))]
    maps = [None if one is None else one.values for one in alone]
    if chosen.method != "attention":
        return maps
    tiles = fresh.tiles_of_matrices(chosen.query, chosen.direction)
    if tiles is None:
        return maps
    together = [
        None if one is None else fuse(heads, chosen.fusion) if chosen.head is None else heads[chosen.head]
        for heads, one in zip(tiles, alone, strict=True)
    ]
    there = [layer for layer, one in enumerate(maps) if one is not None]
    for layer in there:
        np.testing.assert_allclose(maps[layer], together[layer], rtol=1e-5, atol=1e-8)
    taken = all(drawn[layer] is not None and np.array_equal(drawn[layer], together[layer]) for layer in there)
    return together if taken else maps


def _frames(panel, shown, fresh, expected, made):
    """Each frame's place, pixels and words."""
    choices, view, finest = panel.choices.now, panel.session.view, fresh.trace.patches
    common = colour_scale.scale(view, made.range) if choices.scale == "common" and made.blocks else None
    assert [frame.name for frame in shown.frames] == [str(layer) for layer in range(len(expected))]
    for layer, (frame, one) in enumerate(zip(shown.frames, expected, strict=True)):
        name = f"layer {layer}, {fresh.trace.layers[layer].name}: "
        assert (frame.image is None) == (one is None)
        if one is None:
            said(frame.tip, name + _no_map(fresh, layer, shown.facts.selection))
            continue
        ends = common or colour_scale.scale(view, colour_scale.extent(one))
        first, last = number_format.ends(*ends)
        said(frame.tip, f"{name}colours from {first} to {last}")
        said(frame.note, "" if common else last)
        colours = strip_colours(view, choices.photo, one, ends)
        same_images(frame.image.copy(frame.part.toRect()), rgba_image(colours), f"frame {layer}")
        grid = fresh.trace.layers[layer].layout.patches
        if one.shape != (grid.rows, grid.cols):  # composed down to the first layer
            grid = finest
        (left, top), (x, y) = grid.origin[::-1], finest.origin[::-1]
        width, height = finest.cols * finest.cell[1], finest.rows * finest.cell[0]
        lies = (left - x) / width, (top - y) / height
        lies += grid.cols * grid.cell[1] / width, grid.rows * grid.cell[0] / height
        np.testing.assert_allclose(frame.area, lies, atol=1e-12)


def _no_map(fresh, layer, chosen) -> str:
    """Why a layer has no map."""
    heads = fresh.trace.layers[layer].heads
    if chosen.method == "attention":
        if chosen.head is not None and chosen.head >= heads:
            return f"this layer has {heads} heads, so there is no head {chosen.head}"
        return "the query does not attend in this layer"
    try:
        fresh.map(replace(chosen, layer=layer))
    except vitviz.VitvizError as problem:
        return problem.message
    raise AssertionError("there is a map")


def strip_colours(view, photo, values, ends):
    """The colours (rows, columns, 4) of a frame: over the photo in the view's style, or plain."""
    style = "tint" if not photo else "glow" if view.style == "contour" else view.style
    signed = ends[0] < 0 and is_signed(*ends)
    table = heat_table(view.colormap, view.opacity if photo else 1.0, style, signed=signed)
    return table[to_index(to_unit(values, *ends, view.log, view.temperature))]


def heads(panel, shown, fresh, at_rest):
    facts, session, trace = shown.facts, panel.session, fresh.trace
    chosen, choices, view = facts.selection, panel.choices.now, session.view
    if at_rest:
        now = session.selection
        assert (chosen.query, chosen.direction) == (now.query, now.direction)
        assert panel.view.selected.layer == view.layer
    stacks = fresh.tiles_like(shown.tiles.maps, chosen.query, chosen.direction)
    bent = bending(1.0, view.log, view.temperature)
    assert (facts.part, facts.scale) == (choices.tiles, bent)
    cells = indices([one[None] for one in stacks], facts.part, view.log, view.temperature)
    measured = None if shown.measured is None else fresh.statistics.layers
    if shown.order is not None:
        assert shown.order == order_of([getattr(one, choices.mark).tolist() for one in measured])
        for layer, order in enumerate(shown.order):
            cells[layer, : len(order)] = cells[layer, order]
    same(shown.cells, cells, "tiles")
    if choices.mark and measured is not None:
        _marks(panel, shown, measured)
    tile = session.hover.tile
    if tile is None:
        name = describe.query_name(trace, chosen.query)
        measuring = "measuring heads …" if choices.mark and measured is None else ""
        words = " · ".join(filter(None, (f"What {name} {describe_verb(chosen)}", bent, measuring)))
    else:
        words = describe.where(trace, replace(chosen, layer=tile[0], head=tile[1]))
        if choices.mark and measured is not None:
            words = f"{_head_numbers(measured[tile[0]], tile[1])} · {words}"
    said(shown.caption, words)


def _marks(panel, shown, measured):
    """The bars of the tiles: the measured number of the head at each place, as a share of the largest."""
    choices = panel.choices.now
    numbers = [getattr(one, choices.mark).tolist() for one in measured]
    known = [value for layer in numbers for value in layer if value == value]
    top = 1.0 if choices.mark == "entropy" else max(known, default=1.0) or 1.0
    order = shown.order or [range(len(layer)) for layer in numbers]
    expected = [[layer[head] / top for head in places] for layer, places in zip(numbers, order, strict=True)]
    for drawn, one in zip(panel.view.labels.marks, expected, strict=True):
        same(drawn, one, "marks")


def _head_numbers(layer, head) -> str:
    distance, entropy = (
        float(np.mean(one)) if head is None else float(one[head]) for one in (layer.distance, layer.entropy)
    )
    if np.isnan(distance):
        return "no distance, no entropy"
    even = distance / float(layer.uniform_distance)
    return f"{distance:.0f} px, {even:.1f}× uniform; entropy {entropy:.2f} of 1"


def tokens(panel, shown, fresh, at_rest):
    facts, session, trace = shown.facts, panel.session, fresh.trace
    chosen, drawn = facts.selection, shown.picture
    layer = trace.layers[chosen.layer]
    if at_rest:
        now = session.selection
        assert (chosen.layer, chosen.head, chosen.query) == (now.layer, now.head, now.query)
        assert chosen.head is not None or chosen.fusion == now.fusion
    expected = fresh.kept(
        ("matrix", chosen.layer, chosen.head, chosen.fusion, facts.window),
        lambda: attention_matrix(layer, chosen.head, chosen.fusion, facts.window or 0),
    )
    same(drawn.matrix.values, expected, "matrix")
    own = replace(drawn.matrix, values=expected)
    assert drawn.log == (facts.scale == "log" and drawn.low > 0 and not drawn.signed)
    made = token_matrix.draw(own, facts.scale == "log")
    assert (drawn.low, drawn.high, drawn.signed) == (made.low, made.high, made.signed)
    same(shown.cells, made.cells, "cells")
    assert drawn.matrix.shares == ([] if facts.window is not None else prefix_shares(layer, expected))
    of = f"{chosen.fusion} of {layer.heads} heads" if chosen.head is None else f"head {chosen.head}"
    words = f"{layer.name}, {of}"
    if facts.window is not None:
        words += f", window {facts.window}"
        if facts.part and not token_matrix.rows_of(trace, own, chosen.query):
            words += " (the query is spread over all)"
    words += f" · {expected.shape[0]:,} × {expected.shape[1]:,} tokens"
    merged = panel.view.merged
    said(shown.caption, words + (f" · each pixel the largest of {merged}×{merged}" if merged > 1 else ""))
    cell = panel.view.hovered or (shown.selected[0], shown.marked[1])
    if at_rest and cell[0] is not None and cell[1] is not None:
        said(shown.weight, token_matrix.weight(trace, own, *cell))


def lens(panel, shown, fresh, at_rest):
    facts, view = shown.facts, panel.session.view
    found = fresh.kept("lens", lambda: vitviz.lens(fresh.trace))
    shares = found.probabilities(facts.part)
    if at_rest:
        assert facts.part == (view.class_head if view.class_head in found.heads_logits else "both")
        assert facts.selection.target == view.target
    target, classes = facts.selection.target, list(shown.classes)
    cells = shown.cells
    assert cells.rows == tuple(found.labels[index] for index in classes)
    assert cells.columns == ("start", *(str(layer) for layer in found.layers[1:]))
    assert cells.words == tuple(
        tuple(f"{share * 100:.0f}" if share >= 0.01 else "" for share in shares[:, index].tolist())
        for index in classes
    )
    heat = 1 + np.log(np.maximum(shares[:, classes].T, 1e-12)) / np.log(max(shares.shape[1], 2))
    same(cells.values, np.clip(heat, 0, 1), "lens")
    best = shares.argmax(1).tolist()
    assert set(cells.dotted) == {(classes.index(one), row) for row, one in enumerate(best) if one in classes}
    likeliest = int(fresh.trace.logits.argmax())
    assert cells.marks == tuple(
        "dot" if index == target else "ring" if target is None and index == likeliest else ""
        for index in classes
    )
    reader = {"both": "the model", "class": "the class head", "distillation": "the distillation head"}
    plain = (
        f"What {reader[facts.part]} would predict after each layer, read off {fresh.trace.readout.sentence}"
    )
    cell = panel.view.hovered
    if cell is None and shown.caption != plain:
        cell = panel.view.current  # the keyboard's position is read too
    if cell is None or (cell.row is not None and cell.row >= len(classes)):
        said(shown.caption, plain)
    elif cell.row is None:
        one = best[cell.column]
        said(
            shown.caption,
            f"Likeliest {_when(found, cell.column)}: {found.labels[one]}, {percent(shares[cell.column, one])}",
        )
    else:
        _lens_cell(shown, found, shares, classes[cell.row], cell.column)


def _lens_cell(shown, found, shares, index, column):
    label = found.labels[index]
    if column is None:
        at = int(shares[:, index].argmax())
        at_best = f"{_when(found, at)} at its likeliest, {percent(shares[at, index])}"
        said(shown.caption, f"{label}: {at_best} · click to explain")
        return
    share, count = float(shares[column, index]), shares.shape[1]
    times = number_format.compared(share, 1 / count).partition(", ")[2]
    rank = int((shares[column] > share).sum()) + 1
    said(
        shown.caption,
        f"{label} {_when(found, column)}: {percent(share)}, {times}, rank {rank:,} of {count:,}",
    )


def _when(found, row) -> str:
    layer = found.layers[row]
    return "before the first layer" if layer is None else f"after layer {layer} ({found.names[row]})"


def percent(share) -> str:
    """A share as the window writes it."""
    if share >= 0.0005:
        return f"{share:.1%}"
    return f"{share:.3%}" if share >= 0.00001 else "< 0.001%"


def predictions(panel, shown, fresh, at_rest):
    facts, view = shown.facts, panel.session.view
    shares, labels = fresh.trace.probabilities(facts.part), fresh.trace.model.labels
    if at_rest:
        several = len(fresh.trace.heads_logits) > 1
        assert facts.part == (view.class_head if several else "both")
        assert facts.selection.target == view.target
    target, count = facts.selection.target, len(shares)
    order = np.argsort(-shares, kind="stable").tolist()
    likeliest = int(fresh.trace.logits.argmax())
    for place, (index, bar) in enumerate(zip(shown.classes, shown.bars, strict=True)):
        rank = order.index(index) + 1
        assert (bar.name, bar.share) == (labels[index], float(shares[index]))
        assert bar.mark == (
            "dot" if index == target else "ring" if target is None and index == likeliest else ""
        )
        first = f"class {index}: {labels[index]}, {shares[index]:.4g}, rank {rank:,} of {count:,}"
        assert bar.tip.startswith(f"{first}\n")
        if not panel.search.text():
            said(bar.note, f"rank {rank:,}" if rank != place + 1 else "")
    if panel.search.text():
        return
    listed = order[: len(shown.classes)]
    many = f"{len(listed)} likeliest"
    if target is not None and target not in listed:
        listed[-1] = target
        many = f"{len(listed) - 1} likeliest and the chosen one"
    assert list(shown.classes) == listed
    said(shown.caption, f"{many} of {count:,} classes · bars from 0 to 100 %")
    if target is None:
        words = f"Class-specific methods explain {labels[likeliest]}; click another to choose it."
    else:
        rank = order.index(target) + 1
        words = f"Class-specific methods explain {labels[target]}: {percent(shares[target])}, rank {rank:,}."
    said(panel.target.whole, words)


def statistics(panel, shown, fresh, at_rest):
    facts, view, found = shown.facts, panel.session.view, fresh.statistics
    if at_rest:
        assert shown.layer == facts.selection.layer == view.layer
    asked = next(one for one in _quantities(fresh.trace) if one.key == facts.scale)
    for layer, drawn in zip(found.layers, shown.dots.values, strict=True):
        same(drawn, quantities.values_of(layer, asked.key), asked.key)
    same(shown.dots.even, [quantities.even_of(layer, asked.key) for layer in found.layers], "even")
    assert shown.dots.quantity == asked.axis
    compared = found.layers[shown.layer]
    same(shown.similarity.values, np.clip(compared.similarity, 0, 1), "similarity")
    assert shown.similarity.words == tuple(
        tuple(f"{one:.2f}" for one in row) for row in compared.similarity.tolist()
    )
    target = panel.plot.hovered
    words = f"A dot per head: {asked.meaning}"
    if target is not None:
        layer = found.layers[target.layer]
        values = quantities.values_of(layer, asked.key)
        if target.head is not None:
            reading = quantities.reading(asked, layer, float(values[target.head]))
            words = f"Layer {target.layer}, head {target.head}: {reading}"
        elif not np.isnan(values).all():
            reading = quantities.reading(asked, layer, float(np.nanmean(values)))
            words = f"Layer {target.layer}, mean of {len(values)} heads: {reading}"
    said(shown.caption, words)
    pair = panel.matrix.hovered
    words = f"Layer {shown.layer}: similarity of its heads, cosine of their rows · 0 to 1"
    if pair is not None and pair.row is not None and pair.column is not None:
        words = f"Layer {shown.layer}, {quantities.alike(compared, (pair.row, pair.column))}"
    said(panel.alike.whole, words)


def _quantities(trace):
    """The quantities of a model with these prefix tokens."""
    several = [quantities.share_of("prefix", "all prefix tokens")]
    each = [
        quantities.share_of(f"prefix {number}", f"the {name} token")
        for number, name in enumerate(trace.prefix)
    ]
    return [*quantities.QUANTITIES, *several, *each, quantities.share_of("padding", "padding")]


def faithfulness(panel, shown, fresh, at_rest):
    facts, view = shown.facts, panel.session.view
    chosen = facts.selection
    if at_rest:
        wanted = selection(view, Hover())
        assert replace(chosen, target=wanted.target) == wanted
        likeliest = int(fresh.trace.logits.argmax())
        assert chosen.target == (likeliest if view.target is None else view.target)
    label = fresh.trace.model.labels[chosen.target]
    said(
        shown.caption,
        f"Probability of “{label}”, the map's hottest patches first · grey: {ORDERS} random orders ± 95 %",
    )
    given = {"steps": STEPS, "replacement": facts.scale}
    found = []
    for drawn in shown.scores:
        # Like the panel: the class of the map itself is left open where none is chosen.
        asked = (
            selection(replace(view, method=drawn.method), Hover()) if drawn is not shown.scores[0] else chosen
        )
        found.append(
            fresh.kept(
                ("scores", asked, chosen.target, facts.scale),
                lambda asked=asked: scores(fresh.trace, fresh.map(asked), chosen.target, **given),
            )
        )
        if not at_rest:
            break  # the compared methods follow the selection, which may be newer
    assert found[0].method == chosen.method
    grid = found[0].patches
    chance = None
    if shown.baseline is not None:
        chance = fresh.kept(
            ("baseline", grid, chosen.target, facts.scale),
            lambda: baseline(fresh.trace, grid, chosen.target, orders=ORDERS, **given),
        )
    for name, chart in zip(("deletion", "insertion"), shown.charts, strict=True):
        said(chart.up, f"probability of {label}")
        for line, one in zip(chart.lines, found, strict=False):
            curve = getattr(one, name)
            same(line.xs, curve.shares, f"{name} shares")
            same(line.ys, curve.probabilities, f"{name} of {one.method}")
            said(line.label, find(one.method).label)
            said(line.number, f"{curve.area:.3f}")
            if at_rest:
                row = next(row for row in shown.rows if row.key == one.method)
                said(row.numbers[("deletion", "insertion").index(name)], f"{curve.area:.3f}")
        if chance is not None:
            band, line = getattr(chance, name), chart.lines[-1]
            same(line.ys, band.mean, "random orders")
            same(line.half, band.half, "random orders ±")


def windows(panel, shown, fresh, at_rest):
    facts, session, trace = shown.facts, panel.session, fresh.trace
    chosen, view = facts.selection, session.view
    patch = chosen.query
    if at_rest:
        now = session.selection
        wanted = session.hover.patch or next(iter(patches_in(now.query)), None)
        assert (patch, chosen.layer, chosen.head) == (wanted, now.layer, now.head)
    drawn = scene.scene(trace, chosen.layer, _cropped(session, fresh, facts))
    for name in ("grid", "frame", "borders", "windows", "padding", "regions", "aspect", "caption"):
        assert getattr(shown.scenes[0], name) == getattr(drawn, name), name
    same_images(shown.scenes[0].picture, drawn.picture, "scene")
    assert (shown.layer, facts.part) == (chosen.layer, panel.choices.now.mode)
    layer = trace.layers[chosen.layer]
    if patch is not None:
        style = {"colormap": view.colormap, "opacity": view.opacity}
        assert alike(shown.focus, scene.focus(trace, chosen.layer, patch, facts.part, chosen.head, style)), (
            "highlight"
        )
        said(shown.caption, scene.sentence(trace, chosen.layer, patch, facts.part))
    else:
        grid, count = layer.layout.patches, len(layer.layout.windows.index)
        said(shown.caption, f"{layer.name} cuts {grid.rows}×{grid.cols} tokens into {count} windows")
    if shown.matrices is not None:
        _matrices(panel, shown, trace, at_rest)


def _cropped(session, fresh, facts):
    """The part of the photo that the model saw, as the panel cuts it out of the photo's levels."""
    assert facts.trace.photo is session.photo, "the windows lie on another photo"
    return fresh.kept(
        ("crop", id(session.picture.levels)), lambda: scene.crop(fresh.trace, session.picture.levels)
    )


def _matrices(panel, shown, trace, at_rest):
    """The matrices of the window that was clicked."""
    view = panel.session.view
    number = next(number for number, one in enumerate(trace.layers) if one.name == shown.matrices.layer.name)
    if at_rest:
        assert (number, shown.matrices.window) == panel.choices.now.window
        there = view.head is None or view.head < trace.layers[number].heads
        assert shown.head == (view.head if there else None)
    weights = trace.layers[number].weights(None, shown.matrices.window)[0].detach().numpy()
    same(shown.matrices.attention, weights, "a window's attention")
    found = matrices.window_matrices(trace, number, shown.matrices.window)
    drawn = list(range(len(weights))) if shown.head is None else [shown.head]
    made, told = matrices.matrix_pictures(found, drawn, view.colormap)
    same_pictures(shown.pictures, made)
    first = weights[drawn[0]]
    same(shown.pictures[0].pixels, colored(first, 0, float(first.max()), view.colormap), "first head")
    words = [[f"{one:.2f}" for one in row] for row in first.tolist()]
    assert shown.pictures[0].words == tuple(tuple(one if float(one) else "0" for one in row) for row in words)
    spot = panel.matrix.view.hovered
    words = ""
    if spot is not None:
        place = spot.picture // (1 if found.bias is None else 2)
        head = drawn[place] if place < len(drawn) else None
        words = matrices.matrix_words(found, head, spot.row, spot.column)
    said(shown.about, words or f"Window {found.window} of {found.layer.name}: {told}")


def positions(panel, shown, fresh, at_rest):
    facts, session, trace = shown.facts, panel.session, fresh.trace
    chosen, now = facts.selection, session.selection
    # The colours are those of the moment when the pictures were asked for; at rest, of now.
    colormap = session.view.colormap
    if facts.part in ("split", "bias"):
        if at_rest:
            assert (chosen.query, chosen.layer) == (token_query(trace, now.query), now.layer)
            count = trace.layers[now.layer].heads
            assert chosen.head == (now.head if now.head is None or now.head < count else None)
        expected = positions_compute.logit_pictures(
            trace, chosen.layer, chosen.query, facts.part, chosen.head, colormap
        )
        for name in ("content", "position", "logits", "attention"):
            same(getattr(shown.split, name), getattr(expected.split, name), name)
        if at_rest:
            same_pictures(shown.pictures, expected.pictures)
        _logits_caption(panel, shown, trace, expected)
        return
    tables = fresh.kept("tables", lambda: positions_compute.tables(trace))
    if at_rest:
        assert chosen.query == next(iter(patches_in(now.query)), None)
        assert facts.part == panel.mode.current
    which = {
        "stored": [("as stored", tables.stored)],
        "both": [("as stored", tables.stored), ("as used", tables.used)],
    }.get(facts.scale, [("as used", tables.used)])
    if at_rest:
        same_pictures(shown.pictures, _position_pictures(trace, facts, tables, which, colormap))
        if facts.part == "similarity" and chosen.query is not None:
            one = which[-1][1].similarity  # (rows, cols, rows, cols)
            cell = trace.patches.nearest_in(trace.patches.divided(*one.shape[:2]), *chosen.query)
            same(shown.pictures[-1].pixels, colored(one[cell], -1, 1), "similarity")
    table = tables.stored if facts.scale == "stored" else tables.used
    place = _on_table(table, trace, chosen.query)
    said(shown.caption, position_pictures.sentence(facts.part, table, place, len(trace.prefix)))


def _logits_caption(panel, shown, trace, expected):
    facts, split, spot = shown.facts, expected.split, panel.view.hovered
    whole, words = facts.part == "split", ""
    if spot is not None:
        head = expected.head if whole else spot.picture
        words = position_pictures.key_words(trace, split, head, (spot.row, spot.column), whole)
    count = len(split.content)
    of = f"head {expected.head}" if expected.head is not None else f"mean of {count} heads"
    of = of if whole else f"{count} heads"
    said(shown.caption, words or f"Logits of {split.subject} in {split.layer}, {of}")


def _position_pictures(trace, facts, tables, which, colormap):
    """The pictures of a table as used, as stored, or of both."""
    ends = min(float(one.norm.min()) for _, one in which), max(float(one.norm.max()) for _, one in which)
    made = []
    for name, one in which:
        made += position_pictures.maps(facts.part, name, one, ends, colormap, len(which) == 1)
    if facts.scale == "both" and facts.part != "similarity":
        made.append(position_pictures.changed(tables.change, colormap))
    if facts.part == "similarity":
        for name, one in which:
            place = _on_table(one, trace, facts.selection.query)
            made += position_pictures.beside(one, place, name if len(which) > 1 else "")
    return made


def _on_table(table, trace, patch):
    return None if patch is None else position_pictures.on_table(table.norm.shape, trace, patch)


def patches(panel, shown, fresh, at_rest):
    facts, session, trace = shown.facts, panel.session, fresh.trace
    data = fresh.kept("patches", lambda: patch_data(trace))
    patch, grid = facts.selection.query, trace.patches
    if at_rest:
        wanted = session.hover.patch or next(iter(patches_in(session.selection.query)), None)
        assert patch == wanted
        assert shown.mode == facts.part == panel.mode.current
    first = shown.pictures[0]
    if facts.part == "patches":
        assert first.cells == data.tiles.shape[:2]
        gap, (height, width) = first.gap, data.tiles.shape[2:4]
        for row, column in np.ndindex(*data.tiles.shape[:2]):
            top, left = row * (height + gap), column * (width + gap)
            drawn = first.pixels[top : top + height, left : left + width]
            same(drawn, data.tiles[row, column], f"patch ({row}, {column})")
        if patch is not None:
            same(shown.pictures[1].pixels, data.tiles[patch], "the chosen patch")
            said(shown.pictures[1].caption, f"patch ({patch[0]}, {patch[1]})")
    elif facts.part == "filters":
        for picture, tile in zip(shown.pictures, data.filters.tiles(), strict=True):
            same(picture.pixels, tile, "filter")
        own = data.filters
        said(
            shown.caption,
            f"{len(own.images)} components of {own.filters} filters of the {own.whose}: "
            f"{float(own.shares.sum()):.0%} of their variance",
        )
        return
    else:
        values = data.embedding.stem if facts.part == "stem" else data.embedding.norms
        ends = float(values.min()), float(values.max())
        if at_rest:
            same(first.pixels, colored(values, *ends, session.view.colormap), "lengths")
    if facts.part == "stem":
        said(shown.caption, "What the stem gives: the length of its features in each cell")
    elif patch is None or data.embedding is None:
        said(shown.caption, f"{trace.model.name} cuts the photo into {grid.rows}×{grid.cols} patches")
    else:
        norms = data.embedding.norms
        said(
            shown.caption,
            f"Patch ({patch[0]}, {patch[1]}): embedding of length "
            f"{number_format.number(float(norms[patch]))}, {norms[patch] / norms.mean():.2f}× the mean",
        )
