"""Every family's layout is right, models of other libraries are exact too, and what cannot be shown is refused."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from proof_models import Wrapped
from small_models import VIT, small
from torch import Tensor, nn

import vitviz
from vitviz.attention.model_check import check_model
from vitviz.errors import MethodError, RefusedError
from vitviz.images.framing import DataConfig
from vitviz.images.photo import Photo

TINY = DataConfig(
    input_size=(64, 64),
    mean=(0.5,) * 3,
    std=(0.5,) * 3,
    interpolation="bicubic",
    crop_pct=1.0,
    crop_mode="center",
)


def loaded(module: nn.Module, size: tuple[int, int] = (64, 64)) -> vitviz.Model:
    from dataclasses import replace

    return vitviz.load_model(module, device="cpu", data=replace(TINY, input_size=size))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_tiny_patch16_224", VIT),
        ("vit_tiny_patch16_224", VIT | {"img_size": (48, 80)}),
        ("deit_tiny_distilled_patch16_224", VIT),
        ("vit_medium_patch16_reg4_gap_256", VIT),
        ("beit_base_patch16_224", VIT),
        ("eva02_tiny_patch14_224", VIT),
        ("vit_relpos_small_patch16_224", VIT),
        ("vit_base_patch16_siglip_224", VIT),
    ],
)
def test_described_layouts_are_those_read_off_the_model(name: str, options: dict[str, object]) -> None:
    module = small(name, **options)
    size = options["img_size"] if isinstance(options["img_size"], tuple) else (64, 64)
    described = vitviz.trace(loaded(module, size), noise(size)).layers
    read = vitviz.trace(loaded(Wrapped(module), size), noise(size)).layers  # in a class that no family knows
    assert [layer.layout.patches for layer in read] == [layer.layout.patches for layer in described]
    assert [len(layer.layout.prefix) for layer in read] == [len(layer.layout.prefix) for layer in described]
    assert [layer.pooling for layer in read] == [layer.pooling for layer in described]
    for one, other in zip(read, described, strict=True):
        np.testing.assert_array_equal(one.attention(), other.attention())


def noise(size: tuple[int, int]) -> Photo:
    from vitviz.attention.model_check import noise

    return noise(size)


class HandWritten(nn.Module):
    """The ViT of a tutorial, around nn.TransformerEncoder."""

    def __init__(self, pool: str = "class", norm_first: bool = True, batch_first: bool = True) -> None:
        super().__init__()
        self.pool, self.batch_first = pool, batch_first
        self.embed = nn.Conv2d(3, 32, 16, 16)
        self.token = nn.Parameter(torch.randn(1, 1, 32))
        self.position = nn.Parameter(torch.randn(1, 17, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=batch_first, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.head = nn.Linear(32, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
        x = self.encoder(x) if self.batch_first else self.encoder(x.transpose(0, 1)).transpose(0, 1)
        return self.head(x[:, 0] if self.pool == "class" else x[:, 1:].mean(1))


@pytest.mark.parametrize("pool", ["class", "mean"])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
def test_a_hand_written_vit_is_laid_out_by_probing(pool: str, batch_first: bool, norm_first: bool) -> None:
    torch.manual_seed(0)
    model = loaded(HandWritten(pool, norm_first, batch_first).eval())
    report = check_model(model)
    assert report.exact, report.reason
    assert report.logits_error <= 1e-6
    trace = vitviz.trace(model, noise((64, 64)))
    assert trace.patches.cell == (16, 16)
    assert (trace.patches.rows, trace.patches.cols) == (4, 4)
    assert trace.readout.kind == pool
    assert trace.prefix == ("class",)
    # the naive reference: the layer's own attention asked for its weights
    given = []
    for layer in model.module.encoder.layers:
        layer.self_attn.register_forward_hook(lambda _m, args, _o: given.append(args[0]))
    with torch.no_grad():
        model.module(torch.from_numpy(trace.framing.apply(trace.photo))[None])
        for layer, block, x in zip(trace.layers, model.module.encoder.layers, given, strict=True):
            block.self_attn._forward_hooks.clear()
            _, weights = block.self_attn(x, x, x, need_weights=True, average_attn_weights=False)
            np.testing.assert_allclose(layer.attention(), weights[0], atol=1e-5)


def torchvision_vit() -> nn.Module:
    return torchvision.models.VisionTransformer(64, 16, 2, 4, 32, 64, num_classes=7)


def torchvision_swin(v2: bool) -> nn.Module:
    from torchvision.models import swin_transformer

    parts = {
        "block": swin_transformer.SwinTransformerBlockV2,
        "downsample_layer": swin_transformer.PatchMergingV2,
    }
    return torchvision.models.SwinTransformer(
        [4, 4], 24, [2, 2], [2, 4], [4, 4], num_classes=7, **(parts if v2 else {})
    )


def huggingface(kind: str) -> nn.Module:
    import transformers as hf

    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    square = {"image_size": 64, "patch_size": 16, "num_labels": 7}
    if kind == "swin":
        config = hf.SwinConfig(
            image_size=64, patch_size=4, embed_dim=24, depths=[2, 2], num_heads=[2, 4], window_size=4
        )
        return hf.SwinForImageClassification(config)
    if kind == "vit":
        return hf.ViTForImageClassification(hf.ViTConfig(**small, **square))
    teacher = (
        hf.DeiTForImageClassificationWithTeacher if kind == "deit teacher" else hf.DeiTForImageClassification
    )
    return teacher(hf.DeiTConfig(**small, **square))


OTHERS = {
    "torchvision vit": (torchvision_vit, (64, 64), ("class",), (4, 4)),
    "torchvision swin": (lambda: torchvision_swin(False), (64, 64), (), (16, 16)),
    "torchvision swin, padded": (lambda: torchvision_swin(False), (72, 52), (), (18, 13)),
    "torchvision swin v2, padded": (lambda: torchvision_swin(True), (72, 52), (), (18, 13)),
    "Hugging Face ViT": (lambda: huggingface("vit"), (64, 64), ("class",), (4, 4)),
    "Hugging Face DeiT": (lambda: huggingface("deit"), (64, 64), ("class", "distillation"), (4, 4)),
    "Hugging Face DeiT with teacher": (
        lambda: huggingface("deit teacher"),
        (64, 64),
        ("class", "distillation"),
        (4, 4),
    ),
    "Hugging Face Swin": (lambda: huggingface("swin"), (64, 64), (), (16, 16)),
    "Hugging Face Swin, padded": (lambda: huggingface("swin"), (72, 52), (), (18, 13)),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_models_of_other_libraries_are_exact(kind: str) -> None:
    make, size, prefix, grid = OTHERS[kind]
    torch.manual_seed(0)
    model = loaded(make().eval(), size)
    report = check_model(model)
    assert report.exact, report.reason
    assert report.logits_error == 0  # bit for bit, PyTorch's fast path included
    assert report.prefix == prefix
    trace = report.trace
    assert (trace.patches.rows, trace.patches.cols) == grid
    heatmap = vitviz.explain(trace, "rollout")
    assert heatmap.total + sum(heatmap.prefix.values()) + heatmap.leak == pytest.approx(1, abs=1e-6)


def test_padded_windows_of_other_libraries_hold_the_right_tokens() -> None:
    """The windows' slots, compared with what the attention itself projects: pad first and then roll."""
    for make in (lambda: torchvision_swin(False), lambda: huggingface("swin")):
        torch.manual_seed(0)
        module = make().eval()
        model = loaded(module, (72, 52))
        trace = vitviz.trace(model, noise((72, 52)))
        layer = trace.layers[1]
        assert layer.layout.windows.shift == (2, 2)
        assert layer.layout.windows.padding > 0
        seen = windows_projected(module, layer.name, torch.from_numpy(trace.framing.apply(trace.photo))[None])
        index = torch.from_numpy(layer.layout.windows.index)
        grid, windows = seen
        expected = torch.where(index[..., None] >= 0, grid[index.clamp_min(0)], torch.zeros(()))
        assert torch.equal(windows, expected)


def windows_projected(module: nn.Module, name: str, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """(tokens×dim before the windows are cut, windows×slots×dim as projected to q, k, v)."""
    import torch.nn.functional as F
    from torch.overrides import TorchFunctionMode

    attention = module.get_submodule(name)
    block = module.get_submodule(name.rpartition(".")[0])
    norm = block.norm1 if hasattr(block, "norm1") else block.layernorm_before
    grids: list[Tensor] = []
    projected: list[Tensor] = []

    class FirstLinear(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            if func is F.linear:
                projected.append(args[0].detach())
            return func(*args, **(kwargs or {}))

    norm.register_forward_hook(lambda _m, _i, output: grids.append(output.detach()))
    watch = FirstLinear()
    attention.register_forward_pre_hook(lambda *_: watch.__enter__() and None)
    attention.register_forward_hook(lambda *_: watch.__exit__(None, None, None))
    with torch.no_grad():
        module(inputs)
    return grids[0].reshape(-1, grids[0].shape[-1]), projected[0]


def test_distilled_heads_are_given_apart() -> None:
    for module, names in (
        (small("deit_tiny_distilled_patch16_224", **VIT), ("head", "head_dist")),
        (huggingface("deit teacher").eval(), ("cls_classifier", "distillation_classifier")),
    ):
        trace = vitviz.trace(loaded(module), noise((64, 64)))
        heads = trace.heads_logits
        assert list(heads) == ["class", "distillation"]
        np.testing.assert_allclose((heads["class"] + heads["distillation"]) / 2, trace.logits, atol=1e-6)
        assert not np.allclose(heads["class"], heads["distillation"])
        assert getattr(module, names[0]).out_features == len(heads["class"])
        best = int(heads["distillation"].argmax())
        assert trace.predictions(top=1, head="distillation")[0].index == best
        assert sum(p.probability for p in trace.predictions(top=None)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("resnet18", {}, "no attention"),
        ("convnext_atto", {}, "no attention"),
        ("xcit_nano_12_p16_224", {"depth": 2}, "over channels"),
        ("mvitv2_tiny", {}, "cannot be shown"),
        ("pvt_v2_b0", {}, "cannot be shown"),
        ("maxvit_rmlp_pico_rw_256", {}, "cannot be shown"),
        ("hiera_tiny_224", {}, "cannot be shown"),
        ("tnt_s_legacy_patch16_224", {"depth": 1}, "cannot be shown"),
        ("volo_d1_224", {}, "cannot be shown"),
        ("crossvit_tiny_240", {}, "cannot say which key is which patch"),
    ],
)
def test_models_outside_are_refused_with_the_reason(
    name: str, options: dict[str, object], reason: str
) -> None:
    model = vitviz.load_model(timm.create_model(name, **options), device="cpu")
    with pytest.raises(RefusedError, match=reason) as caught:
        vitviz.trace(model, noise((64, 64)))
    assert caught.value.message.endswith(".")
    assert check_model(model).reason == caught.value.message


def test_the_readout_of_a_model_that_reads_only_some_patches_is_refused() -> None:
    class Corner(HandWritten):
        def forward(self, x: Tensor) -> Tensor:
            x = self.embed(x).flatten(2).transpose(1, 2)
            x = self.encoder(torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position)
            return self.head(x[:, 5])

    trace = vitviz.trace(loaded(Corner().eval()), noise((64, 64)))
    for method in ("attention", "rollout"):
        with pytest.raises(
            MethodError, match=r"read from some of its patches only, the first is patch \(1, 0\)"
        ):
            vitviz.explain(trace, method)
        assert vitviz.explain(trace, method, query=(1, 0)).total > 0


def test_overlapping_patches_are_refused() -> None:
    overlapping = HandWritten()
    overlapping.embed = nn.Conv2d(3, 32, 20, 16, padding=2)
    with pytest.raises(
        RefusedError, match=r"overlap: .* up to 20×18 pixels of 64×64 .*, so none is one patch"
    ):
        vitviz.trace(loaded(overlapping.eval()), noise((64, 64)))


def test_scrambled_patches_are_laid_where_they_come_from() -> None:
    torch.manual_seed(0)
    scrambled, straight = HandWritten().eval(), HandWritten().eval()
    scrambled.load_state_dict(straight.state_dict())
    scrambled.embed = nn.Sequential(straight.embed, _Flip())
    straight.embed = nn.Sequential(
        _Flip(), _FlipInside(), straight.embed
    )  # the same tokens of a mirrored photo
    ours, mirrored = (vitviz.trace(loaded(each), noise((64, 64))) for each in (scrambled, straight))
    for layer, other in zip(ours.layers, mirrored.layers, strict=True):
        np.testing.assert_allclose(layer.attention(), other.attention(), atol=1e-6)
        assert layer.layout == other.layout


class _Flip(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flip(-1)


class _FlipInside(nn.Module):
    """Each patch mirrored in itself."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, 16)).flip(-1).flatten(-2)
