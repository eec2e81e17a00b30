"""A module whose tokens differ each time it is run on one picture is refused with that reason."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers as hf
from proof_models import DATA, GRID, Block, HandWritten, Wrapped, timm_vit
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

import vitviz
from vitviz.attention.model_check import noise
from vitviz.attention.trace import Trace
from vitviz.errors import RefusedError

PATCHES = GRID * GRID
SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96}


def traced(module: nn.Module) -> Trace:
    return vitviz.trace(vitviz.load_model(module, device="cpu", data=DATA), noise(DATA.input_size))


def masked(ratio: float) -> nn.Module:
    torch.manual_seed(0)
    return hf.ViTMAEModel(hf.ViTMAEConfig(**SMALL, image_size=112, patch_size=16, mask_ratio=ratio)).eval()


@pytest.mark.parametrize("ratio", [0.75, 0.5, 0.0])
@pytest.mark.parametrize("wrap", [lambda module: module, Wrapped])
def test_a_masked_autoencoder_is_refused_with_what_it_does_to_its_patches(
    ratio: float, wrap: Callable[[nn.Module], nn.Module]
) -> None:
    with pytest.raises(RefusedError) as caught:
        traced(wrap(masked(ratio)))
    said = caught.value.message
    # Which token is the first that differs is random.
    assert re.search(
        r"layers\.0\.attention gets other tokens each time, the first is token \d+: its patches are shuffled",
        said,
    )
    assert (f"{ratio:.0%} of them dropped (mask_ratio={ratio})" in said) == (ratio > 0)
    assert "channels" not in said
    assert said.endswith("noise=torch.arange(N)[None] for its N patches.")


@pytest.mark.parametrize("order", [torch.arange(PATCHES), torch.arange(PATCHES).flip(0)])
def test_a_masked_autoencoder_that_keeps_its_patches_is_shown_as_the_sentence_says(order: Tensor) -> None:
    class Ordered(Wrapped):
        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x, noise=order[None].float()).last_hidden_state

    module = Ordered(masked(0.0))
    trace = traced(module)
    assert trace.check.claim("place").holds
    module.inner.set_attn_implementation("eager")
    pixels = torch.from_numpy(trace.framing.apply(trace.photo))[None]
    with torch.no_grad():
        seen = module.inner(pixels, noise=order[None].float(), output_attentions=True).attentions
    places = np.r_[0, 1 + order.argsort().argsort().numpy()]
    for layer, weights in zip(trace.layers, seen, strict=True):
        expected = weights[0].numpy()[:, places][:, :, places]
        np.testing.assert_allclose(layer.attention(), expected, atol=1e-5)


class Dropping(HandWritten):
    """Dropout of the functional kind, which is on in eval mode too."""

    def tokens(self, x: Tensor) -> Tensor:
        return F.dropout(super().tokens(x), 0.1)


class Shuffling(HandWritten):
    def tokens(self, x: Tensor) -> Tensor:
        x = super().tokens(x)
        return torch.cat([x[:, :1], x[:, torch.randperm(PATCHES) + 1]], 1)


class Noisy(VisionTransformer):
    """Noise is added to the photo."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + torch.randn_like(x) * 0.1)


class LateNoise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.1)


KINDS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "dropout": (Dropping, "on the same picture blocks.0.attn gets other tokens each time"),
    "shuffled": (
        Shuffling,
        "on the same picture blocks.0.attn gets other tokens each time, the first is token ",
    ),
    "noise, timm": (lambda: timm_vit(Noisy), "on the same picture blocks.0.attn gets other tokens each time"),
    "dropout between layers": (
        lambda: HandWritten(Block(), LateNoise(), Block()),
        "on the same picture blocks.2.attn gets other tokens each time",
    ),
    "dropout behind the last": (
        lambda: HandWritten(Block(), Block(), LateNoise()),
        "on the same picture what is behind blocks.1.attn has other tokens each time",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_random_in_eval_mode_is_said(kind: str) -> None:
    make, said = KINDS[kind]
    with pytest.raises(RefusedError, match=f"{said}.*Turn off what is random"):
        traced(make())
