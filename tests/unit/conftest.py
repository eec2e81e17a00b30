"""What all unit tests share: one thread, and a photo."""

import numpy as np
import pytest
import torch

from vitviz.images.photo import Photo, photo_from_array


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Small products are not worth two threads, and results must not depend on their number."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def photo() -> Photo:
    """A landscape photo of coloured noise, 90×120."""
    return photo_from_array(np.random.default_rng(7).integers(0, 256, (90, 120, 3), dtype=np.uint8), "noise")
