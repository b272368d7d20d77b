"""Tensors of a delegate at their places in the scratch: moved where that is safe, copied where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mcu_sdk.planning.delegate_io import place_in_scratch
from mcu_sdk.planning.instruction import DType, Instruction, Space, Tensor, Value
from mcu_sdk.planning.pte.read import Delegate, Pte
from mcu_sdk.planning.pte.values import MutableBuffer
from tests.npu.blobs import command_block, tensors, vela_blob

SCRATCH = Tensor(DType.U8, (64,), Space.ARENA, 256)


def s8(offset: int, size: int = 16, space: Space = Space.ARENA) -> Tensor:
    return Tensor(DType.S8, (size,), space, offset)


def writing(begin: int, size: int) -> list[int]:
    """A stream with one DMA from region 0 into `size` bytes of the scratch."""
    return [
        0x0000_0130,  # DMA0_SRC_REGION 0
        0x0001_0131,  # DMA0_DST_REGION 1
        0x4030, 0,  # DMA0_SRC
        0x4031, begin,
        0x4032, size,
        0x0000_0010,  # DMA_START
        0xFFFF_0000,  # STOP
    ]  # fmt: skip


def delegate(index: int, inputs: list[Tensor], outputs: list[Tensor], words: list[int]) -> Instruction:
    """Inputs lie at bytes 0, 16, ... of the scratch, outputs from byte 48 downwards."""
    data = vela_blob(
        command_block(words),
        inputs=tensors(*(((t.nbytes,), 1, 16 * i, 1) for i, t in enumerate(inputs))),
        outputs=tensors(*(((t.nbytes,), 1, 48 - 16 * i, 1) for i, t in enumerate(outputs))),
    )
    blob = Tensor(DType.U8, (len(data),), Space.MODEL, 0, data=data)
    arguments: tuple[Value, ...] = (blob, list[Value](inputs), list[Value](outputs), SCRATCH)
    return Instruction(index, "delegate::EthosUBackend", "", arguments, "npu")


def kernel(index: int, read: Sequence[Tensor], written: Tensor, name: str = "aten::clone") -> Instruction:
    return Instruction(index, name, "out", (*read, written), f"#{index}")


def program(
    instructions: list[Instruction],
    inputs: tuple[Tensor, ...] = (),
    outputs: tuple[Tensor, ...] = (),
    buffers: tuple[MutableBuffer, ...] = (),
    kv_cache_bytes: int = 0,
) -> Pte:
    def written(instruction: Instruction) -> tuple[Tensor, ...]:
        if instruction.operator.startswith("delegate::"):
            results = instruction.arguments[2]
            assert isinstance(results, list)
            return (*(t for t in results if isinstance(t, Tensor)), SCRATCH)
        last = instruction.arguments[-1]
        assert isinstance(last, Tensor)
        return (last,)

    return Pte(
        methods=("forward",),
        metadata={},
        instructions=tuple(instructions),
        writes=tuple(written(i) for i in instructions),
        inputs=inputs,
        outputs=outputs,
        memory={},
        arena_bytes=320,
        kv_cache_bytes=kv_cache_bytes,
        mutable_buffers=buffers,
        delegates=(Delegate("EthosUBackend", 0, 0, "ethos-u55-128"),),
        constants=(),
        notes=(),
        size=0,
        hash="",
    )


def io(pte: Pte, index: int) -> tuple[list[int], list[int]]:
    """Offsets of the delegate's inputs and outputs."""
    _, inputs, outputs, _ = pte.instructions[index].arguments
    assert isinstance(inputs, list) and isinstance(outputs, list)
    return [t.offset for t in inputs if isinstance(t, Tensor)], [
        t.offset for t in outputs if isinstance(t, Tensor)
    ]


def test_a_tensor_between_a_kernel_and_the_delegate_moves() -> None:
    x, q, y, out = s8(0), s8(16), s8(32), s8(48)
    pte = program(
        [kernel(0, [x], q), delegate(1, [q], [y], writing(48, 16)), kernel(2, [y], out)], (x,), (out,)
    )
    moved = place_in_scratch(pte)
    assert io(moved, 1) == ([256], [256 + 48])
    assert moved.instructions[0].arguments[-1] == replace(q, offset=256)
    assert moved.writes[0] == (replace(q, offset=256),)
    assert moved.instructions[2].arguments[0] == replace(y, offset=304)
    assert moved.writes[1] == (replace(y, offset=304), SCRATCH)
    assert moved.inputs == (x,) and moved.outputs == (out,)


def test_inputs_and_outputs_of_the_program_move() -> None:
    x, y = s8(0), s8(0)  # the planner gave the output the input's memory
    moved = place_in_scratch(program([delegate(0, [x], [y], writing(48, 16))], (x,), (y,)))
    assert moved.inputs == (replace(x, offset=256),) and moved.outputs == (replace(y, offset=304),)
    assert io(moved, 0) == ([256], [304])


def test_what_is_read_after_the_npu_wrote_over_it_stays() -> None:
    x, y, out = s8(0), s8(32), s8(48)
    call = delegate(0, [x], [y], writing(0, 16))
    moved = place_in_scratch(program([call, kernel(1, [x, y], out)], (x,), (out,)))
    assert io(moved, 0) == ([0], [304])
    safe = place_in_scratch(
        program([delegate(0, [x], [y], writing(16, 16)), kernel(1, [x, y], out)], (x,), (out,))
    )
    assert io(safe, 0) == ([256], [304])
    assert safe.instructions[1].arguments[0] == replace(x, offset=256)


def test_a_tensor_written_in_parts_stays() -> None:
    x, half, other, q, y = s8(0, 8), s8(16, 8), s8(24, 8), s8(16), s8(32)
    instructions = [kernel(0, [x], half), kernel(1, [x], other), delegate(2, [q], [y], writing(48, 16))]
    assert io(place_in_scratch(program(instructions, (x,), (y,))), 2) == ([16], [304])


def test_a_tensor_used_with_more_around_it_stays() -> None:
    x, q, wide, y, out = s8(0), s8(16), s8(16, 32), s8(64), s8(80, 32)
    instructions = [
        kernel(0, [x], q),
        delegate(1, [q], [y], writing(48, 16)),
        kernel(2, [wide], out),
    ]
    assert io(place_in_scratch(program(instructions, (x,), (y,))), 1)[0] == [16]


def test_a_program_s_output_that_is_an_input_stays() -> None:
    x, q, y = s8(0), s8(16), s8(32)
    instructions = [kernel(0, [x], q), delegate(1, [q], [y], writing(48, 16))]
    assert io(place_in_scratch(program(instructions, (x,), (q,))), 1)[0] == [16]


def test_a_cache_moves_if_nothing_writes_over_it() -> None:
    x, y = s8(0), s8(32)
    first = s8(0, space=Space.KV_CACHE)
    second = s8(16, space=Space.KV_CACHE)
    buffers = (MutableBuffer("k", first), MutableBuffer("v", second))
    call = delegate(0, [first, second, x], [y], writing(16, 16))
    update = Instruction(1, "mcu::put_", "", (first, y), "#1")
    pte = replace(program([call, update], (x,), (y,), buffers, 32), writes=((y, SCRATCH), (first,)))
    moved = place_in_scratch(pte)
    at_place = Tensor(DType.S8, (16,), Space.ARENA, 256)
    assert moved.mutable_buffers == (
        MutableBuffer("k", at_place),
        MutableBuffer("v", replace(second, offset=0)),
    )
    assert moved.kv_cache_bytes == 16
    assert moved.instructions[1].arguments[0] == at_place and moved.writes[1] == (at_place,)
    assert io(moved, 0)[0] == [256, 0, 256 + 32]


def test_several_calls_share_the_scratch_and_are_left_alone() -> None:
    x, y, z = s8(0), s8(32), s8(48)
    calls = [delegate(0, [x], [y], writing(48, 16)), delegate(1, [y], [z], writing(48, 16))]
    pte = program(calls, (x,), (z,))
    assert place_in_scratch(pte) is pte


def test_a_method_that_shares_its_buffers_is_left_alone() -> None:
    """The other method's would stay behind: also where nothing but gaps would close."""
    x, y, keys = s8(0), s8(32), s8(64, space=Space.KV_CACHE)
    calls = [delegate(0, [keys, x], [y], writing(32, 16)), kernel(1, [y], s8(96))]
    pte = program(calls, (x,), (s8(96),), (MutableBuffer("k", keys),), 80)
    assert place_in_scratch(pte).kv_cache_bytes == 0
    shared = replace(pte, shares_buffers=True)
    assert place_in_scratch(shared) is shared
