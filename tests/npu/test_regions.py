"""A stream may use the weights and the scratch, and nothing else: reference, simulator, planning and driver agree."""

from __future__ import annotations

import numpy as np
import pytest

from mcu_sdk.errors import PteError, UnsupportedOperatorError
from mcu_sdk.npu.accelerator import accelerator
from mcu_sdk.npu.blob import VelaBlob, read_blob
from mcu_sdk.npu.encodings import definitions
from mcu_sdk.npu.errors import SimulationError
from mcu_sdk.npu.reference import SimulatedDelegate
from mcu_sdk.npu.regions import check_regions, used_regions
from mcu_sdk.npu.simulator import Simulator
from mcu_sdk.npu.stream import read_stream
from mcu_sdk.planning.emitters.ethos_u import ethos_u
from mcu_sdk.planning.instruction import DType, Instruction, Space, Tensor
from tests.npu.assembly import command
from tests.npu.blobs import U55_128, command_block, vela_blob
from tests.npu.lowering import compile_tosa, lower
from tests.npu.models import cases

U85_256 = (0x20000008, 0x20000000)
NAMED = sorted(
    {d.name for family in ("u55", "u85") for d in definitions(family).values() if d.name.endswith("_REGION")}
)
INTERNAL = 1 << 8


def blob(*words: int, config: tuple[int, int] = U55_128, weights: bytes = bytes(16)) -> VelaBlob:
    return read_blob(vela_blob(command_block([*words, 0], config), weights))


def region_word(name: str, parameter: int) -> int:
    opcode = next(
        d.opcode for family in ("u55", "u85") for d in definitions(family).values() if d.name == name
    )
    return opcode | parameter << 16


def test_every_register_of_a_region_is_known() -> None:
    assert len(NAMED) == 8 and {"SET_IFM_REGION", "SET_DMA0_IDX_REGION", "SET_SCALE_REGION"} <= set(NAMED)


@pytest.mark.parametrize("family", ["u55", "u65", "u85"])
def test_every_operation_computes_or_is_known_not_to(family: str) -> None:
    operations = {d.name: d for d in definitions(family).values() if d.name.startswith("OP_")}
    others = {name for name, definition in operations.items() if not definition.computes}
    moves = {"OP_STOP", "OP_IRQ", "OP_DMA_START", "OP_DMA_WAIT", "OP_KERNEL_WAIT", "OP_PMU_MASK"}
    assert others == moves | ({"OP_BRANCH"} if family == "u85" else set())
    assert not any(d.computes for d in definitions(family).values() if d.name not in operations)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("region", range(8))
def test_regions_that_have_no_memory_are_refused_by_name(name: str, region: int) -> None:
    made = blob(region_word(name, region), config=U85_256)
    if region < 2:
        check_regions(made)
        return
    with pytest.raises(
        UnsupportedOperatorError, match=rf"use region {region}.* in {name} \(word 0\)"
    ) as caught:
        check_regions(made)
    assert "Shared_Sram" in caught.value.hint and caught.value.exit_code == 3


def test_a_dma_into_the_npu_names_no_region() -> None:
    made = blob(region_word("SET_DMA0_DST_REGION", INTERNAL | 2), region_word("SET_DMA0_SRC_REGION", 0))
    check_regions(made)
    assert used_regions(read_stream(made.commands)) == {0: "SET_DMA0_SRC_REGION (word 1)"}


def test_a_feature_map_that_a_u85_chains_names_no_region() -> None:
    """Its register holds the chaining buffer's number then; the same register means memory again once it is stored."""
    chained, stored = 2 << 14, 0
    pool = region_word("OP_POOL", 0)
    words = [region_word("SET_OFM_REGION", 2), region_word("SET_OFM_PRECISION", chained), pool]
    check_regions(blob(*words, config=U85_256))
    later = [*words, region_word("SET_OFM_PRECISION", stored), pool]
    with pytest.raises(UnsupportedOperatorError, match=r"region 2.* in SET_OFM_REGION \(word 0\)"):
        check_regions(blob(*later, config=U85_256))


def test_weights_that_are_not_there_are_missed() -> None:
    with pytest.raises(PteError, match="has none"):
        check_regions(blob(*command("SET_WEIGHT_REGION", 0), weights=b""))


@pytest.mark.parametrize("mode", ["Dedicated_Sram_384KB", "Shared_Sram"])
def test_what_vela_makes_of_a_memory_mode(mode: str) -> None:
    """The stock compiler's output for a U65 with a fast scratch: refused wherever it would be run."""
    lowered = lower(cases()["conv_3x3"], "ethos-u65-256")
    data = compile_tosa(lowered.tosa, "ethos-u65-256", memory_mode=mode)
    made = read_blob(data)
    if mode == "Shared_Sram":
        SimulatedDelegate(made)
        return
    assert 2 in used_regions(read_stream(made.commands))
    with pytest.raises(UnsupportedOperatorError, match="region 2, a fast scratch"):
        SimulatedDelegate(made)
    with pytest.raises(UnsupportedOperatorError, match="region 2, a fast scratch"):
        ethos_u(call_of(data, made))
    weights, scratch = np.frombuffer(made.weights, np.uint8).copy(), np.zeros(made.scratch_size, np.uint8)
    with pytest.raises(SimulationError, match="region 2"):
        Simulator(accelerator("ethos-u65-256")).run(made.commands, [weights, scratch])


def call_of(data: bytes, made: VelaBlob) -> Instruction:
    blob = Tensor(DType.U8, (len(data),), Space.MODEL, 0, data=data)
    scratch = Tensor(DType.U8, (made.scratch_size,), Space.ARENA, 0)
    return Instruction(0, "delegate::EthosUBackend", "", (blob, [], [], scratch), "npu")
