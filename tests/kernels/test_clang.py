"""Clang 19 compiles the firmware too, and its vector kernels give the portable kernels' bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.kernels.conftest import FIRMWARE
from tests.kernels.device.simulated import CLANG, FLAGS, newlib_includes
from tests.kernels.test_targets import CORES

COMPILER = "clang-19"
SOURCES = ("kernels/*/*.cpp", "kernels/*/*.S", "drivers/*/*.cpp", "platform/cortex_m/*.cpp", "runtime/*.cpp")
GENERATED = ("console.cpp", "language_model.cpp", "tensor_model.cpp")
"""These include headers of a generated project."""

DEFINITIONS = {
    "MCU_UART_BASE": "0x40004000u",
    "MCU_UART_CLOCK_HZ": "25000000u",
    "MCU_UART_BAUD": "115200u",
    "MCU_COUNTER_CONTROL": "0x40000000u",
    "MCU_COUNTER_STATUS": "0x40000004u",
    "MCU_COUNTER_HZ": "25000000u",
    "MCU_COUNTER_INSTRUCTION_NS": "64u",
    "MCU_NPU_BASE": "0x48102000u",
}


def test_every_source_compiles_without_a_warning(tmp_path: Path) -> None:
    defined = [f"-D{name}={value}" for name, value in DEFINITIONS.items()]
    for core, flags in CORES.items():
        patterns = SOURCES if core == "cortex-m55" else SOURCES[:1]
        found = sorted(path for pattern in patterns for path in FIRMWARE.glob(pattern))
        sources = [str(path) for path in found if path.name not in GENERATED]
        command = [COMPILER, "--target=arm-none-eabi", *flags, "-mthumb", "-mfloat-abi=hard", *FLAGS]
        more = ["-Wno-unused-command-line-argument", *newlib_includes(), f"-I{FIRMWARE}", *defined]
        done = subprocess.run(
            [*command, *more, "-c", *sources], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr


def test_vector_kernels_give_the_same_bits() -> None:
    """The device's tests once more with kernels by clang; the bars on instruction counts are GCC's."""
    device = Path(__file__).parent / "device"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", str(device)]
    done = subprocess.run(
        [*command, "-m", "not slow", "-k", "not cost and not instructions and not takes"],
        env=os.environ | {CLANG: COMPILER},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-4000:]
