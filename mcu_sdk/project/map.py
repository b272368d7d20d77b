"""What a firmware takes from libc and libgcc: read from the linker's map (GNU ld -Map)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_REFERENCE = re.compile(r"^(?P<library>\S+\.a)\((?P<member>[^)]+)\)\s+(?P<user>\S+) \((?P<symbol>[^)]+)\)")
_CONTENT = re.compile(
    r"^ (?P<section>\.\S+)\s+0x(?P<address>[0-9a-f]+)\s+0x(?P<size>[0-9a-f]+) \S+\.a\((?P<member>[^)]+)\)$"
)
_IN_IMAGE = (".text", ".rodata", ".data", ".bss", ".ARM.exidx", ".ARM.extab")


@dataclass(frozen=True)
class LibraryPart:
    """An archive's member that was linked: its bytes in the image, and the first that asked for which symbol."""

    library: str
    member: str
    bytes: int
    symbol: str
    user: str


def library_parts(map_file: Path) -> tuple[LibraryPart, ...]:
    """The members of the compiler's archives in the image, the largest first: ("libc_nano.a", "lib_a-memset.o", 168, ...).

    Those that the build itself makes are named by a relative path, and are no libc's.
    """
    text = map_file.read_text(encoding="utf-8", errors="replace")
    head, _, linked = text.partition("\nLinker script and memory map")
    head = head.partition("\nDiscarded input sections")[0]
    sizes: dict[str, int] = {}
    for line in _joined(linked):
        content = _CONTENT.match(line)
        if content and content["section"].startswith(_IN_IMAGE):
            sizes[content["member"]] = sizes.get(content["member"], 0) + int(content["size"], 16)
    parts = [
        LibraryPart(
            Path(found["library"]).name,
            found["member"],
            sizes.get(found["member"], 0),
            found["symbol"],
            re.sub(r"^CMakeFiles/[^/]+/|\.obj$", "", Path(found["user"]).as_posix())
            if "(" not in found["user"]
            else Path(found["user"]).name,
        )
        for found in map(_REFERENCE.match, _joined(head))
        if found and Path(found["library"]).is_absolute()
    ]
    return tuple(sorted(parts, key=lambda part: (-part.bytes, part.member)))


def _joined(text: str) -> list[str]:
    """The map's lines; long first columns put the rest on the next line."""
    return re.sub(r"^(\S+\.a\([^)]+\)| \.\S+)\n\s+", r"\1 ", text, flags=re.MULTILINE).splitlines()
