from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_sdk import resources
from mcu_sdk.board.board import load_board
from mcu_sdk.errors import BoardError, UsageError
from mcu_sdk.project import render
from mcu_sdk.project.manifest import Input, ModelFacts, read_manifest, read_places
from mcu_sdk.project.names import slug, title
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project
from mcu_sdk.project.sources import needed_files

Inputs = Callable[..., ProjectInputs]

NASTY = [
    "../../etc/passwd",
    "a b",
    "a'b\"c",
    "modèle ünïcode",
    "*/ #error",
    "x\\",
    "",
    "...",
    "a\nb\rc",
    "$(reboot)",
    "日本",
    "0",
]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# ---- names


@given(st.text(max_size=200))
def test_a_slug_is_always_safe(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug(name)) and len(slug(name)) <= 60
    assert re.search("[a-z]", slug(name))


@given(st.text(max_size=200))
def test_a_title_is_one_harmless_line(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9 .,_+()-]{1,80}", title(name))


@pytest.mark.parametrize("name", NASTY)
def test_names_never_reach_paths_or_code_raw(tmp_path: Path, tiny_inputs: Inputs, name: str) -> None:
    project = render_project(tiny_inputs(name=name), tmp_path / "p")
    plain = tree(render_project(tiny_inputs(), tmp_path / "plain"))
    files = tree(project)
    assert files.keys() == plain.keys()
    for file, data in files.items():
        assert data.isascii() or file.startswith("sdk/") or file.endswith(".pte"), file
        if len(name) > 2 and name != title(name):
            assert name.encode("utf-8", "replace") not in data, file
    assert list(tmp_path.iterdir()).__len__() == 2


def test_descriptions_of_boards_are_cleaned(tmp_path: Path, tiny_inputs: Inputs) -> None:
    board = load_board("corstone-300").model_copy(update={"description": "x\n#error */ \\"})
    files = tree(render_project(tiny_inputs(board), tmp_path / "p"))
    assert not any(b"#error" in data for name, data in files.items() if not name.startswith("sdk/"))


# ---- the parts that format


def test_headers_are_found_however_indirectly() -> None:
    files = needed_files(["runtime/language_model.cpp"])
    assert {
        "runtime/language_model.h",
        "runtime/tokenizer.h",
        "runtime/digest.h",
        "platform/counter.h",
    } <= set(files)
    assert "runtime/tensor_model.h" not in files and not any(name.startswith("model/") for name in files)
    with pytest.raises(BoardError, match=r"uart_nope\.cpp does not exist"):
        needed_files(["platform/cortex_m/uart_nope.cpp"])


# ---- projects


def test_a_project_holds_what_it_needs_and_no_more(tmp_path: Path, tiny_inputs: Inputs) -> None:
    inputs = tiny_inputs(files={"names.json": b"[]"})
    project = render_project(inputs, tmp_path / "p")
    files = tree(project)
    assert {"CMakeLists.txt", "CMakePresets.json", "README.md", ".gitignore", "mcu-sdk.json", "app/main.cpp",
            "cmake/board.ld", "cmake/arm-none-eabi.cmake", "model/model.h", "model/plan.cpp", "model/model.pte",
            "model/tokenizer.cpp", "model/names.json", "sdk/platform/cortex_m/startup.cpp"} <= set(files)  # fmt: skip
    assert not [name for name in files if "tensor_model" in name or name.endswith(".j2")]
    assert files["model/model.pte"] == inputs.pte
    assert sha256(inputs.pte).hexdigest().encode() in files["model/model.h"]
    assert not [
        name for name, data in files.items() if b"{{" in data and name.endswith((".txt", ".json", ".cmake"))
    ]
    assert not [name for name, data in files.items() if str(tmp_path).encode() in data]
    assert [preset["name"] for preset in json.loads(files["CMakePresets.json"])["configurePresets"]] == [
        "release", "debug", "host", "host-debug"]  # fmt: skip


def test_the_plan_reads_like_the_network(tmp_path: Path, tiny_inputs: Inputs) -> None:
    plan = (render_project(tiny_inputs(), tmp_path / "p") / "model/plan.cpp").read_text()
    assert "    // layers.0: made-up(f32[16])\n" in plan
    assert plan.index("// #0: a table") < plan.index("// layers.0")


def test_the_manifest_names_what_went_in_and_no_place(tmp_path: Path, tiny_inputs: Inputs) -> None:
    model = Input("folder", "checkpoint", "0" * 64)
    inputs = tiny_inputs(
        options={"max_cache_len": 12, "weights": None},
        inputs={"model": model},
        places={"model": tmp_path / "checkpoint"},
        files={"tokenizer.json": b"{}"},
    )
    project = render_project(inputs, tmp_path / "p")
    manifest = read_manifest(project)
    assert manifest.model == ModelFacts(
        sha256(inputs.pte).hexdigest(), True, sha256(b"{}").hexdigest(), 16, 12, bos_id=1
    )
    assert manifest.inputs == {"model": model}
    assert manifest.options == {"max_cache_len": 12, "weights": None}
    assert manifest.board == "corstone-300" and "mcu-sdk" in manifest.versions
    assert "/" not in re.sub(r'"files": {[^}]*}', "", (project / "mcu-sdk.json").read_text())
    files = {name: sha256(data).hexdigest() for name, data in tree(project).items()}
    assert manifest.files == {
        name: text
        for name, text in files.items()
        if not name.startswith(("app/", ".mcu-sdk/")) and name != "mcu-sdk.json"
    }
    assert read_places(project) == {"model": tmp_path / "checkpoint"}


MANIFEST = (
    '{"format": 2, "name": "x", "board": "host", "options": {}, "versions": {}, "model": {"sha256": "0"}, '
    '"inputs": {"model": {"kind": "file", "name": %s}}}'
)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"format": 99}', '{"format": 2, "name": "x"}', MANIFEST % 1, MANIFEST % "null"],
)
def test_broken_manifests_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "mcu-sdk.json").write_text(content)
    with pytest.raises(UsageError):
        read_manifest(tmp_path)


# ---- regenerating


def test_regenerating_keeps_what_is_the_users(tmp_path: Path, tiny_inputs: Inputs) -> None:
    project = render_project(tiny_inputs(), tmp_path / "p")
    (project / "app/main.cpp").write_text("// mine\n")
    (project / "app/extra.h").write_text("// mine too\n")
    (project / "notes.txt").write_text("keep\n")
    (project / "build").mkdir()
    (project / "build/cache").write_text("keep")
    (project / "sdk/mine.cpp").write_text("// put beside what is generated\n")
    unchanged = project / "sdk/runtime/print.cpp"
    os.utime(unchanged, ns=(10**18, 10**18))
    render_project(tiny_inputs(), project)
    assert (project / "app/main.cpp").read_text() == "// mine\n"
    assert (
        (project / "app/extra.h").exists()
        and (project / "notes.txt").exists()
        and (project / "build/cache").exists()
    )
    assert (project / "sdk/mine.cpp").read_text() == "// put beside what is generated\n"
    assert unchanged.stat().st_mtime_ns == 10**18
    assert [entry.name for entry in tmp_path.iterdir()] == ["p"]


def test_a_deleted_app_comes_back(tmp_path: Path, tiny_inputs: Inputs) -> None:
    project = render_project(tiny_inputs(), tmp_path / "p")
    shutil.rmtree(project / "app")
    render_project(tiny_inputs(), project)
    assert (project / "app/main.cpp").is_file()


def test_an_empty_folder_is_filled(tmp_path: Path, tiny_inputs: Inputs) -> None:
    (tmp_path / "p").mkdir()
    assert (render_project(tiny_inputs(), tmp_path / "p") / "mcu-sdk.json").is_file()


def test_foreign_folders_and_files_are_left_alone(tmp_path: Path, tiny_inputs: Inputs) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"x")
    file = tmp_path / "file"
    file.write_bytes(b"y")
    dangling = tmp_path / "link"
    dangling.symlink_to("nowhere")
    before = tree(tmp_path)
    for destination in (folder, file, dangling):
        with pytest.raises(UsageError) as caught:
            render_project(tiny_inputs(), destination)
        assert caught.value.exit_code == 2
    assert tree(tmp_path) == before


@pytest.mark.parametrize("existing", [False, True])
def test_a_failure_leaves_nothing_half_done(
    tmp_path: Path, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch, existing: bool
) -> None:
    if existing:
        render_project(tiny_inputs(), tmp_path / "p")
    before = tree(tmp_path)

    def fail(*_: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(render, "_manifest", fail)
    with pytest.raises(KeyboardInterrupt):
        render_project(tiny_inputs(name="other"), tmp_path / "p")
    assert tree(tmp_path) == before and (tmp_path / "p").exists() == existing


def test_a_board_with_a_source_of_its_own(tmp_path: Path, tiny_inputs: Inputs) -> None:
    folder = tmp_path / "board"
    folder.mkdir()
    (folder / "board.toml").write_bytes((resources.boards() / "corstone-300/board.toml").read_bytes())
    (folder / "board.cpp").write_text("// clock\n")
    project = render_project(tiny_inputs(load_board(folder)), tmp_path / "p")
    assert (project / "sdk/platform/board.cpp").read_text() == "// clock\n"
    assert "MCU_BOARD_START=1" in (project / "cmake/board.cmake").read_text()
    assert "sdk/platform/board.cpp" in (project / "cmake/board.cmake").read_text()


def test_a_board_with_drivers_of_its_own(tmp_path: Path, tiny_inputs: Inputs) -> None:
    """They are taken before those of the package, with the board's headers and what these include."""
    folder = tmp_path / "board"
    folder.mkdir()
    toml = (resources.boards() / "corstone-300/board.toml").read_text()
    (folder / "board.toml").write_text(toml.replace('driver = "sse300"', 'driver = "mine"'))
    (folder / "uart_cmsdk.cpp").write_text("// uart\n")
    (folder / "counter_mine.cpp").write_text("// counter\n")
    (folder / "pins.h").write_text('#include "kernels/math/variant.h"\n')
    (folder / "notes.txt").write_text("no source\n")
    project = render_project(tiny_inputs(load_board(folder)), tmp_path / "p")
    assert (project / "sdk/platform/uart_cmsdk.cpp").read_text() == "// uart\n"
    assert (project / "sdk/platform/pins.h").is_file() and (project / "sdk/kernels/math/variant.h").is_file()
    assert not (project / "sdk/platform/cortex_m/uart_cmsdk.cpp").exists()
    assert not (project / "sdk/platform/notes.txt").exists()
    cmake = (project / "cmake/board.cmake").read_text()
    assert "sdk/platform/uart_cmsdk.cpp" in cmake and "sdk/platform/counter_mine.cpp" in cmake
    assert "MCU_BOARD_START=0" in cmake and "cortex_m/counter_mine" not in cmake
