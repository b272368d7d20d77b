"""Which NPU a model is compiled for. No torch here: command lines check a target before anything slow is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mcu_sdk.errors import BoardError
from mcu_sdk.npu.accelerator import ACCELERATORS
from mcu_sdk.npu.vela_ini import MODE, SYSTEM, read_sections

ActivationBits = Literal[8, 16]

StepForm = Literal["cpu", "linears", "npu"]
"""Where a decoder computes one token beside an NPU: all of it on the processor, its linears on the NPU and the rest on the
processor, or all in one delegate."""

FAST_SCRATCH_MODES = "Dedicated_Sram"
"""Memory modes of this prefix keep the arena in external memory, and part of the work in a fast scratch. Its size is
not in what Vela hands over, so no board can give it memory (mcu_sdk.npu.regions)."""


@dataclass(frozen=True)
class NpuTarget:
    """An accelerator, how Vela models its system, and where its memories are.

    `system_config` and `memory_mode` are section names of Vela's configuration (Arm/vela.ini). `activation_bits` is
    the width of what matrix products read: 8, or 16 for more accuracy at about twice the time.
    """

    accelerator: str
    system_config: str
    memory_mode: str
    activation_bits: ActivationBits = 8

    @property
    def family(self) -> str:
        """ "u55", "u65" or "u85"."""
        return self.accelerator.split("-")[1]

    @property
    def macs(self) -> int:
        """Multiply-accumulators per cycle."""
        return int(self.accelerator.rsplit("-", 1)[1])

    def check(self) -> None:
        """Hold the names against each other and against the installed Vela's configuration.

        Raises BoardError for an accelerator, system configuration or memory mode that does not exist or does not
        belong to the accelerator, ToolMissingError without Vela.
        """
        if self.accelerator not in ACCELERATORS:
            raise BoardError(
                f"An Ethos-U accelerator was expected; {self.accelerator!r} is none.",
                hint=f"Choose one of {', '.join(ACCELERATORS)}.",
            )
        systems, modes = _configurations()
        systems = [name for name in systems if name.startswith(f"Ethos_{self.family.upper()}_")]
        modes = [name for name in modes if not name.startswith(FAST_SCRATCH_MODES)]
        for kind, name, known in (
            ("system configuration", self.system_config, systems),
            ("memory mode", self.memory_mode, modes),
        ):
            if name not in known:
                raise BoardError(
                    f"A {kind} of {self.accelerator} was expected; {name!r} is none that works here.",
                    hint=f"Choose one of {', '.join(known)} in the board file's NPU table.",
                )


def default_target(accelerator: str, activation_bits: ActivationBits = 8) -> NpuTarget:
    """The accelerator with the system configuration and memory mode that its family has where no board says more.

    They are those of the boards here. ExecuTorch's own differ for U65 (Dedicated_Sram_384KB, which needs a fast
    scratch) and U85 (Sram_Only; weights lie in flash here). A name that is none is refused by `check`.
    """
    known = ACCELERATORS.get(accelerator)
    system, mode = (known.kind.system_config, known.kind.memory_mode) if known else ("", "")
    return NpuTarget(accelerator, system, mode, activation_bits)


def _configurations() -> tuple[list[str], list[str]]:
    """Names of the system configurations and memory modes in Vela's Arm/vela.ini."""
    names = list(read_sections())
    return [name for kind, name in names if kind == SYSTEM], [name for kind, name in names if kind == MODE]
