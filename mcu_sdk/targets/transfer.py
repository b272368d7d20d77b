"""Tensors over the run protocol: a host's own inputs in pieces that a firmware's line holds, and the outputs back.

Each piece is a message of its own, with an answer that says that it came: a serial line may lose bytes, and a UART
without a large buffer may lose what comes while nobody reads it. A piece may be sent twice.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mcu_sdk.errors import RunError
from mcu_sdk.targets.protocol import Message, Transcript, numbered

PUT_BYTES = 144
"""Of a tensor in one line to the firmware: 192 digits, of a line that may have 256."""

GET_BYTES = 3072
"""Of a tensor in one answer: a host's lines may be long, and one that is damaged is asked for again."""


@dataclass(frozen=True)
class Put:
    """Bytes of the inputs of a series of steps, from the position `at` on; 0 makes the model forget."""

    at: int
    data: bytes

    def encode(self, number: int | None = None) -> bytes:
        """The line."""
        return numbered("@put", number, f"at={self.at} data={base64.b64encode(self.data).decode()}")


@dataclass(frozen=True)
class Get:
    """`size` bytes of an output of the last step, from `at` on."""

    output: int
    at: int
    size: int

    def encode(self, number: int | None = None) -> bytes:
        """The line."""
        return numbered("@get", number, f"output={self.output} at={self.at} bytes={self.size}")


@dataclass(frozen=True)
class Step:
    """The messages of one step: its inputs, then its outputs piece by piece."""

    puts: tuple[Put, ...]
    gets: tuple[Get, ...]


def puts_of(data: bytes, position: int = 0) -> tuple[Put, ...]:
    """What to send for the bytes of a step's inputs, all its tensors one behind the other, from `position` in its series on."""
    return tuple(
        Put(position + begin, data[begin : begin + PUT_BYTES]) for begin in range(0, len(data), PUT_BYTES)
    )


def steps_of(inputs: Sequence[bytes], output_sizes: Sequence[int]) -> list[Step]:
    """What to send for a series of steps. `inputs`: of each step, the bytes of all its tensors in the model's order."""
    steps = []
    position = 0
    gets = tuple(get for number, size in enumerate(output_sizes) for get in gets_of(number, 0, size))
    for data in inputs:
        steps.append(Step(puts_of(data, position), gets))
        position += len(data)
    return steps


def gets_of(output: int, begin: int, end: int) -> list[Get]:
    """What to ask for these bytes of an output, in pieces."""
    return [Get(output, at, min(GET_BYTES, end - at)) for at in range(begin, end, GET_BYTES)]


def messages_of(steps: Sequence[Step]) -> list[Message]:
    """All of them, in the order in which they are sent."""
    messages: list[Message] = []
    for step in steps:
        messages += step.puts
        messages += step.gets
    return messages


@dataclass(frozen=True)
class Series:
    """What a series of steps gave. `transcript`: the answer to its last step; `outputs`: of each step, each output's
    bytes."""

    transcript: Transcript
    outputs: tuple[tuple[bytes, ...], ...]


def collect(steps: Sequence[Step], output_sizes: Sequence[int], answers: Iterator[Transcript]) -> Series:
    """Take the answers to `messages_of(steps)`.

    Raises RunError where a step's inputs are complete and the firmware does not say so, or an output's bytes are not
    those that were asked for.
    """
    outputs = []
    for number, step in enumerate(steps, start=1):
        for _ in step.puts:
            transcript = next(answers)
        if transcript.number("steps") != number:
            raise RunError(
                f"Step {number} was expected to run when its inputs were there; the firmware says steps="
                f"{transcript.facts.get('steps', 'nothing')}.",
                hint="Its model has other inputs: build and flash the project again.",
            )
        parts = [bytearray() for _ in output_sizes]
        for get in step.gets:
            parts[get.output] += data_of(next(answers), get.size)
        outputs.append(tuple(bytes(part) for part in parts))
    return Series(transcript, tuple(outputs))


def data_of(answer: Transcript, size: int) -> bytes:
    """The bytes in the answer to a Get. Raises RunError if they are not as many as were asked for."""
    text = answer.facts.get("data", "")
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        data = b""
    if len(data) != size:
        raise RunError(
            f"{size} bytes of an output were asked for; {len(text)} digits came that are {len(data)} bytes.",
            hint="Build and flash the project again.",
        )
    return data
