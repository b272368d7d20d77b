"""Firmware beside a simulated NPU: the same digest everywhere, and nothing left behind however a run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mcu_sdk import cli, resources
from mcu_sdk.errors import RunError, TargetTimeoutError
from mcu_sdk.npu import cosimulation
from mcu_sdk.npu.accelerator import accelerator
from mcu_sdk.npu.blob import read_blob
from mcu_sdk.npu.cosimulation import ProcessCoSimulation, QemuCoSimulation
from mcu_sdk.npu.errors import SimulationError
from mcu_sdk.npu.registers import Observer, Run
from mcu_sdk.project.build import BuildResult
from mcu_sdk.project.host_library import HostModel, made_up_inputs
from mcu_sdk.project.opened import Project
from mcu_sdk.project.verify import run_in_qemu, run_on_host
from mcu_sdk.targets.process import run_process
from mcu_sdk.targets.protocol import Request, Transcript
from tests.npu.conftest import generated
from tests.npu.programs import place, with_word

ENDLESS = Request(steps=1_000_000)
SECONDS = 60

Start = Callable[..., Transcript]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What co-simulation makes on a disk or in memory comes into this folder, of which every command line has the
    path."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(cosimulation, "_memory_folder", lambda: str(path))
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


def descriptors() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # that of the listing itself
            continue
    return found


def children() -> set[int]:
    """Processes that this one started and that are there, ended ones without a `wait` included."""
    found = set()
    for thread in os.listdir("/proc/self/task"):
        found |= set(map(int, Path(f"/proc/self/task/{thread}/children").read_text().split()))
    return found


def processes(word: str) -> list[int]:
    """Every process whose command line or working folder names `word`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "cmdline").read_bytes().decode("utf-8", "replace") + os.readlink(
                    entry / "cwd"
                )
            except OSError:
                continue
            if word in text:
                found.append(int(entry.name))
    return found


@pytest.fixture(autouse=True)
def _nothing_left(folder: Path) -> Iterator[None]:
    """Files, processes, threads and descriptors are afterwards what they were before."""
    before = descriptors(), children(), threading.active_count()
    yield
    assert list(folder.iterdir()) == []
    assert (descriptors(), children(), threading.active_count()) == before
    assert processes(str(folder)) == []
    assert str(folder) not in Path("/proc/self/maps").read_text()


@pytest.fixture(params=["qemu", "host"])
def start(request: pytest.FixtureRequest, npu_project: Project, npu_builds: dict[str, BuildResult]) -> Start:
    """`start(request, timeout=, observer=)` on QEMU, and on this computer."""
    function = {"qemu": run_in_qemu, "host": run_on_host}[request.param]
    program = npu_builds[request.param].program
    return lambda wanted, **more: function(npu_project, program, wanted, **more)


# ---- what is computed


def test_every_way_computes_the_same(npu_project: Project, npu_builds: dict[str, BuildResult]) -> None:
    """QEMU, a process and a library in this process: one digest; another seed gives another one."""
    model = HostModel(npu_builds["host"].library or Path(), npu_project.accelerator)
    shapes = [(array.dtype.name, array.size) for array in model.inputs]
    digests = []
    for seed in (1, 2):
        wanted = Request(steps=4, seed=seed)
        found = {
            run_in_qemu(npu_project, npu_builds["qemu"].program, wanted).digest,
            run_on_host(npu_project, npu_builds["host"].program, wanted).digest,
        }
        model.reset()
        outputs = [out for values in made_up_inputs(shapes, seed, 4) for out in model.run(values)]
        assert found == {f"{model.digest(outputs):016x}"}
        assert len({out.tobytes() for out in outputs}) == 4  # no constant
        digests += found
    assert digests[0] != digests[1]


def test_the_observer_sees_each_run(start: Start, npu_program: Path) -> None:
    """The stream of the .pte, and its inputs in the scratch, which differ from step to step."""
    data = npu_program.read_bytes()
    where = place(data)
    blob = read_blob(data[where.blob : where.blob + where.blob_size])
    (given,) = blob.inputs
    (made,) = blob.outputs
    seen: list[tuple[bytes, bytes]] = []

    def observe(run: Run) -> Callable[[], None]:
        weights, scratch = run.regions[:2]
        assert weights is not None and scratch is not None
        assert run.stream == blob.commands[where.stream - where.commands :]
        assert weights[: len(blob.weights)].tobytes() == blob.weights
        before = scratch[given.offset :][: given.size_bytes].tobytes()
        return lambda: seen.append((before, scratch[made.offset :][: made.size_bytes].tobytes()))

    start(Request(steps=5), observer=observe)
    assert len(seen) == 5
    assert len({inputs for inputs, _ in seen}) == 5 and len({outputs for _, outputs in seen}) == 5


def test_twenty_runs_leave_nothing_open(npu_project: Project, npu_builds: dict[str, BuildResult]) -> None:
    """The fixture compares descriptors, threads and mappings before and after."""
    digests = {
        run_on_host(npu_project, npu_builds["host"].program, Request(steps=1)).digest for _ in range(20)
    }
    digests |= {
        run_in_qemu(npu_project, npu_builds["qemu"].program, Request(steps=1)).digest for _ in range(5)
    }
    assert len(digests) == 1


# ---- how a run can end


def after(runs: int, then: Callable[[], None]) -> Observer:
    """Calls `then` when the NPU has begun its run number `runs`."""
    left = runs

    def observe(_: Run) -> Callable[[], None]:
        nonlocal left
        left -= 1
        if left == 0:
            then()
        return lambda: None

    return observe


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The process ids that co-simulations were told."""
    found: list[int] = []
    for kind in (QemuCoSimulation, ProcessCoSimulation):
        original = kind.started

        def told(
            self: cosimulation.CoSimulation, process: int, original: Callable[..., None] = original
        ) -> None:
            found.append(process)
            original(self, process)

        monkeypatch.setattr(kind, "started", told)
    return found


def test_a_process_that_is_killed(start: Start, started: list[int]) -> None:
    begun = time.monotonic()
    with pytest.raises(RunError, match="was ended by SIGKILL before the verdict"):
        start(ENDLESS, observer=after(3, lambda: os.kill(started[0], signal.SIGKILL)), timeout=SECONDS)
    assert time.monotonic() - begun < SECONDS / 2


def test_a_time_out(start: Start) -> None:
    with pytest.raises(TargetTimeoutError, match=r"within 1\.5 seconds"):
        start(ENDLESS, timeout=1.5)


def test_an_interrupt(start: Start) -> None:
    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        start(ENDLESS, observer=after(3, interrupt), timeout=SECONDS)


def test_a_defect_in_the_simulator(start: Start) -> None:
    """What is raised in the thread ends the run at once, and is told."""

    def fail() -> None:
        raise ZeroDivisionError("made for the test")

    begun = time.monotonic()
    with pytest.raises(RunError, match="The simulated NPU failed: ZeroDivisionError: made for the test"):
        start(ENDLESS, observer=after(2, fail), timeout=SECONDS)
    assert time.monotonic() - begun < SECONDS / 2


def test_an_error_of_the_simulator(start: Start) -> None:
    """The firmware ends by itself; the user is told the simulator's reason, not the driver's."""

    def fail() -> None:
        raise SimulationError(5, "NPU_OP_CONV", "made for the test")

    with pytest.raises(SimulationError, match="word 5 of the command stream, NPU_OP_CONV"):
        start(ENDLESS, observer=after(2, fail), timeout=SECONDS)


@pytest.mark.parametrize("simulator", ["qemu", "host"])
def test_a_stream_that_the_simulator_refuses(
    simulator: str, npu_program: Path, shared_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The command BLOCKDEP becomes one that there is not: exit code 7 and its name, not a time-out."""
    program = shared_folder / "refused.pte"
    program.write_bytes(with_word(npu_program.read_bytes(), lambda opcode: opcode == 0x12F, 0x3FF))
    project = generated(program, shared_folder / "npu-refused")
    capfd.readouterr()
    assert cli.run(["--quiet", "run", str(project.folder), f"--simulator={simulator}"]) == 7
    message = capfd.readouterr().err
    assert message.startswith("error: The simulated NPU stopped at word ") and "0x3ff" in message


# ---- programs that do not keep to the protocol

PARTNER = """
import os, struct, sys
request, response = map(int, os.environ["MCU_SDK_NPU"].split(","))
{body}
sys.stdin.read()
"""


def partner(body: str, *, timeout: float = SECONDS) -> Transcript:
    """Run a Python program in the place of a firmware."""
    command = [sys.executable, "-c", PARTNER.format(body=body)]
    with ProcessCoSimulation(accelerator("ethos-u55-128")) as npu:
        return run_process(command, Request(steps=1), name="partner", install="-", timeout=timeout, npu=npu)


def test_a_message_that_is_none() -> None:
    with pytest.raises(RunError, match="sent 0x00000007 to the simulated NPU, which is no access"):
        partner("os.write(request, struct.pack('<3I', 7, 0, 0)); sys.stdin.read(); os.read(response, 4)")


def test_answers_that_nobody_reads() -> None:
    """More than the pipe holds: neither the run nor its end may wait for ever."""
    with pytest.raises(RunError, match="but not the answers"):
        partner(
            "for _ in range(40000): os.write(request, struct.pack('<3I', 0x44524D31, 4, 0))\nos.read(0, 1)"
        )


def test_half_a_message() -> None:
    """It is waited for; the program's end is the run's."""
    with pytest.raises(RunError, match="partner ended with code 3"):
        partner("os.write(request, b'1MRD'); os._exit(3)")


def test_messages_in_pieces() -> None:
    """ID is read although its request comes byte by byte; the exit code is its low byte."""
    body = (
        "for byte in struct.pack('<3I', 0x44524D31, 0, 0): os.write(request, bytes((byte,)))\n"
        "os._exit(struct.unpack('<I', os.read(response, 4))[0] & 255)"
    )
    with pytest.raises(RunError, match="partner ended with code 1 "):
        partner(body)


def test_a_program_that_ends_at_once() -> None:
    with pytest.raises(RunError, match="partner ended with code 0"):
        partner("os._exit(0)")


def test_a_program_that_is_not_there(npu_project: Project, tmp_path: Path) -> None:
    from mcu_sdk.errors import ToolMissingError

    with pytest.raises(ToolMissingError):
        run_on_host(npu_project, tmp_path / "missing", Request(steps=1))


# ---- the command, as a process


def test_ctrl_c_at_the_command(
    npu_project: Project, npu_builds: dict[str, BuildResult], tmp_path: Path
) -> None:
    """SIGINT while QEMU runs: exit code 130, and its folder of shared memory is gone."""
    command = [sys.executable, "-m", "mcu_sdk.cli", "--quiet", "run", str(npu_project.folder)]
    running = subprocess.Popen(
        [*command, f"--steps={ENDLESS.steps}"],
        env={**os.environ, "PYTHONPATH": str(resources.PACKAGE.parent)},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        emulator, shared = wait_for_qemu(str(npu_builds["qemu"].program))
        assert shared.is_dir()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=SECONDS)
    finally:
        running.kill()
        running.communicate()
    assert (running.returncode, out, err) == (130, "", "error: Interrupted.\n")
    assert not shared.exists() and not Path(f"/proc/{emulator}").exists()


def wait_for_qemu(program: str) -> tuple[int, Path]:
    """Its process id and its working folder, which is where the pipes and the memory are."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for process in processes(program):
            if "qemu-system-arm" in os.readlink(f"/proc/{process}/exe"):
                return process, Path(os.readlink(f"/proc/{process}/cwd"))
        time.sleep(0.05)
    raise AssertionError("QEMU was not started")


def test_the_memory_is_where_the_guest_has_it(tmp_path: Path) -> None:
    """A file of the region's size in a folder of its own, for as long as the block lasts."""
    npu = QemuCoSimulation(accelerator("ethos-u55-128"), 0x6000_0000, 1 << 20)
    with npu:
        (option,) = npu.command(["mem-path={shared}"])
        path = Path(option.removeprefix("mem-path="))
        assert path.stat().st_size == 1 << 20 and path.stat().st_blocks == 0
        assert sorted(p.name for p in path.parent.iterdir()) == ["memory", "npu.request", "npu.response"]
        assert np.fromfile(path, np.uint8, 16).tolist() == [0] * 16
    assert not path.parent.exists()
