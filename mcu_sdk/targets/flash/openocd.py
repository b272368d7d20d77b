"""OpenOCD, with the scripts that come with it."""

from __future__ import annotations

import re

from mcu_sdk.board.flash import Openocd
from mcu_sdk.errors import DeviceMissingError, RunError, UsageError
from mcu_sdk.targets.flash.chip import addresses, check_chip, words_in
from mcu_sdk.targets.flash.runner import Capabilities, FlashJob, FlashRunner, Step
from mcu_sdk.targets.tool import Finished

_WORD = re.compile(r"^mcu-sdk (0x[0-9a-f]+) = (0x[0-9a-f]+)", re.MULTILINE)
_NO_PROBE = re.compile(
    r"unable to find a matching|open failed|No J-Link device found|no device found|"
    r"couldn't open|libusb_open\(\) failed|failed to connect|connection refused",
    re.IGNORECASE,
)
_OTHER_CHIP = re.compile(
    r"UNEXPECTED|expected \d+ of \d+: 0x|Cannot identify target|unknown device id", re.IGNORECASE
)
_ENDED = "mcu-sdk: done"


class _Openocd(FlashRunner):
    """Reads the chip, then writes, compares, starts the firmware; a Tcl error ends it with code 1."""

    name = "openocd"
    title = "OpenOCD"
    programs = ("openocd",)
    install = "apt-get install openocd"
    capabilities = Capabilities(
        probe="the adapter's serial number", checks_chip=True, verifies=True, writes_ram=True
    )

    def check(self, job: FlashJob) -> None:
        super().check(job)
        if re.search(r"[{}\\]", str(job.program)):
            raise UsageError(
                f"OpenOCD cannot be given a path with braces: {str(job.program)!r}.",
                hint="Move the project to another folder.",
            )

    def steps(self, job: FlashJob) -> list[Step]:
        start = self._start(job)
        reads = [
            f"echo [format {{mcu-sdk {address:#010x} = 0x%08x}} [read_memory {address:#x} 32 1]]"
            for address in addresses(job.board)
        ]
        image = f"{{{job.program}}}"
        # `erase` takes only the sectors that the image lies in, and nothing is ever unlocked.
        load = f"flash write_image erase {image}" if _is_in_flash(job) else f"load_image {image}"
        writes = ["reset halt", load, f"verify_image {image}", f"echo {{{_ENDED}}}", "reset run"]
        if not _is_in_flash(job):
            writes[-1] = _start_in_ram(job)
        return [
            Step(
                "Reading what chip it is",
                (*start, *_commands(["init", *reads, "shutdown"])),
                lambda done: _judge_chip(done, job),
            ),
            Step(
                f"Writing {job.bytes:,} bytes, and comparing",
                (*start, *_commands(["init", *writes, "shutdown"])),
                _judge_write,
            ),
        ]

    def _start(self, job: FlashJob) -> tuple[str, ...]:
        parameters = _parameters(job)
        files = [argument for script in parameters.config for argument in ("-f", _find(job, script))]
        probe = [f"adapter serial {{{job.probe}}}"] if job.probe is not None else []
        # No servers: several boards may be flashed at once.
        quiet = [f"{port}_port disabled" for port in ("gdb", "tcl", "telnet")]
        return (self.program(), *files, *_commands([*quiet, *probe, *parameters.before]))


def _find(job: FlashJob, script: str) -> str:
    """A script in the board's folder; else one of OpenOCD's own, which it finds itself."""
    own = job.board.folder / script if job.board.folder is not None else None
    return str(own) if own is not None and own.is_file() else script


def _commands(lines: list[str]) -> list[str]:
    return [argument for line in lines for argument in ("-c", line)]


def _parameters(job: FlashJob) -> Openocd:
    assert job.board.flash is not None and job.board.flash.openocd is not None
    return job.board.flash.openocd


def _is_in_flash(job: FlashJob) -> bool:
    roms = [region for region in job.board.region if region.kind == "rom"]
    return any(region.origin <= segment.address < region.end for region in roms for segment in job.segments)


def _start_in_ram(job: FlashJob) -> str:
    """A reset would lose the way to an image in RAM: stack pointer and program counter come from its vector table."""
    placement = job.board.placement
    assert placement is not None
    vectors = job.board.regions[placement.vectors[0]].origin
    return (
        f"mww 0xe000ed08 {vectors:#x}; reg sp [read_memory {vectors:#x} 32 1]; "
        f"resume [expr {{[read_memory {vectors + 4:#x} 32 1] & ~1}}]"
    )


def _judge_chip(done: Finished, job: FlashJob) -> None:
    words = words_in(done.output, _WORD)
    if not words:
        _explain(done)
    check_chip(job.board, words)


def _judge_write(done: Finished) -> None:
    if done.code != 0 or _ENDED not in done.output:
        _explain(done)


def _explain(done: Finished) -> None:
    """Raise what is behind a failure, as far as OpenOCD's words tell."""
    if _NO_PROBE.search(done.output):
        raise DeviceMissingError(
            f"OpenOCD finds no probe: {done.last_lines}.",
            hint="Plug the board in; --probe takes the adapter's serial number. On Linux it needs a udev rule.",
        )
    if _OTHER_CHIP.search(done.output):
        raise RunError(
            f"OpenOCD finds another chip than its scripts expect: {done.last_lines}.",
            hint="Nothing was written. Is this the project's board?",
        )
    raise RunError(
        f"OpenOCD failed: {done.last_lines}.",
        hint="Is the board powered? Was it unplugged? If writing had begun, the board holds half an image now.",
    )


RUNNER = _Openocd()
