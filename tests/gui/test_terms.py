"""The help that explains terms: two sentences for each, and an entry for each term that photo and panels show."""

import re

import pytest
from PySide6.QtWidgets import QAbstractButton, QComboBox, QLabel, QWidget
from steps import dock_of, settled, show

from vitviz.app.panels import catalog
from vitviz.app.ui import terms
from vitviz.app.widgets.base.title_bar import ElidedLabel
from vitviz.app.widgets.controls.segmented import Segmented

JARGON = {
    r"× uniform": "× uniform",
    r"Σ patches": "Σ patches",
    r"share of attention": "share of attention",
    r"attends to|attended by": "attends to",
    r"\battention distance|how far patches look|by distance": "attention distance",
    r"entropy": "entropy",
    r"renormalised": "not renormalised",
    r"\bclass token": "class token",
    r"distillation|both heads": "distillation",
    r"\bprefix\b": "prefix token",
    r"\bpadding": "padding",
    r"\bmask": "masked",
    r"own scale|own maximum": "own maximum",
    r"one scale": "one scale",
    r"mean of (\d+ )?heads": "mean of heads",
    r"\blog\b|logarithmic": "logarithmic",
    r"\bcosine|similarity": "similarity",
    r"\blogits?\b": "logit",
    r"softmax": "logit",
    r"\beven\b(?! tint)": "even",
    r"\bkeeps\b|\breceives\b": "receives",
    r"\bregions?\b": "region",
    r"\bshift": "shift",
    r"\bmerg": "merging",
    r"\bbias\b": "position bias",
    r"\bcolours\b \|": "principal components",
    r"principal component": "principal components",
    r"\blength\b": "length",
    r"\bcontent\b": "content",
    r"as used|stored": "position embedding",
    r"\bfilters?\b": "filter",
    r"\bstem\b": "stem",
    r"standard deviation": "standard deviation",
    r"deletion|covered": "deletion",
    r"insertion": "insertion",
    r"random orders": "random orders",
    r"± 95 %": "± 95 %",
    r"mean colour|blurred": "mean colour",
    r"hottest patch hit": "hottest patch",
    r"\bexact, ": "exact",
    r"\bwindows? \d|shifted window": "window",
}
"""Words that a newcomer does not know, as they are written in the window, and the term that explains them."""


def texts(widget: QWidget) -> str:
    """All texts that can be read in a widget."""
    found = []
    for label in widget.findChildren(QLabel):
        if label.isVisible():
            found.append(label.whole if isinstance(label, ElidedLabel) else label.text())
    found += [button.text() for button in widget.findChildren(QAbstractButton) if button.isVisible()]
    for box in widget.findChildren(QComboBox):
        if box.isVisible():
            found += [box.itemText(place) for place in range(box.count())]
    for control in widget.findChildren(Segmented):
        if control.isVisible():
            found.append(" | ".join(label for _, label in control.choices))
    return "\n".join(found)


def unexplained(place: str, text: str) -> list[str]:
    """The jargon in a text that the help of its place does not explain."""
    known = dict(terms.explained(place))
    return [
        found.group()
        for pattern, term in JARGON.items()
        if (found := re.search(pattern, text)) is not None and term not in known
    ]


def test_each_term_is_explained_in_two_short_sentences_and_used_somewhere():
    for term, words in terms.TERMS.items():
        sentences = re.findall(r"[^.!?]+[.!?](?=\s|$)", re.sub(r"\d\.\d", "0", words))
        assert len(sentences) == 2, (term, sentences)
        assert len(words) <= 220, term
    assert set(terms.TERMS) == {term for place in terms.PLACES.values() for term in place}
    assert set(terms.PLACES) == {"photo", *(kind.name for kind in catalog.PANELS)}
    assert set(JARGON.values()) <= set(terms.TERMS)


@pytest.mark.parametrize("name", [kind.name for kind in catalog.PANELS])
@pytest.mark.parametrize("kind", ["vit", "swin"])
def test_each_term_that_a_panel_shows_is_explained_in_it(window, qtbot, photo, model, swin, name, kind):
    show(window, qtbot, photo, model if kind == "vit" else swin)
    window.session.pin((2, 5))
    dock = dock_of(window, name)
    window.docks.go_to(dock.kind.name)
    panel = dock.panel
    qtbot.waitUntil(lambda: panel.isVisible() and settled(panel), timeout=20_000)
    mode = getattr(panel, "mode", None)
    keys = [key for key, _ in mode.choices] if isinstance(mode, Segmented) and mode.isVisible() else []
    said = [texts(panel), panel.shown().caption]
    for key in keys:
        if key not in mode.disabled:
            window.session.change_panel(name, mode=key)
            qtbot.waitUntil(lambda: settled(panel), timeout=20_000)
            said += [texts(panel), panel.shown().caption]
    text = "\n".join(said)
    assert len(text) > 20
    assert unexplained(name, text) == [], text


@pytest.mark.parametrize("method", ["attention", "rollout", "relevance"])
def test_each_term_that_photo_and_status_line_show_is_explained_beside_the_photo(shown, qtbot, method):
    shown.session.change(method=method)
    qtbot.waitUntil(lambda: shown.session.maps.shown.selection == shown.session.selection)
    qtbot.waitUntil(lambda: shown.status.badge.text().startswith("exact"), timeout=60_000)
    text = texts(shown.photo) + texts(shown.status)
    assert "Σ patches" in text
    assert unexplained("photo", text) == [], text
    help_button = shown.photo.help
    help_button.click()
    lines = [label.text() for label in help_button.popover.content.findChildren(QLabel)]
    help_button.close_popover()
    assert lines == [words for entry in terms.explained("photo") for words in entry]
