"""How long the window takes to follow the pointer, and to come up: `python tests/benchmarks/window.py` prints the table.

Offscreen, 1600×1000, every panel open, ViT-B/16 with random weights (144 heads). Panels lie where they open: as many as fit
are on the screen, the others behind tabs, where they wait. In the rows that say so every panel lies beside the others and
none behind a tab; the window grows to the width that this takes. A move is timed from the pointer's event until every panel
on the screen has painted. The processor time of the GUI thread says what a machine would take that does nothing else. Panels
have done their own work (the logit lens, say) before the pointer moves, but in the row that says otherwise. One row counts
function calls instead: Python's and built-in ones of a move in the opening layout, by cProfile, the same on every machine.
"""

import argparse
import cProfile
import json
import os
import pstats
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

_ASKS = {
    "to": "“attends to”",
    "by": "“attended by”",
    "early": "“attends to” while panels compute in the background",
}
DINO = "vit_base_patch14_reg4_dinov2"
START = """
import time, sys
from vitviz.app import main
real = main.make_window
def make_window(*arguments):
    window = real(*arguments)
    def painted():
        print(time.time(), sorted({"torch", "timm"} & set(sys.modules)))
        window.close()
    window.first_painted.connect(painted)
    return window
main.make_window = make_window
main.start = lambda *_: None
main.run(None, None, "cpu")
"""


class Bench:
    """A window of 1600×1000 on a model with random weights, and the clock of its moves.

    `layout`: "opening" has the panels of a first start, "tabs" every panel as it opens, "tiled" every panel beside the
    others.
    """

    def __init__(self, name: str, size: int, layout: str) -> None:
        import timm
        import torch
        from PySide6.QtWidgets import QApplication

        from vitviz.app.main import make_window
        from vitviz.app.settings import Settings
        from vitviz.memory import keep_freed_memory
        from vitviz.models.loading import load_model

        keep_freed_memory()
        torch.manual_seed(0)
        module = timm.create_model(name, num_classes=1000, img_size=size)
        self.model = load_model(module, device="cpu")
        self.window = make_window(Settings(Path(tempfile.mkdtemp()) / "window.ini"), "cpu")
        self.window.resize(1600, 1000)
        self.window.show()
        app = QApplication.instance()
        assert app is not None
        self.app = app
        self.layout = layout
        if layout == "tiled":
            self._tile()
        elif layout == "tabs":
            for dock in self.window.docks:
                dock.show()
        self.rng = random.Random(1)

    def _tile(self) -> None:
        """Every panel beside the others."""
        from PySide6.QtCore import Qt

        docks = {dock.kind.name: dock for dock in self.window.docks}
        for dock in docks.values():
            self.window.removeDockWidget(dock)
        right, bottom = Qt.DockWidgetArea.RightDockWidgetArea, Qt.DockWidgetArea.BottomDockWidgetArea
        self.window.addDockWidget(right, docks["tokens"])
        self.window.addDockWidget(bottom, docks["layers"])
        for old, new, way in (
            ("tokens", "heads", Qt.Orientation.Horizontal),
            ("tokens", "positions", Qt.Orientation.Vertical),
            ("positions", "patches", Qt.Orientation.Vertical),
            ("heads", "statistics", Qt.Orientation.Vertical),
            ("statistics", "lens", Qt.Orientation.Vertical),
            ("layers", "predictions", Qt.Orientation.Horizontal),
            ("predictions", "windows", Qt.Orientation.Horizontal),
            ("windows", "faithfulness", Qt.Orientation.Horizontal),
        ):
            self.window.splitDockWidget(docks[old], docks[new], way)
        for dock in docks.values():
            dock.show()

    def open(self, seed: int = 0) -> None:
        """Open a photo of noise, and go on as soon as its maps are on the stage."""
        import numpy as np

        from vitviz.images.photo import photo_from_array

        noise = np.random.default_rng(seed).integers(0, 256, (640, 640, 3), dtype=np.uint8)
        before = self.window.session.trace
        self.window.session.open(photo=photo_from_array(noise, f"noise {seed}"), model=self.model)
        end = time.monotonic() + 180
        while self.window.session.trace in (before, None) and time.monotonic() < end:
            self.wait(0.005)

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        from vitviz.app.work.worker import Worker

        session = self.window.session
        return session.busy is not None or any(worker.busy for worker in self.window.findChildren(Worker))

    def settle(self) -> None:
        """Let all panels come to the end of their own work."""
        end = time.monotonic() + 180
        quiet = 0
        while quiet < 20 and time.monotonic() < end:
            self.wait(0.01)
            quiet = 0 if self.busy or self.window.session.trace is None else quiet + 1
        if self.layout != "tiled":
            self.window.docks[0].raise_()

    def wait(self, seconds: float) -> None:
        """Give the other threads some time, and the window its events."""
        from PySide6.QtCore import QEventLoop

        self.app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)
        time.sleep(seconds)

    def move(self) -> tuple[float, float] | None:
        """Milliseconds from a move to another patch until all is painted, and of the GUI thread's processor."""
        from PySide6.QtCore import QEventLoop, QPoint
        from PySide6.QtTest import QTest

        session, canvas = self.window.session, self.window.photo.canvas
        trace, view = session.trace, canvas.viewport
        row, column = self.rng.randrange(trace.patches.rows), self.rng.randrange(trace.patches.cols)
        if session.hover.patch == (row, column):
            return None
        x, y = trace.framing.polygon(trace.patches, row, column).mean(axis=0)
        place = QPoint(round(view.left + x * view.scale), round(view.top + y * view.scale))
        start, busy = time.perf_counter(), time.thread_time()
        QTest.mouseMove(canvas, place)
        # Everything that the move asked for is painted before this returns: paint events are posted.
        self.app.sendPostedEvents()
        self.app.processEvents(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
        took, worked = (time.perf_counter() - start) * 1000, (time.thread_time() - busy) * 1000
        assert session.hover.patch == (row, column)
        assert session.maps.shown.selection == session.selection
        QTest.mouseMove(canvas, place + QPoint(1, 0))
        for _ in range(3):
            self.app.processEvents()
        return took, worked

    def report(self, moved: list[tuple[float, float]]) -> dict[str, Any]:
        """Median and 95th percentile of moves, and what they were measured in; the window is closed."""
        trace = self.window.session.trace
        shown = [
            dock.kind.name
            for dock in self.window.docks
            if dock.built and not dock.panel.visibleRegion().isEmpty()
        ]
        times, works = (sorted(part) for part in zip(*moved, strict=True))
        assert self.layout != "tiled" or len(shown) == len(self.window.docks)
        width, height = self.window.width(), self.window.height()
        self.window.close()
        return {
            "size": f"{width}×{height}",
            "median": statistics.median(times),
            "p95": times[int(0.95 * len(times))],
            "worst": times[-1],
            "work": works[int(0.95 * len(works))],
            "heads": sum(layer.heads for layer in trace.layers),
            "tokens": trace.layers[0].layout.tokens,
            "panels": shown,
            "ratio": self.window.photo.canvas.devicePixelRatioF(),
            "count": len(times),
            "load": os.getloadavg()[0],
        }


def moves(name: str, size: int, count: int, direction: str, layout: str) -> dict[str, Any]:
    """Milliseconds from a pointer's move to all panels painted: median, 95th percentile; and how many heads there are."""
    bench = Bench(name, size, layout)
    bench.open()
    bench.settle()
    bench.window.session.change(method="attention", direction=direction)
    bench.settle()
    found = [bench.move() for _ in range(count + 10)][10:]
    return bench.report([pair for pair in found if pair is not None])


def early_moves(name: str, size: int, count: int) -> dict[str, Any]:
    """The same while panels compute in the background: from a photo's first map on, on new photos until there are `count`.

    Between moves there are 8 milliseconds, as between those of a hand.
    """
    bench = Bench(name, size, "tabs")
    bench.open()
    bench.settle()
    bench.window.session.change(method="attention")
    found: list[tuple[float, float]] = []
    for seed in range(1, 200):
        bench.open(seed)
        end = time.monotonic() + 20
        while bench.busy and len(found) < count and time.monotonic() < end:
            pair = bench.move()
            found += [] if pair is None else [pair]
            bench.wait(0.008)
        if len(found) == count:
            break
        bench.settle()
    return bench.report(found)


def calls(name: str, size: int, count: int) -> dict[str, Any]:
    """Function calls of a pointer's move in the opening layout until all panels are painted, the mean of `count` moves."""
    bench = Bench(name, size, "opening")
    bench.open()
    bench.settle()
    bench.window.session.change(method="attention")
    bench.settle()
    for _ in range(10):
        bench.move()
    profile, moved = cProfile.Profile(), 0
    while moved < count:
        profile.enable()
        pair = bench.move()
        profile.disable()
        moved += pair is not None
    bench.window.close()
    return {"calls": pstats.Stats(profile).total_calls / moved}  # type: ignore[attr-defined]


def in_process(scale: int, name: str, size: int, count: int, direction: str, layout: str) -> dict[str, Any]:
    """`moves`, for "early" `early_moves`, for "calls" `calls`, in a process of its own, on a screen of some density."""
    screen = Path(tempfile.mkdtemp()) / "screen.json"
    whole = {"name": "one", "x": 0, "y": 0, "width": 1920 * scale, "height": 1080 * scale}
    screen.write_text(json.dumps({"screens": [{**whole, "logicalDpi": 96, "logicalBaseDpi": 96, "dpr": 1}]}))
    environment = {
        **os.environ,
        "QT_SCALE_FACTOR": str(scale),
        "QT_QPA_PLATFORM": f"offscreen:configfile={screen}",
    }
    words = [sys.executable, __file__, "--moves", name, str(size), str(count), direction, layout]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def seconds(words: list[str]) -> float:
    """How long a process takes to its end."""
    start = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    return time.perf_counter() - start


def painted() -> float:
    """Seconds from the start of a process to the window's first paint, before torch is imported."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "XDG_CONFIG_HOME": home, "HOME": home}
        start = time.time()
        done = subprocess.run(
            [sys.executable, "-c", START], check=True, capture_output=True, text=True, env=environment
        )
    at, modules = done.stdout.split(" ", 1)
    assert modules.strip() == "[]", modules
    return float(at) - start


def start_share(pairs: int) -> tuple[float, float, float]:
    """Median of first paint over `import torch, timm`, in turn; and both in seconds."""
    imports = [sys.executable, "-c", "import torch, timm"]
    painted()
    seconds(imports)
    found = [(painted(), seconds(imports)) for _ in range(pairs)]
    shares = statistics.median(first / second for first, second in found)
    return shares, statistics.median(one for one, _ in found), statistics.median(two for _, two in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", nargs=5, metavar=("NAME", "SIZE", "COUNT", "DIRECTION", "LAYOUT"))
    parser.add_argument("--count", type=int, default=300, help="moves per measurement")
    parser.add_argument("--pairs", type=int, default=7, help="starts")
    where = parser.parse_args()
    if where.moves:
        name, size, count, direction, layout = where.moves
        others = {"early": early_moves, "calls": calls}
        if direction in others:
            found = others[direction](name, int(size), int(count))
        else:
            found = moves(name, int(size), int(count), direction, layout)
        print(json.dumps(found))
        return
    print("| what | measured | goal |\n|---|---|---|", flush=True)
    layouts: dict[str, str] = {}
    for scale, name, size, direction, layout, goal in (
        (1, "vit_base_patch16_224", 224, "to", "tabs", 16),
        (1, "vit_base_patch16_224", 224, "by", "tabs", 16),
        (1, "vit_base_patch16_224", 224, "early", "tabs", 16),
        (1, "vit_base_patch16_224", 224, "to", "tiled", 16),
        (1, "vit_base_patch16_224", 224, "by", "tiled", 16),
        (2, "vit_base_patch16_224", 224, "to", "tabs", 33),
        (2, "vit_base_patch16_224", 224, "to", "tiled", 33),
        (1, DINO, 518, "to", "tabs", 33),
        (1, DINO, 518, "by", "tabs", 33),
        (1, DINO, 518, "to", "tiled", 33),
    ):
        found = in_process(scale, name, size, where.count, direction, layout)
        layouts[f"{found['size']}, {layout}"] = ", ".join(map(str, found["panels"]))
        asks = _ASKS[direction] + (", every panel on the screen" if layout == "tiled" else "")
        what = (
            f"Pointer move → all panels painted, 95th percentile (median {found['median']:.1f} ms; of processor time "
            f"{found['work']:.1f} ms), {found['heads']} heads, {found['tokens']} tokens, {asks}, scale {scale}"
        )
        print(f"| {what} | {found['p95']:.1f} ms | ≤ {goal} ms |", flush=True)
    found = in_process(1, "vit_base_patch16_224", 224, 100, "calls", "opening")
    what = "Function calls of a pointer's move until all panels are painted, opening layout, “attends to”"
    print(f"| {what} | {found['calls']:,.0f} | ≤ 1,500 |", flush=True)
    share, paint, imports = start_share(where.pairs)
    what = f"Start → first paint ({paint:.2f} s) as a share of `import torch, timm` ({imports:.2f} s)"
    print(f"| {what} | {share:.2f} | ≤ 0.3 |", flush=True)
    print()
    for layout, panels in layouts.items():
        print(f"On the screen, {layout}: photo, status line, {panels}")


if __name__ == "__main__":
    main()
