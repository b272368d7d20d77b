"""Torch modules that between them make Vela emit all that the simulator knows, each with its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A module, its inputs' shapes, and the bits of its activations. `flags`: more options for Vela."""

    name: str
    make: Callable[[], nn.Module]
    shapes: tuple[Shape, ...]
    bits: int = 8
    flags: tuple[str, ...] = ()


class Function(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.function(*inputs)


class Attention(nn.Module):
    """Multi-head attention over a sequence [1, S, D], written out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape

        def split(t: torch.Tensor) -> torch.Tensor:
            return t.view(batch, length, self.heads, width // self.heads).transpose(1, 2)

        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        weights = torch.softmax(q @ k.transpose(2, 3) * (width // self.heads) ** -0.5, dim=-1)
        return self.output((weights @ v).transpose(1, 2).reshape(batch, length, width))


class TransformerLayer(nn.Module):
    """Pre-norm attention and a network of two linears, with residual connections."""

    def __init__(self, width: int, heads: int, activation: nn.Module) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.network = nn.Sequential(nn.Linear(width, 2 * width), activation, nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.first(x))
        return x + self.network(self.second(x))


class GatedLayer(nn.Module):
    """RMS normalization and a gated SiLU network, as in Llama."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) + 0.5)
        self.gate, self.up = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-2) * self.weight
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


class InvertedResidual(nn.Module):
    """MobileNetV2's block."""

    def __init__(self, channels: int, out: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = channels * expand
        self.shortcut = stride == 1 and channels == out
        self.layers = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU6(),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, out, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x) if self.shortcut else self.layers(x)


def mobile_net(width: int = 8, classes: int = 10) -> nn.Module:
    """A small MobileNetV2: stem, inverted residuals, average over the image, classifier."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 2, 1),
        nn.ReLU6(),
        InvertedResidual(width, width, 1, 2),
        InvertedResidual(width, 2 * width, 2, 4),
        InvertedResidual(2 * width, 2 * width, 1, 4),
        InvertedResidual(2 * width, 4 * width, 2, 4),
        nn.Conv2d(4 * width, 8 * width, 1),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8 * width, classes),
    )


def _f(function: Callable[..., torch.Tensor]) -> Callable[[], nn.Module]:
    return lambda: Function(function)


def _convolutions() -> list[Case]:
    image = ((1, 12, 13, 11),)
    return [
        Case("linear", lambda: nn.Linear(48, 40), ((1, 48),)),
        Case("linear_wide", lambda: nn.Linear(300, 270), ((3, 300),)),
        Case("conv_1x1", lambda: nn.Conv2d(12, 20, 1), image),
        Case("conv_3x3", lambda: nn.Conv2d(12, 24, 3, padding=1), image),
        Case("conv_5x4", lambda: nn.Conv2d(12, 9, (5, 4), padding=(2, 1)), image),
        Case("conv_large_kernel", lambda: nn.Conv2d(5, 6, (11, 9), padding=4), ((1, 5, 16, 14),)),
        Case("conv_stride_2", lambda: nn.Conv2d(12, 17, 3, stride=2, padding=1), image),
        Case("conv_stride_3", lambda: nn.Conv2d(12, 7, 3, stride=(3, 2)), image),
        Case("conv_dilated", lambda: nn.Conv2d(12, 10, 3, padding=2, dilation=2), image),
        Case("conv_image", lambda: nn.Conv2d(3, 16, 3, stride=2, padding=1), ((1, 3, 32, 32),)),
        Case("conv_many_channels", lambda: nn.Conv2d(96, 80, 3, padding=1), ((1, 96, 6, 6),)),
        Case("conv_groups", lambda: nn.Conv2d(12, 16, 3, padding=1, groups=2), image),
        Case(
            "conv_size", lambda: nn.Conv2d(40, 70, 3, padding=1), ((1, 40, 24, 24),), 8, ("--optimise=Size",)
        ),
        Case("conv_1d", lambda: nn.Conv1d(10, 14, 5, padding=2), ((1, 10, 30),)),
        Case("depthwise", lambda: nn.Conv2d(20, 20, 3, padding=1, groups=20), ((1, 20, 10, 9),)),
        Case("depthwise_stride_2", lambda: nn.Conv2d(20, 20, 5, 2, 2, groups=20), ((1, 20, 11, 9),)),
        Case(
            "depthwise_dilated", lambda: nn.Conv2d(9, 9, 3, padding=2, dilation=2, groups=9), ((1, 9, 10, 9),)
        ),
        Case("transposed", lambda: nn.ConvTranspose2d(8, 10, 3, 2, 1), ((1, 8, 6, 7),)),
        Case("transposed_even", lambda: nn.ConvTranspose2d(6, 5, 2, 2), ((1, 6, 5, 5),)),
    ]


def _pools() -> list[Case]:
    image = ((1, 20, 10, 12),)
    return [
        Case("max_pool", lambda: nn.MaxPool2d(2), image),
        Case("max_pool_padded", lambda: nn.MaxPool2d(3, 2, 1), image),
        Case("average_pool", lambda: nn.AvgPool2d(2), image),
        Case("average_pool_padded", lambda: nn.AvgPool2d(3, 2, 1), image),
        Case("average_pool_uncounted", lambda: nn.AvgPool2d(3, 1, 1, count_include_pad=False), image),
        Case("global_average", lambda: nn.AdaptiveAvgPool2d(1), image),
        Case("mean_channels", _f(lambda x: x.mean(1, keepdim=True)), image),
        Case("sum_channels", _f(lambda x: x.sum(-1)), ((1, 6, 40),)),
    ]


def _activations() -> list[Case]:
    row = ((2, 37),)
    return [
        Case("relu", lambda: nn.Sequential(nn.Linear(37, 24), nn.ReLU()), row),
        Case("relu6", lambda: nn.Sequential(nn.Linear(37, 24), nn.ReLU6()), row),
        Case("leaky_relu", lambda: nn.LeakyReLU(0.1), row),
        Case("gelu", lambda: nn.GELU(), row),
        Case("silu", lambda: nn.SiLU(), row),
        Case("tanh", lambda: nn.Tanh(), row),
        Case("sigmoid", lambda: nn.Sigmoid(), row),
        Case("hardswish", lambda: nn.Hardswish(), row),
        Case("exp", _f(torch.exp), row),
        Case("softmax", lambda: nn.Softmax(-1), ((1, 5, 33),)),
        Case("layer_norm", lambda: nn.LayerNorm(40), ((1, 5, 40),)),
    ]


def _elementwise() -> list[Case]:
    pair = ((1, 6, 5, 19), (1, 6, 5, 19))
    return [
        Case("add", _f(lambda a, b: a + b), pair),
        Case("sub", _f(lambda a, b: a - b), pair),
        Case("mul", _f(lambda a, b: a * b), pair),
        Case("minimum", _f(torch.minimum), pair),
        Case("maximum", _f(torch.maximum), pair),
        Case("abs", _f(torch.abs), pair[:1]),
        Case("neg", _f(torch.neg), pair[:1]),
        Case("add_scalar", _f(lambda a: a + 0.7), pair[:1]),
        Case("rsub_scalar", _f(lambda a: 1.5 - a), pair[:1]),
        Case("mul_scalar", _f(lambda a: a * 0.3), pair[:1]),
        Case("add_row", _f(lambda a, b: a + b), ((1, 6, 5, 19), (1, 1, 5, 19))),
        Case("sub_column", _f(lambda a, b: b - a), ((1, 6, 5, 19), (1, 6, 1, 19))),
        Case("mul_last", _f(lambda a, b: a * b), ((1, 6, 5, 19), (1, 6, 5, 1))),
        Case("mul_channel", _f(lambda a, b: b * a), ((1, 6, 5, 19), (1, 6, 1, 1))),
        Case("pow", _f(lambda a: a * a), pair[:1]),
        Case("clamp", _f(lambda a: torch.clamp(a, -0.4, 0.9)), pair[:1]),
    ]


def _shapes() -> list[Case]:
    pair = ((1, 6, 5, 19), (1, 7, 5, 19))
    return [
        Case("cat", _f(lambda a, b: torch.cat((a, b), 1)), pair),
        Case("cat_last", _f(lambda a, b: torch.cat((a, b), 3)), ((1, 6, 5, 19), (1, 6, 5, 8))),
        Case("slice", _f(lambda a: a[:, 1:4, :, 3:17] + a[:, 2:5, :, 1:15]), pair[:1]),
        Case("pad", _f(lambda a: functional.pad(a, (1, 2, 3, 0))), pair[:1]),
        Case("permute", _f(lambda a: a.permute(0, 3, 1, 2).contiguous()), pair[:1]),
        Case("transpose", _f(lambda a: a.transpose(1, 2)), ((1, 21, 34),)),
    ]


def _networks() -> list[Case]:
    return [
        Case("matmul", _f(lambda a, b: a @ b), ((2, 7, 19), (2, 19, 11))),
        Case("attention", lambda: Attention(32, 4), ((1, 9, 32),)),
        Case("transformer_layer", lambda: TransformerLayer(32, 4, nn.ReLU()), ((1, 9, 32),)),
        Case("transformer_step", lambda: TransformerLayer(32, 4, nn.GELU()), ((1, 1, 32),)),
        Case("gated_layer", lambda: GatedLayer(32, 80), ((1, 1, 32),)),
        Case("mobile_net", lambda: mobile_net(), ((1, 3, 32, 32),)),
    ]


FUNCTION_BETWEEN = Case(
    "function_between",
    lambda: nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)),
    ((1, 7, 32),),
)
"""Of this, as ExecuTorch 1.4.1 lowered it, Vela 5.1.0 made a 1 x 1 convolution that is padded by six rows."""

MISCOMPILED_SLICE = Case(
    "miscompiled_slice",
    _f(lambda cache, query: cache[:, 2:4] @ query),
    ((1, 6, 64, 32), (1, 2, 32, 2)),
)
"""Of this Vela 5.1.0 makes products that all read the first of the sliced matrices."""

_IN_16_BITS = [
    "linear",
    "linear_wide",
    "conv_3x3",
    "conv_stride_2",
    "conv_image",
    "conv_many_channels",
    "depthwise",
    "max_pool",
    "average_pool",
    "global_average",
    "gelu",
    "silu",
    "tanh",
    "sigmoid",
    "softmax",
    "layer_norm",
    "add",
    "sub",
    "mul",
    "minimum",
    "maximum",
    "abs",
    "add_scalar",
    "mul_last",
    "sub_column",
    "cat",
    "slice",
    "gated_layer",
]


def cases() -> dict[str, Case]:
    """Every case by name; the names of those with 16-bit activations end in "_a16w8"."""
    narrow = [*_convolutions(), *_pools(), *_activations(), *_elementwise(), *_shapes(), *_networks()]
    found = {case.name: case for case in narrow}
    for name in _IN_16_BITS:
        case = found[name]
        found[f"{name}_a16w8"] = Case(f"{name}_a16w8", case.make, case.shapes, 16, case.flags)
    return found
