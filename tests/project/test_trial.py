"""The size that `generate` finds is the size that `build` links, to the byte; and never less without a compiler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.model.device_tokenizer import DeviceTokenizer
from mcu_sdk.model.tokenizer_parts import Merge
from mcu_sdk.planning.fit import Sizes, check_fit
from mcu_sdk.project import trial
from mcu_sdk.project.build import build
from mcu_sdk.project.elf import read_sizes
from mcu_sdk.project.fitting import table_bytes
from mcu_sdk.project.presets import Optimize
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project
from mcu_sdk.project.trial import CodeSizes, measure

Inputs = Callable[..., ProjectInputs]


def linked(elf: Path) -> CodeSizes:
    sizes = read_sizes(elf)
    found = [
        s for s in sizes.sections if s.name in (".text", ".ARM.exidx", ".note.gnu.build-id", ".init_array")
    ]
    end = max(section.address + section.size for section in found)
    return CodeSizes(end - found[0].address, sizes.size(".tokenizer"), sizes.data, sizes.bss)


def test_what_is_measured_is_what_is_linked(tiny_inputs: Inputs, tiny_project: Path) -> None:
    assert measure(tiny_inputs()) == linked(tiny_project / "build/release/firmware.elf")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("board", "optimize"),
    [("mps2-an386", "size"), ("mps2-an500", "speed")],
)
def test_also_on_other_cores_and_for_size(
    tmp_path: Path, tiny_inputs: Inputs, board: str, optimize: Optimize
) -> None:
    inputs = replace(tiny_inputs(board), optimize=optimize)
    assert measure(inputs) == linked(build(render_project(inputs, tmp_path / "p")).program)


@pytest.mark.parametrize("optimize", ["speed", "size"])
@pytest.mark.slow
def test_also_with_clang(tmp_path: Path, tiny_inputs: Inputs, optimize: Optimize) -> None:
    board = load_board("mps2-an386").model_copy(update={"toolchain": "clang"})
    inputs = replace(tiny_inputs(board), optimize=optimize)
    measured = measure(inputs)
    assert measured is not None and measured != measure(replace(inputs, board=load_board("mps2-an386")))
    assert measured == linked(build(render_project(inputs, tmp_path / "p")).program)


@pytest.mark.slow
def test_a_large_tokenizer_lies_where_there_is_room(tmp_path: Path, tiny_inputs: Inputs) -> None:
    """49,152 tokens: 0.9 MB, which the 512 KB beside the code do not hold."""
    tokens = tuple(f"{i:08x}".encode() for i in range(49_152))
    merges = tuple(Merge(i % 256, i // 256, i, i) for i in range(256, 49_152))
    tables = DeviceTokenizer(
        True, token_bytes=tokens, byte_ids=tuple(range(256)), merges=merges
    ).to_template()
    inputs = tiny_inputs(tokenizer=tables)
    measured = measure(inputs)
    assert (
        measured is not None and 800_000 < measured.tokenizer <= table_bytes(tables) < measured.tokenizer + 64
    )
    plan = inputs.plan.to_template()
    sizes = Sizes(measured.code, measured.tokenizer, len(inputs.pte), measured.data, measured.bss)
    layout = check_fit(
        inputs.board, replace(sizes, arena=plan["arena_bytes"], kv_cache=plan["kv_cache_bytes"])
    )
    result = build(render_project(replace(inputs, layout=layout), tmp_path / "p"))
    assert result.sizes is not None and layout.regions["tokenizer"] == "sram"
    regions = result.sizes.by_region(inputs.board)
    assert regions["sram"] == measured.tokenizer + len(inputs.pte) and regions["itcm"] < 64 * 1024


def test_an_app_that_stays_is_measured(tmp_path: Path, tiny_inputs: Inputs) -> None:
    project = render_project(tiny_inputs(), tmp_path / "p")
    main = project / "app/main.cpp"
    main.write_text(main.read_text().replace("int main() {", "int kept[9] = {1};\nint main() {\n    kept[0] = kept[platform_read() % 9];", 1))  # fmt: skip
    measured = measure(tiny_inputs(), project / "app")
    assert measured is not None and measured.data >= 36
    assert measured == linked(build(project).program)
    main.write_text("int main() { return oops; }\n")
    assert measure(tiny_inputs(), project / "app") is None  # for the build to explain


def test_c_files_that_the_app_lists_are_measured(tmp_path: Path, tiny_inputs: Inputs) -> None:
    project = render_project(tiny_inputs(), tmp_path / "p")
    (project / "app/led.c").write_text(
        "int new = 1; int led[40] = {7};\nint class(int i) { return led[i]; }\n"
    )
    main = project / "app/main.cpp"
    code = 'extern "C" int led[];\nint main() {\n    led[platform_read() % 9] = 2;'
    main.write_text(main.read_text().replace("int main() {", code, 1))
    lists = project / "app/CMakeLists.txt"
    lists.write_text(lists.read_text().replace("main.cpp\n", "main.cpp led.c  # and lost.c\n", 1))
    measured = measure(tiny_inputs(), project / "app")
    assert measured is not None and measured.data >= 160
    assert measured == linked(build(project).program)


def test_an_app_that_takes_more_than_its_sources(tmp_path: Path, tiny_inputs: Inputs) -> None:
    """A folder of headers that only CMake knows of: the generated program stands for it."""
    project = render_project(tiny_inputs(), tmp_path / "p")
    main = project / "app/main.cpp"
    main.write_text('#include "found_by_cmake.h"\n' + main.read_text())
    assert measure(tiny_inputs(), project / "app") is None  # app/CMakeLists.txt names no such folder
    with (project / "app/CMakeLists.txt").open("a") as lists:
        lists.write("target_include_directories(firmware PRIVATE include)\n")
    assert measure(tiny_inputs(), project / "app") == measure(tiny_inputs())


def test_a_change_of_any_file_is_measured_again(
    tiny_inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCU_SDK_CACHE", str(tmp_path / "cache"))
    compiled: list[str] = []
    compile_one = trial.Trial.compile

    def counted(self: trial.Trial, command: list[str], result: Path) -> None:
        compiled.append(command[-1])
        compile_one(self, command, result)

    monkeypatch.setattr(trial.Trial, "compile", counted)
    first = measure(tiny_inputs())
    assert len(compiled) > 10
    compiled.clear()
    assert measure(tiny_inputs()) == first and not compiled
    longer = tiny_inputs(language_model=replace(tiny_inputs().language_model, max_sequence_length=100))  # type: ignore[type-var]
    changed = measure(longer)
    assert {"app/main.cpp", "model/plan.cpp"} <= set(compiled) and len(compiled) < 10
    assert changed is not None and first is not None and changed.bss > first.bss


def test_without_a_compiler_nothing_is_measured(
    tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert measure(tiny_inputs(load_board("host"))) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert measure(tiny_inputs()) is None
