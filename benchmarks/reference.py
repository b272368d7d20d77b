"""What the figures are held against: the stock runtime's, and this project's own bars (reference.json)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from benchmarks.results import REFERENCE


@dataclass(frozen=True)
class Reference:
    """`stock` has instructions, ram_bytes and code_bytes of a case, `goal` instructions_first and _last."""

    stock: dict[str, dict[str, int]] = field(default_factory=dict)
    goal: dict[str, dict[str, int]] = field(default_factory=dict)
    sources: tuple[str, ...] = ()


def load_reference() -> Reference:
    """The committed reference."""
    content: dict[str, Any] = json.loads(REFERENCE.read_text(encoding="utf-8"))
    stock, goal = content["stock"], content["goal"]
    sources = (f"stock: {stock['source']} {stock['notes']}", f"goal: {goal['source']}")
    return Reference(stock["cases"], goal["cases"], sources)
