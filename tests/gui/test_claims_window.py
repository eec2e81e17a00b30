"""A claim that fails refuses, in the window too, the methods and panels that need it, with the reason, and nothing else."""

from collections.abc import Callable

import numpy as np
import pytest
import user_input
from proof_models import DATA, Attention, Block, HandWritten, mirrored, over_heads, timm_vit
from steps import opened, show
from timm.models.vision_transformer import VisionTransformer
from torch import nn

import vitviz
from vitviz.explain.registry import METHODS
from vitviz.models.loading import load_model

COMPOSED = {"rollout", "gradient_rollout", "relevance"}
FAILING: dict[str, tuple[Callable[[], nn.Module], str, bool]] = {
    "shares": (
        lambda: HandWritten(Block(), Block(Attention(over_heads)), Block()),
        "rows of blocks.1.attn are not shares",
        True,
    ),
    "order": (
        lambda: HandWritten(*(Block(residual=False) for _ in range(3))),
        "blocks.2.attn reads nothing of what blocks.0.attn gave",
        False,
    ),
}


@pytest.mark.parametrize("claim", FAILING)
def test_methods_that_need_the_claim_are_refused_with_the_reason(window, qtbot, photo, claim):
    make, sentence, has_lens = FAILING[claim]
    show(window, qtbot, photo, load_model(make(), device="cpu", data=DATA))
    session = window.session
    assert window.status.badge.text().startswith("4 of 5 claims proved")
    user_input.click(window.status.badge)  # opens the details
    user_input.press(window, "Esc")
    for number, method in enumerate(METHODS, start=1):
        user_input.press(window, str(number))
        if method.name in COMPOSED:
            assert sentence in session.methods()[method.name]
            assert session.view.method not in COMPOSED
            continue
        assert session.view.method == method.name
        qtbot.waitUntil(
            lambda name=method.name: session.heatmap is not None and session.heatmap.method == name,
            timeout=20_000,
        )
        expected = vitviz.explain(
            session.trace, method.name, **({"layer": -1} if method.takes("layer") else {})
        )
        np.testing.assert_array_equal(session.heatmap.values, expected.values)
    lens = opened(window, qtbot, "lens")
    assert lens.empty.isVisible() != has_lens
    assert has_lens or sentence in lens.empty.hint.text()
    layers = opened(window, qtbot, "layers")
    assert layers.shown().facts is not None
    faith = opened(window, qtbot, "faithfulness")
    qtbot.waitUntil(lambda: bool(faith.store.scores), timeout=60_000)


def test_without_place_no_map_is_drawn_and_the_notice_says_why(window, qtbot, photo):
    module = timm_vit(mirrored(VisionTransformer))
    window.session.open(photo=photo, model=load_model(module, device="cpu", data=DATA))
    qtbot.waitUntil(lambda: window.notice.isVisible(), timeout=60_000)
    assert window.session.trace is None
    assert window.session.heatmap is None
    said = window.notice.sentence.text()
    assert "in blocks.0.attn query 1 comes from patch (0, 6)" in said
    assert "wrap it in an nn.Module of your own" in said
