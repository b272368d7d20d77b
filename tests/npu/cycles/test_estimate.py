"""A stream's cycles: the parts that keep it busy, waits, and bounds that no model may break."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcu_sdk.npu.blob import VelaBlob, read_blob
from mcu_sdk.npu.cycles.estimate import OperationCycles, StreamCycles, estimate
from mcu_sdk.npu.cycles.memories import MemorySystem, memory_system
from mcu_sdk.npu.errors import SimulationError
from mcu_sdk.npu.stream import CommandStream, read_stream
from mcu_sdk.planning.pte.read import read_pte
from tests.npu.blobs import command_block
from tests.npu.programs import SHAPE, lowered_program
from tests.npu.streams import STOP, copy_stream, dma


def stream_of(words: list[int]) -> CommandStream:
    return read_stream(command_block(words))


def system(stream: CommandStream, mode: str = "Shared_Sram") -> MemorySystem:
    family = stream.config.accelerator.kind
    return memory_system(family, family.system_config, mode)


def test_a_copy_takes_its_bytes_its_commands_and_the_latencies() -> None:
    stream = stream_of(copy_stream(length=4096))
    found = estimate(stream, system(stream))
    (copy,) = found.operations
    assert copy.command_bytes == 4 * 9  # up to DMA_START; flash gives one byte a cycle
    assert copy.constants == 4096 + 36 and copy.scratch == 4096 // 8
    assert copy.waited == 64 + 32
    assert found.cycles == 4096 + 36 + 96 and found.bytes_moved() == (4096 + 36, 4096)


def test_one_memory_for_all_moves_each_byte_twice_through_one_port() -> None:
    stream = stream_of(copy_stream(length=4096))
    (copy,) = estimate(stream, system(stream, "Sram_Only")).operations
    assert copy.scratch == 0 and copy.constants == round((2 * 4096 + 36) / 8)


def test_a_copy_behind_a_wait_begins_when_the_one_before_it_has_ended() -> None:
    words = dma((0, 0), (1, 0), 64) + dma((0, 64), (1, 64), 64)
    stream = stream_of([*words, STOP])
    found = estimate(stream, system(stream))
    assert [each.cycles for each in found.operations] == [64 + 36 + 96, 64 + 40 + 96]


def test_what_has_no_meaning_is_refused_as_the_simulator_does() -> None:
    stream = stream_of([0x010, STOP])  # a DMA without registers
    with pytest.raises(SimulationError):
        estimate(stream, system(stream))


def blob_of(program: Path) -> VelaBlob:
    data = program.read_bytes()
    delegate = read_pte(data).delegates[0]
    return read_blob(data[delegate.offset : delegate.offset + delegate.size])


@pytest.mark.parametrize("name", ["ethos-u55-128", "ethos-u85-256"])
def test_a_models_estimate_is_above_what_no_npu_could_undercut(name: str, shared_folder: Path) -> None:
    blob = blob_of(lowered_program(shared_folder, name))
    stream = read_stream(blob.commands)
    found = estimate(stream, system(stream))
    rows = SHAPE[0]
    assert found.accelerator == name
    products = sum(each.macs for each in found.operations if each.name == "NPU_OP_CONV")
    assert products >= rows * (24 * 32 + 32 * 10)  # Vela may fill up channels
    # Everything in region 0 is weights or scales here, and read once: no block of rows is read anew.
    assert sum(each.constant_bytes for each in found.operations) == len(blob.weights)
    assert sum(each.command_bytes for each in found.operations) <= stream.size
    assert found.cycles >= found.macs / found.macs_per_cycle
    assert found.cycles >= found.bytes_moved()[0] / system(stream).constants.bytes_per_cycle
    assert 0 < found.mac_use < 1
    for each in found.operations:
        assert each.cycles <= max(each.array + each.output, each.scratch, each.constants) + each.waited + 1


def test_constants_from_sram_are_faster_than_from_flash(shared_folder: Path) -> None:
    stream = read_stream(blob_of(lowered_program(shared_folder, "ethos-u55-128")).commands)
    flash, sram = (estimate(stream, system(stream, mode)) for mode in ("Shared_Sram", "Sram_Only"))
    assert sram.cycles < flash.cycles and sram.macs == flash.macs


def test_json_brings_the_same_back_and_nothing_of_other_types() -> None:
    operation = OperationCycles(3, "NPU_OP_CONV", *range(10))
    stream = StreamCycles("ethos-u55-128", "a", "b", 5e8, 128, (operation,))
    data = json.loads(json.dumps(stream.to_json()))
    assert StreamCycles.from_json(data) == stream
    for key, value in (
        ("clock_hz", "fast"),
        ("operations", [{}]),
        ("operations", 3),
        ("macs_per_cycle", None),
    ):
        with pytest.raises(TypeError):
            StreamCycles.from_json({**data, key: value})
    data["operations"][0]["cycles"] = 1.5
    with pytest.raises(TypeError, match=r"cycles is 1\.5"):
        StreamCycles.from_json(data)
