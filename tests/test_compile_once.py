"""The launcher of the tests' compilers: the same object as without it, and one of its own for whatever else is read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compile_once import COMPILED

LAUNCHER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("compile_once.py")))


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "kept"
    folder.mkdir()
    monkeypatch.setenv(COMPILED, str(folder))
    return folder


def project(folder: Path, header: str = "inline int one() { return 1; }") -> Path:
    folder.mkdir()
    (folder / "one.h").write_text(header)
    (folder / "a.cpp").write_text('#include "one.h"\nint a() { return one() + int(sizeof __FILE__); }\n')
    return folder


def compiled(folder: Path, *flags: str, launcher: tuple[str, ...] = LAUNCHER) -> tuple[bytes, str, str]:
    """The object, its dependencies, and what the compiler said."""
    command = [
        "/usr/bin/g++",
        "-g",
        "-Wall",
        f"-ffile-prefix-map={folder}=.",
        *flags,
        "-MD",
        "-MT",
        "a.o",
        "-MF",
        "a.d",
    ]
    done = subprocess.run(
        [*launcher, *command, "-o", "a.o", "-c", str(folder / "a.cpp")],
        cwd=folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode == 0) == (folder / "a.o").is_file(), done.stderr
    made = (folder / "a.o").read_bytes() if done.returncode == 0 else b""
    return made, (folder / "a.d").read_text(), done.stderr


def test_another_folder_s_object_is_the_compiler_s_own(tmp_path: Path, kept: Path) -> None:
    first = compiled(project(tmp_path / "first"))
    count = len(list(kept.iterdir()))
    second = compiled(project(tmp_path / "second"))
    assert count == len(list(kept.iterdir())) == 2  # the second was not compiled
    assert second[0] == first[0] == compiled(project(tmp_path / "third"), launcher=())[0]
    assert str(tmp_path / "second/one.h") in second[1] and str(tmp_path / "first") not in second[1]


@pytest.mark.parametrize("what", ["header", "source", "flag"])
def test_what_differs_is_compiled(what: str, tmp_path: Path, kept: Path) -> None:
    compiled(project(tmp_path / "first"))
    other = project(
        tmp_path / "other",
        "inline int one() { return 2; }" if what == "header" else "inline int one() { return 1; }",
    )
    if what == "source":
        (other / "a.cpp").write_text('#include "one.h"\nint a() { return one() + 7; }\n')
    flags = ["-O2"] if what == "flag" else []
    found = compiled(other, *flags)[0]
    os.remove(other / "a.o")
    assert found == compiled(other, *flags, launcher=())[0]
    assert len(list(kept.iterdir())) > 2


def test_what_warns_or_fails_does_so_each_time(tmp_path: Path, kept: Path) -> None:
    for name in ("first", "second"):
        folder = project(tmp_path / name, "inline int one() { int unused; return 1; }")
        assert "unused" in compiled(folder)[2]
        os.remove(folder / "a.o")
        assert "error" in compiled(folder, "-Werror")[2]
    assert not list(kept.iterdir())
