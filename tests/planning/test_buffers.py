"""The names of plan.cpp: from the modules, right at every point of the step, and C++ whatever the file says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk.planning.buffers import NamedCall, _identifier, name_buffers
from mcu_sdk.planning.emitters.checks import call
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall, Pointer, Space, Tensor


def f32(offset: int, n: int, space: Space = Space.ARENA) -> Tensor:
    return Tensor(DType.F32, (1, n), space, offset)


A, B, C = f32(0, 8), f32(32, 8), f32(64, 8)
WEIGHT = f32(0, 8, Space.MODEL)


def named(
    *steps: tuple[str, KernelCall, tuple[Tensor, ...]], inputs: tuple[Tensor, ...] = ()
) -> tuple[list[str], list[NamedCall]]:
    """Names for calls given as (module, call, what it writes)."""
    calls = [(one, Instruction(i, "mcu::silu", "", (), name)) for i, (name, one, _) in enumerate(steps)]
    lasting, found = name_buffers(calls, [writes for *_, writes in steps], inputs)
    return [buffer.name for buffer in lasting], list(found)


def silu(x: Tensor, out: Tensor) -> KernelCall:
    return call("silu", x, out, 8)[0]


def test_a_value_has_its_modules_name_until_it_is_written_over() -> None:
    lasting, calls = named(
        ("model.layers.0.mlp.up_proj", silu(A, B), (B,)),
        ("model.layers.1.mlp", silu(B, C), (C,)),
        ("model.norm", silu(C, B), (B,)),
        ("model.norm", silu(B, A), (A,)),
        inputs=(A,),
    )
    assert lasting == ["x"]
    assert [one.names for one in calls] == [
        ("x", "layer0_up_proj", None),
        ("layer0_up_proj", "layer1_mlp", None),
        ("layer1_mlp", "norm", None),
        ("norm", "norm_silu", None),
    ]
    assert calls[0].writes[0].shape == "f32[1,8]"


def test_several_results_and_several_calls_of_one_module() -> None:
    q, scale = Tensor(DType.S8, (1, 8), Space.ARENA, 32), f32(64, 1)
    rows = call("quantize_rows", A, q, scale, 1, 8)[0]
    _, calls = named(("norm", rows, (q, scale)), ("norm", silu(A, B), (B,)), ("norm", silu(B, C), (C,)))
    assert calls[0].names[1:3] == ("norm_q", "norm_scale")
    assert [one.writes[0].name for one in calls[1:]] == ["norm", "norm_silu"]
    _, calls = named(*(("norm", silu(A, B), (B,)) for _ in range(4)))
    assert [one.writes[0].name for one in calls] == ["norm", "norm_silu", "norm_silu_2", "norm_silu_3"]


def test_what_is_changed_in_place_keeps_its_name() -> None:
    _, calls = named(("a", silu(A, B), (B,)), ("b", silu(B, B), (B,)), ("c", silu(B, C), (C,)))
    assert [one.names[:2] for one in calls] == [(None, "a"), ("a", "a"), ("a", "c")]
    assert calls[1].writes == ()


def test_parts_other_types_and_constants() -> None:
    """A pointer some elements on, one to another type, one outside of all names, and weights."""
    part, other = Pointer(B, 8), Pointer(B, 8, "int8_t")
    copies = [KernelCall("f", (x, C, 1), "f.h") for x in (part, other, f32(500, 1), WEIGHT)]
    _, calls = named(("a", silu(A, B), (B,)), *(("b", one, ()) for one in copies))
    assert [one.names[0] for one in calls[1:]] == ["a + 2", None, None, None]


def test_caches_are_named_by_the_call_that_knows_them() -> None:
    keys, values = (Tensor(DType.S8, (1, 1, 4, 8), Space.KV_CACHE, offset) for offset in (0, 32))
    position = Tensor(DType.S64, (1,), Space.ARENA, 128)
    scales = (WEIGHT, WEIGHT)
    write = call("cache_write", keys, A, WEIGHT, position, 1, 4, 8)[0]
    attend = call("attention_s8", A, keys, values, *scales, position, B, C, 1, 1, 4, 8, 1.0)[0]
    lasting, calls = named(("l.3.attn", write, (keys,)), ("l.3.attn", attend, (B, C)), inputs=(position,))
    assert lasting == ["position", "layer3_attn_k_cache", "layer3_attn_v_cache"]
    assert calls[0].names[0] == "layer3_attn_k_cache"


@pytest.mark.parametrize(
    "name", ["double", "", "7", "model.9", "*/ #error", "a\\\nb", "日本", "mcu_silu", "memset", "x" * 99]
)
def test_names_from_a_file_are_identifiers(name: str) -> None:
    _, calls = named((name, silu(A, B), (B,)), (name, silu(B, C), (C,)))
    words = [one.writes[0].name for one in calls]
    assert all(re.fullmatch(r"[a-z][a-z0-9_]{0,60}", word) for word in words) and len(set(words)) == 2
    assert not {"double", "memset", "mcu_silu"} & set(words)


@given(st.text())
def test_any_text_gives_an_identifier(text: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", _identifier(text))
