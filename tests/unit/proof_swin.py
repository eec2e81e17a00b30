"""Small hand-written Swins, in the ways in which the lecture notes and the first repositories write them."""

import torch
import torch.nn.functional as F
from proof_models import Attend, plain, strong
from torch import Tensor, nn


def partition(x: Tensor, size: int) -> Tensor:
    """B×H×W×C → (B·windows)×size²×C, windows row by row."""
    b, h, w, c = x.shape
    x = x.view(b, h // size, size, w // size, size, c).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, size * size, c)


def joined(windows: Tensor, size: int, height: int, width: int) -> Tensor:
    """The way back."""
    x = windows.view(-1, height // size, width // size, size, size, windows.shape[-1])
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, windows.shape[-1])


class WindowAttention(nn.Module):
    """Attention in windows with a relative bias; takes (B·windows)×N×C and a mask, as Microsoft's does."""

    def __init__(self, dim: int, size: int, heads: int, form: str = "plain") -> None:
        super().__init__()
        self.heads, self.form = heads, form
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.table = nn.Parameter(torch.randn((2 * size - 1) ** 2, heads))
        place = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")).flatten(1)
        apart = place[:, :, None] - place[:, None] + size - 1
        self.register_buffer("index", apart[0] * (2 * size - 1) + apart[1])

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.table[self.index].permute(2, 0, 1).expand(b, -1, -1, -1)
        if mask is not None:
            bias = bias + mask[:, None].repeat(b // len(mask), 1, 1, 1)
        mixed = FORMS[self.form](q, k, v, bias)
        return self.proj(mixed.transpose(1, 2).reshape(b, n, c))


def _plain(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    return (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1) + bias).softmax(-1) @ v


def _folded(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Heads are folded into the batch of windows."""
    return _plain(*(part.flatten(0, 1) for part in (q, k, v, bias))).view(v.shape)


def _windows_before_heads(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Windows on an axis of their own: photo × windows × heads × tokens, by matrix products."""
    return _plain(*(part[None] for part in (q, k, v, bias)))[0]


def _windows_behind_heads(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Photo × heads × windows × tokens, fused, as Nest and Hiera have them."""
    q, k, v, bias = (part.transpose(0, 1)[None] for part in (q, k, v, bias))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)[0].transpose(0, 1)


FORMS = {
    "plain": _plain,
    "heads in the batch": _folded,
    "windows before heads": _windows_before_heads,
    "windows behind heads": _windows_behind_heads,
}


class Block(nn.Module):
    """One block of windows; `kind` is what the attention module is given."""

    def __init__(
        self,
        grid: int,
        dim: int,
        heads: int,
        size: int,
        shift: int,
        masked: bool = True,
        form: str = "plain",
    ) -> None:
        super().__init__()
        self.grid, self.size, self.shift = grid, size, shift
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, size, heads, form)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.register_buffer("mask", self._mask() if shift and masked and size < grid else None)

    def _mask(self) -> Tensor:
        bands = (slice(0, -self.size), slice(-self.size, -self.shift), slice(-self.shift, None))
        region = torch.zeros(1, self.grid, self.grid, 1)
        for number, (down, across) in enumerate((a, b) for a in bands for b in bands):
            region[:, down, across] = number
        windows = partition(region, self.size).squeeze(-1)
        return (windows[:, None] != windows[:, :, None]) * -100.0

    def placed(self, x: Tensor) -> Tensor:
        """B×H×W×C as its windows have it."""
        return partition(x.roll((-self.shift, -self.shift), (1, 2)), self.size)

    def forward(self, x: Tensor) -> Tensor:
        windows = self.attn(self.placed(self.norm1(x)), self.mask)
        x = x + joined(windows, self.size, self.grid, self.grid).roll((self.shift, self.shift), (1, 2))
        return x + self.mlp(self.norm2(x))


class Merging(nn.Module):
    """2×2 tokens become one of twice the width."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(4 * dim), nn.Linear(4 * dim, 2 * dim)

    def forward(self, x: Tensor) -> Tensor:
        corners = [x[:, row::2, col::2] for row, col in ((0, 0), (1, 0), (0, 1), (1, 1))]
        return self.reduction(self.norm(torch.cat(corners, -1)))


class HandSwin(nn.Module):
    """Two stages, 8×8 and 4×4 tokens, windows of 4, 2×2 patches merged between them; the mean is read."""

    def __init__(self, masked: bool = True, form: str = "plain", shift: int = 2) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 24, 4, 4)
        options = {"masked": masked, "form": form}
        self.stage1 = nn.Sequential(Block(8, 24, 2, 4, 0, **options), Block(8, 24, 2, 4, shift, **options))
        self.merging = Merging(24)
        self.stage2 = nn.Sequential(Block(4, 48, 4, 4, 0, **options), Block(4, 48, 4, 4, 0, **options))
        self.norm, self.head = nn.LayerNorm(48), nn.Linear(48, 10)
        strong(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage1(self.embed(x).permute(0, 2, 3, 1))
        return self.head(self.norm(self.stage2(self.merging(x))).mean((1, 2)))

    @property
    def blocks(self) -> list[Block]:
        return [*self.stage1, *self.stage2]


class OneWindow(nn.Module):
    """The lecture notes' own block on a grid that one window covers, shifted all the same."""

    def __init__(self, *shifts: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 48, 16, 16)
        self.blocks = nn.Sequential(*(Block(7, 48, 3, 7, shift) for shift in shifts))
        self.head = nn.Linear(48, 10)
        strong(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.embed(x).permute(0, 2, 3, 1)).mean((1, 2)))


class Core(nn.Module):
    """An attention core that is given q, k and v."""

    def __init__(self, attend: Attend = plain) -> None:
        super().__init__()
        self.attend = attend

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.attend(q, k, v)


def by_einsum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = torch.einsum("bhid,bhjd->bhij", q, k).mul(q.shape[-1] ** -0.5).softmax(-1)
    return torch.einsum("bhij,bhjd->bhid", weights, v)


def by_einsum_other_axes(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))  # b n h d
    weights = (torch.einsum("b i h d, b j h d -> b i j h", q, k) * q.shape[-1] ** -0.5).softmax(2)
    return torch.einsum("bijh,bjhd->bihd", weights, v).transpose(1, 2)


def product_then_einsum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
    return torch.einsum("...ij,...jd->...id", weights, v)


def heads_in_the_batch(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    b, heads = q.shape[:2]
    q, k, v = (part.flatten(0, 1) for part in (q, k, v))
    weights = torch.bmm(q, k.transpose(1, 2)).mul(q.shape[-1] ** -0.5).softmax(-1)
    return torch.bmm(weights, v).unflatten(0, (b, heads))


def heads_before_the_batch(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    b, heads = q.shape[:2]
    q, k, v = (part.transpose(0, 1).flatten(0, 1) for part in (q, k, v))
    weights = torch.bmm(q, k.transpose(1, 2)).mul(q.shape[-1] ** -0.5).softmax(-1)
    return torch.bmm(weights, v).unflatten(0, (heads, b)).transpose(0, 1)


def fused_in_the_batch(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q_, k_, v_ = (part.flatten(0, 1)[:, None] for part in (q, k, v))
    return F.scaled_dot_product_attention(q_, k_, v_)[:, 0].unflatten(0, q.shape[:2])
