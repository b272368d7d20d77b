"""`mcu_sdk.compile_module`: from a module to firmware, int8 where it was promised, and errors that say what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import mcu_sdk
from mcu_sdk.board.board import load_board
from mcu_sdk.errors import BoardError, McuSdkError, ModelError, UsageError
from mcu_sdk.generation import generate
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project.build import build
from mcu_sdk.project.host_library import HostModel
from mcu_sdk.project.interpret import Interpreter
from mcu_sdk.recipes.compiled import CompiledModel
from mcu_sdk.targets import host, qemu
from mcu_sdk.targets.protocol import Request


class Residual(nn.Module):
    """A value that is added in float and multiplied in int8: it has to stay float."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(24)
        self.up, self.down = nn.Linear(24, 48), nn.Linear(48, 24, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.clamp(self.up(self.norm(x)), max=1.5))


class Words(nn.Module):
    """Integers in, two results out."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(10, 16), nn.Linear(16, 5)

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.head(self.table(ids).mean(1))
        return torch.softmax(logits, -1), logits.argmax(-1)


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 48), nn.Hardtanh(-1, 2), nn.Linear(48, 16)
    )


def inputs(count: int, *shape: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(*shape, generator=generator) for _ in range(count)]


def operators(compiled: CompiledModel) -> list[str]:
    return [instruction.operator for instruction in read_pte(compiled.pte).instructions]


def run(compiled: CompiledModel, *values: torch.Tensor) -> list[torch.Tensor]:
    interpreter = Interpreter(read_pte(compiled.pte))
    interpreter.reset()
    return list(interpreter.run(*values))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return mlp()


@pytest.fixture(scope="module")
def chain(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> tuple[CompiledModel, Path]:
    """The MLP with an int8 border, and its file."""
    path = tmp_path_factory.mktemp("chain") / "chain.pte"
    calls = inputs(32, 1, 32)
    return mcu_sdk.compile_module(model, calls[0], calibration=calls, border="int8", output=path), path


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


INT8_ERROR = 0.05
"""Relative error of a chain of three int8 linears: a value in [-3 s, 3 s] has steps of 6 s / 255, whose rounding is
0.7 % of s; weights and two hidden values add as much each, and a ReLU's range is wider than its deviation. 5 % leaves
room for the draw; a wrong zero point or scale gives tens of percent."""


def test_nothing_leaves_int8_between_the_linears(chain: tuple[CompiledModel, Path], model: nn.Module) -> None:
    compiled, _ = chain
    assert operators(compiled) == ["mcu::linear_s8_requantize"] * 3
    (into,), (out,) = compiled.facts["inputs"], compiled.facts["outputs"]
    found, wanted = [], []
    for x in inputs(16, 1, 32):
        q = torch.clamp(torch.round(x / into["scale"]) + into["zero_point"], -128, 127).to(torch.int8)
        (result,) = run(compiled, q)
        assert result.dtype == torch.int8
        found.append((result.float() - out["zero_point"]) * out["scale"])
        wanted.append(model(x).detach())
    assert relative_error(torch.cat(found), torch.cat(wanted)) < INT8_ERROR


def test_a_float_border_adds_one_conversion_at_each_end(model: nn.Module) -> None:
    calls = inputs(32, 1, 32)
    compiled = mcu_sdk.compile_module(model, (calls[0],), calibration=[(call,) for call in calls])
    assert operators(compiled)[1:] == ["mcu::linear_s8_requantize"] * 2 + ["mcu::linear_s8_static"]
    assert "quantize_per_tensor" in operators(compiled)[0]
    found = torch.cat([run(compiled, call)[0] for call in calls])
    assert relative_error(found, torch.cat([model(call).detach() for call in calls])) < INT8_ERROR


def test_weights_are_laid_out_for_the_board(chain: tuple[CompiledModel, Path], model: nn.Module) -> None:
    plain, calls = chain[0], inputs(32, 1, 32)
    packed = mcu_sdk.compile_module(model, calls[0], calibration=calls, border="int8", board="corstone-300")
    layouts = [(c.facts["weight_layout"], c.facts["packed_weights"]) for c in (plain, packed)]
    assert layouts == [("rows", 0), ("helium-8x16", 3)]
    overloads = [instruction.overload for instruction in read_pte(packed.pte).instructions]
    assert overloads == ["packed_out"] * 3
    q = torch.randint(-128, 128, (1, 32), dtype=torch.int8)
    assert torch.equal(run(plain, q)[0], run(packed, q)[0])
    with pytest.raises(BoardError):
        mcu_sdk.compile_module(model, calls[0], board="no-such-board")


def test_what_is_also_read_as_float_stays_float() -> None:
    torch.manual_seed(1)
    module = Residual()
    calls = inputs(16, 3, 24)
    compiled = mcu_sdk.compile_module(module, calls[0], calibration=calls)
    assert operators(compiled).count("mcu::linear_s8_requantize") == 1  # up, with the clamp in its bounds
    assert operators(compiled).count("mcu::linear_s8_static") == 1
    assert {"mcu::layer_norm_s8", "aten::add"} <= set(operators(compiled))
    assert relative_error(run(compiled, calls[0])[0], module(calls[0]).detach()) < INT8_ERROR


@pytest.mark.parametrize("activations", ["static", "dynamic"])
def test_integer_inputs_and_several_results(activations: str) -> None:
    torch.manual_seed(2)
    module = Words()
    ids = torch.tensor([[3, 1, 4, 1]])
    module.train()
    compiled = mcu_sdk.compile_module(module, ids, activations=activations)  # type: ignore[arg-type]
    assert module.training and module.head.training
    probabilities, choice = run(compiled, ids)
    wanted = module(ids)
    assert relative_error(probabilities, wanted[0].detach()) < INT8_ERROR and choice.equal(wanted[1])


def test_firmware_from_a_module(chain: tuple[CompiledModel, Path], tmp_path: Path, model: nn.Module) -> None:
    """Same bits from the references, the host build, the Cortex-M55 and the Cortex-M3; the plan names the module's layers."""
    compiled, path = chain
    on_host, on_device, without_fpu = (
        generate(GenerateRequest(board, CompileOptions(), pte=path, output=tmp_path / board)).project
        for board in ("host", "corstone-300", "mps2-an385")
    )
    assert "// 4: mcu::linear_s8_requantize(s8[1,48]" in (on_device / "model" / "plan.cpp").read_text()
    program = build(on_host, "host")
    assert program.library is not None
    library = HostModel(program.library)
    library.reset()
    draw = np.random.default_rng(3)
    for _ in range(4):
        q = draw.integers(-128, 128, (1, 32), dtype=np.int8)
        assert (library.run([q])[-1] == run(compiled, torch.from_numpy(q))[0].numpy().ravel()).all()
    request = Request(steps=3, seed=9)
    wanted = host.run(program.program, request).digest
    for board, project in (("corstone-300", on_device), ("mps2-an385", without_fpu)):
        assert qemu.run(load_board(board), build(project).program, request).digest == wanted


ONE = torch.zeros(1, 32)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"border": "int8", "activations": "dynamic"}, UsageError, "calibrated scales"),
        ({"border": "int4"}, UsageError, "'float' or 'int8'"),
        ({"activations": "calibrated"}, UsageError, "'static' or 'dynamic'"),
        ({"output": "model.bin"}, UsageError, "does not end so"),
        ({"calibration": [ONE, torch.zeros(2, 32)]}, UsageError, "number 1"),
        ({"board": "mps2-an385"}, UsageError, "has no FPU"),
        ({"calibration": [[1.0, 2.0]]}, UsageError, "tensors"),
        ({"example_inputs": torch.zeros(1, 31)}, ModelError, "expected to take its example inputs"),
        ({"example_inputs": "text"}, UsageError, "str"),
    ],
)
def test_wrong_arguments_are_explained(
    model: nn.Module, arguments: dict, error: type[McuSdkError], says: str
) -> None:
    with pytest.raises(error, match=says):
        mcu_sdk.compile_module(model, **{"example_inputs": ONE, **arguments})


class Branch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


class FloatInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(32, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) + x


def test_modules_that_cannot_be_compiled_are_explained() -> None:
    around = nn.Sequential(Branch())
    around.__class__ = type("Around", (nn.Sequential,), {"__module__": "mcu_sdk.recipes.around"})
    for module in (Branch(), around):  # what is put around a model is ours, and says a user nothing
        with pytest.raises(ModelError, match="the code of Branch decides by the values of tensors"):
            mcu_sdk.compile_module(module, ONE)
    with pytest.raises(ModelError, match="also read as float"):
        mcu_sdk.compile_module(FloatInput(), ONE, border="int8")


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, mcu_sdk; assert 'torch' not in sys.modules; mcu_sdk.compile_module; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute"):
        _ = mcu_sdk.compile_modules


def test_code_that_casts_its_weights_is_named() -> None:
    """As NLLB-MoE's router does in every call; not by what torch.export says of it."""

    class Casting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.linear = self.linear.to(torch.float32)
            return self.linear(x)

    with pytest.raises(ModelError, match="the code of Casting casts or moves some while it computes"):
        mcu_sdk.compile_module(Casting().eval(), torch.ones(1, 4))
