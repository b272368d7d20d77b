"""Tools that are not installed: exit code 4, and the line that installs them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk import cli

Refused = Callable[..., str]

MISSING = 4


@pytest.fixture
def device_project(project: Path, tmp_path: Path) -> Path:
    """A project for corstone-300, not built."""
    folder = tmp_path / "device"
    pte = project / "model" / "model.pte"
    assert cli.run(["generate", "--board=corstone-300", f"--pte={pte}", f"--output={folder}"]) == 0
    return folder


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`only("cmake")`: of all programs only these are found, as links to the real ones or to something that does nothing."""

    def install(*names: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in names:
            beside_python = str(Path(sys.executable).parent)
            real = shutil.which(name) or shutil.which(name, path=beside_python) or "/bin/true"
            (folder / name).symlink_to(real)
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setattr(sys, "executable", str(folder / "python"))

    return install


@pytest.mark.parametrize(
    ("installed", "missing", "line"),
    [
        ((), "cmake", "pip install cmake"),
        (("cmake",), "ninja", "pip install ninja"),
        (("cmake", "ninja"), "arm-none-eabi-g++", "apt-get install gcc-arm-none-eabi"),
    ],
)
@pytest.mark.parametrize("verb", ["build", "run", "verify"])
def test_a_build_tool_that_is_missing(
    verb: str,
    installed: tuple[str, ...],
    missing: str,
    line: str,
    refused: Refused,
    device_project: Path,
    only: Callable[..., None],
) -> None:
    only(*installed)
    refused([verb, str(device_project)], MISSING, missing, line)


def test_clang_is_missing(refused: Refused, device_project: Path, only: Callable[..., None]) -> None:
    """For a project whose board wants it; its libraries and linker are GCC's."""
    toolchain = device_project / "cmake" / "arm-none-eabi.cmake"
    toolchain.write_text(toolchain.read_text().replace("set(TOOLCHAIN gcc)", "set(TOOLCHAIN clang)"))
    only("cmake", "ninja", "arm-none-eabi-g++")
    refused(
        ["build", str(device_project)], MISSING, "clang++-19", "apt-get install clang-19", "gcc-arm-none-eabi"
    )


def test_the_computers_own_compiler_is_missing(
    refused: Refused, project: Path, only: Callable[..., None]
) -> None:
    only("cmake", "ninja")
    refused(["build", "--preset=host", str(project)], MISSING, "c++", "apt-get install g++")


def test_the_simulator_is_missing(
    refused: Refused, device_project: Path, only: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build is a finished one, as far as `run` can tell."""
    from mcu_sdk.project import runners

    def built(project: Path, preset: str = "release", **settings: bool) -> runners.BuildResult:
        return runners.BuildResult(preset, project / "firmware.elf", project / "build.log")

    monkeypatch.setattr(runners, "build", built)
    only()
    command = ["run", "--json", "--ids=1", str(device_project)]
    refused(command, MISSING, "qemu-system-arm", "apt-get install qemu-system-arm")


def test_a_python_package_that_is_missing(
    refused: Refused, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pte = project / "model" / "model.pte"
    for name in [name for name in sys.modules if name.split(".")[0] == "jinja2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "mcu_sdk.project.render", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    refused(["generate", "--board=host", f"--pte={pte}"], MISSING, "jinja2", "make setup")


def test_doctor_says_what_is_missing(only: Callable[..., None], capfd: pytest.CaptureFixture[str]) -> None:
    only()
    assert cli.run(["doctor"]) == MISSING
    out = capfd.readouterr().out
    for line in ("gcc-arm-none-eabi", "qemu-system-arm"):
        assert f"apt-get install {line}" in out
    assert os.environ["PATH"].endswith("bin")
