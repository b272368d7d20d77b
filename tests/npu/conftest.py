"""A small model on an Ethos-U55-128, generated and built for the Corstone-300 once for all workers."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from mcu_sdk import cli
from mcu_sdk.npu import weight_decoder
from mcu_sdk.project.build import BuildResult, build
from mcu_sdk.project.opened import Project, open_project
from tests.npu.programs import lowered_program


@pytest.fixture(scope="session", autouse=True)
def _codec() -> None:
    """The codec's process stays for as long as this one: it is there before a test counts processes."""
    weight_decoder.shared.decode(bytes([0xFF] * 16))


@pytest.fixture(scope="session")
def npu_program(shared_folder: Path) -> Path:
    """The .pte."""
    return lowered_program(shared_folder, "ethos-u55-128")


def generated(program: Path, folder: Path) -> Project:
    """A project for the Corstone-300 in `folder`, unless it is there."""
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            command = ["--quiet", "generate", "--board=corstone-300"]
            assert cli.run([*command, f"--pte={program}", f"--output={folder}"]) == 0
    return open_project(folder)


@pytest.fixture(scope="session")
def npu_project(npu_program: Path, shared_folder: Path) -> Project:
    """Not to be changed."""
    return generated(npu_program, shared_folder / "npu-project")


@pytest.fixture(scope="session")
def npu_builds(npu_project: Project) -> dict[str, BuildResult]:
    """The build for QEMU and the one for this computer."""
    lock_file = npu_project.folder.parent / "npu-builds.lock"
    with lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return {name: build(npu_project.folder, npu_project.preset_for(name)) for name in ("qemu", "host")}
