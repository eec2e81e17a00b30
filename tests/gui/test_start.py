"""From the start of the process to the end, in a process of its own."""

import os
import subprocess
import sys

SCRIPT = """
import sys
from PySide6.QtCore import QTimer
from vitviz.app import main

made = []
real = main.make_window

def make_window(*arguments):
    window = real(*arguments)
    made.append(window)
    window.first_painted.connect(lambda: print("painted", sorted({"torch", "timm"} & set(sys.modules))))
    window.session.photo_opened.connect(lambda path: print("opened", path.name))
    window.session.photo_opened.connect(lambda path: QTimer.singleShot(0, window.close))
    window.session.failed.connect(lambda told: print("failed", told.message))
    return window

main.make_window = make_window
print("status", main.run(sys.argv[1], None, "cpu"))
print("photo", made[0].photo.canvas.viewport is not None)
"""


def test_the_window_is_painted_before_torch_is_imported_and_ends_in_order(photo, tmp_path):
    environment = {
        **os.environ,
        "QT_QPA_PLATFORM": "offscreen",
        "XDG_CONFIG_HOME": str(tmp_path),
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(photo)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    assert done.stdout.split("\n")[:4] == ["painted []", "opened wide.png", "status 0", "photo True"], (
        done.stderr
    )
    assert done.returncode == 0
