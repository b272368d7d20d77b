"""`mcu-sdk doctor`, with tools that are there, missing, old, broken or silent."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mcu_sdk import cli, requirements
from mcu_sdk.commands import doctor

PYTHON = sys.executable  # a fixture changes what sys says


def fake(folder: Path, name: str, output: str, code: int = 0, seconds: float = 0) -> None:
    path = folder / name
    path.write_text(
        f"#!{PYTHON}\nimport sys, time\ntime.sleep({seconds})\nprint({output!r})\nsys.exit({code})\n"
    )
    path.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with good stand-ins for every tool, and nothing beside Python."""
    folder = tmp_path / "tools"
    folder.mkdir()
    fake(folder, "cmake", "cmake version 3.25.1")
    fake(folder, "ninja", "1.11.1")
    fake(folder, "arm-none-eabi-g++", "arm-none-eabi-g++ (15:12.2.rel1-1) 12.2.1 20221205")
    fake(folder, "arm-none-eabi-gcc", "/usr/lib/arm-none-eabi/lib/nano.specs")
    fake(folder, "g++", "g++ (Debian 12.2.0-14) 12.2.0")
    fake(folder, "qemu-system-arm", "QEMU emulator version 7.2.11 (Debian 1:7.2+dfsg-7)")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("MCU_SDK_FVP", raising=False)
    monkeypatch.setattr(doctor.sys, "executable", str(tmp_path / "python"))
    return folder


def findings(capsys: pytest.CaptureFixture[str], code: int) -> dict[str, dict[str, object]]:
    assert cli.run(["doctor", "--json"]) == code
    return {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}


def test_all_tools_are_found_with_their_versions(tools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(capsys, 0)
    assert found["cmake"]["version"] == "3.25.1" and found["qemu-system-arm"]["version"] == "7.2.11"
    assert found["arm-none-eabi-g++"]["version"] == "12.2.1"
    assert found["torch"]["ok"] and found["newlib"]["ok"]
    assert not found["Corstone FVP"]["ok"] and not found["Corstone FVP"]["required"]


@pytest.mark.parametrize(
    ("tool", "line"),
    [
        ("cmake", "apt-get install cmake"),
        ("qemu-system-arm", "apt-get install qemu-system-arm"),
        ("arm-none-eabi-g++", "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi"),
        ("g++", "apt-get install g++"),
    ],
)
def test_a_missing_tool_is_code_4_with_the_line_that_installs_it(
    tool: str, line: str, tools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tools / tool).unlink()
    assert cli.run(["doctor"]) == 4
    out, err = capsys.readouterr()
    assert f"MISSING  {tool}" in out and line in err and tool in err


def test_a_tool_that_is_too_old_is_refused(tools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake(tools, "cmake", "cmake version 3.18.4")
    assert findings(capsys, 4)["cmake"]["problem"] == "found 3.18.4, expected 3.21 or later"


def test_a_compiler_without_its_library_is_refused(tools: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake(tools, "arm-none-eabi-gcc", "nano.specs")  # the bare name: not found
    assert not findings(capsys, 4)["newlib"]["ok"]


def test_tools_that_fail_hang_or_cannot_start_are_told(
    tools: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_SECONDS", 0.5)
    fake(tools, "cmake", "", code=3)
    fake(tools, "ninja", "1.11", seconds=30)
    (tools / "qemu-system-arm").write_text("#!/no/such/interpreter\n")
    found = findings(capsys, 4)
    assert "fails with code 3" in str(found["cmake"]["problem"])
    assert "does not answer" in str(found["ninja"]["problem"])
    assert "does not start" in str(found["qemu-system-arm"]["problem"])


def test_the_fvp_is_found_by_its_variable(
    tools: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tools, "my-fvp", "Fast Models [11.22.35 (Apr 17 2023)]")
    monkeypatch.setenv("MCU_SDK_FVP", str(tools / "my-fvp"))
    found = findings(capsys, 0)["Corstone FVP"]
    assert found["ok"] and found["version"] == "11.22.35"


def test_a_missing_package_is_told(
    tools: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = doctor.metadata.version

    def version(name: str) -> str:
        if name == "torch":
            raise doctor.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    found = findings(capsys, 4)["torch"]
    assert found["problem"] == "not installed" and str(found["install"]).startswith("pip install torch")


def test_another_version_than_the_pinned_one_is_told(
    tools: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = doctor.metadata.version
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "2.9.1" if name == "torch" else real(name))
    pinned = requirements.pinned_version("torch")
    assert findings(capsys, 4)["torch"]["problem"] == f"found 2.9.1, expected {pinned}"
    monkeypatch.setattr(
        doctor.metadata, "version", lambda name: f"{pinned}+cpu" if name == "torch" else real(name)
    )
    assert findings(capsys, 0)["torch"]["ok"]
