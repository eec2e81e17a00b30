"""Models of known libraries are traced at once and proved later: the same proof, which can be cancelled and withdrawn."""

import numpy as np
import pytest
import timm
import torch

import vitviz
from vitviz.attention.families import timm_vit
from vitviz.attention.layout import Layout
from vitviz.attention.trace import Cancelled, prove_claims, trace
from vitviz.errors import RefusedError
from vitviz.images.framing import PatchGrid
from vitviz.images.photo import photo_from_array

PHOTO = photo_from_array(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8), "noise")
SMALL = {"img_size": 64, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 5}


def small(kind=None):
    torch.manual_seed(0)
    module = timm.create_model("vit_tiny_patch16_224", **SMALL)
    if kind is not None:
        module.__class__ = kind
    return vitviz.load_model(module, device="cpu")


def verdicts(check):
    return {claim.name: claim.verdict for claim in check.claims}


def test_the_first_trace_is_not_proved_yet_and_the_proof_follows():
    model = small()
    first = trace(model, PHOTO, defer=True)
    waiting = dict.fromkeys(("place", "order", "readout"), "not yet proved")
    assert verdicts(first.check) == {"weights": "holds", "shares": "holds"} | waiting
    assert not first.check.proved
    assert vitviz.methods(first)["rollout"] is None  # of a known library, so its maps need not wait
    check = prove_claims(first)
    assert check.proved
    assert first.latest_check is check
    assert not first.check.proved
    assert trace(model, PHOTO, defer=True).check is check
    assert verdicts(trace(small(), PHOTO).check) == verdicts(check)  # what is proved at once is the same


def test_a_trace_that_may_not_wait_proves_what_an_earlier_one_left():
    model = small()
    assert not trace(model, PHOTO, defer=True).check.proved
    assert trace(model, PHOTO).check.proved


def test_a_class_of_ones_own_is_proved_before_its_first_map():
    class Own(timm.models.vision_transformer.VisionTransformer):
        pass

    assert trace(small(Own), PHOTO, defer=True).check.proved


def test_a_cancelled_proof_leaves_nothing_behind_and_can_begin_again():
    model = small()
    first = trace(model, PHOTO, defer=True)
    asked = []

    def cancel():
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Cancelled):
        prove_claims(first, cancel)
    assert not first.latest_check.proved
    assert (
        trace(model, PHOTO, defer=True).check is first.check
    )  # no hook is left, which would count as another model
    assert prove_claims(first).proved


def test_a_layout_that_is_not_the_models_is_found_and_refused(monkeypatch):
    def in_one_column(operation, patches, names):
        return Layout(PatchGrid(patches.rows * patches.cols, 1, patches.cell, patches.origin), names)

    monkeypatch.setattr(timm_vit, "plain_layout", in_one_column)
    first = trace(small(), PHOTO, defer=True)
    with pytest.raises(RefusedError, match="cannot be shown"):
        prove_claims(first)
    assert first.latest_check.claim("place").fails
    with pytest.raises(RefusedError, match="cannot be shown"):
        trace(first.model, PHOTO, defer=True)
