"""The same weights at other input sizes: against timm's own way, sharing, and refusals."""

import pytest
import timm
import torch
from torch import nn

from vitviz.errors import ModelError
from vitviz.models.architectures import bare_module
from vitviz.models.loading import from_module, load_model
from vitviz.models.sizes import at_size

KINDS = [
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "deit3_small_patch16_224",
    "vit_relpos_small_patch16_224",
    "vit_relpos_small_patch16_rpn_224",
    "vit_tiny_r_s16_p8_224",
    "swin_tiny_patch4_window7_224",
    "swin_s3_tiny_224",
    "swinv2_tiny_window8_256",
    "swinv2_cr_tiny_224",
    "beit_base_patch16_224",
    "eva02_tiny_patch14_224",
    "vit_small_patch16_dinov3",
    "cait_xxs24_224",
    "pit_ti_distilled_224",
    "naflexvit_base_patch16_map",
]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("steps", [(3, 1), (-1, 2)], ids=["larger", "wide"])
def test_every_kind_takes_other_sizes_and_shares_its_weights(name, steps):
    """On the meta device: shapes only, so that large models cost nothing."""
    model = from_module(bare_module(name), "as given")
    before = {key: (value, value.shape) for key, value in model.module.named_parameters()}
    size = tuple(
        side + step * model.data.multiple for side, step in zip(model.input_size, steps, strict=True)
    )
    other = at_size(model, size)
    assert other.input_size == size
    with torch.no_grad():
        answer = other.module(torch.zeros(1, 3, *size, device="meta"))
    assert answer.shape[0] == 1
    after = dict(model.module.named_parameters())
    assert all(after[key] is value and value.shape == shape for key, (value, shape) in before.items())
    made = [key for key, value in other.module.named_parameters() if value is not before[key][0]]
    assert all(key.endswith(("pos_embed", "relative_position_bias_table")) for key in made)


def by_timm(name: str, module: nn.Module, size: tuple[int, int], **options: object) -> nn.Module:
    """The same weights put into a model that timm built for the size, resized by timm's own loading."""
    other: nn.Module = timm.create_model(name, img_size=size, **options)
    home = __import__(type(other).__module__, fromlist=["checkpoint_filter_fn"])
    other.load_state_dict(home.checkpoint_filter_fn(dict(module.state_dict()), other))
    return other.eval()


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("vit_tiny_patch16_224", (96, 160), {"depth": 2}),
        ("deit_tiny_distilled_patch16_224", (96, 160), {"depth": 2}),
        ("vit_relpos_small_patch16_224", (96, 160), {"depth": 2}),
        ("swin_tiny_patch4_window7_224", (256, 208), {"depths": (2, 2, 2, 2)}),
        ("swinv2_tiny_window8_256", (320, 288), {"depths": (2, 2, 2, 2)}),
        ("beit_base_patch16_224", (96, 160), {"depth": 2}),
        ("eva02_tiny_patch14_224", (112, 168), {"depth": 2}),
    ],
)
def test_equal_to_a_model_that_timm_made_for_the_size(name, size, options):
    torch.manual_seed(0)
    module = timm.create_model(name, num_classes=5, **options)
    with torch.no_grad():
        for key, value in module.named_parameters():
            if "pos" in key:
                value.normal_(std=0.5)
    picture = torch.rand(1, 3, *size)
    with torch.no_grad():
        mine = load_model(module, device="cpu", image_size=size).module(picture)
        theirs = by_timm(name, module, size, num_classes=5, **options)(picture)
    assert torch.allclose(mine, theirs, atol=1e-5), (mine - theirs).abs().max()


def test_the_table_before_resizing_is_kept():
    module = timm.create_model("vit_tiny_patch16_224", depth=1)
    table = module.pos_embed.detach().clone()
    model = load_model(module, device="cpu", image_size=(96, 160))
    assert torch.equal(model.stored_position, table)
    assert model.module.pos_embed.shape == (1, 61, 192)
    again = at_size(model, (64, 64))
    assert torch.equal(again.stored_position, table)
    assert torch.equal(module.pos_embed, table)


def test_a_model_without_a_table_stores_none():
    assert from_module(bare_module("swin_tiny_patch4_window7_224"), "as given").stored_position is None
    assert from_module(bare_module("naflexvit_base_patch16_map"), "as given").stored_position is not None


def test_the_copy_is_independent_but_shares_memory():
    module = timm.create_model("vit_tiny_patch16_224", depth=1)
    model = load_model(module, device="cpu")
    other = at_size(model, (64, 64))
    assert other.module is not module
    assert other.module.head.weight is module.head.weight
    assert other.module.blocks[0] is not module.blocks[0]
    assert at_size(model, (224, 224)) is model
    picture = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        assert model.module(picture).shape == (1, 1000)


def test_gradients_still_reach_the_shared_weights():
    model = load_model(timm.create_model("vit_tiny_patch16_224", depth=1), device="cpu", image_size=64)
    assert all(parameter.requires_grad for parameter in model.module.parameters())


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("vit_tiny_patch16_224", (230, 230), r"multiples of 16 pixels, not 230×230; the nearest is 224×224"),
        (
            "eva02_tiny_patch14_224",
            (256, 208),
            r"multiples of 14 pixels, not 256×208; the nearest is 252×210",
        ),
        ("swin_tiny_patch4_window7_224", (225, 224), r"multiples of 4 pixels.*nearest is 224×224"),
        ("swinv2_cr_tiny_224", (256, 208), r"multiples of 32 pixels.*nearest is 256×192"),
        ("pit_ti_224", (16, 16), r"takes sizes from 40×40"),
        ("vit_tiny_patch16_224", (0, 224), r"nearest is 16×224"),
    ],
)
def test_sizes_that_do_not_work_name_the_nearest_that_do(name, size, message):
    with pytest.raises(ModelError, match=message):
        at_size(from_module(bare_module(name), "as given"), size)


def test_swin_pads_sizes_between_its_steps():
    model = at_size(from_module(bare_module("swin_tiny_patch4_window7_224"), "as given"), (256, 208))
    assert model.module(torch.zeros(1, 3, 256, 208, device="meta")).shape == (1, 1000)
    assert model.module.layers[0].blocks[0].window_size == (7, 7)


def test_modules_of_other_libraries():
    from torchvision import models

    with torch.device("meta"):
        vit, swin = models.vit_b_16(), models.swin_t()
    with pytest.raises(ModelError, match="vit_b_16 takes only the input size it was made for"):
        at_size(from_module(vit, "as given"), (256, 256))
    other = at_size(from_module(swin, "as given"), (256, 192))
    assert other.module(torch.zeros(1, 3, 256, 192, device="meta")).shape == (1, 1000)


def test_hugging_face_swin_takes_other_sizes():
    import transformers

    config = transformers.SwinConfig(
        image_size=64, embed_dim=12, depths=[1, 1], num_heads=[2, 2], window_size=4, patch_size=4
    )
    model = load_model(transformers.SwinForImageClassification(config), device="cpu", image_size=(96, 64))
    with torch.no_grad():
        assert model.module(torch.rand(1, 3, 96, 64)).logits.shape == (1, 2)
