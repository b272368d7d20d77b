"""Vela's systems as memories."""

from __future__ import annotations

import pytest

from mcu_sdk.errors import BoardError
from mcu_sdk.npu.accelerator import FAMILIES, U55, U85
from mcu_sdk.npu.cycles.memories import Memory, memory_system


def test_a_flash_beside_an_sram() -> None:
    system = memory_system(U55, "Ethos_U55_High_End_Embedded", "Shared_Sram")
    assert system.clock_hz == 500e6 and system.bus_bytes == 8
    assert system.constants == Memory("OffChipFlash", 1.0, 64, 0)  # 0.5 GB/s
    assert system.scratch == Memory("Sram", 8.0, 32, 32)  # 4 GB/s
    assert system.of(0) is system.constants and system.of(1) is system.scratch is system.of(2)


def test_one_memory_for_all_is_one_object() -> None:
    system = memory_system(U55, "Ethos_U55_High_End_Embedded", "Sram_Only")
    assert system.constants is system.scratch and system.constants.name == "Sram"


def test_ports_beside_each_other_add_up() -> None:
    system = memory_system(U85, "Ethos_U85_SYS_DRAM_Mid", "Shared_Sram")
    assert system.scratch.bytes_per_cycle == 32  # 32 GB/s at 1 GHz
    assert system.constants.bytes_per_cycle == 12


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_has_the_system_of_its_default_target(family) -> None:  # type: ignore[no-untyped-def]
    system = memory_system(family, family.system_config, family.memory_mode)
    assert system.clock_hz > 0 and system.constants is not system.scratch


@pytest.mark.parametrize(("system", "mode"), [("Ethos_U99", "Shared_Sram"), ("Ethos_U65_High_End", "Mine")])
def test_a_name_that_is_none_is_refused_with_those_that_exist(system: str, mode: str) -> None:
    with pytest.raises(BoardError, match=r"Vela's Arm/vela\.ini") as caught:
        memory_system(U55, system, mode)
    assert "Shared_Sram" in str(caught.value.hint) or "Ethos_U55_Deep_Embedded" in str(caught.value.hint)


def test_reads_are_no_faster_than_what_is_on_its_way() -> None:
    memory = Memory("Dram", 12.0, 500, 250)
    assert memory.cycles(1200) == 100
    assert memory.cycles(1200, in_flight=2000) == 300  # 2,000 bytes every 500 cycles
    assert memory.cycles(1200, in_flight=1e6) == 100
