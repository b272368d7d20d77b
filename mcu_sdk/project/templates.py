"""The templates, and how they print strings, tables and calls of C++."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mcu_sdk import resources


def environment() -> Environment:
    """The templates of the package, with the filters below."""
    templates = Environment(
        loader=FileSystemLoader(resources.templates()),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # the output is C++ and CMake; whatever is not ours goes through the filters below
    )
    templates.filters |= {
        "c_string": c_string,
        "json": json.dumps,
        "comment": lambda text: text.replace("*/", "* /"),
        "c_bool": lambda value: "true" if value else "false",
        "type_name": lambda text: f"k{text.capitalize()}",
        "address": format_address,
        "rows": wrap,
        "entries": format_entries,
        "call": format_call,
    }
    return templates


def c_string(text: str) -> str:
    """A C string literal: everything but plain ASCII as octal escapes of its UTF-8 bytes."""
    plain = set(range(0x20, 0x7F)) - set(b'"\\?')
    return (
        '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode("utf-8", "replace")) + '"'
    )


def wrap(items: Sequence[str], width: int = 108) -> list[str]:
    """Lines of "a, b, c," no wider than `width` (one item at least)."""
    lines: list[str] = []
    for item in items or ["0"]:
        if lines and len(lines[-1]) + len(item) + 2 <= width:
            lines[-1] += f" {item},"
        else:
            lines.append(f"{item},")
    return lines


def format_address(tensor: Mapping[str, Any], memories: Sequence[Mapping[str, Any]]) -> str:
    """A tensor's address as a constant expression: nothing may have to run before main()."""
    if tensor["space"] == "model":
        return f"const_cast<uint8_t*>(mcu_model_pte) + {tensor['offset']}"
    if tensor["space"].startswith("weights_in_"):
        return f"const_cast<uint8_t*>(mcu_{tensor['space']}) + {tensor['offset']}"
    empty = any(memory["name"] == tensor["space"] and not memory["bytes"] for memory in memories)
    return "nullptr" if empty else f"{tensor['space']}_memory + {tensor['offset']}"


def format_entries(table: Mapping[str, Any]) -> list[str]:
    """The values of a table; with the fields' names before them if it is a struct."""
    fields = table.get("fields", [])
    if not fields:
        return list(table["values"])
    return [f"/*{name}=*/{value}" for name, value in zip(fields, table["values"], strict=True)]


def format_call(call: Mapping[str, Any], indent: int = 4, width: int = 110) -> str:
    """`function(a, b);`, wrapped under the opening parenthesis, with the names of tensors and parameters if it has any."""
    arguments = call.get("named", call["arguments"])
    head = f"{call['function']}("
    pad = " " * (indent + len(head))
    lines = wrap(arguments, width - len(pad)) if arguments else [""]
    return head + f"\n{pad}".join(lines).rstrip(",") + ");"
