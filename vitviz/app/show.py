"""`vitviz.show`: the window on a module, a loaded model or a source; from a script, a Qt program or a notebook."""

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vitviz.app import display
from vitviz.errors import VitvizError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import nn

    from vitviz.app.window.main_window import Window
    from vitviz.images.framing import DataConfig
    from vitviz.images.photo import Photo
    from vitviz.models.labels import Labels
    from vitviz.models.model import Model
    from vitviz.models.outputs import Outputs

_KEPT = "vitviz_window"
"""The attribute of the QApplication that keeps the window from being collected."""


def show(
    model: "str | os.PathLike[str] | nn.Module | Model | None" = None,
    photo: "str | os.PathLike[str] | Photo | Image.Image | np.ndarray[Any, Any] | None" = None,
    *,
    block: bool | None = None,
    framing: Literal["crop", "squash", "fit"] | None = None,
    image_size: int | tuple[int, int] | None = None,
    precision: str | None = None,
    device: str | None = None,
    labels: "Labels | None" = None,
    architecture: str | None = None,
    outputs: "Outputs | None" = None,
    data: "DataConfig | None" = None,
) -> None:
    """Open the window on a model and a photo; a second call shows them in the window that is open.

    `model` is a module, a model of `load_model`, or a source that `load_model` takes; `photo` a file, a folder, a picture of
    Pillow, or an array (height, width, 3) of uint8. The other settings are those of `load_model`; `data` is for modules. A
    module stays on its device unless `device` is given.

    In a script, `show` returns when the window is closed. It returns at once with `block=False`, inside a running Qt loop,
    and in a notebook or IPython, where it switches on `%gui qt`. Raises VitvizError without a display, in another thread
    than the main one, and for a module that cannot be loaded.
    """
    if threading.current_thread() is not threading.main_thread():
        raise VitvizError("vitviz.show opens a window, which only the main thread of a program can do.")
    _require_display()
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    opened = _loaded(model, size, precision, device, labels, architecture, outputs, data)
    window = _window(device)
    asked = (
        _settings(size, framing, precision, device, labels, architecture, outputs)
        if isinstance(opened, str)
        else None
    )
    if opened is not None or photo is not None or framing is not None:
        window.session.open(photo=_photo(photo), model=opened, framing=framing, settings=asked)
    window.show()
    window.raise_()
    window.activateWindow()
    if _blocks(block):
        _wait_for(window)


def _require_display() -> None:
    """Raise a VitvizError that names the reason if no window can be opened here."""
    probe = display.Probe()
    try:
        from PySide6.QtWidgets import QApplication
    except ImportError as error:
        probe.stop()
        if not display.is_qt(error):
            raise
        reason: str | None = display.last_words(str(error))
    else:
        if QApplication.instance() is not None:
            probe.stop()
            return
        reason = probe.reason()
    if reason is not None:
        raise VitvizError(
            f"vitviz.show cannot open a window here ({reason}); save pictures with vitviz.explain(trace, …).save(…) instead."
        )


def _loaded(
    model: "str | os.PathLike[str] | nn.Module | Model | None",
    size: tuple[int, int] | None,
    precision: str | None,
    device: str | None,
    labels: "Labels | None",
    architecture: str | None,
    outputs: "Outputs | None",
    data: "DataConfig | None",
) -> "str | Model | None":
    """A source as it is, which the window loads in a thread; a module as a Model; a Model at the size asked for."""
    if model is None or isinstance(model, str | os.PathLike):
        return None if model is None else os.fspath(model)
    from vitviz.models.loading import load_model
    from vitviz.models.model import Model
    from vitviz.models.sizes import at_size

    if isinstance(model, Model):
        given = {"precision": precision, "device": device, "labels": labels, "outputs": outputs, "data": data}
        refused = [name for name, value in given.items() if value is not None]
        if refused:
            raise VitvizError(f"{', '.join(refused)}: give it to load_model; this model is loaded already.")
        return model if size is None else at_size(model, size)
    first = next(iter(model.parameters()), None)
    where = device or (first.device if first is not None else "cpu")
    return load_model(
        model,
        device=where,
        image_size=size,
        labels=labels,
        data=data,
        precision=precision,
        architecture=architecture,
        outputs=outputs,
    )


def _settings(
    size: tuple[int, int] | None,
    framing: str | None,
    precision: str | None,
    device: str | None,
    labels: "Labels | None",
    architecture: str | None,
    outputs: "Outputs | None",
) -> Any:
    """The settings of a source; None if there are none, so that those of last time are used."""
    from vitviz.models.settings import ModelSettings

    if labels is not None and not isinstance(labels, str | os.PathLike):
        raise VitvizError(
            "For a source, labels is a file of class names; give a list to load_model and show its model."
        )
    found = ModelSettings(
        size,
        framing or "",
        precision or "",
        device or "",
        os.fspath(labels) if labels else "",
        architecture or "",
        outputs or "",
    )
    return None if found == ModelSettings() else found


def _photo(photo: Any) -> Any:
    """A photo in a form that the session opens: a path, a walk through a folder, or a Photo."""
    from vitviz.images.photo import Photo, photo_from_array

    if photo is None or isinstance(photo, Photo):
        return photo
    if isinstance(photo, str | os.PathLike):
        from vitviz.app.sources.folder import Walk

        path = Path(photo).expanduser().absolute()
        return Walk(path) if path.is_dir() else path
    import numpy as np
    from PIL import Image

    return photo_from_array(np.asarray(photo.convert("RGB") if isinstance(photo, Image.Image) else photo))


def _window(device: str | None) -> "Window":
    """The window that is open, otherwise a new one."""
    from shiboken6 import isValid

    from vitviz.app.main import application, make_window
    from vitviz.app.settings import Settings

    app = application()
    kept: Window | None = getattr(app, _KEPT, None)
    if kept is not None and isValid(kept) and kept.isVisible():
        return kept
    window = make_window(Settings(), device or "auto")
    setattr(app, _KEPT, window)
    return window


def _blocks(block: bool | None) -> bool:
    """Whether `show` returns only when the window is closed: if nothing else runs the event loop of Qt."""
    from PySide6.QtCore import QThread

    if block is not None:
        return block
    if QThread.currentThread().loopLevel() > 0:
        return False
    shell = _ipython()
    if shell is None:
        return True
    if not str(getattr(shell, "active_eventloop", "") or "").startswith("qt"):
        shell.enable_gui("qt")
    return False


def _ipython() -> Any:
    """The running IPython or notebook kernel; None outside."""
    import sys

    found = sys.modules.get("IPython")
    return None if found is None else found.get_ipython()


def _wait_for(window: "Window") -> None:
    from PySide6.QtCore import QEventLoop

    loop = QEventLoop()
    window.closed.connect(loop.quit)
    loop.exec()
