"""gdb, against whatever debug server listens: OpenOCD's, J-Link's, pyOCD's, a probe with one of its own, QEMU's."""

from __future__ import annotations

import re

from mcu_sdk.board.flash import Gdb
from mcu_sdk.errors import DeviceMissingError, RunError, UsageError
from mcu_sdk.targets.flash.chip import addresses, check_chip, words_in
from mcu_sdk.targets.flash.runner import Capabilities, FlashJob, FlashRunner, Step
from mcu_sdk.targets.tool import Finished

_WORD = re.compile(r"^(0x[0-9a-f]+):\s+(0x[0-9a-f]{8})$", re.MULTILINE)
_LOADED = re.compile(r"^Start address 0x[0-9a-f]+, load size (\d+)", re.MULTILINE)
_SECTION = re.compile(r"^Section (\S+), range .*: (matched|MIS-MATCHED!)", re.MULTILINE)
_NO_SERVER = re.compile(
    r"Connection (refused|timed out)|could not connect|No route to host|Name or service not known"
)
_REMOTE = re.compile(r"[A-Za-z0-9.-]{0,100}:[0-9]{1,5}")
_VTOR = 0xE000ED08


class _Gdb(FlashRunner):
    """Reads the chip, loads the image, compares its sections, and lets the processor begin at its vector table."""

    name = "gdb"
    title = "gdb"
    programs = ("arm-none-eabi-gdb", "gdb-multiarch")
    install = "apt-get install gdb-multiarch"
    capabilities = Capabilities(
        probe="where the debug server listens, HOST:PORT",
        checks_chip=True,
        verifies=True,
        writes_ram=True,
        needs_table=False,
    )

    def check(self, job: FlashJob) -> None:
        super().check(job)
        if job.probe is not None and not _REMOTE.fullmatch(job.probe):
            raise UsageError(
                f"--probe takes HOST:PORT for gdb, not {job.probe!r}.",
                hint="For example: --probe localhost:3333",
            )

    def steps(self, job: FlashJob) -> list[Step]:
        parameters = (job.board.flash.gdb if job.board.flash is not None else None) or Gdb()
        remote = job.probe or parameters.remote
        # -nx: what a person keeps in ~/.gdbinit is for other sessions.
        start = (
            self.program(),
            "-nx",
            "-batch",
            *_commands(["set confirm off", "set tcp auto-retry off", f"target extended-remote {remote}"]),
        )
        reads = [f"x/1xw {address:#x}" for address in addresses(job.board)]
        # `disconnect` leaves a target as it is; the end of gdb alone would end a simulator.
        work = [*parameters.before, "load", "compare-sections", *(parameters.after or _begin(job)), "detach"]
        return [
            Step(
                f"Reading what chip it is at {remote}",
                (*start, *_commands([*reads, "disconnect"])),
                lambda done: _judge_chip(done, job, remote),
            ),
            Step(
                f"Writing {job.bytes:,} bytes, and comparing",
                (*start, *_commands(work), str(job.program)),
                lambda done: _judge_load(done, job, remote),
            ),
        ]  # fmt: skip


def _commands(lines: list[str]) -> list[str]:
    return [argument for line in lines for argument in ("-ex", line)]


def _begin(job: FlashJob) -> list[str]:
    """What a reset would do: the vector table's first two words are the stack pointer and where to begin."""
    placement = job.board.placement
    assert placement is not None
    vectors = job.board.regions[placement.vectors[0]].origin
    table = next((held for each in job.segments if (held := each.holds(vectors, 8)) is not None), None)
    if table is None:
        raise UsageError(
            f"The image has no vector table at {vectors:#010x}, where the board's begins.",
            hint="Was it linked with the project's cmake/board.ld?",
        )
    stack, reset = (int.from_bytes(table[at : at + 4], "little") for at in (0, 4))
    return [
        f"set *(unsigned int *){_VTOR:#x} = {vectors:#x}",
        "set $xpsr = 0x01000000",
        f"set $sp = {stack:#x}",
        f"set $pc = {reset & ~1:#x}",
    ]


def _explain(done: Finished, remote: str) -> None:
    """Raise what is behind a failure, as far as gdb's words tell."""
    if _NO_SERVER.search(done.output):
        raise DeviceMissingError(
            f"No debug server listens at {remote}.",
            hint="Start it (openocd, pyocd gdbserver, JLinkGDBServer, qemu-system-arm -s -S), or name it with --probe.",
        )
    raise RunError(f"gdb failed at {remote}: {done.last_lines}.", hint="Is it a Cortex-M's debug server?")


def _judge_chip(done: Finished, job: FlashJob, remote: str) -> None:
    words = words_in(done.output, _WORD)
    if not words:
        _explain(done, remote)
    check_chip(job.board, words)


def _judge_load(done: Finished, job: FlashJob, remote: str) -> None:
    """gdb goes on after an error; that it has loaded and compared all of it is what counts."""
    loaded = _LOADED.search(done.output)
    if loaded is None:
        _explain(done, remote)
        return
    sections = _SECTION.findall(done.output)
    wrong = [name for name, result in sections if result != "matched"]
    if wrong or not sections or int(loaded[1]) != job.bytes:
        found = (
            f"{', '.join(wrong)} differ"
            if wrong
            else f"{int(loaded[1]):,} of {job.bytes:,} bytes were loaded"
        )
        raise RunError(
            f"The board does not hold what was written: {found}.",
            hint="Flash it again; if it stays, the memory is protected, or is none.",
        )


RUNNER = _Gdb()
