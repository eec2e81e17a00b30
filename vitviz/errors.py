"""Errors that a user may meet: each a sentence naming the file or model and what to do.

Everything vitviz refuses on purpose raises a `VitvizError`; the command line prints the sentence, the window shows it,
with the details on request. Any other exception is a fault of vitviz.
"""


class VitvizError(Exception):
    """A sentence for the user; `details` holds more than most users need (a list of keys, a traceback)."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class PhotoError(VitvizError):
    """A file that cannot be opened as a picture."""


class ModelError(VitvizError):
    """A model that cannot be found, downloaded, recognised or loaded."""


class RefusedError(VitvizError):
    """A model whose attention cannot be shown exactly; the message says why."""


class DeviceMemoryError(VitvizError):
    """The device ran out of memory; the message suggests what fits."""


class MethodError(VitvizError):
    """A method that does not apply to this trace, or an option it does not take."""


class ExportError(VitvizError):
    """A picture or table that cannot be written."""


LONGEST = 200
"""How many characters of what an exception says are told."""


def first_line(error: BaseException) -> str:
    """What an exception says in its first line, as a sentence; its type where it says nothing."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return f"{f'there is no {said}' if isinstance(error, KeyError) else said:.{LONGEST}}."
