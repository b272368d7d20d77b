"""Names from outside: they never reach a path, a C identifier or a build file as they are."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk import cli
from mcu_sdk.project.compile_flags import cxx_flags

Refused = Callable[..., str]

USAGE = 2
PLAIN_PATH = re.compile(r"[A-Za-z0-9_.-]+")

NAMES = {
    "spaces": "my  first model",
    "quotes": 'it\'s "quoted" `touch owned`',
    "upwards": "../../owned",
    "line end": 'a\n#error owned\nint owned; "\n',
    "command": "$(touch owned)",
    "backslash": 'a\\" owned \\',
    "non-ASCII": "Größe 模型 \U0001f600 \u202eowned\u2028x",
    "trigraph": "what??/\nowned",
    "comment end": "*/ int owned; /* // \\",
    "cmake": '${owned} $ENV{PATH} ") message(FATAL_ERROR owned',
    "markdown": "[owned](http://example.com) <script>owned</script>",
    "format": "%s%n{owned}{{ owned }}",
    "keyword": "int",
    "digits": "123",
    "option": "--owned",
    "dots": "..",
    "long": "owned " * 500,
    "control": "\x1b[31mowned\x07\r\x7f",
    "no UTF-8": "a\udcffowned",  # what Python makes of such an argument
}

FOLDERS = {what: name for what, name in NAMES.items() if "/" not in name and name != ".." and len(name) < 200}

ALL = "".join(name for what, name in NAMES.items() if what != "long")
"""Everything at once, for the build."""


def written(folder: Path) -> dict[str, str]:
    """Every generated file with its text, but for the model and the SDK's own sources."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pte" and "sdk" not in path.relative_to(folder).parts
    }


def check_project(folder: Path, name: str) -> None:
    """No file has a hostile path, and the name as it is occurs in no file that a compiler or a build tool reads."""
    files = written(folder)
    for path in files:
        assert all(PLAIN_PATH.fullmatch(part) for part in path.split("/")), path
    awkward = re.search(r"[^A-Za-z0-9 .,_+()-]", name) or len(name) > 80
    for path, text in files.items():
        assert text.isascii() or path == "model/report.json" or name.isascii(), path
        assert not re.search(r"^\s*(#error|int owned|message\(FATAL_ERROR owned)", text, re.MULTILINE), path
        if awkward and not path.endswith(".json"):
            assert name not in text, path
            assert "$(touch" not in text and "${owned}" not in text and "$ENV{PATH}" not in text, path


def entries(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("what", NAMES)
def test_the_name_of_a_model(what: str, project: Path, work: Path, tmp_path: Path) -> None:
    pte = project / "model" / "model.pte"
    name = NAMES[what]
    assert cli.run(["generate", "--board=host", f"--pte={pte}", f"--name={name}"]) == 0
    (made,) = work.iterdir()
    assert re.fullmatch(r"[a-z][a-z0-9-]*-host", made.name) and len(made.name) < 64
    assert list(tmp_path.iterdir()) == [work]
    check_project(made, name)


@pytest.mark.parametrize("what", FOLDERS)
def test_the_folder_of_a_checkpoint(
    what: str, project: Path, shared_folder: Path, work: Path, tmp_path: Path
) -> None:
    """`project` has made the checkpoint and put the compiled model into the cache, whose key no folder is part of."""
    model = tmp_path / "models" / FOLDERS[what]
    shutil.copytree(shared_folder / "checkpoints" / "llama-odd", model)
    assert cli.run(["generate", "--board=host", "--model", str(model), "--max-cache-len=16"]) == 0
    (made,) = work.iterdir()
    assert re.fullmatch(r"[a-z][a-z0-9-]*-host", made.name)
    assert {path.name for path in tmp_path.iterdir()} == {"work", "models"}
    check_project(made, FOLDERS[what])


@pytest.mark.parametrize("what", FOLDERS)
def test_the_folder_of_a_project(
    what: str, refused: Refused, project: Path, work: Path, tmp_path: Path
) -> None:
    """A folder has the name that the user gave it, or none is made; the name is nowhere inside."""
    folder = work / FOLDERS[what]
    command = ["generate", "--board=host", f"--pte={project / 'model' / 'model.pte'}", f"--output={folder}"]
    if re.search(r'["\\;|$\[\]\x00-\x1f\x7f]', FOLDERS[what]):
        refused(command, USAGE, "CMake and Ninja cannot build", "--output")
        return
    assert cli.run(command) == 0
    assert list(work.iterdir()) == [folder] and list(tmp_path.iterdir()) == [work]
    check_project(folder, FOLDERS[what])
    reference = work / "plain"
    assert cli.run([*command[:-1], f"--output={reference}"]) == 0
    assert written(folder) == written(reference)


@pytest.mark.parametrize("name", ["x" * 300, "a;b", "a|b", "a;b/c"])
def test_a_folder_that_could_not_be_built_in(name: str, refused: Refused, project: Path) -> None:
    pte = project / "model" / "model.pte"
    refused(["generate", "--board=host", f"--pte={pte}", f"--output={name}"], USAGE, "--output")


def test_a_working_folder_that_could_not_be_built_in(
    refused: Refused, project: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "a;b").mkdir()
    monkeypatch.chdir(work / "a;b")
    pte = project / "model" / "model.pte"
    refused(["generate", "--board=host", f"--pte={pte}"], USAGE, "--output")
    assert cli.run(["generate", "--board=host", f"--pte={pte}", "--output=../good"]) == 0


def test_a_project_above_the_working_folder_is_where_it_was_asked_for(
    project: Path, work: Path, tmp_path: Path
) -> None:
    """`--output` is the user's own word: `../` in it is no attack."""
    pte = project / "model" / "model.pte"
    assert cli.run(["generate", "--board=host", f"--pte={pte}", "--output=../a b/c"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"work", "a b"} and not list(work.iterdir())


@pytest.mark.slow
def test_a_file_with_the_nastiest_name_in_the_nastiest_folder_builds(
    project: Path, work: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Generate, build and run: only what was asked for is there afterwards."""
    folder = work / "it's a (project) (touch owned) `x` #*?{} Größe"
    pte = tmp_path / "in $(touch owned)" / "a\n\"b'.pte"
    pte.parent.mkdir()
    shutil.copy(project / "model" / "model.pte", pte)
    generate = ["generate", "--board=host", f"--pte={pte}", f"--output={folder}", f"--name={ALL}"]
    assert cli.run(generate) == 0
    check_project(folder, ALL)
    before = entries(tmp_path)
    assert cli.run(["build", "--preset=host", str(folder)]) == 0, capfd.readouterr().err
    added = entries(tmp_path) - before
    inside = folder.relative_to(tmp_path).as_posix()
    assert added and all(path.startswith(f"{inside}/build") for path in added)
    capfd.readouterr()
    finished = subprocess.run(
        [folder / "build" / "host" / "firmware"],
        input=b"@run tokens=2 temperature=0 top_k=0 seed=0 ids=1\n\x04",
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert b"@mcu verdict=ok" in finished.stdout


def test_names_of_modules_in_a_file_are_comments(project: Path, work: Path, tmp_path: Path) -> None:
    """names.json beside a .pte comes from outside as well."""
    import json

    shutil.copy(project / "model" / "model.pte", tmp_path / "model.pte")
    count = len(json.loads((project / "model" / "names.json").read_text())["instructions"])
    nasty = list(NAMES.values())
    names = [nasty[i % len(nasty)] for i in range(count)]
    (tmp_path / "names.json").write_text(json.dumps({"instructions": names}))
    assert cli.run(["generate", "--board=host", f"--pte={tmp_path / 'model.pte'}", "--output=out"]) == 0
    plan = (work / "out" / "model" / "plan.cpp").read_text(encoding="utf-8")
    assert plan.isascii()
    subprocess.run(
        [
            "c++",
            *cxx_flags(None, "-O0", "-fsyntax-only"),
            "-Isdk",
            "-I.",
            "model/plan.cpp",
        ],
        cwd=work / "out",
        check=True,
        timeout=60,
    )
