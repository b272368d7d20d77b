"""Reading ELF files; what the generated firmware contains is tested in test_build.py."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from mcu_sdk.board.board import Board
from mcu_sdk.errors import BuildError
from mcu_sdk.project.elf import ElfSizes, Section, forbidden_symbols, read_sizes, symbols


def compile_object(folder: Path, source: str) -> Path:
    compiler = shutil.which("arm-none-eabi-g++")
    assert compiler is not None, "the cross compiler is a prerequisite of the tests"
    (folder / "a.cpp").write_text(source)
    subprocess.run(
        [compiler, "-mcpu=cortex-m55", "-c", "a.cpp", "-o", "a.o"], cwd=folder, check=True, timeout=60
    )
    return folder / "a.o"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("int f(int x) { return x; }", []),
        ("#include <stdlib.h>\nvoid* f() { return malloc(4); }", ["malloc"]),
        ("int* f() { return new int[4]; }", ["_Znaj"]),
        ('#include <stdio.h>\nvoid f(int x) { printf("%d", x); }', ["printf"]),
        ("void f() { throw 1; }", ["__cxa_allocate_exception", "__cxa_throw"]),
    ],
)
def test_forbidden_symbols_are_found(tmp_path: Path, source: str, found: list[str]) -> None:
    assert forbidden_symbols(compile_object(tmp_path, source)) == found


def test_sections_and_symbols_of_an_object(tmp_path: Path) -> None:
    source = 'extern "C" { char zeros[100]; int numbers[3] = {1, 2, 3}; extern const char text[]; const char text[] = "abc"; }'
    file = compile_object(tmp_path, source)
    sizes = read_sizes(file)
    assert (sizes.bss, sizes.data, sizes.size(".rodata"), sizes.size(".nothing")) == (100, 12, 4, 0)
    assert {section.name: section.stored for section in sizes.sections} == {
        ".bss": False, ".data": True, ".rodata": True}  # fmt: skip
    assert {"zeros", "numbers", "text"} <= set(symbols(file))


def test_totals() -> None:
    sizes = ElfSizes(
        (
            Section(".text", 0, 10, True),
            Section(".weights", 16, 100, True),
            Section(".data", 0x20000000, 3, True),
            Section(".arena", 0x20000010, 7, False),
            Section(".kv_cache", 0x20000020, 5, False),
            Section(".bss", 0x20000030, 2, False),
            Section(".stack", 0x20000040, 64, False),
        )
    )
    assert (sizes.flash, sizes.code, sizes.weights, sizes.ram) == (113, 13, 100, 81)


def test_files_that_are_no_elf_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.elf"
    file.write_bytes(b"MZ")
    for path in (file, tmp_path / "missing"):
        with pytest.raises(BuildError, match="no ELF file"):
            read_sizes(path)


def test_initial_values_count_where_they_lie_and_where_they_go(tmp_path: Path) -> None:
    """A board with flash: `.data` takes room in both memories, `.bss` in one."""
    board = Board.model_validate(
        {
            "name": "small",
            "description": "flash and ram",
            "stack_bytes": 4096,
            "core": {"cpu": "cortex-m4", "flags": ("-mcpu=cortex-m4",)},
            "region": (
                {"name": "flash", "origin": 0x08000000, "size": 4096, "kind": "rom"},
                {"name": "ram", "origin": 0x20000000, "size": 4096, "kind": "ram"},
            ),
            "placement": dict.fromkeys(("vectors", "code", "weights"), "flash")
            | dict.fromkeys(("data", "arena", "kv_cache", "stack"), "ram"),
            "uart": {"driver": "cmsdk", "base": 0x40000000, "clock_hz": 1000000},
        }
    )
    (tmp_path / "a.ld").write_text(
        "MEMORY { flash (rx) : ORIGIN = 0x08000000, LENGTH = 4K  ram (rw) : ORIGIN = 0x20000000, LENGTH = 4K }\n"
        "SECTIONS { .text : { *(.text*) . = ALIGN(8); } > flash  .ARM.exidx : { *(.ARM.exidx*) } > flash\n"
        " .data : { *(.data*) } > ram AT > flash  .bss (NOLOAD) : { *(.bss*) } > ram }\n"
    )
    source = "char zeros[100]; int numbers[3] = {1, 2, 3}; int main() { return numbers[0] + zeros[0]; }"
    compile_object(tmp_path, source)
    subprocess.run(
        ["arm-none-eabi-g++", "-mcpu=cortex-m55", "-nostdlib", "-Ta.ld", "-Wl,-emain", "a.o", "-o", "a.elf"],
        cwd=tmp_path, check=True, timeout=60,
    )  # fmt: skip
    sizes = read_sizes(tmp_path / "a.elf")
    assert (sizes.data, sizes.bss) == (12, 100)
    code = sum(section.size for section in sizes.sections if section.name in (".text", ".ARM.exidx"))
    assert sizes.by_region(board) == {"flash": code + 12, "ram": 12 + 100}
    assert sizes.flash == code + 12
