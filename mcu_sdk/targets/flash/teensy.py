"""PJRC's teensy_loader_cli, which talks to the boot loader of a Teensy over USB."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mcu_sdk.errors import DeviceMissingError, RunError, UsageError
from mcu_sdk.targets.flash.runner import Capabilities, FlashJob, FlashRunner, Step
from mcu_sdk.targets.flash.segments import to_hex
from mcu_sdk.targets.tool import Finished


class _Teensy(FlashRunner):
    """The boot loader can write, and nothing else: it tells no chip and reads nothing back."""

    name = "teensy"
    title = "teensy_loader_cli"
    programs = ("teensy_loader_cli", "teensy-loader-cli")
    install = "apt-get install teensy-loader-cli"
    capabilities = Capabilities(probe="")

    def check(self, job: FlashJob) -> None:
        super().check(job)
        if job.probe is not None:
            raise UsageError(
                "teensy_loader_cli takes the first Teensy whose boot loader runs; it cannot be told which.",
                hint="Leave --probe out, and plug in one of them only.",
            )

    def files(self, job: FlashJob) -> Mapping[Path, bytes]:
        return {_hex(job): to_hex(job.segments).encode()}

    def steps(self, job: FlashJob) -> list[Step]:
        assert job.board.flash is not None and job.board.flash.teensy is not None
        mcu = job.board.flash.teensy.mcu
        command = (self.program(), f"--mcu={mcu}", "-v", str(_hex(job)))
        return [Step(f"Writing {job.bytes:,} bytes", command, _judge)]


def _hex(job: FlashJob) -> Path:
    return job.beside("firmware.hex")


def _judge(done: Finished) -> None:
    if done.code == 0:
        return
    if re.search(r"Unable to open device", done.output):
        raise DeviceMissingError(
            "No Teensy's boot loader answers.",
            hint="Plug it in, press the button on the board, and try again.",
        )
    raise RunError(
        f"teensy_loader_cli failed: {done.last_lines}.",
        hint="Is [flash.teensy].mcu right? Was it unplugged? If writing had begun, the board holds half an image now.",
    )


RUNNER = _Teensy()
