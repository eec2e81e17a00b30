"""A query's logits, split exactly into the parts of content, position and mask.

Where position is a bias (Swin, BEiT, relpos, SwinV2's continuous bias) the logit is a sum: content q·k plus bias plus
mask. Where positions rotate q and k (rotary) content is q·k with both rotated back, position what the rotation changes.
A table that is added to the tokens before the first layer cannot be separated inside the logits; that is refused.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitviz.attention.layer import Layer
from vitviz.attention.recording.operations import Operation
from vitviz.attention.replay import replay
from vitviz.attention.softmax import softmax
from vitviz.attention.trace import Query, Trace
from vitviz.attention.windows import MASKED
from vitviz.errors import MethodError
from vitviz.explain.query import describe, find_layer

Doubles = NDArray[np.float64]
Kind = Literal["relative bias", "rotary"]

TOLERANCE = 1e-4
"""How far a model's own bias may differ from the recorded one, relative to its largest value."""


@dataclass(frozen=True, eq=False)
class Split:
    """One query's logits in one layer, per head, over the keys it is compared with: content + position + mask = logits.

    Keys are the layer's tokens, or the slots of the query's window. All four are heads×keys, float64 (sums of float32
    parts), in logits: a difference of 1 is a factor of e in attention.
    """

    layer: str
    kind: Kind
    subject: str
    """Whose logits, in words."""
    content: Doubles
    position: Doubles
    mask: Doubles
    """0, or −100 for keys of another region of the window (−inf where a model excludes keys)."""
    logits: Doubles
    """The input of the model's softmax."""
    keys: NDArray[np.int64]
    """The token of each key; −1 for a slot of padding."""
    shape: tuple[int, int]
    """Rows and columns of the keys: the patch grid, or the window."""
    prefix: tuple[str, ...]
    """The names of the first keys, which have no position."""
    place: tuple[int, int] | None
    """The query's own cell in `shape`; None for a prefix token."""

    @property
    def attention(self) -> Doubles:
        """heads×keys: the softmax of the logits."""
        return softmax(self.logits)

    def picture(self, values: Doubles, head: int | None = None) -> Doubles:
        """rows×columns of `shape` from heads×keys: one head, or the mean of all heads; NaN where there is only padding."""
        chosen = values.mean(0) if head is None else values[head]
        cells = np.where(self.keys < 0, np.nan, chosen)[len(self.prefix) :]
        return cells.reshape(self.shape)


def split(trace: Trace, layer: int | str = -1, query: Query = None) -> Split:
    """Content, position and mask of one query's logits in one layer.

    `query`: a patch (row, column) of the finest grid, a prefix token's name, or None for a readout of one token. Raises
    MethodError where the layer's position information is not in its logits, or the query is not one token that attends.
    """
    chosen = find_layer(trace, layer)
    _, slot, window = _row(trace, chosen, query)
    kind = kind_of(trace, chosen)
    logits, operation = _logits(trace, chosen, slot, window, kind)
    heads, keys = logits.shape
    mask = np.zeros((heads, keys))
    windows = chosen.layout.windows
    if windows is not None:
        mask += np.where(windows.masked(window)[slot], MASKED, 0.0)
    if kind == "rotary":
        position = logits - _unrotated(trace, chosen, operation, slot)
    else:
        excluded = np.isneginf(logits)
        mask[excluded] = -np.inf
        position = position_bias(trace, chosen)[:, slot].astype(np.float64)
        logits = np.where(excluded, -np.inf, logits)
    with np.errstate(invalid="ignore"):
        content = logits - position - mask
    content = np.nan_to_num(content, nan=0.0)
    return _made(trace, chosen, query, kind, content, position, mask, logits)


def _made(
    trace: Trace,
    chosen: Layer,
    query: Query,
    kind: Kind,
    content: Doubles,
    position: Doubles,
    mask: Doubles,
    logits: Doubles,
) -> Split:
    token, slot, window = _row(trace, chosen, query)
    grid, windows, keys = chosen.layout.patches, chosen.layout.windows, position.shape[1]
    return Split(
        layer=chosen.name,
        kind=kind,
        subject=describe(trace, query, chosen),
        content=content,
        position=position,
        mask=mask,
        logits=logits,
        keys=np.arange(keys, dtype=np.int64) if windows is None else windows.index[window],
        shape=(grid.rows, grid.cols) if windows is None else windows.size,
        prefix=chosen.layout.prefix if windows is None else (),
        place=chosen.layout.place(token)
        if windows is None
        else (slot // windows.size[1], slot % windows.size[1]),
    )


def kind_of(trace: Trace, layer: Layer) -> Kind:
    """How positions enter a layer's logits. Raises MethodError where they do not, with the reason."""
    if own_bias(trace, layer) is not None:
        return "relative bias"
    if "rotary" in trace.position_embedding.kinds and not layer.pooling:
        return "rotary"
    told = trace.position_embedding.sentence
    if any(kind.endswith("table") for kind in trace.position_embedding.kinds):
        raise MethodError(
            f"{trace.model.name} adds its table of positions to the tokens before the first layer, so inside the logits of "
            f"{layer.name} position is mixed with content; look at the table itself."
        )
    raise MethodError(f"The logits of {layer.name} hold no position of their own ({told}).")


def position_bias(trace: Trace, layer: int | str | Layer = -1) -> NDArray[np.float32]:
    """The bias that a layer adds to its logits, heads×n×n: query by key, over all tokens or the slots of any window.

    Raises MethodError where a layer has none, or where the module's bias is not the one that was recorded.
    """
    chosen = layer if isinstance(layer, Layer) else find_layer(trace, layer)
    own = own_bias(trace, chosen)
    if own is None:
        kind_of(trace, chosen)  # raises where there is no bias, with what there is instead
        raise MethodError(f"{chosen.name} adds no position bias: its positions rotate queries and keys.")
    bias = own.float().cpu().numpy()
    recorded = chosen.operations[0].bias
    if recorded is not None:
        windows = chosen.layout.windows
        seen = recorded.expand(chosen.operations[0].shape)[0].float().cpu().numpy()
        expected = bias if windows is None else bias + np.where(windows.masked(0), np.float32(MASKED), 0)
        if not np.allclose(seen, expected, rtol=0, atol=TOLERANCE * max(1.0, float(np.abs(bias).max()))):
            raise MethodError(
                f"The bias that {chosen.name} adds is not the one of its own table, so it cannot be split."
            )
    return bias


def own_bias(trace: Trace, layer: Layer) -> Tensor | None:
    """The position bias of a layer's own module, heads×n×n; None if it adds none."""
    if layer.pooling or len(layer.modules) != 1 or layer.arrangement is not None:
        return None  # a module's own bias has the order of its own tokens
    module: Any = trace.model.module
    attending: Any = module.get_submodule(layer.operations[0].module)
    with torch.no_grad():
        parts = [part for part in (_local_bias(attending), _shared_bias(module)) if part is not None]
    if not parts:
        return None
    total = torch.stack([part.reshape(part.shape[-3:]).float() for part in parts]).sum(0)
    return total if total.shape[-1] == layer.operations[0].shape[3] else None


def _local_bias(attending: Any) -> Tensor | None:
    """The bias that an attention module makes itself, 1×heads×n×n."""
    if isinstance(getattr(attending, "relative_position_bias", None), nn.Module):  # Hugging Face's Swin
        return _tensor(attending.relative_position_bias())
    if getattr(attending, "rel_pos", None) is not None:  # timm's relpos
        return _tensor(attending.rel_pos.get_bias())
    if hasattr(attending, "get_relative_position_bias"):  # torchvision's Swin, both versions
        return _tensor(attending.get_relative_position_bias())
    if hasattr(attending, "_relative_positional_encodings"):  # timm's SwinV2-CR
        return _tensor(attending._relative_positional_encodings())
    if hasattr(
        attending, "cpb_mlp"
    ):  # timm's SwinV2, which has no function for it (Liu et al. 2022, equation 4)
        table = attending.cpb_mlp(attending.relative_coords_table).view(-1, attending.num_heads)
        index: Tensor = attending.relative_position_index
        bias = table[index.view(-1)].view(*index.shape, -1).permute(2, 0, 1)
        return (16 * torch.sigmoid(bias))[None]
    if getattr(attending, "relative_position_bias_table", None) is not None:  # timm's Swin and BEiT
        return _tensor(attending._get_rel_pos_bias())
    return None


def _shared_bias(module: Any) -> Tensor | None:
    """The bias that all layers of a model share: BEiT's or relpos'."""
    if getattr(module, "shared_rel_pos", None) is not None:
        return _tensor(module.shared_rel_pos.get_bias())
    shared = getattr(module, "rel_pos_bias", None)
    return _tensor(shared()) if isinstance(shared, nn.Module) else None


def _tensor(value: Any) -> Tensor:
    assert isinstance(value, Tensor)
    return value


def _row(trace: Trace, layer: Layer, query: Query) -> tuple[int, int, int]:
    """The query's token, its row in the operation, and its window (0 where there are none)."""
    if layer.pooling or layer.queries is not None or len(layer.modules) != 1:
        raise MethodError(f"In {layer.name} not every token has one row of logits, so none is split.")
    if layer.arrangement is not None:
        raise MethodError(f"{layer.name} has its tokens in an order of its own, so its logits are not split.")
    weights = trace.query_weights(layer, query)
    tokens = [] if weights is None else np.nonzero(weights)[0].tolist()
    if len(tokens) != 1:
        raise MethodError("Choose one patch, or one prefix token: only a single token's logits can be split.")
    token = int(tokens[0])
    if layer.layout.windows is None:
        return token, token, 0
    window, slot = layer.layout.windows.slot(token)
    return token, slot, window


def _logits(trace: Trace, layer: Layer, row: int, window: int, kind: Kind) -> tuple[Doubles, Operation]:
    """heads×keys: the softmax's input of one row; and the operation, for rotary with its queries and keys.

    Of attention that is not fused a trace has weights, and logits only where rows are short: other logits come from one
    more forward pass.
    """
    operation = layer.operations[0]
    if operation.query is not None:
        return _product(operation, row, window), operation
    if operation.logits is not None and kind != "rotary":
        return _array(operation.logits[window, :, row]), operation
    seen = replay(trace, layer, row, window)
    logits = _array(seen.logits)
    if kind == "rotary":
        operation = replace(
            operation, weights=None, logits=None, query=seen.query[None], key=seen.key[None], scale=1.0
        )
        if not np.allclose(
            _product(operation, row, 0), logits, rtol=0, atol=TOLERANCE * np.abs(logits).max()
        ):
            raise MethodError(
                f"The logits of {layer.name} are not its queries times its keys; they cannot be split."
            )
    return logits, operation


def _product(operation: Operation, row: int, window: int) -> Doubles:
    """heads×keys: the logits of one row from queries and keys."""
    assert operation.query is not None
    assert operation.key is not None
    logits = _products(operation.query[window, :, row], operation.key[window]) * operation.scale
    if operation.bias is not None:
        logits = logits + operation.bias.expand(operation.shape)[window, :, row].double().cpu()
    return logits.numpy()


def _products(query: Tensor, key: Tensor) -> Tensor:
    """heads×d and heads×keys×d to heads×keys, in float64."""
    return torch.einsum("hd,hkd->hk", query.double().cpu(), key.double().cpu())


def _array(values: Tensor) -> Doubles:
    return values.detach().double().cpu().numpy()


def _unrotated(trace: Trace, layer: Layer, operation: Operation, row: int) -> Doubles:
    """heads×keys: the logits of one row with queries and keys rotated back (Su et al. 2021; timm's kinds)."""
    assert operation.query is not None
    assert operation.key is not None
    module: Any = trace.model.module
    attending: Any = module.get_submodule(operation.module)
    rotation = _rotation(trace, layer, operation.module)
    first = int(attending.num_prefix_tokens)
    half = bool(getattr(attending, "rotate_half", False))
    query, key = (
        _rotated_back(part[0].double().cpu(), rotation, first, half)
        for part in (operation.query, operation.key)
    )
    return _product(replace(operation, query=query[None], key=key[None]), row, 0)


def _rotation(trace: Trace, layer: Layer, name: str) -> Tensor:
    """…×patches×2d: the sines and cosines that the model itself uses in a layer."""
    module: Any = trace.model.module
    grid = layer.layout.patches
    with torch.no_grad():
        rotation: Tensor = module.rope.get_embed(shape=[grid.rows, grid.cols])
    rotation = rotation.double().cpu()
    if rotation.ndim == 4:  # each block learned its own
        block = next(int(part) for part in name.split(".") if part.isdigit())
        rotation = rotation[block]
    sin, cos = rotation.chunk(2, -1)
    if rotation.shape[-2] != grid.rows * grid.cols or not torch.allclose(
        sin**2 + cos**2, torch.ones(1, dtype=sin.dtype), atol=1e-3
    ):
        raise MethodError(f"The rotation of {name} is not one per patch, so it cannot be undone.")
    return rotation


def _rotated_back(vectors: Tensor, rotation: Tensor, first: int, half: bool) -> Tensor:
    """heads×N×d turned by the opposite angles; the `first` tokens were not turned."""
    sin, cos = rotation.chunk(2, -1)
    turned = vectors[:, first:]
    if half:
        one, two = turned.chunk(2, -1)
        quarter = torch.cat([-two, one], -1)
    else:
        quarter = torch.stack([-turned[..., 1::2], turned[..., ::2]], -1).reshape(turned.shape)
    # exact for rotations; dividing by sin² + cos² corrects the rounding of their length
    back = (turned * cos - quarter * sin) / (sin**2 + cos**2)
    return torch.cat([vectors[:, :first], back], 1)
