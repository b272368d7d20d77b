"""Modules of tensors in, tensors out: one delegate, or the operators that stayed behind and why."""

from __future__ import annotations

import pytest
import torch
from executorch.exir._serialize._program import deserialize_pte_binary
from torch import nn

from mcu_sdk.compiler.ethos_u.module import compile_module_npu
from mcu_sdk.compiler.ethos_u.target import default_target
from mcu_sdk.errors import ModelError


class Sorted(nn.Module):
    """A linear that an NPU takes, and a sort that it does not."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sort(self.linear(x)).values


def samples(count: int = 4) -> list[tuple[torch.Tensor, ...]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(1, 8, generator=generator),) for _ in range(count)]


def delegate_calls(pte: bytes) -> int:
    plan = deserialize_pte_binary(pte).program.execution_plan[0]
    return sum(hasattr(i.instr_args, "delegate_index") for i in plan.chains[0].instructions)


@pytest.mark.parametrize("bits", [8, 16])
def test_perceptron_is_one_delegate(bits: int) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    target = default_target("ethos-u55-128", 8 if bits == 8 else 16)
    compiled = compile_module_npu(module, samples()[0], samples(), target)
    assert compiled.facts["cpu_operators"] == [] and compiled.facts["npu_delegates"] == 1
    assert delegate_calls(compiled.pte) == 1 and len(compiled.delegates) == 1
    summary = compiled.delegates[0].vela_summary
    assert summary.macs >= 8 * 16 + 16 * 4 and summary.cycles > 0 and summary.layers
    assert compiled.delegates[0].tosa[4:8] == b"TOSA"
    assert len(compiled.names) == 3  # quantize, the delegate, dequantize


def test_what_stays_on_the_processor_is_named_with_a_reason() -> None:
    torch.manual_seed(0)
    compiled = compile_module_npu(Sorted(), samples()[0], samples(), default_target("ethos-u55-128"))
    left = compiled.facts["cpu_operators"]
    assert [entry["operator"] for entry in left] == ["aten.sort"]
    assert left[0]["reason"] and left[0]["name"]
    assert delegate_calls(compiled.pte) == 1


def test_nothing_for_the_npu_is_an_error() -> None:
    class Sort(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sort(x).values

    with pytest.raises(ModelError, match="took none of it"):
        compile_module_npu(Sort(), samples()[0], samples(), default_target("ethos-u55-128"))


def test_calibration_without_data_is_an_error() -> None:
    with pytest.raises(ModelError, match="calibrate"):
        compile_module_npu(nn.Linear(8, 8), samples()[0], [], default_target("ethos-u55-128"))
