"""The model as the other packages use it: a network with its data config, labels and origin."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from vitviz.images.framing import DataConfig
from vitviz.models.outputs import Outputs
from vitviz.models.pass_lock import PassLock, lock_of


@dataclass(frozen=True, eq=False)
class Model:
    """A network in eval mode on its device, with its data config, labels and where its weights came from.

    Made by `vitviz.models.loading.load_model`; `vitviz.models.sizes.at_size` gives the same weights at another size.
    """

    module: nn.Module = field(repr=False)
    """Takes (batch, 3, height, width), normalised; gives (batch, classes) or an object with `.logits`."""
    name: str
    """Shown to the user."""
    architecture: str | None
    """timm's name without the tag; None for a module that timm did not make."""
    weights: str
    """Where the weights came from, as a part of a sentence: "pretrained, from the local cache"."""
    device: torch.device
    data: DataConfig
    labels: tuple[str, ...] = field(repr=False)
    """One name per class, or per output that is no class; empty for an embedding and for tokens only."""
    outputs: Outputs = "classes"
    """What the numbers are that it answers with; see `load_model`."""
    stored_position: torch.Tensor | None = field(default=None, repr=False)
    """The position table as it was stored, before resizing to the input size; None where there is no such table."""
    stored_grid: tuple[int, int] | None = None
    """Rows and columns of `stored_position` if `at_size` has resized the table since; otherwise None."""
    own_input_size: tuple[int, int] | None = None
    """(height, width) in pixels that the weights were made for, if `at_size` has changed it since; otherwise None."""
    lock: PassLock = field(init=False, repr=False)
    """Held for each forward pass of vitviz's own; all models of one module have the same, at every input size."""
    kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    """Results computed from this model, by name; freed with it. A copy of the model has none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "lock", lock_of(self.module))

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) in pixels of what the model sees."""
        return self.data.input_size

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights, which is the precision of the input."""
        for parameter in self.module.parameters():
            if parameter.is_floating_point():
                return parameter.dtype
        return torch.float32

    @property
    def precision(self) -> str:
        """The name of `dtype`: "float32", "bfloat16"."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def full_name(self) -> str:
        """The name as it stands beside results, with the precision where that is not float32: "vit (bfloat16)"."""
        return self.name if self.dtype == torch.float32 else f"{self.name} ({self.precision})"

    @property
    def quantity(self) -> str:
        """What an output is measured in: "probability" by softmax over several classes; the "logit" of a single class, whose
        probability by softmax is always 1; "output" for numbers that are no classes.
        """
        if self.outputs != "classes":
            return "output"
        return "logit" if len(self.labels) == 1 else "probability"

    @property
    def noun(self) -> str:
        """What one of its outputs is called: "class" or "output"."""
        return "class" if self.outputs == "classes" else "output"

    def score_text(self, score: float) -> str:
        """A number in `quantity` as text: "41.4%", "logit 2.31", "2.31"."""
        if self.quantity == "probability":
            return f"{score:.1%}"
        return f"logit {score:.3g}" if self.quantity == "logit" else f"{score:.3g}"

    @property
    def parameters(self) -> int:
        """How many numbers were learned."""
        return sum(parameter.numel() for parameter in self.module.parameters())
