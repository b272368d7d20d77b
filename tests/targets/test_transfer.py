"""Tensors in pieces: what is sent, and what is made of the answers. The firmware's side: tests/project/test_transfer.py."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk.errors import RunError
from mcu_sdk.targets.protocol import Message, Transcript
from mcu_sdk.targets.transfer import GET_BYTES, PUT_BYTES, Get, Put, collect, messages_of, steps_of
from tests.targets.firmware import is_whole

LINE_BYTES = 256
"""What firmware/runtime/tensor_model.cpp holds of a line."""


def answers(messages: list[Message], inputs: list[bytes], sizes: list[int]) -> Iterator[Transcript]:
    """A firmware whose outputs are the inputs' bytes, from the end, again and again."""
    came = bytearray()
    lengths = [len(data) for data in inputs]
    for message in messages:
        if isinstance(message, Put):
            assert message.at == len(came)
            came += message.data
            done = sum(sum(lengths[: i + 1]) <= len(came) for i in range(len(lengths)))
            complete = len(came) == sum(lengths[:done]) and done > 0
            yield Transcript("", {"steps": str(done)} if complete else {})
        elif isinstance(message, Get):
            data = output_of(inputs[done - 1], sizes[message.output])[message.at :][: message.size]
            yield Transcript("", {"data": base64.b64encode(data).decode()})


def output_of(data: bytes, size: int) -> bytes:
    return (data[::-1] * (size + 1))[:size]


@given(
    st.lists(st.integers(1, 4 * PUT_BYTES), min_size=1, max_size=3),
    st.lists(st.integers(0, 3 * GET_BYTES), max_size=3),
)
def test_every_byte_arrives_once(lengths: list[int], sizes: list[int]) -> None:
    inputs = [bytes((i * 7 + n) % 256 for i in range(length)) for n, length in enumerate(lengths)]
    steps = steps_of(inputs, sizes)
    messages = messages_of(steps)
    series = collect(steps, sizes, answers(messages, inputs, sizes))
    assert series.outputs == tuple(tuple(output_of(data, size) for size in sizes) for data in inputs)
    assert series.transcript.number("steps") == len(lengths)


@pytest.mark.parametrize("at", [0, 2**40])
def test_the_longest_line_fits_into_the_firmwares(at: int) -> None:
    line = Put(at, b"\xff" * PUT_BYTES).encode(2**32 - 1)
    assert is_whole(line) and len(line.rstrip(b"\n")) <= LINE_BYTES
    assert is_whole(Get(3, 0, GET_BYTES).encode(1))
    assert Get(3, 0, 5).encode() == b"@get output=3 at=0 bytes=5\n"


def test_answers_that_do_not_fit_are_no_outputs() -> None:
    steps = steps_of([b"abcd"], [4])
    done = Transcript("", {"steps": "1"})
    with pytest.raises(RunError, match="says steps=nothing"):
        collect(steps, [4], iter([Transcript("", {})]))
    for data in ("", "AAAA", "AAAAAAA=", "AAAA*AAA", "AAAAA"):
        with pytest.raises(RunError, match="4 bytes of an output were asked for"):
            collect(steps, [4], iter([done, Transcript("", {"data": data})]))
