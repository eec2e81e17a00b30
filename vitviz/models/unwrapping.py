"""The module inside wrappers that hide it from observation, and modules that cannot be observed at all."""

from typing import Any

import torch
from torch import nn

from vitviz.errors import ModelError


def unwrapped(module: nn.Module) -> nn.Module:
    """A module without torch.compile, DataParallel and DistributedDataParallel around it or around parts of it.

    The given module is not changed: modules that hold a wrapped part are copied, and all other parts and all parameters are
    the very same.
    """
    return _unwrapped(module, {})


def _unwrapped(module: nn.Module, known: dict[int, nn.Module]) -> nn.Module:
    if id(module) in known:
        return known[id(module)]
    inner = _inner(module)
    if inner is not None:
        plain = _unwrapped(inner, known)
    elif isinstance(module, torch.jit.ScriptModule):
        plain = module
    else:
        children = {
            name: None if child is None else _unwrapped(child, known)
            for name, child in module._modules.items()
        }
        same = all(child is module._modules[name] for name, child in children.items())
        plain = module
        if not same or module._compiled_call_impl is not None:
            plain = module.__new__(type(module))
            plain.__dict__ = module.__dict__ | {"_modules": children}
            plain.__dict__.pop("_compiled_call_impl", None)
    known[id(module)] = plain
    return plain


def _inner(module: nn.Module) -> nn.Module | None:
    """What a wrapper wraps; None for a module that is no wrapper."""
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return module._modules["module"]
    return module._modules["_orig_mod"] if type(module).__name__ == "OptimizedModule" else None


def require_observable(source: Any) -> None:
    """Raise ModelError for what runs outside Python, for what has no weights, and for what is no module."""
    name, what = type(source).__name__, "pass the nn.Module that it was made from"
    if isinstance(source, torch.export.ExportedProgram):
        raise ModelError(
            f"This is a program made by torch.export, in which attention is not to be seen; {what}."
        )
    if not isinstance(source, nn.Module):
        raise ModelError(f"A model is a name, a file, a folder or an nn.Module; this is a {name}.")
    if isinstance(source, torch.jit.ScriptModule):
        raise ModelError(
            f"This is a TorchScript module (torch.jit.script or trace), in which attention is not to be seen; {what}."
        )
    if is_exported(source):
        raise ModelError(
            f"This is a graph made by torch.export, in which attention is not to be seen; {what}."
        )
    rounded = next((key for key, part in source.named_modules() if _is_quantised(part)), None)
    if rounded is not None:
        raise ModelError(
            f"{name} is quantised ({rounded}): all its tokens are rounded by one scale, so a token changes with "
            "the others and its place cannot be read. Pass the module as it was before."
        )
    tensors = (*source.named_parameters(), *source.named_buffers())
    empty = next((key for key, tensor in tensors if tensor.is_meta), None)
    if empty is not None:
        raise ModelError(
            f"{name} has no weights: {empty} is on the meta device. Load its weights first (to_empty, then load_state_dict)."
        )


def _is_quantised(module: nn.Module) -> bool:
    home = type(module).__module__
    return home.startswith("torch.ao.nn.") and ".quantized" in home


def is_exported(module: nn.Module) -> bool:
    """Whether a module is a graph of torch's innermost operations, which have no functions of attention."""
    graph = getattr(module, "graph", None) if isinstance(module, torch.fx.GraphModule) else None
    return graph is not None and any(isinstance(node.target, torch._ops.OpOverload) for node in graph.nodes)


def unseen_part(module: nn.Module) -> str | None:
    """The name of the first part that runs outside Python; None if all of it can be observed."""
    parts = module.named_modules()
    return next(
        (name for name, part in parts if isinstance(part, torch.jit.ScriptModule) or is_exported(part)), None
    )
