"""A module is compiled to what the plan's compiler takes, or refused in words: nothing is left for `generate` to refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import mcu_sdk
from mcu_sdk.board.board import load_board
from mcu_sdk.errors import ModelError
from mcu_sdk.options import Activations
from mcu_sdk.planning.plan import compile_plan
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.recipes import kernels
from mcu_sdk.recipes.compiled import CompiledModel


class Of(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., Any], *behind: nn.Module) -> None:
        super().__init__()
        self.function, self.behind = function, nn.Sequential(*behind)

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.behind(self.function(*inputs))


def behind_a_convolution(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *layers)


def behind_a_row(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU(), *layers)


IMAGE, ROW, ROWS = (1, 3, 8, 8), (1, 3, 16), (1, 4, 8)
F32, F64, S64, S32, U8, F16 = (
    torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.float16,
)  # fmt: skip

Case = tuple[nn.Module, tuple[int, ...], torch.dtype]

POOLS: dict[str, Case] = {
    name: (module, shape, F32)
    for name, module, shape in (
        ("max", behind_a_convolution(nn.MaxPool2d(2)), IMAGE),
        ("max alone", nn.MaxPool2d(3, 2, padding=1), IMAGE),
        ("max of uneven windows", behind_a_convolution(nn.MaxPool2d((3, 2), (2, 1), padding=(1, 0))), IMAGE),
        ("max, dilated", behind_a_convolution(nn.MaxPool2d(2, dilation=2)), IMAGE),
        ("max, ceil_mode", behind_a_convolution(nn.MaxPool2d(3, 2, ceil_mode=True)), IMAGE),
        ("max with places", nn.MaxPool2d(2, return_indices=True), IMAGE),
        ("max of a padded image", nn.Sequential(nn.ZeroPad2d((1, 0, 1, 0)), nn.MaxPool2d(2)), IMAGE),
        ("max, two images", nn.MaxPool2d(2), (2, 3, 8, 8)),
        ("max of an image without a batch", nn.MaxPool2d(2), (3, 8, 8)),
        ("max of a row", behind_a_row(nn.MaxPool1d(2)), ROW),
        ("max of a row alone", nn.MaxPool1d(3, 2, padding=1, dilation=2), ROW),
        ("max of a row, ceil_mode", nn.MaxPool1d(3, 2, ceil_mode=True), ROW),
        ("max of a volume", nn.MaxPool3d(2), (1, 2, 4, 4, 4)),
        ("average", behind_a_convolution(nn.AvgPool2d(2)), IMAGE),
        ("average with padding", behind_a_convolution(nn.AvgPool2d(3, 2, padding=1)), IMAGE),
        (
            "average without padding",
            behind_a_convolution(nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)),
            IMAGE,
        ),
        ("average, ceil_mode", behind_a_convolution(nn.AvgPool2d(3, 2, ceil_mode=True)), IMAGE),
        ("average, divisor", behind_a_convolution(nn.AvgPool2d(2, divisor_override=3)), IMAGE),
        ("average of a row", behind_a_row(nn.AvgPool1d(3, 2)), ROW),
        ("average of a row's windows", behind_a_row(nn.AvgPool1d(2)), ROW),
        ("average of a volume", nn.AvgPool3d(2), (1, 2, 4, 4, 4)),
        ("adaptive average", behind_a_convolution(nn.AdaptiveAvgPool2d(4)), IMAGE),
        ("adaptive average, uneven", behind_a_convolution(nn.AdaptiveAvgPool2d(3)), IMAGE),
        ("adaptive average of a row", nn.AdaptiveAvgPool1d(4), ROW),
        ("adaptive max", nn.AdaptiveMaxPool2d(2), IMAGE),
        ("power", nn.LPPool2d(2, 2), IMAGE),
    )
}

CONVOLUTIONS: dict[str, Case] = {
    name: (module, shape, F32)
    for name, module, shape in (
        ("in groups", nn.Conv2d(4, 8, 3, groups=2), (1, 4, 8, 8)),
        ("depthwise, multiplied", nn.Conv2d(4, 8, 3, groups=4), (1, 4, 8, 8)),
        ("dilated", nn.Conv2d(3, 4, 3, dilation=2, padding=2), IMAGE),
        ("dilated far", nn.Conv2d(3, 4, 2, dilation=300), (1, 3, 301, 301)),
        ("padded by itself", nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), IMAGE),
        ("same, even", nn.Conv2d(3, 4, 4, padding="same"), IMAGE),
        ("of two images", nn.Conv2d(3, 4, 3), (2, 3, 8, 8)),
        ("of a row in groups", nn.Conv1d(4, 4, 3, groups=4, dilation=2), (1, 4, 16)),
        ("of a volume", nn.Conv3d(2, 2, 2), (1, 2, 4, 4, 4)),
        ("transposed", nn.ConvTranspose2d(3, 4, 2, 2), IMAGE),
        ("transposed in groups", nn.ConvTranspose2d(4, 4, 2, 2, groups=2), (1, 4, 4, 4)),
        ("of computed weights", Of(lambda x: torch.nn.functional.conv2d(x, x[:, :, :2, :2])), IMAGE),
    )
}

TYPES: dict[str, Case] = {
    "float64": (nn.Linear(8, 4).double(), ROWS, F64),
    "float64, added": (Of(lambda x: x + 1), ROWS, F64),
    "float64, made float32": (Of(lambda x: x.float(), nn.Linear(8, 4)), ROWS, F64),
    "float16": (nn.Linear(8, 4).half(), ROWS, F16),
    "bfloat16": (Of(lambda x: x.bfloat16() * 2), ROWS, F32),
    "int64, added": (Of(lambda x: x + 1), ROWS, S64),
    "int64, multiplied as matrices": (Of(lambda x: x @ x.transpose(1, 2)), ROWS, S64),
    "int64, greatest": (Of(lambda x: x.amax(-1)), ROWS, S64),
    "int64, divided": (Of(lambda x: x // 2), ROWS, S64),
    "int64, made float": (Of(lambda x: x.float(), nn.Linear(8, 4)), ROWS, S64),
    "int32, sorted": (Of(lambda x: x.sort(-1).values), ROWS, S32),
    "uint8, shifted": (Of(lambda x: x >> 1), ROWS, U8),
    "bool, given": (Of(lambda x: x > 0), ROWS, F32),
}

FUNCTIONS: dict[str, Case] = {
    **{
        name: (Of(getattr(torch, name)), ROWS, F32)
        for name in ("atan", "asinh", "lgamma", "erfinv", "tan", "digamma", "exp2", "frac", "log2", "nonzero")
    },
    "atan2": (Of(lambda x: torch.atan2(x, x + 1)), ROWS, F32),
    "atan behind a linear": (Of(torch.atan, nn.Linear(8, 8)), ROWS, F32),
    "remainder": (Of(lambda x: torch.remainder(x, 3)), ROWS, F32),
    "a power of two tensors": (Of(lambda x: x.abs() ** x), ROWS, F32),
    "ELU alone": (nn.ELU(), ROWS, F32),
    "CELU": (nn.CELU(), ROWS, F32),
    "softplus": (nn.Softplus(beta=2), ROWS, F32),
    "PReLU": (nn.PReLU(), ROWS, F32),
    "random": (Of(lambda x: x + torch.rand(8)), ROWS, F32),
    "cumulative product": (Of(lambda x: x.cumprod(-1)), ROWS, F32),
    "greatest so far": (Of(lambda x: x.cummax(-1).values), ROWS, F32),
    "median": (Of(lambda x: x.median(-1).values), ROWS, F32),
    "sorted": (Of(lambda x: x.sort(-1).values), ROWS, F32),
    "greatest few": (Of(lambda x: x.topk(2).values), ROWS, F32),
    "least few": (Of(lambda x: x.topk(2, largest=False).values), ROWS, F32),
    "of distant axes": (Of(lambda x: x.sum((0, 2, 4))), (2, 3, 2, 3, 2), F32),
    "softmax of five axes": (nn.Softmax(1), (1, 2, 2, 3, 4), F32),
    "turned, of six axes": (Of(lambda x: x.permute(5, 3, 1, 0, 2, 4) * 2), (2, 1, 2, 3, 2, 2), F32),
    "of two lists of places": (Of(lambda x: x[:, [0, 1], [2, 3]]), ROWS, F32),
    "of what a mask takes": (Of(lambda x: x[x > 0]), ROWS, F32),
    "a norm of a volume": (nn.BatchNorm3d(2).eval(), (1, 2, 2, 2, 2), F32),
    "a norm of rows": (nn.BatchNorm1d(4).eval(), ROWS, F32),
    "a norm of an instance": (nn.InstanceNorm2d(3), IMAGE, F32),
    "twice as large": (nn.Upsample(scale_factor=2), IMAGE, F32),
    "shuffled": (nn.PixelShuffle(2), (1, 4, 4, 4), F32),
    "reflected": (nn.ReflectionPad2d(1), IMAGE, F32),
    "an einsum of five axes": (
        Of(lambda x: torch.einsum("abcde,abcdf->abcef", x, x)),
        (1, 2, 2, 3, 4),
        F32,
    ),
    "distances": (Of(lambda x: torch.cdist(x, x)), ROWS, F32),
    "a determinant": (Of(lambda x: torch.linalg.det(x)), (2, 3, 3), F32),
    "nothing": (nn.Identity(), ROWS, F32),
    "three layers": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(), ROWS, F32),
}

CASES: dict[str, Case] = {
    f"{kind}: {name}": case
    for kind, cases in (
        ("pool", POOLS), ("convolution", CONVOLUTIONS), ("type", TYPES), ("function", FUNCTIONS),
    )
    for name, case in cases.items()
}  # fmt: skip


def example(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    draw = torch.Generator().manual_seed(5)
    values = torch.randn(shape, generator=draw)
    return values.to(dtype) if dtype.is_floating_point else (values * 8).abs().to(dtype)


@pytest.mark.slow
@pytest.mark.parametrize("activations", ["static", "dynamic"])
@pytest.mark.parametrize("name", CASES)
def test_compiled_for_generate_or_refused_in_words(
    name: str, activations: Activations, tmp_path: Path
) -> None:
    module, shape, dtype = CASES[name]
    output = tmp_path / "model.pte"
    try:
        mcu_sdk.compile_module(module, example(shape, dtype), activations=activations, output=output)
    except ModelError as refused:
        assert refused.exit_code == 3 and refused.hint
        assert "expected" in refused.message and not output.exists()
    else:
        assert compile_plan(read_pte(output.read_bytes())).outputs


EARLY = {
    "pool: average, ceil_mode": "windows all end within",
    "pool: max with places": "a pool that gives places",
    "pool: max, two images": "one image at a time",
    "pool: max of an image without a batch": "of [1, channels, height, width]",
    "pool: average, divisor": "no divisor_override",
    "pool: adaptive average, uneven": "several values of a channel",
    "type: float64": "f64",
    "type: bfloat16": "no kernels for bfloat16",
    "type: int64, multiplied as matrices": "s64",
    "function: atan": "aten::atan of [1, 4, 8] has none (there is no kernel for this operator)",
    "function: nonzero": "depends on the values of tensors",
    "function: a power of two tensors": "aten::pow",
    "function: of distant axes": "are not neighbours",
    "function: of two lists of places": "2 index tensors",
}
"""What the shapes and arguments of the exported program decide, and what is said of it."""


@pytest.mark.parametrize("name", EARLY)
def test_refused_before_it_is_quantized(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_late(*arguments: Any) -> None:
        raise AssertionError("quantized before it was refused")

    monkeypatch.setattr("mcu_sdk.lowering.quantize.quantize", too_late)
    module, shape, dtype = CASES[name]
    with pytest.raises(ModelError) as refused:
        mcu_sdk.compile_module(module, example(shape, dtype))
    assert EARLY[name] in str(refused.value)


def test_pools_at_run_time_scales_are_told_apart() -> None:
    module, shape, dtype = CASES["pool: max"]
    with pytest.raises(ModelError, match="Convolutions are int8"):
        mcu_sdk.compile_module(module, example(shape, dtype), activations="dynamic")
    with pytest.raises(ModelError, match="Pools are int8 at calibrated scales"):
        mcu_sdk.compile_module(nn.MaxPool2d(2), example(shape, dtype), activations="dynamic")


def test_one_part_is_a_list_of_one() -> None:
    parts = Of(lambda x: (x.unbind(0)[0] + x.split(8, -1)[0]) * 2)
    program = torch.export.export(parts, (example(ROWS, S64),), strict=False).run_decompositions({})
    calls = [node for node in program.graph.nodes if isinstance(node.target, torch._ops.OpOverload)]
    assert len(calls) >= 4
    assert {kernels.why_no_kernel(program, node) for node in calls} == {None}


def test_nothing_is_written_that_generate_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes through until the file, its plan has the last word."""
    monkeypatch.setattr(kernels, "why_no_kernel", lambda program, node: None)
    with pytest.raises(ModelError, match=r"aten::atan\.out.*there is no kernel for this operator"):
        mcu_sdk.compile_module(Of(torch.atan), example(ROWS, F32), output=tmp_path / "model.pte")
    assert not list(tmp_path.iterdir())


def test_floats_for_a_core_without_fpu_are_refused(tmp_path: Path) -> None:
    softmax = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 4))
    arguments: dict[str, Any] = {"border": "int8", "output": tmp_path / "model.pte"}
    compiled = mcu_sdk.compile_module(softmax, example(ROWS, F32), **arguments)
    assert isinstance(compiled, CompiledModel)
    with pytest.raises(ModelError, match="has no FPU"):
        kernels.check_compiled(compiled, load_board("mps2-an385"))
