"""A project made again: the same bytes from anywhere, or a refusal that says which input is gone or is another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk import cli, resources
from mcu_sdk.project import ci
from mcu_sdk.project.opened import open_project
from mcu_sdk.recipes import checkpoint as recipe
from mcu_sdk.recipes.compiled import CompiledModel
from mcu_sdk.regeneration import make_profiled
from tests.checkpoints import small_tokenizer

FIXTURES = Path(__file__).parent / "fixtures" / "executorch-1.4.1"
LOCAL = ".mcu-sdk"
Capture = pytest.CaptureFixture[str]


def files_of(project: Path) -> dict[str, bytes]:
    """What is compared of a project: all but where its inputs lie on this computer, and what was built."""
    return {
        path.relative_to(project).as_posix(): path.read_bytes()
        for path in project.rglob("*")
        if path.is_file() and path.relative_to(project).parts[0] not in (LOCAL, "build")
    }


@pytest.fixture
def moved_inputs(tmp_path: Path, checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with every input that lies in the user's place. Compiling takes a .pte that is there: what it would make
    of the checkpoint is other tests' to show."""
    place = tmp_path / "place"
    shutil.copytree(checkpoint("llama-odd"), place / "model")
    shutil.copytree(resources.boards() / "corstone-300", place / "board")
    toml = place / "board" / "board.toml"
    toml.write_text(toml.read_text().replace('name = "corstone-300"', 'name = "mine"', 1))
    small_tokenizer(place / "tokenizer.json")
    (place / "text.txt").write_text("to be or not to be\n" * 9)
    (place / "words.regex").write_text("[a-z ]+x\n")
    pte = (FIXTURES / "decoder-rows.pte").read_bytes()
    monkeypatch.setattr(
        recipe, "compile_checkpoint", lambda *given, **more: CompiledModel(pte, ("x",) * 25, {"seen": 1})
    )
    return place


def generate(place: Path | str, output: Path, *more: str) -> int:
    return cli.run(
        ["generate", f"--board={place}/board", f"--model={place}/model", f"--output={output}",
         f"--calibration-text={place}/text.txt", f"--tokenizer={place}/tokenizer.json",
         f"--grammar={place}/words.regex",
         "--optimize=size", "--kv-scales=dynamic", "--name", "Ä / name", *more]
    )  # fmt: skip


def test_again_from_another_folder(
    moved_inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(moved_inputs)
    project = tmp_path / "p"
    assert generate(".", project) == 0
    first = files_of(project)
    (project / "model" / "plan.cpp").write_text("// mine\n")
    monkeypatch.chdir("/")
    assert cli.run(["regenerate", str(project)]) == 2
    assert "model/plan.cpp" in capsys.readouterr().err
    assert (project / "model" / "plan.cpp").read_text() == "// mine\n"
    assert cli.run(["regenerate", str(project), "--force"]) == 0
    assert "model/plan.cpp was changed; it lies in .mcu-sdk/edited/ now" in capsys.readouterr().out
    assert (project / ".mcu-sdk/edited/model/plan.cpp").read_text() == "// mine\n"
    assert files_of(project) == first
    here = str(tmp_path).encode()
    assert not [name for name, data in first.items() if here in data]
    options = json.loads(first["mcu-sdk.json"])["options"]
    assert options["optimize"] == "size" and options["kv_scales"] == "dynamic"
    assert first["model/grammar.regex"] == b"[a-z ]+x\n" and b"kNext[]" in first["model/grammar.cpp"]
    assert first["model/tokenizer.json"] == (moved_inputs / "tokenizer.json").read_bytes()
    (project / "app" / "main.cpp").write_text("int main() { return mcu_sample(); }\n")
    assert cli.run(["regenerate", str(project)]) == 0
    assert "follows no grammar, so the firmware will refuse every request" in capsys.readouterr().out
    assert LOCAL + "/" in first[".gitignore"].decode().split()


def test_moved_inputs_are_named(moved_inputs: Path, tmp_path: Path, capsys: Capture) -> None:
    project, new = tmp_path / "p", tmp_path / "elsewhere"
    assert generate(moved_inputs, project) == 0
    first = files_of(project)
    moved_inputs.rename(new)
    named: list[str] = []
    for flag, place in (("--model", "model"), ("--board", "board"), ("--calibration-text", "text.txt")):
        assert cli.run(["regenerate", str(project), *named]) == 2
        assert "is no longer at" in capsys.readouterr().err
        named += [flag, str(new / place)]
    assert cli.run(["regenerate", str(project), *named]) == 0
    assert files_of(project) == first
    assert cli.run(["regenerate", str(project)]) == 0  # the new places are known now
    clone = tmp_path / "clone"  # as Git makes one: without what lies in .mcu-sdk
    shutil.copytree(project, clone, ignore=shutil.ignore_patterns(LOCAL))
    assert cli.run(["regenerate", str(clone)]) == 2
    assert "not known here" in capsys.readouterr().err
    assert cli.run(["regenerate", str(clone), *named]) == 0
    assert files_of(clone) == first


@pytest.mark.parametrize("changed", ["model/config.json", "board/board.toml", "text.txt"])
def test_a_changed_input_is_refused(
    changed: str, moved_inputs: Path, tmp_path: Path, capsys: Capture
) -> None:
    project = tmp_path / "p"
    assert generate(moved_inputs, project) == 0
    first = files_of(project)
    with (moved_inputs / changed).open("a") as file:
        file.write("\n")
    assert cli.run(["regenerate", str(project)]) == 2
    assert "SHA-256" in capsys.readouterr().err
    assert files_of(project) == first


def test_never_another_folder_of_the_same_name(
    moved_inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    project, work = tmp_path / "p", tmp_path / "work"
    assert generate(moved_inputs, project) == 0
    shutil.copytree(moved_inputs, work)
    shutil.rmtree(moved_inputs)
    monkeypatch.chdir(work)  # where "model", "board" and "text.txt" are again
    assert cli.run(["regenerate", str(project)]) == 2
    assert "is no longer at" in capsys.readouterr().err


def test_an_input_that_there_never_was(tmp_path: Path, capsys: Capture) -> None:
    project = tmp_path / "p"
    assert (
        cli.run(["generate", "--board=host", f"--pte={FIXTURES / 'stock-mlp.pte'}", f"--output={project}"])
        == 0
    )
    assert cli.run(["regenerate", str(project), "--tokenizer", "x"]) == 2
    assert "without it" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["decoder-packed", "ethos-u-mlp", "stock-mlp"])
def test_a_pte_is_its_own_source(name: str, tmp_path: Path, capsys: Capture) -> None:
    """What lies beside it (names, facts, graphs) is in the project too."""
    project = tmp_path / "p"
    assert cli.run(["generate", f"--pte={FIXTURES / f'{name}.pte'}", f"--output={project}"]) == 0
    first = files_of(project)
    assert cli.run(["regenerate", str(project)]) == 0
    assert files_of(project) == first
    with (project / "model" / "model.pte").open("ab") as file:
        file.write(b"\0")
    assert cli.run(["regenerate", str(project)]) == 2
    assert "model/model.pte in" in capsys.readouterr().err
    assert cli.run(["regenerate", str(project), "--force"]) == 2  # it is what the project is made from
    assert "SHA-256" in capsys.readouterr().err


def test_the_profiled_twin_is_the_project(moved_inputs: Path, tmp_path: Path) -> None:
    """The same tokenizer, optimization and weights, though the checkpoint is gone; only the counting comes in."""
    project = tmp_path / "p"
    assert generate(moved_inputs, project) == 0
    shutil.rmtree(moved_inputs / "model")
    (project / "app" / "main.cpp").write_text("// mine\n")
    twin, _ = make_profiled(open_project(project))
    ours, theirs = files_of(project), files_of(twin)
    assert theirs.keys() - ours.keys() == {"sdk/runtime/profile.cpp", "sdk/runtime/profile.h"}
    different = {name for name in ours if ours[name] != theirs.get(name)}
    for_ci = {name.removesuffix(".j2") for name in ci.TEMPLATES}
    assert different - for_ci == {
        "mcu-sdk.json",
        "CMakeLists.txt",
        "model/model.h",
        "model/plan.cpp",
        "model/report.json",
    }
    assert theirs["CMakePresets.json"].count(b"-Os") and b"kHasTokenizer = true" in theirs["model/model.h"]


def test_a_twin_of_changed_files_is_refused(moved_inputs: Path, tmp_path: Path, capsys: Capture) -> None:
    project = tmp_path / "p"
    assert generate(moved_inputs, project) == 0
    (project / "model" / "tokenizer.json").write_text("{}")
    assert cli.run(["run", str(project), "--profile"]) == 2
    assert "not the file that was generated" in capsys.readouterr().err


def test_an_older_project(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "mcu-sdk.json").write_text('{"format": 1, "name": "x", "board": "host"}')
    for verb in ("regenerate", "build", "run", "verify"):
        assert cli.run([verb, str(tmp_path)]) == 2
        err = capsys.readouterr().err
        assert "format 1" in err and "--output" in err
