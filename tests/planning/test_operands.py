"""What one execution reads and writes of each argument."""

from __future__ import annotations

from dataclasses import replace

from mcu_sdk.planning.instruction import DType, Instruction, Space, Tensor, Value
from mcu_sdk.planning.operands import tensors_in, touched

F32, S8, S64 = DType.F32, DType.S8, DType.S64


def t(dtype: DType, *shape: int, space: Space = Space.ARENA, offset: int = 0) -> Tensor:
    return Tensor(dtype, shape, space, offset)


def amounts(operator: str, *arguments: Value, overload: str = "out") -> list[int]:
    return [amount for _, amount in touched(Instruction(0, operator, overload, arguments, "#0"))]


def test_tensors_in_lists_count_too() -> None:
    a, b = t(F32, 2), t(S8, 3)
    assert tensors_in([a, 1, [b, None, [a]], "x"]) == [a, b, a]


def test_a_lookup_reads_as_many_rows_as_there_are_ids() -> None:
    out = t(F32, 1, 2, 16)
    assert amounts("mcu::embedding_s8", t(S8, 9, 16), t(F32, 9), t(S64, 1, 2), out) == [
        2 * 16,
        2 * 4,
        16,
        128,
    ]
    packed = t(S8, 2, 1, 8, 16)
    found = amounts("mcu::embedding_s8", packed, t(F32, 16), t(S64, 1, 2), 16, out, overload="packed_out")
    assert found == [2 * 16, 2 * 4, 16, 128]
    many = t(S64, 1, 100)
    assert amounts("aten::embedding", t(F32, 3, 4), many, -1, False, False, t(F32, 1, 100, 4))[0] == 3 * 4 * 4


def test_a_rotation_reads_one_row_of_its_tables() -> None:
    x, table = t(F32, 1, 4, 1, 8), t(F32, 64, 4)
    assert amounts("mcu::rope", x, table, table, t(S64, 1), x) == [128, 16, 16, 8, 128]


def test_an_update_writes_one_position() -> None:
    row, position = t(F32, 1, 2, 1, 8, offset=4096), t(S64, 1)
    keys = t(S8, 1, 2, 7, 8, space=Space.KV_CACHE)
    values = t(S8, 1, 2, 8, 7, space=Space.KV_CACHE)
    assert amounts("mcu::cache_write_dynamic_", keys, row, position, overload="") == [16, 64, 8]
    assert amounts("mcu::cache_write_columns_dynamic_", values, row, position, overload="") == [16, 64, 8]
    # The out variant on the cache itself writes no more; into other memory all of it is copied.
    assert amounts("mcu::cache_write_dynamic", keys, row, position, keys) == [16, 64, 8, 0]
    assert (
        amounts("mcu::cache_write_dynamic", keys, row, position, replace(keys, offset=512))[-1] == keys.nbytes
    )


def test_others_are_read_and_written_whole() -> None:
    assert amounts("aten::cat", [t(F32, 3), t(F32, 4)], 0, t(F32, 7)) == [12, 16, 28]
    assert amounts("mcu::embedding_s8", t(S8, 0, 16), t(F32, 0), t(S64, 0), t(F32, 0, 16)) == [0, 0, 0, 0]
