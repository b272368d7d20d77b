"""A project on its device and on this computer, which are given the same and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, Unpack

from mcu_sdk.console import step
from mcu_sdk.errors import UsageError
from mcu_sdk.project.asked import Where
from mcu_sdk.project.build import BuildResult, build
from mcu_sdk.project.opened import Project
from mcu_sdk.project.runners import Device, built_device, simulator_device
from mcu_sdk.targets.process import DEFAULT_TIMEOUT
from mcu_sdk.targets.runner import HOST

T = TypeVar("T")


@dataclass(frozen=True)
class Pair:
    """Both, built. `target`: the device's simulator, or its port; `built`: the device's build; `library`: the plan and its
    kernels for this computer, which Python loads."""

    target: str
    built: BuildResult
    device: Device
    host: Device
    library: Path

    def run(self, ask: Callable[[Device], T], which: str = "") -> tuple[T, T]:
        """What `ask` gets from the device, and from this computer, which is asked first since it is quicker. `which`: goes
        into the progress."""
        with step(f"Running on the host{which}"):
            on_host = ask(self.host)
        with step(f"Running on {self.target}{which}"):
            return ask(self.device), on_host


def built_pair(project: Project, **where: Unpack[Where]) -> Pair:
    """Build the project for both. Raises UsageError for this computer in the place of a board's device, and what
    `built_device` raises."""
    if where.get("simulator") == HOST and not project.board.is_host:
        raise UsageError("The host is what a device is compared with.", hint="Take another --simulator.")
    found = built_device(project, **where)
    reference = build(project.folder, project.host_preset)
    host = simulator_device(HOST, project, reference.program, timeout=where.get("timeout", DEFAULT_TIMEOUT))
    library = found.built.library or reference.library
    assert library is not None, "a native build makes libmodel.so"
    return Pair(found.target, found.built, found.device, host, library)
