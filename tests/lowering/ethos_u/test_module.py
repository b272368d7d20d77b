"""Modules of tensors in, tensors out: one delegate, or the operators that stayed behind and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from executorch.exir._serialize._program import deserialize_pte_binary
from torch import nn

from mcu_sdk.board.npu_target import default_target
from mcu_sdk.errors import ModelError
from mcu_sdk.lowering.ethos_u.module import compile_module_npu
from mcu_sdk.npu.blob import read_blob
from mcu_sdk.npu.reference import SimulatedDelegate, TosaDelegate
from mcu_sdk.planning.instruction import Tensor
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.interpret import Interpreter
from mcu_sdk.project.npu_details import count_operations
from tests.npu.models import TransformerLayer

FIXTURES = Path(__file__).parents[2] / "fixtures"


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


_OTHER_FUNCTIONS = ((nn.GELU(), 8), (nn.SiLU(), 8), (nn.Tanh(), 8), (nn.ReLU(), 16))


@pytest.mark.parametrize(
    ("function", "bits"),
    [
        (nn.ReLU(), 8),
        (nn.GELU(), 16),
        *(pytest.param(*other, marks=pytest.mark.slow) for other in _OTHER_FUNCTIONS),
    ],
)
def test_a_function_between_products_over_rows_is_compiled_rightly(function: nn.Module, bits: int) -> None:
    """Vela 5.1.0 makes a wrong convolution of it where nothing stands between (docs/npu_simulator.md)."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(16, 32), function, nn.Linear(32, 8))
    target = default_target("ethos-u55-128", 8 if bits == 8 else 16)
    inputs = [(torch.randn(1, 7, 16),) for _ in range(4)]
    compiled = compile_module_npu(module, inputs[0], inputs, target)
    pte = read_pte(compiled.pte, compiled.names)
    (data,) = [i.arguments[0] for i in pte.instructions if i.operator.startswith("delegate::")]
    assert isinstance(data, Tensor) and data.data is not None
    blob = read_blob(bytes(data.data))
    given = np.random.default_rng(0).integers(0, 256, blob.inputs[0].size_bytes, np.uint8).tobytes()
    assert SimulatedDelegate(blob).run([given]) == TosaDelegate(compiled.delegates[0].tosa).run([given])


def test_what_is_compiled_wrongly_all_the_same_is_refused_at_generation() -> None:
    """GELU between products over rows in 16 bits, of the graph that ExecuTorch 1.4.1 made."""
    pte = read_pte((FIXTURES / "executorch-1.4.1/refused/ethos-u-gelu-16.pte").read_bytes())
    (data,) = [i.arguments[0] for i in pte.instructions if i.operator.startswith("delegate::")]
    assert isinstance(data, Tensor) and data.data is not None
    with pytest.raises(ModelError, match="the compiler's mistake"):
        count_operations([read_blob(bytes(data.data)).commands])


@pytest.mark.slow
def test_attention_with_16_bits_around_products_is_compiled_rightly_for_a_u85() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Embedding(40, 32), TransformerLayer(32, 4, nn.GELU()))
    calls = [(torch.randint(0, 40, (1, 9)),) for _ in range(4)]
    compiled = compile_module_npu(module, calls[0], calls, default_target("ethos-u85-256"))
    assert compiled.facts["accuracy"]["relative_rms_error"] < 0.02
    pte = read_pte(compiled.pte, compiled.names)
    (data,) = [i.arguments[0] for i in pte.instructions if i.operator.startswith("delegate::")]
    assert isinstance(data, Tensor) and data.data is not None
    blob = read_blob(bytes(data.data))
    generator = np.random.default_rng(0)
    given = [generator.integers(0, 256, each.size_bytes, np.uint8).tobytes() for each in blob.inputs]
    assert SimulatedDelegate(blob).run(given) == TosaDelegate(compiled.delegates[0].tosa).run(given)


@pytest.mark.slow
def test_token_ids_are_looked_up_on_the_processor() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Embedding(20, 16), nn.LayerNorm(16), nn.Linear(16, 8))
    calls = [(torch.randint(0, 20, (1, 6)),) for _ in range(4)]
    compiled = compile_module_npu(module, calls[0], calls, default_target("ethos-u55-64"))
    assert compiled.facts["npu_delegates"] == 1
    assert "mcu.embedding_s8" in {entry["operator"] for entry in compiled.facts["cpu_operators"]}
    assert "aten.embedding" not in {entry["operator"] for entry in compiled.facts["cpu_operators"]}
    interpreter = Interpreter(
        read_pte(compiled.pte, compiled.names), [TosaDelegate(compiled.delegates[0].tosa)]
    )
    (found,) = interpreter.run(calls[0][0])
    wanted = module(calls[0][0]).detach()
    assert (found - wanted).abs().max() < 0.1 * wanted.abs().max()  # 8 bits through a norm and a product
