"""The register model over streams written by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mcu_sdk.errors import RunError, UnsupportedOperatorError
from mcu_sdk.npu.accelerator import accelerator, accelerators
from mcu_sdk.npu.errors import SimulationError
from mcu_sdk.npu.registers import BusError, RegisterModel, Run
from mcu_sdk.npu.stream import check_accelerator, read_config

# As Arm's technical reference manual of the Ethos-U55 gives them.
ID, STATUS, CMD, RESET, QBASE, QREAD, QSIZE, PROT, CONFIG, BASEP = (
    *(0x00, 0x04, 0x08, 0x0C, 0x10, 0x18, 0x20, 0x24, 0x28),
    0x80,
)
RAISED, BUS, PARSE, END = 1 << 1, 1 << 2, 1 << 4, 1 << 5
RUN, CLEAR = 1, 2

SIMULATED = [name for name in accelerators() if "u85" not in name]
ORIGIN, SIZE = 0x6000_0000, 4096
STREAM_AT, WEIGHTS_AT, SCRATCH_AT = ORIGIN, ORIGIN + 1024, ORIGIN + 2048
STOP = 0xFFFF_0000


def copy_stream(source: int, target: int, length: int, regions: tuple[int, int] = (0, 1)) -> list[int]:
    """A DMA of `length` bytes from `source` of one region to `target` of another; then STOP."""
    return [
        *(0x130 | regions[0] << 16, 0x131 | regions[1] << 16),
        *(0x4030, source, 0x4031, target, 0x4032, length),
        *(0x010, 0x011, STOP),
    ]


class Bytes:
    """4096 bytes from ORIGIN on."""

    def __init__(self) -> None:
        self.bytes = np.random.default_rng(1).integers(0, 256, SIZE, np.uint8)

    def view(self, address: int) -> NDArray[np.uint8]:
        if not ORIGIN <= address < ORIGIN + SIZE:
            raise BusError(f"nothing at {address:#x}")
        return self.bytes[address - ORIGIN :]


class Npu:
    """A register model and its memory, driven as the driver does it."""

    def __init__(self, observer: Callable[[Run], Callable[[], None]] | None = None) -> None:
        self.memory = Bytes()
        self.model = RegisterModel(accelerator("ethos-u55-128"), self.memory, observer)

    def address(self, offset: int, value: int) -> None:
        self.model.write(offset, value & 0xFFFFFFFF)
        self.model.write(offset + 4, value >> 32)

    def run(
        self,
        words: Sequence[int],
        *,
        at: int = STREAM_AT,
        size: int | None = None,
        regions: Sequence[int] = (WEIGHTS_AT, SCRATCH_AT),
    ) -> int:
        """Returns STATUS. The words are put where the stream is looked for by default."""
        data = np.frombuffer(struct.pack(f"<{len(words)}I", *words), np.uint8)
        self.memory.bytes[: data.size] = data
        self.address(QBASE, at)
        self.model.write(QSIZE, data.size if size is None else size)
        for index, base in enumerate(regions):
            self.address(BASEP + 8 * index, base)
        self.model.write(CMD, RUN)
        return self.model.read(STATUS)


@pytest.mark.parametrize("name", SIMULATED)
def test_the_version_is_what_vela_writes(name: str) -> None:
    """The driver compares these words with Vela's, of ID the architecture (bits 31:16; the rest is the product's)."""
    from ethosu.vela.architecture_features import Accelerator, create_default_arch
    from ethosu.vela.driver_actions import create_driver_payload

    config = read_config(create_driver_payload([STOP], create_default_arch(Accelerator(name))))
    model = RegisterModel(accelerator(name), Bytes())
    assert model.read(CONFIG) == config.config
    assert model.read(ID) >> 16 == config.id >> 16
    check_accelerator(config, accelerator(name))


@pytest.mark.parametrize("name", [name for name in accelerators() if "u85" in name])
def test_what_is_not_simulated_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedOperatorError, match=name):
        RegisterModel(accelerator(name), Bytes())


def test_a_run_copies_bytes() -> None:
    npu = Npu()
    before = npu.memory.bytes.copy()
    words = copy_stream(48, 96, 33)
    assert npu.run(words) == RAISED | END
    expected = before
    expected[: 4 * len(words)] = npu.memory.bytes[: 4 * len(words)]
    expected[2048 + 96 : 2048 + 96 + 33] = before[1024 + 48 : 1024 + 48 + 33]
    assert np.array_equal(npu.memory.bytes, expected)
    assert npu.model.read(QREAD) == 4 * len(words)
    assert npu.model.error is None and npu.model.runs == 1


def test_the_interrupt_is_cleared_and_the_rest_stays() -> None:
    npu = Npu()
    npu.run(copy_stream(0, 0, 1))
    npu.model.write(CMD, CLEAR)
    assert npu.model.read(STATUS) == END
    npu.model.write(CMD, 0)
    assert npu.model.read(STATUS) == END and npu.model.runs == 1


def test_a_reset_forgets_everything_but_the_version() -> None:
    npu = Npu()
    version = npu.model.read(ID), npu.model.read(CONFIG), npu.model.read(PROT)
    npu.run([0x3FF, STOP])
    for offset in (QBASE, QSIZE, BASEP, BASEP + 8, STATUS):
        assert npu.model.read(offset) != 0
    npu.model.write(RESET, 1)
    for offset in range(0, 0x100, 4):
        expected = {ID: version[0], CONFIG: version[1], PROT: version[2]}.get(offset, 0)
        assert npu.model.read(offset) == expected


def test_registers_that_are_read_only_stay() -> None:
    npu = Npu()
    before = {offset: npu.model.read(offset) for offset in (ID, STATUS, QREAD, PROT, CONFIG)}
    for offset in before:
        npu.model.write(offset, 0xFFFF_FFFF)
    assert {offset: npu.model.read(offset) for offset in before} == before


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"at": ORIGIN - 16}, id="stream below"),
        pytest.param({"at": ORIGIN + SIZE}, id="stream above"),
        pytest.param({"at": STREAM_AT + (1 << 32)}, id="stream above 4 GiB"),
        pytest.param({"size": SIZE + 4}, id="stream too long"),
        pytest.param({"size": 6}, id="half a word"),
        pytest.param({"regions": (ORIGIN - 4096, SCRATCH_AT)}, id="weights"),
        pytest.param({"regions": (WEIGHTS_AT, ORIGIN + SIZE)}, id="scratch"),
    ],
)
def test_addresses_outside_memory_are_a_bus_error(arguments: dict[str, int]) -> None:
    npu = Npu()
    before = npu.memory.bytes[1024:].copy()
    assert npu.run(copy_stream(0, 0, 16), **arguments) == RAISED | BUS
    assert isinstance(npu.model.error, RunError) and "bus error" in npu.model.error.message
    assert np.array_equal(npu.memory.bytes[1024:], before)


@pytest.mark.parametrize(
    "words, index, command, what",
    [
        ([0x3FF, STOP], 0, "0x3ff", ""),
        ([0x011, 0x43FF, 7, STOP], 1, "0x3ff", ""),
        (copy_stream(0, 0, 2049), 8, "NPU_OP_DMA_START", "region 1, which has 2048"),
        (copy_stream(3072, 0, 1), 8, "NPU_OP_DMA_START", "region 0"),
        (copy_stream(0, 0, 1, (0, 5)), 8, "NPU_OP_DMA_START", "region 5 has no memory"),
    ],
)
def test_a_stream_that_is_refused(words: list[int], index: int, command: str, what: str) -> None:
    """STATUS shows a parse error; the error says which command it was."""
    npu = Npu()
    assert npu.run(words) == RAISED | PARSE
    error = npu.model.error
    assert isinstance(error, SimulationError)
    assert error.index == index and command in error.command and what in error.message


def test_a_run_after_a_failed_one_starts_anew() -> None:
    npu = Npu()
    assert npu.run([0x3FF, STOP]) == RAISED | PARSE
    assert npu.run(copy_stream(0, 0, 16)) == RAISED | END
    assert npu.model.error is None and npu.model.runs == 2


def test_the_observer_sees_memory_before_and_after() -> None:
    seen: list[bytes] = []

    def observe(run: Run) -> Callable[[], None]:
        source, target = run.regions[:2]
        assert source is not None and target is not None and run.regions[2:] == (None,) * 6
        assert run.stream == struct.pack(f"<{len(words)}I", *words)
        seen.extend((source[:16].tobytes(), target[:16].tobytes()))
        return lambda: seen.append(target[:16].tobytes())

    words = copy_stream(0, 0, 16)
    Npu(observe).run(words)
    assert seen[0] != seen[1] and seen[2] == seen[0]


COMMANDS = [0x000, 0x001, 0x002, 0x003, 0x005, 0x006, 0x010, 0x011, 0x012, 0x013]


@given(
    st.lists(
        st.one_of(
            st.integers(0, 0xFFFF_FFFF),
            st.sampled_from(COMMANDS),
            st.builds(
                lambda opcode, value: opcode | value << 16, st.integers(0x100, 0x190), st.integers(0, 9)
            ),
            st.builds(lambda opcode: 0x4000 | opcode, st.integers(0, 0x93)),
        ),
        max_size=40,
    )
)
def test_no_stream_gets_past_the_registers(words: list[int]) -> None:
    """Whatever the words are: an end or an error that is kept, never an exception into the driver."""
    npu = Npu()
    status = npu.run([*words, STOP])
    assert status in (RAISED | END, RAISED | PARSE)
    assert (npu.model.error is None) == (status == RAISED | END)
