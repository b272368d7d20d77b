"""The .pte reader: the same content as ExecuTorch's own, and what it refuses."""

from __future__ import annotations

import dataclasses
import struct
import subprocess
import sys
from itertools import pairwise
from typing import Any

import flatbuffers
import numpy as np
import pytest

from mcu_sdk.errors import PteError, UnsupportedOperatorError
from mcu_sdk.planning.instruction import DType, Space, Tensor
from mcu_sdk.planning.pte import program as tables
from mcu_sdk.planning.pte.program import Program, read_program
from mcu_sdk.planning.pte.read import Pte, read_delegates, read_pte

NAMES = ("mlp", "stateful", "kv_cache", "unplanned_io", "inline", "delegated", "quantized")


def assert_same(mine: Any, theirs: Any, data: bytes, where: str) -> None:
    """Compare a decoded table with ExecuTorch's dataclass, field by field."""
    kind = type(theirs).__name__
    if kind in ("Int", "Bool", "Double", "String", "Null"):
        plain = {"Int": "int_val", "Bool": "bool_val", "Double": "double_val", "String": "string_val"}
        assert mine == (getattr(theirs, plain[kind]) if kind in plain else None), where
    elif kind == "EValue":
        assert_same(mine, theirs.val, data, where)
    elif kind == "Instruction":
        assert type(mine).__name__ == type(theirs.instr_args).__name__, where
        assert_same(mine, theirs.instr_args, data, where)
    elif kind == "FrameList":
        assert_same(mine, theirs.items, data, where)
    elif kind in ("Buffer", "BackendDelegateInlineData"):
        content = theirs.storage if kind == "Buffer" else theirs.data
        assert data[mine.offset : mine.offset + mine.size] == bytes(content), where
    elif kind == "DataSegment":
        assert mine.size == theirs.size, where
    elif kind == "BackendDelegate":
        assert (mine.id, mine.location, mine.index) == (
            theirs.id,
            int(theirs.processed.location),
            theirs.processed.index,
        )
        found = [(key, data[span.offset : span.offset + span.size]) for key, span in mine.compile_specs]
        assert found == [(spec.key, bytes(spec.value)) for spec in theirs.compile_specs], where
    elif kind == "NamedData":
        assert mine == (theirs.key, theirs.segment_index)
    elif dataclasses.is_dataclass(theirs):
        shared = [f.name for f in dataclasses.fields(theirs) if hasattr(mine, f.name)]
        assert len(shared) >= len(dataclasses.fields(mine)) - 1, where  # `optional` is told by their class
        for name in shared:
            assert_same(getattr(mine, name), getattr(theirs, name), data, f"{where}.{name}")
    elif isinstance(theirs, (list, tuple)) or (theirs is None and isinstance(mine, tuple)):
        theirs = theirs or []
        assert len(mine) == len(theirs), where
        for index, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            assert_same(a, b, data, f"{where}[{index}]")
    elif theirs is None:
        assert mine in (None, ""), where
    elif isinstance(mine, float):
        assert mine == float(theirs), where
    else:
        assert mine == theirs and isinstance(mine, (int, str, bool)), where


@pytest.mark.parametrize("name", NAMES)
def test_decodes_what_executorch_decodes(tiny: dict[str, Any], name: str) -> None:
    from executorch.exir._serialize._flatbuffer_program import _flatbuffer_to_program
    from executorch.exir._serialize._program import _get_extended_header

    data = tiny[name].data
    header = _get_extended_header(data)
    theirs = _flatbuffer_to_program(data[: header.program_size] if header else data)
    mine = read_program(data)
    assert_same(mine, theirs, data, name)
    for span, segment in zip(mine.segments, theirs.segments, strict=True):
        assert span.offset == header.segment_base_offset + segment.offset


@pytest.mark.parametrize("name", ["mlp", "stateful", "kv_cache", "inline", "quantized"])
def test_constants_are_read_in_place(tiny: dict[str, Any], name: str) -> None:
    """Each constant's bytes in the file are the bytes ExecuTorch restores for it."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    data = tiny[name].data
    pte = read_pte(data)
    restored = [bytes(buffer.storage) for buffer in deserialize_pte_binary(data).program.constant_buffer]
    assert pte.constants
    for constant in pte.constants:
        content = data[constant.offset : constant.offset + constant.nbytes]
        assert constant.space is Space.MODEL and constant.data is not None and bytes(constant.data) == content
        assert any(other[: len(content)] == content for other in restored)
        assert constant.offset % constant.dtype.size == 0
    if name in ("stateful", "inline"):
        state = tiny[name].model.state_dict()
        by_shape = {c.shape: np.frombuffer(c.data or b"", np.float32).reshape(c.shape) for c in pte.constants}
        np.testing.assert_array_equal(by_shape[8, 8], state["project.weight"].numpy())


def test_metadata(tiny: dict[str, Any]) -> None:
    pte = read_pte(tiny["stateful"].data)
    assert pte.metadata == {
        "get_n": 3,
        "name": "tiny",
        "half": 0.5,
        "flag": True,
        "ids": [1, 2],
        "table": [0, 1, 2, 3],
    }
    assert set(pte.methods) == {"forward", *pte.metadata}
    assert type(pte.metadata["flag"]) is bool


def test_instructions_without_the_repeated_results(tiny: dict[str, Any]) -> None:
    pte = read_pte(tiny["kv_cache"].data)
    by_name = {i.operator: (i, w) for i, w in zip(pte.instructions, pte.writes, strict=True)}
    addmm, written = by_name["aten::addmm"]
    assert [type(a) for a in addmm.arguments] == [Tensor, Tensor, Tensor, int, int, Tensor]
    assert written == (addmm.arguments[5],)
    index_put, written = by_name["aten::index_put_"]
    assert index_put.full_name == "aten::index_put_"
    cache, indices, _, accumulate = index_put.arguments
    assert accumulate is False and isinstance(indices, list) and indices[0] == pte.inputs[1]
    assert written == (cache,)
    split, written = by_name["aten::split_with_sizes_copy"]
    assert split.arguments[1:3] == ([4, 4], 1) and list(written) == split.arguments[3]
    assert [i.name for i in pte.instructions] == [f"#{n}" for n in range(len(pte.instructions))]


def test_kv_cache_has_its_own_space(tiny: dict[str, Any]) -> None:
    pte = read_pte(tiny["kv_cache"].data)
    (buffer,) = pte.mutable_buffers
    assert buffer.name == "cache" and buffer.tensor.space is Space.KV_CACHE and buffer.tensor.shape == (4, 8)
    assert pte.kv_cache_bytes == 128 and pte.memory[2] == 128 and pte.arena_bytes == pte.memory[1]


def test_unplanned_inputs_and_outputs_are_appended(tiny: dict[str, Any]) -> None:
    pte = read_pte(tiny["unplanned_io"].data)
    planned = pte.memory[1]
    appended = [t for t in (*pte.inputs, *pte.outputs) if t.offset >= planned]
    assert set(pte.inputs) <= set(appended) and len(appended) > len(pte.inputs)
    assert all(t.offset % 16 == 0 and t.offset + t.nbytes <= pte.arena_bytes for t in appended)
    places = sorted((t.offset, t.offset + t.nbytes) for t in set(appended))
    assert all(end <= begin for (_, end), (begin, _) in pairwise(places))


def test_names_and_sources(tiny: dict[str, Any]) -> None:
    data = tiny["mlp"].data
    count = len(read_pte(data).instructions)
    pte = read_pte(data, names=[f"layers.{n}" for n in range(count)])
    assert pte.instructions[2].name == "layers.2"
    assert __file__.rsplit("/", 2)[0] in pte.instructions[2].source  # the model is in conftest.py
    assert pte.instructions[2].source.split(":")[-1].isdigit()
    with pytest.raises(PteError, match="names for 1 instructions"):
        read_pte(data, names=["one"])


def test_delegates(tiny: dict[str, Any]) -> None:
    data = tiny["delegated"].data
    with pytest.raises(UnsupportedOperatorError, match="XnnpackBackend"):
        read_pte(data)
    program = read_program(data)
    (delegate,) = read_delegates(program, program.execution_plan[0])
    assert delegate.id == "XnnpackBackend" and 0 < delegate.size < len(data)


def test_reading_needs_neither_torch_nor_executorch() -> None:
    code = "import sys, mcu_sdk.planning.pte.read, mcu_sdk.planning.plan; print([m for m in sys.modules if 'torch' in m])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"


# ---- files that say something impossible: a program is decoded, changed, and read through the same checks


def reread(tiny: Any, monkeypatch: pytest.MonkeyPatch, change: Any) -> Pte:
    """Read `tiny` with the decoded program passed through `change`."""
    changed = change(read_program(tiny.data))
    monkeypatch.setattr("mcu_sdk.planning.pte.read.read_program", lambda data: changed)
    return read_pte(tiny.data)


def on_forward(**fields: Any) -> Any:
    def change(program: Program) -> Program:
        forward, *others = program.execution_plan
        new = {key: value(forward) if callable(value) else value for key, value in fields.items()}
        return dataclasses.replace(program, execution_plan=(dataclasses.replace(forward, **new), *others))

    return change


def on_value(index: int, **fields: Any) -> Any:
    def values(forward: Any) -> tuple[Any, ...]:
        old = forward.values[index]
        new = dataclasses.replace(old, **{k: v(old) if callable(v) else v for k, v in fields.items()})
        return (*forward.values[:index], new, *forward.values[index + 1 :])

    return on_forward(values=values)


def on_instruction(new: Any) -> Any:
    def chains(forward: Any) -> tuple[Any, ...]:
        chain = forward.chains[0]
        return (dataclasses.replace(chain, instructions=(new, *chain.instructions[1:])),)

    return on_forward(chains=chains)


def moved(offset: int, memory: int = 1) -> Any:
    return tables.AllocationDetails(memory, offset & 0xFFFFFFFF, offset >> 32)


# Of the file "stateful": value 0 is the weight f32[8,8], 3 the input f32[1,8], 5 an activation f32[8,8].
IMPOSSIBLE = {
    "input index": (on_forward(inputs=(3, 4000)), PteError, "value 4000"),
    "negative index": (on_forward(outputs=(-1,)), PteError, "value -1"),
    "input is no tensor": (on_forward(inputs=(6,)), UnsupportedOperatorError, "must be a tensor"),
    "input is a constant": (on_forward(inputs=(0,)), PteError, "is a constant"),
    "negative size": (on_value(5, sizes=(8, -8)), PteError, "tensor of"),
    "huge size": (on_value(5, sizes=(2**31 - 1, 2**31 - 1), dim_order=(0, 1)), PteError, "tensor of"),
    "dim_order repeats": (on_value(5, dim_order=(0, 0)), PteError, "in the order"),
    "dim_order is short": (on_value(5, dim_order=(0,)), PteError, "in the order"),
    "dtype": (on_value(5, scalar_type=99), UnsupportedOperatorError, "number 99"),
    "complex": (on_value(5, scalar_type=9), UnsupportedOperatorError, "elements of type complex64"),
    "bfloat16": (on_value(5, scalar_type=15), UnsupportedOperatorError, "bfloat16"),
    "storage offset": (on_value(5, storage_offset=1), PteError, "into its storage"),
    "unbounded": (on_value(5, shape_dynamism=2), UnsupportedOperatorError, "without upper bound"),
    "behind the memory": (on_value(5, allocation_info=moved(496 - 255)), PteError, "of memory 1"),
    "far behind the memory": (on_value(5, allocation_info=moved(1 << 40)), PteError, "of memory 1"),
    "no such memory": (on_value(5, allocation_info=moved(0, memory=7)), PteError, "of memory 7"),
    "memory 0": (on_value(5, allocation_info=moved(0, memory=0)), PteError, "of memory 0"),
    "misaligned": (on_value(5, allocation_info=moved(2)), PteError, "misaligned"),
    "no memory at all": (on_value(5, allocation_info=None), PteError, "no planned memory"),
    "initial value": (on_value(5, data_buffer_idx=1), UnsupportedOperatorError, "initial value"),
    "constant's index": (on_value(0, data_buffer_idx=77), PteError, "constant 77"),
    "constant too short": (on_value(0, sizes=(8, 80)), PteError, "bytes of data"),
    "external": (
        on_value(0, extra_tensor_info=tables.ExtraTensorInfo(0, "weights", 1)),
        UnsupportedOperatorError,
        "outside the .pte",
    ),
    "memory of negative size": (on_forward(non_const_buffer_sizes=(0, -1)), PteError, "plans memories"),
    "memory too large": (on_forward(non_const_buffer_sizes=(0, 2**40)), PteError, "plans memories"),
    "two chains": (on_forward(chains=lambda f: f.chains * 2), PteError, "chains"),
    "operator index": (on_instruction(tables.KernelCall(500, (0, 0))), PteError, "operator 500"),
    "no arguments": (on_instruction(tables.KernelCall(0, ())), PteError, "no arguments"),
    "argument index": (on_instruction(tables.KernelCall(0, (0, 8, 5000, 5))), PteError, "value 5000"),
    "result is no argument": (
        on_instruction(tables.KernelCall(0, (0, 8, 5, 3))),
        PteError,
        "none of its arguments",
    ),
    "result is an input": (
        on_instruction(tables.KernelCall(1, (1, 3, 5, 10, 11, 9, 3))),
        PteError,
        "none of its",
    ),
    "writes a constant": (
        on_instruction(tables.KernelCall(0, (0, 8, 0, 0))),
        PteError,
        "writes to a constant",
    ),
    "delegate": (on_instruction(tables.DelegateCall(3, ())), PteError, "delegate 3"),
    "jump": (on_instruction(tables.JumpFalseCall(0, 0)), UnsupportedOperatorError, "JumpFalseCall"),
    "move": (on_instruction(tables.MoveCall(0, 5)), UnsupportedOperatorError, "MoveCall"),
    "free": (on_instruction(tables.FreeCall(5)), UnsupportedOperatorError, "FreeCall"),
    "operator's name": (
        on_forward(operators=(tables.Operator('a::b"\n', "out"),) * 20),
        PteError,
        "no operator's name",
    ),
    "no forward": (on_forward(name="encode"), UnsupportedOperatorError, "'encode'"),
    "nothing to run": (
        lambda p: dataclasses.replace(p, execution_plan=()),
        UnsupportedOperatorError,
        "found: none",
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_impossible_programs(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    change, error, text = IMPOSSIBLE[case]
    with pytest.raises(error, match=text) as caught:
        reread(tiny["stateful"], monkeypatch, change)
    assert type(caught.value) is error and caught.value.exit_code == 3


def test_two_real_methods(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def change(program: Program) -> Program:
        encode = dataclasses.replace(program.execution_plan[0], name="encode")
        return dataclasses.replace(program, execution_plan=(*program.execution_plan, encode))

    with pytest.raises(PteError, match="'forward', 'encode'"):
        reread(tiny["stateful"], monkeypatch, change)


def test_upper_bounds_are_compiled_and_said(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pte = reread(tiny["stateful"], monkeypatch, on_value(5, shape_dynamism=1))
    assert any("upper bound [8, 8]" in note for note in pte.notes)


def test_further_memories_go_behind_the_first(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def change(program: Program) -> Program:
        program = on_forward(non_const_buffer_sizes=(0, 500, 64, 256))(program)
        return Program(**vars(on_value(5, allocation_info=moved(0, memory=3))(program)))

    pte = reread(tiny["stateful"], monkeypatch, change)
    assert (pte.arena_bytes, pte.kv_cache_bytes) == (512 + 256, 64)
    written = pte.writes[0][0]
    assert written.space is Space.ARENA and written.offset == 512
    assert any("Memories 3" in note for note in pte.notes)


def test_dim_order_is_kept_where_it_matters(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert reread(tiny["stateful"], monkeypatch, on_value(5, dim_order=(1, 0))).writes[0][0].dim_order == (
        1,
        0,
    )


def test_dim_order_of_single_rows_is_row_major(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert reread(tiny["stateful"], monkeypatch, on_value(3, dim_order=(1, 0))).inputs[0].dim_order == ()


# ---- the decoder's own checks


def test_misaligned_constants(tiny: dict[str, Any]) -> None:
    """One byte of padding in the segments' base moves every constant off its alignment."""
    data = tiny["mlp"].data
    (base,) = struct.unpack_from("<Q", data, 24)
    shifted = data[:24] + struct.pack("<Q", base + 1) + data[32:base] + b"\0" + data[base:]
    with pytest.raises(PteError, match=r"byte \d+ of the file is no multiple of 4"):
        read_pte(shifted)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "only 0 bytes"),
        (b"\0" * 64, "identifier"),
        (b"PK\3\4" + b"\0" * 60, "identifier"),
        (b"\x08\0\0\0ET12", "truncated or corrupt"),
        (b"\xff\xff\xff\xffET12" + b"\0" * 16, "truncated or corrupt"),
    ],
)
def test_no_pte_at_all(data: bytes, text: str) -> None:
    with pytest.raises(PteError, match=text):
        read_pte(data)


def test_shared_tables_cannot_cost_more_than_the_file() -> None:
    """20,000 offsets to one method whose 20,000 values are one table: 400 million values in 160 KB."""
    count = 20_000
    builder = flatbuffers.Builder()

    def table(*fields: int, union: bool = False) -> int:
        builder.StartObject(10)
        if union:
            builder.PrependUint8Slot(0, 1, 0)
        for slot, field in enumerate(fields):
            if field:
                builder.PrependUOffsetTRelativeSlot(slot, field, 0)
        return int(builder.EndObject())

    def vector(item: int) -> int:
        builder.StartVector(4, count, 4)
        for _ in range(count):
            builder.PrependUOffsetTRelative(item)
        return int(builder.EndVector())

    value = table(0, table(), union=True)
    plan = table(0, 0, vector(value))
    builder.Finish(table(0, vector(plan)), b"ET12")
    with pytest.raises(PteError, match="share more data"):
        read_program(bytes(builder.Output()))


def test_elements_have_the_struct_sizes() -> None:
    from mcu_sdk.planning.pte.read import _STRUCT_CODES

    assert {dtype: struct.calcsize("<" + _STRUCT_CODES[dtype]) for dtype in DType} == {
        d: d.size for d in DType
    }
