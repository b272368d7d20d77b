"""A sequence's block divided between an NPU and the processor."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

import mcu_sdk
from mcu_sdk.lowering.ethos_u.divided import attends, is_dividable
from mcu_sdk.lowering.fuse import fuse
from mcu_sdk.npu.reference import TosaDelegate
from mcu_sdk.planning.delegate_io import place_in_scratch
from mcu_sdk.planning.instruction import Tensor
from mcu_sdk.planning.plan import compile_plan
from mcu_sdk.planning.pte.read import Pte, read_pte
from mcu_sdk.project.interpret import Interpreter
from mcu_sdk.recipes.compiled import CompiledModel
from tests.lowering.fuse.test_unread_rows import Classifier
from tests.lowering.test_sequence_s8 import LENGTH, WIDTH, Block, calls

NPU = "delegate::EthosUBackend"


def compiled(module: nn.Module, target: str, bits: int = 8) -> CompiledModel:
    return mcu_sdk.compile_module(
        module, calls()[0], calibration=calls(), target=target, activation_bits=8 if bits == 8 else 16
    )


def error(module: nn.Module, pte: Pte, made: CompiledModel) -> float:
    """Of the visible rows, with delegates as the TOSA reference model computes them; those of the simulator are equal."""
    tosa = Interpreter(pte, [TosaDelegate(delegate.tosa) for delegate in made.delegates])
    simulated, found, wanted = Interpreter(pte), [], []
    for ids, mask in calls():
        count = int(mask.sum())
        outputs = tosa.run(ids, mask)[0]
        assert torch.equal(outputs, simulated.run(ids, mask)[0])
        found.append(outputs[0, :count])
        wanted.append(module(ids, mask)[0, :count].detach())
    return float((torch.cat(found) - torch.cat(wanted)).norm() / torch.cat(wanted).norm())


@pytest.mark.parametrize("bits", [8, pytest.param(16, marks=pytest.mark.slow)])
def test_attention_and_norms_are_the_processors(bits: int) -> None:
    torch.manual_seed(0)
    module = Block(spelt_out=False)
    made = compiled(module, "ethos-u55-128", bits)
    pte = read_pte(made.pte, made.names)
    counts = Counter(instruction.operator for instruction in pte.instructions)
    assert counts[NPU] == made.facts["npu_delegates"] == len(made.delegates) == 4  # q k v; o; GELU; head
    assert counts["mcu::sequence_attention_s8"] == 1
    assert counts["mcu::embedding_s8"] == counts["mcu::embedding_s8_add_"] == 1
    assert counts["mcu::layer_norm_s16"] == 3  # the sums before two of them in them
    conversions = {name: count for name, count in counts.items() if "quantize" in name or name == "aten::add"}
    assert conversions == {"quantized_decomposed::dequantize_per_tensor": 1}  # of the head's int16
    assert not any("linear" in operator or "lookup" in operator for operator in counts)
    assert sum(delegate.vela_summary.macs for delegate in made.delegates) >= 8 * (4 * 32 * 32 + 2 * 32 * 64)
    assert error(module, pte, made) < (0.03 if bits == 8 else 0.02)
    left = {entry["operator"]: entry["reason"] for entry in made.facts["cpu_operators"]}
    assert "processor" in left["mcu.sequence_attention_s8"]


class Filled(Block):
    """What a masked word's head is: of every row a linear, a function, a norm, a linear. With `also` a linear reads the
    function's values beside the norm; with `twice` another linear and function are before it, which reads int8 so."""

    def __init__(self, also: bool = False, twice: bool = False) -> None:
        super().__init__(spelt_out=False)
        self.also, self.twice = also, twice
        self.first, self.dense = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.norm, self.beside, self.words_of = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3), nn.Linear(WIDTH, 3)

    def forward(self, ids: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        x = self.norms[0](self.words(ids) + self.places(torch.arange(LENGTH)[None]))
        x = self.norms[1](x + self.o(self.attend(x, counts).transpose(1, 2).reshape(1, LENGTH, WIDTH)))
        if self.twice:
            x = nn.functional.gelu(self.first(x))
        x = nn.functional.gelu(self.dense(x))
        found = self.words_of(self.norm(x))
        return found + self.beside(x) if self.also else found


@pytest.mark.parametrize("also, twice", [(False, False), (True, False), (False, True)])
def test_a_norm_reads_a_function_of_each_row(also: bool, twice: bool) -> None:
    """The table has one width on both sides, 16 bits; int8 error bounds as of the other blocks."""
    torch.manual_seed(2)
    module = Filled(also, twice)
    made = compiled(module, "ethos-u55-128")
    pte = read_pte(made.pte, made.names)
    assert not any("lookup" in i.operator or "gelu" in i.operator for i in pte.instructions)
    assert error(module, pte, made) < 0.03


@pytest.mark.parametrize("before", [False, True])
def test_a_classifier_has_one_row_behind_its_last_attention(before: bool) -> None:
    """Its norms behind the sums or before them; nothing that is moved into the delegates' scratch is written over."""
    torch.manual_seed(1)
    module = Classifier(before, "one").eval()
    made = compiled(module, "ethos-u55-128")
    pte = read_pte(made.pte, made.names)
    counts = Counter(instruction.operator for instruction in pte.instructions)
    assert counts["mcu::add_s16_"] + counts["mcu::add_s16"] == 2
    (attention,) = (i for i in pte.instructions if i.operator == "mcu::sequence_attention_s8")
    shapes = [value.shape for value in attention.arguments[:3] if isinstance(value, Tensor)]
    assert shapes == [(1, 1, 32), (1, 8, 32), (1, 8, 32)]
    placed = place_in_scratch(pte)
    plain, moved, found, wanted = Interpreter(pte), Interpreter(placed), [], []
    for ids, mask in calls():
        found.append(plain.run(ids, mask)[0])
        assert torch.equal(moved.run(ids, mask)[0], found[-1])
        wanted.append(module(ids, mask).detach())
    assert (torch.cat(found) - torch.cat(wanted)).norm() / torch.cat(wanted).norm() < 0.03
    copies = [call for call in compile_plan(pte).calls if "of the NPU" in call.comment]
    assert len(copies) <= 3


@pytest.mark.slow
def test_a_u85_takes_attention_too() -> None:
    torch.manual_seed(0)
    module = Block(spelt_out=False)
    made = compiled(module, "ethos-u85-128")
    pte = read_pte(made.pte, made.names)
    counts = Counter(instruction.operator for instruction in pte.instructions)
    assert counts[NPU] == 1 and "mcu::sequence_attention_s8" not in counts
    assert error(module, pte, made) < 0.03


def exported(module: nn.Module, *inputs: torch.Tensor) -> torch.export.ExportedProgram:
    return torch.export.export(module.eval(), inputs, strict=False).run_decompositions({})


def test_what_has_no_attention_is_not_divided() -> None:
    program = exported(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)), torch.randn(1, 4, 8))
    assert not attends(program) and not is_dividable(program)


def test_a_convolution_keeps_all_on_the_npu() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.block = nn.Conv1d(4, 4, 3, padding=1), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.convolution(x).transpose(1, 2)[:, None]
            return self.block(nn.functional.scaled_dot_product_attention(x + 1, x, x * 2))

    program = exported(Mixed(), torch.randn(1, 4, 6))
    assert attends(program)
    fuse(program, None, None)
    assert not is_dividable(program)
