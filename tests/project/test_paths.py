"""Folders to build in: each character of a path either builds, or is refused by name before anything is begun."""

from __future__ import annotations

import shutil
import string
from collections.abc import Callable
from pathlib import Path

import pytest

from mcu_sdk import cli
from mcu_sdk.errors import McuSdkError, UsageError
from mcu_sdk.project import build as building
from mcu_sdk.project.build import build, check_path
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.project.render import render_project

Inputs = Callable[..., ProjectInputs]

REFUSED = '"\\;|$[]\x01\t\n\x1f\x7f'
HIDDEN = "\x01\t\x1f"
"""No tool of today trips over these; but nobody sees them in a terminal, and nobody means them."""
BUILT = "".join(c for c in string.punctuation if c not in REFUSED + "/") + " é日ß\u00a0\u200b😀"


@pytest.mark.parametrize("character", REFUSED)
def test_what_cannot_be_built_is_refused_before_anything(
    character: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (f"a{character}b", f"a{character}b/c"):
        assert cli.run(["generate", "--board=corstone-300", "--pte=none.pte", f"--output={name}"]) == 2
        message = " ".join(capfd.readouterr().err.split())
        assert f"the character {character!a}" in message and "--output" in message
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("character", BUILT)
def test_everything_else_is_accepted(character: str) -> None:
    check_path(f"/a{character}b/c", "")


def test_a_project_that_was_moved_to_such_a_folder_is_refused(tmp_path: Path, tiny_inputs: Inputs) -> None:
    project = shutil.move(render_project(tiny_inputs("host"), tmp_path / "p"), tmp_path / "a$b")
    with pytest.raises(UsageError, match=r"the character '\$'"):
        build(Path(project))


def test_a_folder_with_all_of_them_builds(tmp_path: Path, tiny_inputs: Inputs, tiny_project: Path) -> None:
    """And the firmware is the same as from any other folder."""
    project = render_project(tiny_inputs(), tmp_path / f"a{BUILT}b")
    assert build(project).program.read_bytes() == (tiny_project / "build/release/firmware.elf").read_bytes()
    assert build(project, "host").program.is_file()


@pytest.mark.slow
@pytest.mark.parametrize("character", [character for character in REFUSED if character not in HIDDEN])
def test_nothing_is_refused_without_need(
    character: str, tmp_path: Path, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "check_path", lambda path, hint: None)
    project = render_project(tiny_inputs(), tmp_path / f"a{character}b")
    with pytest.raises((McuSdkError, OSError, ValueError)):
        for preset in ("release", "host", "host-debug"):
            build(project, preset)


@pytest.mark.slow
@pytest.mark.parametrize("character", BUILT)
def test_each_alone_builds(character: str, tmp_path: Path, tiny_inputs: Inputs) -> None:
    """At the beginning, in the middle and at the end of a name."""
    project = render_project(tiny_inputs(), tmp_path / f"{character}a{character}b{character}" / "p")
    for preset in ("release", "host"):
        assert build(project, preset).program.is_file()
