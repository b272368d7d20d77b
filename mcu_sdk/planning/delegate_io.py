"""Puts delegates' inputs and outputs where the NPU reads and writes them, so that nothing has to be copied.

Vela gives every input and output a place in the scratch. A tensor that only travels between a delegate and its
neighbours can live at that place from the start: whoever computes an input writes it there, whoever uses an output
reads it there. Of several delegates each scratch begins where most of this is possible, within the room of the largest:
what the processor still reads of one is not what it writes for the next. What is kept from step to step (a KV cache)
can live in the scratch of a single delegate, if no command of the stream writes to its bytes. Where any of this cannot
be shown, the tensor stays in its own memory and is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from mcu_sdk.npu.accelerator import ACCELERATORS, U85
from mcu_sdk.npu.blob import VelaBlob, VelaTensor, read_blob
from mcu_sdk.npu.footprint import Interval, written_intervals
from mcu_sdk.npu.stream import read_stream
from mcu_sdk.planning.instruction import Instruction, Space, Tensor, Value
from mcu_sdk.planning.operands import tensors_in
from mcu_sdk.planning.pte.read import ETHOS_U, Pte
from mcu_sdk.planning.pte.values import ALIGNMENT, MutableBuffer

Move = Callable[[Tensor], Tensor]


def place_in_scratch(pte: Pte) -> Pte:
    """The same program with what can be moved at its place in the scratch; one without a delegate as it is, and a method that
    keeps its buffers with another one, for which they would have moved."""
    understood = all(_is_understood(delegate.accelerator) for delegate in pte.delegates)
    calls = [_Call.of(i, understood) for i in pte.instructions if i.operator == f"delegate::{ETHOS_U}"]
    if not calls or pte.shares_buffers:
        return pte
    room = max(calls, key=lambda call: call.scratch.nbytes).scratch
    state = _Placement(pte, tuple(calls))
    for number in range(len(calls)):
        state = state.with_call(number, room)
    return _compact(state.pte) if len(calls) == 1 else state.pte  # of several no buffer has moved


def _is_understood(accelerator: str) -> bool:
    """Whether the footprint of its streams is known; that of one that nobody named is read as a U55's."""
    known = ACCELERATORS.get(accelerator)
    return known is None or known.kind is not U85


@dataclass(frozen=True)
class _Call:
    """A delegate's call. `written`: what its stream writes to of its scratch, all of it where that is not understood."""

    index: int
    blob: VelaBlob
    scratch: Tensor
    written: tuple[Interval, ...]

    @staticmethod
    def of(instruction: Instruction, understood: bool) -> _Call:
        data, _, _, scratch = instruction.arguments
        assert isinstance(data, Tensor) and data.data is not None and isinstance(scratch, Tensor)
        blob = read_blob(bytes(data.data))
        everything = ((0, scratch.nbytes),)
        written = written_intervals(read_stream(blob.commands), region=1) if understood else everything
        return _Call(instruction.index, blob, scratch, written)

    def io(self, pte: Pte) -> tuple[list[_Slot], list[_Slot]]:
        """Its inputs and outputs."""
        _, inputs, outputs, _ = pte.instructions[self.index].arguments
        assert isinstance(inputs, list) and isinstance(outputs, list)
        return self._slots(inputs, self.blob.inputs), self._slots(outputs, self.blob.outputs)

    def _slots(self, tensors: list[Value], places: Iterable[VelaTensor]) -> list[_Slot]:
        slots = []
        for tensor, place in zip(tensors, places, strict=True):
            assert isinstance(tensor, Tensor)
            end = place.offset + place.size_bytes
            aligned = (self.scratch.offset + place.offset) % tensor.dtype.size == 0
            if aligned and tensor.nbytes == place.size_bytes and tensor.nbytes:
                written = any(low < end and place.offset < high for low, high in self.written)
                slots.append(_Slot(tensor, self.scratch.offset + place.offset, written))
        return slots


@dataclass(frozen=True)
class _Slot:
    """A tensor of a delegate and its place, an offset into the arena."""

    tensor: Tensor
    offset: int
    written: bool
    """Whether the stream writes to any of the place's bytes."""

    def move(self, tensor: Tensor) -> Tensor:
        """`tensor`, which lies inside the slot's tensor, at its new place."""
        offset = self.offset + tensor.offset - self.tensor.offset
        return replace(tensor, space=Space.ARENA, offset=offset)

    def held(self, first: int, last: int) -> _Held:
        return _Held(self.offset, self.offset + self.tensor.nbytes, first, last)


@dataclass(frozen=True)
class _Held:
    """Bytes of the arena that hold a value from the instruction that writes it to the last that reads it; -1 and the number
    of instructions for the program's inputs and outputs."""

    begin: int
    end: int
    first: int
    last: int

    def overlaps(self, begin: int, end: int) -> bool:
        return self.begin < end and begin < self.end

    def meets(self, other: _Held) -> bool:
        """Whether both need a byte at a time."""
        return self.overlaps(other.begin, other.end) and self.first <= other.last and other.first <= self.last

    def passes(self, call: _Call) -> bool:
        """Whether the value is older than a call and read by it or later."""
        return self.first < call.index <= self.last


@dataclass(frozen=True)
class _Placement:
    """A program with some of its values moved. `held`: those; `moved`: bytes that need no copy."""

    pte: Pte
    calls: tuple[_Call, ...]
    held: tuple[_Held, ...] = ()
    moved: int = 0

    def with_call(self, number: int, room: Tensor) -> _Placement:
        """With what can be moved of a call, its scratch beginning in the room where that is most."""
        call = self.calls[number]
        everything = self.moved + sum(place.size_bytes for place in (*call.blob.inputs, *call.blob.outputs))
        best: _Placement | None = None
        for begin in self._begins(call, room):
            attempt = self._with_scratch_at(number, begin, room)
            best = attempt if best is None or attempt.moved > best.moved else best
            if best.moved == everything:
                break
        assert best is not None, "a call has no place"  # _has_place has seen to it
        return best

    def _begins(self, call: _Call, room: Tensor) -> list[int]:
        """Where the scratch of a call may begin: nothing that passes the call is in it. At least one place."""
        passing = [held for held in self.held if held.passes(call)]
        places = [*call.blob.inputs, *call.blob.outputs]
        edges = [(held.begin, held.end) for held in self.held if held.last >= call.index - 1]
        wanted = {room.offset, room.offset + room.nbytes - call.scratch.nbytes}
        wanted |= {end - place.offset for _, end in edges for place in places}
        wanted |= {begin - place.offset - place.size_bytes for begin, _ in edges for place in places}
        wanted |= {end for _, end in edges} | {begin - call.scratch.nbytes for begin, _ in edges}
        return [begin for begin in _aligned(wanted) if _fits(call, begin, room, passing)]

    def _with_scratch_at(self, number: int, begin: int, room: Tensor) -> _Placement:
        call = replace(self.calls[number], scratch=replace(self.calls[number].scratch, offset=begin))
        calls = (*self.calls[:number], call, *self.calls[number + 1 :])
        state = replace(self, pte=_with_scratch(self.pte, call), calls=calls)
        return _CallPlacement(state, number, room).run()


def _aligned(offsets: Iterable[int]) -> list[int]:
    """The multiples of the alignment at or beside these offsets, in order."""
    down = {offset // ALIGNMENT * ALIGNMENT for offset in offsets}
    return sorted(down | {begin + ALIGNMENT for begin in down})


def _fits(call: _Call, begin: int, room: Tensor, passing: Sequence[_Held]) -> bool:
    end = begin + call.scratch.nbytes
    inside = room.offset <= begin and end <= room.offset + room.nbytes
    return inside and not any(held.overlaps(begin, end) for held in passing)


def _has_place(call: _Call, room: Tensor, held: Sequence[_Held]) -> bool:
    """Whether a call finds a place beside the values that pass it."""
    passing = [each for each in held if each.passes(call)]
    begins = _aligned({room.offset, *(each.end for each in passing)})
    return any(_fits(call, begin, room, passing) for begin in begins)


def _with_scratch(pte: Pte, call: _Call) -> Pte:
    """The program with a call's scratch where `call` has it."""
    instructions, writes = list(pte.instructions), list(pte.writes)
    instruction = instructions[call.index]
    instructions[call.index] = replace(instruction, arguments=(*instruction.arguments[:3], call.scratch))
    writes[call.index] = (*writes[call.index][:-1], call.scratch)
    return replace(pte, instructions=tuple(instructions), writes=tuple(writes))


class _CallPlacement:
    """Moves what can be moved of one call whose scratch has its place."""

    def __init__(self, state: _Placement, number: int, room: Tensor) -> None:
        self._pte = state.pte
        self._state = state
        self._call = state.calls[number]
        self._later = state.calls[number + 1 :]
        self._earlier = state.calls[:number]
        self._room = room
        self._held = list(state.held)
        self._moved = state.moved

    def run(self) -> _Placement:
        _, outputs = self._call.io(self._pte)
        for slot in outputs:
            if slot.tensor.space is Space.ARENA:
                self._move_output(slot)
        inputs, _ = self._call.io(self._pte)
        for slot in inputs:
            if slot.tensor.space is Space.ARENA:
                self._move_input(slot)
            elif slot.tensor.space is Space.KV_CACHE and not self._earlier and not self._later:
                self._move_state(slot)
        return replace(self._state, pte=self._pte, held=tuple(self._held), moved=self._moved)

    # ---- tensors of one step

    def _move_input(self, slot: _Slot) -> None:
        """From whoever writes the whole tensor, or from the program's input, to the last use."""
        at = self._call.index
        writer = self._last_writer(slot.tensor, before=at)
        end = self._next_writer(slot.tensor, after=at)
        if writer is None:
            if not any(
                t.same_memory(slot.tensor) and t.nbytes == slot.tensor.nbytes for t in self._pte.inputs
            ):
                return
        elif not self._writes_exactly(writer, slot.tensor):
            return
        last = self._last_reader(slot.tensor, at, end)
        kept = end == len(self._pte.instructions) and self._is_output(slot.tensor)
        if kept or (last > at and slot.written) or self._reads_and_writes(end, slot.tensor):
            return
        first = -1 if writer is None else writer
        if self._has_room(held := slot.held(first, last)):
            self._rename(slot, held, end, with_inputs=writer is None)

    def _move_output(self, slot: _Slot) -> None:
        """From the delegate to the last use, which may be the program's own output."""
        at = self._call.index
        end = self._next_writer(slot.tensor, after=at)
        to_the_end = end == len(self._pte.instructions)
        kept = to_the_end and self._is_output(slot.tensor)
        held = slot.held(at, end if kept else self._last_reader(slot.tensor, at, end))
        if not self._reads_and_writes(end, slot.tensor) and self._has_room(held):
            self._rename(slot, held, end, with_outputs=to_the_end)

    def _has_room(self, new: _Held) -> bool:
        """Whether the bytes are free as long as they are needed: of other values, and of other calls, of which the later ones
        have to find a place yet."""
        at = self._call.index
        for held in self._held:
            handed_over = new.last == at == held.first  # an input whose place the delegate gives a result in
            if new.meets(held) and not handed_over:
                return False
        for call in self._earlier:
            begin, end = call.scratch.offset, call.scratch.offset + call.scratch.nbytes
            if new.first <= call.index <= new.last and new.overlaps(begin, end):
                return False
        passing = [*self._held, new]
        return all(_has_place(call, self._room, passing) for call in self._later if new.passes(call))

    def _rename(
        self,
        slot: _Slot,
        held: _Held,
        end: int,
        *,
        with_inputs: bool = False,
        with_outputs: bool = False,
    ) -> None:
        """Move a value that is written anew at `end`; nothing, if a part is used."""
        first = held.first
        inside = range(max(first, 0), end)
        users = [t for index in inside for t in tensors_in(self._pte.instructions[index].arguments)]
        users += self._pte.inputs if with_inputs else ()
        users += self._pte.outputs if with_outputs else ()
        if any(t.overlaps(slot.tensor) and not _contains(slot.tensor, t) for t in users):
            return

        def move(tensor: Tensor) -> Tensor:
            return slot.move(tensor) if tensor.overlaps(slot.tensor) else tensor

        instructions, writes = list(self._pte.instructions), list(self._pte.writes)
        for index in inside:
            # Of the delegate's own call either the inputs or the outputs: they can have shared these bytes.
            is_call, is_writer = index == self._call.index, index == first
            instructions[index] = _moved(
                instructions[index],
                move,
                inputs=not (is_call and is_writer),
                outputs=not is_call or is_writer,
            )
            if not is_call or is_writer:
                writes[index] = tuple(map(move, writes[index]))
        self._pte = replace(
            self._pte,
            instructions=tuple(instructions),
            writes=tuple(writes),
            inputs=tuple(map(move, self._pte.inputs)) if with_inputs else self._pte.inputs,
            outputs=tuple(map(move, self._pte.outputs)) if with_outputs else self._pte.outputs,
        )
        self._held.append(held)
        self._moved += slot.tensor.nbytes

    def _last_reader(self, tensor: Tensor, at: int, end: int) -> int:
        """The last instruction before `end` that reads a tensor; `at`, if none behind that does."""
        return max((index for index in range(at + 1, end) if self._reads(index, tensor)), default=at)

    def _last_writer(self, tensor: Tensor, before: int) -> int | None:
        for index in range(before - 1, -1, -1):
            if any(written.overlaps(tensor) for written in self._pte.writes[index]):
                return index
        return None

    def _next_writer(self, tensor: Tensor, after: int) -> int:
        """The next instruction that writes to the tensor's bytes; the number of instructions if none does."""
        for index in range(after + 1, len(self._pte.instructions)):
            if any(written.overlaps(tensor) for written in self._pte.writes[index]):
                return index
        return len(self._pte.instructions)

    def _writes_exactly(self, index: int, tensor: Tensor) -> bool:
        """Whether an instruction writes all of the tensor's bytes as one result, and reads none of them."""
        instruction = self._pte.instructions[index]
        results = [t for t in self._pte.writes[index] if t.overlaps(tensor)]
        users = [t for t in tensors_in(instruction.arguments) if t.overlaps(tensor)]
        whole = len(results) == 1 and results[0].same_memory(tensor) and results[0].nbytes == tensor.nbytes
        return whole and len(users) == 1 and not instruction.in_place

    def _reads_and_writes(self, index: int, tensor: Tensor) -> bool:
        """Whether the instruction that writes to a tensor's bytes anew reads them, too."""
        if index == len(self._pte.instructions):
            return False
        instruction = self._pte.instructions[index]
        users = [t for t in tensors_in(instruction.arguments) if t.overlaps(tensor)]
        results = [t for t in self._pte.writes[index] if t.overlaps(tensor)]
        return instruction.in_place or len(users) > len(results)

    def _reads(self, index: int, tensor: Tensor) -> bool:
        return any(t.overlaps(tensor) for t in tensors_in(self._pte.instructions[index].arguments))

    def _is_output(self, tensor: Tensor) -> bool:
        return any(t.overlaps(tensor) for t in self._pte.outputs)

    # ---- tensors that live from step to step

    def _move_state(self, slot: _Slot) -> None:
        """A whole buffer, wherever it is used."""
        pte, tensor = self._pte, slot.tensor
        whole = any(
            b.tensor.same_memory(tensor) and b.tensor.nbytes == tensor.nbytes for b in pte.mutable_buffers
        )
        users = [t for i in pte.instructions for t in tensors_in(i.arguments)]
        users += [*pte.inputs, *pte.outputs, *(b.tensor for b in pte.mutable_buffers)]
        if slot.written or not whole or any(t.overlaps(tensor) and not _contains(tensor, t) for t in users):
            return
        self._pte = _move_everywhere(pte, lambda t: slot.move(t) if t.overlaps(tensor) else t)


def _compact(pte: Pte) -> Pte:
    """Close the gaps that moved buffers left in the KV cache's memory."""
    users = [t for i in pte.instructions for t in tensors_in(i.arguments)]
    users += [*pte.inputs, *pte.outputs, *(b.tensor for b in pte.mutable_buffers)]
    kept: list[Interval] = []
    for tensor in sorted((t for t in users if t.space is Space.KV_CACHE), key=lambda t: t.offset):
        end = tensor.offset + tensor.nbytes
        if kept and tensor.offset < kept[-1][1]:
            kept[-1] = (kept[-1][0], max(kept[-1][1], end))
        else:
            kept.append((tensor.offset, end))
    places: dict[Interval, int] = {}
    size = 0
    for interval in kept:
        places[interval] = size
        size = -(-(size + interval[1] - interval[0]) // ALIGNMENT) * ALIGNMENT

    def move(tensor: Tensor) -> Tensor:
        if tensor.space is not Space.KV_CACHE:
            return tensor
        begin, _ = home = next(i for i in kept if i[0] <= tensor.offset <= i[1])
        return replace(tensor, offset=places[home] + tensor.offset - begin)

    if size >= pte.kv_cache_bytes:
        return pte
    return replace(_move_everywhere(pte, move), kv_cache_bytes=size)


def _move_everywhere(pte: Pte, move: Move) -> Pte:
    return replace(
        pte,
        instructions=tuple(_moved(i, move, inputs=True, outputs=True) for i in pte.instructions),
        writes=tuple(tuple(map(move, written)) for written in pte.writes),
        inputs=tuple(map(move, pte.inputs)),
        outputs=tuple(map(move, pte.outputs)),
        mutable_buffers=tuple(MutableBuffer(b.name, move(b.tensor)) for b in pte.mutable_buffers),
    )


def _moved(instruction: Instruction, move: Move, *, inputs: bool, outputs: bool) -> Instruction:
    """The instruction with its tensors moved; of a delegate's call only its inputs or its outputs, if so asked."""

    def resolve(value: Value) -> Value:
        if isinstance(value, Tensor):
            return move(value)
        if isinstance(value, list):
            return [resolve(item) for item in value]
        return value

    if instruction.operator == f"delegate::{ETHOS_U}":
        data, read, written, scratch = instruction.arguments
        arguments: tuple[Value, ...] = (
            data,
            resolve(read) if inputs else read,
            resolve(written) if outputs else written,
            scratch,
        )
    else:
        arguments = tuple(resolve(value) for value in instruction.arguments)
    return replace(instruction, arguments=arguments)


def _contains(whole: Tensor, part: Tensor) -> bool:
    return (
        whole.space is part.space
        and whole.offset <= part.offset
        and part.offset + part.nbytes <= whole.offset + whole.nbytes
    )
