"""The shipped driver beside a simulated NPU, in QEMU and as a process: answers, errors, ends, and what is left behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcu_sdk.board.board import load_board
from mcu_sdk.errors import McuSdkError, PteError, RunError, TargetTimeoutError
from mcu_sdk.npu import cosimulation
from mcu_sdk.npu.errors import SimulationError
from mcu_sdk.npu.registers import RegisterModel, Run
from mcu_sdk.targets import qemu
from mcu_sdk.targets.protocol import Request
from tests.npu import guest
from tests.npu.cosimulated import prepare, run

ROOT = Path(__file__).parents[2]
KINDS = ("qemu", "host")
RUNNING = 0.3
"""Seconds after the firmware's first access to the NPU at which a long run is surely under way, and not over."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("guest")
    return {kind: guest.build(folder, for_board=kind == "qemu") for kind in KINDS}


@pytest.fixture(autouse=True)
def leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Every test here has a temporary folder of its own, which has to be empty in the end; and no thread, file
    descriptor or process of it may stay."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    descriptors = set(os.listdir("/proc/self/fd"))
    yield temporary
    assert wait_for(lambda: not processes_in(temporary)), "a process is left"
    assert list(temporary.iterdir()) == []
    assert [thread.name for thread in threading.enumerate() if thread.name == "npu"] == []
    gc.collect()  # an error's traceback holds views of the memory
    assert len(os.listdir("/proc/self/fd")) <= len(descriptors), "file descriptors are left open"


def processes_in(folder: Path) -> list[int]:
    """Processes that were started with that folder for their temporary files."""
    mark = f"TMPDIR={folder}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            numbered = entry.name.isdigit() and int(entry.name) != os.getpid()
            if numbered and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:  # it has ended
            continue
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


# ---- answers


@pytest.mark.parametrize("kind", KINDS)
def test_the_npu_s_work_is_in_the_firmware_s_memory(programs: dict[str, Path], kind: str) -> None:
    transcript, npu = run(kind, programs[kind], "copy", steps=3)
    expected = bytes(range(64)) + bytes(192)
    assert transcript.facts["sum"] == guest.checksum(expected)
    assert (npu.runs, npu.error) == (3, None)


@pytest.mark.parametrize("kind", KINDS)
def test_an_observer_can_record_and_change_what_a_run_sees(programs: dict[str, Path], kind: str) -> None:
    sizes = []

    def observe(observed: Run) -> Callable[[], None]:
        sizes.append(len(observed.stream))
        scratch = observed.regions[1]
        assert scratch is not None

        def after() -> None:
            scratch[100] = 7

        return after

    transcript, _ = run(kind, programs[kind], "copy", steps=2, observer=observe)
    expected = bytearray(bytes(range(64)) + bytes(192))
    expected[100] = 7
    assert transcript.facts["sum"] == guest.checksum(bytes(expected))
    assert sizes == [len(guest.BLOCKS["copy"]) - 32] * 2


def test_four_round_trips_for_each_run(programs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    read = RegisterModel.read
    monkeypatch.setattr(
        RegisterModel, "read", lambda self, offset: reads.append(offset) or read(self, offset)
    )
    run("qemu", programs["qemu"], "copy", steps=10)
    assert len(reads) == 4 * 10


# ---- errors, each as what it is

ERRORS: dict[str, tuple[type[McuSdkError], str]] = {
    "unknown command": (SimulationError, "word 0 .*0x3ff"),
    "out of bounds": (SimulationError, "NPU_OP_DMA_START: bytes 2147483392 to 2147487488 of region 1"),
    "other MACs": (PteError, "compiled for another one .npu_version_mismatch"),
    "unreachable scratch": (RunError, "bus error: 0x[0-9a-f]+ is (outside the shared memory|no address)"),
    "unknown register": (RunError, "read the NPU's register 0x0180"),
    "silent end": (RunError, "ended with code 0 before the verdict"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", ERRORS)
def test_an_error_reaches_the_user_as_what_it_is(programs: dict[str, Path], kind: str, block: str) -> None:
    expected, words = ERRORS[block]
    with pytest.raises(expected, match=words) as caught:
        run(kind, programs[kind], block)
    assert type(caught.value) is expected  # and no TargetTimeoutError


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_in_the_simulator_itself_ends_the_run(
    programs: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(cosimulation.RegisterModel, "_run", fail)
    with pytest.raises(RunError, match="The simulated NPU failed: ZeroDivisionError: a bug"):
        run(kind, programs[kind], "copy")


@pytest.mark.parametrize("kind", KINDS)
def test_messages_of_another_version_are_refused(
    programs: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cosimulation, "WRITE", 0x12345678)
    with pytest.raises(RunError, match="sent 0x52574d31, which is no access"):
        run(kind, programs[kind], "copy")


def test_a_system_without_room_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "ftruncate", full)
    with pytest.raises(RunError, match=r"cannot be set up: .*No space left"), prepare("qemu"):
        pass


def test_without_nameless_files_the_memory_lies_in_the_folder(
    programs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    transcript, _ = run("qemu", programs["qemu"], "copy")
    assert transcript.facts["sum"] == guest.checksum(bytes(range(64)) + bytes(192))


def test_a_board_s_firmware_finds_no_npu_in_plain_qemu(tmp_path: Path) -> None:
    """Registers at their address: QEMU has nothing there that answers like an NPU."""
    program = guest.build(tmp_path, for_board=True, access=guest.MEMORY_MAPPED)
    request = Request(steps=1, seed=guest.number("copy"))
    with pytest.raises(RunError, match=r"there is none at the address .npu_not_found"):
        qemu.run(load_board("corstone-300"), program, request, timeout=20)


# ---- ends


@pytest.mark.parametrize("block", ["long", pytest.param("hang", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_time_out_ends_both_sides(programs: dict[str, Path], kind: str, block: str) -> None:
    with pytest.raises(TargetTimeoutError):
        run(kind, programs[kind], block, timeout=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_firmware_that_is_killed_in_a_run_is_an_error(programs: dict[str, Path], kind: str) -> None:
    def kill_later(process: int) -> None:
        threading.Timer(RUNNING, lambda: os.kill(process, signal.SIGKILL)).start()

    with pytest.raises(RunError, match="was ended by SIGKILL"):
        run(kind, programs[kind], "long", under_way=kill_later)


@pytest.mark.parametrize("block", ["hang", pytest.param("long", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_ends_both_sides(
    programs: dict[str, Path], kind: str, block: str, leaves_nothing: Path
) -> None:
    with in_the_background(kind, programs[kind], block) as (process, firmware):
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert not Path(f"/proc/{firmware}").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_firmware_ends_by_itself_when_the_simulator_is_killed(
    programs: dict[str, Path], kind: str, leaves_nothing: Path
) -> None:
    """Nobody is left to clean up: the firmware finds its pipes closed, and no file has a name any more."""
    with in_the_background(kind, programs[kind], "long") as (process, firmware):
        process.kill()
        process.wait(10)
        assert wait_for(lambda: not Path(f"/proc/{firmware}").exists())


class in_the_background:  # noqa: N801 - reads as a statement
    """The run in a Python of its own, under way; with the firmware's process id."""

    def __init__(self, kind: str, program: Path, block: str) -> None:
        self._command = [sys.executable, "-m", "tests.npu.cosimulated", kind, str(program), block]

    def __enter__(self) -> tuple[subprocess.Popen[str], int]:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
        )
        assert self._process.stdout is not None
        firmware = int(self._process.stdout.readline())
        time.sleep(RUNNING)
        assert self._process.poll() is None
        return self._process, firmware

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
