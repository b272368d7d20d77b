"""A generated project is built."""

from __future__ import annotations

from pathlib import Path

from mcu_sdk.api.results import Built, report_of
from mcu_sdk.project import build as building
from mcu_sdk.project.opened import open_project


def build(
    project: str | Path, preset: str = "release", *, board: str | None = None, self_test: bool = False
) -> Built:
    """Build a preset of a generated project ("release", "debug", "host", "host-debug"). With `self_test` the firmware
    tests its kernels at boot.

    `board`: the folder of the project's board, if it is none of the packaged ones and was moved.
    """
    opened = open_project(Path(project), board)
    result = building.build(opened.folder, preset, self_test=self_test)
    return Built(result, report_of(opened, result))
