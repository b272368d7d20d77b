"""Faults put into the simulator on purpose.

A fault is one line of a module's source, replaced; the simulator is imported anew on top of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import mcu_sdk.npu
from mcu_sdk.resources import PACKAGE

PREFIX = "mcu_sdk.npu."
SHARED = {PREFIX + name for name in ("errors", "accelerator", "weight_decoder")}
"""Modules that a test needs to be the same inside and outside."""


class Fault(NamedTuple):
    """In `module`, `line` (without its indentation) becomes `instead`; `case` shows it."""

    module: str
    line: str
    instead: str
    case: str


def source_with(fault: Fault) -> str:
    """The module's source with the fault in it."""
    path = PACKAGE / "npu" / f"{fault.module.replace('.', '/')}.py"
    lines = path.read_text(encoding="utf-8").splitlines()
    places = [index for index, line in enumerate(lines) if line.strip() == fault.line]
    assert len(places) == 1, (
        f"{path.name} has {len(places)} lines {fault.line!r}: give the fault a line it has"
    )
    line = lines[places[0]]
    lines[places[0]] = line[: len(line) - len(line.lstrip())] + fault.instead
    return "\n".join(lines) + "\n"


@contextmanager
def faulty_simulator(fault: Fault) -> Iterator[Any]:
    """The class Simulator, imported on top of the faulty module; everything is as before afterwards."""
    name = PREFIX + fault.module
    own = {n: m for n, m in sys.modules.items() if n.startswith(PREFIX) and n not in SHARED}
    attributes = dict(vars(mcu_sdk.npu))
    for module in own:
        del sys.modules[module]
        vars(mcu_sdk.npu).pop(module.removeprefix(PREFIX), None)
    try:
        faulty = ModuleType(name)
        sys.modules[name] = faulty
        exec(compile(source_with(fault), f"<{fault.module} with a fault>", "exec"), vars(faulty))
        yield import_module(PREFIX + "simulator").Simulator
    finally:
        for module in [n for n in sys.modules if n.startswith(PREFIX) and n not in SHARED]:
            del sys.modules[module]
        sys.modules.update(own)
        vars(mcu_sdk.npu).update(attributes)
