"""What a U85's stream may not hold: refused by the command's name."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from mcu_sdk.errors import PteError
from mcu_sdk.npu.accelerator import accelerator
from mcu_sdk.npu.blob import read_blob
from mcu_sdk.npu.encodings import definitions
from mcu_sdk.npu.errors import SimulationError
from mcu_sdk.npu.registers import CONFIG, ID, RegisterModel
from mcu_sdk.npu.simulator import Simulator
from mcu_sdk.npu.stream import read_config, read_stream
from tests.npu.lowering import compile_tosa
from tests.npu.u85.graphs import Conv, graphs

NAME = "ethos-u85-256"


@pytest.fixture(scope="module")
def convolution() -> bytes:
    """A blob with one convolution."""
    return compile_tosa(Conv(24, (3, 3), 20).graph(), NAME)


@pytest.fixture(scope="module")
def sum_of_two() -> bytes:
    return compile_tosa(graphs()["add"](), NAME)


def _edited(commands: bytes, name: str, value: int) -> bytes:
    """The command block with the parameter of the last command `name` replaced; of all, if it is an operation."""
    stream = read_stream(commands)
    opcode = next(d.opcode for d in definitions("u85").values() if d.name == name)
    data = bytearray(commands)
    wide = [c for c in stream.commands if c.opcode == opcode and (c.payload is not None) == _is_wide(name)]
    assert wide, name
    for command in wide:
        word = opcode | _is_wide(name) << 14 | value << 16
        struct.pack_into("<I", data, stream.offset + 4 * command.index, word)
    return bytes(data)


def _replaced(blob: bytes, word: int) -> bytes:
    """The command block with `word` in the place of SET_WEIGHT_FORMAT."""
    commands = bytearray(read_blob(blob).commands)
    stream = read_stream(bytes(commands))
    place = next(c.index for c in stream.commands if c.opcode == 0x12E)
    struct.pack_into("<I", commands, stream.offset + 4 * place, word)
    return bytes(commands)


def _is_wide(name: str) -> bool:
    return next(d.wide for d in definitions("u85").values() if d.name == name)


def _run(blob: bytes, commands: bytes) -> None:
    parts = read_blob(blob)
    memory = [np.frombuffer(parts.weights, np.uint8).copy(), np.zeros(parts.scratch_size, np.uint8)]
    Simulator(accelerator(NAME)).run(commands, memory)


@pytest.mark.parametrize(
    ("register", "value", "message"),
    [
        ("SET_WEIGHT_FORMAT", 1 << 4, "NPU_OP_CONV: its weights are sparse"),
        ("SET_WEIGHT_FORMAT", 1 << 1, "NPU_SET_WEIGHT_FORMAT: its reserved bits hold 0x2"),
        ("SET_ACC_FORMAT", 2, "acc_format is 2, which is not defined"),
        ("SET_ACC_FORMAT", 1 << 4, "its accumulators begin with KEEP"),
        ("SET_ACC_FORMAT", 1 << 6, r"kept for a later operation \(acc_output\)"),
        ("SET_ACC_FORMAT", 7 << 8, "microblock is 7, which is not defined"),
        ("SET_KERNEL_STRIDE", 1 << 5, "kernels in parts of 4 x 4"),
        ("SET_ACTIVATION", 2, "activation_function is 2, which is not defined"),
        ("SET_ACTIVATION", 10, "NPU_OP_CONV: LUT_TANH is not simulated"),
        ("SET_ACTIVATION", 5, "NPU_OP_CONV: LUT_S8_S16 is not simulated"),
        ("SET_OFM_PRECISION", 1 | 1 << 14, "OFM is stored as TILE3X1"),
        ("SET_OFM_PRECISION", 1 | 4 << 11, "activation_transpose is 4, which is not defined"),
        ("SET_IFM_PRECISION", 1 | 2 << 14, "its IFM comes from the operation before"),
        ("SET_IFM_UPSCALE", 3, "NPU_OP_CONV: 0x3 is no Upscale"),
        ("SET_IFM_UPSCALE", 2, r"made larger \(IFM_UPSCALE ZEROS\)"),
        ("SET_IFM_PRECISION", 1 | 3 << 2, "feature maps of 64 bits"),
        ("SET_OFM_SCALE", 20 | 1 << 6, "the output's dbl_rnd is 1"),
        ("OP_CONV", 2, "NPU_OP_CONV: its reserved bits hold 0x2"),
    ],
)
def test_an_encoding_is_refused_by_name(convolution: bytes, register: str, value: int, message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        _run(convolution, _edited(read_blob(convolution).commands, register, value))


@pytest.mark.parametrize(
    ("register", "value", "message"),
    [
        ("OP_ELEMENTWISE", 5, "NPU_OP_ELEMENTWISE LRELU: LRELU is not simulated"),
        ("OP_ELEMENTWISE", 12, "elementwise_mode is 12, which is not defined"),
        ("SET_IFM_BROADCAST", 9, "broadcast_mode is 9, which is not defined"),
        ("SET_IFM2_BROADCAST", 8, "IFM2 is a number and a feature map at once"),
        ("SET_IFM_SCALE", 20 | 3 << 6, "dbl_rnd 3"),
        ("SET_OFM_SCALE", 43 | 3 << 13, "the rounding SYMMETRIC of scaled values is not simulated"),
    ],
)
def test_an_operand_is_refused_by_name(sum_of_two: bytes, register: str, value: int, message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        _run(sum_of_two, _edited(read_blob(sum_of_two).commands, register, value))


def test_opcodes_of_another_family_are_refused(convolution: bytes) -> None:
    with pytest.raises(SimulationError, match="0x123: it is not known"):  # U55: SET_PARALLEL_MODE
        _run(convolution, _replaced(convolution, 0x123))


def test_registers_that_nothing_has_set_are_named(convolution: bytes) -> None:
    with pytest.raises(SimulationError, match="needs the register SET_WEIGHT_FORMAT, which nothing has set"):
        _run(convolution, _replaced(convolution, 0x001))


@pytest.mark.parametrize("other", ["ethos-u55-256", "ethos-u85-128"])
def test_a_stream_for_another_accelerator_is_refused(convolution: bytes, other: str) -> None:
    with pytest.raises(PteError, match=f"made for {NAME}; the NPU is {other}"):
        Simulator(accelerator(other)).run(read_blob(convolution).commands, [])


@pytest.mark.parametrize(
    ("word", "changed", "message"),
    [
        (
            0,
            2 << 4,
            "has version 2, for the architecture 2.0; the simulated ethos-u85-256 takes version 1, for 2.0",
        ),
        (1, 2 << 28 | 1 << 20, "for the architecture 2.1"),
        (1, 3 << 28, "for the architecture 3.0"),
        (1, 1 << 28, "for the architecture 1.0"),
    ],
)
def test_a_stream_of_another_version_is_refused(
    convolution: bytes, word: int, changed: int, message: str
) -> None:
    commands = bytearray(read_blob(convolution).commands)
    place = 8 + 4 * word  # behind "COP1" and the action: CONFIG, ID
    mask = (0xFFFFFF0F, 0)[word]
    (before,) = struct.unpack_from("<I", commands, place)
    struct.pack_into("<I", commands, place, before & mask | changed)
    with pytest.raises(PteError, match=message):
        _run(convolution, bytes(commands))


@pytest.mark.parametrize("name", ["ethos-u85-128", "ethos-u85-2048"])
def test_the_registers_say_what_streams_are_made_for(name: str) -> None:
    class Nothing:
        def view(self, address: int) -> np.ndarray:
            raise AssertionError(address)

    config = read_config(read_blob(compile_tosa(graphs()["clamp"](), name)).commands)
    model = RegisterModel(accelerator(name), Nothing())
    assert (model.read(CONFIG), model.read(ID)) == (config.config, config.id)
