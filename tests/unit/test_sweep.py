"""Every timm model in scope is proved, and some of the others are shown or refused; `pytest -m sweep` writes the table.

A line for each model stands in build/sweep-…/models.csv, and a summary beside it. What is there is not run again, so that
a sweep that was stopped goes on; remove the folder to begin again.
"""

import re

import pytest
import timm
from sweeping import CLAIMS, row_of, summarise
from test_kinds import KINDS

from vitviz.models.catalog import SCOPE
from vitviz.models.model_table import known_models

COST = {model.architecture: model.parameters * model.tokens for model in known_models().values()}
IN_SCOPE = sorted(
    ((module, name) for module in SCOPE for name in timm.list_models(module=module)),
    key=lambda one: COST.get(one[1], 0),
)
"""(timm module, name), the cheapest first, so that a sweep that was stopped has most of them."""

DIFFERENTIAL = (
    "vit_dlittle_patch16_reg1_gap_256",
    "vit_dpwee_patch16_reg1_gap_256",
    "vit_dwee_patch16_reg1_gap_256",
)
"""Models that subtract one map from another."""

OVERLAP, WHOLE = "tokens of .* overlap: .* so none is one patch", "depends on the whole photo"
POOLED, MIXED = "over .* keys, which are pooled", "influence each other in a way that vitviz does not record"
CHANNELS, NO_PRODUCT = "attends over channels", "softmax in .* is not followed by a product"
OTHERS = {
    "botnet26t_256": OVERLAP,
    "caformer_s18": OVERLAP,
    "coat_lite_tiny": WHOLE,
    "coat_tiny": WHOLE,
    "coatnet_nano_rw_224": OVERLAP,
    "convit_tiny": NO_PRODUCT,
    "cpubone_b0_bfrobust": WHOLE,
    "crossvit_9_240": "hold parts of several of the 20×20 patches",
    "csatv2": OVERLAP,
    "davit_tiny": OVERLAP,
    "edgenext_xx_small": CHANNELS,
    "efficientformer_l1": WHOLE,
    "efficientformerv2_s0": OVERLAP,
    "efficientvim_m1": NO_PRODUCT,
    "efficientvit_m0": NO_PRODUCT,
    "fastvit_sa12": WHOLE,
    "gcvit_xxtiny": OVERLAP,
    "halonet26t": OVERLAP,
    "hiera_tiny_224": OVERLAP,
    "hieradet_small": OVERLAP,
    "iformer_t": OVERLAP,
    "levit_128s": OVERLAP,
    "lowformer_b0": WHOLE,
    "maxvit_rmlp_pico_rw_256": OVERLAP,
    "mobilevit_xxs": OVERLAP,
    "mobilevitv2_050": NO_PRODUCT,
    "mvitv2_small_cls": POOLED,
    "mvitv2_tiny": POOLED,
    "nest_tiny": MIXED,
    "nextvit_small": POOLED,
    "pvt_v2_b0": POOLED,
    "resnet50_clip": WHOLE,
    "samvit_base_patch16_224": "",
    "shvit_s1": NO_PRODUCT,
    "tiny_vit_5m_224": OVERLAP,
    "tnt_s_patch16_224": OVERLAP,
    "twins_pcpvt_small": POOLED,
    "twins_svt_small": MIXED,
    "visformer_tiny": OVERLAP,
    "vitamin_small_224": "",
    "volo_d1_224": OVERLAP,
    "xcit_nano_12_p16_224": CHANNELS,
}
"""Models of timm's other modules that attend → why they are refused; empty where they are shown."""


@pytest.mark.sweep
@pytest.mark.parametrize("name", OTHERS)
def test_other_models_are_shown_or_refused_with_the_reason(name: str) -> None:
    row = row_of(name)
    summarise()
    if OTHERS[name]:
        assert re.match(f"refused: .*{OTHERS[name]}", row["verdict"]), row["verdict"]
        return
    assert row["verdict"] == "exact"
    assert all(row[claim].startswith("holds") for claim in CLAIMS)


@pytest.mark.sweep
@pytest.mark.parametrize(("module", "name"), IN_SCOPE, ids=[name for _, name in IN_SCOPE])
def test_every_model_in_scope_is_proved(module: str, name: str) -> None:
    row = row_of(name)
    summarise()
    assert row["verdict"] == "exact"
    for claim in CLAIMS:
        no_shares = claim == "shares" and (module == "cait" or name in DIFFERENTIAL)
        assert row[claim].startswith("fails" if no_shares else "holds"), row[claim]


@pytest.mark.sweep
def test_the_sweep_covers_what_is_in_scope() -> None:
    names = {name for _, name in IN_SCOPE}
    assert timm.__version__ != "1.0.31" or len(names) == 348
    assert set(KINDS) <= names
