"""Kernels compute in float only where they are given a float: what `KernelCall.is_float` rests on (planning/fpu.py)."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from mcu_sdk.planning.kernel_files import kernel, kernels
from mcu_sdk.project.compile_flags import SMALL, cxx_flags
from tests.kernels.conftest import FIRMWARE, kernel_files
from tests.kernels.cores import BOARDS

SOFT = re.compile(r"__aeabi_[fd]\w+|__aeabi_u?[il]2[fd]|__\w+[sd]f[23]?|\w*(sqrt|fma|round|floor)f?")
"""What the compiler calls for a float where there is no FPU (Arm IHI 0043, "Run-time ABI", 4.1), and the math library."""


@pytest.fixture(scope="module")
def float_kernels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """For each kernel, what of SOFT it calls or refers to on a core without FPU, however indirectly."""
    folder = tmp_path_factory.mktemp("fpu")
    sources = [path for path in kernel_files("*.cpp") if not path.stem.endswith("_helium")]
    flags = [*cxx_flags(BOARDS["cortex-m3"], SMALL), f"-I{FIRMWARE}"]
    command = ["arm-none-eabi-g++", *flags, "-c", *map(str, sources)]
    subprocess.run(command, cwd=folder, check=True, timeout=300)
    found: dict[str, set[str]] = {}
    for source in sources:
        found |= _floats(folder / f"{source.stem}.o")
    return found


def _floats(path: Path) -> dict[str, set[str]]:
    """By kernel of one object whose functions have sections of their own."""
    listing = subprocess.run(
        ["arm-none-eabi-objdump", "-r", path], capture_output=True, text=True, check=True
    )
    refers: dict[str, set[str]] = defaultdict(set)
    section = ""
    for line in listing.stdout.splitlines():
        heading = re.match(r"RELOCATION RECORDS FOR \[(.*)\]:", line)
        if heading:
            section = heading[1]
        elif len(line.split()) == 3 and section:
            refers[section].add(line.split()[2].partition("+")[0])

    def reached(name: str, seen: set[str]) -> set[str]:
        section = name if name.startswith(".") else f".text.{name}"
        if section in seen:
            return set()
        seen.add(section)
        own = {symbol for symbol in refers.get(section, ()) if SOFT.fullmatch(symbol)}
        return own.union(*(reached(symbol, seen) for symbol in refers.get(section, ())))

    names = [section.removeprefix(".text.mcu_") for section in refers if section.startswith(".text.mcu_")]
    return {name: reached(f".text.mcu_{name}", set()) for name in names}


def _declared(name: str) -> str:
    """How a kernel is declared: in its header, with the fields of its structs, or by a row of the header's table together with
    the row's macro."""
    header = FIRMWARE / kernel(name).header
    text = header.read_text(encoding="utf-8")
    plain = re.search(rf"\bmcu_{name}\(([^)]*)\);", text)
    if plain:
        structs = re.findall(r"^struct (\w+) \{(.*?)^\};", text, re.MULTILINE | re.DOTALL)
        return plain[1] + "".join(fields for struct, fields in structs if struct in plain[1])
    row = re.search(rf"^(\w+)\({name},?([^)]*)\)", header.with_suffix(".inc").read_text(), re.MULTILINE)
    assert row
    alias = re.search(rf"^#define {row[1]} (\w+)$", text, re.MULTILINE)
    macro = re.search(rf"^#define {alias[1] if alias else row[1]}\(.*?\);", text, re.MULTILINE | re.DOTALL)
    assert macro
    return f"{row[2]} {macro[0]}"


def test_a_kernel_that_computes_in_float_is_given_one(float_kernels: dict[str, set[str]]) -> None:
    """Or elements of any type with a number that says which: those of a call are what its tensors are."""
    hidden = {
        name: used
        for name, used in float_kernels.items()
        if used
        and name in kernels()
        and not re.search(r"\b(float|double)\b", _declared(name))
        and not {"x", "kind"} <= set(kernel(name).parameters)
    }
    assert not hidden


@pytest.mark.parametrize(
    "name", ["rms_norm", "quantize", "avg_pool2d_s8", "convert_s8", "exp_f32", "matmul_f32"]
)
def test_float_is_seen(float_kernels: dict[str, set[str]], name: str) -> None:
    assert float_kernels[name]


@pytest.mark.parametrize(
    "name",
    [
        "linear_s8_requantize",
        "linear_s8_per_tensor",
        "conv2d_s8",
        "quantized_add",
        "max_pool2d_s8",
        "batch_matmul_s8",
    ],
)
def test_integer_kernels_need_no_float(float_kernels: dict[str, set[str]], name: str) -> None:
    assert name in kernels() and not float_kernels.get(name)
