"""Which device a model runs on, and the error when its memory is not enough."""

import traceback
from types import TracebackType

import torch

from vitviz.errors import DeviceMemoryError, ModelError

# torch's messages on the CPU, on Apple GPUs and from cuBLAS, where it has no error class for it.
_MEMORY_WORDS = (
    "can't allocate memory",
    "defaultcpuallocator",
    "not enough memory",
    "out of memory",
    "cublas_status_alloc_failed",
)


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """The device asked for; "auto" is CUDA, else MPS, else the CPU.

    Raises ModelError for a device that this machine or this torch does not have.
    """
    if isinstance(device, str) and device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        picked = torch.device(device)
    except RuntimeError as error:
        raise ModelError(
            f"There is no kind of device called “{device}”; choose auto, cpu, cuda, cuda:1 or mps.",
            str(error),
        ) from error
    if picked.type == "cuda":
        _require_cuda(picked)
    elif picked.type == "mps":
        if not torch.backends.mps.is_available():
            raise ModelError(
                "This machine has no Apple GPU (mps) that torch can use; choose device auto or cpu."
            )
    elif picked.type != "cpu":
        raise ModelError(f"vitviz runs models on cpu, cuda or mps, not on “{device}”.")
    return picked


def available_devices() -> list[str]:
    """The devices of this machine that `pick_device` takes, without "auto"."""
    gpus = (
        [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )
    return ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]


PRECISIONS = ("float32", "bfloat16", "float16")


def pick_precision(precision: str | None, device: torch.device) -> torch.dtype | None:
    """The precision asked for; None for None, which leaves a model as it is.

    Raises ModelError for an unknown one, and for float16 on the CPU.
    """
    if precision is None:
        return None
    if precision not in PRECISIONS:
        raise ModelError(f"There is no precision “{precision}”; choose {', '.join(PRECISIONS)}.")
    if precision == "float16" and device.type == "cpu":
        raise ModelError("float16 is for GPUs; on the CPU choose float32 or bfloat16.")
    found: torch.dtype = getattr(torch, precision)
    return found


class memory_guard:  # noqa: N801 (a context manager, used like a function)
    """`with memory_guard(name, device):` turns running out of memory into a DeviceMemoryError that says what fits.

    The frames of the failed computation are cleared and CUDA's cache is emptied, so that the program can go on. Any
    other error passes through unchanged.
    """

    def __init__(self, model_name: str, device: torch.device) -> None:
        self._name = model_name
        self._device = device

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or not is_out_of_memory(error):
            return
        # Tensors of the failed pass live in these frames; the error is the context of the one raised below.
        traceback.clear_frames(trace)
        error.__traceback__ = None
        if self._device.type == "cuda" and torch.cuda.is_available():
            torch.cuda.empty_cache()
        elif self._device.type == "mps" and torch.backends.mps.is_available():
            torch.mps.empty_cache()
        raise DeviceMemoryError(_advice(self._name, self._device), str(error)) from None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or Python means that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(part in words for part in _MEMORY_WORDS)


def _require_cuda(picked: torch.device) -> None:
    if not torch.cuda.is_available():
        reason = "" if torch.version.cuda else ", and this torch is built without CUDA"
        raise ModelError(
            f"This machine has no CUDA GPU that torch can use{reason}; choose device auto or cpu."
        )
    count = torch.cuda.device_count()
    if picked.index is not None and picked.index >= count:
        names = ", ".join(f"cuda:{index}" for index in range(count))
        raise ModelError(f"There is no GPU “{picked}” here, only {names}.")


def _advice(name: str, device: torch.device) -> str:
    if device.type == "cpu":
        return f"The memory of this machine is not enough for {name} at this size; choose a smaller size or model."
    return (
        f"The GPU ({device}) has not enough memory for {name} at this size; "
        "choose device cpu, a smaller size or a smaller model."
    )
