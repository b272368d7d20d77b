"""The `mcu::` operators through ExecuTorch: out variants, updates in place, and the same bits out of planned memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram, export

from mcu_sdk.lowering.lower import lower
from mcu_sdk.operators.table import is_in_place, own_operators
from mcu_sdk.planning.instruction import Instruction
from mcu_sdk.planning.plan import compile_plan
from mcu_sdk.planning.pte.read import Pte, read_pte
from mcu_sdk.project.interpret import Interpreter
from tests.kernels.examples import own_examples

mcu = torch.ops.mcu
VOCABULARY, WIDTH, HEADS, GROUPS, LENGTH, CHANNELS = 11, 32, 4, 2, 6, 8
SCALE = CHANNELS**-0.5


class Weights(nn.Module):
    """Buffers of a seeded generator."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def floats(self, name: str, *shape: int) -> None:
        self.register_buffer(name, torch.rand(shape, generator=self._generator) * 0.1 + 0.01)

    def integers(self, name: str, low: int, high: int, *shape: int, dtype: torch.dtype = torch.int8) -> None:
        values = torch.randint(low, high, shape, generator=self._generator)
        self.register_buffer(name, values.to(dtype))

    def linear(self, name: str, outputs: int, inputs: int = WIDTH) -> None:
        self.integers(f"{name}_weight", -127, 128, outputs, inputs)
        self.floats(f"{name}_scale", outputs)

    def cache(self, name: str) -> None:
        shape = (LENGTH, CHANNELS) if name == "keys" else (CHANNELS, LENGTH)
        self.register_buffer(name, torch.zeros(1, GROUPS, *shape, dtype=torch.int8))


class Dynamic(Weights):
    """Run-time scales: ids int64[1, 1], position int64[1] -> float32[1, 1, WIDTH]."""

    def __init__(self) -> None:
        super().__init__(1)
        self.linear("table", VOCABULARY)
        self.floats("norm", WIDTH)
        self.linear("query", HEADS * CHANNELS)
        self.linear("key", GROUPS * CHANNELS)
        self.linear("out", WIDTH, HEADS * CHANNELS)
        self.floats("bias", WIDTH)
        self.floats("cosine", LENGTH, CHANNELS // 2)
        self.floats("sine", LENGTH, CHANNELS // 2)
        for name in ("keys", "values"):
            self.cache(name)
            self.register_buffer(f"{name}_scales", torch.zeros(1, GROUPS, LENGTH, dtype=torch.float16))

    def forward(self, ids: Tensor, position: Tensor) -> Tensor:
        x = mcu.embedding_s8(self.table_weight, self.table_scale, ids)
        q, s = mcu.quantize_rows(mcu.rms_norm(x, self.norm, 1e-5))
        query = mcu.linear_s8(q, s, self.query_weight, self.query_scale, None).view(1, HEADS, 1, CHANNELS)
        step = mcu.linear_s8(q, s, self.key_weight, self.key_scale, None).view(1, GROUPS, 1, CHANNELS)
        turned = mcu.rope(step, self.cosine, self.sine, position)
        query = mcu.rope(query, self.cosine, self.sine, position)
        written = []
        writes = mcu.cache_write_dynamic, mcu.cache_write_columns_dynamic
        for name, new, write in zip(("keys", "values"), (turned, step), writes, strict=True):
            written += [write(getattr(self, name), new, position)]
            written += [mcu.cache_scale_write(getattr(self, f"{name}_scales"), new, position)]
            getattr(self, name).copy_(written[-2])
            getattr(self, f"{name}_scales").copy_(written[-1])
        keys, key_scales, values, value_scales = written
        mixed, _ = mcu.attention_s8_dynamic(query, keys, values, key_scales, value_scales, position, SCALE)
        q, s = mcu.quantize_rows(mixed.view(1, 1, -1))
        x = x + mcu.linear_s8(q, s, self.out_weight, self.out_scale, self.bias)
        return mcu.gated_gelu(mcu.gated_silu(x, mcu.silu(x)), mcu.gelu(x, True), False)


class Static(Weights):
    """Calibrated scales: ids int64[1, 1], position int64[1] -> int8[1, 1, WIDTH], float32[1, 1, WIDTH]."""

    def __init__(self) -> None:
        super().__init__(2)
        self.linear("table", VOCABULARY)
        self.floats("norm", WIDTH)
        self.floats("bias", WIDTH)
        self.linear("query", HEADS * CHANNELS)
        self.linear("key", GROUPS * CHANNELS)
        self.linear("out", WIDTH, HEADS * CHANNELS)
        for name in ("query", "key", "out"):
            outputs = getattr(self, f"{name}_weight").shape[0]
            self.integers(f"{name}_offset", -4000, 4000, outputs, dtype=torch.int32)
        self.integers("multiplier", 2**30, 2**31 - 1, WIDTH, dtype=torch.int32)
        self.integers("shift", -10, -4, WIDTH, dtype=torch.int32)
        for name in ("keys", "values"):
            self.cache(name)
            self.floats(f"{name}_scale", GROUPS, CHANNELS)
            self.register_buffer(f"{name}_inverse", 1 / getattr(self, f"{name}_scale"))

    def _linear(self, q: Tensor, name: str, bias: Tensor | None) -> Tensor:
        weight, offset = getattr(self, f"{name}_weight"), getattr(self, f"{name}_offset")
        result: Tensor = mcu.linear_s8_static(q, weight, offset, getattr(self, f"{name}_scale"), bias)
        return result

    def forward(self, ids: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        x = mcu.embedding_s8(self.table_weight, self.table_scale, ids)
        q = mcu.quantize(mcu.layer_norm(x, self.norm, self.bias, 1e-5), 0.002, -3)
        query = self._linear(q, "query", self.bias).view(1, HEADS, 1, CHANNELS)
        step = self._linear(q, "key", None).view(1, GROUPS, 1, CHANNELS)
        keys = mcu.cache_write(self.keys, step, self.keys_inverse, position)
        values = mcu.cache_write_columns(self.values, step, self.values_inverse, position)
        self.keys.copy_(keys)
        self.values.copy_(values)
        mixed, _ = mcu.attention_s8(query, keys, values, self.keys_scale, self.values_scale, position, SCALE)
        q = mcu.quantize(mixed.view(1, 1, -1), 0.05, 4)
        q = mcu.linear_s8_requantize(
            q, self.out_weight, self.out_offset, self.multiplier, self.shift, 7, -128, 127
        )
        return q, mcu.gated_gelu(mcu.gelu(x, False), x, True)


class Remaining(nn.Module):
    """What the models above leave out, each on its example; ids and position do not matter."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[str, list[Any]]] = []
        for number, case in enumerate(REMAINING):
            arguments: list[Any] = []
            for index, value in enumerate(case.arguments):
                if isinstance(value, tuple):
                    self.register_buffer(f"of_{number}_{index}", torch.from_numpy(value[0].copy()))
                    value = f"of_{number}_{index}"
                arguments.append(value)
            self._calls.append((case.operator.removeprefix("mcu::"), arguments))

    def forward(self, ids: Tensor, position: Tensor) -> tuple[Tensor, ...]:
        results: list[Tensor] = []
        for name, arguments in self._calls:
            values = [getattr(self, value) if isinstance(value, str) else value for value in arguments]
            result = getattr(mcu, name)(*values)
            results += result if isinstance(result, tuple) else (result,)
        return tuple(results)


UPDATES = {row.plain_name for row in own_operators() if row.in_place and row.layout == "rows"}
DYNAMIC = {
    "embedding_s8.out": 1, "rms_norm.out": 1, "quantize_rows.out": 2, "linear_s8.out": 3, "rope.out": 2,
    "cache_write_dynamic_": 1, "cache_write_columns_dynamic_": 1, "cache_scale_write_": 2, "attention_s8_dynamic.out": 1,
    "silu.out": 1, "gelu.out": 1, "gated_silu.out": 1, "gated_gelu.out": 1,
}  # fmt: skip
STATIC = {
    "embedding_s8.out": 1, "layer_norm.out": 1, "quantize.out": 2, "linear_s8_static.out": 2, "cache_write_": 1,
    "cache_write_columns_": 1, "attention_s8.out": 1, "linear_s8_requantize.out": 1, "gelu.out": 1, "gated_gelu.out": 1,
}  # fmt: skip
CHANGING = {
    "embedding_s8.out": 1, "embedding_s8_add_": 1, "quantize.out": 1, "lookup_s8_": 1, "rope_rows_s8_": 1,
}  # fmt: skip
LOWERED = {name.removesuffix(".out").removesuffix("_") for name in DYNAMIC | STATIC | CHANGING}
REMAINING = [
    case
    for case in own_examples()
    if not case.in_place and case.operator.removeprefix("mcu::") not in LOWERED
]
MODELS: dict[str, tuple[Callable[[], nn.Module], dict[str, int]]] = {
    "dynamic": (Dynamic, DYNAMIC),
    "static": (Static, STATIC),
    "remaining": (
        Remaining,
        dict(Counter(f"{case.operator.removeprefix('mcu::')}.out" for case in REMAINING)),
    ),
}


def _pte(model: nn.Module, lowering: Callable[[ExportedProgram], bytes]) -> Pte:
    with torch.no_grad():
        program = export(model, (torch.tensor([[3]]), torch.tensor([0])))
    return read_pte(lowering(program))


def _by_the_sdk(program: ExportedProgram) -> bytes:
    return lower(program, {}).pte


def _by_executorch_alone(program: ExportedProgram) -> bytes:
    """What a program that knows nothing of this SDK but the operators can do."""
    from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge
    from executorch.exir.dialects._ops import ops

    edge = to_edge(program, compile_config=EdgeCompileConfig(_check_ir_validity=False))
    functional = frozenset(getattr(ops.edge.mcu, name).default for name in UPDATES)
    config = ExecutorchBackendConfig(reinplace_extra_ops=functional, emit_mutable_buffer_names=True)
    return bytes(edge.to_executorch(config).buffer)


def _counts(pte: Pte) -> dict[str, int]:
    """How often each `mcu::` operator is called."""
    names = [i.full_name.removeprefix("mcu::") for i in pte.instructions if i.operator.startswith("mcu::")]
    return {name: names.count(name) for name in names}


def _cache_writers(pte: Pte) -> list[Instruction]:
    caches = [buffer.tensor for buffer in pte.mutable_buffers]
    return [
        instruction
        for instruction, written in zip(pte.instructions, pte.writes, strict=True)
        if any(tensor.overlaps(cache) for tensor in written for cache in caches)
    ]


def _check_bits(pte: Pte, model: nn.Module) -> None:
    """Six steps in the planned memory give what the module gives."""
    interpreter = Interpreter(pte)
    for position, token in enumerate([3, 1, 10, 3, 0, 7]):
        step = torch.tensor([[token]]), torch.tensor([position])
        with torch.no_grad():
            expected = model(*step)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for found, wanted in zip(interpreter.run(*step), expected, strict=True):
            assert found.dtype == wanted.dtype and torch.equal(found, wanted), position


@pytest.mark.parametrize("name", MODELS)
def test_lowered_by_the_sdk(name: str) -> None:
    """Each operator survives as itself, and a cache is written in place by its update alone."""
    kind, operators = MODELS[name]
    pte = _pte(kind(), _by_the_sdk)
    assert _counts(pte) == operators
    updates = {operator: count for operator, count in operators.items() if is_in_place(operator)}
    writers = [instruction.operator.removeprefix("mcu::") for instruction in _cache_writers(pte)]
    assert {writer: writers.count(writer) for writer in writers} == updates
    functions = [call.call.function for call in compile_plan(pte).calls]
    assert "mcu_copy" not in functions
    _check_bits(pte, kind())


@pytest.mark.parametrize("name", MODELS)
def test_lowered_by_executorch_alone(name: str) -> None:
    """ExecuTorch derives in-place names for aten only: of ours it calls the out variant, on the buffer's own memory."""
    kind, operators = MODELS[name]
    pte = _pte(kind(), _by_executorch_alone)
    assert _counts(pte) == {
        f"{operator[:-1]}.out" if is_in_place(operator) else operator: n for operator, n in operators.items()
    }
    updates = [i for i in _cache_writers(pte) if i.operator.startswith("mcu::")]
    assert len(updates) == len(pte.mutable_buffers)
    assert all(i.arguments[0].same_memory(i.arguments[-1]) for i in updates)
    functions = [call.call.function for call in compile_plan(pte).calls]
    assert "mcu_copy" not in functions  # neither before the update nor for the write-back behind it
    _check_bits(pte, kind())


class Changing(Weights):
    """Values of one step that are written over."""

    def __init__(self) -> None:
        super().__init__(3)
        self.linear("table", VOCABULARY)
        self.integers("values", -128, 127, 256)
        self.floats("cosine", 1, CHANNELS // 2)
        self.floats("sine", 1, CHANNELS // 2)

    def forward(self, ids: Tensor, position: Tensor) -> Tensor:
        x = mcu.embedding_s8(self.table_weight, self.table_scale, ids)
        x = mcu.embedding_s8_add(x, self.table_weight, self.table_scale, position.view(1, 1))
        values = mcu.lookup_s8(mcu.quantize(x, 0.002, -3), self.values)
        result: Tensor = mcu.rope_rows_s8(values, self.cosine, self.sine, CHANNELS, False, 7.0)
        return result


def test_a_value_of_one_step_is_written_over() -> None:
    pte = _pte(Changing(), _by_the_sdk)
    assert _counts(pte) == CHANGING
    assert "mcu_copy" not in [call.call.function for call in compile_plan(pte).calls]
    _check_bits(pte, Changing())


def test_every_operator_is_lowered_here() -> None:
    """An operator that is added to no model above has to have an example. Packed weights: tests/lowering/test_pack.py."""
    lowered = LOWERED | {case.operator.removeprefix("mcu::") for case in REMAINING}
    assert lowered == {row.plain_name for row in own_operators() if row.layout == "rows"}
