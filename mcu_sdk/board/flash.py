"""How an image gets onto a board: the table [flash] of a board.toml. mcu_sdk/targets/flash/ has a runner for each tool."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mcu_sdk.board.table import Address, Table, Word

FLASH_RUNNERS = ("pyocd", "openocd", "gdb", "uf2", "jlink", "teensy")
"""Names that [flash.NAME] may have; mcu_sdk/targets/flash/NAME.py has the runner."""

RunnerName = Literal["pyocd", "openocd", "gdb", "uf2", "jlink", "teensy"]

# What reaches a tool's command line begins with no "-", and what reaches its script has none of that language's signs.
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}$")]
_Script = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]{0,119}$")]
# gdb itself could run a shell
_GdbLine = Annotated[str, Field(pattern=r"^(monitor|set) [A-Za-z0-9_ .:/=-]{1,119}$")]
_Line = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_ .:/=-]{0,119}$")]


class Chip(Table):
    """A word by which the board's chip is told from others: at `address`, where `mask` has ones, it is `value`."""

    address: Address
    value: Word
    mask: Word = 0xFFFF_FFFF

    @model_validator(mode="after")
    def _can_match(self) -> Self:
        if self.value & ~self.mask:
            raise ValueError(f"value {self.value:#x} has bits outside of mask {self.mask:#x}")
        if self.address % 4:
            raise ValueError(f"address {self.address:#x} is no multiple of 4")
        return self


class Pyocd(Table):
    """`target`: pyOCD's name of the chip (`pyocd list --targets`)."""

    target: _Name
    frequency_hz: Annotated[int, Field(gt=0)] | None = None


class Openocd(Table):
    """`config`: scripts, in order (`-f`), from the board's folder or OpenOCD's own; `before`: commands between them and the first access."""

    config: Annotated[tuple[_Script, ...], Field(min_length=1)]
    before: tuple[_Line, ...] = ()


class Gdb(Table):
    """`remote`: where the debug server listens unless --probe says it; `before` and `after`: what gdb does around loading,
    such as "monitor reset halt"."""

    remote: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{0,100}:[0-9]{1,5}$")] = "localhost:3333"
    before: tuple[_GdbLine, ...] = ()
    after: tuple[_GdbLine, ...] = ()


class Uf2(Table):
    """`family`: the chip's number in the UF2 files; `board_id`: what the drive's INFO_UF2.TXT has as Board-ID."""

    family: Word
    board_id: _Name


class Jlink(Table):
    """`device`: SEGGER's name of the chip."""

    device: _Name
    interface: Literal["swd", "jtag"] = "swd"
    speed_khz: Annotated[int, Field(gt=0)] = 4000


class Teensy(Table):
    """`mcu`: the board's name in teensy_loader_cli, "TEENSY41"."""

    mcu: _Name


class Flash(Table):
    """The runners that a board can be flashed with, and their parameters. `default`: the one that is taken unless another
    is asked for; needed where there are several."""

    default: RunnerName | None = None
    chip: Chip | None = None
    pyocd: Pyocd | None = None
    openocd: Openocd | None = None
    gdb: Gdb | None = None
    uf2: Uf2 | None = None
    jlink: Jlink | None = None
    teensy: Teensy | None = None

    @property
    def runners(self) -> tuple[str, ...]:
        """The runners that the board has a table for, its default one first."""
        found = [name for name in FLASH_RUNNERS if getattr(self, name) is not None]
        return tuple(sorted(found, key=lambda name: name != self.default))

    @model_validator(mode="after")
    def _has_a_default(self) -> Self:
        if not self.runners:
            raise ValueError(f"[flash] needs a table for one of its runners: {', '.join(FLASH_RUNNERS)}")
        if self.default is None and len(self.runners) > 1:
            raise ValueError(f"[flash] has {' and '.join(self.runners)}; default says which is taken")
        if self.default is not None and self.default not in self.runners:
            raise ValueError(f"default is {self.default!r}, and there is no [flash.{self.default}]")
        return self
