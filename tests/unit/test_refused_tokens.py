"""A refusal of a model that no family describes names the layer and the first token that is not what it must be."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from proof_models import (
    DATA,
    DIM,
    GRID,
    Attention,
    Block,
    HandWritten,
    linear,
    plain,
    strong,
)
from torch import Tensor, nn

import vitviz
from vitviz.attention.model_check import check_model, noise
from vitviz.errors import RefusedError


class FromOthers(Attention):
    """Queries, keys or values come from tokens in another order."""

    def __init__(self, which: int, order: Callable[[Tensor], Tensor]) -> None:
        super().__init__(plain)
        self.which, self.order = which, order

    def forward(self, x: Tensor, **_: object) -> Tensor:
        parts = list(self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4))
        parts[self.which] = self.order(parts[self.which])
        return self.proj(self.attend(*parts).transpose(1, 2).flatten(2))


def exchanged(part: Tensor) -> Tensor:
    """Patches (1, 2) and (4, 4), tokens 10 and 33, change places."""
    order = torch.arange(part.shape[-2])
    order[[10, 33]] = order[[33, 10]]
    return part[..., order, :]


class One(nn.Module):
    """Token 12 gets something of its neighbour."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :12], x[:, 12:13] + x[:, 13:14], x[:, 13:]], 1)


class Some(nn.Module):
    """The grid without its patch (3, 2), or with that twice."""

    def __init__(self, twice: bool) -> None:
        super().__init__()
        self.embed, self.head = nn.Conv2d(3, DIM, 16, 16), nn.Linear(DIM, 10)
        self.first, self.blocks, self.twice = Block(), nn.Sequential(Block(), Block()), twice
        strong(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.embed(x).flatten(2).transpose(1, 2))
        place = 3 * GRID + 2
        middle = [x[:, place : place + 1]] * 2 if self.twice else []
        x = self.blocks(torch.cat([x[:, :place], *middle, x[:, place + 1 :]], 1))
        return self.head(x.mean(1))


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "mixing of one token": (
        lambda: HandWritten(Block(), One(), Block()),
        r"between blocks\.0\.attn and blocks\.2\.attn its tokens influence .*; key 12 comes from several patches at once\.",
    ),
    "linear attention": (
        lambda: HandWritten(Block(), Block(Attention(linear)), Block()),
        r"between blocks\.0\.attn and blocks\.2\.attn .*; key 0 comes from several patches at once\.",
    ),
    "mixing behind the last": (
        lambda: HandWritten(Block(), Block(), One()),
        r"behind blocks\.1\.attn its tokens .* \(in cat, token 12 comes from several patches at once\)",
    ),
    "values of others": (
        lambda: HandWritten(Block(), Block(FromOthers(2, exchanged)), Block()),
        r"keys and values of blocks\.1\.attn come .*; value 10 comes from patch \(4, 4\), its key from patch \(1, 2\)\.",
    ),
    "queries of others": (
        lambda: HandWritten(Block(), Block(FromOthers(0, exchanged)), Block()),
        r"queries and keys of blocks\.1\.attn come .*; query 10 comes from patch \(4, 4\), its key from patch \(1, 2\)\.",
    ),
    "a patch is left out": (
        lambda: Some(False),
        r"blocks\.0\.attn attends over 48 of the 49 patches, .* \(patch \(3, 2\) is not among them\)",
    ),
    "a patch is there twice": (
        lambda: Some(True),
        r"blocks\.0\.attn attends over 49 of the 49 patches, .* \(patch \(3, 2\) is there 2 times\)",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_refusal_names_the_layer_and_the_first_wrong_token(kind: str) -> None:
    make, reason = REFUSED[kind]
    model = vitviz.load_model(make(), device="cpu", data=replace(DATA, input_size=(112, 112)))
    with pytest.raises(RefusedError, match=reason) as caught:
        vitviz.trace(model, noise((112, 112)))
    assert check_model(model).reason == caught.value.message
