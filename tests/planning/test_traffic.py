"""The bytes that a step moves, by where they lie."""

from __future__ import annotations

from types import SimpleNamespace

from mcu_sdk.planning.instruction import DType, Instruction, Space, Tensor, Value
from mcu_sdk.planning.traffic import step_traffic

F32, S8, S64 = DType.F32, DType.S8, DType.S64
ARENA, CACHE, MODEL = Space.ARENA, Space.KV_CACHE, Space.MODEL


def t(space: Space, dtype: DType, *shape: int) -> Tensor:
    return Tensor(dtype, shape, space, 0)


def traffic(*calls: tuple[str, str, tuple[Value, ...]]) -> dict[str, int]:
    instructions = [
        Instruction(n, name, overload, values, "") for n, (name, overload, values) in enumerate(calls)
    ]
    return step_traffic(SimpleNamespace(calls=[SimpleNamespace(instruction=i) for i in instructions]))  # type: ignore[arg-type]


def test_operands_count_where_they_lie_and_tables_by_the_row() -> None:
    ids, x = t(ARENA, S64, 1, 1), t(ARENA, F32, 1, 1, 8)
    lookup = ("mcu::embedding_s8", "out", (t(MODEL, S8, 100, 8), t(MODEL, F32, 100), ids, x))
    assert traffic(lookup) == {"arena": 8 + 32, "kv_cache": 0, "weights": 8 + 4}
    table = t(MODEL, F32, 50, 4)
    turn = ("mcu::rope", "out", (x, table, table, ids, x))
    assert traffic(turn) == {"arena": 32 + 8 + 32, "kv_cache": 0, "weights": 2 * 16}
    assert traffic(lookup, turn) == {"arena": 40 + 72, "kv_cache": 0, "weights": 12 + 32}


def test_a_cache_is_written_at_one_position_and_read_at_all() -> None:
    keys, values, position = t(CACHE, S8, 1, 2, 64, 8), t(CACHE, S8, 1, 2, 8, 64), t(ARENA, S64, 1)
    row = t(ARENA, F32, 1, 2, 1, 8)
    write = ("mcu::cache_write_dynamic_", "", (keys, row, position))
    assert traffic(write) == {"arena": 64 + 8, "kv_cache": 16, "weights": 0}
    scales = t(CACHE, DType.F16, 1, 2, 64)
    scratch = t(ARENA, DType.U8, 336)
    read = (row, keys, values, scales, scales, position, 0.3, row, scratch)
    assert traffic(("mcu::attention_s8_dynamic", "out", read))["kv_cache"] == 2 * 1024 + 2 * 256
