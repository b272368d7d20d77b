"""What `generate` made, as plain data for reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcu_sdk.planning.fit import Layout, Sizes
from mcu_sdk.planning.pieces import by_region
from mcu_sdk.planning.plan import Plan


@dataclass(frozen=True)
class Generated:
    """The project's folder, what is in it, and in which region each part will lie.

    `chosen`: what was chosen to fit the board, where nothing was asked for; empty if nothing had to be.
    """

    project: Path
    name: str
    plan: Plan
    layout: Layout
    facts: dict[str, Any] = field(default_factory=dict)
    sizes: Sizes | None = None
    chosen: str = ""

    def summary(self) -> dict[str, Any]:
        """Plain data for `--json` and the terminal; sizes in bytes."""
        return {
            "project": str(self.project),
            "model": self.name,
            "hash": self.plan.model_hash,
            "kernel_calls": len(self.plan.calls),
            "model_bytes": self.plan.model_bytes,
            "arena_bytes": self.facts.get("executorch", {}).get("arena_bytes", self.plan.arena_bytes),
            "kv_cache_bytes": self.plan.kv_cache_bytes,
            **self._code(),
            "regions": dict(self.layout.regions),
            "used_bytes": dict(self.layout.used),
            "placement": dict(self.layout.reasons),
            **({"constants": by_region(self.layout.pieces)} if self.layout.pieces else {}),
            "peak_memory_bytes": peak_memory(),
            "chosen": self.chosen,
            **self.facts,
        }

    def _code(self) -> dict[str, Any]:
        """Of a board's image: the code as it was compiled for this, or at most."""
        if self.sizes is None or not self.layout.regions:
            return {}
        sizes = self.sizes
        return {
            "code_bytes": sizes.code,
            "code_is_bound": sizes.code_is_bound,
            "tokenizer_bytes": sizes.tokenizer,
            "variables_bytes": sizes.data + sizes.bss,
        }


def peak_memory() -> int:
    """The most bytes of main memory that this process has had so far."""
    import resource
    import sys

    unit = 1 if sys.platform == "darwin" else 1024  # of getrusage's figure
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
