"""The plan: calls, scratch, checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mcu_sdk.errors import PteError, UnsupportedOperatorError
from mcu_sdk.planning import registry
from mcu_sdk.planning.instruction import (
    Argument,
    ConstantArray,
    DType,
    Instruction,
    KernelCall,
    Parameters,
    Pointer,
    Scratch,
    Space,
    Tensor,
)
from mcu_sdk.planning.liveness import live_bytes
from mcu_sdk.planning.plan import compile_plan
from mcu_sdk.planning.pte.read import Pte, read_pte
from mcu_sdk.project.templates import format_entries


def f32(offset: int, *shape: int, space: Space = Space.ARENA) -> Tensor:
    return Tensor(DType.F32, shape, space, offset)


def a_pte(*calls: tuple[str, tuple[Any, ...], tuple[Tensor, ...]], arena: int = 256, **fields: Any) -> Pte:
    """A .pte of instructions (operator, arguments, written)."""
    empty = Pte(
        methods=("forward",),
        metadata={},
        instructions=tuple(Instruction(n, op, "out", args, f"#{n}") for n, (op, args, _) in enumerate(calls)),
        writes=tuple(written for _, _, written in calls),
        inputs=(),
        outputs=(),
        memory={1: arena},
        arena_bytes=arena,
        kv_cache_bytes=0,
        mutable_buffers=(),
        delegates=(),
        constants=(),
        notes=(),
        size=4096,
        hash="0" * 64,
    )
    return dataclasses.replace(empty, **fields)


@pytest.fixture
def emitters(monkeypatch: pytest.MonkeyPatch) -> dict[str, registry.Emitter]:
    """A table of emitters of the test's own instead of the package's."""
    table: dict[str, registry.Emitter] = {}
    monkeypatch.setattr(registry, "load_emitters", lambda: table)
    return table


def emitting(*arguments: Argument) -> Callable[[Instruction], Sequence[KernelCall]]:
    return lambda instruction: [KernelCall("mcu_x", arguments, "kernels/x.h", ("kernels/x.cpp",), "a note")]


A, B, C = f32(0, 8), f32(32, 8), f32(64, 8)


def test_calls_in_order_with_comments(emitters: dict[str, registry.Emitter]) -> None:
    emitters["t::two"] = lambda i: [*emitting(A, 1)(i), *emitting(B, 2)(i)]
    emitters["t::view"] = lambda i: []
    plan = compile_plan(a_pte(("t::two", (A, 2.5, [1, 2], None, B), (B,)), ("t::view", (B, C), (C,))))
    assert [c.call.arguments for c in plan.calls] == [(A, 1), (B, 2)]
    assert plan.calls[0].comment == "t::two(f32[8], 2.5, [1, 2], None) -> f32[8]; a note"
    assert (plan.headers, plan.sources) == (("kernels/x.h",), ("kernels/x.cpp",))
    template = plan.to_template()
    assert template["calls"][1]["arguments"] == ["arena<float>(32)", "2"]
    assert template["calls"][0]["name"] == "#0"


def test_scratch_lies_behind_the_tensors_and_is_shared(emitters: dict[str, registry.Emitter]) -> None:
    emitters["t::small"] = emitting(A, Scratch(20), Scratch(4))
    emitters["t::large"] = emitting(A, Scratch(100))
    plan = compile_plan(a_pte(("t::small", (A,), (A,)), ("t::large", (A,), (A,)), arena=250))
    first, second = plan.calls[0].call.arguments[1:]
    (third,) = plan.calls[1].call.arguments[1:]
    assert isinstance(first, Tensor) and isinstance(second, Tensor) and isinstance(third, Tensor)
    assert (first.offset, second.offset, third.offset) == (256, 288, 256)
    assert (plan.scratch_offset, plan.scratch_bytes, plan.arena_bytes) == (256, 112, 368)
    assert all(t.offset + t.nbytes <= plan.arena_bytes for t in (first, second, third))


def test_no_scratch_no_growth(emitters: dict[str, registry.Emitter]) -> None:
    emitters["t::x"] = emitting(A)
    assert compile_plan(a_pte(("t::x", (A,), (A,)), arena=250)).arena_bytes == 250


def test_structs_are_named_by_their_type_and_taken_by_address(emitters: dict[str, registry.Emitter]) -> None:
    sizes = Parameters("McuSizes", (("rows", 2), ("low", -128)))
    emitters["t::x"] = emitting(sizes, ConstantArray("int32_t", (2, -128)))
    template = compile_plan(a_pte(("t::x", (A,), (A,)), ("t::x", (A,), (A,)))).to_template()
    assert [call["arguments"] for call in template["calls"]] == [["&kSizes0", "kTable1"]] * 2
    struct, table = template["tables"]
    assert struct == {
        "name": "kSizes0",
        "c_type": "McuSizes",
        "values": ["2", "-128"],
        "fields": ["rows", "low"],
    }
    assert format_entries(struct) == ["/*rows=*/2", "/*low=*/-128"] and format_entries(table) == ["2", "-128"]


def test_equal_tables_are_shared(emitters: dict[str, registry.Emitter]) -> None:
    emitters["t::x"] = emitting(ConstantArray("int32_t", (1, -(2**31))), ConstantArray("float", (0.0,)))
    emitters["t::y"] = emitting(ConstantArray("float", (-0.0,)), ConstantArray("int32_t", (1, -(2**31))))
    template = compile_plan(a_pte(("t::x", (A,), (A,)), ("t::y", (A,), (A,)))).to_template()
    assert template["tables"] == [
        {"name": "kTable0", "c_type": "int32_t", "values": ["1", "INT32_MIN"]},
        {"name": "kTable1", "c_type": "float", "values": ["0x0p+0f"]},
        {"name": "kTable2", "c_type": "float", "values": ["-0x0p+0f"]},
    ]
    assert [call["arguments"] for call in template["calls"]] == [
        ["kTable0", "kTable1"],
        ["kTable2", "kTable0"],
    ]


OUT_OF_RANGE: dict[str, Argument] = {
    "behind the arena": f32(256 - 28, 8),
    "before the arena": f32(-4, 8),
    "behind the kv cache": f32(0, 1, space=Space.KV_CACHE),
    "behind the file": f32(4096, 1, space=Space.MODEL),
    "misaligned": f32(2, 1),
    "pointer behind its tensor": Pointer(A, 32),
    "pointer before its tensor": Pointer(B, -4),
    "pointer to a tensor outside": Pointer(f32(1000, 8), 0),
    "misaligned pointer": Pointer(A, 2),
    "misaligned pointer of another type": Pointer(A, 4, "int64_t"),
    "negative scratch": Scratch(-1),
    "integer beyond 64 bits": 2**63,
    "float beyond 32 bits": 1e39,
    "table beyond its type": ConstantArray("int8_t", (128,)),
    "field beyond 32 bits": Parameters("McuSizes", (("rows", 2**31),)),
    "table of fractions": ConstantArray("int32_t", (0.5,)),
    "table of no known type": ConstantArray("char*", (1,)),
}


@pytest.mark.parametrize("case", OUT_OF_RANGE)
def test_arguments_out_of_range(emitters: dict[str, registry.Emitter], case: str) -> None:
    emitters["t::x"] = emitting(OUT_OF_RANGE[case])
    with pytest.raises(PteError) as caught:
        compile_plan(a_pte(("t::x", (A,), (A,))))
    assert caught.value.exit_code == 3


def test_arena_too_large_for_offsets(emitters: dict[str, registry.Emitter]) -> None:
    emitters["t::x"] = emitting(Scratch(2**31))
    with pytest.raises(PteError, match="one memory"):
        compile_plan(a_pte(("t::x", (A,), (A,))))


def test_emitters_that_stumble(emitters: dict[str, registry.Emitter]) -> None:
    def too_far(instruction: Instruction) -> Sequence[KernelCall]:
        return emitting(instruction.arguments[7])(instruction)  # type: ignore[arg-type]

    emitters["t::index"] = too_far
    emitters["t::type"] = lambda i: emitting(i.arguments[0].shape)(i)  # type: ignore[union-attr, arg-type]
    emitters["t::zero"] = lambda i: emitting(1 // 0)(i)
    for operator, error in (
        ("t::index", "IndexError"),
        ("t::type", "AttributeError"),
        ("t::zero", "ZeroDivision"),
    ):
        with pytest.raises(PteError, match=error):
            compile_plan(a_pte((operator, (3,), ())))


def test_no_kernel(emitters: dict[str, registry.Emitter]) -> None:
    with pytest.raises(UnsupportedOperatorError, match=r"t::missing\.out"):
        compile_plan(a_pte(("t::missing", (A, B), (B,))))


def test_a_whole_file(tiny: dict[str, Any], emitters: dict[str, registry.Emitter]) -> None:
    pte = read_pte(tiny["kv_cache"].data)
    for instruction in pte.instructions:
        tensors = tuple(a for a in instruction.arguments if isinstance(a, Tensor))
        emitters[instruction.operator] = emitting(*tensors)
    template = compile_plan(pte).to_template()
    assert len(template["calls"]) == len(pte.instructions)
    assert any(a.startswith("kv_cache<float>(") for call in template["calls"] for a in call["arguments"])
    assert any(a.startswith("weights<float>(") for call in template["calls"] for a in call["arguments"])
    assert template["inputs"][1] == {
        "pointer": f"arena<int64_t>({pte.inputs[1].offset})",
        "space": "arena",
        "offset": pte.inputs[1].offset,
        "type": "s64",
        "c_type": "int64_t",
        "shape": [1],
        "elements": 1,
        "bytes": 8,
    }


# ---- live bytes


def test_live_bytes_of_a_chain() -> None:
    """A -> B -> C: two tensors of 32 bytes at a time; the input dies after its only use."""
    pte = a_pte(("t::x", (A, B), (B,)), ("t::x", (B, C), (C,)), inputs=(A,), outputs=(C,))
    assert live_bytes(pte) == (64, 64)


def test_live_bytes_follow_bytes_through_views() -> None:
    """B is written as f32[8] and read as f32[2,4] two instructions later: it is live in between."""
    view = f32(32, 2, 4)
    pte = a_pte(
        ("t::x", (A, B), (B,)),
        ("t::x", (A, C), (C,)),
        ("t::x", (view, C, A), (A,)),
        inputs=(A,),
        outputs=(A,),
    )
    assert live_bytes(pte) == (64, 96, 96)


def test_live_bytes_of_state() -> None:
    """C is read before it is written, and is no input: it lives from step to step."""
    pte = a_pte(("t::x", (C, A), (A,)), ("t::x", (A, C), (C,)), ("t::x", (A, B), (B,)), outputs=(B,))
    assert live_bytes(pte) == (64, 64, 96)


def test_live_bytes_in_place() -> None:
    """An operator in place reads what it writes, so its target is live before it."""
    pte = a_pte(("t::x", (B, C), (C,)), ("t::write_", (C, B), (C,)), inputs=(B,), outputs=(C,))
    assert live_bytes(pte) == (64, 64)
    pte = a_pte(("t::x", (B, A), (A,)), ("t::write_", (C, A), (C,)), inputs=(B,), outputs=(C,))
    assert live_bytes(pte)[0] == 96


def test_live_bytes_within_the_plan(tiny: dict[str, Any]) -> None:
    for name in ("mlp", "stateful", "kv_cache", "quantized"):
        pte = read_pte(tiny[name].data)
        sizes = live_bytes(pte)
        assert len(sizes) == len(pte.instructions)
        assert max(t.nbytes for t in pte.writes[0]) <= sizes[0] and max(sizes) <= pte.arena_bytes
