"""The neural processing units that a board can have."""

from __future__ import annotations

from typing import Annotated, Literal, Self, cast

from pydantic import Field, model_validator

from mcu_sdk.board.memory import Preference, Region
from mcu_sdk.board.table import IDENTIFIER, Address, Table
from mcu_sdk.npu.accelerator import ACCELERATORS

Accelerator = Annotated[str, Field(pattern=f"^({'|'.join(ACCELERATORS)})$")]
"""Vela's name of an accelerator: the NPU and its multiply-accumulators per cycle."""

Family = Literal["u55", "u65", "u85"]


class VelaConfig(Table):
    """What Vela is told of the memories around a family of NPUs; `memory_modes` has the default first. `base`: where this
    family's registers are, if not at the board's `npu.base`."""

    base: Address | None = None
    system_config: Annotated[str, Field(pattern=r"^\w+$")]
    memory_modes: Annotated[tuple[Annotated[str, Field(pattern=r"^\w+$")], ...], Field(min_length=1)]


class Npu(Table):
    """The neural processing units that the board can have, and which memory they reach.

    `base`: the registers' address (none for a native board). `arena` and `weights`: the regions for the arena,
    which holds the NPU's scratch, and for the .pte, which holds its commands and weights; most wanted first.
    `shared`: the only region that QEMU shares with the simulated NPU.
    """

    targets: Annotated[tuple[Accelerator, ...], Field(min_length=1)]
    base: Address | None = None
    arena: Preference | None = None
    weights: Preference | None = None
    shared: Annotated[str, Field(pattern=IDENTIFIER)] | None = None
    vela: dict[Family, VelaConfig]

    @model_validator(mode="after")
    def _knows_every_family(self) -> Self:
        for target in self.targets:
            if family_of(target) not in self.vela:
                raise ValueError(f"{target} is a target, and there is no [npu.vela.{family_of(target)}]")
        return self


def npu_base(npu: Npu | None, accelerator: str | None = None) -> int | None:
    """The address of the registers of the NPU `accelerator`, or of the board's first one; None where it has none."""
    if npu is None:
        return None
    own = npu.vela[family_of(accelerator or npu.targets[0])].base
    return npu.base if own is None else own


def family_of(accelerator: str) -> Family:
    """ "u55" of "ethos-u55-128"."""
    return cast(Family, accelerator.split("-")[1])


def check_npu(npu: Npu, regions: dict[str, Region]) -> None:
    """The NPU's registers have an address, and the regions that it reaches exist; ValueError otherwise."""
    if npu.base is None or npu.arena is None or npu.weights is None:
        raise ValueError("[npu] needs base, arena and weights")
    named = [*npu.arena, *npu.weights, *([npu.shared] if npu.shared else [])]
    for name in named:
        if name not in regions:
            raise ValueError(f"[npu] names the region {name!r}; the regions are: {', '.join(regions)}")
    for name in (*npu.arena, *([npu.shared] if npu.shared else [])):
        if regions[name].kind != "ram":
            raise ValueError(f"npu.arena and npu.shared have to be RAM; {name!r} is not")
