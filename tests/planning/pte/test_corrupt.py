"""Damaged .pte files: an error that says so, or a plan whose accesses all lie in range; nothing else, and soon."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcu_sdk.errors import McuSdkError, PteError
from mcu_sdk.planning import registry
from mcu_sdk.planning.instruction import (
    ConstantArray,
    Instruction,
    KernelCall,
    Pointer,
    Scratch,
    Space,
    Tensor,
)
from mcu_sdk.planning.plan import Plan, compile_plan
from mcu_sdk.planning.pte.read import read_pte


def emit_anything(instruction: Instruction) -> Sequence[KernelCall]:
    """An emitter as trusting as one can be: shapes and numbers go straight into sizes and tables."""
    tensors = [value for value in instruction.arguments if isinstance(value, Tensor)]
    for value in instruction.arguments:
        if isinstance(value, list):
            tensors += [item for item in value if isinstance(item, Tensor)]
    first = tensors[0]
    rows = first.elements // first.shape[-1]
    numbers = [value for value in instruction.arguments if isinstance(value, (int, float))]
    arguments = (
        *tensors,
        *numbers,
        *(Pointer(tensor, tensor.shape[-1] * tensor.dtype.size * (rows - 1)) for tensor in tensors[:1]),
        Scratch(rows * 4),
        ConstantArray("int32_t", first.shape),
    )
    return [KernelCall("mcu_any", arguments, "kernels/any.h", ("kernels/any.cpp",))]


@pytest.fixture
def emitters(monkeypatch: pytest.MonkeyPatch) -> None:
    class Everything(dict[str, registry.Emitter]):
        def get(self, key: str, default: Any = None) -> registry.Emitter:  # type: ignore[override]
            return emit_anything

    monkeypatch.setattr(registry, "load_emitters", Everything)


def assert_in_range(plan: Plan, size: int) -> None:
    """Every access of the plan, by this test's own arithmetic."""
    limits = {Space.ARENA: plan.arena_bytes, Space.KV_CACHE: plan.kv_cache_bytes, Space.MODEL: size}
    accesses = [*plan.inputs, *plan.outputs]
    for planned in plan.calls:
        for argument in planned.call.arguments:
            if isinstance(argument, Pointer):
                assert 0 <= argument.byte_offset <= argument.tensor.nbytes
                accesses.append(argument.tensor)
            elif isinstance(argument, Tensor):
                accesses.append(argument)
    for tensor in accesses:
        assert tensor.offset >= 0 and tensor.offset + tensor.nbytes <= limits[tensor.space] < 2**31
        assert tensor.offset % tensor.dtype.size == 0 and all(extent >= 0 for extent in tensor.shape)
    assert plan.to_template()["calls"] is not None


def outcome(data: bytes) -> str:
    """ "ok" or "refused"; any other exception fails the test."""
    try:
        assert_in_range(compile_plan(read_pte(data)), len(data))
        return "ok"
    except McuSdkError as error:
        assert error.exit_code == 3 and error.message
        assert len(str(error)) < 2000 and str(error).isprintable()
        return "refused"


@pytest.mark.parametrize(
    ("name", "step"),
    [
        *(pytest.param(name, 1, marks=pytest.mark.slow) for name in ("kv_cache", "quantized", "delegated")),
        ("delegated", 7),
    ],
)
def test_every_prefix_is_refused(tiny: dict[str, Any], emitters: None, name: str, step: int) -> None:
    """Every seventh in the fast tests."""
    data = tiny[name].data
    for length in range(0, len(data), step):
        with pytest.raises(PteError):
            read_pte(data[:length])


def test_every_prefix_of_a_file_without_segments(tiny: dict[str, Any], emitters: None) -> None:
    """Without a header nothing says how long the file is; only padding at its very end may be missing."""
    data = tiny["inline"].data
    for length in range(len(data)):
        if outcome(data[:length]) == "ok":
            assert not any(data[length:]) and len(data) - length < 16


@pytest.mark.parametrize("count", [500, pytest.param(5000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["kv_cache", "stateful", "inline", "quantized"])
def test_byte_flips(tiny: dict[str, Any], emitters: None, name: str, count: int) -> None:
    generator = random.Random(f"flips of {name}")
    original = tiny[name].data
    assert outcome(original) == "ok"
    outcomes = []
    for _ in range(count):
        data = bytearray(original)
        data[generator.randrange(len(data))] ^= generator.randrange(1, 256)
        outcomes.append(outcome(bytes(data)))
    assert {"ok", "refused"} == set(outcomes)  # flips in the weights pass, flips in offsets do not


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_words_overwritten(tiny: dict[str, Any], emitters: None, data: st.DataObject) -> None:
    """Several 32-bit words at once, with values that offsets and lengths like to trip over."""
    content = bytearray(tiny["stateful"].data)
    words = st.sampled_from([0, 1, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(content), len(content) - 4])
    words |= st.integers(0, 2**32 - 1)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(content) // 4 - 1)) * 4
        content[position : position + 4] = data.draw(words).to_bytes(4, "little")
    outcome(bytes(content))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_behind_the_identifier(content: bytes) -> None:
    with pytest.raises(PteError):
        read_pte(b"\x10\0\0\0ET12" + content)
