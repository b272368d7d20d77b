"""What a board has beside memory: its processor, clock, serial port and counter, and the simulators that run it."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from mcu_sdk.board.memory import Region
from mcu_sdk.board.table import IDENTIFIER, Address, Size, Table

CYCLE_COUNTER = "dwt"
"""The counter's driver that counts cycles."""


_FLAG = r"^-[A-Za-z0-9=+,._-]+$"


Flag = Annotated[str, Field(pattern=_FLAG)]


class Core(Table):
    """The processor and the compiler flags that select it.

    `interrupts`: how many device interrupts its NVIC has; they decide where a vector table can lie. `data_cache`: the
    bytes of its data cache, in front of the regions that are `cached`.
    """

    cpu: Annotated[str, Field(pattern=r"^[a-z0-9.+-]+$")]
    fpu: bool = False
    dsp: bool = False
    helium: bool = False
    interrupts: Annotated[int, Field(ge=1, le=480, strict=True)] = 240
    data_cache: Size = 0
    flags: tuple[Flag, ...] = ()

    @property
    def is_native(self) -> bool:
        return self.cpu == "native"

    @property
    def vector_alignment(self) -> int:
        """What the address of a vector table must be a multiple of, in bytes.

        A word for each of 16 exceptions and of the interrupts, rounded up to a power of two, at least 128 (ARMv7-M
        and ARMv8-M Architecture Reference Manuals, VTOR).
        """
        return max(128, 1 << (4 * (16 + self.interrupts) - 1).bit_length())


class Clock(Table):
    """What board.cpp sets the chip's clocks to; `core_hz` is the processor's."""

    core_hz: Annotated[int, Field(gt=0)]


class UsbPort(Table):
    """How the computer at the other end of a board's USB cable names the console: ids of vendor and product, and, where
    the debugger has several serial ports, the number of its USB interface."""

    vid: Annotated[int, Field(ge=0, le=0xFFFF, strict=True)]
    pid: Annotated[int, Field(ge=0, le=0xFFFF, strict=True)]
    interface: Annotated[int, Field(ge=0, le=255, strict=True)] | None = None


class Uart(Table):
    """The console's serial port; `driver` is a file firmware/platform/cortex_m/uart_<driver>.cpp. `usb`: as what it shows
    up where the board has it on a USB port, any of these."""

    driver: Annotated[str, Field(pattern=IDENTIFIER)]
    base: Address
    clock_hz: Annotated[int, Field(gt=0)]
    baud: Annotated[int, Field(gt=0)] = 115200
    usb: tuple[UsbPort, ...] = ()


class Counter(Table):
    """What counts instructions, or the processor's cycles; `driver` is a file
    firmware/platform/cortex_m/counter_<driver>.cpp.

    "dwt", the cycle counter that Cortex-M3 and larger cores have, needs nothing else. The others are clocks: `control`
    and `status` are their registers, and an instruction takes `instruction_ns` where a simulator ties both together.
    """

    driver: Annotated[str, Field(pattern=IDENTIFIER)]
    control: Address | None = None
    status: Address | None = None
    frequency_hz: Annotated[int, Field(gt=0)] | None = None
    instruction_ns: Annotated[int, Field(gt=0)] | None = None

    @property
    def is_clock(self) -> bool:
        return self.driver != CYCLE_COUNTER

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        keys = ("control", "status", "frequency_hz", "instruction_ns")
        given = [key for key in keys if getattr(self, key) is not None]
        if self.is_clock and len(given) < len(keys):
            missing = ", ".join(key for key in keys if key not in given)
            raise ValueError(f"the counter {self.driver!r} needs {missing}")
        if not self.is_clock and given:
            raise ValueError(f"the counter {self.driver!r} takes no {', '.join(given)}")
        return self


class Semihosting(Table):
    """Whether a run ends with the semihosting call SYS_EXIT (simulators) or in an endless wait (silicon)."""

    exit: bool = False


SIMULATORS = ("qemu", "fvp")
"""Names that [simulator.NAME] may have; mcu_sdk/targets/NAME.py runs each. Of a board's own the first one is taken."""

SimulatorName = Annotated[str, Field(pattern=f"^({'|'.join(SIMULATORS)})$")]


class Simulator(Table):
    """A simulator's command line; "{elf}" stands for the firmware, "{input}" for a file with console input, "{npu}" for
    the family ("U55") and "{macs}" for the size of the NPU that the simulator is to have.

    `after_ready`: whether it loses input that comes before the firmware has turned its UART on.
    `npu_command`: the same beside a simulated NPU; "{shared}" stands for a file with `shared_bytes` bytes, the memory
    from the region `npu.shared` on.
    """

    command: Annotated[tuple[str, ...], Field(min_length=1)]
    npu_command: tuple[str, ...] = ()
    shared_bytes: Size = 0
    after_ready: bool = False
    untested: bool = False


def check_vectors(core: Core, region: Region) -> None:
    """The vector table, which lies first in its region, lies where the core can have it; ValueError otherwise."""
    alignment = core.vector_alignment
    beyond = region.origin % alignment
    if not beyond:
        return
    following = region.origin + alignment - beyond
    raise ValueError(
        f"placement.vectors names {region.name!r}, which begins at {region.origin:#010x}, where a core with "
        f"{core.interrupts} interrupts (core.interrupts) cannot have its vector table: it has to be a multiple of "
        f"{alignment:#x}; the next one is origin = {following:#010x}, with {alignment - beyond} bytes less of size"
    )


def check_bandwidths(core: Core, clock: Clock | None, regions: tuple[Region, ...]) -> None:
    """What is said of bandwidths can be used, and orders the regions as `speed` does; ValueError otherwise."""
    cached = [region.name for region in regions if region.cached]
    if cached and not core.data_cache:
        raise ValueError(
            f"the region {cached[0]!r} is cached, and core.data_cache does not say how large the cache is"
        )
    given = [region.name for region in regions if region.bytes_per_access or region.bytes_per_second]
    if given and clock is None:
        raise ValueError(f"the region {given[0]!r} has a bandwidth, which says nothing without [clock]")
    if clock is None:
        return
    known = [(region.bandwidth(clock.core_hz) or 0, region) for region in regions if region.name in given]
    for slow, region in known:
        for fast, other in known:
            if slow < fast and region.speed < other.speed:
                raise ValueError(
                    f"{region.name!r} is read slower than {other.name!r}, and its speed (the cost of an access) is "
                    f"{region.speed:g}, less than {other.speed:g}"
                )
