"""Trains the bundled models on drawn scenes: ``python -m vitviz.demo.train``. Can be stopped and started again.

The order is teacher, ViT, DeiT, Swin. What each learns from:

- all: the classes of the objects, and, through a head that is discarded afterwards, the class of each patch;
- ViT and teacher: first windows of 6×6, then of 8×8 patches cut from the 12×12 around an object (each patch keeps its
  true position), then whole pictures;
- DeiT: begins as the trained ViT; its class token learns the labels, its distillation token the teacher's predictions.

On one core of a busy two-core machine a picture cost the ViT 3 ms in a 6×6 window, 5 ms in 8×8 and 12 ms whole, the DeiT
14 ms, the Swin 5 ms, the teacher 2 to 6 ms; the models one after the other take somewhat over half an hour on one core.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch.nn import functional as F

from vitviz.demo.architectures import ARCHITECTURES, KINDS, MEAN, SIDE, STD
from vitviz.demo.initial_weights import grow_distillation, mimic
from vitviz.demo.learners import PlainLearner, TeacherLearner, learner
from vitviz.demo.muon import Muon
from vitviz.demo.pool import Pool, training_pool, validation_pool
from vitviz.demo.score import Score, score
from vitviz.demo.shapes import CLASSES
from vitviz.demo.views import Batch, varied, whole
from vitviz.resources_path import resource

NAMES = ("teacher", *KINDS)
GRIDS = {"teacher": 12, "vit": 12, "deit": 12, "swin": 6}


@dataclass(frozen=True)
class Plan:
    """How one model is trained. ``windows``: up to which part of the training which window, in patches, is cut out."""

    pictures: int
    batch: int = 64
    windows: tuple[tuple[float, int], ...] = ((0.9, 8),)
    decay: float = 0.4
    matrices: float = 0.02
    others: float = 0.002


PLANS = {
    "teacher": Plan(24_000, windows=((0.4, 6), (0.7, 8))),
    "vit": Plan(175_000, windows=((0.44, 6), (0.6, 8)), decay=0.6),
    "deit": Plan(18_000, windows=(), decay=1.0, matrices=0.008, others=0.0008),
    "swin": Plan(90_000, windows=(), decay=0.6),
}


def main(arguments: list[str] | None = None) -> None:
    """Train the models named on the command line."""
    options = _parse(arguments)
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pool = training_pool(options.work, options.scenes, options.threads)
    judges = validation_pool(options.work)
    for name in options.models or NAMES:
        plan = PLANS[name]
        if options.pictures:
            plan = Plan(**{**asdict(plan), "pictures": options.pictures})
        run = Run(name, plan, pool, judges, options.work, options.seed, device)
        run.learn()
        write(name, run, options)


class Run:
    """The training of one model, with its checkpoint."""

    def __init__(
        self, name: str, plan: Plan, pool: Pool, judges: Pool, work: Path, seed: int, device: torch.device
    ) -> None:
        self.name, self.plan, self.seed, self.device = name, plan, seed, device
        self.pool, self.judges = pool, judges
        self.path = work / f"{name}.pt"
        self.done = 0
        self.begun_after = 0
        self.plans: list[dict[str, Any]] = []
        torch.manual_seed(seed)
        self.learner = learner(name)
        self.teacher = _load(TeacherLearner(), work / "teacher.pt").to(device) if name == "deit" else None
        self._begin(work)
        self.learner.to(device)
        matrices, others = _split(self.learner)
        self.optimisers = (
            Muon(matrices, lr=plan.matrices),
            torch.optim.AdamW(others, lr=plan.others, betas=(0.9, 0.98), weight_decay=0.01),
        )
        if self.path.exists():
            state = torch.load(self.path, map_location=device, weights_only=True)
            self.learner.load_state_dict(state["learner"])
            for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
                optimiser.load_state_dict(saved)
            self.done, self.begun_after = state["done"], state["begun_after"]
            self.plans = state["plans"]
        if not self.plans or self.plans[-1]["plan"] != asdict(plan):
            self.plans.append({"from": self.done, "plan": asdict(plan)})

    def _begin(self, work: Path) -> None:
        if isinstance(self.learner, PlainLearner):
            mimic(self.learner.model)
        if self.name == "deit":
            grow_distillation(self.learner, _load(PlainLearner("vit"), work / "vit.pt"))
            self.begun_after = int(torch.load(work / "vit.pt", map_location="cpu", weights_only=True)["done"])

    def learn(self) -> None:
        """Train until the plan's number of pictures; save every two minutes, and when told to stop."""
        stop = False

        def ask_to_stop(*_: object) -> None:
            nonlocal stop
            stop = True

        signal.signal(signal.SIGTERM, ask_to_stop)
        signal.signal(signal.SIGINT, ask_to_stop)
        saved = shown = time.monotonic()
        since, right, loss_sum, busy = 0, 0.0, 0.0, time.process_time()
        self.learner.train()
        while self.done < self.plan.pictures and not stop:
            batch = self._batch()
            loss, hits = self._step(batch)
            self.done += self.plan.batch
            since, right, loss_sum = since + 1, right + hits, loss_sum + loss
            now = time.monotonic()
            if now - shown > 20:
                pictures = since * self.plan.batch
                spent = time.process_time() - busy
                print(
                    f"{self.name} {self.done}/{self.plan.pictures}  loss {loss_sum / since:.3f}  "
                    f"top-1 {right / pictures:.3f}  {pictures / (now - shown):.0f} pictures/s  "
                    f"{1000 * spent / pictures:.1f} ms CPU each",
                    flush=True,
                )
                shown, since, right, loss_sum, busy = now, 0, 0.0, 0.0, time.process_time()
            if now - saved > 120:
                self.save()
                saved = time.monotonic()
        self.save()
        if stop:
            sys.exit(f"{self.name} stopped at {self.done} pictures; run again to go on")

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "learner": self.learner.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "done": self.done,
            "begun_after": self.begun_after,
            "plans": self.plans,
        }
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.path)

    def _batch(self) -> Batch:
        rng = np.random.default_rng((self.seed, NAMES.index(self.name), self.done))
        share = self.done / self.plan.pictures
        window = next((patches for until, patches in self.plan.windows if share < until), None)
        batch = varied(self.pool, self.plan.batch, rng, window, GRIDS[self.name])
        return Batch(
            *(part.to(self.device) for part in (batch.pictures, batch.corner, batch.weights, batch.dense))
        )

    def _step(self, batch: Batch) -> tuple[float, float]:
        share = self.done / self.plan.pictures
        rate = min(1.0, (1 - share) / self.plan.decay, (self.done + self.plan.batch) / 6000)
        for optimiser, lr in zip(self.optimisers, (self.plan.matrices, self.plan.others), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = lr * rate
        answers = self.learner(batch.pictures, batch.corner)
        goals = [batch.weights]
        if self.teacher is not None:
            with torch.no_grad():
                taught = self.teacher(batch.pictures, batch.corner)
            goals += [taught.heads[0].softmax(dim=-1)] * (len(answers.heads) - 1)
        classes = sum(F.cross_entropy(head, goal) for head, goal in zip(answers.heads, goals, strict=True))
        loss = classes / len(goals) + _dense_loss(answers.dense, batch.dense)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad()
        guess = sum(answers.heads).argmax(dim=-1)
        hits = batch.weights.gather(1, guess[:, None]) > 0.4
        return float(loss.detach()), float(hits.sum())

    @torch.no_grad()
    def judge(self) -> Score:
        """Return accuracy on the validation scenes, with the weights rounded as they are written."""
        model: Any = self.learner.model
        model.load_state_dict(
            {k: v.half().float() if v.is_floating_point() else v for k, v in model.state_dict().items()}
        )
        model.eval()
        logits = []
        for rows in np.array_split(np.arange(len(self.judges)), 10):
            logits.append(model(whole(self.judges, rows, 12).pictures.to(self.device)).cpu())
        return score(torch.cat(logits), torch.from_numpy(self.judges.kinds))


def write(name: str, run: Run, options: argparse.Namespace) -> None:
    """Write the weights (float16) and the card of a trained model under the resources."""
    options.out.mkdir(parents=True, exist_ok=True)
    model: Any = run.learner.model
    tensors = {
        key: value.half().contiguous().cpu() if value.is_floating_point() else value.cpu()
        for key, value in model.state_dict().items()
    }
    (options.out / f"{name}.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))
    card: dict[str, Any] = {}
    if name != "teacher":
        architecture, arguments = ARCHITECTURES[name]  # type: ignore[index]
        card["timm"] = {"architecture": architecture, "kwargs": arguments}
    card["labels"] = list(CLASSES)
    card["data"] = {
        "input_size": [SIDE, SIDE],
        "mean": list(MEAN),
        "std": list(STD),
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "center",
    }
    card["training"] = {
        "data": f"{len(run.pool)} scenes drawn by vitviz.demo.scenes (training seeds), turned, mirrored, recoloured",
        "pictures": run.done,
        "steps": run.done // run.plan.batch,
        "seed": run.seed,
        "plans": run.plans,
        "command": f"python -m vitviz.demo.train {name} --scenes {len(run.pool)} --pictures {run.plan.pictures}",
        "validation": run.judge().card(),
    }
    if name == "deit":
        card["training"]["started_from"] = (
            f"demo/vit after {run.begun_after} pictures, with a distillation token; taught by the teacher"
        )
    (options.out / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n")
    print(f"{name}: {card['training']['validation']}", flush=True)


def _dense_loss(answers: torch.Tensor, goals: torch.Tensor) -> torch.Tensor:
    """Cross-entropy per patch, where patches of objects count as much in total as those of the background."""
    each = F.cross_entropy(answers.flatten(0, 2), goals.flatten(0, 2), reduction="none")
    object_share = 1 - goals[..., -1].flatten()
    background = goals[..., -1].flatten()
    return (
        (each * object_share).sum() / object_share.sum() + (each * background).sum() / background.sum()
    ) / 2


def _split(module: torch.nn.Module) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the hidden matrices and kernels, for Muon, and the rest (embeddings, heads, norms, biases)."""
    matrices: list[torch.Tensor] = []
    others: list[torch.Tensor] = []
    for name, parameter in module.named_parameters():
        outer = any(
            part in name
            for part in ("pos_embed", "token", "head", "dense", "patch_embed", "bias_table", "body.0")
        )
        (matrices if parameter.ndim >= 2 and not outer else others).append(parameter)
    return matrices, others


def _load(module: Any, path: Path) -> Any:
    if not path.exists():
        sys.exit(f"{path} is missing: train {path.stem} first (python -m vitviz.demo.train {path.stem})")
    module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["learner"])
    return module.eval().requires_grad_(False)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m vitviz.demo.train", description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", help=f"which to train, of {', '.join(NAMES)} (default: all)")
    parser.add_argument(
        "--work", type=Path, default=Path("build/demo"), help="scenes and checkpoints are kept here"
    )
    parser.add_argument(
        "--out", type=Path, default=resource("models"), help="where weights and cards are written"
    )
    parser.add_argument("--scenes", type=int, default=16_000, help="how many scenes to draw (default 16000)")
    parser.add_argument("--pictures", type=int, help="how many pictures to show (default: by model)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    unknown = set(options.models) - set(NAMES)
    if unknown:
        parser.error(f"no model is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return options


if __name__ == "__main__":
    main()
