"""The one softmax of NumPy arrays, against PyTorch's."""

import numpy as np
import torch

from vitviz.attention.softmax import softmax


def test_it_is_pytorchs_over_the_last_axis_in_float64():
    logits = np.random.default_rng(0).normal(0, 30, (2, 3, 5)).astype(np.float32)
    expected = torch.from_numpy(logits).double().softmax(-1).numpy()
    np.testing.assert_allclose(softmax(logits), expected, rtol=1e-12)
    assert softmax(logits).dtype == np.float64


def test_large_and_excluded_logits_and_no_logits_at_all():
    np.testing.assert_allclose(softmax([1000.0, 1000.0, -np.inf]), [0.5, 0.5, 0])
    assert softmax(np.zeros(0)).shape == (0,)
