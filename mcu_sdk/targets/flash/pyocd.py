"""pyOCD: a pip package that knows many chips and probes (CMSIS-DAP, ST-Link, J-Link)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from mcu_sdk.board.flash import Pyocd
from mcu_sdk.errors import DeviceMissingError, RunError, UsageError
from mcu_sdk.targets.flash.chip import addresses, check_chip, words_in
from mcu_sdk.targets.flash.runner import Capabilities, FlashJob, FlashRunner, Step
from mcu_sdk.targets.tool import Finished

_WORD = re.compile(r"^([0-9a-f]{8}):\s+([0-9a-f]{8})\b", re.MULTILINE)
_SAME = re.compile(r"All (\d+) bytes match")


class _Pyocd(FlashRunner):
    """Lists the probes, reads the chip as any Cortex-M, writes, compares, starts the firmware."""

    name = "pyocd"
    title = "pyOCD"
    programs = ("pyocd",)
    install = "pip install 'mcu-sdk[flash]'"
    capabilities = Capabilities(
        probe="the probe's unique id, or a part of it (`pyocd list`)",
        checks_chip=True,
        verifies=True,
        writes_ram=True,
    )

    def files(self, job: FlashJob) -> Mapping[Path, bytes]:
        """pyOCD compares with files that are nothing but bytes."""
        return {_image(job, number): segment.data for number, segment in enumerate(job.segments)}

    def steps(self, job: FlashJob) -> list[Step]:
        program, parameters = self.program(), _parameters(job)
        probe = ("-W", "--no-config", *(("-u", job.probe) if job.probe is not None else ()))
        # Without this a locked chip would be erased whole, its lock words with it.
        chip: tuple[str, ...] = ("-t", parameters.target, "-O", "auto_unlock=false")
        if parameters.frequency_hz is not None:
            chip = (*chip, "-f", str(parameters.frequency_hz))
        reads = [
            argument for address in addresses(job.board) for argument in ("-c", f"read32 {address:#x} 4")
        ]
        compares = [
            argument
            for number, segment in enumerate(job.segments)
            for argument in ("-c", f'compare {segment.address:#x} "{_image(job, number)}"')
        ]
        write = (
            program,
            "flash",
            *probe,
            *chip,
            "-e",
            "sector",
            "--format",
            "elf",
            "--no-reset",
            str(job.program),
        )
        return [
            Step("Looking for a probe", (program, "json", "--probes"), lambda done: _judge_probes(done, job.probe)),
            Step(
                "Reading what chip it is",
                (program, "commander", *probe, "-t", "cortex_m", "-M", "attach", *reads),
                lambda done: _judge_chip(done, job),
            ),
            Step(f"Writing {job.bytes:,} bytes", write, _judge_write),
            Step(
                "Comparing, and starting the firmware",
                (program, "commander", *probe, *chip, "-M", "halt", *compares, "-c", "reset"),
                lambda done: _judge_compare(done, job),
            ),
        ]  # fmt: skip


def _parameters(job: FlashJob) -> Pyocd:
    assert job.board.flash is not None and job.board.flash.pyocd is not None
    return job.board.flash.pyocd


def _image(job: FlashJob, number: int) -> Path:
    return job.beside(f"firmware.{number}.bin")


def _judge_probes(done: Finished, wanted: str | None) -> None:
    """Exactly one probe is there, or is meant by `wanted`."""
    try:
        found = json.loads(done.output)
        probes = {str(each["unique_id"]): str(each["info"]) for each in found["boards"]}
        problem = found.get("error", "") if found["status"] else ""
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"pyOCD does not tell its probes: {done.last_lines}.", hint="Does `pyocd list` work?"
        ) from error
    if problem:
        raise RunError(f"pyOCD cannot list its probes: {problem}.", hint="Does `pyocd list` work?")
    listed = ", ".join(f"{unique_id} ({info})" for unique_id, info in sorted(probes.items()))
    if not probes:
        raise DeviceMissingError(
            "No debug probe is connected.",
            hint="Plug the board in; on Linux the probe needs a udev rule (pyOCD's documentation: udev).",
        )
    matching = [each for each in probes if wanted is None or wanted.lower() in each.lower()]
    if not matching:
        raise DeviceMissingError(
            f"There is no probe {wanted!r}; connected are: {listed}.", hint="Name one of them with --probe."
        )
    if len(matching) > 1 and wanted not in probes:
        raise UsageError(f"Several probes could be meant: {listed}.", hint="Name one of them with --probe.")


def _judge_chip(done: Finished, job: FlashJob) -> None:
    words = words_in(done.output, _WORD)
    if not words and done.code != 0:
        raise RunError(
            f"pyOCD cannot reach the chip: {done.last_lines}.",
            hint="Is the board powered? A chip that sleeps or is locked answers no probe.",
        )
    check_chip(job.board, words)


def _judge_write(done: Finished) -> None:
    # A segment outside of the flash that pyOCD knows is left out with no more than a warning.
    if done.code != 0 or "Failed to add data" in done.output:
        raise RunError(
            f"pyOCD did not write the whole image: {done.last_lines}.",
            hint="Is it [flash.pyocd].target that the board has? Was it unplugged? The board may hold half an image now.",
        )


def _judge_compare(done: Finished, job: FlashJob) -> None:
    same = [int(count) for count in _SAME.findall(done.output)]
    if done.code != 0 or same != [len(segment.data) for segment in job.segments]:
        raise RunError(
            f"The board does not hold what was written: {done.last_lines}.",
            hint="Flash it again; if it stays, the flash is worn out, or protected.",
        )


RUNNER = _Pyocd()
