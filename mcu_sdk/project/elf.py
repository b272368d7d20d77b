"""What a linked firmware contains: sizes by section and region, and symbols that must not be there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcu_sdk.board.board import Board
from mcu_sdk.errors import BuildError

_HEAP = r"_*([mc]alloc|realloc|memalign|free|s?brk)(_r)?"
_NEW = r"_Zn[aw][jlmy]\w*|_Zd[al]Pv\w*"  # operator new and delete, in all their forms
_PRINTF = r"_*(as|sn|[fsv])*i?printf(_\w+)?|f?puts|f?putc|putchar"
_UNWIND = r"__cxa_(throw|rethrow|allocate_exception)|_Unwind_RaiseException|__dynamic_cast"

FORBIDDEN = re.compile("|".join((_HEAP, _NEW, _PRINTF, _UNWIND)))
"""Names for heap, printf, exceptions, RTTI: none of it belongs into the firmware."""


@dataclass(frozen=True)
class Section:
    """An allocated section: `size` bytes at `address`; `stored` if its bytes are part of the image.

    `load` is where the image keeps those bytes, if they are copied from there to `address` at the start; else None.
    """

    name: str
    address: int
    size: int
    stored: bool
    load: int | None = None


@dataclass(frozen=True)
class ElfSizes:
    """Sizes of a firmware in bytes."""

    sections: tuple[Section, ...]

    def size(self, name: str) -> int:
        """The size of one section (".arena"), 0 if there is none."""
        return sum(section.size for section in self.sections if section.name == name)

    @property
    def flash(self) -> int:
        """Bytes of the image: vectors, code, tables, weights, initial values of variables."""
        return sum(section.size for section in self.sections if section.stored)

    @property
    def weights(self) -> int:
        """The .pte, or what kernels read of it where its constants lie in several regions (.weights_<region>)."""
        return sum(s.size for s in self.sections if s.name == ".weights" or s.name.startswith(".weights_"))

    @property
    def code(self) -> int:
        """The image without the weights."""
        return self.flash - self.weights

    @property
    def arena(self) -> int:
        return self.size(".arena")

    @property
    def kv_cache(self) -> int:
        return self.size(".kv_cache")

    @property
    def stack(self) -> int:
        """Bytes reserved, not used."""
        return self.size(".stack")

    @property
    def data(self) -> int:
        return self.size(".data")

    @property
    def bss(self) -> int:
        return self.size(".bss")

    @property
    def ram(self) -> int:
        """Bytes that are written to at run time."""
        return self.arena + self.kv_cache + self.stack + self.data + self.bss

    def by_region(self, board: Board) -> dict[str, int]:
        """Bytes in each of the board's regions; `.data` counts where it lives and where its initial values lie."""
        used = dict.fromkeys(board.regions, 0)
        for section in self.sections:
            places = [section.address] if section.load is None else [section.address, section.load]
            for address in places:
                for region in board.region:
                    if region.origin <= address < region.end:
                        used[region.name] += section.size
        return used


def read_sizes(path: Path) -> ElfSizes:
    """The allocated sections of an ELF file, in order of address. Raises BuildError if it is none."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.constants import SH_FLAGS
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            segments = [segment.header for segment in elf.iter_segments() if segment["p_type"] == "PT_LOAD"]
            sections = [
                _section(item.name, item.header, segments)
                for item in elf.iter_sections()
                if item["sh_flags"] & SH_FLAGS.SHF_ALLOC and item["sh_size"] > 0
            ]
    except (OSError, ELFError) as error:
        raise BuildError(
            f"{path} is no ELF file that can be read: {error}.", hint="Build the project again."
        ) from error
    return ElfSizes(tuple(sorted(sections, key=lambda section: section.address)))


def _section(name: str, header: Mapping[str, Any], segments: Sequence[Mapping[str, Any]]) -> Section:
    """A section from its header; the program headers know where its bytes are loaded (ELF's physical address)."""
    address, size, stored = header["sh_addr"], header["sh_size"], header["sh_type"] != "SHT_NOBITS"
    load = None
    for segment in segments:
        moved = segment["p_paddr"] - segment["p_vaddr"]
        inside = 0 <= address - segment["p_vaddr"] < segment["p_filesz"]
        if stored and inside and moved:
            load = address + moved
    return Section(name, address, size, stored, load)


def build_id(path: Path) -> str:
    """The GNU build id of an ELF file, as hexadecimal digits. Raises BuildError if it has none."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import NoteSection

    try:
        with path.open("rb") as file:
            for section in ELFFile(file).iter_sections():
                if not isinstance(section, NoteSection):
                    continue
                for note in section.iter_notes():
                    if note["n_type"] == "NT_GNU_BUILD_ID":
                        return str(note["n_desc"])
    except (OSError, ELFError) as error:
        raise BuildError(
            f"{path} is no ELF file that can be read: {error}.", hint="Build the project again."
        ) from error
    raise BuildError(f"{path} has no build id.", hint="Regenerate the project, and build it again.")


def uses_helium(path: Path) -> bool:
    """Whether any object in an Arm ELF file was made for a core with Helium: its build attributes have MVE.

    The assembler sets the tag (Tag_MVE_arch, Arm IHI 0045, "Addenda to the ABI: build attributes") and the linker
    keeps the greatest of all objects.
    """
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import ARMAttributesSection

    with path.open("rb") as file:
        return any(
            attribute.tag == "TAG_MVE_ARCH" and attribute.value != 0
            for table in ELFFile(file).iter_sections()
            if isinstance(table, ARMAttributesSection)
            for owner in table.iter_subsections()
            for scope in owner.iter_subsubsections()
            for attribute in scope.iter_attributes()
        )


def forbidden_symbols(path: Path) -> list[str]:
    """The names that FORBIDDEN matches and that an ELF file defines or refers to, sorted."""
    return sorted(name for name in symbols(path) if FORBIDDEN.fullmatch(name))


def symbols(path: Path) -> dict[str, int]:
    """Every named symbol of an ELF file and its value (an address, as a rule)."""
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    with path.open("rb") as file:
        return {
            symbol.name: symbol["st_value"]
            for table in ELFFile(file).iter_sections()
            if isinstance(table, SymbolTableSection)
            for symbol in table.iter_symbols()
            if symbol.name
        }
