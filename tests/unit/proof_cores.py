"""Ways in which attention cores are written that get q, k and v as B×N×heads×d, as flash attention does."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from proof_models import DIM, HEADS, Attend, over_heads, over_queries
from torch import Tensor, nn


class FlashSelfAttention(nn.Module):
    """A module round fused attention, with tokens before heads."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(*(part.transpose(1, 2) for part in (q, k, v))).transpose(1, 2)


def by_heads(attend: Attend) -> Attend:
    """An attention written for B×heads×N×d as one for B×N×heads×d."""

    def attending(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend(*(part.transpose(1, 2) for part in (q, k, v))).transpose(1, 2)

    return attending


def _folded(part: Tensor) -> Tensor:
    return part.transpose(1, 2).flatten(0, 1)


def memory_efficient(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The reference that xformers gives for its memory-efficient attention: heads in the batch, scaled queries."""
    weights = (_folded(q) * q.shape[-1] ** -0.5 @ _folded(k).transpose(-2, -1)).softmax(-1)
    return (weights @ _folded(v)).unflatten(0, (len(q), -1)).transpose(1, 2)


def added_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scores by `baddbmm`, as the first latent diffusion models have them."""
    zero = torch.zeros(1, 1, 1)
    scores = torch.baddbmm(zero, _folded(q), _folded(k).transpose(1, 2), beta=0, alpha=q.shape[-1] ** -0.5)
    return torch.bmm(scores.softmax(-1), _folded(v)).unflatten(0, (len(q), -1)).transpose(1, 2)


def einsum_ellipsis(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = torch.einsum("...qhd,...khd->...hqk", q, k) * q.shape[-1] ** -0.5
    return torch.einsum("...hqk,...khd->...qhd", scores.softmax(-1), v)


def einsum_keys_first(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = torch.einsum("bqhd,bkhd->bhkq", q, k) * q.shape[-1] ** -0.5
    return torch.einsum("bhkq,bkhd->bqhd", scores.softmax(2), v)


def einsum_spaced(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = torch.einsum("i n h d, i m h d -> i h n m", q, k) * q.shape[-1] ** -0.5
    return torch.einsum("i h n m, i m h d -> i n h d", scores.softmax(-1), v)


@by_heads
def wide_softmax(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """A softmax that is told its precision."""
    weights = F.softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, dim=-1, dtype=torch.float32)
    return torch.matmul(weights.to(q.dtype), v)


@by_heads
def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


@by_heads
def cosine(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (10 * F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)).softmax(-1) @ v


@by_heads
def nine_keys(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Each query attends to its nine largest scores."""
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    least = scores.topk(9, -1).values[..., -1:]
    return scores.masked_fill(scores < least, -torch.inf).softmax(-1) @ v


def _weights(q: Tensor, k: Tensor) -> Tensor:
    return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)


@by_heads
def scaled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Shares times 0.3, not in place."""
    return _weights(q, k) * 0.3 @ v


@by_heads
def divided_in_place(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = _weights(q, k)
    weights /= 3
    return weights @ v


@by_heads
def one_key_left_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """What is attended to one key is set to 0 behind the softmax."""
    weights = _weights(q, k)
    weights[..., 3] = 0
    return weights @ v


@by_heads
def summed_to_two(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The uniform share is added to each row."""
    return (_weights(q, k) + 1 / k.shape[-2]) @ v


softmax_over_heads = by_heads(over_heads)
softmax_over_queries = by_heads(over_queries)


@by_heads
def additive(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scores of sums, as of Bahdanau and others (2015)."""
    return torch.tanh(q[:, :, :, None] + k[:, :, None]).sum(-1).softmax(-1) @ v


@by_heads
def distances(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (-torch.cdist(q, k)).softmax(-1) @ v


@by_heads
def logarithms(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(-2, -1)).log_softmax(-1).exp() @ v


@by_heads
def sigmoids(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(-2, -1)).sigmoid() @ v


@by_heads
def normalised_at_the_end(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The streaming form: exponentials times values, then divided by the sum."""
    scores = q @ k.transpose(-2, -1)
    scores = (scores - scores.amax(-1, keepdim=True)).exp()
    return scores @ v / scores.sum(-1, keepdim=True)


@by_heads
def summed_by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The product of weights and values without a matrix product."""
    return (_weights(q, k)[..., None] * v[:, :, None]).sum(-2)


class TokensFirst(nn.Module):
    """Multi-head self-attention whose core gets q, k and v as B×N×heads×d; `attend` computes."""

    def __init__(self, core: Callable[..., Tensor]) -> None:
        super().__init__()
        self.qkv, self.proj, self.core = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM), core

    def forward(self, x: Tensor, **_: object) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, HEADS, -1)).unbind(2)
        return self.proj(self.core(q, k, v).flatten(2))

    def weights(self, x: Tensor) -> Tensor:
        """heads×queries×keys: what the core gives for values that mark one key each."""
        q, k, _ = self.qkv(x).unflatten(-1, (3, HEADS, -1)).unbind(2)
        count = x.shape[1]
        marks = torch.eye(count)[None, :, None].expand(1, count, HEADS, count)
        return self.core(q, k, marks)[0].transpose(0, 1)


class Packed(TokensFirst):
    """The core gets q, k and v in one tensor, B×N×3×heads×d."""

    def forward(self, x: Tensor, **_: object) -> Tensor:
        return self.proj(self.core(self.qkv(x).unflatten(-1, (3, HEADS, -1))).flatten(2))

    def weights(self, x: Tensor) -> Tensor:
        q, k, _ = self.qkv(x).unflatten(-1, (3, HEADS, -1)).unbind(2)
        marks = torch.eye(x.shape[1])[None, :, None].expand(1, -1, HEADS, -1)
        return self.core.inner(q, k, marks)[0].transpose(0, 1)


class Unpacking(nn.Module):
    """Takes q, k and v in one tensor apart."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = FlashSelfAttention()

    def forward(self, qkv: Tensor) -> Tensor:
        return self.inner(*qkv.unbind(2))
