"""The window of a model with a single class, of one whose outputs are no classes, and of models without logits."""

import pytest
import timm
import torch
import user_input
from proof_models import DATA, DIM, Block, HandWritten
from steps import opened, show
from torch import Tensor, nn

from vitviz.models.loading import load_model


class Out(HandWritten):
    """A ViT whose last linear map does not say what it gives."""

    def __init__(self, width: int) -> None:
        super().__init__(Block(), Block())
        self.out = nn.Linear(DIM, width)
        del self.head

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.blocks(self.tokens(x)))[:, 0])


def everything_said(panel) -> str:
    rows = panel.list.rows
    bars = [f"{bar.name} {bar.percent} {bar.tip}" for bar in rows.bars]
    return " ".join([panel.shown().caption, panel.target.whole, *bars])


def test_outputs_that_are_no_classes_are_listed_with_their_values(window, qtbot, photo):
    torch.manual_seed(0)
    show(window, qtbot, photo, load_model(Out(40), device="cpu", data=DATA))
    trace = window.session.trace
    panel = opened(window, qtbot, "predictions")
    said = everything_said(panel)
    assert "%" not in said
    assert "largest of 40 outputs" in said
    best = int(trace.logits.argmax())
    assert panel.shown().classes[0] == best
    assert panel.list.rows.bars[0].percent == f"{trace.logits[best]:.3g}"
    user_input.press(window, "4")
    qtbot.waitUntil(lambda: window.session.heatmap.method == "relevance", timeout=20_000)
    assert f"output {best}" in window.status.where.whole
    assert "%" not in window.status.where.whole
    assert window.tools.target.text() == f"explains output {best} (largest output)"
    faith = opened(window, qtbot, "faithfulness")
    qtbot.waitUntil(lambda: bool(faith.store.scores), timeout=60_000)
    assert faith.shown().caption.startswith(f"Output of “output {best}”")
    lens = opened(window, qtbot, "lens")
    assert "no classes, so its outputs have no probabilities" in lens.empty.hint.text()


def test_a_single_class_is_shown_by_its_logit(window, qtbot, photo):
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", img_size=64, patch_size=16, depth=2, num_classes=1)
    nn.init.normal_(module.head.weight)
    show(window, qtbot, photo, load_model(module, device="cpu"))
    trace = window.session.trace
    panel = opened(window, qtbot, "predictions")
    said = everything_said(panel)
    assert "A single class, whose probability by softmax is always 1: its logit is shown" in said
    assert f"class 0 logit {trace.logits[0]:.3g}" in said
    assert "%" not in said
    faith = opened(window, qtbot, "faithfulness")
    qtbot.waitUntil(lambda: bool(faith.store.scores), timeout=60_000)
    assert faith.shown().caption.startswith("Logit of “class 0”")


def bare(kind: str) -> nn.Module:
    import transformers as hf

    wide = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 112}
    torch.manual_seed(0)
    if kind == "DINOv2":
        return hf.Dinov2Model(hf.Dinov2Config(**wide, patch_size=16)).eval()
    return hf.CLIPVisionModel(hf.CLIPVisionConfig(**wide, patch_size=16, intermediate_size=96)).eval()


@pytest.mark.parametrize("kind", ["DINOv2", "CLIP"])
def test_a_model_without_logits_shows_what_needs_no_class_and_says_what_is_missing(
    window, qtbot, photo, kind
):
    show(window, qtbot, photo, load_model(bare(kind), device="cpu"))
    session = window.session
    qtbot.waitUntil(lambda: session.check.proved, timeout=30_000)
    for key, method in (("1", "attention"), ("2", "rollout")):
        user_input.press(window, key)
        qtbot.waitUntil(lambda method=method: session.heatmap.method == method, timeout=20_000)
    reasons = session.methods()
    classes = [name for name, reason in reasons.items() if reason is not None]
    assert classes == ["gradient_rollout", "relevance", "gradient_attention", "gradcam", "input_gradient"]
    missing = "because it gives an embedding of 48 numbers and has no classifier"
    assert all(missing in reasons[name] for name in classes)
    panel = opened(window, qtbot, "predictions")
    assert "an embedding of 48 numbers, not classes" in panel.empty.hint.text()
    assert "no classifier" in opened(window, qtbot, "faithfulness").empty.hint.text()
    assert "no classifier" in opened(window, qtbot, "lens").empty.hint.text()
    for name in ("heads", "layers", "tokens", "statistics", "patches"):
        assert opened(window, qtbot, name).shown().facts is not None, name
