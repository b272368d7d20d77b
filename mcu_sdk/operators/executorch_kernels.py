"""What ExecuTorch's own kernel libraries register, by the lists that they are generated from."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Literal

from mcu_sdk.errors import ToolMissingError

RUNTIME = ("executorch_prim",)
"""Namespaces of what the runtime itself computes: integers that shapes are made of."""

_LISTS = {"portable": "portable/functions.yaml", "quantized": "quantized/quantized.yaml"}


@cache
def kernels_of(library: Literal["portable", "quantized"]) -> frozenset[str]:
    """Names as in a .pte: "aten::add.out", "quantized_decomposed::mixed_linear.out".

    Raises ToolMissingError where the ExecuTorch of this Python has no such list.
    """
    import yaml  # type: ignore[import-untyped]  # comes with executorch

    found = importlib.util.find_spec("executorch")
    for place in (found.submodule_search_locations or ()) if found is not None else ():
        path = Path(place) / "kernels" / _LISTS[library]
        if path.is_file():
            entries = yaml.safe_load(path.read_text(encoding="utf-8"))
            return frozenset(_name(str(e.get("op") or str(e["func"]).partition("(")[0])) for e in entries)
    raise ToolMissingError(
        f"ExecuTorch's Python package was expected, with its list of {library} kernels; this Python has none.",
        hint="Install what mcu-sdk depends on again (pip install executorch).",
    )


def _name(said: str) -> str:
    return said if "::" in said else f"aten::{said}"
