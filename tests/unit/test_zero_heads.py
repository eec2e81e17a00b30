"""A head whose weights are zero reads nothing, which is said as it is; and answers in whatever a module returns them."""

from collections import namedtuple
from collections.abc import Callable

import numpy as np
import pytest
import torch
from proof_models import CLASSES, DATA, GRID, Attention, Block, HandWritten, timm_vit, weighing
from torch import Tensor, nn

import vitviz
from vitviz.attention.model_check import noise
from vitviz.attention.trace import Trace
from vitviz.errors import MethodError

CLASS = "the class token"


def traced(module: nn.Module) -> Trace:
    return vitviz.trace(vitviz.load_model(module, device="cpu", data=DATA), noise(DATA.input_size))


def zeroed(module: nn.Module, *names: str) -> nn.Module:
    for name in names:
        part = module.get_submodule(name)
        nn.init.zeros_(part.weight)
        nn.init.normal_(part.bias)
    return module


def hugging_face() -> nn.Module:
    import transformers as hf

    small = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 96}
    config = hf.ViTConfig(**small, image_size=112, patch_size=16, num_labels=CLASSES)
    return zeroed(hf.ViTForImageClassification(config).eval(), "classifier")


ZERO: dict[str, tuple[Callable[[], nn.Module], bool]] = {
    "hand-written, class token": (lambda: zeroed(HandWritten(Block(), Block()), "head"), False),
    "hand-written, mean": (
        lambda: zeroed(HandWritten(Block(), Block(), read=lambda x: x[:, 1:].mean(1)), "head"),
        False,
    ),
    "timm, mean": (lambda: zeroed(timm_vit(global_pool="avg"), "head"), True),
    "Hugging Face": (hugging_face, True),
}


@pytest.mark.parametrize("kind", ZERO)
def test_a_zero_head_is_told_as_what_it_is(kind: str) -> None:
    make, library = ZERO[kind]
    trace = traced(make())
    claim = trace.check.claim("readout")
    assert claim.verdict == "not yet proved"
    assert claim.sentence == "What the model predicts does not depend on the photo: its head is zero."
    assert not trace.check.proved
    assert trace.check.claim("order").holds
    for method in ("attention", "rollout"):
        if library:  # what its class states is taken until it can be proved
            assert vitviz.explain(trace, method).total > 0
        else:
            with pytest.raises(MethodError, match="does not depend on the photo: its head is zero"):
                vitviz.explain(trace, method)
        assert vitviz.explain(trace, method, layer=0, query=(2, 3)).total > 0


def test_a_distilled_model_with_one_zero_head_is_read_from_the_other_token() -> None:
    from timm.models.deit import VisionTransformerDistilled

    trace = traced(zeroed(timm_vit(VisionTransformerDistilled), "head_dist"))
    assert trace.check.claim("readout").sentence == "The prediction is read from the class token."
    np.testing.assert_array_equal(
        vitviz.explain(trace, "attention").values, vitviz.explain(trace, "attention", query="class").values
    )


Answer = namedtuple("Answer", "logits attentions")


class Returning(HandWritten):
    """Registers behind the patches, and an answer that is not a tensor."""

    def __init__(self, answer: Callable[[Tensor, Tensor], object], **options: object) -> None:
        super().__init__(Block(), Block(Attention()), last=True, **options)
        self.answer = answer

    def forward(self, x: Tensor) -> object:
        tokens = self.norm(self.blocks(self.tokens(x)))
        return self.answer(self.head(self.read(tokens)), tokens)


@pytest.mark.parametrize(
    "answer",
    [lambda logits, tokens: (logits, tokens), lambda logits, tokens: Answer(logits, tokens)],
    ids=["a tuple", "a named tuple"],
)
@pytest.mark.parametrize("prefix", [1, 3])
def test_tokens_behind_the_patches_and_answers_beside_others_are_read(answer, prefix: int) -> None:
    torch.manual_seed(0)
    patches = GRID * GRID
    module = Returning(answer, prefix=prefix, read=lambda x: x[:, :patches].mean(1))
    trace = traced(module)
    assert trace.check.proved
    assert trace.readout.sentence == "the mean of the patches"
    with weighing(module) as seen:
        logits = module(torch.from_numpy(trace.framing.apply(trace.photo))[None])[0]
    np.testing.assert_allclose(trace.logits, logits[0].numpy(), rtol=1e-5)
    expected = seen[-1].mean(0)[:patches].mean(0)[:patches]
    heat = vitviz.explain(trace, "attention")
    np.testing.assert_allclose(heat.values.reshape(-1), expected.numpy(), atol=1e-6)
    first = Returning(answer, prefix=prefix, read=lambda x: x[:, patches])
    token = traced(first)
    assert len(token.readout.prefix) == 1
    with weighing(first) as seen:
        first(torch.from_numpy(token.framing.apply(token.photo))[None])
    heat = vitviz.explain(token, "attention")
    np.testing.assert_allclose(
        heat.values.reshape(-1), seen[-1].mean(0)[patches, :patches].numpy(), atol=1e-6
    )
