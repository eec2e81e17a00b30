"""What is no photo: each refused in one sentence, and nothing waits, warns or fills the memory."""

import contextlib
import os
import stat
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photo_files import LOSSLESS, LOSSY, noisy_file, png, saved, scene
from PIL import Image, ImageFile

from vitviz.errors import PhotoError
from vitviz.images.photo import PIXEL_LIMIT, open_image


def refusal(path: object) -> str:
    """The sentence with which a file is refused, checked for what every such sentence has."""
    with pytest.raises(PhotoError) as caught:
        open_image(path)  # type: ignore[arg-type]
    message = caught.value.message
    assert str(path) in message
    assert message.startswith("Cannot open ")
    assert message.endswith(".")
    assert "\n" not in message
    return message


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path / "absent.jpg")
    assert "it is a folder" in refusal(tmp_path)
    file = saved(tmp_path / "photo.png", scene())
    assert "there is no such file" in refusal(file / "inside.png")
    assert "its name is too long" in refusal(tmp_path / ("x" * 300))
    assert "cannot be the name of a file" in refusal("nul\0.png")


def test_links(tmp_path: Path) -> None:
    photo = saved(tmp_path / "photo.png", scene())
    good, broken, loop = tmp_path / "good", tmp_path / "broken", tmp_path / "loop"
    good.symlink_to(photo)
    broken.symlink_to(tmp_path / "gone.png")
    loop.symlink_to(loop)
    assert open_image(good).name == "good"
    assert "gone.png, which does not exist" in refusal(broken)
    assert "leads back to itself" in refusal(loop)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    answers: list[str] = []
    worker = threading.Thread(target=lambda: answers.append(refusal(pipe)), daemon=True)
    worker.start()
    worker.join(10)
    assert not worker.is_alive(), "opening a pipe waits for ever"
    assert "it is a pipe or a device" in answers[0]
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert "it is a pipe or a device" in refusal(os.devnull)


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """As a user without root's permission to read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX permissions")
def test_what_may_not_be_read_is_refused() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        photo = saved(folder / "photo.png", scene())
        photo.chmod(0)
        (folder / "closed").mkdir(0o700 if os.geteuid() == 0 else 0)
        with without_privileges():
            assert "no permission to read it" in refusal(photo)
            assert "no permission to read it" in refusal(folder / "closed" / "photo.png")
        (folder / "closed").chmod(0o700)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"Dear diary, no picture today.\n" * 50, "not a picture that vitviz reads"),
        (bytes(range(256)) * 20, "not a picture that vitviz reads"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EOF\n", "a PostScript document"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "a HEIC photo"),
        (b"\xff\xd8\xff", "damaged or cut short"),
        (b"\x89PNG\r\n\x1a\n", "damaged or cut short"),
        (b"RIFF\x24\0\0\0WEBPVP8 " + bytes(20), "damaged or cut short"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "file.jpg"
    path.write_bytes(content)
    assert reason in refusal(path)


@pytest.mark.parametrize("suffix", [*LOSSLESS, *LOSSY])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    whole = noisy_file(suffix)
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole)
    open_image(path)
    path.write_bytes(whole[: max(12, int(len(whole) * kept))])
    assert "damaged or cut short" in refusal(path)


@pytest.mark.parametrize("suffix", [*LOSSLESS, *LOSSY])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_damage_gives_a_photo_or_a_sentence_and_nothing_else(
    tmp_path: Path, suffix: str, data: st.DataObject
) -> None:
    content = bytearray(noisy_file(suffix))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / f"damaged.{suffix}"
    path.write_bytes(content)
    with contextlib.suppress(PhotoError):
        assert open_image(path).pixels.dtype == np.uint8


@pytest.mark.parametrize(("width", "height"), [(12_650, 12_650), (PIXEL_LIMIT + 1, 1), (60_000, 60_000)])
def test_decompression_bombs_are_refused_before_they_unpack(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png((width, height, 8, 2), bytes(100)))
    before = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        message = refusal(path)
    assert "160 million" in message
    if width * height < 170_000_000:
        assert f"{width} × {height} pixels" in message
    assert before == Image.MAX_IMAGE_PIXELS


def test_large_photos_within_the_limit_are_opened_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Image, "MAX_IMAGE_PIXELS", 2000
    )  # the scene has 3072: Pillow warns from 2000, refuses from 4000
    path = saved(tmp_path / "photo.png", scene())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_image(path).size == (48, 64)


@pytest.mark.parametrize(
    ("failing", "reason"), [(MemoryError(), "not enough memory"), (OSError(5, "I/O"), "the system says")]
)
def test_faults_of_the_machine_are_told_from_faults_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: Exception, reason: str
) -> None:
    path = saved(tmp_path / "photo.png", scene())

    def fail(self: ImageFile.ImageFile) -> None:
        raise failing

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    assert reason in refusal(path)
