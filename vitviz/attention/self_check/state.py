"""What a proof was made of: whether weights, hooks, code, precision or mode of a module have changed since."""

from torch import nn

State = tuple[int, ...]


def state_of(module: nn.Module) -> State:
    """Numbers that change when a module's weights are written into or replaced, when hooks come or go, when its mode does,
    or when a class, a function or an attribute that is a word or a truth value is replaced.

    Costs no look at the weights themselves: writes through `.data` or NumPy leave no trace, and neither do writes into
    tensors that were made in inference mode, nor attributes that are numbers: a module may count its passes.
    """
    written = where = hooks = training = code = 0
    for child in module.modules():
        # A hook's number is its own: one in place of another is a change too.
        hooks += sum(map(hash, (*child._forward_hooks, *child._forward_pre_hooks))) + len(
            child._forward_hooks
        )
        training += child.training
        code += hash((id(type(child)), id(getattr(type(child), "forward", None))))
        for name, value in vars(child).items():
            if name[0] != "_" and (isinstance(value, str | bool) or callable(value)):
                code += hash((name, value if isinstance(value, str | bool) else id(value)))
        for tensors in (child._parameters, child._buffers):
            for tensor in tensors.values():
                if tensor is not None:
                    written += 0 if tensor.is_inference() else tensor._version
                    where ^= hash((tensor.data_ptr(), tensor.dtype))
    return written, where, hooks, training, code


def training(module: nn.Module) -> str | None:
    """The name of the first module in train mode, "" for the whole; None if all are in eval mode."""
    return next((name for name, child in module.named_modules() if child.training), None)
