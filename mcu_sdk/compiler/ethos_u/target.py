"""What a model is lowered to an Ethos-U for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ActivationBits = Literal[8, 16]


@dataclass(frozen=True)
class NpuTarget:
    """An accelerator by Vela's name, what Vela is told of the memories around it, and the width of activations."""

    accelerator: str
    system_config: str
    memory_mode: str
    activation_bits: ActivationBits = 8

    @property
    def macs(self) -> int:
        """Multiply-accumulators per cycle."""
        return int(self.accelerator.rsplit("-", 1)[1])
