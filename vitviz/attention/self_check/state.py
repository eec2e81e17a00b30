"""What a proof was made of: whether weights, hooks, precision or mode of a module have changed since."""

from torch import nn

State = tuple[int, ...]


def state_of(module: nn.Module) -> State:
    """Numbers that change when a module's weights are written into or replaced, when hooks come or go, or its mode does.

    Costs no look at the weights themselves: writes through `.data` or NumPy leave no trace.
    """
    written = where = hooks = training = forwards = 0
    for child in module.modules():
        hooks += len(child._forward_hooks) + len(child._forward_pre_hooks)
        training += child.training
        forwards += id(vars(child).get("forward"))
        for tensors in (child._parameters, child._buffers):
            for tensor in tensors.values():
                if tensor is not None:
                    written += tensor._version
                    where ^= hash((tensor.data_ptr(), tensor.dtype))
    return written, where, hooks, training, forwards


def training(module: nn.Module) -> str | None:
    """The name of the first module in train mode, "" for the whole; None if all are in eval mode."""
    return next((name for name, child in module.named_modules() if child.training), None)
