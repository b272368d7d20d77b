"""The register model: what the driver finds in it, and what RUN does to memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from mcu_sdk.errors import InterruptedRunError, McuSdkError, RunError
from mcu_sdk.npu import registers as reg
from mcu_sdk.npu.accelerator import accelerator, accelerators
from mcu_sdk.npu.errors import SimulationError
from mcu_sdk.npu.registers import BusError, RegisterModel, Run
from tests.npu.blobs import U55_128
from tests.npu.streams import STOP, copy_stream, dma

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

ORIGIN = 0x6000_0000
STREAM, WEIGHTS, SCRATCH = ORIGIN, ORIGIN + 0x1000, ORIGIN + 0x2000
OUT_OF_RESET, INTERRUPT, BUS, PARSE, END = 0, 1 << 1, 1 << 2, 1 << 4, 1 << 5


class Memory:
    """12 KiB from ORIGIN on; the weights count up."""

    def __init__(self) -> None:
        self.bytes = np.zeros(0x3000, np.uint8)
        self.at(WEIGHTS, 256)[:] = np.arange(256)

    def view(self, address: int) -> NDArray[np.uint8]:
        if not ORIGIN <= address < ORIGIN + self.bytes.size:
            raise BusError(f"{address:#x} is nowhere")
        return self.bytes[address - ORIGIN :]

    def at(self, address: int, length: int) -> NDArray[np.uint8]:
        return self.view(address)[:length]


def make_model(**settings: object) -> tuple[RegisterModel, Memory]:
    memory = Memory()
    return RegisterModel(accelerator("ethos-u55-128"), memory, **settings), memory  # type: ignore[arg-type]


def start(model: RegisterModel, memory: Memory, words: Sequence[int], **overrides: int) -> None:
    """What the driver writes, from the reset to RUN."""
    data = np.array(words, np.uint32).view(np.uint8)
    memory.at(STREAM, data.size)[:] = data
    values = {"qbase": STREAM, "qsize": data.size, "weights": WEIGHTS, "scratch": SCRATCH} | overrides
    model.write(reg.RESET, 1)
    for offset, value in (
        (reg.QCONFIG, 2),
        (reg.REGIONCFG, 3),
        (reg.QBASE, values["qbase"]),
        (reg.QBASE + 4, values["qbase"] >> 32),
        (reg.QSIZE, values["qsize"]),
        (reg.BASEP, values["weights"]),
        (reg.BASEP + 8, values["scratch"]),
        (reg.CMD, 1),
    ):
        model.write(offset, value & 0xFFFFFFFF)


def test_run_executes_the_stream_on_the_memory_behind_the_base_pointers() -> None:
    model, memory = make_model()
    words = copy_stream(64, source=16, destination=32)
    start(model, memory, words)
    assert model.read(reg.STATUS) == INTERRUPT | END
    assert model.read(reg.QREAD) == 4 * len(words)
    scratch = memory.at(SCRATCH, 128)
    assert list(scratch[32:96]) == list(range(16, 80)) and not scratch[:32].any() and not scratch[96:].any()
    assert (model.runs, model.error) == (1, None)


def test_registers_after_a_reset() -> None:
    model, memory = make_model()
    start(model, memory, copy_stream())
    model.write(reg.RESET, 1)
    expected = {
        reg.STATUS: 0,
        reg.CMD: 0b1100,  # clock and power may be switched off
        reg.RESET: 0,
        reg.PROT: 1,
        reg.LOCK: 0,
        **dict.fromkeys((reg.QBASE, reg.QBASE + 4, reg.QREAD, reg.QCONFIG, reg.QSIZE, reg.REGIONCFG), 0),
        **dict.fromkeys((reg.AXI_LIMIT + 4 * i for i in range(4)), 0),
        **dict.fromkeys((reg.BASEP + 4 * i for i in range(16)), 0),
    }
    assert {offset: model.read(offset) for offset in expected} == expected


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_the_reset_s_levels_are_shown_by_prot(level: int) -> None:
    model, _ = make_model()
    model.write(reg.RESET, level)
    assert model.read(reg.PROT) == level


def test_registers_keep_the_bits_that_they_have() -> None:
    model, _ = make_model()
    for offset, kept in {
        reg.QBASE: 0xFFFFFFFF,
        reg.QCONFIG: 3,
        reg.REGIONCFG: 0xFFFF,
        reg.AXI_LIMIT + 12: 0x1F3F00F3,
        reg.BASEP + 8 * 7 + 4: 0xFFFFFFFF,  # an NPU has 40-bit addresses, a process's can be longer
    }.items():
        model.write(offset, 0xFFFFFFFF)
        assert model.read(offset) == kept, hex(offset)


def test_identity_is_read_only_and_what_vela_writes_into_streams() -> None:
    model, _ = make_model()
    for offset in (reg.ID, reg.CONFIG, reg.STATUS, reg.QREAD, reg.PROT):
        before = model.read(offset)
        model.write(offset, 0x12345678)
        assert model.read(offset) == before
    assert (model.read(reg.CONFIG), model.read(reg.ID)) == U55_128


@pytest.mark.parametrize("name", [name for name in accelerators() if "u85" not in name])
def test_config_and_architecture_are_vela_s_for_every_accelerator(name: str) -> None:
    from ethosu.vela.architecture_features import Accelerator, create_default_arch
    from ethosu.vela.driver_actions import create_driver_payload

    from mcu_sdk.npu.stream import read_config

    payload = create_driver_payload([STOP], create_default_arch(Accelerator(name)))
    expected = read_config(bytes(payload))
    model = RegisterModel(accelerator(name), Memory())
    assert model.read(reg.CONFIG) == expected.config
    assert model.read(reg.ID) >> 16 == expected.id >> 16, (
        "the architecture; below it is the revision of a chip"
    )


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("ethos-u85-128", 0x20000117),
        ("ethos-u85-256", 0x20000118),
        ("ethos-u85-512", 0x20001119),
        ("ethos-u85-1024", 0x2000251A),
        ("ethos-u85-2048", 0x2000261B),
    ],
)
def test_a_u85_says_what_vela_writes_into_its_streams(name: str, config: int) -> None:
    """CONFIG and ID of Vela 5.1.0's blobs; tests/npu/u85 compares them with blobs that are made."""
    model = RegisterModel(accelerator(name), Memory())
    assert (model.read(reg.CONFIG), model.read(reg.ID)) == (config, 0x20007000)


def test_a_u85_has_memory_attributes_and_ports() -> None:
    model = RegisterModel(accelerator("ethos-u85-256"), Memory())
    for offset, kept in ((reg.MEM_ATTR, 0xF7), (reg.AXI_SRAM, 0x31F3F), (reg.AXI_EXT, 0x31F3F)):
        model.write(offset, 0xFFFFFFFF)
        assert model.read(offset) == kept
    with pytest.raises(RunError, match="0x0050, which is not modelled"):
        RegisterModel(accelerator("ethos-u55-128"), Memory()).write(reg.AXI_SRAM, 0)


def test_the_interrupt_is_cleared_and_the_gates_are_kept() -> None:
    model, memory = make_model()
    start(model, memory, copy_stream())
    assert model.read(reg.CMD) == 0, "running closed the gates"
    model.write(reg.CMD, 0b10)
    assert model.read(reg.STATUS) == END
    model.write(reg.CMD, 0b1100)
    assert (model.read(reg.STATUS), model.read(reg.CMD)) == (END, 0b1100)


@pytest.mark.parametrize(
    ("register", "message"),
    [
        ({"qbase": 0x1000}, "0x1000 is nowhere"),
        ({"qbase": STREAM | 1 << 32}, "0x160000000 is nowhere"),
        ({"qsize": 0}, "cannot have 0 bytes"),
        ({"qsize": 6}, "cannot have 6 bytes"),
        ({"qsize": 0x4000}, "cannot have 16384 bytes; its memory goes on for 12288"),
        ({"weights": 0x20000000}, "0x20000000 is nowhere"),
    ],
)
def test_an_address_that_nothing_answers_to_is_a_bus_error(register: dict[str, int], message: str) -> None:
    model, memory = make_model()
    start(model, memory, copy_stream(), **register)
    assert model.read(reg.STATUS) == INTERRUPT | BUS
    assert isinstance(model.error, RunError) and message in str(model.error)


def test_a_stream_that_leaves_its_memory_is_a_bus_error_with_the_command() -> None:
    model, memory = make_model()
    start(model, memory, copy_stream(0x2000))
    assert model.read(reg.STATUS) == INTERRUPT | BUS
    assert isinstance(model.error, SimulationError) and "NPU_OP_DMA_START" in str(model.error)
    assert model.read(reg.QREAD) == 4 * model.error.index > 0


def test_a_command_that_nobody_knows_is_a_parse_error_that_names_it() -> None:
    model, memory = make_model()
    start(model, memory, [0x3FF, STOP])
    assert model.read(reg.STATUS) == INTERRUPT | PARSE
    assert isinstance(model.error, McuSdkError) and "0x3ff" in str(model.error)


def test_a_fault_stays_until_the_next_reset() -> None:
    model, memory = make_model()
    start(model, memory, [0x3FF, STOP])
    model.write(reg.CMD, 0b10)
    model.write(reg.CMD, 1)
    assert (model.read(reg.STATUS), model.runs) == (PARSE, 1)
    start(model, memory, copy_stream())
    assert (model.read(reg.STATUS), model.runs) == (INTERRUPT | END, 2)


@pytest.mark.parametrize("offset", [0x02, 0x30, 0xC0, 0x180, 0x1000])
def test_what_is_not_modelled_is_an_error(offset: int) -> None:
    model, _ = make_model()
    with pytest.raises(RunError, match=f"read the NPU's register {offset:#06x}"):
        model.read(offset)
    with pytest.raises(RunError, match=f"wrote the NPU's register {offset:#06x}"):
        model.write(offset, 0)


def test_an_observer_sees_memory_before_and_after_each_run() -> None:
    seen: list[tuple[int, int, int]] = []

    def observe(run: Run) -> Callable[[], None]:
        scratch = run.regions[1]
        assert scratch is not None and run.regions[2] is None
        before = int(scratch[5])
        return lambda: seen.append((len(run.stream), before, int(scratch[5])))

    model, memory = make_model(observer=observe)
    start(model, memory, copy_stream())
    start(model, memory, copy_stream(source=1))
    size = 4 * len(copy_stream())
    assert seen == [(size, 0, 5), (size, 5, 6)]


def test_a_run_that_is_stopped_ends_between_operations() -> None:
    asked: list[int] = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) == 3

    model, memory = make_model(stopped=stopped)
    copies = [word for i in range(5) for word in dma((0, i), (1, 100 * i), 4)]
    start(model, memory, [*copies, STOP])
    assert isinstance(model.error, InterruptedRunError)
    done = [bool(memory.at(SCRATCH + 100 * i, 4).any()) for i in range(5)]
    assert done == [True, True, False, False, False]
