"""Where a project is written: what is there already stays, and what goes wrong midway leaves nothing behind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from mcu_sdk import cli
from mcu_sdk.generation import flash, project, source
from mcu_sdk.project import ci, render
from mcu_sdk.project.destination import KEPT

Refused = Callable[..., str]
Command = Callable[..., list[str]]

USAGE, INVALID, INTERRUPTED = 2, 3, 130


@pytest.fixture
def generate(project: Path) -> Command:
    pte = project / "model" / "model.pte"
    return lambda output, *more: ["generate", "--board=host", f"--pte={pte}", f"--output={output}", *more]


# ---- what is there already


def test_a_folder_that_is_no_project_is_left_alone(
    refused: Refused, generate: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    refused(generate(folder), USAGE, "precious", "--output")


def test_a_folder_with_hidden_files_only_is_left_alone(
    refused: Refused, generate: Command, tmp_path: Path
) -> None:
    (tmp_path / "folder" / ".git").mkdir(parents=True)
    refused(generate(tmp_path / "folder"), USAGE)


def test_a_file_is_left_alone(refused: Refused, generate: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    refused(generate(tmp_path / "file"), USAGE, "no folder")
    refused(generate("/dev/null"), USAGE, "no folder")


def test_a_link_to_nowhere_is_left_alone(refused: Refused, generate: Command, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    refused(generate(tmp_path / "link"), USAGE)


def test_the_working_folder_is_left_alone(refused: Refused, generate: Command, work: Path) -> None:
    (work / "file").write_text("x")
    refused(generate("."), USAGE)
    refused(generate(".."), USAGE)


def test_the_default_folder_is_left_alone(refused: Refused, project: Path, work: Path) -> None:
    (work / "model-host").mkdir()
    (work / "model-host" / "file").write_text("x")
    refused(["generate", "--board=host", f"--pte={project / 'model' / 'model.pte'}"], USAGE, "model-host")


def test_a_project_keeps_its_app_when_what_follows_is_refused(
    refused: Refused, generate: Command, tmp_path: Path
) -> None:
    """A project is there, and the next model is none: nothing of it changes."""
    folder = tmp_path / "project"
    assert cli.run(generate(folder)) == 0
    (folder / "app" / "main.cpp").write_text("// mine\n")
    (tmp_path / "bad.pte").write_bytes(b"")
    refused(["generate", "--board=host", f"--pte={tmp_path / 'bad.pte'}", f"--output={folder}"], INVALID)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": "x"}'])
@pytest.mark.parametrize("verb", ["regenerate", "build", "run", "verify"])
def test_a_project_whose_manifest_is_none(
    verb: str, content: str, refused: Refused, generate: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    assert cli.run(generate(folder)) == 0
    (folder / "mcu-sdk.json").write_text(content)
    refused([verb, str(folder)], USAGE, "mcu-sdk.json")


@pytest.mark.parametrize("verb", ["regenerate", "build", "run", "verify"])
def test_a_folder_that_is_no_project(verb: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    refused([verb, str(tmp_path / "folder")], USAGE)
    refused([verb, str(tmp_path / "missing")], USAGE)


def test_a_manifest_with_options_of_another_kind(refused: Refused, generate: Command, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    assert cli.run(generate(folder)) == 0
    manifest = json.loads((folder / "mcu-sdk.json").read_text())
    good = dict(manifest["options"])
    for options in ({"optimize": "beauty"}, {"target": 3}, {"name": []}):
        manifest["options"] = good | options
        (folder / "mcu-sdk.json").write_text(json.dumps(manifest))
        refused(["regenerate", str(folder)], USAGE, str(next(iter(options))))
    manifest["options"] = good
    manifest["inputs"]["board"]["name"] = "../../etc"
    (folder / "mcu-sdk.json").write_text(json.dumps(manifest))
    refused(["regenerate", str(folder)], INVALID, "../../etc")


# ---- what goes wrong midway


def writes(project: Path) -> int:
    """Files that generation writes."""
    return sum(path.is_file() and path.parent.name != ".mcu-sdk" for path in project.rglob("*"))


@pytest.mark.parametrize("exists", [False, True], ids=["new", "existing"])
@pytest.mark.parametrize("when", [0, 1, 10, -1], ids=["first", "second", "tenth", "last"])
def test_an_interruption_leaves_nothing_behind(
    when: int,
    exists: bool,
    refused: Refused,
    generate: Command,
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C at the n-th file: nothing that was not there before, and a project that was there is untouched."""
    folder = tmp_path / "deep" / "er" / "project"
    if exists:
        assert cli.run(generate(folder)) == 0
    left = when if when >= 0 else writes(project) - 1
    write = render._write

    def interrupted(path: Path, data: bytes) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        write(path, data)

    monkeypatch.setattr(render, "_write", interrupted)
    refused(generate(folder), INTERRUPTED, "Interrupted")
    assert left < 0


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), PermissionError(13, "Permission denied")]
)
def test_a_disk_that_refuses_leaves_nothing_behind(
    error: OSError, refused: Refused, generate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = render._write

    def full(path: Path, data: bytes) -> None:
        if path.suffix == ".pte":
            path.write_bytes(data[:100])
            raise error
        write(path, data)

    monkeypatch.setattr(render, "_write", full)
    refused(generate(tmp_path / "project"), 1, str(error.strerror))


@pytest.mark.parametrize(
    ("module", "name"), [(source, "compile_plan"), (flash, "fit_project"), (project, "render_project")]
)
def test_an_interruption_anywhere_leaves_nothing_behind(
    module: ModuleType,
    name: str,
    refused: Refused,
    generate: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, name, interrupted)
    refused(generate(tmp_path / "project"), INTERRUPTED)


def test_a_folder_that_cannot_be_written(refused: Refused, generate: Command, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        folder = Path("/proc/no-such-folder/project")  # root may write everywhere else
    else:
        folder = tmp_path / "closed" / "project"
        folder.parent.mkdir(mode=0o500)
    refused(generate(folder), 1)


# ---- prompts


@pytest.mark.parametrize("verb", ["run", "verify"])
def test_a_prompt_that_cannot_be_encoded(verb: str, refused: Refused, project: Path) -> None:
    """A lone surrogate: what Python makes of an argument that is no UTF-8."""
    refused([verb, str(project), "--prompt", "abc\udcff"], INVALID, "UTF-8", "character 3")


@pytest.mark.parametrize(
    "options",
    [
        ["--prompt", ""],
        ["--ids", ""],
        ["--ids", "a,b"],
        ["--ids", "1,,2"],
        ["--ids", "257"],
        ["--ids", "-1"],
        ["--ids", ",".join(["1"] * 17)],
        ["--ids", "1", "--prompt", "x"],
        ["--tokens", "-1"],
        ["--tokens", "99999999999"],
        ["--temperature", "nan"],
        ["--temperature", "-1"],
        ["--top-k", "-1"],
        ["--seed", "-1"],
        ["--steps", "3"],
        ["--simulator", "no-such-simulator"],
    ],
    ids=" ".join,
)
def test_a_request_that_does_not_go_with_the_model(
    options: list[str], refused: Refused, project: Path
) -> None:
    refused(["run", str(project), *options], USAGE)


@pytest.mark.parametrize("when", range(24))
def test_an_interrupted_swap_is_undone(
    when: int, refused: Refused, generate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C at the n-th rename of a regeneration: the project is as it was."""
    folder = tmp_path / "project"
    assert cli.run(generate(folder)) == 0
    rename, left = os.rename, when

    def interrupted(source: Path, target: Path) -> None:
        nonlocal left
        left -= 1
        if left == -1:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", interrupted)
    if when >= swaps(folder):
        assert cli.run(generate(folder)) == 0 and left >= 0
        return
    refused(generate(folder, "--name=other"), INTERRUPTED)


def swaps(folder: Path) -> int:
    """Renames of a regeneration: every generated entry out, and the new one in; app/ and what is for CI stay."""
    kept = {KEPT, *(name.removesuffix(".j2").split("/")[0] for name in ci.TEMPLATES)}
    return 2 * len({entry.name for entry in folder.iterdir()} - kept)
