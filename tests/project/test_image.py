"""What a flasher finds in the ELF file: segments that begin at our first byte, and nothing that has no place there."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from mcu_sdk.board.board import Board
from mcu_sdk.errors import BuildError
from mcu_sdk.project.build import build
from mcu_sdk.project.elf import read_sizes, symbols
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project

Inputs = Callable[..., ProjectInputs]


def flash_board(flash: int, ram: int) -> Board:
    """A microcontroller whose program begins behind a bootloader, at `flash`; its variables begin at `ram`."""
    return Board.model_validate(
        {
            "name": "small",
            "description": "flash and ram",
            "stack_bytes": 2048,
            "core": {"cpu": "cortex-m4", "fpu": True, "flags": ("-mcpu=cortex-m4", "-mfloat-abi=hard")},
            "region": (
                {"name": "flash", "origin": flash, "size": 1 << 18, "kind": "rom"},
                {"name": "ram", "origin": ram, "size": 1 << 16, "kind": "ram"},
            ),
            "placement": dict.fromkeys(("vectors", "code", "weights"), "flash")
            | dict.fromkeys(("data", "arena", "kv_cache", "stack"), "ram"),
            "uart": {"driver": "cmsdk", "base": 0x40000000, "clock_hz": 25_000_000},
        }
    )


def segments(elf: Path) -> list[Any]:
    with elf.open("rb") as file:
        return [item.header for item in ELFFile(file).iter_segments() if item["p_type"] == "PT_LOAD"]


@pytest.mark.parametrize(("flash", "ram"), [(0x0804_0400, 0x2000_0148), (0x0001_2C00, 0x2000_0000)])
def test_segments_begin_at_the_first_byte_that_is_ours(
    tmp_path: Path, tiny_inputs: Inputs, flash: int, ram: int
) -> None:
    """Neither origin is a multiple of a page, and there are initial values to load."""
    board = flash_board(flash, ram)
    project = render_project(tiny_inputs(board), tmp_path / "p")
    main = project / "app/main.cpp"
    main.write_text(main.read_text().replace("int main() {", "int kept[9] = {1};\nint main() {\n    kept[0] = kept[platform_read() % 9];", 1))  # fmt: skip
    elf = build(project).program
    loads = segments(elf)
    assert min(item["p_paddr"] for item in loads) == flash == symbols(elf)["__vectors"]
    for item in loads:
        region = next(r for r in board.region if r.origin <= item["p_paddr"] < r.end)
        assert item["p_paddr"] + item["p_memsz"] <= region.end
        assert item["p_filesz"] == 0 or item["p_offset"] >= 52  # the ELF header is no part of it
        assert item["p_filesz"] == 0 or region.name == "flash"
    written = sorted((i["p_paddr"], i["p_paddr"] + i["p_filesz"]) for i in loads if i["p_filesz"])
    assert all(low[1] <= high[0] for low, high in itertools.pairwise(written))
    sizes = read_sizes(elf)
    assert sizes.data >= 36  # counted in the flash that holds the values, and in the RAM where they change
    assert sizes.by_region(board) == {"flash": sizes.flash, "ram": sizes.ram}


@pytest.fixture(scope="module")
def with_main(tmp_path_factory: pytest.TempPathFactory, tiny_inputs: Inputs) -> Callable[[str], Path]:
    """`with_main(code)` is a project whose main() begins with `code`."""
    project = render_project(tiny_inputs(flash_board(0, 0x2000_0000)), tmp_path_factory.mktemp("p") / "p")
    text = (project / "app/main.cpp").read_text()

    def write(code: str) -> Path:
        head = '#include <stdio.h>\n#include <stdlib.h>\n#include <new>\nextern "C" void use(void*);\n'
        (project / "app/main.cpp").write_text(head + text.replace("int main() {", code, 1))
        return project

    return write


SYSTEM = """extern "C" void* _sbrk(int) { return nullptr; }
extern "C" void _exit(int) { for (;;); }
extern "C" int _kill(int, int) { return 0; }
extern "C" int _getpid() { return 0; }
"""
HEAP = """int main() { volatile char* p = static_cast<char*>(malloc(4)); *p = 1;"""
NEW = """char place[8];
__attribute__((noinline)) void* operator new(size_t) { return place; }
int main() { volatile char* p = static_cast<char*>(::operator new(4)); *p = 1;"""
PRINTF = """int main() { char text[9]; int n = snprintf(text, sizeof text, "%ld", platform_read()); text[n % 9] = 0;"""


@pytest.mark.parametrize(
    ("code", "named"), [(HEAP, "malloc"), (NEW, "_Znwj"), (PRINTF, "snprintf")], ids=["heap", "new", "printf"]
)
def test_what_does_not_belong_into_firmware_is_refused(
    with_main: Callable[[str], Path], code: str, named: str
) -> None:
    with pytest.raises(BuildError) as caught:
        build(with_main(SYSTEM + code))
    assert "no heap, no printf and no exceptions" in caught.value.message and named in caught.value.message
    assert caught.value.exit_code == 6 and "firmware.map" in caught.value.hint


def test_a_call_that_needs_an_operating_system_is_explained(with_main: Callable[[str], Path]) -> None:
    with pytest.raises(BuildError, match=r"nothing defines _sbrk") as caught:
        build(with_main(HEAP))
    assert "malloc" in caught.value.hint
