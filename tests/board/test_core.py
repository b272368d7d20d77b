"""Cores that firmware cannot be compiled for are refused by the table, and by the compiler where there is one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk.board.board import Board, list_boards
from mcu_sdk.board.core import CORES, check_core
from mcu_sdk.board.toolchain import LINKER as COMPILER
from mcu_sdk.board.toolchain import TOOLCHAINS
from mcu_sdk.errors import BoardError

HARD = "-mfloat-abi=hard"


def board(cpu: str, *flags: str, toolchain: str = "gcc", **core: Any) -> Board:
    return Board.model_validate(
        {
            "name": "small",
            "description": "flash and ram",
            "stack_bytes": 2048,
            "toolchain": toolchain,
            "core": {"cpu": cpu, "fpu": True, "dsp": True, "flags": flags, **core},
            "region": (
                {"name": "flash", "origin": 0, "size": 1 << 18, "kind": "rom"},
                {"name": "ram", "origin": 0x20000000, "size": 1 << 16, "kind": "ram"},
            ),
            "placement": dict.fromkeys(("vectors", "code", "weights"), "flash")
            | dict.fromkeys(("data", "arena", "kv_cache", "stack"), "ram"),
            "uart": {"driver": "cmsdk", "base": 0x40000000, "clock_hz": 25_000_000},
        }
    )


@pytest.fixture(params=["the table", "the compiler"])
def compiler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Once without a compiler, once with the project's."""
    if request.param == "the table":
        monkeypatch.setenv("PATH", "/nonexistent")
    else:
        assert shutil.which(COMPILER), "the cross compiler is a prerequisite of the tests"
    return str(request.param)


def test_the_packaged_boards_pass(compiler: str) -> None:
    for packaged in list_boards():
        check_core(packaged)


@pytest.mark.parametrize(
    ("cpu", "flags", "core"),
    [
        ("cortex-m4", ("-mcpu=cortex-m4", "-mfloat-abi=softfp"), {}),
        ("cortex-m33", ("-mcpu=cortex-m33", "-mthumb", HARD), {}),
        ("cortex-m85", ("-mcpu=cortex-m55", HARD), {"helium": True}),
        ("cortex-m3", ("-mcpu=cortex-m3",), {"fpu": False, "dsp": False}),
        ("cortex-m4", ("-mcpu=cortex-m4", "-mfloat-abi=soft"), {"fpu": False}),
        ("cortex-m33", ("-mcpu=cortex-m33+nofp",), {"fpu": False}),
    ],
)
def test_what_can_be_compiled_for(compiler: str, cpu: str, flags: tuple[str, ...], core: dict) -> None:
    check_core(board(cpu, *flags, **core))


@pytest.mark.parametrize(
    ("cpu", "flags", "core", "said"),
    [
        ("cortex-m4", ("-mcpu=cortex-m4", HARD), {"fpu": False}, "core.fpu = false, and with core.flags"),
        (
            "cortex-m3",
            ("-mcpu=cortex-m3", HARD),
            {"fpu": False, "dsp": False},
            "core.fpu = false, and with core.flags",
        ),
        ("cortex-m0", ("-mcpu=cortex-m0",), {"fpu": False, "dsp": False}, "a smaller one"),
        ("cortex-m23", ("-mcpu=cortex-m23",), {"fpu": False, "dsp": False}, "a smaller one"),
        ("cortex-m3", ("-mcpu=cortex-m3",), {"dsp": False}, "an FPU, which no cortex-m3 has"),
        ("cortex-m4", ("-mcpu=cortex-m4", HARD), {"helium": True}, "Helium, which no cortex-m4 has"),
        ("cortex-m4", ("-mcpu=cortex-m4",), {}, "would not use an FPU"),
        ("cortex-m4", ("-mcpu=cortex-m4", "-mfloat-abi=soft"), {}, "would not use an FPU"),
        ("cortex-m4", ("-mcpu=cortex-m4+nofp", HARD), {}, "would not use an FPU"),
        ("cortex-m33", ("-mcpu=cortex-m3", HARD), {}, "would not use an FPU"),
        ("cortex-m4", ("-mcpu=cortex-m4f", HARD), {}, "-mcpu"),
        ("cortex-m999", ("-mcpu=cortex-m999", HARD), {}, "cortex-m999"),
    ],
)
def test_what_cannot_be_compiled_for(
    compiler: str, cpu: str, flags: tuple[str, ...], core: dict, said: str
) -> None:
    with pytest.raises(BoardError) as caught:
        check_core(board(cpu, *flags, **core))
    assert said in caught.value.message and caught.value.exit_code == 3 and caught.value.hint


@pytest.mark.parametrize(
    ("cpu", "flags", "core", "said"),
    [
        ("cortex-m55", ("-mcpu=cortex-m55", HARD), {}, "core.helium = false"),
        ("cortex-m55", ("-mcpu=cortex-m55+nomve", HARD), {"helium": True}, "core.helium = true"),
        ("cortex-m33", ("-mcpu=cortex-m33", HARD), {"dsp": False}, "core.dsp = false"),
        ("cortex-m33", ("-mcpu=cortex-m33+nodsp", HARD), {}, "core.dsp = true"),
        ("cortex-m7", ("-mcpu=cortex-a9", "-mfpu=neon", HARD), {}, "for no Cortex-M"),
        ("cortex-m7", ("-mcpu=cortex-m7", HARD, "-mno-such-flag"), {}, "-mno-such-flag"),
    ],
)
def test_what_the_compiler_would_use_is_what_the_board_says(
    cpu: str, flags: tuple[str, ...], core: dict, said: str
) -> None:
    with pytest.raises(BoardError) as caught:
        check_core(board(cpu, *flags, **core))
    assert said in caught.value.message and caught.value.exit_code == 3


def test_a_core_that_this_compiler_is_too_old_for_is_told_with_what_it_would_take(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As GCC 12.2 says it; later ones know the Cortex-M85."""
    fake = tmp_path / COMPILER
    fake.write_text(
        "#!/bin/sh\n[ $1 = -dumpfullversion ] && echo 12.2.1 && exit 0\n"
        'echo "g++: error: unrecognized -mcpu target: cortex-m85" >&2\n'
        "echo \"g++: note: valid arguments are: a b; did you mean 'cortex-m55'?\" >&2\nexit 1\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(BoardError) as caught:
        check_core(board("cortex-m85", "-mcpu=cortex-m85", HARD, helium=True))
    assert "12.2.1 does not take core.flags" in caught.value.message
    assert "unrecognized -mcpu target: cortex-m85" in caught.value.message
    assert "Did you mean cortex-m55?" in caught.value.hint and 'toolchain = "clang"' in caught.value.hint


@pytest.mark.parametrize("end", ["kill -9 $$", "exit 1", "echo 'out of memory' >&2; exit 1"])
def test_a_compiler_that_says_nothing_of_the_flags_is_not_held_against_the_board(
    end: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Killed, or out of memory or time: the table decides, as without a compiler."""
    fake = tmp_path / COMPILER
    fake.write_text(f'#!/bin/sh\ncase "$*" in -dumpfullversion) echo 12.2.1 ;; *) {end} ;; esac\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    check_core(board("cortex-m33", "-mcpu=cortex-m33", HARD))
    with pytest.raises(BoardError, match="no core that is known here"):
        check_core(board("cortex-m33", "-mcpu=cortex-m333", HARD))


def test_clang_knows_the_cortex_m85(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TOOLCHAINS["clang"].compiler, TOOLCHAINS["clang"].install
    flags = ("-mcpu=cortex-m85", "-mthumb", HARD)
    check_core(board("cortex-m85", *flags, toolchain="clang", helium=True))
    with pytest.raises(BoardError, match=r"core\.helium = false"):
        check_core(board("cortex-m85", *flags, toolchain="clang"))
    with pytest.raises(
        BoardError, match=r"clang\+\+\S* \d+\.\d+\.\d+ does not take core.flags .*cortex-m999"
    ):
        check_core(board("cortex-m999", "-mcpu=cortex-m999", HARD, toolchain="clang"))


def test_the_table_has_every_packaged_core() -> None:
    assert {b.core.cpu for b in list_boards() if not b.is_host} <= set(CORES)
