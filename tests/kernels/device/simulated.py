"""Calling kernels on a simulated Cortex-M55, and counting their instructions.

A batch of calls is one run of QEMU: an image of memory with the calls and their arrays goes in through semihosting,
comes back, and the arrays hold what the kernels wrote.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcu_sdk.project.compile_flags import cxx_flags, define_flags
from tests.compile_objects import compile_objects
from tests.kernels.call import Guarded
from tests.kernels.conftest import FIRMWARE
from tests.kernels.cores import BOARDS

HERE = Path(__file__).parent
BASE = 0x60000000
HEADER_WORDS, CALL_WORDS, WORDS, FLOATS = 4, 30, 20, 8
BOARD = BOARDS["cortex-m55"]
CLANG = "MCU_KERNEL_COMPILER"
"""The environment may name a clang that compiles the kernels instead of GCC (tests/kernels/test_clang.py)."""

QEMU = [
    *("qemu-system-arm", "-M", "mps3-an547", "-icount", "shift=5,align=off,sleep=off"),
    *("-display", "none", "-monitor", "none", "-serial", "none"),
    *("-semihosting-config", "enable=on,target=native", "-kernel"),
]


@dataclass
class Call:
    """One call of `mcu_<name>`; `instructions` is known once its batch has run."""

    name: str
    arguments: tuple[Any, ...]
    instructions: int = -1


@dataclass
class Simulated:
    """The kernels of some sources, built for a Cortex-M55 as the firmware is."""

    program: Path
    functions: dict[str, int]
    _waiting: list[Call] = field(default_factory=list)

    def call(self, name: str, *arguments: Any) -> Call:
        """Take a call into the next batch: arrays and Guarded become pointers with the alignment they have here."""
        self._waiting.append(Call(name, arguments))
        return self._waiting[-1]

    def run(self) -> None:
        """Run the batch, and fail where a kernel faults or writes beside its Guarded arrays."""
        calls, self._waiting = self._waiting, []
        image = _Image(calls, self.functions)
        folder = self.program.parent
        (folder / "results.bin").unlink(missing_ok=True)
        (folder / "calls.bin").write_bytes(image.content)
        command = [*QEMU, self.program.name]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
        image.read_back((folder / "results.bin").read_bytes())


class _Image:
    """The memory of a batch, and where each array is in it."""

    def __init__(self, calls: Sequence[Call], functions: dict[str, int]) -> None:
        self._calls = calls
        self._places: dict[int, tuple[np.ndarray[Any, Any], int]] = {}
        words = np.zeros(HEADER_WORDS + CALL_WORDS * len(calls), np.uint32)
        self._end = words.nbytes
        for number, call in enumerate(calls):
            record = words[HEADER_WORDS + CALL_WORDS * number :][:CALL_WORDS]
            integers, floats = self._arguments(call.arguments)
            record[0] = functions[f"mcu_{call.name}"] | 1
            record[2 : 2 + len(integers)] = np.array(integers, np.int64).astype(np.uint32)
            record[2 + WORDS : 2 + WORDS + len(floats)] = np.array(floats, np.float32).view(np.uint32)
        words[:2] = self._end, len(calls)
        content = bytearray(self._end)
        content[: words.nbytes] = words.tobytes()
        for array, offset in self._places.values():
            content[offset : offset + array.nbytes] = array.tobytes()
        self.content = bytes(content)

    def _arguments(self, arguments: Sequence[Any]) -> tuple[list[int], list[float]]:
        integers: list[int] = []
        floats: list[float] = []
        for argument in arguments:
            if isinstance(argument, Guarded):
                self._place(argument.memory)
                integers.append(self._place(argument.memory) + argument.start)
            elif isinstance(argument, np.ndarray):
                integers.append(self._place(argument))
            elif argument is None or isinstance(argument, (bool, int, np.integer)):
                integers.append(int(argument or 0))
            else:
                floats.append(float(argument))
        assert len(integers) <= WORDS and len(floats) <= FLOATS
        return integers, floats

    def _place(self, array: np.ndarray[Any, Any]) -> int:
        """The array's address in the image, with this process's alignment within 16."""
        assert array.flags.c_contiguous
        address = array.ctypes.data
        if address not in self._places:
            self._end += (address - self._end) % 16
            self._places[address] = (array, self._end)
            self._end += array.nbytes
        return BASE + self._places[address][1]

    def read_back(self, content: bytes) -> None:
        words = np.frombuffer(content, np.uint32, HEADER_WORDS + CALL_WORDS * len(self._calls))
        assert words[2] == 1, "the simulator's clock does not count instructions"
        for number, call in enumerate(self._calls):
            call.instructions = int(words[HEADER_WORDS + CALL_WORDS * number + 1])
        for array, offset in self._places.values():
            if array.flags.writeable:
                array[...] = np.frombuffer(content, array.dtype, array.size, offset).reshape(array.shape)
        for call in self._calls:
            for argument in call.arguments:
                if isinstance(argument, Guarded):
                    argument.check()


def build(sources: Sequence[Path], folder: Path) -> Simulated:
    """Compile and link the sources (.cpp and .S) with the driver. Fails where the tools are missing."""
    for tool in ("arm-none-eabi-g++", "qemu-system-arm"):
        if shutil.which(tool) is None:
            pytest.fail(f"These tests need {tool} (Debian: gcc-arm-none-eabi, qemu-system-arm).")
    program = folder / "kernels.elf"
    platform = FIRMWARE / "platform" / "cortex_m"
    driver = [HERE / "driver.cpp", platform / "counter_sse300.cpp", platform / "counter_ticks.cpp"]
    link = [
        "-nostartfiles",
        "-nodefaultlibs",
        f"-T{HERE / 'device.ld'}",
        "-Wl,--build-id=none",
        "-lc",
        "-lgcc",
    ]
    compiler = ["arm-none-eabi-g++", *cxx_flags(BOARD), *define_flags(BOARD), f"-I{FIRMWARE}"]
    clang = os.environ.get(CLANG)
    by_clang = [clang or "", *cxx_flags(BOARD.model_copy(update={"toolchain": "clang"})), f"-I{FIRMWARE}"]
    objects = compile_objects(compiler, driver, folder)
    objects += compile_objects(by_clang if clang else compiler, sources, folder)
    command = [*compiler, *map(str, objects), *link, "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    listing = subprocess.run(
        ["arm-none-eabi-nm", str(program)], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(r"^([0-9a-f]+) T (mcu_\w+)$", listing, re.MULTILINE)
    return Simulated(program, {name: int(address, 16) for address, name in found})
