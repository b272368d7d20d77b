"""The linears with DSP instructions on simulated Cortex-M4, M7 and M33 cores: the portable kernels' bits, and
how many instructions they take."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from mcu_sdk.board.board import Board
from mcu_sdk.project.compile_flags import SMALL, cxx_flags, define_flags
from tests.compile_objects import compile_objects
from tests.kernels.conftest import FIRMWARE, KERNELS, sources_of
from tests.kernels.cores import BOARDS

HERE = Path(__file__).parent / "cores"
NAMES = ("linear_s4", "linear_s8", "linear_s8_static", "linear_s8_requantize", "linear_s8_per_tensor")
NAMES += ("linear_rows_s8", "batch_matmul_rows_s8", "linear_s8_pairs", "linear_s8_static_pairs")
CONVOLUTIONS = ("depthwise_conv2d_s8", "conv2d_rows_s8")
RENAMED = (*NAMES, *CONVOLUTIONS, "batch_matmul_s8", "conv2d_s8", "linear_s8_add_s16")
SOURCES = sources_of(*RENAMED)
CORES = ("cortex-m4", pytest.param("cortex-m7", marks=pytest.mark.slow), "cortex-m33")
RUNTIME = (
    "platform/cortex_m/startup.cpp",
    "platform/cortex_m/platform.cpp",
    "platform/cortex_m/uart_cmsdk.cpp",
    "platform/cortex_m/counter_ticks.cpp",
    "platform/cortex_m/counter_cmsdk.cpp",
    "runtime/answer.cpp",
    "runtime/crc.cpp",
    "runtime/print.cpp",
)


@dataclass(frozen=True)
class Case:
    """One call: its sizes, and the instructions with and without DSP."""

    name: str
    rows: int
    k: int
    n: int
    dsp: int
    portable: int
    equal: bool

    @property
    def products(self) -> int:
        return self.rows * self.k * self.n


def compile_image(board: Board, folder: Path) -> Path:
    """products.cpp with the kernels as they are, and once more as portable_* without the extension."""
    flags = [*cxx_flags(board), f"-I{FIRMWARE}"]
    compiler = "arm-none-eabi-g++"
    renamed = [f"-Dmcu_{name}=portable_{name}" for name in RENAMED]
    portable = folder / "portable"
    portable.mkdir()
    objects = compile_objects([compiler, *flags, "-U__ARM_FEATURE_DSP", *renamed], SOURCES, portable)
    origin = {region.name: region.origin for region in board.region}
    script = (HERE / "image.ld").read_text()
    for name, region in (("@CODE@", board.placement.code), ("@DATA@", board.placement.data)):
        script = script.replace(name, f"{origin[region[0]]:#x}")
    (folder / "image.ld").write_text(script)
    sources = [HERE / "products.cpp", *SOURCES, *(FIRMWARE / name for name in RUNTIME)]
    objects += compile_objects([compiler, *flags, *define_flags(board)], sources, folder)
    link = [
        "-nostartfiles",
        "-nodefaultlibs",
        "-Timage.ld",
        "-Wl,--gc-sections",
        "-o",
        "image.elf",
        "-lc",
        "-lgcc",
    ]
    command = [compiler, *flags, *map(str, objects), *link]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder / "image.elf"


@pytest.fixture(scope="module", params=CORES)
def cases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    board = BOARDS[request.param]
    image = compile_image(board, tmp_path_factory.mktemp("dsp"))
    command = [part.replace("{elf}", str(image)) for part in board.simulator_command("qemu", None)]
    output = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    ).stdout
    assert output.endswith("done\n") and "NO COUNTER" not in output, output[-500:]
    lines = re.findall(r"^(\w+) (\d+) (\d+) (\d+) (\d+) (\d+) (\w+)$", output, re.MULTILINE)
    return [Case(name, *map(int, numbers), verdict == "equal") for name, *numbers, verdict in lines]


def test_every_case_ran(cases: list[Case]) -> None:
    assert len(cases) == len(NAMES) * (19 * 9 + 4 + 4) + len(CONVOLUTIONS) * 4 * 3 * 2


def test_the_bits_are_the_portable_ones(cases: list[Case]) -> None:
    assert [case for case in cases if not case.equal] == []


def test_large_products_take_what_the_assembly_says(cases: list[Case]) -> None:
    """25 instructions for 16 products, and at most a quarter on top for what surrounds them: with 256 columns the
    requantization is most of that. The portable loop takes five a product. With int4 weights it is 36, and ten for each
    group's sum and its scale; the portable loop, which has two products a byte, 73."""
    large = [case for case in cases if case.k >= 256]
    assert len(large) == len(NAMES) * 3
    for case in large:
        int4 = case.name == "linear_s4"
        assert case.dsp < 1.25 * (36 if int4 else 25) / 16 * case.products + (
            case.products / 3 if int4 else 0
        ), case
        assert case.dsp < (0.65 if int4 else 0.4) * case.portable, case
        if "pairs" in case.name:  # 15 for 16 products, and some dozens for a result
            assert case.dsp < 15 / 16 * case.products + 40 * case.rows * case.n + 6 * case.rows * case.k, case


def test_smaller_products_are_faster_too(cases: list[Case]) -> None:
    """From 33 columns on always; the smallest pay for choosing between the loops, some dozens of instructions for four
    channels, and two rows at a time for being laid out and for channels one by one where there are few columns."""
    for case in cases:
        if case.name in CONVOLUTIONS:
            continue
        more = 1000 if "rows" in case.name or "pairs" in case.name else 200
        assert case.dsp < 0.75 * case.portable if case.k >= 33 else case.dsp <= case.portable + more, case


@pytest.mark.parametrize(
    ("core", "used"), [("cortex-m33", True), ("cortex-m33+nodsp", False), ("cortex-m55", False)]
)
def test_which_cores_use_it(core: str, used: bool, tmp_path: Path) -> None:
    """A Cortex-M33 may lack the extension, and a Cortex-M55 has Helium instead."""
    flags = [f"-mcpu={core}", "-mfloat-abi=hard", *cxx_flags(None, SMALL), f"-I{FIRMWARE}"]
    source = str(KERNELS / "linear/linear_s8.cpp")
    subprocess.run(
        ["arm-none-eabi-g++", *flags, "-c", source, "-o", "a.o"], cwd=tmp_path, check=True, timeout=60
    )
    listing = subprocess.run(
        ["arm-none-eabi-objdump", "-d", "a.o"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert ("smlad" in listing) is used
