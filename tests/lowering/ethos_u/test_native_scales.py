"""Scales with which an NPU adds and multiplies in one operation: what they make of a graph, and that the values stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.fx import GraphModule, Node, symbolic_trace

from mcu_sdk.lowering.ethos_u.arithmetic import NpuArithmetic
from mcu_sdk.lowering.ethos_u.native_scales import MOST_GROWTH, settle_scales
from mcu_sdk.lowering.ethos_u.tables import dequantize, quantize
from mcu_sdk.lowering.fuse.graph import args, aten, is_call

LIMITS = {torch.int16: (-32767, 32767), torch.int8: (-128, 127)}


def through(x: Any, scale: float, dtype: torch.dtype = torch.int16, zero_point: int = 0) -> Any:
    """x, quantized and dequantized."""
    limits = (scale, zero_point, *LIMITS[dtype], dtype)
    return dequantize(quantize(x, *limits), *limits)


def settled(function: Callable[..., Any]) -> tuple[GraphModule, GraphModule]:
    """The function's graph as it is, and settled."""
    before, after = symbolic_trace(function), symbolic_trace(function)
    settle_scales(after)
    return before, after


def is_native(module: GraphModule) -> bool:
    """Whether the operands of each sum have one scale."""
    sums = [node for node in module.graph.nodes if is_call(node, aten.add.Tensor, aten.sub.Tensor)]
    return all(args(args(node)[0])[1] == args(args(node)[1])[1] for node in sums)


def call(module: GraphModule, *inputs: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = NpuArithmetic(module).run(*inputs)
    return found


def rows(count: int, size: float = 1.0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(7)
    return tuple((torch.rand(64, generator=generator) * 2 - 1) * size for _ in range(count))


@pytest.mark.parametrize(("first", "second"), [(1e-4, 3.3e-5), (2.1e-5, 1e-4), (1e-4, 1e-4), (1e-4, 1e-9)])
@pytest.mark.parametrize("operation", [aten.add.Tensor, aten.sub.Tensor])
def test_the_operands_of_a_sum_have_one_scale_and_the_sum_stays(
    first: float, second: float, operation: Any
) -> None:
    out = 2e-4

    def function(x: torch.Tensor, y: torch.Tensor) -> Any:
        return through(operation(through(x, first), through(y, second)), out)

    before, after = settled(function)
    assert is_native(after)
    x, y = rows(2)
    x, y = x * 32767 * first, y * 32767 * second
    assert (call(after, x, y) - call(before, x, y)).abs().max() <= out * 1.001


def test_a_value_of_several_sums_has_the_scale_of_all() -> None:
    """z is the smaller operand of one and the larger one of the other."""

    def function(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> Any:
        middle = through(z, 4.7e-5)
        one = through(aten.add.Tensor(through(x, 1.3e-4), middle), 2e-4)
        return through(aten.add.Tensor(middle, through(aten.sub.Tensor(one, through(y, 1e-5)), 3e-6)), 3e-4)

    before, after = settled(function)
    assert not is_native(before)
    assert is_native(after)


def test_moves_of_a_value_get_its_scale() -> None:
    def function(x: torch.Tensor, y: torch.Tensor) -> Any:
        moved = through(aten.view.default(through(y, 3.3e-5), [8, 8]), 3.3e-5)
        return through(aten.add.Tensor(through(x, 1e-4), moved), 2e-4)

    _, after = settled(function)
    scales = {float(args(node)[1]) for node in after.graph.nodes if is_call(node, quantize, dequantize)}
    assert scales == {1e-4, 2e-4}


@pytest.mark.parametrize(("growth", "native"), [(MOST_GROWTH + 1, False), (MOST_GROWTH - 1, True)])
def test_what_others_read_does_not_become_much_coarser(growth: float, native: bool) -> None:
    """A product reads y too."""

    def function(x: torch.Tensor, y: torch.Tensor) -> Any:
        operand = through(y, 1e-3 / growth)
        product = through(aten.mul.Tensor(operand, operand), 1e-9)
        return through(aten.add.Tensor(through(x, 1e-3), operand), 1e-3), product

    _, after = settled(function)
    assert is_native(after) == native


def test_products_of_int8_are_exact() -> None:
    def function(x: torch.Tensor, y: torch.Tensor) -> Any:
        product = aten.mul.Tensor(through(x, 1.0, torch.int8), through(y, 1 / 255, torch.int8, -128))
        return through(product, 1e-5)

    before, after = settled(function)
    x, y = torch.arange(-128.0, 128), torch.rand(256, generator=torch.Generator().manual_seed(3))
    exact = x.double() * (y.double() * 255).round() / 255
    assert (call(before, x, y) - exact).abs().max() > 1
    torch.testing.assert_close(call(after, x, y), exact, rtol=0, atol=1e-12)


def test_products_that_int16_does_not_hold_keep_their_scale() -> None:
    def function(x: torch.Tensor, y: torch.Tensor) -> Any:
        operands = (through(each, 1 / 255, torch.int8, -128) for each in (x, y))
        return through(aten.mul.Tensor(*operands), 1 / 32767)

    before, after = settled(function)
    assert str(after.graph) == str(before.graph)


def plus(number: float, folded: bool) -> GraphModule:
    """x plus a number that is a constant of the graph, as an integer where `folded`."""
    limits = (number / 32767, 0, *LIMITS[torch.int16], torch.int16)

    def function(x: torch.Tensor, constant: torch.Tensor) -> Any:
        integer = constant if folded else quantize(constant, *limits)
        total = through(aten.add.Tensor(through(x, 1e-4), dequantize(integer, *limits)), 1.1e-4)
        return through(aten.rsqrt.default(total), 1e-3)

    module = symbolic_trace(function)
    value = torch.tensor(32767, dtype=torch.int16) if folded else torch.tensor(number)
    module.register_buffer("number", value)
    (given,) = [node for node in module.graph.nodes if node.name == "constant"]
    with module.graph.inserting_before(given):
        given.replace_all_uses_with(module.graph.get_attr("number"))
    module.graph.erase_node(given)
    module.recompile()
    return module


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize(("steps", "stays"), [(0.49, False), (0.51, True), (7.3, True)])
def test_a_number_that_changes_no_integer_is_dropped(steps: float, stays: bool, folded: bool) -> None:
    before, after = plus(steps * 1e-4, folded), plus(steps * 1e-4, folded)
    settle_scales(after)
    assert any(is_call(node, aten.add.Tensor) for node in after.graph.nodes) == stays
    assert is_native(after)
    x = torch.rand(64, generator=torch.Generator().manual_seed(1)) + 0.5
    torch.testing.assert_close(call(after, x), call(before, x), rtol=0, atol=2e-3)


def test_a_settled_constant_keeps_its_value() -> None:
    module = plus(7.3e-4, folded=True)
    settle_scales(module)
    (constant,) = [node for node in module.graph.nodes if node.op == "get_attr"]
    (conversion,) = constant.users
    assert isinstance(conversion, Node)
    value = float(getattr(module, str(constant.target))) * float(args(conversion)[1])
    assert value == pytest.approx(7e-4)  # seven steps of x
