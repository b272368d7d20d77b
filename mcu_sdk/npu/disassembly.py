"""A command stream in words: each command's name, and its fields by name."""

from __future__ import annotations

from dataclasses import dataclass

from mcu_sdk.npu.encodings import definitions, value_names
from mcu_sdk.npu.stream import Command, CommandStream


@dataclass(frozen=True)
class Line:
    """One command. `index`: its first word in the stream. `name`: as published, or the opcode of one that no
    definition has. `fields`: numbers, or the names of values that have one; addresses and strides as one number."""

    index: int
    name: str
    fields: dict[str, int | str]
    known: bool

    def __str__(self) -> str:
        fields = " ".join(f"{name}={_shown(name, value)}" for name, value in self.fields.items())
        return f"{self.index:6}  {self.name:<27} {fields}".rstrip()


def disassemble(stream: CommandStream) -> list[Line]:
    """Every command of a stream for a U55, U65 or U85. What is not known is shown as such, reserved bits too."""
    family = stream.config.accelerator.family
    known = definitions(family)
    names = value_names(family)
    lines = []
    for command in stream.commands:
        definition = known.get((command.opcode, command.payload is not None))
        if definition is None:
            lines.append(Line(command.index, f"unknown {command.opcode:#05x}", _raw(command), known=False))
            continue
        word = command.parameter | (command.payload or 0) << 16
        fields: dict[str, int | str] = {}
        for field in definition.fields:
            value = word >> field.low & ((1 << field.width) - 1)
            if field.name:
                fields[field.name] = names.get(field.name, {}).get(value, value)
            elif value:
                fields[f"reserved_{field.low}"] = value
        if "low" in fields:
            low, high = fields.pop("low"), fields.pop("high")
            assert isinstance(low, int) and isinstance(high, int)
            fields["address"] = low | high << 32
        lines.append(Line(command.index, definition.name, fields, known=True))
    return lines


def _raw(command: Command) -> dict[str, int | str]:
    fields: dict[str, int | str] = {"parameter": command.parameter}
    if command.payload is not None:
        fields["payload"] = command.payload
    return fields


def _shown(name: str, value: int | str) -> str:
    return (
        hex(value)
        if isinstance(value, int) and name in ("address", "scale", "parameter", "payload")
        else str(value)
    )
