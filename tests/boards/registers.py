"""What a chip's vendor says of its registers: read from the SVD files that pyOCD carries, or from a table.

pyOCD's own reader takes `derivedFrom` of registers for an element, which it is not, and drops fields by their names;
this one expands only what is looked at, which takes a tenth of the time.
"""

from __future__ import annotations

import re
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

Node = ElementTree.Element


@dataclass(frozen=True)
class Field:
    """`mask`: its bits in the register. `access` as CMSIS-SVD names it."""

    name: str
    mask: int
    access: str


@dataclass(frozen=True)
class Register:
    """`size` in bytes; bits of `reset_mask` have the value `reset` after a reset.

    `source`: where the description is from, if not from an SVD ("RM0433 53.8.1").
    """

    peripheral: str
    name: str
    address: int
    size: int
    access: str
    reset: int
    reset_mask: int
    fields: tuple[Field, ...]
    source: str = ""

    @property
    def full_name(self) -> str:
        return f"{self.peripheral}.{self.name}"

    @property
    def can_be_read(self) -> bool:
        return "read" in self.access

    @property
    def can_be_written(self) -> bool:
        return "write" in self.access

    @property
    def all_bits(self) -> int:
        return (1 << 8 * self.size) - 1

    @property
    def reserved(self) -> int:
        """The bits of no field; none where no field is described, as in registers that are one number."""
        used = 0
        for field in self.fields:
            used |= field.mask
        return self.all_bits & ~used if self.fields else 0

    @property
    def read_only(self) -> int:
        """The bits of fields that a write does not change, where no other field has the same bits."""
        fixed = writable = 0
        for field in self.fields:
            if "write" in field.access:
                writable |= field.mask
            else:
                fixed |= field.mask
        return fixed & ~writable

    def field(self, name: str) -> Field:
        """Raises KeyError if there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(
            f"{self.full_name} has no field {name}: {', '.join(field.name for field in self.fields)}"
        )


class RegisterMap:
    """Registers by address and by name ("RCC.CR")."""

    def __init__(self, registers: dict[str, list[Register]] | None = None) -> None:
        self._registers = registers or {}
        self._at: dict[int, tuple[Register, ...]] = {}
        self._named: dict[str, Register] = {}

    def peripherals(self) -> list[str]:
        return list(self._registers)

    def of(self, peripheral: str) -> list[Register]:
        """Its registers; none where there is no such peripheral."""
        return self._registers.get(peripheral, [])

    def at(self, address: int) -> tuple[Register, ...]:
        """The registers with the byte at `address` in them, the largest first: several where a register has parts, or
        where one of several peripherals can be chosen for a place."""
        if address not in self._at:
            found = [
                register
                for name in self._near(address)
                for register in self.of(name)
                if register.address <= address < register.address + register.size
            ]
            self._at[address] = tuple(sorted(found, key=lambda register: -register.size))
        return self._at[address]

    def named(self, name: str) -> Register:
        """By "PERIPHERAL.REGISTER". Raises KeyError if there is none."""
        if name not in self._named:
            peripheral, _, register = name.partition(".")
            matching = [found for found in self.of(peripheral) if found.name == register]
            if not matching:
                raise KeyError(f"there is no register {name}")
            self._named[name] = matching[0]
        return self._named[name]

    def _near(self, address: int) -> list[str]:
        return self.peripherals()


class SvdMap(RegisterMap):
    """The registers of an SVD file; a peripheral is read when it is asked for."""

    def __init__(self, root: Node) -> None:
        super().__init__()
        self._defaults = _Properties.of(root, _Properties(4, "read-write", 0, 0xFFFFFFFF))
        self._nodes = {_text(node, "name"): node for node in root.iterfind("./peripherals/peripheral")}

    def peripherals(self) -> list[str]:
        return list(self._nodes)

    def of(self, peripheral: str) -> list[Register]:
        if peripheral not in self._registers:
            node = self._nodes.get(peripheral)
            if node is None:
                return []
            self._registers[peripheral] = list(self._read(peripheral, node))
        return self._registers[peripheral]

    def _base(self, node: Node) -> int:
        return _number(_text(node, "baseAddress"))

    def _near(self, address: int) -> list[str]:
        """The peripherals in whose address block the address is."""
        return [
            name
            for name, node in self._nodes.items()
            for block in (self._derived(node).iterfind("addressBlock"))
            if 0
            <= address - self._base(node) - _number(_text(block, "offset"))
            < _number(_text(block, "size"))
        ]

    def _derived(self, node: Node) -> Node:
        """The peripheral that describes the registers of this one."""
        origin = node.get("derivedFrom")
        return (
            node
            if origin is None or node.find("registers") is not None
            else self._derived(self._nodes[origin])
        )

    def _read(self, peripheral: str, node: Node) -> Iterator[Register]:
        described = self._derived(node)
        defaults = _Properties.of(described, self._defaults)
        registers = described.find("registers")
        if registers is not None:
            yield from _registers(registers, peripheral, "", self._base(node), defaults)


@dataclass(frozen=True)
class _Properties:
    """What registers inherit: size in bytes, access, value after reset."""

    size: int
    access: str
    reset: int
    reset_mask: int

    @classmethod
    def of(cls, node: Node, outer: _Properties) -> _Properties:
        """`node`'s, and `outer`'s where it says nothing."""
        size = node.findtext("size")
        reset, mask = node.findtext("resetValue"), node.findtext("resetMask")
        return cls(
            _number(size) // 8 if size else outer.size,
            (node.findtext("access") or outer.access).strip(),
            _number(reset) if reset else outer.reset,
            _number(mask) if mask else outer.reset_mask,
        )


def _registers(
    parent: Node, peripheral: str, prefix: str, base: int, outer: _Properties
) -> Iterator[Register]:
    """The registers and clusters in `parent`, arrays one by one."""
    for node in parent:
        if node.tag not in ("register", "cluster"):
            continue
        node = _with_origin(parent, node)
        properties = _Properties.of(node, outer)
        for name, offset in _elements(node):
            address = base + offset
            if node.tag == "cluster":
                yield from _registers(node, peripheral, f"{prefix}{name}.", address, properties)
                continue
            fields = tuple(_fields(node, properties.access))
            access = properties.access
            yield Register(peripheral, prefix + name, address, properties.size, access, properties.reset,
                           properties.reset_mask, fields)  # fmt: skip


def _with_origin(parent: Node, node: Node) -> Node:
    """A node with what it takes over from the one that it is derived from, beside it."""
    origin = node.get("derivedFrom")
    if origin is None:
        return node
    named = {other.findtext("name"): other for other in parent if other.tag == node.tag}
    source = named.get(origin.rpartition(".")[2])
    if source is None:
        return node
    merged = ElementTree.Element(node.tag)
    own = {child.tag for child in node}
    merged.extend([*node, *(child for child in source if child.tag not in own)])
    return merged


def _elements(node: Node) -> Iterator[tuple[str, int]]:
    """The name and offset of a register, or of each register of an array."""
    name, offset = _text(node, "name"), _number(_text(node, "addressOffset"))
    dim = node.findtext("dim")
    if dim is None:
        yield name, offset
        return
    count, step = _number(dim), _number(_text(node, "dimIncrement"))
    indices = [str(i) for i in range(count)]
    listed = node.findtext("dimIndex")
    if listed and "," in listed:
        indices = [part.strip() for part in listed.split(",")]
    for i, index in enumerate(indices):
        yield name.replace("[%s]", index).replace("%s", index), offset + i * step


def _fields(node: Node, access: str) -> Iterator[Field]:
    for field in node.iterfind("./fields/field"):
        low, high = _bits(field)
        mask = (1 << (high + 1)) - (1 << low)
        yield Field(_text(field, "name"), mask, (field.findtext("access") or access).strip())


def _bits(field: Node) -> tuple[int, int]:
    """The lowest and the highest bit."""
    bits = field.findtext("bitRange")
    if bits is not None:
        high, low = re.findall(r"\d+", bits)
        return int(low), int(high)
    if field.find("lsb") is not None:
        return _number(_text(field, "lsb")), _number(_text(field, "msb"))
    low_bit = _number(_text(field, "bitOffset"))
    return low_bit, low_bit + _number(field.findtext("bitWidth") or "1") - 1


def _text(node: Node, tag: str) -> str:
    text = node.findtext(tag)
    assert text is not None, f"{node.tag} without {tag}"
    return text.strip()


def _number(text: str) -> int:
    text = text.strip().lower()
    return (
        int(text.replace("x", "0")[1:], 2)
        if text.startswith("#")
        else int(text, 0)
        if text.startswith("0x")
        else int(text)
    )


@cache
def read_svd(name: str) -> SvdMap:
    """One of the SVD files of pyOCD's archive."""
    spec = find_spec("pyocd.debug.svd")
    assert spec is not None and spec.submodule_search_locations is not None
    archive = Path(spec.submodule_search_locations[0]) / "svd_data.zip"
    with zipfile.ZipFile(archive) as files, files.open(name) as file:
        return SvdMap(ElementTree.parse(file).getroot())


@cache
def read_table(path: Path) -> RegisterMap:
    """A table of the registers that a board's code uses, for chips without SVD file.

    [PERIPHERAL] has `base` and `source` (the reference manual's section); [PERIPHERAL.REGISTER] has `offset`, `reset`
    (default 0), `access` (default "read-write"), `size` in bytes (default 4), `source`, and `fields`: a name and its
    bits, "31:28" or "5", with " ro" behind for what cannot be written.
    """
    found: dict[str, list[Register]] = {}
    for peripheral, content in tomllib.loads(path.read_text()).items():
        found[peripheral] = [
            _row(peripheral, name, content, row) for name, row in content.items() if isinstance(row, dict)
        ]
    return RegisterMap(found)


def _row(peripheral: str, name: str, content: dict, row: dict) -> Register:  # type: ignore[type-arg]
    unknown = set(row) - {"offset", "reset", "access", "size", "fields", "source"}
    assert not unknown, f"{peripheral}.{name}: {unknown}"
    access, size = row.get("access", "read-write"), row.get("size", 4)
    fields = []
    for field, text in row.get("fields", {}).items():
        bits, _, kind = str(text).partition(" ")
        high, _, low = bits.partition(":")
        mask = (1 << (int(high) + 1)) - (1 << int(low or high))
        fields.append(Field(field, mask, "read-only" if kind == "ro" else access))
    source = f"{content['source']}, {row['source']}" if "source" in row else content["source"]
    return Register(peripheral, name, content["base"] + row["offset"], size, access, row.get("reset", 0),
                    (1 << 8 * size) - 1, tuple(fields), source)  # fmt: skip
