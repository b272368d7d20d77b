"""Stock lowerings, and decoders in float32, through the plan and the kernels: what PyTorch computes of the same file."""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch

from mcu_sdk.planning.plan import Plan, compile_plan
from mcu_sdk.planning.pte.read import Pte, read_pte
from mcu_sdk.project.interpret import Interpreter
from tests.kernels.run_calls import Memory, aligned, run_calls
from tests.models.stock.lowering import MODELS, Stock

LSB = {"mlp": 0, "encoder-relu": 2, "encoder-gelu": 2, "convolutions": 2, "arithmetic": 2, "llama": 8}
"""Steps of the output between ExecuTorch's integer operators and the quantized module they were made of, which
computes in float32 between a dequantize and a quantize: each operator in the chain may round the other way."""
FLOAT_INSIDE = {"mlp": 0, "convolutions": 0}
"""Steps from ExecuTorch's Python operators on the same file: none, but where float32 operators stand between integer
ones (two steps then): PyTorch's exp or sum may differ by an ulp from processor to processor and turn a tie."""
FLOAT = 2e-5
"""Float32 in another order through two layers, on logits up to 6: some ten roundings a layer, grown by the norms."""


class Run:
    """A plan with its memory."""

    def __init__(self, library: ctypes.CDLL, data: bytes, plan: Plan) -> None:
        self._library, self.plan = library, plan
        self.memory = Memory(aligned(plan.arena_bytes), aligned(plan.kv_cache_bytes), aligned(len(data)))
        self.memory.model[:] = np.frombuffer(data, np.uint8)
        self._model = bytes(data)

    def step(self, inputs: tuple[torch.Tensor, ...]) -> list[np.ndarray]:
        for tensor, value in zip(self.plan.inputs, inputs, strict=True):
            self.memory.array(tensor)[...] = value.numpy()
        run_calls(self._library, self.memory, [planned.call for planned in self.plan.calls])
        assert self.memory.model.tobytes() == self._model, "a kernel wrote to the model"
        return [self.memory.array(tensor).copy() for tensor in self.plan.outputs]


def _loaded(model: Stock) -> tuple[bytes, Pte, Plan]:
    data = model.pte.read_bytes()
    pte = read_pte(data)
    return data, pte, compile_plan(pte)


def _step(pte: Pte) -> float:
    """The scale of the output, from the dequantize that makes it."""
    last = next(i for i in reversed(pte.instructions) if i.operator == "cortex_m::dequantize_per_tensor")
    assert isinstance(last.arguments[1], float)
    return last.arguments[1]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in ("llama", "encoder-gelu") else [])
        for name in MODELS
        if not name.startswith("float-")
    ],
)
def test_quantized_model(kernel_library: ctypes.CDLL, stock_model: Callable[[str], Stock], name: str) -> None:
    """What ExecuTorch's Python operators give for the file, and within some steps of the quantized module."""
    model = stock_model(name)
    data, pte, plan = _loaded(model)
    run, reference = Run(kernel_library, data, plan), Interpreter(pte)
    for inputs, expected in zip(model.steps, model.expected, strict=True):
        (found,), (wanted,) = run.step(inputs), reference.run(*inputs)
        step = _step(pte)
        assert np.abs(found - wanted.numpy()).max() <= (FLOAT_INSIDE.get(name, 2) + 0.01) * step
        assert np.abs(found - expected[0].numpy()).max() <= (LSB[name] + 0.01) * step
        assert len(np.unique(found)) > 2, "an output that is all alike shows nothing"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "float-gpt2" else [pytest.mark.slow])
        for name in MODELS
        if name.startswith("float-")
    ],
)
def test_float_decoder(kernel_library: ctypes.CDLL, stock_model: Callable[[str], Stock], name: str) -> None:
    model = stock_model(name)
    data, _, plan = _loaded(model)
    run = Run(kernel_library, data, plan)
    for inputs, expected in zip(model.steps, model.expected, strict=True):
        (found,) = run.step(inputs)
        np.testing.assert_allclose(found, expected[0].numpy(), rtol=FLOAT, atol=FLOAT)
        assert found.argmax() == expected[0].argmax()


@pytest.mark.slow
def test_llama_is_what_it_says(stock_model: Callable[[str], Stock]) -> None:
    """Two layers with seven linears each and the head, integer products, and a float cache of a layer each."""
    _, pte, _ = _loaded(stock_model("llama"))
    count = Counter(instruction.operator for instruction in pte.instructions)
    assert count["cortex_m::quantized_linear"] == 2 * 7 + 1
    assert count["aten::index_put"] == 4
    assert count["aten::_softmax"] == 2
