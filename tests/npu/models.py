"""Small models that make Vela emit every operation that the simulator knows, and their lowering.

`lower` keeps what Vela made in the session's cache folder: lowering a model takes seconds, comparing it milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mcu_sdk import cache

Shapes = tuple[tuple[int, ...], ...]


class Function(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.function(*tensors)


class Attention(nn.Module):
    """Two heads of scaled dot-product attention over `x` [1, S, D], with its four linears."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        _, length, width = x.shape
        heads = [
            linear(x).reshape(1, length, 2, width // 2).transpose(1, 2) for linear in (self.q, self.k, self.v)
        ]
        scores = heads[0] @ heads[1].transpose(2, 3) * (width // 2) ** -0.5
        mixed = torch.softmax(scores, dim=-1) @ heads[2]
        return self.out(mixed.transpose(1, 2).reshape(1, length, width))


class TransformerLayer(nn.Module):
    """Pre-norm attention and an MLP, both with residuals.

    ReLU: behind a linear over several rows Vela 5.1.0 miscompiles what becomes a look-up table (docs/npu_simulator.md).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.first(x))
        return x + self.down(torch.relu(self.up(self.second(x))))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand, depthwise, project, with a residual where the shapes allow it."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, hidden, 1),
            nn.ReLU6(),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, outputs, 1),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


def mobile_net(size: int, width: int) -> nn.Module:
    """A MobileNetV2-like classifier of size x size pictures."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 2, 1),
        nn.ReLU6(),
        InvertedResidual(width, width, 1, 2),
        InvertedResidual(width, 2 * width, 2, 4),
        InvertedResidual(2 * width, 2 * width, 1, 4),
        InvertedResidual(2 * width, 3 * width, 2, 4),
        InvertedResidual(3 * width, 3 * width, 1, 4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(3 * width, 10),
    )


@dataclass(frozen=True)
class Case:
    """`make` builds the module; `shapes` are its inputs'; `bits` the activations' width."""

    make: Callable[[], nn.Module]
    shapes: Shapes
    bits: int = 8


def _function(function: Callable[..., Tensor]) -> Callable[[], nn.Module]:
    return lambda: Function(function)


PICTURE: Shapes = ((1, 8, 12, 12),)
ROWS: Shapes = ((1, 6, 40),)

CASES: dict[str, Case] = {
    "linear": Case(lambda: nn.Linear(40, 24), ((3, 40),)),
    "linear_wide": Case(lambda: nn.Linear(600, 70), ((1, 600),)),
    "mlp": Case(lambda: nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 9)), ((2, 40),)),
    "conv": Case(lambda: nn.Conv2d(8, 20, 3, padding=1), PICTURE),
    "conv_stride": Case(lambda: nn.Conv2d(8, 20, 3, stride=2, padding=1), PICTURE),
    "conv_large_kernel": Case(lambda: nn.Conv2d(3, 7, (5, 9), padding=(2, 4)), ((1, 3, 16, 20),)),
    "conv_dilated": Case(lambda: nn.Conv2d(8, 12, 3, dilation=2), PICTURE),
    "conv_few_channels": Case(lambda: nn.Conv2d(1, 5, 3), ((1, 1, 9, 11),)),
    "depthwise": Case(lambda: nn.Conv2d(12, 12, 3, padding=1, groups=12), ((1, 12, 9, 10),)),
    "depthwise_stride": Case(
        lambda: nn.Conv2d(20, 20, 5, stride=2, padding=2, groups=20), ((1, 20, 11, 11),)
    ),
    "conv_1d": Case(lambda: nn.Conv1d(10, 14, 3, padding=1), ((1, 10, 20),)),
    "transposed": Case(lambda: nn.ConvTranspose2d(6, 10, 2, stride=2), ((1, 6, 7, 5),)),
    "max_pool": Case(lambda: nn.MaxPool2d(3, 2, 1), PICTURE),
    "average_pool": Case(lambda: nn.AvgPool2d(2), PICTURE),
    "average_pool_padded": Case(lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), PICTURE),
    "global_average": Case(lambda: nn.AdaptiveAvgPool2d(1), PICTURE),
    "softmax": Case(lambda: nn.Softmax(dim=-1), ROWS),
    "layer_norm": Case(lambda: nn.LayerNorm(40), ROWS),
    "gelu": Case(lambda: nn.GELU(), ROWS),
    "silu": Case(lambda: nn.SiLU(), ROWS),
    "tanh": Case(lambda: nn.Tanh(), ROWS),
    "sigmoid": Case(lambda: nn.Sigmoid(), ROWS),
    "hardswish": Case(lambda: nn.Hardswish(), ROWS),
    "leaky_relu": Case(lambda: nn.LeakyReLU(0.2), ROWS),
    "relu6": Case(lambda: nn.ReLU6(), ROWS),
    "exp": Case(_function(torch.exp), ROWS),
    "rsqrt": Case(_function(lambda x: torch.rsqrt(x.abs() + 0.1)), ROWS),
    "matmul": Case(_function(torch.matmul), ((1, 2, 5, 16), (1, 2, 16, 7))),
    "attention": Case(lambda: Attention(32), ((1, 9, 32),)),
    "transformer_layer": Case(lambda: TransformerLayer(32), ((1, 6, 32),)),
    "mobile_net": Case(lambda: mobile_net(24, 8), ((1, 3, 24, 24),)),
    "minimum": Case(_function(torch.minimum), ROWS * 2),
    "maximum": Case(_function(torch.maximum), ROWS * 2),
    "abs": Case(_function(torch.abs), ROWS),
    "add": Case(_function(torch.add), ROWS * 2),
    "sub": Case(_function(torch.sub), ROWS * 2),
    "mul": Case(_function(torch.mul), ROWS * 2),
    "add_rows": Case(_function(torch.add), ((1, 6, 40), (1, 6, 1))),
    "add_columns": Case(_function(torch.add), ((1, 4, 6, 40), (1, 1, 1, 40))),
    "mul_rows": Case(_function(torch.mul), ((1, 4, 6, 40), (1, 4, 1, 1))),
    "add_number": Case(_function(lambda x: x + 0.5), ROWS),
    "mul_number": Case(_function(lambda x: x * -1.5), ROWS),
    "cat": Case(_function(lambda x, y: torch.cat((x, y), dim=2)), ROWS * 2),
    "cat_channels": Case(_function(lambda x, y: torch.cat((x, y), dim=1)), PICTURE * 2),
    "slice": Case(_function(lambda x: x[:, 1:5, 3:30]), ROWS),
    "pad": Case(_function(lambda x: nn.functional.pad(x, (1, 2, 3, 1))), PICTURE),
    "permute": Case(_function(lambda x: x.permute(0, 2, 3, 1)), ((1, 5, 6, 7),)),
    "mean": Case(_function(lambda x: x.mean(dim=-1, keepdim=True)), ROWS),
    "sum": Case(_function(lambda x: x.sum(dim=1, keepdim=True)), ROWS),
    "rms_norm": Case(_function(lambda x: x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 0.01)), ROWS),
    "linear_16": Case(lambda: nn.Linear(40, 24), ((3, 40),), 16),
    "conv_16": Case(lambda: nn.Conv2d(8, 20, 3, padding=1), PICTURE, 16),
    "depthwise_16": Case(lambda: nn.Conv2d(12, 12, 3, padding=1, groups=12), ((1, 12, 9, 10),), 16),
    "add_16": Case(_function(torch.add), ROWS * 2, 16),
    "mul_16": Case(_function(torch.mul), ROWS * 2, 16),
    "tanh_16": Case(lambda: nn.Tanh(), ROWS, 16),
    "silu_16": Case(lambda: nn.SiLU(), ROWS, 16),
    "softmax_16": Case(lambda: nn.Softmax(dim=-1), ROWS, 16),
    "layer_norm_16": Case(lambda: nn.LayerNorm(40), ROWS, 16),
}


@dataclass(frozen=True)
class Lowered:
    """A delegate's blob and the TOSA graph that Vela made it from."""

    blob: bytes
    tosa: bytes


def lower(name: str, accelerator: str) -> Lowered:
    """One of CASES for an accelerator; kept by name, accelerator and this file's content.

    Raises AssertionError for a model that does not become exactly one delegate.
    """
    key = cache.key_of({"npu case": name, "accelerator": accelerator, "source": Path(__file__).read_text()})
    kept = cache.load(key, ("blob.bin", "out.tosa"))
    if kept is None:
        kept = _lower(CASES[name], accelerator)
        cache.store(key, kept)
    return Lowered(kept["blob.bin"], kept["out.tosa"])


def _lower(case: Case, accelerator: str) -> dict[str, bytes]:
    import contextlib
    import io
    import tempfile
    import warnings

    from executorch.backends.arm.ethosu import EthosUCompileSpec, EthosUPartitioner
    from executorch.exir import to_edge_transform_and_lower

    torch.manual_seed(0)
    example = tuple(torch.randn(shape) for shape in case.shapes)
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        torch.no_grad(),
    ):
        warnings.simplefilter("ignore")
        spec = EthosUCompileSpec(accelerator).dump_intermediate_artifacts_to(folder)
        exported = _quantized(case, spec, example)
        edge = to_edge_transform_and_lower(exported, partitioner=[EthosUPartitioner(spec)])
        found = [
            module.processed_bytes
            for module in edge.exported_program().graph_module.modules()
            if type(module).__name__ == "LoweredBackendModule"
        ]
        assert len(found) == 1, f"{len(found)} delegates"
        return {"blob.bin": found[0], "out.tosa": (Path(folder) / "out.tosa").read_bytes()}


def _quantized(case: Case, spec: Any, example: tuple[Tensor, ...]) -> Any:
    from executorch.backends.arm.quantizer import (
        EthosUQuantizer,
        get_symmetric_a16w8_quantization_config,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    exported = torch.export.export(case.make().eval(), example)
    quantizer = EthosUQuantizer(spec)
    config = get_symmetric_a16w8_quantization_config if case.bits == 16 else get_symmetric_quantization_config
    quantizer.set_global(config())
    prepared = prepare_pt2e(exported.module(check_guards=False), quantizer)
    prepared(*example)
    for _ in range(3):
        prepared(*(torch.randn(shape) for shape in case.shapes))
    return torch.export.export(convert_pt2e(prepared), example)


def names_as_json() -> str:
    """The cases' names, for tools that start this module as a program."""
    return json.dumps(sorted(CASES))
