"""The Ethos-U accelerators that Vela compiles for, and what of their geometry shows in a command stream."""

from __future__ import annotations

from dataclasses import dataclass

from mcu_sdk.errors import UsageError

PRODUCTS = {0: "u55", 1: "u65", 2: "u85"}
"""Product numbers in an NPU's CONFIG register."""

_MACS = {"u55": (32, 64, 128, 256), "u65": (256, 512), "u85": (128, 256, 512, 1024, 2048)}
_SHRAM_KB = {
    ("u55", 32): 16,
    ("u55", 64): 16,
    ("u55", 128): 24,
    ("u55", 256): 48,
    ("u65", 256): 48,
    ("u65", 512): 96,
}


@dataclass(frozen=True)
class Accelerator:
    """`family` is "u55", "u65" or "u85"; `macs` the multiply-accumulators per cycle; `shram_bytes` the memory inside
    (0 where none is documented)."""

    family: str
    macs: int
    shram_bytes: int

    @property
    def name(self) -> str:
        """Vela's name: "ethos-u55-128"."""
        return f"ethos-{self.family}-{self.macs}"

    @property
    def cores(self) -> int:
        """Weight streams that are worked on side by side."""
        return 2 if (self.family, self.macs) == ("u65", 512) else 1

    @property
    def ofm_ublock_depth(self) -> int:
        """Output channels of the smallest block of weights."""
        return 4 if (self.family, self.macs) == ("u55", 32) else 8

    @property
    def ifm_ublock_depth(self) -> int:
        """Input channels of the smallest block of weights."""
        return 8

    @property
    def lut_base(self) -> int:
        """First byte of the look-up tables in the SHRAM: its last 2 KiB of all cores, before what is reserved.

        0x3800 with 16 KB of SHRAM, 0x5800 with 24 KB, 0xB800 with 48 KB.
        """
        return self.shram_bytes // self.cores - 2048


def accelerators() -> dict[str, Accelerator]:
    """Every accelerator by name."""
    found = [
        Accelerator(family, macs, 1024 * _SHRAM_KB.get((family, macs), 0))
        for family, all_macs in _MACS.items()
        for macs in all_macs
    ]
    return {accelerator.name: accelerator for accelerator in found}


def accelerator(name: str) -> Accelerator:
    """The accelerator of that name. Raises UsageError with the names that exist."""
    known = accelerators()
    if name not in known:
        raise UsageError(f"There is no accelerator {name!r}.", hint=f"The names are {', '.join(known)}.")
    return known[name]
