"""One checkpoint, two runs that share nothing but the checkpoint: the same project and firmware, byte for byte."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk import resources
from mcu_sdk.project.build import build

SURROUNDINGS = (
    {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1", "TZ": "UTC", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "271828", "OMP_NUM_THREADS": "2", "TZ": "Asia/Kathmandu", "LC_ALL": "C.UTF-8"},
)
"""What no result may depend on. Home, cache and working folder differ too."""

OPTIONS = {
    "dynamic": ("--activations", "dynamic", "--kv-scales", "calibrated"),
    "static": ("--activations", "static", "--kv-scales", "dynamic"),
    "int4": ("--weights", "int4"),
}


def generate_apart(checkpoint: Path, place: Path, options: tuple[str, ...], settings: dict[str, str]) -> Path:
    """`mcu-sdk generate` in a process, a home and a working folder of its own; returns the project."""
    work, home = place / "work", place / "home"
    work.mkdir(parents=True)
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(place / "xdg"),
        "MCU_SDK_CACHE": str(place / "cache"),
        "HF_HOME": str(home / "hf"),
        "TMPDIR": str(work),
        "PYTHONPATH": str(resources.PACKAGE.parent),
        **settings,
    }
    command = [sys.executable, "-m", "mcu_sdk.cli", "generate", "--board", "corstone-300"]
    command += ["--model", str(checkpoint), "--max-cache-len", "16", "--no-cache", "--output", "project"]
    finished = subprocess.run(
        [*command, *options],
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert not (place / "cache").exists() and not (place / "xdg").exists()  # --no-cache
    assert [entry.name for entry in work.iterdir()] == ["project"]  # nothing half done lies beside it
    return work / "project"


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file by its path in the folder; symbolic links would show as a difference in what is no file."""
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != ".mcu-sdk"  # where the inputs lie on this computer
    }


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS)
def test_two_runs_make_the_same_bytes(
    options: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    model = checkpoint("llama-odd")
    # Paths of different depth and length: neither may show in what is written.
    places = (tmp_path / "a", tmp_path / "another" / "place with spaces")
    projects = [
        generate_apart(model, place, OPTIONS[options], settings)
        for place, settings in zip(places, SURROUNDINGS, strict=True)
    ]
    first, second = map(files_of, projects)
    assert {"mcu-sdk.json", "model/model.pte", "model/plan.cpp", "model/report.json"} <= first.keys()
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    for name, content in first.items():
        assert str(tmp_path).encode() not in content, name

    firmware = [build(project, "release").program.read_bytes() for project in projects]
    assert firmware[0] == firmware[1]
    assert str(tmp_path).encode() not in firmware[0]
