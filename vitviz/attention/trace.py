"""A trace: one forward pass of one photo, with what is needed to compute any attention of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitviz.attention import trace_html
from vitviz.attention.answers import answer_of, logits_of
from vitviz.attention.families import FAMILIES, probed
from vitviz.attention.families.base import Anatomy, PositionEmbedding
from vitviz.attention.forward_pass import forward, may_be_heads
from vitviz.attention.layer import Layer
from vitviz.attention.proof import is_library, prove
from vitviz.attention.readout import Readout
from vitviz.attention.recording.autograd_graph import hold
from vitviz.attention.recording.operations import Operation
from vitviz.attention.recording.recorder import Cancelled, attending, forget, said_by_module
from vitviz.attention.self_check.claims import unproved
from vitviz.attention.self_check.outputs import Check, check_layers
from vitviz.attention.self_check.shares import check_shares
from vitviz.attention.self_check.state import state_of, training
from vitviz.attention.softmax import softmax
from vitviz.errors import MethodError, ModelError, RefusedError
from vitviz.images.framing import Framing, FramingMode, PatchGrid, frame
from vitviz.images.photo import Photo
from vitviz.models.finite import not_finite
from vitviz.models.model import Model
from vitviz.models.pass_hooks import PassHooks
from vitviz.models.passes import own_pass
from vitviz.models.sizes import at_size
from vitviz.models.unwrapping import unseen_part

__all__ = ["Cancelled", "Prediction", "Trace", "prove_claims", "trace"]

Floats = NDArray[np.float32]
Query = tuple[int, int] | tuple[tuple[int, int], ...] | str | None
"""A patch (row, column) of `Trace.patches`, several (their mean), the name of a prefix token or of a part of the readout, or
None for the readout."""


@dataclass(frozen=True)
class Prediction:
    """One class of the prediction, or one output of a model without classes."""

    index: int
    label: str
    probability: float
    """By softmax over the classes; 1 where there is one class only, NaN for outputs that are no classes."""
    value: float = float("nan")
    """The logit, or the output itself."""
    said: str = ""
    """The number that tells most, as text: "41.4%", "logit 2.31" of a single class, "2.31" of an output."""


@dataclass(frozen=True, eq=False)
class Trace:
    """One forward pass. Attention is not stored but computed from q, k and bias when it is asked for."""

    model: Model
    photo: Photo
    framing: Framing
    layers: tuple[Layer, ...]
    logits: Floats
    """The model's own output, bit for bit: one number per class; an embedding, or nothing, for a model without a head."""
    stated_readout: Readout
    """What the model's family states; see `readout`."""
    position_embedding: PositionEmbedding
    milliseconds: float
    """How long the forward pass took."""
    stated_heads: dict[str, str] = field(default_factory=dict)
    """What the model's family states; see `heads`."""
    outputs: dict[str, Floats] = field(default_factory=dict, repr=False)
    """What modules that may be heads gave, by their names in the model."""
    check: Check | None = None
    """The self-check of this model at this input size."""
    kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    """Results computed from this trace, by name; freed with it. A copy of the trace has none."""

    @property
    def latest_check(self) -> Check | None:
        """`check` with the claims that `prove_claims` has proved since this pass, if the model is still the same."""
        latest: Check | None = self.model.kept.get("check")
        same = latest is not None and self.check is not None and latest.errors is self.check.errors
        return latest if same else self.check

    @property
    def readout(self) -> Readout:
        """What the prediction is read from: as it was found, or before that as the model's family states."""
        check = self.latest_check
        return self.stated_readout if check is None or check.readout is None else check.readout

    @property
    def heads(self) -> dict[str, str]:
        """For distilled models "class" and "distillation" with the names of the modules that read them; otherwise empty."""
        check = self.latest_check
        found = self.stated_heads if check is None or check.heads is None else check.heads
        return found if all(name in self.outputs for name in found.values()) else {}

    @property
    def heads_logits(self) -> dict[str, Floats]:
        """For distilled models the two heads' own logits, "class" and "distillation"; otherwise empty."""
        return {token: self.outputs[name] for token, name in self.heads.items()}

    @property
    def patches(self) -> PatchGrid:
        """The finest grid: the patches on the photo."""
        return self.layers[0].layout.patches

    @property
    def prefix(self) -> tuple[str, ...]:
        """The prefix tokens of any layer, in their order."""
        return max((layer.layout.prefix for layer in self.layers), key=len)

    @property
    def bytes(self) -> int:
        """Bytes kept for the attention of all layers."""
        return sum(layer.bytes for layer in self.layers)

    def _repr_html_(self) -> str:
        """How a notebook displays the trace: predictions, layers, and what was proved."""
        prefix = f" + {', '.join(self.prefix)}" if self.prefix else ""
        rest = (
            f"on {self.photo.name}: {self.patches.rows}×{self.patches.cols} patches{prefix}, framing {self.framing.mode}, "
            f"{self.model.device}, {self.milliseconds:.0f} ms"
        )
        best = [(one.index, one.label, one.probability) for one in self.predictions(5)]
        parts = (
            trace_html.heading(self.model.full_name, rest),
            trace_html.predictions(best),
            trace_html.layers(self.layers),
            trace_html.claims(self.latest_check),
        )
        return f"<div>{''.join(parts)}</div>"

    def probabilities(self, head: str = "both") -> NDArray[np.float64]:
        """The softmax of the logits, one number per class; `head` as in `predictions`."""
        if head != "both" and head not in self.heads_logits:
            known = ", ".join(["both", *self.heads_logits])
            raise MethodError(f"{self.model.name} has no head {head!r}; it has: {known}.")
        return softmax(self.logits if head == "both" else self.heads_logits[head])

    def predictions(self, top: int | None = 5, head: str = "both") -> list[Prediction]:
        """The most probable classes (softmax of the logits), best first; all of them for top=None.

        For outputs that are no classes the largest ones. `head`: "both" is the model's own output; distilled models also
        have "class" and "distillation". Empty for an embedding, and for tokens only.
        """
        probabilities, model = self.probabilities(head), self.model
        if len(model.labels) != len(probabilities):
            return []
        values, scores = self._logits(head), self.scores(head)
        if model.outputs != "classes":
            probabilities = np.full_like(probabilities, np.nan)
        return [
            Prediction(
                int(i),
                model.labels[i],
                float(probabilities[i]),
                float(values[i]),
                model.score_text(float(scores[i])),
            )
            for i in np.argsort(-scores, kind="stable")[:top]
        ]

    def scores(self, head: str = "both") -> NDArray[np.float64]:
        """One number for each output, in the model's `quantity`: probabilities, or else the numbers of the answer."""
        if self.model.quantity == "probability":
            return self.probabilities(head)
        return self._logits(head).astype(np.float64)

    def _logits(self, head: str) -> Floats:
        return self.logits if head == "both" else self.heads_logits[head]

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the readout's parts, where it has several and they are known."""
        return self.readout.names if self.readout_problem is None else ()

    def reading(self, query: Query) -> Readout | None:
        """The readout, or the part of it, that a query stands for; None for patches and for a token that is no part."""
        if query is None:
            return self.readout
        return self.readout.part(query) if isinstance(query, str) and query in self.parts else None

    @property
    def readout_problem(self) -> str | None:
        """Why the readout cannot be relied on, so that a patch or a token has to be chosen; None if it can."""
        check = self.latest_check
        return None if check is None else check.problem("readout")

    def token(self, layer: Layer, row: int, col: int) -> int:
        """The token of `layer` whose patch holds the middle of patch (row, col) of `patches`; on Swin's later stages the
        token that the patch was merged into.
        """
        if not (0 <= row < self.patches.rows and 0 <= col < self.patches.cols):
            raise MethodError(
                f"There is no patch ({row}, {col}): the photo is {self.patches.rows} rows × {self.patches.cols} columns."
            )
        grid = layer.layout.patches
        cell = (row, col) if grid == self.patches else self.patches.nearest_in(grid, row, col)
        return layer.layout.token(*cell)

    def query_weights(self, layer: Layer, query: Query) -> Floats | None:
        """A query as weights over the layer's tokens (sum 1), or None if the layer has no such prefix token.

        What an attention pool reads is no token of it: see `Readout.queries`.

        Raises MethodError for a query that is none, and for the readout of a model whose readout is not proved.
        """
        if query is None and self.readout_problem is not None:
            raise MethodError(
                f"{self.model.name} has no readout that vitviz can show. {self.readout_problem}"
            )
        check_query(query)
        reading = self.reading(query)
        if reading is not None:
            return reading.weights(layer.layout)
        assert query is not None
        weights = np.zeros(layer.layout.tokens, np.float32)
        if isinstance(query, str):
            if query not in self.prefix:
                known = ", ".join(self.prefix) or "none"
                parts = f"; its head reads: {', '.join(self.parts)}" if self.parts else ""
                raise MethodError(
                    f"{self.model.name} has no token {query!r}; its prefix tokens: {known}{parts}."
                )
            if query not in layer.layout.prefix:
                return None
            weights[layer.layout.prefix.index(query)] = 1.0
            return weights
        patches = patches_of(query)
        for row, col in patches:
            weights[self.token(layer, row, col)] += 1 / len(patches)
        return weights


def check_query(query: object) -> None:
    """Raise MethodError unless `query` has the form of a Query."""

    def is_patch(value: object) -> bool:
        return isinstance(value, tuple) and len(value) == 2 and all(type(part) is int for part in value)

    if query is None or isinstance(query, str) or is_patch(query):
        return
    if not (isinstance(query, tuple) and query and all(is_patch(part) for part in query)):
        raise MethodError(
            f"A query is a patch (row, column), several in a tuple, a prefix token's name or None; not {query!r}."
        )


def patches_of(query: tuple[int, int] | tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """The patches of a query that is one patch or several."""
    return tuple(patch for patch in query if isinstance(patch, tuple)) or (query,)  # type: ignore[return-value]


def trace(
    model: Model,
    photo: Photo,
    *,
    framing: FramingMode = "crop",
    check: bool = False,
    refuse: bool = True,
    gradients: bool = False,
    defer: bool = False,
    cancel: Callable[[], bool] | None = None,
    progress: Callable[[str, float | None], None] | None = None,
) -> Trace:
    """One forward pass of `photo` through `model`, its attention recorded.

    `framing`: "crop" as timm's evaluation does, "squash" the whole photo to the model's size, "fit" the whole photo with its
    aspect kept (for models that take a non-square input). The first trace of a model at an input size checks itself: every
    layer is recomputed and compared, and the claims of its maps are proved; `check` does so again, and so does a trace after
    weights, hooks or the mode have changed. A model that is not exact is refused unless `refuse` is False.
    `gradients`: keep what a backward pass needs, so that the first class to be explained costs no second forward pass (more
    memory until then; not where the pass checks itself). `defer`: a model made wholly of unmodified classes of timm,
    torchvision and transformers is laid out as its family states, and `prove_claims` proves that later. `cancel` is asked
    before each block; if it says yes, Cancelled is raised.

    Raises RefusedError for a model whose attention cannot be shown exactly, DeviceMemoryError, ModelError.
    """
    framed = frame(photo.size, model.data, framing)
    with own_pass(model):
        model = _sized(model, framed.input_size)
        known: Check | None = model.kept.get("check")
        state = state_of(model.module)
        checking = check or known is None or model.kept.get("state") != state
        if checking:
            _require_usable(model)
            if known is not None and model.kept["state"] != state:
                forget(model.module)
            for name in ("check", "probed"):  # what is stopped before it is proved is not proved
                model.kept.pop(name, None)
        inputs = torch.from_numpy(framed.apply(photo))[None].to(model.device, model.dtype)
        try:
            heads = may_be_heads(model, checking)
            passed = forward(model, inputs, heads, checking, gradients and not checking, cancel, progress)
        except Exception as error:
            said = said_by_module(error)
            raise ModelError(
                f"{model.name} cannot be run on one picture of 3×{framed.input_size[0]}×{framed.input_size[1]}: {said}",
                f"{type(error).__name__}: {error}",
            ) from error

        def asked() -> None:
            if cancel is not None and cancel():
                raise Cancelled
            if progress is not None:
                progress(f"{model.name}: proving where its tokens lie", None)

        answer = answer_of(passed.output)
        # Without a head a model answers with an embedding, or with tokens only.
        logits = logits_of(passed.output) if answer is None and model.labels else answer
        if logits is not None and not bool(torch.isfinite(logits).all()):
            _require_usable(model)
            raise RefusedError(f"{model.name} answers with numbers that are not finite.")
        with _asking(model.module, cancel):
            anatomy = dissect(model, passed.operations)
            model.kept["names"] = tuple(layer.name for layer in anatomy.layers)
            if checking:
                model.kept["checked"], model.kept["proof"] = check_layers(anatomy.layers, inputs), None
            passed = passed._replace(operations=[])  # so that outputs are freed before anything is proved
            if checking or passed.graph is not None:
                anatomy = _without_outputs(anatomy)
            if checking or (model.kept["proof"] is None and not defer):
                known = _proved(model, anatomy, is_library(model.module), defer, asked)
                model.kept["state"] = state
    assert known is not None
    if refuse:
        _require_claims(model, known)
    traced = Trace(
        model=model,
        photo=photo,
        framing=framed,
        layers=anatomy.layers,
        logits=np.zeros(0, np.float32) if logits is None else _floats(logits),
        stated_readout=anatomy.readout,
        position_embedding=anatomy.position,
        milliseconds=passed.milliseconds,
        stated_heads=anatomy.classifiers,
        outputs={name: _floats(output) for name, output in passed.heads.items()},
        check=known,
    )
    if passed.graph is not None and len(traced.logits) == len(model.labels):
        hold(traced, passed.graph)
    return traced


def _proved(
    model: Model, anatomy: Anatomy, library: bool, defer: bool, on_pass: Callable[[], None] = lambda: None
) -> Check:
    """The check of a model whose weights were compared, with its other claims proved, or left for later if they may be."""
    checked: Check = model.kept["checked"]
    if defer and library:
        waiting = [unproved(name, "Its proof has not run yet.") for name in ("place", "order", "readout")]
        known = replace(
            checked, claims=(*checked.claims, check_shares(anatomy.layers), *waiting), library=library
        )
    else:
        proof = model.kept["proof"] = prove(model, anatomy, on_pass)
        known = replace(
            checked,
            claims=(*checked.claims, *proof.claims),
            misplaced=proof.misplaced,
            library=library,
            readout=proof.readout,
            heads=proof.heads,
        )
    model.kept["check"] = known
    return known


def prove_claims(traced: Trace, cancel: Callable[[], bool] | None = None) -> Check:
    """Prove what `trace(defer=True)` has left for later; returns the check, which is kept for the model's next traces.

    `cancel` is asked before each layer of each pass; if it says yes, Cancelled is raised. Raises RefusedError where a claim
    fails without which no map may be drawn: the maps of the trace are to be withdrawn then.
    """
    model = traced.model

    with own_pass(model):
        if model.kept["proof"] is None and model.kept.get("state") == state_of(model.module):
            anatomy = Anatomy(
                traced.layers, traced.stated_readout, traced.position_embedding, traced.stated_heads
            )
            with _asking(model.module, cancel):
                # Only such a model's proof is left for later.
                _proved(model, anatomy, library=True, defer=False)
        known: Check = model.kept["check"]
    _require_claims(model, known)
    return known


@contextmanager
def _asking(module: nn.Module, cancel: Callable[[], bool] | None) -> Iterator[None]:
    """Ask `cancel` before each attending module of each pass, whatever the pass is for."""

    def ask() -> None:
        if cancel is not None and cancel():
            raise Cancelled

    with PassHooks() as hooks:
        for name in {"", *attending(module)} if cancel is not None else ():
            hooks.before(module.get_submodule(name), ask)
        yield


def _require_usable(model: Model) -> None:
    """Refuse a model in train mode, one made in inference mode, and one whose weights are not all finite."""
    name = training(model.module)
    if name is not None:
        raise RefusedError(
            f"{model.name} is in train mode{f' ({name})' if name else ''}, so that it answers differently each time; call "
            "its eval()."
        )
    if any(parameter.is_inference() for parameter in model.module.parameters()):
        raise RefusedError(
            f"{model.name} was made in torch.inference_mode(), so that no gradient can go through it; make it outside."
        )
    name = not_finite(model.module)
    if name is not None:
        raise RefusedError(f"{model.name} holds numbers that are not finite ({name}).")


def _require_claims(model: Model, check: Check) -> None:
    """Refuse a model whose weights or places are not the model's own, or of which the places could not be proved."""
    place = check.problem("place")
    if check.claim("weights").holds and place is not None:
        unknown = "" if check.claim("place").fails else "where its tokens lie could not be proved. "
        raise RefusedError(f"{model.name} cannot be shown: {unknown}{place}")
    if not check.exact:
        raise RefusedError(f"{model.name} cannot be shown: its recomputed attention is {check.sentence}.")


SIZES_KEPT = 4
"""For how many other input sizes a model is kept ready; the weights are shared."""


def _sized(model: Model, size: tuple[int, int]) -> Model:
    """The model at another input size, the same object each time, so that its plan and its check are reused."""
    if size == model.input_size:
        return model
    sized: dict[tuple[int, int], Model] = model.kept.setdefault("sized", {})
    if size not in sized:
        while len(sized) >= SIZES_KEPT:
            sized.pop(next(iter(sized)))
        sized[size] = at_size(model, size)
    return sized[size]


def dissect(model: Model, operations: list[Operation]) -> Anatomy:
    """Map the recorded operations to the input by the model's family. Raises RefusedError with the reason."""
    if not operations:
        unseen = unseen_part(model.module)
        what = "no softmax over tokens was seen in its forward pass"
        if unseen is not None:
            what = (
                f"none was seen; {unseen} is TorchScript or an exported graph, in which it is not to be seen"
            )
        raise RefusedError(f"{model.name} cannot be shown: it has no attention ({what}).")
    family = next(family for family in FAMILIES if family.matches(model.module))
    try:
        return family.anatomy(model, operations)
    except RefusedError:
        if family is probed or is_library(model.module):
            raise
        return probed.anatomy(model, operations)  # a subclass with tokens of its own


def _floats(values: Tensor) -> Floats:
    return values.detach()[0].float().cpu().numpy().reshape(-1)


def _without_outputs(anatomy: Anatomy) -> Anatomy:
    layers = tuple(
        replace(layer, operations=tuple(replace(operation, output=None) for operation in layer.operations))
        for layer in anatomy.layers
    )
    return replace(anatomy, layers=layers)
