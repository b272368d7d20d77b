"""What a board is: `boards/<name>/board.toml`, read and checked.

The file is the only place that knows memory regions, the UART, simulator command lines. Linker script, fit
check, size report and memory plot all read the `Board` made here.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from mcu_sdk import resources
from mcu_sdk.board.flash import Flash
from mcu_sdk.board.table import ADDRESS_LIMIT, Address, Size
from mcu_sdk.board.table import Table as _Table
from mcu_sdk.board.toolchain import TOOLCHAINS, Toolchain, ToolchainName
from mcu_sdk.errors import BoardError
from mcu_sdk.npu.accelerator import ACCELERATORS

SECTIONS = ("vectors", "code", "tokenizer", "weights", "data", "arena", "kv_cache", "stack")
"""What has to be placed. `vectors`: the vector table; `code`: instructions and read-only tables; `tokenizer`: a
language model's tables, of which a token reads a few bytes; `weights`: the embedded .pte; `data`: initialised and zeroed variables; `arena`: activations and scratch."""

WRITABLE = ("data", "arena", "kv_cache", "stack")

SIMULATED_NPU_PRESET = "qemu"
"""The preset of a project whose firmware reaches the NPU's registers through semihosting."""

CYCLE_COUNTER = "dwt"
"""The counter's driver that counts cycles."""

BOARD_SOURCE = "board.cpp"
"""What the silicon needs, beside a board.toml: it defines board_start()."""

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,47}$"
_IDENTIFIER = r"^[a-z][a-z0-9_]{0,31}$"
_FLAG = r"^-[A-Za-z0-9=+,._-]+$"


Flag = Annotated[str, Field(pattern=_FLAG)]


class Core(_Table):
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


class Region(_Table):
    """A stretch of memory: `origin` is its address, `size` its bytes.

    `kind` is "ram" where the firmware may write. `speed` is the cost of an access relative to the fastest
    memory of the board (1); it orders and explains placements, no instruction count uses it. `wait_states`: cycles
    that a read of it waits at `clock.core_hz`, as board.cpp sets them, caches and prefetching left out.

    How fast it can be read, for the bound of a step (planning/bound.py): `bytes_per_access`, which take a cycle and the
    wait states, or `bytes_per_second`, the fastest that its clock and its wires allow. `cached`: whether the core's data
    cache is in front of it. `bus`: regions with the same name here are read one after the other.
    """

    name: Annotated[str, Field(pattern=_IDENTIFIER)]
    origin: Address
    size: Annotated[Size, Field(gt=0)]
    kind: Literal["rom", "ram"]
    speed: Annotated[float, Field(ge=1)] = 1
    wait_states: Annotated[int, Field(ge=0, le=255, strict=True)] = 0
    bytes_per_access: Annotated[int, Field(gt=0, le=64, strict=True)] | None = None
    bytes_per_second: Annotated[int, Field(gt=0, strict=True)] | None = None
    cached: bool = False
    bus: Annotated[str, Field(pattern=_IDENTIFIER)] | None = None

    @property
    def end(self) -> int:
        return self.origin + self.size

    def bandwidth(self, core_hz: int) -> float | None:
        """Bytes that can be read of it in a second; None where the file does not say."""
        if self.bytes_per_access is not None:
            return self.bytes_per_access / (1 + self.wait_states) * core_hz
        return self.bytes_per_second

    @model_validator(mode="after")
    def _has_one_bandwidth(self) -> Self:
        if self.bytes_per_access is not None and self.bytes_per_second is not None:
            raise ValueError("bytes_per_access and bytes_per_second exclude each other")
        return self


class Reserved(_Table):
    """Addresses whose words lock, unlock or configure the chip for good: no image and no flasher writes them.

    `contents`: the bytes, as hexadecimal digits, that every image has there all the same, put there by the linker
    script. For words that share an erase sector with the image: left out, they would be erased, which locks the chip.
    """

    name: Annotated[str, Field(pattern=_IDENTIFIER)]
    origin: Address
    size: Annotated[Size, Field(gt=0)]
    contents: Annotated[str, Field(pattern=r"^([0-9a-f]{2})*$")] = ""

    @property
    def end(self) -> int:
        return self.origin + self.size

    @property
    def expected(self) -> bytes:
        """`contents` as bytes; none where nothing may be written."""
        return bytes.fromhex(self.contents)

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.contents and len(self.contents) != 2 * self.size:
            raise ValueError(f"contents has {len(self.contents) // 2} bytes, and size is {self.size}")
        return self


class Clock(_Table):
    """What board.cpp sets the chip's clocks to; `core_hz` is the processor's."""

    core_hz: Annotated[int, Field(gt=0)]


def _list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Preference = Annotated[
    tuple[str, ...],
    BeforeValidator(_list, json_schema_input_type=str | Annotated[list[str], Field(min_length=1)]),
    Field(min_length=1),
]


class Placement(_Table):
    """For each section the regions it may lie in, most wanted first among equals (planning/fit.py).

    `tokenizer`, where the file does not say: beside the code, or wherever the weights may lie. `boot_header`: a region
    of its own for what a boot ROM or a flash controller reads before the firmware runs (board.cpp's section
    `.boot_header`).
    """

    vectors: Preference
    code: Preference
    weights: Preference
    data: Preference
    arena: Preference
    kv_cache: Preference
    stack: Preference
    tokenizer: Preference = ()
    boot_header: str = ""

    @model_validator(mode="before")
    @classmethod
    def _tokenizer_beside_code_or_weights(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "tokenizer" in values:
            return values
        parts = [_list(values.get(name, ())) for name in ("code", "weights")]
        if not all(
            isinstance(part, (list, tuple)) and all(isinstance(n, str) for n in part) for part in parts
        ):
            return values  # the checks of these fields say what is wrong with them
        return {**values, "tokenizer": tuple(dict.fromkeys(name for part in parts for name in part))}

    def of(self, section: str) -> tuple[str, ...]:
        """The region names for one of SECTIONS, in order of preference."""
        regions: tuple[str, ...] = getattr(self, section)
        return regions


class UsbPort(_Table):
    """How the computer at the other end of a board's USB cable names the console: ids of vendor and product, and, where
    the debugger has several serial ports, the number of its USB interface."""

    vid: Annotated[int, Field(ge=0, le=0xFFFF, strict=True)]
    pid: Annotated[int, Field(ge=0, le=0xFFFF, strict=True)]
    interface: Annotated[int, Field(ge=0, le=255, strict=True)] | None = None


class Uart(_Table):
    """The console's serial port; `driver` is a file firmware/platform/cortex_m/uart_<driver>.cpp. `usb`: as what it shows
    up where the board has it on a USB port, any of these."""

    driver: Annotated[str, Field(pattern=_IDENTIFIER)]
    base: Address
    clock_hz: Annotated[int, Field(gt=0)]
    baud: Annotated[int, Field(gt=0)] = 115200
    usb: tuple[UsbPort, ...] = ()


class Counter(_Table):
    """What counts instructions, or the processor's cycles; `driver` is a file
    firmware/platform/cortex_m/counter_<driver>.cpp.

    "dwt", the cycle counter that Cortex-M3 and larger cores have, needs nothing else. The others are clocks: `control`
    and `status` are their registers, and an instruction takes `instruction_ns` where a simulator ties both together.
    """

    driver: Annotated[str, Field(pattern=_IDENTIFIER)]
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


class Semihosting(_Table):
    """Whether a run ends with the semihosting call SYS_EXIT (simulators) or in an endless wait (silicon)."""

    exit: bool = False


SIMULATORS = ("qemu", "fvp")
"""Names that [simulator.NAME] may have; mcu_sdk/targets/NAME.py runs each. Of a board's own the first one is taken."""

SimulatorName = Annotated[str, Field(pattern=f"^({'|'.join(SIMULATORS)})$")]


class Simulator(_Table):
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


Accelerator = Annotated[str, Field(pattern=f"^({'|'.join(ACCELERATORS)})$")]
"""Vela's name of an accelerator: the NPU and its multiply-accumulators per cycle."""

Family = Literal["u55", "u65", "u85"]


class VelaConfig(_Table):
    """What Vela is told of the memories around a family of NPUs; `memory_modes` has the default first. `base`: where this
    family's registers are, if not at the board's `npu.base`."""

    base: Address | None = None
    system_config: Annotated[str, Field(pattern=r"^\w+$")]
    memory_modes: Annotated[tuple[Annotated[str, Field(pattern=r"^\w+$")], ...], Field(min_length=1)]


class Npu(_Table):
    """The neural processing units that the board can have, and which memory they reach.

    `base`: the registers' address (none for a native board). `arena` and `weights`: the regions for the arena,
    which holds the NPU's scratch, and for the .pte, which holds its commands and weights; most wanted first.
    `shared`: the only region that QEMU shares with the simulated NPU.
    """

    targets: Annotated[tuple[Accelerator, ...], Field(min_length=1)]
    base: Address | None = None
    arena: Preference | None = None
    weights: Preference | None = None
    shared: Annotated[str, Field(pattern=_IDENTIFIER)] | None = None
    vela: dict[Family, VelaConfig]

    @model_validator(mode="after")
    def _knows_every_family(self) -> Self:
        for target in self.targets:
            if family_of(target) not in self.vela:
                raise ValueError(f"{target} is a target, and there is no [npu.vela.{family_of(target)}]")
        return self


def npu_base(npu: Npu | None, accelerator: str | None = None) -> int | None:
    """The address of the registers of the NPU `accelerator`, or of the board's first one; None where it has none."""
    if npu is None:
        return None
    own = npu.vela[family_of(accelerator or npu.targets[0])].base
    return npu.base if own is None else own


def family_of(accelerator: str) -> Family:
    """ "u55" of "ethos-u55-128"."""
    return cast(Family, accelerator.split("-")[1])


class Board(_Table):
    """A checked board. `folder` is where its files are; `target` what a model is compiled for unless told."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    description: Annotated[str, Field(min_length=1, max_length=200)]
    console: Literal["uart", "stdio"] = "uart"
    target: str = ""
    toolchain: ToolchainName = "gcc"
    stack_bytes: Size
    core: Core
    clock: Clock | None = None
    region: tuple[Region, ...] = ()
    placement: Placement | None = None
    reserved: tuple[Reserved, ...] = ()
    uart: Uart | None = None
    counter: Counter | None = None
    semihosting: Semihosting = Semihosting()
    simulator: dict[SimulatorName, Simulator] = Field(default_factory=dict)
    flash: Flash | None = None
    npu: Npu | None = None
    folder: Annotated[Path | None, Field(exclude=True)] = None

    @property
    def is_host(self) -> bool:
        """Whether the firmware runs as a process on the machine that builds it."""
        return self.core.is_native

    @property
    def tools(self) -> Toolchain:
        """What compiles and links its firmware."""
        return TOOLCHAINS[self.toolchain]

    @property
    def regions(self) -> dict[str, Region]:
        return {region.name: region for region in self.region}

    @property
    def copies_at_start(self) -> bool:
        """Whether constants may lie in RAM that is not loaded with the image, and has to be filled at the start."""
        placement, regions = self.placement, self.regions
        if placement is None:
            return False
        names = (*placement.weights, *placement.tokenizer)
        return any(name in regions and stored_in(regions, placement.code[0], name) != name for name in names)

    @property
    def counts_instructions(self) -> bool:
        return self.counter is not None and self.counter.is_clock

    @property
    def sources(self) -> dict[str, Path]:
        """The sources and headers in the board's own folder that its firmware is compiled with, by their names there.

        A driver that is there is taken instead of firmware/platform/cortex_m's.
        """
        if self.folder is None or self.uart is None:
            return {}
        drivers = [f"uart_{self.uart.driver}.cpp"]
        if self.counter is not None:
            drivers.append(f"counter_{self.counter.driver}.cpp")
        sources = [self.folder / name for name in (BOARD_SOURCE, *drivers)]
        found = {path.name: path for path in sources if path.is_file()}
        return found | ({path.name: path for path in sorted(self.folder.glob("*.h"))} if found else {})

    @property
    def targets(self) -> tuple[str, ...]:
        """What a model can be compiled for: the processor, then the NPUs."""
        return (self.core.cpu, *(self.npu.targets if self.npu else ()))

    @property
    def default_target(self) -> str:
        return self.target or self.core.cpu

    def simulator_command(self, name: str, target: str | None = None) -> tuple[str, ...]:
        """A simulator's command line with the NPU of `target`; for a target without, the board's first one."""
        command = self.simulator[name].command
        npus = [*([target] if target else []), *(self.npu.targets if self.npu else ())]
        found = next((npu for npu in npus if npu.startswith("ethos-")), None)
        if found is None:
            return command
        _, family, macs = found.split("-")
        return tuple(part.replace("{npu}", family.upper()).replace("{macs}", macs) for part in command)

    def with_npu_memory(self, *, shared: bool = False) -> Board:
        """The board with the arena and the model where its NPU reaches them; `shared`: where QEMU shares them.

        A native board, which has no regions, stays as it is.
        """
        npu = self.npu
        if npu is None or self.placement is None or npu.arena is None or npu.weights is None:
            return self
        arena, weights = npu.arena, npu.weights
        if shared and npu.shared is not None:
            arena = weights = (npu.shared,)
        placement = self.placement.model_copy(update={"arena": arena, "weights": weights})
        return self.model_copy(update={"placement": placement})

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.default_target not in self.targets:
            raise ValueError(f"target is {self.target!r}; the board has {', '.join(self.targets)}")
        if self.is_host:
            if self.region or self.placement or self.uart:
                raise ValueError("a native board has no regions, no placement and no UART")
            if self.console != "stdio":
                raise ValueError('a native board has console = "stdio"')
            return self
        if self.console != "uart" or self.uart is None:
            raise ValueError('a board needs console = "uart" and a [uart] table')
        if not self.core.flags:
            raise ValueError("[core] needs flags for the compiler")
        if self.stack_bytes < 1024 or self.stack_bytes % 8:
            raise ValueError(f"stack_bytes must be a multiple of 8, at least 1024, not {self.stack_bytes}")
        if self.placement is None:
            raise ValueError("a board needs a [placement] table")
        _check_regions(self.region)
        _check_placement(self.placement, self.regions)
        _check_reserved(self.reserved, self.region)
        _check_vectors(self.core, self.regions[self.placement.vectors[0]])
        _check_bandwidths(self.core, self.clock, self.region)
        if self.npu is not None:
            _check_npu(self.npu, self.regions)
            for name, simulator in self.simulator.items():
                if simulator.npu_command and not (self.npu.shared and simulator.shared_bytes):
                    raise ValueError(f"simulator.{name}.npu_command needs shared_bytes and npu.shared")
        return self


def stored_in(regions: Mapping[str, Region], code: str, name: str) -> str:
    """Where the image keeps what lies in the region `name`, if the code lies in `code`.

    An image whose code runs from read-only memory is stored there: RAM is empty after a reset, and start-up copies into
    it. Elsewhere (a simulator, a debugger) each section is loaded to where it lies.
    """
    if code in regions and regions[code].kind == "rom" and regions[name].kind == "ram":
        return code
    return name


def _check_regions(regions: tuple[Region, ...]) -> None:
    """Regions have names of their own, end below 4 GB and do not overlap; ValueError otherwise."""
    seen: set[str] = set()
    for region in regions:
        if region.name in seen:
            raise ValueError(f"two regions are named {region.name!r}")
        seen.add(region.name)
        if region.end > ADDRESS_LIMIT:
            raise ValueError(
                f"region {region.name!r} ends at {region.end:#x}, beyond the 32-bit address space"
            )
    ordered = sorted(regions, key=lambda region: region.origin)
    for low, high in pairwise(ordered):
        if high.origin < low.end:
            raise ValueError(
                f"regions {low.name!r} (ends at {low.end:#x}) and {high.name!r} (begins at {high.origin:#x}) overlap"
            )


def _check_placement(placement: Placement, regions: dict[str, Region]) -> None:
    """Every region named exists, and what is written to lies in RAM; ValueError otherwise."""
    for section in SECTIONS:
        for name in placement.of(section):
            if name not in regions:
                known = ", ".join(regions) or "none"
                raise ValueError(f"placement.{section} names the region {name!r}; the regions are: {known}")
            if section in WRITABLE and regions[name].kind != "ram":
                raise ValueError(f"placement.{section} names {name!r}, which is no RAM")
    for section in ("vectors", "code", "data", "stack"):
        if len(placement.of(section)) != 1:
            raise ValueError(f"placement.{section} takes exactly one region")
    for section in ("tokenizer", "weights", "arena", "kv_cache"):
        for name in placement.of(section):
            if regions[name].origin == 0 and name not in (*placement.vectors, *placement.code):
                raise ValueError(
                    f"placement.{section} names {name!r}, which begins at address 0, where a kernel takes a tensor for "
                    "none; let the region begin behind it (origin = 0x1000)"
                )

    header = placement.boot_header
    if header and header not in regions:
        raise ValueError(
            f"placement.boot_header names the region {header!r}; the regions are: {', '.join(regions)}"
        )
    beside = [section for section in SECTIONS if header and header in placement.of(section)]
    if beside:
        raise ValueError(
            f"placement.boot_header needs a region of its own; {header!r} is also for {beside[0]}"
        )


def _check_reserved(reserved: tuple[Reserved, ...], regions: tuple[Region, ...]) -> None:
    """No region has reserved words in it; ValueError otherwise."""
    for words in reserved:
        for region in regions:
            if region.name == words.name:
                raise ValueError(f"a region and reserved words are both named {words.name!r}")
            if region.origin < words.end and words.origin < region.end:
                raise ValueError(
                    f"the region {region.name!r} overlaps the reserved words {words.name!r} "
                    f"({words.origin:#010x} to {words.end - 1:#010x}), which no image may write"
                )


def _check_vectors(core: Core, region: Region) -> None:
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


def _check_bandwidths(core: Core, clock: Clock | None, regions: tuple[Region, ...]) -> None:
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


def _check_npu(npu: Npu, regions: dict[str, Region]) -> None:
    """The NPU's registers have an address, and the regions that it reaches exist; ValueError otherwise."""
    if npu.base is None or npu.arena is None or npu.weights is None:
        raise ValueError("[npu] needs base, arena and weights")
    named = [*npu.arena, *npu.weights, *([npu.shared] if npu.shared else [])]
    for name in named:
        if name not in regions:
            raise ValueError(f"[npu] names the region {name!r}; the regions are: {', '.join(regions)}")
    for name in (*npu.arena, *([npu.shared] if npu.shared else [])):
        if regions[name].kind != "ram":
            raise ValueError(f"npu.arena and npu.shared have to be RAM; {name!r} is not")


def list_boards() -> list[Board]:
    """Every board that comes with the package, by name. Raises BoardError if one is broken."""
    return [load_board(name) for name in board_names()]


def board_names() -> list[str]:
    """The names that `load_board` knows."""
    return sorted(file.parent.name for file in resources.boards().glob("*/board.toml"))


def load_board(name_or_path: str | Path) -> Board:
    """Read a board by the name of a packaged one, or by the path of a board.toml or of a folder holding one.

    Raises BoardError when there is no such board, or when its file does not describe one.
    """
    file = _find(name_or_path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BoardError(
            f"The board file {file} cannot be read: {error}.", hint="It must be a text file in UTF-8."
        ) from error
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BoardError(
            f"{file} is not TOML: {error}.", hint="docs/boards.md shows a complete board.toml."
        ) from error
    try:
        return Board.model_validate({**content, "folder": file.parent})
    except ValidationError as error:
        raise BoardError(
            f"{file} does not describe a board: {_summary(error)}.",
            hint="docs/boards.md lists every key, and boards/corstone-300/board.toml is a complete example.",
        ) from error


def _find(name_or_path: str | Path) -> Path:
    """The board.toml that is meant."""
    text = str(name_or_path)
    if isinstance(name_or_path, str) and re.fullmatch(NAME_PATTERN, text):
        packaged = resources.boards() / text / "board.toml"
        if packaged.is_file():
            return packaged
    path = Path(text)
    looks_like_path = isinstance(name_or_path, Path) or "/" in text or text.endswith(".toml")
    if looks_like_path and "\0" not in text:
        # os.path: False, not OSError, for what is too long to be a path
        if os.path.isfile(path):
            return path
        if os.path.isfile(path / "board.toml"):
            return path / "board.toml"
    raise BoardError(
        f"There is no board {text!r}: the boards are {', '.join(board_names())}.",
        hint="Name one of them, or give the path of a folder with a board.toml.",
    )


def _summary(error: ValidationError) -> str:
    """The first three complaints of pydantic as one line: where, what, and what was found."""
    lines = []
    for item in error.errors()[:3]:
        place = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"{place}: no such key")
        elif item["type"] == "missing":
            lines.append(f"{place}: this key is missing")
        else:
            message = item["msg"].removeprefix("Value error, ")
            found = "" if item["type"] == "value_error" else f" (found {item['input']!r})"
            lines.append(f"{place}: {message}{found}" if place else f"{message}{found}")
    more = error.error_count() - len(lines)
    return "; ".join(lines) + (f"; and {more} more" if more > 0 else "")
