"""What a build makes of the tiny model: the image, and what is said where there is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from mcu_sdk.errors import BuildError, DoesNotFitError, ToolMissingError, UsageError
from mcu_sdk.project.build import BuildResult, build
from mcu_sdk.project.elf import build_id, forbidden_symbols, read_sizes, symbols
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project
from tests.project.asking import EOT, REQUESTS, Inputs, OnHost, OnQemu, facts


def test_a_file_without_a_build_id_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no ELF")
    for path in (tmp_path / "text", tmp_path / "missing"):
        with pytest.raises(BuildError, match="no ELF file"):
            build_id(path)
    command = ["g++", "-x", "c++", "-shared", "-nostdlib", "-Wl,--build-id=none", "-o", "a.so", "/dev/null"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    with pytest.raises(BuildError, match="no build id"):
        build_id(tmp_path / "a.so")


def test_sizes_by_section_and_region(tiny_project: Path, tiny_inputs: Inputs) -> None:
    sizes = read_sizes(tiny_project / "build/release/firmware.elf")
    inputs = tiny_inputs()
    plan = inputs.plan.to_template()
    assert sizes.arena == plan["arena_bytes"] and sizes.kv_cache == plan["kv_cache_bytes"]
    assert sizes.weights == len(inputs.pte)
    assert sizes.stack == inputs.board.stack_bytes
    assert sizes.flash == sizes.code + sizes.weights and 4_000 < sizes.code < 24_000
    regions = sizes.by_region(inputs.board)
    assert sum(regions.values()) == sum(section.size for section in sizes.sections)
    assert regions["sram"] == sizes.weights and regions["dtcm"] == sizes.ram


def test_no_heap_printf_or_exceptions(tiny_project: Path) -> None:
    for preset in ("release", "debug"):
        elf = build(tiny_project, preset).program
        assert forbidden_symbols(elf) == []
        assert {"Reset_Handler", "main", "mcu_model_pte"} <= set(symbols(elf))


def test_weights_that_do_not_fit_beside_the_code_go_to_external_memory(
    tmp_path: Path, tiny_inputs: Inputs, on_qemu: OnQemu, tiny_project: Path, on_host: OnHost
) -> None:
    inputs = tiny_inputs()
    moved = {"weights": "ddr", "arena": "isram", "kv_cache": "ddr"}
    layout = type(inputs.layout)(inputs.layout.regions | moved, inputs.layout.used)
    project = render_project(ProjectInputs(**{**vars(inputs), "layout": layout}), tmp_path / "p")
    result = build(project)
    assert result.sizes is not None
    regions = result.sizes.by_region(inputs.board)
    assert regions["isram"] == result.sizes.arena
    assert regions["ddr"] >= result.sizes.kv_cache + result.sizes.weights
    host = on_host(tiny_project / "build/host/firmware", REQUESTS + EOT)
    assert facts(on_qemu(result.program, REQUESTS + EOT)[1]) == facts(host)


def test_two_folders_give_the_same_bytes(
    tmp_path: Path, tiny_inputs: Inputs, tiny_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is compiled, not taken from the first: so what ccache gives the other tests is the compiler's own."""
    monkeypatch.setenv("CCACHE_DISABLE", "1")
    other = render_project(tiny_inputs(), tmp_path / "a longer folder" / "with spaces")
    files = {p.relative_to(other) for p in other.rglob("*") if p.is_file()}
    assert all((other / file).read_bytes() == (tiny_project / file).read_bytes() for file in files)
    assert build(other).program.read_bytes() == (tiny_project / "build/release/firmware.elf").read_bytes()


def test_the_host_is_a_board(
    tmp_path: Path, tiny_inputs: Inputs, on_host: OnHost, tiny_project: Path
) -> None:
    project = render_project(tiny_inputs("host"), tmp_path / "p")
    result = build(project)
    assert result.library is not None and result.library.is_file() and result.sizes is None
    before = facts(on_host(tiny_project / "build/host/firmware", REQUESTS + EOT))
    after = facts(on_host(result.program, REQUESTS + EOT))
    assert [line for line in after if "board=" not in line] == [
        line for line in before if "board=" not in line
    ]
    assert not (project / "cmake/board.ld").exists()


def test_compiler_errors_are_shown_and_logged(tmp_path: Path, tiny_inputs: Inputs) -> None:
    project = render_project(tiny_inputs(), tmp_path / "p")
    (project / "app/main.cpp").write_text("int main() { return oops; }\n")
    with pytest.raises(BuildError) as caught:
        build(project, "host")
    assert "oops" in caught.value.message and "build.log" in caught.value.hint and caught.value.exit_code == 6
    assert "oops" in (project / "build/host/build.log").read_text()


def test_a_region_that_overflows_at_the_linker_is_a_model_that_does_not_fit(
    tmp_path: Path, tiny_inputs: Inputs
) -> None:
    project = render_project(tiny_inputs(), tmp_path / "p")
    main = project / "app/main.cpp"
    main.write_text(
        main.read_text() + '\n__attribute__((section(".vectors"), used)) const char big[700000] = {1};\n'
        'char large[700000];\n__attribute__((section(".vectors"), used)) char* const kept = large;\n'
    )
    with pytest.raises(DoesNotFitError, match=r"region 'itcm' is over by [\d,]+ bytes") as caught:
        build(project)
    assert "region 'dtcm' is over by" in caught.value.message


def test_missing_tools_are_named_with_the_line_that_installs_them(
    tiny_project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match="apt-get install cmake") as caught:
        build(tiny_project)
    assert caught.value.exit_code == 4
    for tool in ("cmake", "ninja"):
        (tmp_path / tool).symlink_to("/bin/true")
    with pytest.raises(ToolMissingError, match="gcc-arm-none-eabi"):
        build(tiny_project)


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        build(tmp_path)


def test_a_project_that_was_moved_builds_again(tmp_path: Path, tiny_inputs: Inputs) -> None:
    project = render_project(tiny_inputs("host"), tmp_path / "a")
    build(project)
    shutil.move(project, tmp_path / "b")
    result: BuildResult = build(tmp_path / "b")
    assert result.program.is_file()


def test_flags_from_the_environment_do_not_leak_in(
    tmp_path: Path, tiny_inputs: Inputs, tiny_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CXXFLAGS", "CFLAGS", "LDFLAGS", "ASMFLAGS"):
        monkeypatch.setenv(name, "-ffast-math -DNDEBUG")
    project = render_project(tiny_inputs(), tmp_path / "p")
    assert build(project).program.read_bytes() == (tiny_project / "build/release/firmware.elf").read_bytes()
