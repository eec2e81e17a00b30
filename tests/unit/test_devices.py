import gc
import weakref

import pytest
import torch

from vitviz.errors import DeviceMemoryError, ModelError
from vitviz.models.devices import memory_guard, pick_device


def test_auto_prefers_cuda_then_mps_then_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == torch.device("cuda")


def test_absent_devices_are_told_in_a_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ModelError, match=r"no CUDA GPU.*choose device auto or cpu"):
        pick_device("cuda")
    with pytest.raises(ModelError, match="no Apple GPU"):
        pick_device("mps")
    with pytest.raises(ModelError, match="no kind of device called “gpu”"):
        pick_device("gpu")
    with pytest.raises(ModelError, match="not on “meta”"):
        pick_device("meta")


def test_a_gpu_that_is_not_there_names_those_that_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ModelError, match=r"no GPU “cuda:3” here, only cuda:0, cuda:1"):
        pick_device("cuda:3")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
        ),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        MemoryError(),
    ],
    ids=["cuda", "cpu", "mps", "python"],
)
def test_running_out_of_memory_says_what_fits(error):
    with (
        pytest.raises(DeviceMemoryError, match=r"vit_giant.*choose device cpu, a smaller size"),
        memory_guard("vit_giant", torch.device("cuda")),
    ):
        raise error
    with (
        pytest.raises(DeviceMemoryError, match="choose a smaller size or model"),
        memory_guard("vit_giant", torch.device("cpu")),
    ):
        raise error


def test_real_refusal_of_the_cpu_allocator_is_recognised():
    with pytest.raises(DeviceMemoryError), memory_guard("vit", torch.device("cpu")):
        torch.empty(1 << 60, dtype=torch.uint8)


def test_tensors_of_the_failed_pass_are_let_go():
    alive = []

    def fail() -> None:
        tensor = torch.zeros(8)
        alive.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DeviceMemoryError) as caught, memory_guard("vit", torch.device("cpu")):
        fail()
    gc.collect()
    assert caught.value.details == "CUDA out of memory"
    assert alive[0]() is None


def test_the_cache_of_the_gpu_is_emptied(monkeypatch):
    emptied = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    with pytest.raises(DeviceMemoryError), memory_guard("vit", torch.device("cuda")):
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert emptied == [True]


def test_other_errors_pass_unchanged():
    with pytest.raises(RuntimeError, match="shapes"), memory_guard("vit", torch.device("cpu")):
        raise RuntimeError("shapes cannot be multiplied")
    with memory_guard("vit", torch.device("cpu")):
        pass
