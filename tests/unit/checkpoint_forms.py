# ruff: noqa: E501 (a form, a line)
"""Forms in which people keep the weights of a ViT or Swin: each writes a file and says what should come of it."""

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

State = dict[str, torch.Tensor]
TINY = {"img_size": 32, "patch_size": 16, "embed_dim": 192, "depth": 2, "num_heads": 3, "num_classes": 5}


@dataclass(frozen=True)
class Form:
    """`write(path)` writes into a folder and gives what to open, and the module it came from (None: it is refused)."""

    name: str
    write: Callable[[Path], tuple[Path, nn.Module | None]]
    said: str = ""
    """A part of the sentence: of what `weights` says, or of the error."""
    options: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 0.0
    channels: int = 3


def vit(**options: Any) -> nn.Module:
    """A small timm ViT whose tensors are all random, so that none can be lost without notice."""
    return randomised(timm.create_model("vit_base_patch16_224", **{**TINY, **options}))


def swin(**options: Any) -> nn.Module:
    small = {"img_size": 56, "embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4), "num_classes": 5}
    return randomised(timm.create_model("swin_tiny_patch4_window7_224", **{**small, **options}))


def randomised(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05 + (parameter.ndim == 1))
    return module.eval()


def named(state: State, prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


def wrapped(
    name: str, wrap: Callable[[State], Any], said: str = "", suffix: str = "pth", **model: Any
) -> Form:
    """A form that `torch.save` writes of a small ViT's state dict."""

    def write(folder: Path) -> tuple[Path, nn.Module]:
        module = vit(**model)
        torch.save(wrap(module.state_dict()), folder / f"weights.{suffix}")
        return folder / f"weights.{suffix}", module

    return Form(name, write, said)


def other(state: State) -> State:
    """Another network with the same names."""
    return {key: value + 1 for key, value in state.items()}


def with_head(state: State, name: str) -> State:
    return {
        key.replace("head.", name) if key.startswith("head.") else key: value for key, value in state.items()
    }


def backbone_and(state: State, name: str) -> State:
    """The network under `backbone.` and its classifier beside it."""
    return {
        key.replace("head.", name) if key.startswith("head.") else f"backbone.{key}": v
        for key, v in state.items()
    }


def chunked(state: State) -> State:
    """Blocks in chunks of one, as DINOv2 keeps them: the second number goes on."""
    return {
        key.replace("blocks.0.", "blocks.0.0.").replace("blocks.1.", "blocks.1.1."): value
        for key, value in state.items()
    }


def peft(state: State) -> State:
    found = {}
    for key, value in state.items():
        key = key.replace("qkv.", "qkv.base_layer.").replace("head.", "head.modules_to_save.default.")
        found[f"base_model.model.{key}"] = value
    return found | {"base_model.model.head.original_module.weight": torch.zeros(5, 192)}


WRAPPED = [
    wrapped("state dict", lambda s: s, "normalised with ImageNet's mean and std"),
    wrapped("{model, optimizer, epoch}", lambda s: {"model": s, "optimizer": {"state": {}, "param_groups": []}, "epoch": 3}),
    wrapped("{state_dict}, DataParallel", lambda s: {"state_dict": named(s, "module."), "arch": "mine"}),
    wrapped("torch.compile, DataParallel", lambda s: {"model_state_dict": named(s, "_orig_mod.module.")}),
    wrapped("Lightning", lambda s: {"state_dict": named(s, "model."), "hyper_parameters": {"lr": 0.1}, "callbacks": {}}),
    wrapped("DeepSpeed", lambda s: named(s, "_forward_module.model.")),
    wrapped("FSDP inside", lambda s: {k.replace("attn.", "_fsdp_wrapped_module.attn."): v for k, v in s.items()}),
    wrapped("prefix vit.", lambda s: named(s, "vit.")),
    wrapped("prefix encoder.", lambda s: named(s, "encoder.")),
    wrapped("prefix feature_extractor.", lambda s: named(s, "feature_extractor.")),
    wrapped("prefix my.own.name.", lambda s: named(s, "my.own.name.")),
    wrapped("{model_state}", lambda s: {"model_state": s}),
    wrapped("{net}", lambda s: {"net": s, "acc": 81.2}),
    wrapped("{params}", lambda s: {"params": s}),
    wrapped("{student}", lambda s: {"student": s}),
    wrapped("{a name of one's own}", lambda s: {"my_best": s, "optimizer": {"momentum": torch.ones(3)}}),
    wrapped("DINO: student and teacher", lambda s: {
        "student": named(other(s), "module.backbone."),
        "teacher": named(s, "backbone.") | {"head.mlp.0.weight": torch.ones(8, 192), "head.last_layer.weight_g": torch.ones(8)},
    }, "without 2 tensors beside the network"),
    wrapped("EMA beside the model", lambda s: {"model": other(s), "model_ema": s}, "model_ema"),
    wrapped("timm's EMA", lambda s: {"state_dict": other(s), "state_dict_ema": s}, "state_dict_ema"),
    wrapped("EMA under a prefix", lambda s: {
        **named(other(s), "online_model."), **named(s, "ema_model."), "initted": torch.ones(()), "step": torch.ones(())
    }, "the network under ema_model"),
    wrapped("options with it", lambda s: {"args": argparse.Namespace(model="mine", lr=0.1), "model": s}),
    wrapped("NumPy numbers with it", lambda s: {"model": s, "best": np.float64(0.8), "seen": np.int64(7)}),
    wrapped("training tensors beside", lambda s: named(s, "model.") | {"criterion.weight": torch.ones(5)}, "criterion"),
    wrapped("classifier beside", lambda s: backbone_and(s, "classifier.")),
    wrapped("fc beside", lambda s: backbone_and(s, "fc.")),
    wrapped("classifier of dropout and linear", lambda s: backbone_and(s, "classifier.1.")),
    wrapped("head of dropout and linear", lambda s: with_head(s, "head.1.")),
    wrapped("block chunks (DINOv2)", lambda s: {"teacher": named(chunked(s), "backbone.")}),
    wrapped("PEFT, merged", peft),
    wrapped("MAE with its decoder", lambda s: {"model": s | {
        "mask_token": torch.zeros(1, 1, 64), "decoder_embed.weight": torch.zeros(64, 192),
        "decoder_blocks.0.norm1.weight": torch.ones(64), "decoder_pos_embed": torch.zeros(1, 5, 64)}}),
    wrapped("mean of patches (fc_norm)", lambda s: s, global_pool="avg"),
    wrapped("no class token", lambda s: s, class_token=False, global_pool="avg"),
    wrapped("no classifier", lambda s: s, num_classes=0),
    wrapped("no qkv bias", lambda s: s, qkv_bias=False),
    wrapped("another MLP ratio", lambda s: s, mlp_ratio=2.5),
    wrapped("another depth", lambda s: s, "3 heads assumed, as usual for width 192", depth=3),
    wrapped("registers", lambda s: s, reg_tokens=4),
    wrapped("registers without positions", lambda s: s, reg_tokens=4, no_embed_class=True),
    wrapped("LayerScale", lambda s: s, init_values=0.1),
    wrapped("norm before the blocks", lambda s: s, pre_norm=True),
    wrapped("normalised queries tell the heads", lambda s: s, embed_dim=96, num_heads=4, qk_norm=True),
    wrapped("width with num_heads in its options", lambda s: {"model": s, "args": {"num_heads": 4}}, embed_dim=96, num_heads=4),
    wrapped("non-square, size in its options", lambda s: {"model": s, "args": {"img_size": [32, 96]}}, img_size=(32, 96)),
]  # fmt: skip


def written(name: str, write: Callable[[Path], Any], said: str = "", **options: Any) -> Form:
    return Form(name, write, said, **options)


def _saved(folder: Path, content: object, name: str = "weights.pth") -> Path:
    torch.save(content, folder / name)
    return folder / name


def _safetensors(folder: Path) -> tuple[Path, nn.Module]:
    module = vit()
    save_file(module.state_dict(), folder / "weights.safetensors", metadata={"num_heads": "3"})
    return folder / "weights.safetensors", module


def _named_bin(folder: Path) -> tuple[Path, nn.Module]:
    module = vit()
    save_file(module.state_dict(), folder / "weights.bin")
    return folder / "weights.bin", module


def _numpy_1(folder: Path) -> tuple[Path, nn.Module]:
    """NumPy 1 called the module of its numbers otherwise."""
    module = vit()
    path = folder / "weights.pth"
    torch.save(
        {"model": module.state_dict(), "best": np.float64(0.8)}, path, _use_new_zipfile_serialization=False
    )
    content = path.read_bytes()
    assert b"numpy._core.multiarray" in content
    path.write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    return path, module


def _float16(folder: Path) -> tuple[Path, nn.Module]:
    module = vit().half()
    path = _saved(folder, module.state_dict())
    return path, module.float()


def _sharded(folder: Path) -> tuple[Path, nn.Module]:
    module = vit()
    _shards(folder, module.state_dict())
    return folder / "model.safetensors.index.json", module


def _shards(folder: Path, state: State) -> None:
    keys = list(state)
    places = {
        key: f"model-0000{1 + (index > len(keys) // 2)}-of-00002.safetensors"
        for index, key in enumerate(keys)
    }
    for shard in set(places.values()):
        save_file({key: state[key] for key in keys if places[key] == shard}, folder / shard)
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _gray(folder: Path) -> tuple[Path, nn.Module]:
    module = vit(in_chans=1)
    return _saved(folder, module.state_dict()), module


def _wide(folder: Path) -> tuple[Path, nn.Module]:
    module = vit(img_size=(32, 96))
    return _saved(folder, module.state_dict()), module


def _swin(folder: Path) -> tuple[Path, nn.Module]:
    module = swin(window_size=7, img_size=112, depths=(2, 2), num_heads=(3, 6), embed_dim=36)
    masks = {"layers.0.blocks.1.attn_mask": torch.zeros((112 // 28) ** 2, 49, 49)}
    return _saved(folder, {"model": module.state_dict() | masks}), module


def _swin_448(folder: Path) -> tuple[Path, nn.Module]:
    module = randomised(timm.create_model("swin_tiny_patch4_window7_224", img_size=448, num_classes=5))
    masks = {"layers.0.blocks.1.attn_mask": torch.zeros((448 // 28) ** 2, 49, 49)}
    return _saved(folder, {"model": module.state_dict() | masks}), module


def _torchvision_vit(folder: Path) -> tuple[Path, nn.Module]:
    module = randomised(torchvision.models.VisionTransformer(32, 16, 2, 3, 192, 384, num_classes=5))
    return _saved(folder, module.state_dict()), module


def _torchvision_swin(second: bool) -> Callable[[Path], tuple[Path, nn.Module]]:
    def write(folder: Path) -> tuple[Path, nn.Module]:
        from torchvision.models import swin_transformer as home

        parts = (
            {"block": home.SwinTransformerBlockV2, "downsample_layer": home.PatchMergingV2} if second else {}
        )
        module = home.SwinTransformer([4, 4], 24, [2, 2], [2, 4], [4, 4], num_classes=5, **parts)
        return _saved(folder, {"state_dict": named(randomised(module).state_dict(), "module.")}), module

    return write


def _jax(folder: Path) -> tuple[Path, nn.Module]:
    """The arrays as Google's code writes them: kernels transposed, heads apart."""
    module = vit()
    state = {key: value.numpy() for key, value in module.state_dict().items()}
    arrays = {
        "cls": state["cls_token"],
        "embedding/kernel": state["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
        "embedding/bias": state["patch_embed.proj.bias"],
        "Transformer/posembed_input/pos_embedding": state["pos_embed"],
        "Transformer/encoder_norm/scale": state["norm.weight"],
        "Transformer/encoder_norm/bias": state["norm.bias"],
        "head/kernel": state["head.weight"].T,
        "head/bias": state["head.bias"],
    }
    for block in range(2):
        here, there = f"blocks.{block}", f"Transformer/encoderblock_{block}"
        attention = f"{there}/MultiHeadDotProductAttention_1"
        weights = np.split(state[f"{here}.attn.qkv.weight"], 3)
        biases = np.split(state[f"{here}.attn.qkv.bias"], 3)
        for part, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
            arrays[f"{attention}/{part}/kernel"] = weight.T.reshape(192, 3, 64)
            arrays[f"{attention}/{part}/bias"] = bias.reshape(3, 64)
        arrays[f"{attention}/out/kernel"] = state[f"{here}.attn.proj.weight"].T.reshape(3, 64, 192)
        arrays[f"{attention}/out/bias"] = state[f"{here}.attn.proj.bias"]
        for index, norm in ((0, "norm1"), (2, "norm2")):
            arrays[f"{there}/LayerNorm_{index}/scale"] = state[f"{here}.{norm}.weight"]
            arrays[f"{there}/LayerNorm_{index}/bias"] = state[f"{here}.{norm}.bias"]
        for index, layer in ((0, "fc1"), (1, "fc2")):
            arrays[f"{there}/MlpBlock_3/Dense_{index}/kernel"] = state[f"{here}.mlp.{layer}.weight"].T
            arrays[f"{there}/MlpBlock_3/Dense_{index}/bias"] = state[f"{here}.mlp.{layer}.bias"]
    np.savez(folder / "weights.npz", **arrays)
    return folder / "weights.npz", module


def _clip(folder: Path) -> tuple[Path, nn.Module]:
    """OpenCLIP's own names of its picture network, with the text network beside it."""
    module = randomised(timm.create_model("vit_xsmall_patch16_clip_224", num_classes=64))
    with torch.no_grad():
        module.head.bias.zero_()
    swaps = (
        ("blocks.", "transformer.resblocks."), ("attn.qkv.", "attn.in_proj_"), ("attn.proj.", "attn.out_proj."),
        ("norm_pre", "ln_pre"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"), ("norm1", "ln_1"), ("norm2", "ln_2"),
        ("patch_embed.proj", "conv1"),
    )  # fmt: skip
    found = {}
    for key, value in module.state_dict().items():
        if key == "head.bias":
            continue
        for ours, theirs in swaps:
            key = key.replace(ours, theirs)
        if key.startswith("norm."):
            key = key.replace("norm.", "ln_post.")
        if key == "head.weight":
            key, value = "proj", value.T
        key, value = {
            "cls_token": ("class_embedding", value.flatten()),
            "pos_embed": ("positional_embedding", value[0] if value.ndim == 3 else value),
        }.get(key, (key, value))
        found[f"visual.{key}"] = value.clone()
    found |= {
        "token_embedding.weight": torch.ones(9, 8),
        "transformer.resblocks.0.ln_1.weight": torch.ones(8),
    }
    path = folder / "vit_xsmall_patch16_clip_224.pt"
    torch.save(found, path)
    return path, module


def _clip_trunk(folder: Path) -> tuple[Path, nn.Module]:
    module = vit()
    with torch.no_grad():
        module.head.bias.zero_()
    state = module.state_dict()
    found = {f"visual.trunk.{key}": value for key, value in state.items() if not key.startswith("head.")}
    found |= {
        "visual.head.proj.weight": state["head.weight"],
        "text.token_embedding.weight": torch.ones(9, 8),
    }
    return _saved(folder, found, "open_clip_pytorch_model.bin"), module


def _mlp_head(folder: Path) -> tuple[Path, nn.Module]:
    module = vit(num_classes=0)
    heads = {
        "head.0.weight": torch.ones(9, 192),
        "head.0.bias": torch.ones(9),
        "head.2.weight": torch.ones(5, 9),
    }
    return _saved(folder, module.state_dict() | heads), module


def _timm_folder(folder: Path) -> tuple[Path, nn.Module]:
    module = vit()
    save_file(module.state_dict(), folder / "model.safetensors")
    config = {
        "architecture": "vit_base_patch16_224",
        "num_classes": 5,
        "model_args": TINY,
        "pretrained_cfg": {"mean": [0.1] * 3},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder, module


def _timm_folder_of_shards(folder: Path) -> tuple[Path, nn.Module]:
    module = vit()
    _shards(folder, module.state_dict())
    config = {"architecture": "vit_base_patch16_224", "num_classes": 5, "model_args": TINY}
    (folder / "config.json").write_text(json.dumps(config))
    return folder, module


def _card(folder: Path) -> tuple[Path, nn.Module]:
    module = vit(embed_dim=40, num_heads=5)
    save_file(module.state_dict(), folder / "small.safetensors")
    options = {**TINY, "embed_dim": 40, "num_heads": 5}
    card = {"timm": {"architecture": "vit_base_patch16_224", "kwargs": options}, "labels": list("abcde")}
    (folder / "small.json").write_text(json.dumps(card))
    return folder / "small.safetensors", module


FILES = [
    written("safetensors", _safetensors),
    written("safetensors named .bin", _named_bin),
    written("float16", _float16),
    written("torch's old format, numbers of NumPy 1", _numpy_1),
    written("index and shards", _sharded),
    written("one channel", _gray, "takes gray", tolerance=1e-5, channels=1),
    written("non-square, size given", _wide, options={"image_size": (32, 96)}),
    written("non-square, size unknown", lambda f: (_wide(f)[0], None), "positions for 12 patches, which are no square"),
    written("classifier of two layers", _mlp_head, "without its classifier, which is more than one linear layer"),
    written("width without heads", lambda f: (_saved(f, vit(embed_dim=96).state_dict()), None), "how many heads it has"),
    written("Swin of other depths and widths", _swin),
    written("Swin trained at 448", _swin_448),
    written("torchvision ViT", _torchvision_vit, "3 heads assumed"),
    written("torchvision Swin", _torchvision_swin(False)),
    written("torchvision Swin V2", _torchvision_swin(True)),
    written("JAX .npz", _jax, tolerance=1e-5),
    written("OpenCLIP, its own names", _clip),
    written("OpenCLIP, a trunk of timm", _clip_trunk, "without 1 tensor beside the network"),
    written("timm folder", _timm_folder),
    written("timm folder of shards", _timm_folder_of_shards),
    written("card beside the file", _card),
]  # fmt: skip


def raw(name: str, file: str, content: bytes, said: str) -> Form:
    def write(folder: Path) -> tuple[Path, None]:
        (folder / file).write_bytes(content)
        return folder / file, None

    return Form(name, write, said)


def _zip(folder: Path, file: str, names: list[str]) -> Path:
    import zipfile

    with zipfile.ZipFile(folder / file, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return folder / file


def _traced(folder: Path) -> tuple[Path, None]:
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), folder / "model.pt")
    return folder / "model.pt", None


def _exported(folder: Path) -> tuple[Path, None]:
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), folder / "model.pt2")
    return folder / "model.pt2", None


def _truncated(suffix: str) -> Callable[[Path], tuple[Path, None]]:
    def write(folder: Path) -> tuple[Path, None]:
        path = folder / f"weights.{suffix}"
        state = {"pos_embed": torch.zeros(1, 197, 192)}
        if suffix == "safetensors":
            save_file(state, path)
        else:
            torch.save(state, path)
        path.write_bytes(path.read_bytes()[:9000])
        return path, None

    return write


def _adapter_folder(folder: Path) -> tuple[Path, None]:
    (folder / "adapter_config.json").write_text("{}")
    save_file(
        {"base_model.model.blocks.0.attn.qkv.lora_A.weight": torch.ones(4, 192)},
        folder / "adapter_model.safetensors",
    )
    return folder, None


def _missing_shards(folder: Path) -> tuple[Path, None]:
    _shards(folder, {"a": torch.ones(2), "b": torch.ones(2), "c": torch.ones(2), "d": torch.ones(2)})
    (folder / "model-00002-of-00002.safetensors").unlink()
    return folder / "model.safetensors.index.json", None


class Hook:
    """Something a training program keeps in its checkpoint."""


def theirs(name: str, said: str, *keys: str) -> Form:
    """A state dict with the names of another library."""
    return Form(
        name, lambda folder: (_saved(folder, {key: torch.zeros(192, 192) for key in keys}), None), said
    )


_LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 346284714\n"
_WITHOUT = "without its config; open the folder that has its config.json"
REFUSED = [
    Form("LoRA adapter", lambda f: (_saved(f, {"model.blocks.0.attn.qkv.lora_A.default.weight": torch.ones(4, 192)}), None),
         "holds an adapter (LoRA"),
    Form("LoRA adapter folder", _adapter_folder, "is an adapter (PEFT)"),
    Form("LoRA beside its base, not merged", lambda f: (_saved(f, vit().state_dict() | {
        "blocks.0.attn.qkv.lora_A.weight": torch.ones(4, 192)}), None), "merge_and_unload()"),
    Form("optimizer", lambda f: (_saved(f, {"state": {0: {"step": torch.ones(())}}, "param_groups": [{"lr": 1}]}), None),
         "holds the state of an optimizer"),
    Form("optimizer under a name", lambda f: (_saved(f, {"optimizer": {"state": {0: {"m": torch.ones(3)}}, "param_groups": []}}),
         None), "holds the state of an optimizer"),
    raw("ONNX", "model.onnx", b"\x08\x08\x12\x07pytorch\x1a\x052.1.0", "is an ONNX model"),
    raw("ONNX under another name", "model.bin", b"\x08\x08\x12\x07pytorch\x1a\x052.1.0", "is an ONNX model"),
    Form("TorchScript", _traced, "is a TorchScript program"),
    Form("exported program", _exported, "is an exported program"),
    raw("GGUF", "model.gguf", b"GGUF\x03\0\0\0" + bytes(40), "is a GGUF file"),
    raw("HDF5 (Keras)", "model.h5", b"\x89HDF\r\n\x1a\n" + bytes(40), "is an HDF5 file, as Keras writes"),
    Form("Keras 3", lambda f: (_zip(f, "model.keras", ["metadata.json", "config.json", "model.weights.h5"]), None),
         "is a Keras file"),
    raw("TensorFlow graph", "saved_model.pb", b"\x08\x01\x12\xc4\x8e", "is a TensorFlow graph"),
    raw("TensorFlow checkpoint", "ckpt.data-00000-of-00001", bytes(range(100)), "a part of a TensorFlow checkpoint"),
    raw("TensorFlow Lite", "model.tflite", b"\x1c\0\0\0TFL3" + bytes(40), "is a TensorFlow Lite model"),
    raw("Flax", "flax_model.msgpack", b"\x83\xa6params" + bytes(40), "is a Flax file"),
    Form("zip", lambda f: (_zip(f, "model.zip", ["readme.txt", "model.pth"]), None), "is a zip archive; unpack it"),
    raw("gzip", "model.tar.gz", b"\x1f\x8b\x08" + bytes(40), "is a gzip archive; unpack it"),
    raw("Git LFS pointer", "model.safetensors", _LFS, "is only a Git LFS pointer"),
    raw("web page", "model.pth", b"\n<!DOCTYPE html>\n<html><title>Sign in</title>", "is a web page, not weights"),
    raw("JPEG", "weights.pth", b"\xff\xd8\xff\xe0" + bytes(40), "is a JPEG picture"),
    Form("index without shards", _missing_shards, "lists 2 weight files, and model-00002-of-00002.safetensors is not beside it"),
    raw("another JSON", "settings.json", b'{"lr": 0.1}', "is a JSON text, not weights"),
    raw("empty", "model.pth", b"", "is empty"),
    Form("cut off, safetensors", _truncated("safetensors"), "is cut off: 0.0 of 0.2 MB are there"),
    Form("cut off, torch", _truncated("pth"), "is cut off or damaged"),
    Form("quantised", lambda f: (_saved(f, {"patch_embed.proj.weight": torch.ones(3, 3, dtype=torch.int8)}), None), "quantised"),
    Form("Python objects", lambda f: (_saved(f, {"model": vit().state_dict(), "hook": Hook()}), None), "holds Python objects"),
    Form("arrays that are no ViT", lambda f: (np.savez(f / "a.npz", x=np.ones(3)), (f / "a.npz", None))[1], "not those of a ViT"),
    theirs("Hugging Face ViT", f"a Hugging Face ViT {_WITHOUT}", "vit.embeddings.patch_embeddings.projection.weight",
           "vit.encoder.layer.0.attention.attention.query.weight"),
    theirs("Hugging Face DeiT", f"a Hugging Face DeiT {_WITHOUT}", "deit.embeddings.distillation_token",
           "deit.encoder.layer.0.attention.attention.query.weight"),
    theirs("Hugging Face BEiT", f"a Hugging Face BEiT or Data2Vec {_WITHOUT}", "beit.encoder.layer.0.lambda_1",
           "beit.encoder.layer.0.attention.attention.query.weight"),
    theirs("Hugging Face Swin", f"a Hugging Face Swin {_WITHOUT}", "swin.embeddings.patch_embeddings.projection.weight",
           "swin.encoder.layers.0.blocks.0.attention.self.query.weight"),
    theirs("Hugging Face Swin V2", f"a Hugging Face Swin V2 {_WITHOUT}", "swinv2.encoder.layers.0.blocks.0.attention.self."
           "continuous_position_bias_mlp.0.weight"),
    theirs("Hugging Face DINOv2", f"a Hugging Face DINOv2 {_WITHOUT}", "encoder.layer.0.layer_scale1.lambda1",
           "encoder.layer.0.attention.attention.query.weight"),
    theirs("Hugging Face CLIP", f"a Hugging Face CLIP or SigLIP {_WITHOUT}",
           "vision_model.encoder.layers.0.self_attn.q_proj.weight", "text_model.encoder.layers.0.self_attn.q_proj.weight"),
    theirs("Hugging Face ViT-MAE", f"a Hugging Face ViT-MAE {_WITHOUT}", "decoder.decoder_layers.0.attention.attention.query.weight",
           "vit.encoder.layer.0.attention.attention.query.weight"),
    theirs("a ResNet", "is of no architecture that vitviz knows", "conv1.weight", "layer1.0.conv1.weight"),
]  # fmt: skip

FORMS = [*WRAPPED, *FILES, *REFUSED]


def logits_difference(source: nn.Module, opened: nn.Module, size: tuple[int, int], channels: int) -> float:
    """The largest difference of logits, over their largest, on one random picture."""
    generator = torch.Generator().manual_seed(1)
    picture = torch.rand(1, 3, *size, generator=generator)
    given = picture
    if channels == 1:
        given = (picture * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    with torch.no_grad():
        wanted, got = source(given), opened(picture)
    if not torch.isfinite(wanted).all() or wanted.abs().max() == 0:
        return math.nan
    return float((wanted - got).abs().max() / wanted.abs().max())
