"""What is no file is refused before it is opened: a pipe would wait for a writer, a device never ends."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from vitviz import files
from vitviz.app.settings import Settings
from vitviz.batch.scores_table import ScoreTable
from vitviz.batch.scores_table import Settings as Scored
from vitviz.errors import VitvizError
from vitviz.explain.heatmap import read_raw
from vitviz.images.photo import Photo


def soon(work: Callable[[], object]) -> None:
    """Run something that must not wait: a pipe has no writer."""
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(10)
    assert not worker.is_alive(), "waits for ever"


def test_kinds_of_files(tmp_path: Path) -> None:
    file = tmp_path / "file.txt"
    file.write_text("\ufeffcat\n", encoding="utf-8")
    (tmp_path / "link").symlink_to(file)
    (tmp_path / "broken").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")
    assert files.refusal(file) is None
    assert files.refusal(tmp_path / "link") is None
    assert files.refusal(tmp_path) == "it is a folder"
    assert files.refusal(tmp_path / "none") == "there is no such file"
    assert files.refusal(tmp_path / "broken") == f"it is a link to {tmp_path / 'gone'}, which does not exist"
    assert files.refusal(tmp_path / "pipe") == files.refusal("/dev/zero") == files.PIPE_OR_DEVICE
    assert files.small_text(file, 100) == "cat\n"
    with pytest.raises(ValueError, match="it is larger than 0 MB"):
        files.small_text(file, 3)


def test_a_settings_file_that_is_a_pipe_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "window.ini"
    os.mkfifo(path)
    made: list[Settings] = []
    soon(lambda: made.append(Settings(path)))
    assert made[0].message.startswith("The settings file was no file and renamed to window.damaged.ini.")
    made[0].put("theme", "dark")
    made[0].save()
    assert Settings(path).text("theme") == "dark"


def test_a_raw_heatmap_that_is_a_pipe(tmp_path: Path, photo: Photo) -> None:
    os.mkfifo(tmp_path / "map.npz")
    told: list[str] = []

    def read() -> None:
        try:
            read_raw(tmp_path / "map.npz", photo)
        except VitvizError as error:
            told.append(error.message)

    soon(read)
    assert told == [f"{tmp_path / 'map.npz'} is a pipe or a device, not a file with a heatmap."]


def test_a_table_of_scores_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "scores.csv")
    told: list[str] = []

    def read() -> None:
        try:
            ScoreTable(tmp_path / "scores.csv", Scored("vit", "", "crop", "32×32", 2, "mean", 1, 0))
        except VitvizError as error:
            told.append(error.message)

    soon(read)
    assert told == [f"{tmp_path / 'scores.csv'} is a pipe or a device, not a file; choose another --out."]
