"""Models whose maps are easily drawn wrongly: each is built so that the truth is known."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torchvision.models import VisionTransformer as TorchvisionViT

from vitviz.images.framing import DataConfig

SIZE, PATCH, GRID, DIM, HEADS, CLASSES = 112, 16, 7, 48, 3, 10
HALF = (0.5, 0.5, 0.5)
DATA = DataConfig((SIZE, SIZE), HALF, HALF, "bicubic", 1.0, "center")


def strong(module: nn.Module, seed: int = 0) -> nn.Module:
    """In eval mode, with random weights for which attention is far from uniform."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(
                torch.randn_like(parameter)
                * (0.3 if parameter.ndim < 2 else 1.5 / parameter[0].numel() ** 0.5)
            )
    return module.eval()


def timm_vit(kind: type[VisionTransformer] = VisionTransformer, **options: object) -> VisionTransformer:
    given = {"img_size": SIZE, "patch_size": PATCH, "embed_dim": DIM, "depth": 3, "num_heads": HEADS}
    return strong(kind(**(given | {"num_classes": CLASSES} | options)))  # type: ignore[return-value]


def torchvision_vit(kind: type[TorchvisionViT] = TorchvisionViT) -> TorchvisionViT:
    return strong(kind(SIZE, PATCH, 3, HEADS, DIM, 96, num_classes=CLASSES))  # type: ignore[return-value]


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1) @ v


def exponentials(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).exp()
    return weights / weights.sum(-1, keepdim=True) @ v


def linear(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k = F.elu(q) + 1, F.elu(k) + 1
    return q @ (k.transpose(-2, -1) @ v) / (q @ k.sum(-2, keepdim=True).transpose(-2, -1))


def over_heads(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(1) @ v


def over_queries(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-2) @ v


def transposed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (k @ q.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1).transpose(-2, -1) @ v


def scaled_in_place(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
    weights.mul_(0.3)
    return weights @ v


class Attention(nn.Module):
    """Multi-head self-attention; `attend` is how it computes."""

    def __init__(self, attend: Attend = plain, heads: int = HEADS, dim: int = DIM) -> None:
        super().__init__()
        self.qkv, self.proj, self.attend, self.heads = (
            nn.Linear(dim, 3 * dim),
            nn.Linear(dim, dim),
            attend,
            heads,
        )

    def forward(self, x: Tensor, **_: object) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(self.attend(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """norm → attention → norm → MLP, each with a residual connection unless `residual` is False."""

    def __init__(self, attention: nn.Module | None = None, residual: bool = True, dim: int = DIM) -> None:
        super().__init__()
        self.attn = attention or Attention(dim=dim)
        self.norm1, self.norm2, self.residual = nn.LayerNorm(dim), nn.LayerNorm(dim), residual
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.attn(self.norm1(x))
        x = x + mixed if self.residual else mixed
        return x + self.mlp(self.norm2(x)) if self.residual else self.mlp(self.norm2(x))


class HandWritten(nn.Module):
    """A class token and a 7×7 grid; `read` turns the normalised tokens into what the head gets."""

    def __init__(
        self,
        *blocks: nn.Module,
        read: Callable[[Tensor], Tensor] = lambda x: x[:, 0],
        features: int = DIM,
        prefix: int = 1,
        last: bool = False,
    ) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, DIM, PATCH, PATCH)
        self.token = nn.Parameter(torch.randn(1, prefix, DIM))
        self.position = nn.Parameter(torch.randn(1, prefix + GRID * GRID, DIM))
        self.blocks = nn.Sequential(*(blocks or (Block(), Block(), Block())))
        self.norm, self.head = nn.LayerNorm(DIM), nn.Linear(features, CLASSES)
        self.read, self.last = read, last
        strong(self)

    def tokens(self, x: Tensor) -> Tensor:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        prefix = self.token.expand(len(x), -1, -1)
        return torch.cat([patches, prefix] if self.last else [prefix, patches], 1) + self.position

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.read(self.norm(self.blocks(self.tokens(x)))))


def mirrored(base: type[nn.Module]) -> type[nn.Module]:
    """A subclass whose forward flips its input left to right."""

    class Mirrored(base):  # type: ignore[misc, valid-type]
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.flip(-1))

    return Mirrored


def resized(base: type[nn.Module]) -> type[nn.Module]:
    """A subclass whose forward crops the middle and resizes it."""

    class Resized(base):  # type: ignore[misc, valid-type]
        def forward(self, x: Tensor) -> Tensor:
            middle = x[..., 8:-8, 8:-8]
            return super().forward(F.interpolate(middle, x.shape[-2:], mode="bilinear", antialias=True))

    return Resized


class Columns(nn.Module):
    """A patch embedding that takes patches column by column; put in place of timm's."""

    def __init__(self, embed: nn.Module) -> None:
        super().__init__()
        self.embed = embed
        for name in ("grid_size", "patch_size", "img_size", "num_patches", "strict_img_size", "flatten"):
            setattr(self, name, getattr(embed, name, None))

    def dynamic_feat_size(self, size: tuple[int, int]) -> tuple[int, int]:
        return self.embed.dynamic_feat_size(size)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x)
        return tokens.unflatten(1, (GRID, GRID)).transpose(1, 2).flatten(1, 2)


class Permuted(nn.Module):
    """A module round which the patches are permuted and put back."""

    def __init__(self, inner: nn.Module, prefix: int = 1) -> None:
        super().__init__()
        self.inner = inner
        order = torch.randperm(GRID * GRID, generator=torch.Generator().manual_seed(3)) + prefix
        self.register_buffer("order", torch.cat([torch.arange(prefix), order]))

    def forward(self, x: Tensor, **more: object) -> Tensor:
        return self.inner(x[:, self.order], **more)[:, self.order.argsort()]


def with_attention(
    module: VisionTransformer, number: int, make: Callable[[nn.Module], nn.Module]
) -> VisionTransformer:
    """A timm ViT with the attention of one block replaced."""
    module.blocks[number].attn = make(module.blocks[number].attn).eval()
    return module


class Two(nn.Module):
    """Two attentions side by side, added."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Attention(), Attention()

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) + self.second(x)


class PerHead(nn.Module):
    """One module per head."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList([Attention(heads=1) for _ in range(HEADS)])

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([head(x) for head in self.heads]).sum(0)


class Loop(Attention):
    """A loop over heads in one module."""

    def forward(self, x: Tensor, **_: object) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 3, 0, 1, 4)
        heads = [
            self.attend(*(part[head][:, None] for part in (q, k, v)))[:, 0] for head in range(self.heads)
        ]
        return self.proj(torch.cat(heads, -1))


class Ensemble(nn.Module):
    """The mean of what two networks, or one on two views of the photo, predict."""

    def __init__(
        self, first: nn.Module, second: nn.Module, view: Callable[[Tensor], Tensor] = lambda x: x
    ) -> None:
        super().__init__()
        self.first, self.second, self.view = first, second, view

    def forward(self, x: Tensor) -> Tensor:
        return (self.first(x) + self.second(self.view(x))) / 2


class Wrapped(nn.Module):
    """A model in a module of one's own."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class ClassQuery(nn.Module):
    """A last block that computes the class token's query only."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.q, self.kv = nn.LayerNorm(DIM), nn.Linear(DIM, DIM), nn.Linear(DIM, 2 * DIM)
        self.attend: Attend = plain

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        q = self.q(y[:, :1]).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        k, v = self.kv(y).unflatten(-1, (2, HEADS, -1)).permute(2, 0, 3, 1, 4)
        return x[:, :1] + self.attend(q, k, v).transpose(1, 2).flatten(2)


class Pool(nn.Module):
    """An attention pool with `queries` learned queries."""

    def __init__(self, queries: int = 1) -> None:
        super().__init__()
        self.query, self.kv = nn.Parameter(torch.randn(1, queries, DIM)), nn.Linear(DIM, 2 * DIM)
        self.attend: Attend = plain

    def forward(self, x: Tensor) -> Tensor:
        q = self.query.expand(len(x), -1, -1).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        k, v = self.kv(x).unflatten(-1, (2, HEADS, -1)).permute(2, 0, 3, 1, 4)
        return self.attend(q, k, v).transpose(1, 2).flatten(2)


class OriginalDistilled(VisionTransformer):
    """The distilled class of DeiT's own code: a second token with a head of its own, both heads averaged."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.dist_token = nn.Parameter(torch.randn(1, 1, DIM))
        self.pos_embed = nn.Parameter(torch.randn(1, 2 + GRID * GRID, DIM))
        self.head_dist = nn.Linear(DIM, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        prefix = [token.expand(len(x), -1, -1) for token in (self.cls_token, self.dist_token)]
        x = self.norm(self.blocks(torch.cat([*prefix, self.patch_embed(x)], 1) + self.pos_embed))
        return (self.head(x[:, 0]) + self.head_dist(x[:, 1])) / 2


@contextmanager
def weighing(module: nn.Module) -> Iterator[list[Tensor]]:
    """Inside, the weights of each hand-written attention are computed by themselves and collected: heads×queries×keys."""
    seen: list[Tensor] = []
    parts = [
        part
        for part in module.modules()
        if hasattr(part, "attend") and not isinstance(part.attend, nn.Module)
    ]
    given = [part.attend for part in parts]

    def weigh(attend: Attend) -> Attend:
        def attending(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            # Values that mark one key each give the weights of any way to attend.
            marks = torch.eye(k.shape[-2]).expand(*k.shape[:-2], -1, -1)
            seen.append(attend(q, k, marks)[0])
            return attend(q, k, v)

        return attending

    try:
        for part, attend in zip(parts, given, strict=True):
            part.attend = weigh(attend)
        with torch.no_grad():
            yield seen
    finally:
        for part, attend in zip(parts, given, strict=True):
            part.attend = attend
