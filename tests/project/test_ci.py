"""What a project carries for CI services: held against their schemas, and every shell line run as it stands.

A repository, a pull request from it and the services' variables are played. Programs that would install something or
talk to a service (sudo, apt-get, pip, gh, curl) are replaced by ones that only write down how they were called; `mcu-sdk`
is this one, and what it needs is here. The FVP is played by QEMU behind the FVP's command line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ruamel.yaml import YAML

from mcu_sdk import cli, resources
from mcu_sdk.board.board import load_board
from mcu_sdk.project import ci
from mcu_sdk.project.manifest import Input, versions
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project

ROOT = Path(__file__).resolve().parents[2]
PTE = ROOT / "tests/fixtures/executorch-1.4.1/stock-mlp.pte"
WORKFLOW, PIPELINE = ".github/workflows/firmware.yml", ".gitlab-ci.yml"
PLAYED = ("sudo", "apt-get", "pip", "gh", "curl")


@dataclass(frozen=True)
class Repository:
    """A project with its tests committed, cloned from an origin; `calls` is what the played programs were asked."""

    project: Path
    tools: Path

    @property
    def calls(self) -> list[str]:
        return (self.tools / "calls").read_text().splitlines()

    def shell(self, script: str, **variables: str) -> int:
        """Run lines as both services do: the first one that fails ends them."""
        (self.tools / "calls").touch()
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("GITHUB_", "CI_"))},
            "PATH": f"{self.tools}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            **variables,
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        return subprocess.run(command, cwd=self.project, env=environment, check=False, timeout=300).returncode


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    folder = tmp_path_factory.mktemp("ci")
    project, tools = folder / "project", folder / "tools"
    command = ["generate", "--pte", str(PTE), "--board", "corstone-300", "-o", str(project)]
    assert cli.run(["-q", *command]) == 0
    assert cli.run(["-q", "test", str(project), "--update"]) == 0
    tools.mkdir()
    script = f'#!/bin/sh\necho "${{0##*/}} $*" >> "{tools}/calls"\n'
    fake_fvp = f"#!{sys.executable}\n{FVP}"
    ours = f'#!/bin/sh\nexec "{sys.executable}" -m mcu_sdk.cli -q "$@"\n'
    programs = dict.fromkeys(PLAYED, script) | {"mcu-sdk": ours, "FVP_Corstone_SSE-300_Ethos-U55": fake_fvp}
    for name, text in programs.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    for arguments in (
        ["init", "-q", "-b", "main"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "Generate"],
        ["clone", "-q", "--bare", ".", str(folder / "origin")],
        ["remote", "add", "origin", str(folder / "origin")],
        ["fetch", "-q", "origin"],
    ):
        subprocess.run(["git", *arguments], cwd=project, check=True, timeout=60)
    return Repository(project, tools)


FVP = """
import subprocess, sys
from pathlib import Path
from mcu_sdk.board.board import load_board
from mcu_sdk.targets import fvp
board = load_board("corstone-300")
names = [part.split("=")[0] for part in fvp.command_line(board, Path("x")) if "=" in part]
if "--list-params" in sys.argv:
    print("\\n".join(f"{name}=0   # (bool  , init-time) default = '0'" for name in names))
else:
    (given,) = [part.split("=", 1)[1] for part in sys.argv if "uart0.in_file=" in part]
    command = [part.replace("{elf}", sys.argv[-1]) for part in board.simulator["qemu"].command]
    sys.exit(subprocess.run(command, stdin=open(given)).returncode)
"""


@pytest.fixture
def smaller_baseline(repository: Repository) -> Iterator[None]:
    """A baseline that the firmware does not keep."""
    path = repository.project / "tests/baseline.json"
    text = path.read_text()
    content = json.loads(text)
    content["measures"]["flash_bytes"] //= 2
    path.write_text(json.dumps(content))
    yield
    path.write_text(text)


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def check_schema(schema: str, path: Path) -> None:
    """By what check-jsonschema has of the services' schemas itself: no network."""
    tool = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [tool, "--builtin-schema", schema, path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_files_are_what_the_services_read(repository: Repository) -> None:
    check_schema("vendor.github-workflows", repository.project / WORKFLOW)
    check_schema("custom.github-workflows-require-timeout", repository.project / WORKFLOW)
    check_schema("vendor.gitlab-ci", repository.project / PIPELINE)
    check_schema("vendor.github-actions", ROOT / "action.yml")


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    """The schema does look."""
    (tmp_path / "x.yml").write_text("on: push\njobs:\n  a:\n    steps: [{run: 1}]\n")
    with pytest.raises(AssertionError):
        check_schema("vendor.github-workflows", tmp_path / "x.yml")


def run_job(repository: Repository, job: str, **variables: str) -> dict[str, int]:
    """The exit code of each step of a job of the workflow that has lines of its own; those behind a failure are run only
    where the step says so."""
    workflow = load(repository.project / WORKFLOW)
    values = {"${{ github.token }}": "secret", "${{ github.event.number }}": "7"}
    codes: dict[str, int] = {}
    for step in workflow["jobs"][job]["steps"]:
        if "run" not in step or (any(codes.values()) and "always()" not in step.get("if", "")):
            continue
        given = {key: values[value] for key, value in step.get("env", {}).items()}
        assert "${{" not in step["run"]  # what others write never becomes part of a script
        codes[step["name"]] = repository.shell(step["run"], **workflow["env"], **given, **variables)
    return codes


@pytest.fixture
def clean(repository: Repository) -> Iterator[None]:
    (repository.tools / "calls").unlink(missing_ok=True)
    yield
    for name in ("report.xml", "report-fvp.xml", "summary.md", "before.json"):
        (repository.project / name).unlink(missing_ok=True)


def failures(report: Path) -> int:
    return int(ElementTree.parse(report).getroot()[0].get("failures", "-1"))


def test_a_pull_request_on_github(repository: Repository, tmp_path: Path, clean: None) -> None:
    summary = tmp_path / "summary"
    variables = {"GITHUB_BASE_REF": "main", "GITHUB_STEP_SUMMARY": str(summary)}
    codes = run_job(repository, "test", **variables)
    assert list(codes) == ["Install", "What is generated is what mcu-sdk generates", "Build", "Test", "Summary", "Comment"]  # fmt: skip
    assert set(codes.values()) == {0}
    assert failures(repository.project / "report.xml") == 0
    assert "| before | change |" in summary.read_text() and "no change" in summary.read_text()
    assert f"pip install mcu-sdk=={versions()['mcu-sdk']}" in repository.calls
    assert any(
        call.startswith("sudo apt-get install") and "qemu-system-arm" in call for call in repository.calls
    )
    assert "gh pr comment 7 --edit-last --create-if-none --body-file summary.md" in repository.calls


def test_a_push_to_github_that_grows(
    repository: Repository, tmp_path: Path, clean: None, smaller_baseline: None
) -> None:
    """No base branch to compare with. What is reported is reported all the same."""
    steps = load(repository.project / WORKFLOW)["jobs"]["test"]["steps"]
    lines = {step["name"]: step["run"] for step in steps if "run" in step}
    summary = tmp_path / "summary"
    assert repository.shell(lines["Test"], GITHUB_BASE_REF="") == 7
    assert repository.shell(lines["Summary"], GITHUB_STEP_SUMMARY=str(summary)) == 0
    assert failures(repository.project / "report.xml") == 1
    assert "❌ | flash bytes" in summary.read_text() and "before" not in summary.read_text()


def test_the_fvp_s_job(repository: Repository, clean: None) -> None:
    assert run_job(repository, "fvp") == {"Install": 0, "Test": 0}
    assert failures(repository.project / "report-fvp.xml") == 0


def run_pipeline(repository: Repository, **variables: str) -> tuple[int, int]:
    """Exit codes of the script and of what comes after it."""
    pipeline = load(repository.project / PIPELINE)
    job = pipeline["firmware"]
    given = {**pipeline["variables"], **variables}
    code = repository.shell("\n".join([*job["before_script"], *job["script"]]), **given)
    return code, repository.shell("\n".join(job["after_script"]), **given)


def test_a_merge_request_on_gitlab(repository: Repository, clean: None) -> None:
    api = {"CI_API_V4_URL": "https://gitlab.example/api/v4", "CI_PROJECT_ID": "12", "COMMENT_TOKEN": "secret"}
    merge = {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main", "CI_MERGE_REQUEST_IID": "3"}
    assert run_pipeline(repository, **api, **merge) == (0, 0)
    assert failures(repository.project / "report.xml") == 0
    assert "| before | change |" in (repository.project / "summary.md").read_text()
    (call,) = [call for call in repository.calls if call.startswith("curl ")]
    assert call.endswith(
        "--form body=<summary.md https://gitlab.example/api/v4/projects/12/merge_requests/3/notes"
    )


@pytest.mark.slow
def test_a_branch_on_gitlab(repository: Repository, clean: None) -> None:
    """Nobody to comment for."""
    none = dict.fromkeys(("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "CI_MERGE_REQUEST_IID", "COMMENT_TOKEN"), "")
    assert run_pipeline(repository, **none) == (0, 0)
    assert not [call for call in repository.calls if call.startswith("curl ")]


def test_the_action_of_this_repository(repository: Repository, tmp_path: Path, clean: None) -> None:
    steps = load(ROOT / "action.yml")["runs"]["steps"]
    variables = {
        "GITHUB_ACTION_PATH": "/action",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "PROJECT": ".",
        "VERBS": "build test",
        "REPORT": "report.xml",
    }
    assert [repository.shell(step["run"], **variables) for step in steps] == [0, 0]
    assert set(steps[1]["env"]) <= variables.keys()
    assert (
        failures(repository.project / "report.xml") == 0
        and "flash bytes" in (tmp_path / "summary").read_text()
    )
    assert "pip install /action" in repository.calls


# ---- written once, and only what a project can use


def test_what_is_for_ci_is_its_owner_s(tmp_path: Path, tiny_inputs: Callable[..., ProjectInputs]) -> None:
    project = render_project(tiny_inputs(), tmp_path / "p")
    (project / WORKFLOW).write_text("name: mine\n")
    (project / ".github/dependabot.yml").write_text("version: 2\n")
    (project / PIPELINE).unlink()
    render_project(tiny_inputs(name="another"), project)
    assert (project / WORKFLOW).read_text() == "name: mine\n"
    assert (project / ".github/dependabot.yml").exists() and not (project / PIPELINE).exists()


def test_inputs_that_are_elsewhere_are_told(
    tmp_path: Path, tiny_inputs: Callable[..., ProjectInputs]
) -> None:
    inputs = {
        "model": Input("folder", "mine", "ab"),
        "board": Input("packaged", "corstone-300"),
        "calibration_text": Input("file", "text.txt", "cd"),
    }
    project = render_project(tiny_inputs(inputs=inputs), tmp_path / "p")
    for name, schema in ((WORKFLOW, "vendor.github-workflows"), (PIPELINE, "vendor.gitlab-ci")):
        check_schema(schema, project / name)
        text = (project / name).read_text()
        assert "(model, calibration text)" in text
        assert "#   mcu-sdk regenerate . --model PATH --calibration-text PATH\n" in text
        assert not [line for line in text.splitlines() if "regenerate ." in line and "#" not in line]


@pytest.mark.parametrize("name", sorted(path.parent.name for path in resources.boards().glob("*/board.toml")))
def test_only_boards_with_an_fvp_have_its_job(name: str) -> None:
    board = load_board(name)
    found = ci.context(board, {"pte": Input("file", "model.pte", "ab")})
    assert found["regenerates"] and found["has_fvp"] == ("fvp" in board.simulator)
    assert ("qemu-system-arm" in found["packages"]) == ("qemu" in board.simulator)
    assert ("gcc-arm-none-eabi" in found["packages"]) != board.is_host


def test_the_fvp_s_tools(repository: Repository) -> None:
    content = json.loads((repository.project / "vcpkg-configuration.json").read_text())
    assert list(content["requires"]) == ["arm:models/arm/avh-fvp"]
    assert content["registries"][0]["name"] == "arm"
