"""Puts a delegate's inputs and outputs where the NPU reads and writes them, so that nothing has to be copied.

Vela gives every input and output a place in the scratch. A tensor that only travels between the delegate and its
neighbours can live at that place from the start: whoever computes an input writes it there, whoever uses an output
reads it there. What is kept from step to step (a KV cache) can live there too, if no command of the stream writes to
its bytes. Where any of this cannot be shown, the tensor stays in its own memory and is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from mcu_sdk.npu.accelerator import ACCELERATORS, U85
from mcu_sdk.npu.blob import VelaTensor, read_blob
from mcu_sdk.npu.footprint import Interval, written_intervals
from mcu_sdk.npu.stream import read_stream
from mcu_sdk.planning.instruction import Instruction, Space, Tensor, Value
from mcu_sdk.planning.operands import tensors_in
from mcu_sdk.planning.pte.read import ETHOS_U, Pte
from mcu_sdk.planning.pte.values import ALIGNMENT, MutableBuffer

Move = Callable[[Tensor], Tensor]


def place_in_scratch(pte: Pte) -> Pte:
    """The same program with what can be moved at its place in the scratch.

    A .pte with no delegate, with several calls (they share the scratch), or for an NPU whose stream is not understood
    (U85) comes back as it is; so does a method that keeps its buffers with another one, for which they would have moved.
    """
    calls = [i for i in pte.instructions if i.operator == f"delegate::{ETHOS_U}"]
    if len(calls) != 1 or pte.shares_buffers or not all(_is_understood(d.accelerator) for d in pte.delegates):
        return pte
    return _Placement(pte, calls[0]).run()


def _is_understood(accelerator: str) -> bool:
    """Whether the footprint of its streams is known; that of one that nobody named is read as a U55's."""
    known = ACCELERATORS.get(accelerator)
    return known is None or known.kind is not U85


@dataclass(frozen=True)
class _Slot:
    """A tensor of the delegate and its place, an offset into the arena."""

    tensor: Tensor
    offset: int
    written: bool
    """Whether the stream writes to any of the place's bytes."""

    def move(self, tensor: Tensor) -> Tensor:
        """`tensor`, which lies inside the slot's tensor, at its new place."""
        offset = self.offset + tensor.offset - self.tensor.offset
        return replace(tensor, space=Space.ARENA, offset=offset)


class _Placement:
    def __init__(self, pte: Pte, call: Instruction) -> None:
        self._pte = pte
        self._call = call
        data, inputs, outputs, scratch = call.arguments
        assert isinstance(data, Tensor) and data.data is not None and isinstance(scratch, Tensor)
        assert isinstance(inputs, list) and isinstance(outputs, list)
        blob = read_blob(bytes(data.data))
        self._scratch = scratch
        self._written = written_intervals(read_stream(blob.commands), region=1)
        self._inputs = self._slots(inputs, blob.inputs)
        self._outputs = self._slots(outputs, blob.outputs)

    def _slots(self, tensors: list[Value], places: Iterable[VelaTensor]) -> list[_Slot]:
        slots = []
        for tensor, place in zip(tensors, places, strict=True):
            assert isinstance(tensor, Tensor)
            end = place.offset + place.size_bytes
            aligned = (self._scratch.offset + place.offset) % tensor.dtype.size == 0
            if aligned and tensor.nbytes == place.size_bytes and tensor.nbytes:
                written = any(low < end and place.offset < high for low, high in self._written)
                slots.append(_Slot(tensor, self._scratch.offset + place.offset, written))
        return slots

    def run(self) -> Pte:
        for slot in self._outputs:
            if slot.tensor.space is Space.ARENA:
                self._move_output(slot)
        for slot in self._inputs:
            if slot.tensor.space is Space.ARENA:
                self._move_input(slot)
            elif slot.tensor.space is Space.KV_CACHE:
                self._move_state(slot)
        return _compact(self._pte)

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
        used_later = any(self._reads(index, slot.tensor) for index in range(at + 1, end))
        kept = end == len(self._pte.instructions) and self._is_output(slot.tensor)
        if kept or (used_later and slot.written):
            return
        first = -1 if writer is None else writer
        self._rename(slot, first, end, with_inputs=writer is None)

    def _move_output(self, slot: _Slot) -> None:
        """From the delegate to the last use, which may be the program's own output."""
        at = self._call.index
        end = self._next_writer(slot.tensor, after=at)
        self._rename(slot, at, end, with_outputs=end == len(self._pte.instructions))

    def _rename(
        self,
        slot: _Slot,
        first: int,
        end: int,
        *,
        with_inputs: bool = False,
        with_outputs: bool = False,
    ) -> None:
        """Move the value that instruction `first` writes and those before `end` read; nothing, if a part is used.

        `first` is -1 for the program's inputs.
        """
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
