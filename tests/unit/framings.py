"""What the tests of framing share."""

import numpy as np
import torch
from PIL import Image
from timm.data import create_transform

from vitviz.images.framing import DataConfig, Framing, PatchGrid
from vitviz.images.photo import Photo, photo_from_array

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZES = [
    (300, 200),
    (200, 300),
    (224, 224),
    (256, 256),
    (225, 231),
    (7, 5),
    (1, 1),
    (1, 50),
    (50, 1),
    (37, 411),
    (900, 40),
]
COLORS = np.array(
    [(220, 40, 40), (40, 200, 60), (50, 70, 230), (240, 220, 30), (200, 60, 220), (40, 210, 220)], np.uint8
)


def config(
    input_size: tuple[int, int] = (224, 224),
    crop_pct: float = 0.9,
    crop_mode: str = "center",
    interpolation: str = "bicubic",
    multiple: int = 16,
) -> DataConfig:
    return DataConfig(input_size, MEAN, STD, interpolation, crop_pct, crop_mode, multiple)


def noise(height: int, width: int) -> Photo:
    pixels = np.random.default_rng(height * 10_000 + width).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )
    return photo_from_array(pixels)


def timms_input(photo: Photo, wanted: DataConfig) -> np.ndarray:
    transform = create_transform(
        input_size=(3, *wanted.input_size),
        interpolation=wanted.interpolation,
        mean=wanted.mean,
        std=wanted.std,
        crop_pct=wanted.crop_pct,
        crop_mode=wanted.crop_mode,
    )
    tensor = transform(Image.fromarray(photo.pixels))
    assert isinstance(tensor, torch.Tensor)
    return tensor.numpy()


def grid_of(framing: Framing, cell: int = 16) -> PatchGrid:
    return PatchGrid(framing.input_size[0] // cell, framing.input_size[1] // cell, (cell, cell))
