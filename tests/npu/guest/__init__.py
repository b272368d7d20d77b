"""Builds guest.cpp, a firmware around the NPU's driver, for QEMU and for this computer."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mcu_sdk import resources
from mcu_sdk.project.compile_flags import cxx_flags
from tests.npu.blobs import U55_128, command_block
from tests.npu.streams import STOP, copy_stream, dma

FOLDER = Path(__file__).parent
SCRATCH_BYTES = 48 << 20
SUMMED = 256

LONG = [word for _ in range(4000) for word in dma((1, 0), (1, SCRATCH_BYTES // 2), SCRATCH_BYTES // 2)]
"""Gigabytes are copied: a minute or so, in operations of some milliseconds."""

BLOCKS: dict[str, bytes] = {
    "copy": command_block(copy_stream()),
    "unknown command": command_block([0x3FF, STOP]),
    "out of bounds": command_block([*dma((1, 0), (1, 0x7FFF_FF00), 0x1000), STOP]),
    "other MACs": command_block(copy_stream(), (U55_128[0] + 1, U55_128[1])),
    "long": command_block([*LONG, STOP]),
}
MISCHIEF = ("unreachable scratch", "unknown register", "hang", "silent end")
"""In the order of guest.cpp's enumeration."""

BOARD_FLAGS = (
    "-mcpu=cortex-m33",  # a subset of what the Cortex-M55 has
    "-mfloat-abi=soft",
    "-DMCU_SEMIHOSTING_EXIT=1",
    "-DMCU_UART_BASE=0x49303000u",
    "-DMCU_UART_CLOCK_HZ=25000000u",
    "-DMCU_UART_BAUD=115200u",
    "-DMCU_NPU_BASE=0x48102000u",
    "-nostartfiles",
    "--specs=nano.specs",
)
BOARD_SOURCES = ("platform/cortex_m/uart_cmsdk.cpp", "platform/cortex_m/platform.cpp")
SIMULATED = "drivers/ethos_u/register_access_semihosting.cpp"
MEMORY_MAPPED = "drivers/ethos_u/register_access_mmio.cpp"
HOST_SOURCES = ("platform/host/platform.cpp", "drivers/ethos_u/register_access_pipe.cpp")
SOURCES = (
    "drivers/ethos_u/ethos_u.cpp",
    "drivers/ethos_u/ethos_u_run.cpp",
    "drivers/ethos_u/ethos_u_failed.cpp",
    "runtime/answer.cpp",
    "runtime/crc.cpp",
    "runtime/print.cpp",
)
FLAGS = cxx_flags(None, "-O2")


def number(name: str) -> int:
    """What a request's seed has to be for a block or a kind of mischief."""
    names = [*BLOCKS, *MISCHIEF]
    return names.index(name)


def checksum(scratch: bytes) -> str:
    """What the guest prints for the scratch's first bytes."""
    total = 0
    for byte in scratch[:SUMMED]:
        total = (31 * total + byte) & 0xFFFFFFFF
    return f"{total:08x}"


def build(folder: Path, *, for_board: bool, access: str = SIMULATED) -> Path:
    """The guest's program, in `folder`; `access`: how a board's firmware reaches the registers."""
    firmware = resources.firmware()
    (folder / "blocks.h").write_text(_header(), encoding="ascii")
    program = folder / ("guest.elf" if for_board else "guest")
    sources = [FOLDER / "guest.cpp"]
    sources += [
        firmware / source for source in (*SOURCES, *((*BOARD_SOURCES, access) if for_board else HOST_SOURCES))
    ]
    command = ["arm-none-eabi-g++" if for_board else "g++", *FLAGS]
    if for_board:
        command += [*BOARD_FLAGS, f"-T{FOLDER / 'guest.ld'}"]
    command += [f"-I{folder}", f"-I{firmware}", *map(str, sources), "-o", str(program)]
    subprocess.run(command, check=True)
    return program


def _header() -> str:
    """blocks.h: the command blocks and the weights, which count up."""
    lines = [
        "#include <stdint.h>",
        "#ifdef __arm__",
        '#define BLOCK __attribute__((section(".ddr"), aligned(16)))',
    ]
    lines += ["#else", "#define BLOCK __attribute__((aligned(16)))", "#endif"]
    for index, data in enumerate(BLOCKS.values()):
        lines.append(f"BLOCK static uint8_t block_{index}[] = {{{','.join(map(str, data))}}};")
    lines.append(f"BLOCK static uint8_t kWeights[] = {{{','.join(map(str, range(256)))}}};")
    lines.append("struct Block { const uint8_t* commands; uint32_t bytes; };")
    blocks = ", ".join(f"{{block_{index}, sizeof block_{index}}}" for index in range(len(BLOCKS)))
    lines.append(f"static const Block kBlocks[] = {{{blocks}}};")
    lines.append(f"static const uint32_t kFirstMischief = {len(BLOCKS)};")
    lines.append(f"static const uint32_t kScratchBytes = {SCRATCH_BYTES}, kSummed = {SUMMED};")
    return "\n".join(lines) + "\n"
