"""SEGGER's J-Link Commander. Untested with a probe: the tool is not free to hand on; docs/flash.md says what is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from mcu_sdk.board.flash import Jlink
from mcu_sdk.errors import DeviceMissingError, RunError
from mcu_sdk.targets.flash.chip import addresses, check_chip, words_in
from mcu_sdk.targets.flash.runner import Capabilities, FlashJob, FlashRunner, Step
from mcu_sdk.targets.flash.segments import to_hex
from mcu_sdk.targets.tool import Finished

_WORD = re.compile(r"^(?:J-Link>)?([0-9A-F]{8}) = ([0-9A-F]{8})", re.MULTILINE)
_NO_PROBE = re.compile(
    r"Connecting to J-Link via USB\.*\s*FAILED|No J-Link found|Cannot connect to J-Link", re.IGNORECASE
)
_READ, _WRITE, _HEX = "flash-read.jlink", "flash-write.jlink", "firmware.hex"


class _Jlink(FlashRunner):
    """Two runs of scripts: what chip it is, then write, start. J-Link Commander compares what it has written."""

    name = "jlink"
    title = "J-Link Commander"
    programs = ("JLinkExe", "JLink.exe")
    install = "SEGGER's J-Link Software Pack, from segger.com"
    capabilities = Capabilities(
        probe="the probe's serial number", checks_chip=True, verifies=True, writes_ram=True
    )

    def files(self, job: FlashJob) -> Mapping[Path, bytes]:
        reads = [f"mem32 {address:X} 1" for address in addresses(job.board)]
        writes = ["r", "h", f'loadfile "{job.beside(_HEX)}"', "r", "g"]
        return {
            job.beside(_HEX): to_hex(job.segments).encode(),
            job.beside(_READ): _script(reads),
            job.beside(_WRITE): _script(writes),
        }

    def steps(self, job: FlashJob) -> list[Step]:
        assert job.board.flash is not None and job.board.flash.jlink is not None
        parameters: Jlink = job.board.flash.jlink
        start = (
            self.program(),
            "-Device", parameters.device,
            "-If", parameters.interface.upper(),
            "-Speed", str(parameters.speed_khz),
            *(("-SelectEmuBySN", job.probe) if job.probe is not None else ()),
            "-AutoConnect", "1",
            "-ExitOnError", "1",
            "-NoGui", "1",
            "-CommandFile",
        )  # fmt: skip
        return [
            Step(
                "Reading what chip it is",
                (*start, str(job.beside(_READ))),
                lambda done: _judge_chip(done, job),
            ),
            Step(f"Writing {job.bytes:,} bytes", (*start, str(job.beside(_WRITE))), _judge_write),
        ]

    def lines(self, job: FlashJob) -> list[str]:
        """The commands, and what stands in their scripts."""
        scripts = {path.name: content.decode() for path, content in self.files(job).items()}
        return [
            f"{shlex.join(each.command)}   # {'; '.join(scripts[Path(each.command[-1]).name].split(chr(10)))}"
            for each in self.steps(job)
        ]


def _script(lines: list[str]) -> bytes:
    return "\n".join([*lines, "exit", ""]).encode()


def _explain(done: Finished) -> None:
    if _NO_PROBE.search(done.output):
        raise DeviceMissingError(
            f"J-Link Commander finds no probe: {done.last_lines}.",
            hint="Plug it in; --probe takes its serial number.",
        )
    raise RunError(
        f"J-Link Commander failed: {done.last_lines}.",
        hint="Is the board powered, and [flash.jlink].device right? If writing had begun, it holds half an image now.",
    )


def _judge_chip(done: Finished, job: FlashJob) -> None:
    words = words_in(done.output, _WORD)
    if not words:
        _explain(done)
    check_chip(job.board, words)


def _judge_write(done: Finished) -> None:
    if done.code != 0 or not re.search(r"^O\.K\.", done.output, re.MULTILINE):
        _explain(done)


RUNNER = _Jlink()
