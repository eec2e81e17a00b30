"""The proof of what a map claims beside its weights: shares, place, order and readout, for one model at one input size."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from timm.models.pit import PoolingVisionTransformer
from torch import nn

from vitviz.attention.answers import answer_of
from vitviz.attention.families.base import Anatomy
from vitviz.attention.layer import Layer
from vitviz.attention.layout import Layout
from vitviz.attention.readout import Readout, of_parts, of_pool
from vitviz.attention.recording.recorder import said_by_module
from vitviz.attention.self_check import place
from vitviz.attention.self_check.centres import centres, displaced
from vitviz.attention.self_check.claims import Claim, fails, holds, unproved
from vitviz.attention.self_check.follow import Followed, follow
from vitviz.attention.self_check.order import check_order, dependence, in_steps, streams
from vitviz.attention.self_check.pictures import unchanged
from vitviz.attention.self_check.place import Reading
from vitviz.attention.self_check.prefix_mixing import prefix_mixing
from vitviz.attention.self_check.reader import ends_of, read
from vitviz.attention.self_check.readout import HOW as HOW_READ
from vitviz.attention.self_check.readout import Order, Part, Read, read_beside, read_out, two_heads
from vitviz.attention.self_check.repeat import differing
from vitviz.attention.self_check.shares import check_shares
from vitviz.models.model import Model

OVERLAP = "Changing one patch changes several tokens at once, as where patches overlap."
WHAT_TO_DO = (
    "Take away what was changed in the module, or wrap it in an nn.Module of your own: then vitviz reads off it where its "
    "tokens lie."
)
HOW_CENTRES = (
    "to within a cell, by the centre of the field that each token depends on while all recorded attention is silent; fields "
    "overlap"
)
HOW_APART = "by noise in what attention gives to tokens without a place: no other token may change"
DISTILLED = ("class", "distillation")
SINGLE = "Maps of single layers are right; layers cannot be composed."
CHOOSE = "choose a patch or a token to see what it attends to."
HOW_PLACE = (
    "by coded pictures: each patch changed in its own set of pictures while all recorded attention was silent"
)


@dataclass(frozen=True)
class Proof:
    """What was found for a model at one input size."""

    claims: tuple[Claim, ...]
    """Shares, place, order and readout."""
    readout: Readout
    """What the model's tail reads; what the family states where that could not be found."""
    heads: dict[str, str] = field(default_factory=dict)
    """For distilled models the modules that read the class and the distillation token."""
    misplaced: tuple[str, ...] = ()
    """The layers whose tokens are not where the layout puts them."""


def prove(model: Model, anatomy: Anatomy, on_pass: Callable[[], None] = lambda: None) -> Proof:
    """Prove the claims. To be called with the model's lock held, outside inference mode.

    `on_pass` is called before each of the passes that this takes, and may raise.
    """
    reading, located = anatomy.reading, holds("place", HOW_PLACE)
    wrong: tuple[str, ...] = ()
    if reading is None:
        reading, located, wrong = _prove_place(model, anatomy.layers, on_pass)
    on_pass()
    ordered, readout, read = _prove_order_and_readout(model, anatomy, reading)
    if located.holds:
        ordered, read = _prove_prefix_apart(model, anatomy.layers, ordered, read, on_pass)
    heads = anatomy.classifiers
    if read.holds and readout.prefix == DISTILLED and not readout.also:
        heads = _prove_heads(model, anatomy.layers)
    return Proof((check_shares(anatomy.layers), located, ordered, read), readout, heads, wrong)


def _prove_place(
    model: Model, layers: tuple[Layer, ...], on_pass: Callable[[], None]
) -> tuple[Reading | None, Claim, tuple[str, ...]]:
    code = place.code_of(layers)
    if code is None:
        return None, *_prove_centres(model, layers, on_pass)
    levels = [place.level_of(layer, code) for layer in layers for _ in layer.modules]
    names = [layer.name for layer in layers for _ in layer.modules]
    count, ends = len(levels), ends_of(code, levels)
    try:
        reading = read(model.module, code, model.input_size, count, ends, on_pass)
        wrong, sentence = place.misplaced(layers, reading)
        random = differing(model.module, model.input_size, names) if wrong else ""
        if random:
            return reading, fails("place", random, HOW_PLACE), wrong
    except Exception as error:
        reason = f"The model could not be run with its attention silenced: {said_by_module(error)}"
        return None, unproved("place", reason), ()
    if not wrong:
        return reading, holds("place", HOW_PLACE), ()
    if _overlaps_by_design(model.module) and place.overlap(layers[0], reading):
        return None, *_prove_centres(model, layers, on_pass)
    return reading, fails("place", f"{sentence} {WHAT_TO_DO}", HOW_PLACE), wrong


def _prove_prefix_apart(
    model: Model, layers: tuple[Layer, ...], ordered: Claim, read: Claim, on_pass: Callable[[], None]
) -> tuple[Claim, Claim]:
    """The claims of order and readout, if no token without a place meets another outside attention."""
    try:
        found = prefix_mixing(model.module, layers, model.input_size, on_pass)
    except Exception as error:
        reason = f"The model could not be run with its attention silenced: {said_by_module(error)}"
        return (unproved("order", reason) if ordered.holds else ordered), read
    if found.sentence and ordered.holds:
        ordered = fails("order", f"{found.sentence} {SINGLE}", HOW_APART)
    if found.sentence and found.behind and read.holds:
        reason = f"{found.sentence} So it is not what the last attention gave that the prediction is read from; {CHOOSE}"
        read = fails("readout", reason, HOW_APART)
    return ordered, read


def _prove_centres(
    model: Model, layers: tuple[Layer, ...], on_pass: Callable[[], None]
) -> tuple[Claim, tuple[str, ...]]:
    """Place where patches overlap, for classes that are known to have such: a field may be centred and still be another."""
    if not _overlaps_by_design(model.module) or model.dtype in (
        torch.float16,
        torch.bfloat16,
    ):  # which round small changes
        return unproved("place", OVERLAP), ()
    count, sentence = sum(len(layer.modules) for layer in layers), ""
    try:
        for found in centres(model.module, model.input_size, count):
            on_pass()
            sentence = displaced(layers, found)
            if not sentence:
                break
    except Exception as error:
        return unproved(
            "place", f"The model could not be run with its attention silenced: {said_by_module(error)}"
        ), ()
    if sentence:
        return fails("place", sentence, HOW_CENTRES), tuple(layer.name for layer in layers)
    return holds("place", HOW_CENTRES), ()


def _overlaps_by_design(module: Any) -> bool:
    """Whether a library's own class is known to have patches that overlap: a stem of convolutions, or PiT's pooling."""
    embed = getattr(module, "patch_embed", None)
    overlaps = hasattr(embed, "backbone") or isinstance(module, PoolingVisionTransformer)
    return overlaps and is_library(module)


def _prove_order_and_readout(
    model: Model, anatomy: Anatomy, reading: Reading | None
) -> tuple[Claim, Readout, Claim]:
    layers, stated = anatomy.layers, anatomy.readout
    names = [layer.name for layer in layers for _ in layer.modules]
    inputs = unchanged(model.input_size).to(model.device, model.dtype)
    try:
        followed = follow(model.module, inputs, len(names), answer_of)
        ordered = check_order(followed, _steps(layers), names)
        if ordered.fails and len(set(streams(dependence(followed)).streams)) > 1:
            reason = "The prediction is read from several streams of tokens; choose a patch or a token."
            return ordered, stated, fails("readout", reason, HOW_READ)
        readout, read = _prove_readout(model.module, inputs, followed, layers, stated, reading)
    except Exception as error:
        reason = f"The model could not be followed with gradients: {said_by_module(error)}"
        return unproved("order", reason), stated, unproved("readout", reason)
    return ordered, readout, read


def _steps(layers: tuple[Layer, ...]) -> list[list[int]]:
    return in_steps([layer.step for layer in layers for _ in layer.modules])


def _prove_readout(
    module: nn.Module,
    inputs: torch.Tensor,
    followed: Followed,
    layers: tuple[Layer, ...],
    stated: Readout,
    reading: Reading | None,
) -> tuple[Readout, Claim]:
    layout = layers[-1].layout
    if followed.answer is None:
        return replace(stated, headless=True), holds("readout", "there is no prediction: nothing is read")
    if not followed.answer.requires_grad:
        return stated, unproved(
            "readout",
            "No gradient leads from the prediction to the attention, so the tokens that it is read from could not be found.",
        )
    order = None if reading is None else _in_layout(layers[-1], reading)
    attending = layers[-1].queries
    found = read_out(module, inputs, followed, layout.tokens, len(layout.prefix), answer_of, order, attending)
    if (found.beside_pool or found.unread_pool) and all(layer.arrangement is None for layer in layers):
        found = replace(
            found, parts=read_beside(module, inputs, followed, layout.tokens, len(layout.prefix), answer_of)
        )
    if found.constant:
        return stated, unproved(
            "readout", "What the model predicts does not depend on the photo: its head is zero."
        )
    if found.unread_pool and not found.parts:
        return stated, fails(
            "readout",
            f"The prediction is not read from {layers[-1].name}, the last attention, but from what is before it; {CHOOSE}",
            HOW_READ,
        )
    pool = [] if found.unread_pool else of_pool(found.queries, found.pool_size)
    if not found.parts and not (pool and not found.beside_pool):
        what = "something beside its attention pool" if pool else "tokens"
        return stated, unproved(
            "readout", f"The prediction is read from {what} that could not be found; {CHOOSE}"
        )
    if found.parts and (
        found.parts[-1].kind == "each" or any(_is_partial(part, layout) for part in found.parts)
    ):
        return stated, fails("readout", _each(found, layout), HOW_READ)
    sets = [_part(part, layout, stated) for part in found.parts]
    readout = of_parts([*pool, *sets])
    past = f", not from the pool in {layers[-1].name}" if found.unread_pool else ""
    return readout, holds("readout", HOW_READ, f"The prediction is read from {readout.all_read}{past}.")


def _prove_heads(model: Model, layers: tuple[Layer, ...]) -> dict[str, str]:
    """The modules that read the class and the distillation token, of a model that answers with their mean."""
    inputs = unchanged(model.input_size).to(model.device, model.dtype)
    count = sum(len(layer.operations) for layer in layers)
    found = two_heads(model.module, inputs, count, layers[-1].layout.tokens, answer_of)
    return {} if found is None else dict(zip(DISTILLED, found, strict=True))


def _in_layout(layer: Layer, reading: Reading) -> Order:
    """Which of the layout's tokens those of a tensor behind the last operation are; None where they are others."""
    due = place.expected(
        replace(layer, pooling=False, queries=None, layout=replace(layer.layout, windows=None)), reading.code
    )
    tokens = {pattern.tobytes(): token for token, pattern in enumerate(due.key[0]) if pattern.any()}

    def order(number: int, axes: tuple[int, ...]) -> tuple[int, ...] | None:
        tail = reading.tails[number] if number < len(reading.tails) else None
        found = (
            []
            if tail is None
            else [tokens.get(pattern.tobytes(), -1) for pattern in tail.tokens.get(axes, ())]
        )
        without = iter(range(len(layer.layout.prefix)))  # prefix tokens keep their order
        placed = tuple(next(without, -1) if token < 0 else token for token in found)
        return placed if sorted(placed) == list(range(layer.layout.tokens)) else None

    return order


def _is_partial(part: Part, layout: Layout) -> bool:
    """Whether a part is some of the patches only, or all of them with some of the prefix tokens."""
    prefix = sum(token < len(layout.prefix) for token in part.tokens)
    patches = len(part.tokens) - prefix
    if part.kind == "token" or not patches:
        return bool(patches)
    return patches < layout.tokens - len(layout.prefix) or prefix not in (0, len(layout.prefix))


def _each(found: Read, layout: Layout) -> str:
    part = next((part for part in found.parts if _is_partial(part, layout)), found.parts[-1])
    patches = [token for token in part.tokens if token >= len(layout.prefix)]
    if len(patches) < layout.tokens - len(layout.prefix):
        first = layout.name(patches[0])
        return f"The prediction is read from some of its patches only, the first is {first}; {CHOOSE}"
    if len(patches) < len(part.tokens):
        return f"The prediction is read from the mean of its patches and some of its prefix tokens; {CHOOSE}"
    return (
        "The prediction reads every patch in a way of its own (all tokens flattened, say), so no mean stands for it; "
        f"{CHOOSE}"
    )


def _part(part: Part, layout: Layout, stated: Readout) -> Readout:
    """What was found to be read, in words."""
    if part.kind == "token":
        name = layout.prefix[part.tokens[0]]
        return Readout(name, (name,))
    if part.tokens[-1] < len(layout.prefix):
        names = tuple(layout.prefix[token] for token in part.tokens)
        return Readout(" + ".join(names), names)
    another = stated.kind if stated.kind in ("max", "mean and max") else "another"
    kind = another if part.kind == "pool" else "mean"
    return Readout(kind, all_tokens=part.tokens[0] < len(layout.prefix))


def is_library(module: nn.Module) -> bool:
    """Whether a model is made wholly of unmodified classes of timm, torchvision, transformers and torch."""
    return all(_is_libraries(child) for child in module.modules())


def _is_libraries(child: Any) -> bool:
    home = type(child).__module__.partition(".")[0]
    hooked = child._forward_hooks or child._forward_pre_hooks
    return (
        home in ("timm", "torchvision", "transformers", "torch")
        and not hooked
        and "forward" not in vars(child)
    )
