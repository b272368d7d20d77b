"""What is done for images keeps what the module computes, and leaves the form that quantization reads."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import ExportedProgram

from mcu_sdk.lowering.fuse.channels_last import TO_FIRST, TO_LAST
from mcu_sdk.lowering.fuse.graph import args, aten, depends_only_on, is_call
from mcu_sdk.lowering.fuse.images import prepare_images


def prepared(module: nn.Module, x: torch.Tensor) -> ExportedProgram:
    """The exported module after the pass, which is compared with the module."""
    module.eval()
    with torch.no_grad():
        program = torch.export.export(module, (x,), strict=False).run_decompositions({})
        prepare_images(program)
        torch.testing.assert_close(program.module()(x), module(x), rtol=1e-4, atol=1e-5)
    return program


def targets(program: ExportedProgram) -> list[str]:
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


def normed(norm: nn.Module) -> nn.Module:
    """A batch norm as training leaves it."""
    for value in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(value)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    return norm


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_batch_norms_go_into_what_is_before_them() -> None:
    blocks = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), normed(nn.BatchNorm2d(8)), nn.ReLU6(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8), normed(nn.BatchNorm2d(8)), nn.Hardswish(),
        nn.Conv2d(8, 6, 1, stride=2), normed(nn.BatchNorm2d(6)),
    )  # fmt: skip
    program = prepared(blocks, torch.randn(1, 3, 9, 11))
    found = targets(program)
    assert not any("batch_norm" in target for target in found)
    assert found.count("aten.linear.default") == 1 and "aten.mul.Tensor" not in found


def test_a_batch_norm_by_itself_is_a_product_and_a_sum() -> None:
    found = targets(prepared(normed(nn.BatchNorm2d(4)), torch.randn(1, 4, 3, 5)))
    assert found == ["aten.mul.Tensor", "aten.add.Tensor"]


def test_a_linear_takes_its_batch_norm() -> None:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.norm = nn.Linear(6, 4), normed(nn.BatchNorm1d(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(self.linear(x).flatten(0, 1)).reshape(1, -1, 4)

    assert "aten.mul.Tensor" not in targets(prepared(Rows(), torch.randn(1, 7, 6)))


def test_turns_between_operations_on_images_cancel_out() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 5, padding=2)
            self.scale = nn.Parameter(torch.randn(8, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = nn.functional.pad(self.first(x), (0, 1, 2, 0))
            x = torch.cat([x, nn.functional.gelu(self.second(x)) * self.scale + x], 1)
            return nn.functional.max_pool2d(x, 3, 2, 1).mean((2, 3))

    program = prepared(Residual(), torch.randn(1, 3, 8, 6))
    constants = depends_only_on(program, ())
    turns = [n for n in program.graph.nodes if is_call(n, aten.permute.default) and n not in constants]
    for turn in turns:  # around convolutions and pools, and of the input
        around = is_call(args(turn)[0], aten.conv2d.default, aten.max_pool2d.default) or any(
            is_call(user, aten.conv2d.default, aten.max_pool2d.default) for user in turn.users
        )
        assert around or args(turn)[0].op == "placeholder"
        assert list(args(turn)[1]) in (TO_FIRST, TO_LAST)


@pytest.mark.parametrize("padding", ["same", "valid", 2])
def test_convolutions_along_one_axis(padding: object) -> None:
    stack = nn.Sequential(
        nn.Conv1d(1, 6, 5, padding=padding), nn.GELU(), nn.Conv1d(6, 4, 3, stride=2, groups=2)
    )
    found = targets(prepared(stack, torch.randn(1, 1, 40)))
    assert found.count("aten.conv2d.default") == 2 and not any("conv1d" in target for target in found)


class Moves(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kind == "roll":
            return x.roll((-1, 2), (2, 3))
        if self.kind == "unfold":
            return x.unfold(2, 2, 2)
        if self.kind == "overlapping":
            return x.unfold(-1, 3, 2)
        columns = nn.functional.unfold(x, 2, stride=2)
        return nn.functional.fold(columns.flip(1), (4, 8), 2, stride=2)


@pytest.mark.parametrize("kind", ["roll", "unfold", "overlapping", "fold"])
def test_moves_of_elements(kind: str) -> None:
    found = targets(prepared(Moves(kind), torch.randn(1, 3, 4, 8)))
    assert not any(name in target for target in found for name in ("roll", "unfold", "im2col", "col2im"))


@pytest.mark.parametrize(("groups", "shape"), [(1, (1, 6, 4, 3)), (3, (1, 6, 4, 3)), (6, (1, 6, 9))])
def test_group_norms(groups: int, shape: tuple[int, ...]) -> None:
    norm = nn.GroupNorm(groups, 6)
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    assert "aten.group_norm.default" not in targets(prepared(norm, torch.randn(shape)))


def test_means_of_whole_images() -> None:
    for pool in (nn.AdaptiveAvgPool2d(1), nn.AvgPool2d(9, ceil_mode=True)):
        assert "aten.mean.dim" in targets(prepared(pool, torch.randn(1, 3, 4, 5)))


@pytest.mark.parametrize(("window", "length"), [(2, 9), (3, 9), (4, 4)])
def test_means_of_windows_side_by_side(window: int, length: int) -> None:
    program = prepared(nn.AvgPool1d(window), torch.randn(1, 3, length))
    assert "aten.avg_pool1d.default" not in targets(program)


@pytest.mark.parametrize("changed", [{"stride": 1}, {"padding": 1}, {"ceil_mode": True}])
def test_other_windows_become_those_of_images(changed: dict[str, int]) -> None:
    program = prepared(nn.AvgPool1d(2, **changed), torch.randn(1, 3, 9))
    assert "aten.avg_pool2d.default" in targets(program) and "aten.avg_pool1d.default" not in targets(program)
