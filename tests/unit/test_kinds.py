"""One model of each kind passes the self-check; `pytest -m sweep` takes every model in scope (see `test_sweep`)."""

import pytest

import vitviz
from vitviz.attention.model_check import check_model
from vitviz.models.random_weights import random_module

KINDS = [
    "vit_tiny_patch16_224",
    "vit_small_patch14_reg4_dinov2",
    "vit_base_patch16_siglip_224",
    "vit_base_patch16_siglip_gap_224",
    "vit_base_patch16_clip_quickgelu_224",
    "vit_base_patch16_xp_224",
    "vit_base_patch16_rpn_224",
    "vit_small_patch16_18x2_224",
    "vit_dpwee_patch16_reg1_gap_256",
    "aimv2_large_patch14_224",
    "beit3_base_patch16_224",
    "flexivit_small",
    "vit_base_patch16_radio_v3",
    "deit_tiny_distilled_patch16_224",
    "deit3_small_patch16_224",
    "vit_relpos_base_patch16_clsgap_224",
    "vit_srelpos_small_patch16_224",
    "vit_tiny_r_s16_p8_224",
    "vit_base_mci_224",
    "swin_tiny_patch4_window7_224",
    "swin_s3_tiny_224",
    "swinv2_tiny_window8_256",
    "swinv2_cr_tiny_ns_224",
    "beit_base_patch16_224",
    "beitv2_base_patch16_224",
    "eva02_tiny_patch14_224",
    "vit_small_patch16_dinov3",
    "vit_base_patch16_rope_mixed_ape_224",
    "vit_pe_core_tiny_patch16_384",
    "vit_base_patch16_sapiens2",
    "cait_xxs24_224",
    "pit_ti_distilled_224",
    "naflexvit_base_patch16_gap",
    "naflexvit_base_patch16_map",
    "naflexvit_base_patch16_parfac_gap",
]
SMALLER = {"vit_base_patch16_sapiens2": (256, 192)}
"""Other input sizes than the model's own in the normal run; the sweep takes its own, of 3,072 patches."""


@pytest.mark.parametrize("name", KINDS)
def test_one_of_each_kind_is_exact(name: str) -> None:
    module = random_module(name, 2)
    report = check_model(vitviz.load_model(module, device="cpu", image_size=SMALLER.get(name)))
    assert report.exact, report.reason
    assert 0 <= report.worst <= 1e-5
    assert report.logits_error == 0  # bit for bit
    heatmap = vitviz.explain(report.trace, "attention")
    patches = report.trace.layers[-1].layout.patches
    assert heatmap.values.shape == (patches.rows, patches.cols)
