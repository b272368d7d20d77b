"""A board's memory: its regions, what may lie in which, and the words that no image writes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mcu_sdk.board.table import ADDRESS_LIMIT, IDENTIFIER, Address, Size, Table

SECTIONS = ("vectors", "code", "tokenizer", "weights", "data", "arena", "kv_cache", "stack")
"""What has to be placed. `vectors`: the vector table; `code`: instructions and read-only tables; `tokenizer`: a
language model's tables, of which a token reads a few bytes; `weights`: the embedded .pte; `data`: initialised and zeroed variables; `arena`: activations and scratch."""

WRITABLE = ("data", "arena", "kv_cache", "stack")


class Region(Table):
    """A stretch of memory: `origin` is its address, `size` its bytes.

    `kind` is "ram" where the firmware may write. `speed` is the cost of an access relative to the fastest
    memory of the board (1); it orders and explains placements, no instruction count uses it. `wait_states`: cycles
    that a read of it waits at `clock.core_hz`, as board.cpp sets them, caches and prefetching left out.

    How fast it can be read, for the bound of a step (planning/bound.py) and the estimate of one beside an NPU
    (planning/step_cycles.py): `bytes_per_access`, which take a cycle and the wait states, or `bytes_per_second`, the
    fastest that its clock and its wires allow. `cached`: whether the core's data cache is in front of it. `bus`: regions
    with the same name here are read one after the other.
    """

    name: Annotated[str, Field(pattern=IDENTIFIER)]
    origin: Address
    size: Annotated[Size, Field(gt=0)]
    kind: Literal["rom", "ram"]
    speed: Annotated[float, Field(ge=1)] = 1
    wait_states: Annotated[int, Field(ge=0, le=255, strict=True)] = 0
    bytes_per_access: Annotated[int, Field(gt=0, le=64, strict=True)] | None = None
    bytes_per_second: Annotated[int, Field(gt=0, strict=True)] | None = None
    cached: bool = False
    bus: Annotated[str, Field(pattern=IDENTIFIER)] | None = None

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


class Reserved(Table):
    """Addresses whose words lock, unlock or configure the chip for good: no image and no flasher writes them.

    `contents`: the bytes, as hexadecimal digits, that every image has there all the same, put there by the linker
    script. For words that share an erase sector with the image: left out, they would be erased, which locks the chip.
    """

    name: Annotated[str, Field(pattern=IDENTIFIER)]
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


def _list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Preference = Annotated[
    tuple[str, ...],
    BeforeValidator(_list, json_schema_input_type=str | Annotated[list[str], Field(min_length=1)]),
    Field(min_length=1),
]


class Placement(Table):
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


def stored_in(regions: Mapping[str, Region], code: str, name: str) -> str:
    """Where the image keeps what lies in the region `name`, if the code lies in `code`.

    An image whose code runs from read-only memory is stored there: RAM is empty after a reset, and start-up copies into
    it. Elsewhere (a simulator, a debugger) each section is loaded to where it lies.
    """
    if code in regions and regions[code].kind == "rom" and regions[name].kind == "ram":
        return code
    return name


def check_regions(regions: tuple[Region, ...]) -> None:
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


def check_placement(placement: Placement, regions: dict[str, Region]) -> None:
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


def check_apart(reserved: tuple[Reserved, ...], regions: tuple[Region, ...]) -> None:
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
