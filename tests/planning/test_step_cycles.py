"""Estimates of one token beside an NPU, worked out by hand, and what they choose by the bandwidths of a board."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mcu_sdk.board.board import Board
from mcu_sdk.board.npu_target import NpuTarget, StepForm, default_target
from mcu_sdk.errors import ModelError
from mcu_sdk.planning.ideal import HELIUM, ideal_instructions
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall, Space, Tensor
from mcu_sdk.planning.npu_streams import DELEGATE
from mcu_sdk.planning.step_choice import StepChoice, choice_from_json, fewest_cycles
from mcu_sdk.planning.step_cycles import (
    DRIVER_INSTRUCTIONS,
    PER_IDEAL,
    StepCycles,
    Supply,
    step_cycles,
)
from tests.npu.blobs import command_block, vela_blob
from tests.npu.streams import STOP, copy_stream, dma
from tests.planning.test_bound import LINEAR, OUT, POSITION, TABLE, Q, Row, plan_of
from tests.planning.test_bound import board as small_board

WEIGHTS, PTE_BYTES = 100 * 64 + 4 * 100, 1 << 16
NPU = default_target("ethos-u55-128")


def board(bytes_per_access: int | None = None, *, clock: bool = True, **npu: Any) -> Board:
    """A Cortex-M55 whose flash gives so many bytes a cycle, to it and to an Ethos-U55."""
    vela = {"u55": {"system_config": NPU.system_config, "memory_modes": ("Shared_Sram", "Sram_Only")}}
    changes: dict[str, Any] = {
        "core": {"cpu": "cortex-m55", "fpu": True, "helium": True, "flags": ("-mcpu=cortex-m55",)},
        "npu": {
            "targets": ("ethos-u55-128",),
            "base": 0x48102000,
            "arena": "ram",
            "weights": "flash",
            "vela": vela,
        }
        | npu,
        "flash": {"wait_states": 0, "cached": False, "bytes_per_access": bytes_per_access},
        "ram": {"bytes_per_access": 16 if clock else None},
    }
    return small_board(**changes, **({} if clock else {"clock": None}))


def processor(*rows: Row) -> Any:
    plan = plan_of(*rows)
    plan.model_bytes = PTE_BYTES
    return plan


def delegate(words: list[int], weights: int = 64) -> Any:
    """One delegate between two copies of 64 bytes."""
    blob = vela_blob(command_block(words), bytes(weights))
    data = Tensor(DType.U8, (len(blob),), Space.MODEL, 0, data=blob)
    scratch = Tensor(DType.U8, (64,), Space.ARENA, 4096)
    instruction = Instruction(0, DELEGATE, "", (data, [Q], [OUT], scratch), "")
    plan = plan_of((DELEGATE, "", (data, [Q], [OUT], scratch), (OUT,)))
    copy = KernelCall("mcu_copy", (Q, scratch, 64), "h")
    run = KernelCall("ethos_u_run", (data, 100, data, weights, scratch, 64), "h")
    kind = type(plan.calls[0])
    plan.calls = [
        kind(call=call, instruction=instruction, writes=(OUT,), name="") for call in (copy, run, copy)
    ]
    plan.model_bytes = PTE_BYTES
    return plan


def found(plan: Any, on: Board, npu: NpuTarget = NPU) -> StepCycles:
    step = step_cycles(plan, on, npu, position=7)
    assert step is not None
    return step


def test_a_processor_waits_for_what_a_load_does_not_bring_by_itself() -> None:
    plan = processor(LINEAR)
    ideal = ideal_instructions(plan.calls[0].instruction, HELIUM)
    slow = found(plan, board(1))
    assert slow.instructions == round(PER_IDEAL * ideal) and slow.weight_bytes == WEIGHTS
    assert slow.waiting == WEIGHTS - WEIGHTS // 8  # 8 bytes a cycle are what loads take anyway
    assert slow.cycles == slow.instructions + slow.waiting and slow.supply == "board.toml of flash"
    assert found(plan, board(8)).waiting == found(plan, board(16)).waiting == 0
    assert (slow.npu, slow.delegates, slow.npu_supply) == (0, 0, "")


def test_without_a_bandwidth_it_is_velas_and_said_to_be_assumed() -> None:
    told = "as to the NPU, which is assumed (Ethos_U55_High_End_Embedded, Shared_Sram)"
    for on in (board(None), board(None, clock=False)):
        step = found(processor(LINEAR), on)
        assert step.supply == told and step.waiting == WEIGHTS - WEIGHTS // 8  # flash: a byte a cycle
    sram = found(processor(LINEAR), board(None), replace(NPU, memory_mode="Sram_Only"))
    assert sram.waiting == 0


def test_a_row_that_an_unknown_operator_selects_is_no_whole_table() -> None:
    select = ("aten::index_select", "out", (TABLE, 0, POSITION, Q), (Q,))
    assert found(processor(select), board(1)).weight_bytes == Q.nbytes


def test_a_region_without_room_is_not_the_weights() -> None:
    small = board(1, weights=["ram", "flash"])
    plan = delegate(copy_stream(4096))
    plan.model_bytes = 2 << 20
    assert found(plan, small).npu_supply == "Ethos_U55_High_End_Embedded, Shared_Sram"
    plan.model_bytes = PTE_BYTES
    assert found(plan, small).npu_supply == "board.toml of ram"


def test_a_delegate_takes_its_stream_its_driver_and_its_copies() -> None:
    flash = found(delegate(copy_stream(4096)), board(1))
    assert flash.delegates == 1 and flash.weight_bytes == flash.waiting == 0
    assert flash.instructions == DRIVER_INSTRUCTIONS + 2 * 2 * 64 // 16
    # A DMA of 4,096 bytes with some commands, a byte a cycle; eight bytes a cycle where the board says so.
    assert 4096 < flash.npu < 4096 + 500
    fast = found(delegate(copy_stream(4096)), board(8))
    assert 4096 / 8 < fast.npu < flash.npu / 4 and fast.npu_supply == "board.toml of flash"
    only = found(delegate(copy_stream(4096)), board(1), replace(NPU, memory_mode="Sram_Only"))
    assert only.npu_supply == "Ethos_U55_High_End_Embedded, Sram_Only" and only.npu < flash.npu / 3


def test_a_stream_that_is_not_understood_has_no_estimate() -> None:
    assert step_cycles(delegate([*dma((0, 0), (9, 0), 64), STOP]), board(1), NPU, 7) is None


@pytest.mark.parametrize(("bytes_per_access", "wins"), [(1, "npu"), (8, "cpu")])
def test_the_bandwidth_decides(bytes_per_access: int, wins: StepForm) -> None:
    """A product of 6,800 bytes of weights, against a stream that fetches 3,000 (they compress) and copies 20,000 in SRAM."""
    on = board(bytes_per_access)
    stream = [*dma((0, 0), (1, 0), 3000), *dma((1, 0), (1, 32768), 10_000), STOP]
    plans = {"cpu": processor(LINEAR), "npu": delegate(stream, 4096)}
    form, made, estimates, reasons = fewest_cycles(
        lambda form: (form, step_cycles(plans[form], on, NPU, 7)), {"linears": "none here"}
    )
    assert form == made == wins and reasons == {"linears": "none here"}
    assert set(estimates) == {"cpu", "npu"}
    least = min(step.cycles for step in estimates.values() if step is not None)
    assert (step := estimates[wins]) is not None and step.cycles == least


def steps(**cycles: int | None) -> Any:
    """An attempt whose estimates are these; None: not known."""

    def attempt(form: StepForm) -> tuple[str, StepCycles | None]:
        if form not in cycles:
            raise ModelError(f"no {form}")
        count = cycles[form]
        return f"made {form}", None if count is None else StepCycles(count, 0, 0, "")

    return attempt


def test_the_processor_is_taken_where_nothing_takes_less() -> None:
    assert fewest_cycles(steps(cpu=5, linears=6, npu=4), {})[:2] == ("npu", "made npu")
    assert fewest_cycles(steps(cpu=5, linears=3, npu=4), {})[:2] == ("linears", "made linears")
    assert fewest_cycles(steps(cpu=5, linears=5, npu=5), {})[:2] == ("cpu", "made cpu")
    assert fewest_cycles(steps(cpu=5, npu=None), {})[0] == "cpu"
    assert fewest_cycles(steps(cpu=None, npu=5), {})[0] == "npu"
    assert fewest_cycles(steps(cpu=None, linears=None), {})[:2] == ("cpu", "made cpu")
    form, _, estimates, reasons = fewest_cycles(steps(cpu=5), {})
    assert (form, set(estimates)) == ("cpu", {"cpu"}) and reasons == {
        "linears": "no linears",
        "npu": "no npu",
    }
    assert fewest_cycles(steps(cpu=5, linears=4), {"npu": "--weights is"})[3] == {"npu": "--weights is"}
    with pytest.raises(ModelError, match="no cpu"):
        fewest_cycles(steps(npu=4), {})


def choice(**changes: Any) -> StepChoice:
    slow = StepCycles(200, 90, 70, "board.toml of flash")
    fast = StepCycles(50, 0, 0, "board.toml of flash", 150, 3, "board.toml of sram")
    return replace(StepChoice("npu", "auto", "ethos-u55-128", 31, {"cpu": slow, "npu": fast}), **changes)


def test_a_report_says_every_forms_estimate() -> None:
    rows = dict(choice().rows())
    assert (
        rows["one token"]
        == "in one delegate on the NPU: the fewest cycles by estimate; the NPU is ethos-u55-128"
    )
    assert (
        rows["  on the processor alone"] == "270 cycles: 200 instructions, 70 waiting for 90 bytes of weights"
    )
    assert rows["  in one delegate on the NPU"].startswith("200 cycles: 50 instructions, ")
    assert rows["  in one delegate on the NPU"].endswith("150 of the NPU in 3 delegates")
    assert "no measurements" in rows["  estimated"] and "board.toml of sram" in rows["  estimated"]
    left = choice(
        form="cpu", estimates={"cpu": StepCycles(1, 0, 0, "x")}, left_out={"npu": "--weights is for a"}
    )
    rows = dict(left.rows())
    assert (
        "nothing else can be" in rows["one token"]
        and "not tried: --weights" in rows["  in one delegate on the NPU"]
    )
    asked = choice(asked="npu", estimates={"npu": None})
    assert "as asked (--decode npu)" in dict(asked.rows())["one token"]
    assert "not known" in dict(asked.rows())["  in one delegate on the NPU"]
    assert "--decode auto" in dict(asked.rows())["  other forms"]


def test_a_report_file_keeps_them() -> None:
    for each in (choice(), choice(asked="npu", estimates={"npu": None}), choice(left_out={"cpu": "why"})):
        data = json.loads(json.dumps(each.to_json()))
        assert choice_from_json(data) == each
        for key in data:
            assert choice_from_json({**data, key: None}) is None, key
            assert choice_from_json({name: value for name, value in data.items() if name != key}) is None, key
        assert (
            choice_from_json({**data, "form": "gpu"}) is None and choice_from_json({**data, "x": 1}) is None
        )
    data = choice().to_json()
    data["estimates"]["cpu"]["waiting"] = "70"
    assert choice_from_json(data) is None and choice_from_json(None) is None


def test_a_load_of_a_core_without_vectors_moves_a_word() -> None:
    from mcu_sdk.planning.ideal import DSP

    assert Supply(2, "").waiting(80, DSP) == 80 // 2 - 80 // 4
