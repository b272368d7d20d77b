"""How large is what was compiled for a board and not linked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile


@dataclass(frozen=True)
class ObjectSizes:
    """Bytes of sections in objects: code with its constants, the model's file, and variables."""

    code: int = 0
    model: int = 0
    tokenizer: int = 0
    variables: int = 0

    def __add__(self, other: ObjectSizes) -> ObjectSizes:
        return ObjectSizes(
            self.code + other.code,
            self.model + other.model,
            self.tokenizer + other.tokenizer,
            self.variables + other.variables,
        )


def object_sizes(folder: Path) -> dict[str, ObjectSizes]:
    """The bytes of all objects in a build folder, by the first folders of their sources ("sdk/kernels", "model")."""
    found: dict[str, ObjectSizes] = {}
    for path in sorted(folder.rglob("*.dir/**/*.o*")):
        if path.suffix not in (".o", ".obj") or not path.is_file():
            continue
        part = _part(path.relative_to(folder))
        found[part] = found.get(part, ObjectSizes()) + sizes_of(path)
    return found


def _part(path: Path) -> str:
    """Of build/.../CMakeFiles/sdk.dir/sdk/kernels/linear/linear_s8.cpp.o: sdk/kernels."""
    names = path.parts
    begin = max((i for i, name in enumerate(names) if name.endswith(".dir")), default=-1) + 1
    source = names[begin:-1]
    return "/".join(source[:2]) or "app"


def sizes_of(path: Path) -> ObjectSizes:
    """The bytes of one object's sections that would be loaded, each counted whether a linker would keep it or not."""
    sizes = ObjectSizes()
    with path.open("rb") as file:
        for section in ELFFile(file).iter_sections():
            flags, size, name = section["sh_flags"], section["sh_size"], section.name
            if not flags & SH_FLAGS.SHF_ALLOC:
                continue
            if name.startswith(".weights"):
                sizes += ObjectSizes(model=size)
            elif name.startswith(".tokenizer"):
                sizes += ObjectSizes(tokenizer=size)
            elif flags & SH_FLAGS.SHF_WRITE:
                sizes += ObjectSizes(variables=size)
            else:
                sizes += ObjectSizes(code=size)
    return sizes
