"""Weights in several memories: each constant once, where the layout says, and found again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_sdk.board.board import Board, load_board
from mcu_sdk.errors import DoesNotFitError
from mcu_sdk.planning.cpp import render_argument
from mcu_sdk.planning.fit import Layout, Sizes, check_fit, could_hold, fits, place
from mcu_sdk.planning.instruction import DType, Pointer, Space, Tensor
from mcu_sdk.planning.pieces import Constant, Places, make_pieces

BOARDS = Path(__file__).parents[1] / "data" / "boards"
COPIES, LOADED = load_board(BOARDS / "copies-an386"), load_board(BOARDS / "loaded-an500")


def constants(*sizes: int, first: int = 64) -> tuple[Constant, ...]:
    found, offset = [], first
    for number, size in enumerate(sizes):
        found.append(Constant(f"c{number}", offset, size, size))
        offset += -(-size // 16) * 16
    return tuple(found)


def sizes_of(some: tuple[Constant, ...], **more: int) -> Sizes:
    return Sizes(code=10_000, bss=1000, weights=some[-1].end + 64, constants=some, **more)


@pytest.mark.parametrize("board", [COPIES, LOADED])
@given(
    st.lists(st.integers(1, 30_000), min_size=1, max_size=20), st.integers(0, 20_000), st.integers(0, 30_000)
)
@settings(max_examples=40, deadline=None)
def test_every_constant_lies_once_and_nothing_overflows(
    board: Board, sizes: list[int], arena: int, cache: int
) -> None:
    some = constants(*sizes)
    layout = check_fit(board, sizes_of(some, arena=arena, kv_cache=cache))
    assert all(used <= board.regions[name].size for name, used in layout.used.items())
    if not layout.pieces:
        return
    assert sorted(c.offset for piece in layout.pieces for c in piece.constants) == [c.offset for c in some]
    for piece in layout.pieces:
        end = 0
        for constant, offset in zip(piece.constants, piece.offsets, strict=True):
            assert offset >= end and offset % 16 == constant.offset % 16
            end = offset + constant.size
        assert end <= piece.size <= layout.used[piece.region]
    stored = sum(piece.size for piece in layout.pieces)
    if board is COPIES:  # all of it is in flash, in whichever memory it is read
        assert layout.used["flash"] >= 10_000 + stored


def test_weights_that_fit_the_best_memory_stay_in_one_piece() -> None:
    some = constants(*[1000] * 20)
    layout = place(COPIES, sizes_of(some, arena=2000))
    assert layout.pieces == () and layout.regions["weights"] == "dtcm"
    assert layout == place(COPIES, replace(sizes_of(some, arena=2000), constants=()))


def test_a_board_with_one_region_for_weights_knows_no_pieces() -> None:
    some = constants(*[10_000] * 20)
    for name in ("netduino-plus-2", "corstone-320"):
        board, sizes = load_board(name), sizes_of(some, arena=2000)
        assert place(board, sizes) == place(board, replace(sizes, constants=()))


def test_divided_weights_fit_where_no_region_holds_them() -> None:
    some = constants(*[20_000] * 5)
    small = LOADED.model_copy(update={"region": tuple(
        region.model_copy(update={"size": 1 << 16}) for region in LOADED.region
    )})  # fmt: skip
    sizes = sizes_of(some, arena=2000)
    assert fits(small, sizes) and could_hold(small, sizes) and place(small, sizes).pieces
    whole = replace(sizes, constants=())
    assert not fits(small, whole) and could_hold(small, whole)
    with pytest.raises(DoesNotFitError, match="is over by"):
        check_fit(small, whole)
    assert not could_hold(small, sizes_of(constants(*[20_000] * 12)))


def test_tables_of_the_hot_kind_go_where_a_read_is_cheap() -> None:
    table = Constant("table", 64, 40_000, 40)
    hot = tuple(replace(c, traffic=c.size) for c in constants(*[5000] * 12, first=40_064))
    layout = place(COPIES, sizes_of((table, *hot), arena=2000))
    where = {c.name: piece.region for piece in layout.pieces for c in piece.constants}
    assert where["table"] == "flash" and "flash" not in {where[c.name] for c in hot}


def test_pointers_find_their_piece() -> None:
    some = (Constant("a", 64, 100, 1), Constant("b", 176, 50, 1), Constant("odd", 228, 8, 1))
    pieces = make_pieces(some, ["dtcm", "flash", "dtcm"], ["flash", "dtcm"])
    assert [(p.region, p.offsets, p.size) for p in pieces] == [("flash", (0,), 64), ("dtcm", (0, 116), 128)]
    places = Places(pieces)
    tensor = Tensor(DType.F32, (2,), Space.MODEL, 228)
    assert render_argument(tensor, None, places) == "weights_in_dtcm<float>(116)"
    view = Pointer(Tensor(DType.S8, (50,), Space.MODEL, 176), 16, "int32_t")
    assert render_argument(view, None, places) == "weights_in_flash<int32_t>(16)"
    assert render_argument(view) == "weights<int32_t>(192)"
    with pytest.raises(AssertionError):
        places.find(170)


def test_a_refusal_names_what_is_stored_for_another_region() -> None:
    tight = COPIES.model_copy(update={"region": tuple(
        region.model_copy(update={"size": 20_000}) if region.name == "flash" else region
        for region in COPIES.region
    )})  # fmt: skip
    with pytest.raises(DoesNotFitError, match="'flash' of 20,000 bytes is over by") as caught:
        check_fit(tight, sizes_of(constants(*[5000] * 4)))
    assert "model file with its weights" in caught.value.message


def test_a_host_has_no_pieces() -> None:
    assert place(load_board("host"), sizes_of(constants(10))) == Layout()
