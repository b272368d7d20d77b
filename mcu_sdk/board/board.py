"""What a board is: `boards/<name>/board.toml`, read and checked.

The file is the only place that knows memory regions, the UART, simulator command lines. Linker script, fit
check, size report and memory plot all read the `Board` made here.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from mcu_sdk import resources
from mcu_sdk.board.devices import (
    Clock,
    Core,
    Counter,
    Semihosting,
    Simulator,
    SimulatorName,
    Uart,
    check_bandwidths,
    check_vectors,
)
from mcu_sdk.board.flash import Flash
from mcu_sdk.board.memory import (
    Placement,
    Region,
    Reserved,
    check_apart,
    check_placement,
    check_regions,
    stored_in,
)
from mcu_sdk.board.npu import Npu, check_npu
from mcu_sdk.board.table import Size, Table
from mcu_sdk.board.toolchain import TOOLCHAINS, Toolchain, ToolchainName
from mcu_sdk.errors import BoardError, DoesNotFitError

PARTITION = "pte"
"""The region of a .pte that lies in a partition of its own."""

SIMULATED_NPU_PRESET = "qemu"
"""The preset of a project whose firmware reaches the NPU's registers through semihosting."""

BOARD_SOURCE = "board.cpp"
"""What the silicon needs, beside a board.toml: it defines board_start()."""

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,47}$"


class Board(Table):
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

    def with_stack(self, least: int) -> Board:
        """The board with at least so many bytes of stack; a native board's is the system's."""
        if self.placement is None or self.stack_bytes >= least:
            return self
        return self.model_copy(update={"stack_bytes": least})

    def with_partition(self, size: int) -> Board:
        """The board with the last `size` bytes of a region, the first of those for weights with room for them, as a region of
        its own, PARTITION, in which the weights lie alone. Raises DoesNotFitError where no region has room, or none that
        keeps its bytes."""
        if self.placement is None:
            return self
        kept = [
            self.regions[name]
            for name in self.placement.of("weights")
            if stored_in(self.regions, self.placement.of("code")[0], name) == name
        ]
        found = next((region for region in kept if region.size > size), None)
        if found is None:
            told = ", ".join(f"{region.name} {region.size:,}" for region in kept) or "none"
            raise DoesNotFitError(
                f"A region of {self.name} with room for a partition of {size:,} bytes was expected; those for weights that "
                f"keep their bytes: {told}.",
                hint="Give a smaller --pte-partition, or leave it out.",
            )
        own = found.model_copy(update={"name": PARTITION, "origin": found.end - size, "size": size})
        rest = found.model_copy(update={"size": found.size - size})
        regions = tuple(rest if region is found else region for region in self.region)
        placement = self.placement.model_copy(update={"weights": (PARTITION,)})
        return self.model_copy(update={"region": (*regions, own), "placement": placement})

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
        check_regions(self.region)
        check_placement(self.placement, self.regions)
        check_apart(self.reserved, self.region)
        check_vectors(self.core, self.regions[self.placement.vectors[0]])
        check_bandwidths(self.core, self.clock, self.region)
        if self.npu is not None:
            check_npu(self.npu, self.regions)
            for name, simulator in self.simulator.items():
                if simulator.npu_command and not (self.npu.shared and simulator.shared_bytes):
                    raise ValueError(f"simulator.{name}.npu_command needs shared_bytes and npu.shared")
        return self


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
