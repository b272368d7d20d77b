"""Packing int8 weights in the graph: the same results, each constant once, aligned in the .pte."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.export import ExportedProgram, export

import mcu_sdk.operators.reference  # noqa: F401  registers torch.ops.mcu
from mcu_sdk.lowering.lower import lower
from mcu_sdk.lowering.pack import pack_weights
from mcu_sdk.planning.instruction import Tensor
from mcu_sdk.planning.plan import compile_plan
from mcu_sdk.planning.pte.read import Pte, read_pte
from mcu_sdk.planning.weight_layout import layout_notes, layout_of
from mcu_sdk.project.interpret import Interpreter

mcu = torch.ops.mcu
LAYOUT = "helium-8x16"


class Weights(nn.Module):
    """Seeded buffers; the names are those of the operators' arguments."""

    def __init__(self) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(2)

    def integers(self, name: str, low: int, high: int, *shape: int, dtype: torch.dtype = torch.int8) -> None:
        self.register_buffer(name, torch.randint(low, high, shape, generator=self._generator).to(dtype))

    def floats(self, name: str, *shape: int) -> None:
        self.register_buffer(name, torch.rand(shape, generator=self._generator) + 0.01)


class Tied(Weights):
    """One table for the embedding and the last linear, as in a decoder; a linear with a bias between them."""

    def __init__(self) -> None:
        super().__init__()
        self.integers("table", -127, 128, 21, 40)
        self.integers("weight", -127, 128, 40, 40)
        for name, count in (("table_scale", 21), ("weight_scale", 40), ("bias", 40)):
            self.floats(name, count)

    def forward(self, ids: torch.Tensor) -> Any:
        x = mcu.embedding_s8(self.table, self.table_scale, ids)
        q, scale = mcu.quantize_rows(x)
        x = mcu.linear_s8(q, scale, self.weight, self.weight_scale, self.bias)
        q, scale = mcu.quantize_rows(x)
        return mcu.linear_s8(q, scale, self.table, self.table_scale, None)


class Integers(Weights):
    """Static scales: int8 all through, then float. `shift` is the largest exponent of the first linear."""

    def __init__(self, shift: int = 0, channels: int = 24) -> None:
        super().__init__()
        self.integers("first", -127, 128, channels, 50)
        self.integers("bias", -1000, 1000, channels, dtype=torch.int32)
        self.integers("multiplier", 2**30, 2**31 - 1, channels, dtype=torch.int32)
        self.integers("shift", shift - 12, shift + 1, channels, dtype=torch.int32)
        self.shift[0] = shift
        self.integers("second", -127, 128, 23, channels)
        self.integers("offset", -1000, 1000, 23, dtype=torch.int32)
        self.floats("scale", 23)

    def forward(self, x: torch.Tensor) -> Any:
        q = mcu.quantize(x, 0.02, 3)
        q = mcu.linear_s8_requantize(q, self.first, self.bias, self.multiplier, self.shift, -5, -100, 120)
        return mcu.linear_s8_static(q, self.second, self.offset, self.scale, None)


class ReadElsewhere(Weights):
    """The weight is a value of its own, too."""

    def __init__(self) -> None:
        super().__init__()
        self.integers("weight", -127, 128, 16, 16)
        self.floats("weight_scale", 16)

    def forward(self, x: torch.Tensor) -> Any:
        q, scale = mcu.quantize_rows(x)
        return mcu.linear_s8(q, scale, self.weight, self.weight_scale, None), self.weight.to(
            torch.float32
        ) + x


FLOATS = torch.randn(3, 50, generator=torch.Generator().manual_seed(4))
IDS = torch.tensor([[3, 0, 20, 7]])


def _packed_calls(program: ExportedProgram) -> int:
    return sum("packed" in str(node.target) for node in program.graph.nodes if node.op == "call_function")


def _results(program: ExportedProgram, *inputs: torch.Tensor) -> list[torch.Tensor]:
    results = program.module(check_guards=False)(*inputs)
    return [results] if isinstance(results, torch.Tensor) else list(results)


@pytest.mark.parametrize(
    ("module", "inputs", "weights", "calls"),
    [(Tied(), IDS, 2, 3), (Integers(), FLOATS, 2, 2)],
    ids=["tied", "integers"],
)
def test_packing_changes_no_result(module: nn.Module, inputs: torch.Tensor, weights: int, calls: int) -> None:
    program = export(module, (inputs,), strict=False).run_decompositions({})
    expected = _results(program, inputs)
    assert pack_weights(program, "rows") == 0
    assert _packed_calls(program) == 0
    assert pack_weights(program, LAYOUT) == weights
    assert _packed_calls(program) == calls
    for found, wanted in zip(_results(program, inputs), expected, strict=True):
        assert torch.equal(found, wanted)
    assert pack_weights(program, LAYOUT) == 0


@pytest.mark.parametrize(
    ("module", "inputs", "weights"),
    [
        (Integers(shift=1), FLOATS, 1),  # the vector kernel cannot shift to the left
        (Integers(channels=3), FLOATS, 0),  # five rows of padding for three; 3 columns of 16
        (ReadElsewhere(), torch.zeros(1, 16), 0),
    ],
    ids=["shift", "padding", "read elsewhere"],
)
def test_what_cannot_be_packed_stays(module: nn.Module, inputs: torch.Tensor, weights: int) -> None:
    program = export(module, (inputs,), strict=False).run_decompositions({})
    expected = _results(program, inputs)
    assert pack_weights(program, LAYOUT) == weights
    assert _packed_calls(program) == weights
    for found, wanted in zip(_results(program, inputs), expected, strict=True):
        assert torch.equal(found, wanted)


def _lowered(module: nn.Module, inputs: torch.Tensor, layout: Any) -> Pte:
    program = export(module, (inputs,), strict=False).run_decompositions({})
    pack_weights(program, layout)
    made = lower(program, {})
    return read_pte(made.pte, made.names)


@pytest.mark.parametrize("module, inputs", [(Tied(), IDS), (Integers(), FLOATS)], ids=["tied", "integers"])
def test_a_packed_pte_runs_and_compiles(module: nn.Module, inputs: torch.Tensor) -> None:
    plain, packed = (_lowered(module, inputs, layout) for layout in ("rows", LAYOUT))
    (expected,), (found,) = Interpreter(plain).run(inputs), Interpreter(packed).run(inputs)
    assert torch.equal(found, expected)
    weights = [
        argument
        for instruction in packed.instructions
        for argument in instruction.arguments
        if isinstance(argument, Tensor) and len(argument.shape) == 4 and argument.is_constant
    ]
    assert weights
    assert all(weight.offset % 16 == 0 for weight in weights)
    assert (layout_of(plain.instructions), layout_of(packed.instructions)) == ("rows", LAYOUT)
    assert (
        layout_notes(packed.instructions, helium=True) == layout_notes(plain.instructions, helium=False) == []
    )
    (note,) = layout_notes(plain.instructions, helium=True)
    assert "The weights of 2 linears lie row by row" in note
    functions = {planned.call.function for planned in compile_plan(packed).calls}
    assert any(function.endswith("_packed") for function in functions)


def test_a_tied_table_is_one_constant() -> None:
    packed = _lowered(Tied(), IDS, LAYOUT)
    tables = [
        instruction.arguments[index]
        for instruction in packed.instructions
        for index, name in ((0, "mcu::embedding_s8"), (2, "mcu::linear_s8"))
        if instruction.operator == name
    ]
    assert len(tables) == 3
    assert isinstance(tables[0], Tensor)
    assert isinstance(tables[2], Tensor)
    assert tables[0].shape == (3, 3, 8, 16)
    assert tables[0].same_memory(tables[2])
