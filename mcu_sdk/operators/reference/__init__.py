"""The `mcu::` operators: importing this package registers them with torch. Each reference is the specification of
the C++ kernel of the same name; schemas are the rows of operators/table."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
