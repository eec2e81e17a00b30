"""Each claim that fails alone refuses the maps that need it, on every surface, and no other map."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from proof_models import (
    DATA,
    DIM,
    Attention,
    Block,
    HandWritten,
    mirrored,
    over_heads,
    over_queries,
    scaled_in_place,
    strong,
    timm_vit,
)
from timm.models.vision_transformer import VisionTransformer
from torch import nn

import vitviz
from vitviz.attention.model_check import noise
from vitviz.attention.recording.recorder import Recording
from vitviz.attention.self_check.claims import NAMES
from vitviz.attention.trace import Trace
from vitviz.batch.evaluate import Scoring, score, settings_of
from vitviz.batch.export import ExportOptions, export_photo
from vitviz.batch.scores_table import ScoreTable
from vitviz.batch.subjects import predicted
from vitviz.errors import MethodError, RefusedError
from vitviz.explain.registry import METHODS

ALL = {method.name for method in METHODS}
COMPOSED = {"rollout", "gradient_rollout", "relevance"}
OF_A_QUERY = {method.name for method in METHODS if method.takes("query")}


def flattened() -> nn.Module:
    return HandWritten(Block(), Block(), read=lambda x: x.flatten(1), features=50 * DIM)


def corner() -> nn.Module:
    return HandWritten(Block(), Block(), read=lambda x: x[:, 8])


FAILING: dict[str, tuple[str, Callable[[], nn.Module], str, set[str]]] = {
    "softmax over heads": (
        "shares",
        lambda: HandWritten(Block(), Block(Attention(over_heads)), Block()),
        r"rows of blocks\.1\.attn are not shares: over its keys they sum to",
        COMPOSED,
    ),
    "softmax over queries": (
        "shares",
        lambda: HandWritten(Block(), Block(), Block(Attention(over_queries))),
        r"rows of blocks\.2\.attn are not shares: over its keys they sum to",
        COMPOSED,
    ),
    "no residual connection": (
        "order",
        lambda: HandWritten(*(Block(residual=False) for _ in range(3))),
        r"blocks\.2\.attn reads nothing of what blocks\.0\.attn gave",
        COMPOSED,
    ),
    "flattened tokens": (
        "readout",
        flattened,
        r"reads every patch in a way of its own .*; choose a patch or a token",
        OF_A_QUERY,
    ),
    "one corner": (
        "readout",
        corner,
        r"some of its patches only, the first is patch \(1, 0\); choose a patch or a token",
        OF_A_QUERY,
    ),
}


@pytest.fixture(scope="module", params=FAILING)
def failing(request: pytest.FixtureRequest) -> tuple[str, Trace, str, set[str]]:
    claim, make, sentence, refused = FAILING[request.param]
    torch.manual_seed(0)
    model = vitviz.load_model(make(), device="cpu", data=DATA)
    return claim, vitviz.trace(model, noise(DATA.input_size)), sentence, refused


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "noise.png"
    Image.fromarray(noise(DATA.input_size).pixels).save(path)
    return path


def test_one_claim_fails_and_the_others_hold(failing: tuple[str, Trace, str, set[str]]) -> None:
    claim, traced, _, _ = failing
    verdicts = {name: traced.check.claim(name).verdict for name in NAMES}
    assert verdicts == {name: "fails" if name == claim else "holds" for name in NAMES}


@pytest.mark.parametrize("method", sorted(ALL))
def test_what_needs_the_claim_is_refused_in_python(
    failing: tuple[str, Trace, str, set[str]], method: str
) -> None:
    claim, traced, sentence, refused = failing
    if method in refused:
        with pytest.raises(MethodError, match=sentence):
            vitviz.explain(traced, method)
    else:
        assert np.isfinite(vitviz.explain(traced, method).values).all()
    reason = vitviz.methods(traced)[method]
    assert (reason is not None) == (claim != "readout" and method in refused)  # a query can be chosen
    if claim == "readout" and method in refused:
        assert np.isfinite(vitviz.explain(traced, method, query=(2, 3)).values).all()


@pytest.mark.parametrize("method", sorted(ALL))
def test_what_needs_the_claim_is_refused_by_export(
    failing: tuple[str, Trace, str, set[str]], method: str, photo: Path, tmp_path: Path
) -> None:
    claim, traced, sentence, refused = failing
    picture = tmp_path / "map.png"
    if method in refused:
        with pytest.raises(MethodError, match=sentence):
            export_photo(photo, traced.model, ExportOptions(method), picture)
        assert not picture.exists()
    if method not in refused or claim == "readout":
        choices = {"query": (2, 3)} if method in refused else {}
        export_photo(photo, traced.model, ExportOptions(method, choices), picture)
        assert picture.exists()


def test_what_needs_the_claim_is_left_out_of_a_table_with_the_reason(
    failing: tuple[str, Trace, str, set[str]], photo: Path, tmp_path: Path
) -> None:
    _, traced, sentence, refused = failing
    scoring = Scoring(steps=2, orders=2)
    table = ScoreTable(tmp_path / "scores.csv", settings_of(traced.model, scoring))
    (subject,) = predicted([photo])
    rows = score(subject, traced.model, sorted(ALL), table, scoring)
    notes = {row.method: row.note for row in rows if row.method in ALL}
    assert {method for method, note in notes.items() if note} == refused
    for method in refused:
        assert re.search(sentence, notes[method])


def test_the_lens_and_units_follow_the_claims(failing: tuple[str, Trace, str, set[str]]) -> None:
    claim, traced, sentence, _ = failing
    if claim == "shares":
        assert vitviz.lens(traced).logits.shape[0] == 4
        units = {vitviz.explain(traced, "attention", layer=n, query=(0, 0)).unit for n in range(3)}
        assert units == {"share of attention", "weight"}
    else:
        with pytest.raises(MethodError, match=sentence):
            vitviz.lens(traced)


def hooked() -> nn.Module:
    module = timm_vit()
    module.register_forward_pre_hook(lambda _, inputs: (inputs[0].flip(-1),))
    return module


MISPLACED: dict[str, Callable[[], nn.Module]] = {
    "mirrored in forward": lambda: timm_vit(mirrored(VisionTransformer)),
    "mirrored by a hook": hooked,
}


@pytest.mark.parametrize("kind", MISPLACED)
def test_without_place_no_map_is_drawn_on_any_surface(kind: str, photo: Path, tmp_path: Path) -> None:
    model = vitviz.load_model(MISPLACED[kind](), device="cpu", data=DATA)
    sentence = r"in blocks\.0\.attn query 1 comes from patch \(0, 6\).* wrap it in an nn\.Module of your own"
    with pytest.raises(RefusedError, match=sentence):
        vitviz.trace(model, noise(DATA.input_size))
    traced = vitviz.trace(model, noise(DATA.input_size), refuse=False)
    failing = [name for name in NAMES if traced.check.claim(name).fails]
    assert failing == ["place"]
    for method in sorted(ALL):
        with pytest.raises(RefusedError, match=sentence):
            export_photo(photo, model, ExportOptions(method), tmp_path / "map.png")
    assert not list(tmp_path.iterdir())


def test_without_weights_no_map_is_drawn_on_any_surface(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Recording.add_fused

    def wrong(self: object, module: str, output: object, args: object, kwargs: dict[str, object]) -> None:
        right(self, module, output, args, kwargs | {"scale": 0.9})

    monkeypatch.setattr(Recording, "add_fused", wrong)
    model = vitviz.load_model(strong(timm_vit()), device="cpu", data=DATA)
    sentence = "cannot be shown: its recomputed attention is NOT exact, worst error"
    with pytest.raises(RefusedError, match=sentence):
        vitviz.trace(model, noise(DATA.input_size))
    for method in sorted(ALL):
        with pytest.raises(RefusedError, match=sentence):
            export_photo(photo, model, ExportOptions(method), tmp_path / "map.png")
    assert not list(tmp_path.iterdir())


def test_weights_that_are_changed_in_place_let_no_gradient_through_and_that_is_said() -> None:
    module = HandWritten(Block(), Block(Attention(scaled_in_place)))
    traced = vitviz.trace(vitviz.load_model(module, device="cpu", data=DATA), noise(DATA.input_size))
    assert vitviz.explain(traced, "attention").unit == "weight"
    for method in ("gradcam", "gradient_attention", "input_gradient"):
        with pytest.raises(MethodError, match=r"lets no gradient through.* changed in place"):
            vitviz.explain(traced, method)
