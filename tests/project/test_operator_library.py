"""The folder with our operators for ExecuTorch's runtime."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mcu_sdk.errors import PteError, UnsupportedOperatorError, UsageError
from mcu_sdk.operators.table import OPERATORS
from mcu_sdk.planning.instruction import Instruction
from mcu_sdk.planning.pte.read import Pte
from mcu_sdk.project.executorch import operators_of
from mcu_sdk.project.operator_library import write_library_files, write_operator_library
from mcu_sdk.project.wrappers import all_wrappers


def pte_with(*operators: str) -> Pte:
    """A program that calls operators, by name and overload."""
    calls = (name.partition(".") for name in operators)
    instructions = (Instruction(i, name, overload, (), "") for i, (name, _, overload) in enumerate(calls))
    nothing = Pte((), {}, (), (), (), (), {}, 0, 0, (), (), (), (), 0, "")
    return replace(nothing, instructions=tuple(instructions))


def test_it_has_what_the_chosen_operators_need_alone(tmp_path: Path) -> None:
    folder = tmp_path / "operators"
    write_library_files(folder, all_wrappers([OPERATORS["mcu::rms_norm"]]))
    kernels = {path.name for path in (folder / "sdk" / "kernels").rglob("*.cpp")}
    assert kernels == {"rms_norm.cpp"}
    assert "mcu::rms_norm.out" in (text := (folder / "operators.cpp").read_text())
    assert "mcu::layer_norm" not in text
    assert "sdk/kernels/norm/rms_norm.cpp" in (folder / "CMakeLists.txt").read_text()


def test_a_program_s_operators_are_those_of_all_methods_that_are_ours() -> None:
    step = pte_with("mcu::cache_write_", "aten::add.out", "mcu::linear_s8_add_s16_.packed")
    both = replace(step, prefill=pte_with("mcu::silu.out", "executorch_prim::et_view"))
    names = [row.name for row in operators_of(both)]
    assert names == ["mcu::cache_write", "mcu::linear_s8_add_s16.packed", "mcu::silu"]


def test_an_operator_that_nobody_has_is_refused_by_name() -> None:
    with pytest.raises(
        UnsupportedOperatorError, match=r"have cortex_m::quantized_conv2d_nhwc\.out, mcu::fancy\.out"
    ):
        operators_of(
            pte_with("cortex_m::quantized_conv2d_nhwc.out", "mcu::fancy.out", "cortex_m::quantized_add.out")
        )


def test_what_neither_library_lacks_by_its_namespace_is_refused_too() -> None:
    """ATen has it, and ExecuTorch's portable library has not; nor does a project link its quantized kernels."""
    with pytest.raises(
        UnsupportedOperatorError, match=r"have aten::erfinv\.out, quantized_decomposed::add\.out"
    ):
        operators_of(pte_with("aten::erfinv.out", "quantized_decomposed::add.out", "aten::cat.out"))


def test_without_a_file_none_stands_in_the_place_of_executorch_s_own(tmp_path: Path) -> None:
    folder = write_operator_library(tmp_path / "operators")
    assert "aten::" not in (folder / "operators.cpp").read_text()


def test_of_a_file_those_are_registered_that_nobody_else_has(tmp_path: Path) -> None:
    folder = tmp_path / "operators"
    write_library_files(folder, all_wrappers([OPERATORS["aten::tanh"], OPERATORS["mcu::silu"]]))
    text = (folder / "operators.cpp").read_text()
    assert text.index('Kernel("mcu::silu.out"') < text.index('Kernel("aten::tanh.out"')
    assert "kRegistered = 1;" in text


def test_it_replaces_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "operators"
    folder.mkdir()
    write_operator_library(folder)  # an empty folder is as good as none
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="there already"):
        write_operator_library(folder)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_that_is_no_program_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.pte").write_bytes(b"no program")
    with pytest.raises(PteError):
        write_operator_library(tmp_path / "operators", tmp_path / "model.pte")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pte"]


def test_an_executorch_that_is_too_old_is_refused_with_its_version(tmp_path: Path) -> None:
    """One that was installed from its sources, which tells its version in a header alone."""
    folder = write_operator_library(tmp_path / "operators")
    place = tmp_path / "package" / "lib" / "cmake" / "ExecuTorch"
    runtime = tmp_path / "package" / "include" / "executorch" / "runtime"
    for name in (place, runtime / "core", runtime / "executor"):
        name.mkdir(parents=True)
    (runtime / "core" / "version.h").write_text('#define ET_VERSION "1.4.1"\n')
    (runtime / "executor" / "program.h").write_text("\n")
    (place / "executorch-config.cmake").write_text(
        f'set(EXECUTORCH_INCLUDE_DIRS "{tmp_path}/package/include")\nset(executorch_FOUND TRUE)\n'
    )
    command = ["cmake", "-S", str(folder), "-B", str(tmp_path / "build"), f"-Dexecutorch_DIR={place}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert f"ExecuTorch 1.5 or later was expected; {place} is 1.4.1" in " ".join(done.stderr.split())
