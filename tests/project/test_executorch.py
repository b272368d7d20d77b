"""A project whose model ExecuTorch's own runtime runs: what is in it, and what is refused before anything is compiled."""

from __future__ import annotations

import re
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from mcu_sdk.board.npu_target import NpuTarget
from mcu_sdk.errors import DoesNotFitError, PteError, ToolMissingError, UnsupportedOperatorError, UsageError
from mcu_sdk.generation import generate
from mcu_sdk.options import GenerateRequest
from mcu_sdk.planning.executorch_memory import BITS_32, BITS_64, memory_of
from mcu_sdk.planning.pte.program import read_program
from mcu_sdk.planning.pte.read import read_pte
from mcu_sdk.project import executorch, installed
from mcu_sdk.project.build import build
from mcu_sdk.project.executorch import executorch_of
from mcu_sdk.project.manifest import read_manifest
from mcu_sdk.project.objects import ObjectSizes, object_sizes
from mcu_sdk.project.opened import open_project
from mcu_sdk.regeneration import make_profiled, regenerate
from mcu_sdk.targets.executorch import FAILURES, runtime_error
from mcu_sdk.targets.protocol import Transcript
from mcu_sdk.targets.verdict import check_verdict

FIXTURES = Path(__file__).parents[1] / "fixtures" / "executorch-1.4.1"
DECODER = FIXTURES / "decoder-rows.pte"
FLOATS = FIXTURES / "float-portable.pte"
"""With operators that are ExecuTorch's own."""


def asked(path: Path, output: Path, board: str = "host", **more: object) -> GenerateRequest:
    return GenerateRequest(board, pte=path, output=output, runtime="executorch", **more)  # type: ignore[arg-type]


def test_the_memory_is_what_the_file_takes() -> None:
    data = DECODER.read_bytes()
    pte = read_pte(data)
    found = executorch_of(data, pte)
    plans = read_program(data).execution_plan
    for bits, structures in (("32", BITS_32), ("64", BITS_64)):
        taken = memory_of(plans, pte, structures)["forward"]
        assert found.methods[0].allocator[bits] == taken.method_allocator
        assert found.temporary[bits] == max(taken.temporary, 16)
    assert [size for _, _, size in found.methods[0].planned] == list(pte.memory.values())
    parts = (found.activations, found.temporary["32"], found.methods[0].allocator["32"])
    assert found.arena_bytes == sum(-(-part // 64) * 64 for part in parts)
    assert {wrapper.name.partition("::")[0] for wrapper in found.wrappers} == {"mcu", "cortex_m", "aten"}
    assert not any(name.startswith("mcu::") for name in found.foreign)
    assert "aten::add.out" in {wrapper.name for wrapper in found.wrappers if wrapper.is_of_libraries}


def test_a_project_and_what_regenerating_makes_of_it(tmp_path: Path) -> None:
    project = generate(asked(DECODER, tmp_path / "p", "corstone-300")).project
    assert not (project / "model" / "plan.cpp").exists() and not (project / ".gitlab-ci.yml").exists()
    program = (project / "model" / "program.cpp").read_text()
    kernels = {path.name for path in (project / "sdk" / "kernels").rglob("*.cpp")}
    assert (
        "linear_s8.cpp" in kernels and "softmax_f32.cpp" not in kernels
    )  # ours alone, and only those that are called
    assert read_manifest(project).options["runtime"] == "executorch"
    assert "ASSERT(__init_array_start" not in (project / "cmake" / "board.ld").read_text()
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    again = regenerate(project)
    assert before == {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    assert again.summary()["arena_bytes"] == again.facts["executorch"]["arena_bytes"] > again.plan.arena_bytes
    plain = generate(GenerateRequest("corstone-300", pte=DECODER, output=project)).project
    assert (plain / "model" / "plan.cpp").exists() and not (plain / "model" / "program.cpp").exists()
    assert program


def test_what_it_cannot_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--runtime executorch is for a firmware"):
        generate(asked(DECODER, tmp_path / "p", format="library"))
    with pytest.raises(UsageError, match=r"ethos-u55-128 is the target.*ExecuTorch's own backend"):
        GenerateRequest(runtime="executorch", target="ethos-u55-128").check(
            NpuTarget("ethos-u55-128", "Ethos_U55_High_End_Embedded", "Shared_Sram")
        )
    with pytest.raises(UsageError, match="ExecuTorch's own backend"):
        generate(asked(FIXTURES / "ethos-u-mlp.pte", tmp_path / "p", "corstone-300"))
    with pytest.raises(
        UnsupportedOperatorError, match=r"calls cortex_m::quantized_avg_pool2d\.out with those of an earlier"
    ):
        generate(asked(FIXTURES / "stock-convolutions.pte", tmp_path / "p"))
    monkeypatch.setattr(executorch, "kernels_of", lambda library: frozenset({"aten::cat.out"}))
    with pytest.raises(
        UnsupportedOperatorError,
        match=r"Neither ExecuTorch's portable kernels nor ours .* have aten::argmax\.out",
    ):
        generate(asked(FLOATS, tmp_path / "p"))
    assert not (tmp_path / "p").exists()


def test_a_partition_of_its_own(tmp_path: Path) -> None:
    request = asked(DECODER, tmp_path / "p", "frdm-k64f", pte_partition=128 << 10)
    made = generate(request)
    script = (made.project / "cmake" / "board.ld").read_text()
    assert (
        "pte      (rx) : ORIGIN = 0x000E0000, LENGTH = 0x00020000" in script
    )  # the last of the flash's 1 MiB
    assert re.search(r"\.weights : ALIGN\(64\)\n    \{[^}]*\} > pte AT > pte", script)
    crc = f"0x{zlib.crc32(DECODER.read_bytes()):08x}"
    assert f"true,\n        {crc}," in (made.project / "model" / "program.cpp").read_text()
    before = (made.project / "cmake" / "board.ld").read_bytes()
    assert (regenerate(made.project).project / "cmake" / "board.ld").read_bytes() == before
    with pytest.raises(DoesNotFitError, match="region 'pte' of 4,096 bytes is over"):
        generate(replace(request, pte_partition=4096))
    with pytest.raises(
        DoesNotFitError, match=r"room for a partition of 4,194,304 bytes was expected; .*flash 1,0"
    ):
        generate(replace(request, pte_partition=4 << 20))
    with pytest.raises(UsageError, match="a host has none"):
        generate(replace(request, board="host"))
    with pytest.raises(UsageError, match="multiple of 4096 bytes, not 5000"):
        generate(replace(request, pte_partition=5000))
    with pytest.raises(UsageError, match="is for --runtime executorch"):
        generate(replace(request, runtime="plan"))


def test_where_executorch_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cmake").mkdir()
    with pytest.raises(UsageError, match="--objects is for projects that ExecuTorch"):
        installed.executorch_settings(tmp_path, native=False, objects=True)
    assert installed.executorch_settings(tmp_path, native=False, objects=False) == []
    (tmp_path / installed.LIST).write_text("")
    monkeypatch.delenv(installed.PLACE, raising=False)
    monkeypatch.setenv(installed.TEMPORARY, "4096")
    with pytest.raises(ToolMissingError, match=r"executorch_DIR names; it is not set.*--objects"):
        installed.executorch_settings(tmp_path, native=False, objects=False)
    own = [f"-Dexecutorch_DIR={installed.package()}", "-DMCU_TEMPORARY_BYTES=4096"]
    assert installed.executorch_settings(tmp_path, native=True, objects=False) == own
    monkeypatch.setenv(installed.PLACE, "elsewhere")
    assert installed.executorch_settings(tmp_path, native=False, objects=True) == own
    assert "elsewhere" in installed.executorch_settings(tmp_path, native=False, objects=False)[0]
    assert "elsewhere" in installed.executorch_settings(tmp_path, native=True, objects=False)[0]
    monkeypatch.delenv(installed.TEMPORARY)
    forgets = [own[0], "-UMCU_TEMPORARY_BYTES"]
    assert installed.executorch_settings(tmp_path, native=False, objects=True) == forgets
    for wrong in ("4k", "-1", "0", "1e9"):
        monkeypatch.setenv(installed.TEMPORARY, wrong)
        with pytest.raises(UsageError, match=f"is a number of bytes from 1 up, not '{wrong}'"):
            installed.executorch_settings(tmp_path, native=True, objects=False)
    monkeypatch.setenv(installed.TEMPORARY, "4096")
    beside = {"native": True, "objects": False, "beside_board": True}
    assert installed.executorch_settings(tmp_path, **beside) == own
    monkeypatch.setattr(installed, "package", lambda: None)
    assert "elsewhere" in installed.executorch_settings(tmp_path, **beside)[0]
    with pytest.raises(ToolMissingError, match="this Python has none"):
        installed.executorch_settings(tmp_path, native=False, objects=True)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, r"an installed ExecuTorch 1\.5 was expected, and none was found"),
        (
            {
                "version.py": '__version__ = "1.4.1+cpu"\n',
                "include/executorch/runtime/executor/program.h": "\n",
            },
            r"1\.5 or later was expected; \S+share/cmake is 1\.4\.1",
        ),
        ({"include/executorch/runtime/executor/program.h": "\n"}, "is of an older version"),
    ],
)
def test_an_executorch_that_is_missing_or_too_old(files: dict[str, str], words: str, tmp_path: Path) -> None:
    """The CMake file of a project, with a package that says what an older one says."""
    project = generate(asked(DECODER, tmp_path / "p")).project
    package = tmp_path / "package"
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    place = package / "share" / "cmake"
    place.mkdir(parents=True)
    if files:
        (place / "executorch-config.cmake").write_text(
            f'set(EXECUTORCH_INCLUDE_DIRS "{package}/include")\nset(executorch_FOUND TRUE)\n'
        )
    (tmp_path / "CMakeLists.txt").write_text(
        f'cmake_minimum_required(VERSION 3.21)\nproject(x NONE)\ninclude("{project / installed.LIST}")\n'
    )
    command = ["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "build"), f"-Dexecutorch_DIR={place}"]
    done = subprocess.run(
        [*command, "-DCMAKE_FIND_USE_CMAKE_ENVIRONMENT_PATH=OFF"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    error = installed.explain_executorch(done.stdout + done.stderr, tmp_path / "log")
    assert isinstance(error, ToolMissingError)
    with pytest.raises(ToolMissingError, match=words):
        raise error


def test_an_executorch_that_has_no_kernels(tmp_path: Path) -> None:
    """Built from its sources without: enough for a decoder of ours, and refused where a model takes some of its own."""
    place = tmp_path / "package" / "lib" / "cmake" / "ExecuTorch"
    header = tmp_path / "package" / "include" / "executorch" / "runtime" / "executor" / "program.h"
    for folder in (place, header.parent):
        folder.mkdir(parents=True)
    header.write_text("Span<const Kernel> kernel_registry")
    core = header.parents[1] / "core" / "version.h"
    core.parent.mkdir()
    core.write_text('#define ET_VERSION "1.5.1"\n')
    (place / "executorch-config.cmake").write_text(
        f'set(EXECUTORCH_INCLUDE_DIRS "{tmp_path}/package/include")\n'
        "add_library(executorch_core INTERFACE IMPORTED)\nadd_library(executorch INTERFACE IMPORTED)\n"
        "set(executorch_FOUND FALSE)\n"  # as where portable_kernels is not there
    )
    for path, words in ((DECODER, ""), (FLOATS, r"kernels for aten::argmax\.out, .* was expected")):
        project = generate(asked(path, tmp_path / path.stem)).project
        folder = tmp_path / f"{path.stem}-build"
        folder.mkdir()
        text = (
            f'cmake_minimum_required(VERSION 3.21)\nproject(x NONE)\ninclude("{project / installed.LIST}")\n'
        )
        (folder / "CMakeLists.txt").write_text(text)
        command = ["cmake", "-S", str(folder), "-B", str(folder / "b"), f"-Dexecutorch_DIR={place}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode == 0) == (not words), done.stderr
        if words:
            error = installed.explain_executorch(done.stdout + done.stderr, tmp_path / "log")
            assert isinstance(error, ToolMissingError) and re.search(words, str(error))


def test_what_the_runtime_refuses_has_a_meaning() -> None:
    for reason, (kind, meaning, _) in FAILURES.items():
        facts = {"verdict": "error", "reason": reason, "executorch_in": "forward", "executorch_error": "0x21"}
        with pytest.raises(kind, match=f"{meaning} .*executorch_in=forward"):
            check_verdict(Transcript("", facts), "the board")
    told = {reason for path in (Path(__file__).parents[2] / "firmware" / "executor").glob("*.cpp")
            for reason in path.read_text().split('"') if reason.startswith("executorch_")}  # fmt: skip
    assert told == set(FAILURES)
    assert "aten::add.out" in str(
        runtime_error("executorch_operator_missing", "aten::add.out", 20, "this computer")
    )
    assert FAILURES["executorch_method_memory_too_small"][0] is DoesNotFitError
    assert FAILURES["executorch_operator_missing"][0] is PteError


def test_objects_are_counted_by_part(tmp_path: Path) -> None:
    folder = tmp_path / "CMakeFiles" / "sdk.dir" / "sdk" / "kernels" / "linear"
    folder.mkdir(parents=True)
    source = "int a[4]; const int b[8] = {1}; int f(int x) { return x + b[x] + a[x]; }\n"
    for place in (folder / "x.cpp.o", tmp_path / "CMakeFiles" / "of_the_compiler.o"):
        command = ["gcc", "-c", "-xc", "-", "-o", str(place)]
        subprocess.run(command, input=source, text=True, check=True, timeout=60)
    found = object_sizes(tmp_path)
    assert found.keys() == {"sdk/kernels"}
    assert found["sdk/kernels"].variables == 16 and found["sdk/kernels"].code > 32
    assert found["sdk/kernels"] + ObjectSizes(model=1) != found["sdk/kernels"]


def test_a_self_test_and_a_profile_are_for_plans(tmp_path: Path) -> None:
    project = generate(asked(DECODER, tmp_path / "p")).project
    with pytest.raises(UsageError, match="--self-test is for compiled plans"):
        build(project, "host", self_test=True)
    with pytest.raises(UsageError, match="A profile is of a plan's calls"):
        make_profiled(open_project(project))
