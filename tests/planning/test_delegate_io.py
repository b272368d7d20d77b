"""Tensors of a delegate at their places in the scratch: moved where that is safe, copied where it is not."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace

from mcu_sdk.npu.blob import read_blob
from mcu_sdk.npu.footprint import written_intervals
from mcu_sdk.npu.stream import read_stream
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


def test_a_method_that_shares_its_buffers_is_left_alone() -> None:
    """The other method's would stay behind: also where nothing but gaps would close."""
    x, y, keys = s8(0), s8(32), s8(64, space=Space.KV_CACHE)
    calls = [delegate(0, [keys, x], [y], writing(32, 16)), kernel(1, [y], s8(96))]
    pte = program(calls, (x,), (s8(96),), (MutableBuffer("k", keys),), 80)
    assert place_in_scratch(pte).kv_cache_bytes == 0
    shared = replace(pte, shares_buffers=True)
    assert place_in_scratch(shared) is shared


def test_what_one_call_hands_to_the_next_is_copied() -> None:
    x, y, z = s8(0), s8(32), s8(48)
    calls = [delegate(0, [x], [y], writing(48, 16)), delegate(1, [y], [z], writing(48, 16))]
    moved = place_in_scratch(program(calls, (x,), (z,)))
    assert io(moved, 0) == ([256], [32])  # the other call may write to all of the scratch
    assert io(moved, 1) == ([32], [304])


def test_an_output_that_is_changed_in_place_stays() -> None:
    x, y = s8(0), s8(32)
    change = Instruction(1, "mcu::lookup_s8_", "", (y,), "#1")
    pte = replace(
        program([delegate(0, [x], [y], writing(48, 16)), kernel(1, [x], y)], (x,), (y,)),
        instructions=(delegate(0, [x], [y], writing(48, 16)), change),
        writes=((y, SCRATCH), (y,)),
    )
    assert io(place_in_scratch(pte), 0)[1] == [32]


def test_a_call_begins_where_what_is_read_of_the_one_before_is_not() -> None:
    """y lies in the upper half of the first call's scratch when a kernel makes the second call's input of it."""
    x, y, q, z = s8(0), s8(16), s8(32), s8(48)
    first, second = delegate(0, [x], [y], writing(48, 16)), delegate(2, [q], [z], writing(0, 16))
    small = replace(SCRATCH, shape=(32,))
    blob = vela_blob(
        command_block(writing(0, 16)),
        scratch_size=32,
        inputs=tensors(((16,), 1, 0, 1)),
        outputs=tensors(((16,), 1, 0, 1)),
    )
    data = Tensor(DType.U8, (len(blob),), Space.MODEL, 0, data=blob)
    second = replace(second, arguments=(data, [q], [z], small))
    pte = program([first, kernel(1, [y], q), second], (x,), (z,))
    pte = replace(pte, writes=(*pte.writes[:2], (z, small)))
    moved = place_in_scratch(pte)
    assert io(moved, 0) == ([256], [304])
    assert io(moved, 2) == ([256], [256]) and moved.instructions[2].arguments[3] == small
    high = replace(pte, instructions=(delegate(0, [x], [y], writing(0, 64)), *pte.instructions[1:]))
    lower = tensors(((16,), 1, 0, 1))
    low = vela_blob(command_block(writing(0, 64)), scratch_size=64, inputs=lower, outputs=lower)
    data = Tensor(DType.U8, (len(low),), Space.MODEL, 0, data=low)
    high = replace(
        high, instructions=(replace(first, arguments=(data, [x], [y], SCRATCH)), *high.instructions[1:])
    )
    moved = place_in_scratch(high)
    assert io(moved, 0) == ([256], [256])
    assert io(moved, 2) == ([272], [272])
    assert moved.instructions[2].arguments[3] == replace(small, offset=272) == moved.writes[2][-1]


def test_any_program_computes_the_same() -> None:
    """Kernels and calls on values of 16 bytes that share memory, each call writing to more than its outputs. Nearly all have
    something that needs no copy; of those where all is moved without a look many compute something else."""
    moved = wrong = 0
    for seed in range(300):
        pte = any_program(random.Random(seed))
        placed, wanted = place_in_scratch(pte), computed(pte)
        assert computed(placed) == wanted, seed
        moved += placed != pte
        wrong += computed(blindly_placed(pte)) != wanted
    assert moved > 250 and wrong > 120


def any_program(rng: random.Random) -> Pte:
    """Two inputs, some nine instructions, two outputs; every value lies where nothing lives that is needed still."""
    size, count = 16, 9
    reads: list[list[int]] = []  # by instruction, of values by their number; 0 and 1 are the inputs
    kinds = [rng.choice(["kernel", "kernel", "in place", "call", "call"]) for _ in range(count)]
    results: list[list[int]] = []
    values, dead = 2, set[int]()
    for kind in kinds:
        known = [value for value in range(values) if value not in dead]
        recent = known[-4:]
        reads.append(rng.sample(recent, min(len(recent), rng.randint(1, 2))))
        results.append(list(range(values, values + (rng.randint(1, 2) if kind == "call" else 1))))
        values += len(results[-1])
        if kind == "in place":
            dead.add(reads[-1][0])
    outputs = [value for value in range(values) if value not in dead][-2:]
    first = {value: index for index, made in enumerate(results) for value in made} | {0: -1, 1: -1}
    last = {value: first[value] for value in range(values)}
    for index, read in enumerate(reads):
        last |= dict.fromkeys(read, index)
    last |= dict.fromkeys(outputs, count)
    offset: dict[int, int] = {}
    for value in range(values):
        made = first[value]
        if made >= 0 and kinds[made] == "in place":
            offset[value] = offset[reads[made][0]]
            continue
        until = max(last[each] for each in _in_one_place(value, kinds, reads, results))
        taken = {offset[other] for other in offset if first[other] <= until and last[other] >= made}
        offset[value] = next(place for place in range(0, 1 << 12, size) if place not in taken)
    room = Tensor(DType.U8, (rng.choice([96, 128]),), Space.ARENA, 1 << 12)
    tensor = {value: s8(offset[value]) for value in range(values)}
    instructions, writes = [], []
    for index, kind in enumerate(kinds):
        read, made = [tensor[v] for v in reads[index]], [tensor[v] for v in results[index]]
        if kind == "call":
            call = _any_call(rng, index, read, made, room)
            instructions.append(call)
            scratch = call.arguments[3]
            assert isinstance(scratch, Tensor)
            writes.append((*made, scratch))
        else:
            name, given = ("mcu::some_", read) if kind == "in place" else ("mcu::some", [*read, *made])
            instructions.append(Instruction(index, name, "", tuple(given), f"#{index}"))
            writes.append(tuple(made))
    whole = program(instructions if kinds.count("call") else [], (tensor[0], tensor[1]))
    return replace(
        whole,
        writes=tuple(writes) if kinds.count("call") else (),
        outputs=tuple(tensor[value] for value in outputs) if kinds.count("call") else (),
        arena_bytes=(1 << 12) + room.nbytes,
    )


def _in_one_place(
    value: int, kinds: list[str], reads: list[list[int]], results: list[list[int]]
) -> list[int]:
    """A value and what changes it in place, one after the other."""
    found = [value]
    for kind, read, made in zip(kinds, reads, results, strict=True):
        if kind == "in place" and read[0] == found[-1]:
            found.append(made[0])
    return found


def _any_call(
    rng: random.Random, index: int, read: list[Tensor], made: list[Tensor], room: Tensor
) -> Instruction:
    """Inputs at different places of a scratch, outputs as well, which may be those of inputs."""
    scratch = rng.choice([64, 96])
    places = range(0, scratch, 16)
    inputs, outputs = rng.sample(places, len(read)), rng.sample(places, len(made))
    written = [*outputs, *rng.sample(places, rng.randint(0, 2))]
    words = [word for place in written for word in writing(place, 16)[:-1]]
    data = vela_blob(
        command_block([*words, writing(0, 16)[-1]]),
        scratch_size=scratch,
        inputs=tensors(*(((16,), 1, place, 1) for place in inputs)),
        outputs=tensors(*(((16,), 1, place, 1) for place in outputs)),
    )
    blob = Tensor(DType.U8, (len(data),), Space.MODEL, 0, data=data)
    arguments: tuple[Value, ...] = (
        blob,
        list[Value](read),
        list[Value](made),
        replace(room, shape=(scratch,)),
    )
    return Instruction(index, "delegate::EthosUBackend", "", arguments, "npu")


def computed(pte: Pte) -> list[bytes]:
    """The program's outputs, calls made as the emitter prints them: copies in, the stream, copies out."""
    memory = bytearray(pte.arena_bytes)

    def at(tensor: Value) -> slice:
        assert isinstance(tensor, Tensor)
        return slice(tensor.offset, tensor.offset + tensor.nbytes)

    for number, tensor in enumerate(pte.inputs):
        memory[at(tensor)] = bytes(16 * number + i for i in range(16))
    for instruction, written in zip(pte.instructions, pte.writes, strict=True):
        if not instruction.operator.startswith("delegate::"):
            read = [memory[at(t)] for t in instruction.arguments if instruction.in_place or t not in written]
            memory[at(written[0])] = _mixed(instruction.index, read)
            continue
        data, inputs, outputs, scratch = instruction.arguments
        assert isinstance(data, Tensor) and isinstance(scratch, Tensor) and data.data is not None
        assert isinstance(inputs, list) and isinstance(outputs, list)
        blob = read_blob(bytes(data.data))
        ins, outs = (
            [slice(scratch.offset + p.offset, scratch.offset + p.offset + 16) for p in places]
            for places in (blob.inputs, blob.outputs)
        )
        for tensor, place in zip(inputs, ins, strict=True):
            memory[place] = memory[at(tensor)]
        read = [memory[place] for place in ins]
        for begin, end in written_intervals(read_stream(blob.commands), region=1):
            memory[scratch.offset + begin : scratch.offset + end] = b"\xee" * (end - begin)
        for number, place in enumerate(outs):
            memory[place] = _mixed(instruction.index + 100 * number, read)
        for tensor, place in zip(outputs, outs, strict=True):
            memory[at(tensor)] = memory[place]
    return [bytes(memory[at(tensor)]) for tensor in pte.outputs]


def _mixed(number: int, read: Sequence[bytes]) -> bytes:
    return hashlib.blake2b(b"|".join(map(bytes, read)) + bytes([number % 256]), digest_size=16).digest()


def blindly_placed(pte: Pte) -> Pte:
    """With every call's inputs and outputs at their places, whatever else is there."""
    for call in [i.index for i in pte.instructions if i.operator.startswith("delegate::")]:
        data, inputs, outputs, scratch = pte.instructions[call].arguments
        assert isinstance(data, Tensor) and isinstance(scratch, Tensor) and data.data is not None
        assert isinstance(inputs, list) and isinstance(outputs, list)
        blob = read_blob(bytes(data.data))
        for tensor, place in zip(outputs, blob.outputs, strict=True):
            assert isinstance(tensor, Tensor)
            new = replace(tensor, offset=scratch.offset + place.offset)
            instructions, writes, outs = list(pte.instructions), list(pte.writes), list(pte.outputs)
            for index in range(call, len(instructions)):
                if index > call and any(t.same_memory(tensor) for t in writes[index]):
                    break
                arguments = instructions[index].arguments
                changed = [
                    [new if t == tensor else t for t in a]
                    if isinstance(a, list)
                    else new
                    if a == tensor
                    else a
                    for a in arguments
                ]
                if index == call:
                    changed[1] = arguments[1]
                instructions[index] = replace(instructions[index], arguments=tuple(changed))
                writes[index] = tuple(new if t == tensor else t for t in writes[index])
            else:
                outs = [new if t == tensor else t for t in outs]
            pte = replace(pte, instructions=tuple(instructions), writes=tuple(writes), outputs=tuple(outs))
    return pte
