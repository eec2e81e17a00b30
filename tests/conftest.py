"""Fixtures that several test folders share."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder with real ImageNet weights and photos; tests that need it are skipped without it."""
    folder = Path(os.environ.get("VITVIZ_REAL", REPOSITORY.parent / "shared" / "real"))
    if not (folder / "deit_tiny_patch16_224.safetensors").is_file():
        pytest.skip(f"needs real weights and photos, not found in {folder} (set VITVIZ_REAL)")
    return folder
