"""What is 8 and what is 16 bits wide of a module for an NPU."""

from __future__ import annotations

from collections import defaultdict
from math import prod

import pytest
import torch
from torch import nn
from torch.export import ExportedProgram
from torch.fx import Node

from mcu_sdk.board.npu_target import ActivationBits, default_target
from mcu_sdk.lowering.ethos_u.module import quantize_module
from mcu_sdk.lowering.fuse.graph import args, aten, is_call, shape_of
from tests.npu.models import TransformerLayer

DEQUANTIZE = torch.ops.quantized_decomposed.dequantize_per_tensor.default
QUANTIZE = torch.ops.quantized_decomposed.quantize_per_tensor.default
PRODUCTS = (aten.linear.default, aten.matmul.default, aten.bmm.default)
SUMS = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor)


class Texts(nn.Module):
    """Rows of a vocabulary, and a layer over them."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.layer = nn.Embedding(40, 32), TransformerLayer(32, 4, nn.GELU())

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layer(self.words(ids))
        return found


def quantized(accelerator: str, bits: ActivationBits = 8) -> tuple[ExportedProgram, float]:
    """The program, and the error of its outputs."""
    torch.manual_seed(0)
    module = Texts().eval()
    with torch.no_grad():
        module.words.weight[:, 5] *= 40  # a channel that decides the scale of the residual stream
    calls = [(torch.randint(0, 40, (1, 9)),) for _ in range(8)]
    program, facts = quantize_module(module, calls[0], calls, default_target(accelerator, bits))
    return program, facts["accuracy"]["relative_rms_error"]


def read_by(program: ExportedProgram, *targets: object) -> set[torch.dtype]:
    """The types of the activations that calls of `targets` read; of numbers of one element nothing is said."""
    found = defaultdict(set)
    for node in program.graph.nodes:
        if is_call(node, *targets):
            for source in args(node)[:2]:
                if isinstance(source, Node) and is_call(source, DEQUANTIZE) and prod(shape_of(source)) > 1:
                    found[node].add(args(source)[5])
    return set().union(*found.values())


def test_of_attention_on_a_u85_products_alone_read_int8() -> None:
    program, _ = quantized("ethos-u85-256")
    assert read_by(program, *PRODUCTS) == {torch.int8}
    assert read_by(program, *SUMS) == {torch.int16}


def test_a_function_reads_what_a_product_gave_scaled_once_more() -> None:
    """ExecuTorch 1.5.1 would take the product's int16 for int8, and refuse the function's table."""
    program, _ = quantized("ethos-u85-256")
    (function,) = [node for node in program.graph.nodes if is_call(node, aten.gelu.default)]
    second = args(args(function)[0])[0]
    first = args(args(second)[0])[0]
    assert (
        is_call(second, QUANTIZE)
        and is_call(first, QUANTIZE)
        and is_call(args(first)[0], aten.linear.default)
    )
    assert args(second)[5] == args(first)[5] == torch.int16
    assert 1 < args(second)[1] / args(first)[1] < 1.0001


def test_that_costs_a_fraction_of_int8s_error() -> None:
    """The residual stream has a channel 40 times the others."""
    (_, mixed), (_, narrow) = quantized("ethos-u85-256"), quantized("ethos-u55-128")
    assert mixed < 0.5 * narrow


@pytest.mark.parametrize(
    ("accelerator", "bits", "wanted"), [("ethos-u55-128", 8, torch.int8), ("ethos-u85-256", 16, torch.int16)]
)
def test_others_have_one_width(accelerator: str, bits: ActivationBits, wanted: torch.dtype) -> None:
    program, _ = quantized(accelerator, bits)
    assert read_by(program, *PRODUCTS, *SUMS) == {wanted}


def test_a_vocabulary_is_looked_up_in_int8() -> None:
    program, _ = quantized("ethos-u85-256")
    kinds = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert torch.ops.mcu.embedding_s8.default in kinds and aten.embedding.default not in kinds
    tables = [value for value in program.state_dict.values() if tuple(value.shape) == (40, 32)]
    tables += [
        v for v in program.constants.values() if isinstance(v, torch.Tensor) and tuple(v.shape) == (40, 32)
    ]
    assert [table.dtype for table in tables] == [torch.int8]
