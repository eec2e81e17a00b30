"""Every form of checkpoint opens with the source's logits, or is named with what to do; writes the table of forms."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from checkpoint_forms import FORMS, Form, logits_difference

from vitviz.errors import ModelError
from vitviz.models.loading import load_model

pytestmark = pytest.mark.forms
BUILD = Path(__file__).resolve().parents[2] / "build" / "forms"


@pytest.fixture(scope="module")
def table() -> Iterator[list[str]]:
    """The rows of the table, written to build/forms/ when all forms were tried."""
    rows: list[str] = []
    yield rows
    BUILD.mkdir(parents=True, exist_ok=True)
    head = ["| form | what happens | logits |", "|---|---|---|"]
    (BUILD / "checkpoints.md").write_text("\n".join(head + rows) + "\n")


@pytest.mark.parametrize("form", FORMS, ids=[form.name for form in FORMS])
def test_a_form_opens_as_its_source_or_is_named(tmp_path: Path, form: Form, table: list[str]) -> None:
    path, source = form.write(tmp_path)
    if source is None:
        with pytest.raises(ModelError) as caught:
            load_model(path, device="cpu", **form.options)
        message = caught.value.message
        table.append(f"| {form.name} | {message.replace(str(tmp_path), '…')} | |")
        assert form.said in message
        assert message.endswith(".")
        return
    model = load_model(path, device="cpu", **form.options)
    difference = logits_difference(source, model.module, model.input_size, form.channels)
    same = "equal" if difference == 0 else f"within {difference:.0e}"
    table.append(f"| {form.name} | {model.weights.replace(str(tmp_path), '…')} | {same} |")
    assert difference <= form.tolerance
    assert form.said in model.weights
