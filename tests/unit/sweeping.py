"""The sweep: one model per process, a line of a table for each, so that a sweep that was stopped goes on."""

import csv
import gc
import multiprocessing
import resource
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import timm
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

import vitviz
from vitviz.attention.model_check import CheckReport, check_model
from vitviz.errors import VitvizError
from vitviz.models.catalog import SCOPE
from vitviz.models.random_weights import random_module

REPOSITORY = Path(__file__).resolve().parents[2]
MEMORY = 8 << 30
"""Bytes that the process of one model may take."""
LARGE = 60e6
"""Parameters above which two blocks (of each stage) are kept: the blocks of a stage are all alike."""
CLAIMS = ("shares", "place", "order", "readout")
HEADER = (
    "timm module",
    "model",
    "million parameters",
    "layers",
    "heads",
    "tokens",
    "prefix",
    "worst error",
    *CLAIMS,
    "methods",
    "CPU seconds",
    "verdict",
)
CENTRES = "holds (centre of an overlapping field)"

Row = dict[str, str]


@dataclass(frozen=True)
class Table:
    """build/sweep-…/models.csv: of this timm and of this code."""

    path: Path

    def rows(self) -> dict[str, Row]:
        """Name → its line. A line that was cut off is left out."""
        if not self.path.exists():
            return {}
        with self.path.open(newline="") as file:
            return {row["model"]: row for row in csv.DictReader(file) if row["verdict"]}

    def add(self, row: Row) -> None:
        """Write a line, with the header before the first."""
        begins = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, HEADER)
            if begins:
                writer.writeheader()
            writer.writerow(row)


@cache
def table() -> Table:
    """The table of the code as it is when the sweep starts."""
    code = sha256(
        b"".join(path.read_bytes() for path in sorted((REPOSITORY / "vitviz/attention").rglob("*.py")))
    )
    folder = REPOSITORY / "build" / f"sweep-timm-{timm.__version__}-{code.hexdigest()[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    return Table(folder / "models.csv")


def row_of(name: str) -> Row:
    """The line of a model, made in a process of its own unless it is there already."""
    known = table().rows().get(name)
    if known is not None:
        return known
    # A fork needs no second import of torch, and all its memory goes with it.
    here, there = multiprocessing.get_context("fork").Pipe(duplex=False)
    before = _seconds()
    process = multiprocessing.get_context("fork").Process(target=_send, args=(there, name), daemon=True)
    process.start()
    there.close()
    try:
        row: Row = here.recv()
    except EOFError:
        row = {"verdict": "the process died, out of memory perhaps"}
    process.join()
    where = next(module for module in timm.list_modules() if name in timm.list_models(module=module))
    row |= {"timm module": where, "model": name, "CPU seconds": f"{_seconds() - before:.1f}"}
    table().add(row)
    return row


def _seconds() -> float:
    """CPU time of the processes that have ended so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _send(there: multiprocessing.connection.Connection, name: str) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    try:
        row = _found(name)
    except Exception as error:  # the table says so and the test fails on it
        row = {"verdict": f"{type(error).__name__}: {error}"}
    there.send(row)


def _found(name: str) -> Row:
    torch.set_num_threads(1)
    with torch.device("meta"):
        size = sum(parameter.numel() for parameter in timm.create_model(name).parameters())
    depth = 2 if size > LARGE else None
    with QuickRandom():
        module = random_module(name, depth)
    open_gates(module)
    gc.collect()
    row = {"million parameters": f"{size / 1e6:.0f}"}
    try:
        report: CheckReport = check_model(vitviz.load_model(module, device="cpu"))
    except VitvizError as error:
        return row | {"verdict": f"refused: {error.message}"}
    if report.trace is None:
        return row | {"verdict": f"refused: {report.reason}"}
    check = report.trace.check
    assert check is not None
    said = {name: check.claim(name) for name in CLAIMS}
    verdict = report.reason or "exact"
    if not report.reason and report.logits_error != 0:
        verdict = f"logits differ by {report.logits_error:.0e}"
    methods = vitviz.methods(report.trace)
    return row | {
        "layers": f"{report.layers}" + (" (depth reduced)" if depth else ""),
        "heads": " ".join(map(str, report.heads)),
        "tokens": " ".join(map(str, report.tokens)),
        "prefix": str(len(report.prefix)),
        "worst error": f"{report.worst:.1e}",
        **{
            name: f"{claim.verdict}: {claim.sentence}"
            if not claim.holds
            else CENTRES
            if "centre" in claim.how
            else "holds"
            for name, claim in said.items()
        },
        "methods": " ".join(method for method, reason in methods.items() if reason is None),
        "verdict": verdict,
    }


def open_gates(module: nn.Module) -> None:
    """Give branches that start at zero, or near it, factors round 1: a closed branch shows no dependence.

    Such are layer scale, and SwinV2's norms behind a branch.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            factor = not name.endswith("bias") and parameter.squeeze().ndim <= 1 and parameter.numel() > 1
            if (
                factor
                and float(parameter.min()) == float(parameter.max())
                and abs(float(parameter.max())) < 0.5
            ):
                parameter.copy_(torch.rand(parameter.shape, generator=generator) + 0.5)


class QuickRandom(TorchFunctionMode):
    """Skips the costly part of truncated normal numbers: weights stay random, of about the same size."""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        return args[0] if func is torch.Tensor.erfinv_ else func(*args, **(kwargs or {}))


def summarise() -> None:
    """summary.md beside the table: a line per timm module in scope, then a line per other model."""
    rows = list(table().rows().values())
    lines = [
        f"| timm module | models | exact | worst error | {' | '.join(CLAIMS)} | rollout applies |",
        f"|---|---|---|---|{'---|' * len(CLAIMS)}---|",
    ]
    for module in SCOPE:
        own = [row for row in rows if row["timm module"] == module]
        worst = max((float(row["worst error"]) for row in own if row["worst error"]), default=float("nan"))
        claims = [str(sum(row[claim].startswith("holds") for row in own)) for claim in CLAIMS]
        rolled = sum("rollout" in row["methods"].split() for row in own)
        exact = sum(row["verdict"] == "exact" for row in own)
        lines.append(f"| {module} | {len(own)} | {exact} | {worst:.1e} | {' | '.join(claims)} | {rolled} |")
    lines += ["", "| other timm model | shown, or refused because |", "|---|---|"]
    for row in sorted((row for row in rows if row["timm module"] not in SCOPE), key=lambda row: row["model"]):
        open_ = [f"{claim} {row[claim]}" for claim in CLAIMS if not row[claim].startswith("holds")]
        shown = "shown" + "".join(f"; {each}" for each in open_)
        lines.append(f"| {row['model']} | {shown if row['verdict'] == 'exact' else row['verdict']} |")
    (table().path.parent / "summary.md").write_text("\n".join(lines) + "\n")
