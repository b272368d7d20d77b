from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_sdk.board.board import Board, load_board
from mcu_sdk.board.memory import SECTIONS
from mcu_sdk.errors import DoesNotFitError
from mcu_sdk.planning.fit import Layout, Sizes, bytes_over, check_fit, fits, place

CORSTONE = load_board("corstone-300")
MB = 1 << 20
KB = 1 << 10


def two_regions(ram: int, flash: int = MB, flash_origin: int = 0, ram_origin: int = 0x20000000) -> Board:
    """A microcontroller with flash and `ram` bytes of RAM."""
    return Board.model_validate(
        {
            "name": "small",
            "description": "flash and ram",
            "stack_bytes": 4096,
            "core": {"cpu": "cortex-m4", "flags": ("-mcpu=cortex-m4",)},
            "region": (
                {"name": "flash", "origin": flash_origin, "size": flash, "kind": "rom"},
                {"name": "ram", "origin": ram_origin, "size": ram, "kind": "ram"},
            ),
            "placement": dict.fromkeys(("vectors", "code", "weights"), "flash")
            | dict.fromkeys(("data", "arena", "kv_cache", "stack"), "ram"),
            "uart": {"driver": "cmsdk", "base": 0x40000000, "clock_hz": 1000000},
        }
    )


def test_a_region_with_room_is_taken() -> None:
    small = check_fit(CORSTONE, Sizes(arena=20_000, kv_cache=60_000, weights=MB))
    assert (small.regions["arena"], small.regions["kv_cache"], small.regions["weights"]) == (
        "dtcm",
        "dtcm",
        "sram",
    )
    large = check_fit(CORSTONE, Sizes(arena=20_000, kv_cache=600_000, weights=3 * MB))
    assert (large.regions["arena"], large.regions["kv_cache"], large.regions["weights"]) == (
        "dtcm",
        "isram",
        "isram",
    )
    assert large.used["isram"] == 600_000 + 3 * MB


def test_a_tokenizer_goes_beside_the_code_or_where_the_weights_may_lie() -> None:
    traffic = {"arena": 9000, "kv_cache": 9000, "weights": 9000, "tokenizer": 64}
    small = check_fit(CORSTONE, Sizes(tokenizer=8_000, weights=MB), traffic)
    assert small.regions["tokenizer"] == "itcm"
    large = check_fit(CORSTONE, Sizes(tokenizer=850_000, weights=MB), traffic)
    assert large.regions["tokenizer"] == "sram" and large.reasons["tokenizer"] == "larger than itcm"
    crowded = check_fit(CORSTONE, Sizes(tokenizer=850_000, weights=2 * MB - 64), traffic)
    assert (crowded.regions["weights"], crowded.regions["tokenizer"]) == ("sram", "isram")
    external = check_fit(CORSTONE, Sizes(tokenizer=850_000, weights=135 * MB), traffic)
    assert (external.regions["weights"], external.regions["tokenizer"]) == ("ddr", "sram")


def test_the_host_takes_everything() -> None:
    assert check_fit(load_board("host"), Sizes(arena=1 << 40)) == Layout()


def test_a_small_image_fits_a_small_flash() -> None:
    """8.9 KB in 64 KB of flash; it was refused for code that was taken to be 96 KB."""
    layout = check_fit(
        two_regions(32 * KB, flash=64 * KB), Sizes(code=6_720, weights=1_632, bss=264, arena=32)
    )
    assert layout.used["flash"] == 8_608 and layout.used["ram"] == 32 + 264 + 4096


def test_every_region_that_is_over_is_named_with_its_bytes() -> None:
    board = two_regions(64 * KB, flash=64 * KB)
    sizes = Sizes(code=10_000, weights=100_000, bss=1000, arena=50_000, kv_cache=20_032)
    with pytest.raises(DoesNotFitError) as caught:
        check_fit(board, sizes, advice="Eat less.")
    # vectors, code from 256 on, weights from the next multiple of 64 on
    flash = 10_304 + 100_000 - 64 * KB
    ram = 50_048 + 20_032 + 1000 + 4096 - 64 * KB
    assert f"region 'flash' of 65,536 bytes is over by {flash:,} bytes (" in caught.value.message
    assert f"region 'ram' of 65,536 bytes is over by {ram:,} bytes (" in caught.value.message
    assert "code 10,000, model file with its weights 100,000" in caught.value.message
    assert "KV cache 20,032" in caught.value.message and "stack 4,096" in caught.value.message
    assert caught.value.exit_code == 5 and caught.value.hint == "Eat less."
    assert not fits(board, sizes)


def test_initial_values_take_room_in_flash_and_in_ram() -> None:
    board = two_regions(64 * KB)
    without = place(board, Sizes(code=1000, bss=0)).used
    used = place(board, Sizes(code=1000, bss=0, data=808)).used
    assert used["flash"] - without["flash"] == 808 and used["ram"] - without["ram"] == 808
    same = CORSTONE.model_copy(
        update={"placement": CORSTONE.placement.model_copy(update={"data": ("itcm",)})}  # type: ignore[union-attr]
    )
    assert place(same, Sizes(code=1000, bss=0, data=808)).used["itcm"] == 256 + 1000 + 808


@pytest.mark.parametrize("spare", [0, 1, 63, 64])
def test_what_fits_to_the_byte_is_accepted(spare: int) -> None:
    sizes = Sizes(code=10_001, weights=100_000, bss=0, arena=999, kv_cache=333)
    wanted = place(two_regions(MB, flash_origin=0x0800_0400, ram_origin=0x2000_0148), sizes).used
    board = two_regions(wanted["ram"] + spare, wanted["flash"] + spare, 0x0800_0400, 0x2000_0148)
    assert check_fit(board, sizes).used == wanted
    for smaller in ({"ram": wanted["ram"] - 1}, {"flash": wanted["flash"] - 1}):
        full = two_regions(**{"flash_origin": 0x0800_0400, "ram_origin": 0x2000_0148, **wanted, **smaller})
        with pytest.raises(DoesNotFitError, match=f"'{next(iter(smaller))}' .* over by 1 bytes"):
            check_fit(full, sizes)


@settings(deadline=None)
@given(
    arena=st.integers(0, 8 * MB),
    kv=st.integers(0, 8 * MB),
    weights=st.integers(0, 300 * MB),
    code=st.integers(0, MB),
    tokenizer=st.integers(0, 4 * MB),
)
def test_a_layout_never_overfills_a_region(
    arena: int, kv: int, weights: int, code: int, tokenizer: int
) -> None:
    sizes = Sizes(code=code, tokenizer=tokenizer, weights=weights, arena=arena, kv_cache=kv)
    assert CORSTONE.placement is not None
    layout = place(CORSTONE, sizes)
    assert set(layout.regions) == set(SECTIONS)
    assert all(where in CORSTONE.placement.of(section) for section, where in layout.regions.items())
    assert sum(layout.used.values()) >= arena + kv + weights + code + tokenizer
    if not fits(CORSTONE, sizes):
        assert bytes_over(CORSTONE, layout)
        free = [CORSTONE.placement.of(name) for name in ("arena", "kv_cache", "weights", "tokenizer")]
        large = {"arena": arena, "kv_cache": kv, "weights": weights, "tokenizer": tokenizer}
        for names in product(*free):  # there is no other way either, even without gaps
            held = dict.fromkeys(CORSTONE.regions, 0)
            for size, name in zip(large.values(), names, strict=True):
                held[name] += size
            held["itcm"] += code
            limits = {name: region.size - 2048 for name, region in CORSTONE.regions.items()}
            assert any(held[name] > limits[name] - (8192 if name == "dtcm" else 0) for name in held)


def test_less_never_needs_more() -> None:
    sizes = Sizes(code=10_000, weights=100_000, arena=50_000, kv_cache=20_000)
    board = two_regions(MB)
    for name in ("code", "weights", "arena", "kv_cache", "bss"):
        less = place(board, replace(sizes, **{name: 8})).used
        assert all(less[region] <= used for region, used in place(board, sizes).used.items())
