"""What ExecuTorch's runtime takes of memory: its structures as a compiler lays them out, and sums by hand.

That the runtime reports the same for whole models is in tests/end_to_end/test_executorch_runtime.py.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mcu_sdk.planning.executorch_memory import (
    BITS_32,
    BITS_64,
    Structures,
    method_allocator_bytes,
    runtime_memory,
)
from mcu_sdk.planning.instruction import DType, Instruction, Space, Tensor
from mcu_sdk.planning.pte.program import (
    Chain,
    ExecutionPlan,
    IntList,
    KernelCall,
    Operator,
    RawValue,
    TensorValue,
)
from tests.official import CORES, includes, package

CHECKS = """#include <executorch/runtime/core/evalue.h>
#include <executorch/runtime/core/exec_aten/util/tensor_dimension_limit.h>
#include <executorch/runtime/core/freeable_buffer.h>
#include <executorch/runtime/kernel/operator_registry.h>
using namespace executorch::runtime;
static_assert(sizeof(void*) == {word});
static_assert(sizeof(EValue) == {evalue} && alignof(EValue) == 8);
static_assert(sizeof(executorch::aten::TensorImpl) == {tensor});
static_assert(alignof(executorch::aten::TensorImpl) == {word});
static_assert(sizeof(executorch::aten::Tensor) == {word});
static_assert(sizeof(std::optional<executorch::aten::Tensor>) == 2 * {word});
static_assert(sizeof(FreeableBuffer) + 2 * {word} == {delegate} && alignof(FreeableBuffer) == 8);
static_assert(sizeof(TensorMeta) == {meta});
static_assert(sizeof(Span<EValue*>) == 2 * {word} && sizeof(executorch::aten::ArrayRef<bool>) == 2 * {word});
static_assert(sizeof(BoxedEvalueList<int64_t>) == 3 * {word});
static_assert(executorch::runtime::kTensorDimensionLimit == 16);
"""

COMPILERS = {
    "cortex-m55": (["arm-none-eabi-g++", "-mthumb", *CORES["cortex-m55"]], BITS_32),
    "host": (["g++"], BITS_64),
}


@pytest.mark.parametrize("core", COMPILERS)
def test_the_structures_are_those_of_the_headers(core: str, tmp_path: Path) -> None:
    compiler, sizes = COMPILERS[core]
    text = CHECKS.format(
        word=sizes.word,
        evalue=sizes.evalue,
        tensor=sizes.tensor,
        delegate=sizes.backend_delegate,
        meta=sizes.tensor_meta,
    )
    (tmp_path / "checks.cpp").write_text(text)
    command = ["ccache", *compiler, "-std=c++17", "-fno-exceptions", "-fno-rtti", *includes(package())]
    done = subprocess.run(
        [*command, "-c", "checks.cpp", "-o", "checks.o"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def tensor(*sizes: int, dynamism: int = 0) -> TensorValue:
    return TensorValue(6, 0, sizes, tuple(range(len(sizes))), 0, None, dynamism, None)


def plan(*values: RawValue, calls: int = 1, arguments: int = 3) -> ExecutionPlan:
    chain = Chain(tuple(KernelCall(0, tuple(range(arguments))) for _ in range(calls)), ())
    return ExecutionPlan(
        "forward", values, (0,), (1,), (chain,), (Operator("mcu::silu", "out"),), (), (0, 96, 64)
    )


@pytest.mark.parametrize(
    ("structures", "wanted"),
    [
        # values, input set; strides and tensors; chain; kernels, argument lists; arguments
        (BITS_32, 3 * 16 + 1 + 3 + 3 * (12 + 32) + 16 + 4 + 8 + 12),
        (BITS_64, 3 * 16 + 1 + 3 + 12 + 64 + 12 + 4 + 64 + 12 + 4 + 64 + 32 + 8 + 16 + 24),
    ],
)
def test_tensors_and_calls(structures: Structures, wanted: int) -> None:
    assert method_allocator_bytes(plan(*[tensor(1, 2, 3)] * 3), structures) == wanted


def test_lists_and_tensors_of_changing_shape_take_more() -> None:
    plain = method_allocator_bytes(plan(tensor(4), 1, 2))
    assert (
        method_allocator_bytes(plan(tensor(4, dynamism=1), 1, 2)) == plain + 4 + 4
    )  # a size; an axis, aligned
    assert method_allocator_bytes(plan(tensor(4), 1, IntList((1, 1)))) >= plain + 2 * 4 + 2 * 8 + 12


def test_temporary_memory_is_what_one_instruction_takes() -> None:
    values = [Tensor(DType.F32, (4,), Space.ARENA, at) for at in (0, 16)]
    silu = Instruction(0, "mcu::silu", "out", tuple(values), "")
    found = runtime_memory(plan(tensor(4), tensor(4), 1), [silu])
    assert found.planned == {1: 96, 2: 64} and found.temporary == 3 * (12 + 16)
    assert found.temporary_used == 3 * 12 + 1 + 1  # the axes of two tensors
    rows = (3, 40)
    norm = Instruction(
        1,
        "mcu::layer_norm_s8",
        "out",
        (
            Tensor(DType.S8, rows, Space.ARENA, 0),
            None,
            *(Tensor(DType.F32, (40,), Space.ARENA, at) for at in (256, 512)),
            1.0,
            1e-5,
            Tensor(DType.S8, rows, Space.ARENA, 768),
        ),
        "",
    )
    assert runtime_memory(plan(tensor(4), tensor(4), 1), [silu, norm]) == replace(
        found, temporary=4 * 40, temporary_used=4 * 40
    )
