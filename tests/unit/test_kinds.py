"""One model of each kind passes the self-check; `pytest -m sweep` takes every model in scope and writes the table."""

import csv
import gc
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
import timm
import torch
from torch.overrides import TorchFunctionMode

import vitviz
from vitviz.attention.model_check import CheckReport, check_model
from vitviz.models.catalog import SCOPE
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
HUGE = 250e6
"""Parameters above which the sweep keeps two blocks (of each stage): their blocks are all alike."""
REPOSITORY = Path(__file__).resolve().parents[2]


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


HEADER = [
    "model",
    "million parameters",
    "layers",
    "heads",
    "tokens",
    "prefix",
    "worst error",
    "methods",
    "verdict",
]


@cache
def results() -> Path:
    """build/sweep-…: a table per timm module, of this timm and of this code, so that a stopped sweep can go on."""
    code = sha256(
        b"".join(path.read_bytes() for path in sorted((REPOSITORY / "vitviz/attention").rglob("*.py")))
    )
    folder = REPOSITORY / "build" / f"sweep-timm-{timm.__version__}-{code.hexdigest()[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.sweep
@pytest.mark.parametrize("module", SCOPE)
def test_every_model_in_scope_is_exact(module: str) -> None:
    """Writes build/sweep-…/MODULE.csv, a line per model, and summary.md."""
    names = timm.list_models(module=module)
    target = results() / f"{module}.csv"
    done = {row[0]: row for row in csv.reader(target.open())} if target.exists() else {}
    with target.open("a", newline="") as file:
        writer = csv.writer(file)
        if not done:
            writer.writerow(HEADER)
        for name in names:
            if name not in done:
                done[name] = row_of(name)
                writer.writerow(done[name])
                file.flush()
    summarise()
    wrong = {name: done[name][-1] for name in names if done[name][-1] != "exact"}
    assert not wrong


@pytest.mark.sweep
def test_the_sweep_covers_what_is_in_scope() -> None:
    names = {name for module in SCOPE for name in timm.list_models(module=module)}
    assert timm.__version__ != "1.0.31" or len(names) == 348
    assert set(KINDS) <= names


def summarise() -> None:
    """A Markdown table of what the sweep has found so far, a line per timm module."""
    lines = ["| timm module | models | exact | worst error | rollout applies |", "|---|---|---|---|---|"]
    for table in sorted(results().glob("*.csv")):
        rows = list(csv.DictReader(table.open()))
        exact = sum(row["verdict"] == "exact" for row in rows)
        rolled = sum("rollout" in row["methods"].split() for row in rows)
        worst = max((float(row["worst error"]) for row in rows if row["worst error"]), default=float("nan"))
        lines.append(f"| {table.stem} | {len(rows)} | {exact} | {worst:.1e} | {rolled} |")
    (results() / "summary.md").write_text("\n".join(lines) + "\n")


class QuickRandom(TorchFunctionMode):
    """Skips the costly part of truncated normal numbers: weights stay random, of about the same size."""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        return args[0] if func is torch.Tensor.erfinv_ else func(*args, **(kwargs or {}))


def row_of(name: str) -> list[str]:
    with torch.device("meta"):
        size = sum(parameter.numel() for parameter in timm.create_model(name).parameters())
    depth = 2 if size > HUGE else None
    try:
        with QuickRandom():
            module = random_module(name, depth)
        report: CheckReport = check_model(vitviz.load_model(module, device="cpu"))
        verdict = report.reason or "exact"
        if not report.reason and report.logits_error != 0:
            verdict = f"logits differ by {report.logits_error:.0e}"
    except Exception as error:  # the table says so and the test fails on it
        return [name, f"{size / 1e6:.0f}", *[""] * 6, f"{type(error).__name__}: {error}"]
    finally:
        gc.collect()
    methods = vitviz.methods(report.trace) if report.trace else {}
    return [
        name,
        f"{size / 1e6:.0f}",
        f"{report.layers}" + (" (depth reduced)" if depth else ""),
        " ".join(map(str, report.heads)),
        " ".join(map(str, report.tokens)),
        str(len(report.prefix)),
        f"{report.worst:.1e}",
        " ".join(method for method, reason in methods.items() if reason is None),
        verdict,
    ]
