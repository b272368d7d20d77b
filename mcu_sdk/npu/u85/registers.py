"""A U85's registers as the commands so far have left them, by the names of encodings.py."""

from __future__ import annotations

from enum import IntEnum
from typing import NoReturn, TypeVar

from mcu_sdk.npu.encodings import Definition, definitions, signed, signed_stride, value_names
from mcu_sdk.npu.errors import SimulationError
from mcu_sdk.npu.operations import ElementType, FeatureMap, Stretch
from mcu_sdk.npu.stream import Command, CommandStream
from mcu_sdk.npu.u85.operations import Chained, Tensor

Number = TypeVar("Number", bound=IntEnum)
Shape = tuple[int, int, int]

_TILED, _CHAINED = 0, 2
"""How a feature map is stored."""


class Registers:
    """What registers mean, while `command` is read. What is not defined, and what is not simulated, is refused with the
    name of the command; KeyError names a register that nothing has set."""

    def __init__(self, stream: CommandStream) -> None:
        self.command = Command(0, 0, 0)
        self._registers: dict[str, dict[str, int]] = {}
        self._definitions = definitions(stream.config.accelerator.family)
        self._values = value_names(stream.config.accelerator.family)

    def __getitem__(self, name: str) -> dict[str, int]:
        """The fields of a register."""
        return self._registers[name]

    def read(self, command: Command) -> tuple[str, dict[str, int]]:
        """The command's name and fields; where it sets a register, that is done. Reserved bits and values without a name
        are refused."""
        self.command = command
        definition = self._definitions.get((command.opcode, command.payload is not None))
        if definition is None:
            self.refuse("it is not known")
        fields = self._fields(definition)
        if definition.name.startswith("SET_"):
            self._registers[definition.name] = fields
        return definition.name, fields

    def meaning(self, field: str, value: int) -> str:
        """What a value of a field is called."""
        return self._values[field][value]

    def _fields(self, definition: Definition) -> dict[str, int]:
        word = self.command.parameter | (self.command.payload or 0) << 16
        reserved = definition.reserved(self.command.parameter, self.command.payload or 0)
        if reserved:
            self.refuse(f"its reserved bits hold {reserved:#x}")
        fields = {f.name: word >> f.low & ((1 << f.width) - 1) for f in definition.fields if f.name}
        for name, value in fields.items():
            if name in self._values and value not in self._values[name]:
                self.refuse(f"{name} is {value}, which is not defined")
        return fields

    def get(self, name: str) -> int:
        """A register with one field."""
        (value,) = self._registers[name].values()
        return value

    def address(self, name: str) -> int:
        register = self._registers[name]
        return register["low"] | register["high"] << 32

    def stretch(self, region: str, base: str, length: str) -> Stretch:
        return Stretch(self.get(f"SET_{region}"), self.address(f"SET_{base}"), self.get(f"SET_{length}"))

    def element_type(self, name: str) -> ElementType:
        register = self._registers[name]
        bits = 8 << register["activation_precision"]
        if bits > 32:
            self.refuse("feature maps of 64 bits are not simulated")
        return ElementType(bits, bool(register["activation_type"]))

    def zero_point(self, prefix: str, kind: ElementType) -> int:
        value = self.get(f"SET_{prefix}_ZERO_POINT")
        return signed(value, 16) if kind.signed else value

    def known(self, names: type[Number], value: int) -> Number:
        try:
            return names(value)
        except ValueError:
            self.refuse(f"{value:#x} is no {names.__name__}")

    def refuse(self, what: str) -> NoReturn:
        command = self.command
        definition = self._definitions.get((command.opcode, command.payload is not None))
        name = f"NPU_{definition.name}" if definition else f"{command.opcode:#05x}"
        raise SimulationError(command.index, name, what)

    def feature_map(self, prefix: str, shape: Shape) -> FeatureMap:
        found = self.tensor(prefix, shape)
        if isinstance(found, Chained):
            self.refuse(
                f"its {prefix} comes from the operation before (CHAINED), which is simulated for OP_ELEMENTWISE"
            )
        return found

    def tensor(self, prefix: str, shape: Shape) -> Tensor:
        """IFM, IFM2 or OFM."""
        precision = self._registers[f"SET_{prefix}_PRECISION"]
        storage, kind = precision["activation_storage"], self.element_type(f"SET_{prefix}_PRECISION")
        region = self.get(f"SET_{prefix}_REGION")
        zero_point = self.zero_point(prefix, kind)
        if storage == _CHAINED:
            return Chained(region, shape, kind, zero_point)
        if storage != _TILED:
            self.refuse(
                f"{prefix} is stored as {self.meaning('activation_storage', storage)}, which is not simulated"
            )
        stride_x, stride_y, stride_c = (
            signed_stride(self.address(f"SET_{prefix}_STRIDE_{axis}")) for axis in "XYC"
        )
        return FeatureMap(
            shape=shape,
            type=kind,
            region=region,
            bases=(
                self.address(f"SET_{prefix}_BASE0"),
                self.address(f"SET_{prefix}_BASE1"),
                self.address(f"SET_{prefix}_BASE2"),
                self.address(f"SET_{prefix}_BASE3"),
            ),
            height0=self.get(f"SET_{prefix}_HEIGHT0_M1") + 1,
            height1=self.get(f"SET_{prefix}_HEIGHT1_M1") + 1,
            width0=self.get(f"SET_{prefix}_WIDTH0_M1") + 1,
            stride_y=stride_y,
            stride_x=stride_x,
            stride_c=stride_c,
            bricks=bool(precision["activation_format"]),
            zero_point=zero_point,
        )
