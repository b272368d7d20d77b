"""The one table of the Ethos-U accelerators that Vela compiles for: what shows of them in a command stream, and how Vela
models a system around them where a board says nothing."""

from __future__ import annotations

from dataclasses import dataclass

from mcu_sdk.errors import UsageError


@dataclass(frozen=True)
class Family:
    """`product` is the number in the NPU's CONFIG register, `stream_version` that of its command streams there, and
    `architecture` (major, minor, patch) what its ID register says: those that Vela 5.1.0 compiles for. `system_config` and `memory_mode` are sections of Vela's
    Arm/vela.ini: the system that ExecuTorch takes too, and a memory mode that needs no fast scratch. `bus_bytes` are those
    that a port moves at once. `multiplies_activations`: whether a product of two activations uses all MACs; the others have
    one row of it multiplied elementwise."""

    name: str
    product: int
    stream_version: int
    architecture: tuple[int, int, int]
    system_config: str
    memory_mode: str
    bus_bytes: int
    multiplies_activations: bool = False


U55 = Family("u55", 0, 0, (1, 0, 6), "Ethos_U55_High_End_Embedded", "Shared_Sram", 8)
U65 = Family("u65", 1, 0, (1, 0, 6), "Ethos_U65_High_End", "Shared_Sram", 16)
U85 = Family("u85", 2, 1, (2, 0, 0), "Ethos_U85_SYS_DRAM_Mid", "Shared_Sram", 16, multiplies_activations=True)
FAMILIES = (U55, U65, U85)

PRODUCTS = {family.product: family.name for family in FAMILIES}
"""Family names by the product numbers in an NPU's CONFIG register."""


@dataclass(frozen=True)
class Accelerator:
    """`macs` are the multiply-accumulators per cycle; `shram_bytes` the memory inside (0 where none is documented);
    `cores` the weight streams that are worked on side by side; the ublock depths the channels of the smallest block of
    weights. `port_bits`: of a U85 the binary logarithms of its ports to SRAM and to other memory."""

    kind: Family
    macs: int
    shram_bytes: int
    cores: int = 1
    ofm_ublock_depth: int = 8
    ifm_ublock_depth: int = 8
    port_bits: tuple[int, int] = (0, 0)

    @property
    def family(self) -> str:
        """ "u55", "u65" or "u85"."""
        return self.kind.name

    @property
    def name(self) -> str:
        """Vela's name: "ethos-u55-128"."""
        return f"ethos-{self.family}-{self.macs}"

    @property
    def internal_bytes(self) -> int:
        """Bytes inside the NPU that a DMA can write: the SHRAM, of a U85 the memory for look-up tables."""
        return self.shram_bytes or 2048

    @property
    def lut_base(self) -> int:
        """First byte of the look-up tables in the SHRAM: its last 2 KiB of all cores, before what is reserved.

        0x3800 with 16 KB of SHRAM, 0x5800 with 24 KB, 0xB800 with 48 KB.
        """
        return self.shram_bytes // self.cores - 2048


ACCELERATORS = {
    accelerator.name: accelerator
    for accelerator in (
        Accelerator(U55, 32, 16 * 1024, ofm_ublock_depth=4),
        Accelerator(U55, 64, 16 * 1024),
        Accelerator(U55, 128, 24 * 1024),
        Accelerator(U55, 256, 48 * 1024),
        Accelerator(U65, 256, 48 * 1024),
        Accelerator(U65, 512, 96 * 1024, cores=2),
        Accelerator(U85, 128, 0, port_bits=(1, 0)),
        Accelerator(U85, 256, 0, port_bits=(1, 0)),
        Accelerator(U85, 512, 0, cores=2, port_bits=(1, 0)),
        Accelerator(U85, 1024, 0, cores=4, port_bits=(1, 1)),
        Accelerator(U85, 2048, 0, cores=4, port_bits=(2, 1)),
    )
}
"""Every accelerator by name."""


def accelerators() -> dict[str, Accelerator]:
    """Every accelerator by name."""
    return dict(ACCELERATORS)


def accelerator(name: str) -> Accelerator:
    """The accelerator of that name. Raises UsageError with the names that exist."""
    if name not in ACCELERATORS:
        raise UsageError(
            f"There is no accelerator {name!r}.", hint=f"The names are {', '.join(ACCELERATORS)}."
        )
    return ACCELERATORS[name]
