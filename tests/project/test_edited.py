"""Generated files that were changed: refused by name, set aside with force, and never replaced in silence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk import cli
from mcu_sdk.errors import UsageError
from mcu_sdk.project import build as building
from mcu_sdk.project.build import build
from mcu_sdk.project.edited import ASIDE, BUILT, edited, edited_sources
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project

Inputs = Callable[..., ProjectInputs]


@pytest.fixture
def project(tmp_path: Path, tiny_inputs: Inputs) -> Path:
    return render_project(tiny_inputs(files={"names.json": b"[]"}), tmp_path / "p")


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_file_that_is_generated_is_watched(project: Path, tiny_inputs: Inputs) -> None:
    assert edited(project) == []
    names = [n for n in tree(project) if not n.startswith("app/") and n != "mcu-sdk.json"]
    assert len(names) > 20
    for name in names:
        path = project / name
        before = path.read_bytes()
        path.write_bytes(before + b"\n")
        assert edited(project) == [name]
        if name.partition("/")[0] in BUILT:
            with pytest.raises(UsageError, match=name):
                render_project(tiny_inputs(), project)
            assert path.read_bytes() == before + b"\n"
        path.write_bytes(before)


def test_force_sets_aside_what_it_replaces(project: Path, tiny_inputs: Inputs) -> None:
    generated = tree(project)
    for name in ("model/plan.cpp", "CMakeLists.txt"):
        (project / name).write_text("# mine\n")
    with pytest.raises(UsageError) as caught:
        render_project(tiny_inputs(files={"names.json": b"[]"}), project)
    assert "CMakeLists.txt, model/plan.cpp" in caught.value.message and "--force" in caught.value.hint
    render_project(tiny_inputs(files={"names.json": b"[]"}), project, force=True)
    after = tree(project)
    for name in ("model/plan.cpp", "CMakeLists.txt"):
        assert after.pop(f"{ASIDE}/{name}") == b"# mine\n"
    assert after == generated and edited(project) == []


def test_what_no_build_reads_stays_as_its_owner_made_it(project: Path, tiny_inputs: Inputs) -> None:
    (project / "README.md").write_text("mine\n")
    (project / ".gitignore").unlink()
    for _ in range(2):  # and is still the owner's the second time
        render_project(tiny_inputs(name="other"), project)
        assert (project / "README.md").read_text() == "mine\n" and not (project / ".gitignore").exists()
    assert edited(project) == ["README.md"] and edited_sources(project) == []


def test_files_beside_the_generated_ones_stay(project: Path, tiny_inputs: Inputs) -> None:
    (project / "sdk/kernels/mine").mkdir(parents=True)
    (project / "sdk/kernels/mine/kernel.cpp").write_text("// mine\n")
    (project / "sdk/linked").symlink_to("../app")
    (project / "model/new.json").write_text("mine\n")
    (project / "model/names.json").unlink()  # a file that is missing is no change
    render_project(tiny_inputs(files={"names.json": b"[]", "new.json": b"{}"}), project)
    assert (project / "sdk/kernels/mine/kernel.cpp").read_text() == "// mine\n"
    assert (project / "sdk/linked/main.cpp").is_file() and (project / "sdk/linked").is_symlink()
    assert (project / "model/names.json").read_bytes() == b"[]"
    assert (project / "model/new.json").read_bytes() == b"{}"
    assert (project / ASIDE / "model/new.json").read_text() == "mine\n"


def test_what_is_no_longer_generated_goes(project: Path, tiny_inputs: Inputs) -> None:
    render_project(tiny_inputs(), project)
    assert not (project / "model/names.json").exists()


def test_a_project_without_hashes_is_replaced_as_before(project: Path, tiny_inputs: Inputs) -> None:
    content = json.loads((project / "mcu-sdk.json").read_text())
    (project / "mcu-sdk.json").write_text(json.dumps({**content, "files": {}}))
    (project / "model/plan.cpp").write_text("// mine\n")
    render_project(tiny_inputs(), project)
    assert edited(project) == [] and "mine" not in (project / "model/plan.cpp").read_text()


@pytest.mark.parametrize("name", ["../outside", "/outside", "sdk/../../outside", ""])
def test_a_manifest_names_nothing_outside(
    name: str, project: Path, tmp_path: Path, tiny_inputs: Inputs
) -> None:
    (tmp_path / "outside").write_text("safe\n")
    content = json.loads((project / "mcu-sdk.json").read_text())
    content["files"][name] = "0" * 64
    (project / "mcu-sdk.json").write_text(json.dumps(content))
    render_project(tiny_inputs(), project)
    assert (tmp_path / "outside").read_text() == "safe\n"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["outside", "p"]


def test_a_failure_leaves_the_owners_files(
    project: Path, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "sdk/mine.cpp").write_text("// mine\n")
    (project / "README.md").write_text("mine\n")
    before = tree(project)
    monkeypatch.setattr("mcu_sdk.project.replace._keep_times", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        render_project(tiny_inputs(), project)
    assert tree(project) == before


def test_generate_refuses_before_anything_slow(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "model/plan.cpp").write_text("// mine\n")
    monkeypatch.setattr("mcu_sdk.generation.project.find_checkpoint", lambda *_, **more: 1 / 0)
    assert cli.run(["generate", "--board=corstone-300", f"--output={project}"]) == 2
    assert "model/plan.cpp" in capsys.readouterr().err


def test_the_build_says_so(
    tmp_path: Path, tiny_project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = shutil.copytree(tiny_project, tmp_path / "p", ignore=shutil.ignore_patterns("build"))
    with (project / "model/model.h").open("a") as file:
        file.write("// mine\n")
    (project / "README.md").write_text("mine\n")
    monkeypatch.setattr(building, "_run", lambda *_: None)
    assert build(project, "host").edited == ("model/model.h",)
    assert "built as they are: model/model.h" in " ".join(capsys.readouterr().err.split())
    assert build(tiny_project, "host").edited == ()


def test_a_generated_file_that_became_a_link_was_changed(project: Path, tiny_inputs: Inputs) -> None:
    plan = project / "model/plan.cpp"
    plan.unlink()
    plan.symlink_to("nowhere")
    with pytest.raises(UsageError, match=r"model/plan\.cpp"):
        render_project(tiny_inputs(), project)
    render_project(tiny_inputs(), project, force=True)
    assert not plan.is_symlink() and (project / ASIDE / "model/plan.cpp").is_symlink()
