"""The bound of steps per second, worked out by hand."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from mcu_sdk.board.board import Board
from mcu_sdk.planning.bound import Bound, RegionReads, bound_from_json, step_bound
from mcu_sdk.planning.constants import constants_of
from mcu_sdk.planning.fit import Layout
from mcu_sdk.planning.instruction import DType, Instruction, KernelCall, Pointer, Space, Tensor, Value

F32, S8, S64 = DType.F32, DType.S8, DType.S64
ARENA, CACHE, MODEL = Space.ARENA, Space.KV_CACHE, Space.MODEL
HZ = 100_000_000


def t(space: Space, dtype: DType, offset: int, *shape: int) -> Tensor:
    return Tensor(dtype, shape, space, offset)


X, POSITION = t(ARENA, F32, 0, 1, 64), t(ARENA, S64, 512, 1, 1)
Q, SCALE = t(ARENA, S8, 1024, 1, 64), t(ARENA, F32, 1088, 1, 1)
OUT = t(ARENA, F32, 2048, 1, 100)
TABLE, TABLE_SCALE = t(MODEL, S8, 64, 100, 64), t(MODEL, F32, 6464, 100)
LOOKUP = ("mcu::embedding_s8", "out", (TABLE, TABLE_SCALE, POSITION, X), (X,))
QUANTIZE = ("mcu::quantize_rows", "out", (X, Q, SCALE), (Q, SCALE))
LINEAR = ("mcu::linear_s8", "out", (Q, SCALE, TABLE, TABLE_SCALE, None, OUT), (OUT,))
Row = tuple[str, str, tuple[Value, ...], tuple[Tensor, ...]]


def plan_of(*rows: Row) -> Any:
    """Calls whose kernels take what their instructions do."""
    calls = []
    for number, (name, overload, values, writes) in enumerate(rows):
        instruction = Instruction(number, name, overload, values, f"layer.{number}")
        call = KernelCall("f", tuple(v for v in values if isinstance(v, Tensor)), "h")
        calls.append(
            SimpleNamespace(call=call, instruction=instruction, writes=writes, name=instruction.name)
        )
    return SimpleNamespace(calls=calls, all_calls=calls, inputs=(), outputs=(), beside=())


def board(**changes: Any) -> Board:
    """A Cortex-M7 at 100 MHz, with flash of 8 bytes in 8 cycles behind a cache and RAM of 8 bytes a cycle."""
    flash = {"name": "flash", "origin": 0, "size": "1M", "kind": "rom", "speed": 4, "bytes_per_access": 8}
    flash |= {"wait_states": 7, "cached": True} | changes.pop("flash", {})
    ram = {"name": "ram", "origin": 0x20000000, "size": "1M", "kind": "ram", "bytes_per_access": 8}
    ram |= changes.pop("ram", {})
    facts = {
        "name": "small",
        "description": "flash and ram",
        "stack_bytes": 4096,
        "core": {"cpu": "cortex-m7", "dsp": True, "data_cache": "1K", "flags": ("-mcpu=cortex-m7",)},
        "clock": {"core_hz": HZ},
        "region": (flash, ram),
        "placement": dict.fromkeys(("vectors", "code", "weights"), "flash")
        | dict.fromkeys(("data", "arena", "kv_cache", "stack"), "ram"),
        "uart": {"driver": "cmsdk", "base": 0x40000000, "clock_hz": 1000000},
    }
    return Board.model_validate(facts | changes)


LAYOUT = Layout({"weights": "flash", "arena": "ram", "kv_cache": "ram"})


def found(*rows: Row, on: Board | None = None, length: int | None = None) -> Bound:
    bound = step_bound(on or board(), plan_of(*rows), LAYOUT, length)
    assert bound is not None
    return bound


def test_a_step_waits_for_its_slowest_memory() -> None:
    bound = found(LOOKUP, QUANTIZE, LINEAR)
    # The table and its factors once, though a row is read before; a cache of 1 KB may have kept as many bytes.
    flash = RegionReads("flash", 100 * 64 + 4 * 100 - 1024, 8 / 8 * HZ)
    # In RAM: the id, what is quantized, and what is multiplied; never what is written.
    ram = RegionReads("ram", 8 + 256 + (64 + 4), 8 * HZ)
    assert bound.regions == (flash, ram)
    assert bound.limit == "flash" and bound.seconds == flash.bytes / HZ
    assert bound.per_second == pytest.approx(HZ / 5776)
    # 6,400 products at 5 for 4 and little else, two at a time
    assert bound.issue == 2 and 8_000 < bound.instructions < 9_500
    assert bound.instruction_seconds == bound.instructions / 2 / HZ < bound.seconds


def test_without_a_cache_each_operator_reads_anew() -> None:
    flat = board(flash={"cached": False})
    assert found(LOOKUP, LINEAR, on=flat).regions[0].bytes == (64 + 4) + (6400 + 400)
    assert found(LINEAR, LINEAR, on=flat).regions[0].bytes == 2 * 6800
    assert found(LINEAR, LINEAR).regions[0].bytes == 6800 - 1024


def test_the_instructions_may_be_what_limits() -> None:
    bound = found(LINEAR, on=board(flash={"wait_states": 0, "speed": 1}))
    assert bound.limit == "instructions" and bound.counted == "ideal"
    counted = bound.measured(40_000)
    assert counted.per_second == pytest.approx(2 * HZ / 40_000) and counted.counted == "measured"
    assert bound.measured(None) is bound
    single = board(core={"cpu": "cortex-m4", "dsp": True, "data_cache": 64, "flags": ("-mcpu=cortex-m4",)})
    assert found(LINEAR, on=single).issue == 1


def test_regions_on_one_bus_are_read_one_after_the_other() -> None:
    apart, shared = found(LINEAR), found(LINEAR, on=board(flash={"bus": "axi"}, ram={"bus": "axi"}))
    assert apart.seconds == max(region.seconds for region in apart.regions)
    assert shared.seconds == sum(region.seconds for region in shared.regions)
    assert shared.limit == "flash + ram"


def test_what_an_unknown_operator_selects_counts_as_what_comes_out() -> None:
    long, row = t(MODEL, F32, 64, 1000, 4), t(ARENA, F32, 0, 4)
    select = ("aten::select_copy", "int_out", (long, 0, 3, row), (row,))
    flat = board(flash={"cached": False})
    assert found(select, on=flat).regions == (RegionReads("flash", 16, HZ),)
    assert found(select, on=flat).instructions == 4


def test_a_cache_is_read_to_its_end_and_a_write_does_not_count() -> None:
    keys, values = t(CACHE, S8, 0, 1, 2, 64, 8), t(CACHE, S8, 1024, 1, 2, 8, 64)
    scales, q = t(CACHE, DType.F16, 2048, 1, 2, 64), t(ARENA, F32, 0, 1, 2, 1, 8)
    position, out, scratch = (
        t(ARENA, S64, 64, 1),
        t(ARENA, F32, 128, 1, 2, 1, 8),
        t(ARENA, DType.U8, 256, 336),
    )
    write = ("mcu::cache_write_dynamic_", "", (keys, q, position), (keys,))
    read = (q, keys, values, scales, scales, position, 0.3, out, scratch)
    attend = ("mcu::attention_s8_dynamic", "out", read, (out, scratch))
    bound = found(write, attend, length=64)
    assert bound.unit == "token" and "with a full cache" in bound.rows()[0][1]
    assert bound.regions == (RegionReads("ram", (64 + 8) + (64 + 2048 + 2 * 256 + 8), 8 * HZ),)
    assert found(write, attend, length=64).instructions > found(write, attend, length=8).instructions


def test_a_region_without_a_bandwidth_is_told_and_left_out() -> None:
    bound = found(LINEAR, on=board(flash={"bytes_per_access": None}))
    assert bound.limit == "instructions"
    assert dict(bound.rows())["  read of flash"] == "5,776 bytes; no bandwidth is known, so it does not count"


def test_without_a_clock_or_on_an_npu_nothing_is_said() -> None:
    plain = {"bytes_per_access": None, "wait_states": 0}
    assert step_bound(board(clock=None, flash=plain, ram=plain), plan_of(LINEAR), LAYOUT) is None
    call = ("delegate::EthosUBackend", "", (TABLE, X, OUT), (OUT,))
    assert step_bound(board(), plan_of(call), LAYOUT) is None


def test_it_comes_back_from_json_and_nothing_else_does() -> None:
    bound = found(LOOKUP, LINEAR, length=64)
    text = json.dumps(bound.to_json())
    assert bound_from_json(json.loads(text)) == bound
    for wrong in (None, 3, [], {}, bound.to_json() | {"per_second": 1e9}, bound.to_json() | {"core_hz": 0}):
        assert bound_from_json(wrong) is None


def test_rows_say_what_was_counted() -> None:
    rows = dict(found(LINEAR).rows())
    assert rows["steps per second"] == "at most 17,313: a bound by flash, no measurement"
    assert rows["  read of flash"] == "57.8 us: 5,776 bytes, 100 MB a second"
    assert rows["  instructions"].endswith("the least for its operators; 2 a cycle at 100 MHz")
    counted = dict(found(LINEAR).measured(123_456).rows())["  instructions"]
    assert counted == "617 us: 123,456, counted in the run's last step; 2 a cycle at 100 MHz"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flash": {"bytes_per_second": 1000}}, "exclude each other"),
        ({"clock": None}, "says nothing without \\[clock\\]"),
        ({"ram": {"speed": 9}}, "read slower than 'ram', and its speed .* is 4, less than 9"),
        ({"core": {"cpu": "cortex-m7", "flags": ("-mcpu=cortex-m7",)}}, "core.data_cache does not say"),
        ({"clock": {"core_hz": 0}}, "greater than 0"),
        ({"flash": {"bytes_per_access": 0}}, "greater than 0"),
        ({"flash": {"wait_states": -1}}, "greater than or equal to 0"),
    ],
)
def test_bandwidths_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        board(**changes)


def test_constants_are_found_once_each_with_what_is_read_of_them() -> None:
    plan = plan_of(LOOKUP, LINEAR)
    found = constants_of(plan)
    assert [(c.name, c.offset, c.size, c.traffic) for c in found] == [
        ("layer.0", 64, 6400, 64 + 6400),
        ("layer.0", 6464, 400, 4 + 400),
    ]
    view = KernelCall("f", (Pointer(t(MODEL, F32, 6400, 32), 4),), "h")  # across both
    plan.calls[0].call = view
    assert [(c.offset, c.size) for c in constants_of(plan)] == [(64, 6800)]
