from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk.board.board import Board, load_board
from mcu_sdk.errors import DoesNotFitError
from mcu_sdk.planning.fit import Layout, check_fit

CORSTONE = load_board("corstone-300")
MB = 1 << 20


def two_regions(ram: int) -> Board:
    """A microcontroller with flash and `ram` bytes of RAM."""
    return Board.model_validate(
        {
            "name": "small",
            "description": "flash and ram",
            "stack_bytes": 4096,
            "core": {"cpu": "cortex-m4", "flags": ("-mcpu=cortex-m4",)},
            "region": (
                {"name": "flash", "origin": 0, "size": MB, "kind": "rom"},
                {"name": "ram", "origin": 0x20000000, "size": ram, "kind": "ram"},
            ),
            "placement": dict.fromkeys(("vectors", "code", "weights"), "flash")
            | dict.fromkeys(("data", "arena", "kv_cache", "stack"), "ram"),
            "uart": {"driver": "cmsdk", "base": 0x40000000, "clock_hz": 1000000},
        }
    )


def test_a_region_with_room_is_taken() -> None:
    small = check_fit(CORSTONE, arena_bytes=20_000, kv_cache_bytes=60_000, weights_bytes=MB)
    assert (small.regions["arena"], small.regions["kv_cache"], small.regions["weights"]) == (
        "dtcm",
        "dtcm",
        "sram",
    )
    large = check_fit(CORSTONE, arena_bytes=20_000, kv_cache_bytes=600_000, weights_bytes=3 * MB)
    assert (large.regions["arena"], large.regions["kv_cache"], large.regions["weights"]) == (
        "dtcm",
        "isram",
        "isram",
    )
    assert large.used["isram"] == 600_000 + 3 * MB


def test_the_host_takes_everything() -> None:
    assert check_fit(load_board("host"), arena_bytes=1 << 40, kv_cache_bytes=0, weights_bytes=0) == Layout()


def test_a_cache_too_long_says_which_length_fits() -> None:
    board = two_regions(64 * 1024)
    sizes = {"arena_bytes": 8192, "weights_bytes": 500_000, "code_bytes": 50_000, "data_bytes": 2048}
    with pytest.raises(DoesNotFitError) as caught:
        check_fit(board, kv_cache_bytes=128 * 1024, max_sequence_length=256, **sizes)
    room = 64 * 1024 - 8192 - 2048 - 4096
    assert caught.value.exit_code == 5
    assert f"'ram' of 65,536 bytes has {room:,} left" in caught.value.message
    assert f"over by {128 * 1024 - room:,} bytes" in caught.value.message
    length = room * 256 // (128 * 1024)
    assert f"--max-cache-len {length} " in caught.value.hint
    check_fit(board, kv_cache_bytes=length * 512, max_sequence_length=length, **sizes)
    with pytest.raises(DoesNotFitError):
        check_fit(board, kv_cache_bytes=(length + 1) * 512, max_sequence_length=length + 1, **sizes)


@pytest.mark.parametrize(
    ("sizes", "said", "help"),
    [
        ({"weights_bytes": 1 << 30}, "'ddr' of 268,435,456 bytes has 268,435,456 left", "smaller model"),
        ({"arena_bytes": 1 << 30}, "(dtcm, isram cannot hold it either)", "smaller model"),
        ({"code_bytes": 600_000}, "the code (an estimate) needs 600,000 bytes", "smaller model"),
        ({"data_bytes": 600_000}, "the variables", "larger region"),
    ],
)
def test_every_section_has_its_advice(sizes: dict[str, int], said: str, help: str) -> None:
    with pytest.raises(DoesNotFitError) as caught:
        check_fit(CORSTONE, **{"arena_bytes": 1, "kv_cache_bytes": 1, "weights_bytes": 1, **sizes})
    assert said in caught.value.message and help in caught.value.hint


@given(
    arena=st.integers(0, 8 * MB),
    kv=st.integers(0, 8 * MB),
    weights=st.integers(0, 300 * MB),
    code=st.integers(0, MB),
)
def test_a_layout_never_overfills_a_region(arena: int, kv: int, weights: int, code: int) -> None:
    try:
        layout = check_fit(
            CORSTONE, arena_bytes=arena, kv_cache_bytes=kv, weights_bytes=weights, code_bytes=code
        )
    except DoesNotFitError:
        return
    assert all(layout.used[name] <= region.size for name, region in CORSTONE.regions.items())
    assert sum(layout.used.values()) >= arena + kv + weights + code
    assert CORSTONE.placement is not None
    assert all(place in CORSTONE.placement.of(section) for section, place in layout.regions.items())
