"""What a notebook displays: heatmaps and plates as pictures, a trace as tables, and progress bars."""

import subprocess
import sys
import types
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import vitviz
from vitviz import notebook


@pytest.fixture(scope="module")
def trace():
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    return vitviz.trace(
        vitviz.load_model("demo/vit", device="cpu"), vitviz.images.photo.photo_from_array(pixels, "<b>")
    )


class Cells(HTMLParser):
    """The texts of the cells of all tables, and the tags that were opened and not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_a_heatmap_is_its_picture_with_the_scale(trace, tmp_path):
    heatmap = vitviz.explain(trace, "rollout")
    shown = Image.open(BytesIO(heatmap._repr_png_()))
    heatmap.save(tmp_path / "saved.png", legend=True)
    assert np.array_equal(np.asarray(shown), np.asarray(Image.open(tmp_path / "saved.png")))


def test_a_plate_is_a_picture(trace):
    assert Image.open(BytesIO(vitviz.plate(trace, "similarity")._repr_png_())).size[0] > 0


def test_a_trace_shows_predictions_layers_and_claims(trace):
    cells = Cells()
    cells.feed(trace._repr_html_())
    assert cells.open == []
    best = trace.predictions(1)[0]
    assert f"{best.probability:.1%}" in cells.texts
    assert best.label in cells.texts
    assert {layer.name for layer in trace.layers} <= set(cells.texts)
    for claim in trace.latest_check.claims:
        assert claim.sentence in cells.texts
    assert any("<b>" in text for text in cells.texts)  # the photo's name is text, not markup


def test_a_notebook_displays_a_bar_and_a_script_nothing(monkeypatch):
    assert notebook.progress() is None
    shown, updated = [], []

    def display(content, display_id):
        shown.append(content)
        return types.SimpleNamespace(update=updated.append)

    shell = types.SimpleNamespace(kernel=object())
    package = types.SimpleNamespace(get_ipython=lambda: shell)
    module = types.SimpleNamespace(HTML=str, display=display)
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    show = notebook.progress()
    show("Downloading <vit>", 0.25)
    show("Loading", None)
    assert "value='0.2500'" in shown[0]
    assert "&lt;vit&gt;" in shown[0]
    assert len(updated) == 1


def test_importing_stays_light():
    program = (
        "import sys, vitviz\n"
        "assert 'show' in dir(vitviz)\n"
        "print(sorted({'torch', 'timm', 'PySide6', 'IPython', 'huggingface_hub'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
