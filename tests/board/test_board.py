from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk.board.board import board_names, list_boards, load_board
from mcu_sdk.board.devices import Core
from mcu_sdk.board.memory import SECTIONS
from mcu_sdk.board.npu import npu_base
from mcu_sdk.errors import BoardError
from mcu_sdk.project.compile_flags import definitions

GOOD = """
name = "demo"
description = "A board"
stack_bytes = 4096
[core]
cpu = "cortex-m4"
flags = ["-mcpu=cortex-m4"]
[[region]]
name = "flash"
origin = 0
size = "1M"
kind = "rom"
[[region]]
name = "ram"
origin = 0x20000000
size = "192K"
kind = "ram"
[placement]
vectors = "flash"
code = "flash"
weights = "flash"
data = "ram"
arena = "ram"
kv_cache = ["ram"]
stack = "ram"
[uart]
driver = "cmsdk"
base = 0x40000000
clock_hz = 1000000
"""


RESERVED = '[[reserved]]\nname = "lock"\norigin = {}\nsize = {}\ncontents = "{}"\n[uart]'


def write(folder: Path, text: str) -> Path:
    file = folder / "board.toml"
    file.write_text(text)
    return file


def test_packaged_boards_are_valid() -> None:
    boards = {board.name: board for board in list_boards()}
    assert {"corstone-300", "corstone-320", "host"} <= set(boards)
    assert boards["host"].is_host and not boards["host"].regions
    corstone = boards["corstone-300"]
    assert corstone.regions["itcm"].size == 512 * 1024
    assert corstone.placement is not None
    for section in SECTIONS:
        assert set(corstone.placement.of(section)) <= set(corstone.regions)
    assert corstone.simulator["fvp"].untested and not corstone.simulator["qemu"].untested
    assert "{elf}" in corstone.simulator["qemu"].command


def test_a_file_and_a_folder_can_be_named(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    assert load_board(file) == load_board(tmp_path) == load_board(str(file))
    assert load_board(file).regions["ram"].end == 0x20000000 + 192 * 1024


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "demo"', 'name = "demo"\ncolour = "red"', "colour: no such key"),
        ('kind = "rom"', 'kind = "rom"\nwidth = 4', "width: no such key"),
        ("origin = 0x20000000", "origin = 0x000FF000", "'flash' (ends at 0x100000) and 'ram'"),
        ('weights = "flash"', 'weights = "nvram"', "names the region 'nvram'; the regions are: flash, ram"),
        ('data = "ram"', 'data = "flash"', "no RAM"),
        ('size = "192K"', "size = -5", "region.1.size"),
        ('size = "192K"', 'size = "-5K"', "a size is a number of bytes"),
        ('size = "192K"', "size = 0", "region.1.size"),
        ('size = "192K"', 'size = "4G"', "beyond the 32-bit address space"),
        ("stack_bytes = 4096", "stack_bytes = 12", "at least 1024"),
        ('name = "ram"\norigin', 'name = "flash"\norigin', "two regions are named 'flash'"),
        ('name = "ram"\norigin', 'name = "../x"\norigin', "region.1.name"),
        ('name = "demo"', 'name = "../demo"', "name: "),
        ('name = "demo"', "name = 'de\"mo'", "name: "),
        ('name = "demo"', 'name = "démo"', "name: "),
        ('cpu = "cortex-m4"', 'cpu = "$(reboot)"', "core.cpu"),
        ('flags = ["-mcpu=cortex-m4"]', 'flags = ["; rm -rf"]', "core.flags"),
        ('driver = "cmsdk"', 'driver = "../../etc"', "uart.driver"),
        ('kv_cache = ["ram"]', "kv_cache = []", "placement.kv_cache"),
        ('code = "flash"', 'code = ["flash", "ram"]', "takes exactly one region"),
        ('stack = "ram"', "", "placement.stack: this key is missing"),
        ("[core]", "[core", "is not TOML"),
        (
            "[uart]",
            '[counter]\ndriver = "cmsdk"\ncontrol = 4\n[uart]',
            "needs status, frequency_hz, instruction_ns",
        ),
        ("[uart]", '[counter]\ndriver = "dwt"\ncontrol = 4\n[uart]', "'dwt' takes no control"),
        ("[uart]", "[clock]\ncore_hz = 0\n[uart]", "clock.core_hz"),
        (
            "[uart]",
            RESERVED.format(0xFFFFF, 1, ""),
            "'flash' overlaps the reserved words 'lock' (0x000fffff to",
        ),
        ("[uart]", RESERVED.format(0x100000, 4, "fffffe"), "contents has 3 bytes, and size is 4"),
        ("[uart]", RESERVED.format(0x100000, 1, "f"), "reserved.0.contents"),
        ("[uart]", RESERVED.replace("lock", "ram").format(0x100000, 1, ""), "are both named 'ram'"),
        ('stack = "ram"', 'stack = "ram"\nboot_header = "rom"', "names the region 'rom'; the regions are"),
        (
            'stack = "ram"',
            'stack = "ram"\nboot_header = "flash"',
            "a region of its own; 'flash' is also for vectors",
        ),
        ('kind = "rom"', 'kind = "rom"\nwait_states = -1', "region.0.wait_states"),
    ],
)
def test_bad_files_are_explained(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(BoardError) as caught:
        load_board(write(tmp_path, GOOD.replace(old, new)))
    assert said in str(caught.value)
    assert caught.value.exit_code == 3 and caught.value.hint and "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("origin", "interrupts", "next_one"),
    [
        (0x0804_0040, None, 0x0804_0400),
        (0x0800_0100, None, 0x0800_0400),
        (0x0800_0100, 60, 0x0800_0200),
        (0x0800_0400, 241, 0x0800_0800),
        (0x0800_0040, 1, 0x0800_0080),
    ],
)
def test_an_origin_without_a_vector_table_names_the_next_one(
    tmp_path: Path, origin: int, interrupts: int | None, next_one: int
) -> None:
    def text(origin: int) -> str:
        moved = GOOD.replace("origin = 0\n", f"origin = {origin:#x}\n")
        return (
            moved if interrupts is None else moved.replace("flags =", f"interrupts = {interrupts}\nflags =")
        )

    with pytest.raises(BoardError) as caught:
        load_board(write(tmp_path, text(origin)))
    assert f"origin = {next_one:#010x}, with {next_one - origin} bytes less of size" in caught.value.message
    assert load_board(write(tmp_path, text(next_one))).regions["flash"].origin == next_one


@given(interrupts=st.integers(1, 480))
def test_a_vector_table_is_aligned_to_a_power_of_two_that_holds_it(interrupts: int) -> None:
    alignment = Core(cpu="cortex-m4", interrupts=interrupts).vector_alignment
    assert alignment & (alignment - 1) == 0 and alignment >= 128
    assert alignment >= 4 * (16 + interrupts) and (alignment == 128 or alignment < 8 * (16 + interrupts))


@pytest.mark.parametrize(
    "name", ["nope", "../corstone-300", "a'b", 'a"b', "", ".", "corstone-300/", "x\0y", "é", "a" * 300]
)
def test_unknown_boards_list_the_known_ones(name: str) -> None:
    with pytest.raises(BoardError, match=", ".join(board_names())):
        load_board(name)


def test_binary_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "board.toml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(BoardError, match="cannot be read"):
        load_board(tmp_path)


@given(data=st.data())
def test_any_damage_is_a_board_or_a_board_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    begin = data.draw(st.integers(0, len(GOOD)))
    end = data.draw(st.integers(begin, len(GOOD)))
    text = GOOD[:begin] + data.draw(st.text(max_size=8)) + GOOD[end:]
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    (folder / "board.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        board = load_board(folder)
    except BoardError:
        return
    assert board.stack_bytes >= 0


def test_the_import_is_light() -> None:
    code = "import sys, mcu_sdk.board.board; print(any(m in sys.modules for m in ('torch', 'executorch', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


NPU = """
[npu]
targets = ["ethos-u55-128"]
base = 0x40001000
arena = "ram"
weights = ["flash", "ram"]
shared = "ram"
[npu.vela.u55]
system_config = "Ethos_U55_High_End_Embedded"
memory_modes = ["Shared_Sram", "Sram_Only"]
"""


def test_an_npu_moves_the_arena_and_the_model(tmp_path: Path) -> None:
    board = load_board(write(tmp_path, GOOD + NPU))
    assert board.targets == ("cortex-m4", "ethos-u55-128") and board.default_target == "cortex-m4"
    placement = board.with_npu_memory().placement
    assert placement is not None and placement.arena == ("ram",) and placement.weights == ("flash", "ram")
    shared = board.with_npu_memory(shared=True).placement
    assert shared is not None and shared.arena == shared.weights == ("ram",)
    assert placement.code == shared.code == ("flash",)


def test_each_family_of_npus_may_have_registers_of_its_own() -> None:
    """The Ensemble E8 has a U55 for each core, and a U85 that both share."""
    for name, macs in (("he", 128), ("hp", 256)):
        board = load_board(f"alif-ensemble-e8-{name}")
        assert board.targets == ("cortex-m55", f"ethos-u55-{macs}", "ethos-u85-256")
        for accelerator, base in ((f"ethos-u55-{macs}", 0x400E1000), ("ethos-u85-256", 0x49042000)):
            assert npu_base(board.npu, accelerator) == base
            assert f"MCU_NPU_BASE={base:#010x}u" in definitions(board, accelerator)
    assert npu_base(load_board("corstone-300").npu, "ethos-u65-256") == load_board("corstone-300").npu.base  # type: ignore[union-attr]
    assert npu_base(None) is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('targets = ["ethos-u55-128"]', 'targets = ["ethos-u55-100"]', "npu.targets.0"),
        ('targets = ["ethos-u55-128"]', 'targets = ["ethos-u85-256"]', "no [npu.vela.u85]"),
        ('arena = "ram"', 'arena = "flash"', "have to be RAM"),
        ('shared = "ram"', 'shared = "ddr"', "names the region 'ddr'"),
        ("base = 0x40001000", "", "needs base"),
        ('name = "demo"', 'name = "demo"\ntarget = "ethos-u55-32"', "the board has cortex-m4, ethos-u55-128"),
    ],
)
def test_a_wrong_npu_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    head, tail = (GOOD, NPU.replace(old, new)) if old in NPU else (GOOD.replace(old, new), NPU)
    assert (head, tail) != (GOOD, NPU)
    with pytest.raises(BoardError) as caught:
        load_board(write(tmp_path, head + tail))
    assert said in str(caught.value)
