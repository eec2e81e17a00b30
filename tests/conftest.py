"""What several test folders share: the settings of property tests, the mark `thorough`, and the real weights."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer, serving
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parent.parent

# The same examples on every machine, whatever its speed; counterexamples found so far stand in the tests as @example.
settings.register_profile(
    "normal",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
)
# New examples in each run; a failure prints the decorator that repeats it.
settings.register_profile("thorough", deadline=None, max_examples=500, print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    """Choose the Hypothesis profile before the test modules are imported: their tests keep what holds then."""
    settings.load_profile("thorough" if "thorough" in config.getoption("-m") else "normal")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the property tests, the sweep and what is long as thorough, before -m selects."""
    for item in items:
        of_properties = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        if of_properties or item.get_closest_marker("sweep") or item.get_closest_marker("long"):
            item.add_marker("thorough")


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder with real ImageNet weights and photos; tests that need it are skipped without it."""
    folder = Path(os.environ.get("VITVIZ_REAL", REPOSITORY.parent / "shared" / "real"))
    if not (folder / "deit_tiny_patch16_224.safetensors").is_file():
        pytest.skip(f"needs real weights and photos, not found in {folder} (set VITVIZ_REAL)")
    return folder


@pytest.fixture(scope="session")
def deit_tiny_weights() -> bytes:
    """A safetensors file of DeiT-Tiny with random weights."""
    import timm
    import torch
    from safetensors.torch import save

    torch.manual_seed(0)
    return save(timm.create_model("deit_tiny_patch16_224").state_dict())


@pytest.fixture
def hub_server(deit_tiny_weights: bytes) -> Iterator[HubServer]:
    """A stand-in for the Hugging Face hub, which has DeiT-Tiny's weights in every repository."""
    with serving(deit_tiny_weights) as hub:
        yield hub
