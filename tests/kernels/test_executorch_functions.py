"""Which of ExecuTorch's own kernels round otherwise than ours: why ours stand in their place, operator by operator.

Each operator of a file that is not ours, with the file's shapes and constants and random activations, is called by ExecuTorch's
registry and by the file's plan.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcu_sdk.generation import generate
from mcu_sdk.operators.table import OWN
from mcu_sdk.options import CompileOptions, GenerateRequest
from mcu_sdk.planning.instruction import DType, Instruction, Space, Tensor, Value
from mcu_sdk.planning.operands import tensors_in
from mcu_sdk.planning.pte.read import Pte, read_pte
from mcu_sdk.project.executorch import operators_of
from mcu_sdk.project.wrappers import names_of
from tests.checkpoints import encoder_length, make_encoder
from tests.decoders import MODELS, save_small_decoder
from tests.kernels.instructions import NUMPY, Machine
from tests.kernels.test_executorch_wrappers import run
from tests.official import package

pytestmark = pytest.mark.slow

DIFFER = {
    "gemma2": {"aten::div", "aten::tanh"},
    "olmoe": {"aten::_softmax", "aten::linear"},
    "minilm": {"aten::tanh"},
}
"""By family: the operators of its file whose kernels in ExecuTorch's wheel do not give our bits."""


@pytest.mark.parametrize("family", DIFFER)
def test_these_kernels_round_otherwise_and_no_others(
    family: str,
    kernel_library: ctypes.CDLL,
    caller: ctypes.CDLL,
    tmp_path: Path,
) -> None:
    ctypes.CDLL(str(package() / "lib" / "libexecutorch_kernels_optimized.so"), mode=ctypes.RTLD_GLOBAL)
    different, compared = set[str](), set[str]()
    pte = _file(family, tmp_path)
    replaced = {name for row in operators_of(pte) if row.is_of_libraries for name in names_of(row)}
    for number, made in enumerate(_calls_of(pte)):
        numbers = np.random.default_rng(number)
        ours, theirs = Machine(), Machine()
        first = _placed(made, ours, numbers)
        second = _placed(made, theirs, np.random.default_rng(number))
        ours.run(kernel_library, first)
        returned = replace(second, arguments=(*second.arguments, second.arguments[-1]))  # as in a file
        assert run(caller, theirs, returned, name=made.full_name, theirs=True) == 0, made.full_name
        compared.add(made.operator)
        out = first.arguments[-1]
        again = second.arguments[-1]
        assert isinstance(out, Tensor) and isinstance(again, Tensor)
        if ours.read(out).tobytes() != theirs.read(again).tobytes():
            different.add(made.operator)
            assert made.full_name in replaced
    assert different == DIFFER[family], compared


def _file(family: str, folder: Path) -> Pte:
    """The .pte of a small model of that family."""
    if family in MODELS:
        model, options = save_small_decoder(family, folder), CompileOptions(40)
    else:
        model, options = (
            make_encoder(family, folder / "checkpoint"),
            CompileOptions(encoder_length(family)),
        )
    request = GenerateRequest("host", options, model=str(model), output=folder / "host")
    project = generate(request).project
    return read_pte((project / "model" / "model.pte").read_bytes())


def _calls_of(pte: Pte) -> Iterator[Instruction]:
    """Instructions of ATen's that compute floats of tensors: not ours, not those that only move what there is."""
    for made in pte.instructions:
        out = made.arguments[-1]
        lists = any(
            isinstance(each, list) and any(isinstance(item, Tensor) for item in each)
            for each in made.arguments
        )
        if made.operator.startswith(f"{OWN}::") or lists or not isinstance(out, Tensor):
            continue
        if out.dtype is DType.F32 and any(
            tensor.dtype is DType.F32 for tensor in tensors_in(made.arguments[:-1])
        ):
            yield made


def _placed(made: Instruction, machine: Machine, numbers: np.random.Generator) -> Instruction:
    """The same instruction on memory of its own: constants as they are, activations around 0."""

    def place(value: Value) -> Value:
        if not isinstance(value, Tensor):
            return value
        if value.data is not None:
            array = np.frombuffer(value.data, NUMPY[value.dtype], value.elements).reshape(value.shape)
            return machine.place(array, Space.MODEL)
        drawn: Any = (
            numbers.standard_normal(value.shape) if value.dtype is DType.F32 else np.zeros(value.shape)
        )
        placed = machine.place(drawn.astype(NUMPY[value.dtype]))
        return replace(placed, dim_order=value.dim_order)

    return replace(made, arguments=tuple(place(value) for value in made.arguments))
