"""Architectures of timm with random weights: for teaching, for shapes, and for checks without a download."""

from torch import nn

from vitviz.errors import ModelError


def random_module(name: str, depth: int | None = None) -> nn.Module:
    """A timm model with random weights, always the same ones, of at most `depth` blocks per stage."""
    import timm
    import torch

    if not timm.is_model(name.split(".")[0]):
        raise ModelError(f"timm has no model called “{name}”; `vitviz models` lists those in scope.")
    options = {} if depth is None else shallow(name, depth)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module: nn.Module = timm.create_model(name, pretrained=False, **options)
    return module


def shallow(name: str, depth: int) -> dict[str, int | tuple[int, ...]]:
    """The options that make timm build an architecture with at most `depth` blocks per stage, if it has such."""
    from vitviz.models.architectures import bare_module

    whole = bare_module(name)
    for attribute, option in (("layers", "depths"), ("stages", "depths"), ("transformers", "depth")):
        stages = getattr(whole, attribute, None)
        if stages is not None:
            return {option: tuple(min(depth, len(stage.blocks)) for stage in stages)}
    blocks = getattr(whole, "blocks", None)
    if (
        blocks is not None and "sapiens2" in name
    ):  # sets its key heads per block: one block of each kind is kept
        grouped = [block.attn.num_kv_heads for block in blocks]
        return {"depth": 2, "num_kv_heads": (max(grouped), min(grouped))}
    return {} if blocks is None else {"depth": min(depth, len(blocks))}
