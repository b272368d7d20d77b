"""A Llama-like model's step as one delegate: the case for the simulator's speed."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class DecoderLayer(nn.Module):
    """Attention over a cache and a gated network for one token, each after an RMS normalization."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.query, self.key, self.value, self.output = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.gate, self.up = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        self.first, self.second = (nn.Parameter(torch.rand(width) + 0.5) for _ in range(2))

    def _norm(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-2) * weight

    def _rotate(self, x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
        half = self.size // 2
        return x * cosine + torch.cat((-x[..., half:], x[..., :half]), -1) * sine

    def forward(
        self,
        x: torch.Tensor,
        cosine: torch.Tensor,
        sine: torch.Tensor,
        mask: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        y = self._norm(x, self.first)
        shape = (1, self.heads, 1, self.size)
        query = self._rotate(self.query(y).view(shape), cosine, sine)
        key = self._rotate(self.key(y).view(shape), cosine, sine)
        value = self.value(y).view(shape)
        keys, values = torch.cat((keys, key), 2), torch.cat((values, value), 2)
        scores = query @ keys.transpose(2, 3) * self.size**-0.5 + mask
        x = x + self.output((torch.softmax(scores, -1) @ values).reshape(x.shape))
        y = self._norm(x, self.second)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y)), key, value


class DecoderStep(nn.Module):
    """`layers` layers and the vocabulary's projection. Inputs: x [1, 1, width], cosine and sine [1, 1, 1, size], mask
    [1, 1, 1, length + 1], then keys and values [1, heads, length, size] of each layer."""

    def __init__(self, layers: int, width: int, heads: int, hidden: int, vocabulary: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(width, heads, hidden) for _ in range(layers))
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(
        self,
        x: torch.Tensor,
        cosine: torch.Tensor,
        sine: torch.Tensor,
        mask: torch.Tensor,
        *caches: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        new: list[torch.Tensor] = []
        for index, layer in enumerate(self.layers):
            x, key, value = layer(x, cosine, sine, mask, caches[2 * index], caches[2 * index + 1])
            new += (key, value)
        return (self.head(x), *new)


def decoder_shapes(layers: int, width: int, heads: int, length: int) -> tuple[tuple[int, ...], ...]:
    """The shapes of a step's inputs."""
    size = width // heads
    row = (1, 1, 1, size)
    return ((1, 1, width), row, row, (1, 1, 1, length + 1), *([(1, heads, length, size)] * (2 * layers)))
