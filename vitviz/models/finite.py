"""Numbers that are not finite among a model's weights."""

import torch
from torch import nn


def not_finite(module: nn.Module) -> str | None:
    """The name of the first parameter or buffer that holds NaN or infinity; None if none does.

    A buffer of −∞ alone is a mask.
    """
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_floating_point() and not tensor.is_meta and not bool(torch.isfinite(tensor).all()):
            is_mask = not isinstance(tensor, nn.Parameter) and not bool(
                (tensor.isnan() | tensor.isposinf()).any()
            )
            if not is_mask:
                return name
    return None
